/* Losses of students of diffusions, on data N(0, 1/4), whose best network, trajectories and
 * consistency function have closed forms:
 *     x_t sqrt(D_r / D_t) at r is on the trajectory of x_t, D = signal^2 / 4 + noise^2, and so
 *     f(x_t, t) = x_t / (2 sqrt(D_t)). */
#include "examples/few_step/consistency.h"
#include "examples/few_step/distillation.h"
#include "examples/few_step/jump.h"
#include "tests/models/ddpm/gaussian.h"

#include <criterion/criterion.h>
#include <math.h>

enum { N = 3, D = 5 };

TestSuite(few_step, .timeout = 600);

static ito_diffusion *diffusion(void)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_cosine, .prediction = &ito_prediction_v);
    cr_assert_not_null(d, "%s", ito_error());
    return d;
}

static ito_tensor *times(double a, double b, double c)
{
    return ito_values_of((double[]){a, b, c}, N, ITO_F64);
}

static ito_tensor *points(double scale)
{
    ito_generator g = ito_generator_make(3, 0);
    return ito_mul_scalar(ito_randn(&g, ITO_SHAPE(N, D), ITO_F64), scale);
}

static double at(const ito_tensor *t, int64_t i, int64_t j)
{
    return ((const double *)ito_const_data(t))[i * D + j];
}

static double near(const ito_tensor *a, const ito_tensor *b)
{
    double most = 0.0;
    for (int64_t i = 0; i < N * D; i++)
        most = fmax(most, fabs(at(a, 0, i) - at(b, 0, i)));
    return most;
}

/* ---- steps ---- */

Test(few_step, noised_data_begin_clean_and_end_as_noise)
{
    ito_diffusion *d = diffusion();
    ito_tensor *x_0 = points(0.5), *eps = points(1.0);
    ito_tensor *x = jump_noised(d->process, x_0, eps, times(-1, 499, 999));
    for (int64_t j = 0; j < D; j++) {
        cr_expect_eq(at(x, 0, j), at(x_0, 0, j));
        ito_level l = {d->process->signal[499], d->process->noise[499]};
        cr_expect_float_eq(at(x, 1, j), l.signal * at(x_0, 1, j) + l.noise * at(eps, 1, j), 1e-15);
        cr_expect_float_eq(at(x, 2, j), at(eps, 2, j), 1e-4);
    }
    ito_diffusion_free(d);
}

/* What the sampler reaches after two of its steps. */
typedef struct watched {
    double x[D];
} watched;

static bool watch(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)steps;
    if (done == 2)
        for (int64_t j = 0; j < D; j++)
            ((watched *)context)->x[j] = at(x, 0, j);
    return true;
}

/* Noise of deviation 3, so that some x_0-hat are clipped. */
Test(few_step, target_of_distillation_leads_where_two_steps_of_the_sampler_lead)
{
    static const double all[N][3] = {{999, 700, 499}, {499, 300, 20}, {63, 20, -1}};
    ito_diffusion *d = diffusion();
    gaussian_network net = gaussian_make(d, 0.0);
    ito_tensor *x_t = points(3.0), *path = ito_empty(ITO_SHAPE(3, N), ITO_F64);
    for (int64_t i = 0; i < N; i++)
        for (int64_t k = 0; k < 3; k++)
            ((double *)ito_data(path))[k * N + i] = all[i][k];
    ito_tensor *target = distillation_target(d, &net.base, x_t, path);
    cr_assert_not_null(target, "%s", ito_error());
    for (int64_t i = 0; i < N; i++) {
        watched w;
        int64_t steps = all[i][2] < 0 ? 2 : 3;
        cr_assert_not_null(ito_diffusion_sample_from(
            d, &net.base, ito_narrow(x_t, 0, i, 1), .sampler = &ito_sampler_ddim, .steps = steps,
            .times = all[i], .progress = watch, .progress_context = &w));
        ito_level t = ito_process_level(d->process, all[i][0]);
        ito_level s = ito_process_level(d->process, all[i][2]);
        for (int64_t j = 0; j < D; j++) {
            double x_0 = at(target, i, j), eps = (at(x_t, i, j) - t.signal * x_0) / t.noise;
            cr_expect_float_eq(s.signal * x_0 + s.noise * eps, w.x[j], 1e-12, "%g: %g, not %g",
                               all[i][0], s.signal * x_0 + s.noise * eps, w.x[j]);
        }
    }
    ito_diffusion_free(d);
}

