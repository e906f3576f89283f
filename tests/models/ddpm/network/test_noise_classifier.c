/* The classifier of noised images: an image's logits are its own, it learns, and it guides. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/network/noise_classifier.h"
#include "models/ddpm/sampler/sampler.h"
#include "nn/optim.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 3, CLASSES = 2, IMAGE = 5 * 6 };

static ito_noise_classifier *make(int64_t channels)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_noise_classifier *c = ito_noise_classifier_create(
        &(ito_noise_classifier_config){.in_channels = channels, .channels = 8, .classes = CLASSES},
        &g);
    cr_assert_not_null(c, "%s", ito_error());
    return c;
}

static ito_tensor *steps(int64_t a, int64_t b, int64_t c)
{
    return ito_from_data((int64_t[]){a, b, c}, ITO_SHAPE(N), ITO_I64);
}

static ito_tensor *images(void)
{
    ito_generator g = ito_generator_make(2, 0);
    return ito_randn(&g, ITO_SHAPE(N, 3, 5, 6), ITO_F32);
}

Test(noise_classifier, an_images_logits_depend_on_it_and_its_time_alone)
{
    ito_noise_classifier *c = make(3);
    ito_tensor *x = images(), *y = ito_clone(x);
    ((float *)ito_data(y))[2 * 3 * IMAGE] += 1; /* of the last image */
    const float *a = ito_const_data(ito_noise_classifier_logits(c, x, steps(0, 10, 20)));
    const float *b = ito_const_data(ito_noise_classifier_logits(c, y, steps(0, 500, 20)));
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    for (int i = 0; i < N; i++)
        cr_expect_eq(memcmp(a + i * CLASSES, b + i * CLASSES, CLASSES * sizeof *a) == 0, i == 0,
                     "image %d", i);
    ito_module_free(&c->base);
}

static ito_tensor *log_probability(ito_noise_classifier *c, ito_tensor *times, ito_tensor *labels)
{
    ito_tensor *x = images();
    ito_network_input in = {.x = x, .t = times, .x_t = x, .labels = labels};
    return ito_network_evaluate(&c->network, &in);
}

Test(noise_classifier, probabilities_of_all_classes_add_up_to_1)
{
    ito_noise_classifier *c = make(3);
    double sum[N] = {0};
    for (int label = 0; label < CLASSES; label++) {
        ito_tensor *p = log_probability(c, steps(1, 2, 3), ito_full(ITO_SHAPE(N), label, ITO_I64));
        cr_assert(p != NULL && ito_ndim(p) == 1, "%s", ito_error());
        for (int i = 0; i < N; i++)
            sum[i] += exp((double)((const float *)ito_const_data(p))[i]);
    }
    for (int i = 0; i < N; i++)
        cr_expect_float_eq(sum[i], 1, 1e-6);
    ito_module_free(&c->base);
}

/* Grey images of 4x4, each of one shade drawn from N(+-0.5, 0.3^2) by class, so that of x_0 + sigma
 * eps the classifier can know no more than its mean. */
static ito_tensor *shades(ito_generator *g, int64_t n, ito_tensor **labels)
{
    *labels = ito_randint(g, 0, 2, ITO_SHAPE(n), ITO_I64);
    ito_tensor *shade =
        ito_add(ito_mul_scalar(ito_randn(g, ITO_SHAPE(n, 1, 1, 1), ITO_F32), 0.3),
                ito_reshape(ito_add_scalar(ito_cast(*labels, ITO_F32), -0.5), n, 1, 1, 1));
    return ito_expand(shade, n, 1, 4, 4);
}

static void train(const ito_diffusion *d, ito_noise_classifier *c)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_optimizer *adam = ito_adam_create(&c->base);
    for (int step = 0; step < 200; step++) {
        ito_scope_begin();
        ito_tensor *labels, *x_0 = ito_contiguous(shades(&g, 32, &labels));
        ito_tensor *t = ito_randint(&g, 0, d->process->steps, ITO_SHAPE(32), ITO_I64);
        ito_tensor *x = ito_q_sample(d->process, x_0, ito_randn(&g, ito_shape_of(x_0), ITO_F32), t);
        ito_module_zero_grad(&c->base);
        cr_assert_eq(ito_backward(ito_cross_entropy(ito_noise_classifier_logits(c, x, t), labels)),
                     ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(adam, 3e-3), ITO_OK);
        ito_scope_end();
    }
    ito_optimizer_free(adam);
}

/* The best eps for images of one shade with variance V about 0: of all 16 pixels only the mean
 * tells of the shade. */
