/* Passes over memory: the optimiser, losses, sums. Bytes that have to move a second, beside those
 * of a triad measured in the same run.
 * Usage: bench_optim [--json] [--threads N] */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion.h"
#include "nn/optim.h"
#include "tensor/internal.h"
#include "tests/bench/bench_peak.h"

#include <math.h>

enum { PARAMETERS = 35700000 }; /* those of the CIFAR-10 network */

typedef struct world {
    float *a, *b, *c; /* [PARAMETERS] of the triad */
    ito_module *model;
    ito_optimizer *adam;
    ito_ema *ema;
    ito_diffusion *diffusion;
    ito_tensor *x, *y, *t; /* images, noise, steps */
    ito_tensor *map, *p;   /* channels-last; a matrix */
} world;

static void need(bool good)
{
    if (!good) {
        fprintf(stderr, "bench_optim: %s\n", ito_error());
        exit(1);
    }
}

/* a = b + 3 c, written past the caches: two reads and one write, as STREAM counts it. */
static void triad(const world *w)
{
#if defined(__x86_64__)
    __m128 three = _mm_set1_ps(3.0f);
#pragma omp parallel for num_threads(ito_threads()) schedule(static)
    for (int64_t i = 0; i < PARAMETERS; i += 4)
        _mm_stream_ps(w->a + i,
                      _mm_add_ps(_mm_load_ps(w->b + i), _mm_mul_ps(three, _mm_load_ps(w->c + i))));
#else
#pragma omp parallel for num_threads(ito_threads()) schedule(static)
    for (int64_t i = 0; i < PARAMETERS; i++)
        w->a[i] = w->b[i] + 3.0f * w->c[i];
#endif
}

/* What a step does most: read and write in place. */
static void scale(const world *w)
{
#pragma omp parallel for num_threads(ito_threads()) schedule(static)
    for (int64_t i = 0; i < PARAMETERS; i++)
        w->a[i] *= 1.0001f;
}

static void clip(const world *w)
{
    (void)ito_clip_grad_norm(w->model, (double)INFINITY);
}

static void adam(const world *w)
{
    need(ito_optimizer_step(w->adam, 1e-4) == ITO_OK);
}

static void adam_and_average(const world *w)
{
    need(ito_optimizer_step(w->adam, 1e-4, .ema = w->ema) == ITO_OK);
}

static void clip_adam_average(const world *w)
{
    need(ito_optimizer_step(w->adam, 1e-4, .max_norm = 1, .ema = w->ema) == ITO_OK);
}

static void in_three_calls(const world *w)
{
    (void)ito_clip_grad_norm(w->model, 1);
    need(ito_optimizer_step(w->adam, 1e-4) == ITO_OK);
    need(ito_ema_update(w->ema) == ITO_OK);
}

static void zero_grad(const world *w)
{
    ito_module_zero_grad(w->model);
    need(ito_optimizer_step(w->adam, 0) == ITO_OK);
}

static void mse_loss(const world *w)
{
    need(ito_mse_loss(w->x, w->y) != NULL);
}

static void mse_map(const world *w)
{
    need(ito_mse_loss(w->map, w->map) != NULL);
}

static void q_sample(const world *w)
{
    need(ito_q_sample(w->diffusion->process, w->x, w->y, w->t) != NULL);
}

static void sum_all(const world *w)
{
    need(ito_sum(w->map) != NULL);
}

static void sum_pixels(const world *w)
{
    need(ito_sum(w->map, .dims = ITO_SHAPE(2, 3), .keepdim = true) != NULL);
}

static void sum_to_bias(const world *w)
{
    need(ito_sum(w->map, .dims = ITO_SHAPE(0, 2, 3)) != NULL);
}

static void sum_rows(const world *w)
{
    need(ito_sum(w->p, .dims = ITO_SHAPE(1)) != NULL);
}

static void sum_columns(const world *w)
{
    need(ito_sum(w->p, .dims = ITO_SHAPE(0)) != NULL);
}

static void max_all(const world *w)
{
    need(ito_max(w->map) != NULL);
}

/* ---- rows ---- */

typedef struct row {
    const char *name;
    void (*work)(const world *w);
    double bytes; /* that have to move */
} row;

enum { IMAGES = 128 * 3 * 32 * 32, MAP = 16 * 128 * 32 * 32 };

