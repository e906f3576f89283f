/* Averages of powers of time, their snapshots, and averages of other widths made of these. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "nn/posthoc.h"
#include "tests/german.h"
#include "tests/nn/nn_check.h"

#include <math.h>

/* ---- averages of a power of time ---- */

static ito_module *one_number(ito_tensor **p)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    *p = ito_module_parameter(m, "p", ito_zeros(ITO_SHAPE(1), ITO_F64));
    cr_assert_not_null(*p);
    return m;
}

/* The weight of step k of n in the average: that of a run in which only its parameter is 1. */
static double weight_of(double sigma, int k, int n)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    ito_ema *ema = ito_ema_create(m, .sigma_rel = sigma);
    cr_assert_not_null(ema, "%s", ito_error());
    for (int t = 0; t < n; t++) {
        *(double *)ito_data(p) = t == k;
        cr_assert_eq(ito_ema_update(ema), ITO_OK);
    }
    ito_named_tensors *state = ito_ema_state(ema);
    double weight = element(state->tensors[0], 0);
    ito_named_tensors_free(state);
    ito_ema_free(ema);
    ito_module_free(m);
    return weight;
}

/* Of 200 steps; their times are known to half a step, which is 0.25 % of the length. */
Test(posthoc, weights_add_up_to_1_and_have_the_width_that_was_asked_for)
{
    enum { STEPS = 200 };
    const double widths[] = {0.05, 0.1, 0.2, 0.288};
    for (int i = 0; i < 4; i++) {
        double sum = 0, mean = 0, square = 0;
        for (int k = 0; k < STEPS; k++) {
            double w = weight_of(widths[i], k, STEPS), t = (k + 0.5) / STEPS;
            sum += w;
            mean += w * t;
            square += w * t * t;
        }
        double width = sqrt(square - mean * mean);
        cr_expect(fabs(sum - 1) < 1e-13, "%g", sum);
        cr_expect(fabs(width - widths[i]) < 0.0025, "%g, not %g", width, widths[i]);
    }
}

/* The paper's numbers, section 3.1: sigma_rel 0.05 and 0.10 are gamma 16.97 and 6.94. */
Test(posthoc, powers_are_those_of_the_paper)
{
    const double sigma[] = {0.05, 0.1}, gamma[] = {16.97, 6.94};
    for (int i = 0; i < 2; i++) {
        ito_tensor *p;
        ito_module *m = one_number(&p);
        ito_ema *ema = ito_ema_create(m, .sigma_rel = sigma[i]);
        cr_expect_eq(ito_ema_decay(ema), 0, "the first update forgets the start");
        cr_assert_eq(ito_ema_set_updates(ema, 1), ITO_OK);
        double got = log(ito_ema_decay(ema)) / log(0.5) - 1;
        cr_expect(fabs(got - gamma[i]) < 0.005, "%g, not %g", got, gamma[i]);
        ito_ema_free(ema);
        ito_module_free(m);
    }
}

Test(posthoc, averages_refuse_widths_that_there_are_not)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    expect_refused(ito_ema_create(m, .sigma_rel = 0.3), ITO_ERR_RANGE,
                   "ema: sigma_rel 0.3 is not in (0, 0.288]");
    expect_refused(ito_ema_create(m, .sigma_rel = -0.1), ITO_ERR_RANGE,
                   "ema: sigma_rel -0.1 is not in (0, 0.288]");
    expect_refused(ito_ema_create(m, .sigma_rel = (double)NAN), ITO_ERR_RANGE,
                   "ema: sigma_rel nan is not in (0, 0.288]");
    expect_refused(ito_ema_create(m, .sigma_rel = 0.1, .warmup = true), ITO_ERR_ARGUMENT,
                   "ema: warmup does not go with sigma_rel");
    ito_module_free(m);
}

/* ---- reconstruction ---- */

enum { STEPS = 480, EVERY = 20, DIRECT = 5, EARLY = 320 };
static const double direct_widths[DIRECT] = {0.05, 0.06, 0.075, 0.12, 0.2};

