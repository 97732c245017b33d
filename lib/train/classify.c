#include "lib/train/classify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/classify/features.h"
#include "lib/graph/exec.h"
#include "lib/train/epochs.h"

struct rd_classify {
	const struct rd_points *data;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_classify_opts o;
	struct rd_graph *g;
	struct rd_exec *x;
	struct rd_dims in, out;
	int64_t classes, step;
	/* device */
	float *w, *dw, *m, *v, *ema;
	struct rd_adamw *adamw;
	double *sq;
	void *norm_ws;
	/* host */
	float *h_x, *h_y, *h_dy;
	int32_t *h_label;
	struct rd_epochs epochs;
};

static int alloc_device(struct rd_classify *t, const float *w, struct rd_err *e)
{
	size_t flat = t->g->n_flat * sizeof(float);
	struct {
		void **p;
		size_t bytes;
		const float *from; /* NULL: zeros */
	} a[] = {{(void **)&t->w, flat, w}, {(void **)&t->ema, flat, w}, {(void **)&t->m, flat, NULL}, {(void **)&t->v, flat, NULL},
	         {(void **)&t->dw, flat, NULL}, {(void **)&t->adamw, sizeof *t->adamw, NULL}, {(void **)&t->sq, sizeof *t->sq, NULL},
	         {&t->norm_ws, t->be->sqnorm_ws_bytes(t->g->n_flat), NULL}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++) {
		rc = t->be->alloc(t->dev, a[i].p, a[i].bytes, e);
		if (!rc)
			rc = a[i].from ? t->be->put(t->dev, *a[i].p, a[i].from, a[i].bytes, e)
			               : t->be->zero(t->dev, *a[i].p, a[i].bytes, e);
	}
	return rc;
}

static int alloc_host(struct rd_classify *t, struct rd_err *e)
{
	struct {
		void **p;
		size_t n;
	} a[] = {{(void **)&t->h_x, (size_t)rd_dims_elems(t->in)}, {(void **)&t->h_y, (size_t)rd_dims_elems(t->out)},
	         {(void **)&t->h_dy, (size_t)rd_dims_elems(t->out)}, {(void **)&t->h_label, (size_t)t->o.batch}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++)
		rc = rd_alloc0(a[i].p, a[i].n, 4, "training batch", e);
	return rc;
}

static int check(const struct rd_classifier *c, const struct rd_points *data, struct rd_err *e)
{
	if (!data->label)
		return rd_fail(e, RD_EINPUT, "training data: no field `label` in it");
	if (data->n < 1 || data->n > UINT32_MAX)
		return rd_fail(e, RD_EINPUT, "training data: %lld samples; between 1 and 2^32 expected", (long long)data->n);
	return rd_classifier_fits(c, data, true, e) ? rd_context(e, "training data") : RD_OK;
}

int rd_classify_new(struct rd_classify **out, const struct rd_classifier *c, const struct rd_points *data,
                    const struct rd_backend *be, struct rd_dev *dev, const struct rd_classify_opts *o, struct rd_err *e)
{
	struct rd_classify *t;
	void *p;
	int rc = check(c, data, e);

	*out = NULL;
	if (!rc)
		rc = rd_alloc0(&p, 1, sizeof *t, "trainer", e);
	if (rc)
		return rc;
	t = p;
	t->data = data;
	t->be = be;
	t->dev = dev;
	t->o = *o;
	t->classes = c->net.num_classes;
	rc = rd_classifier_build(&c->net, o->batch, &t->g, e);
	if (!rc)
		rc = rd_exec_new(&t->x, t->g, be, dev, (struct rd_exec_opts){.training = true, .seed = o->seed}, e);
	if (!rc) {
		t->in = rd_graph_dims(t->g, t->g->x);
		t->out = rd_graph_dims(t->g, t->g->y);
		rc = alloc_host(t, e);
	}
	if (!rc)
		rc = rd_epochs_init(&t->epochs, o->seed, data->n, e);
	if (!rc)
		rc = alloc_device(t, c->w, e);
	if (rc)
		rd_classify_free(t);
	else
		*out = t;
	return rc;
}

