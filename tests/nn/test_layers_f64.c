/* Layers in f64: the same maps, checked against central differences with all their parameters, and
 * trained; and the dtypes that are refused. */
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "nn/layers.h"
#include "nn/layers_norm.h"
#include "nn/layers_recurrent.h"
#include "tests/nn/nn_check.h"

#include <math.h>

/* ---- gradients ---- */

static ito_tensor *forward(ito_tensor *const *in, int64_t n, void *layer)
{
    (void)n;
    return ito_module_forward(layer, in[0]);
}

/* First and second derivatives by x and by every parameter; frees the layer. x may be an index. */
static void check_gradients(ito_module *layer, ito_tensor *x)
{
    cr_assert_not_null(layer, "%s", ito_error());
    if (ito_dtype_of(x) == ITO_F64)
        ito_requires_grad(x, true);
    ito_named_tensors *p = ito_module_parameters(layer);
    ito_tensor *in[16] = {x};
    cr_assert(p->n > 0 && p->n < 16);
    for (int64_t i = 0; i < p->n; i++) {
        cr_expect_eq(ito_dtype_of(p->tensors[i]), ITO_F64, "%s", p->names[i]);
        in[i + 1] = p->tensors[i];
    }
    cr_expect_eq(ito_gradcheck(forward, layer, in, p->n + 1), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradgradcheck(forward, layer, in, p->n + 1), ITO_OK, "%s", ito_error());
    ito_named_tensors_free(p);
    ito_module_free(layer);
}

static ito_tensor *random_f64(ito_shape shape)
{
    ito_generator g = ito_generator_make(2, 0);
    return ito_randn(&g, shape, ITO_F64);
}

Test(layers_f64, linear_has_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    check_gradients(&ito_linear_create(NULL, "", 3, 2, .generator = &g, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(2, 3)));
}

Test(layers_f64, conv2d_has_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_conv2d_layer *l = ito_conv2d_create(NULL, "", 2, 4, 3, .generator = &g, .stride = 2,
                                            .padding = 1, .groups = 2, .dtype = ITO_F64);
    cr_expect(ito_is_channels_last(l->weight));
    check_gradients(&l->base, random_f64(ITO_SHAPE(1, 2, 4, 5)));
}

Test(layers_f64, convolutions_of_all_kinds_have_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    check_gradients(&ito_conv1d_create(NULL, "", 2, 2, 3, .generator = &g, .padding = 1,
                                       .padding_mode = ITO_PADDING_REFLECT, .dtype = ITO_F64)
                         ->base,
                    random_f64(ITO_SHAPE(1, 2, 5)));
    check_gradients(&ito_conv3d_create(NULL, "", 1, 2, 2, .generator = &g, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(1, 1, 3, 2, 3)));
    check_gradients(&ito_conv_transpose2d_create(NULL, "", 2, 2, 2, .generator = &g, .stride = 2,
                                                 .output_padding = 1, .dtype = ITO_F64)
                         ->base,
                    random_f64(ITO_SHAPE(1, 2, 2, 3)));
}

Test(layers_f64, recurrent_networks_have_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    check_gradients(&ito_lstm_create(NULL, "", 2, 2, .generator = &g, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(3, 2, 2)));
    check_gradients(
        &ito_gru_create(NULL, "", 2, 2, .generator = &g, .bidirectional = true, .dtype = ITO_F64)
             ->base,
        random_f64(ITO_SHAPE(3, 1, 2)));
}

Test(layers_f64, norms_with_running_statistics_have_the_right_gradients)
{
    check_gradients(&ito_batch_norm_create(NULL, "", 2, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(3, 2, 2)));
    check_gradients(&ito_instance_norm_create(NULL, "", 2, .affine = true, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(2, 2, 3)));
}

Test(layers_f64, norms_have_the_right_gradients)
{
    ito_shape last = ITO_SHAPE(2, 3);
    check_gradients(&ito_group_norm_create(NULL, "", 4, 2, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(2, 4, 3)));
    check_gradients(&ito_layer_norm_create(NULL, "", last, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(2, 2, 3)));
    check_gradients(&ito_rms_norm_create(NULL, "", last, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(2, 2, 3)));
}

Test(layers_f64, embedding_has_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    check_gradients(&ito_embedding_create(NULL, "", 4, 3, .generator = &g, .dtype = ITO_F64)->base,
                    ito_from_data((const int64_t[]){2, 0, 2}, ITO_SHAPE(3), ITO_I64));
}

Test(layers_f64, attention_has_the_right_gradients)
{
    ito_generator g = ito_generator_make(1, 0);
    check_gradients(&ito_attention_create(NULL, "", 4, 2, .generator = &g, .dtype = ITO_F64)->base,
                    random_f64(ITO_SHAPE(1, 4, 2, 2)));
    check_gradients(&ito_attention_create(NULL, "", 4, 2, .generator = &g, .dtype = ITO_F64,
                                          .heads = 2, .group_norm = false)
                         ->base,
                    random_f64(ITO_SHAPE(1, 4, 2, 2)));
}

/* ---- training ---- */

static ito_module *small_net(uint64_t seed, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(seed, 0);
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_create(s, "0", 3, 8, .generator = &g, .dtype = dtype);
    ito_layer_norm_create(s, "1", ITO_SHAPE(8), .dtype = dtype);
    ito_activation_create(s, "2", ito_silu);
    ito_linear_create(s, "3", 8, 1, .generator = &g, .dtype = dtype);
    return s;
}

