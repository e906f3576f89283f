/* Data-parallel steps: the same bits for any number of ranks, checkpoints between numbers of ranks,
 * and refusals. Ranks are threads here. */
#include "nn/parallel.h"
#include "nn/parallel_checkpoint.h"

#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/memory.h"
#include "tensor/runtime.h"
#include "tests/nn/nn_check.h"
#include "tests/nn/thread_ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 24, WIDTH = 160, STEPS = 3, MOST = 1 << 17 };

/* What a run on some ranks is told, and the weights, averages and norms that rank 0 ends with. */
typedef struct job {
    const char *optimizer;
    int64_t slices, bucket_bytes;
    bool bf16;
    const char *save, *load; /* a directory of checkpoints; one of them */
    int64_t n;
    float value[MOST];
    double norm[STEPS];
    bool freeze;                       /* the first layer */
    bool missing;                      /* the third layer's bias is reached by even slices alone */
    int64_t state_bytes[12], sent[12]; /* by rank: of the optimiser; to others in all steps */
} job;

typedef struct net {
    ito_module *model;
    ito_optimizer *optimizer;
    ito_ema *ema;
} net;

/* Two layers, of which the second is used twice, so that a leaf gets two gradients a sweep. */
static net make_net(const char *optimizer)
{
    ito_generator g = ito_generator_make(3, 1);
    net n = {.model = ito_module_create(NULL, "", sizeof(ito_module))};
    ito_linear_create(n.model, "first", WIDTH, WIDTH, .generator = &g);
    ito_linear_create(n.model, "second", WIDTH, WIDTH, .generator = &g);
    ito_linear_create(n.model, "third", WIDTH, 1, .generator = &g);
    n.optimizer = ito_optimizer_find(optimizer)->create(n.model);
    n.ema = ito_ema_create(n.model, .decay = 0.9);
    cr_assert_not_null(n.ema, "%s", ito_error());
    return n;
}

static void free_net(net *n)
{
    ito_ema_free(n->ema);
    ito_optimizer_free(n->optimizer);
    ito_module_free(n->model);
}

static ito_tensor *forward(const net *n, ito_tensor *x, bool biased)
{
    ito_named_tensors *p = ito_module_parameters(n->model);
    ito_tensor **w = p->tensors;
    ito_tensor *h = ito_tanh(ito_linear(x, w[0], w[1]));
    h = ito_tanh(ito_linear(h, w[2], w[3]));
    h = ito_tanh(ito_linear(h, w[2], w[3]));
    h = ito_linear(h, w[4], biased ? w[5] : NULL);
    ito_named_tensors_free(p);
    return h;
}

static ito_tensor *batch_of(int64_t step)
{
    ito_generator g = ito_generator_make(5, (uint64_t)step);
    return ito_randn(&g, ITO_SHAPE(ROWS, WIDTH), ITO_F32);
}

static void one_step(const job *j, ito_parallel *p, const net *n, int64_t step, double *norm)
{
    ito_tensor *x = batch_of(step);
    for (int64_t i = 0; i < ito_parallel_slices(p); i++) {
        ito_batch_slice s = ito_parallel_slice(p, i, ROWS);
        ito_scope_begin();
        bool biased = !j->missing || s.index % 2 == 0;
        ito_tensor *y = forward(n, ito_slice(x, 0, s.begin, s.end, 1), biased);
        ito_tensor *loss = ito_mean(ito_square(y));
        cr_assert_eq(ito_parallel_backward(p, s, loss), ITO_OK, "%s", ito_error());
        ito_scope_end();
    }
    cr_assert_eq(ito_parallel_step(p, 1e-2, .max_norm = 0.5, .ema = n->ema, .grad_norm = norm),
                 ITO_OK, "%s", ito_error());
}

static void note_values(job *j, ito_named_tensors *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        cr_assert(j->n + ito_numel(list->tensors[i]) <= MOST);
        ito_to_data(list->tensors[i], j->value + j->n, ITO_F32);
        j->n += ito_numel(list->tensors[i]);
    }
    ito_named_tensors_free(list);
}

