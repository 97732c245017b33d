#include "lib/train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/graph/exec.h"
#include "lib/graph/routine.h"
#include "lib/model/query.h"

const char *const rd_loss_names[] = {"l2", "huber", NULL};
const char *const rd_loss_space_names[] = {"eps", "x0", "output", NULL};
const char *const rd_rate_names[] = {"constant", "cosine", NULL};

struct rd_trainer {
	const struct rd_model *model;
	const struct rd_dataset *data;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_train_opts o;
	struct rd_graph *g;
	struct rd_exec *x;
	struct rd_dims d;
	size_t n_flat, bytes;
	int64_t step;
	/* device: parameters, gradients, moments, average; the batch; coefficients of images */
	float *w, *dw, *m, *v, *ema;
	void *x0, *eps, *target;
	float *in_x0, *in_eps, *target_x0, *target_eps, *k, *weight, *per_image;
	struct rd_adamw *adamw;
	double *sq;
	void *norm_ws;
	struct rd_routine update; /* what a step does on the device once its batch is there */
	/* host: a batch */
	float *h_x0, *h_eps, *h_t, *h_k, *h_w, *h_loss;
	float *h_done_w;                   /* weights of the batch that the device has */
	int64_t assembled;                 /* the step whose batch it is; -1: none */
	float *h_in_x0, *h_in_eps;         /* the network's input is these times x0 and eps */
	float *h_target_x0, *h_target_eps; /* and its target these */
	struct rd_timedist times;
	int32_t *h_label;
	uint32_t *order;
	int64_t epoch; /* of order; -1: none */
};

static int alloc_device(struct rd_trainer *t, struct rd_err *e)
{
	size_t act = t->be->sample_bytes(t->d), per = (size_t)t->d.n * sizeof(float), flat = t->n_flat * sizeof(float);
	struct {
		void **p;
		size_t bytes;
	} a[] = {{(void **)&t->w, flat}, {(void **)&t->dw, flat}, {(void **)&t->m, flat}, {(void **)&t->v, flat},
	         {(void **)&t->ema, flat}, {&t->x0, act}, {&t->eps, act}, {&t->target, act}, {(void **)&t->in_x0, per},
	         {(void **)&t->in_eps, per}, {(void **)&t->target_x0, per}, {(void **)&t->target_eps, per},
	         {(void **)&t->k, per}, {(void **)&t->weight, per}, {(void **)&t->per_image, per},
	         {(void **)&t->adamw, sizeof *t->adamw}, {(void **)&t->sq, sizeof *t->sq},
	         {&t->norm_ws, t->be->sqnorm_ws_bytes(t->n_flat)}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++) {
		rc = t->be->alloc(t->dev, a[i].p, a[i].bytes, e);
		t->bytes += a[i].bytes;
	}
	return rc;
}

static int alloc_host(struct rd_trainer *t, struct rd_err *e)
{
	size_t b = (size_t)t->d.n, all = b * t->data->dim;
	struct {
		void **p;
		size_t n;
	} a[] = {{(void **)&t->h_x0, all}, {(void **)&t->h_eps, all}, {(void **)&t->h_t, b}, {(void **)&t->h_k, b},
	         {(void **)&t->h_w, b}, {(void **)&t->h_done_w, b}, {(void **)&t->h_loss, b}, {(void **)&t->h_in_x0, b}, {(void **)&t->h_in_eps, b},
	         {(void **)&t->h_target_x0, b}, {(void **)&t->h_target_eps, b},
	         {(void **)&t->h_label, b}, {(void **)&t->order, (size_t)t->data->n}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++)
		rc = rd_alloc0(a[i].p, a[i].n, 4, "training batch", e);
	return rc;
}

static int fill_device(struct rd_trainer *t, struct rd_err *e)
{
	size_t flat = t->n_flat * sizeof(float);
	int rc = t->be->put(t->dev, t->w, t->model->w, flat, e);

	if (!rc)
		rc = t->be->put(t->dev, t->ema, t->model->w, flat, e);
	if (!rc)
		rc = t->be->zero(t->dev, t->m, flat, e);
	if (!rc)
		rc = t->be->zero(t->dev, t->v, flat, e);
	return rc;
}

