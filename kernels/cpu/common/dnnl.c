#include "kernels/cpu/common/dnnl.h"

#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "lib/base/size.h"

/* A memory descriptor is a struct handed over by address in version 2 and a handle in version 3. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_ref;
#else
typedef const dnnl_memory_desc_t *md_ref;
#endif

struct rd_dnnl {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
};

enum { FWD, FWD_ACC, BWD_DATA, BWD_WEIGHTS, PACK_FWD, PACK_BWD, ADD_DW, N_PRIMS };
enum { M_X, M_Y, M_B, M_W, M_FWD_W, M_BWD_W, M_DW, N_MEMS };

/* The memory objects are made with the plan; a call only points them at its buffers. */
struct rd_dnnl_conv {
	struct rd_dnnl *dn;
	dnnl_primitive_t prim[N_PRIMS];
	dnnl_memory_t scratch[N_PRIMS]; /* NULL where none is asked for */
	dnnl_memory_t mem[N_MEMS];
	struct rd_dnnl_conv_sizes sizes;
};

static int check(dnnl_status_t s, const char *what, struct rd_err *e)
{
	if (s == dnnl_success)
		return RD_OK;
	return rd_fail(e, s == dnnl_out_of_memory ? RD_ENOMEM : RD_EDEVICE, "oneDNN: %s: status %d", what, (int)s);
}

int rd_dnnl_new(struct rd_dnnl **out, struct rd_err *e)
{
	void *p;
	struct rd_dnnl *d;
	int rc;

	*out = NULL;
	rc = rd_alloc0(&p, 1, sizeof *d, "oneDNN engine", e);
	if (rc)
		return rc;
	d = p;
	rc = check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "engine", e);
	if (!rc)
		rc = check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags), "stream", e);
	if (rc)
		rd_dnnl_free(d);
	else
		*out = d;
	return rc;
}

void rd_dnnl_free(struct rd_dnnl *d)
{
	if (!d)
		return;
	if (d->stream)
		dnnl_stream_destroy(d->stream);
	if (d->engine)
		dnnl_engine_destroy(d->engine);
	free(d);
}

int rd_dnnl_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc, struct rd_err *e)
{
	return check(dnnl_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc), "sgemm", e);
}

/* --- descriptors of a convolution ------------------------------------------------------------------------------- */

struct conv_dims {
	dnnl_dims_t x, y, w, b, stride, dilate, pad_lo, pad_hi;
};

/* The four tensors as descriptors; any_w leaves the layout of the weights to oneDNN. */
struct conv_mds {
	dnnl_memory_desc_t x, y, any_w, w, b;
};

static void conv_dims(struct conv_dims *c, const struct rd_conv2d_desc *d)
{
	struct rd_dims i = d->in, o = rd_conv2d_out(d);

	*c = (struct conv_dims){
		.x = { i.n, i.c, i.h, i.w },
		.y = { o.n, o.c, o.h, o.w },
		.w = { o.c, i.c, d->kernel, d->kernel },
		.b = { o.c },
		.stride = { d->stride, d->stride },
		.pad_lo = { d->pad_lo, d->pad_lo },
		.pad_hi = { d->pad_hi, d->pad_hi },
	};
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t md_make(dnnl_memory_desc_t *md, int nd, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
	return dnnl_memory_desc_create_with_tag(md, nd, dims, dnnl_f32, tag);
}

static md_ref md_get(const dnnl_memory_desc_t *md)
{
	return *md;
}

static void conv_mds_free(struct conv_mds *m)
{
	dnnl_memory_desc_t all[] = { m->x, m->y, m->any_w, m->w, m->b };

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i])
			dnnl_memory_desc_destroy(all[i]);
}
#else
static dnnl_status_t md_make(dnnl_memory_desc_t *md, int nd, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
	return dnnl_memory_desc_init_by_tag(md, nd, dims, dnnl_f32, tag);
}

static md_ref md_get(const dnnl_memory_desc_t *md)
{
	return md;
}

static void conv_mds_free(struct conv_mds *m)
{
	(void)m;
}
#endif

static int conv_mds(struct conv_mds *m, const struct conv_dims *c, struct rd_err *e)
{
	dnnl_status_t s;

	memset(m, 0, sizeof *m);
	s = md_make(&m->x, 4, c->x, dnnl_nhwc);
	if (s == dnnl_success)
		s = md_make(&m->y, 4, c->y, dnnl_nhwc);
	if (s == dnnl_success)
		s = md_make(&m->any_w, 4, c->w, dnnl_format_tag_any);
	if (s == dnnl_success)
		s = md_make(&m->w, 4, c->w, dnnl_oihw);
	if (s == dnnl_success)
		s = md_make(&m->b, 1, c->b, dnnl_x);
	return check(s, "memory descriptor", e);
}