/* A network that learns sin(3 x), in batches. */
typedef struct run {
    ito_module *model;
    ito_linear_layer *in, *out;
    ito_optimizer *opt;
    ito_generator g;
    ito_ema *tracked[2], *direct[DIRECT];
    const char *dir;
} run;

static void begin(run *r)
{
    *r = (run){.model = ito_module_create(NULL, "", sizeof(ito_module)),
               .g = ito_generator_make(4, 0),
               .dir = temporary_directory()};
    r->in = ito_linear_create(r->model, "in", 1, 24, .generator = &r->g);
    r->out = ito_linear_create(r->model, "out", 24, 1, .generator = &r->g);
    r->opt = ito_adam_create(r->model);
    for (int i = 0; i < 2; i++)
        r->tracked[i] = ito_ema_create(r->model, .sigma_rel = i == 0 ? 0.05 : 0.1);
    for (int i = 0; i < DIRECT; i++)
        r->direct[i] = ito_ema_create(r->model, .sigma_rel = direct_widths[i]);
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
}

static void train_to(run *r, int first, int last)
{
    for (int t = first; t < last; t++) {
        ito_scope_begin();
        ito_module_zero_grad(r->model);
        ito_tensor *x = ito_randn(&r->g, ITO_SHAPE(16, 1), ITO_F32);
        ito_tensor *y = ito_linear_forward(r->out, ito_tanh(ito_linear_forward(r->in, x)));
        cr_assert_eq(ito_backward(ito_mse_loss(y, ito_sin(ito_mul_scalar(x, 3)))), ITO_OK, "%s",
                     ito_error());
        cr_assert_eq(ito_optimizer_step(r->opt, 0.02, .ema = r->tracked[0]), ITO_OK);
        cr_assert_eq(ito_ema_update(r->tracked[1]), ITO_OK);
        for (int i = 0; i < DIRECT; i++)
            cr_assert_eq(ito_ema_update(r->direct[i]), ITO_OK);
        for (int i = 0; i < 2 && (t + 1) % EVERY == 0; i++)
            cr_assert_eq(ito_ema_snapshot(r->tracked[i], r->dir, .bf16 = false), ITO_OK, "%s",
                         ito_error());
        ito_scope_end();
    }
}

static void end(run *r)
{
    for (int i = 0; i < 2; i++)
        ito_ema_free(r->tracked[i]);
    for (int i = 0; i < DIRECT; i++)
        ito_ema_free(r->direct[i]);
    ito_optimizer_free(r->opt);
    ito_module_free(r->model);
    remove_tree(r->dir);
}

/* |a - b| / |b| over all tensors of two lists, which are freed. */
static double distance(ito_named_tensors *a, ito_named_tensors *b)
{
    double square = 0, size = 0;
    cr_assert(a != NULL && b != NULL && a->n == b->n);
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t k = 0; k < ito_numel(a->tensors[i]); k++) {
            double x = (double)((const float *)ito_const_data(a->tensors[i]))[k];
            double y = (double)((const float *)ito_const_data(b->tensors[i]))[k];
            square += (x - y) * (x - y);
            size += y * y;
        }
    ito_named_tensors_free(a);
    ito_named_tensors_free(b);
    return sqrt(square / size);
}

/* A model with the reconstruction of a width at that time. */
static ito_named_tensors *reconstruction(const run *r, double width, int64_t updates)
{
    cr_assert_eq(ito_ema_reconstruct(r->model, r->dir, width, .updates = updates), ITO_OK, "%s",
                 ito_error());
    return ito_module_parameters(r->model);
}

/* The measure of the paper, whose error is below that for its networks; and the parameters
 * themselves are further from the averages, or nothing would have been shown. */