void rd_classify_free(struct rd_classify *t)
{
	if (!t)
		return;
	void *dev[] = {t->w, t->dw, t->m, t->v, t->ema, t->adamw, t->sq, t->norm_ws};
	void *host[] = {t->h_x, t->h_y, t->h_dy, t->h_label};

	for (size_t i = 0; i < sizeof dev / sizeof *dev; i++)
		if (dev[i])
			t->be->release(t->dev, dev[i]);
	for (size_t i = 0; i < sizeof host / sizeof *host; i++)
		free(host[i]);
	rd_epochs_free(&t->epochs);
	rd_exec_free(t->x);
	rd_graph_free(t->g);
	free(t);
}

/* --- the loss ----------------------------------------------------------------------------------------------------- */

/* -ln softmax(z)[label], and its gradient times weight. */
static double cross_entropy(const float *z, int32_t label, int64_t classes, double weight, float *dz)
{
	double top = (double)z[0], sum = 0;

	for (int64_t k = 1; k < classes; k++)
		top = fmax(top, (double)z[k]);
	for (int64_t k = 0; k < classes; k++)
		sum += exp((double)z[k] - top);
	for (int64_t k = 0; k < classes; k++)
		dz[k] = (float)(weight * (exp((double)z[k] - top) / sum - (k == label)));
	return log(sum) + top - (double)z[label];
}

/* Of the logits that forward left, with the gradient by them put where backward finds it. Computed here, not on the device: it
 * is ten numbers an image, against millions of products in the network, and one text in double for every backend. */
static int loss_of_output(struct rd_classify *t, const int32_t *label, double *loss, struct rd_err *e)
{
	const int64_t wide = t->out.c, features = wide - t->classes;
	int rc = t->be->sample_export(t->dev, t->out, rd_exec_value(t->x, t->g->y), t->h_y, e);

	*loss = 0;
	for (int64_t i = 0; i < t->in.n && !rc; i++) /* the features' part of h_dy stays 0 */
		*loss += cross_entropy(t->h_y + i * wide + features, label[i], t->classes, 1 / (double)t->in.n,
		                       t->h_dy + i * wide + features) / (double)t->in.n;
	return rc ? rc : t->be->sample_import(t->dev, t->out, t->h_dy, rd_exec_grad(t->x, t->g->y), e);
}

