/* The diffusion transformer: how it begins, derivatives, bits, labels, what it is for losses,
 * samplers and guidance, and what is refused. What it computes is compared with PyTorch in
 * test_dit_reference.c. */
#include "models/ddpm/network/dit.h"

#include "autograd/autograd.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/network/self_condition.h"
#include "models/ddpm/sampler/sampler.h"
#include "models/ddpm/train.h"
#include "tensor/runtime.h"
#include "tests/expect.h"
#include "tests/models/ddpm/network/network_check.h"

#include <math.h>
#include <stdlib.h>

enum { CLASSES = 3, N = 3 };

#define TINY .hidden_size = 8, .depth = 2, .num_heads = 2

/* All parameters random, so that nothing that should matter is multiplied by zero, and not so large
 * that attention is all to one token: then no two precisions agree. */
static ito_dit *random_dit(ito_dit *dit)
{
    cr_assert_not_null(dit, "%s", ito_error());
    double deviation = sqrt(0.5 / (double)dit->options.hidden_size);
    ito_generator g = ito_generator_make(3, 0);
    ito_named_tensors *p = ito_module_parameters(&dit->base);
    for (int64_t i = 0; i < p->n; i++)
        cr_assert_not_null(ito_init_normal(p->tensors[i], 0, deviation, &g));
    ito_named_tensors_free(p);
    return dit;
}

static ito_tensor *images(int64_t n, const ito_dit *dit)
{
    ito_generator g = ito_generator_make(4, 0);
    return ito_randn(&g, ITO_SHAPE(n, dit->channels, dit->height, dit->width), dit->options.dtype);
}

static ito_tensor *times(int64_t n)
{
    return ito_slice(ito_from_data((const double[]){10, 500, 999.5}, ITO_SHAPE(N), ITO_F64), 0, 0,
                     n, 1);
}

static ito_tensor *forward(ito_dit *dit, ito_tensor *labels)
{
    ito_tensor *y = ito_dit_forward_class(dit, images(N, dit), times(N), labels);
    cr_assert_not_null(y, "%s", ito_error());
    return y;
}

static double largest(ito_tensor *x)
{
    return ito_item(ito_max(ito_abs(ito_detach(x))));
}

/* ---- how it begins ---- */

static void expect_first(const ito_dit *dit, const char *name, double bound, double deviation)
{
    ito_tensor *w = ito_detach(ito_module_find(&dit->base, name));
    cr_assert_not_null(w, "%s", name);
    cr_expect_leq(largest(w), bound, "%s", name);
    cr_expect_float_eq(sqrt(ito_item(ito_mean(ito_square(w)))), deviation, 0.1 * deviation, "%s",
                       name);
}

/* Glorot's bound is sqrt(6 / (in + out)), the deviation of a uniform number its bound over sqrt(3).
 */
Test(dit, weights_begin_as_in_the_papers_code)
{
    ito_generator g = ito_generator_make(1, 2);
    ito_dit *dit = ito_dit_create(4, 32, 32, .generator = &g, .hidden_size = 384, .depth = 1,
                                  .num_heads = 6, .classes = 10, .positions = ITO_DIT_LEARNED);
    cr_assert_not_null(dit, "%s", ito_error());
    cr_expect_null(dit->options.generator); /* it may go before the network does */
    const struct {
        const char *name;
        double in, out;
    } glorot[] = {{"x_embedder.proj.weight", 16, 384},
                  {"blocks.0.attn.qkv.weight", 384, 1152},
                  {"blocks.0.attn.proj.weight", 384, 384},
                  {"blocks.0.mlp.fc1.weight", 384, 1536},
                  {"blocks.0.mlp.fc2.weight", 1536, 384}};
    for (int i = 0; i < 5; i++) {
        double bound = sqrt(6.0 / (glorot[i].in + glorot[i].out));
        expect_first(dit, glorot[i].name, bound * 1.000001, bound / sqrt(3.0));
    }
    expect_first(dit, "pos_embed", 0.2, 0.02);
    expect_first(dit, "t_embedder.mlp.0.weight", 0.2, 0.02);
    expect_first(dit, "t_embedder.mlp.2.weight", 0.2, 0.02);
    expect_first(dit, "y_embedder.embedding_table.weight", 0.2, 0.02);
    expect_first(dit, "blocks.0.adaLN_modulation.1.weight", 0, 0);
    expect_first(dit, "final_layer.adaLN_modulation.1.weight", 0, 0);
    expect_first(dit, "final_layer.linear.weight", 0, 0);
    expect_first(dit, "blocks.0.attn.qkv.bias", 0, 0);
    ito_module_free(&dit->base);
}

