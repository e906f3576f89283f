/* The benchmark: one table of kernels and whole steps, each with its share of what the machine can
 * do, and beside PyTorch and oneDNN where they are installed.
 * Usage: bench [--json] [--threads N] [PART ...]; parts: limits gemm conv layers steps. See bench.h
 * for how rows are measured. */
#include "tests/bench/bench.h"
#include "tests/bench/bench_peak.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct options {
    bool json;
    int threads;
    bool limits, gemm, conv, layers, steps;
} options;

typedef struct limits {
    double peak_one, peak; /* GFLOP/s in f32 */
    bench_bandwidth one, all;
} limits;

typedef enum rate_unit { GFLOPS, GBS, IMAGES } rate_unit;

typedef struct row {
    const char *part;
    char name[96], spec[96]; /* what the table says; what workers are told */
    const char *dtype;
    int threads;
    rate_unit unit;
    double amount; /* FLOP, bytes or images of one run */
    double flop;   /* of IMAGES: for the share of the peak */
    bool alone;    /* no peers */
} row;

/* ---- workers -----------------------------------------------------------------------------------
 */

enum { OURS, TORCH, ONEDNN, SIDES, ROUNDS = 5, LINE = 1024 };
static const char *const side_name[SIDES] = {"ito", "torch", "onednn"};

typedef struct side {
    pid_t pid;
    FILE *to, *from; /* NULL: not running */
    char said[LINE]; /* its last answer, without the newline */
    bool ready;      /* has set up the present row */
    double seconds[ROUNDS];
    int rounds, runs; /* runs in a round */
} side;

/* A child with pipes to us; it runs command or, if NULL, serves our side. */
static bool start_side(side *s, char *const *command)
{
    int to[2], from[2];
    if (pipe(to) != 0)
        return false;
    if (pipe(from) != 0) {
        close(to[0]);
        close(to[1]);
        return false;
    }
    fflush(stdout);
    s->pid = fork();
    if (s->pid == 0) {
        if (command != NULL) {
            dup2(to[0], STDIN_FILENO);
            dup2(from[1], STDOUT_FILENO);
        }
        close(to[1]);
        close(from[0]);
        if (command == NULL) {
            bench_serve(fdopen(to[0], "r"), fdopen(from[1], "w"));
            _exit(0);
        }
        execvp(command[0], command);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    s->to = fdopen(to[1], "w");
    s->from = fdopen(from[0], "r");
    return s->pid > 0 && s->to != NULL && s->from != NULL;
}

static void stop_side(side *s)
{
    if (s->to != NULL)
        fclose(s->to);
    if (s->from != NULL)
        fclose(s->from);
    if (s->pid > 0)
        waitpid(s->pid, NULL, 0);
    *s = (side){0};
}

/* Ask and wait for the answer in said; false if the worker is gone. */
static bool ask(side *s, const char *format, ...) ITO_PRINTF(2, 3);
static bool ask(side *s, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    bool there = s->to != NULL && vfprintf(s->to, format, list) >= 0 && fflush(s->to) == 0;
    va_end(list);
    there = there && fgets(s->said, sizeof s->said, s->from) != NULL;
    if (!there) {
        snprintf(s->said, sizeof s->said, "skip it ended");
        stop_side(s);
        snprintf(s->said, sizeof s->said, "skip it ended");
    }
    s->said[strcspn(s->said, "\n")] = '\0';
    return there;
}

/* ---- one row -----------------------------------------------------------------------------------
 */

/* Seconds of a run, or 0 where the side gives up; pauses first, so that no other side's threads
 * still spin. */
static double run_side(side *s, int runs)
{
    usleep(10000);
    double seconds = ask(s, "run %d\n", runs) ? strtod(s->said, NULL) : 0;
    s->ready = seconds > 0;
    return seconds;
}

/* Sets the row up, warms up, and chooses how many runs and rounds it deserves. */
static void prepare(side *s, const row *r)
{
    enum { FEW = 2, SOME = 3 };
    *s = (side){.pid = s->pid, .to = s->to, .from = s->from};
    s->ready =
        ask(s, "setup %d %s %s\n", r->threads, r->dtype, r->spec) && strcmp(s->said, "ok") == 0;
    if (!s->ready)
        return;
    double seconds = run_side(s, 1); /* warms up */
    if (s->ready && seconds < 0.5)
        seconds = run_side(s, 1);
    if (!s->ready)
        return;
    s->runs = seconds > 0.015 ? 1 : seconds > 1e-5 ? (int)(0.03 / seconds) : 3000;
    s->rounds = seconds > 2 ? FEW : seconds > 0.2 ? SOME : ROUNDS;
}

static double median(side *s)
{
    qsort(s->seconds, (size_t)s->rounds, sizeof *s->seconds, bench_compare);
    return s->rounds % 2 == 1 ? s->seconds[s->rounds / 2]
                              : 0.5 * (s->seconds[s->rounds / 2 - 1] + s->seconds[s->rounds / 2]);
}

/* Rounds of all sides in turn. */
static void measure(side sides[SIDES])
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SIDES; i++)
            if (sides[i].ready && round < sides[i].rounds)
                sides[i].seconds[round] = run_side(&sides[i], sides[i].runs);
}

