/* Functions made of functions. That forward mode is right for each operation is part of what every
 * operation must pass (op_check.c); here are laws of the transforms themselves. */
#include "autograd/transforms.h"

#include "autograd/graph.h"
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *of(const double *v, int64_t n)
{
    return ito_from_data(v, ITO_SHAPE(n), ITO_F64);
}

/* sin(x) sum(x) */
static ito_tensor *curve(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_mul(ito_sin(in[0]), ito_sum(in[0]));
}

/* x0^2 x1 + x1^3, summed */
static ito_tensor *polynomial(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    ito_tensor *y = ito_add(ito_mul(ito_square(in[0]), in[1]), ito_pow_scalar(in[1], 3));
    return ito_sum(y);
}

static const double xs[3] = {0.3, -0.7, 1.1}, vs[3] = {1, 2, -0.5};

/* d/dh of sin(x + h v) sum(x + h v) at 0, worked out by hand. */
Test(transforms, jvp_is_the_derivative_along_a_direction)
{
    double want[3], sum = 0, sum_v = 0;
    for (int i = 0; i < 3; i++)
        sum += xs[i], sum_v += vs[i];
    for (int i = 0; i < 3; i++)
        want[i] = cos(xs[i]) * vs[i] * sum + sin(xs[i]) * sum_v;
    ito_tensor *x = of(xs, 3), *v = of(vs, 3), *y = NULL;
    assert_elements(ito_jvp(curve, NULL, &x, 1, &v, &y), want, 3, 1e-14, "jvp");
    assert_close(y, curve(&x, 1, NULL), 0, "value");
}

Test(transforms, an_input_without_a_tangent_is_constant)
{
    ito_tensor *in[] = {of(xs, 3), of(vs, 3)}, *t[] = {NULL, of(xs, 3)};
    double want = 0; /* (x0^2 + 3 x1^2) t */
    for (int i = 0; i < 3; i++)
        want += (xs[i] * xs[i] + 3 * vs[i] * vs[i]) * xs[i];
    assert_elements(ito_jvp(polynomial, NULL, in, 2, t, NULL), &want, 1, 1e-14, "jvp");
}

Test(transforms, a_function_that_ignores_its_input_has_tangent_zero)
{
    ito_tensor *in[] = {of(xs, 3), of(vs, 3)}, *t[] = {NULL, NULL};
    assert_elements(ito_jvp(polynomial, NULL, in, 2, t, NULL), (double[]){0}, 1, 0, "jvp");
}

/* The derivative along itself of the derivative along 1 of x^3: nested levels are kept apart. */
static ito_tensor *cube(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_mul(in[0], ito_square(in[0]));
}

static ito_tensor *slope_of_cube(ito_tensor *const *in, int64_t n, void *unused)
{
    ito_tensor *one = ito_ones_like(in[0]);
    return ito_mul(in[0], ito_jvp(cube, unused, in, n, &one, NULL));
}

Test(transforms, jvp_nests)
{
    ito_tensor *x = ito_scalar(2, ITO_F64), *v = ito_scalar(1, ITO_F64);
    /* d/dx of x 3 x^2 = 9 x^2 */
    assert_elements(ito_jvp(slope_of_cube, NULL, &x, 1, &v, NULL), (double[]){36}, 1, 1e-14, "");
}

/* d/dx of x (d/dy of x + y): the inner derivative is 1, not 2. */
static ito_tensor *shifted(ito_tensor *const *in, int64_t n, void *x)
{
    (void)n;
    return ito_add(x, in[0]);
}

static ito_tensor *confused(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    ito_tensor *y = ito_scalar(1, ITO_F64), *one = ito_scalar(1, ITO_F64);
    return ito_mul(in[0], ito_jvp(shifted, in[0], &y, 1, &one, NULL));
}

