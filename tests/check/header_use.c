/* The macros without options, as a program uses them; header_use.sh compiles it as C and as C++. */
#include <ito/ito.h>

ito_tensor *shapes(ito_tensor *x);
ito_tensor *shapes(ito_tensor *x)
{
    ito_shape none = ITO_SHAPE(), one = ITO_SHAPE(1), eight = ITO_SHAPE(1, 2, 3, 4, 5, 6, 7, 8);
    ito_shape all = ITO_ALL_DIMS, axes = ITO_DIMS(), two = ITO_DIMS(-1, 0);
    x = ito_zeros(ITO_SHAPE(none.ndim, one.ndim, eight.ndim, all.ndim, axes.ndim, two.ndim),
                  ITO_F32);
    x = ito_reshape(ito_view(ito_expand(ito_permute(x))));
    x = ito_reshape(ito_view(ito_expand(ito_permute(x, 0), 1), 1), 1);
    x = ito_reshape(ito_view(ito_expand(ito_permute(x, 0, 1), 1, -1), 1, -1), 1, -1);
    x = ito_reshape(x, 1, 1, 1, 1, 1, 1, 1, one.ndim << 1);
    x = ito_zeros(ITO_SHAPE(one.ndim << 1, one.ndim == 1 ? 2 : 3, -one.ndim, (one.ndim)), ITO_F32);
    x = ito_add(x, ito_add(ito_values(ITO_F32, 0.1), ito_values(ITO_I64, one.ndim, 2, -3.5)));
    return ito_pad(ito_pad(ito_pad(x, 0.0), 0.0, 1, 2), 0.0, 1, 2, 3, 4);
}

ito_tensor *lists(ito_tensor *x, ito_function *f, ito_generator *g);
ito_tensor *lists(ito_tensor *x, ito_function *f, ito_generator *g)
{
    ITO_SCOPE ITO_NO_GRAD x = ito_cat(ITO_TENSORS(x), 0);
    ITO_ENABLE_GRAD
    {
        x = ito_cat(ITO_TENSORS(x, ito_sum(x), x), 0);
    }
#if !defined(__cplusplus) || __cplusplus >= 202002L
    x = ito_recompute(f, NULL, ITO_TENSORS(x), ITO_GENERATORS(g));
    x = ito_recompute(f, NULL, ITO_TENSORS(x, x), ITO_GENERATORS(g, g));
    x = ito_sum(ito_mean(x, .keepdim = true), .dims = ITO_DIMS(0, 1));
#else
    x = ito_recompute(f, g, ITO_TENSORS(x, x));
#endif
    return ito_add(ito_sum(x), ito_mean(ito_sum(x)));
}
