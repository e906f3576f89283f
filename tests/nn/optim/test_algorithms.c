/* What every algorithm has to keep: bits whatever the threads and however the pass is cut, state
 * that resumes, failures that change nothing, frozen parameters, groups. */
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "tests/nn/optim/optim_check.h"

/* ---- bits ---- */

/* A run of four steps: clipped, averaged, with a parameter frozen in the third. */
typedef struct world {
    ito_module *model;
    ito_optimizer *opt;
    ito_ema *ema;
} world;

static world begin(const ito_optimizer_algorithm *a, uint64_t seed)
{
    world w = {.model = small_model(ITO_F32, seed)};
    w.opt = a->create(w.model);
    w.ema = ito_ema_create(w.model, .decay = 0.9);
    cr_assert(w.opt != NULL && w.ema != NULL, "%s: %s", a->name, ito_error());
    return w;
}

static void end(world *w)
{
    ito_ema_free(w->ema);
    ito_optimizer_free(w->opt);
    ito_module_free(w->model);
}

static bool worlds_agree(const world *a, const world *b)
{
    return lists_agree(ito_module_parameters(a->model), ito_module_parameters(b->model)) &&
           lists_agree(ito_optimizer_state(a->opt), ito_optimizer_state(b->opt)) &&
           lists_agree(ito_ema_state(a->ema), ito_ema_state(b->ema));
}

static void run(world *w, double lr, bool fused)
{
    for (int64_t t = 0; t < 4; t++) {
        ito_requires_grad(ito_module_find(w->model, "out.weight"), t != 2);
        draw_gradients(w->model, t);
        double limit = t == 3 ? 1e6 : 1.5;
        if (fused) {
            cr_assert_eq(ito_optimizer_step(w->opt, lr, .max_norm = limit, .ema = w->ema), ITO_OK,
                         "%s", ito_error());
        } else {
            ito_clip_grad_norm(w->model, limit);
            cr_assert_eq(ito_optimizer_step(w->opt, lr), ITO_OK, "%s", ito_error());
            cr_assert_eq(ito_ema_update(w->ema), ITO_OK);
        }
    }
}

Test(optim_algorithms, bits_do_not_depend_on_threads)
{
    FOR_EACH_ALGORITHM
    {
        world one = begin(algorithm, 1);
        ito_set_threads(1);
        run(&one, algorithm->lr, true);
        for (int threads = 2; threads <= 7; threads += 5) {
            world more = begin(algorithm, 1);
            ito_set_threads(threads);
            run(&more, algorithm->lr, true);
            cr_expect(worlds_agree(&one, &more), "%s, %d threads", algorithm->name, threads);
            end(&more);
        }
        end(&one);
    }
}

/* The averages of Schedule-Free follow x in the pass alone. */
Test(optim_algorithms, one_pass_has_the_bits_of_three)
{
    FOR_EACH_ALGORITHM
    {
        world fused = begin(algorithm, 1), apart = begin(algorithm, 1);
        run(&fused, algorithm->lr, true);
        run(&apart, algorithm->lr, false);
        if (strncmp(algorithm->name, "schedule_free", 13) == 0)
            cr_expect(
                lists_agree(ito_module_parameters(fused.model), ito_module_parameters(apart.model)),
                "%s", algorithm->name);
        else
            cr_expect(worlds_agree(&fused, &apart), "%s", algorithm->name);
        end(&fused);
        end(&apart);
    }
}

/* ---- state ---- */

static ito_training_state state_of(const world *w, int64_t step)
{
    return (ito_training_state){
        .model = w->model, .optimizer = w->opt, .ema = w->ema, .step = step};
}

/* Twelve steps: SOAP's bases turn at the tenth. */
Test(optim_algorithms, a_resumed_run_has_the_bits_of_one_that_was_not_stopped)
{
    const char *dir = temporary_directory();
    FOR_EACH_ALGORITHM
    {
        world straight = begin(algorithm, 1), first = begin(algorithm, 1);
        take_steps(straight.model, straight.opt, 0, 13, algorithm->lr);
        take_steps(first.model, first.opt, 0, 5, algorithm->lr);
        ito_training_state saved = state_of(&first, 5);
        char into[400];
        snprintf(into, sizeof into, "%.250s/%.100s", dir, algorithm->name);
        cr_assert_eq(ito_checkpoint_save(into, &saved), ITO_OK, "%s", ito_error());
        end(&first);

        world second = begin(algorithm, 2); /* with other weights */
        ito_training_state loaded = state_of(&second, 0);
        cr_assert_eq(ito_checkpoint_load(in_directory(into, "step-5"), &loaded), ITO_OK, "%s: %s",
                     algorithm->name, ito_error());
        take_steps(second.model, second.opt, 5, 13, algorithm->lr);
        cr_expect(
            lists_agree(ito_module_parameters(straight.model), ito_module_parameters(second.model)),
            "%s: parameters", algorithm->name);
        cr_expect(lists_agree(ito_optimizer_state(straight.opt), ito_optimizer_state(second.opt)),
                  "%s: state", algorithm->name);
        end(&straight);
        end(&second);
    }
    remove_tree(dir);
}