Test(dit, the_papers_s_2_has_its_number_of_parameters)
{
    ito_dit *dit = ito_dit_create(4, 32, 32, .hidden_size = 384, .depth = 12, .num_heads = 6,
                                  .classes = 1000, .out_channels = 8);
    cr_assert_not_null(dit, "%s", ito_error());
    cr_expect_eq(ito_module_parameter_count(&dit->base), 32963360 - 256 * 384); /* positions */
    ito_module_free(&dit->base);
}

/* adaLN-zero: the output is 0, and behind another last layer it depends neither on time nor on
 * class, since the blocks change nothing; still, a first step has a gradient. */
Test(dit, at_first_its_output_is_zero_and_blocks_change_nothing)
{
    ito_generator g = ito_generator_make(1, 2);
    ito_dit *dit = ito_dit_create(2, 4, 6, .generator = &g, TINY, .classes = CLASSES);
    ito_tensor *labels = labels_of(N, (const int64_t[]){0, 1, 2});
    ito_tensor *y = forward(dit, labels);
    cr_expect_eq(largest(y), 0.0);
    ito_tensor *last = ito_module_find(&dit->base, "final_layer.linear.weight");
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    cr_expect_gt(largest(ito_grad_of(last)), 0.0);
    ito_init_normal(last, 0, 1, &g);
    y = ito_dit_forward_class(dit, images(N, dit), ito_full(ITO_SHAPE(N), 7, ITO_I64), NULL);
    cr_expect_gt(largest(y), 0.0);
    cr_expect_eq(largest(ito_sub(y, forward(dit, labels))), 0.0);
    ito_module_free(&dit->base);
}

/* ---- derivatives ---- */

static ito_tensor *through(ito_tensor *const *in, int64_t n, void *dit)
{
    (void)n;
    return ito_dit_forward_class(dit, in[0], in[1], labels_of(2, (const int64_t[]){1, CLASSES}));
}

static void expect_derivatives(ito_dit *dit)
{
    random_dit(dit);
    ito_named_tensors *p = ito_module_parameters(&dit->base);
    ito_tensor *in[64] = {ito_requires_grad(images(2, dit), true),
                          ito_requires_grad(times(2), true)};
    cr_assert_leq(p->n + 2, 64);
    memcpy(in + 2, p->tensors, (size_t)p->n * sizeof *in);
    cr_expect_eq(ito_gradcheck(through, dit, in, p->n + 2, .elements = 3), ITO_OK, "%s",
                 ito_error());
    cr_expect_eq(ito_gradgradcheck(through, dit, in, p->n + 2, .elements = 2), ITO_OK, "%s",
                 ito_error());
    ito_named_tensors_free(p);
    ito_module_free(&dit->base);
}

Test(dit, first_and_second_derivatives_are_right)
{
    expect_derivatives(ito_dit_create(1, 4, 2, .hidden_size = 8, .depth = 1, .num_heads = 2,
                                      .classes = CLASSES, .dtype = ITO_F64));
    expect_derivatives(ito_dit_create(1, 4, 2, .hidden_size = 8, .depth = 1, .num_heads = 2,
                                      .classes = CLASSES, .positions = ITO_DIT_ROTARY,
                                      .dtype = ITO_F64));
}

/* ---- bits and precision ---- */

static void expect_same_bits(ito_dtype precision)
{
    ito_dit *dit = random_dit(ito_dit_create(3, 16, 24, .hidden_size = 96, .depth = 2,
                                             .num_heads = 3, .positions = ITO_DIT_ROTARY));
    cr_assert_eq(ito_dit_set_precision(dit, precision), ITO_OK);
    ito_set_threads(1);
    ito_tensor *y = forward(dit, NULL);
    ito_set_threads(3);
    cr_expect_eq(memcmp(ito_const_data(y), ito_const_data(forward(dit, NULL)),
                        (size_t)ito_numel(y) * sizeof(float)),
                 0);
    ito_tensor *x = ito_slice(images(N, dit), 0, 0, 1, 1);
    cr_expect(same_example(ito_dit_forward(dit, x, times(1)), y, 0));
    ito_module_free(&dit->base);
}

Test(dit, bits_depend_neither_on_threads_nor_on_the_batch)
{
    expect_same_bits(ITO_F32);
    expect_same_bits(ITO_BF16);
}

/* About thirty roundings to 8 bits one after the other, each by up to 2^-9 and independent: 1 %;
 * three times that. */
