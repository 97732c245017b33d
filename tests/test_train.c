/* The trainer: its loss against formulas, its steps against a plain reference in C, its rates, labels and refusals. */
#include "lib/graph/exec.h"
#include "tests/trainers.h"

/* --- the loss ----------------------------------------------------------------------------------------------------- */

static const char *const predictions[] = {"epsilon", "sample", "v_prediction", "flow_prediction"};

/* The time and the sample of step s with batches of one. */
static void drawn(const struct rd_model *m, const struct rd_train_opts *o, int s, double *t, size_t *row)
{
	uint32_t order[N];

	*t = m->scheduler.schedule.form->t_of_u(&m->scheduler.schedule, rd_rng_uniform(o->seed, RD_RNG_TIME, (uint64_t)s));
	rd_rng_permutation(o->seed, RD_RNG_SHUFFLE, (uint64_t)s / N, order, N);
	*row = order[s % N];
}

/* What a network that says 0 takes for x0 and eps, and its loss. */
static double loss_of_zero(const struct rd_model *m, const struct rd_train_opts *o, int s)
{
	const struct rd_schedule *c = &m->scheduler.schedule;
	double t, a, b, sum = 0;
	size_t row;

	drawn(m, o, s, &t, &row);
	a = rd_alpha(c, t);
	b = rd_sigma(c, t);
	for (size_t i = row * DIM; i < (row + 1) * DIM; i++) {
		double x0 = (double)sample[i], ep = (double)eps[i], x = a * x0 + b * ep, x0_hat = 0, ep_hat = 0, r;

		switch (m->scheduler.pred.type) {
		case RD_PRED_EPSILON: x0_hat = x / a; break;
		case RD_PRED_SAMPLE: ep_hat = x / b; break;
		case RD_PRED_V:
			x0_hat = a * x / (a * a + b * b);
			ep_hat = b * x / (a * a + b * b);
			break;
		default: x0_hat = ep_hat = x / (a + b);
		}
		r = o->space == RD_SPACE_X0 ? x0_hat - x0 : ep_hat - ep;
		sum += o->loss == RD_LOSS_L2 ? r * r : sqrt(r * r + o->huber_c * o->huber_c) - o->huber_c;
	}
	return sum / DIM;
}

/* Of a network that says 0, whose errors are known, for both losses in both spaces. */
static void losses(const char *form, const char *prediction)
{
	struct rd_model m = model_of(form, prediction);
	struct rd_dataset d = data_of(true, true);

	memset(m.w, 0, m.params->n_flat * sizeof *m.w);
	for (int k = 0; k < 4; k++) {
		struct rd_train_opts o = opts_of(100, 1);
		struct rd_trainer *t;

		o.lr = 0;
		o.loss = k % 2 ? RD_LOSS_HUBER : RD_LOSS_L2;
		o.space = k / 2 ? RD_SPACE_X0 : RD_SPACE_EPS;
		t = trainer_of(&m, &d, &o);
		for (int s = 0; s < 9; s++) {
			double want = loss_of_zero(&m, &o, s), got = step(t).loss;

			CHECK_NEAR(got, want, 2e-5 * want + 1e-9);
		}
		rd_trainer_free(t);
	}
	rd_model_free(&m);
}

/* Of a network with weights: an L2 loss in x0 space is (sigma/alpha)^2 times that in eps space. */
static void loss_ratio(const char *form, const char *prediction)
{
	struct rd_model m = model_of(form, prediction);
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(100, 1);
	struct rd_trainer *in_eps, *in_x0;

	o.lr = 0;
	in_eps = trainer_of(&m, &d, &o);
	o.space = RD_SPACE_X0;
	in_x0 = trainer_of(&m, &d, &o);
	for (int s = 0; s < 9; s++) {
		double a = step(in_eps).loss, b = step(in_x0).loss, t, n;
		size_t row;

		drawn(&m, &o, s, &t, &row);
		n = rd_sigma(&m.scheduler.schedule, t) / rd_alpha(&m.scheduler.schedule, t);
		CHECK(a > 0);
		CHECK_NEAR(b / a / (n * n), 1, 1e-5);
	}
	rd_trainer_free(in_eps);
	rd_trainer_free(in_x0);
	rd_model_free(&m);
}

