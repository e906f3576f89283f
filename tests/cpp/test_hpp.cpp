/* ito.hpp in C++17: handles, operators, exceptions, and that nothing leaks or goes too early. */
#include <criterion/criterion.h>
#include <ito/ito.hpp>
#include <sstream>

static std::vector<double> values(const ito::tensor &t)
{
    return t.to_vector<double>();
}

static ito::tensor numbers(const std::vector<double> &v)
{
    return ito::tensor::from(v, ITO_SHAPE(v.size()));
}

/* What f throws, or an error of ITO_OK. */
template <class F> static ito::error thrown(F f)
{
    try {
        f();
    } catch (const ito::error &e) {
        return e;
    }
    return ito::error(ITO_OK, "nothing", "");
}

Test(hpp, operators_broadcast_and_take_numbers_on_either_side)
{
    ito::tensor x = numbers({1, 2, 4}), y = ito::tensor::from<double>({10, 20}, ITO_SHAPE(2, 1));
    cr_expect(values(x + y) == std::vector<double>({11, 12, 14, 21, 22, 24}));
    cr_expect(values(x - 1) == std::vector<double>({0, 1, 3}));
    cr_expect(values(1 - x) == std::vector<double>({0, -1, -3}));
    cr_expect(values(x * 0.5f) == std::vector<double>({0.5, 1, 2}));
    cr_expect(values(8 / x) == std::vector<double>({8, 4, 2}));
    cr_expect(values(-x) == std::vector<double>({-1, -2, -4}));
    cr_expect(values(+x) == values(x));
    cr_expect((x + y).shape() == std::vector<int64_t>({2, 3}));
    ito::tensor i = ito::tensor::from<int64_t>({1, 2}, ITO_SHAPE(2));
    cr_expect_eq((i + 1).dtype(), ITO_I64);
    cr_expect(values(i * 3) == std::vector<double>({3, 6}));
}

Test(hpp, comparisons_give_a_tensor_of_bool)
{
    ito::tensor x = numbers({1, 2, 4}), y = numbers({1, 3, 3});
    cr_expect_eq((x == y).dtype(), ITO_BOOL);
    cr_expect(values(x == y) == std::vector<double>({1, 0, 0}));
    cr_expect(values(x != y) == std::vector<double>({0, 1, 1}));
    cr_expect(values(x < y) == std::vector<double>({0, 1, 0}));
    cr_expect(values(x <= 2) == std::vector<double>({1, 1, 0}));
    cr_expect(values(2 < x) == std::vector<double>({0, 0, 1}));
    cr_expect(values(x > y) == std::vector<double>({0, 0, 1}));
    cr_expect(values(2 >= x) == std::vector<double>({1, 1, 0}));
    cr_expect(values(2 == x) == std::vector<double>({0, 1, 0}));
    ito_tensor *raw = y; /* not a comparison of pointers */
    cr_expect(values(x == raw) == std::vector<double>({1, 0, 0}));
    cr_expect(values(raw < x) == std::vector<double>({0, 0, 1}));
    cr_expect(values(x - raw) == std::vector<double>({0, -1, 1}));
}

Test(hpp, assigning_operators_leave_other_handles_alone)
{
    ito::tensor x = numbers({1, 2}), before = x;
    x += 1;
    x *= x;
    x -= before;
    x /= 2;
    cr_expect(values(x) == std::vector<double>({1.5, 3.5}));
    cr_expect(values(before) == std::vector<double>({1, 2}));
}

Test(hpp, any_function_takes_handles_and_gives_them)
{
    ito::scope scope;
    ito::tensor x = numbers({3, 1, 2});
    ito::tensor y = ito_cat(ITO_TENSORS(x, x + 1, ito_square(x)), 0);
    cr_expect(values(y) == std::vector<double>({3, 1, 2, 4, 2, 3, 9, 1, 4}));
    y = ito_reshape(y, 3, -1);
    cr_expect_eq(y.size(-1), 3);
    cr_expect_eq(y.dim(), 2);
    cr_expect_eq(ito::tensor(ito_sum(y)).item(), 29);
    cr_expect_eq(ito_item(ito_max(x)), 3);
    std::ostringstream text;
    text << x;
    cr_expect(text.str() == "[3., 1., 2.] (f64 [3])", "%s", text.str().c_str());
}

Test(hpp, gradients)
{
    ito::tensor x = numbers({1, 2, 3}).requires_grad();
    cr_expect_not(x.grad().defined());
    {
        ito::scope scope;
        ito::tensor(ito_sum(x * x + 2 * x)).backward();
    }
    cr_expect(values(x.grad()) == std::vector<double>({4, 6, 8}));
    {
        ito::no_grad off;
        cr_expect_not(ito_has_grad_path(x * 2));
        ito::enable_grad on;
        cr_expect(ito_has_grad_path(x * 2));
    }
    cr_expect(ito_has_grad_path(x * 2));
}

