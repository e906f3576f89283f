/* Flat memory: what stays, what moves, and passes over pieces. */
#include "autograd/ops.h"
#include "nn/flat.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

static ito_module *build(ito_conv2d_layer **conv, ito_linear_layer **linear)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_module *m = ito_module_create(NULL, "net", sizeof *m);
    *conv = ito_conv2d_create(m, "conv", 3, 5, 3, .generator = &g); /* 135 and 5 numbers */
    *linear = ito_linear_create(m, "linear", 7, 1, .generator = &g);
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

Test(flat, handles_values_and_strides_stay)
{
    ito_conv2d_layer *conv;
    ito_linear_layer *linear;
    ito_module *m = build(&conv, &linear);
    double before[135];
    int64_t stride[4];
    for (int64_t i = 0; i < 135; i++)
        before[i] = element(conv->weight, i);
    for (int i = 0; i < 4; i++)
        stride[i] = ito_stride(conv->weight, i);
    ito_tensor *handle = conv->weight;
    const void *old = ito_const_data(handle);
    cr_assert_eq(ito_module_flatten(m), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_module_find(m, "conv.weight"), handle);
    cr_expect_neq(ito_const_data(handle), old);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(ito_stride(handle, i), stride[i]);
    for (int64_t i = 0; i < 135; i++)
        cr_expect_eq(element(handle, i), before[i]);
    ito_module_free(m);
}

Test(flat, parameters_begin_at_multiples_of_16_with_zeros_between)
{
    ito_conv2d_layer *conv;
    ito_linear_layer *linear;
    ito_module *m = build(&conv, &linear);
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    const module_flat *f = m->flat;
    const int64_t offset[] = {0, 144, 160, 176};
    cr_expect_eq(f->n, 192);
    const float *data = ito_const_data(f->data), *grad = ito_const_data(f->grad);
    for (int64_t i = 0; i < 4; i++) {
        cr_expect_eq(f->offset[i], offset[i]);
        cr_expect_eq(ito_const_data(f->list->tensors[i]), data + offset[i]);
        for (int64_t k = offset[i] + ito_numel(f->list->tensors[i]);
             k < (i < 3 ? offset[i + 1] : f->n); k++)
            cr_expect(data[k] == 0 && grad[k] == 0);
    }
    ito_module_free(m);
}

Test(flat, gradients_from_before_are_kept_and_later_ones_arrive_there)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 2, 1);
    ito_tensor *x = ramp(ITO_SHAPE(1, 2), 2); /* 1, 3 */
    cr_assert_eq(ito_backward(ito_sum(ito_linear_forward(l, x))), ITO_OK);
    cr_assert_eq(ito_module_flatten(&l->base), ITO_OK);
    const float *grad = ito_const_data(l->base.flat->grad);
    cr_expect(grad[0] == 1 && grad[1] == 3 && grad[16] == 1);
    cr_assert_eq(ito_backward(ito_sum(ito_linear_forward(l, x))), ITO_OK);
    cr_expect(grad[0] == 2 && grad[1] == 6 && grad[16] == 2);
    ito_module_zero_grad(&l->base);
    cr_assert_eq(ito_backward(ito_sum(ito_linear_forward(l, x))), ITO_OK);
    cr_expect(grad[0] == 1 && grad[1] == 3 && grad[16] == 1);
    cr_expect_eq(ito_const_data(ito_grad_of(l->bias)), grad + 16);
    ito_module_free(&l->base);
}

/* A sweep that is recorded itself replaces a leaf's gradient by a result with history. */
Test(flat, gradients_of_a_recorded_sweep_are_gathered)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 2, 1);
    cr_assert_eq(ito_module_flatten(&l->base), ITO_OK);
    ito_tensor *x = ramp(ITO_SHAPE(1, 2), 2);
    for (int pass = 0; pass < 2; pass++)
        cr_assert_eq(ito_backward(ito_sum(ito_linear_forward(l, x)), .create_graph = true), ITO_OK);
    flat_gather_gradients(l->base.flat);
    const float *grad = ito_const_data(l->base.flat->grad);
    cr_expect(grad[0] == 2 && grad[1] == 6 && grad[16] == 2);
    cr_expect_eq(ito_const_data(ito_grad_of(l->weight)), grad);
    ito_module_free(&l->base);
}

Test(flat, a_second_time_does_nothing)
{
    ito_conv2d_layer *conv;
    ito_linear_layer *linear;
    ito_module *m = build(&conv, &linear);
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    const void *data = ito_const_data(linear->weight);
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    cr_expect_eq(ito_const_data(linear->weight), data);
    ito_module_free(m);
}

static void expect_pieces(module_flat *f, int64_t n, const flat_piece *wanted)
{
    cr_assert_eq(flat_pieces(f, NULL), n);
    for (int64_t i = 0; i < n; i++) {
        cr_expect_eq(f->piece[i].begin, wanted[i].begin);
        cr_expect_eq(f->piece[i].end, wanted[i].end);
        cr_expect_eq(f->piece[i].frozen, wanted[i].frozen);
    }
}

