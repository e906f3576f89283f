/* Our side of the benchmark: the work of each row through the public interface, as a user would
 * call it. */
#include "tests/bench/bench.h"
#include "tests/bench/bench_peak.h"

enum { WORDS = 12 };

void bench_need(const void *something)
{
    if (something == NULL)
        ito_error_set(ITO_ERR_ARGUMENT, "bench: nothing came of it"); /* unless one is recorded */
}

ito_tensor *bench_random(bench_work *w, ito_shape shape)
{
    ito_tensor *t = ito_rand(&w->generator, shape, ITO_F32);
    t = ito_cast(ito_add_scalar(t, -0.5), w->dtype);
    return t == NULL ? NULL : ito_retain(t);
}

/* An input that wants a gradient. */
static ito_tensor *leaf(ito_tensor *t)
{
    return ito_requires_grad(t, true);
}

/* Images [n, c, size, size] that lie channels-last, as a network has them. */
static ito_tensor *images(bench_work *w, int64_t n, int64_t c, int64_t size)
{
    ito_tensor *x = bench_random(w, ITO_SHAPE(n, size, size, c));
    return x == NULL ? NULL : ito_retain(ito_permute(x, 0, 3, 1, 2));
}

/* ---- matrix products: gemm LAYOUT BATCH M N K ---- */

static void run_gemm(bench_work *w)
{
    bench_need(ito_matmul(w->in[0], w->in[1]));
}

/* [batch, rows, cols], stored transposed if so. */
static ito_tensor *matrix(bench_work *w, bool transposed, int64_t rows, int64_t cols)
{
    int64_t batch = w->number[0];
    if (batch == 1)
        return transposed ? ito_retain(ito_permute(bench_random(w, ITO_SHAPE(cols, rows)), 1, 0))
                          : bench_random(w, ITO_SHAPE(rows, cols));
    return transposed
               ? ito_retain(ito_permute(bench_random(w, ITO_SHAPE(batch, cols, rows)), 0, 2, 1))
               : bench_random(w, ITO_SHAPE(batch, rows, cols));
}

static bool setup_gemm(bench_work *w, char *const *words)
{
    const char *layout = words[1];
    for (int i = 0; i < 4; i++)
        w->number[i] = atoll(words[2 + i]);
    w->in[0] = matrix(w, layout[0] == 't', w->number[1], w->number[3]);
    w->in[1] = matrix(w, layout[1] == 't', w->number[3], w->number[2]);
    w->run = run_gemm;
    return true;
}

/* ---- work with a backward: y = f(inputs), then the gradients of the inputs ---- */

/* Gradients of all inputs, leaving y's graph as it is. */
static void run_backward(bench_work *w)
{
    ito_tensor *wanted[4], *grads[4];
    int64_t n = 0;
    for (int i = 0; i < 4; i++)
        if (w->in[i] != NULL && ito_has_grad_path(w->in[i]))
            wanted[n++] = w->in[i];
    if (ito_grads(w->y, wanted, n, grads,
                  (ito_backward_options){.cotangent = w->dy, .retain_graph = true}) != ITO_OK)
        bench_need(NULL);
}

static bool keep_graph(bench_work *w, ito_tensor *y)
{
    w->y = y == NULL ? NULL : ito_retain(y);
    w->dy = y == NULL ? NULL : ito_retain(ito_clone(ito_detach(y)));
    w->run = run_backward;
    return y != NULL;
}

/* conv PASS N CI CO SIZE: 3x3, stride 1 */
static void run_conv(bench_work *w)
{
    ito_no_grad_begin();
    bench_need(ito_conv2d(w->in[0], w->in[1], w->in[2], .padding = 1));
    ito_no_grad_end();
}