/* --- a reference -------------------------------------------------------------------------------------------------- */

/* The trainer once more: one image after another, in double, but for the network itself. */
struct reference {
	const struct rd_model *m;
	const struct rd_dataset *d;
	struct rd_train_opts o;
	struct rd_graph *g;
	struct rd_exec *x;
	float *d_w, *d_g; /* device */
	float *grad;
	double *w, *mean, *var, *ema;
};

static struct reference reference_of(const struct rd_model *m, const struct rd_dataset *d,
                                     const struct rd_train_opts *o)
{
	struct reference r = {.m = m, .d = d, .o = *o};
	size_t n = m->params->n_flat;

	CHECK_OK(rd_net_build(&m->net, o->batch, &r.g, &e), &e);
	CHECK_OK(rd_exec_new(&r.x, r.g, be, dev, (struct rd_exec_opts){.training = true, .seed = o->seed}, &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&r.d_w, n * sizeof(float), &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&r.d_g, n * sizeof(float), &e), &e);
	r.grad = calloc(n, sizeof *r.grad);
	r.w = calloc(4 * n, sizeof *r.w);
	r.mean = r.w + n;
	r.var = r.mean + n;
	r.ema = r.var + n;
	for (size_t i = 0; i < n; i++)
		r.w[i] = r.ema[i] = (double)m->w[i];
	return r;
}

static void reference_free(struct reference *r)
{
	be->release(dev, r->d_w);
	be->release(dev, r->d_g);
	rd_exec_free(r->x);
	rd_graph_free(r->g);
	free(r->grad);
	free(r->w);
}

/* Half of the draws uniform, half as the factor: the inverse of the distribution by a walk over its thousand cells. */
static double draw_time(const struct reference *r, double v, double *weight)
{
	const struct rd_schedule *s = &r->m->scheduler.schedule;
	double k[1000], sum = 0, at = 0, mass;
	struct rd_pred_coef c;
	int i;

	*weight = 1;
	if (r->o.times.kind == RD_TIMES_UNIFORM)
		return v;
	for (i = 0; i < 1000; i++) {
		double t = s->form->t_of_u(s, (i + 0.5) / 1000);

		if (rd_pred_coef(r->m->scheduler.pred, rd_alpha(s, t), rd_sigma(s, t), &c, &e))
			CHECK_OK(-1, &e);
		k[i] = fabs(r->o.space == RD_SPACE_X0 ? c.x0_f : c.eps_f);
		sum += k[i];
	}
	for (i = 0; i < 999; i++, at += mass) {
		mass = (0.001 + k[i] / sum) / 2;
		if (at + mass > v)
			break;
	}
	mass = (0.001 + k[i] / sum) / 2;
	*weight = 0.001 / mass;
	return (i + (v - at) / mass) / 1000;
}

struct image {
	float x[DIM], target[DIM], t;
	int32_t label;
	double k, weight;
};

static struct image reference_image(const struct reference *r, int s, int j)
{
	const struct rd_schedule *c = &r->m->scheduler.schedule;
	uint64_t i = (uint64_t)(s * (int)r->o.batch + j);
	double v = fmod(rd_rng_uniform(r->o.seed, RD_RNG_TIME, (uint64_t)s) + (double)j / (double)r->o.batch, 1);
	double t, a, b, scale, on_x0, on_eps;
	uint32_t order[N];
	float fresh[DIM];
	const float *x0, *ep = fresh;
	struct rd_pred_coef k;
	struct image q;