Test(posthoc, other_widths_are_within_a_percent_of_their_direct_averages)
{
    run r;
    begin(&r);
    train_to(&r, 0, STEPS);
    double raw = distance(ito_module_parameters(r.model), ito_ema_state(r.direct[DIRECT - 1]));
    cr_expect_gt(raw, 0.05, "%g", raw);
    for (int i = 0; i < DIRECT; i++) {
        double error =
            distance(reconstruction(&r, direct_widths[i], -1), ito_ema_state(r.direct[i]));
        cr_expect_lt(error, 0.01, "sigma_rel %g: %g", direct_widths[i], error);
    }
    end(&r);
}

/* Snapshots of later times are not used. */
Test(posthoc, an_earlier_time_has_what_was_known_then)
{
    run r;
    begin(&r);
    train_to(&r, 0, EARLY);
    ito_named_tensors *before = ito_ema_state(r.direct[DIRECT - 1]);
    float *kept[4];
    for (int64_t i = 0; i < before->n; i++) {
        size_t bytes = (size_t)ito_numel(before->tensors[i]) * sizeof(float);
        kept[i] = memcpy(malloc(bytes), ito_const_data(before->tensors[i]), bytes);
    }
    train_to(&r, EARLY, STEPS);
    for (int64_t i = 0; i < before->n; i++) {
        memcpy(ito_data(before->tensors[i]), kept[i],
               (size_t)ito_numel(before->tensors[i]) * sizeof(float));
        free(kept[i]);
    }
    double error = distance(reconstruction(&r, direct_widths[DIRECT - 1], EARLY), before);
    cr_expect_lt(error, 0.01, "%g", error);
    end(&r);
}

Test(posthoc, a_width_that_was_tracked_is_its_snapshot)
{
    run r;
    begin(&r);
    train_to(&r, 0, 2 * EVERY);
    double error = distance(reconstruction(&r, 0.1, -1), ito_ema_state(r.tracked[1]));
    cr_expect_lt(error, 1e-6, "%g", error);
    end(&r);
}

/* ---- refusals ---- */

