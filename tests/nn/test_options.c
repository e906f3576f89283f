/* Every option of every struct of nn/: what its default is, that the ends of its range are taken as
 * they are (0 means 0), and that what lies beyond is refused with a sentence. */
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "nn/data.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

#define NAN_F64 ((double)NAN)
#define INF_F64 ((double)INFINITY)

/* ---- optimisers ---- */

/* One parameter of value 1, for gradient descent in f64. */
static ito_module *one_parameter(void)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    cr_assert_not_null(ito_module_parameter(m, "p", ito_ones(ITO_SHAPE(1), ITO_F64)));
    return m;
}

/* The parameter after steps with these gradients at learning rate 0.1. The optimiser is freed. */
static double after_steps(ito_module *m, ito_optimizer *opt, int n, const double *gradients)
{
    cr_assert_not_null(opt, "%s", ito_error_message());
    ito_tensor *p = ito_module_find(m, "p");
    for (int i = 0; i < n; i++) {
        *(double *)ito_data(ito_grad_of(p)) = gradients[i];
        cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK, "%s", ito_error_message());
    }
    ito_optimizer_free(opt);
    double value = ito_item(p);
    ito_module_free(m);
    return value;
}

typedef struct adam_case {
    double beta1, beta2, eps, decay;
} adam_case;

/* The formula of Adam in the header, for one number. */
static double plain_adam(adam_case c, bool decoupled, int n, const double *gradients)
{
    double p = 1, m = 0, v = 0;
    for (int t = 1; t <= n; t++) {
        double g = gradients[t - 1] + (decoupled ? 0 : c.decay * p);
        p *= decoupled ? 1 - 0.1 * c.decay : 1;
        m += (1 - c.beta1) * (g - m);
        v = c.beta2 * v + (1 - c.beta2) * g * g;
        double m_hat = m / (1 - pow(c.beta1, t)), v_hat = v / (1 - pow(c.beta2, t));
        p -= 0.1 * m_hat / (sqrt(v_hat) + c.eps);
    }
    return p;
}