/* A step reads g, m, v, p and the average and writes all but g. */
static const row rows[] = {
    {"triad", triad, 12.0 * PARAMETERS},
    {"scale in place", scale, 8.0 * PARAMETERS},
    {"clip: norm", clip, 4.0 * PARAMETERS},
    {"adam", adam, 28.0 * PARAMETERS},
    {"adam, average", adam_and_average, 36.0 * PARAMETERS},
    {"clip, adam, average", clip_adam_average, 40.0 * PARAMETERS},
    {"the same in three calls", in_three_calls, 40.0 * PARAMETERS},
    {"no gradients: zeros, adam", zero_grad, 32.0 * PARAMETERS},
    {"mse_loss 128x3x32x32", mse_loss, 8.0 * IMAGES},
    {"q_sample 128x3x32x32", q_sample, 12.0 * IMAGES},
    {"mse_loss 16x128x32x32", mse_map, 8.0 * MAP},
    {"sum of 16x128x32x32", sum_all, 4.0 * MAP},
    {"sum over pixels, channels-last", sum_pixels, 4.0 * MAP},
    {"sum to channels, channels-last", sum_to_bias, 4.0 * MAP},
    {"sums of the rows of 8192x256", sum_rows, 4.0 * MAP},
    {"sums of the columns of 8192x256", sum_columns, 4.0 * MAP},
    {"max of 16x128x32x32", max_all, 4.0 * MAP},
};

static double median_time(const row *r, const world *w)
{
    enum { MOST = 200 };
    double seconds[MOST], total = 0.0;
    int runs = 0;
    for (int warm = 0; warm < 2; warm++) {
        ito_scope_begin();
        r->work(w);
        ito_scope_end();
    }
    while (runs < 7 || (runs < MOST && total < 0.3)) {
        double start = bench_now();
        ito_scope_begin();
        r->work(w);
        ito_scope_end();
        seconds[runs] = bench_now() - start;
        total += seconds[runs++];
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, bench_compare);
    return seconds[runs / 2];
}

static float *array(void)
{
    float *a = mem_alloc((size_t)PARAMETERS * sizeof *a);
    need(a != NULL);
    for (int64_t i = 0; i < PARAMETERS; i++)
        a[i] = 1.0f;
    return a;
}

static world prepare(void)
{
    ito_generator g = ito_generator_make(1, 1);
    world w = {.a = array(), .b = array(), .c = array()};
    w.model = ito_module_create(NULL, "", sizeof *w.model);
    ito_module_parameter(w.model, "p", ito_randn(&g, ITO_SHAPE(PARAMETERS), ITO_F32));
    w.adam = ito_adam_create(w.model);
    w.ema = ito_ema_create(w.model);
    w.diffusion = ito_diffusion_create();
    w.x = ito_randn(&g, ITO_SHAPE(128, 3, 32, 32), ITO_F32);
    w.y = ito_randn(&g, ITO_SHAPE(128, 3, 32, 32), ITO_F32);
    w.t = ito_randint(&g, 0, 1000, ITO_SHAPE(128), ITO_I64);
    w.map = tensor_channels_last(ito_randn(&g, ITO_SHAPE(16, 128, 32, 32), ITO_F32));
    w.p = ito_randn(&g, ITO_SHAPE(8192, 256), ITO_F32);
    need(w.ema != NULL && w.map != NULL && w.p != NULL && w.diffusion != NULL);
    ito_tensor *gradient = ito_grad_of(ito_module_find(w.model, "p"));
    need(gradient != NULL);
    memcpy(ito_data(gradient), w.a, (size_t)PARAMETERS * sizeof(float));
    return w;
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
    world w = prepare();
    double peak = 0.0;
    if (!json)
        printf("%s, %d threads\n%-34s %10s %9s %7s\n", ito_isa(), ito_threads(), "work", "ms",
               "GB/s", "share");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double seconds = median_time(&rows[i], &w), rate = 1e-9 * rows[i].bytes / seconds;
        peak = i == 0 ? rate : peak;
        printf(json ? "{\"work\": \"%s\", \"ms\": %.4f, \"gb_per_s\": %.2f, \"share\": %.3f}\n"
                    : "%-34s %10.3f %9.2f %6.3f\n",
               rows[i].name, 1e3 * seconds, rate, rate / peak);
    }
    return 0;
}