Test(posthoc, snapshots_are_of_averages_of_a_width)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    ito_ema *plain = ito_ema_create(m), *ema = ito_ema_create(m, .sigma_rel = 0.1);
    cr_expect_eq(ito_ema_snapshot(ema, "nowhere"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_snapshot: the averages were never updated");
    cr_assert_eq(ito_ema_update(plain), ITO_OK);
    cr_assert_eq(ito_ema_update(ema), ITO_OK);
    cr_expect_eq(ito_ema_snapshot(plain, "nowhere"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_snapshot: the averages were created without sigma_rel");
    cr_expect_eq(ito_ema_snapshot(ema, "/proc/none/there"), ITO_ERR_IO);
    expect_error(ITO_ERR_IO,
                 "/proc/none/there: cannot make the directory: No such file or directory");
    cr_assert_eq(ito_ema_swap(ema), ITO_OK);
    cr_expect_eq(ito_ema_snapshot(ema, "nowhere"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "ema_snapshot: the averages are in the model's place; swap them back");
    cr_expect_eq(ito_ema_snapshot(NULL, "nowhere"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_snapshot: the averages is NULL");
    cr_expect_eq(ito_ema_snapshot(ema, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_snapshot: the directory is NULL");
    cr_expect_not(path_exists("nowhere"));
    ito_ema_free(plain);
    ito_ema_free(ema);
    ito_module_free(m);
}

/* A directory with one snapshot of a model of one number. */
static const char *with_snapshot(ito_module *m)
{
    const char *dir = temporary_directory();
    ito_ema *ema = ito_ema_create(m, .sigma_rel = 0.1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(ito_ema_update(ema), ITO_OK);
    cr_assert_eq(ito_ema_snapshot(ema, dir), ITO_OK, "%s", ito_error());
    cr_assert(path_exists(in_directory(dir, "sigma-0.1-update-5.safetensors")));
    ito_ema_free(ema);
    return dir;
}

Test(posthoc, a_snapshot_is_the_same_in_any_locale)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    const char *locale = begin_german(), *dir = with_snapshot(m);
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.1), ITO_OK, "%s", ito_error());
    end_german(locale);
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.1), ITO_OK, "%s", ito_error());
    remove_tree(dir);
    ito_module_free(m);
}

Test(posthoc, reconstruction_refuses_what_it_cannot_make)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    const char *dir = with_snapshot(m);
    char message[700];
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.5), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "ema_reconstruct: sigma_rel 0.5 is not in (0, 0.288]");
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.1, .updates = 0), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "ema_reconstruct: updates 0; they are at least 1, or -1 for the "
                                "last snapshot");
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.1, .updates = 4), ITO_ERR_ARGUMENT);
    snprintf(message, sizeof message, "%s: there is no snapshot of averages in it up to update 4",
             dir);
    expect_error(ITO_ERR_ARGUMENT, message);
    cr_expect_eq(ito_ema_reconstruct(NULL, dir, 0.1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_reconstruct: the model is NULL");
    cr_expect_eq(ito_ema_reconstruct(m, NULL, 0.1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema_reconstruct: the directory is NULL");
    cr_expect_eq(ito_ema_reconstruct(m, "/proc/none", 0.1), ITO_ERR_IO);
    expect_error(ITO_ERR_IO,
                 "/proc/none: cannot look for snapshots in it: No such file or directory");
    /* Other tensors are no snapshots. */
    cr_assert_eq(unlink(in_directory(dir, "sigma-0.1-update-5.safetensors")), 0);
    cr_assert_eq(ito_module_save(m, in_directory(dir, "model.safetensors")), ITO_OK);
    cr_expect_eq(ito_ema_reconstruct(m, dir, 0.1), ITO_ERR_ARGUMENT);
    snprintf(message, sizeof message, "%s: there is no snapshot of averages in it", dir);
    expect_error(ITO_ERR_ARGUMENT, message);
    remove_tree(dir);
    ito_module_free(m);
}

Test(posthoc, snapshots_of_other_models_are_refused)
{
    ito_tensor *p;
    ito_module *m = one_number(&p);
    const char *dir = with_snapshot(m);
    char message[700];
    ito_module *wider = ito_module_create(NULL, "", sizeof *wider);
    ito_module *named = ito_module_create(NULL, "", sizeof *named);
    ito_module_parameter(wider, "p", ito_ones(ITO_SHAPE(2), ITO_F64));
    ito_module_parameter(named, "q", ito_ones(ITO_SHAPE(1), ITO_F64));
    cr_expect_eq(ito_ema_reconstruct(wider, dir, 0.1), ITO_ERR_SHAPE);
    snprintf(message, sizeof message,
             "%s/sigma-0.1-update-5.safetensors: p is [1] in the file and [2] in the model", dir);
    expect_error(ITO_ERR_SHAPE, message);
    cr_expect_eq(ito_ema_reconstruct(named, dir, 0.1), ITO_ERR_FORMAT);
    snprintf(message, sizeof message,
             "%s/sigma-0.1-update-5.safetensors: it has no q, which the model has", dir);
    expect_error(ITO_ERR_FORMAT, message);
    cr_expect_eq(element(ito_module_find(wider, "p"), 0), 1);
    remove_tree(dir);
    ito_module_free(m);
    ito_module_free(wider);
    ito_module_free(named);
}

typedef struct attempt {
    ito_module *model;
    ito_ema *ema;
    const char *dir;
} attempt;

static ito_status try_to_reconstruct(void *context)
{
    const attempt *a = context;
    ito_status status = ito_ema_snapshot(a->ema, a->dir, .bf16 = true);
    return status != ITO_OK ? status : ito_ema_reconstruct(a->model, a->dir, 0.1);
}

Test(posthoc, survives_every_failing_allocation)
{
    ito_tensor *p;
    attempt a = {.model = one_number(&p)};
    a.dir = with_snapshot(a.model);
    a.ema = ito_ema_create(a.model, .sigma_rel = 0.05);
    cr_assert_eq(ito_ema_update(a.ema), ITO_OK);
    cr_expect_geq(count_failed_allocations(try_to_reconstruct, &a), 20);
    remove_tree(a.dir);
    ito_ema_free(a.ema);
    ito_module_free(a.model);
}
