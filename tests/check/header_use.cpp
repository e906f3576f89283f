// ito.hpp as a program uses it; header_use.sh compiles it as C++17 and as C++20.
#include <iostream>
#include <ito/ito.hpp>

double handles(ito_generator *g);
double handles(ito_generator *g)
{
    ito::scope scope;
    ito::no_grad off;
    ito::tensor x = ito_randn(g, ITO_SHAPE(2, 3), ITO_F32), y;
    y = ito_softmax(2 * -x + 1 - x / 3.0, -1);
    y += ito_where(x < y, x, ito_zeros_like(y));
    ito::module net(ito_sequential_create(nullptr, ""));
    auto f = ito::function([&](const std::vector<ito::tensor> &in) { return net(in[0]) == x; });
    std::cout << ito::tensor(f.call(ITO_TENSORS(y), &f));
    ito::optimizer sgd(ito_sgd_create(net));
    return y.item() + ito::tensor::from<float>({1, 2}, ITO_SHAPE(2)).to_vector<double>()[0];
}
