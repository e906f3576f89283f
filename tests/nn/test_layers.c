/* Layers: initial values, forward against plain loops, modes, and what is refused. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "tests/nn/nn_check.h"

#include <math.h>
#include <string.h>

/* f32 sums of at most a few dozen terms near 1, against double. */
#define TOLERANCE 2e-5

static void expect_near(const ito_tensor *t, int64_t i, double wanted)
{
    double value = element(t, i);
    cr_expect(fabs(value - wanted) <= TOLERANCE * fmax(1, fabs(wanted)), "[%d] %.9g, not %.9g",
              (int)i, value, wanted);
}

static double largest(const ito_tensor *t)
{
    double value = 0;
    for (int64_t i = 0; i < ito_numel(t); i++)
        value = fmax(value, fabs(element(t, i)));
    return value;
}

Test(layers, linear_is_the_affine_map_and_begins_as_pytorchs)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_linear_layer *l = ito_linear_create(NULL, "", 100, 30, .generator = &g);
    cr_assert_not_null(l);
    cr_expect(largest(l->weight) < 0.1 && largest(l->weight) > 0.099);
    cr_expect(largest(l->bias) < 0.1 && largest(l->bias) > 0.05);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(2, 3, 100), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t r = 0; r < 6; r++) {
        double sum = element(l->bias, 7);
        for (int64_t i = 0; i < 100; i++)
            sum += element(x, r * 100 + i) * element(l->weight, 7 * 100 + i);
        expect_near(y, r * 30 + 7, sum);
    }
    ito_module_free(&l->base);
}

Test(layers, without_a_generator_weights_are_zero)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 4, 2, .bias = false);
    ito_conv2d_layer *c = ito_conv2d_create(NULL, "", 4, 2, 3, .bias = false);
    ito_embedding_layer *e = ito_embedding_create(NULL, "", 4, 2);
    cr_expect(largest(l->weight) == 0 && largest(c->weight) == 0 && largest(e->weight) == 0);
    cr_expect(l->bias == NULL && c->bias == NULL);
    ito_module_free(&l->base);
    ito_module_free(&c->base);
    ito_module_free(&e->base);
}

Test(layers, conv2d_adds_on_the_way_out)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_conv2d_layer *l = ito_conv2d_create(NULL, "", 4, 6, 3, .padding = 1, .generator = &g);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(2, 4, 3, 3), ITO_F32);
    ito_tensor *row = ito_randn(&g, ITO_SHAPE(2, 6, 1, 1), ITO_F32);
    ito_tensor *y = ito_conv2d_forward_add(l, x, row);
    ito_tensor *apart = ito_sub(y, ito_add(ito_conv2d_forward(l, x), row));
    cr_assert_not_null(apart, "%s", ito_error());
    cr_expect(largest(apart) < 1e-6);
    cr_expect_null(ito_conv2d_forward_add(l, x, NULL), "what failed before stays failed");
    ito_module_free(&l->base);
}

/* Stride 2 with a pad at the bottom and right: the downsampling of a U-Net. */
Test(layers, conv2d_passes_its_settings_on)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_conv2d_layer *l = ito_conv2d_create(NULL, "", 4, 6, 3, .stride = 2, .padding_end = 1,
                                            .groups = 2, .generator = &g);
    cr_assert_not_null(l);
    cr_expect(ito_is_channels_last(l->weight));
    cr_expect_eq(ito_size(l->weight, 1), 2);
    cr_expect(largest(l->weight) < 1 / sqrt(18) && largest(l->weight) > 0.9 / sqrt(18));
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(1, 4, 6, 4), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    cr_expect_eq(ito_size(y, 2), 3);
    cr_expect_eq(ito_size(y, 3), 2);
    for (int64_t o = 0; o < 6; o++)
        for (int64_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < 2; j++) {
                double sum = element(l->bias, o);
                for (int64_t c = 0; c < 2; c++)
                    for (int64_t p = 0; p < 3; p++)
                        for (int64_t q = 0; q < 3; q++)
                            if (2 * i + p < 6 && 2 * j + q < 4)
                                sum +=
                                    element(l->weight, ((o * 2 + c) * 3 + p) * 3 + q) *
                                    element(x, ((o / 3 * 2 + c) * 6 + 2 * i + p) * 4 + 2 * j + q);
                expect_near(y, (o * 3 + i) * 2 + j, sum);
            }
    ito_module_free(&l->base);
}

