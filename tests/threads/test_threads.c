/* Threads: what runs in parallel gives the same bits on 1, 2, 4 and 16 threads, and two threads of
 * a program work side by side, each with graphs, scopes and errors of its own. A plain program,
 * since Criterion does not start under ThreadSanitizer, for which this is meant (see README.md); it
 * says what is wrong and ends with 1. */
#include "ito.h"
#include "tests/nn/thread_ranks.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...) ((condition) ? (void)0 : fail(__LINE__, __VA_ARGS__))

__attribute__((format(printf, 2, 3), noreturn)) static void fail(int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "test_threads.c:%d: ", line);
    vfprintf(stderr, format, args);
    fprintf(stderr, " %s\n", ito_error());
    va_end(args);
    exit(1);
}

/* ---- what is compared ------------------------------------------------------------------------ */

enum { MOST = 100 }; /* results */

typedef struct outcome {
    const char *what[MOST];
    float *value[MOST];
    int64_t size[MOST];
    int n;
} outcome;

static void keep(outcome *o, const char *what, const ito_tensor *t)
{
    CHECK(t != NULL, "%s:", what);
    CHECK(o->n < MOST, "%s: there are more than %d results", what, MOST);
    int64_t n = ito_numel(t);
    float *v = malloc((size_t)n * sizeof *v);
    CHECK(v != NULL && ito_to_data(t, v, ITO_F32) == ITO_OK, "%s:", what);
    for (int64_t i = 0; i < n; i++)
        CHECK(isfinite(v[i]), "%s: element %lld is %g", what, (long long)i, (double)v[i]);
    o->what[o->n] = what;
    o->value[o->n] = v;
    o->size[o->n++] = n;
}

/* y, and the gradients that leaves get from sum(y^2) / 2, whose derivative is y. */
static void keep_all(outcome *o, const char *what, ito_tensor *y, ito_tensor **leaf, int leaves)
{
    keep(o, what, y);
    CHECK(ito_backward(ito_mul_scalar(ito_sum(ito_square(y)), 0.5)) == ITO_OK, "%s:", what);
    for (int i = 0; i < leaves; i++)
        keep(o, what, ito_grad_of(leaf[i]));
}

static void compare(const outcome *a, const outcome *b, const char *how)
{
    CHECK(a->n == b->n, "%s: %d results, then %d", how, a->n, b->n);
    for (int i = 0; i < a->n; i++)
        CHECK(a->size[i] == b->size[i] &&
                  memcmp(a->value[i], b->value[i], (size_t)a->size[i] * sizeof *a->value[i]) == 0,
              "%s: result %d (%s) has other bits", how, i, a->what[i]);
}

static void forget(outcome *o)
{
    for (int i = 0; i < o->n; i++)
        free(o->value[i]);
    o->n = 0;
}

static bool close_to(double got, double want)
{
    return fabs(got - want) <= 1e-4 * (1 + fabs(want));
}

/* ---- operations, each large enough for several threads --------------------------------------- */

static ito_tensor *leaf(ito_generator *g, ito_shape shape)
{
    return ito_requires_grad(ito_randn(g, shape, ITO_F32), true);
}

static void products(outcome *o)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *in[] = {leaf(&g, ITO_SHAPE(190, 170)), leaf(&g, ITO_SHAPE(170, 210))};
    ito_tensor *y = ito_matmul(in[0], in[1]);
    keep_all(o, "matmul", y, in, 2);
    const float *a = ito_const_data(in[0]), *b = ito_const_data(in[1]), *c = ito_const_data(y);
    double sum = 0;
    for (int64_t k = 0; k < 170; k++)
        sum += (double)a[137 * 170 + k] * (double)b[k * 210 + 77];
    CHECK(close_to((double)c[137 * 210 + 77], sum), "matmul: an element is off");
    ito_tensor *batch[] = {leaf(&g, ITO_SHAPE(24, 64, 40)), leaf(&g, ITO_SHAPE(24, 40, 64))};
    keep_all(o, "batched matmul", ito_matmul(batch[0], batch[1]), batch, 2);
}

