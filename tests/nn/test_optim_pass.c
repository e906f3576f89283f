/* The passes of optimisers over flat memory: threads, clipping and averaging on the way, kernels.
 */
#include "nn/optim.h"
#include "tensor/kernels/kernels.h"
#include "tests/nn/nn_check.h"

#include <math.h>

/* 100,003 numbers: several pieces, and a last one that is not whole. */
static void many_steps(int threads, float *out)
{
    ito_set_threads(threads);
    ito_scope_begin();
    ito_generator g = ito_generator_make(8, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *p = ito_module_parameter(m, "p", ito_randn(&g, ITO_SHAPE(100003), ITO_F32));
    ito_optimizer *opt = ito_adam_create(m);
    for (int t = 0; t < 3; t++) {
        ito_tensor *random = ito_randn(&g, ITO_SHAPE(100003), ITO_F32);
        memcpy(ito_data(ito_grad_of(p)), ito_data(random), 100003 * sizeof(float));
        cr_assert(isfinite(ito_clip_grad_norm(m, 1)));
        cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK);
    }
    memcpy(out, ito_data(p), 100003 * sizeof(float));
    ito_optimizer_free(opt);
    ito_module_free(m);
    ito_scope_end();
}

Test(optim_pass, bits_do_not_depend_on_threads)
{
    float *one = malloc(100003 * sizeof *one), *more = malloc(100003 * sizeof *more);
    many_steps(1, one);
    for (int threads = 2; threads <= 7; threads += 5) {
        many_steps(threads, more);
        cr_expect_arr_eq(one, more, 100003 * sizeof *one);
    }
    free(one);
    free(more);
}

/* ---- clip, step and average in one pass ---------------------------------------------------------
 */

enum { BIG = 50003, SMALL = 17 };

typedef ito_optimizer *make_optimizer(ito_module *m);

static ito_optimizer *make_adam(ito_module *m)
{
    return ito_adam_create(m, .weight_decay = 0.01);
}

static ito_optimizer *make_adamw(ito_module *m)
{
    return ito_adamw_create(m, .weight_decay = 0.01);
}

static ito_optimizer *make_sgd(ito_module *m)
{
    return ito_sgd_create(m);
}

static ito_optimizer *make_nesterov(ito_module *m)
{
    return ito_sgd_create(m, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01);
}

/* All that three steps leave: parameters, averages, state, norms. */
typedef struct trace {
    double norm[3];
    float values[4][BIG + SMALL];
} trace;

static void copy_all(float *out, const ito_named_tensors *list, int64_t first)
{
    for (int64_t i = first; i < list->n && i < first + 2; i++) {
        int64_t n = ito_numel(list->tensors[i]);
        memcpy(out, ito_const_data(list->tensors[i]), (size_t)n * sizeof *out);
        out += n;
    }
}

static void copy_world(trace *t, ito_module *m, ito_optimizer *opt, ito_ema *ema)
{
    ito_named_tensors *lists[] = {ito_module_parameters(m), ito_ema_state(ema),
                                  ito_optimizer_state(opt)};
    memset(t->values, 0, sizeof t->values);
    for (int i = 0; i < 3; i++) {
        copy_all(t->values[i], lists[i], 0);
        if (i == 2)
            copy_all(t->values[3], lists[i], 2);
        ito_named_tensors_free(lists[i]);
    }
}