Test(layers, group_norm_normalises_each_group)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_group_norm_layer *l = ito_group_norm_create(NULL, "", 4, 2, .eps = 0.5);
    ito_fill_(ito_detach(l->bias), 3);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(1, 4, 3), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t group = 0; group < 2; group++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < 6; i++) {
            double v = element(x, group * 6 + i);
            sum += v / 6;
            squares += v * v / 6;
        }
        for (int64_t i = 0; i < 6; i++)
            expect_near(y, group * 6 + i,
                        (element(x, group * 6 + i) - sum) / sqrt(squares - sum * sum + 0.5) + 3);
    }
    ito_tensor *want = ito_silu(y), *fused = ito_group_norm_silu_forward(l, x);
    for (int64_t i = 0; i < 12; i++)
        cr_expect_eq(element(fused, i), element(want, i));
    ito_module_free(&l->base);
}

Test(layers, layer_norm_normalises_the_last_axes)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_layer_norm_layer *l = ito_layer_norm_create(NULL, "", ITO_SHAPE(2, 3), .eps = 0.5);
    ito_fill_(ito_detach(l->weight), 2);
    ito_fill_(ito_detach(l->bias), 3);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(4, 2, 3), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t row = 0; row < 4; row++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < 6; i++) {
            double v = element(x, row * 6 + i);
            sum += v / 6;
            squares += v * v / 6;
        }
        for (int64_t i = 0; i < 6; i++)
            expect_near(y, row * 6 + i,
                        2 * (element(x, row * 6 + i) - sum) / sqrt(squares - sum * sum + 0.5) + 3);
    }
    ito_module_free(&l->base);
}

Test(layers, rms_norm_divides_by_the_root_of_the_mean_square)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_rms_norm_layer *l = ito_rms_norm_create(NULL, "", ITO_SHAPE(6), .eps = 0.5);
    ito_fill_(ito_detach(l->weight), 2);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(4, 6), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t row = 0; row < 4; row++) {
        double squares = 0;
        for (int64_t i = 0; i < 6; i++)
            squares += element(x, row * 6 + i) * element(x, row * 6 + i) / 6;
        for (int64_t i = 0; i < 6; i++)
            expect_near(y, row * 6 + i, 2 * element(x, row * 6 + i) / sqrt(squares + 0.5));
    }
    ito_module_free(&l->base);
}

/* The names of l's parameters, joined by spaces; frees l. */
static const char *parameter_names(ito_module *l)
{
    static char names[64];
    names[0] = 0;
    ito_named_tensors *list = ito_module_parameters(l);
    cr_assert_not_null(list, "%s", ito_error());
    for (int64_t i = 0; i < list->n; i++) {
        strcat(names, i > 0 ? " " : "");
        strcat(names, list->names[i]);
    }
    ito_named_tensors_free(list);
    ito_module_free(l);
    return names;
}

Test(layers, layer_norms_have_pytorchs_parameters)
{
    const ito_shape shape = ITO_SHAPE(2, 3);
    cr_expect_str_eq(parameter_names(&ito_layer_norm_create(NULL, "", shape)->base), "weight bias");
    cr_expect_str_eq(parameter_names(&ito_layer_norm_create(NULL, "", shape, .bias = false)->base),
                     "weight");
    cr_expect_str_eq(
        parameter_names(&ito_layer_norm_create(NULL, "", shape, .elementwise_affine = false)->base),
        "");
    cr_expect_str_eq(parameter_names(&ito_rms_norm_create(NULL, "", shape)->base), "weight");
    cr_expect_str_eq(
        parameter_names(&ito_rms_norm_create(NULL, "", shape, .elementwise_affine = false)->base),
        "");
}

Test(layers, layer_norms_without_parameters_normalise_alone)
{
    ito_layer_norm_layer *l =
        ito_layer_norm_create(NULL, "", ITO_SHAPE(2), .elementwise_affine = false, .eps = 0);
    ito_rms_norm_layer *r =
        ito_rms_norm_create(NULL, "", ITO_SHAPE(2), .elementwise_affine = false, .eps = 0);
    ito_tensor *x = ito_from_data((float[]){1, 7}, ITO_SHAPE(1, 2), ITO_F32);
    expect_near(ito_layer_norm_forward(l, x), 0, -1);
    expect_near(ito_rms_norm_forward(r, x), 1, 1.4);
    ito_module_free(&l->base);
    ito_module_free(&r->base);
}

Test(layers, embedding_gives_rows)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_embedding_layer *l = ito_embedding_create(NULL, "", 5, 3, .generator = &g);
    ito_tensor *index = ito_from_data((const int64_t[]){4, 0}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *y = ito_module_forward(&l->base, index);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t i = 0; i < 3; i++) {
        cr_expect_eq(element(y, i), element(l->weight, 12 + i));
        cr_expect_eq(element(y, 3 + i), element(l->weight, i));
    }
    ito_module_free(&l->base);
}