Test(few_step, loss_of_distillation_is_weighted_by_the_snr_above_1)
{
    static const double t[N] = {999, 499, 100};
    ito_diffusion *d = diffusion();
    gaussian_network net = gaussian_make(d, 0.0);
    ito_tensor *x_t = points(1.0), *target = points(0.1);
    ito_tensor *losses = distillation_losses(d, &net.base, x_t, times(t[0], t[1], t[2]), target);
    for (int64_t i = 0; i < N; i++) {
        ito_level l = ito_process_level(d->process, t[i]);
        double sum = 0.0, snr = l.signal * l.signal / (l.noise * l.noise);
        for (int64_t j = 0; j < D; j++)
            sum +=
                pow(0.25 * l.signal / gaussian_variance(l) * at(x_t, i, j) - at(target, i, j), 2);
        double expected = (snr > 1.0 ? snr : 1.0) * sum / D;
        cr_expect_float_eq(((const double *)ito_const_data(losses))[i], expected, 1e-6 * expected);
    }
    ito_diffusion_free(d);
}

/* ---- consistency ---- */

/* v of the exact consistency function: f = signal x - noise v. */
static ito_tensor *exact(ito_network *self, const ito_network_input *in)
{
    const ito_diffusion *d = self->context;
    ito_tensor *v = ito_empty(ITO_SHAPE(N, D), ITO_F64), *x = ito_contiguous(in->x_t);
    for (int64_t i = 0; i < N; i++) {
        ito_level l = ito_process_level(d->process, ((const double *)ito_const_data(in->time))[i]);
        double f = 0.5 / sqrt(gaussian_variance(l));
        for (int64_t j = 0; j < D; j++)
            ((double *)ito_data(v))[i * D + j] = (l.signal - f) / l.noise * at(x, i, j);
    }
    return v;
}

/* x_r on the trajectory of each x_t. */
static ito_tensor *along(const ito_diffusion *d, ito_tensor *x_t, const double *t, const double *r)
{
    ito_tensor *x_r = ito_clone(x_t);
    for (int64_t i = 0; i < N * D; i++)
        ((double *)ito_data(x_r))[i] *=
            sqrt(gaussian_variance(ito_process_level(d->process, r[i / D])) /
                 gaussian_variance(ito_process_level(d->process, t[i / D])));
    return x_r;
}

Test(few_step, exact_consistency_function_has_no_loss_and_the_denoiser_has_one)
{
    static const double t[N] = {999, 500, 60}, r[N] = {940, 250, -1};
    ito_diffusion *d = diffusion();
    ito_network net = {.evaluate = exact, .context = d};
    gaussian_network denoiser = gaussian_make(d, 0.0);
    ito_tensor *x_t = points(0.3), *x_r = along(d, x_t, t, r);
    ito_tensor *ts = times(t[0], t[1], t[2]), *rs = times(r[0], r[1], r[2]);
    ito_tensor *none = consistency_losses(d, &net, x_t, ts, x_r, rs);
    ito_tensor *some = consistency_losses(d, &denoiser.base, x_t, ts, x_r, rs);
    double c = 0.00054 * sqrt(D);
    for (int64_t i = 0; i < N; i++) {
        cr_expect_lt(fabs(((const double *)ito_const_data(none))[i]), 1e-12);
        ito_level l = ito_process_level(d->process, t[i]), e = ito_process_level(d->process, r[i]);
        double f = 0.25 * l.signal / gaussian_variance(l);
        double g = r[i] < 0 ? 1.0 : 0.25 * e.signal / gaussian_variance(e), sum = c * c;
        for (int64_t j = 0; j < D; j++)
            sum += pow(f * at(x_t, i, j) - g * at(x_r, i, j), 2);
        double loss = ((const double *)ito_const_data(some))[i];
        cr_expect_float_eq(loss, sqrt(sum) - c, 1e-9);
        cr_expect_gt(loss, 0.01 * c, "example %d: the denoiser is consistent: %g", (int)i, loss);
    }
    ito_diffusion_free(d);
}

