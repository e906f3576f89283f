/* The instruction sets that differ in their kernels, of every architecture: isa_use() refuses those
 * of another one. */
#ifndef TESTS_ISAS_H
#define TESTS_ISAS_H

static const char *const isas[] = {"base", "avx2", "avx512", "avx512bf16", "neon", "neonbf16"};
enum { ISAS = sizeof isas / sizeof *isas };

#endif