Test(options, adam_takes_each_setting_as_it_is)
{
    const double g[3] = {0.5, -2, 0.25};
    const adam_case cases[] = {
        {0.9, 0.999, 1e-8, 0},    {0, 0.999, 1e-8, 0}, {0.9, 0, 1e-8, 0},
        {0.9, 0.999, 0, 0},       {0, 0, 0, 0},        {0.999999, 0.999, 1e-8, 0},
        {0.9, 0.999999, 1e-8, 0}, {0.9, 0.999, 10, 0}, {0.9, 0.999, 1e-8, 0.5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int w = 0; w < 2; w++) {
            adam_case c = cases[i];
            ito_module *m = one_parameter();
            ito_optimizer *opt = w ? ito_adamw_create(m, .beta1 = c.beta1, .beta2 = c.beta2,
                                                      .eps = c.eps, .weight_decay = c.decay)
                                   : ito_adam_create(m, .beta1 = c.beta1, .beta2 = c.beta2,
                                                     .eps = c.eps, .weight_decay = c.decay);
            double value = after_steps(m, opt, 3, g), want = plain_adam(c, w, 3, g);
            cr_expect_float_eq(value, want, 1e-12, "case %zu of %s: %.17g, not %.17g", i,
                               w ? "adamw" : "adam", value, want);
        }
}

Test(options, adam_has_the_defaults_of_pytorch)
{
    const double g[3] = {0.5, -2, 0.25};
    ito_adam_options o = ITO_OPTIONS(ito_adam_options);
    cr_expect(o.beta1 == 0.9 && o.beta2 == 0.999 && o.eps == 1e-8 && o.weight_decay == 0);
    ito_adamw_options w = ITO_OPTIONS(ito_adamw_options);
    cr_expect(w.beta1 == 0.9 && w.beta2 == 0.999 && w.eps == 1e-8 && w.weight_decay == 0.01);
    cr_expect(!o.amsgrad && !w.amsgrad);
    ito_module *m = one_parameter(), *named = one_parameter();
    double by_default = after_steps(m, ito_adam_create(m), 3, g);
    cr_expect_eq(by_default,
                 after_steps(named,
                             ito_adam_create(named, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8), 3,
                             g));
}

Test(options, adam_refuses_what_lies_beyond)
{
    ito_module *m = one_parameter();
    expect_refused(ito_adam_create(m, .beta1 = -0.1), ITO_ERR_RANGE,
                   "adam: beta1 -0.1 is not in [0, 1)");
    expect_refused(ito_adam_create(m, .beta1 = 1), ITO_ERR_RANGE, "adam: beta1 1 is not in [0, 1)");
    expect_refused(ito_adam_create(m, .beta1 = NAN_F64), ITO_ERR_RANGE,
                   "adam: beta1 nan is not in [0, 1)");
    expect_refused(ito_adamw_create(m, .beta2 = 1), ITO_ERR_RANGE,
                   "adamw: beta2 1 is not in [0, 1)");
    expect_refused(ito_adam_create(m, .beta2 = NAN_F64), ITO_ERR_RANGE,
                   "adam: beta2 nan is not in [0, 1)");
    expect_refused(ito_adam_create(m, .eps = -1e-8), ITO_ERR_RANGE,
                   "adam: eps -1e-08 is negative or not finite");
    expect_refused(ito_adam_create(m, .eps = INF_F64), ITO_ERR_RANGE,
                   "adam: eps inf is negative or not finite");
    expect_refused(ito_adamw_create(m, .weight_decay = -1), ITO_ERR_RANGE,
                   "adamw: weight decay -1 is negative or not finite");
    expect_refused(ito_adam_create(m, .weight_decay = NAN_F64), ITO_ERR_RANGE,
                   "adam: weight decay nan is negative or not finite");
    ito_module_free(m);
}

/* After two steps of gradient 1. */
static void expect_sgd(ito_sgd_options o, double want)
{
    ito_module *m = one_parameter();
    double value = after_steps(m, ito_sgd_create_with(m, o), 2, (const double[]){1, 1});
    cr_expect_float_eq(value, want, 1e-15, "%.17g, not %.17g", value, want);
}

Test(options, sgd_takes_each_setting_as_it_is)
{
    ito_sgd_options o = ITO_OPTIONS(ito_sgd_options);
    cr_expect(o.momentum == 0 && !o.nesterov && o.weight_decay == 0);
    expect_sgd(o, 0.8);
    /* b = 1, 1.9; nesterov adds 0.9 b to the gradient. */
    expect_sgd(ITO_OPTIONS(ito_sgd_options, .momentum = 0.9), 1 - 0.1 * 2.9);
    expect_sgd(ITO_OPTIONS(ito_sgd_options, .momentum = 0.9, .nesterov = true),
               1 - 0.1 * (1.9 + 2.71));
    /* 1.5, then 1 + 0.5 * 0.85. */
    expect_sgd(ITO_OPTIONS(ito_sgd_options, .weight_decay = 0.5), 1 - 0.1 * (1.5 + 1.425));
    ito_module *m = one_parameter();
    expect_refused(ito_sgd_create(m, .momentum = 1), ITO_ERR_RANGE,
                   "sgd: momentum 1 is not in [0, 1)");
    expect_refused(ito_sgd_create(m, .momentum = NAN_F64), ITO_ERR_RANGE,
                   "sgd: momentum nan is not in [0, 1)");
    expect_refused(ito_sgd_create(m, .weight_decay = INF_F64), ITO_ERR_RANGE,
                   "sgd: weight decay inf is negative or not finite");
    expect_refused(ito_sgd_create(m, .nesterov = true), ITO_ERR_ARGUMENT,
                   "sgd: nesterov needs momentum");
    ito_module_free(m);
}

/* The parameter after one step of gradient 3 and learning rate 0.1 with these options. */
static double after_step(ito_step_options o)
{
    ito_module *m = one_parameter();
    ito_optimizer *opt = ito_sgd_create(m);
    ito_tensor *p = ito_module_find(m, "p");
    *(double *)ito_data(ito_grad_of(p)) = 3;
    cr_assert_eq(ito_optimizer_step_with(opt, 0.1, o), ITO_OK, "%s", ito_error_message());
    double value = ito_item(p);
    ito_optimizer_free(opt);
    ito_module_free(m);
    return value;
}

Test(options, a_step_takes_each_setting_as_it_is)
{
    double norm = 0;
    ito_step_options o = ITO_OPTIONS(ito_step_options);
    cr_expect(o.max_norm == INF_F64 && o.grad_norm == NULL && o.ema == NULL);
    double plain = after_step(o);
    cr_expect_float_eq(plain, 0.7, 1e-15);
    cr_expect_eq(after_step(ITO_OPTIONS(ito_step_options, .max_norm = 0)), 1); /* clipped to 0 */
    cr_expect_float_eq(after_step(ITO_OPTIONS(ito_step_options, .max_norm = 1)), 0.9, 1e-6);
    cr_expect_eq(after_step(ITO_OPTIONS(ito_step_options, .max_norm = 4)), plain);
    cr_expect_eq(after_step(ITO_OPTIONS(ito_step_options, .max_norm = INF_F64, .grad_norm = &norm)),
                 after_step(o));
    cr_expect_eq(norm, 3);
}

Test(options, a_step_refuses_what_lies_beyond)
{
    ito_module *m = one_parameter();
    ito_optimizer *opt = ito_sgd_create(m);
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .max_norm = -1e-300), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: max_norm -1e-300 is negative or not a number");
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .max_norm = NAN_F64), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: max_norm nan is negative or not a number");
    cr_expect_eq(ito_optimizer_steps(opt), 0);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

