/* Functions of elements. Runtimes have few operators for u8 and none of arithmetic for bool, so u8
 * is computed in i32 and rounded off by the cast back, and bool by logic. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/params.h"

#include <math.h>

static onnx_value like(onnx_graph *g, const op_call *c, double value)
{
    return onnx_number(g, value, c->dtype[0]);
}

/* ---- of one array ------------------------------------------------------------------------------
 */

onnx_value onnx_form_erfc(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Sub", (like(g, c, 1), onnx_op(g, "Erf", (in[0]))));
}

onnx_value onnx_form_exp2(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Pow", (like(g, c, 2), in[0]));
}

onnx_value onnx_form_expm1(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Sub", (onnx_op(g, "Exp", (in[0])), like(g, c, 1)));
}

onnx_value onnx_form_log1p(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Log", (onnx_op(g, "Add", (in[0], like(g, c, 1)))));
}

static onnx_value logarithm(onnx_graph *g, const op_call *c, onnx_value x, double base)
{
    return onnx_op(g, "Mul", (onnx_op(g, "Log", (x)), like(g, c, 1 / log(base))));
}

onnx_value onnx_form_log2(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    return logarithm(g, c, in[0], 2);
}

onnx_value onnx_form_log10(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    return logarithm(g, c, in[0], 10);
}

onnx_value onnx_form_pow_scalar(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Pow", (in[0], like(g, c, *(const double *)c->params)));
}

onnx_value onnx_form_rsqrt(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)c, (void)out;
    return onnx_op(g, "Reciprocal", (onnx_op(g, "Sqrt", (in[0]))));
}

static onnx_value scaled(onnx_graph *g, const op_call *c, onnx_value x, double by)
{
    return by == 1 ? x : onnx_op(g, "Mul", (x, like(g, c, by)));
}

onnx_value onnx_form_scale_shift(onnx_graph *g, const op_call *c, const onnx_value *in,
                                 const ito_tensor *out)
{
    (void)out;
    const two_numbers *n = c->params;
    onnx_value y = scaled(g, c, in[0], n->p);
    return n->q == 0 ? y : onnx_op(g, "Add", (y, like(g, c, n->q)));
}

/* Clip would take the bounds to be in order. */
onnx_value onnx_form_clamp(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    const two_numbers *n = c->params;
    onnx_value y = n->p == -HUGE_VAL ? in[0] : onnx_op(g, "Max", (in[0], like(g, c, n->p)));
    return n->q == HUGE_VAL ? y : onnx_op(g, "Min", (y, like(g, c, n->q)));
}

onnx_value onnx_form_sinc(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    if (*(const int *)c->params != 0)
        return onnx_refuse(g, "it is a derivative of sinc");
    onnx_value angle = scaled(g, c, in[0], M_PI);
    onnx_value ratio = onnx_op(g, "Div", (onnx_op(g, "Sin", (angle)), angle));
    onnx_value zero = onnx_op(g, "Equal", (in[0], like(g, c, 0)));
    return onnx_op(g, "Where", (zero, like(g, c, 1), ratio));
}

onnx_value onnx_form_softplus(onnx_graph *g, const op_call *c, const onnx_value *in,
                              const ito_tensor *out)
{
    (void)out;
    const ito_softplus_options *o = c->params;
    onnx_value x = scaled(g, c, in[0], o->beta);
    onnx_value y = scaled(g, c, onnx_op(g, "Softplus", (x)), 1 / o->beta);
    if (o->threshold == HUGE_VAL)
        return y;
    onnx_value above = onnx_op(g, "Greater", (x, like(g, c, o->threshold)));
    return onnx_op(g, "Where", (above, in[0], y));
}

onnx_value onnx_form_square(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)c, (void)out;
    return onnx_op(g, "Mul", (in[0], in[0]));
}

onnx_value onnx_form_trunc(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)c, (void)out;
    onnx_value size = onnx_op(g, "Floor", (onnx_op(g, "Abs", (in[0]))));
    return onnx_op(g, "Mul", (onnx_op(g, "Sign", (in[0])), size));
}

onnx_value onnx_form_leaky_relu(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "LeakyRelu", (in[0]), ONNX_F("alpha", *(const double *)c->params));
}

onnx_value onnx_form_dropout(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    (void)out;
    if (((const dropout_params *)c->params)->p == 0)
        return in[0];
    return onnx_refuse(g, "it draws random numbers; in evaluation mode there is none (see "
                          "ito_module_train)");
}

/* ---- of two arrays -----------------------------------------------------------------------------
 */

static onnx_value arithmetic(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const char *type, const char *logic)
{
    if (c->dtype[0] == ITO_BOOL)
        return logic == NULL ? onnx_refuse(g, "it is of bool") : onnx_op(g, logic, (in[0], in[1]));
    if (c->dtype[0] != ITO_U8)
        return onnx_op(g, type, (in[0], in[1]));
    onnx_value a = onnx_cast(g, in[0], ITO_I32), b = onnx_cast(g, in[1], ITO_I32);
    return onnx_cast(g, onnx_op(g, type, (a, b)), ITO_U8);
}

#define ARITHMETIC(op, type, logic)                                                                \
    onnx_value onnx_form_##op(onnx_graph *g, const op_call *c, const onnx_value *in,               \
                              const ito_tensor *out)                                               \
    {                                                                                              \
        (void)out;                                                                                 \
        return arithmetic(g, c, in, type, logic);                                                  \
    }
