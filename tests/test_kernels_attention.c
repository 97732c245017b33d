/* Attention of every backend against double, forward and backward. */
#include <stdbool.h>

#include "tests/kernels.h"

#define TOL 4e-6

enum { GUARD = 64 };

struct ref {
	double *o, *stats, *dq, *dk, *dv;
};

static struct rd_attention_desc desc;
static const float *q, *k_, *v, *dout;

static int64_t tokens(void)
{
	return desc.d.h * desc.d.w;
}

/* Of k and v. */
static struct rd_dims key_dims(void)
{
	return (struct rd_dims){ desc.d.n, desc.d.c, 1, desc.keys };
}

static int64_t n_stats(void)
{
	return desc.d.n * desc.heads * tokens() * 2;
}

/* Channel l of head h at token t of image n, in NCHW with `rows` tokens to an image. */
static int64_t at(int64_t rows, int64_t n, int64_t h, int64_t t, int64_t l)
{
	return (n * desc.d.c + h * (desc.d.c / desc.heads) + l) * rows + t;
}

static int64_t at_q(int64_t n, int64_t h, int64_t i, int64_t l)
{
	return at(tokens(), n, h, i, l);
}

static int64_t at_k(int64_t n, int64_t h, int64_t j, int64_t l)
{
	return at(desc.keys, n, h, j, l);
}

static void softmax(double *s, int64_t n, double *stats)
{
	double m = s[0], sum = 0.0;

	for (int64_t j = 1; j < n; j++)
		m = fmax(m, s[j]);
	for (int64_t j = 0; j < n; j++)
		sum += s[j] = exp(s[j] - m);
	for (int64_t j = 0; j < n; j++)
		s[j] /= sum;
	stats[0] = m;
	stats[1] = 1.0 / sum;
}

static void query(const struct ref *r, int64_t n, int64_t h, int64_t i, double *p, double *dp)
{
	int64_t keys = desc.keys, d = desc.d.c / desc.heads;
	double dot = 0.0;

	for (int64_t j = 0; j < keys; j++) {
		p[j] = 0.0;
		for (int64_t l = 0; l < d; l++)
			p[j] += (double)desc.scale * (double)q[at_q(n, h, i, l)] * (double)k_[at_k(n, h, j, l)];
	}
	softmax(p, keys, r->stats + 2 * ((n * desc.heads + h) * tokens() + i));
	for (int64_t j = 0; j < keys; j++) {
		dp[j] = 0.0;
		for (int64_t l = 0; l < d; l++) {
			r->o[at_q(n, h, i, l)] += p[j] * (double)v[at_k(n, h, j, l)];
			r->dv[at_k(n, h, j, l)] += p[j] * (double)dout[at_q(n, h, i, l)];
			dp[j] += (double)dout[at_q(n, h, i, l)] * (double)v[at_k(n, h, j, l)];
		}
		dot += p[j] * dp[j];
	}
	for (int64_t j = 0; j < keys; j++)
		for (int64_t l = 0; l < d; l++) {
			double ds = (double)desc.scale * p[j] * (dp[j] - dot);

			r->dq[at_q(n, h, i, l)] += ds * (double)k_[at_k(n, h, j, l)];
			r->dk[at_k(n, h, j, l)] += ds * (double)q[at_q(n, h, i, l)];
		}
}

static struct ref reference(struct kt *k)
{
	int64_t n = rd_dims_elems(desc.d), nk = rd_dims_elems(key_dims());
	struct ref r = {
		.o = kt_zeros(k, n),
		.stats = kt_zeros(k, n_stats()),
		.dq = kt_zeros(k, n),
		.dk = kt_zeros(k, nk),
		.dv = kt_zeros(k, nk),
	};
	double *p = kt_zeros(k, desc.keys), *dp = kt_zeros(k, desc.keys);

	for (int64_t i = 0; i < desc.d.n; i++)
		for (int64_t h = 0; h < desc.heads; h++)
			for (int64_t t = 0; t < tokens(); t++)
				query(&r, i, h, t, p, dp);
	return r;
}

