/* Magnitude-preserving layers: what they preserve, forced weight normalisation, and what is
 * refused. Values and gradients are compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_mp.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static double mean_square(ito_tensor *x)
{
    cr_assert_not_null(x, "%s", ito_error());
    return ito_item(ito_mean(ito_square(x)));
}

/* Over 10^4 numbers, the mean square of what has variance 1 is off by 5 % less than once in 1e6. */
Test(layers_mp, magnitudes_are_preserved)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(2, 20, 20, 20), ITO_F32);
    ito_tensor *y = ito_randn(&g, ITO_SHAPE(2, 20, 20, 20), ITO_F32);
    cr_expect_float_eq(mean_square(ito_mp_silu(x)), 1, 0.05);
    cr_expect_float_eq(mean_square(ito_mp_sum(x, y, 0.3)), 1, 0.05);
    cr_expect_float_eq(mean_square(ito_mp_cat(x, y, 1, 0.3)), 1, 0.05);
    ito_mp_fourier_layer *f = ito_mp_fourier_create(NULL, "", 200, .generator = &g);
    cr_expect_float_eq(
        mean_square(ito_mp_fourier_forward(f, ito_narrow(ito_flatten(x, 0, 3), 0, 0, 50))), 1,
        0.05);
    /* Sums over 180 inputs of weights whose own lengths are 1: so are those of the results, and 64
     * outputs share each input. */
    ito_mp_conv2d_layer *c = ito_mp_conv2d_create(NULL, "", 20, 64, 1, .generator = &g);
    cr_expect_float_eq(mean_square(ito_mp_conv2d_forward(c, x)), 1, 0.1);
    ITO_NO_GRAD
    {
        ito_mul_scalar_(c->weight, 50); /* whatever the weights' lengths */
    }
    cr_expect_float_eq(mean_square(ito_mp_conv2d_forward(c, x)), 1, 0.1);
    ito_module_free(&f->base);
    ito_module_free(&c->base);
}

static ito_mp_linear_layer *linear(void)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_mp_linear_layer *l =
        ito_mp_linear_create(NULL, "", 5, 3, .generator = &g, .dtype = ITO_F64);
    cr_assert_not_null(l, "%s", ito_error());
    return l;
}

static ito_tensor *some_x(void)
{
    ito_generator g = ito_generator_make(2, 0);
    return ito_randn(&g, ITO_SHAPE(4, 5), ITO_F64);
}

/* The length of the first row of weights. */
static double length(const ito_tensor *w)
{
    double squares = 0;
    for (int64_t i = 0; i < ito_numel(w) / ito_size(w, 0); i++)
        squares += element(w, i) * element(w, i);
    return sqrt(squares);
}

Test(layers_mp, weights_are_brought_back_in_training_once_after_each_change)
{
    ito_mp_linear_layer *l = linear();
    ito_module_train(&l->base, false);
    double drawn = length(l->weight);
    ito_mp_linear_forward(l, some_x());
    cr_expect_eq(length(l->weight), drawn);
    ito_module_train(&l->base, true);
    ito_mp_linear_forward(l, some_x());
    double forced = length(l->weight);
    cr_expect_float_eq(forced, sqrt(5) * (1 - 1e-4), 1e-3 * 1e-4 * sqrt(5) + 1e-4);
    ito_mp_linear_forward(l, some_x());
    cr_expect_eq(length(l->weight), forced, "the same to the bit");
    ITO_NO_GRAD
    {
        ito_mul_scalar_(l->weight, 4);
    }
    ito_mp_linear_forward(l, some_x());
    cr_expect_float_eq(length(l->weight), sqrt(5), 1e-3);
    ito_module_free(&l->base);
}

/* All parameters of a flattened model share one storage: a weight that is brought back in the
 * middle of a forward does not stand in the way of backward. Lengths stay through steps that would
 * make them grow. */
Test(layers_mp, a_network_of_them_trains)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_create(s, "0", 5, 8, .generator = &g, .dtype = ITO_F64);
    ito_mp_linear_layer *first =
        ito_mp_linear_create(s, "1", 8, 8, .generator = &g, .dtype = ITO_F64);
    ito_activation_create(s, "2", ito_mp_silu);
    ito_mp_linear_create(s, "3", 8, 8, .generator = &g, .dtype = ITO_F64);
    ito_linear_create(s, "4", 8, 1, .generator = &g, .dtype = ITO_F64);
    ito_optimizer *opt = ito_adam_create(s);
    double begin = 0, end = 0;
    for (int k = 0; k < 60; k++) {
        ito_scope_begin();
        ito_tensor *x = some_x();
        ito_module_zero_grad(s);
        ito_tensor *loss = ito_mse_loss(ito_module_forward(s, x), ito_sin(ito_narrow(x, 1, 0, 1)));
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_expect_float_eq(length(first->weight), sqrt(8), 1e-3);
        cr_assert_eq(ito_optimizer_step(opt, 0.05), ITO_OK, "%s", ito_error());
        end = ito_item(loss);
        begin = k == 0 ? end : begin;
        ito_scope_end();
    }
    cr_expect(end < begin / 10, "%g, then %g", begin, end);
    ito_optimizer_free(opt);
    ito_module_free(s);
}

static ito_tensor *through(ito_tensor *const *in, int64_t n, void *layer)
{
    (void)n;
    return ito_module_forward(layer, in[0]);
}

