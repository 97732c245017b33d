/* The CPU backend: one table of functions per instruction set, the best of them chosen at run time. */
#ifndef RD_KERNELS_CPU_CPU_H
#define RD_KERNELS_CPU_CPU_H

#include "kernels/kernels.h"

/* Instruction sets compiled in, from 0, the baseline: name of number i ("base", "avx2", "avx512"), NULL past the
 * last. The table of one, NULL where this CPU lacks it. Products take the best; the others are for tests and
 * benchmarks. */
const char *rd_cpu_isa_name(int i);
const struct rd_backend *rd_cpu_backend(int i);
int rd_cpu_isa_best(void);

#endif