Test(layers, dropout_draws_in_training_only)
{
    ito_dropout_layer *l = ito_dropout_create(NULL, "", 0.25, ito_generator_make(1, 4));
    ito_tensor *x = ito_ones(ITO_SHAPE(10000), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    int64_t dropped = 0;
    for (int64_t i = 0; i < 10000; i++) {
        dropped += element(y, i) == 0;
        if (element(y, i) != 0)
            expect_near(y, i, 4.0 / 3);
    }
    cr_expect(labs(dropped - 2500) < 5 * 44); /* 5 deviations of a binomial, sqrt(1875) = 43.3 */
    ito_generator moved = l->generator;
    cr_expect(moved.offset > 0);
    ito_module_train(&l->base, false);
    cr_expect_eq(ito_dropout_forward(l, x), x);
    cr_expect_eq(l->generator.offset, moved.offset);
    ito_module_free(&l->base);
}

Test(layers, drop_path_drops_whole_examples_in_training_only)
{
    ito_drop_path_layer *l = ito_drop_path_create(NULL, "", 0.25, ito_generator_make(1, 4));
    ito_tensor *x = ito_ones(ITO_SHAPE(2000, 2, 3), ITO_F32);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    int64_t dropped = 0;
    for (int64_t i = 0; i < 2000; i++) {
        double first = element(y, 6 * i);
        dropped += first == 0;
        if (first != 0)
            expect_near(y, 6 * i, 4.0 / 3);
        for (int64_t k = 1; k < 6; k++)
            cr_expect_eq(element(y, 6 * i + k), first);
    }
    cr_expect(labs(dropped - 500) < 5 * 20); /* 5 deviations of a binomial, sqrt(375) = 19.4 */
    cr_expect(l->generator.offset > 0);
    ito_module_train(&l->base, false);
    cr_expect_eq(ito_drop_path_forward(l, x), x);
    expect_refused(ito_drop_path_create(NULL, "", 1, l->generator), ITO_ERR_RANGE,
                   "drop_path: probability 1 is not in [0, 1)");
    ito_module_train(&l->base, true);
    expect_refused(ito_drop_path_forward(l, ito_ones(ITO_SHAPE(), ITO_F32)), ITO_ERR_SHAPE,
                   "drop_path: [] has no examples; it takes [N, ...]");
    ito_module_free(&l->base);
}

Test(layers, fourier_features_are_drawn_with_their_scale)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_fourier_features_layer *l =
        ito_fourier_features_create(NULL, "", 2, 500, .scale = 10, .generator = &g);
    double squares = 0;
    for (int64_t i = 0; i < 1000; i++)
        squares += element(l->b, i) * element(l->b, i) / 1000;
    cr_expect(fabs(squares - 100) < 5 * 100 * sqrt(2.0 / 1000)); /* 5 deviations */
    ito_module_free(&l->base);
}

/* Two groups of 2 channels at 6 positions, normalised. */
static void norm_by_hand(const double x[4][6], double h[4][6])
{
    for (int group = 0; group < 2; group++) {
        double sum = 0, squares = 0;
        for (int c = 2 * group; c < 2 * group + 2; c++)
            for (int t = 0; t < 6; t++) {
                sum += x[c][t] / 12;
                squares += x[c][t] * x[c][t] / 12;
            }
        for (int c = 2 * group; c < 2 * group + 2; c++)
            for (int t = 0; t < 6; t++)
                h[c][t] = (x[c][t] - sum) / sqrt(squares - sum * sum + 1e-6);
    }
}

/* Channels [first, first + width) of queries, keys and values: one head. */
static void head_by_hand(double p[3][6][4], int first, int width, double out[6][4])
{
    for (int t = 0; t < 6; t++) {
        double weight[6], total = 0;
        for (int s = 0; s < 6; s++) {
            double dot = 0;
            for (int c = first; c < first + width; c++)
                dot += p[0][t][c] * p[1][s][c];
            weight[s] = exp(dot / sqrt(width));
            total += weight[s];
        }
        for (int c = first; c < first + width; c++) {
            out[t][c] = 0;
            for (int s = 0; s < 6; s++)
                out[t][c] += weight[s] / total * p[2][s][c];
        }
    }
}

