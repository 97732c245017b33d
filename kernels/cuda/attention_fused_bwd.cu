/* Backward of attention without its scores in memory: dq by the queries' blocks, dk and dv by the keys'. Each makes the scores
 * again, so that every sum has one order.
 *
 * P = exp(s - m) / sum from the statistics, dS = P (dP - rowsum P dP), and rowsum P dP = rowsum do o */
#include "kernels/cuda/attention_fused.h"

/* Of a query: P = 2^(log2(e) s - lse), and the sum of P dP. */
struct row {
	float lse, dot;
};

enum { ROW_LANES = 16, ROW_PACK = 8 };
static_assert(ROW_LANES * ROW_PACK == 128, "a pack of a head's channels for each lane");

/* ROW_LANES lanes for each head of each token, in the order in which they lie in memory. */
static __global__ void rows_kernel(rd_att p, const float *stats, const rd_bf16 *o, const rd_bf16 *dout, row *rows)
{
	int64_t n = p.images * p.tokens * p.heads, step = (int64_t)gridDim.x * RD_THREADS / ROW_LANES;
	int lane = (int)threadIdx.x % ROW_LANES;

	/* a warp's lanes go on together */
	for (int64_t i = ((int64_t)blockIdx.x * RD_THREADS + threadIdx.x) / ROW_LANES; i - i % 2 < n; i += step) {
		int64_t token = i / p.heads, head = i % p.heads, at = token * p.c + head * p.d + lane * ROW_PACK;
		int64_t to = (token / p.tokens * p.heads + head) * p.tokens + token % p.tokens;
		float x[ROW_PACK], y[ROW_PACK], sum = 0.0f;

		if (i < n && lane * ROW_PACK < p.d) {
			rd_load<rd_bf16, ROW_PACK>(x, o + at);
			rd_load<rd_bf16, ROW_PACK>(y, dout + at);
			RD_UNROLL
			for (int l = 0; l < ROW_PACK; l++)
				sum += x[l] * y[l];
		}
		for (int lanes = ROW_LANES / 2; lanes; lanes /= 2)
			sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
		if (i < n && lane == 0)
			rows[to] = { stats[2 * to] * RD_LOG2E - log2f(stats[2 * to + 1]), sum };
	}
}

/* A row that is not there has no probability of anything. */
static __device__ __forceinline__ row row_at(const row *rows, int64_t i, int64_t n)
{
	return i < n ? rows[i] : row{ INFINITY, 0.0f };
}

/* dS in the place of a tile's scores. */
template <int M, int N>
static __device__ __forceinline__ void by_query(float (*s)[N / 8][4], float (*dp)[N / 8][4], const row (*rows)[2], float scale)
{
	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int j = 0; j < N / 8; j++)
			RD_UNROLL
			for (int h = 0; h < 4; h++) {
				const row &r = rows[i][h / 2];

				s[i][j][h] = rd_exp2(s[i][j][h] * scale - r.lse) * (dp[i][j][h] - r.dot);
			}
}

template <int D, int M, int N>
static __global__ void __launch_bounds__(RD_FUSED_THREADS)
queries_kernel(rd_att p, const rd_bf16 *q, const rd_bf16 *k, const rd_bf16 *v, const row *rows, const rd_bf16 *dout, rd_bf16 *dq,
               int acc)
{
	RD_SHARED(rd_bf16, shared);
	int64_t each = rd_fused_blocks<M>(p.tokens);

	for (int64_t b = blockIdx.x; b < p.images * p.heads * each; b += gridDim.x) {
		const rd_fused_place at = rd_fused_place_of<M>(p, b, each);
		const rd_fused_tiles<D, N> tiles = { shared, p, k + at.keys, v + at.keys, p.keys };
		uint32_t a[M][D / 16][4], da[M][D / 16][4];
		float out[M][D / 8][4], s[M][N / 8][4], dp[M][N / 8][4];
		row r[M][2];

		tiles.fetch(0);
		rd_fused_load<D, M>(a, p, q + at.queries, at.first, p.tokens);
		rd_fused_load<D, M>(da, p, dout + at.queries, at.first, p.tokens);
		rd_fused_zero<D, M>(out);
		RD_UNROLL
		for (int i = 0; i < 2 * M; i++)
			r[i / 2][i % 2] = row_at(rows + at.unit * p.tokens, at.first + i / 2 * 16 + rd_c_row(i % 2), p.tokens);
		for (int64_t i = 0; i < tiles.count(); i++) {
			tiles.wait(i);
			rd_fused_by_dims<D, M, N>(s, a, tiles.tile(i, 0));
			rd_fused_by_dims<D, M, N>(dp, da, tiles.tile(i, 1));
			by_query<M, N>(s, dp, r, p.scale * RD_LOG2E);
			if ((i + 1) * N > p.keys)
				rd_fused_mask<M, N>(s, p.keys - i * N, 0.0f);
			rd_fused_by_rows<D, M, N>(out, s, tiles.tile(i, 0));
			tiles.done();
		}
		rd_fused_store<D, M>(dq + at.queries, p, out, at.first, p.tokens, p.scale, acc);
	}
}

