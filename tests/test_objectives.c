/* What training asks of the network: averages, weights, couplings, phases, consistency, held-out data; each against a
 * formula or a plain reference. */
#include "lib/model/query.h"
#include "lib/sample/denoiser.h"
#include "lib/train/assign.h"
#include "lib/train/draw.h"
#include "tests/trainers.h"

/* --- averages ----------------------------------------------------------------------------------------------------- */

static void averages(void)
{
	struct rd_spec s = {RD_EMA_CONSTANT, {0.9}};

	CHECK(rd_ema_decay(&s, 1) == 0.9 && rd_ema_decay(&s, 1000) == 0.9);
	s.kind = RD_EMA_WARMUP;
	CHECK_NEAR(rd_ema_decay(&s, 1), 2.0 / 11, 1e-15);
	CHECK(rd_ema_decay(&s, 1000) == 0.9);
	s = (struct rd_spec){RD_EMA_HALF_LIFE, {20}};
	CHECK_NEAR(pow(rd_ema_decay(&s, 7), 20), 0.5, 1e-12);
	s = (struct rd_spec){RD_EMA_POWER, {6.94}};
	CHECK(rd_ema_decay(&s, 1) == 0);
	/* the averaging profile is a power of time: what step k of K weighs goes with k^6.94 */
	double weight[400];
	for (int k = 1; k <= 400; k++) {
		weight[k - 1] = 1 - rd_ema_decay(&s, k);
		for (int j = 0; j < k - 1; j++)
			weight[j] *= rd_ema_decay(&s, k);
	}
	CHECK_NEAR(weight[199] / weight[399], pow(0.5, 6.94), 0.03 * pow(0.5, 6.94));
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

/* The batch of a step by rectrain's own draws. */
static struct rd_train_batch drawn(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o, int64_t step,
                                   struct rd_objective *b)
{
	struct rd_train_batch batch;
	struct rd_draw *draw;

	CHECK_OK(rd_objective_init(b, m, o, d->meta, &e), &e);
	CHECK_OK(rd_draw_new(&draw, d, b, &e), &e);
	CHECK_OK(rd_train_batch_new(&batch, o->batch, d->dim, &e), &e);
	CHECK_OK(rd_draw_step(draw, step, &batch, &e), &e);
	rd_draw_free(draw);
	return batch;
}

/* Whatever the space, the squared error of x0 has the weight asked for. */
static void weights(const char *form, const char *prediction)
{
	static const char *const weight[] = {"snr", "min-snr:3", "edm:0.7"};
	struct rd_model m = model_of(form, prediction);
	struct rd_dataset d = data_of(true, true);

	for (int i = 0; i < 9; i++) {
		struct rd_train_opts o = opts_of(10, 6);
		struct rd_train_batch b;
		struct rd_objective ob;

		o.space = (enum rd_loss_space)(i % 3);
		CHECK_OK(rd_spec_parse(&o.weight, rd_weight_kinds, "--weight", weight[i / 3], &e), &e);
		b = drawn(&m, &d, &o, 2, &ob);
		for (int j = 0; j < 6; j++) {
			struct rd_node n = b.node[j];
			double snr = n.alpha * n.alpha / (n.sigma * n.sigma), got, want;
			struct rd_query q;

			CHECK_OK(rd_model_query(&m, &n, &q, &e), &e);
			got = (double)b.weight[j] * (double)b.k[j] * (double)b.k[j] / (q.c.x0_f * q.c.x0_f);
			want = i / 3 == 0 ? snr : i / 3 == 1 ? fmin(snr, 3) : snr + 1 / 0.49;
			CHECK_NEAR(got / want, 1, 1e-5);
		}
		rd_train_batch_free(&b);
		rd_objective_free(&ob);
	}
	rd_model_free(&m);
}

/* At alpha = 0 a weight of the signal-to-noise ratio is 0: with no other time there is nothing to learn. */
static void weights_at_the_end(void)
{
	static const struct {
		const char *form, *prediction, *extra, *weight;
		bool good;
	} c[] = {
		{"fm", "flow_prediction", "", "snr", false}, {"fm", "flow_prediction", "", "min-snr", false},
		{"fm", "flow_prediction", "", "edm", true}, {"fm", "flow_prediction", "", "none", true},
		{"ddpm", "v_prediction", ", \"rescale_betas_zero_snr\": true", "min-snr", false},
		{"ddpm", "v_prediction", ", \"rescale_betas_zero_snr\": true", "edm", true},
		{"ddpm", "v_prediction", "", "snr", true}, {"ve", "epsilon", "", "min-snr", true}, {"vp", "epsilon", "", "snr", true},
	};

	for (int i = 0; i < LEN(c); i++) {
		struct rd_model m = model_with(c[i].form, c[i].prediction, c[i].extra);
		struct rd_train_opts o = opts_of(10, 6);
		struct rd_objective ob;
		int rc;

		o.space = RD_SPACE_X0;
		o.times.kind = RD_TIMES_LAST;
		CHECK_OK(rd_spec_parse(&o.weight, rd_weight_kinds, "--weight", c[i].weight, &e), &e);
		rc = rd_objective_init(&ob, &m, &o, NULL, &e);
		CHECK(c[i].good ? rc == RD_OK : rc == RD_EUSAGE && strstr(e.msg, c[i].weight));
		if (!rc)
			rd_objective_free(&ob);
		o.times.kind = RD_TIMES_UNIFORM; /* there are other times */
		CHECK_OK(rd_objective_init(&ob, &m, &o, NULL, &e), &e);
		rd_objective_free(&ob);
		rd_model_free(&m);
	}
}

/* Where the loss's own space sees nothing of an error, at alpha = 0, a weight of squared errors of x0 is what it is elsewhere, and that
 * of another loss is refused. */
static void weights_where_nothing_is_seen(void)
{
	static const char *const weight[] = {"snr", "min-snr", "edm"};
	struct rd_model m = model_with("ddpm", "v_prediction", ", \"rescale_betas_zero_snr\": true");
	struct rd_dataset d = data_of(false, false);

	for (int i = 0; i < LEN(weight); i++) {
		struct rd_train_opts o = opts_of(10, 6);
		struct rd_train_batch b;
		struct rd_objective ob;

		o.space = RD_SPACE_EPS;
		o.coupling = RD_COUPLING_INDEPENDENT;
		CHECK_OK(rd_spec_parse(&o.weight, rd_weight_kinds, "--weight", weight[i], &e), &e);
		for (int k = 0; k < 2; k++) {
			o.times.kind = k ? RD_TIMES_UNIFORM : RD_TIMES_IMPORTANCE;
			CHECK_OK(rd_objective_init(&ob, &m, &o, NULL, &e), &e);
			CHECK_OK(rd_train_batch_new(&b, 1, d.dim, &e), &e);
			CHECK_OK(rd_objective_set(&ob, 1 - 0x1p-53, &b, 0, &e), &e);
			CHECK(b.node[0].alpha == 0 && isfinite(b.weight[0]) && isfinite(b.k[0]));
			CHECK_NEAR(b.k[0] * b.k[0] * b.weight[0] > 0, i == 2, 0);
			rd_train_batch_free(&b);
			rd_objective_free(&ob);
		}
		o.loss = RD_LOSS_HUBER;
		CHECK(rd_objective_init(&ob, &m, &o, NULL, &e) == RD_EUSAGE && strstr(e.msg, weight[i]) && strstr(e.msg, "huber"));
	}
	rd_model_free(&m);
}

/* --- couplings ---------------------------------------------------------------------------------------------------- */

static double best_of_all(size_t n, const double *cost, size_t row, unsigned taken)
{
	double best = INFINITY;

	if (row == n)
		return 0;
	for (size_t j = 0; j < n; j++)
		if (!(taken >> j & 1))
			best = fmin(best, cost[row * n + j] + best_of_all(n, cost, row + 1, taken | 1u << j));
	return best;
}

static void assignments(void)
{
	double cost[49], work[6 * 7];
	size_t column[7];

	CHECK(rd_assign_doubles(7) <= LEN(work));
	for (unsigned k = 0; k < 200; k++) {
		size_t n = 1 + k % 7;
		unsigned seen = 0;
		double sum = 0;

		for (size_t i = 0; i < n * n; i++) /* every third case has many ties */
			cost[i] = k % 3 ? rd_rng_uniform(k, RD_RNG_DATA, i) - 0.5 : floor(3 * rd_rng_uniform(k, RD_RNG_DATA, i));
		rd_assign(n, cost, column, work);
		for (size_t i = 0; i < n; i++) {
			CHECK(column[i] < n);
			seen |= 1u << column[i];
			sum += cost[i * n + column[i]];
		}
		CHECK(seen == (1u << n) - 1);
		CHECK_NEAR(sum, best_of_all(n, cost, 0, 0), 1e-12);
	}
}

static double pair_distance(const struct rd_train_batch *b, int i, int j)
{
	double sum = 0;

	for (int k = 0; k < DIM; k++)
		sum += pow((double)b->x0[i * DIM + k] - (double)b->eps[j * DIM + k], 2);
	return sum;
}

/* The noise of a batch is dealt anew, within classes, and no swap of two of a class makes it better. */
static void transport(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset d = data_of(false, true);
	struct rd_train_opts o = opts_of(10, 7);
	struct rd_train_batch free_b, ot;
	struct rd_objective b1, b2;
	uint32_t order[N];
	int moved = 0;

	for (int64_t s = 0; s < 5; s++) {
		double before = 0, after = 0;

		o.coupling = RD_COUPLING_INDEPENDENT;
		free_b = drawn(&m, &d, &o, s, &b1);
		o.coupling = RD_COUPLING_OT;
		ot = drawn(&m, &d, &o, s, &b2);
		rd_rng_permutation(o.seed, RD_RNG_SHUFFLE, (uint64_t)s, order, N); /* batch = all samples: an epoch a step */
		for (int i = 0; i < 7; i++) {
			int from = -1;

			before += pair_distance(&free_b, i, i);
			after += pair_distance(&ot, i, i);
			for (int j = 0; j < 7; j++)
				if (!memcmp(ot.eps + i * DIM, free_b.eps + j * DIM, DIM * sizeof(float)))
					from = j;
			CHECK(from >= 0 && label[order[from]] == label[order[i]]);
			moved += from != i;
			for (int j = 0; j < i; j++)
				if (label[order[i]] == label[order[j]])
					CHECK(pair_distance(&ot, i, i) + pair_distance(&ot, j, j) <=
					      pair_distance(&ot, i, j) + pair_distance(&ot, j, i) + 1e-6);
		}
		CHECK(after <= before + 1e-6);
		rd_train_batch_free(&free_b);
		rd_train_batch_free(&ot);
		rd_objective_free(&b1);
		rd_objective_free(&b2);
	}
	CHECK(moved > 5);
	rd_model_free(&m);
}

/* What is held out is coupled as what is trained on is, class by class within a batch, and the same whenever asked. */
static void held_transport(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset held = data_of(false, true);
	struct rd_train_opts o = opts_of(10, 9); /* the batch is filled up with two that are there already */
	struct rd_train_batch b[3];
	struct rd_objective ob;
	struct rd_draw *draw;
	int moved = 0;

	for (int k = 0; k < 3; k++) {
		o.coupling = k ? RD_COUPLING_OT : RD_COUPLING_INDEPENDENT;
		CHECK_OK(rd_objective_init(&ob, &m, &o, NULL, &e), &e);
		CHECK_OK(rd_draw_new(&draw, &held, &ob, &e), &e);
		CHECK_OK(rd_train_batch_new(&b[k], o.batch, DIM, &e), &e);
		CHECK_OK(rd_draw_held(draw, &held, 0, &b[k], &e), &e);
		rd_draw_free(draw);
		rd_objective_free(&ob);
	}
	CHECK(!memcmp(b[1].eps, b[2].eps, 9 * DIM * sizeof(float)) && !memcmp(b[1].t, b[2].t, 9 * sizeof(float)));
	for (int i = 0; i < 9; i++) {
		int from = -1;

		CHECK(b[1].label[i] == label[i % N] && b[1].t[i] == b[0].t[i]);
		for (int j = 0; j < 9; j++)
			if (!memcmp(b[1].eps + i * DIM, b[0].eps + j * DIM, DIM * sizeof(float)))
				from = j;
		CHECK(from >= 0 && b[0].label[from] == b[0].label[i]);
		moved += from != i;
		for (int j = 0; j < i; j++)
			if (b[1].label[i] == b[1].label[j])
				CHECK(pair_distance(&b[1], i, i) + pair_distance(&b[1], j, j) <=
				      pair_distance(&b[1], i, j) + pair_distance(&b[1], j, i) + 1e-6);
	}
	CHECK(moved > 2);
	for (int k = 0; k < 3; k++)
		rd_train_batch_free(&b[k]);
	rd_model_free(&m);
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

static float knots[N * 2 * DIM];

/* Pairs with two inner knots of a trailing grid of three steps. */
static struct rd_dataset with_knots(const struct rd_model *m)
{
	const struct rd_grid_opts g = {.steps = 3, .spacing = RD_SPACING_TRAILING};
	struct rd_dataset d = data_of(true, true);
	json_t *t = json_array(), *alpha = json_array(), *sigma = json_array();
	struct rd_grid grid;

	CHECK_OK(rd_grid_init(&grid, &m->scheduler.schedule, &g, &e), &e);
	for (int i = 0; i <= 3; i++) {
		const struct rd_node *n = i < 3 ? &grid.from[i] : &grid.to[2];

		json_array_append_new(t, json_real(n->t));
		json_array_append_new(alpha, json_real(n->alpha));
		json_array_append_new(sigma, json_real(n->sigma));
	}
	rd_grid_free(&grid);
	rd_rng_normal(12, RD_RNG_DATA, 0, knots, LEN(knots));
	d.knots = knots;
	d.n_knots = 2;
	d.meta = json_pack("{s:{s:o,s:o,s:o}}", "knots", "t", t, "alpha", alpha, "sigma", sigma);
	return d;
}

/* The loss in x0's space is on alpha_p [x_t/alpha_t + (n_p - n_t) eps_theta] against x_p, x_t on the line through x_s and x_p:
 * the formulas of the phased algorithm, for a network that says whatever it says. */
static void phases(const char *form, const char *prediction)
{
	struct rd_model m = model_of(form, prediction);
	struct rd_dataset d = with_knots(&m);
	struct rd_train_opts o = opts_of(10, 6);
	struct rd_train_batch b;
	struct rd_objective ob;
	uint32_t order[N];
	int seen = 0;

	o.space = RD_SPACE_X0;
	o.phases = 3;
	b = drawn(&m, &d, &o, 0, &ob);
	rd_rng_permutation(o.seed, RD_RNG_SHUFFLE, 0, order, N);
	for (int j = 0; j < 6; j++) {
		const struct rd_node t = b.node[j], s = ob.phases.knot[b.part[j]], p = ob.phases.knot[b.part[j] + 1];
		struct rd_query q;

		seen |= 1 << b.part[j];
		CHECK(t.sigma * s.alpha <= s.sigma * t.alpha * (1 + 1e-9) && t.sigma * p.alpha > p.sigma * t.alpha);
		CHECK_OK(rd_model_query(&m, &t, &q, &e), &e);
		for (int i = 0; i < DIM; i++) {
			size_t row = order[j], at = row * DIM + (size_t)i;
			const float *k = knots + row * 2 * DIM + i;
			double start = ob.phases.knot[0].alpha * (double)sample[at] + ob.phases.knot[0].sigma * (double)eps[at];
			double state[] = {start, (double)k[0], (double)k[DIM], (double)sample[at]}, xs = state[b.part[j]], xp = state[b.part[j] + 1];
			double ns = s.sigma / s.alpha, np = p.sigma / p.alpha, nt = t.sigma / t.alpha;
			double e_hat = (xp / p.alpha - xs / s.alpha) / (np - ns), xt = t.alpha * (xs / s.alpha + (nt - ns) * e_hat);
			double said = 0.37, e_said = q.c.eps_x * xt + q.c.eps_f * said, end = p.alpha * (xt / t.alpha + (np - nt) * e_said);
			double x0 = (double)b.x0[j * DIM + i], ep = (double)b.eps[j * DIM + i];

			CHECK_NEAR((double)b.in_a[j] * x0 + (double)b.in_b[j] * ep, q.input * xt, 2e-5);
			CHECK_NEAR((double)b.k[j] * fabs(said - (double)b.on_a[j] * x0 - (double)b.on_b[j] * ep), fabs(end - xp),
			           3e-5 * (1 + fabs(end - xp)));
		}
	}
	CHECK(seen == 7);
	rd_train_batch_free(&b);
	rd_objective_free(&ob);
	json_decref(d.meta);
	rd_model_free(&m);
}

/* --- the teacher -------------------------------------------------------------------------------------------------- */

/* x0 and eps at one node, one image. */
static void asked(struct rd_denoiser *d, const struct rd_node *n, int32_t lab, const float *x, float *x0, float *ep)
{
	struct rd_dims dims = rd_denoiser_dims(d);
	void *p[3];

	for (int i = 0; i < 3; i++)
		CHECK_OK(be->alloc(dev, &p[i], be->sample_bytes(dims), &e), &e);
	CHECK_OK(rd_denoiser_labels(d, &lab, &e), &e);
	CHECK_OK(be->sample_import(dev, dims, x, p[0], &e), &e);
	CHECK_OK(rd_denoiser_eval(d, n, p[0], p[1], p[2], &e), &e);
	CHECK_OK(be->sample_export(dev, dims, p[1], x0, &e), &e);
	CHECK_OK(be->sample_export(dev, dims, p[2], ep, &e), &e);
	for (int i = 0; i < 3; i++)
		be->release(dev, p[i]);
}

static void ddim(struct rd_denoiser *d, const struct rd_node *from, const struct rd_node *to, int32_t lab, float *x)
{
	float x0[DIM], ep[DIM];

	asked(d, from, lab, x, x0, ep);
	for (int i = 0; i < DIM; i++)
		x[i] = (float)(to->alpha * (double)x0[i] + to->sigma * (double)ep[i]);
}

/* The loss of the first step, from one image's errors at a time: what the network says is asked of a denoiser. */
static double reference_loss(const struct rd_model *m, const struct rd_train_opts *o, const struct rd_train_batch *b,
                             const struct rd_objective *ob)
{
	const struct rd_denoiser_opts plain = {.guidance = 1, .null_class = 3}, guided = {.guidance = o->guidance, .null_class = 3};
	struct rd_denoiser *net, *teacher;
	double loss = 0;

	CHECK_OK(rd_denoiser_new(&net, m, be, dev, 1, &plain, &e), &e);
	CHECK_OK(rd_denoiser_new(&teacher, m, be, dev, 1, &guided, &e), &e);
	for (int j = 0; j < b->n; j++) {
		const struct rd_node t = b->node[j];
		float x[DIM], xs[DIM], want[DIM], x0[DIM], ep[DIM];
		int part = b->part[j];

		if (o->consistency) {
			const struct rd_node next = ob->grid.to[part];

			for (int i = 0; i < DIM; i++)
				xs[i] = x[i] = (float)(t.alpha * (double)b->x0[j * DIM + i] + t.sigma * (double)b->eps[j * DIM + i]);
			ddim(teacher, &t, &next, b->label[j], xs);
			if (next.sigma > 0)
				asked(net, &next, b->label[j], xs, want, ep);
			else
				memcpy(want, xs, sizeof want);
			asked(net, &t, b->label[j], x, x0, ep);
			for (int i = 0; i < DIM; i++)
				loss += pow((double)x0[i] - (double)want[i], 2) / DIM / (double)b->n;
			continue;
		}
		const struct rd_node s = ob->phases.knot[part], p = ob->phases.knot[part + 1];
		double nt = t.sigma / t.alpha, ns = s.sigma / s.alpha, np = p.sigma / p.alpha;
		for (int i = 0; i < DIM; i++)
			xs[i] = x[i] = (float)(s.alpha * (double)b->x0[j * DIM + i] + s.sigma * (double)b->eps[j * DIM + i]);
		for (int k = 0; k < o->phase_steps; k++)
			ddim(teacher, &ob->within.from[part * o->phase_steps + k], &ob->within.to[part * o->phase_steps + k], b->label[j], xs);
		for (int i = 0; i < DIM; i++) /* from x_s along the chord to t */
			x[i] = (float)(t.alpha * ((double)x[i] / s.alpha +
			                          (nt - ns) * ((double)xs[i] / p.alpha - (double)x[i] / s.alpha) / (np - ns)));
		asked(net, &t, b->label[j], x, x0, ep);
		for (int i = 0; i < DIM; i++)
			loss += pow(p.alpha * (double)x0[i] + p.sigma * (double)ep[i] - (double)xs[i], 2) / DIM / (double)b->n;
	}
	rd_denoiser_free(net);
	rd_denoiser_free(teacher);
	return loss;
}

static void teachers(const char *form, const char *prediction, double guidance, bool consistency)
{
	struct rd_model m = model_of(form, prediction);
	struct rd_dataset d = data_of(consistency, true);
	struct rd_train_opts o = opts_of(10, 5);
	struct rd_train_batch b;
	struct rd_objective ob;
	struct rd_trainer *t;
	double want, got;

	o.coupling = consistency ? RD_COUPLING_PAIRS : RD_COUPLING_INDEPENDENT;
	o.space = RD_SPACE_X0;
	o.guidance = guidance;
	o.consistency = consistency ? 4 : 0; /* among five images, one whose step ends at the data */
	o.phases = consistency ? 0 : 3;
	o.phase_steps = 2;
	b = drawn(&m, &d, &o, 0, &ob);
	want = reference_loss(&m, &o, &b, &ob);
	t = trainer_of(&m, &d, &o);
	got = step(t).loss;
	CHECK(want > 1e-5);
	CHECK_NEAR(got / want, 1, 2e-4);
	printf("  %s, %s, %s: loss %.6g, the reference's %.6g\n", consistency ? "consistency" : "phases", form, prediction, got, want);
	rd_trainer_free(t);
	rd_train_batch_free(&b);
	rd_objective_free(&ob);
	rd_model_free(&m);
}

/* --- held-out data ------------------------------------------------------------------------------------------------ */

static void held_out(void)
{
	struct rd_model m = model_of("ddpm", "epsilon");
	struct rd_train_opts o = opts_of(10, 2);
	struct rd_dataset d = {.n = N, .dim = DIM, .hash = "0"}, held, plain = data_of(true, true);
	struct rd_trainer *t;
	double a, b, c;

	d.sample = d.mem[0].p = malloc(sizeof sample);
	d.eps = d.mem[1].p = malloc(sizeof eps);
	d.label = d.mem[3].p = malloc(sizeof label);
	for (int k = 0; k < 4; k++)
		d.mem[k].dir = "/tmp";
	memcpy(d.sample, plain.sample, sizeof sample);
	memcpy(d.eps, plain.eps, sizeof eps);
	memcpy(d.label, plain.label, sizeof label);
	CHECK(rd_dataset_split(&d, N, &held, &e) == RD_EUSAGE && strstr(e.msg, "only 7"));
	CHECK_OK(rd_dataset_split(&d, 3, &held, &e), &e);
	CHECK(d.n == 4 && held.n == 3);
	CHECK(held.mem[0].fd && held.mem[1].fd && held.mem[3].fd); /* in files where d is */
	for (int k = 0; k < 7; k++) { /* rows 0, 3 and 4 are held out, each of another third */
		const bool out = k == 0 || k == 3 || k == 4;
		const struct rd_dataset *in = out ? &held : &d;
		const int at = out ? k / 2 : k < 3 ? k - 1 : k - 3;

		CHECK(!memcmp(in->sample + at * DIM, sample + k * DIM, DIM * sizeof(float)));
		CHECK(!memcmp(in->eps + at * DIM, eps + k * DIM, DIM * sizeof(float)) && in->label[at] == label[k]);
	}
	o.lr = 0.05;
	CHECK_OK(rd_trainer_new(&t, &m, &d, &held, be, dev, &o, &e), &e);
	CHECK_OK(rd_trainer_held_out(t, &a, &e), &e);
	CHECK_OK(rd_trainer_held_out(t, &b, &e), &e);
	CHECK(a == b && a > 0);
	for (int i = 0; i < 3; i++)
		step(t);
	CHECK_OK(rd_trainer_held_out(t, &c, &e), &e);
	CHECK(c != a);
	rd_trainer_free(t);
	memset(m.w, 0, m.params->n_flat * sizeof *m.w); /* a network that says 0 has the loss |eps|^2 on epsilon */
	CHECK_OK(rd_trainer_new(&t, &m, &d, &held, be, dev, &o, &e), &e);
	CHECK_OK(rd_trainer_held_out(t, &a, &e), &e);
	b = 0;
	for (int i = 0; i < 3 * DIM; i++)
		b += (double)held.eps[i] * (double)held.eps[i] / (3 * DIM);
	CHECK_NEAR(a, b, 1e-6);
	rd_trainer_free(t);
	rd_dataset_free(&d);
	rd_dataset_free(&held);
	rd_model_free(&m);
}

/* --- what makes no sense ------------------------------------------------------------------------------------------ */

static void refused(struct rd_train_opts o, const char *says)
{
	CHECK(rd_train_check(&o, &e) == RD_EUSAGE);
	if (!strstr(e.msg, says))
		fprintf(stderr, "'%s' does not say '%s'\n", e.msg, says);
	CHECK(strstr(e.msg, says) != NULL);
}

static void refusals(void)
{
	const struct rd_train_opts base = opts_of(10, 4);
	struct rd_train_opts o;

	CHECK_OK(rd_train_check(&base, &e), &e);
	o = base, o.phases = 2, o.consistency = 9, refused(o, "one or the other");
	o = base, o.phases = 1, refused(o, "one phase");
	o = base, o.phases = 2, o.times.kind = RD_TIMES_LAST, refused(o, "first phase alone");
	o = base, o.phases = 2, o.weight.kind = RD_WEIGHT_SNR, refused(o, "phases and a weight");
	o = base, o.guidance = 2, refused(o, "there is none");
	o = base, o.guidance = 2, o.phases = 2, refused(o, "that of denoise");
	o = base, o.label_drop = 0.1, o.null_class = -1, refused(o, "null class");
}

static void knots_refused(void)
{
	static const char *const bad[] = {
		"{}", "{\"knots\": 3}", "{\"knots\": {\"alpha\": [1, 2]}}", "{\"knots\": {\"alpha\": [0.1, \"x\", 1], \"sigma\": [1, 1, 0]}}",
		"{\"knots\": {\"alpha\": [0.5, 0.5, 1], \"sigma\": [1, 1, 0]}}", "{\"knots\": {\"alpha\": [0.1, 0, 1], \"sigma\": [1, 1, 0]}}",
		"{\"knots\": {\"alpha\": [0.1, 0.2, 1], \"sigma\": [1, 1]}}", "{\"knots\": {\"alpha\": [0, 0.2, 1], \"sigma\": [0, 1, 0]}}",
	};
	struct rd_phases p;

	for (int i = 0; i < LEN(bad); i++) {
		json_t *meta = json_loads(bad[i], 0, NULL);

		CHECK(meta && rd_phases_recorded(&p, meta, &e) == RD_EINPUT && strstr(e.msg, "knots"));
		json_decref(meta);
	}
}

int main(void)
{
	static const char *const forms[][2] = {{"ddpm", "epsilon"}, {"ddpm", "v_prediction"}, {"ve", "epsilon"}, {"subvp", "sample"},
	                                       {"vp", "epsilon"}};

	trainers_begin();
	averages();
	weights_at_the_end();
	weights_where_nothing_is_seen();
	assignments();
	transport();
	held_transport();
	for (int i = 0; i < LEN(forms); i++) {
		weights(forms[i][0], forms[i][1]);
		phases(forms[i][0], forms[i][1]);
		teachers(forms[i][0], forms[i][1], 1, false);
		teachers(forms[i][0], forms[i][1], 2.5, false);
		teachers(forms[i][0], forms[i][1], 1, true);
		teachers(forms[i][0], forms[i][1], 2.5, true);
	}
	weights("fm", "flow_prediction");
	teachers("fm", "flow_prediction", 1, true);
	held_out();
	refusals();
	knots_refused();
	trainers_end();
	return check_report("objectives");
}
