/* The registry: names, order, sharing, modes, and what is refused. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/module.h"
#include "tests/nn/nn_check.h"

#include <math.h>

typedef struct net {
    ito_module base;
    ito_generator generator;
    int *destroyed;
} net;

/* Two levels, a dotted child name, a buffer between parameters. */
static net *build(void)
{
    net *m = ito_module_create(NULL, "net", sizeof *m);
    ito_module *block = ito_module_create(&m->base, "down.0", sizeof *block);
    ito_linear_create(block, "proj", 3, 2);
    ito_module_parameter(&m->base, "scale", ito_ones(ITO_SHAPE(4), ITO_F32));
    ito_module_buffer(&m->base, "mean", ito_zeros(ITO_SHAPE(2), ITO_I64));
    ito_linear_create(&m->base, "out", 2, 1, .bias = false);
    ito_module_generator(&m->base, "noise", &m->generator);
    ito_dropout_create(block, "drop", 0.5, ito_generator_make(9, 9));
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

static void expect_names(ito_named_tensors *list, int64_t n, const char *const *names)
{
    cr_assert_not_null(list);
    cr_assert_eq(list->n, n);
    for (int64_t i = 0; i < n; i++)
        cr_expect_str_eq(list->names[i], names[i]);
    ito_named_tensors_free(list);
}

Test(module, names_are_paths_in_registry_order)
{
    net *m = build();
    expect_names(ito_module_parameters(&m->base), 4,
                 (const char *[]){"scale", "down.0.proj.weight", "down.0.proj.bias", "out.weight"});
    expect_names(
        ito_module_state(&m->base), 5,
        (const char *[]){"scale", "mean", "down.0.proj.weight", "down.0.proj.bias", "out.weight"});
    expect_names(ito_module_parameters(m->base.first_child), 2,
                 (const char *[]){"proj.weight", "proj.bias"});
    cr_expect_eq(ito_module_parameter_count(&m->base), 4 + 6 + 2 + 2);
    ito_module_free(&m->base);
}

Test(module, generators_are_listed_and_seeded_in_order)
{
    net *m = build();
    ito_module_seed(&m->base, 7, 100);
    ito_named_generators *g = ito_module_generators(&m->base);
    cr_assert_eq(g->n, 2);
    cr_expect_str_eq(g->names[0], "noise");
    cr_expect_str_eq(g->names[1], "down.0.drop.generator");
    for (uint64_t i = 0; i < 2; i++) {
        cr_expect_eq(g->generators[i]->seed, 7);
        cr_expect_eq(g->generators[i]->stream, 100 + i);
        cr_expect_eq(g->generators[i]->offset, 0);
    }
    cr_expect_eq(g->generators[0], &m->generator);
    ito_named_generators_free(g);
    ito_module_free(&m->base);
}

Test(module, parameters_outlive_their_scope_and_require_gradients)
{
    ito_scope_begin();
    net *m = build();
    ito_scope_end();
    ito_tensor *weight = ito_module_find(&m->base, "down.0.proj.weight");
    cr_assert_not_null(weight);
    cr_expect(ito_has_grad_path(weight));
    cr_expect_not(ito_has_grad_path(ito_module_find(&m->base, "mean")));
    cr_expect_eq(element(weight, 5), 0);
    ito_module_free(&m->base);
}

Test(module, a_shared_parameter_counts_once_and_is_saved_under_each_name)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_linear_layer *a = ito_linear_create(m, "a", 3, 3, .bias = false);
    ito_module *b = ito_module_create(m, "b", sizeof *b);
    cr_expect_eq(ito_module_parameter(b, "weight", a->weight), a->weight);
    cr_expect_eq(ito_module_parameter_count(m), 9);
    expect_names(ito_module_parameters(m), 1, (const char *[]){"a.weight"});
    expect_names(ito_module_state(m), 2, (const char *[]){"a.weight", "b.weight"});
    ito_module_free(&a->base);
    cr_expect_eq(element(ito_module_find(m, "b.weight"), 8),
                 0); /* b holds a reference of its own */
    ito_module_free(m);
}

