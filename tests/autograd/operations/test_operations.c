/* Three tests for each row of the table of operations, and one for each refusal. */
#include "ito.h"
#include "tests/autograd/operations/operation.h"

#include <criterion/criterion.h>
#include <string.h>

static operation row(const char *name, const char *variant)
{
    for (int64_t i = 0; i < n_operation_rows; i++) {
        operation o = operation_rows[i]();
        if (strcmp(o.name, name) == 0 && strcmp(o.variant, variant) == 0)
            return o;
    }
    cr_assert_fail("no row %s %s", name, variant);
    return (operation){0};
}

#define REFUSED(...)
#define OPERATION(op, v, ...)                                                                      \
    Test(operation, op##_##v)                                                                      \
    {                                                                                              \
        operation_check(row(#op, #v));                                                             \
    }                                                                                              \
    Test(operation_torch, op##_##v)                                                                \
    {                                                                                              \
        operation_check_torch(row(#op, #v));                                                       \
    }                                                                                              \
    Test(operation_fuzz, op##_##v)                                                                 \
    {                                                                                              \
        operation_fuzz(row(#op, #v));                                                              \
    }
#include "tests/autograd/operations/families.def"
#undef OPERATION
#undef REFUSED

#define OPERATION(...)
#define UNPACK(...) __VA_ARGS__
#define REFUSED(op, v, inputs, expression, code, sentence)                                         \
    static ito_tensor *refused_##op##_##v(ito_tensor *const *x, int64_t n, void *context)          \
    {                                                                                              \
        (void)x, (void)n, (void)context;                                                           \
        return expression;                                                                         \
    }                                                                                              \
    Test(operation_refused, op##_##v)                                                              \
    {                                                                                              \
        const operation_input input[OP_CHECK_INPUTS] = {UNPACK inputs};                            \
        operation_refused(refused_##op##_##v, input, code, sentence);                              \
    }
#include "tests/autograd/operations/families.def"