/* ---- printing ----------------------------------------------------------------------------------
 */

static double share_of(const row *r, const limits *l, double seconds)
{
    double peak = r->threads == 1 ? l->peak_one : l->peak;
    const bench_bandwidth *b = r->threads == 1 ? &l->one : &l->all;
    if (r->unit == GBS)
        return b->best > 0 ? 1e-9 * r->amount / seconds / b->best : 0;
    double flop = r->unit == GFLOPS ? r->amount : r->flop;
    return peak > 0 ? 1e-9 * flop / seconds / peak : 0;
}

static double rate_of(const row *r, double seconds)
{
    return (r->unit == IMAGES ? 1.0 : 1e-9) * r->amount / seconds;
}

/* Why the side has no time for the row; NULL if it has one, or the row is none of its own. */
static const char *skipped(const side *s)
{
    static const char skip[] = "skip ";
    bool says = !s->ready && strncmp(s->said, skip, strlen(skip)) == 0;
    return says ? s->said + strlen(skip) : NULL;
}

static const char *const unit_name[] = {"GFLOP/s", "GB/s", "images/s"};

/* "k=v k=v" as members of a JSON object, with a prefix to each name. */
static void print_stat_json(const char *prefix, const char *stat)
{
    char name[64];
    double value;
    int length;
    while (sscanf(stat, " %63[^= ]=%lf%n", name, &value, &length) == 2) {
        printf(", \"%s%s\": %g", prefix, name, value);
        stat += length;
    }
}

static const char *const json_prefix[SIDES] = {"", "torch_", "onednn_"};

