/* One test per row of ops.def: it has a case_<name>, or rows in the table of operations as users
 * call them. */
#include "tests/autograd/operations/operation.h"

#include <criterion/criterion.h>
#include <string.h>

static bool has_rows(const char *name)
{
    for (int64_t i = 0; i < n_operation_rows; i++)
        if (strcmp(operation_rows[i]().name, name) == 0)
            return true;
    return false;
}

#define ROW(name)                                                                                  \
    __attribute__((weak)) void case_##name(void);                                                  \
    Test(op, name)                                                                                 \
    {                                                                                              \
        if (case_##name != NULL)                                                                   \
            case_##name();                                                                         \
        else                                                                                       \
            cr_assert(has_rows(#name), "no test of " #name);                                       \
    }
#define OP_PRIMITIVE(name, ...) ROW(name)
#define OP_FUSED(name, ...) ROW(name)
#define OP_DISCRETE(name, ...) ROW(name)
#include "autograd/ops.def"