/* bytes of NaN, and GUARD behind them which nothing may touch. */
static void *guarded(struct kt *k, size_t bytes)
{
	return kt_poison(k, bytes + GUARD);
}

static void check_guard(struct kt *k, const char *what, const void *p, size_t bytes)
{
	unsigned char tail[GUARD], want[GUARD];

	memset(want, 0xff, sizeof want);
	CHECK_OK(k->be->get(k->dev, tail, (const char *)p + bytes, sizeof tail, &k->e), &k->e);
	if (memcmp(tail, want, sizeof tail))
		fprintf(stderr, "%s: %s: written beyond its end\n", k->be->describe(k->dev), what);
	CHECK(memcmp(tail, want, sizeof tail) == 0);
}

/* mask and acc: bits of dq, dk, dv. */
static void backward(struct kt *k, const struct ref *r, const void *const in[4], const void *o, const float *stats, void *ws,
                     int mask, int acc)
{
	static const char *const names[] = { "attention dq", "attention dk", "attention dv" };
	const struct rd_dims d[] = { desc.d, key_dims(), key_dims() };
	const double *grad[] = { r->dq, r->dk, r->dv };
	float *start[3];
	void *g[3];

	for (int i = 0; i < 3; i++) {
		start[i] = kt_random(k, rd_dims_elems(d[i]), 9);
		g[i] = mask >> i & 1 ? kt_out(k, d[i], acc >> i & 1, start[i]) : NULL;
	}
	CHECK_OK(k->be->attention_bwd(k->dev, &desc, in[0], in[1], in[2], o, stats, in[3], g[0], acc & 1, g[1],
	                              acc >> 1 & 1, g[2], acc >> 2 & 1, ws, &k->e), &k->e);
	for (int i = 0; i < 3; i++) {
		int64_t n = rd_dims_elems(d[i]);
		double *want = kt_zeros(k, n);

		memcpy(want, grad[i], (size_t)n * sizeof *want);
		kt_acc(want, start[i], n, acc >> i & 1);
		if (g[i])
			kt_near(k, names[i], kt_get_act(k, d[i], g[i]), want, n, TOL);
		if (g[i] && !(acc >> i & 1) && desc.keys > 1) /* of a single key the probability is 1, and dq and dk are 0 */
			kt_near_norm(k, names[i], kt_get_act(k, d[i], g[i]), want, n);
	}
}

/* Sets desc and the inputs, those of the device in[] too: q, k, v, do. */
static void set_inputs(struct kt *k, struct rd_dims d, int64_t keys, int64_t heads, float spread, const void *in[4])
{
	int64_t n = rd_dims_elems(d);
	float *hq = kt_random(k, n, 1);

	desc = (struct rd_attention_desc){
		.d = d,
		.keys = keys,
		.heads = heads,
		.scale = 1.0f / sqrtf((float)(d.c / heads)),
	};
	for (int64_t i = 0; i < n; i++)
		hq[i] *= spread;
	kt_round(k, hq, n);
	q = hq;
	k_ = kt_random(k, rd_dims_elems(key_dims()), 2);
	v = kt_random(k, rd_dims_elems(key_dims()), 3);
	dout = kt_random(k, n, 4);
	in[0] = kt_act(k, d, q);
	in[1] = kt_act(k, key_dims(), k_);
	in[2] = kt_act(k, key_dims(), v);
	in[3] = kt_act(k, d, dout);
}

/* log sum exp(s) of each row, which m - log(1/sum exp(s - m)) is whatever m. The 1/sum is above 0 and no more than 1. */
static void check_stats(struct kt *k, const float *stats, const double *want)
{
	int64_t rows = n_stats() / 2;
	const float *got = kt_get(k, n_stats(), stats);
	float *lse = kt_host(k, (size_t)rows, sizeof *lse);
	double *want_lse = kt_zeros(k, rows);
	bool in_range = true;

	for (int64_t r = 0; r < rows; r++) {
		lse[r] = got[2 * r] - logf(got[2 * r + 1]);
		want_lse[r] = want[2 * r] - log(want[2 * r + 1]);
		in_range = in_range && got[2 * r + 1] > 0.0f && got[2 * r + 1] <= 1.0f;
	}
	CHECK(in_range);
	kt_near(k, "attention statistics", lse, want_lse, rows, TOL);
}

