/* The benchmark: one table of kernels and whole steps, each with its share of what the machine can
 * do, and beside PyTorch and oneDNN where they are installed. See bench.h for how rows are measured
 * and bench_table.h for where. */
#include "tests/bench/bench_table.h"

#include <signal.h>

enum { FAILED = 1, MISUSED = 2, SLOWER = 3 };

/* Beside the old run, which may have it too. One that seems slower is measured once more, when all
 * others are done, since a slow phase of the machine lasts longer than a row. */
static void compare_row(bench *b, const row *r)
{
    side *s = &b->sides[OURS];
    record now = {.threads = r->threads, .ms = 1e3 * median(s), .spread = spread(s)};
    snprintf(now.work, sizeof now.work, "%s", r->name);
    snprintf(now.dtype, sizeof now.dtype, "%s", r->dtype);
    row *again = realloc(b->again, (b->agains + 1) * sizeof *again);
    if (again == NULL || !add_record(&b->now, &now)) {
        fprintf(stderr, "bench: there is no memory for the comparison\n");
        exit(FAILED);
    }
    b->again = again;
    if (is_slower(&b->old, &now))
        b->again[b->agains++] = *r;
}

void do_row(bench *b, const row *r)
{
    side *s = b->sides;
    if (start_side(&s[OURS], NULL))
        prepare(&s[OURS], r);
    for (int i = TORCH; i < SIDES; i++) {
        s[i].ready = false;
        if (s[i].to != NULL)
            prepare(&s[i], r);
    }
    measure(s);
    print_row(b, r);
    print_gain(b, r);
    fflush(stdout);
    if (b->old.file != NULL && s[OURS].ready)
        compare_row(b, r);
    for (int i = TORCH; i < SIDES; i++)
        if (s[i].to != NULL) {
            fprintf(s[i].to, "end\n");
            fflush(s[i].to);
        }
    stop_side(&s[OURS]);
}

static bool take_part(options *o, const char *name)
{
    const struct {
        const char *name;
        bool *wanted;
    } parts[] = {{"limits", &o->limits}, {"gemm", &o->gemm},   {"conv", &o->conv},
                 {"layers", &o->layers}, {"small", &o->small}, {"steps", &o->steps}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(name, parts[i].name) == 0)
            return *parts[i].wanted = true;
    return false;
}

static const char usage[] =
    "usage: ./run bench [--all] [--json] [--threads N] [--against FILE [--from FILE]] [PART ...]\n"
    "       ./run bench --table FILE\n"
    "Kernels and whole steps, beside PyTorch and oneDNN: about three minutes on two cores\n"
    "  --all            whole steps on one thread and networks alone as well: two minutes more\n"
    "  --json           a line of JSON about the run, and one a row, instead of a table\n"
    "  --threads N      instead of as many as there are processors\n"
    "  --against FILE   then what got slower and faster than in FILE, which --json wrote, beyond\n"
    "                   5 % and half of what both runs' rounds spread; on stderr with --json\n"
    "  --from FILE      compare this one, which --json wrote too, and measure nothing\n"
    "  --table FILE     what --json wrote as tables in Markdown; measure nothing\n"
    "  PART             only some of: limits gemm conv layers small steps\n"
    "Ends with 0; 1 if something is wrong, 2 if the options are, 3 if something got slower\n";

/* The argument of an option of one; NULL, and on as it was, if this is another option. */
static char *argument_of(const char *option, char **argv, int *i)
{
    bool is = strcmp(argv[*i], option) == 0 && argv[*i + 1] != NULL;
    return is ? argv[++*i] : NULL;
}