Test(dit, bf16_is_near_f32)
{
    ito_generator g = ito_generator_make(1, 2);
    for (int k = ITO_DIT_SINCOS; k <= ITO_DIT_ROTARY; k++) {
        ito_dit *dit =
            random_dit(ito_dit_create(3, 8, 8, .hidden_size = 32, .depth = 2, .num_heads = 4,
                                      .classes = CLASSES, .positions = (ito_dit_positions)k));
        ito_tensor *x = ito_randn(&g, ITO_SHAPE(N, 3, 8, 8), ITO_F32);
        ito_tensor *y[2], *grad[2];
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(ito_dit_set_precision(dit, i == 0 ? ITO_F32 : ITO_BF16), ITO_OK);
            ito_module_zero_grad(&dit->base);
            y[i] = ito_dit_forward(dit, x, times(N));
            cr_assert_eq(ito_backward(ito_mean(ito_square(y[i]))), ITO_OK, "%s", ito_error());
            grad[i] = ito_clone(ito_grad_of(ito_module_find(&dit->base, "x_embedder.proj.weight")));
        }
        cr_expect_eq(ito_dtype_of(y[1]), ITO_F32);
        ito_tensor *const pairs[2][2] = {{y[0], y[1]}, {grad[0], grad[1]}};
        for (int i = 0; i < 2; i++) {
            ito_tensor *difference = ito_detach(ito_sub(pairs[i][0], pairs[i][1]));
            double off = ito_item(ito_sum(ito_square(difference)));
            double size = ito_item(ito_sum(ito_square(ito_detach(pairs[i][0]))));
            cr_expect(off > 0 && sqrt(off / size) < 0.03, "%d, %d: %g", k, i, sqrt(off / size));
        }
        ito_module_free(&dit->base);
    }
}

/* ---- labels ---- */

Test(dit, an_image_sees_its_own_label_alone_and_none_is_the_last_row)
{
    ito_dit *dit = random_dit(ito_dit_create(1, 4, 4, TINY, .classes = CLASSES));
    ito_tensor *a = forward(dit, labels_of(N, (const int64_t[]){0, 1, CLASSES}));
    ito_tensor *b = forward(dit, labels_of(N, (const int64_t[]){0, 2, CLASSES}));
    cr_expect(same_example(a, b, 0));
    cr_expect_not(same_example(a, b, 1));
    cr_expect(same_example(a, ito_dit_forward(dit, images(N, dit), times(N)), 2));
    ito_module_free(&dit->base);
}

/* ---- as the network of a diffusion ---- */

/* A learned variance, guidance and dropped labels; images that are not square. */
Test(dit, it_trains_and_samples_as_any_network)
{
    ito_generator g = ito_generator_make(1, 2);
    ito_dit *dit = ito_dit_create(1, 4, 6, .generator = &g, .hidden_size = 16, .depth = 2,
                                  .num_heads = 2, .classes = 2, .out_channels = 2);
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_cosine, .prediction = &ito_prediction_v,
                             .variance = &ito_variance_learned_range,
                             .objective = &ito_objective_hybrid);
    cr_assert_not_null(d, "%s", ito_error());
    ito_class_condition *labelled = ito_class_condition_create(&dit->network, 2);
    labelled->labels = labels_of(8, (const int64_t[]){0, 1, 0, 1, 0, 1, 0, 1});
    labelled->drop = 0.2;
    labelled->generator = &g;
    ito_diffusion_trainer trainer = {.diffusion = d,
                                     .network = &labelled->base,
                                     .model = &dit->base,
                                     .optimizer = ito_adam_create(&dit->base),
                                     .max_norm = 1.0};
    /* Of class 0 all is dark, of class 1 all is light. */
    ito_tensor *x_0 = ito_add_scalar(ito_cast(labelled->labels, ITO_F32), -0.5);
    x_0 = ito_expand(ito_reshape(x_0, 8, 1, 1, 1), 8, 1, 4, 6);
    for (int64_t step = 0; step < 400; step++) {
        ito_train_result r;
        cr_assert_eq(ito_diffusion_train_step(&trainer, x_0, step, 3e-3, &r), ITO_OK, "%s",
                     ito_error());
        cr_assert(r.applied, "%s", r.culprit);
    }
    ito_guidance *guided = ito_guidance_create(d, &dit->network, 1.5);
    labelled->network = &guided->base;
    labelled->generator = NULL;
    ito_tensor *x = ito_diffusion_sample(d, &labelled->base, ITO_SHAPE(8, 1, 4, 6), .steps = 20);
    cr_assert_not_null(x, "%s", ito_error());
    ito_tensor *means = ito_mean(x, .dims = ITO_DIMS(1, 2, 3));
    for (int i = 0; i < 8; i++) {
        float mean = ((const float *)ito_const_data(means))[i];
        cr_expect(i % 2 == 0 ? mean < -0.25f : mean > 0.25f, "%d: %g", i, (double)mean);
    }
    ito_network_free(&guided->base);
    ito_network_free(&labelled->base);
    ito_optimizer_free(trainer.optimizer);
    ito_diffusion_free(d);
    ito_module_free(&dit->base);
}