Test(few_step, second_point_has_the_same_noise_or_is_a_step_of_the_teacher)
{
    static const double t[N] = {999, 500, 60}, r[N] = {940, 250, -1};
    ito_diffusion *d = diffusion();
    gaussian_network net = gaussian_make(d, 0.0);
    few_step_options o = {.pairs = "data"};
    ito_ddpm teacher = {.diffusion = d, .network = &net.base};
    pupil p = {.o = &o, .teacher = &teacher};
    ito_tensor *ts = times(t[0], t[1], t[2]), *rs = times(r[0], r[1], r[2]);
    ito_tensor *x_0 = points(0.3), *eps = points(0.4), *x_t = points(0.2);
    ito_tensor *noised = consistency_second_point(&p, x_0, eps, x_t, ts, rs);
    o.pairs = "teacher";
    ito_tensor *stepped = consistency_second_point(&p, x_0, eps, x_t, ts, rs);
    for (int64_t i = 0; i < N; i++) {
        ito_level a = ito_process_level(d->process, t[i]), b = ito_process_level(d->process, r[i]);
        double gain = (0.25 * a.signal * b.signal + a.noise * b.noise) / gaussian_variance(a);
        for (int64_t j = 0; j < D; j++) {
            double expected = b.signal * at(x_0, i, j) + b.noise * at(eps, i, j);
            cr_expect_float_eq(at(noised, i, j), expected, 1e-14);
            cr_expect_float_eq(at(stepped, i, j), gain * at(x_t, i, j), 1e-12);
        }
    }
    ito_diffusion_free(d);
}

/* Only f(x_t, t) is trained: the network is a x, and so is f at the end of the process, where its
 * signal is almost 0. d loss / d a of sqrt(|a x_t - target|^2 + c^2) with the target held. */
static ito_tensor *scaled(ito_network *self, const ito_network_input *in)
{
    return ito_mul(in->x_t, self->context);
}

Test(few_step, earlier_point_of_consistency_is_held_constant)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_cosine, .prediction = &ito_prediction_x_0);
    ito_tensor *a = ito_requires_grad(ito_full(ITO_SHAPE(1), 0.5, ITO_F64), true);
    ito_network net = {.evaluate = scaled, .context = a};
    ito_tensor *x_t = points(0.5), *x_r = points(0.2);
    ito_tensor *losses =
        consistency_losses(d, &net, x_t, times(900, 500, 60), x_r, times(700, 300, 20));
    cr_assert_eq(ito_backward(ito_sum(losses)), ITO_OK, "%s", ito_error());
    double expected = 0.0, c = 0.00054 * sqrt(D);
    for (int64_t i = 0; i < N; i++) {
        double square = c * c, slope = 0.0;
        for (int64_t j = 0; j < D; j++) {
            double off = 0.5 * at(x_t, i, j) - 0.5 * at(x_r, i, j);
            square += off * off;
            slope += off * at(x_t, i, j);
        }
        expected += slope / sqrt(square);
    }
    cr_expect_float_eq(ito_item(ito_grad_of(a)), expected, 1e-9);
    ito_diffusion_free(d);
}

Test(few_step, earlier_times_of_ect_come_closer_with_the_training)
{
    ito_diffusion *d = diffusion();
    const ito_process *p = d->process;
    double unit = ito_process_time(p, 1.0) + 1.0;
    for (double t = 0; t < 1000; t++) {
        double before = -2.0;
        for (int a = 1; a <= 8; a++) {
            double r = consistency_earlier(p, t, (a - 0.5) / 8), q = pow(2.0, a);
            double n = 1.0 + 8.0 / (1.0 + exp((t + 1.0) / unit));
            double exact_r = fmax((t + 1.0) * (1.0 - n / q), 0.0) - 1.0;
            cr_expect(r >= -1.0 && r < t && r >= before, "t %g, a %d: %g", t, a, r);
            cr_expect(r <= exact_r + 1e-9 && r > exact_r - 1.0 - 1e-9, "t %g, a %d: %g, not %g", t,
                      a, r, exact_r);
            before = r;
        }
    }
    cr_expect_eq(consistency_earlier(p, 100, 0.0), -1.0, "the first stage is training a denoiser");
    cr_expect_eq(consistency_earlier(p, 999, 1.0), consistency_earlier(p, 999, 0.99));
    ito_diffusion_free(d);
}

