/* Summaries: the whole text, the sums against counts by hand, and what is refused. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_mp.h"
#include "nn/layers_recurrent.h"
#include "nn/optim.h"
#include "nn/parametrise.h"
#include "nn/summary.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static ito_tensor *flatten(ito_tensor *x)
{
    return ito_flatten(x, 1, 3);
}

/* A convolution, a norm, an activation and a linear layer. */
static ito_module *small(void)
{
    ito_module *s = ito_sequential_create(NULL, "");
    ito_conv2d_create(s, "conv", 1, 4, 3, .padding = 1);
    ito_group_norm_create(s, "norm", 4, 2);
    ito_activation_create(s, "act", ito_silu);
    ito_activation_create(s, "flat", flatten);
    ito_linear_create(s, "head", 64, 10);
    return s;
}

static ito_tensor *image(void)
{
    return ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F32);
}

static char *summary_of(ito_module *m, ito_tensor *x)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    cr_assert_eq(ito_module_summary(m, x, to), ITO_OK, "%s", ito_error());
    fclose(to);
    return text;
}

Test(summary, is_a_line_for_each_layer_and_each_kind_of_operation)
{
    ito_module *s = small();
    char *text = summary_of(s, image());
    cr_expect_str_eq(
        text, "layer  operation                   result                  parameters       FLOPs   "
              "     memory\n"
              "conv   conv2d                      [2, 4, 4, 4]                    40       2.4 k   "
              "      512 B\n"
              "norm   group_norm                  [2, 4, 4, 4]                     8        128    "
              "      512 B\n"
              "head   linear                      [2, 10]                        650       2.6 k   "
              "       80 B\n"
              "       silu                                                                  128    "
              "      512 B\n"
              "       reshape                                                               128    "
              "      512 B\n"
              "total                                                             698       5.4 k   "
              "    2.1 KiB\n"
              "trainable: 698; parameters take 2.7 KiB\n");
    free(text);
    ito_module_free(s);
}

static ito_summary_totals totals_of(ito_module *m, ito_tensor *x)
{
    ito_summary_totals t;
    cr_assert_eq(ito_module_summary(m, x, NULL, .totals = &t), ITO_OK, "%s", ito_error());
    return t;
}

/* conv: 2 x 4 x 16 results of 9 products and a bias; norm, silu and the copy that flattens: an
 * operation an element; head: 20 results of 64 products and a bias. */
Test(summary, totals_are_those_of_a_count_by_hand)
{
    ito_module *s = small();
    ito_module_freeze(s->first_child, true);
    ito_summary_totals t = totals_of(s, image());
    cr_expect_eq(t.parameters, 40 + 8 + 650);
    cr_expect_eq(t.trainable, 8 + 650);
    cr_expect_eq(t.parameter_bytes, 4 * (40 + 8 + 650));
    cr_expect_eq(t.flops, 128 * 19 + 3 * 128 + 20 * 129);
    cr_expect_eq(t.result_bytes, 4 * (4 * 128 + 20));
    ito_module_free(s);
}

static ito_tensor *product_with_itself(ito_tensor *x)
{
    return ito_matmul(x, ito_transpose(x, 1, 2));
}

/* q k^T and its product with v: 2 x 6 x 6 x 4 each, and 36 of softmax. */
Test(summary, attention_and_matrix_products_count_their_products)
{
    ito_attention_layer *l = ito_attention_create(NULL, "", 4, 2);
    ito_summary_totals t = totals_of(&l->base, ito_ones(ITO_SHAPE(1, 6, 4), ITO_F32));
    double linear = 4 * (24 * 9), norm = 24, add = 24, attention = 36 * (8 + 8 + 1);
    cr_expect_eq(t.flops, linear + norm + add + attention, "%g", t.flops);
    ito_module_free(&l->base);
    ito_activation_layer *gram = ito_activation_create(NULL, "", product_with_itself);
    t = totals_of(&gram->base, ito_ones(ITO_SHAPE(2, 3, 4), ITO_F32));
    cr_expect_eq(t.flops, 2 * 9 * 2 * 4, "%g", t.flops);
    ito_module_free(&gram->base);
}