static options read_options(int argc, char **argv)
{
    options o = {.threads = ito_threads()};
    bool any = false, fine = true;
    const char *argument;
    for (int i = 1; i < argc && fine; i++)
        if (strcmp(argv[i], "--json") == 0)
            o.json = true;
        else if (strcmp(argv[i], "--all") == 0)
            o.all = true;
        else if ((argument = argument_of("--threads", argv, &i)) != NULL)
            fine = (o.threads = atoi(argument)) > 0;
        else if ((argument = argument_of("--against", argv, &i)) != NULL)
            o.against = argument;
        else if ((argument = argument_of("--from", argv, &i)) != NULL)
            o.from = argument;
        else if ((argument = argument_of("--table", argv, &i)) != NULL)
            o.table = argument;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            exit(fputs(usage, stdout) < 0 ? FAILED : 0);
        else
            any = fine = take_part(&o, argv[i]);
    if (!fine || (o.from != NULL && o.against == NULL)) {
        fputs(usage, stderr);
        exit(MISUSED);
    }
    if (!any)
        o.gemm = o.conv = o.layers = o.small = o.steps = true;
    return o;
}

/* Says hello, or is not there. */
static void start_peer(bench *b, int i, char *const *command, const char *name)
{
    side *s = &b->sides[i];
    if (command != NULL && start_side(s, command) && ask(s, "hello\n") &&
        strncmp(s->said, "ok ", 3) == 0)
        add_peer(b->head, name, s->said + 3);
    else
        stop_side(s);
}

static void start_peers(bench *b)
{
    char *python = getenv("ITO_PYTHON"), *script = getenv("ITO_PEER_TORCH");
    char *onednn = getenv("ITO_PEER_ONEDNN");
    char *torch_command[] = {python != NULL ? python : (char[]){"python3"}, script, NULL};
    char *onednn_command[] = {onednn, NULL};
    start_peer(b, TORCH, script == NULL ? NULL : torch_command, "torch");
    start_peer(b, ONEDNN, onednn == NULL ? NULL : onednn_command, "onednn");
}

static void do_rows(bench *b)
{
    if (b->o.gemm)
        gemm_rows(b);
    if (b->o.conv)
        conv_rows(b);
    if (b->o.layers)
        layer_rows(b);
    if (b->o.small)
        small_rows(b);
    if (b->o.steps)
        step_rows(b);
    if (b->agains > 0 && !b->o.json)
        printf("once more, since they seemed slower than in %s:\n", b->old.file);
    for (size_t i = 0, n = b->agains; i < n; i++) {
        row r = b->again[i]; /* the list may move */
        do_row(b, &r);
    }
}

static int stop(const char *program, const char *said)
{
    fprintf(stderr, "%s: %s\n", program, said);
    return FAILED;
}

static int print_tables(bench *b, const char *program)
{
    char said[LINE];
    if (!read_recording(&b->now, b->o.table, said))
        return stop(program, said);
    print_markdown(&b->now);
    return 0;
}

static int run(bench *b, const char *program)
{
    if (ito_isa_check() != ITO_OK || ito_set_threads(b->o.threads) != ITO_OK)
        return stop(program, ito_error());
    b->head = b->now.head = head_of_this_run(&b->o);
    char said[LINE];
    if (b->o.from != NULL) {
        cJSON_Delete(b->head);
        if (!read_recording(&b->now, b->o.from, said))
            return stop(program, said);
    }
    if (b->o.against != NULL &&
        (!read_recording(&b->old, b->o.against, said) || !comparable(&b->old, &b->now, said)))
        return stop(program, said);
    if (b->o.from == NULL) {
        signal(SIGPIPE, SIG_IGN);
        if (!measure_limits(&b->limits, b->o.threads))
            return stop(program, "the limits of the machine cannot be measured");
        start_peers(b);
        add_limits(b->head, &b->limits);
        print_head(b);
        do_rows(b);
    }
    FILE *to = b->o.json ? stderr : stdout;
    return b->o.against != NULL && print_comparison(&b->old, &b->now, to) > 0 ? SLOWER : 0;
}

int main(int argc, char **argv)
{
    bench b = {.o = read_options(argc, argv)};
    int status = b.o.table != NULL ? print_tables(&b, argv[0]) : run(&b, argv[0]);
    for (int i = 0; i < SIDES; i++)
        stop_side(&b.sides[i]);
    free_recording(&b.old);
    free_recording(&b.now);
    free(b.again);
    return status;
}