static void train(ito_communicator *c, void *context)
{
    job *j = context;
    bool first = c == NULL || c->rank == 0;
    net n = make_net(j->optimizer);
    ito_parallel *p = ito_parallel_create(c, n.model, n.optimizer, .slices = j->slices,
                                          .bucket_bytes = j->bucket_bytes, .bf16 = j->bf16);
    cr_assert_not_null(p, "%s", ito_error());
    if (j->freeze)
        ito_optimizer_group(n.optimizer, "first.*", .frozen = true);
    ito_training_state state = {.model = n.model, .optimizer = n.optimizer, .ema = n.ema};
    if (j->load != NULL)
        cr_assert_eq(ito_parallel_checkpoint_load(p, j->load, &state), ITO_OK, "%s", ito_error());
    for (int64_t step = state.step; step < STEPS; step++) {
        double norm;
        one_step(j, p, &n, step, &norm);
        if (first)
            j->norm[step] = norm;
        if (j->save != NULL && step == 0) {
            state.step = 1;
            cr_assert_eq(ito_parallel_checkpoint_save(p, j->save, &state), ITO_OK, "%s",
                         ito_error());
        }
    }
    int64_t rank = c == NULL ? 0 : c->rank;
    j->sent[rank] = ito_parallel_traffic_of(p).bytes;
    j->state_bytes[rank] = ito_memory_account_of(n.model, n.optimizer, NULL).optimizer;
    cr_assert_eq(ito_parallel_gather_averages(p, n.ema), ITO_OK);
    if (first) {
        j->n = 0;
        note_values(j, ito_module_parameters(n.model));
        note_values(j, ito_ema_state(n.ema));
    }
    ito_parallel_free(p);
    free_net(&n);
}

static job *run(int64_t ranks, job start)
{
    job *j = malloc(sizeof *j);
    *j = start;
    if (j->bucket_bytes == 0)
        j->bucket_bytes = 1 << 16; /* one square of the grid: several buckets */
    if (ranks == 0)
        train(NULL, j);
    else
        thread_ranks_run(ranks, train, j);
    return j;
}

static void expect_same(const job *a, const job *b, const char *what)
{
    cr_assert_eq(a->n, b->n);
    cr_expect(a->n > 0 && memcmp(a->value, b->value, (size_t)a->n * sizeof a->value[0]) == 0, "%s",
              what);
    cr_expect(memcmp(a->norm, b->norm, sizeof a->norm) == 0, "%s: norms", what);
}

static void check_ranks(job start, int64_t first, int64_t most)
{
    char what[128];
    job *alone = run(0, start);
    for (int64_t ranks = first; ranks <= most; ranks *= 2) {
        snprintf(what, sizeof what, "%s, %d ranks", start.optimizer, (int)ranks);
        job *j = run(ranks, start);
        expect_same(alone, j, what);
        free(j);
    }
    free(alone);
}

/* ---- the same bits ---- */

Test(parallel, any_number_of_ranks_gives_the_same_bits)
{
    check_ranks((job){.optimizer = "adam", .slices = 8}, 1, 8);
}

Test(parallel, three_times_a_power_of_2_serves_three_and_six_ranks)
{
    check_ranks((job){.optimizer = "adam", .slices = 12}, 3, 12);
}

Test(parallel, bf16_gradients_give_the_same_bits_too)
{
    check_ranks((job){.optimizer = "adam", .slices = 8, .bf16 = true}, 1, 8);
    job *a = run(2, (job){.optimizer = "sgd", .slices = 8, .bf16 = true});
    job *b = run(2, (job){.optimizer = "sgd", .slices = 8});
    cr_expect(a->norm[0] != b->norm[0]);
    cr_expect_float_eq(a->norm[0], b->norm[0], 0x1p-7 * b->norm[0]);
    free(a);
    free(b);
}