static void convolutions(outcome *o)
{
    ito_generator g = ito_generator_make(2, 0);
    ito_tensor *in[] = {leaf(&g, ITO_SHAPE(3, 24, 18, 18)), leaf(&g, ITO_SHAPE(40, 24, 3, 3)),
                        leaf(&g, ITO_SHAPE(40))};
    ito_tensor *y = ito_conv2d(in[0], in[1], in[2], .padding = 1);
    keep_all(o, "conv2d", y, in, 3);
    ito_tensor *window = ito_narrow(ito_narrow(ito_narrow(in[0], 0, 2, 1), 2, 4, 3), 3, 9, 3);
    ito_tensor *kernel = ito_narrow(in[1], 0, 33, 1);
    double want =
        ito_item(ito_sum(ito_mul(window, kernel))) + ito_item(ito_narrow(in[2], 0, 33, 1));
    ito_tensor *got = ito_select(ito_select(ito_select(ito_select(y, 0, 2), 0, 33), 0, 5), 0, 10);
    CHECK(close_to(ito_item(got), want), "conv2d: an element is off");
    ito_tensor *small[] = {leaf(&g, ITO_SHAPE(5, 32, 18, 18)), leaf(&g, ITO_SHAPE(32, 32, 3, 3))};
    y = ito_conv2d(small[0], small[1], NULL, .stride = 2, .padding_end = 1);
    keep_all(o, "conv2d, stride 2", y, small, 2);
    ito_tensor *wide[] = {leaf(&g, ITO_SHAPE(1, 2, 64, 65)), leaf(&g, ITO_SHAPE(64, 2, 1, 1)),
                          leaf(&g, ITO_SHAPE(64))};
    keep_all(o, "conv2d, 1x1", ito_conv2d(wide[0], wide[1], wide[2]), wide, 3);
    ito_tensor *deep[] = {leaf(&g, ITO_SHAPE(3, 70, 40, 41)), leaf(&g, ITO_SHAPE(70, 1, 3, 3)),
                          leaf(&g, ITO_SHAPE(70))};
    y = ito_conv2d(deep[0], deep[1], deep[2], .padding = 1, .groups = 70);
    keep_all(o, "conv2d, depthwise", y, deep, 3);
}

static void norms(outcome *o)
{
    ito_generator g = ito_generator_make(3, 0);
    for (int64_t images = 1; images <= 5; images += 4) { /* inside an image; over images */
        ito_tensor *in[] = {leaf(&g, ITO_SHAPE(images, 32, 65, 65)), leaf(&g, ITO_SHAPE(32)),
                            leaf(&g, ITO_SHAPE(32))};
        keep_all(o, "group_norm", ito_group_norm(in[0], 8, in[1], in[2], 1e-5), in, 3);
        ito_tensor *plain = ito_group_norm(in[0], 8, NULL, NULL, 1e-5);
        ito_tensor *group = ito_narrow(ito_narrow(plain, 0, 0, 1), 1, 4, 4);
        CHECK(fabs(ito_item(ito_mean(group))) < 1e-4, "group_norm: the mean is not 0");
        CHECK(close_to(ito_item(ito_var(group)), 1), "group_norm: the variance is not 1");
    }
    ito_tensor *in[] = {leaf(&g, ITO_SHAPE(2001, 300)), leaf(&g, ITO_SHAPE(300)),
                        leaf(&g, ITO_SHAPE(300))};
    keep_all(o, "layer_norm", ito_layer_norm(in[0], ITO_SHAPE(300), in[1], in[2]), in, 3);
    keep_all(o, "rms_norm", ito_rms_norm(in[0], ITO_SHAPE(300), in[1]), in, 2);
    ito_tensor *row = ito_narrow(ito_layer_norm(in[0], ITO_SHAPE(300), NULL, NULL), 0, 2000, 1);
    CHECK(fabs(ito_item(ito_mean(row))) < 1e-4, "layer_norm: the mean is not 0");
}

