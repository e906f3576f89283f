/* The U-Net in bf16 beside itself in f32. */
#include "models/ddpm/network/unet.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* A result is rounded to 8 bits about forty times one after the other on the way through this
 * network, each time by at most 2^-9 of itself and independently, so by about sqrt(40) 2^-9 = 1.2 %
 * at the end; gradients go back through as many again. Three times that. */
#define TOLERANCE_BF16 0.04

static ito_unet *tiny(void)
{
    ito_unet_config config = tiny_unet_config(3);
    config.channels = 16;
    config.groups = 16;
    config.dropout = 0.1;
    ito_generator init = ito_generator_make(3, 0);
    ito_unet *unet = ito_unet_create(&config, &init);
    cr_assert_not_null(unet, "%s", ito_error());
    /* Not near zero, as it begins: then there is something to compare. */
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    ito_no_grad_begin();
    for (int64_t i = 0; i < p->n; i++)
        if (ito_ndim(p->tensors[i]) == 4)
            ito_init_glorot_uniform(p->tensors[i], 1.0, &init);
    ito_no_grad_end();
    ito_named_tensors_free(p);
    return unet;
}

/* The output for n images, or the gradient of its mean square by one of the parameters. */
static ito_tensor *through(ito_unet *unet, ito_dtype precision, int64_t n, const char *parameter)
{
    cr_assert_eq(ito_unet_set_precision(unet, precision), ITO_OK);
    ito_generator g = ito_generator_make(5, 0);
    ito_tensor *x = ito_slice(ito_randn(&g, ITO_SHAPE(5, 3, 8, 8), ITO_F32), 0, 0, n, 1);
    ito_tensor *t = ito_slice(ito_arange(0, 5, 1, ITO_I64), 0, 0, n, 1);
    ito_module_seed(&unet->base, 1, 0);
    ito_module_zero_grad(&unet->base);
    ito_tensor *y = ito_unet_forward(unet, x, t);
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert_eq(ito_dtype_of(y), ITO_F32);
    if (parameter == NULL)
        return ito_detach(y);
    cr_assert_eq(ito_backward(ito_mean(ito_square(y))), ITO_OK, "%s", ito_error());
    ito_tensor *grad = ito_grad_of(ito_module_find(&unet->base, parameter));
    cr_assert_eq(ito_dtype_of(grad), ITO_F32);
    return ito_clone(ito_detach(grad));
}

static void expect_near(ito_tensor *a, ito_tensor *b, const char *what)
{
    double error = ito_item(ito_sum(ito_square(ito_sub(a, b)))),
           size = ito_item(ito_sum(ito_square(b)));
    cr_expect(error > 0.0, "%s: the same bits, so bf16 was not used", what);
    cr_expect(sqrt(error / size) < TOLERANCE_BF16, "%s: off by %g", what, sqrt(error / size));
}

Test(unet_bf16, bf16_is_near_f32_forward_and_backward)
{
    ito_unet *unet = tiny();
    static const char *const what[] = {NULL,
                                       "conv_in.weight",
                                       "time_embedding.linear_1.weight",
                                       "mid_block.attentions.0.to_q.weight",
                                       "up_blocks.1.resnets.1.norm1.bias",
                                       "conv_out.bias"};
    for (int i = 0; i < 6; i++)
        expect_near(through(unet, ITO_BF16, 5, what[i]), through(unet, ITO_F32, 5, what[i]),
                    what[i] != NULL ? what[i] : "output");
    ito_module_free(&unet->base);
}

static bool equal_bits(ito_tensor *a, ito_tensor *b)
{
    return memcmp(ito_const_data(ito_contiguous(a)), ito_const_data(ito_contiguous(b)),
                  (size_t)ito_numel(a) * sizeof(float)) == 0;
}

Test(unet_bf16, bits_of_bf16_depend_neither_on_threads_nor_on_the_batch)
{
    ito_unet *unet = tiny();
    ito_set_threads(1);
    const char *weight = "down_blocks.1.resnets.0.conv1.weight";
    ito_tensor *y = through(unet, ITO_BF16, 5, NULL), *dw = through(unet, ITO_BF16, 5, weight);
    static const int threads[] = {2, 3, 7};
    for (int i = 0; i < 3; i++) {
        ito_set_threads(threads[i]);
        cr_expect(equal_bits(through(unet, ITO_BF16, 5, NULL), y), "%d threads", threads[i]);
        cr_expect(equal_bits(through(unet, ITO_BF16, 5, weight), dw), "%d threads", threads[i]);
    }
    ito_module_train(&unet->base, false); /* dropout draws by the batch */
    cr_expect(equal_bits(through(unet, ITO_BF16, 1, NULL),
                         ito_slice(through(unet, ITO_BF16, 5, NULL), 0, 0, 1, 1)));
    ito_module_free(&unet->base);
}

Test(unet_bf16, other_precisions_are_refused)
{
    ito_unet *unet = tiny();
    assert_refused_status(ito_unet_set_precision(unet, ITO_F16), ITO_ERR_DTYPE,
                          "unet: precision f16 is neither f32 nor bf16");
    ito_module_free(&unet->base);
}
