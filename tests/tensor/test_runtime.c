/* Threads and instruction sets. */
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(runtime, threads_are_set_within_bounds)
{
    cr_assert_eq(ito_set_threads(3), ITO_OK);
    cr_assert_eq(ito_threads(), 3);
    const int bad[] = {0, -1, 10000};
    const char *const want[] = {"set_threads: 0 threads; there can be 1 to 1024",
                                "set_threads: -1 threads; there can be 1 to 1024",
                                "set_threads: 10000 threads; there can be 1 to 1024"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ito_set_threads(bad[i]), ITO_ERR_RANGE);
        cr_assert_str_eq(ito_error_message(), want[i]);
        ito_error_clear();
    }
    cr_assert_eq(ito_threads(), 3);
}

Test(runtime, little_work_stays_on_one_thread)
{
    ito_set_threads(4);
    cr_assert_eq(threads_for(10), 1);
    cr_assert_eq(threads_for(1 << 24), 4);
}

Test(runtime, the_instruction_set_can_be_lowered)
{
    setenv("ITO_ISA", "base", 1);
    cr_assert_str_eq(ito_isa(), "base");
    cr_assert_eq(ito_isa_check(), ITO_OK);
    cr_assert_str_eq(kernels(ITO_F32)->isa, "base");
    cr_assert_str_eq(kernels(ITO_F64)->isa, "base");
}

Test(runtime, an_unknown_instruction_set_is_reported)
{
    setenv("ITO_ISA", "mmx", 1);
    cr_assert_eq(ito_isa_check(), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(),
                     "ITO_ISA: \"mmx\" is none of base, avx2, avx512, avx512bf16");
}

Test(runtime, a_lacking_instruction_set_is_reported)
{
    setenv("ITO_ISA", "avx512bf16", 1);
    if (ito_isa_check() == ITO_OK) {
        cr_assert_str_eq(ito_isa(), "avx512bf16");
    } else {
        cr_assert_eq(strncmp(ito_error_message(),
                             "ITO_ISA: this processor lacks avx512bf16; the best it has is ", 60),
                     0);
        cr_assert_str_neq(ito_isa(), "avx512bf16");
    }
}