static void attentions(outcome *o)
{
    ito_generator g = ito_generator_make(4, 0);
    for (int64_t heads = 1; heads <= 9; heads += 8) { /* inside a head; over heads */
        int64_t length = heads == 1 ? 330 : 130;
        ito_tensor *in[] = {leaf(&g, ITO_SHAPE(heads, length, 16)),
                            leaf(&g, ITO_SHAPE(heads, length, 16)),
                            leaf(&g, ITO_SHAPE(heads, length, 16))};
        ito_tensor *y = ito_scaled_dot_product_attention(in[0], in[1], in[2]);
        keep_all(o, "attention", y, in, 3);
        ito_tensor *masked[] = {in[0], in[1], in[2], leaf(&g, ITO_SHAPE(length, length))};
        y = ito_scaled_dot_product_attention(in[0], in[1], in[2], .attn_mask = masked[3],
                                             .is_causal = true, .dropout_p = 0.1, .generator = &g);
        keep_all(o, "attention, masked", y, masked, 4);
        ito_tensor *ones = ito_scaled_dot_product_attention(in[0], in[1], ito_ones_like(in[2]));
        CHECK(close_to(ito_item(ito_max(ones)), 1) && close_to(ito_item(ito_min(ones)), 1),
              "attention: the weights do not add up to 1");
    }
    ito_tensor *x = leaf(&g, ITO_SHAPE(5, 70, 40));
    ito_tensor *w[] = {leaf(&g, ITO_SHAPE(120, 40)), leaf(&g, ITO_SHAPE(120, 30))};
    keep_all(o, "lstm", ito_lstm(x, w, 2, .bias = false), w, 2);
    ito_tensor *logits = leaf(&g, ITO_SHAPE(1500, 100));
    keep_all(o, "log_softmax", ito_log_softmax(logits, 1), &logits, 1);
}