/* ---- averages ---- */

/* The average of a parameter that was 1 at first and is 5 at each of n updates. */
static double average_of(ito_ema_options o, int n)
{
    ito_module *m = one_parameter();
    ito_ema *ema = ito_ema_create_with(m, o);
    cr_assert_not_null(ema, "%s", ito_error_message());
    *(double *)ito_data(ito_module_find(m, "p")) = 5;
    for (int i = 0; i < n; i++)
        cr_assert_eq(ito_ema_update(ema), ITO_OK);
    cr_assert_eq(ito_ema_swap(ema), ITO_OK);
    double value = ito_item(ito_module_find(m, "p"));
    ito_ema_free(ema);
    ito_module_free(m);
    return value;
}

Test(options, averages_take_each_setting_as_it_is)
{
    ito_ema_options o = ITO_OPTIONS(ito_ema_options);
    cr_expect(o.decay == 0.9999 && !o.warmup);
    cr_expect_float_eq(average_of(o, 1), 1 + 4 * 1e-4, 1e-12);
    cr_expect_eq(average_of(ITO_OPTIONS(ito_ema_options, .decay = 0), 1), 5);
    cr_expect_float_eq(average_of(ITO_OPTIONS(ito_ema_options, .decay = 0.5), 2), 4, 1e-15);
    /* 0.1 and 2 / 11, though decay allows more. */
    cr_expect_float_eq(average_of(ITO_OPTIONS(ito_ema_options, .warmup = true), 2),
                       5 - 4 * 0.1 * 2 / 11, 1e-12);
    double largest = nextafter(1, 0);
    cr_expect_float_eq(average_of(ITO_OPTIONS(ito_ema_options, .decay = largest), 1), 1, 1e-14);
    ito_module *m = one_parameter();
    expect_refused(ito_ema_create(m, .decay = 1), ITO_ERR_RANGE, "ema: decay 1 is not in [0, 1)");
    expect_refused(ito_ema_create(m, .decay = -0.5), ITO_ERR_RANGE,
                   "ema: decay -0.5 is not in [0, 1)");
    expect_refused(ito_ema_create(m, .decay = NAN_F64), ITO_ERR_RANGE,
                   "ema: decay nan is not in [0, 1)");
    ito_module_free(m);
}

