#include "lib/train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/graph/exec.h"
#include "lib/graph/routine.h"
#include "lib/train/draw.h"
#include "lib/train/mirror.h"
#include "lib/train/teacher.h"

struct rd_trainer {
	const struct rd_model *model;
	const struct rd_dataset *held; /* NULL: none */
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_train_opts o;
	struct rd_objective objective;
	struct rd_draw *draw;
	struct rd_teacher *teacher;    /* NULL: none is needed */
	struct rd_graph *g;
	struct rd_exec *x, *held_x;    /* held_x: without dropout, for what is held out */
	struct rd_dims d;              /* of what the network has at once */
	int64_t parts;                 /* of a batch, d.n images each */
	size_t n, bytes;               /* n: parameters that the state has: all, or those of the adapters */
	int64_t step;
	/* device: parameters; gradients, moments, average [n]; the batch. What is frozen where adapters are trained stands behind the
	 * first n of w, and of ema too where the held-out loss is measured with it. */
	float *w, *dw, *m, *v, *ema;
	void *x0, *eps, *target, *norm_ws;
	/* device, sent with the batch: coefficients of images, and of the update */
	struct rd_mirror sent;
	float *in_a, *in_b, *on_a, *on_b, *k, *weight;
	struct rd_adamw *adamw;
	/* device, fetched: losses of images, squared norm of the gradient */
	struct rd_mirror results;
	float *per_image;
	double *sq;
	float *part_loss; /* device: of the images of a part; per_image itself where there is one */
	struct rd_routine whole, begin, part, end; /* what a step does on the device, once its batch, or a part of it, is there */
	/* host */
	struct rd_train_batch batch;
	int64_t assembled, uploaded; /* the step whose batch it is; which part, of all steps' parts, the device has; -1: none */
	float *done_weight;          /* of the batch whose losses are to be fetched */
};

static int alloc_device(struct rd_trainer *t, struct rd_err *e)
{
	size_t act = t->be->sample_bytes(t->d), all = t->g->n_flat * sizeof(float), n = t->n * sizeof(float);
	struct {
		void **p;
		size_t bytes;
	} a[] = {{(void **)&t->w, all}, {(void **)&t->dw, n}, {(void **)&t->m, n}, {(void **)&t->v, n},
	         {(void **)&t->ema, t->held ? all : n}, {&t->x0, act}, {&t->eps, act}, {&t->target, act},
	         {&t->norm_ws, t->be->sqnorm_ws_bytes(t->n)}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++) {
		rc = t->be->alloc(t->dev, a[i].p, a[i].bytes, e);
		t->bytes += a[i].bytes;
	}
	return rc;
}

static int make_mirrors(struct rd_trainer *t, struct rd_err *e)
{
	size_t per = (size_t)t->d.n * sizeof(float), all = (size_t)t->parts * per;
	const struct rd_mirror_part sent[] = {{(void **)&t->adamw, sizeof *t->adamw}, {(void **)&t->in_a, per},
	                                      {(void **)&t->in_b, per}, {(void **)&t->on_a, per}, {(void **)&t->on_b, per},
	                                      {(void **)&t->k, per}, {(void **)&t->weight, per}},
	                            results[] = {{(void **)&t->sq, sizeof *t->sq}, {(void **)&t->per_image, all}};
	int rc = rd_mirror_init(&t->sent, t->be, t->dev, sent, sizeof sent / sizeof *sent, e);

	if (!rc)
		rc = rd_mirror_init(&t->results, t->be, t->dev, results, sizeof results / sizeof *results, e);
	t->bytes += t->sent.bytes + t->results.bytes;
	if (rc || t->parts > 1)
		return rc ? rc : t->be->alloc(t->dev, (void **)&t->part_loss, per, e);
	t->part_loss = t->per_image;
	return RD_OK;
}

static int alloc_host(struct rd_trainer *t, size_t dim, struct rd_err *e)
{
	void *p;
	int rc = rd_train_batch_new(&t->batch, t->o.batch, dim, e);

	if (!rc)
		rc = rd_alloc0(&p, (size_t)t->o.batch, sizeof *t->done_weight, "training batch", e);
	t->done_weight = rc ? NULL : p;
	return rc;
}