Test(transforms, tangents_of_nested_levels_are_not_confused)
{
    ito_tensor *x = ito_scalar(1, ITO_F64), *v = ito_scalar(1, ITO_F64);
    assert_elements(ito_jvp(confused, NULL, &x, 1, &v, NULL), (double[]){1}, 1, 0, "");
}

/* A tangent of a jvp that is over is none of the next. */
static ito_tensor *kept;

static ito_tensor *keeps(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    if (kept == NULL)
        kept = ito_retain(ito_square(in[0]));
    return ito_add(kept, in[0]);
}

Test(transforms, a_tensor_kept_from_one_jvp_is_constant_in_the_next)
{
    ito_tensor *x = ito_scalar(3, ITO_F64), *v = ito_scalar(1, ITO_F64);
    assert_elements(ito_jvp(keeps, NULL, &x, 1, &v, NULL), (double[]){7}, 1, 0, "first");
    assert_elements(ito_jvp(keeps, NULL, &x, 1, &v, NULL), (double[]){1}, 1, 0, "second");
    ito_release(kept);
}

static ito_tensor *gradient_of_curve(ito_tensor *const *in, int64_t n, void *context)
{
    return ito_grad(ito_sum(curve(in, n, context)), in[0], .create_graph = true);
}

/* Forward mode over a sweep is the product with the Hessian, as is a sweep over forward mode. */
static ito_tensor *sum_of_curve(ito_tensor *const *in, int64_t n, void *context)
{
    return ito_sum(curve(in, n, context));
}

Test(transforms, forward_over_backward_is_backward_over_forward)
{
    ito_tensor *x = ito_requires_grad(of(xs, 3), true), *v = of(vs, 3), *hv = NULL;
    ito_tensor *forward = ito_jvp(gradient_of_curve, NULL, &x, 1, &v, NULL);
    cr_assert_eq(ito_hvp(sum_of_curve, NULL, &x, 1, &v, &hv), ITO_OK, "%s", ito_error());
    assert_close(forward, ito_detach(hv), 1e-14, "hvp");
    ito_tensor *hessian = ito_hessian(sum_of_curve, NULL, &x, 1, 0);
    assert_close(ito_matmul(hessian, v), ito_detach(hv), 1e-14, "hessian");
}

Test(transforms, hvp_of_several_inputs_is_worked_out_by_hand)
{
    ito_tensor *in[] = {of(xs, 3), of(vs, 3)}, *v[] = {of(vs, 3), NULL}, *hv[2];
    cr_assert_eq(ito_hvp(polynomial, NULL, in, 2, v, hv), ITO_OK, "%s", ito_error());
    double want[2][3];
    for (int i = 0; i < 3; i++) {
        want[0][i] = 2 * vs[i] * vs[i];
        want[1][i] = 2 * xs[i] * vs[i];
    }
    assert_elements(hv[0], want[0], 3, 1e-14, "x0");
    assert_elements(hv[1], want[1], 3, 1e-14, "x1");
}

/* [2, 3] to [2], and [2] to [2, 3]: by rows and by columns */
static ito_tensor *row_sums(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_sum(ito_square(in[0]), .dims = ITO_DIMS(1));
}

static ito_tensor *spread(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_mul(ito_unsqueeze(ito_square(in[0]), 1), ito_ones(ITO_SHAPE(2, 3), ITO_F64));
}

Test(transforms, jacobian_has_the_axes_of_the_result_and_of_the_input)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 3), -1, 1, 1);
    const double *v = ito_const_data(x);
    double want[12] = {0};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            want[i * 6 + i * 3 + j] = 2 * v[i * 3 + j];
    ito_tensor *rows = ito_jacobian(row_sums, NULL, &x, 1, 0);
    assert_elements(rows, want, 12, 1e-14, "rows");
    cr_assert(shape_equal(ito_shape_of(rows), ITO_SHAPE(2, 2, 3)));
    x = of(xs, 2);
    double columns[12] = {0};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            columns[(i * 3 + j) * 2 + i] = 2 * xs[i];
    ito_tensor *all = ito_jacobian(spread, NULL, &x, 1, 0);
    assert_elements(all, columns, 12, 1e-14, "columns");
    cr_assert(shape_equal(ito_shape_of(all), ITO_SHAPE(2, 3, 2)));
}