static bool setup_conv(bench_work *w, char *const *words)
{
    const char *pass = words[1];
    int64_t n = atoll(words[2]), ci = atoll(words[3]), co = atoll(words[4]), size = atoll(words[5]);
    w->in[0] = images(w, n, ci, size);
    ito_dtype activations = w->dtype;
    w->dtype = ITO_F32; /* parameters */
    w->in[1] = images(w, co, ci, 3);
    w->in[2] = bench_random(w, ITO_SHAPE(co));
    w->dtype = activations;
    w->run = run_conv;
    if (strcmp(pass, "forward") == 0)
        return true;
    int wanted = strcmp(pass, "data") == 0 ? 0 : 1;
    w->in[wanted] = leaf(w->in[wanted]);
    return keep_graph(w, ito_conv2d(w->in[0], w->in[1], w->in[2], .padding = 1));
}

/* y and the gradients, each time anew. */
static void forward_backward(bench_work *w, ito_tensor *y)
{
    bench_need(y);
    bench_work now = *w;
    now.y = y;
    run_backward(&now);
}

static ito_tensor *norm_silu(bench_work *w)
{
    return ito_group_norm_silu(w->in[0], 32, w->in[1], w->in[2], 1e-6);
}

static ito_tensor *layer_norm(bench_work *w)
{
    return ito_layer_norm(w->in[0], ito_shape_of(w->in[1]), w->in[1], w->in[2]);
}

static ito_tensor *silu(bench_work *w)
{
    return ito_silu(w->in[0]);
}

static ito_tensor *softmax(bench_work *w)
{
    return ito_softmax(w->in[0], -1);
}

static ito_tensor *attention(bench_work *w)
{
    return ito_scaled_dot_product_attention(w->in[0], w->in[1], w->in[2]);
}

static ito_tensor *dropout(bench_work *w)
{
    return ito_dropout(w->in[0], 0.1, &w->generator);
}

static ito_tensor *cat(bench_work *w)
{
    return ito_cat(ITO_TENSORS(w->in[0], w->in[1]), 1);
}

static ito_tensor *upsample(bench_work *w)
{
    return ito_upsample_nearest2d(w->in[0], 2);
}

static ito_tensor *add(bench_work *w)
{
    return ito_add(w->in[0], w->in[1]);
}

static ito_tensor *row_major(bench_work *w)
{
    return ito_contiguous(w->in[0]);
}

static ito_tensor *to_bf16(bench_work *w)
{
    return ito_cast(w->in[0], ITO_BF16);
}

typedef struct layer {
    const char *name;
    ito_tensor *(*f)(bench_work *w);
    char inputs; /* i: one of images, I: two; p: images and a weight and bias; m: a matrix; l: a
                    matrix, a weight and bias; a: q, k, v */
    bool backward;
} layer;

static const layer layers[] = {
    {"group_norm_silu", norm_silu, 'p', true},
    {"silu", silu, 'i', true},
    {"layer_norm", layer_norm, 'l', true},
    {"softmax", softmax, 'm', true},
    {"attention", attention, 'a', true},
    {"dropout", dropout, 'i', true},
    {"cat", cat, 'I', false},
    {"upsample", upsample, 'i', true},
    {"add", add, 'I', false},
    {"row_major", row_major, 'i', false},
    {"to_bf16", to_bf16, 'i', false},
};

static void run_layer(bench_work *w)
{
    const layer *l = w->state;
    if (l->backward) {
        forward_backward(w, l->f(w));
    } else {
        ito_no_grad_begin();
        bench_need(l->f(w));
        ito_no_grad_end();
    }
}

/* WORK N C SIZE, softmax or layer_norm ROWS COLUMNS, attention N T C */
static bool setup_layer(bench_work *w, const layer *l, char *const *words)
{
    int64_t a = atoll(words[1]), b = atoll(words[2]), c = words[3] != NULL ? atoll(words[3]) : 0;
    if (l->inputs == 'm' || l->inputs == 'l')
        w->in[0] = bench_random(w, ITO_SHAPE(a, b));
    for (int i = 0; i < 3 && l->inputs == 'a'; i++)
        w->in[i] = bench_random(w, ITO_SHAPE(a, b, c));
    if (l->inputs == 'i' || l->inputs == 'p' || l->inputs == 'I')
        w->in[0] = images(w, a, b, c);
    if (l->inputs == 'I')
        w->in[1] = images(w, a, b, c);
    if (l->inputs == 'p' || l->inputs == 'l') {
        w->in[1] = ito_retain(ito_ones(ITO_SHAPE(b), ITO_F32));
        w->in[2] = ito_retain(ito_zeros(ITO_SHAPE(b), ITO_F32));
    }
    for (int i = 0; i < 4; i++)
        w->in[i] = w->in[i] != NULL && l->backward ? leaf(w->in[i]) : w->in[i];
    ito_tensor *y = l->f(w);
    w->state = (void *)(uintptr_t)l;
    if (!keep_graph(w, y))
        return false;
    ito_release(w->y);
    w->run = run_layer;
    return true;
}

