/* Mixed precision by the operation: which types come out, and that gradients are those of the
 * conversions written out. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *f32(ito_shape shape, uint64_t seed)
{
    return ito_cast(random_tensor(shape, -1, 1, seed), ITO_F32);
}

Test(autocast, products_run_in_bf16_and_sums_in_f32)
{
    ito_tensor *x = f32(ITO_SHAPE(3, 4), 1), *w = f32(ITO_SHAPE(5, 4), 2);
    ITO_AUTOCAST(ITO_BF16)
    {
        ito_tensor *y = ito_linear(x, w, NULL);
        cr_assert_eq(ito_dtype_of(y), ITO_BF16, "%s", ito_error());
        cr_assert_eq(ito_dtype_of(ito_matmul(x, ito_transpose(w, 0, 1))), ITO_BF16);
        cr_assert_eq(ito_dtype_of(ito_relu(y)), ITO_BF16);
        cr_assert_eq(ito_dtype_of(ito_exp(y)), ITO_F32);
        cr_assert_eq(ito_dtype_of(ito_mean(y)), ITO_F32);
        cr_assert_eq(ito_dtype_of(ito_softmax(y, -1)), ITO_F32);
    }
    cr_assert_eq(ito_dtype_of(ito_linear(x, w, NULL)), ITO_F32);
}

Test(autocast, attention_and_recurrent_steps_run_in_bf16)
{
    ito_tensor *x = f32(ITO_SHAPE(3, 4, 4), 1), *narrow = ito_cast(x, ITO_BF16), *h_n = NULL;
    ito_tensor *mask = f32(ITO_SHAPE(4, 4), 2), *h = f32(ITO_SHAPE(1, 4, 2), 3);
    ito_tensor *w[] = {f32(ITO_SHAPE(8, 4), 4), f32(ITO_SHAPE(8, 2), 5), f32(ITO_SHAPE(8), 6),
                       f32(ITO_SHAPE(8), 7)};
    ITO_AUTOCAST(ITO_BF16)
    {
        ito_tensor *y = ito_scaled_dot_product_attention(x, narrow, x, .attn_mask = mask);
        cr_assert_eq(ito_dtype_of(y), ITO_BF16, "%s", ito_error());
        assert_close(y,
                     ito_scaled_dot_product_attention(narrow, narrow, narrow,
                                                      .attn_mask = ito_cast(mask, ITO_BF16)),
                     0, "attention");
        y = ito_lstm(x, w, 4, .h_0 = h, .h_n = &h_n);
        cr_assert_eq(ito_dtype_of(y), ITO_BF16, "%s", ito_error());
        cr_assert_eq(ito_dtype_of(h_n), ITO_BF16);
        assert_close(ito_lstm(narrow, w, 4, .h_0 = h), y, 0, "the next layer");
    }
    cr_assert_null(ito_scaled_dot_product_attention(x, narrow, x));
    assert_error(ITO_ERR_DTYPE, "scaled_dot_product_attention: f32 [3, 4, 4] and bf16 [3, 4, 4] do "
                                "not mix (see ito_cast)");
}

Test(autocast, convolutions_of_any_kind_run_in_bf16_with_what_is_added)
{
    ito_tensor *x = f32(ITO_SHAPE(2, 3, 5, 4), 1), *w = f32(ITO_SHAPE(3, 3, 3, 3), 2);
    ito_tensor *b = f32(ITO_SHAPE(3), 3), *line = f32(ITO_SHAPE(2, 3, 5), 4);
    ITO_AUTOCAST(ITO_BF16)
    {
        ito_tensor *y = ito_conv2d(x, w, b, .padding = 1);
        cr_assert_eq(ito_dtype_of(ito_conv2d(x, w, b, .padding = 1, .add = y)), ITO_BF16, "%s",
                     ito_error());
        cr_assert_eq(ito_dtype_of(ito_conv_transpose2d(x, w, b)), ITO_BF16, "%s", ito_error());
        cr_assert_eq(ito_dtype_of(ito_conv1d(line, ito_select(w, 3, 0), b)), ITO_BF16, "%s",
                     ito_error());
    }
    cr_assert_null(ito_conv2d(x, w, b, .padding = 1, .add = ito_cast(x, ITO_BF16)));
    assert_error(ITO_ERR_DTYPE,
                 "conv2d: f32 [2, 3, 5, 4] and bf16 [2, 3, 5, 4] do not mix (see ito_cast)");
}

Test(autocast, two_types_meet_in_the_wider_one)
{
    ito_tensor *x = f32(ITO_SHAPE(3, 4), 1), *narrow = ito_cast(x, ITO_BF16);
    ITO_AUTOCAST(ITO_BF16)
    {
        assert_close(ito_add(x, narrow), ito_add(x, ito_cast(narrow, ITO_F32)), 0, "add");
        cr_assert_eq(ito_dtype_of(ito_add(narrow, narrow)), ITO_BF16);
        cr_assert_eq(ito_dtype_of(ito_cat(ITO_TENSORS(x, narrow), 0)), ITO_F32);
    }
    cr_assert_null(ito_add(x, narrow));
    assert_error(ITO_ERR_DTYPE, "add: f32 [3, 4] and bf16 [3, 4] do not mix (see ito_cast)");
}

Test(autocast, f64_and_integers_stay)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 4), -1, 1, 1), *i = ito_arange(0, 4, 1, ITO_I64);
    ITO_AUTOCAST(ITO_BF16)
    {
        cr_assert_eq(ito_dtype_of(ito_linear(x, x, NULL)), ITO_F64);
        cr_assert_eq(ito_dtype_of(ito_add(i, i)), ITO_I64);
    }
}

/* The same network with its conversions written out. */
static ito_tensor *loss(ito_tensor *x, ito_tensor *w1, ito_tensor *w2, bool written_out)
{
    ito_tensor *h = ito_silu(ito_linear(written_out ? ito_cast(x, ITO_BF16) : x, w1, NULL));
    ito_tensor *y = ito_linear(h, w2, NULL);
    y = written_out ? ito_cast(y, ITO_F32) : y;
    return ito_mse_loss(y, ito_zeros(ito_shape_of(y), written_out ? ITO_F32 : ITO_BF16));
}

