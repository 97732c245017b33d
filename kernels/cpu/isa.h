/* The files of kernels/cpu are compiled once for each instruction set, with -DRD_ISA=base|avx2|avx512: every
 * symbol that leaves a file carries the set's name. */
#ifndef RD_KERNELS_CPU_ISA_H
#define RD_KERNELS_CPU_ISA_H

#include "kernels/kernels.h"

#ifndef RD_ISA
#define RD_ISA base
#endif

#define RD_JOIN_(a, b, c) a##b##_##c
#define RD_JOIN(a, b, c) RD_JOIN_(a, b, c)
#define RD_SYM(name) RD_JOIN(rd_cpu_, name, RD_ISA)

/* A function of the table, declared with the type that the table gives it. */
#define RD_OP(name) __typeof__(*((struct rd_backend *)0)->name) RD_SYM(name)

#define RD_INLINE static inline __attribute__((always_inline))

/* The iterations of the next loop are independent of one another. */
#define RD_SIMD _Pragma("omp simd")

#endif