Test(hpp, autocast_ends_with_its_block)
{
    ito::scope scope;
    ito::tensor x = ito_ones(ITO_SHAPE(2, 2), ITO_F32);
    {
        ito::autocast lesser(ITO_BF16);
        cr_expect_eq(ito_dtype_of(ito_matmul(x, x)), ITO_BF16);
    }
    cr_expect_eq(ito_dtype_of(ito_matmul(x, x)), ITO_F32);
}

Test(hpp, operators_leave_nothing_behind_and_handles_outlive_scopes)
{
    int64_t blocks = ito_memory_blocks();
    {
        ito::tensor kept;
        cr_expect_not(kept.defined());
        {
            ito::scope scope;
            ito::tensor x = ito_ones(ITO_SHAPE(4), ITO_F32);
            for (int i = 0; i < 100; i++)
                x = x + 1;
            cr_expect_leq(ito_memory_blocks(), blocks + 2); /* the first x is the scope's */
            kept = ito_mul(x, x);
        }
        cr_expect_eq(ito_memory_blocks(), blocks + 1);
        ito::tensor copy = kept, moved = std::move(kept);
        cr_expect_not(kept.defined());
        cr_expect_eq(values(copy)[3], 101 * 101);
        cr_expect_eq(copy.get(), moved.get());
        copy = ito::tensor(copy.get());
        moved = std::move(copy);
        cr_expect_eq(values(moved)[0], 101 * 101);
    }
    cr_expect_eq(ito_memory_blocks(), blocks);
}

/* x + 1 is a temporary: its reference goes to the scope, so that a plain pointer to it is good. */
static ito_tensor *plain(const ito::tensor &x)
{
    return x + 1;
}

Test(hpp, a_temporary_becomes_the_scopes)
{
    int64_t blocks = ito_memory_blocks();
    {
        ito::scope scope;
        ito_tensor *t = plain(numbers({1, 2}));
        ito_tensor *u = ito_neg(numbers({5, 6}) * 2);
        cr_expect(values(t) == std::vector<double>({2, 3}));
        cr_expect(values(u) == std::vector<double>({-10, -12}));
    }
    cr_expect_eq(ito_memory_blocks(), blocks);
}

/* "FILE:LINE" of this file. */
static std::string here(int line)
{
    return std::string(__FILE__) + ":" + std::to_string(line);
}

Test(hpp, errors_are_exceptions_with_code_sentence_and_place)
{
    ito::tensor x = numbers({1, 2, 3}), y = numbers({1, 2});
    ito::error e = thrown([&] { (void)(x + y); });
    int line = __LINE__ - 1;
    cr_expect_eq(e.code(), ITO_ERR_SHAPE);
    cr_expect(e.sentence() == "add: shapes [3] and [2] do not broadcast");
    cr_expect(e.place() == here(line), "%s", e.place().c_str());
    cr_expect(e.what() == e.sentence() + " (" + here(line) + ")");
    cr_expect_eq(ito_error_code(), ITO_OK); /* forgotten */

    e = thrown([&] { ito::tensor z = ito_reshape(ito_exp(x), 2); });
    line = __LINE__ - 1;
    cr_expect(e.sentence() == "reshape: [3] of 3 elements does not become [2]");
    cr_expect(e.place() == here(line), "%s", e.place().c_str());

    e = thrown([&] { (void)(y == ito_exp(x)); });
    line = __LINE__ - 1;
    cr_expect(e.place() == here(line), "%s", e.place().c_str());

    e = thrown([&] { x.size(1); });
    line = __LINE__ - 1;
    cr_expect_eq(e.code(), ITO_ERR_RANGE);
    cr_expect(e.place() == here(line), "%s", e.place().c_str());

    e = thrown([] { ito::tensor::from<float>({1, 2}, ITO_SHAPE(3)); });
    line = __LINE__ - 1;
    cr_expect(e.sentence() == "tensor::from: 2 elements for a shape of 3");
    cr_expect(e.place() == here(line), "%s", e.place().c_str());

    cr_expect_eq(thrown([&] { x.item(); }).code(), ITO_ERR_SHAPE);
    cr_expect_eq(thrown([&] { x.backward(); }).code(), ITO_ERR_GRAD);
    cr_expect_eq(thrown([&] { ito::check(ito_backward(ito_sum(x))); }).code(), ITO_ERR_GRAD);
    cr_expect_eq(ito_error_code(), ITO_OK);
}

Test(hpp, what_is_empty_is_refused)
{
    cr_expect_eq(thrown([] { (void)(ito::tensor() + 1); }).code(), ITO_ERR_ARGUMENT);
    cr_expect_eq(thrown([] { ito::tensor().item(); }).code(), ITO_ERR_ARGUMENT);
    cr_expect_eq(thrown([] { ito::tensor().to_vector<float>(); }).code(), ITO_ERR_ARGUMENT);
    ito::error e = thrown([] { ito::tensor empty(nullptr); });
    cr_expect_eq(e.code(), ITO_ERR_ARGUMENT);
    cr_expect(e.sentence() == "a NULL, which no error explains");
}