static int check_options(const struct rd_trainer *t, struct rd_err *e)
{
	const struct rd_train_opts *o = &t->o;

	if (rd_net_takes_labels(&t->model->net, e))
		return rd_context(e, "%s", t->model->dir);
	if (o->null_class >= t->model->net.classes)
		return rd_fail(e, RD_EUSAGE, "null class %lld: the model has %lld classes", (long long)o->null_class,
		               (long long)t->model->net.classes);
	if (o->label_drop > 0 && o->null_class < 0)
		return rd_fail(e, RD_EUSAGE, "label dropout needs a null class");
	if (t->data->n > UINT32_MAX)
		return rd_fail(e, RD_EUSAGE, "training data: more than 2^32 samples");
	return RD_OK;
}

/* What the loss puts on an error of the network's output at a node. */
static double error_factor(const struct rd_trainer *t, const struct rd_node *n, const struct rd_query *q)
{
	double on_x0, on_eps;

	switch (t->o.space) {
	case RD_SPACE_X0: return fabs(q->c.x0_f);
	case RD_SPACE_EPS: return fabs(q->c.eps_f);
	default:
		rd_pred_target(t->model->scheduler.pred, n->alpha, n->sigma, &on_x0, &on_eps);
		return fabs(on_x0 * q->c.x0_f + on_eps * q->c.eps_f);
	}
}

static double factor_at(const void *ctx, double u)
{
	const struct rd_trainer *t = ctx;
	const struct rd_schedule *s = &t->model->scheduler.schedule;
	struct rd_node n = rd_node_at(s, s->form->t_of_u(s, u));
	struct rd_query q;
	struct rd_err e;

	return rd_model_query(t->model, &n, &q, &e) ? 0 : error_factor(t, &n, &q);
}

/* A prediction type that says nothing at the schedule's noisy end is refused now, not at the step that first draws it. */
static int check_last_time(const struct rd_trainer *t, struct rd_err *e)
{
	const struct rd_schedule *s = &t->model->scheduler.schedule;
	struct rd_node n = rd_node_at(s, s->form->t_of_u(s, 1 - 0x1p-53));
	struct rd_query q;

	return rd_model_query(t->model, &n, &q, e) ? rd_context(e, "training at t = %g", n.t) : RD_OK;
}

int rd_trainer_new(struct rd_trainer **out, const struct rd_model *m, const struct rd_dataset *d,
                   const struct rd_backend *be, struct rd_dev *dev, const struct rd_train_opts *o, struct rd_err *e)
{
	struct rd_trainer *t;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *t, "trainer", e);

	*out = NULL;
	if (rc)
		return rc;
	t = p;
	t->model = m;
	t->data = d;
	t->be = be;
	t->dev = dev;
	t->o = *o;
	t->epoch = t->assembled = -1;
	t->update = (struct rd_routine){.be = be, .dev = dev};
	rc = check_options(t, e);
	if (!rc)
		rc = check_last_time(t, e);
	if (!rc)
		rc = rd_net_build(&m->net, o->batch, &t->g, e);
	if (!rc)
		rc = rd_exec_new(&t->x, t->g, be, dev,
		                 (struct rd_exec_opts){.training = true, .seed = o->seed, .recompute = o->recompute}, e);
	if (!rc) {
		t->d = rd_graph_dims(t->g, t->g->x);
		t->n_flat = t->g->n_flat;
		t->bytes = rd_exec_bytes(t->x);
		rc = alloc_device(t, e);
	}
	if (!rc)
		rc = alloc_host(t, e);
	if (!rc)
		rc = fill_device(t, e);
	if (!rc)
		rd_timedist_init(&t->times, o->times, factor_at, t);
	if (rc)
		rd_trainer_free(t);
	else
		*out = t;
	return rc;
}