/* An LSTM over 5 steps of 2: 160 gates of 3 products with x, a bias, and 4 products with h. */
Test(summary, recurrent_networks_count_their_products)
{
    ito_recurrent_layer *l = ito_lstm_create(NULL, "", 3, 4);
    ito_summary_totals t = totals_of(&l->base, ito_ones(ITO_SHAPE(5, 2, 3), ITO_F32));
    cr_expect_eq(t.flops, 160 * (6 + 1 + 8), "%g", t.flops);
    cr_expect_eq(t.parameters, 16 * (3 + 4 + 2));
    ito_module_free(&l->base);
}

/* Weights that are computed, in flattened memory. */
Test(summary, finds_the_module_whatever_becomes_of_its_weight)
{
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_layer *a = ito_linear_create(s, "a", 4, 4), *b = ito_linear_create(s, "b", 4, 4);
    ito_mp_linear_create(s, "c", 4, 4);
    cr_assert_eq(ito_weight_norm(&a->base), ITO_OK);
    cr_assert_eq(ito_spectral_norm(&b->base), ITO_OK);
    cr_assert_eq(ito_module_flatten(s), ITO_OK);
    char *text = summary_of(s, ito_ones(ITO_SHAPE(1, 4), ITO_F32));
    const char *const lines[] = {"\na      linear  ", "\nb      linear  ", "\nc      linear  ",
                                 "\ntotal "};
    const char *at = text;
    for (int i = 0; i < 4; i++) {
        at = strstr(at, lines[i]);
        cr_assert_not_null(at, "no \"%s\" in %s", lines[i], text);
    }
    free(text);
    ito_module_free(s);
}

static ito_tensor *twice(ito_module *m, ito_tensor *x, void *calls)
{
    ito_linear_layer *l = (ito_linear_layer *)m->first_child;
    ++*(int *)calls;
    cr_expect(!m->training && !l->base.training && !ito_grad_enabled());
    return ito_linear_forward(l, ito_linear_forward(l, x));
}

Test(summary, runs_what_it_is_given_and_leaves_modes_alone)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_linear_create(m, "used", 4, 4);
    ito_linear_layer *idle = ito_linear_create(m, "idle", 4, 4);
    ito_module_train(&idle->base, false);
    int calls = 0;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    cr_assert_eq(ito_module_summary(m, ito_ones(ITO_SHAPE(1, 4), ITO_F32), to, .forward = twice,
                                    .context = &calls),
                 ITO_OK, "%s", ito_error());
    fclose(to);
    cr_expect_eq(calls, 1);
    cr_expect(m->training && m->first_child->training && !idle->base.training);
    cr_expect_not_null(strstr(text, "\nused   linear x 2 "), "%s", text);
    cr_expect_not_null(strstr(text, "\nidle   not used "), "%s", text);
    free(text);
    ito_module_free(m);
}

/* ---- refused ---- */

static ito_tensor *no_result(ito_module *m, ito_tensor *x, void *context)
{
    (void)m, (void)x, (void)context;
    return NULL;
}

Test(summary, what_cannot_be_is_refused)
{
    ito_module *s = small();
    cr_expect_eq(ito_module_summary(NULL, image(), stdout), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_summary: the module is NULL");
    cr_expect_eq(ito_module_summary(s, NULL, stdout), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_summary: x is NULL");
    cr_expect_eq(ito_module_summary(s, NULL, NULL, .forward = no_result), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_summary: the result is NULL");
    cr_expect_eq(ito_module_summary(s, ito_zeros(ITO_SHAPE(2, 3, 4, 4), ITO_F32), NULL),
                 ITO_ERR_SHAPE);
    ito_error_clear();
    cr_expect(s->training);
    FILE *full = fopen("/dev/full", "w");
    cr_assert_not_null(full);
    cr_expect_eq(ito_module_summary(s, image(), full), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "module_summary: it cannot be written");
    fclose(full);
    ito_module_free(s);
}

static ito_status summarise(void *context)
{
    ito_tensor *x = image();
    ito_summary_totals t;
    return x == NULL ? ito_error_code() : ito_module_summary(context, x, NULL, .totals = &t);
}

Test(summary, failed_allocations_are_errors_and_leak_nothing)
{
    ito_module *s = small();
    cr_expect_gt(count_failed_allocations(summarise, s), 10);
    ito_module_free(s);
}