Test(transforms, jacobian_can_be_differentiated)
{
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -1, 1, 1), true);
    ito_tensor *g = ito_grad(ito_sum(ito_jacobian(row_sums, NULL, &x, 1, 0)), x);
    assert_close(g, ito_full(ITO_SHAPE(2, 3), 2, ITO_F64), 1e-14, "rows");
    ito_tensor *z = ito_requires_grad(of(xs, 2), true);
    g = ito_grad(ito_sum(ito_jacobian(spread, NULL, &z, 1, 0)), z);
    assert_close(g, ito_full(ITO_SHAPE(2), 6, ITO_F64), 1e-14, "columns");
}

/* The gradient of (w . x)^2 for one example */
static ito_tensor *example_gradient(ito_tensor *const *in, int64_t n, void *w)
{
    (void)n;
    return ito_grad(ito_square(ito_sum(ito_mul(w, in[0]))), w);
}

Test(transforms, vmap_of_a_gradient_is_that_of_each_example)
{
    ito_tensor *w = ito_requires_grad(of(vs, 3), true);
    ito_tensor *x = random_tensor(ITO_SHAPE(4, 3), -1, 1, 5);
    ito_tensor *g = ito_vmap(example_gradient, w, &x, 1);
    for (int64_t i = 0; i < 4; i++) {
        ito_tensor *one = ito_select(x, 0, i);
        assert_close(ito_select(g, 0, i), example_gradient(&one, 1, w), 0, "example");
    }
}

static ito_tensor *difference(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_sub(in[0], in[1]);
}

Test(transforms, vmap_takes_the_axes_it_is_given)
{
    ito_tensor *in[] = {random_tensor(ITO_SHAPE(2, 3), -1, 1, 5), of(xs, 2)};
    const int axes[] = {-1, ITO_NO_AXIS};
    ito_tensor *y = ito_vmap(difference, NULL, in, 2, .in_axes = axes, .out_axis = 1);
    assert_close(y, ito_sub(in[0], ito_unsqueeze(in[1], 1)), 0, "vmap");
}

/* round, whose gradient passes straight through */
static ito_tensor *rounded(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_round(in[0]);
}

static ito_tensor *straight_through(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                    ito_tensor *dy, void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)unused;
    return ito_mul_scalar(dy, 1);
}

Test(transforms, custom_grad_has_the_value_of_one_function_and_the_gradient_of_another)
{
    ito_tensor *x = ito_requires_grad(of(xs, 3), true), *v = of(vs, 3);
    ito_tensor *y = ito_custom_grad(rounded, straight_through, NULL, &x, 1);
    assert_elements(y, (double[]){0, -1, 1}, 3, 0, "value");
    assert_close(ito_grad(y, x, .cotangent = v), v, 0, "gradient");
}

static ito_tensor *through_custom_grad(ito_tensor *const *in, int64_t n, void *unused)
{
    return ito_square(ito_custom_grad(rounded, straight_through, unused, in, n));
}

Test(transforms, forward_mode_passes_a_custom_gradient)
{
    ito_tensor *x = of(xs, 3), *v = of(vs, 3);
    /* 2 round(x) v */
    assert_elements(ito_jvp(through_custom_grad, NULL, &x, 1, &v, NULL), (double[]){0, -4, -1}, 3,
                    0, "jvp");
}

static ito_tensor *recomputed(ito_tensor *const *in, int64_t n, void *unused)
{
    return ito_recompute(curve, unused, in, n);
}

