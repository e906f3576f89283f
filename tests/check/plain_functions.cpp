// What a C++17 program can call: the functions behind the macros that need C's compound literals, and
// the macros for lists of sizes and tensors.
#include <ito/ito.h>

static ito_tensor *loss(ito_tensor *x, ito_tensor *w, ito_tensor *target)
{
    ito_conv2d_options options{};
    options.padding = 1;
    return ito_mse_loss(ito_silu(ito_conv2d_with(x, w, nullptr, options)), target);
}

int main()
{
    ito_generator g = ito_generator_make(1, 0);
    ito_shape image{4, {2, 3, 8, 8}};
    ito_tensor *x = ito_randn(&g, image, ITO_F32);
    ito_tensor *w = ito_requires_grad(ito_randn(&g, ITO_SHAPE(3, 3, 3, 3), ITO_F32), true);
    x = ito_reshape(ito_cat(ITO_TENSORS(x, ito_zeros_like(x)), 0), -1, 3, 8, 8);
    if (x == nullptr || ito_ndim(ito_ones(ITO_SHAPE(), ITO_F32)) != 0)
        return 1;
    return ito_backward_with(loss(x, w, ito_zeros_like(x)), ito_backward_options{}) != ITO_OK;
}