/* ---- refused ---- */

static void expect_no_network(ito_dit *dit, ito_status code, const char *message)
{
    expect_refused(dit, code, message);
}

Test(dit, numbers_out_of_range_are_refused)
{
    expect_no_network(ito_dit_create(0, 4, 4, TINY), ITO_ERR_RANGE,
                      "dit: the number of channels is 0; it must be 1 to 16384");
    expect_no_network(ito_dit_create(1, INT64_MAX, 4, TINY), ITO_ERR_RANGE,
                      "dit: height is 9223372036854775807; it must be 1 to 8192");
    expect_no_network(ito_dit_create(1, 4, -2, TINY), ITO_ERR_RANGE,
                      "dit: width is -2; it must be 1 to 8192");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .out_channels = -1), ITO_ERR_RANGE,
                      "dit: out_channels is -1; it must be 0 to 16384");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .patch_size = 0), ITO_ERR_RANGE,
                      "dit: patch_size is 0; it must be 1 to 8192");
    expect_no_network(ito_dit_create(1, 4, 4, .hidden_size = 0), ITO_ERR_RANGE,
                      "dit: hidden_size is 0; it must be 1 to 16384");
    expect_no_network(ito_dit_create(1, 4, 4, .depth = 0), ITO_ERR_RANGE,
                      "dit: depth is 0; it must be 1 to 1024");
    expect_no_network(ito_dit_create(1, 4, 4, .num_heads = 0), ITO_ERR_RANGE,
                      "dit: num_heads is 0; it must be 1 to 16384");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .classes = -1), ITO_ERR_RANGE,
                      "dit: the number of classes is -1; it must be 0 to 1000000");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .positions = (ito_dit_positions)3),
                      ITO_ERR_RANGE, "dit: positions is 3; it must be 0 to 2");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .mlp_ratio = 0.1), ITO_ERR_RANGE,
                      "dit: mlp_ratio is 0.1; it must be above 0 and at most 64, and make a width "
                      "of at least 1");
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .mlp_ratio = (double)NAN), ITO_ERR_RANGE,
                      "dit: mlp_ratio is nan; it must be above 0 and at most 64, and make a width "
                      "of at least 1");
}

Test(dit, sizes_that_do_not_divide_are_refused)
{
    expect_no_network(ito_dit_create(1, 4, 7, TINY), ITO_ERR_SHAPE,
                      "dit: patches of 2x2 do not divide images of 4x7");
    expect_no_network(ito_dit_create(1, 4, 4, .hidden_size = 8, .num_heads = 3), ITO_ERR_SHAPE,
                      "dit: 3 heads do not divide a hidden_size of 8");
    expect_no_network(ito_dit_create(1, 4, 4, .hidden_size = 6, .num_heads = 2), ITO_ERR_SHAPE,
                      "dit: sine-cosine positions need a hidden_size that is a multiple of 4, not "
                      "6");
    expect_no_network(
        ito_dit_create(1, 4, 4, .hidden_size = 12, .num_heads = 2, .positions = ITO_DIT_ROTARY),
        ITO_ERR_SHAPE,
        "dit: rotary positions need a width of each head that is a multiple of 4, "
        "not 6");
}

