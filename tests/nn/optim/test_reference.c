/* Steps that PyTorch, and the papers' code where PyTorch has no such optimiser, take: see
 * tests/reference/make_optim_fixture.py. */
#include "autograd/ops.h"
#include "tensor/io/safetensors.h"
#include "tests/nn/optim/optim_check.h"

#include <stdio.h>

/* 8 steps of numbers below 4. In f64 the orders of sums differ. In f32 each step rounds, and what
 * divides by a small root, or an iteration, makes more of it: hence the largest. */
#define TOLERANCE_F64 1e-11
#define TOLERANCE_F32 5e-4

#define LR 0.05

enum { STEPS = 8, PARAMETERS = 3 };
static const char *const names[PARAMETERS] = {"w", "a", "b"};

typedef ito_optimizer *make(ito_module *m);

#define CASE(name, ...)                                                                            \
    static ito_optimizer *name(ito_module *m)                                                      \
    {                                                                                              \
        return __VA_ARGS__;                                                                        \
    }

CASE(adam_amsgrad, ito_adam_create(m, .amsgrad = true, .beta2 = 0.7))
CASE(adamw_amsgrad, ito_adamw_create(m, .amsgrad = true, .beta2 = 0.7))
CASE(sgd_dampening, ito_sgd_create(m, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.1))
CASE(rmsprop, ito_rmsprop_create(m))
CASE(rmsprop_decay, ito_rmsprop_create(m, .alpha = 0.9, .eps = 1e-3, .weight_decay = 0.1))
CASE(rmsprop_centered, ito_rmsprop_create(m, .centered = true, .alpha = 0.9))
CASE(rmsprop_momentum, ito_rmsprop_create(m, .momentum = 0.8, .centered = true))
CASE(adagrad, ito_adagrad_create(m))
CASE(adagrad_decay, ito_adagrad_create(m, .lr_decay = 0.1, .weight_decay = 0.1,
                                       .initial_accumulator_value = 0.5, .eps = 1e-3))
CASE(radam, ito_radam_create(m))
CASE(radam_decay, ito_radam_create(m, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1))
CASE(radam_decoupled, ito_radam_create(m, .weight_decay = 0.1, .decoupled_weight_decay = true))
CASE(lion, ito_lion_create(m))
CASE(lion_decay, ito_lion_create(m, .beta1 = 0.5, .beta2 = 0.8, .weight_decay = 0.1))
CASE(adafactor, ito_adafactor_create(m))
CASE(adafactor_decay, ito_adafactor_create(m, .beta2_decay = -0.5, .eps1 = 1e-3, .eps2 = 0.1,
                                           .d = 1.5, .weight_decay = 0.1))
CASE(muon, ito_muon_create(m))
CASE(muon_rms,
     ito_muon_create(m, .adamw_lr = 0.5, .adamw_beta1 = 0.8, .adamw_beta2 = 0.9, .adamw_eps = 1e-3,
                     .adamw_weight_decay = 0.2, .weight_decay = 0.3, .momentum = 0.8,
                     .nesterov = false, .ns_a = 2.0, .ns_b = -1.5, .ns_c = 0.5, .ns_steps = 3,
                     .adjust_lr_fn = ITO_MUON_MATCH_RMS_ADAMW))
CASE(muon_spectral, ito_muon_create(m, .adjust_lr_fn = ITO_MUON_SPECTRAL_UNCLAMPED))
CASE(soap, ito_soap_create(m, .precondition_frequency = 3))
CASE(soap_options,
     ito_soap_create(m, .beta1 = 0.8, .beta2 = 0.9, .shampoo_beta = 0.7, .eps = 1e-3,
                     .weight_decay = 0.1, .precondition_frequency = 2, .max_precond_dim = 5,
                     .normalize_grads = true, .correct_bias = false))
CASE(soap_merged,
     ito_soap_create(m, .max_precond_dim = 6, .merge_dims = true, .precondition_frequency = 2))
CASE(schedule_free_adamw, ito_schedule_free_adamw_create(m))
CASE(schedule_free_adamw_options,
     ito_schedule_free_adamw_create(m, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1,
                                    .r = 0.5, .weight_lr_power = 1.0))
CASE(schedule_free_sgd, ito_schedule_free_sgd_create(m))
CASE(schedule_free_sgd_options,
     ito_schedule_free_sgd_create(m, .momentum = 0.7, .weight_decay = 0.1, .r = 1.0))

typedef struct reference_case {
    const char *name;
    make *create;
    int64_t warmup; /* steps in which the learning rate rises */
} reference_case;

#define ROW(name)                                                                                  \
    {                                                                                              \
#name, name, 0                                                                             \
    }

