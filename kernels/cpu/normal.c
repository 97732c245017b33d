/* Rows of normals on the CPU, LANES Philox blocks side by side. */
#include <string.h>

#include "kernels/cpu/common/normal.h"
#include "kernels/cpu/isa.h"
#include "kernels/normal.h"

enum { LANES = 64, LANE_FLOATS = 4 * LANES };

/* The counters of LANES blocks. */
struct lanes {
	uint32_t block[LANES], lo[LANES], hi[LANES];
};

/* Where the next block is: row by row, n_blocks of each. */
struct cursor {
	uint64_t index;
	uint32_t block, n_blocks;
};

static void lanes_normal(const struct lanes *c, const struct rd_normal_key *k, float *restrict z)
{
	const uint32_t k0 = (uint32_t)k->seed, k1 = (uint32_t)(k->seed >> 32), stream = k->stream;

	RD_SIMD
	for (int i = 0; i < LANES; i++) {
		struct rd_u32x4 v = { c->block[i], stream, c->lo[i], c->hi[i] };
		struct rd_f32x2 p, q;

		v = rd_philox_block(v, k0, k1);
		p = rd_box_muller(v.a, v.b);
		q = rd_box_muller(v.c, v.d);
		z[4 * i] = p.x;
		z[4 * i + 1] = p.y;
		z[4 * i + 2] = q.x;
		z[4 * i + 3] = q.y;
	}
}

/* The next LANES blocks. Past the last row they are those of indices nobody asked for, and are not copied. */
static void lanes_fill(struct lanes *c, struct cursor *at)
{
	for (int i = 0; i < LANES; i++) {
		c->block[i] = at->block;
		c->lo[i] = (uint32_t)at->index;
		c->hi[i] = (uint32_t)(at->index >> 32);
		if (++at->block == at->n_blocks) {
			at->block = 0;
			at->index++;
		}
	}
}

/* Rows of less than LANES blocks, several in one go; a row's last block may be used in part. */
static void short_rows(const struct rd_normal_key *k, struct cursor at, float *out, size_t count, size_t n)
{
	const size_t row = (size_t)at.n_blocks * 4;
	struct lanes c;
	float z[LANE_FLOATS];
	size_t col = 0; /* of the row, where the next lanes start */

	while (count) {
		size_t have = LANE_FLOATS, from = 0;

		lanes_fill(&c, &at);
		lanes_normal(&c, k, z);
		while (have && count) {
			size_t take = row - col < have ? row - col : have;
			size_t use = col >= n ? 0 : n - col < take ? n - col : take;

			memcpy(out, z + from, use * sizeof *z);
			out += use;
			from += take;
			have -= take;
			col += take;
			if (col == row) {
				col = 0;
				count--;
			}
		}
	}
}

static void long_row(const struct rd_normal_key *k, uint64_t index, float *out, size_t n)
{
	struct lanes c;
	float z[LANE_FLOATS];

	for (int i = 0; i < LANES; i++) {
		c.block[i] = (uint32_t)i;
		c.lo[i] = (uint32_t)index;
		c.hi[i] = (uint32_t)(index >> 32);
	}
	for (; n >= LANE_FLOATS; n -= LANE_FLOATS, out += LANE_FLOATS) {
		lanes_normal(&c, k, out);
		for (int i = 0; i < LANES; i++)
			c.block[i] += LANES;
	}
	if (n) {
		lanes_normal(&c, k, z);
		memcpy(out, z, n * sizeof *z);
	}
}

rd_normal_rows_fn RD_SYM(normal_rows);

void RD_SYM(normal_rows)(const struct rd_normal_key *k, uint64_t index, float *out, size_t count, size_t n)
{
	if (n < LANE_FLOATS)
		short_rows(k, (struct cursor){ .index = index, .n_blocks = (uint32_t)((n + 3) / 4) }, out, count, n);
	else
		for (size_t r = 0; r < count; r++)
			long_row(k, index + r, out + r * n, n);
}