static void elements(outcome *o)
{
    enum { N = 150007 };
    ito_generator g = ito_generator_make(5, 0);
    ito_tensor *x = leaf(&g, ITO_SHAPE(N)), *sum = ito_sum(x);
    const float *v = ito_const_data(x);
    double total = 0, squares = 0;
    for (int64_t i = 0; i < N; i++) {
        total += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    keep(o, "randn", x);
    CHECK(fabs(total / N) < 0.02 && fabs(squares / N - 1) < 0.02, "randn: other moments");
    keep(o, "sum", sum);
    CHECK(close_to(ito_item(sum), total), "sum: %g, not %g;", ito_item(sum), total);
    ito_tensor *y = ito_silu(x);
    double want = (double)v[N / 2] / (1 + exp(-(double)v[N / 2]));
    CHECK(close_to((double)((const float *)ito_const_data(y))[N / 2], want), "silu: off");
    keep_all(o, "silu", y, &x, 1);
    ito_zero_grad(x);
    ito_generator mask = ito_generator_make(5, 1);
    keep_all(o, "dropout", ito_dropout(x, 0.3, &mask), &x, 1);
    ito_tensor *target = ito_rand(&g, ITO_SHAPE(N), ITO_F32);
    keep(o, "binary_cross_entropy_with_logits", ito_binary_cross_entropy_with_logits(x, target));
    ito_zero_grad(x);
    keep_all(o, "mse_loss", ito_mse_loss(x, target), &x, 1);
    ito_tensor *table = leaf(&g, ITO_SHAPE(370, 400)), *columns = ito_transpose(table, 0, 1);
    keep_all(o, "sums of columns", ito_sum(columns, .dims = ITO_DIMS(0)), &table, 1);
    keep(o, "a transposed copy", ito_contiguous(columns));
    ito_tensor *wide = ito_randn(&g, ITO_SHAPE(2100, 230), ITO_F32);
    keep(o, "sums of columns side by side", ito_sum(wide, .dims = ITO_DIMS(0)));
}

static void images(outcome *o)
{
    ito_generator g = ito_generator_make(6, 0);
    ito_tensor *in[] = {leaf(&g, ITO_SHAPE(4, 16, 40, 40)), leaf(&g, ITO_SHAPE(4, 8, 40, 40))};
    ito_tensor *y = ito_pad(ito_cat(in, 2, 1), 0.5, 1, 0, 0, 1);
    keep_all(o, "cat and pad", y, in, 2);
    ito_zero_grad(in[0]);
    y = ito_avg_pool2d(ito_upsample_nearest2d(in[0], 2), 4);
    keep_all(o, "upsample and pool", y, in, 1);
    ito_tensor *weight = leaf(&g, ITO_SHAPE(50, 128));
    ito_tensor *index = ito_randint(&g, 0, 50, ITO_SHAPE(1200), ITO_I64);
    keep_all(o, "embedding", ito_embedding(weight, index), &weight, 1);
    ito_tensor *pair[] = {leaf(&g, ITO_SHAPE(300, 400)), leaf(&g, ITO_SHAPE(300, 400))};
    index = ito_randint(&g, 0, 400, ITO_SHAPE(300, 400), ITO_I64);
    keep_all(o, "gather", ito_gather(pair[0], 1, index), pair, 1);
    ito_zero_grad(pair[0]);
    keep_all(o, "scatter_add", ito_scatter_add(pair[0], 1, index, pair[1]), pair, 2);
}

/* ---- data and training ----------------------------------------------------------------------- */

/* A small network with batches that a thread of the loader makes ahead. */
static void training(outcome *o)
{
    ito_generator g = ito_generator_make(7, 0);
    ito_dataset *data = ito_image_dataset_create(
        ito_randint(&g, 0, 256, ITO_SHAPE(37, 1, 14, 14), ITO_U8), .flip = true);
    ito_loader *loader = ito_loader_create(data, 8, 3, .prefetch = 2);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_linear_layer *in = ito_linear_create(root, "in", 196, 300, .generator = &g);
    ito_linear_layer *out = ito_linear_create(root, "out", 300, 196, .generator = &g);
    ito_optimizer *adam = ito_adam_create(root);
    ito_ema *ema = ito_ema_create(root, .decay = 0.9);
    CHECK(loader != NULL && in != NULL && out != NULL && adam != NULL && ema != NULL, "training:");
    double first = 0, last = 0;
    for (int step = 0; step < 12; step++) {
        ito_scope_begin();
        ito_batch batch;
        CHECK(ito_loader_next(loader, &batch) == ITO_OK, "loader:");
        ito_tensor *x = ito_reshape(batch.x, 8, 196);
        ito_tensor *y = ito_linear_forward(out, ito_silu(ito_linear_forward(in, x)));
        ito_tensor *loss = ito_mse_loss(y, x);
        ito_module_zero_grad(root);
        CHECK(ito_backward(loss) == ITO_OK, "training:");
        CHECK(isfinite(ito_clip_grad_norm(root, 1e-3)), "training: the gradient is not finite;");
        CHECK(ito_optimizer_step(adam, 1e-3) == ITO_OK && ito_ema_update(ema) == ITO_OK, "step:");
        first = step == 0 ? ito_item(loss) : first;
        last = ito_item(loss);
        ito_scope_end();
    }
    CHECK(last < 0.95 * first, "training: the loss went from %g to %g", first, last);
    keep(o, "trained weights", in->weight);
    CHECK(ito_ema_swap(ema) == ITO_OK, "ema:");
    keep(o, "averaged weights", in->weight);
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_module_free(root);
    ito_loader_free(loader); /* its thread has made the next batches */
    ito_loader_free(ito_loader_create(data, 5000, 3, .prefetch = 1)); /* at work on the first */
    ito_dataset_free(data);
}

/* Two ranks, threads here, each with a thread of its own that sends gradients while the sweep goes
 * on. */
static void train_rank(ito_communicator *c, void *context)
{
    ito_generator g = ito_generator_make(8, 0);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_linear_layer *in = ito_linear_create(root, "in", 196, 300, .generator = &g);
    ito_linear_layer *out = ito_linear_create(root, "out", 300, 196, .generator = &g);
    ito_optimizer *adam = ito_adam_create(root);
    ito_parallel *p = ito_parallel_create(c, root, adam, .slices = 4, .bucket_bytes = 1 << 17);
    CHECK(in != NULL && out != NULL && p != NULL, "ranks:");
    for (int step = 0; step < 3; step++)
        for (int64_t i = 0; i <= ito_parallel_slices(p); i++) {
            if (i == ito_parallel_slices(p)) {
                CHECK(ito_parallel_step(p, 1e-3, .max_norm = 1) == ITO_OK, "ranks:");
                continue;
            }
            ito_batch_slice s = ito_parallel_slice(p, i, 8);
            ito_tensor *x = ito_rand(&g, ITO_SHAPE(s.end - s.begin, 196), ITO_F32);
            ito_tensor *y = ito_linear_forward(out, ito_silu(ito_linear_forward(in, x)));
            CHECK(ito_parallel_backward(p, s, ito_mse_loss(y, x)) == ITO_OK, "ranks:");
        }
    if (c->rank == 0)
        CHECK(ito_to_data(in->weight, context, ITO_F32) == ITO_OK, "ranks:");
    ito_parallel_free(p);
    ito_optimizer_free(adam);
    ito_module_free(root);
}

static void ranks(outcome *o)
{
    float *weights = malloc(300 * 196 * sizeof *weights);
    CHECK(weights != NULL, "ranks:");
    thread_ranks_run(2, train_rank, weights);
    keep(o, "weights of ranks", ito_from_data(weights, ITO_SHAPE(300, 196), ITO_F32));
    free(weights);
}

static void everything(outcome *o)
{
    void (*const parts[])(outcome *) = {products, convolutions, norms,    attentions,
                                        elements, images,       training, ranks};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ito_scope_begin();
        parts[i](o);
        ito_scope_end();
    }
}

