/* Options out of range, each with its sentence; and that 0 and the other ends are taken. */
#include "tests/nn/optim/optim_check.h"

#define NAN_F64 ((double)NAN)
#define INF_F64 ((double)INFINITY)

static ito_module *m;

static void open_model(void)
{
    m = small_model(ITO_F32, 1);
}

static void close_model(void)
{
    ito_module_free(m);
}

TestSuite(optim_refusals, .init = open_model, .fini = close_model);

static void is_taken(ito_optimizer *opt)
{
    cr_assert_not_null(opt, "%s", ito_error());
    take_steps(m, opt, 0, 2, 0.01);
    ito_optimizer_free(opt);
}

#define REFUSED(create, ...) expect_refused(create, ITO_ERR_RANGE, __VA_ARGS__)

Test(optim_refusals, sgd)
{
    REFUSED(ito_sgd_create(m, .dampening = -0.1), "sgd: dampening -0.1 is not in [0, 1]");
    REFUSED(ito_sgd_create(m, .dampening = 1.5), "sgd: dampening 1.5 is not in [0, 1]");
    expect_refused(ito_sgd_create(m, .momentum = 0.9, .dampening = 0.1, .nesterov = true),
                   ITO_ERR_ARGUMENT, "sgd: nesterov does not go with dampening");
    is_taken(ito_sgd_create(m, .momentum = 0.9, .dampening = 1));
}

Test(optim_refusals, rmsprop)
{
    REFUSED(ito_rmsprop_create(m, .alpha = 1), "rmsprop: alpha 1 is not in [0, 1)");
    REFUSED(ito_rmsprop_create(m, .eps = -1), "rmsprop: eps -1 is negative or not finite");
    REFUSED(ito_rmsprop_create(m, .weight_decay = NAN_F64),
            "rmsprop: weight decay nan is negative or not finite");
    REFUSED(ito_rmsprop_create(m, .momentum = 1), "rmsprop: momentum 1 is not in [0, 1)");
    is_taken(ito_rmsprop_create(m, .alpha = 0, .eps = 0));
}

Test(optim_refusals, adagrad)
{
    REFUSED(ito_adagrad_create(m, .lr_decay = -1),
            "adagrad: lr_decay -1 is negative or not finite");
    REFUSED(ito_adagrad_create(m, .weight_decay = -1),
            "adagrad: weight decay -1 is negative or not finite");
    REFUSED(ito_adagrad_create(m, .initial_accumulator_value = INF_F64),
            "adagrad: initial_accumulator_value inf is negative or not finite");
    REFUSED(ito_adagrad_create(m, .eps = -1), "adagrad: eps -1 is negative or not finite");
    is_taken(ito_adagrad_create(m, .eps = 0));
}

Test(optim_refusals, radam)
{
    REFUSED(ito_radam_create(m, .beta1 = 1), "radam: beta1 1 is not in [0, 1)");
    REFUSED(ito_radam_create(m, .beta2 = 1), "radam: beta2 1 is not in [0, 1)");
    REFUSED(ito_radam_create(m, .eps = -1), "radam: eps -1 is negative or not finite");
    REFUSED(ito_radam_create(m, .weight_decay = -1),
            "radam: weight decay -1 is negative or not finite");
    is_taken(ito_radam_create(m, .beta1 = 0, .beta2 = 0, .eps = 0));
}

Test(optim_refusals, lion)
{
    REFUSED(ito_lion_create(m, .beta1 = -1), "lion: beta1 -1 is not in [0, 1)");
    REFUSED(ito_lion_create(m, .beta2 = 1), "lion: beta2 1 is not in [0, 1)");
    REFUSED(ito_lion_create(m, .weight_decay = INF_F64),
            "lion: weight decay inf is negative or not finite");
    is_taken(ito_lion_create(m, .beta1 = 0, .beta2 = 0));
}

Test(optim_refusals, adafactor)
{
    REFUSED(ito_adafactor_create(m, .beta2_decay = 0.5),
            "adafactor: beta2_decay 0.5 is above 0 or not finite");
    REFUSED(ito_adafactor_create(m, .beta2_decay = -INF_F64),
            "adafactor: beta2_decay -inf is above 0 or not finite");
    REFUSED(ito_adafactor_create(m, .eps1 = -1), "adafactor: eps1 -1 is negative or not finite");
    REFUSED(ito_adafactor_create(m, .eps2 = NAN_F64),
            "adafactor: eps2 nan is negative or not finite");
    REFUSED(ito_adafactor_create(m, .d = 0.5), "adafactor: d 0.5 is below 1 or not finite");
    REFUSED(ito_adafactor_create(m, .weight_decay = -1),
            "adafactor: weight decay -1 is negative or not finite");
    is_taken(ito_adafactor_create(m, .beta2_decay = 0, .eps1 = 0, .eps2 = 0));
}