static void expect_names(const ito_optimizer_algorithm *a, const char *const *names)
{
    world w = begin(a, 1);
    ito_named_tensors *state = ito_optimizer_state(w.opt);
    int64_t n = 0;
    for (; names[n] != NULL; n++)
        if (n < state->n)
            cr_expect_str_eq(state->names[n], names[n], "%s: %s, not %s", a->name, state->names[n],
                             names[n]);
    cr_expect_eq(state->n, n, "%s", a->name);
    ito_named_tensors_free(state);
    cr_expect_str_eq(ito_optimizer_kind(w.opt), a->name);
    end(&w);
}

#define OF_EACH(what) what ".conv.weight", what ".conv.bias", what ".out.weight", what ".gain"

Test(optim_algorithms, state_has_the_names_of_pytorch)
{
    const char *const square_avg[] = {OF_EACH("square_avg"), NULL};
    const char *const sum[] = {OF_EACH("sum"), NULL};
    const char *const adam[] = {OF_EACH("exp_avg"), OF_EACH("exp_avg_sq"), NULL};
    const char *const lion[] = {OF_EACH("exp_avg"), NULL};
    const char *const adafactor[] = {"row_var.conv.weight",
                                     "col_var.conv.weight",
                                     "variance.conv.bias",
                                     "row_var.out.weight",
                                     "col_var.out.weight",
                                     "variance.gain",
                                     NULL};
    const char *const muon[] = {"momentum_buffer.conv.weight",
                                "exp_avg.conv.bias",
                                "momentum_buffer.out.weight",
                                "exp_avg.gain",
                                "exp_avg_sq.conv.bias",
                                "exp_avg_sq.gain",
                                NULL};
    const char *const soap[] = {OF_EACH("exp_avg"), OF_EACH("exp_avg_sq"), "GG.0.conv.weight",
                                "Q.0.conv.weight",  "GG.1.conv.weight",    "Q.1.conv.weight",
                                "GG.2.conv.weight", "Q.2.conv.weight",     "GG.3.conv.weight",
                                "Q.3.conv.weight",  "GG.0.out.weight",     "Q.0.out.weight",
                                "GG.1.out.weight",  "Q.1.out.weight",      NULL};
    const char *const free_adamw[] = {OF_EACH("z"), OF_EACH("exp_avg_sq"), "lr_max", "weight_sum",
                                      NULL};
    const char *const free_sgd[] = {OF_EACH("z"), "lr_max", "weight_sum", NULL};
    expect_names(&ito_optimizer_rmsprop, square_avg);
    expect_names(&ito_optimizer_adagrad, sum);
    expect_names(&ito_optimizer_radam, adam);
    expect_names(&ito_optimizer_lion, lion);
    expect_names(&ito_optimizer_adafactor, adafactor);
    expect_names(&ito_optimizer_muon, muon);
    expect_names(&ito_optimizer_soap, soap);
    expect_names(&ito_optimizer_schedule_free_adamw, free_adamw);
    expect_names(&ito_optimizer_schedule_free_sgd, free_sgd);
}

static void expect_last_name(ito_optimizer *opt, const char *name)
{
    ito_named_tensors *state = ito_optimizer_state(opt);
    cr_assert(state != NULL && state->n > 0, "%s", ito_error());
    cr_expect_str_eq(state->names[state->n - 1], name);
    ito_named_tensors_free(state);
    ito_optimizer_free(opt);
}