/* The loss of step k, whose data are drawn anew; a step is taken. */
static double step(ito_module *net, ito_optimizer *opt, ito_ema *ema, uint64_t k)
{
    ito_scope_begin();
    ito_generator g = ito_generator_make(5, k);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(32, 3), ITO_F64);
    ito_tensor *y = ito_sum(ito_sin(x), .dims = ITO_DIMS(1), .keepdim = true);
    ito_module_zero_grad(net);
    ito_tensor *loss = ito_mse_loss(ito_module_forward(net, x), y);
    cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_optimizer_step(opt, 0.02, .max_norm = 10, .ema = ema), ITO_OK, "%s",
                 ito_error());
    double value = ito_item(loss);
    ito_scope_end();
    return value;
}

Test(layers_f64, a_network_trains_and_resumes_to_the_bit)
{
    ito_module *net = small_net(1, ITO_F64), *other = small_net(2, ITO_F64);
    ito_optimizer *opt = ito_adam_create(net), *other_opt = ito_adam_create(other);
    ito_ema *ema = ito_ema_create(net, .decay = 0.9), *other_ema = ito_ema_create(other);
    cr_assert(opt != NULL && ema != NULL, "%s", ito_error());
    double first = step(net, opt, ema, 0), last = 0;
    for (uint64_t k = 1; k < 200; k++)
        last = step(net, opt, ema, k);
    cr_expect(last < first / 4, "%g from %g", last, first);

    const char *dir = temporary_directory();
    ito_training_state state = {.model = net, .optimizer = opt, .ema = ema, .step = 200};
    cr_assert_eq(ito_checkpoint_save(dir, &state), ITO_OK, "%s", ito_error());
    ito_training_state again = {.model = other, .optimizer = other_opt, .ema = other_ema};
    cr_assert_eq(ito_checkpoint_load(in_directory(dir, "step-200"), &again), ITO_OK, "%s",
                 ito_error());
    for (uint64_t k = 200; k < 203; k++)
        cr_expect_eq(step(net, opt, ema, k), step(other, other_opt, other_ema, k));
    uint32_t a = 0, b = 1;
    ito_module_checksum(net, &a);
    ito_module_checksum(other, &b);
    cr_expect_eq(a, b);
    remove_tree(dir);
    ito_ema_free(ema);
    ito_ema_free(other_ema);
    ito_optimizer_free(opt);
    ito_optimizer_free(other_opt);
    ito_module_free(net);
    ito_module_free(other);
}

/* Weights of f32 are loaded into f64 as they are. */
Test(layers_f64, a_file_of_f32_serves_f64)
{
    ito_module *narrow = small_net(1, ITO_F32), *wide = small_net(2, ITO_F64);
    const char *dir = temporary_directory(), *path = in_directory(dir, "m.safetensors");
    cr_assert_eq(ito_module_save(narrow, path), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_module_load(wide, path), ITO_OK, "%s", ito_error());
    ito_tensor *a = ito_module_find(narrow, "0.weight"), *b = ito_module_find(wide, "0.weight");
    cr_expect_eq(ito_dtype_of(b), ITO_F64);
    for (int64_t i = 0; i < ito_numel(a); i++)
        cr_expect_eq(element(a, i), element(b, i));
    remove_tree(dir);
    ito_module_free(narrow);
    ito_module_free(wide);
}

/* ---- refused ---- */

static void expect_dtype_refused(const void *layer, const char *name, const char *dtype)
{
    char message[160];
    snprintf(message, sizeof message,
             "%s: parameters are f32 or f64, not %s; bf16 inputs take f32 parameters", name, dtype);
    expect_refused(layer, ITO_ERR_DTYPE, message);
}

Test(layers_f64, other_dtypes_are_refused)
{
    ito_shape shape = ITO_SHAPE(4);
    expect_dtype_refused(ito_linear_create(NULL, "", 2, 2, .dtype = ITO_BF16), "linear", "bf16");
    expect_dtype_refused(ito_conv2d_create(NULL, "", 2, 2, 1, .dtype = ITO_F16), "conv2d", "f16");
    expect_dtype_refused(ito_group_norm_create(NULL, "", 2, 2, .dtype = ITO_I64), "group_norm",
                         "i64");
    expect_dtype_refused(ito_layer_norm_create(NULL, "", shape, .dtype = ITO_BF16), "layer_norm",
                         "bf16");
    expect_dtype_refused(ito_rms_norm_create(NULL, "", shape, .dtype = ITO_BF16), "rms_norm",
                         "bf16");
    expect_dtype_refused(ito_embedding_create(NULL, "", 2, 2, .dtype = ITO_BOOL), "embedding",
                         "bool");
    expect_dtype_refused(ito_attention_create(NULL, "", 2, 2, .dtype = ITO_BF16), "group_norm",
                         "bf16");
}

Test(layers_f64, inputs_have_the_dtype_of_the_parameters)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 2, 2, .dtype = ITO_F64);
    expect_refused(ito_linear_forward(l, ito_ones(ITO_SHAPE(1, 2), ITO_F32)), ITO_ERR_DTYPE,
                   "linear: f32 [1, 2] and f64 [2, 2] do not mix (see ito_cast)");
    ito_module_free(&l->base);
}
