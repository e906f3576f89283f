/* Mixed precision by the operation, in the manner of torch.autocast: products in bf16, what is
 * prone to overflow or cancel in f32, the rest as it comes. */
#include "autograd/autocast.h"

#include "autograd/ops.h"

/* ITO_F32: off. */
static _Thread_local ito_dtype lower = ITO_F32;

ito_dtype ito_autocast_begin(ito_dtype dtype)
{
    ito_dtype before = lower;
    if (dtype != ITO_BF16 && dtype != ITO_F32)
        ito_error_set(ITO_ERR_DTYPE, "autocast: to bf16, or f32 for none, not to %s",
                      ito_dtype_name(dtype));
    else
        lower = dtype;
    return before;
}

void ito_autocast_end(ito_dtype before)
{
    lower = before;
}

bool autocast_active(void)
{
    return lower != ITO_F32;
}

ito_dtype autocast_suspend(void)
{
    ito_dtype before = lower;
    lower = ITO_F32;
    return before;
}

void autocast_resume(ito_dtype dtype)
{
    lower = dtype;
}

typedef enum policy { WIDEST, IN_BF16, IN_F32 } policy;

/* Of the others inputs of two types are brought to the wider one. */
static const unsigned char policies[OP_COUNT] = {
    [OP_bmm] = IN_BF16,
    [OP_conv2d] = IN_BF16,
    [OP_conv2d_data] = IN_BF16,
    [OP_linear] = IN_BF16,
    [OP_recurrent] = IN_BF16,
    [OP_scaled_dot_product_attention] = IN_BF16,
    [OP_acos] = IN_F32,
    [OP_asin] = IN_F32,
    [OP_binary_cross_entropy] = IN_F32,
    [OP_cdist] = IN_F32,
    [OP_cosh] = IN_F32,
    [OP_digamma] = IN_F32,
    [OP_erfinv] = IN_F32,
    [OP_exp] = IN_F32,
    [OP_exp2] = IN_F32,
    [OP_expm1] = IN_F32,
    [OP_lgamma] = IN_F32,
    [OP_log] = IN_F32,
    [OP_log10] = IN_F32,
    [OP_log1p] = IN_F32,
    [OP_log2] = IN_F32,
    [OP_log_softmax] = IN_F32,
    [OP_logaddexp] = IN_F32,
    [OP_mse_loss] = IN_F32,
    [OP_polygamma] = IN_F32,
    [OP_pow] = IN_F32,
    [OP_pow_scalar] = IN_F32,
    [OP_reciprocal] = IN_F32,
    [OP_rsqrt] = IN_F32,
    [OP_sinh] = IN_F32,
    [OP_softmax] = IN_F32,
    [OP_softplus] = IN_F32,
    [OP_sum] = IN_F32,
    [OP_tan] = IN_F32,
};

static bool is_either(const ito_tensor *t)
{
    return t != NULL && (t->dtype == ITO_F32 || t->dtype == ITO_BF16);
}

/* Beside bf16 the parameters of MIXED rows stay f32. */
static bool is_parameter(const op_info *info, int64_t i)
{
    return info->dtypes == MIXED && (i == 1 || i == 2);
}

static policy policy_of(const op_info *info)
{
    bool in_table = info >= op_table && info < op_table + OP_COUNT;
    return in_table ? (policy)policies[info - op_table] : WIDEST;
}

/* What the operation's inputs that are no parameters become. */
static ito_dtype dtype_for(const op_info *info, ito_tensor *const *in, int64_t n, ito_dtype low)
{
    policy p = policy_of(info);
    if (p != WIDEST)
        return p == IN_BF16 ? low : ITO_F32;
    for (int64_t i = 0; i < n; i++)
        if (in[i] != NULL && in[i]->dtype == ITO_F32 && !is_parameter(info, i))
            return ITO_F32;
    return ITO_BF16;
}

bool autocast_inputs(const op_info *info, ito_tensor *const *in, int64_t n, ito_dtype low,
                     ito_tensor **to)
{
    bool alone = n == 1 && policy_of(info) == WIDEST;
    ito_dtype dtype = alone ? ITO_DTYPES : dtype_for(info, in, n, low);
    for (int64_t i = 0; i < n; i++) {
        to[i] = in[i];
        if (dtype == ITO_DTYPES || !is_either(in[i]) || is_parameter(info, i) ||
            in[i]->dtype == dtype)
            continue;
        to[i] = ito_cast(in[i], dtype);
        if (to[i] == NULL)
            return false;
    }
    return true;
}
