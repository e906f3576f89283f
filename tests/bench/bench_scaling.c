/* What training steps gain from more cores than there are: parallel regions, barriers and serial
 * time of a step, and how long it would take with a core for each thread.
 *
 * The linker has libgomp's entry points lead here (--wrap). Each region runs with all its threads
 * on the cores there are, and each thread's processor time in it is read; with a core for each, a
 * region would take as long as its longest thread. Loops that hand out work to whoever is free deal
 * it in turns instead, since threads that share a core are not free at the same time. Not in it:
 * waking threads, waiting at barriers inside a region, and what cores take from each other in
 * caches and memory. The weights have to come out the same for any number of threads. Usage:
 * bench_scaling [--steps N] [MODEL BATCH DTYPE]; models: small, cifar10 */
#include "tests/bench/bench.h"
#include "tests/bench/bench_peak.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_THREADS = 64, LEVELS = 8 };

/* ---- regions: those that the main thread enters, not those inside them ---- */

typedef struct count {
    int64_t regions, alone; /* alone: a team of one, whose time is serial */
    int64_t barriers;       /* inside regions; each has one at its end besides */
    double total, longest;  /* seconds in regions: of all threads, and of the longest in each */
    double serial;          /* seconds outside */
} count;

static count counted;
static bool inside;
static atomic_long barriers;
static double serial_since, seconds_of[MOST_THREADS];

typedef struct call {
    void (*function)(void *);
    void *data;
} call;

static void timed(void *argument)
{
    const call *c = argument;
    double start = bench_thread_clock();
    c->function(c->data);
    seconds_of[omp_get_thread_num()] = bench_thread_clock() - start;
}

void __real_GOMP_parallel(void (*f)(void *), void *data, unsigned threads, unsigned flags);
void __wrap_GOMP_parallel(void (*f)(void *), void *data, unsigned threads, unsigned flags);

void __wrap_GOMP_parallel(void (*f)(void *), void *data, unsigned threads, unsigned flags)
{
    if (inside || threads == 1) {
        counted.alone += !inside;
        counted.regions += !inside;
        __real_GOMP_parallel(f, data, threads, flags);
        return;
    }
    call c = {f, data};
    double longest = 0;
    counted.serial += bench_thread_clock() - serial_since;
    atomic_store(&barriers, 0);
    inside = true;
    __real_GOMP_parallel(timed, &c, threads, flags);
    inside = false;
    for (unsigned i = 0; i < threads && i < MOST_THREADS; i++) {
        counted.total += seconds_of[i];
        longest = seconds_of[i] > longest ? seconds_of[i] : longest;
        seconds_of[i] = 0;
    }
    counted.longest += longest;
    counted.regions++;
    counted.barriers += atomic_load(&barriers);
    serial_since = bench_thread_clock();
}

void __real_GOMP_barrier(void);
void __wrap_GOMP_barrier(void);

void __wrap_GOMP_barrier(void)
{
    if (omp_get_thread_num() == 0)
        atomic_fetch_add(&barriers, 1);
    __real_GOMP_barrier();
}

/* ---- loops of schedule(dynamic), dealt in turns ---- */

typedef struct loop {
    long at, end, step; /* of a chunk */
} loop;

static _Thread_local loop loops[LEVELS];

bool __wrap_GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long increment, long chunk,
                                                 long *first, long *last);
bool __wrap_GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last);
void __wrap_GOMP_loop_end(void);
void __wrap_GOMP_loop_end_nowait(void);

bool __wrap_GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last)
{
    loop *l = &loops[omp_get_level() % LEVELS];
    if (l->at >= l->end)
        return false;
    *first = l->at;
    *last = l->end - l->at < l->step ? l->end : l->at + l->step;
    l->at += l->step * omp_get_num_threads();
    return true;
}

bool __wrap_GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long increment, long chunk,
                                                 long *first, long *last)
{
    long step = increment * chunk; /* the library's loops all count upward */
    loops[omp_get_level() % LEVELS] = (loop){start + omp_get_thread_num() * step, end, step};
    return __wrap_GOMP_loop_nonmonotonic_dynamic_next(first, last);
}

void __wrap_GOMP_loop_end(void)
{
    __wrap_GOMP_barrier();
}

void __wrap_GOMP_loop_end_nowait(void)
{
}

/* ---- steps ---- */

typedef struct options {
    const char *model;
    int batch, steps;
    ito_dtype dtype;
} options;

static _Noreturn void stop(const char *said)
{
    fprintf(stderr, "bench_scaling: %s\n", said);
    exit(1);
}