static void attention(struct kt *k, struct rd_dims d, int64_t keys, int64_t heads, float spread, int seed)
{
	size_t fwd_bytes, ws_bytes, stats_bytes;
	const void *in[4];
	struct ref r;
	float *stats;
	void *o = kt_out(k, d, 0, NULL), *o2 = kt_out(k, d, 0, NULL), *fwd_ws, *both_ws, *ws;

	set_inputs(k, d, keys, heads, spread, in);
	r = reference(k);
	stats_bytes = (size_t)n_stats() * sizeof *stats;
	stats = guarded(k, stats_bytes);
	fwd_bytes = k->be->attention_ws_bytes(k->dev, &desc, 0);
	ws_bytes = k->be->attention_ws_bytes(k->dev, &desc, 1);
	CHECK(fwd_bytes <= ws_bytes);
	fwd_ws = guarded(k, fwd_bytes);
	both_ws = guarded(k, ws_bytes);
	ws = guarded(k, ws_bytes); /* apart, so that backward finds nothing of forward's */
	CHECK_OK(k->be->attention_fwd(k->dev, &desc, in[0], in[1], in[2], o, stats, both_ws, &k->e), &k->e);
	CHECK_OK(k->be->attention_fwd(k->dev, &desc, in[0], in[1], in[2], o2, NULL, fwd_ws, &k->e), &k->e);
	kt_near(k, "attention o", kt_get_act(k, d, o), r.o, rd_dims_elems(d), TOL);
	kt_near(k, "attention o without statistics", kt_get_act(k, d, o2), r.o, rd_dims_elems(d), TOL);
	check_stats(k, stats, r.stats);
	backward(k, &r, in, o, stats, ws, 7, seed & 7);
	backward(k, &r, in, o, stats, ws, seed % 7 + 1, seed >> 3 & 7);
	check_guard(k, "statistics", stats, stats_bytes);
	check_guard(k, "work space of forward", fwd_ws, fwd_bytes);
	check_guard(k, "work space of forward with statistics", both_ws, ws_bytes);
	check_guard(k, "work space", ws, ws_bytes);
	kt_free(k);
}

static void attentions(struct kt *k)
{
	static const struct {
		int64_t c, heads;
	} heads[] = { { 1, 1 }, { 3, 1 }, { 5, 5 }, { 17, 1 }, { 24, 3 }, { 32, 4 }, { 48, 6 }, { 96, 2 } };
	static const int64_t keys[] = { 1, 7, 77, 300, 33 };
	int seed = 0;

	for (size_t i = 0; i < KT_N(heads); i++)
		for (size_t h = 0; h < KT_N(kt_sizes); h++)
			for (size_t w = 0; w < KT_N(kt_sizes); w++, seed++) {
				struct rd_dims d = { 1 + seed / 3 % 3, heads[i].c, kt_sizes[h], kt_sizes[w] };

				if (kt_skip(k, seed))
					continue;
				attention(k, d, d.h * d.w, heads[i].heads, 1.0f, seed);
				attention(k, d, keys[(size_t)seed % KT_N(keys)], heads[i].heads, 1.0f, seed);
			}
}

/* Heads of every width that a device's registers have in another way, and numbers of queries and keys around those of its blocks
 * and tiles. */
static void widths(struct kt *k)
{
	static const int64_t d[] = { 8, 16, 32, 40, 48, 64, 72, 80, 96, 104, 128, 136 };
	static const struct {
		int64_t h, w, keys;
	} at[] = { { 1, 1, 64 }, { 8, 8, 65 }, { 3, 43, 31 }, { 1, 127, 130 }, { 11, 3, 16 }, { 5, 13, 1 }, { 1, 16, 63 } };

	for (size_t i = 0; i < KT_N(d); i++)
		for (size_t j = 0; j < 2; j++) {
			size_t n = (2 * i + j) % KT_N(at);

			if (k->threads < 2)
				attention(k, (struct rd_dims){ 1 + (int64_t)j, 2 * d[i], at[n].h, at[n].w }, at[n].keys, 2, 1.0f + 3.0f * (float)j,
				          8 * (int)i + 5);
		}
}