static void run_randn(bench_work *w)
{
    bench_need(ito_randn(&w->generator, ITO_SHAPE(w->number[0]), ITO_F32));
}

/* ---- additions COUNT FLOATS, additions_backward COUNT FLOATS: each on the result of the one
 * before.
 */

static ito_tensor *add_often(bench_work *w)
{
    ito_tensor *y = w->in[0];
    for (int64_t i = 0; i < w->number[0]; i++)
        y = ito_add(y, w->in[0]);
    return y;
}

static void run_additions(bench_work *w)
{
    bench_need(add_often(w));
}

static void run_additions_backward(bench_work *w)
{
    forward_backward(w, add_often(w));
}

static bool setup_additions(bench_work *w, char *const *words)
{
    w->number[0] = atoll(words[1]);
    w->in[0] = leaf(bench_random(w, ITO_SHAPE(atoll(words[2]))));
    w->dy = bench_random(w, ITO_SHAPE(atoll(words[2])));
    w->run = strcmp(words[0], "additions") == 0 ? run_additions : run_additions_backward;
    return true;
}

/* ---- serving ---- */

static bool setup(bench_work *w, char *const *words)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (strcmp(words[0], layers[i].name) == 0)
            return setup_layer(w, &layers[i], words);
    if (strcmp(words[0], "gemm") == 0)
        return setup_gemm(w, words);
    if (strcmp(words[0], "conv") == 0)
        return setup_conv(w, words);
    if (strncmp(words[0], "additions", 9) == 0)
        return setup_additions(w, words);
    if (strcmp(words[0], "randn") == 0) {
        w->number[0] = atoll(words[1]);
        w->run = run_randn;
        return true;
    }
    return bench_setup_step(w, words);
}

static void answer_setup(bench_work *w, char *line, FILE *to)
{
    char *words[WORDS] = {0}, *rest = line;
    for (int i = 0; i < WORDS - 1; i++)
        if ((words[i] = strsep(&rest, " \n")) == NULL || *words[i] == '\0') {
            words[i] = NULL;
            break;
        }
    *w = (bench_work){.repeats = 1, .generator = ito_generator_make(1, 0)};
    w->dtype = strcmp(words[2], "bf16") == 0 ? ITO_BF16 : ITO_F32;
    if (ito_set_threads(atoi(words[1])) == ITO_OK && setup(w, words + 3) &&
        ito_error_code() == ITO_OK)
        fprintf(to, "ok\n");
    else
        fprintf(to, "skip %s\n", ito_error_message());
}

static void answer_run(bench_work *w, int runs, FILE *to)
{
    double start = bench_now();
    for (int i = 0; i < runs && ito_error_code() == ITO_OK; i++) {
        ito_scope_begin();
        w->run(w);
        ito_scope_end();
    }
    if (ito_error_code() == ITO_OK)
        fprintf(to, "%.9g\n", (bench_now() - start) / runs / w->repeats);
    else
        fprintf(to, "skip %s\n", ito_error_message());
}

void bench_serve(FILE *from, FILE *to)
{
    bench_work w = {0};
    char line[256];
    while (fgets(line, sizeof line, from) != NULL && strcmp(line, "end\n") != 0) {
        if (strncmp(line, "setup", 5) == 0)
            answer_setup(&w, line, to);
        else if (strncmp(line, "run", 3) == 0)
            answer_run(&w, atoi(line + 4), to);
        else if (w.stat != NULL)
            w.stat(&w, to);
        else
            fprintf(to, "\n");
        fflush(to);
    }
}