/* Those that are sharded, and those that every rank runs. */
Test(parallel, every_optimizer_gives_the_same_bits)
{
    static const char *const names[] = {
#define ITO_OPTIMIZER(object) #object,
#include "nn/optim/optimizers.def"
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_ranks((job){.optimizer = names[i] + strlen("ito_optimizer_"), .slices = 4}, 4, 4);
}

Test(parallel, buckets_change_no_bit)
{
    job *a = run(2, (job){.optimizer = "adam", .slices = 8, .bucket_bytes = 1});
    job *b = run(2, (job){.optimizer = "adam", .slices = 8, .bucket_bytes = 25 << 20});
    expect_same(a, b, "buckets");
    free(a);
    free(b);
}

Test(parallel, slices_that_do_not_divide_the_batch_give_the_same_bits)
{
    check_ranks((job){.optimizer = "adam", .slices = 16}, 2, 8);
}

Test(parallel, frozen_parameters_and_such_as_no_sweep_reaches_give_the_same_bits)
{
    check_ranks((job){.optimizer = "adam", .slices = 4, .freeze = true, .missing = true}, 2, 4);
}

/* One slice is what a program without slices does. */
Test(parallel, one_slice_is_the_plain_step)
{
    job *j = run(0, (job){.optimizer = "adam", .slices = 1});
    net n = make_net("adam");
    for (int64_t step = 0; step < STEPS; step++) {
        double norm;
        ito_module_zero_grad(n.model);
        ito_backward(ito_mean(ito_square(forward(&n, batch_of(step), true))));
        ito_optimizer_step(n.optimizer, 1e-2, .max_norm = 0.5, .ema = n.ema, .grad_norm = &norm);
        cr_expect_eq(norm, j->norm[step]);
    }
    job *plain = calloc(1, sizeof *plain);
    note_values(plain, ito_module_parameters(n.model));
    note_values(plain, ito_ema_state(n.ema));
    cr_expect(plain->n == j->n && memcmp(plain->value, j->value, (size_t)j->n * 4) == 0);
    free(plain);
    free(j);
    free_net(&n);
}

/* ---- the tree ---- */

/* Slices whose gradients are given numbers: the sum is that of a tree written here. */
typedef struct tree_job {
    int64_t slices;
    float sum; /* that rank 0 ends with, of parameter 0 */
} tree_job;

static float leaf_value(int64_t k)
{
    return (float)(1.0 / (3.0 + (double)k) * (k % 3 == 0 ? 1e4 : 1.0));
}

static float tree(int64_t first, int64_t n)
{
    if (n == 1)
        return leaf_value(first);
    int64_t left = 1;
    while (2 * left < n)
        left *= 2;
    return tree(first, left) + tree(first + left, n - left);
}

static void sum_leaves(ito_communicator *c, void *context)
{
    tree_job *j = context;
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *w = ito_module_parameter(m, "w", ito_zeros(ITO_SHAPE(1), ITO_F32));
    ito_optimizer *sgd = ito_sgd_create(m);
    ito_parallel *p = ito_parallel_create(c, m, sgd, .slices = j->slices);
    for (int64_t i = 0; i < ito_parallel_slices(p); i++) {
        ito_batch_slice s = ito_parallel_slice(p, i, j->slices);
        /* Times the slices, which a share of 1 / slices takes back. */
        double scale = (double)leaf_value(s.index) * (double)j->slices;
        ito_tensor *loss = ito_sum(ito_mul_scalar(w, scale));
        cr_assert_eq(ito_parallel_backward(p, s, loss), ITO_OK, "%s", ito_error());
    }
    cr_assert_eq(ito_parallel_step(p, 1.0), ITO_OK, "%s", ito_error());
    if (c == NULL || c->rank == 0)
        j->sum = -*(const float *)ito_const_data(w);
    ito_parallel_free(p);
    ito_optimizer_free(sgd);
    ito_module_free(m);
}

Test(parallel, slices_are_added_in_a_tree_of_neighbours)
{
    tree_job j = {.slices = 8};
    cr_assert_neq(
        tree(0, 8),
        ((((((leaf_value(0) + leaf_value(1)) + leaf_value(2)) + leaf_value(3)) + leaf_value(4)) +
          leaf_value(5)) +
         leaf_value(6)) +
            leaf_value(7),
        "the test cannot tell orders");
    for (int64_t ranks = 1; ranks <= 8; ranks *= 2) {
        thread_ranks_run(ranks, sum_leaves, &j);
        cr_expect_eq(j.sum, tree(0, 8), "%d ranks: %.9g, not %.9g", (int)ranks, (double)j.sum,
                     (double)tree(0, 8));
    }
    for (j.slices = 1; j.slices <= 32; j.slices *= 2) {
        sum_leaves(NULL, &j);
        cr_expect_eq(j.sum, tree(0, j.slices));
    }
}

/* ---- state ---- */

Test(parallel, a_run_goes_on_with_any_number_of_ranks)
{
    for (int64_t before = 1; before <= 4; before *= 2) {
        const char *dir = temporary_directory();
        job *whole = run(before, (job){.optimizer = "adam", .slices = 8, .save = dir});
        char *path = ito_checkpoint_latest(dir);
        for (int64_t after = 1; after <= 8; after *= 2) {
            job *rest = run(after, (job){.optimizer = "adam", .slices = 8, .load = path});
            rest->norm[0] = whole->norm[0];
            expect_same(whole, rest, "resumed");
            free(rest);
        }
        free(path);
        free(whole);
        remove_tree(dir);
    }
}

static char *file_text(const char *path, int64_t *bytes)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    char *text = malloc(1 << 22);
    *bytes = (int64_t)fread(text, 1, 1 << 22, f);
    fclose(f);
    return text;
}