/* ---- two threads of the program -------------------------------------------------------------- */

typedef struct user {
    pthread_t thread;
    int number;
    ito_tensor *shared; /* a reference of its own, to a tensor that both read */
    pthread_barrier_t *together;
    outcome outcome;
} user;

static void *work(void *argument)
{
    user *u = argument;
    everything(&u->outcome);
    keep(&u->outcome, "a shared input", ito_sum(ito_mul_scalar(u->shared, 2)));
    ito_release(u->shared);
    ito_error_set(ITO_ERR_RANGE, "thread %d", u->number);
    pthread_barrier_wait(u->together);
    CHECK(ito_error_message()[7] == '0' + u->number, "the error is another thread's:");
    return NULL; /* the outermost scope goes with the thread */
}

static void side_by_side(outcome *alone)
{
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    ito_scope_begin();
    ito_generator g = ito_generator_make(9, 0);
    ito_tensor *shared = ito_randn(&g, ITO_SHAPE(90000), ITO_F32);
    keep(alone, "a shared input", ito_sum(ito_mul_scalar(shared, 2)));
    user users[2];
    for (int i = 0; i < 2; i++) {
        users[i] = (user){.number = i, .shared = ito_retain(shared), .together = &together};
        CHECK(pthread_create(&users[i].thread, NULL, work, &users[i]) == 0, "no thread");
    }
    ito_scope_end(); /* the threads' references keep the tensor */
    for (int i = 0; i < 2; i++) {
        pthread_join(users[i].thread, NULL);
        compare(alone, &users[i].outcome, "two threads side by side");
        forget(&users[i].outcome);
    }
    CHECK(ito_error_code() == ITO_OK, "the main thread has an error:");
    pthread_barrier_destroy(&together);
}

int main(void)
{
    CHECK(ito_isa_check() == ITO_OK, "ISA:");
    outcome one = {.n = 0}, more = {.n = 0};
    ito_set_threads(1);
    everything(&one);
    static const struct {
        int threads;
        const char *how;
    } teams[] = {{2, "2 threads"}, {4, "4 threads"}, {16, "16 threads"}};
    for (int i = 0; i < 3; i++) {
        ito_set_threads(teams[i].threads);
        everything(&more);
        compare(&one, &more, teams[i].how);
        forget(&more);
    }
    ito_set_threads(2);
    side_by_side(&one);
    printf("%d results are the same\n", one.n);
    forget(&one);
    CHECK(ito_memory_blocks() == 0, "%lld blocks are left", (long long)ito_memory_blocks());
    return 0;
}