static const reference_case cases[] = {
    ROW(adam_amsgrad),
    ROW(adamw_amsgrad),
    ROW(sgd_dampening),
    ROW(rmsprop),
    ROW(rmsprop_decay),
    ROW(rmsprop_centered),
    ROW(rmsprop_momentum),
    ROW(adagrad),
    ROW(adagrad_decay),
    ROW(radam),
    ROW(radam_decay),
    ROW(radam_decoupled),
    ROW(lion),
    ROW(lion_decay),
    ROW(adafactor),
    ROW(adafactor_decay),
    ROW(muon),
    ROW(muon_rms),
    ROW(muon_spectral),
    ROW(soap),
    ROW(soap_options),
    ROW(soap_merged),
    ROW(schedule_free_adamw),
    {"schedule_free_adamw_options", schedule_free_adamw_options, 5},
    ROW(schedule_free_sgd),
    {"schedule_free_sgd_options", schedule_free_sgd_options, 5},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static ito_safetensors *fixture;

static void open_fixture(void)
{
    const char *source = getenv("ITO_SOURCE");
    fixture = ito_safetensors_open(
        in_directory(source != NULL ? source : ".", "tests/reference/optim.safetensors"));
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(optim_reference, .init = open_fixture, .fini = close_fixture);

static ito_tensor *stored(const char *in, const char *name)
{
    char key[96];
    snprintf(key, sizeof key, "%s/%s", in, name);
    ito_tensor *t = ito_safetensors_read(fixture, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* The largest difference between p and part t of `wanted`. */
static double difference(const ito_tensor *p, const ito_tensor *wanted, int64_t t)
{
    const double *want = (const double *)ito_const_data(wanted) + t * ito_numel(p);
    double largest = 0;
    for (int64_t i = 0; i < ito_numel(p); i++)
        largest = fmax(largest, fabs(element(p, i) - want[i]));
    return largest;
}

static void set_gradient(ito_tensor *p, const ito_tensor *grads, int64_t t)
{
    ito_tensor *g = ito_grad_of(p);
    const double *from = (const double *)ito_const_data(grads) + t * ito_numel(p);
    for (int64_t i = 0; i < ito_numel(p); i++)
        if (ito_dtype_of(p) == ITO_F64)
            ((double *)ito_data(g))[i] = from[i];
        else
            ((float *)ito_data(g))[i] = (float)from[i];
}

static void follow(const reference_case *c, ito_dtype dtype)
{
    double tolerance = dtype == ITO_F64 ? TOLERANCE_F64 : TOLERANCE_F32;
    ito_tensor *p[PARAMETERS], *grads[PARAMETERS], *wanted[PARAMETERS];
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    for (int i = 0; i < PARAMETERS; i++) {
        p[i] = ito_module_parameter(m, names[i], ito_cast(stored("start", names[i]), dtype));
        grads[i] = stored("grads", names[i]);
        wanted[i] = stored(c->name, names[i]);
    }
    ito_optimizer *opt = c->create(m);
    cr_assert_not_null(opt, "%s", ito_error());
    for (int64_t t = 0; t < STEPS; t++) {
        for (int i = 0; i < PARAMETERS; i++)
            set_gradient(p[i], grads[i], t);
        double warm = t < c->warmup ? (double)(t + 1) / (double)c->warmup : 1;
        cr_assert_eq(ito_optimizer_step(opt, LR * warm), ITO_OK, "%s", ito_error());
        for (int i = 0; i < PARAMETERS; i++)
            cr_expect_lt(difference(p[i], wanted[i], t), tolerance, "%s, %s, %s, step %d: %g",
                         c->name, ito_dtype_name(dtype), names[i], (int)t,
                         difference(p[i], wanted[i], t));
    }
    if (strncmp(c->name, "schedule_free", 13) == 0) {
        char evaluated[64];
        snprintf(evaluated, sizeof evaluated, "%s/evaluated", c->name);
        cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
        for (int i = 0; i < PARAMETERS; i++)
            cr_expect_lt(difference(p[i], stored(evaluated, names[i]), 0), tolerance,
                         "%s evaluated", c->name);
    }
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim_reference, the_steps_of_others_in_f64)
{
    for (int k = 0; k < CASES; k++)
        follow(&cases[k], ITO_F64);
}

Test(optim_reference, the_steps_of_others_in_f32)
{
    for (int k = 0; k < CASES; k++)
        follow(&cases[k], ITO_F32);
}

/* The row of an algorithm without a case would be tested against nothing. */
Test(optim_reference, every_algorithm_has_a_case)
{
    FOR_EACH_ALGORITHM
    {
        int of_it = 0;
        for (int k = 0; k < CASES; k++)
            of_it += strncmp(cases[k].name, algorithm->name, strlen(algorithm->name)) == 0;
        cr_expect(of_it > 0, "%s", algorithm->name);
    }
}
