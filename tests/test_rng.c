/* The generator: published vectors, the distribution, and the same bits however they are asked for. */
#include "kernels/rng.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/check.h"

/* XXH3 of the bytes of the first million normals: seed 0, samples 0..999 of 1000. */
#define GOLDEN 0x40a22f7f3f9f82b1ull

static void known_answers(void)
{
	/* Random123's kat_vectors for philox4x32-10: counter, key, result. */
	static const uint32_t kat[][10] = {
		{ 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
		{ ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
		{ 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
		  0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
	};

	for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
		uint32_t out[4];

		rd_philox4x32_10(kat[i], kat[i] + 4, out);
		CHECK(!memcmp(out, kat[i] + 6, sizeof out));
	}
}

/* The counter's layout, as rng.h gives it. */
static void layout(void)
{
	const uint64_t seed = 0x0123456789abcdef, index = 0xfedcba9876543210;
	const uint32_t key[2] = { 0x89abcdef, 0x01234567 };
	uint32_t w[11], want[4];

	rd_rng_words(seed, RD_RNG_COUPLE, index, w, 11);
	for (uint32_t b = 0; b < 3; b++) {
		const uint32_t ctr[4] = { b, RD_RNG_COUPLE, 0x76543210, 0xfedcba98 };

		rd_philox4x32_10(ctr, key, want);
		CHECK(!memcmp(w + 4 * b, want, b < 2 ? 16 : 12));
	}
}

/* Box-Muller of the same words in long double. */
static void accuracy(void)
{
	enum { N = 400000 };
	const long double quarter = acosl(0);
	static float z[N];
	static uint32_t w[N];
	double worst = 0;

	rd_rng_normal(7, RD_RNG_NOISE, 3, z, N);
	rd_rng_words(7, RD_RNG_NOISE, 3, w, N);
	for (int i = 0; i < N; i += 2) {
		long double r = sqrtl(-2 * logl((2 * (w[i] >> 9) + 1) * 0x1p-24L));
		long double turn = (w[i + 1] >> 30) + (long double)((int32_t)(w[i + 1] << 2) >> 8) * 0x1p-24L;

		worst = fmax(worst, fabs((double)(z[i] - r * cosl(turn * quarter))));
		worst = fmax(worst, fabs((double)(z[i + 1] - r * sinl(turn * quarter))));
	}
	printf("largest error against long double %.3g\n", worst);
	CHECK(worst > 1e-8 && worst < 5e-7);
}

/* Moments of n normals within 5 standard errors, and every one finite and below the cap. */
static void moments(void)
{
	enum { N = 1 << 20 };
	static float z[N];
	double m[5] = { 0 }, lag = 0, top = 0;

	rd_rng_normal_batch(1, RD_RNG_NOISE, 0, z, N / 64, 64);
	for (int i = 0; i < N; i++) {
		double v = z[i];

		for (int k = 1; k <= 4; k++)
			m[k] += pow(v, k) / N;
		lag += v * z[(i + 1) % N] / N;
		top = fmax(top, fabs(v));
	}
	CHECK_NEAR(m[1], 0, 5 / sqrt(N));
	CHECK_NEAR(m[2], 1, 5 * sqrt(2.0 / N));
	CHECK_NEAR(m[3], 0, 5 * sqrt(15.0 / N));
	CHECK_NEAR(m[4], 3, 5 * sqrt(96.0 / N));
	CHECK_NEAR(lag, 0, 5 / sqrt(N));
	CHECK(top > 4 && top < 5.78);
}

/* Counts in 64 cells of equal probability: chi-square with 63 degrees of freedom. */
static void distribution(void)
{
	enum { N = 1 << 18, CELLS = 64 };
	static float z[N];
	double n_in[CELLS] = { 0 }, chi = 0;

	rd_rng_normal(11, RD_RNG_DATA, 5, z, N);
	for (int i = 0; i < N; i++)
		n_in[(int)(CELLS * 0.5 * erfc(-z[i] / sqrt(2)))]++;
	for (int c = 0; c < CELLS; c++)
		chi += pow(n_in[c] - (double)N / CELLS, 2) * CELLS / N;
	CHECK(chi > 25 && chi < 125);
}

/* The first million normals of seed 0: any compiler, optimisation, instruction set and row length. */
static void golden(void)
{
	const size_t n = 1000000, rows = 1000;
	float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
	int n_sets = 0;

	CHECK(a && b);
	for (int i = 0; a && b && rd_rng_isa_name(i); i++) {
		if (!rd_rng_isa_select(i)) {
			printf("%s: not on this CPU, not tested\n", rd_rng_isa_name(i));
			continue;
		}
		n_sets++;
		memset(a, 0xff, n * sizeof *a);
		rd_rng_normal_batch(0, RD_RNG_NOISE, 0, a, rows, n / rows);
		CHECK(XXH3_64bits(a, n * sizeof *a) == GOLDEN);
		printf("%s: hash of a million normals %016llx\n", rd_rng_isa_name(i),
		       (unsigned long long)XXH3_64bits(a, n * sizeof *a));
		for (size_t r = 0; r < rows; r++)
			rd_rng_normal(0, RD_RNG_NOISE, r, b + r * (n / rows), n / rows);
		CHECK(!memcmp(a, b, n * sizeof *a));
	}
	CHECK(n_sets > 0);
	CHECK(rd_rng_isa_select(-1));
	CHECK(!rd_rng_isa_select(99));
	free(a);
	free(b);
}

/* Rows of every length equal the words' own normals, in any split of the batch, and write nothing beyond. */
static void splits(void)
{
	enum { MAX = 600, COUNT = 37 };
	static float whole[COUNT * MAX + 1], part[COUNT * MAX + 1], one[MAX];
	const uint64_t first = 0xfffffff0; /* crosses into the index's high word */

	for (size_t n = 1; n <= MAX; n += n < 20 ? 1 : 29) {
		size_t cut = n % (COUNT - 1) + 1;

		whole[COUNT * n] = 99;
		rd_rng_normal_batch(5, RD_RNG_NOISE, first, whole, COUNT, n);
		CHECK(whole[COUNT * n] == 99);
		rd_rng_normal_batch(5, RD_RNG_NOISE, first, part, cut, n);
		rd_rng_normal_batch(5, RD_RNG_NOISE, first + cut, part + cut * n, COUNT - cut, n);
		CHECK(!memcmp(whole, part, COUNT * n * sizeof *whole));
		rd_rng_normal(5, RD_RNG_NOISE, first + 30, one, MAX);
		CHECK(!memcmp(whole + 30 * n, one, n * sizeof *one));
	}
}

static void streams_differ(void)
{
	float a[64], b[64];

	rd_rng_normal(1, RD_RNG_NOISE, 0, a, 64);
	rd_rng_normal(1, RD_RNG_COUPLE, 0, b, 64);
	CHECK(a[0] != b[0]);
	rd_rng_normal(1ull << 32 | 1, RD_RNG_NOISE, 0, b, 64);
	CHECK(a[0] != b[0]);
	rd_rng_normal(1, RD_RNG_NOISE, 1ull << 32, b, 64);
	CHECK(a[0] != b[0]);
}

static void uniforms(void)
{
	enum { N = 200000, K = 7 };
	double mean = 0, square = 0, n_of[K] = { 0 };

	for (uint64_t i = 0; i < N; i++) {
		double u = rd_rng_uniform(3, RD_RNG_TIME, i);
		uint32_t b = rd_rng_below(3, RD_RNG_LABEL, i, K);

		CHECK(u > 0 && u < 1);
		mean += u / N;
		square += u * u / N;
		CHECK(b < K);
		n_of[b % K]++;
	}
	CHECK_NEAR(mean, 0.5, 5 * sqrt(1 / 12.0 / N));
	CHECK_NEAR(square, 1 / 3.0, 5 * sqrt(4 / 45.0 / N));
	for (int k = 0; k < K; k++)
		CHECK_NEAR(n_of[k], (double)N / K, 5 * sqrt((double)N / K));
	CHECK(rd_rng_below(3, RD_RNG_LABEL, 0, 1) == 0);
	/* The worst case: nearly half of the words are drawn again. */
	mean = 0;
	for (uint64_t i = 0; i < 20000; i++)
		mean += rd_rng_below(4, RD_RNG_LABEL, i, 0x80000001u) / 20000.0;
	CHECK_NEAR(mean / 0x80000001u, 0.5, 5 * sqrt(1 / 12.0 / 20000));
}

static void permutations(void)
{
	enum { N = 5000 };
	static uint32_t order[N], again[N];
	static unsigned char seen[N];
	int fixed = 0, distinct = 0, n_of[6] = { 0 };

	rd_rng_permutation(9, RD_RNG_SHUFFLE, 2, order, N);
	for (int i = 0; i < N; i++) {
		CHECK(order[i] < N);
		distinct += !seen[order[i] % N]++;
		fixed += order[i] == (uint32_t)i;
	}
	CHECK(distinct == N && fixed < 10);
	rd_rng_permutation(9, RD_RNG_SHUFFLE, 2, again, N);
	CHECK(!memcmp(order, again, sizeof order));
	rd_rng_permutation(9, RD_RNG_SHUFFLE, 3, again, N);
	CHECK(memcmp(order, again, sizeof order) != 0);
	/* All six orders of three, equally often. */
	for (uint64_t i = 0; i < 60000; i++) {
		rd_rng_permutation(9, RD_RNG_SHUFFLE, i, order, 3);
		n_of[order[0] * 2 + (order[1] > order[2])]++;
	}
	for (int k = 0; k < 6; k++)
		CHECK_NEAR(n_of[k], 10000, 500);
	rd_rng_permutation(9, RD_RNG_SHUFFLE, 0, order, 0);
}

int main(void)
{
	known_answers();
	layout();
	accuracy();
	moments();
	distribution();
	golden();
	splits();
	streams_differ();
	uniforms();
	permutations();
	return check_report("test_rng");
}