/* Three steps, the last of them within the limit; what is frozen in the second is averaged only. */
static void run_steps(trace *t, make_optimizer *make, int threads, bool fused)
{
    ito_set_threads(threads);
    ito_scope_begin();
    ito_generator g = ito_generator_make(8, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *big = ito_module_parameter(m, "big", ito_randn(&g, ITO_SHAPE(BIG), ITO_F32));
    ito_tensor *small = ito_module_parameter(m, "small", ito_randn(&g, ITO_SHAPE(SMALL), ITO_F32));
    ito_optimizer *opt = make(m);
    ito_ema *ema = ito_ema_create(m, .decay = 0.9);
    for (int i = 0; i < 3; i++) {
        ito_tensor *x = ito_randn(&g, ITO_SHAPE(BIG), ITO_F32);
        ito_requires_grad(big, i != 1);
        if (i != 1)
            memcpy(ito_data(ito_grad_of(big)), ito_data(x), BIG * sizeof(float));
        memcpy(ito_data(ito_grad_of(small)), ito_data(x), SMALL * sizeof(float));
        double limit = i == 2 ? 1e6 : 1.5;
        if (fused) {
            cr_assert_eq(ito_optimizer_step(opt, 0.1, .max_norm = limit, .ema = ema,
                                            .grad_norm = &t->norm[i]),
                         ITO_OK, "%s", ito_error());
            cr_expect_eq(memcmp(ito_data(ito_grad_of(small)), ito_data(x), SMALL * sizeof(float)),
                         0, "the gradients stay");
        } else {
            t->norm[i] = ito_clip_grad_norm(m, limit);
            cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK);
            cr_assert_eq(ito_ema_update(ema), ITO_OK);
        }
    }
    cr_expect_eq(ito_ema_updates(ema), 3);
    cr_expect_eq(ito_optimizer_steps(opt), 3);
    copy_world(t, m, opt, ema);
    ito_ema_free(ema);
    ito_optimizer_free(opt);
    ito_module_free(m);
    ito_scope_end();
}

Test(optim_pass, one_pass_has_the_bits_of_three_for_any_number_of_threads)
{
    make_optimizer *const makers[] = {make_adam, make_adamw, make_sgd, make_nesterov};
    const int threads[] = {1, 2, 3, 7};
    trace *apart = malloc(sizeof *apart), *fused = malloc(sizeof *fused);
    for (int i = 0; i < 4; i++) {
        run_steps(apart, makers[i], 1, false);
        for (int k = 0; k < 4; k++) {
            run_steps(fused, makers[i], threads[k], true);
            cr_expect_arr_eq(fused, apart, sizeof *apart, "optimiser %d, %d threads", i,
                             threads[k]);
        }
    }
    free(apart);
    free(fused);
}

/* ---- kernels -----------------------------------------------------------------------------------
 */

extern const kernel_table kernel_table_base_f32;

typedef void run_kernel(const kernel_table *k, const step_arrays *a);

static void run_adam(const kernel_table *k, const step_arrays *a)
{
    k->adam_step(a, 0.9, 0.999, 1e-3, 0.1, 0.99, 0.01, 0.7);
}

static void run_sgd(const kernel_table *k, const step_arrays *a)
{
    k->sgd_step(a, 0.1, 0.9, 0.7, 0.1, 0.99, true);
}

static void run_rmsprop(const kernel_table *k, const step_arrays *a)
{
    k->rmsprop_step(a, 0.01, 0.9, 1e-1, 0.9, 0.1);
}

static void run_adagrad(const kernel_table *k, const step_arrays *a)
{
    k->adagrad_step(a, 0.01, 1e-1, 0.1);
}

static void run_lion(const kernel_table *k, const step_arrays *a)
{
    k->lion_step(a, 0.01, 0.9, 0.99, 0.99);
}

static void run_schedule_free(const kernel_table *k, const step_arrays *a)
{
    k->schedule_free_step(a, 0.01, 0.9, 1e-1, 0.7, 0.1, 0.2, -0.01, -0.1);
}

static void run_muon(const kernel_table *k, const step_arrays *a)
{
    k->muon_momentum(a->state[1], a->state[0], a->g, a->n, 0.4, 0.9, true);
    k->muon_step(a, 0.9, 0.99, 0.1);
}

static void run_average(const kernel_table *k, const step_arrays *a)
{
    k->ema_step(a->average, a->p, a->n, 0.01);
}

static run_kernel *const runs[] = {run_adam, run_sgd,           run_rmsprop, run_adagrad,
                                   run_lion, run_schedule_free, run_muon,    run_average};
enum { RUNS = sizeof runs / sizeof runs[0], ARRAYS = 6, MOST = 45 };