void rd_trainer_free(struct rd_trainer *t)
{
	if (!t)
		return;
	void *dev[] = {t->w, t->dw, t->m, t->v, t->ema, t->x0, t->eps, t->target, t->in_x0, t->in_eps, t->target_x0,
	               t->target_eps, t->k, t->weight, t->per_image, t->adamw, t->sq, t->norm_ws};
	void *host[] = {t->h_x0, t->h_eps, t->h_t, t->h_k, t->h_w, t->h_done_w, t->h_loss, t->h_in_x0, t->h_in_eps, t->h_target_x0,
	                t->h_target_eps, t->h_label, t->order};

	rd_routine_free(&t->update);
	for (size_t i = 0; i < sizeof dev / sizeof *dev; i++)
		if (dev[i])
			t->be->release(t->dev, dev[i]);
	for (size_t i = 0; i < sizeof host / sizeof *host; i++)
		free(host[i]);
	rd_exec_free(t->x);
	rd_graph_free(t->g);
	free(t);
}

/* The sample of image number i of the endless sequence. */
static size_t pick(struct rd_trainer *t, uint64_t i)
{
	uint64_t n = (uint64_t)t->data->n;
	int64_t epoch = (int64_t)(i / n);

	if (epoch != t->epoch) {
		rd_rng_permutation(t->o.seed, RD_RNG_SHUFFLE, (uint64_t)epoch, t->order, n);
		t->epoch = epoch;
	}
	return t->order[i % n];
}

static int32_t pick_label(const struct rd_trainer *t, uint64_t i, size_t row)
{
	int32_t null = (int32_t)(t->o.null_class >= 0 ? t->o.null_class : 0);

	if (!t->data->label)
		return null;
	if (t->o.label_drop > 0 && rd_rng_uniform(t->o.seed, RD_RNG_DROP, i) < t->o.label_drop)
		return null;
	return t->data->label[row];
}

/* Time, weight and coefficients of image j of the batch. The draws of a batch are one uniform number and its B - 1
 * translates by 1/B: each is uniform, and together they cover the schedule evenly. */
static int set_time(struct rd_trainer *t, int64_t step, int64_t j, struct rd_err *e)
{
	const struct rd_schedule *s = &t->model->scheduler.schedule;
	double v = rd_rng_uniform(t->o.seed, RD_RNG_TIME, (uint64_t)step) + (double)j / (double)t->d.n, weight;
	struct rd_node n = rd_node_at(s, s->form->t_of_u(s, rd_timedist_draw(&t->times, v < 1 ? v : v - 1, &weight)));
	struct rd_query q;

	if (rd_model_query(t->model, &n, &q, e))
		return rd_context(e, "training at t = %g", n.t);
	t->h_t[j] = (float)q.net_t;
	t->h_in_x0[j] = (float)(q.input * n.alpha);
	t->h_in_eps[j] = (float)(q.input * n.sigma);
	t->h_target_x0[j] = (float)q.on_x0;
	t->h_target_eps[j] = (float)q.on_eps;
	t->h_k[j] = (float)error_factor(t, &n, &q);
	t->h_w[j] = (float)weight;
	return RD_OK;
}

/* The batch of a step in the host's arrays. */
static int assemble(struct rd_trainer *t, int64_t step, struct rd_err *e)
{
	size_t dim = t->data->dim, bytes = dim * sizeof(float);
	uint64_t first = (uint64_t)step * (uint64_t)t->d.n;
	int rc = 0;

	if (t->assembled == step)
		return RD_OK;
	t->assembled = -1;

	for (int64_t j = 0; j < t->d.n && !rc; j++) {
		size_t row = pick(t, first + (uint64_t)j), at = (size_t)j * dim;

		memcpy(t->h_x0 + at, t->data->sample + row * dim, bytes);
		if (t->data->eps)
			memcpy(t->h_eps + at, t->data->eps + row * dim, bytes);
		t->h_label[j] = pick_label(t, first + (uint64_t)j, row);
		rc = set_time(t, step, j, e);
	}
	if (!rc && !t->data->eps)
		rd_rng_normal_batch(t->o.seed, RD_RNG_COUPLE, first, t->h_eps, (size_t)t->d.n, dim);
	if (!rc)
		t->assembled = step;
	return rc;
}