Test(module, modes_reach_all_below_and_are_inherited)
{
    net *m = build();
    ito_module_train(&m->base, false);
    cr_expect_not(m->base.first_child->training);
    cr_expect_not(m->base.first_child->first_child->training);
    ito_module *late = ito_module_create(&m->base, "late", sizeof *late);
    cr_expect_not(late->training);
    ito_module_train(m->base.first_child, true);
    cr_expect(m->base.first_child->first_child->training);
    cr_expect_not(m->base.training);
    ito_module_free(&m->base);
}

Test(module, frozen_parameters_ask_for_no_gradient)
{
    net *m = build();
    ito_tensor *inner = ito_module_find(&m->base, "down.0.proj.bias");
    ito_tensor *outer = ito_module_find(&m->base, "scale");
    cr_expect_eq(ito_module_freeze(m->base.first_child, true), ITO_OK);
    cr_expect_not(ito_has_grad_path(inner));
    cr_expect(ito_has_grad_path(outer));
    cr_expect_eq(ito_module_freeze(m->base.first_child, false), ITO_OK);
    cr_expect(ito_has_grad_path(inner));
    ito_module_free(&m->base);
}

Test(module, zero_grad_clears_and_backward_adds_up)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 2, 1);
    ito_tensor *x = ramp(ITO_SHAPE(1, 2), 2); /* 1, 3 */
    for (int pass = 1; pass <= 2; pass++) {
        cr_assert_eq(ito_backward(ito_sum(ito_linear_forward(l, x))), ITO_OK);
        cr_expect_eq(element(ito_grad_of(l->weight), 1), 3 * pass);
    }
    ito_module_zero_grad(&l->base);
    cr_expect_eq(element(ito_grad_of(l->weight), 1), 0);
    ito_module_free(&l->base);
}

static void note_destruction(ito_module *self)
{
    ++*((net *)self)->destroyed;
}

Test(module, free_takes_a_child_out_and_calls_destroy)
{
    int destroyed = 0;
    int64_t blocks = ito_memory_blocks();
    ito_scope_begin();
    net *m = build();
    net *child = ito_module_create(&m->base, "last", sizeof *child);
    child->destroyed = &destroyed;
    child->base.destroy = note_destruction;
    ito_module_free(&child->base);
    cr_expect_eq(destroyed, 1);
    cr_expect_str_eq(m->base.last_child->name, "out");
    ito_module_free(m->base.first_child);
    cr_expect_str_eq(m->base.first_child->name, "out");
    cr_expect_not_null(ito_module_create(&m->base, "last", sizeof(ito_module)));
    ito_module_free(&m->base);
    ito_module_free(NULL);
    ito_scope_end();
    cr_expect_eq(ito_memory_blocks(), blocks);
}

Test(module, refuses_names_that_are_empty_or_taken)
{
    net *m = build();
    cr_expect_null(ito_module_create(&m->base, "out", sizeof(ito_module)));
    expect_error(ITO_ERR_ARGUMENT, "module: the name \"out\" is taken in net");
    cr_expect_null(ito_module_parameter(&m->base, "scale", ito_ones(ITO_SHAPE(1), ITO_F32)));
    expect_error(ITO_ERR_ARGUMENT, "module: the name \"scale\" is taken in net");
    cr_expect_null(ito_module_create(&m->base, "", sizeof(ito_module)));
    expect_error(ITO_ERR_ARGUMENT, "module: what belongs to net needs a name");
    cr_expect_null(ito_module_buffer(&m->base, NULL, ito_ones(ITO_SHAPE(1), ITO_F32)));
    expect_error(ITO_ERR_ARGUMENT, "module: what belongs to net needs a name");
    cr_expect_null(ito_module_create(NULL, "tiny", 8));
    expect_error(ITO_ERR_ARGUMENT, "module: 8 bytes do not hold an ito_module");
    cr_expect_eq(ito_module_generator(&m->base, "g", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module: no generator in net");
    ito_module_free(&m->base);
}

Test(module, refuses_what_cannot_be_a_parameter)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    cr_expect_null(ito_module_parameter(m, "w", ito_zeros(ITO_SHAPE(2), ITO_I64)));
    expect_error(ITO_ERR_DTYPE, "module: parameter \"w\" is i64; it can be f32 or f64");
    ito_tensor *wide = ito_expand(ito_ones(ITO_SHAPE(1, 3), ITO_F32), 2, 3);
    cr_expect_null(ito_module_parameter(m, "w", wide));
    expect_error(ITO_ERR_SHAPE,
                 "module: parameter \"w\", [2, 3], is a view with gaps or repetitions");
    ito_tensor *leaf = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F32), true);
    cr_expect_null(ito_module_parameter(m, "w", ito_neg(leaf)));
    expect_error(ITO_ERR_GRAD, "module: parameter \"w\" is the result of an operation; detach it "
                               "first");
    cr_expect_null(ito_module_parameter(m, "w", NULL));
    cr_expect_eq(ito_error_code(), ITO_OK);
    cr_expect_null(m->entries);
    ito_module_free(m);
}