/* ---- layers ---- */

static bool all_zero(ito_tensor *t)
{
    return ito_item(ito_max(ito_abs(t))) == 0;
}

Test(options, linear_layers_take_each_setting_as_it_is)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_linear_options o = ITO_OPTIONS(ito_linear_options);
    cr_expect(o.bias && o.generator == NULL);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_linear_layer *zero = ito_linear_create(m, "a", 2, 3);
    ito_linear_layer *without = ito_linear_create(m, "b", 2, 3, .generator = &g, .bias = false);
    ito_linear_layer *smallest = ito_linear_create(m, "c", 1, 1, .generator = &g);
    cr_assert(zero != NULL && without != NULL && smallest != NULL);
    cr_expect(zero->bias != NULL && all_zero(zero->weight));
    cr_expect(without->bias == NULL && !all_zero(without->weight));
    cr_expect(!all_zero(smallest->bias));
    ito_module_free(m);
}

Test(options, convolutions_take_each_setting_as_it_is)
{
    ito_conv_layer_options o = ITO_OPTIONS(ito_conv_layer_options);
    cr_expect(o.stride == 1 && o.padding == 0 && o.padding_end == 0 && o.dilation == 1 &&
              o.groups == 1 && o.bias && o.generator == NULL);
    ito_generator g = ito_generator_make(1, 0);
    ito_conv2d_layer *l =
        ito_conv2d_create(NULL, "", 4, 4, 2, .generator = &g, .stride = 2, .padding = 1,
                          .padding_end = 3, .dilation = 3, .groups = 4, .bias = false);
    cr_assert_not_null(l);
    cr_expect(l->bias == NULL && !all_zero(l->weight));
    cr_expect_eq(ito_size(l->weight, 1), 1);
    ito_tensor *y = ito_conv2d_forward(l, ito_zeros(ITO_SHAPE(1, 4, 7, 7), ITO_F32));
    cr_expect_eq(ito_size(y, 2), (7 + 2 + 3 - (3 + 1)) / 2 + 1);
    ito_module_free(&l->base);
}

Test(options, convolutions_refuse_what_lies_beyond)
{
    const ito_shape three = ITO_SHAPE(1, 1, 1);
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .stride = 0), ITO_ERR_ARGUMENT,
                   "conv2d: stride 0; it is at least 1");
    expect_refused(ito_conv1d_create(NULL, "", 4, 4, 3, .dilation = 0), ITO_ERR_ARGUMENT,
                   "conv1d: dilation 0; it is at least 1");
    expect_refused(ito_conv3d_create(NULL, "", 4, 4, 3, .padding = -2), ITO_ERR_ARGUMENT,
                   "conv3d: padding -2; it is at least 0");
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .padding_end = -1), ITO_ERR_ARGUMENT,
                   "conv2d: padding_end -1; it is at least 0");
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .strides = three), ITO_ERR_ARGUMENT,
                   "conv2d: strides [1, 1, 1]; there is one for each of the 2 axes");
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .kernels = ITO_SHAPE(3, 0)),
                   ITO_ERR_ARGUMENT, "conv2d: kernels [3, 0]; each is at least 1");
    expect_refused(ito_conv_transpose2d_create(NULL, "", 4, 4, 3, .output_padding = -1),
                   ITO_ERR_ARGUMENT, "conv_transpose2d: output_padding -1; it is at least 0");
    expect_refused(ito_conv_transpose1d_create(NULL, "", 4, 4, 3, .paddings = three),
                   ITO_ERR_ARGUMENT,
                   "conv_transpose1d: paddings [1, 1, 1]; there is one for each of the 1 axes");
    expect_refused(ito_conv_transpose3d_create(NULL, "", 4, 6, 3, .groups = 4), ITO_ERR_ARGUMENT,
                   "conv_transpose3d: 4 channels in and 6 out do not form 4 groups");
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .groups = 0), ITO_ERR_ARGUMENT,
                   "conv2d: 4 channels in and 4 out do not form 0 groups");
    expect_refused(ito_conv2d_create(NULL, "", 4, 4, 3, .groups = -2), ITO_ERR_ARGUMENT,
                   "conv2d: 4 channels in and 4 out do not form -2 groups");
}

