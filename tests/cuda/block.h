/* What the shim's files share of a running block. */
#ifndef RD_TESTS_CUDA_BLOCK_H
#define RD_TESTS_CUDA_BLOCK_H

#include <cuda_runtime.h>

enum { RD_SHIM_THREADS = 1024 }; /* of a block, at most */

[[noreturn]] void rd_shim_die(const char *what);
unsigned rd_shim_thread(); /* the number in its block of the one that runs */

/* What each of the warp's 32 lanes, all of which call it, has given; until __syncwarp. */
const uint64_t *rd_shim_lanes(uint64_t mine);

/* The thread that runs is at its end: of what copies it began it has waited for all. */
void rd_shim_copies_end();

#endif