/* Scratch from the caller or oneDNN's own, and the sum with what is there where sum is 1. */
static int attr_make(dnnl_primitive_attr_t *attr, dnnl_scratchpad_mode_t scratch, int sum, struct rd_err *e)
{
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t s;

	*attr = NULL;
	s = dnnl_primitive_attr_create(attr);
	if (s == dnnl_success)
		s = dnnl_primitive_attr_set_scratchpad_mode(*attr, scratch);
	if (s == dnnl_success && sum) {
		s = dnnl_post_ops_create(&ops);
		if (s == dnnl_success)
#if DNNL_VERSION_MAJOR >= 3
			s = dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
			s = dnnl_post_ops_append_sum(ops, 1.0f);
#endif
		if (s == dnnl_success)
			s = dnnl_primitive_attr_set_post_ops(*attr, ops);
	}
	if (ops)
		dnnl_post_ops_destroy(ops);
	if (s != dnnl_success && *attr) {
		dnnl_primitive_attr_destroy(*attr);
		*attr = NULL;
	}
	return check(s, "attributes", e);
}

/* The primitive descriptor of FWD (or FWD_ACC, by attr), BWD_DATA or BWD_WEIGHTS. */
static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, int which, int training,
                             const struct conv_dims *c, md_ref x, md_ref w, md_ref b, md_ref y,
                             const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
	dnnl_prop_kind_t prop = training ? dnnl_forward_training : dnnl_forward_inference;
	const dnnl_alg_kind_t alg = dnnl_convolution_direct;

#if DNNL_VERSION_MAJOR >= 3
	if (which == BWD_DATA)
		return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, alg, x, w, y, c->stride, c->dilate,
		                                                            c->pad_lo, c->pad_hi, hint, attr);
	if (which == BWD_WEIGHTS)
		return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, alg, x, w, b, y, c->stride,
		                                                               c->dilate, c->pad_lo, c->pad_hi, hint, attr);
	return dnnl_convolution_forward_primitive_desc_create(pd, engine, prop, alg, x, w, b, y, c->stride, c->dilate,
	                                                      c->pad_lo, c->pad_hi, attr);
#else
	dnnl_convolution_desc_t cd;
	dnnl_status_t s;

	if (which == BWD_DATA)
		s = dnnl_convolution_backward_data_desc_init(&cd, alg, x, w, y, c->stride, c->pad_lo, c->pad_hi);
	else if (which == BWD_WEIGHTS)
		s = dnnl_convolution_backward_weights_desc_init(&cd, alg, x, w, b, y, c->stride, c->pad_lo, c->pad_hi);
	else
		s = dnnl_convolution_forward_desc_init(&cd, prop, alg, x, w, b, y, c->stride, c->pad_lo, c->pad_hi);
	return s == dnnl_success ? dnnl_primitive_desc_create(pd, &cd, attr, engine, hint) : s;
#endif
}

/* --- the plan --------------------------------------------------------------------------------------------------- */

/* Rounded up to whole cache lines, so that buffers can follow one another. */
static size_t md_bytes(md_ref md)
{
	return (dnnl_memory_desc_get_size(md) + 63) & ~(size_t)63;
}

/* Takes pd over: its primitive and the memory object of its scratch. */
static int prim_make(struct rd_dnnl_conv *c, int which, dnnl_primitive_desc_t pd, struct rd_err *e)
{
	md_ref md = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
	dnnl_status_t s = dnnl_primitive_create(&c->prim[which], pd);

	if (s == dnnl_success && md && md_bytes(md)) {
		if (c->sizes.scratch < md_bytes(md))
			c->sizes.scratch = md_bytes(md);
		s = dnnl_memory_create(&c->scratch[which], md, c->dn->engine, DNNL_MEMORY_NONE);
	}
	dnnl_primitive_desc_destroy(pd);
	return check(s, "primitive", e);
}

/* What a convolution primitive chose, valid as long as it is. */
static md_ref prim_md(const struct rd_dnnl_conv *c, int which, dnnl_query_t what)
{
	const_dnnl_primitive_desc_t pd = NULL;

	dnnl_primitive_get_primitive_desc(c->prim[which], &pd);
	return dnnl_primitive_desc_query_md(pd, what, 0);
}