/* The learning rate of step s, counted from 0. */
static double rate(const struct rd_train_opts *o, int64_t s)
{
	double f = o->steps > o->warmup ? (double)(s - o->warmup) / (double)(o->steps - o->warmup) : 0;

	if (s < o->warmup)
		return o->lr * (double)(s + 1) / (double)o->warmup;
	return o->rate == RD_RATE_COSINE ? o->lr * 0.5 * (1 + cos(M_PI * f)) : o->lr;
}

static struct rd_adamw adamw_of(const struct rd_trainer *t)
{
	const struct rd_train_opts *o = &t->o;

	return (struct rd_adamw){
		.lr = (float)rate(o, t->step), .beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->adam_eps,
		.weight_decay = (float)o->weight_decay, .ema = (float)o->ema, .step = t->step + 1, .clip = o->clip,
	};
}

/* The batch, and all that differs from step to step. */
static int upload(struct rd_trainer *t, struct rd_err *e)
{
	const struct rd_adamw a = adamw_of(t);
	size_t per = (size_t)t->d.n * sizeof(float);
	struct {
		void *to;
		const void *from;
		size_t bytes;
	} put[] = {{t->in_x0, t->h_in_x0, per}, {t->in_eps, t->h_in_eps, per}, {t->target_x0, t->h_target_x0, per},
	           {t->target_eps, t->h_target_eps, per}, {t->k, t->h_k, per}, {t->weight, t->h_w, per},
	           {t->adamw, &a, sizeof a}};
	int rc = t->be->sample_import(t->dev, t->d, t->h_x0, t->x0, e);

	memcpy(t->h_done_w, t->h_w, per);
	if (!rc)
		rc = t->be->sample_import(t->dev, t->d, t->h_eps, t->eps, e);
	for (size_t i = 0; i < sizeof put / sizeof *put && !rc; i++)
		rc = t->be->put(t->dev, put[i].to, put[i].from, put[i].bytes, e);
	if (!rc)
		rc = rd_exec_put_times(t->x, t->h_t, e);
	if (!rc)
		rc = rd_exec_put_labels(t->x, t->h_label, e);
	return rc ? rc : rd_exec_set_draw(t->x, (uint64_t)t->step * (uint64_t)t->d.n, e);
}

/* Losses and gradient of the batch that was uploaded. */
static int gradient(struct rd_trainer *t, struct rd_err *e)
{
	struct rd_loss_desc l = {t->d, t->o.loss, (float)t->o.huber_c};
	int rc = t->be->combine(t->dev, t->d, t->in_x0, t->x0, t->in_eps, t->eps, rd_exec_value(t->x, t->g->x), e);

	if (!rc)
		rc = t->be->combine(t->dev, t->d, t->target_x0, t->x0, t->target_eps, t->eps, t->target, e);
	if (!rc)
		rc = rd_exec_load(t->x, t->w, e);
	if (!rc)
		rc = t->be->zero(t->dev, t->dw, t->n_flat * sizeof(float), e);
	if (!rc)
		rc = rd_exec_forward(t->x, e);
	if (!rc)
		rc = t->be->loss(t->dev, &l, rd_exec_value(t->x, t->g->y), t->target, t->k, t->weight, t->per_image,
		                 rd_exec_grad(t->x, t->g->y), e);
	return rc ? rc : rd_exec_backward(t->x, t->dw, e);
}

/* All that a step does on the device; reads nothing of the host, so that it can be recorded. */
static int update(void *ctx, struct rd_err *e)
{
	struct rd_trainer *t = ctx;
	int rc = gradient(t, e);

	if (!rc)
		rc = t->be->sqnorm(t->dev, t->n_flat, t->dw, t->sq, t->norm_ws, e);
	return rc ? rc : t->be->adamw(t->dev, t->adamw, t->sq, t->g->n_trained, t->w, t->dw, t->m, t->v, t->ema, e);
}

static int fetch(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e)
{
	double sq = 0;
	int rc = t->be->get(t->dev, t->h_loss, t->per_image, (size_t)t->d.n * sizeof(float), e);

	if (!rc)
		rc = t->be->get(t->dev, &sq, t->sq, sizeof sq, e);
	*r = (struct rd_step_report){.grad_norm = sqrt(sq), .lr = rate(&t->o, t->step)};
	for (int64_t j = 0; j < t->d.n && !rc; j++)
		r->loss += (double)t->h_done_w[j] * (double)t->h_loss[j] / (double)t->d.n;
	return rc;
}

