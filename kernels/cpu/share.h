/* Work is divided among threads beforehand and by number alone, so that the same thread count gives the same bits. */
#ifndef RD_KERNELS_CPU_SHARE_H
#define RD_KERNELS_CPU_SHARE_H

#include <omp.h>
#include <stdint.h>

/* Elements below which a parallel region costs more than it saves. */
#define RD_PARALLEL_MIN 8192

struct rd_range {
	int64_t lo, hi;
};

/* This thread's part of 0..n-1 in whole units (the last may be short). */
static inline struct rd_range rd_share(int64_t n, int64_t unit)
{
	int64_t parts = omp_get_num_threads(), i = omp_get_thread_num();
	int64_t units = (n + unit - 1) / unit;
	struct rd_range r = { units * i / parts * unit, units * (i + 1) / parts * unit };

	if (r.lo > n)
		r.lo = n;
	if (r.hi > n)
		r.hi = n;
	return r;
}

#endif