/* P^T in the place of a tile's scores and dS^T in that of dP^T: rows are keys, columns the queries from `first` on. */
template <int N>
static __device__ __forceinline__ void by_key(float (*s)[4], float (*ds)[4], const row *rows, int64_t first, int64_t n,
                                              float scale)
{
	RD_UNROLL
	for (int j = 0; j < N / 8; j++)
		RD_UNROLL
		for (int h = 0; h < 2; h++) {
			const row r = row_at(rows, first + 8 * j + rd_c_col() + h, n);

			RD_UNROLL
			for (int l = h; l < 4; l += 2) {
				s[j][l] = rd_exp2(s[j][l] * scale - r.lse);
				ds[j][l] = s[j][l] * (ds[j][l] - r.dot);
			}
		}
}

struct key_grads {
	rd_bf16 *dk, *dv;
	int acc_dk, acc_dv;
};

template <int D, int N>
static __global__ void __launch_bounds__(RD_FUSED_THREADS)
keys_kernel(rd_att p, const rd_bf16 *q, const rd_bf16 *k, const rd_bf16 *v, const row *rows, const rd_bf16 *dout, key_grads g)
{
	RD_SHARED(rd_bf16, shared);
	int64_t each = rd_fused_blocks<1>(p.keys);

	for (int64_t b = blockIdx.x; b < p.images * p.heads * each; b += gridDim.x) {
		const rd_fused_place at = rd_fused_place_of<1>(p, b, each);
		const rd_fused_tiles<D, N> tiles = { shared, p, q + at.queries, dout + at.queries, p.tokens };
		uint32_t a[1][D / 16][4], va[1][D / 16][4];
		float dk[1][D / 8][4], dv[1][D / 8][4], s[1][N / 8][4], ds[1][N / 8][4];

		tiles.fetch(0);
		rd_fused_load<D, 1>(a, p, k + at.keys, at.first, p.keys);
		rd_fused_load<D, 1>(va, p, v + at.keys, at.first, p.keys);
		rd_fused_zero<D, 1>(dk);
		rd_fused_zero<D, 1>(dv);
		for (int64_t i = 0; i < tiles.count(); i++) {
			tiles.wait(i);
			rd_fused_by_dims<D, 1, N>(s, a, tiles.tile(i, 0));
			rd_fused_by_dims<D, 1, N>(ds, va, tiles.tile(i, 1));
			by_key<N>(s[0], ds[0], rows + at.unit * p.tokens, i * N, p.tokens, p.scale * RD_LOG2E);
			rd_fused_by_rows<D, 1, N>(dv, s, tiles.tile(i, 1));
			rd_fused_by_rows<D, 1, N>(dk, ds, tiles.tile(i, 0));
			tiles.done();
		}
		if (g.dk)
			rd_fused_store<D, 1>(g.dk + at.keys, p, dk, at.first, p.keys, p.scale, g.acc_dk);
		if (g.dv)
			rd_fused_store<D, 1>(g.dv + at.keys, p, dv, at.first, p.keys, 1.0f, g.acc_dv);
	}
}

template <int D, int M, int N>
static int launch_queries(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const row *rows, const rd_att_grads &g,
                          struct rd_err *e)
{
	dim3 grid(rd_blocks(rd_fused_units<M>(a, a.tokens)));

	return RD_LAUNCH(dev, e, (queries_kernel<D, M, N>), grid, RD_FUSED_THREADS, (rd_fused_shared<D, N>), a,
	                 (const rd_bf16 *)in.q, (const rd_bf16 *)in.k, (const rd_bf16 *)in.v, rows, (const rd_bf16 *)in.dout,
	                 (rd_bf16 *)g.dq, g.acc_dq);
}

template <int D>
static int by_queries(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const row *rows, const rd_att_grads &g,
                      struct rd_err *e)
{
	constexpr int M = D <= 64 ? 2 : 1, N = D <= 96 ? 32 : 16;

	return rd_fused_is_small(a) ? launch_queries<D, 1, N>(dev, a, in, rows, g, e) : launch_queries<D, M, N>(dev, a, in, rows, g, e);
}

template <int D>
static int by_keys(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const row *rows, const rd_att_grads &g,
                   struct rd_err *e)
{
	constexpr int N = D <= 32 ? 64 : D <= 96 ? 32 : 16;
	const key_grads to = { (rd_bf16 *)g.dk, (rd_bf16 *)g.dv, g.acc_dk, g.acc_dv };
	dim3 grid(rd_blocks(rd_fused_units<1>(a, a.keys)));

	return RD_LAUNCH(dev, e, (keys_kernel<D, N>), grid, RD_FUSED_THREADS, (rd_fused_shared<D, N>), a, (const rd_bf16 *)in.q,
	                 (const rd_bf16 *)in.k, (const rd_bf16 *)in.v, rows, (const rd_bf16 *)in.dout, to);
}

size_t rd_fused_bwd_ws_bytes(const rd_att &a)
{
	return (size_t)(a.images * a.heads * a.tokens) * sizeof(row);
}

int rd_fused_bwd(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const rd_att_grads &g, void *ws, struct rd_err *e)
{
	int64_t n = a.images * a.tokens * a.heads, lanes = n * ROW_LANES;
	row *rows = (row *)ws;
	int rc = RD_LAUNCH(dev, e, rows_kernel, dim3(rd_blocks((lanes + RD_THREADS - 1) / RD_THREADS)), RD_THREADS, 0, a, in.stats,
	                   (const rd_bf16 *)in.o, (const rd_bf16 *)in.dout, rows);

	if (!rc && g.dq)
		rc = RD_FUSED_BY_DIM(a.d, by_queries, dev, a, in, rows, g, e);
	if (!rc && (g.dk || g.dv))
		rc = RD_FUSED_BY_DIM(a.d, by_keys, dev, a, in, rows, g, e);
	return rc;
}