ARITHMETIC(add, "Add", "Or")
ARITHMETIC(mul, "Mul", "And")
ARITHMETIC(maximum, "Max", "Or")
ARITHMETIC(minimum, "Min", "And")
ARITHMETIC(sub, "Sub", NULL)

onnx_value onnx_form_neg(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    if (c->dtype[0] != ITO_U8)
        return onnx_op(g, "Neg", (in[0]));
    onnx_value x = onnx_cast(g, in[0], ITO_I32);
    return onnx_cast(g, onnx_op(g, "Sub", (onnx_number(g, 0, ITO_I32), x)), ITO_U8);
}

onnx_value onnx_form_axpby(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    const axpby_params *p = c->params;
    onnx_value a = scaled(g, c, in[0], p->a);
    return p->b == -1 ? onnx_op(g, "Sub", (a, in[1]))
                      : onnx_op(g, "Add", (a, scaled(g, c, in[1], p->b)));
}

/* Runtimes choose between all but bool. */
onnx_value onnx_form_where(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    if (c->dtype[1] != ITO_BOOL)
        return onnx_op(g, "Where", (in[0], in[1], in[2]));
    onnx_value yes = onnx_op(g, "And", (in[0], in[1]));
    onnx_value no = onnx_op(g, "And", (onnx_op(g, "Not", (in[0])), in[2]));
    return onnx_op(g, "Or", (yes, no));
}

static bool is_float(const op_call *c)
{
    return ito_dtype_is_float(c->dtype[0]);
}

onnx_value onnx_form_fmod(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)c, (void)out;
    return onnx_op(g, "Mod", (in[0], in[1]), ONNX_I("fmod", 1));
}

/* The rest with the sign of b, as the operator has it for integers. */
static onnx_value rest(onnx_graph *g, const op_call *c, const onnx_value *in)
{
    if (!is_float(c))
        return onnx_op(g, "Mod", (in[0], in[1]));
    onnx_value zero = like(g, c, 0), r = onnx_op(g, "Mod", (in[0], in[1]), ONNX_I("fmod", 1));
    onnx_value some = onnx_op(g, "Not", (onnx_op(g, "Equal", (r, zero))));
    onnx_value apart =
        onnx_op(g, "Xor", (onnx_op(g, "Less", (r, zero)), onnx_op(g, "Less", (in[1], zero))));
    return onnx_op(g, "Where",
                   (onnx_op(g, "And", (some, apart)), onnx_op(g, "Add", (r, in[1])), r));
}

onnx_value onnx_form_remainder(onnx_graph *g, const op_call *c, const onnx_value *in,
                               const ito_tensor *out)
{
    (void)out;
    return rest(g, c, in);
}

onnx_value onnx_form_floor_divide(onnx_graph *g, const op_call *c, const onnx_value *in,
                                  const ito_tensor *out)
{
    (void)out;
    onnx_value whole = onnx_op(g, "Sub", (in[0], rest(g, c, in)));
    onnx_value y = onnx_op(g, "Div", (whole, in[1]));
    if (!is_float(c))
        return y;
    onnx_value by_zero = onnx_op(g, "Equal", (in[1], like(g, c, 0)));
    return onnx_op(g, "Where",
                   (by_zero, onnx_op(g, "Div", (in[0], in[1])), onnx_op(g, "Round", (y))));
}

/* ---- logic -------------------------------------------------------------------------------------
 */

#define BITWISE(op, logic)                                                                         \
    onnx_value onnx_form_##op(onnx_graph *g, const op_call *c, const onnx_value *in,               \
                              const ito_tensor *out)                                               \
    {                                                                                              \
        (void)out;                                                                                 \
        if (c->dtype[0] != ITO_BOOL)                                                               \
            return onnx_refuse(g, "ONNX has it for integers from opset 18 on");                    \
        return onnx_op(g, logic, (in[0], in[1]));                                                  \
    }
BITWISE(bitwise_and, "And")
BITWISE(bitwise_or, "Or")
BITWISE(bitwise_xor, "Xor")

static onnx_value compared(onnx_graph *g, const op_call *c, const onnx_value *in, const char *type,
                           bool equality)
{
    bool small = c->dtype[0] == ITO_U8 || (c->dtype[0] == ITO_BOOL && !equality);
    onnx_value a = small ? onnx_cast(g, in[0], ITO_I32) : in[0];
    onnx_value b = small ? onnx_cast(g, in[1], ITO_I32) : in[1];
    return onnx_op(g, type, (a, b));
}

#define COMPARISON(op, type)                                                                       \
    onnx_value onnx_form_##op(onnx_graph *g, const op_call *c, const onnx_value *in,               \
                              const ito_tensor *out)                                               \
    {                                                                                              \
        (void)out;                                                                                 \
        return compared(g, c, in, type, false);                                                    \
    }
COMPARISON(ge, "GreaterOrEqual")
COMPARISON(gt, "Greater")
COMPARISON(le, "LessOrEqual")
COMPARISON(lt, "Less")

onnx_value onnx_form_eq(onnx_graph *g, const op_call *c, const onnx_value *in,
                        const ito_tensor *out)
{
    (void)out;
    return compared(g, c, in, "Equal", true);
}

onnx_value onnx_form_ne(onnx_graph *g, const op_call *c, const onnx_value *in,
                        const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Not", (compared(g, c, in, "Equal", true)));
}
