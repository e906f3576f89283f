/* One test per row of the table of operations: a row without a case_<name> does not link. */
#include <criterion/criterion.h>

#define ROW(name)                                                                                  \
    void case_##name(void);                                                                        \
    Test(op, name)                                                                                 \
    {                                                                                              \
        case_##name();                                                                             \
    }
#define OP_PRIMITIVE(name, ...) ROW(name)
#define OP_FUSED(name, ...) ROW(name)
#define OP_DISCRETE(name, ...) ROW(name)
#include "autograd/ops.def"