static void print_skipped_json(const char *prefix, const char *reason)
{
    printf(", \"%sskipped\": \"", prefix);
    for (const char *at = reason; *at != '\0'; at++)
        if ((unsigned char)*at >= ' ')
            printf(*at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    printf("\"");
}

/* The same for people: shares in percent, those of nothing left out. */
static void print_stat(const char *whose, const char *stat)
{
    static const char share[] = "share_";
    char name[64];
    double value;
    int length;
    printf("    %s:", whose);
    while (sscanf(stat, " %63[^= ]=%lf%n", name, &value, &length) == 2) {
        if (strncmp(name, share, strlen(share)) != 0)
            printf(" %s %.0f", name, value);
        else if (value >= 0.0005)
            printf(" %s %.1f%%", name + strlen(share), 100 * value);
        stat += length;
    }
    printf("\n");
}

static void print_json(const row *r, side sides[SIDES], const limits *l)
{
    printf(
        "{\"part\": \"%s\", \"work\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"isa\": \"%s\"",
        r->part, r->name, r->dtype, r->threads, ito_isa());
    if (sides[OURS].ready) {
        double s = median(&sides[OURS]);
        double spread = (sides[OURS].seconds[sides[OURS].rounds - 1] - sides[OURS].seconds[0]) / s;
        printf(
            ", \"ms\": %.4f, \"rate\": %.2f, \"unit\": \"%s\", \"share\": %.3f, \"spread\": %.3f",
            1e3 * s, rate_of(r, s), unit_name[r->unit], share_of(r, l, s), spread);
    }
    for (int i = TORCH; i < SIDES; i++)
        if (sides[i].ready) {
            printf(", \"%sms\": %.4f", json_prefix[i], 1e3 * median(&sides[i]));
            if (sides[OURS].ready)
                printf(", \"%sratio\": %.3f", json_prefix[i],
                       median(&sides[i]) / median(&sides[OURS]));
        }
    for (int i = 0; i < SIDES; i++)
        if (skipped(&sides[i]) != NULL)
            print_skipped_json(json_prefix[i], skipped(&sides[i]));
        else if (sides[i].ready && ask(&sides[i], "stat\n"))
            print_stat_json(json_prefix[i], sides[i].said);
    printf("}\n");
}

static void print_table(const row *r, side sides[SIDES], const limits *l)
{
    printf("%-36s %4s %d", r->name, r->dtype, r->threads);
    if (!sides[OURS].ready) {
        printf("  skipped: %s\n", skipped(&sides[OURS]) != NULL ? skipped(&sides[OURS]) : "");
        return;
    }
    double s = median(&sides[OURS]);
    double spread = (sides[OURS].seconds[sides[OURS].rounds - 1] - sides[OURS].seconds[0]) / s;
    printf(" %9.3f %8.2f %-8s %5.1f%% %6.1f%%", 1e3 * s, rate_of(r, s), unit_name[r->unit],
           100 * share_of(r, l, s), 100 * spread);
    for (int i = TORCH; i < SIDES; i++)
        if (sides[i].ready)
            printf(" %9.3f %5.2f", 1e3 * median(&sides[i]), median(&sides[i]) / s);
        else
            printf(" %9s %5s", "-", "-");
    printf("\n");
    for (int i = 0; i < SIDES; i++)
        if (sides[i].ready && ask(&sides[i], "stat\n") && sides[i].said[0] != '\0')
            print_stat(side_name[i], sides[i].said);
        else if (skipped(&sides[i]) != NULL)
            printf("    %s: skipped: %s\n", side_name[i], skipped(&sides[i]));
}

/* ---- the run -----------------------------------------------------------------------------------
 */

typedef struct bench {
    options o;
    limits limits;
    side sides[SIDES];
    char before[96]; /* the row before, on one thread, and its time */
    double before_seconds;
} bench;

/* How much faster the row is than the same on one thread, which came just before it. */
static void print_gain(bench *b, const row *r)
{
    double seconds = b->sides[OURS].ready ? median(&b->sides[OURS]) : 0;
    if (seconds > 0 && r->threads > 1 && strcmp(b->before, r->name) == 0 && !b->o.json)
        printf("    %d threads instead of one: %.2f times as fast\n", r->threads,
               b->before_seconds / seconds);
    else if (seconds > 0 && r->threads > 1 && strcmp(b->before, r->name) == 0)
        printf("{\"part\": \"%s\", \"work\": \"%s\", \"threads\": %d, \"gain\": %.3f}\n", r->part,
               r->name, r->threads, b->before_seconds / seconds);
    b->before[0] = '\0';
    if (r->threads == 1) {
        snprintf(b->before, sizeof b->before, "%s", r->name);
        b->before_seconds = seconds;
    }
}

static void do_row(bench *b, const row *r)
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
    if (b->o.json)
        print_json(r, s, &b->limits);
    else
        print_table(r, s, &b->limits);
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

static void print_limits(const bench *b)
{
    const limits *l = &b->limits;
    const struct {
        const char *name, *unit;
        double one, all;
    } line[] = {{"multiply-adds in f32", "GFLOP/s", l->peak_one, l->peak},
                {"memory, triad", "GB/s", l->one.triad, l->all.triad},
                {"memory, triad, stores past caches", "GB/s", l->one.streamed, l->all.streamed},
                {"memory, in place", "GB/s", l->one.in_place, l->all.in_place},
                {"memory, copy", "GB/s", l->one.copy, l->all.copy}};
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        if (b->o.json)
            printf(
                "{\"part\": \"limits\", \"work\": \"%s\", \"unit\": \"%s\", \"one_thread\": %.1f, "
                "\"threads\": %d, \"rate\": %.1f, \"isa\": \"%s\"}\n",
                line[i].name, line[i].unit, line[i].one, b->o.threads, line[i].all, ito_isa());
        else
            printf("%-36s %8.1f %s on 1 thread, %.1f on %d\n", line[i].name, line[i].one,
                   line[i].unit, line[i].all, b->o.threads);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static const char *const dtypes[] = {"f32", "bf16"};

static void gemm_rows(bench *b)
{
    static const struct {
        const char *layout;
        int64_t batch, m, n, k;
        bool narrow; /* in bf16 too */
    } shapes[] = {{"nn", 1, 256, 256, 256, false},    {"nn", 1, 1024, 1024, 1024, true},
                  {"nn", 1, 2048, 2048, 2048, false}, {"nn", 1, 16384, 128, 1152, true},
                  {"nn", 1, 4096, 256, 2304, false},  {"nn", 1, 256, 256, 2304, false},
                  {"tn", 1, 128, 1152, 16384, true},  {"nt", 1, 16, 512, 512, false},
                  {"nt", 16, 256, 256, 256, false}};
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            if (d == 1 && !shapes[i].narrow)
                continue;
            row r = {.part = "gemm", .dtype = dtypes[d], .threads = b->o.threads};
            int64_t n = shapes[i].batch;
            r.amount = 2.0 * (double)(n * shapes[i].m) * (double)(shapes[i].n * shapes[i].k);
            snprintf(r.spec, sizeof r.spec, "gemm %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                     shapes[i].layout, n, shapes[i].m, shapes[i].n, shapes[i].k);
            snprintf(r.name, sizeof r.name, "gemm %s %" PRId64 "x%" PRId64 "x%" PRId64,
                     shapes[i].layout, shapes[i].m, shapes[i].n, shapes[i].k);
            if (n > 1)
                snprintf(r.name, sizeof r.name,
                         "gemm %s %" PRId64 "x%" PRId64 "x%" PRId64 " batch %" PRId64,
                         shapes[i].layout, shapes[i].m, shapes[i].n, shapes[i].k, n);
            do_row(b, &r);
        }
}

static void conv_rows(bench *b)
{
    enum { NARROW = 2 }; /* so many of them in bf16 too */
    static const int64_t shapes[][4] = {{16, 128, 128, 32}, {16, 256, 256, 8},  {16, 384, 128, 32},
                                        {16, 256, 256, 16}, {16, 512, 256, 16}, {16, 256, 256, 4},
                                        {64, 32, 32, 32},   {64, 64, 64, 16}};
    static const char *const passes[] = {"forward", "data", "weight"};
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < (d == 0 ? sizeof shapes / sizeof *shapes : NARROW); i++)
            for (int p = 0; p < 3; p++) {
                const int64_t *s = shapes[i];
                row r = {.part = "conv", .dtype = dtypes[d], .threads = b->o.threads};
                r.amount = 18.0 * (double)(s[0] * s[1] * s[2]) * (double)(s[3] * s[3]);
                snprintf(r.spec, sizeof r.spec,
                         "conv %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, passes[p], s[0],
                         s[1], s[2], s[3]);
                snprintf(r.name, sizeof r.name,
                         "conv %" PRId64 "->%" PRId64 " %" PRId64 "x%" PRId64 " batch %" PRId64
                         " %s",
                         s[1], s[2], s[3], s[3], s[0], passes[p]);
                do_row(b, &r);
            }
}

/* Work that memory bounds: the bytes are the least that a fused kernel must read and write. */
static void layer_rows(bench *b)
{
    static const struct {
        const char *name, *spec;
        double elements; /* read or written, of f32 or bf16 */
        double flop;     /* instead, if arithmetic bounds it */
        bool narrow;     /* in bf16 too */
    } rows[] = {
        {"group_norm_silu forward + backward", "group_norm_silu 128 128 32", 5.0 * (1 << 24), 0,
         true},
        {"silu forward + backward", "silu 128 128 32", 5.0 * (1 << 24), 0, false},
        {"softmax forward + backward", "softmax 65536 256", 5.0 * (1 << 24), 0, false},
        {"dropout forward + backward", "dropout 128 128 32", 4.0 * (1 << 24), 0, false},
        {"cat", "cat 64 128 32", 4.0 * (1 << 23), 0, false},
        {"upsample forward + backward", "upsample 128 128 16", 10.0 * (1 << 22), 0, false},
        {"add", "add 128 128 32", 3.0 * (1 << 24), 0, true},
        {"channels-last to row-major", "row_major 128 128 32", 2.0 * (1 << 24), 0, false},
        {"attention 256 x 256, forward + backward", "attention 16 256 256", 0,
         12.0 * 16 * 256 * 256 * 256, true},
    };
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (d == 1 && !rows[i].narrow)
                continue;
            row r = {.part = "layers", .dtype = dtypes[d], .threads = b->o.threads, .unit = GBS};
            r.amount = rows[i].elements * (d == 0 ? 4 : 2);
            if (rows[i].flop > 0) {
                r.unit = GFLOPS;
                r.amount = rows[i].flop;
            }
            snprintf(r.name, sizeof r.name, "%s", rows[i].name);
            snprintf(r.spec, sizeof r.spec, "%s", rows[i].spec);
            do_row(b, &r);
        }
    row cast = {
        .part = "layers", .name = "f32 to bf16", .spec = "to_bf16 128 128 32", .dtype = "f32"};
    cast.threads = b->o.threads;
    cast.unit = GBS;
    cast.amount = 6.0 * (1 << 24);
    do_row(b, &cast);
    row randn = {
        .part = "layers", .name = "random normals", .spec = "randn 16777216", .dtype = "f32"};
    randn.threads = b->o.threads;
    randn.unit = GBS;
    randn.amount = 4.0 * (1 << 24);
    do_row(b, &randn);
    row adam = {.part = "layers",
                .name = "clip, Adam, averages",
                .spec = "optimiser cifar10",
                .dtype = "f32"};
    adam.threads = b->o.threads;
    adam.unit = GBS;
    adam.amount = 40.0 * 35746307; /* norm: read g; then read p g m v e, write p m v e */
    do_row(b, &adam);
}