Test(flat, pieces_cover_everything_at_fixed_bounds_apart_by_what_is_frozen)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    const char *name[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        ito_module_parameter(m, name[i], ito_zeros(ITO_SHAPE(20000), ITO_F32));
    module_flat *f = flat_of(m);
    cr_assert_not_null(f);
    expect_pieces(f, 4,
                  (const flat_piece[]){{.begin = 0, .end = 16384},
                                       {.begin = 16384, .end = 32768},
                                       {.begin = 32768, .end = 49152},
                                       {.begin = 49152, .end = 60000}});
    ito_requires_grad(ito_module_find(m, "b"), false);
    expect_pieces(f, 6,
                  (const flat_piece[]){{.begin = 0, .end = 16384},
                                       {.begin = 16384, .end = 20000},
                                       {.begin = 20000, .end = 32768, .frozen = true},
                                       {.begin = 32768, .end = 40000, .frozen = true},
                                       {.begin = 40000, .end = 49152},
                                       {.begin = 49152, .end = 60000}});
    ito_module_free(m);
}

Test(flat, shared_parameters_stay_shared)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_linear_layer *a = ito_linear_create(m, "a", 3, 3, .bias = false);
    ito_module_parameter(ito_module_create(m, "b", sizeof *m), "weight", a->weight);
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    cr_expect_eq(m->flat->n, 16);
    cr_expect_eq(ito_module_find(m, "b.weight"), a->weight);
    ito_module_free(m);
}

Test(flat, a_model_without_parameters_is_fine)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    cr_expect_eq(ito_module_flatten(m), ITO_OK, "%s", ito_error());
    cr_expect_eq(flat_pieces(m->flat, NULL), 0);
    cr_expect_eq(ito_clip_grad_norm(m, 1), 0);
    ito_module_free(m);
}

Test(flat, refuses_parts_mixtures_and_latecomers)
{
    ito_conv2d_layer *conv;
    ito_linear_layer *linear;
    ito_module *m = build(&conv, &linear);
    cr_expect_eq(ito_module_flatten(&conv->base), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "flatten: \"conv\" is part of another module; flatten the whole");
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    cr_expect_null(ito_module_parameter(&conv->base, "late", ito_zeros(ITO_SHAPE(1), ITO_F32)));
    expect_error(ITO_ERR_ARGUMENT, "module: parameter \"late\" comes after the model was flattened "
                                   "for an optimizer or an average");
    ito_module *mixed = ito_module_create(NULL, "", sizeof *mixed);
    ito_module_parameter(mixed, "a", ito_zeros(ITO_SHAPE(1), ITO_F32));
    ito_module_parameter(mixed, "b", ito_zeros(ITO_SHAPE(1), ITO_F64));
    cr_expect_eq(ito_module_flatten(mixed), ITO_ERR_DTYPE);
    expect_error(ITO_ERR_DTYPE, "flatten: a is f32, but b is f64");
    ito_module_free(mixed);
    ito_module_free(m);
}

Test(flat, a_parameter_moved_by_another_model_is_noticed)
{
    ito_module *first = ito_module_create(NULL, "", sizeof *first);
    ito_module *second = ito_module_create(NULL, "", sizeof *second);
    ito_tensor *shared = ito_module_parameter(first, "w", ito_zeros(ITO_SHAPE(3), ITO_F32));
    ito_module_parameter(second, "w", shared);
    ito_optimizer *opt = ito_sgd_create(first);
    cr_assert_not_null(opt);
    cr_assert_eq(ito_module_flatten(second), ITO_OK);
    cr_expect_eq(ito_optimizer_step(opt, 0.1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "sgd: parameter w was moved: it is in another model that was flattened later");
    ito_optimizer_free(opt);
    ito_module_free(first);
    ito_module_free(second);
}

typedef struct flat_attempt {
    ito_module *module;
    const ito_tensor *weight;
    const void *data; /* of weight, before */
} flat_attempt;

static ito_status try_to_flatten(void *context)
{
    const flat_attempt *a = context;
    ito_status status = ito_module_flatten(a->module);
    cr_expect(status == ITO_OK || ito_const_data(a->weight) == a->data);
    return status;
}

Test(flat, survives_every_failing_allocation)
{
    ito_conv2d_layer *conv;
    ito_linear_layer *linear;
    ito_module *m = build(&conv, &linear);
    double value = element(conv->weight, 100);
    flat_attempt a = {m, conv->weight, ito_const_data(conv->weight)};
    /* The struct, the list, two blocks. */
    cr_expect_geq(count_failed_allocations(try_to_flatten, &a), 4);
    cr_expect_eq(element(conv->weight, 100), value);
    ito_module_free(m);
}
