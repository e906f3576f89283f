/* ito.hpp in C++20: options by name, with handles and temporaries among them. */
#include <criterion/criterion.h>
#include <ito/ito.hpp>

Test(hpp20, options_by_name_take_handles)
{
    ito::scope scope;
    ito_generator g = ito_generator_make(1, 0);
    ito::tensor x = ito_randn(&g, ITO_SHAPE(2, 3, 8, 8), ITO_F32);
    ito::tensor w = ito_randn(&g, ITO_SHAPE(4, 3, 3, 3), ITO_F32);
    ito::tensor plain = ito_conv2d(x * 2, w, nullptr, .stride = 2, .padding = 1);
    ito::tensor y = ito_conv2d(x * 2, w, nullptr, .stride = 2, .padding = 1, .add = plain);
    cr_expect_eq(y.size(2), 4);
    cr_expect_eq(ito_item(ito_sum(ito_abs(y - plain * 2))), 0);
    ito::tensor m = ito_mean(y - 1, .dims = ITO_DIMS(1, 2, 3), .keepdim = true);
    cr_expect_eq(m.dim(), 4);
    ito::check(ito_backward(ito_sum(w.requires_grad() * 2)));
    cr_expect_eq(w.grad().to_vector<float>()[0], 2);
}

Test(hpp20, operators_are_not_ambiguous_where_the_language_rewrites_them)
{
    ito::tensor x = ito::tensor::from<float>({1, 2}, ITO_SHAPE(2));
    cr_expect_eq((1 == x).to_vector<double>()[0], 1);
    cr_expect_eq((x != x).to_vector<double>()[1], 0);
    cr_expect_eq((x == ito_ones(ITO_SHAPE(2), ITO_F32)).to_vector<double>()[1], 0);
}