/* With one trajectory, smaller steps of a perfect teacher leave the exact function less loss. */
Test(few_step, teachers_steps_approach_the_trajectory)
{
    ito_diffusion *d = diffusion();
    gaussian_network net = gaussian_make(d, 0.0);
    ito_tensor *x_t = points(0.3), *t = times(700, 500, 300);
    double before = (double)INFINITY;
    for (double step = 160; step >= 20; step /= 2) {
        ito_tensor *r = ito_add_scalar(t, -step);
        ito_tensor *x_r = along(d, x_t, ito_const_data(t), ito_const_data(r));
        double off = near(jump_ddim(d, &net.base, x_t, t, r), x_r);
        cr_expect_lt(off, 0.35 * before, "step %g: %g after %g", step, off, before);
        before = off;
    }
    ito_diffusion_free(d);
}

/* ---- labels ---- */

Test(few_step, a_tenth_of_the_labels_is_dropped_for_both_networks)
{
    enum { IMAGES = 10000, CLASSES = 7 };
    ito_network net = {.evaluate = scaled};
    ito_ddpm teacher = {.condition = ito_class_condition_create(&net, CLASSES),
                        .settings.model.classes = CLASSES};
    ito_ddpm student = {.condition = ito_class_condition_create(&net, CLASSES)};
    pupil p = {.teacher = &teacher, .student = &student};
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *given = ito_full(ITO_SHAPE(IMAGES), 3, ITO_I64);
    ito_tensor *labels = pupil_set_labels(&p, given, &g);
    cr_assert_not_null(labels, "%s", ito_error());
    cr_expect_eq(p.teacher->condition->labels, labels);
    cr_expect_eq(p.student->condition->labels, labels);
    int64_t dropped = 0;
    for (int64_t i = 0; i < IMAGES; i++) {
        int64_t label = ((const int64_t *)ito_const_data(labels))[i];
        cr_assert(label == 3 || label == CLASSES);
        dropped += label == CLASSES;
    }
    cr_expect(dropped > 900 && dropped < 1100, "%d of 10000", (int)dropped);
    ito_network_free(&p.teacher->condition->base);
    ito_network_free(&p.student->condition->base);
}

/* ---- rounds ---- */

Test(few_step, a_student_that_graduates_is_the_teacher)
{
    ito_unet_config config = {.in_channels = 1,
                              .height = 4,
                              .width = 4,
                              .channels = 4,
                              .levels = 1,
                              .multipliers = {1},
                              .blocks = 1,
                              .dtype = ITO_F32};
    ito_generator g = ito_generator_make(1, 0);
    ito_guidance guided = {.scale = 2.0};
    ito_ddpm learns = {.unet = ito_unet_create(&config, &g)};
    ito_ddpm teaches = {.unet = ito_unet_create(&config, &g), .guidance = &guided};
    pupil p = {.student = &learns, .teacher = &teaches};
    cr_assert(learns.unet != NULL && teaches.unet != NULL, "%s", ito_error());
    uint32_t student, teacher, other;
    cr_assert_eq(ito_module_checksum(&learns.unet->base, &student), ITO_OK);
    cr_assert_eq(ito_module_checksum(&teaches.unet->base, &other), ITO_OK);
    cr_expect_neq(student, other);
    cr_assert(pupil_graduate(&p), "%s", ito_error());
    cr_assert_eq(ito_module_checksum(&p.teacher->unet->base, &teacher), ITO_OK);
    cr_expect_eq(student, teacher);
    cr_expect_eq(guided.scale, 1.0, "it learned from a guided teacher, and is not guided itself");
    ito_module_free(&p.student->unet->base);
    ito_module_free(&p.teacher->unet->base);
}