/* New adapters, as a state begins with them. */
static int put_adapters(struct rd_trainer *t, struct rd_err *e)
{
	size_t bytes = t->n * sizeof(float);
	void *p;
	int rc = rd_alloc(&p, t->n, sizeof(float), "adapters", e);

	if (rc)
		return rc;
	rd_graph_init_adapters(t->g, t->o.seed, p);
	rc = t->be->put(t->dev, t->w, p, bytes, e);
	if (!rc)
		rc = t->be->put(t->dev, t->ema, p, bytes, e);
	free(p);
	return rc;
}

static int fill_device(struct rd_trainer *t, struct rd_err *e)
{
	const size_t n = t->g->n_adapters, flat = (t->g->n_flat - n) * sizeof(float);
	int rc = t->be->put(t->dev, t->w + n, t->model->w, flat, e);

	if (!rc && (!n || t->held))
		rc = t->be->put(t->dev, t->ema + n, t->model->w, flat, e);
	if (!rc && n)
		rc = put_adapters(t, e);
	if (!rc)
		rc = t->be->zero(t->dev, t->m, t->n * sizeof(float), e);
	if (!rc)
		rc = t->be->zero(t->dev, t->v, t->n * sizeof(float), e);
	if (!rc)
		rc = rd_exec_load(t->x, t->w, e);
	return rc || !t->held ? rc : rd_exec_load(t->held_x, t->ema, e);
}

static int check_options(const struct rd_trainer *t, struct rd_err *e)
{
	const struct rd_train_opts *o = &t->o;
	int rc = rd_train_check(o, e);

	if (rc)
		return rc;
	if (rd_net_takes_labels(&t->model->net, e))
		return rd_context(e, "%s", t->model->dir);
	if (o->null_class >= t->model->net.classes)
		return rd_fail(e, RD_EUSAGE, "null class %lld: the model has %lld classes", (long long)o->null_class,
		               (long long)t->model->net.classes);
	return RD_OK;
}

static bool needs_teacher(const struct rd_objective *b)
{
	return b->grid.steps || b->within.steps;
}

/* The networks: the one that learns, and those that it is compared with. */
static int make_networks(struct rd_trainer *t, struct rd_err *e)
{
	int64_t n = t->o.micro_batch ? t->o.micro_batch : t->o.batch;
	int rc = rd_net_build_adapted(&t->model->net, n, t->o.lora, &t->g, e);

	if (!rc && t->o.lora.rank && !t->g->n_adapters)
		rc = rd_fail(e, RD_EUSAGE, "%s: none of its layers would get an adapter", t->model->dir);
	if (!rc)
		rc = rd_exec_new(&t->x, t->g, t->be, t->dev,
		                 (struct rd_exec_opts){.training = true, .seed = t->o.seed, .recompute = t->o.recompute}, e);
	if (!rc && t->held)
		rc = rd_exec_new(&t->held_x, t->g, t->be, t->dev, (struct rd_exec_opts){0}, e);
	if (!rc && needs_teacher(&t->objective))
		rc = rd_teacher_new(&t->teacher, &t->objective, t->be, t->dev, n, e);
	if (rc)
		return rc;
	t->d = rd_graph_dims(t->g, t->g->x);
	t->parts = t->o.batch / n;
	t->n = t->g->n_adapters ? t->g->n_adapters : t->g->n_flat;
	t->bytes = rd_exec_bytes(t->x) + (t->held_x ? rd_exec_bytes(t->held_x) : 0) + (t->teacher ? rd_teacher_bytes(t->teacher) : 0);
	return RD_OK;
}

int rd_trainer_new(struct rd_trainer **out, const struct rd_model *m, const struct rd_dataset *d, const struct rd_dataset *held,
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
	t->held = held && held->n ? held : NULL;
	t->be = be;
	t->dev = dev;
	t->o = *o;
	t->assembled = t->uploaded = -1;
	t->whole = t->begin = t->part = t->end = (struct rd_routine){.be = be, .dev = dev};
	rc = check_options(t, e);
	if (!rc)
		rc = rd_objective_init(&t->objective, m, &t->o, d->meta, e);
	if (!rc)
		rc = rd_draw_new(&t->draw, d, &t->objective, e);
	if (!rc)
		rc = make_networks(t, e);
	if (!rc)
		rc = alloc_device(t, e);
	if (!rc)
		rc = make_mirrors(t, e);
	if (!rc)
		rc = alloc_host(t, d->dim, e);
	if (!rc)
		rc = fill_device(t, e);
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
	void *dev[] = {t->w, t->dw, t->m, t->v, t->ema, t->x0, t->eps, t->target, t->norm_ws};

	rd_routine_free(&t->whole);
	rd_routine_free(&t->begin);
	rd_routine_free(&t->part);
	rd_routine_free(&t->end);
	if (t->parts > 1 && t->part_loss)
		t->be->release(t->dev, t->part_loss);
	for (size_t i = 0; i < sizeof dev / sizeof *dev; i++)
		if (dev[i])
			t->be->release(t->dev, dev[i]);
	rd_train_batch_free(&t->batch);
	rd_mirror_free(&t->sent);
	rd_mirror_free(&t->results);
	free(t->done_weight);
	rd_draw_free(t->draw);
	rd_teacher_free(t->teacher);
	rd_objective_free(&t->objective);
	rd_exec_free(t->x);
	rd_exec_free(t->held_x);
	rd_graph_free(t->g);
	free(t);
}