/* FNV-1a of the weights' bits. */
static uint64_t weights_of(ito_module *model)
{
    uint64_t hash = 0xcbf29ce484222325u;
    ito_named_tensors *list = ito_module_parameters(model);
    if (list == NULL)
        stop(ito_error());
    for (int64_t i = 0; i < list->n; i++) {
        const unsigned char *at = ito_const_data(list->tensors[i]);
        int64_t bytes = ito_numel(list->tensors[i]) * (int64_t)sizeof(float);
        for (int64_t b = 0; b < bytes; b++)
            hash = (hash ^ at[b]) * 0x100000001b3u;
    }
    ito_named_tensors_free(list);
    return hash;
}

typedef struct result {
    count count;
    uint64_t weights;
} result;

/* In a child, which has had no threads before: the second and later steps. */
static void run_steps(result *r, const options *o, int threads)
{
    bench_work w = {.repeats = 1, .generator = ito_generator_make(1, 0), .dtype = o->dtype};
    char batch[16], model[16], train[] = "train";
    snprintf(model, sizeof model, "%s", o->model);
    snprintf(batch, sizeof batch, "%d", o->batch);
    ito_scope_begin();
    if (ito_set_threads(threads) != ITO_OK ||
        !bench_setup_step(&w, (char *[]){train, model, batch}))
        stop(ito_error());
    for (int i = 0; i <= o->steps; i++) {
        if (i == 1) {
            counted = (count){0};
            serial_since = bench_thread_clock();
        }
        ito_scope_begin();
        w.run(&w);
        ito_scope_end();
    }
    counted.serial += bench_thread_clock() - serial_since;
    if (ito_error_code() != ITO_OK)
        stop(ito_error());
    *r = (result){counted, weights_of(bench_model(&w))};
}

static result in_child(const options *o, int threads)
{
    int pipe_of[2];
    result r = {.weights = 0};
    if (pipe(pipe_of) != 0)
        stop("no pipe");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_steps(&r, o, threads);
        _exit(write(pipe_of[1], &r, sizeof r) != sizeof r);
    }
    close(pipe_of[1]);
    if (pid < 0 || read(pipe_of[0], &r, sizeof r) != sizeof r)
        stop("the steps did not end");
    close(pipe_of[0]);
    waitpid(pid, NULL, 0);
    return r;
}

static options read_options(int argc, char **argv)
{
    options o = {.model = "small", .batch = 64, .dtype = ITO_F32, .steps = 3};
    bool fine = true;
    if (argc > 2 && strcmp(argv[1], "--steps") == 0) {
        fine = (o.steps = atoi(argv[2])) > 0;
        argc -= 2;
        argv += 2;
    }
    if (argc == 4) {
        o.model = argv[1];
        o.batch = atoi(argv[2]);
        o.dtype = strcmp(argv[3], "bf16") == 0 ? ITO_BF16 : ITO_F32;
    }
    if (!fine || (argc != 1 && argc != 4) || o.batch < 1) {
        fprintf(stderr, "usage: bench_scaling [--steps N] [small|cifar10 BATCH f32|bf16]\n");
        exit(2);
    }
    return o;
}

int main(int argc, char **argv)
{
    static const int teams[] = {1, 2, 4, 8, 16, 32, 64};
    options o = read_options(argc, argv);
    if (getenv("OMP_WAIT_POLICY") ==
        NULL) { /* waiting is not to count as work; read at the start */
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv("/proc/self/exe", argv);
    }
    printf("%s training step, batch %d, %s, %s\n", o.model, o.batch,
           o.dtype == ITO_BF16 ? "bf16" : "f32", ito_isa());
    printf("%7s %8s %6s %9s %10s %11s %9s %6s\n", "threads", "regions", "alone", "barriers",
           "serial ms", "regions ms", "step ms", "gain");
    double one = 0;
    uint64_t weights = 0;
    for (size_t i = 0; i < sizeof teams / sizeof *teams; i++) {
        result r = in_child(&o, teams[i]);
        double steps = o.steps, step = 1e3 * (r.count.serial + r.count.longest) / steps;
        one = i == 0 ? step : one;
        weights = i == 0 ? r.weights : weights;
        printf("%7d %8.0f %6.0f %9.0f %10.1f %11.1f %9.1f %6.2f\n", teams[i],
               (double)r.count.regions / steps, (double)r.count.alone / steps,
               (double)r.count.barriers / steps, 1e3 * r.count.serial / steps,
               1e3 * r.count.longest / steps, step, one / step);
        if (r.weights != weights)
            stop("the weights are not those of one thread");
    }
    return 0;
}
