/* What kernels/rng.c asks of kernels/cpu/normal.c, which is compiled once per instruction set. */
#ifndef RD_KERNELS_CPU_NORMAL_H
#define RD_KERNELS_CPU_NORMAL_H

#include <stddef.h>
#include <stdint.h>

struct rd_normal_key {
	uint64_t seed;
	uint32_t stream;
};

/* out[count][n], n > 0: the first n normals of samples index .. index+count-1, on the calling thread. */
typedef void rd_normal_rows_fn(const struct rd_normal_key *k, uint64_t index, float *out, size_t count, size_t n);

#endif