/* The batch of a step on the host. */
static int assemble(struct rd_trainer *t, int64_t step, struct rd_err *e)
{
	int rc;

	if (t->assembled == step)
		return RD_OK;
	t->assembled = t->uploaded = -1;
	rc = rd_draw_step(t->draw, step, &t->batch, e);
	if (!rc)
		t->assembled = step;
	return rc;
}

static double rate_of(const struct rd_trainer *t, int64_t step)
{
	return rd_rate_at(t->o.rate, t->o.lr, t->o.warmup, t->o.steps, step);
}

static struct rd_adamw adamw_of(const struct rd_trainer *t, int64_t step)
{
	const struct rd_train_opts *o = &t->o;

	return (struct rd_adamw){
		.lr = (float)rate_of(t, step), .beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->adam_eps,
		.weight_decay = (float)o->weight_decay, .ema = (float)rd_ema_decay(&o->ema, step + 1), .step = step + 1, .clip = o->clip,
	};
}

/* Coefficients of a part, and of the step's update. The loss is a mean over the part: of the batch's it is one in so many. */
static int send(struct rd_trainer *t, const struct rd_train_batch *b, int64_t step, struct rd_err *e)
{
	const struct rd_adamw a = adamw_of(t, step);
	float *weight = rd_mirror_host(&t->sent, t->weight);
	size_t per = (size_t)t->d.n * sizeof(float);
	struct {
		void *to;
		const void *from;
		size_t bytes;
	} put[] = {{t->in_a, b->in_a, per}, {t->in_b, b->in_b, per}, {t->on_a, b->on_a, per}, {t->on_b, b->on_b, per},
	           {t->k, b->k, per}, {t->weight, b->weight, per}, {t->adamw, &a, sizeof a}};

	for (size_t i = 0; i < sizeof put / sizeof *put; i++)
		memcpy(rd_mirror_host(&t->sent, put[i].to), put[i].from, put[i].bytes);
	for (int64_t j = 0; j < t->d.n; j++)
		weight[j] /= (float)t->parts;
	return rd_mirror_put(&t->sent, e);
}

/* A part of a batch, and all that differs from one to the next. x: the network that is to see it. In few copies: while a device
 * computes, it has room for few that wait for it (RD_SLOTS in kernels/cuda/stage.h). */
static int upload(struct rd_trainer *t, struct rd_exec *x, const struct rd_train_batch *b, int64_t step, struct rd_err *e)
{
	int rc = t->be->sample_import(t->dev, t->d, b->x0, t->x0, e);

	if (!rc)
		rc = t->be->sample_import(t->dev, t->d, b->eps, t->eps, e);
	if (!rc)
		rc = send(t, b, step, e);
	if (!rc && t->teacher)
		rc = rd_teacher_prepare(t->teacher, b, t->ema, t->x0, t->eps, e);
	if (!rc)
		rc = rd_exec_put_times(x, b->t, e);
	return rc ? rc : rd_exec_put_labels(x, b->label, e);
}

/* Input and target of the part that was uploaded. */
static int mix(struct rd_trainer *t, struct rd_exec *x, struct rd_err *e)
{
	int rc = t->be->combine(t->dev, t->d, t->in_a, t->x0, t->in_b, t->eps, rd_exec_value(x, t->g->x), e);

	return rc ? rc : t->be->combine(t->dev, t->d, t->on_a, t->x0, t->on_b, t->eps, t->target, e);
}

static struct rd_loss_desc loss_desc(const struct rd_trainer *t)
{
	double c = t->o.loss == RD_LOSS_HUBER_IMAGE ? t->o.huber_c * (double)t->batch.dim : t->o.huber_c;

