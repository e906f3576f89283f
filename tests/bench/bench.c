/* The benchmark: one table of kernels and whole steps, each with its share of what the machine can
 * do, and beside PyTorch and oneDNN where they are installed. See bench.h for how rows are measured
 * and bench_table.h for where. */
#include "tests/bench/bench_table.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

void do_row(bench *b, const row *r)
{
    side *s = b->sides;
    if (start_side(&s[OURS], NULL))
        prepare(&s[OURS], r);
    for (int i = TORCH; i < SIDES; i++) {
        s[i].ready = false;
        if (s[i].to != NULL && !r->alone)
            prepare(&s[i], r);
    }
    measure(s);
    print_row(b, r);
    print_gain(b, r);
    fflush(stdout);
    for (int i = TORCH; i < SIDES; i++)
        if (s[i].to != NULL && !r->alone) {
            fprintf(s[i].to, "end\n");
            fflush(s[i].to);
        }
    stop_side(&s[OURS]);
}

/* In a process of its own, since one that has had threads cannot be forked safely. */
static bool measure_limits(limits *l, int threads)
{
    int pipe_of[2];
    if (pipe(pipe_of) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        limits found = {bench_peak(1), bench_peak(threads), bench_memory(1), bench_memory(threads)};
        _exit(write(pipe_of[1], &found, sizeof found) != sizeof found);
    }
    close(pipe_of[1]);
    bool done = pid > 0 && read(pipe_of[0], l, sizeof *l) == sizeof *l;
    close(pipe_of[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return done;
}

static bool take_part(options *o, const char *name)
{
    const struct {
        const char *name;
        bool *wanted;
    } parts[] = {{"limits", &o->limits},
                 {"gemm", &o->gemm},
                 {"conv", &o->conv},
                 {"layers", &o->layers},
                 {"steps", &o->steps}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(name, parts[i].name) == 0)
            return *parts[i].wanted = true;
    return false;
}

static const char usage[] =
    "usage: ./run bench [--all] [--json] [--threads N] [PART ...]\n"
    "Kernels and whole steps, beside PyTorch and oneDNN: about three minutes on two cores\n"
    "  --all          whole steps on one thread and networks alone as well: a minute more\n"
    "  --json         an object a row instead of a table\n"
    "  --threads N    instead of as many as there are processors\n"
    "  PART           only some of: limits gemm conv layers steps\n";

static options read_options(int argc, char **argv)
{
    options o = {.threads = ito_threads()};
    bool any = false;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
        } else if (strcmp(argv[i], "--all") == 0) {
            o.all = true;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            o.threads = atoi(argv[++i]);
        } else if (take_part(&o, argv[i])) {
            any = true;
        } else {
            bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            fputs(usage, help ? stdout : stderr);
            exit(help ? 0 : 2);
        }
    if (!any)
        o.limits = o.gemm = o.conv = o.layers = o.steps = true;
    return o;
}

/* Says hello, or is not there. */
static void start_peer(bench *b, int i, char *const *command, const char *what)
{
    side *s = &b->sides[i];
    if (command == NULL || !start_side(s, command) || !ask(s, "hello\n") ||
        strncmp(s->said, "ok ", 3) != 0) {
        stop_side(s);
        if (!b->o.json)
            printf("%s: not installed: skipped\n", what);
    } else if (!b->o.json) {
        printf("%s: %s\n", what, s->said + 3);
    }
}

static void start_peers(bench *b)
{
    char *python = getenv("ITO_PYTHON"), *script = getenv("ITO_PEER_TORCH");
    char *onednn = getenv("ITO_PEER_ONEDNN");
    char *torch_command[] = {python != NULL ? python : (char[]){"python3"}, script, NULL};
    char *onednn_command[] = {onednn, NULL};
    start_peer(b, TORCH, script == NULL ? NULL : torch_command, "PyTorch");
    start_peer(b, ONEDNN, onednn == NULL ? NULL : onednn_command, "oneDNN");
}

int main(int argc, char **argv)
{
    bench b = {.o = read_options(argc, argv)};
    if (ito_isa_check() != ITO_OK || ito_set_threads(b.o.threads) != ITO_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], ito_error());
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!measure_limits(&b.limits, b.o.threads)) {
        fprintf(stderr, "%s: the limits of the machine cannot be measured\n", argv[0]);
        return 1;
    }
    start_peers(&b);
    if (!b.o.json)
        printf("Ito: %s, %d threads\n", ito_isa(), b.o.threads);
    if (b.o.limits)
        print_limits(&b);
    print_head(&b);
    if (b.o.gemm)
        gemm_rows(&b);
    if (b.o.conv)
        conv_rows(&b);
    if (b.o.layers)
        layer_rows(&b);
    if (b.o.steps)
        step_rows(&b);
    for (int i = 0; i < SIDES; i++)
        stop_side(&b.sides[i]);
    return 0;
}
