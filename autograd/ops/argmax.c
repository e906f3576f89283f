/* Where the largest and smallest numbers are, and these numbers along an axis with their places. */
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"

#include <math.h>

/* The place of a line's first NaN, or else of its first best element. */
typedef int64_t best_of_line(const void *line, int64_t stride, int64_t n);

#define BEST(op, better, type, name, wide, value)                                                  \
    static int64_t op##_##name(const void *line, int64_t stride, int64_t n)                        \
    {                                                                                              \
        const type *x = line;                                                                      \
        int64_t best = 0;                                                                          \
        wide most = value(x[0]);                                                                   \
        for (int64_t i = 1; i < n && !isnan((double)most); i++) {                                  \
            wide here = value(x[i * stride]);                                                      \
            if (here better most || isnan((double)here)) {                                         \
                best = i;                                                                          \
                most = here;                                                                       \
            }                                                                                      \
        }                                                                                          \
        return best;                                                                               \
    }
#define BEST_LINES(id, type, name, wide, value)                                                    \
    BEST(argmax, >, type, name, wide, value) BEST(argmin, <, type, name, wide, value)
LINE_NUMBERS(BEST_LINES)

/* i64 places along the axis of the call, which stays with size 1. */
static ito_tensor *best_places(const op_call *c, best_of_line *best)
{
    int axis = *(const int *)c->params;
    const ito_tensor *x = c->in[0];
    if (!has_elements(c->info->name, x, axis))
        return NULL;
    ito_shape shape = x->sizes;
    shape.dim[axis] = 1;
    ito_tensor *y = tensor_empty(shape, ITO_I64);
    if (y == NULL)
        return NULL;
    int64_t lines = line_count(&x->sizes, axis), n = x->shape[axis], stride = x->stride[axis];
    int64_t *to = tensor_data(y);
    const char *from = tensor_data(x);
    int64_t size = (int64_t)ito_dtype_size(x->dtype);
    PARALLEL_FOR(r, lines, lines * n,
                 to[r] = best(from + line_begin(x, &x->sizes, axis, r) * size, stride, n));
    return y;
}

#define ARG(op, better)                                                                            \
    ito_tensor *op_##op##_forward(op_call *c)                                                      \
    {                                                                                              \
        static best_of_line *const rows[ITO_DTYPES] = {                                            \
            [ITO_F32] = op##_f32, [ITO_F64] = op##_f64, [ITO_BF16] = op##_bf16,                    \
            [ITO_I32] = op##_i32, [ITO_I64] = op##_i64, [ITO_U8] = op##_u8,                        \
            [ITO_BOOL] = op##_b8,                                                                  \
        };                                                                                         \
        return best_places(c, rows[c->dtype[0]]);                                                  \
    }                                                                                              \
    ito_tensor *ito_##op##_with(ito_tensor *x, ito_arg_options options)                            \
    {                                                                                              \
        int axis;                                                                                  \
        ito_scope_begin();                                                                         \
        ito_tensor *line = along(#op, x, options.dim, &axis);                                      \
        ito_tensor *y = line == NULL ? NULL : op_apply(OP_##op, &line, 1, &axis, sizeof axis);     \
        y = ito_keep(along_reduced(y, x, options.dim, options.keepdim));                           \
        ito_scope_end();                                                                           \
        return y;                                                                                  \
    }
ARG(argmax, >)
ARG(argmin, <)

static ito_tensor *extreme_dim(const char *op, op_id id, ito_tensor *x, ito_tensor **indices,
                               ito_along_options options)
{
    int axis;
    ito_scope_begin();
    ito_tensor *line = along(op, x, options.dim, &axis), *places = NULL;
    if (line != NULL && takes_numbers(op, line) && has_elements(op, line, axis))
        places = op_apply(id, &line, 1, &axis, sizeof axis);
    ito_tensor *y = chosen_along(line, axis, places, x, options.dim, options.keepdim, indices);
    ito_scope_end();
    return y;
}

ito_tensor *ito_max_dim_with(ito_tensor *x, ito_tensor **indices, ito_along_options options)
{
    return extreme_dim("max_dim", OP_argmax, x, indices, options);
}

ito_tensor *ito_min_dim_with(ito_tensor *x, ito_tensor **indices, ito_along_options options)
{
    return extreme_dim("min_dim", OP_argmin, x, indices, options);
}