Test(optim_refusals, muon)
{
    REFUSED(ito_muon_create(m, .ns_steps = 100), "muon: ns_steps 100 is not in [0, 100)");
    REFUSED(ito_muon_create(m, .ns_steps = -1), "muon: ns_steps -1 is not in [0, 100)");
    REFUSED(ito_muon_create(m, .ns_b = NAN_F64),
            "muon: the coefficients 3.4445, nan, 2.0315 are not finite");
    REFUSED(ito_muon_create(m, .eps = 0), "muon: eps 0 is not above 0 and finite");
    REFUSED(ito_muon_create(m, .adjust_lr_fn = (ito_muon_adjust)7),
            "muon: there is no adjust_lr_fn 7");
    REFUSED(ito_muon_create(m, .momentum = 1), "muon: momentum 1 is not in [0, 1)");
    REFUSED(ito_muon_create(m, .weight_decay = -1),
            "muon: weight decay -1 is negative or not finite");
    REFUSED(ito_muon_create(m, .adamw_lr = -1), "muon: adamw_lr -1 is negative or not finite");
    REFUSED(ito_muon_create(m, .adamw_weight_decay = -1),
            "muon: adamw_weight_decay -1 is negative or not finite");
    REFUSED(ito_muon_create(m, .adamw_beta1 = 1), "muon: beta1 1 is not in [0, 1)");
    REFUSED(ito_muon_create(m, .adamw_beta2 = 1), "muon: beta2 1 is not in [0, 1)");
    is_taken(ito_muon_create(m, .ns_steps = 0, .momentum = 0, .adamw_lr = 0));
}

Test(optim_refusals, soap)
{
    REFUSED(ito_soap_create(m, .beta1 = 1), "soap: beta1 1 is not in [0, 1)");
    REFUSED(ito_soap_create(m, .beta2 = -1), "soap: beta2 -1 is not in [0, 1)");
    REFUSED(ito_soap_create(m, .shampoo_beta = 1),
            "soap: shampoo_beta 1 is not below 1 or not finite");
    REFUSED(ito_soap_create(m, .eps = -1), "soap: eps -1 is negative or not finite");
    REFUSED(ito_soap_create(m, .weight_decay = -1),
            "soap: weight decay -1 is negative or not finite");
    REFUSED(ito_soap_create(m, .precondition_frequency = 0),
            "soap: precondition_frequency 0 is below 1");
    REFUSED(ito_soap_create(m, .max_precond_dim = -1), "soap: max_precond_dim -1 is negative");
    is_taken(ito_soap_create(m, .max_precond_dim = 0, .shampoo_beta = 0, .beta1 = 0));
    is_taken(ito_soap_create(m, .precondition_1d = true, .precondition_frequency = 1));
}

Test(optim_refusals, schedule_free)
{
    REFUSED(ito_schedule_free_adamw_create(m, .beta1 = 0),
            "schedule_free_adamw: beta1 0 is not in (0, 1)");
    REFUSED(ito_schedule_free_adamw_create(m, .beta2 = 1),
            "schedule_free_adamw: beta2 1 is not in [0, 1)");
    REFUSED(ito_schedule_free_adamw_create(m, .eps = -1),
            "schedule_free_adamw: eps -1 is negative or not finite");
    REFUSED(ito_schedule_free_adamw_create(m, .weight_decay = -1),
            "schedule_free_adamw: weight decay -1 is negative or not finite");
    REFUSED(ito_schedule_free_adamw_create(m, .r = -1),
            "schedule_free_adamw: r -1 is negative or not finite");
    REFUSED(ito_schedule_free_adamw_create(m, .weight_lr_power = -1),
            "schedule_free_adamw: weight_lr_power -1 is negative or not finite");
    REFUSED(ito_schedule_free_sgd_create(m, .momentum = 1),
            "schedule_free_sgd: momentum 1 is not in (0, 1)");
    REFUSED(ito_schedule_free_sgd_create(m, .weight_decay = -1),
            "schedule_free_sgd: weight decay -1 is negative or not finite");
    is_taken(ito_schedule_free_adamw_create(m, .beta2 = 0, .weight_lr_power = 0));
}

Test(optim_refusals, no_model)
{
    FOR_EACH_ALGORITHM
    {
        expect_refused(algorithm->create(NULL), ITO_ERR_ARGUMENT, "flatten: the model is NULL");
    }
}
