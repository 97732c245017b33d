/* Training on a device that runs beside the host: the next batch is on its way before the results of this one are waited for,
 * in few copies, and the bits are those of a trainer that looks no further than its step. */
#include "tests/kernels.h"
#include "tests/trainers.h"

/* --- order -------------------------------------------------------------------------------------------------------- */

/* A backend's copies and replays, a letter each. */
static const struct rd_backend *below;
static char seen[64];

static void see(char c)
{
	size_t n = strlen(seen);

	if (n + 1 < sizeof seen)
		seen[n] = c;
}

static int seen_import(struct rd_dev *on, struct rd_dims d, const float *host, void *dst, struct rd_err *err)
{
	see('i');
	return below->sample_import(on, d, host, dst, err);
}

static int seen_put(struct rd_dev *on, void *dst, const void *host, size_t bytes, struct rd_err *err)
{
	see('p');
	return below->put(on, dst, host, bytes, err);
}

static int seen_get(struct rd_dev *on, void *host, const void *src, size_t bytes, struct rd_err *err)
{
	see('g');
	return below->get(on, host, src, bytes, err);
}

static int seen_replay(struct rd_dev *on, struct rd_replay *r, struct rd_err *err)
{
	see('r');
	return below->replay(on, r, err);
}

static void steps_as(struct rd_trainer *t, const char *want)
{
	memset(seen, 0, sizeof seen);
	step(t);
	if (strcmp(seen, want))
		fprintf(stderr, "step %d: %s; %s expected\n", (int)rd_trainer_done(t), seen, want);
	CHECK(!strcmp(seen, want));
}

/* Samples and noise; coefficients, times, labels, the draw: six copies, and one of the results, of the eight that there is
 * staging for. */
static void order(struct kt *k)
{
	struct rd_model m = unet_of("vp", "epsilon", ", \"num_class_embeds\": 4, \"dropout\": 0.4");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(7, 4);
	struct rd_backend logged = *k->be;
	struct rd_trainer *t;
	double held;

	below = k->be;
	logged.sample_import = seen_import;
	logged.put = seen_put;
	logged.get = seen_get;
	logged.replay = seen_replay;
	CHECK_OK(rd_trainer_new(&t, &m, &d, &d, &logged, k->dev, &o, &e), &e);
	steps_as(t, "iipppp" "iippppg"); /* the first one is neither recorded nor foreseen */
	steps_as(t, "riippppg");
	steps_as(t, "riippppg");
	CHECK_OK(rd_trainer_held_out(t, &held, &e), &e); /* in the place of what was there */
	steps_as(t, "iipppp" "riippppg");
	CHECK_OK(rd_trainer_rehearse(t, &e), &e);
	steps_as(t, "iipppp" "riippppg");
	steps_as(t, "riippppg");
	steps_as(t, "rg"); /* the last one */
	rd_trainer_free(t);
	logged.record_begin = NULL;
	CHECK_OK(rd_trainer_new(&t, &m, &d, NULL, &logged, k->dev, &o, &e), &e);
	steps_as(t, "iippppg");
	steps_as(t, "iippppg");
	rd_trainer_free(t);
	rd_model_free(&m);
}

/* --- bits --------------------------------------------------------------------------------------------------------- */

struct told {
	double what[32];
	int n;
	struct rd_train_state end;
};

static void tell(struct told *to, double v)
{
	to->what[to->n++] = v;
}

static void tell_steps(struct told *to, struct rd_trainer *t, int n)
{
	while (n--) {
		struct rd_step_report r = step(t);

		tell(to, r.loss);
		tell(to, r.grad_norm);
		tell(to, r.lr);
	}
}

static void tell_held(struct told *to, struct rd_trainer *t)
{
	double held;

	CHECK_OK(rd_trainer_held_out(t, &held, &e), &e);
	tell(to, held);
}