/* So much to do that on a device a library does the forward (its stand-in: of three images), with heads that have a kernel of their own
 * for the backward, and with wider ones. */
static void by_library(struct kt *k)
{
	static const struct {
		int64_t d, heads, h, w, keys;
	} at[] = { { 8, 1, 1, 1, 1 }, { 40, 8, 8, 8, 77 }, { 64, 2, 11, 3, 33 }, { 72, 1, 5, 13, 64 }, { 136, 1, 3, 7, 21 }, { 256, 2, 4, 4, 16 } };

	for (size_t i = 0; i < KT_N(at); i++)
		if (k->threads < 2)
			attention(k, (struct rd_dims){ 3, at[i].heads * at[i].d, at[i].h, at[i].w }, at[i].keys, at[i].heads,
			          1.0f + 3.0f * (float)(i % 2), 9 * (int)i + 2);
	if (test_on_cuda()) {
		attention(k, (struct rd_dims){ 4, 256, 32, 32 }, 1024, 1, 1.0f, 3);
		attention(k, (struct rd_dims){ 2, 640, 32, 32 }, 1024, 10, 2.0f, 6);
		attention(k, (struct rd_dims){ 3, 1280, 32, 48 }, 77, 8, 1.0f, 1);
	}
}

/* On a device rows of scores lie apart by a multiple of 8 elements, whatever the number of keys: each begins at 16 bytes. */
static void pitch(struct kt *k)
{
	if (k->threads)
		return;
	for (int backwards = 0; backwards < 2; backwards++)
		for (int64_t n = 1; n <= 80; n++) {
			struct rd_attention_desc p = { .d = { 2, 24, 9, 9 }, .keys = n, .heads = 3, .scale = 1.0f }, whole = p;

			whole.keys = (n + 7) / 8 * 8;
			CHECK(k->be->attention_ws_bytes(k->dev, &p, backwards) == k->be->attention_ws_bytes(k->dev, &whole, backwards));
		}
}

/* Rows of scores of every length that a device's threads share in another way, full, and with a short last pack. */
static void rows(struct kt *k)
{
	static const int64_t keys[] = { 127,  129,  255,  257,  512,  513,  1022,  1025, 2046,
		                        2049, 4095, 4097, 8192, 8193, 16383, 16385, 40961 };

	for (size_t i = 0; i < KT_N(keys); i++)
		if (k->threads < 2)
			attention(k, (struct rd_dims){ 2, 2, 1, 3 }, keys[i], 2, i % 2 ? 20.0f : 1.0f, 8 * (int)i + 5);
}

/* Where the rows of scores are several blocks or strips, and where threads divide them. */
static void large(struct kt *k)
{
	static const int64_t keys[] = { 1, 7, 77, 81, 256, 300 };

	for (size_t i = 0; i < KT_N(keys); i++) {
		int seed = 8 * (int)i;

		attention(k, (struct rd_dims){ 1, 64, 16, 16 }, keys[i], 1, 1.0f, seed + 5); /* fewer heads than threads */
		attention(k, (struct rd_dims){ 2, 8, 9, 9 }, keys[i], 1, 1.0f, seed + 3);    /* a part begins within a head */
	}
	attention(k, (struct rd_dims){ 2, 16, 7, 7 }, 49, 2, 120.0f, 6);  /* scores far apart */
	attention(k, (struct rd_dims){ 1, 6, 17, 31 }, 527, 2, 40.0f, 7); /* and of several strips, the last one short */
	attention(k, (struct rd_dims){ 2, 16, 7, 7 }, 257, 2, 30.0f, 2);  /* the last one of a single key */
	attention(k, (struct rd_dims){ 1, 6, 17, 31 }, 77, 2, 20.0f, 4);
	attention(k, (struct rd_dims){ 1, 6, 1, 3 }, 1500, 2, 20.0f, 1);  /* fewer queries than a block has */
	attention(k, (struct rd_dims){ 1, 320, 16, 16 }, 77, 8, 1.0f, 7); /* a text to condition on */
}

