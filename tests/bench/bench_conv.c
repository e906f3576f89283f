/* Convolutions of the U-Nets: time, rate (counted as a direct convolution) and share of the peak of
 * forward, gradient of the data and gradient of the weights; where Winograd could serve,
 * beside implicit GEMM ("direct").
 * Usage: bench_conv [--json] [--threads N] */
#include "tensor/conv/conv.h"
#include "tensor/conv/winograd.h"
#include "tests/bench/bench_peak.h"

typedef struct shape {
    int64_t n, ci, co, size, kernel, stride;
} shape;

static const shape shapes[] = {
    {16, 128, 128, 32, 3, 1}, {16, 384, 128, 32, 3, 1}, {16, 256, 128, 32, 3, 1},
    {16, 256, 256, 16, 3, 1}, {16, 512, 256, 16, 3, 1}, {16, 256, 256, 8, 3, 1},
    {16, 512, 256, 8, 3, 1},  {16, 256, 256, 4, 3, 1},  {16, 128, 128, 32, 3, 2},
    {16, 384, 128, 32, 1, 1}, {16, 3, 128, 32, 3, 1},   {16, 128, 3, 32, 3, 1},
    {32, 32, 32, 28, 3, 1},   {32, 96, 32, 28, 3, 1},   {32, 32, 64, 14, 3, 1},
    {32, 64, 64, 14, 3, 1},   {32, 128, 64, 14, 3, 1},  {32, 64, 64, 7, 3, 1},
    {32, 1, 32, 28, 3, 1},    {32, 32, 1, 28, 3, 1},
};

typedef struct job {
    conv_shape shape;
    float *x, *y, *w, *bias;
} job;

static void forward(void *argument)
{
    job *j = argument;
    conv_addends e = {.bias = j->bias};
    if (conv2d_forward(ITO_F32, j->y, j->x, j->w, &e, &j->shape) != ITO_OK)
        exit(1);
}

static void backward_data(void *argument)
{
    job *j = argument;
    if (conv2d_backward_data(ITO_F32, j->x, j->y, j->w, &j->shape) != ITO_OK)
        exit(1);
}

static void backward_weight(void *argument)
{
    job *j = argument;
    if (conv2d_backward_weight(ITO_F32, j->w, j->x, j->y, &j->shape) != ITO_OK)
        exit(1);
}

static float *filled(int64_t n)
{
    float *p = mem_alloc((size_t)n * sizeof *p);
    if (p == NULL)
        exit(1);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(i % 17 - 8) / 64.0f;
    return p;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void *);
    } passes[] = {{"forward", forward}, {"data", backward_data}, {"weight", backward_weight}};

    bench_options o = bench_start(argc, argv);
    bool winograd_possible = winograd_enabled();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        int64_t out = (s->size - 1) / s->stride + 1;
        int64_t y_numel = s->n * out * out * s->co, filter = s->kernel * s->kernel * s->ci;
        conv_shape conv = {s->n,          s->size,   s->size,   s->ci,     out,       out,
                           s->co,         s->kernel, s->kernel, s->stride, s->stride, s->kernel / 2,
                           s->kernel / 2, 1,         1,         1};
        for (int pass = 0; pass < 3; pass++) {
            job j = {.shape = conv};
            j.x = filled(s->n * s->size * s->size * s->ci);
            j.y = filled(y_numel);
            j.w = filled(s->co * filter);
            j.bias = filled(s->co);
            for (int direct = 0; direct < (winograd_possible && winograd_fits(&conv) ? 2 : 1);
                 direct++) {
                winograd_enable(winograd_possible && !direct);
                char name[64];
                snprintf(name, sizeof name,
                         "conv %" PRId64 "x%" PRId64 " %" PRId64 "->%" PRId64 " @%" PRId64
                         " /%" PRId64 " n%" PRId64 " %s%s",
                         s->kernel, s->kernel, s->ci, s->co, s->size, s->stride, s->n,
                         passes[pass].name, direct ? " direct" : "");
                bench_row(&o, name, 2.0 * (double)y_numel * (double)filter, o.peak,
                          passes[pass].run, &j);
            }
            mem_free(j.x);
            mem_free(j.y);
            mem_free(j.w);
            mem_free(j.bias);
        }
    }
    return 0;
}
