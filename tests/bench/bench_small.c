/* Small work, where arithmetic is free: what an operation costs by itself, and a step of a small
 * network. In the main thread, and in another one of the program's.
 * Usage: bench_small [--json] [--threads N] */
#include "ito.h"
#include "tests/bench/bench_peak.h"

#include <pthread.h>

enum { OPERATIONS = 100 };

typedef struct world {
    ito_tensor *x, *dy; /* [4] a leaf; ones */
    ito_module *model;  /* 2-64-64-1, SiLU between */
    ito_optimizer *adam;
    ito_tensor *points, *values; /* [16, 2], [16, 1] */
    ito_tensor *places;          /* [16, 2], a leaf */
} world;

static void need(bool good)
{
    if (!good) {
        fprintf(stderr, "bench_small: %s\n", ito_error());
        exit(1);
    }
}

/* x + x + ... + x */
static ito_tensor *sum_chain(const world *w)
{
    ito_tensor *y = w->x;
    for (int i = 0; i < OPERATIONS; i++)
        y = ito_add(y, w->x);
    need(y != NULL);
    return y;
}

static void additions(const world *w)
{
    ITO_NO_GRAD
    {
        sum_chain(w);
    }
}

static void additions_recorded(const world *w)
{
    sum_chain(w);
}

static void additions_backward(const world *w)
{
    need(ito_backward(sum_chain(w), .cotangent = w->dy) == ITO_OK);
}

/* Each saves its inputs, and its backward is an operation again. */
static void products_backward(const world *w)
{
    ito_tensor *y = w->x;
    for (int i = 0; i < OPERATIONS; i++)
        y = ito_mul(y, w->dy);
    need(ito_backward(y, .cotangent = w->dy) == ITO_OK);
}

static ito_tensor *loss_of(const world *w)
{
    ito_tensor *loss = ito_mse_loss(ito_module_forward(w->model, w->points), w->values);
    need(loss != NULL);
    return loss;
}

static void network_forward(const world *w)
{
    ITO_NO_GRAD
    {
        loss_of(w);
    }
}

static void network_step(const world *w)
{
    ito_module_zero_grad(w->model);
    need(ito_backward(loss_of(w)) == ITO_OK);
    need(ito_optimizer_step(w->adam, 1e-3) == ITO_OK);
}

/* A loss of u and of the divergence of its gradient, as for an equation that u is to solve. */
static void equation_step(const world *w)
{
    ito_module_zero_grad(w->model);
    ito_tensor *u = ito_module_forward(w->model, w->places);
    ito_tensor *slope = ito_grad(ito_sum(u), w->places, .create_graph = true);
    ito_tensor *curvature = ito_grad(ito_sum(slope), w->places, .create_graph = true);
    ito_tensor *laplacian = ito_sum(curvature, .dims = ITO_DIMS(1), .keepdim = true);
    need(ito_backward(ito_mse_loss(laplacian, u)) == ITO_OK);
    need(ito_optimizer_step(w->adam, 1e-3) == ITO_OK);
}

/* ---- rows ---- */

typedef struct row {
    const char *name;
    void (*work)(const world *w);
    int units; /* of work, of each of which the time is told */
} row;

static const row rows[] = {
    {"addition", additions, OPERATIONS},
    {"addition, recorded", additions_recorded, OPERATIONS},
    {"addition and its backward", additions_backward, OPERATIONS},
    {"product and its backward", products_backward, OPERATIONS},
    {"network 2-64-64-1, 16 points", network_forward, 1},
    {"the same, a step with Adam", network_step, 1},
    {"a step with second derivatives", equation_step, 1},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* Microseconds a unit: the median of many runs. */
static double time_of(const row *r, const world *w)
{
    enum { RUNS = 3001 };
    static _Thread_local double us[RUNS];
    for (int run = -RUNS / 10; run < RUNS; run++) {
        double start = bench_now();
        ito_scope_begin();
        r->work(w);
        ito_scope_end();
        if (run >= 0)
            us[run] = 1e6 * (bench_now() - start) / r->units;
    }
    qsort(us, RUNS, sizeof *us, bench_compare);
    return us[RUNS / 2];
}

static void prepare(world *w)
{
    ito_generator g = ito_generator_make(1, 1);
    w->x = ito_requires_grad(ito_randn(&g, ITO_SHAPE(4), ITO_F32), true);
    w->dy = ito_ones(ITO_SHAPE(4), ITO_F32);
    w->points = ito_randn(&g, ITO_SHAPE(16, 2), ITO_F32);
    w->values = ito_randn(&g, ITO_SHAPE(16, 1), ITO_F32);
    w->places = ito_requires_grad(ito_randn(&g, ITO_SHAPE(16, 2), ITO_F32), true);
    w->model = ito_sequential_create(NULL, "");
    ito_linear_create(w->model, "0", 2, 64, .generator = &g);
    ito_activation_create(w->model, "1", ito_silu);
    ito_linear_create(w->model, "2", 64, 64, .generator = &g);
    ito_activation_create(w->model, "3", ito_silu);
    ito_linear_create(w->model, "4", 64, 1, .generator = &g);
    w->adam = ito_adam_create(w->model);
    need(w->adam != NULL && w->values != NULL);
}

static void *measure(void *us)
{
    world w;
    ito_scope_begin();
    prepare(&w);
    for (int i = 0; i < ROWS; i++)
        ((double *)us)[i] = time_of(&rows[i], &w);
    ito_optimizer_free(w.adam);
    ito_module_free(w.model);
    ito_scope_end();
    return NULL;
}

int main(int argc, char **argv)
{
    bool json = false;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            need(ito_set_threads(atoi(argv[++i])) == ITO_OK);
        } else {
            fprintf(stderr, "usage: %s [--json] [--threads N]\n", argv[0]);
            return 2;
        }
    double here[ROWS], there[ROWS];
    pthread_t other;
    measure(here);
    if (pthread_create(&other, NULL, measure, there) != 0 || pthread_join(other, NULL) != 0)
        return 1;
    if (!json)
        printf("%s, %d threads\n%-34s %10s %12s\n", ito_isa(), ito_threads(), "work", "us",
               "other thread");
    for (int i = 0; i < ROWS; i++)
        printf(json ? "{\"work\": \"%s\", \"us\": %.3f, \"us_other_thread\": %.3f}\n"
                    : "%-34s %10.3f %12.3f\n",
               rows[i].name, here[i], there[i]);
    return 0;
}