	return (struct rd_loss_desc){t->d, t->o.loss, (float)c};
}

/* What a step does on the device, in three: it reads nothing of the host, so that it can be recorded. */
static int begin(void *ctx, struct rd_err *e)
{
	struct rd_trainer *t = ctx;
	int rc = rd_exec_reload(t->x, e);

	return rc ? rc : t->be->zero(t->dev, t->dw, t->n * sizeof(float), e);
}

/* Losses and gradient of the part that was uploaded. */
static int part(void *ctx, struct rd_err *e)
{
	struct rd_trainer *t = ctx;
	const struct rd_loss_desc l = loss_desc(t);
	int rc = mix(t, t->x, e);

	if (!rc)
		rc = rd_exec_forward(t->x, e);
	if (!rc)
		rc = t->be->loss(t->dev, &l, rd_exec_value(t->x, t->g->y), t->target, t->k, t->weight, t->part_loss,
		                 rd_exec_grad(t->x, t->g->y), e);
	return rc ? rc : rd_exec_backward(t->x, t->dw, e);
}

static int end(void *ctx, struct rd_err *e)
{
	struct rd_trainer *t = ctx;
	int rc = t->be->sqnorm(t->dev, t->n, t->dw, t->sq, t->norm_ws, e);

	return rc ? rc : t->be->adamw(t->dev, t->adamw, t->sq, t->g->n_trained, t->w, t->dw, t->m, t->v, t->ema, e);
}

static int whole(void *ctx, struct rd_err *e)
{
	int rc = begin(ctx, e);

	if (!rc)
		rc = part(ctx, e);
	return rc ? rc : end(ctx, e);
}

/* The losses of the images of part p to those of the batch. */
static int keep_losses(struct rd_trainer *t, int64_t p, struct rd_err *e)
{
	if (t->parts == 1)
		return RD_OK;
	return t->be->copy(t->dev, t->per_image + p * t->d.n, t->part_loss, (size_t)t->d.n * sizeof *t->part_loss, e);
}

/* Waits for the results; the losses of the first n images, which have these weights, added up. */
static int fetch_loss(struct rd_trainer *t, const float *weight, int64_t n, double *sum, struct rd_err *e)
{
	const float *loss = rd_mirror_host(&t->results, t->per_image);
	int rc = rd_mirror_get(&t->results, e);

	for (int64_t j = 0; j < n && !rc; j++)
		*sum += (double)weight[j] * (double)loss[j];
	return rc;
}

static int fetch(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e)
{
	int rc;

	*r = (struct rd_step_report){.lr = rate_of(t, t->step)};
	rc = fetch_loss(t, t->done_weight, t->batch.n, &r->loss, e);
	r->loss /= (double)t->batch.n;
	r->grad_norm = sqrt(*(const double *)rd_mirror_host(&t->results, t->sq));
	return rc;
}

/* Part p of the step's batch on the device, unless it is there. */
static int upload_part(struct rd_trainer *t, int64_t step, int64_t p, struct rd_err *e)
{
	const int64_t number = step * t->parts + p;
	struct rd_train_batch b;
	int rc;

	if (t->uploaded == number)
		return RD_OK;
	t->uploaded = -1;
	rc = assemble(t, step, e);
	if (rc)
		return rc;
	b = rd_train_micro_batch(&t->batch, p * t->d.n, t->d.n);
	rc = upload(t, t->x, &b, step, e);
	if (!rc)
		rc = rd_exec_set_draw(t->x, (uint64_t)number * (uint64_t)t->d.n, e);
	if (!rc)
		t->uploaded = number;
	return rc;
}

/* The coming batch, on its way to a device that runs beside the host and has not begun with it before it is done with this one.
 * What is wrong with it is said when its turn comes. */
static void look_ahead(struct rd_trainer *t)
{
	struct rd_err later;

	if (t->be->record_begin && t->step + 1 < t->o.steps && upload_part(t, t->step + 1, 0, &later))
		t->assembled = -1;
}

/* Part p, which is there, on the device; it is used up then: the network's memory for it is for other things too. */
static int run_part(struct rd_trainer *t, int64_t p, struct rd_err *e)
{
	int rc;

	t->uploaded = -1;
	if (t->parts == 1)
		return rd_routine_run(&t->whole, whole, t, e);
	rc = p ? RD_OK : rd_routine_run(&t->begin, begin, t, e);
	if (!rc)
		rc = rd_routine_run(&t->part, part, t, e);
	if (!rc)
		rc = keep_losses(t, p, e);
	return rc || p < t->parts - 1 ? rc : rd_routine_run(&t->end, end, t, e);
}

