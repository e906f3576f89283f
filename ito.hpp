/* Ito for C++17 and later: handles that let go by themselves, operators, exceptions. Header only.
 *
 *     #include <ito/ito.hpp>
 *     ito::tensor x(ito_randn(&g, ITO_SHAPE(64, 2), ITO_F32));
 *     ito::tensor y = ito_softmax(2 * x + 1, -1);      // any function of the library takes handles
 *
 * There is no second set of functions. An ito::tensor becomes an ito_tensor * where one is wanted,
 * and what a function returns becomes an ito::tensor, which throws an ito::error if it is NULL;
 * ito::check does so for a status. Options by name, ito_conv2d(x, w, b, .stride = 2), need C++20.
 *
 * A handle is one reference: copying it shares the tensor. What the library's functions return
 * belongs to the current scope as well, as in C, so a loop has an `ito::scope step;` in its body.
 * Operators leave nothing in the scope. C++17 is enough for all of this, and most projects have it.
 */
#ifndef ITO_HPP
#define ITO_HPP

#include "ito.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ito
{

/* ---- errors ------------------------------------------------------------------------------------
 */

/** The first error that a call recorded. what() is "operation: what is wrong (file:line)". */
class error : public std::runtime_error
{
  public:
    error(ito_status code, const std::string &sentence, const std::string &place)
        : std::runtime_error(place.empty() ? sentence : sentence + " (" + place + ")"), code_(code),
          sentence_(sentence), place_(place)
    {
    }
    /** Its kind. */
    ito_status code() const noexcept
    {
        return code_;
    }
    /** "operation: what is wrong, with the numbers". */
    const std::string &sentence() const noexcept
    {
        return sentence_;
    }
    /** "file:line" of the call, or "" if it is not known. */
    const std::string &place() const noexcept
    {
        return place_;
    }

  private:
    ito_status code_;
    std::string sentence_, place_;
};

/** Throw the error that is recorded in this thread, and forget it there. */
[[noreturn]] inline void throw_error()
{
    ito_status code = ito_error_code();
    std::string sentence = ito_error_message(), place = ito_error();
    ito_error_clear();
    if (code == ITO_OK)
        throw error(ITO_ERR_ARGUMENT, "a NULL, which no error explains", "");
    /* the whole is "sentence (place)", or the sentence alone */
    if (place.size() > sentence.size() + 3)
        place = place.substr(sentence.size() + 2, place.size() - sentence.size() - 3);
    else
        place.clear();
    throw error(code, sentence, place);
}

/** Throw unless a status is ITO_OK: ito::check(ito_backward(loss)). */
inline void check(ito_status status)
{
    if (status != ITO_OK)
        throw_error();
}

/** Throw if p is NULL. Returns p. */
template <class T> T *check(T *p)
{
    if (p == nullptr)
        throw_error();
    return p;
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

/** A scope, from here to the end of the block. */
class scope
{
  public:
    scope()
    {
        ito_scope_begin();
    }
    ~scope()
    {
        ito_scope_end();
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
};

/** No history is recorded from here to the end of the block. */
class no_grad
{
  public:
    no_grad()
    {
        ito_no_grad_begin();
    }
    ~no_grad()
    {
        ito_no_grad_end();
    }
    no_grad(const no_grad &) = delete;
    no_grad &operator=(const no_grad &) = delete;
};

/** History is recorded from here to the end of the block, even inside a no_grad. */
class enable_grad
{
  public:
    enable_grad() : saved_(ito_enable_grad_begin())
    {
    }
    ~enable_grad()
    {
        ito_enable_grad_end(saved_);
    }
    enable_grad(const enable_grad &) = delete;
    enable_grad &operator=(const enable_grad &) = delete;

  private:
    int saved_;
};

/** Operations compute in a lesser float type from here to the end of the block: ito_autocast_begin.
 */
class autocast
{
  public:
    explicit autocast(ito_dtype dtype) : before_(ito_autocast_begin(dtype))
    {
    }
    ~autocast()
    {
        ito_autocast_end(before_);
    }
    autocast(const autocast &) = delete;
    autocast &operator=(const autocast &) = delete;

  private:
    ito_dtype before_;
};

/* ---- tensors -----------------------------------------------------------------------------------
 */

/** The element type of a C++ type: ito::dtype_of<float>() is ITO_F32. */
template <class T> constexpr ito_dtype dtype_of()
{
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> ||
                      std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t> ||
                      std::is_same_v<T, uint8_t>,
                  "elements are float, double, int32_t, int64_t or uint8_t");
    return std::is_same_v<T, float>     ? ITO_F32
           : std::is_same_v<T, double>  ? ITO_F64
           : std::is_same_v<T, int32_t> ? ITO_I32
           : std::is_same_v<T, int64_t> ? ITO_I64
                                        : ITO_U8;
}

/** A reference to a tensor. Empty if made by default or moved from. */
class tensor
{
    /* Templates, since for an operator such as x + 1 a plain conversion to a pointer would make
     * the built-in + of pointers a candidate. */
    template <class T>
    using if_tensor = std::enable_if_t<std::is_same_v<std::remove_const_t<T>, ito_tensor>>;

  public:
    tensor() noexcept = default;
    /** Takes a reference to t; throws if it is NULL. */
    tensor(ito_tensor *t) : t_(ito_retain(ito::check(t)))
    {
    }
    tensor(const tensor &other) noexcept : t_(ito_retain(other.t_))
    {
    }
    tensor(tensor &&other) noexcept : t_(std::exchange(other.t_, nullptr))
    {
    }
    tensor &operator=(tensor other) noexcept
    {
        std::swap(t_, other.t_);
        return *this;
    }
    ~tensor()
    {
        ito_release(t_);
    }

    /** For functions of the library: the tensor, lent; NULL if empty. */
    template <class T, class = if_tensor<T>> operator T *() const &noexcept
    {
        return t_;
    }
    /** The same of a temporary, whose reference goes to the current scope. */
    template <class T, class = if_tensor<T>> operator T *() &&
    {
        return ito_adopt(std::exchange(t_, nullptr));
    }
    /** The tensor, lent; NULL if empty. */
    ito_tensor *get() const noexcept
    {
        return t_;
    }
    /** Whether there is one. A tensor is no condition: say ito_item, or defined. */
    bool defined() const noexcept
    {
        return t_ != nullptr;
    }
    explicit operator bool() const = delete;

    /** Copies n = ito_shape_numel(shape) elements; throws if there are not as many. */
    template <class T>
    static tensor from(const std::vector<T> &elements, ito_shape shape,
                       const char *file = __builtin_FILE(), int line = __builtin_LINE())
    {
        ito_at(file, line);
        if (ito_shape_numel(shape) != (int64_t)elements.size()) {
            ito_error_set(ITO_ERR_SHAPE, "tensor::from: %zu elements for a shape of %lld",
                          elements.size(), (long long)ito_shape_numel(shape));
            throw_error();
        }
        scope inner;
        return tensor((ito_from_data)(elements.data(), shape, ito::dtype_of<T>()));
    }
    /** The elements, row-major and converted to T. */
    template <class T>
    std::vector<T> to_vector(const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        ito_at(file, line);
        std::vector<T> elements((size_t)(t_ == nullptr ? 0 : ito_numel(t_)));
        ito::check((ito_to_data)(t_, elements.data(), ito::dtype_of<T>()));
        return elements;
    }
    /** The value of a tensor of one element. */
    double item(const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        ito_at(file, line);
        double value = (ito_item)(t_);
        if (t_ == nullptr || ito_numel(t_) != 1)
            throw_error();
        return value;
    }

    ito_dtype dtype() const
    {
        return ito_dtype_of(t_);
    }
    int dim() const
    {
        return ito_ndim(t_);
    }
    int64_t numel() const
    {
        return ito_numel(t_);
    }
    /** Of an axis, which counts from the end if negative. */
    int64_t size(int axis, const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        ito_at(file, line);
        int64_t n = (ito_size)(t_, axis);
        if (n < 0)
            throw_error();
        return n;
    }
    std::vector<int64_t> shape() const
    {
        ito_shape s = ito_shape_of(t_);
        return std::vector<int64_t>(s.dim, s.dim + s.ndim);
    }

    /** Make a leaf of it, whose gradient is wanted, or no longer. Returns it. */
    tensor &requires_grad(bool wanted = true, const char *file = __builtin_FILE(),
                          int line = __builtin_LINE())
    {
        ito_at(file, line);
        ito::check((ito_requires_grad)(t_, wanted));
        return *this;
    }
    /** Add to the gradients of all leaves that it depends on. One number. */
    void backward(const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        ito_at(file, line);
        ito::check(ito_backward_with(t_, ito_backward_options{}));
    }
    /** The gradient that has come by this leaf; empty if none has. */
    tensor grad() const
    {
        ito_tensor *g = ito_grad_of(t_);
        return g == nullptr ? tensor() : tensor(g);
    }

  private:
    ito_tensor *t_ = nullptr;
};

/** A tensor's text, as NumPy prints one. */
inline std::ostream &operator<<(std::ostream &out, const tensor &t)
{
    struct freed {
        void operator()(char *text) const noexcept
        {
            std::free(text);
        }
    };
    return out << std::unique_ptr<char, freed>(check(ito_to_string(t))).get();
}

/* ---- operators ---------------------------------------------------------------------------------
 */

/** One side of an operator: a tensor or a number, and where it stands. Made by the operators. */
class operand
{
  public:
    operand(const tensor &t, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : t_(t.get()), file_(file), line_(line)
    {
    }
    operand(ito_tensor *t, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : t_(t), file_(file), line_(line)
    {
    }
    template <class N, class = std::enable_if_t<std::is_arithmetic_v<N>>>
    operand(N number, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : number_((double)number), is_number_(true), file_(file), line_(line)
    {
    }

    /** f(a, b), with a number as a tensor of the other side's dtype. Broadcasts. */
    template <class F> static tensor apply(const operand &a, const operand &b, F f)
    {
        scope inner;
        a.at();
        ito_tensor *left = a.beside(b), *right = b.beside(a);
        return tensor(f(left, right));
    }

  private:
    void at() const
    {
        if (file_ != nullptr)
            ito_at(file_, line_);
    }
    /* PyTorch makes a float of an integer tensor beside 0.5; here dtypes never change unasked. */
    ito_tensor *beside(const operand &other) const
    {
        if (!is_number_ || other.t_ == nullptr)
            return t_;
        ito_dtype dtype = ito_dtype_of(other.t_);
        if (!ito_dtype_is_float(dtype) && number_ != std::floor(number_)) {
            ito_error_set(ITO_ERR_DTYPE, "operator: %g beside a tensor of %s; ito_cast it first",
                          number_, ito_dtype_name(dtype));
            return nullptr;
        }
        return (ito_scalar)(number_, dtype);
    }

    ito_tensor *t_ = nullptr;
    double number_ = 0;
    bool is_number_ = false;
    const char *file_;
    int line_;
};

template <class T> using if_pointee = std::enable_if_t<std::is_same_v<T, ito_tensor>>;

/* Beside a plain pointer the built-in comparison of pointers would be the better match, but for the
 * second and third of these. The call that made the pointer has noted the place. */
#define ITO_OPERATOR_(symbol, function)                                                            \
    inline tensor operator symbol(const operand &a, const operand &b)                              \
    {                                                                                              \
        return operand::apply(a, b, function);                                                     \
    }                                                                                              \
    template <class T, class = if_pointee<T>> tensor operator symbol(const tensor &a, T *b)        \
    {                                                                                              \
        return operand::apply({a, nullptr}, {b, nullptr}, function);                               \
    }                                                                                              \
    template <class T, class = if_pointee<T>> tensor operator symbol(T *a, const tensor &b)        \
    {                                                                                              \
        return operand::apply({a, nullptr}, {b, nullptr}, function);                               \
    }
ITO_OPERATOR_(+, ito_add)
ITO_OPERATOR_(-, ito_sub)
ITO_OPERATOR_(*, ito_mul)
ITO_OPERATOR_(/, ito_div)
/* Comparisons give a tensor of bool, element by element. */
ITO_OPERATOR_(==, ito_eq)
ITO_OPERATOR_(!=, ito_ne)
ITO_OPERATOR_(<, ito_lt)
ITO_OPERATOR_(<=, ito_le)
ITO_OPERATOR_(>, ito_gt)
ITO_OPERATOR_(>=, ito_ge)
#undef ITO_OPERATOR_

inline tensor operator-(const operand &a)
{
    return operand::apply(a, a, [](ito_tensor *x, ito_tensor *) { return (ito_neg)(x); });
}
inline tensor operator+(const tensor &a)
{
    return a;
}

/* x += y makes x another tensor: x + y. Other handles keep the old one, and its graph is whole. */
inline tensor &operator+=(tensor &a, const operand &b)
{
    return a = operand::apply(a, b, ito_add);
}
inline tensor &operator-=(tensor &a, const operand &b)
{
    return a = operand::apply(a, b, ito_sub);
}
inline tensor &operator*=(tensor &a, const operand &b)
{
    return a = operand::apply(a, b, ito_mul);
}
inline tensor &operator/=(tensor &a, const operand &b)
{
    return a = operand::apply(a, b, ito_div);
}

/* ---- what the library frees by a function of its own -------------------------------------------
 */

/** The sole owner of something of the library; moved, not copied. Throws if it is made of NULL. */
template <class T, void (*Free)(T *)> class owner
{
  public:
    owner() noexcept = default;
    explicit owner(T *p) : p_(ito::check(p))
    {
    }
    owner(owner &&other) noexcept : p_(std::exchange(other.p_, nullptr))
    {
    }
    owner &operator=(owner &&other) noexcept
    {
        std::swap(p_, other.p_);
        return *this;
    }
    ~owner()
    {
        Free(p_);
    }
    operator T *() const noexcept
    {
        return p_;
    }
    T *operator->() const noexcept
    {
        return p_;
    }
    T *get() const noexcept
    {
        return p_;
    }

  private:
    T *p_ = nullptr;
};

using optimizer = owner<ito_optimizer, ito_optimizer_free>;
using ema = owner<ito_ema, ito_ema_free>;
using dataset = owner<ito_dataset, ito_dataset_free>;
using loader = owner<ito_loader, ito_loader_free>;
using process = owner<ito_process, ito_process_free>;
using diffusion = owner<ito_diffusion, ito_diffusion_free>;

/** The owner of a root of a module tree: ito::module net(ito_sequential_create(nullptr, "")), or of
 * a model, whose struct begins with an ito_module: ito::module unet(ito_unet_create(&config, &g)).
 */
template <class T = ito_module> class module
{
  public:
    module() noexcept = default;
    explicit module(T *p) : p_(ito::check(p))
    {
    }
    module(module &&other) noexcept :p_(std::exchange(other.p_, nullptr))
    {
    }
    module &operator=(module &&other) noexcept
    {
        std::swap(p_, other.p_);
        return *this;
    }
    ~module()
    {
        ito_module_free(base());
    }
    operator ito_module *() const noexcept
    {
        return base();
    }
    T *operator->() const noexcept
    {
        return p_;
    }
    T *get() const noexcept
    {
        return p_;
    }
    /** ito_module_forward. */
    tensor operator()(const tensor &x, const char *file = __builtin_FILE(),
                      int line = __builtin_LINE()) const
    {
        scope inner;
        ito_at(file, line);
        return tensor((ito_module_forward)(base(), x.get()));
    }

  private:
    static_assert(std::is_standard_layout_v<T>, "a struct that begins with an ito_module");
    ito_module *base() const noexcept
    {
        return reinterpret_cast<ito_module *>(p_);
    }
    T *p_ = nullptr;
};

/* ---- functions ---------------------------------------------------------------------------------
 */

/**
 * A lambda for what takes an ito_function and its context: ito_gradcheck, ito_jvp, ito_recompute.
 *     auto f = ito::function([&](const std::vector<ito::tensor> &in) { return in[0] * in[1]; });
 *     ito::check(ito_gradcheck(f.call, &f, ITO_TENSORS(x, y)));
 * An ito::error thrown inside becomes the error of the call; another exception one without a place.
 */
template <class F> class function
{
  public:
    explicit function(F f) : f_(std::move(f))
    {
    }
    static ito_tensor *call(ito_tensor *const *inputs, int64_t n, void *context) noexcept
    {
        try {
            const F &f = static_cast<function *>(context)->f_;
            return tensor(f(std::vector<tensor>(inputs, inputs + n)));
        } catch (const error &e) {
            ito_error_set(e.code(), "%s", e.sentence().c_str());
        } catch (const std::exception &e) {
            ito_error_set(ITO_ERR_ARGUMENT, "function: %s", e.what());
        }
        return nullptr;
    }

  private:
    F f_;
};

} // namespace ito

#endif