static int conv_prim(struct rd_dnnl_conv *c, int which, int training, const struct conv_dims *dims,
                     const struct conv_mds *m, struct rd_err *e)
{
	const_dnnl_primitive_desc_t hint = NULL;
	dnnl_primitive_attr_t attr;
	dnnl_primitive_desc_t pd;
	md_ref w = md_get(&m->any_w);
	dnnl_status_t s;
	int rc = attr_make(&attr, dnnl_scratchpad_mode_user, which == FWD_ACC, e);

	if (rc)
		return rc;
	if (which != FWD)
		dnnl_primitive_get_primitive_desc(c->prim[FWD], &hint);
	if (which == FWD_ACC)
		w = prim_md(c, FWD, dnnl_query_weights_md); /* one packed copy serves both */
	s = conv_pd(&pd, c->dn->engine, which, training, dims, md_get(&m->x), w, md_get(&m->b), md_get(&m->y),
	            which == FWD_ACC ? NULL : hint, attr);
	dnnl_primitive_attr_destroy(attr);
	if (s != dnnl_success)
		return check(s, "convolution", e);
	return prim_make(c, which, pd, e);
}

static int reorder_prim(struct rd_dnnl_conv *c, int which, md_ref from, md_ref to, int sum, struct rd_err *e)
{
	dnnl_primitive_attr_t attr;
	dnnl_primitive_desc_t pd;
	dnnl_status_t s;
	int rc = attr_make(&attr, dnnl_scratchpad_mode_library, sum, e);

	if (rc)
		return rc;
	s = dnnl_reorder_primitive_desc_create(&pd, from, c->dn->engine, to, c->dn->engine, attr);
	dnnl_primitive_attr_destroy(attr);
	if (s != dnnl_success)
		return check(s, "reorder", e);
	return prim_make(c, which, pd, e);
}

static int mem_make(struct rd_dnnl_conv *c, int which, md_ref md, struct rd_err *e)
{
	return check(dnnl_memory_create(&c->mem[which], md, c->dn->engine, DNNL_MEMORY_NONE), "memory", e);
}

static int conv_new_fwd(struct rd_dnnl_conv *c, int training, const struct conv_dims *dims, const struct conv_mds *m,
                        struct rd_err *e)
{
	md_ref w;

	if (conv_prim(c, FWD, training, dims, m, e) || conv_prim(c, FWD_ACC, training, dims, m, e))
		return e->code;
	w = prim_md(c, FWD, dnnl_query_weights_md);
	c->sizes.fwd_w = md_bytes(w);
	if (reorder_prim(c, PACK_FWD, md_get(&m->w), w, 0, e) || mem_make(c, M_FWD_W, w, e) ||
	    mem_make(c, M_X, md_get(&m->x), e) || mem_make(c, M_Y, md_get(&m->y), e) ||
	    mem_make(c, M_B, md_get(&m->b), e) || mem_make(c, M_W, md_get(&m->w), e))
		return e->code;
	return RD_OK;
}

static int conv_new_bwd(struct rd_dnnl_conv *c, const struct conv_dims *dims, const struct conv_mds *m,
                        struct rd_err *e)
{
	md_ref w, dw;

	if (conv_prim(c, BWD_DATA, 1, dims, m, e) || conv_prim(c, BWD_WEIGHTS, 1, dims, m, e))
		return e->code;
	w = prim_md(c, BWD_DATA, dnnl_query_weights_md);
	dw = prim_md(c, BWD_WEIGHTS, dnnl_query_diff_weights_md);
	c->sizes.bwd_w = md_bytes(w);
	c->sizes.dw = md_bytes(dw);
	if (reorder_prim(c, PACK_BWD, md_get(&m->w), w, 0, e) || reorder_prim(c, ADD_DW, dw, md_get(&m->w), 1, e) ||
	    mem_make(c, M_BWD_W, w, e) || mem_make(c, M_DW, dw, e))
		return e->code;
	return RD_OK;
}

int rd_dnnl_conv_new(struct rd_dnnl *dn, const struct rd_conv2d_desc *d, int training, struct rd_dnnl_conv **out,
                     struct rd_err *e)
{
	struct conv_dims dims;
	struct conv_mds mds;
	struct rd_dnnl_conv *c;
	void *p;
	int rc;

	*out = NULL;
	rc = rd_alloc0(&p, 1, sizeof *c, "convolution plan", e);
	if (rc)
		return rc;
	c = p;
	c->dn = dn;
	conv_dims(&dims, d);
	rc = conv_mds(&mds, &dims, e);
	if (!rc)
		rc = conv_new_fwd(c, training, &dims, &mds, e);
	if (!rc && training)
		rc = conv_new_bwd(c, &dims, &mds, e);
	conv_mds_free(&mds);
	if (rc)
		rd_dnnl_conv_free(c);
	else
		*out = c;
	return rc;
}

