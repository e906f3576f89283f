/* The U-Net, the objective and the classifier of noised images in f64: all of their gradients
 * against central differences, f32 beside f64, and training. */
#include "models/ddpm/network/noise_classifier.h"
#include "models/ddpm/network/self_condition.h"
#include "models/ddpm/network/unet.h"
#include "models/ddpm/train.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the elements of each parameter, a few are checked. */
enum { ELEMENTS = 3, CLASSES = 3 };

/* Weights of branches not near zero, as they begin: then second derivatives are of note. */
static void enliven(ito_module *m)
{
    ito_generator g = ito_generator_make(4, 0);
    ito_named_tensors *p = ito_module_parameters(m);
    for (int64_t i = 0; i < p->n; i++)
        if (ito_ndim(p->tensors[i]) > 1)
            ito_init_glorot_uniform(p->tensors[i], 1.0, &g);
        else
            ito_init_uniform(p->tensors[i], 0.5, 1.0, &g);
    ito_named_tensors_free(p);
}

static ito_unet *tiny(ito_dtype dtype, bool self_condition)
{
    ito_unet_config config = tiny_unet_config(1);
    config.channels = 4;
    config.groups = 2;
    config.height = config.width = 4;
    config.classes = CLASSES;
    config.self_condition = self_condition;
    config.dtype = dtype;
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    enliven(&unet->base);
    return unet;
}

static ito_tensor *random_f64(uint64_t stream, ito_shape shape)
{
    ito_generator g = ito_generator_make(6, stream);
    return ito_randn(&g, shape, ITO_F64);
}

/* x in front of the parameters of m, in an array that is freed with free(). */
static ito_tensor **with_parameters(ito_tensor *x, const ito_module *m, int64_t *n)
{
    ito_named_tensors *p = ito_module_parameters(m);
    ito_tensor **all = malloc((size_t)(p->n + 1) * sizeof(ito_tensor *));
    cr_assert_not_null(all);
    all[0] = ito_requires_grad(x, true);
    memcpy(all + 1, p->tensors, (size_t)p->n * sizeof *all);
    *n = p->n + 1;
    for (int64_t i = 0; i < p->n; i++)
        cr_assert_eq(ito_dtype_of(p->tensors[i]), ITO_F64, "%s", p->names[i]);
    ito_named_tensors_free(p); /* the module holds the tensors */
    return all;
}

/* ---- gradients ---- */

static ito_tensor *through_unet(ito_tensor *const *in, int64_t n, void *unet)
{
    (void)n;
    ito_tensor *t = ito_from_data((const double[]){3, 41.5}, ITO_SHAPE(2), ITO_F64);
    ito_tensor *labels = ito_from_data((const int64_t[]){1, CLASSES}, ITO_SHAPE(2), ITO_I64);
    return ito_unet_forward_class(unet, in[0], t, labels);
}

Test(unet_f64, all_first_and_second_derivatives_are_right)
{
    ito_unet *unet = tiny(ITO_F64, false);
    int64_t n;
    ito_tensor **in = with_parameters(random_f64(0, ITO_SHAPE(2, 1, 4, 4)), &unet->base, &n);
    cr_expect_gt(n, 80);
    cr_expect_eq(ito_gradcheck(through_unet, unet, in, n, .elements = ELEMENTS), ITO_OK, "%s",
                 ito_error());
    cr_expect_eq(ito_gradgradcheck(through_unet, unet, in, n, .elements = ELEMENTS), ITO_OK, "%s",
                 ito_error());
    free(in);
    ito_module_free(&unet->base);
}

typedef struct objective_world {
    ito_diffusion *diffusion;
    ito_network *network;
} objective_world;

static ito_tensor *loss(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const objective_world *w = context;
    ito_tensor *t = ito_from_data((const int64_t[]){3, 700}, ITO_SHAPE(2), ITO_I64);
    return ito_diffusion_loss(w->diffusion, w->network, in[0], t,
                              random_f64(2, ITO_SHAPE(2, 1, 4, 4)));
}

/* A learned variance and terms of the bound, self-conditioning around a network computed again in
 * backward: what a training step may go through. */
Test(unet_f64, the_objective_has_the_right_gradients)
{
    ito_unet_config config = tiny_unet_config(1);
    config.channels = 4;
    config.groups = 2;
    config.height = config.width = 4;
    config.out_channels = 2;
    config.dtype = ITO_F64;
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    enliven(&unet->base);
    unet->recompute = true;
    objective_world w = {.diffusion = ito_diffusion_create(.variance = &ito_variance_learned_range,
                                                           .objective = &ito_objective_vlb),
                         .network = &unet->network};
    int64_t n;
    ito_tensor *x_0 = ito_mul_scalar(random_f64(1, ITO_SHAPE(2, 1, 4, 4)), 0.3);
    ito_tensor **in = with_parameters(x_0, &unet->base, &n);
    cr_expect_eq(ito_gradcheck(loss, &w, in, n, .elements = ELEMENTS), ITO_OK, "%s", ito_error());
    free(in);
    ito_diffusion_free(w.diffusion);
    ito_module_free(&unet->base);
}

static ito_tensor *through_classifier(ito_tensor *const *in, int64_t n, void *classifier)
{
    (void)n;
    ito_tensor *t = ito_from_data((const int64_t[]){3, 700}, ITO_SHAPE(2), ITO_I64);
    return ito_noise_classifier_logits(classifier, in[0], t);
}