Test(hpp, a_fraction_beside_integers_is_refused)
{
    ito::tensor i = ito::tensor::from<int32_t>({1, 2}, ITO_SHAPE(2));
    ito::error e = thrown([&] { (void)(i * 0.5); });
    cr_expect_eq(e.code(), ITO_ERR_DTYPE);
    cr_expect(e.sentence() == "operator: 0.5 beside a tensor of i32; ito_cast it first");
}

Test(hpp, an_exception_ends_its_scopes)
{
    ito::tensor x = numbers({1, 2, 3});
    int64_t blocks = ito_memory_blocks();
    cr_expect_eq(thrown([&] {
                     ito::scope scope;
                     ito::no_grad off;
                     ito::tensor y = x * 2;
                     ito::tensor z = ito_reshape(y, 7);
                 }).code(),
                 ITO_ERR_SHAPE);
    cr_expect_eq(ito_memory_blocks(), blocks);
    cr_expect(ito_grad_enabled());
}

Test(hpp, owners_free_what_they_own)
{
    int64_t blocks = ito_memory_blocks();
    {
        ito_generator g = ito_generator_make(1, 0);
        ito::module net(ito_sequential_create(nullptr, ""));
        ito_linear_options options{};
        options.generator = &g;
        ito_linear_create_with(net, "0", 2, 1, options);
        ito::optimizer adam(ito_adam_create(net));
        ito::tensor x = ito_randn(&g, ITO_SHAPE(16, 2), ITO_F32);
        ito::dataset data(ito_tensor_dataset_create(ITO_TENSORS(x)));
        ito::loader loader(ito_loader_create(data, 4, 1));
        double loss = 0;
        for (int step = 0; step < 200; step++) {
            ito::scope scope;
            ito_batch batch;
            ito::check(ito_loader_next(loader, &batch));
            ito::tensor l = ito_mean(ito_square(net(batch.x) - 1));
            ito_module_zero_grad(net);
            l.backward();
            ito::check(ito_optimizer_step(adam, 0.05));
            loss = l.item();
        }
        cr_expect_lt(loss, 0.01);
        cr_expect_eq(net->training, true);
        ito::module<> moved = std::move(net);
        cr_expect_eq(thrown([&] { moved(numbers({1})); }).code(), ITO_ERR_DTYPE);
        cr_expect_eq(thrown([] { ito::optimizer none(ito_adam_create(nullptr)); }).code(),
                     ITO_ERR_ARGUMENT);
        ito_scope_clear();
    }
    cr_expect_eq(ito_memory_blocks(), blocks);
}

Test(hpp, models_are_modules)
{
    ito::module net(ito_classifier_create(1, 10));
    ito::scope scope;
    ito::tensor f = ito_classifier_features(net.get(), ito_zeros(ITO_SHAPE(2, 1, 28, 28), ITO_F32));
    cr_expect_eq(ito_size(ito_classifier_logits(net.get(), f), 1), 10);
    cr_expect_gt(ito_module_parameter_count(net), 0);
}

Test(hpp, lambdas_are_functions)
{
    ito::tensor x = numbers({0.5, -1}).requires_grad(), y = numbers({2, 3}).requires_grad();
    auto f = ito::function(
        [](const std::vector<ito::tensor> &in) { return in[0] * in[0] * in[1] + in[1]; });
    ito::check(ito_gradcheck(f.call, &f, ITO_TENSORS(x, y)));
    auto wrong = ito::function([](const std::vector<ito::tensor> &in) {
        ito::tensor z = ito_reshape(in[0], 5);
        return z;
    });
    ito::error e = thrown([&] { ito::check(ito_gradcheck(wrong.call, &wrong, ITO_TENSORS(x))); });
    cr_expect(e.sentence() == "reshape: [2] of 2 elements does not become [5]");
    auto other = ito::function([](const std::vector<ito::tensor> &in) -> ito::tensor {
        throw std::runtime_error("no " + std::to_string(in.size()));
    });
    e = thrown([&] { ito::check(ito_gradcheck(other.call, &other, ITO_TENSORS(x))); });
    cr_expect(e.sentence() == "function: no 1");
}

Test(hpp, out_of_memory_is_an_exception_and_leaks_nothing)
{
    ito::tensor x = numbers({1, 2, 3});
    int64_t blocks = ito_memory_blocks(), failures = 0;
    for (;; failures++) {
        ito_memory_fail_nth(failures + 1);
        ito::error e = thrown([&] { x = (x * 2 + 1) - x; });
        ito_memory_fail_nth(0);
        cr_expect_eq(ito_memory_blocks(), blocks);
        if (e.code() == ITO_OK)
            break;
        cr_assert_eq(e.code(), ITO_ERR_MEMORY);
        cr_expect(values(x) == std::vector<double>({1, 2, 3}));
    }
    cr_expect_geq(failures, 5); /* two numbers and three results */
    cr_expect(values(x) == std::vector<double>({2, 3, 4}));
}