/* One image of 2 x 3 positions and 4 channels, in double and step by step. */
static void attention_by_hand(const ito_attention_layer *l, int heads, const double x[4][6],
                              double y[4][6])
{
    double h[4][6], p[3][6][4], out[6][4];
    if (l->group_norm != NULL)
        norm_by_hand(x, h);
    else
        memcpy(h, x, sizeof h);
    const ito_linear_layer *map[3] = {l->to_q, l->to_k, l->to_v};
    for (int m = 0; m < 3; m++)
        for (int t = 0; t < 6; t++)
            for (int o = 0; o < 4; o++) {
                p[m][t][o] = element(map[m]->bias, o);
                for (int c = 0; c < 4; c++)
                    p[m][t][o] += element(map[m]->weight, o * 4 + c) * h[c][t];
            }
    for (int i = 0; i < heads; i++)
        head_by_hand(p, 4 / heads * i, 4 / heads, out);
    for (int t = 0; t < 6; t++)
        for (int o = 0; o < 4; o++) {
            y[o][t] = x[o][t] + element(l->to_out->bias, o);
            for (int c = 0; c < 4; c++)
                y[o][t] += element(l->to_out->weight, o * 4 + c) * out[t][c];
        }
}

static void check_attention(int heads, bool normed)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_attention_layer *l = ito_attention_create(NULL, "", 4, 2, .eps = 1e-6, .generator = &g,
                                                  .heads = heads, .group_norm = normed);
    cr_assert_not_null(l, "%s", ito_error());
    cr_expect_eq(l->group_norm != NULL, normed);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(1, 4, 2, 3), ITO_F32);
    double in[4][6], out[4][6];
    for (int i = 0; i < 24; i++)
        in[i / 6][i % 6] = element(x, i);
    attention_by_hand(l, heads, in, out);
    ito_tensor *y = ito_module_forward(&l->base, x);
    cr_assert_not_null(y, "%s", ito_error());
    cr_expect_eq(ito_ndim(y), 4);
    for (int i = 0; i < 24; i++)
        expect_near(y, i, out[i / 6][i % 6]);
    ito_tensor *sequence = ito_transpose(ito_reshape(x, 1, 4, 6), 1, 2);
    y = ito_module_forward(&l->base, sequence);
    cr_assert_not_null(y, "%s", ito_error());
    for (int t = 0; t < 6; t++)
        for (int c = 0; c < 4; c++)
            expect_near(y, t * 4 + c, out[c][t]);
    ito_module_free(&l->base);
}

Test(layers, attention_over_images_and_sequences)
{
    for (int heads = 1; heads <= 4; heads *= 2) {
        check_attention(heads, true);
        check_attention(heads, false);
    }
}

Test(layers, attention_registers_diffusers_names)
{
    ito_attention_layer *l = ito_attention_create(NULL, "", 4, 2);
    const char *names[] = {"group_norm.weight", "group_norm.bias", "to_q.weight", "to_q.bias",
                           "to_k.weight",       "to_k.bias",       "to_v.weight", "to_v.bias",
                           "to_out.0.weight",   "to_out.0.bias"};
    ito_named_tensors *list = ito_module_parameters(&l->base);
    cr_assert_eq(list->n, 10);
    for (int i = 0; i < 10; i++)
        cr_expect_str_eq(list->names[i], names[i]);
    ito_named_tensors_free(list);
    ito_module_free(&l->base);
}

/* What a layer's forward makes on its way goes with it, unless a gradient needs it. */
Test(layers, attention_leaves_one_tensor_behind)
{
    ito_attention_layer *l = ito_attention_create(NULL, "", 4, 2);
    ito_tensor *x = ito_ones(ITO_SHAPE(1, 4, 2, 3), ITO_F32);
    int64_t blocks = ito_memory_blocks();
    ITO_NO_GRAD
    {
        cr_expect_not_null(ito_attention_forward(l, x));
    }
    cr_expect_eq(ito_memory_blocks(), blocks + 1);
    ito_module_free(&l->base);
}

Test(layers, sequential_applies_children_in_order)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_layer *first = ito_linear_create(s, "0", 3, 5, .generator = &g);
    ito_activation_create(s, "1", ito_relu);
    ito_linear_layer *last = ito_linear_create(s, "2", 5, 1, .generator = &g);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(4, 3), ITO_F32);
    ito_tensor *y = ito_module_forward(s, x);
    cr_assert_not_null(y, "%s", ito_error());
    ito_tensor *wanted = ito_linear_forward(last, ito_relu(ito_linear_forward(first, x)));
    for (int64_t i = 0; i < 4; i++)
        cr_expect_eq(element(y, i), element(wanted, i));
    ito_module *deaf = ito_module_create(s, "3", sizeof *deaf);
    cr_expect_not_null(deaf);
    cr_expect_null(ito_sequential_forward(s, x));
    expect_error(ITO_ERR_ARGUMENT, "module: 3 has no forward function of one input");
    ito_module_free(s);
}