int rd_classify_loss(struct rd_classify *t, const float *x, const int32_t *label, double *loss, float *grad, struct rd_err *e)
{
	size_t flat = t->g->n_flat * sizeof *t->dw;
	int rc = t->be->sample_import(t->dev, t->in, x, rd_exec_value(t->x, t->g->x), e);

	if (!rc)
		rc = rd_exec_load(t->x, t->w, e);
	if (!rc)
		rc = rd_exec_forward(t->x, e);
	if (!rc)
		rc = loss_of_output(t, label, loss, e);
	if (!rc)
		rc = t->be->zero(t->dev, t->dw, flat, e);
	if (!rc)
		rc = rd_exec_backward(t->x, t->dw, e);
	return rc || !grad ? rc : t->be->get(t->dev, grad, t->dw, flat, e);
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static int64_t within(int64_t v, int64_t n)
{
	return v < 0 ? 0 : v < n ? v : n - 1;
}

/* Image number i, moved and mirrored. */
static void place(const struct rd_classify *t, uint64_t i, const float *from, float *to)
{
	const int64_t h = t->in.h, w = t->in.w;
	uint32_t r[3];
	int64_t dx, dy;

	rd_rng_words(t->o.seed, RD_RNG_AUGMENT, i, r, 3);
	dx = (int64_t)((uint64_t)r[0] * (uint64_t)(2 * t->o.shift + 1) >> 32) - t->o.shift;
	dy = (int64_t)((uint64_t)r[1] * (uint64_t)(2 * t->o.shift + 1) >> 32) - t->o.shift;
	for (int64_t c = 0; c < t->in.c; c++)
		for (int64_t y = 0; y < h; y++)
			for (int64_t x = 0; x < w; x++) {
				int64_t at = within(x + dx, w);

				if (t->o.flip && r[2] >> 31)
					at = w - 1 - at;
				*to++ = from[(c * h + within(y + dy, h)) * w + at];
			}
}

static void assemble(struct rd_classify *t)
{
	size_t row = t->data->d;

	for (int64_t j = 0; j < t->in.n; j++) {
		uint64_t i = (uint64_t)t->step * (uint64_t)t->in.n + (uint64_t)j;
		size_t k = rd_epochs_pick(&t->epochs, i);

		place(t, i, t->data->x + k * row, t->h_x + (size_t)j * row);
		t->h_label[j] = t->data->label[k];
	}
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

static double rate_of(const struct rd_classify *t)
{
	return rd_rate_at(RD_RATE_COSINE, t->o.lr, t->o.warmup, t->o.steps, t->step);
}

static int update(struct rd_classify *t, double *grad_norm, struct rd_err *e)
{
	const struct rd_adamw a = {.lr = (float)rate_of(t), .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
	                           .weight_decay = (float)t->o.weight_decay, .ema = (float)t->o.ema, .step = t->step + 1};
	double sq = 0;
	int rc = t->be->sqnorm(t->dev, t->g->n_flat, t->dw, t->sq, t->norm_ws, e);

	if (!rc)
		rc = t->be->put(t->dev, t->adamw, &a, sizeof a, e);
	if (!rc)
		rc = t->be->adamw(t->dev, t->adamw, t->sq, t->g->n_trained, t->w, t->dw, t->m, t->v, t->ema, e);
	if (!rc)
		rc = t->be->get(t->dev, &sq, t->sq, sizeof sq, e);
	*grad_norm = sqrt(sq);
	return rc;
}

int rd_classify_step(struct rd_classify *t, struct rd_step_report *r, struct rd_err *e)
{
	int rc;

	*r = (struct rd_step_report){.lr = rate_of(t)};
	assemble(t);
	rc = rd_classify_loss(t, t->h_x, t->h_label, &r->loss, NULL, e);
	if (!rc)
		rc = update(t, &r->grad_norm, e);
	if (!rc && (!isfinite(r->loss) || !isfinite(r->grad_norm)))
		rc = rd_fail(e, RD_EFAIL, "step %lld: the loss is %g and its gradient's norm %g; a smaller --lr may help",
		             (long long)t->step + 1, r->loss, r->grad_norm);
	if (!rc)
		t->step++;
	return rc;
}

static int steps(struct rd_classify *t, struct rd_trainlog *log, int64_t log_every, rd_classify_tick_fn tick, struct rd_err *e)
{
	struct rd_step_report r;
	int rc = RD_OK;

	while (!rc && t->step < t->o.steps) {
		rc = rd_classify_step(t, &r, e);
		if (rc)
			break;
		rd_trainlog_add(log, &r);
		tick(t->step, &r);
		if (t->step % log_every == 0 || t->step == t->o.steps)
			rc = rd_trainlog_write(log, t->step, NULL, e);
	}
	return rc;
}

int rd_classify_go(struct rd_classify *t, const struct rd_trainlog_file *log, int64_t log_every, rd_classify_tick_fn tick,
                   struct rd_err *e)
{
	struct rd_trainlog *l = NULL;
	struct rd_err later;
	int rc = log ? rd_trainlog_open(&l, log, t->step, (struct rd_unlogged){0}, e) : RD_OK;

	if (!rc)
		rc = steps(t, l, log_every, tick, e);
	if (rd_trainlog_close(l, &later) && !rc) {
		*e = later;
		rc = later.code;
	}
	return rc;
}

int rd_classify_average(struct rd_classify *t, float *w, struct rd_err *e)
{
	return t->be->get(t->dev, w, t->ema, t->g->n_flat * sizeof *w, e);
}

json_t *rd_classify_describe(const struct rd_classifier *c, const struct rd_points *data, const struct rd_classify_opts *o)
{
	uint64_t h = XXH3_64bits(data->x, (size_t)data->n * data->d * sizeof *data->x);
	char hash[17];

	h = XXH3_64bits_withSeed(data->label, (size_t)data->n * sizeof *data->label, h);
	snprintf(hash, sizeof hash, "%016llx", (unsigned long long)h);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:b, s:o}", "from", c->hash, "data", hash, "samples",
	                 (json_int_t)data->n, "steps", (json_int_t)o->steps, "batch", (json_int_t)o->batch, "warmup",
	                 (json_int_t)o->warmup, "lr", o->lr, "weight_decay", o->weight_decay, "ema", o->ema, "shift",
	                 (json_int_t)o->shift, "flip", (int)o->flip, "seed", rd_json_u64(o->seed));
}
