/* A warp's products, and copies that go on beside a thread's work. */
#include <cstring>
#include <deque>
#include <vector>

#include "block.h"

/* Element of a bf16 pair: 0 its first. */
static double element(uint32_t pair, int which)
{
	uint32_t bits = which ? pair & 0xffff0000u : pair << 16;
	float f;

	memcpy(&f, &bits, sizeof f);
	return (double)f;
}

struct operands {
	const uint32_t *a, *b;
};

/* Row r of a, column k: lane 4 (r % 8) + k / 2 % 4 has it, in its word r / 8 + 2 (k / 8). */
static double of_a(const uint64_t *lanes, int r, int k)
{
	const operands *o = (const operands *)(uintptr_t)lanes[4 * (r % 8) + k / 2 % 4];

	return element(o->a[r / 8 + 2 * (k / 8)], k % 2);
}

/* Row k of b, column c: lane 4 c + k / 2 % 4, in its word k / 8. */
static double of_b(const uint64_t *lanes, int k, int c)
{
	const operands *o = (const operands *)(uintptr_t)lanes[4 * c + k / 2 % 4];

	return element(o->b[k / 8], k % 2);
}

void rd_shim_mma(float *c, const uint32_t *a, const uint32_t *b)
{
	const operands mine = { a, b };
	const uint64_t *lanes = rd_shim_lanes((uintptr_t)&mine);
	int lane = rd_shim_lane();
	float sum[4];

	for (int h = 0; h < 4; h++) {
		int row = lane / 4 + h / 2 * 8, col = lane % 4 * 2 + h % 2;
		double s = 0.0;

		for (int k = 0; k < 16; k++)
			s += of_a(lanes, row, k) * of_b(lanes, k, col);
		sum[h] = (float)((double)c[h] + s);
	}
	__syncwarp();
	memcpy(c, sum, sizeof sum);
}

void rd_shim_load_matrices(uint32_t *out, const void *row, bool transposed)
{
	const uint64_t *lanes = rd_shim_lanes((uintptr_t)row);
	int g = rd_shim_lane() / 4, t = rd_shim_lane() % 4;
	uint32_t got[4];

	if ((uintptr_t)row % 16)
		rd_shim_die("a matrix's row that is not aligned");
	for (int i = 0; i < 4; i++)
		for (int n = 0; n < 2; n++) {
			int r = transposed ? 2 * t + n : g, c = transposed ? g : 2 * t + n;
			uint16_t v;

			memcpy(&v, (const char *)(uintptr_t)lanes[8 * i + r] + 2 * c, sizeof v);
			got[i] = n ? got[i] | (uint32_t)v << 16 : v;
		}
	__syncwarp();
	memcpy(out, got, sizeof got);
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

struct copy {
	void *to;
	const void *from; /* NULL: zeros */
};

/* A device may do a copy at any time until somebody has waited for it: here every other thread's are done at once, the others' at the
 * last moment, so that what is read too early shows and what is written too early. Of a thread: copies of no group yet, and the groups
 * that nobody has waited for. */
static struct {
	std::vector<copy> open;
	std::deque<std::vector<copy>> groups;
} copies[RD_SHIM_THREADS];

static void do_copy(const copy &c)
{
	if (c.from)
		memcpy(c.to, c.from, 16);
	else
		memset(c.to, 0, 16);
}

void rd_shim_copy_async(void *to, const void *from, bool there)
{
	if ((uintptr_t)to % 16 || (uintptr_t)from % 16)
		rd_shim_die("a copy that is not aligned");
	if (rd_shim_thread() % 2)
		do_copy({ to, there ? from : nullptr });
	else
		copies[rd_shim_thread()].open.push_back({ to, there ? from : nullptr });
}

void rd_shim_copies_commit()
{
	auto &mine = copies[rd_shim_thread()];

	mine.groups.push_back(std::move(mine.open));
	mine.open.clear();
}

void rd_shim_copies_wait(unsigned groups)
{
	auto &mine = copies[rd_shim_thread()];

	for (; mine.groups.size() > groups; mine.groups.pop_front())
		for (const copy &c : mine.groups.front())
			do_copy(c);
}

void rd_shim_copies_end()
{
	auto &mine = copies[rd_shim_thread()];

	if (!mine.open.empty())
		rd_shim_die("copies of no group");
	for (const std::vector<copy> &g : mine.groups)
		if (!g.empty())
			rd_shim_die("copies that nobody waited for");
	mine.groups.clear();
}