Test(options, norms_take_eps_as_it_is)
{
    cr_expect_eq(ITO_OPTIONS(ito_group_norm_options).eps, 1e-5);
    cr_expect_eq(ITO_OPTIONS(ito_attention_options).eps, 1e-5);
    cr_expect_eq(ITO_OPTIONS(ito_layer_norm_layer_options).eps, 1e-5);
    cr_expect(isnan(ITO_OPTIONS(ito_rms_norm_layer_options).eps));
    cr_expect_null(ITO_OPTIONS(ito_attention_options).generator);
    cr_expect_eq(ITO_OPTIONS(ito_attention_options).heads, 1);
    cr_expect(ITO_OPTIONS(ito_attention_options).group_norm);
    const double eps[] = {0, 1e-6, 1e300};
    for (int i = 0; i < 3; i++) {
        ito_group_norm_layer *l = ito_group_norm_create(NULL, "", 4, 2, .eps = eps[i]);
        ito_attention_layer *a = ito_attention_create(NULL, "", 4, 2, .eps = eps[i]);
        ito_layer_norm_layer *n = ito_layer_norm_create(NULL, "", ITO_SHAPE(4), .eps = eps[i]);
        ito_rms_norm_layer *r = ito_rms_norm_create(NULL, "", ITO_SHAPE(4), .eps = eps[i]);
        cr_assert(l != NULL && a != NULL && n != NULL && r != NULL);
        cr_expect(n->eps == eps[i] && r->eps == eps[i]);
        cr_expect_eq(l->eps, eps[i]);
        cr_expect_eq(a->group_norm->eps, eps[i]);
        ito_module_free(&l->base);
        ito_module_free(&a->base);
        ito_module_free(&n->base);
        ito_module_free(&r->base);
    }
    expect_refused(ito_layer_norm_create(NULL, "", ITO_SHAPE(4), .eps = NAN_F64), ITO_ERR_RANGE,
                   "layer_norm: eps nan is negative or not finite");
    expect_refused(ito_rms_norm_create(NULL, "", ITO_SHAPE(4), .eps = -1), ITO_ERR_RANGE,
                   "rms_norm: eps -1 is negative or not finite");
    expect_refused(ito_rms_norm_create(NULL, "", ITO_SHAPE(4), .eps = INF_F64), ITO_ERR_RANGE,
                   "rms_norm: eps inf is negative or not finite");
    expect_refused(ito_group_norm_create(NULL, "", 4, 2, .eps = -1e-5), ITO_ERR_RANGE,
                   "group_norm: eps -1e-05 is negative or not finite");
    expect_refused(ito_group_norm_create(NULL, "", 4, 2, .eps = INF_F64), ITO_ERR_RANGE,
                   "group_norm: eps inf is negative or not finite");
    expect_refused(ito_attention_create(NULL, "", 4, 2, .eps = NAN_F64), ITO_ERR_RANGE,
                   "group_norm: eps nan is negative or not finite");
}