Test(optim_algorithms, options_add_state)
{
    ito_module *m = small_model(ITO_F32, 1);
    expect_last_name(ito_adam_create(m, .amsgrad = true), "max_exp_avg_sq.gain");
    expect_last_name(ito_adamw_create(m, .amsgrad = true), "max_exp_avg_sq.gain");
    expect_last_name(ito_rmsprop_create(m, .centered = true), "grad_avg.gain");
    expect_last_name(ito_rmsprop_create(m, .momentum = 0.5), "momentum_buffer.gain");
    expect_last_name(ito_soap_create(m, .max_precond_dim = 3), "Q.3.conv.weight");
    ito_module_free(m);
}

/* ---- failures ---- */

typedef struct creation {
    const ito_optimizer_algorithm *algorithm;
    ito_module *model;
} creation;

static ito_status try_to_create(void *context)
{
    const creation *c = context;
    ito_optimizer *opt = c->algorithm->create(c->model);
    ito_optimizer_free(opt);
    return opt != NULL ? ITO_OK : ito_error_code();
}

Test(optim_algorithms, creation_survives_every_failing_allocation)
{
    FOR_EACH_ALGORITHM
    {
        creation c = {algorithm, small_model(ITO_F32, 1)};
        cr_assert_eq(ito_module_flatten(c.model), ITO_OK);
        cr_expect_geq(count_failed_allocations(try_to_create, &c), 3, "%s", algorithm->name);
        ito_module_free(c.model);
    }
}

/* Steps of algorithms that see matrices ask for memory; when one fails, nothing has changed. */
Test(optim_algorithms, a_step_without_memory_changes_nothing)
{
    FOR_EACH_ALGORITHM
    {
        world w = begin(algorithm, 1), before = begin(algorithm, 1);
        int64_t failures = 0, blocks = ito_memory_blocks();
        for (int64_t t = 0; t < 11; t++) {
            draw_gradients(w.model, t);
            ito_status status = ITO_ERR_MEMORY;
            for (int64_t nth = 1; status != ITO_OK; nth += t == 0 || t == 10 ? 1 : 100000) {
                ito_memory_fail_nth(nth);
                status = ito_optimizer_step(w.opt, algorithm->lr, .ema = w.ema);
                ito_memory_fail_nth(0);
                cr_assert_eq(ito_error_code(), status, "%s, step %d, request %d: %s",
                             algorithm->name, (int)t, (int)nth, ito_error());
                if (status == ITO_OK)
                    break;
                failures++;
                cr_assert_eq(status, ITO_ERR_MEMORY);
                ito_error_clear();
                cr_assert_eq(ito_memory_blocks(), blocks, "%s leaks", algorithm->name);
                cr_assert_eq(ito_optimizer_steps(w.opt), t);
                cr_assert(worlds_agree(&w, &before), "%s, step %d, request %d", algorithm->name,
                          (int)t, (int)nth);
            }
            draw_gradients(before.model, t);
            cr_assert_eq(ito_optimizer_step(before.opt, algorithm->lr, .ema = before.ema), ITO_OK);
        }
        cr_expect(worlds_agree(&w, &before), "%s", algorithm->name);
        bool sees_matrices = algorithm == &ito_optimizer_adafactor ||
                             algorithm == &ito_optimizer_muon || algorithm == &ito_optimizer_soap;
        cr_expect_eq(failures > 0, sees_matrices, "%s: %d", algorithm->name, (int)failures);
        end(&w);
        end(&before);
    }
}

Test(optim_algorithms, a_norm_that_is_not_finite_stops_every_step)
{
    FOR_EACH_ALGORITHM
    {
        world w = begin(algorithm, 1), before = begin(algorithm, 1);
        draw_gradients(w.model, 0);
        ((float *)ito_data(ito_grad_of(ito_module_find(w.model, "conv.bias"))))[2] = NAN;
        char message[80];
        snprintf(message, sizeof message, "%s: the norm of the gradients is nan", algorithm->name);
        cr_expect_eq(ito_optimizer_step(w.opt, 0.1, .max_norm = 1, .ema = w.ema), ITO_ERR_NUMERIC);
        expect_error(ITO_ERR_NUMERIC, message);
        cr_expect_eq(ito_optimizer_steps(w.opt), 0);
        cr_expect(worlds_agree(&w, &before), "%s", algorithm->name);
        end(&w);
        end(&before);
    }
}

/* ---- parameters that stay ---- */

