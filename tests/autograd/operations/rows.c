/* The rows of the table as functions: the call, and the row that describes it. */
#include "ito.h"
#include "tests/autograd/operations/operation.h"

#define N(usual) operation_number(usual)
#define UNPACK(...) __VA_ARGS__
#define REFUSED(...)
#define OPERATION(op, v, inputs, expression, torch_expression, ...)                                \
    static ito_tensor *call_##op##_##v(ito_tensor *const *x, int64_t n, void *context)             \
    {                                                                                              \
        (void)x, (void)n, (void)context;                                                           \
        return expression;                                                                         \
    }                                                                                              \
    static operation row_##op##_##v(void)                                                          \
    {                                                                                              \
        return (operation){.family = FAMILY,                                                       \
                           .name = #op,                                                            \
                           .variant = #v,                                                          \
                           .call = #expression,                                                    \
                           .torch = torch_expression,                                              \
                           .f = call_##op##_##v,                                                   \
                           .input = {UNPACK inputs},                                               \
                           __VA_ARGS__};                                                           \
    }
#include "tests/autograd/operations/families.def"
#undef OPERATION

#define OPERATION(op, v, ...) row_##op##_##v,
operation (*const operation_rows[])(void) = {
#include "tests/autograd/operations/families.def"
};
const int64_t n_operation_rows = sizeof operation_rows / sizeof *operation_rows;