Test(options, embeddings_and_attention_draw_only_from_a_generator)
{
    cr_expect_null(ITO_OPTIONS(ito_embedding_options).generator);
    ito_generator g = ito_generator_make(1, 0);
    ito_embedding_layer *zero = ito_embedding_create(NULL, "", 1, 1);
    ito_embedding_layer *drawn = ito_embedding_create(NULL, "", 1, 1, .generator = &g);
    cr_expect(all_zero(zero->weight) && !all_zero(drawn->weight));
    ito_attention_layer *a = ito_attention_create(NULL, "", 4, 2);
    ito_attention_layer *b = ito_attention_create(NULL, "", 4, 2, .generator = &g);
    cr_expect(all_zero(a->to_out->weight) && !all_zero(b->to_out->weight));
    ito_module_free(&zero->base);
    ito_module_free(&drawn->base);
    ito_module_free(&a->base);
    ito_module_free(&b->base);
}

/* ---- data ---- */

Test(options, datasets_take_each_setting_as_it_is)
{
    ito_image_dataset_options o = ITO_OPTIONS(ito_image_dataset_options);
    cr_expect(o.labels == NULL && !o.flip);
    ito_tensor *images = ramp(ITO_SHAPE(2, 1, 1, 2), 1);
    ito_dataset *plain = ito_image_dataset_create(images);
    ito_dataset *both =
        ito_image_dataset_create(images, .labels = ito_ones(ITO_SHAPE(2), ITO_U8), .flip = true);
    float x[2];
    int64_t label = 0;
    int flipped = 0;
    for (int64_t epoch = 0; epoch < 64; epoch++) {
        cr_assert_eq(both->get(both, (ito_example){0, epoch, 1}, (void *[]){x, &label}), ITO_OK);
        flipped += x[0] > x[1];
        cr_assert_eq(plain->get(plain, (ito_example){0, epoch, 1}, (void *[]){x}), ITO_OK);
        cr_expect(x[0] < x[1]);
    }
    cr_expect(flipped > 16 && flipped < 48); /* 32 expected, deviation 4 */
    cr_expect(plain->n_fields == 1 && both->n_fields == 2 && label == 1);
    ito_dataset_free(plain);
    ito_dataset_free(both);
}

/* The first values of the next batch of 2, or NaN at the end. */
static double next_value(ito_loader *l)
{
    ito_batch b;
    cr_assert_eq(ito_loader_next(l, &b), ITO_OK, "%s", ito_error_message());
    return b.x == NULL ? NAN_F64 : element(b.x, 0);
}

Test(options, loaders_take_each_setting_as_it_is)
{
    ito_loader_options o = ITO_OPTIONS(ito_loader_options);
    cr_expect(o.position == 0 && o.prefetch == 0 && !o.sequential && !o.once && o.order == NULL);
    ito_dataset *d = ito_image_dataset_create(ramp(ITO_SHAPE(4, 1, 1, 1), 1));
    for (int64_t prefetch = 0; prefetch < 3; prefetch++) {
        ito_loader *l =
            ito_loader_create(d, 2, 1, .prefetch = prefetch, .sequential = true, .once = true);
        cr_expect_eq(next_value(l), 0.5);
        cr_expect_eq(next_value(l), 2.5);
        cr_expect(isnan(next_value(l)));
        ito_loader_free(l);
        l = ito_loader_create(d, 2, 1, .position = 3, .prefetch = prefetch, .sequential = true);
        cr_expect_eq(next_value(l), 3.5);
        cr_expect_eq(next_value(l), 1.5);
        cr_expect_eq(ito_loader_position(l), 7);
        ito_loader_free(l);
    }
    expect_refused(ito_loader_create(d, 2, 1, .position = -1), ITO_ERR_RANGE,
                   "loader: position -1, prefetch 0; neither can be negative");
    expect_refused(ito_loader_create(d, 2, 1, .prefetch = -1), ITO_ERR_RANGE,
                   "loader: position 0, prefetch -1; neither can be negative");
    ito_dataset_free(d);
}

/* ---- files ---- */