Test(autocast, gradients_are_f32_and_those_of_the_conversions_written_out)
{
    ito_tensor *x = f32(ITO_SHAPE(7, 4), 1), *grad[2][2];
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        ito_tensor *w1 = ito_requires_grad(f32(ITO_SHAPE(8, 4), 2), true);
        ito_tensor *w2 = ito_requires_grad(f32(ITO_SHAPE(3, 8), 3), true), *y = NULL;
        int before = (int)ito_autocast_begin(by_hand ? ITO_F32 : ITO_BF16);
        y = loss(x, w1, w2, by_hand);
        cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error()); /* within the block, too */
        ito_autocast_end((ito_dtype)before);
        grad[by_hand][0] = ito_grad_of(w1);
        grad[by_hand][1] = ito_grad_of(w2);
        cr_assert_eq(ito_dtype_of(ito_grad_of(w1)), ITO_F32);
    }
    assert_close(grad[0][0], grad[1][0], 0, "w1");
    assert_close(grad[0][1], grad[1][1], 0, "w2");
}

Test(autocast, blocks_nest_and_f32_switches_it_off)
{
    ito_tensor *x = f32(ITO_SHAPE(3, 4), 1);
    ITO_AUTOCAST(ITO_BF16)
    {
        ito_dtype before = ito_autocast_begin(ITO_F32);
        cr_assert_eq(ito_dtype_of(ito_linear(x, x, NULL)), ITO_F32);
        ito_autocast_end(before);
        cr_assert_eq(ito_dtype_of(ito_linear(x, x, NULL)), ITO_BF16);
    }
}

Test(autocast, refuses_another_type)
{
    ito_tensor *x = f32(ITO_SHAPE(3, 4), 1);
    ito_dtype before = ito_autocast_begin(ITO_F64);
    assert_error(ITO_ERR_DTYPE, "autocast: to bf16, or f32 for none, not to f64");
    cr_assert_eq(ito_dtype_of(ito_linear(x, x, NULL)), ITO_F32);
    ito_autocast_end(before);
}