/* Checks move the weights a little without saying so: the normalisation is a part of the map. */
Test(layers_mp, gradients_are_right_and_so_are_theirs)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_mp_conv2d_layer *l =
        ito_mp_conv2d_create(NULL, "", 2, 2, 3, .generator = &g, .dtype = ITO_F64);
    ito_module_train(&l->base, false);
    ito_tensor *in[] = {ito_requires_grad(ito_randn(&g, ITO_SHAPE(1, 2, 3, 4), ITO_F64), true),
                        l->weight};
    cr_expect_eq(ito_gradcheck(through, l, in, 2), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradgradcheck(through, l, in, 2), ITO_OK, "%s", ito_error());
    ito_module_free(&l->base);
}

/* ---- refused ---- */

static void expect_dtype_refused(const void *layer, const char *name)
{
    char message[160];
    snprintf(message, sizeof message,
             "%s: parameters are f32 or f64, not bf16; bf16 inputs take f32 parameters", name);
    expect_refused(layer, ITO_ERR_DTYPE, message);
}

Test(layers_mp, what_cannot_be_is_refused)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 3), ITO_F32), *y = ito_ones(ITO_SHAPE(2), ITO_F32);
    expect_refused(ito_mp_sum(x, x, 1.5), ITO_ERR_RANGE, "mp_sum: t 1.5 is not in [0, 1]");
    expect_refused(ito_mp_cat(x, x, 1, -0.5), ITO_ERR_RANGE, "mp_cat: t -0.5 is not in [0, 1]");
    expect_refused(ito_mp_cat(x, x, 2, 0.5), ITO_ERR_SHAPE,
                   "mp_cat: [2, 3] and [2, 3] have no axis 2 in common");
    expect_refused(ito_mp_cat(x, y, 0, 0.5), ITO_ERR_SHAPE,
                   "mp_cat: [2, 3] and [2] have no axis 0 in common");
    expect_refused(ito_mp_linear_create(NULL, "", 0, 2), ITO_ERR_ARGUMENT,
                   "mp_linear: 0 inputs and 2 outputs; both must be positive");
    expect_refused(ito_mp_conv2d_create(NULL, "", 3, 2, 4), ITO_ERR_ARGUMENT,
                   "mp_conv2d: 3 channels in, 2 out and a kernel of 4; all must be positive, the "
                   "kernel odd");
    expect_refused(ito_mp_fourier_create(NULL, "", 0), ITO_ERR_ARGUMENT,
                   "mp_fourier: 0 channels; there must be some");
    expect_refused(ito_mp_fourier_create(NULL, "", 4, .bandwidth = (double)INFINITY), ITO_ERR_RANGE,
                   "mp_fourier: bandwidth inf is not finite");
    expect_refused(ito_fourier_features_create(NULL, "", 2, 0), ITO_ERR_ARGUMENT,
                   "fourier_features: 2 inputs and 0 frequencies; both must be positive");
    expect_refused(ito_fourier_features_create(NULL, "", 2, 4, .scale = (double)NAN), ITO_ERR_RANGE,
                   "fourier_features: scale nan is not finite");
    expect_dtype_refused(ito_mp_linear_create(NULL, "", 2, 2, .dtype = ITO_BF16), "mp_linear");
    expect_dtype_refused(ito_mp_conv2d_create(NULL, "", 2, 2, 1, .dtype = ITO_BF16), "mp_conv2d");
    expect_dtype_refused(ito_mp_fourier_create(NULL, "", 2, .dtype = ITO_BF16), "mp_fourier");
    expect_dtype_refused(ito_fourier_features_create(NULL, "", 2, 2, .dtype = ITO_BF16),
                         "fourier_features");
    ito_mp_linear_layer *l = linear();
    cr_expect_null(ito_mp_linear_forward_gain(l, x, NULL));
    cr_expect_null(ito_mp_linear_forward(l, NULL));
    ito_module_free(&l->base);
}

static ito_status run_all(void *unused)
{
    (void)unused;
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_mp_linear_layer *l = m == NULL ? NULL : ito_mp_linear_create(m, "l", 4, 4);
    ito_mp_conv2d_layer *c = l == NULL ? NULL : ito_mp_conv2d_create(m, "c", 2, 2, 3);
    ito_mp_fourier_layer *f = c == NULL ? NULL : ito_mp_fourier_create(m, "f", 4);
    ito_fourier_features_layer *r = f == NULL ? NULL : ito_fourier_features_create(m, "r", 4, 2);
    ito_drop_path_layer *d =
        r == NULL ? NULL : ito_drop_path_create(m, "d", 0.5, ito_generator_make(1, 0));
    ito_tensor *x = d == NULL ? NULL : ito_ones(ITO_SHAPE(1, 2, 4, 4), ITO_F32);
    x = ito_mp_linear_forward(l, ito_mp_conv2d_forward(c, x));
    x = ito_fourier_features_forward(r, ito_mp_cat(x, ito_mp_silu(x), 1, 0.5));
    x = ito_mp_fourier_forward(f, ito_drop_path_forward(d, ito_mp_pixel_norm(x, 1)));
    ito_status status = x != NULL ? ITO_OK : ito_error_code();
    ito_module_free(m);
    return status;
}

Test(layers_mp, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(run_all, NULL), 40);
}