Test(parallel, checkpoints_of_any_number_of_ranks_are_the_same_files)
{
    static const char *const files[] = {"model.safetensors", "ema.safetensors",
                                        "optimizer.safetensors", "state.json"};
    const char *one = temporary_directory(), *four = temporary_directory();
    free(run(1, (job){.optimizer = "adam", .slices = 4, .save = one}));
    free(run(4, (job){.optimizer = "adam", .slices = 4, .save = four}));
    for (int i = 0; i < 4; i++) {
        int64_t n, m;
        char name[64];
        snprintf(name, sizeof name, "step-1/%s", files[i]);
        char *a = file_text(in_directory(one, name), &n),
             *b = file_text(in_directory(four, name), &m);
        cr_expect(n > 0 && n == m && memcmp(a, b, (size_t)n) == 0, "%s", files[i]);
        free(a);
        free(b);
    }
    remove_tree(one);
    remove_tree(four);
}

/* ---- what it costs ---- */

/* Elements of the flat block: each parameter begins at a multiple of 16. */
static int64_t flat_elements(void)
{
    net n = make_net("adam");
    ito_named_tensors *p = ito_module_parameters(n.model);
    int64_t elements = 0;
    for (int64_t i = 0; i < p->n; i++)
        elements += (ito_numel(p->tensors[i]) + 15) / 16 * 16;
    ito_named_tensors_free(p);
    free_net(&n);
    return elements;
}

/* Each element's gradient goes from all ranks but one to that one, and its value back. */
Test(parallel, ranks_send_what_the_formula_says)
{
    int64_t n = flat_elements();
    for (int64_t ranks = 2; ranks <= 8; ranks *= 2)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            job *j = run(ranks, (job){.optimizer = "adam", .slices = 8, .bf16 = bf16 != 0});
            int64_t sent = 0;
            for (int64_t r = 0; r < ranks; r++)
                sent += j->sent[r];
            cr_expect_eq(sent, STEPS * (ranks - 1) * n * (bf16 ? 6 : 8));
            free(j);
        }
}

Test(parallel, ranks_keep_optimiser_state_in_parts)
{
    job *alone = run(1, (job){.optimizer = "adam", .slices = 4, .bucket_bytes = 25 << 20});
    job *shared = run(4, (job){.optimizer = "adam", .slices = 4, .bucket_bytes = 25 << 20});
    int64_t sum = 0;
    for (int r = 0; r < 4; r++) {
        cr_expect_leq(shared->state_bytes[r], alone->state_bytes[0] / 2, "rank %d", r);
        sum += shared->state_bytes[r];
    }
    /* The last square of the grid counts whole. */
    cr_expect_geq(sum, alone->state_bytes[0]);
    cr_expect_leq(sum, alone->state_bytes[0] + 2 * (1 << 16));
    job *whole = run(4, (job){.optimizer = "muon", .slices = 4});
    job *one = run(1, (job){.optimizer = "muon", .slices = 4});
    cr_expect_eq(whole->state_bytes[3], one->state_bytes[0]);
    free(alone);
    free(shared);
    free(whole);
    free(one);
}