void rd_dnnl_conv_free(struct rd_dnnl_conv *c)
{
	if (!c)
		return;
	for (int i = 0; i < N_MEMS; i++)
		if (c->mem[i])
			dnnl_memory_destroy(c->mem[i]);
	for (int i = 0; i < N_PRIMS; i++) {
		if (c->scratch[i])
			dnnl_memory_destroy(c->scratch[i]);
		if (c->prim[i])
			dnnl_primitive_destroy(c->prim[i]);
	}
	free(c);
}

struct rd_dnnl_conv_sizes rd_dnnl_conv_sizes(const struct rd_dnnl_conv *c)
{
	return c->sizes;
}

/* --- execution -------------------------------------------------------------------------------------------------- */

/* What a primitive calls its argument, the memory object, and the buffer of this call. */
struct arg {
	int name, mem;
	const void *p;
};

/* oneDNN's handles are not const; it writes only what the primitive names as its destination. */
static void *handle(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { .in = p };

	return u.out;
}

static int run(struct rd_dnnl_conv *c, int which, const struct arg *a, int n, void *scratch, struct rd_err *e)
{
	dnnl_exec_arg_t args[6];
	dnnl_status_t s = dnnl_success;
	int m = 0;

	for (int i = 0; i < n && s == dnnl_success; i++) {
		s = dnnl_memory_set_data_handle(c->mem[a[i].mem], handle(a[i].p));
		args[m++] = (dnnl_exec_arg_t){ a[i].name, c->mem[a[i].mem] };
	}
	if (s == dnnl_success && c->scratch[which]) {
		s = dnnl_memory_set_data_handle(c->scratch[which], scratch);
		args[m++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, c->scratch[which] };
	}
	if (s == dnnl_success)
		s = dnnl_primitive_execute(c->prim[which], c->dn->stream, m, args);
	if (s == dnnl_success)
		s = dnnl_stream_wait(c->dn->stream);
	return check(s, "execution", e);
}

int rd_dnnl_conv_pack(struct rd_dnnl_conv *c, const float *w, void *fwd_w, void *bwd_w, struct rd_err *e)
{
	int rc = run(c, PACK_FWD, (struct arg[]){ { DNNL_ARG_FROM, M_W, w }, { DNNL_ARG_TO, M_FWD_W, fwd_w } }, 2, NULL, e);

	if (rc || !c->prim[PACK_BWD])
		return rc;
	return run(c, PACK_BWD, (struct arg[]){ { DNNL_ARG_FROM, M_W, w }, { DNNL_ARG_TO, M_BWD_W, bwd_w } }, 2, NULL, e);
}

int rd_dnnl_conv_fwd(struct rd_dnnl_conv *c, const void *fwd_w, const float *b, const float *x, float *y,
                     int accumulate, void *scratch, struct rd_err *e)
{
	const struct arg a[] = {
		{ DNNL_ARG_SRC, M_X, x },
		{ DNNL_ARG_WEIGHTS, M_FWD_W, fwd_w },
		{ DNNL_ARG_BIAS, M_B, b },
		{ DNNL_ARG_DST, M_Y, y },
	};

	return run(c, accumulate ? FWD_ACC : FWD, a, 4, scratch, e);
}

int rd_dnnl_conv_bwd_data(struct rd_dnnl_conv *c, const void *bwd_w, const float *dy, float *dx, void *scratch,
                          struct rd_err *e)
{
	const struct arg a[] = {
		{ DNNL_ARG_DIFF_DST, M_Y, dy },
		{ DNNL_ARG_WEIGHTS, M_BWD_W, bwd_w },
		{ DNNL_ARG_DIFF_SRC, M_X, dx },
	};

	return run(c, BWD_DATA, a, 3, scratch, e);
}

int rd_dnnl_conv_bwd_weights(struct rd_dnnl_conv *c, const float *x, const float *dy, void *dw, float *db,
                             void *scratch, struct rd_err *e)
{
	const struct arg a[] = {
		{ DNNL_ARG_SRC, M_X, x },
		{ DNNL_ARG_DIFF_DST, M_Y, dy },
		{ DNNL_ARG_DIFF_WEIGHTS, M_DW, dw },
		{ DNNL_ARG_DIFF_BIAS, M_B, db },
	};

	return run(c, BWD_WEIGHTS, a, 4, scratch, e);
}

int rd_dnnl_conv_add_dw(struct rd_dnnl_conv *c, const void *dw, float *w_grad, struct rd_err *e)
{
	return run(c, ADD_DW, (struct arg[]){ { DNNL_ARG_FROM, M_DW, dw }, { DNNL_ARG_TO, M_W, w_grad } }, 2, NULL, e);
}
