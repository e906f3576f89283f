// What a C++ program can call: the functions behind the macros that need C's compound literals.
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
    ito_shape image{4, {2, 3, 8, 8}}, filter{4, {3, 3, 3, 3}};
    ito_tensor *x = ito_randn(&g, image, ITO_F32);
    ito_tensor *w = ito_requires_grad(ito_randn(&g, filter, ITO_F32), true);
    return ito_backward_with(loss(x, w, ito_zeros_like(x)), ito_backward_options{}) != ITO_OK;
}
