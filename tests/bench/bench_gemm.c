/* Matrix products: time, rate and share of the peak for the shapes that networks ask for.
 * Usage: bench_gemm [--json] [--threads N] */
#include "tensor/gemm/gemm.h"
#include "tests/bench/bench_peak.h"

typedef struct shape {
    int64_t m, n, k, batch;
    const char *layout; /* of A and B: n as stored, t transposed; then the element type */
} shape;

static const shape shapes[] = {
    {256, 256, 256, 1, "nn f32"},    {512, 512, 512, 1, "nn f32"},
    {1024, 1024, 1024, 1, "nn f32"}, {1024, 1024, 1024, 1, "nt f32"},
    {1024, 1024, 1024, 1, "tn f32"}, {2048, 2048, 2048, 1, "nn f32"},
    {16384, 128, 1152, 1, "nn f32"}, {4096, 256, 2304, 1, "nn f32"},
    {256, 256, 2304, 1, "nn f32"},   {128, 1152, 16384, 1, "tn f32"},
    {16, 512, 512, 1, "nt f32"},     {1, 512, 512, 1, "nt f32"},
    {256, 256, 256, 16, "nt f32"},   {256, 256, 256, 16, "nn f32"},
    {49, 49, 64, 32, "nt f32"},      {49, 64, 49, 32, "nn f32"},
    {1024, 1024, 1024, 1, "nn f64"},
};

static void run(void *argument)
{
    const gemm_problem *p = argument;
    if (gemm(p) != ITO_OK)
        exit(1);
}

/* n elements of small numbers, so that sums stay finite. */
static void *filled(ito_dtype dtype, int64_t n)
{
    char *p = mem_alloc((size_t)n * ito_dtype_size(dtype));
    if (p == NULL)
        exit(1);
    for (int64_t i = 0; i < n; i++)
        if (dtype == ITO_F64)
            ((double *)(void *)p)[i] = (double)(i % 17 - 8) / 8.0;
        else
            ((float *)(void *)p)[i] = (float)(i % 17 - 8) / 8.0f;
    return p;
}

int main(int argc, char **argv)
{
    bench_options o = bench_start(argc, argv);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        bool a_t = s->layout[0] == 't', b_t = s->layout[1] == 't', f64 = strstr(s->layout, "f64");
        ito_dtype dtype = f64 ? ITO_F64 : ITO_F32;
        void *a = filled(dtype, s->batch * s->m * s->k), *b = filled(dtype, s->batch * s->k * s->n);
        void *c = filled(dtype, s->batch * s->m * s->n);
        gemm_problem p = {.a_dtype = dtype,
                          .b_dtype = dtype,
                          .c_dtype = dtype,
                          .m = s->m,
                          .n = s->n,
                          .k = s->k,
                          .a = a,
                          .a_row = a_t ? 1 : s->k,
                          .a_col = a_t ? s->m : 1,
                          .b = b,
                          .b_row = b_t ? 1 : s->n,
                          .b_col = b_t ? s->k : 1,
                          .c = c,
                          .c_row = s->n,
                          .batch = s->batch,
                          .a_batch = s->m * s->k,
                          .b_batch = s->k * s->n,
                          .c_batch = s->m * s->n};
        char name[64];
        snprintf(name, sizeof name, "gemm %s %" PRId64 " x %" PRId64 "x%" PRId64 "x%" PRId64,
                 s->layout, s->batch, s->m, s->n, s->k);
        double flops = 2.0 * (double)(s->batch * s->m) * (double)(s->n * s->k);
        bench_row(&o, name, flops, f64 ? o.peak / 2.0 : o.peak, run, &p);
        mem_free(a);
        mem_free(b);
        mem_free(c);
    }
    return 0;
}
