/* RD_CLONES before a function: compiled for wider vector registers as well, the loader takes what the processor has. With sums in a
 * fixed order and no contraction into fused operations (as the Makefile asks) all of them give the same bits. Nothing where the
 * compiler or the C library cannot do that. */
#ifndef RD_BASE_CLONES_H
#define RD_BASE_CLONES_H

#include <limits.h> /* __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define RD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RD_CLONES
#endif

#endif
