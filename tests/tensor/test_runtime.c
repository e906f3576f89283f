/* Threads and instruction sets. */
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tiles.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

Test(runtime, threads_are_set_within_bounds)
{
    cr_assert_eq(ito_set_threads(3), ITO_OK);
    int three = ito_threads_limit() < 3 ? 1 : 3; /* built without OpenMP, or with it */
    cr_assert_eq(ito_threads(), three);
    const int bad[] = {0, -1, 10000};
    const char *const want[] = {"set_threads: 0 threads; there can be 1 to 1024",
                                "set_threads: -1 threads; there can be 1 to 1024",
                                "set_threads: 10000 threads; there can be 1 to 1024"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ito_set_threads(bad[i]), ITO_ERR_RANGE);
        cr_assert_str_eq(ito_error_message(), want[i]);
        ito_error_clear();
    }
    cr_assert_eq(ito_threads(), three);
}

Test(runtime, a_build_without_openmp_has_one_thread)
{
#if defined(_OPENMP)
    cr_assert_eq(ito_threads_limit(), 1024);
#else
    cr_assert_eq(ito_threads_limit(), 1);
#endif
}

Test(runtime, little_work_stays_on_one_thread)
{
    ito_set_threads(4);
    cr_assert_eq(threads_for(10), 1);
    cr_assert_eq(threads_for(1 << 24), ito_threads_limit() < 4 ? 1 : 4);
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
#if defined(__x86_64__)
    cr_assert_str_eq(
        ito_error_message(),
        "ITO_ISA: \"mmx\" is none of base, avx2, avx512, avx512bf16, amx, amx-emulated");
#elif defined(__aarch64__)
    cr_assert_str_eq(ito_error_message(),
                     "ITO_ISA: \"mmx\" is none of base, neon, neonbf16, amx-emulated");
#endif
}

Test(runtime, the_report_names_every_instruction_set)
{
    setenv("ITO_ISA", "mmx", 1);
    cr_assert_eq(ito_isa_check(), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(isa_name(0), "base");
    for (int i = 0; isa_name(i) != NULL; i++)
        cr_assert_not_null(strstr(ito_error_message(), isa_name(i)), "%s", isa_name(i));
}

Test(runtime, a_lacking_instruction_set_is_reported)
{
#if defined(__aarch64__)
#define LACKING "neonbf16"
#else
#define LACKING "avx512bf16"
#endif
    setenv("ITO_ISA", LACKING, 1);
    if (ito_isa_check() == ITO_OK) {
        cr_assert_str_eq(ito_isa(), LACKING);
    } else {
        char want[160];
        snprintf(want, sizeof want,
                 "ITO_ISA: this processor lacks " LACKING "; the best it has is %s", ito_isa());
        cr_assert_str_eq(ito_error_message(), want);
        cr_assert_str_neq(ito_isa(), LACKING);
    }
}

/* A sandbox in which arch_prctl fails; false where there are none. */
static bool forbid_tiles(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_arch_prctl
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Test(runtime, where_tiles_are_forbidden_the_next_set_is_used_without_a_word)
{
    if (!forbid_tiles())
        cr_skip("no sandboxes here");
    unsetenv("ITO_ISA");
    cr_assert_eq(ito_isa_check(), ITO_OK);
    cr_assert_str_neq(ito_isa(), "amx");
    cr_assert_null(tiles_in_use());
}

#if defined(__x86_64__)
Test(runtime, tiles_that_are_forbidden_are_reported_to_who_asks_for_them)
{
    if (!forbid_tiles())
        cr_skip("no sandboxes here");
    setenv("ITO_ISA", "amx", 1);
    cr_assert_eq(ito_isa_check(), ITO_ERR_ARGUMENT);
    char want[160];
    snprintf(want, sizeof want,
             "ITO_ISA: this processor lacks amx, or the system forbids it; the best it has is %s",
             ito_isa());
    cr_assert_str_eq(ito_error_message(), want);
    cr_assert_str_neq(ito_isa(), "amx");
}
#endif

Test(runtime, emulated_tiles_are_there_on_every_machine)
{
    setenv("ITO_ISA", "amx-emulated", 1);
    cr_assert_eq(ito_isa_check(), ITO_OK);
    cr_assert_str_eq(ito_isa(), "amx-emulated");
    cr_assert_eq(tiles_in_use(), &tile_kernels_emulated);
}

/* 1 x 1 by 1 x 1, in bf16. */
static void *multiply_in_a_thread(void *go)
{
    uint16_t one = 0x3f80;
    float product = 0.0f;
    gemm_problem p = {.a_dtype = ITO_BF16,
                      .b_dtype = ITO_BF16,
                      .m = 1,
                      .n = 1,
                      .k = 1,
                      .a = &one,
                      .a_row = 1,
                      .a_col = 1,
                      .b = &one,
                      .b_row = 1,
                      .b_col = 1,
                      .c = &product,
                      .c_row = 1};
    if (go != NULL)
        pthread_barrier_wait(go);
    return gemm(&p) == ITO_OK && product == 1.0f ? "one" : NULL;
}

/* The permission for tiles is asked for once; it has to hold for threads on both sides of it. */
Test(runtime, threads_made_before_and_after_the_first_product_use_the_same_set)
{
    pthread_barrier_t go;
    pthread_t before, after;
    void *results[3];
    pthread_barrier_init(&go, NULL, 2);
    pthread_create(&before, NULL, multiply_in_a_thread, &go);
    results[0] = multiply_in_a_thread(NULL);
    pthread_barrier_wait(&go);
    pthread_join(before, &results[1]);
    pthread_create(&after, NULL, multiply_in_a_thread, NULL);
    pthread_join(after, &results[2]);
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(results[i], "thread %d", i);
}