int rd_trainer_step(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e)
{
	int rc = RD_OK;

	for (int64_t p = 0; p < t->parts && !rc; p++) {
		rc = upload_part(t, t->step, p, e);
		if (!rc)
			rc = run_part(t, p, e);
	}
	if (!rc) {
		memcpy(t->done_weight, t->batch.weight, (size_t)t->batch.n * sizeof *t->done_weight);
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

/* The losses of the first n images of b, which are held out, added up. */
static int measure(struct rd_trainer *t, const struct rd_train_batch *b, int64_t n, double *sum, struct rd_err *e)
{
	const struct rd_loss_desc l = loss_desc(t);
	int rc = upload(t, t->held_x, b, t->step, e);

	if (!rc)
		rc = mix(t, t->held_x, e);
	if (!rc)
		rc = rd_exec_forward(t->held_x, e);
	if (!rc)
		rc = t->be->loss(t->dev, &l, rd_exec_value(t->held_x, t->g->y), t->target, t->k, t->weight, t->part_loss, NULL, e);
	if (!rc)
		rc = keep_losses(t, 0, e);
	return rc ? rc : fetch_loss(t, b->weight, n < b->n ? n : b->n, sum, e);
}

int rd_trainer_held_out(struct rd_trainer *t, double *loss, struct rd_err *e)
{
	int rc = t->held ? rd_exec_reload(t->held_x, e) : RD_OK;

	*loss = 0;
	t->assembled = t->uploaded = -1; /* its places are used */
	for (int64_t i = 0; t->held && i < t->held->n && !rc; i += t->batch.n) {
		rc = rd_draw_held(t->draw, t->held, i, &t->batch, e);
		for (int64_t j = 0; j < t->batch.n && i + j < t->held->n && !rc; j += t->d.n) {
			const struct rd_train_batch b = rd_train_micro_batch(&t->batch, j, t->d.n);

			rc = measure(t, &b, t->held->n - i - j, loss, e);
		}
	}
	if (t->held)
		*loss /= (double)t->held->n;
	return rc;
}

int rd_trainer_rehearse(struct rd_trainer *t, struct rd_err *e)
{
	int rc = begin(t, e);

	for (int64_t p = 0; p < t->parts && !rc; p++) {
		rc = upload_part(t, t->step, p, e);
		t->uploaded = -1;
		if (!rc)
			rc = part(t, e);
	}
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

bool rd_trainer_reads_model(const struct rd_trainer *t)
{
	return t->teacher;
}

int rd_trainer_state(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e)
{
	if (!t->be->on_host)
		return rd_train_state_init(s, t->n, e);
	*s = (struct rd_train_state){.n = t->n, .w = t->w, .m = t->m, .v = t->v, .ema = t->ema};
	return RD_OK;
}

int rd_trainer_get(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e)
{
	float *host[] = {s->w, s->m, s->v, s->ema}, *dev[] = {t->w, t->m, t->v, t->ema};
	int rc = 0;

	s->step = t->step;
	for (int i = 0; i < 4 && !rc; i++)
		if (host[i] != dev[i])
			rc = t->be->get(t->dev, host[i], dev[i], t->n * sizeof(float), e);
	return rc;
}

int rd_trainer_set(struct rd_trainer *t, const struct rd_train_state *s, struct rd_err *e)
{
	float *host[] = {s->w, s->m, s->v, s->ema}, *dev[] = {t->w, t->m, t->v, t->ema};
	int rc = 0;

	t->uploaded = -1; /* consistency's batch is made with the average */
	for (int i = 0; i < 4 && !rc; i++)
		if (host[i] != dev[i])
			rc = t->be->put(t->dev, dev[i], host[i], t->n * sizeof(float), e);
	t->step = s->step;
	return rc;
}

const struct rd_graph *rd_trainer_adapters(const struct rd_trainer *t)
{
	return t->g->n_adapters ? t->g : NULL;
}

int rd_trainer_merge(struct rd_trainer *t, const float *adapters, float *out, struct rd_err *e)
{
	const size_t n = t->g->n_adapters;
	int rc = t->be->get(t->dev, out, t->w + n, (t->g->n_flat - n) * sizeof(float), e);

	if (!rc)
		rd_graph_merge_adapters(t->g, adapters, out);
	return rc;
}