/* Numbers in [-0.5, 0.5), those of squares above 0. */
static step_arrays draw_arrays(float x[ARRAYS][MOST], int64_t n)
{
    ito_generator g = ito_generator_make(8, (uint64_t)n);
    for (int64_t i = 0; i < MOST; i++)
        for (int k = 0; k < ARRAYS; k++)
            x[k][i] = (float)(ito_uniform(&g) + (k == 2 || k == 3 ? 0.5 : -0.5));
    return (step_arrays){.p = x[0],
                         .g = x[1],
                         .state = {x[2], x[3], x[4]},
                         .average = x[5],
                         .n = n,
                         .scale = 0.4,
                         .weight = 0.1};
}

/* base rounds a product before it is added, the others do not: one step of numbers below 1 then
 * differs by a few units in the last place. */
Test(optim_pass, instruction_sets_agree)
{
    const kernel_table *table[2] = {&kernel_table_base_f32, kernels(ITO_F32)};
    for (int run = 0; run < RUNS; run++)
        for (int64_t n = 0; n <= MOST; n += 5) {
            float x[2][ARRAYS][MOST];
            for (int s = 0; s < 2; s++) {
                step_arrays a = draw_arrays(x[s], n);
                runs[run](table[s], &a);
            }
            for (int k = 0; k < ARRAYS; k++)
                for (int i = 0; i < MOST; i++)
                    cr_expect(fabsf(x[0][k][i] - x[1][k][i]) < 2e-6f, "run %d, array %d: %g, %g",
                              run, k, (double)x[0][k][i], (double)x[1][k][i]);
        }
}

/* Sums of squares, scaling and exchanging have no such choice. */
Test(optim_pass, instruction_sets_have_the_same_bits_where_nothing_is_fused)
{
    const kernel_table *table[2] = {&kernel_table_base_f32, kernels(ITO_F32)};
    for (int64_t n = 0; n <= MOST; n += 5) {
        float x[2][ARRAYS][MOST];
        double sum[2];
        for (int s = 0; s < 2; s++) {
            draw_arrays(x[s], n);
            sum[s] = table[s]->square_sum(x[s][0], n);
            table[s]->scale(x[s][0], n, 0.3);
            table[s]->exchange(x[s][0], x[s][1], n);
        }
        cr_expect_eq(sum[0], sum[1]);
        cr_expect_arr_eq(x[0], x[1], sizeof x[0]);
    }
}

Test(optim_pass, steps_write_no_further_than_their_end)
{
    for (int run = 0; run < RUNS; run++)
        for (int64_t n = 0; n < 20; n++) {
            float x[ARRAYS][MOST], before[ARRAYS][MOST];
            draw_arrays(before, n);
            step_arrays a = draw_arrays(x, n);
            runs[run](kernels(ITO_F32), &a);
            for (int k = 0; k < ARRAYS; k++)
                for (int64_t i = n; i < MOST; i++)
                    cr_expect_eq(x[k][i], before[k][i], "run %d", run);
        }
}

Test(optim_pass, kernels_write_no_further_than_their_end)
{
    for (int64_t n = 0; n < 20; n++) {
        float x[2][21];
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 21; i++)
                x[k][i] = 1;
        kernels(ITO_F32)->exchange(x[0], x[1], n);
        kernels(ITO_F32)->scale(x[0], n, 3);
        for (int k = 0; k < 2; k++)
            for (int64_t i = n; i < 21; i++)
                cr_expect_eq(x[k][i], 1);
    }
}

Test(optim_pass, finds_what_is_not_finite_wherever_it_is)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int64_t n = 1; n < 40; n++)
        for (int64_t i = 0; i < n; i++) {
            float x[40];
            for (int k = 0; k < 40; k++)
                x[k] = k < n ? 3e38f : NAN; /* sums of these would overflow */
            cr_expect(kernels(ITO_F32)->all_finite(x, n));
            x[i] = bad[i % 3];
            cr_expect_not(kernels(ITO_F32)->all_finite(x, n));
        }
}