static void step_rows(bench *b)
{
    static const struct {
        const char *name, *spec;
        int images;
        double flop; /* of an image */
        bool both;   /* on one thread too */
        bool narrow; /* in bf16 too */
    } rows[] = {{"CIFAR-10 training step", "train cifar10 16", 16, 3 * 12.44e9, true, true},
                {"small training step", "train small 64", 64, 3 * 0.836e9, true, true},
                {"CIFAR-10 network", "network cifar10 16", 16, 12.44e9, false, false},
                {"CIFAR-10 sampling step", "sample cifar10 16", 16, 12.44e9, false, true},
                {"small network", "network small 16", 16, 0.836e9, false, false},
                {"small sampling step", "sample small 16", 16, 0.836e9, false, false}};
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (d == 1 && !rows[i].narrow)
                continue;
            for (int one = d == 0 && rows[i].both && b->o.threads > 1 ? 1 : 0; one >= 0; one--) {
                row r = {.part = "steps", .dtype = dtypes[d], .unit = IMAGES, .alone = one != 0};
                r.threads = one ? 1 : b->o.threads;
                r.amount = rows[i].images;
                r.flop = rows[i].flop * rows[i].images;
                snprintf(r.name, sizeof r.name, "%s, batch %d", rows[i].name, rows[i].images);
                snprintf(r.spec, sizeof r.spec, "%s", rows[i].spec);
                do_row(b, &r);
            }
        }
}

/* ---- the program -------------------------------------------------------------------------------
 */

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

static options read_options(int argc, char **argv)
{
    options o = {.threads = 0};
    bool any = false;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            o.threads = atoi(argv[++i]);
        } else if (take_part(&o, argv[i])) {
            any = true;
        } else {
            fprintf(stderr,
                    "usage: %s [--json] [--threads N] [limits] [gemm] [conv] [layers] [steps]\n",
                    argv[0]);
            exit(2);
        }
    if (!any)
        o.limits = o.gemm = o.conv = o.layers = o.steps = true;
    if (o.threads == 0)
        o.threads = ito_threads();
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
    if (!b.o.json)
        printf("\n%-36s %4s T %9s %8s %-8s %6s %7s %9s %5s %9s %5s\n", "work", "", "ms", "rate", "",
               "share", "spread", "torch ms", "ratio", "oneDNN ms", "ratio");
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
