/* The generator: Philox4x32-10 and Box-Muller, keyed by (seed, stream, sample index); the same bits on every CPU,
 * compiler and device. A sample's numbers do not depend on batch, shard, thread or restart.
 *
 *   key     = (seed low, seed high)
 *   counter = (block, stream, index low, index high)
 *
 * A block gives four 32-bit words w0..w3, used in this order. Normals: words (w0,w1) and (w2,w3) each give the pair
 * r cos, r sin with r = sqrt(-2 ln u). u = (2 (w >> 9) + 1) 2^-24: 23 bits, half-way offset, never 0 or 1; |z| < 5.78.
 * The angle is a quadrant (w1's top 2 bits) and a signed 24-bit fraction of it, in [-1/2, 1/2). All steps are
 * integer or correctly rounded f32 + - * fma sqrt; normal.h has them. */
#ifndef RD_KERNELS_RNG_H
#define RD_KERNELS_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Independent streams of one seed. */
enum rd_rng_stream {
	RD_RNG_NOISE = 0,   /* a sample's initial noise */
	RD_RNG_LABEL = 1,   /* its class, when drawn */
	RD_RNG_DATA = 2,    /* synthetic densities */
	RD_RNG_TIME = 3,    /* training times */
	RD_RNG_SHUFFLE = 4, /* the order of an epoch */
	RD_RNG_DROP = 5,    /* label dropout */
	RD_RNG_INIT = 6,    /* weights of a new network; index = number of the parameter */
	RD_RNG_COUPLE = 7,  /* noise drawn in training by an independent coupling */
	RD_RNG_METRIC = 8,  /* projections and bootstrap */
	RD_RNG_DROPOUT = 9, /* masks of dropout layers; index = image drawn << 16 | layer */
	RD_RNG_AUGMENT = 10, /* how an image is moved in training; index = image drawn */
	RD_RNG_PROBE = 11   /* directions in which a Jacobian is probed; index = image << 16 | probe */
};

/* The raw block function: ctr[4], key[2] -> out[4]. Random123's known answers test it. */
void rd_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/* n words / n standard normals of one sample, from its beginning. */
void rd_rng_words(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t *out, size_t n);
void rd_rng_normal(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t n);

/* count samples index .. index+count-1 of n normals each, out[count][n], over the threads. */
void rd_rng_normal_batch(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t count, size_t n);

/* A uniform double in (0, 1) with 53 bits, from the first two words of (seed, stream, index). */
double rd_rng_uniform(uint64_t seed, enum rd_rng_stream stream, uint64_t index);

/* A uniform integer in [0, k), k > 0, unbiased, from the words of (seed, stream, index). */
uint32_t rd_rng_below(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t k);

/* order[0..n-1] becomes a permutation of 0..n-1 that is a function of (seed, stream, index). n < 2^32. */
void rd_rng_permutation(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t *order, size_t n);

/* Instruction sets compiled in: name of number i ("base", "avx2", "avx512"), NULL past the last; and the choice of
 * one (-1: the best there is, the default). False where this CPU lacks it. For tests and benchmarks. */
const char *rd_rng_isa_name(int i);
int rd_rng_isa_select(int i);

#endif