/* So many scores that the CPU's backward takes the queries in chunks, the last one short; more heads than threads, and fewer. */
static void chunks(struct kt *k)
{
	if (!test_on_cuda()) {
		attention(k, (struct rd_dims){ 1, 4, 5, 15 }, 16385, 1, 1.0f, 7);
		attention(k, (struct rd_dims){ 1, 16, 3, 23 }, 16411, 4, 1.0f, 0);
	}
}

/* All results of the best instruction set with so many threads, n numbers in one array. */
static float *results(struct kt *k, enum rd_precision p, int threads, struct rd_dims d, int64_t keys, int64_t heads,
                      int64_t *n)
{
	const struct rd_dev_opts o = { .threads = threads, .precision = p };
	int64_t elems[5];
	const void *in[4];
	float *out[5], *all;
	void *ws;

	if (k->be->open(&k->dev, &o, &k->e))
		kt_die(k, "open");
	set_inputs(k, d, keys, heads, 1.0f, in);
	*n = 0;
	for (int i = 0; i < 5; i++) {
		elems[i] = i == 0 ? n_stats() : rd_dims_elems(i < 3 ? d : key_dims());
		out[i] = kt_poison(k, (size_t)elems[i] * sizeof *out[i]);
		*n += elems[i];
	}
	ws = kt_poison(k, k->be->attention_ws_bytes(k->dev, &desc, 1));
	CHECK_OK(k->be->attention_fwd(k->dev, &desc, in[0], in[1], in[2], out[1], out[0], ws, &k->e), &k->e);
	CHECK_OK(k->be->attention_bwd(k->dev, &desc, in[0], in[1], in[2], out[1], out[0], in[3], out[2], 0, out[3], 0, out[4], 0,
	                              ws, &k->e), &k->e);
	all = malloc((size_t)*n * sizeof *all);
	if (!all)
		kt_die(k, "malloc");
	for (int64_t i = 0, to = 0; i < 5; to += elems[i++])
		memcpy(all + to, kt_get(k, elems[i], out[i]), (size_t)elems[i] * sizeof *all);
	kt_free(k);
	k->be->close(k->dev);
	return all;
}

/* The same bits whatever the number of threads: fewer than there are heads, more, and more than there are blocks of rows. */
static void threads_agree(enum rd_precision p)
{
	static const int threads[] = { 2, 3, 4, 5, 6, 7, 24 };
	static const struct {
		struct rd_dims d;
		int64_t keys, heads;
	} c[] = { { { 2, 24, 9, 9 }, 77, 3 },
		  { { 1, 40, 16, 16 }, 77, 1 },
		  { { 1, 16, 7, 7 }, 300, 2 },
		  { { 1, 8, 16, 16 }, 256, 1 },
		  { { 1, 6, 3, 23 }, 16411, 2 } };

	for (size_t i = 0; i < KT_N(c); i++) {
		struct kt k = { .be = rd_cpu_backend(rd_cpu_isa_best()) };
		int64_t n;
		float *one = results(&k, p, 1, c[i].d, c[i].keys, c[i].heads, &n);

		for (size_t t = 0; t < KT_N(threads); t++) {
			float *more = results(&k, p, threads[t], c[i].d, c[i].keys, c[i].heads, &n);

			CHECK(memcmp(one, more, (size_t)n * sizeof *one) == 0);
			free(more);
		}
		free(one);
	}
}

int main(void)
{
	kt_each(attentions);
	kt_each(large);
	kt_each(rows);
	kt_each(chunks);
	kt_each(widths);
	kt_each(by_library);
	kt_each(pitch);
	if (!test_on_cuda()) {
		threads_agree(RD_PRECISION_F32);
		threads_agree(RD_PRECISION_F64);
	}
	return check_report("kernels_attention");
}
