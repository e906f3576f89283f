// What a C++17 program can call: the functions behind the macros that need C's compound literals,
// and the macros for lists of sizes and tensors.
#include <ito/ito.h>

static ito_tensor *loss(ito_tensor *x, ito_tensor *w, ito_tensor *target)
{
    ito_conv_options options{};
    options.padding = 1;
    return ito_mse_loss(ito_silu(ito_conv2d_with(x, w, nullptr, options)), target);
}

// Options begin as their defaults, and 0 is 0.
static bool trains()
{
    ito_diffusion_options options{};
    if (options.steps != ITO_USUAL_STEPS || options.beta_end != 0.02)
        return false;
    options.schedule = &ito_schedule_flow;
    options.weighting = &ito_weighting_min_snr;
    options.gamma = 0;
    ito_diffusion *d = ito_diffusion_create_with(options);
    ito_network network{};
    network.evaluate = [](ito_network *, const ito_network_input *in) {
        return ito_zeros_like(in->x);
    };
    ito_tensor *x = ito_ones(ITO_SHAPE(4, 2), ITO_F32);
    ito_tensor *loss =
        d == nullptr ? nullptr
                     : ito_diffusion_loss(d, &network, x, ito_full(ITO_SHAPE(4), 0.5, ITO_F64), x);
    bool good = loss != nullptr && ito_item(loss) == 0;
    ito_diffusion_free(d);
    return good;
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
    if (!trains())
        return 1;
    return ito_backward_with(loss(x, w, ito_zeros_like(x)), ito_backward_options{}) != ITO_OK;
}