	rd_rng_permutation(r->o.seed, RD_RNG_SHUFFLE, i / N, order, N);
	x0 = r->d->sample + DIM * order[i % N];
	if (r->d->eps)
		ep = r->d->eps + DIM * order[i % N];
	else
		rd_rng_normal(r->o.seed, RD_RNG_COUPLE, i, fresh, DIM);
	q.label = rd_rng_uniform(r->o.seed, RD_RNG_DROP, i) < r->o.label_drop ? 3 : r->d->label[order[i % N]];
	t = c->form->t_of_u(c, draw_time(r, v, &q.weight));
	a = rd_alpha(c, t);
	b = rd_sigma(c, t);
	scale = strcmp(c->form->name, "ve") ? 1 : 1 / sqrt(1 + b * b);
	q.t = (float)c->form->net_time(c, t);
	rd_pred_target(r->m->scheduler.pred, a, b, &on_x0, &on_eps);
	CHECK_OK(rd_pred_coef(r->m->scheduler.pred, a, b, &k, &e), &e);
	q.k = fabs(r->o.space == RD_SPACE_X0 ? k.x0_f : k.eps_f);
	for (int p = 0; p < DIM; p++) {
		q.x[p] = (float)(scale * (a * (double)x0[p] + b * (double)ep[p]));
		q.target[p] = (float)(on_x0 * (double)x0[p] + on_eps * (double)ep[p]);
	}
	return q;
}

/* The gradient of one batch's loss in r->grad; the loss. */
static double reference_gradient(struct reference *r, int s)
{
	int batch = (int)r->o.batch;
	float x[8 * DIM], y[8 * DIM], dy[8 * DIM], t[8];
	int32_t lab[8];
	size_t bytes = r->g->n_flat * sizeof(float);
	struct rd_dims d = rd_graph_dims(r->g, r->g->x);
	struct image q[8];
	double loss = 0;

	for (int j = 0; j < batch; j++) {
		q[j] = reference_image(r, s, j);
		memcpy(x + j * DIM, q[j].x, sizeof q[j].x);
		t[j] = q[j].t;
		lab[j] = q[j].label;
	}
	for (size_t i = 0; i < r->g->n_flat; i++)
		r->grad[i] = (float)r->w[i];
	CHECK_OK(be->put(dev, r->d_w, r->grad, bytes, &e), &e);
	CHECK_OK(be->zero(dev, r->d_g, bytes, &e), &e);
	CHECK_OK(rd_exec_load(r->x, r->d_w, &e), &e);
	CHECK_OK(be->sample_import(dev, d, x, rd_exec_value(r->x, r->g->x), &e), &e);
	CHECK_OK(rd_exec_put_times(r->x, t, &e), &e);
	CHECK_OK(rd_exec_put_labels(r->x, lab, &e), &e);
	CHECK_OK(rd_exec_set_draw(r->x, (uint64_t)(s * batch), &e), &e);
	CHECK_OK(rd_exec_forward(r->x, &e), &e);
	CHECK_OK(be->sample_export(dev, d, rd_exec_value(r->x, r->g->y), y, &e), &e);
	for (int i = 0; i < batch * DIM; i++) {
		const struct image *im = &q[i / DIM];
		double err = im->k * ((double)y[i] - (double)im->target[i % DIM]), c = r->o.huber_c;
		double root = sqrt(err * err + c * c);
		bool l2 = r->o.loss == RD_LOSS_L2;

		loss += im->weight * (l2 ? err * err : root - c) / (batch * DIM);
		dy[i] = (float)(im->weight * im->k * (l2 ? 2 * err : err / root) / (batch * DIM));
	}
	CHECK_OK(be->sample_import(dev, d, dy, rd_exec_grad(r->x, r->g->y), &e), &e);
	CHECK_OK(rd_exec_backward(r->x, r->d_g, &e), &e);
	CHECK_OK(be->get(dev, r->grad, r->d_g, bytes, &e), &e);
	return loss;
}

/* AdamW with its decay decoupled, after clipping by the global norm; then the moving average. */
static struct rd_step_report reference_step(struct reference *r, int s, double lr)
{
	struct rd_step_report rep = {.loss = reference_gradient(r, s), .lr = lr};
	const struct rd_train_opts *o = &r->o;
	double sq = 0, scale;