Test(options, saving_takes_each_setting_as_it_is)
{
    ito_save_options o = ITO_OPTIONS(ito_save_options);
    cr_expect(!o.bf16 && o.n_metadata == 0 && o.metadata_keys == NULL && o.metadata_values == NULL);
    const char *dir = temporary_directory(), *path = in_directory(dir, "m.safetensors");
    const char *const keys[] = {"made by"}, *const values[] = {"test"};
    ito_module *m = one_parameter();
    cr_assert_eq(ito_module_save(m, path, .bf16 = true, .metadata_keys = keys,
                                 .metadata_values = values, .n_metadata = 1),
                 ITO_OK, "%s", ito_error_message());
    ito_safetensors *f = ito_safetensors_open(path);
    cr_expect_eq(ito_safetensors_dtype(f, 0), ITO_BF16);
    cr_expect_str_eq(ito_safetensors_metadata(f, "made by"), "test");
    ito_safetensors_close(f);
    cr_assert_eq(ito_module_save(m, path, .bf16 = false, .n_metadata = 0), ITO_OK);
    f = ito_safetensors_open(path);
    cr_expect_eq(ito_safetensors_dtype(f, 0), ITO_F64);
    ito_safetensors_close(f);
    cr_expect_eq(ito_module_save(m, path, .n_metadata = -1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: a negative count");
    cr_expect_eq(ito_module_save(m, path, .n_metadata = 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: a list is missing");
    ito_module_free(m);
    remove_tree(dir);
}

Test(options, loading_takes_each_setting_as_it_is)
{
    ito_load_options o = ITO_OPTIONS(ito_load_options);
    cr_expect(!o.partial && o.prefix == NULL && o.renames == NULL && o.n_renames == 0);
    const char *dir = temporary_directory(), *path = in_directory(dir, "m.safetensors");
    const ito_rename renames[] = {{"q", "p"}};
    ito_tensor *three = ito_full(ITO_SHAPE(1), 3, ITO_F64);
    const char *const names[] = {"net.q", "other"};
    ito_tensor *const tensors[] = {three, three};
    cr_assert_eq(ito_safetensors_save(path, 2, names, tensors, 0, NULL, NULL), ITO_OK);
    ito_module *m = one_parameter();
    cr_assert_eq(ito_module_load(m, path, .prefix = "net.", .renames = renames, .n_renames = 1),
                 ITO_OK, "%s", ito_error_message());
    cr_expect_eq(ito_item(ito_module_find(m, "p")), 3);
    cr_expect_eq(ito_module_load(m, path, .prefix = "", .n_renames = 0), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, "m.safetensors: lacks p of the model");
    cr_expect_eq(ito_module_load(m, path, .partial = true), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, "no name agrees: the file has net.q, other; the model has p");
    ito_module_free(m);
    remove_tree(dir);
}

Test(options, checkpoints_keep_as_many_as_is_said)
{
    cr_expect_eq(ITO_OPTIONS(ito_checkpoint_options).keep, 2);
    const char *dir = temporary_directory();
    ito_training_state state = {0};
    const int64_t keep[] = {2, -1, INT64_MAX}, left[] = {2, 3, 4};
    for (int64_t step = 0; step < 2; step++, state.step++)
        cr_assert_eq(ito_checkpoint_save(dir, &state), ITO_OK, "%s", ito_error_message());
    for (int i = 0; i < 3; i++, state.step++) {
        int64_t there = 0;
        cr_assert_eq(ito_checkpoint_save(dir, &state, .keep = keep[i]), ITO_OK);
        for (int64_t step = 0; step < 10; step++) {
            char name[32];
            snprintf(name, sizeof name, "step-%d", (int)step);
            there += path_exists(in_directory(dir, name));
        }
        cr_expect_eq(there, left[i]);
    }
    const int64_t illegal[] = {0, 1, -2};
    const char *message[] = {"checkpoint: keep 0; it is at least 2, or -1 for all",
                             "checkpoint: keep 1; it is at least 2, or -1 for all",
                             "checkpoint: keep -2; it is at least 2, or -1 for all"};
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(ito_checkpoint_save(dir, &state, .keep = illegal[i]), ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, message[i]);
    }
    remove_tree(dir);
}