Test(optim_algorithms, frozen_parameters_and_their_state_stay)
{
    FOR_EACH_ALGORITHM
    {
        world w = begin(algorithm, 1), before = begin(algorithm, 1);
        ito_requires_grad(ito_module_find(w.model, "out.weight"), false);
        ito_requires_grad(ito_module_find(w.model, "gain"), false);
        take_steps(w.model, w.opt, 0, 3, algorithm->lr);
        const char *const frozen[] = {"out.weight", "gain"};
        for (int i = 0; i < 2; i++) {
            ito_tensor *p = ito_module_find(w.model, frozen[i]);
            cr_expect_arr_eq(ito_data(p), ito_data(ito_module_find(before.model, frozen[i])),
                             (size_t)ito_numel(p) * sizeof(float), "%s: %s", algorithm->name,
                             frozen[i]);
        }
        cr_expect_neq(element(ito_module_find(w.model, "conv.bias"), 0),
                      element(ito_module_find(before.model, "conv.bias"), 0), "%s",
                      algorithm->name);
        end(&w);
        end(&before);
    }
}

Test(optim_algorithms, a_rate_of_0_moves_nothing)
{
    FOR_EACH_ALGORITHM
    {
        world w = begin(algorithm, 1), before = begin(algorithm, 1);
        take_steps(w.model, w.opt, 0, 3, 0);
        cr_expect(lists_agree(ito_module_parameters(w.model), ito_module_parameters(before.model)),
                  "%s", algorithm->name);
        end(&w);
        end(&before);
    }
}

/* A model without parameters, and a parameter without numbers. */
Test(optim_algorithms, nothing_to_train_is_no_error)
{
    FOR_EACH_ALGORITHM
    {
        ito_module *none = ito_module_create(NULL, "", sizeof *none);
        ito_module *empty = ito_module_create(NULL, "", sizeof *empty);
        ito_module_parameter(empty, "e", ito_zeros(ITO_SHAPE(0, 3), ITO_F32));
        ito_module_parameter(empty, "p", ito_ones(ITO_SHAPE(2, 3), ITO_F32));
        ito_module *each_model[] = {none, empty};
        for (int i = 0; i < 2; i++) {
            ito_optimizer *opt = algorithm->create(each_model[i]);
            cr_assert_not_null(opt, "%s: %s", algorithm->name, ito_error());
            for (int t = 0; t < 2; t++)
                cr_expect_eq(ito_optimizer_step(opt, 0.1), ITO_OK, "%s: %s", algorithm->name,
                             ito_error());
            ito_optimizer_free(opt);
            ito_module_free(each_model[i]);
        }
    }
}

/* ---- what they are for ---- */

/* The mean square of x w - y for y made by another w. */
static double fit(const ito_optimizer_algorithm *a, int steps, double lr)
{
    ito_generator g = ito_generator_make(5, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *w = ito_module_parameter(m, "w", ito_randn(&g, ITO_SHAPE(8, 6), ITO_F32));
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(64, 8), ITO_F32);
    ito_tensor *y = ito_matmul(x, ito_randn(&g, ITO_SHAPE(8, 6), ITO_F32));
    ito_optimizer *opt = a->create(m);
    for (int t = 0; t < steps; t++) {
        ito_scope_begin();
        ito_module_zero_grad(m);
        cr_assert_eq(ito_backward(ito_mse_loss(ito_matmul(x, w), y)), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(opt, lr), ITO_OK, "%s", ito_error());
        ito_scope_end();
    }
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    double loss = ito_item(ito_mse_loss(ito_matmul(x, ito_detach(w)), y));
    ito_optimizer_free(opt);
    ito_module_free(m);
    return loss;
}

Test(optim_algorithms, each_fits_a_linear_map)
{
    FOR_EACH_ALGORITHM
    {
        double lr = algorithm == &ito_optimizer_sgd                 ? 1.0
                    : algorithm == &ito_optimizer_adagrad           ? 0.5
                    : algorithm == &ito_optimizer_schedule_free_sgd ? 5.0
                                                                    : 0.1;
        double before = fit(algorithm, 0, lr), after = fit(algorithm, 150, lr);
        cr_expect_lt(after, before / 20, "%s: %g after %g", algorithm->name, after, before);
    }
}

Test(optim_algorithms, names_find_them)
{
    FOR_EACH_ALGORITHM
    {
        cr_expect_eq(ito_optimizer_find(algorithm->name), algorithm);
    }
    expect_refused(ito_optimizer_find("adm"), ITO_ERR_ARGUMENT,
                   "optimizer: there is no \"adm\"; there are adam, adamw, sgd, rmsprop, adagrad, "
                   "radam, lion, adafactor, muon, soap, schedule_free_adamw and "
                   "schedule_free_sgd");
}