	for (size_t i = 0; i < r->g->n_flat; i++)
		sq += (double)r->grad[i] * (double)r->grad[i];
	rep.grad_norm = sqrt(sq);
	scale = o->clip > 0 && rep.grad_norm > o->clip ? o->clip / rep.grad_norm : 1;
	for (size_t i = 0; i < r->g->n_flat; i++) {
		double g = scale * (double)r->grad[i], m_hat, v_hat;

		r->mean[i] = o->beta1 * r->mean[i] + (1 - o->beta1) * g;
		r->var[i] = o->beta2 * r->var[i] + (1 - o->beta2) * g * g;
		m_hat = r->mean[i] / (1 - pow(o->beta1, s + 1));
		v_hat = r->var[i] / (1 - pow(o->beta2, s + 1));
		r->w[i] -= lr * (m_hat / (sqrt(v_hat) + o->adam_eps) + o->weight_decay * r->w[i]);
		r->ema[i] = o->ema.a[0] * r->ema[i] + (1 - o->ema.a[0]) * r->w[i];
	}
	return rep;
}

static double worst(const float *a, const double *b, size_t n)
{
	double d = 0, top = 0;

	for (size_t i = 0; i < n; i++) {
		d = fabs((double)a[i] - b[i]) <= d ? d : fabs((double)a[i] - b[i]);
		top = fmax(top, fabs(b[i]));
	}
	return d / top;
}

static void against_reference(struct rd_model m, bool paired, struct rd_train_opts o)
{
	struct rd_dataset d = data_of(paired, true);
	struct rd_trainer *t = trainer_of(&m, &d, &o);
	struct reference r = reference_of(&m, &d, &o);
	struct rd_train_state s;
	size_t n = m.params->n_flat;

	for (int k = 0; k < 5; k++) {
		struct rd_step_report got = step(t), want = reference_step(&r, k, got.lr);

		CHECK_NEAR(got.loss, want.loss, 1e-5 * want.loss);
		CHECK_NEAR(got.grad_norm, want.grad_norm, 1e-5 * want.grad_norm);
	}
	s = state_of(t, &m);
	printf("  %s, %s: after 5 steps w %.1g, m %.1g, v %.1g, ema %.1g from the reference\n", m.net.kind->class_name,
	       m.scheduler.schedule.form->name, worst(s.w, r.w, n), worst(s.m, r.mean, n), worst(s.v, r.var, n), worst(s.ema, r.ema, n));
	CHECK(s.step == 5 && rd_trainer_done(t) == 5);
	CHECK(worst(s.w, r.w, n) < 1e-5 && worst(s.m, r.mean, n) < 2e-5);
	CHECK(worst(s.v, r.var, n) < 2e-5 && worst(s.ema, r.ema, n) < 1e-5);
	rd_train_state_free(&s);
	rd_trainer_free(t);
	reference_free(&r);
	rd_model_free(&m);
}

static void references(void)
{
	struct rd_train_opts o = opts_of(5, 4);

	o.label_drop = 0.4;
	o.loss = RD_LOSS_HUBER;
	o.space = RD_SPACE_X0;
	o.times.kind = RD_TIMES_IMPORTANCE;
	against_reference(model_of("ddpm", "epsilon"), true, o);
	o.loss = RD_LOSS_L2;
	against_reference(model_of("ve", "v_prediction"), true, o);
	o = opts_of(5, 3);
	against_reference(model_of("fm", "flow_prediction"), false, o);
	o.clip = 0;
	o.rate = RD_RATE_COSINE;
	o.warmup = 2;
	against_reference(model_of("vp", "v_prediction"), true, o);
	against_reference(unet_of("vp", "epsilon", ", \"num_class_embeds\": 4, \"dropout\": 0.4"), true, o);
}

/* --- rates -------------------------------------------------------------------------------------------------------- */

/* Warm-up by equal parts of the rate; then half a cosine that would reach 0 one step after the last. */
static void rates(void)
{
	static const double cosine[] = {0.0025, 0.005, 0.0075, 0.01, 0.01, 0.009330127018922193, 0.0075, 0.005, 0.0025,
	                                0.0006698729810778064};
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset d = data_of(false, true);

	for (int k = 0; k < 3; k++) {
		struct rd_train_opts o = opts_of(10, 1);
		struct rd_trainer *t;

		o.warmup = k < 2 ? 4 : 0;
		o.rate = k == 1 ? RD_RATE_CONSTANT : RD_RATE_COSINE;
		t = trainer_of(&m, &d, &o);
		for (int s = 0; s < 10; s++) {
			double lr = step(t).lr, want = k == 0 ? cosine[s] : k == 1 ? fmin(0.01, 0.0025 * (s + 1)) :
			                               0.005 * (1 + cos(M_PI * s / 10));

			CHECK_NEAR(lr, want, 1e-12);
		}
		rd_trainer_free(t);
	}
	rd_model_free(&m);
}

