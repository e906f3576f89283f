/* oneDNN's side of the benchmark, in the protocol of bench.h: 3x3 convolutions, direct and by
 * Winograd, of which the faster is taken, in the memory formats that oneDNN prefers, with no
 * reorders counted; and plain matrix products. oneDNN 2.x. */
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS = 4, WORDS = 12 };

typedef struct work {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arg[ARGS];
    int args;
} work;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

/* Memory full of small numbers: zeros would draw less power. */
static dnnl_memory_t memory_of(const dnnl_memory_desc_t *d)
{
    dnnl_memory_t m;
    void *data;
    if (dnnl_memory_create(&m, d, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success ||
        dnnl_memory_get_data_handle(m, &data) != dnnl_success)
        exit(1);
    size_t n = dnnl_memory_desc_get_size(d) / sizeof(float);
    for (size_t i = 0; i < n; i++) {
        float f = (float)(i % 17) / 16.0f - 0.5f;
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        if (d->data_type == dnnl_bf16) /* two of them, rounded toward 0 */
            bits = (bits >> 16) | (bits & 0xffff0000u);
        memcpy((char *)data + 4 * i, &bits, sizeof bits);
    }
    return m;
}

static void add_argument(work *w, int name, const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, what, 0);
    w->arg[w->args++] = (dnnl_exec_arg_t){name, memory_of(d)};
}

static void execute(const work *w)
{
    if (dnnl_primitive_execute(w->primitive, stream, w->args, w->arg) != dnnl_success)
        exit(1);
    dnnl_stream_wait(stream);
}

static void release(work *w)
{
    for (int i = 0; i < w->args; i++)
        dnnl_memory_destroy(w->arg[i].memory);
    if (w->primitive != NULL)
        dnnl_primitive_destroy(w->primitive);
    *w = (work){0};
}

/* ---- setting up ---- */

typedef enum pass { FORWARD, DATA, WEIGHT } pass;

static bool conv(work *w, dnnl_alg_kind_t algorithm, dnnl_data_type_t type, pass p,
                 const int64_t s[4])
{
    dnnl_dims_t xd = {s[0], s[1], s[3], s[3]}, wd = {s[2], s[1], 3, 3},
                yd = {s[0], s[2], s[3], s[3]}, one = {1, 1};
    dnnl_memory_desc_t x, k, y;
    dnnl_memory_desc_init_by_tag(&x, 4, xd, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&k, 4, wd, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&y, 4, yd, type, dnnl_format_tag_any);
    dnnl_convolution_desc_t forward, d;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_convolution_forward_desc_init(&forward, dnnl_forward_training, algorithm, &x, &k, NULL, &y,
                                       one, one, one);
    if (dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL) != dnnl_success)
        return false;
    if (p == DATA)
        dnnl_convolution_backward_data_desc_init(&d, algorithm, &x, &k, &y, one, one, one);
    else if (p == WEIGHT)
        dnnl_convolution_backward_weights_desc_init(&d, algorithm, &x, &k, NULL, &y, one, one, one);
    else
        d = forward;
    bool there = dnnl_primitive_desc_create(&pd, &d, NULL, engine, hint) == dnnl_success &&
                 dnnl_primitive_create(&w->primitive, pd) == dnnl_success;
    if (there) {
        add_argument(w, p == DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, pd,
                     p == DATA ? dnnl_query_diff_src_md : dnnl_query_src_md);
        add_argument(w, p == WEIGHT ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, pd,
                     p == WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md);
        add_argument(w, p == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, pd,
                     p == FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md);
    }
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_desc_destroy(hint);
    return there;
}

static bool gemm(work *w, dnnl_data_type_t type, const char *layout, int64_t batch, int64_t m,
                 int64_t n, int64_t k)
{
    bool a_t = layout[0] == 't', b_t = layout[1] == 't';
    dnnl_dims_t ad = {batch, m, k}, bd = {batch, k, n}, cd = {batch, m, n};
    dnnl_memory_desc_t a, b, c;
    dnnl_memory_desc_init_by_tag(&a, 3, ad, type, a_t ? dnnl_acb : dnnl_abc);
    dnnl_memory_desc_init_by_tag(&b, 3, bd, type, b_t ? dnnl_acb : dnnl_abc);
    dnnl_memory_desc_init_by_tag(&c, 3, cd, type, dnnl_abc);
    dnnl_matmul_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_init(&d, &a, &b, NULL, &c);
    if (dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL) != dnnl_success)
        return false;
    bool there = dnnl_primitive_create(&w->primitive, pd) == dnnl_success;
    if (there) {
        add_argument(w, DNNL_ARG_SRC, pd, dnnl_query_src_md);
        add_argument(w, DNNL_ARG_WEIGHTS, pd, dnnl_query_weights_md);
        add_argument(w, DNNL_ARG_DST, pd, dnnl_query_dst_md);
    }
    dnnl_primitive_desc_destroy(pd);
    return there;
}

static double seconds_of(const work *w)
{
    execute(w);
    double start = omp_get_wtime();
    execute(w);
    return omp_get_wtime() - start;
}

/* The faster algorithm of those that exist for this shape. */
static bool best_conv(work *w, dnnl_data_type_t type, pass p, const int64_t s[4])
{
    work direct = {0}, winograd = {0};
    bool has_direct = conv(&direct, dnnl_convolution_direct, type, p, s);
    bool has_winograd = conv(&winograd, dnnl_convolution_winograd, type, p, s);
    bool take_winograd =
        has_winograd && (!has_direct || seconds_of(&winograd) < seconds_of(&direct));
    *w = take_winograd ? winograd : direct;
    release(take_winograd ? &direct : &winograd);
    return has_direct || has_winograd;
}

static bool setup(work *w, char *line)
{
    char *word[WORDS] = {0}, *rest = line;
    int n = 0;
    while (n < WORDS && (word[n] = strsep(&rest, " \n")) != NULL && *word[n] != '\0')
        n++;
    dnnl_data_type_t type = strcmp(word[2], "bf16") == 0 ? dnnl_bf16 : dnnl_f32;
    omp_set_num_threads(atoi(word[1]));
    int64_t number[4] = {0};
    bool is_conv = strcmp(word[3], "conv") == 0, is_gemm = strcmp(word[3], "gemm") == 0;
    if (n < 9 || (!is_conv && !is_gemm))
        return false;
    for (int i = 0; i < 4; i++)
        number[i] = atoll(word[5 + i]);
    if (is_gemm)
        return n == 9 && gemm(w, type, word[4], number[0], number[1], number[2], number[3]);
    pass p = strcmp(word[4], "data") == 0     ? DATA
             : strcmp(word[4], "weight") == 0 ? WEIGHT
                                              : FORWARD;
    return best_conv(w, type, p, number);
}

int main(void)
{
    work w = {0};
    char line[256];
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "hello\n") == 0) {
            const dnnl_version_t *v = dnnl_version();
            printf("ok %d.%d.%d\n", v->major, v->minor, v->patch);
        } else if (strncmp(line, "setup", 5) == 0) {
            release(&w);
            printf(setup(&w, line) ? "ok\n" : "none\n");
        } else if (strncmp(line, "run", 3) == 0) {
            int runs = atoi(line + 4);
            double start = omp_get_wtime();
            for (int i = 0; i < runs; i++)
                execute(&w);
            printf("%.9g\n", (omp_get_wtime() - start) / runs);
        } else if (strcmp(line, "end\n") == 0) {
            release(&w);
        } else {
            printf("\n");
        }
        fflush(stdout);
    }
    return 0;
}