/* Steps with all between them that a batch on the device may not outlive. */
static struct told told_by(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o,
                           const struct rd_backend *b, struct rd_dev *on)
{
	struct told to = {.n = 0};
	struct rd_train_state other;
	struct rd_trainer *t;

	CHECK_OK(rd_trainer_new(&t, m, d, d, b, on, o, &e), &e);
	CHECK_OK(rd_trainer_rehearse(t, &e), &e);
	tell_steps(&to, t, 3);
	tell_held(&to, t);
	tell_steps(&to, t, 2);
	CHECK_OK(rd_trainer_rehearse(t, &e), &e);
	tell_steps(&to, t, 1);
	other = state_of(t, m);
	memcpy(other.ema, m->w, other.n * sizeof *other.ema);
	CHECK_OK(rd_trainer_set(t, &other, &e), &e); /* another average for the same step */
	tell_steps(&to, t, 2);
	other.step = 2;
	CHECK_OK(rd_trainer_set(t, &other, &e), &e); /* and back in time */
	tell_steps(&to, t, 1);
	to.end = state_of(t, m);
	rd_train_state_free(&other);
	rd_trainer_free(t);
	return to;
}

static void same_bits(struct kt *k, const char *name, struct rd_model m, bool paired, struct rd_train_opts o)
{
	struct rd_dataset d = data_of(paired, true);
	struct rd_backend plain = *k->be;
	struct told ahead, now;

	plain.record_begin = NULL;
	ahead = told_by(&m, &d, &o, k->be, k->dev);
	now = told_by(&m, &d, &o, &plain, k->dev);
	for (int i = 0; i < now.n; i++) {
		if (ahead.what[i] != now.what[i])
			fprintf(stderr, "%s: number %d: %.9g, without looking ahead %.9g\n", name, i, ahead.what[i], now.what[i]);
		CHECK(isfinite(now.what[i]) && ahead.what[i] == now.what[i]);
	}
	CHECK(ahead.n == now.n && same_state(&ahead.end, &now.end));
	rd_train_state_free(&ahead.end);
	rd_train_state_free(&now.end);
	rd_model_free(&m);
}

static void bits(struct kt *k)
{
	struct rd_train_opts o = opts_of(20, 4), with;

	o.warmup = 20; /* no two steps of one rate */
	with = o;
	with.times.kind = RD_TIMES_IMPORTANCE; /* no two images of one weight */
	with.label_drop = 0.4;
	with.ema.kind = RD_EMA_WARMUP;
	same_bits(k, "pairs", model_of("ddpm", "epsilon"), true, with);
	with.coupling = RD_COUPLING_OT;
	same_bits(k, "optimal transport", model_of("ddpm", "v_prediction"), false, with);
	with.coupling = RD_COUPLING_INDEPENDENT;
	with.recompute = true;
	same_bits(k, "dropout", unet_of("vp", "epsilon", ", \"num_class_embeds\": 4, \"dropout\": 0.4"), false, with);
	with.micro_batch = 2;
	same_bits(k, "dropout in parts", unet_of("vp", "epsilon", ", \"num_class_embeds\": 4, \"dropout\": 0.4"), false, with);
	with = o;
	with.coupling = RD_COUPLING_INDEPENDENT;
	with.space = RD_SPACE_X0;
	with.phases = 3;
	with.phase_steps = 2;
	same_bits(k, "phases", model_of("fm", "flow_prediction"), false, with);
	with = o;
	with.coupling = RD_COUPLING_INDEPENDENT;
	with.space = RD_SPACE_X0;
	with.consistency = 4;
	with.guidance = 2;
	same_bits(k, "consistency", model_of("vp", "epsilon"), false, with);
	with.micro_batch = 1;
	same_bits(k, "consistency in parts", model_of("vp", "epsilon"), false, with);
}

static void all(struct kt *k)
{
	order(k);
	bits(k);
}

int main(void)
{
	const struct rd_plugin *host = kt_cuda_on_host();

	trainers_begin();
	for (int p = RD_PRECISION_F32; p <= RD_PRECISION_BF16; p++) {
		if (host && p != RD_PRECISION_TF32)
			kt_cuda(all, host->backend((enum rd_precision)p), (enum rd_precision)p);
		kt_cuda(all, NULL, (enum rd_precision)p);
	}
	trainers_end();
	return check_report("train_ahead");
}