/* --- labels, and what is not trained ------------------------------------------------------------------------------ */

/* The label of a sample that is dropped, and of data without labels, is the null class. */
static void labels(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset with = data_of(true, true), without = data_of(true, false);
	struct rd_train_opts o = opts_of(4, 2), drop = o;
	struct rd_trainer *a, *b, *c, *none;

	drop.label_drop = 1;
	a = trainer_of(&m, &with, &drop);
	b = trainer_of(&m, &without, &o);
	c = trainer_of(&m, &with, &o);
	for (int s = 0; s < 4; s++) {
		double la = step(a).loss, lb = step(b).loss, lc = step(c).loss;

		CHECK(la == lb && lb != lc);
	}
	drop.null_class = -1;
	CHECK(rd_trainer_new(&none, &m, &with, NULL, be, dev, &drop, &e) == RD_EUSAGE && !none && strstr(e.msg, "null class"));
	drop.null_class = CLASSES;
	CHECK(rd_trainer_new(&none, &m, &with, NULL, be, dev, &drop, &e) == RD_EUSAGE && strstr(e.msg, "4 classes"));
	rd_trainer_free(a);
	rd_trainer_free(b);
	rd_trainer_free(c);
	rd_model_free(&m);
}

/* A loss that is not finite stops the run with everything as it was. */
static void not_finite(void)
{
	struct rd_model m = model_of("vp", "sample");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(10, 2);
	struct rd_trainer *t = trainer_of(&m, &d, &o);
	struct rd_train_state before, after;
	struct rd_step_report r;

	step(t);
	before = state_of(t, &m);
	for (int i = 0; i < N * DIM; i++)
		sample[i] = 1e30f;
	CHECK(rd_trainer_step(t, &r, &e) == RD_EFAIL && strstr(e.msg, "step 2"));
	after = state_of(t, &m);
	CHECK(same_state(&before, &after));
	rd_train_state_free(&before);
	rd_train_state_free(&after);
	rd_trainer_free(t);
	rd_model_free(&m);
}

/* Zero terminal SNR: at t = 999 alpha is 0. There a v model's output says nothing of eps, and adds nothing to a loss in
 * eps space; an epsilon model's says nothing of x0, and is refused before the first step. */
static void zero_snr(void)
{
	struct rd_model v = model_with("ddpm", "v_prediction", ", \"rescale_betas_zero_snr\": true"),
	                ep = model_with("ddpm", "epsilon", ", \"rescale_betas_zero_snr\": true");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(4, 1000); /* as many images as times: each time once */
	struct rd_trainer *t = trainer_of(&v, &d, &o), *none;
	struct rd_model fm = model_of("fm", "epsilon"); /* which ends there too */

	step(t);
	rd_trainer_free(t);
	CHECK(rd_trainer_new(&none, &ep, &d, NULL, be, dev, &o, &e) == RD_EDOMAIN && !none && strstr(e.msg, "alpha = 0"));
	CHECK(rd_trainer_new(&none, &fm, &d, NULL, be, dev, &o, &e) == RD_EDOMAIN && !none && strstr(e.msg, "alpha = 0"));
	rd_model_free(&fm);
	rd_model_free(&v);
	rd_model_free(&ep);
}

int main(void)
{
	static const char *const forms[] = {"ddpm", "vp", "subvp", "ve", "fm"};

	trainers_begin();
	for (int f = 0; f < LEN(forms); f++)
		for (int p = 0; p < LEN(predictions); p++) {
			if (!strcmp(forms[f], "fm") && !strcmp(predictions[p], "epsilon"))
				continue; /* see zero_snr */
			losses(forms[f], predictions[p]);
			loss_ratio(forms[f], predictions[p]);
		}
	references();
	rates();
	labels();
	not_finite();
	zero_snr();
	trainers_end();
	return check_report("train");
}