Test(unet_f64, the_classifier_of_noised_images_has_the_right_gradients)
{
    ito_noise_classifier *c = ito_noise_classifier_create(
        &(ito_noise_classifier_config){
            .in_channels = 1, .channels = 8, .classes = CLASSES, .dtype = ITO_F64},
        NULL);
    cr_assert_not_null(c, "%s", ito_error());
    enliven(&c->base);
    int64_t n;
    ito_tensor **in = with_parameters(random_f64(0, ITO_SHAPE(2, 1, 4, 4)), &c->base, &n);
    cr_expect_eq(ito_gradcheck(through_classifier, c, in, n, .elements = ELEMENTS), ITO_OK, "%s",
                 ito_error());
    free(in);
    ito_module_free(&c->base);
}

/* ---- values ---- */

/* f32 results have been rounded to 24 bits about forty times one after the other: 1e-6 of the
 * largest, with room for a factor of ten. */
Test(unet_f64, f32_differs_from_f64_by_rounding)
{
    ito_unet *wide = tiny(ITO_F64, false), *narrow = tiny(ITO_F32, false);
    ito_named_tensors *from = ito_module_parameters(&narrow->base);
    ito_named_tensors *to = ito_module_parameters(&wide->base);
    cr_assert_eq(from->n, to->n);
    ITO_NO_GRAD
    {
        for (int64_t i = 0; i < from->n; i++) {
            cr_expect_str_eq(from->names[i], to->names[i]);
            ito_copy_(to->tensors[i], from->tensors[i]);
        }
    }
    ito_tensor *x = ito_cast(random_f64(0, ITO_SHAPE(2, 1, 4, 4)), ITO_F32);
    ito_tensor *x_wide = ito_cast(x, ITO_F64);
    ito_tensor *a = ito_cast(through_unet(&x, 1, narrow), ITO_F64);
    ito_tensor *b = through_unet(&x_wide, 1, wide);
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    cr_expect_eq(ito_dtype_of(b), ITO_F64);
    double largest = ito_item(ito_max(ito_abs(b)));
    double difference = largest_difference(a, b);
    cr_expect(difference < 1e-5 * largest, "%g of %g", difference, largest);
    cr_expect(difference > 0, "that is f32 itself");
    ito_named_tensors_free(from);
    ito_named_tensors_free(to);
    ito_module_free(&wide->base);
    ito_module_free(&narrow->base);
}

/* Self-conditioning, losses at drawn times, clipping and averages. */
Test(unet_f64, it_trains)
{
    ito_unet *unet = tiny(ITO_F64, true);
    ito_diffusion *d = ito_diffusion_create();
    ito_self_condition *self = ito_self_condition_create(d, &unet->network);
    ito_generator coin = ito_generator_make(1, 1);
    self->generator = &coin;
    ito_timestep_sampler *times =
        ito_timestep_sampler_create(d->process, &ito_timestep_law_second_moment);
    cr_assert_not_null(times, "%s", ito_error());
    ito_ema *ema = ito_ema_create(&unet->base, .decay = 0.9);
    ito_optimizer *opt = ito_adam_create(&unet->base);
    ito_diffusion_trainer trainer = {.diffusion = d,
                                     .network = &self->base,
                                     .model = &unet->base,
                                     .optimizer = opt,
                                     .ema = ema,
                                     .timesteps = times,
                                     .max_norm = 1.0,
                                     .seed = 4};
    ito_tensor *x_0 = ito_clamp(random_f64(3, ITO_SHAPE(8, 1, 4, 4)), -1.0, 1.0);
    double early = 0, late = 0;
    for (int64_t step = 0; step < 60; step++) {
        ito_train_result r;
        cr_assert_eq(ito_diffusion_train_step(&trainer, x_0, step, 3e-3, &r), ITO_OK, "%s",
                     ito_error());
        cr_assert(r.applied);
        early += step < 20 ? r.loss : 0;
        late += step >= 40 ? r.loss : 0;
    }
    cr_expect(late < early / 2, "%g, then %g", early / 20, late / 20);
    ito_ema_free(ema);
    ito_optimizer_free(opt);
    ito_timestep_sampler_free(times);
    ito_network_free(&self->base);
    ito_diffusion_free(d);
    ito_module_free(&unet->base);
}

/* ---- refused ---- */

Test(unet_f64, dtypes_that_do_not_fit_are_refused)
{
    ito_unet_config config = tiny_unet_config(1);
    config.dtype = ITO_BF16;
    assert_refused(ito_unet_create(&config, NULL), ITO_ERR_DTYPE,
                   "unet: parameters are f32 or f64, not bf16; f32 ones compute in bf16 by "
                   "ito_unet_set_precision");
    ito_unet *unet = tiny(ITO_F64, false);
    assert_refused_status(ito_unet_set_precision(unet, ITO_BF16), ITO_ERR_DTYPE,
                          "unet: precision bf16 is not that of the parameters, f64");
    cr_expect_eq(ito_unet_set_precision(unet, ITO_F64), ITO_OK);
    assert_refused(ito_unet_forward(unet, ito_zeros(ITO_SHAPE(1, 1, 4, 4), ITO_F32),
                                    ito_zeros(ITO_SHAPE(1), ITO_I64)),
                   ITO_ERR_DTYPE, "unet: x is f32, and the parameters are f64");
    assert_refused(ito_time_embedding(ito_zeros(ITO_SHAPE(1), ITO_I64), 4, .dtype = ITO_BF16),
                   ITO_ERR_DTYPE, "time_embedding: the result is f32 or f64, not bf16");
    ito_noise_classifier_config c = {
        .in_channels = 1, .channels = 8, .classes = 2, .dtype = ITO_BF16};
    assert_refused(ito_noise_classifier_create(&c, NULL), ITO_ERR_DTYPE,
                   "noise_classifier: parameters are f32 or f64, not bf16; bf16 inputs take f32 "
                   "parameters");
    ito_module_free(&unet->base);
}