Test(transforms, forward_mode_passes_recompute)
{
    ito_tensor *x = ito_requires_grad(of(xs, 3), true), *v = of(vs, 3);
    assert_close(ito_jvp(recomputed, NULL, &x, 1, &v, NULL), ito_jvp(curve, NULL, &x, 1, &v, NULL),
                 0, "jvp");
}

static ito_tensor *changes_in_place(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_mul_scalar_(ito_clone(in[0]), 2);
}

static ito_tensor *adds_in_place(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_add_(ito_zeros_like(in[0]), in[0], 1);
}

Test(transforms, refuses_a_change_in_place_of_what_has_a_tangent)
{
    ito_tensor *x = of(xs, 3), *v = of(vs, 3);
    cr_assert_null(ito_jvp(changes_in_place, NULL, &x, 1, &v, NULL));
    assert_error(ITO_ERR_GRAD, "mul_scalar_: [3] has a tangent, and forward mode does not follow "
                               "what is changed in place");
    cr_assert_null(ito_jvp(adds_in_place, NULL, &x, 1, &v, NULL));
    assert_error(ITO_ERR_GRAD, "add_: [3] has a tangent, and forward mode does not follow what is "
                               "changed in place");
}

Test(transforms, refuses_tangents_that_do_not_fit)
{
    ito_tensor *x = of(xs, 3), *two = of(vs, 2), *narrow = ito_cast(x, ITO_F32);
    ito_tensor *whole = ito_cast(x, ITO_I64);
    cr_assert_null(ito_jvp(curve, NULL, &x, 1, &two, NULL));
    assert_error(ITO_ERR_SHAPE, "jvp: the tangent of input 0 is [2], not shaped as it, [3]");
    cr_assert_null(ito_jvp(curve, NULL, &x, 1, &narrow, NULL));
    assert_error(ITO_ERR_DTYPE, "jvp: the tangent of input 0 is f32, not f64");
    cr_assert_null(ito_jvp(curve, NULL, &whole, 1, &whole, NULL));
    assert_error(ITO_ERR_DTYPE, "jvp: input 0 is i64, which has no tangent");
    cr_assert_null(ito_jvp(curve, NULL, &x, 1, NULL, NULL));
    assert_error(ITO_ERR_ARGUMENT, "jvp: the list of tangents is NULL");
}

Test(transforms, refuses_a_missing_function_or_input)
{
    ito_tensor *x = of(xs, 3), *none = NULL;
    cr_assert_null(ito_jvp(NULL, NULL, &x, 1, &x, NULL));
    assert_error(ITO_ERR_ARGUMENT, "jvp: no function");
    cr_assert_null(ito_jacobian(curve, NULL, NULL, 0, 0));
    assert_error(ITO_ERR_ARGUMENT, "jacobian: no inputs");
    cr_assert_null(ito_vmap(curve, NULL, &none, 1));
    assert_error(ITO_ERR_ARGUMENT, "vmap: input 0 is NULL");
    cr_assert_null(ito_custom_grad(curve, NULL, NULL, &x, 1));
    assert_error(ITO_ERR_ARGUMENT, "custom_grad: no function for the gradient");
    cr_assert_eq(ito_hvp(sum_of_curve, NULL, &x, 1, &x, NULL), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "hvp: the list of products is NULL");
}

static ito_tensor *deeper(ito_tensor *const *in, int64_t n, void *depth)
{
    ito_tensor *one = ito_ones_like(in[0]);
    int64_t left = *(int64_t *)depth;
    (*(int64_t *)depth)--;
    return left == 0 ? cube(in, n, NULL) : ito_jvp(deeper, depth, in, n, &one, NULL);
}

/* The fourth derivative of x^3 is 0, the third 6. */
Test(transforms, four_levels_nest_and_five_do_not)
{
    ito_tensor *x = ito_scalar(2, ITO_F64), *v = ito_scalar(1, ITO_F64);
    int64_t depth = 2;
    assert_elements(ito_jvp(deeper, &depth, &x, 1, &v, NULL), (double[]){6}, 1, 1e-14, "third");
    depth = 3;
    assert_elements(ito_jvp(deeper, &depth, &x, 1, &v, NULL), (double[]){0}, 1, 1e-14, "fourth");
    depth = 4;
    cr_assert_null(ito_jvp(deeper, &depth, &x, 1, &v, NULL));
    assert_error(ITO_ERR_ARGUMENT, "jvp: more than 4 are nested");
}