Test(dit, images_and_times_that_do_not_fit_are_refused)
{
    ito_dit *dit = random_dit(ito_dit_create(3, 4, 6, TINY));
    expect_refused(ito_dit_forward(dit, ito_zeros(ITO_SHAPE(2, 1, 4, 6), ITO_F32), times(2)),
                   ITO_ERR_SHAPE,
                   "dit: x is [2, 1, 4, 6] and t [2]; it takes [N, 3, 4, 6] and [N]");
    expect_refused(ito_dit_forward(dit, ito_zeros(ITO_SHAPE(2, 3, 6, 4), ITO_F32), times(2)),
                   ITO_ERR_SHAPE,
                   "dit: x is [2, 3, 6, 4] and t [2]; it takes [N, 3, 4, 6] and [N]");
    expect_refused(ito_dit_forward(dit, ito_zeros(ITO_SHAPE(3), ITO_F32), times(3)), ITO_ERR_SHAPE,
                   "dit: x is [3] and t [3]; it takes [N, 3, 4, 6] and [N]");
    expect_refused(ito_dit_forward(dit, images(3, dit), times(2)), ITO_ERR_SHAPE,
                   "dit: x is [3, 3, 4, 6] and t [2]; it takes [N, 3, 4, 6] and [N]");
    expect_refused(ito_dit_forward(dit, ito_cast(images(2, dit), ITO_F64), times(2)), ITO_ERR_DTYPE,
                   "dit: x is f64, and the parameters are f32");
    expect_refused(ito_module_forward(&dit->base, images(2, dit)), ITO_ERR_ARGUMENT,
                   "dit: it takes times besides images: ito_dit_forward");
    cr_expect_null(ito_dit_forward(dit, NULL, times(2)));
    cr_expect_eq(ito_error_code(), ITO_OK);
    ito_module_free(&dit->base);
}

Test(dit, labels_that_do_not_fit_are_refused)
{
    ito_dit *plain = random_dit(ito_dit_create(1, 4, 4, TINY));
    ito_dit *dit = random_dit(ito_dit_create(1, 4, 4, TINY, .classes = CLASSES));
    ito_tensor *x = images(2, dit), *t = times(2);
    expect_refused(ito_dit_forward_class(plain, x, t, ito_zeros(ITO_SHAPE(2), ITO_I64)),
                   ITO_ERR_ARGUMENT, "dit: the network has no classes and takes no labels");
    expect_refused(ito_dit_forward_class(dit, x, t, ito_zeros(ITO_SHAPE(3), ITO_I64)),
                   ITO_ERR_SHAPE, "dit: labels i64 [3] for 2 images; it takes [N] i64");
    expect_refused(ito_dit_forward_class(dit, x, t, ito_zeros(ITO_SHAPE(2), ITO_F32)),
                   ITO_ERR_SHAPE, "dit: labels f32 [2] for 2 images; it takes [N] i64");
    expect_refused(ito_dit_forward_class(dit, x, t, ito_full(ITO_SHAPE(2), CLASSES + 1, ITO_I64)),
                   ITO_ERR_RANGE, "embedding: index 4 at [0] is outside 0..3");
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = t, .x_0 = x};
    expect_refused(ito_network_evaluate(&dit->network, &in), ITO_ERR_ARGUMENT,
                   "dit: it takes no earlier estimate of the images");
    ito_module_free(&dit->base);
    ito_module_free(&plain->base);
}

Test(dit, dtypes_that_do_not_fit_are_refused)
{
    expect_no_network(ito_dit_create(1, 4, 4, TINY, .dtype = ITO_BF16), ITO_ERR_DTYPE,
                      "dit: parameters are f32 or f64, not bf16; f32 ones compute in bf16 by "
                      "ito_dit_set_precision");
    ito_dit *wide = ito_dit_create(1, 4, 4, TINY, .dtype = ITO_F64);
    cr_expect_eq(ito_dit_set_precision(wide, ITO_F64), ITO_OK);
    assert_refused_status(ito_dit_set_precision(wide, ITO_BF16), ITO_ERR_DTYPE,
                          "dit: precision bf16 is not that of the parameters, f64");
    ito_dit *dit = ito_dit_create(1, 4, 4, TINY);
    assert_refused_status(ito_dit_set_precision(dit, ITO_F16), ITO_ERR_DTYPE,
                          "dit: precision f16 is neither f32 nor bf16");
    ito_module_free(&wide->base);
    ito_module_free(&dit->base);
}

static ito_status build_and_run(void *context)
{
    (void)context;
    ito_generator g = ito_generator_make(1, 2);
    ito_dit *dit = ito_dit_create(1, 4, 4, .generator = &g, .hidden_size = 8, .depth = 1,
                                  .num_heads = 1, .classes = 1, .positions = ITO_DIT_ROTARY);
    ito_tensor *y = dit == NULL ? NULL
                                : ito_dit_forward(dit, ito_zeros(ITO_SHAPE(1, 1, 4, 4), ITO_F32),
                                                  ito_zeros(ITO_SHAPE(1), ITO_F32));
    if (dit != NULL)
        ito_module_free(&dit->base);
    return y != NULL ? ITO_OK : ito_error_code();
}

Test(dit, memory_that_runs_out_leaves_nothing_behind)
{
    cr_expect_gt(count_failed_allocations(build_and_run, NULL), 100);
}