Test(layers, refuse_sizes_that_make_no_sense)
{
    cr_expect_null(ito_linear_create(NULL, "", 0, 2));
    expect_error(ITO_ERR_ARGUMENT, "linear: 0 inputs and 2 outputs; both must be positive");
    cr_expect_null(ito_conv2d_create(NULL, "", 3, 4, 0));
    expect_error(ITO_ERR_ARGUMENT, "conv2d: kernel 0; it is at least 1");
    cr_expect_null(ito_conv2d_create(NULL, "", 0, 4, 3));
    expect_error(ITO_ERR_ARGUMENT, "conv2d: 0 channels in and 4 out; both must be positive");
    cr_expect_null(ito_conv2d_create(NULL, "", 3, 4, 3, .groups = 2));
    expect_error(ITO_ERR_ARGUMENT, "conv2d: 3 channels in and 4 out do not form 2 groups");
    cr_expect_null(ito_group_norm_create(NULL, "", 30, 32));
    expect_error(ITO_ERR_SHAPE, "group_norm: 30 channels do not form 32 groups");
    cr_expect_null(ito_layer_norm_create(NULL, "", ITO_SHAPE()));
    expect_error(ITO_ERR_SHAPE, "layer_norm: normalized_shape []; it has sizes, all positive");
    cr_expect_null(ito_layer_norm_create(NULL, "", ITO_SHAPE(4, 0)));
    expect_error(ITO_ERR_SHAPE, "layer_norm: normalized_shape [4, 0]; it has sizes, all positive");
    cr_expect_null(ito_rms_norm_create(NULL, "", ITO_SHAPE(-4)));
    expect_error(ITO_ERR_SHAPE, "rms_norm: normalized_shape [-4]; it has sizes, all positive");
    cr_expect_null(ito_embedding_create(NULL, "", 10, 0));
    expect_error(ITO_ERR_ARGUMENT, "embedding: 10 rows of 0; both must be positive");
    cr_expect_null(ito_dropout_create(NULL, "", 1, ito_generator_make(0, 0)));
    expect_error(ITO_ERR_RANGE, "dropout: probability 1 is not in [0, 1)");
    cr_expect_null(ito_dropout_create(NULL, "", (double)NAN, ito_generator_make(0, 0)));
    expect_error(ITO_ERR_RANGE, "dropout: probability nan is not in [0, 1)");
    cr_expect_null(ito_attention_create(NULL, "", 4, 3));
    expect_error(ITO_ERR_SHAPE, "group_norm: 4 channels do not form 3 groups");
    cr_expect_null(ito_attention_create(NULL, "", 4, 2, .heads = 3));
    expect_error(ITO_ERR_SHAPE, "attention: 4 channels do not form 3 heads");
    cr_expect_null(ito_attention_create(NULL, "", 4, 2, .heads = 0));
    expect_error(ITO_ERR_SHAPE, "attention: 4 channels do not form 0 heads");
    cr_expect_null(ito_activation_create(NULL, "", NULL));
    expect_error(ITO_ERR_ARGUMENT, "activation: no function");
}

Test(layers, refuse_inputs_of_other_shapes_and_pass_null_on)
{
    ito_attention_layer *l = ito_attention_create(NULL, "", 4, 2);
    cr_expect_null(ito_attention_forward(l, ito_ones(ITO_SHAPE(4, 4), ITO_F32)));
    expect_error(ITO_ERR_SHAPE, "attention: [4, 4] is neither [N, C, H, W] nor [N, T, C]");
    cr_expect_null(ito_attention_forward(l, ito_ones(ITO_SHAPE(4, 3, 4, 4), ITO_F32)));
    expect_error(ITO_ERR_SHAPE, "attention: [4, 3, 4, 4] does not have 4 channels");
    cr_expect_null(ito_linear_forward(l->to_q, NULL));
    expect_error(ITO_ERR_ARGUMENT, "linear: input 0 is NULL");
    ito_error_set(ITO_ERR_IO, "first");
    cr_expect_null(ito_attention_forward(l, NULL));
    cr_expect_null(ito_linear_forward(l->to_q, NULL));
    cr_expect_null(ito_group_norm_forward(l->group_norm, NULL));
    cr_expect_null(ito_layer_norm_forward(NULL, ito_ones(ITO_SHAPE(2), ITO_F32)));
    cr_expect_null(ito_rms_norm_forward(NULL, ito_ones(ITO_SHAPE(2), ITO_F32)));
    expect_error(ITO_ERR_IO, "first");
    ito_module_free(&l->base);
}
