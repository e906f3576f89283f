/* The rate of AMX's tiles on bf16: how fast the processor multiplies what lies in its tile
 * registers, and what it loads from the second-level cache on the way. */
#ifndef ITO_BENCH_AMX_H
#define ITO_BENCH_AMX_H

#include <stdbool.h>

/* Asks the kernel for the tiles' state, for the whole process: false where the processor, the
 * kernel or the compiler that built this has none. */
bool bench_amx_permitted(void);
/* GFLOP/s of `threads` threads, the best of several tries; loads: two tiles of each operand are
 * loaded for four products. Once it is permitted. */
double bench_amx_peak(int threads, bool loads);

#endif