Test(transforms, refuses_what_has_no_derivative)
{
    ito_tensor *x = of(xs, 3), *whole = ito_cast(x, ITO_I64);
    cr_assert_null(ito_jacobian(curve, NULL, &whole, 1, 0));
    assert_error(ITO_ERR_DTYPE, "jacobian: input 0 is i64, which has no derivative");
    cr_assert_null(ito_jacobian(curve, NULL, &x, 1, 1));
    assert_error(ITO_ERR_RANGE, "jacobian: argnum 1 of 1 inputs");
    cr_assert_null(ito_hessian(curve, NULL, &x, 1, 0));
    assert_error(ITO_ERR_SHAPE, "hessian: the function gives [3], not a single number");
    ito_tensor *hv;
    cr_assert_eq(ito_hvp(curve, NULL, &x, 1, &x, &hv), ITO_ERR_SHAPE);
    assert_error(ITO_ERR_SHAPE, "hvp: the function gives [3], not a single number");
}

Test(transforms, vmap_refuses_axes_that_do_not_fit)
{
    ito_tensor *in[] = {ito_zeros(ITO_SHAPE(2, 3), ITO_F64), of(xs, 3)};
    const int none[] = {ITO_NO_AXIS, ITO_NO_AXIS};
    cr_assert_null(ito_vmap(difference, NULL, in, 2));
    assert_error(ITO_ERR_SHAPE,
                 "vmap: input 1 [3] has another size along axis 0 than those before");
    cr_assert_null(ito_vmap(difference, NULL, in, 2, .in_axes = none));
    assert_error(ITO_ERR_ARGUMENT, "vmap: no input has an axis to map over");
    in[0] = ito_zeros(ITO_SHAPE(0, 3), ITO_F64);
    cr_assert_null(ito_vmap(difference, NULL, in, 2));
    assert_error(ITO_ERR_SHAPE, "vmap: input 0 [0, 3] has no entry along axis 0");
}

static ito_tensor *fails(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)in, (void)n, (void)unused;
    return NULL;
}

Test(transforms, a_function_without_a_result_is_an_error)
{
    ito_tensor *x = of(xs, 3);
    cr_assert_null(ito_jvp(fails, NULL, &x, 1, &x, NULL));
    assert_error(ITO_ERR_ARGUMENT, "jvp: the function gave no result");
    cr_assert_null(ito_vmap(fails, NULL, &x, 1));
    assert_error(ITO_ERR_ARGUMENT, "vmap: the function gave no result");
}

/* Whatever request fails, the error is that, nothing is leaked, and the next jvp is right. */
Test(transforms, a_failing_allocation_leaves_nothing_behind)
{
    ito_tensor *x = ito_requires_grad(of(xs, 3), true), *v = of(vs, 3);
    int64_t blocks = ito_memory_blocks();
    bool done = false;
    int64_t nth = 1;
    for (; nth < 2000 && !done; nth++) {
        ito_tensor *hv = NULL;
        ito_scope_begin();
        ito_memory_fail_nth(nth);
        ito_status status = ito_hvp(sum_of_curve, NULL, &x, 1, &v, &hv);
        ito_memory_fail_nth(0);
        done = status == ITO_OK;
        cr_assert_eq(ito_error_code(), done ? ITO_OK : ITO_ERR_MEMORY, "%s", ito_error());
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks, "request %d: blocks are leaked", (int)nth);
        cr_assert_not(forward_active(), "request %d", (int)nth);
    }
    cr_assert(done && nth > 20);
}