/* The coming batch, while a device that runs beside the host computes. What is wrong with it is said when its turn comes. */
static void look_ahead(struct rd_trainer *t)
{
	struct rd_err later;

	if (t->be->record_begin && t->step + 1 < t->o.steps && assemble(t, t->step + 1, &later))
		t->assembled = -1;
}

int rd_trainer_step(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e)
{
	int rc = assemble(t, t->step, e);

	if (!rc)
		rc = upload(t, e);
	if (!rc)
		rc = rd_routine_run(&t->update, update, t, e);
	if (!rc) {
		look_ahead(t);
		rc = fetch(t, r, e);
	}
	if (!rc && (!isfinite(r->loss) || !isfinite(r->grad_norm)))
		rc = rd_fail(e, RD_EFAIL, "step %lld: the loss is %g and its gradient's norm %g; a smaller --lr or --clip may help",
		             (long long)t->step + 1, r->loss, r->grad_norm);
	if (!rc)
		t->step++;
	return rc;
}

int rd_trainer_rehearse(struct rd_trainer *t, struct rd_err *e)
{
	int rc = assemble(t, t->step, e);

	if (!rc)
		rc = upload(t, e);
	if (!rc)
		rc = gradient(t, e);
	return rc ? rc : t->be->sync(t->dev, e);
}

int64_t rd_trainer_done(const struct rd_trainer *t)
{
	return t->step;
}

size_t rd_trainer_bytes(const struct rd_trainer *t)
{
	return t->bytes;
}

int rd_train_state_init(struct rd_train_state *s, size_t n, struct rd_err *e)
{
	void *p;
	int rc;

	memset(s, 0, sizeof *s);
	rc = rd_alloc0(&p, 4 * n, sizeof *s->w, "training state", e);
	if (rc)
		return rc;
	s->n = n;
	s->w = p;
	s->m = s->w + n;
	s->v = s->m + n;
	s->ema = s->v + n;
	return RD_OK;
}

void rd_train_state_free(struct rd_train_state *s)
{
	if (!s)
		return;
	free(s->w);
	memset(s, 0, sizeof *s);
}

int rd_trainer_get(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e)
{
	float *host[] = {s->w, s->m, s->v, s->ema}, *dev[] = {t->w, t->m, t->v, t->ema};
	int rc = 0;

	s->step = t->step;
	for (int i = 0; i < 4 && !rc; i++)
		rc = t->be->get(t->dev, host[i], dev[i], t->n_flat * sizeof(float), e);
	return rc;
}

int rd_trainer_set(struct rd_trainer *t, const struct rd_train_state *s, struct rd_err *e)
{
	float *host[] = {s->w, s->m, s->v, s->ema}, *dev[] = {t->w, t->m, t->v, t->ema};
	int rc = 0;

	for (int i = 0; i < 4 && !rc; i++)
		rc = t->be->put(t->dev, dev[i], host[i], t->n_flat * sizeof(float), e);
	t->step = s->step;
	return rc;
}

json_t *rd_train_describe(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:s, s:s, s:f, s:f, s:I, s:I}",
	                 "model", m->hash, "data", d->hash, "coupling", d->eps ? "pairs" : "independent",
	                 "samples", (json_int_t)d->n, "steps", (json_int_t)o->steps, "batch", (json_int_t)o->batch,
	                 "warmup", (json_int_t)o->warmup, "rate", rd_rate_names[o->rate], "lr", o->lr, "beta1", o->beta1,
	                 "beta2", o->beta2, "adam_eps", o->adam_eps, "weight_decay", o->weight_decay, "clip", o->clip,
	                 "ema", o->ema, "loss", rd_loss_names[o->loss], "loss_space", rd_loss_space_names[o->space],
	                 "time_sampling", rd_time_sampling_names[o->times],
	                 "huber_c", o->huber_c, "label_drop", o->label_drop, "null_class", (json_int_t)o->null_class,
	                 "seed", (json_int_t)o->seed);
}
