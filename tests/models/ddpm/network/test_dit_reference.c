/* The diffusion transformer against PyTorch in f64: the same weights and images (tests/reference)
 * give the same names, positions, output and gradients, for each kind of positions. Both sum in
 * another order, which of numbers around 1 leaves some 1e-15. */
#include "ito.h"
#include "tests/reference/formula.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLERANCE 1e-12 /* of the largest number */

enum { N = 2 };

static ito_safetensors *fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/dit.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(dit_reference, .init = open_fixture, .fini = close_fixture);

static ito_tensor *stored(const char *name, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%s", name, what);
    ito_tensor *t = ito_safetensors_read(fixture, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

static void expect_near(ito_tensor *got, ito_tensor *want, const char *what)
{
    cr_assert(got != NULL && want != NULL, "%s", ito_error());
    double off = ito_item(ito_max(ito_abs(ito_sub(got, ito_reshape_to(want, ito_shape_of(got))))));
    double size = ito_item(ito_max(ito_abs(want)));
    cr_expect(size > 0 && off < TOLERANCE * size, "%s: off by %g of %g", what, off, size);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether the names of the state dict are those of PyTorch's. */
static void expect_names(const ito_dit *dit, const char *name)
{
    ito_named_tensors *state = ito_module_state(&dit->base);
    qsort(state->names, (size_t)state->n, sizeof *state->names, by_name);
    char all[4096] = "";
    for (int64_t i = 0; i < state->n; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), i == 0 ? "%s" : "\n%s",
                 state->names[i]);
    ito_tensor *want = stored(name, "names");
    cr_expect_eq((int64_t)strlen(all), ito_numel(want));
    cr_expect_eq(memcmp(all, ito_const_data(want), strlen(all)), 0, "%s", all);
    ito_named_tensors_free(state);
}

/* Numbers in [N, ...] that formula.h gives, in f64. */
static ito_tensor *formula(ito_shape shape, float (*value)(int64_t batch, uint32_t index))
{
    ito_tensor *t = ito_empty(shape, ITO_F64);
    for (int64_t i = 0; i < ito_numel(t); i++)
        ((double *)ito_data(t))[i] = (double)value(0, (uint32_t)i);
    return t;
}

/* The parameters' names in strcmp order, after each is given its weights. */
static ito_named_tensors *fill(const ito_dit *dit)
{
    ito_named_tensors *list = ito_module_parameters(&dit->base);
    qsort(list->names, (size_t)list->n, sizeof *list->names, by_name);
    for (int64_t p = 0; p < list->n; p++) {
        ito_tensor *w = ito_module_find(&dit->base, list->names[p]);
        ito_shape shape = ito_shape_of(w);
        ito_tensor *values = ito_empty(shape, ITO_F64);
        for (int64_t i = 0; i < ito_numel(w); i++)
            ((double *)ito_data(values))[i] =
                (double)formula_parameter(p, list->names[p], shape.ndim, shape.dim, (uint32_t)i);
        ITO_NO_GRAD
        {
            cr_assert_not_null(ito_copy_(w, values), "%s", ito_error());
        }
    }
    return list;
}

static void expect_case(const char *name, ito_dit *dit, ito_tensor *labels)
{
    cr_assert_not_null(dit, "%s", ito_error());
    expect_names(dit, name);
    ito_named_tensors *parameters = fill(dit);
    ito_shape in = ITO_SHAPE(N, dit->channels, dit->height, dit->width);
    ito_tensor *x = ito_requires_grad(formula(in, formula_x_0), true);
    ito_tensor *t = ito_empty(ITO_SHAPE(N), ITO_F64);
    for (uint32_t i = 0; i < N; i++)
        ((double *)ito_data(t))[i] = (double)formula_t(0, i) + 0.25;
    t = ito_requires_grad(t, true);
    ito_tensor *y = ito_dit_forward_class(dit, x, t, labels);
    expect_near(y, stored(name, "output"), "output");
    ito_tensor *dy = formula(ito_shape_of(y), formula_eps);
    cr_assert_eq(ito_backward(ito_sum(ito_mul(y, dy))), ITO_OK, "%s", ito_error());
    expect_near(ito_grad_of(x), stored(name, "grad_x"), "x");
    expect_near(ito_grad_of(t), stored(name, "grad_t"), "t");
    ito_tensor *grad = stored(name, "grad");
    int64_t from = 0;
    for (int64_t p = 0; p < parameters->n; p++) {
        const char *parameter = parameters->names[p];
        ito_tensor *w = ito_module_find(&dit->base, parameter);
        expect_near(ito_grad_of(w), ito_narrow(grad, 0, from, ito_numel(w)), parameter);
        from += ito_numel(w);
    }
    cr_expect_eq(from, ito_numel(grad));
    ito_named_tensors_free(parameters);
    ito_module_free(&dit->base);
}

Test(dit_reference, sines_and_cosines_as_in_the_paper)
{
    ito_dit *dit = ito_dit_create(2, 4, 6, .hidden_size = 8, .depth = 2, .num_heads = 2,
                                  .classes = 3, .out_channels = 4, .dtype = ITO_F64);
    expect_near(ito_module_find(&dit->base, "pos_embed"), stored("sincos", "pos_embed"), "places");
    expect_case("sincos", dit, ito_from_data((const int64_t[]){1, 3}, ITO_SHAPE(N), ITO_I64));
}

Test(dit_reference, rotary_positions)
{
    expect_case("rotary",
                ito_dit_create(1, 6, 4, .hidden_size = 16, .depth = 1, .num_heads = 2,
                               .mlp_ratio = 1.5, .positions = ITO_DIT_ROTARY, .dtype = ITO_F64),
                NULL);
}

/* Labels of NULL are the row of none. */
Test(dit_reference, learned_positions)
{
    expect_case("learned",
                ito_dit_create(3, 3, 2, .patch_size = 1, .hidden_size = 6, .depth = 1,
                               .num_heads = 3, .mlp_ratio = 2, .classes = 2,
                               .positions = ITO_DIT_LEARNED, .dtype = ITO_F64),
                NULL);
}
