/* A batch in parts: the same step as at once, but for rounding. */
#include "tests/trainers.h"

#define STEPS 6
#define BATCH 6

/* |a - b| over the largest change that training made. */
static double apart(const float *a, const float *b, const float *from, size_t n)
{
	double most = 0, moved = 0;

	for (size_t i = 0; i < n; i++) {
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
		moved = fmax(moved, fabs((double)a[i] - (double)from[i]));
	}
	CHECK(moved > 0);
	return most / moved;
}

static struct rd_trainer *held_trainer(const struct rd_model *m, const struct rd_dataset *d, const struct rd_dataset *held,
                                       const struct rd_train_opts *o)
{
	struct rd_trainer *t;

	CHECK_OK(rd_trainer_new(&t, m, d, held, be, dev, o, &e), &e);
	return t;
}

static void compare(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o, int64_t micro)
{
	struct rd_dataset held = *d;
	struct rd_train_opts with = *o;
	struct rd_trainer *at_once, *in_parts;
	struct rd_train_state a, b;
	double x, y;

	held.n = 5; /* no multiple of the batch, nor of its parts */
	with.micro_batch = micro;
	at_once = held_trainer(m, d, &held, o);
	in_parts = held_trainer(m, d, &held, &with);
	for (int i = 0; i < STEPS; i++) {
		struct rd_step_report p = step(at_once), q = step(in_parts);

		CHECK_NEAR(q.loss / p.loss, 1, 1e-4);
		CHECK_NEAR(q.grad_norm / p.grad_norm, 1, 1e-4);
		if (i == 2) {
			CHECK_OK(rd_trainer_held_out(at_once, &x, &e), &e);
			CHECK_OK(rd_trainer_held_out(in_parts, &y, &e), &e);
			CHECK_NEAR(y / x, 1, 1e-4);
		}
	}
	a = state_of(at_once, m);
	b = state_of(in_parts, m);
	CHECK(apart(a.w, b.w, m->w, m->params->n_flat) < 1e-3);
	CHECK(apart(a.ema, b.ema, m->w, m->params->n_flat) < 1e-3);
	if (micro == o->batch)
		CHECK(same_state(&a, &b));
	else
		CHECK(rd_trainer_bytes(in_parts) < rd_trainer_bytes(at_once));
	rd_train_state_free(&a);
	rd_train_state_free(&b);
	rd_trainer_free(at_once);
	rd_trainer_free(in_parts);
}

static void each_micro(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o)
{
	for (int64_t micro = 1; micro <= BATCH; micro++)
		if (BATCH % micro == 0)
			compare(m, d, o, micro);
}

/* Masks are of the image's number in the batch, whatever part it is in. */
static void with_dropout(void)
{
	struct rd_model m = unet_of("ddpm", "epsilon", ", \"dropout\": 0.3, \"num_class_embeds\": 4");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(STEPS, BATCH);

	o.label_drop = 0.3;
	each_micro(&m, &d, &o);
	o.recompute = true;
	compare(&m, &d, &o, 2);
	rd_model_free(&m);
}

/* Noise is dealt over the whole of a batch. */
static void with_transport(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset d = data_of(false, true);
	struct rd_train_opts o = opts_of(STEPS, BATCH);

	o.coupling = RD_COUPLING_OT;
	each_micro(&m, &d, &o);
	rd_model_free(&m);
}

static void with_teachers(void)
{
	struct rd_model m = model_of("ddpm", "epsilon");
	struct rd_dataset d = data_of(false, true);
	struct rd_train_opts o = opts_of(STEPS, BATCH);

	o.coupling = RD_COUPLING_INDEPENDENT;
	o.space = RD_SPACE_X0;
	o.phases = 2;
	o.phase_steps = 3;
	o.guidance = 2;
	each_micro(&m, &d, &o);
	o.phases = 0;
	o.consistency = 8;
	each_micro(&m, &d, &o);
	rd_model_free(&m);
}

static void refusals(void)
{
	struct rd_model m = model_of("ddpm", "epsilon");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(STEPS, BATCH);
	struct rd_trainer *t;

	o.micro_batch = 4;
	CHECK(rd_trainer_new(&t, &m, &d, NULL, be, dev, &o, &e) == RD_EUSAGE && strstr(e.msg, "--batch 6"));
	rd_model_free(&m);
}

int main(void)
{
	trainers_begin();
	with_dropout();
	with_transport();
	with_teachers();
	refusals();
	trainers_end();
	return check_report("train_parts");
}