Test(module, says_what_it_lacks)
{
    ito_module *m = ito_module_create(NULL, "bare", sizeof *m);
    cr_expect_null(ito_module_find(m, "a.weight"));
    expect_error(ITO_ERR_ARGUMENT, "module: nothing in it is called \"a.weight\"");
    cr_expect_null(ito_module_forward(m, ito_ones(ITO_SHAPE(1), ITO_F32)));
    expect_error(ITO_ERR_ARGUMENT, "module: bare has no forward function of one input");
    cr_expect_null(ito_module_forward(m, NULL));
    expect_error(ITO_ERR_ARGUMENT, "module_forward: x is NULL");
    cr_expect_null(ito_module_forward(NULL, NULL));
    expect_error(ITO_ERR_ARGUMENT, "module_forward: the module is NULL");
    ito_module_free(m);
}

Test(module, check_finite_names_the_first_bad_tensor)
{
    net *m = build();
    cr_expect_eq(ito_module_check_finite(&m->base), ITO_OK);
    ((float *)ito_data(ito_module_find(&m->base, "out.weight")))[1] = NAN;
    cr_expect_eq(ito_module_check_finite(&m->base), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "module: out.weight is not finite");
    ((float *)ito_data(ito_module_find(&m->base, "down.0.proj.bias")))[1] = -INFINITY;
    cr_expect_eq(ito_module_check_finite(&m->base), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "module: down.0.proj.bias is not finite");
    ito_module_free(&m->base);
}

Test(module, check_finite_reads_half_precision_buffers)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *half = ito_module_buffer(m, "half", ito_ones(ITO_SHAPE(3), ITO_BF16));
    cr_expect_eq(ito_module_check_finite(m), ITO_OK);
    ((uint16_t *)ito_data(half))[2] = 0x7f80; /* infinity */
    cr_expect_eq(ito_module_check_finite(m), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "module: half is not finite");
    ito_module_free(m);
}

static ito_status try_to_build(void *context)
{
    (void)context;
    ito_module *m = ito_module_create(NULL, "net", sizeof *m);
    ito_attention_layer *a = m == NULL ? NULL : ito_attention_create(m, "attention", 4, 2);
    ito_conv2d_layer *c = a == NULL ? NULL : ito_conv2d_create(m, "conv", 4, 4, 3);
    ito_dropout_layer *d =
        c == NULL ? NULL : ito_dropout_create(m, "drop", 0.5, ito_generator_make(0, 0));
    ito_named_tensors *list = d == NULL ? NULL : ito_module_state(m);
    ito_status status = list != NULL ? ITO_OK : ITO_ERR_MEMORY;
    ito_named_tensors_free(list);
    ito_module_free(m);
    return status;
}

Test(module, building_survives_every_failing_allocation)
{
    /* At least a struct and a name for each of 9 modules, and 12 parameters. */
    cr_expect_geq(count_failed_allocations(try_to_build, NULL), 2 * 9 + 12);
}