static ito_tensor *shade_eps(ito_network *self, const ito_network_input *in)
{
    const ito_diffusion *d = self->context;
    const double V = 0.25 + 0.09;
    int64_t at = (int64_t)input_time(in, 0);
    double a = d->process->signal[at], s = d->process->noise[at];
    ito_tensor *mean = ito_mean(in->x, .dims = ITO_DIMS(1, 2, 3), .keepdim = true);
    ito_tensor *x_0 = ito_mul_scalar(mean, a * V / (a * a * V + s * s / 16));
    return ito_mul_scalar(ito_sub(in->x, ito_mul_scalar(x_0, a)), 1 / s);
}

Test(noise_classifier, it_learns_and_guides_to_what_it_is_asked_for)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 50, .schedule = &ito_schedule_cosine);
    ito_noise_classifier *c = make(1);
    train(d, c);
    ito_generator g = ito_generator_make(4, 0);
    static const double right[] = {0.92, 0.85, 0.5}; /* the best there can be: 0.95, 0.91, 0.6 */
    for (int64_t i = 0; i < 3; i++) {
        ito_tensor *labels, *x = ito_contiguous(shades(&g, 500, &labels));
        ito_tensor *t = ito_full(ITO_SHAPE(500), (double)(24 * i), ITO_I64);
        x = ito_q_sample(d->process, x, ito_randn(&g, ito_shape_of(x), ITO_F32), t);
        ito_tensor *guess = ito_argmax(ito_noise_classifier_logits(c, x, t), .dim = 1);
        cr_expect_geq(ito_item(ito_mean(ito_cast(ito_eq(guess, labels), ITO_F32))), right[i]);
    }

    double mean[CLASSES];
    ito_network shades_alone = network_of(shade_eps, d);
    ito_classifier_guidance *guided =
        ito_classifier_guidance_create(d, &shades_alone, &c->network, 1.0);
    for (int label = 0; label < CLASSES; label++) {
        guided->labels = ito_full(ITO_SHAPE(32), label, ITO_I64);
        ito_tensor *made =
            ito_diffusion_sample(d, &guided->base, ITO_SHAPE(32, 1, 4, 4), .no_clip = true);
        cr_assert_not_null(made, "%s", ito_error());
        mean[label] = ito_item(ito_mean(made));
    }
    /* Half a normal distribution of deviation V^1/2 has its mean at +-(2 V / pi)^1/2 = +-0.47; the
     * classifier is not so sure of the shades between, which leaves fewer of them. */
    cr_expect(mean[0] < -0.3 && mean[0] > -1, "%g", mean[0]);
    cr_expect(mean[1] > 0.3 && mean[1] < 1, "%g", mean[1]);
    ito_network_free(&guided->base);
    ito_diffusion_free(d);
    ito_module_free(&c->base);
}

Test(noise_classifier, settings_out_of_range_are_refused)
{
    assert_refused(
        ito_noise_classifier_create(
            &(ito_noise_classifier_config){.in_channels = 1, .channels = 12, .classes = 2}, NULL),
        ITO_ERR_RANGE,
        "noise_classifier: images of 1 channels, a width of 12 and 2 classes; there can be 1 to "
        "1024 channels, a multiple of 8 up to 1024 and 1 to 1000000 classes");
}

Test(noise_classifier, images_that_do_not_fit_are_refused)
{
    ito_noise_classifier *c = make(3);
    assert_refused(
        ito_noise_classifier_logits(c, ito_zeros(ITO_SHAPE(N, 1, 5, 6), ITO_F32), steps(0, 0, 0)),
        ITO_ERR_SHAPE,
        "noise_classifier: x is [3, 1, 5, 6] and t [3]; it takes [N, 3, H, W] and [N]");
    assert_refused(ito_module_forward(&c->base, images()), ITO_ERR_ARGUMENT,
                   "noise_classifier: it takes times besides images: ito_noise_classifier_logits");
    ito_module_free(&c->base);
}

Test(noise_classifier, labels_that_do_not_fit_are_refused)
{
    ito_noise_classifier *c = make(3);
    ito_tensor *t = steps(0, 0, 0);
    assert_refused(log_probability(c, t, NULL), ITO_ERR_ARGUMENT,
                   "noise_classifier: there are no labels to guide to");
    assert_refused(
        log_probability(c, t, ito_zeros(ITO_SHAPE(2), ITO_I64)), ITO_ERR_SHAPE,
        "noise_classifier: the labels are [2] of i64; images [3, 3, 5, 6] need one i64 each");
    cr_assert_null(log_probability(c, t, ito_full(ITO_SHAPE(N), CLASSES, ITO_I64)));
    cr_expect_eq(ito_error_code(), ITO_ERR_RANGE, "%s", ito_error());
    ito_error_clear();
    ito_module_free(&c->base);
}
