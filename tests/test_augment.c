/* Images that are mirrored in training: half of them, the same ones each time, and nothing but them. */
#include "lib/train/draw.h"
#include "tests/trainers.h"

enum { STEPS = 200, BATCH = 5 };

/* The numbers of a sample as an image of DIM pixels in a row. */
static struct rd_model model_of_images(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");

	m.net.sample = rd_shape_make(3, (int64_t[]){1, 1, DIM});
	return m;
}

static bool is_mirrored(const float *x, const float *y)
{
	for (int i = 0; i < DIM; i++)
		if (x[i] != y[DIM - 1 - i])
			return false;
	return true;
}

static void mirrors(enum rd_coupling coupling)
{
	struct rd_model m = model_of_images();
	struct rd_dataset d = data_of(false, true);
	struct rd_train_opts plain = opts_of(STEPS, BATCH), flip;
	struct rd_objective ob[2];
	struct rd_train_batch b[3];
	struct rd_draw *draw[3];
	int mirrored = 0;

	plain.coupling = coupling;
	flip = plain;
	flip.flip = true;
	CHECK_OK(rd_objective_init(&ob[0], &m, &plain, NULL, &e), &e);
	CHECK_OK(rd_objective_init(&ob[1], &m, &flip, NULL, &e), &e);
	for (int k = 0; k < 3; k++) {
		CHECK_OK(rd_draw_new(&draw[k], &d, &ob[k > 0], &e), &e);
		CHECK_OK(rd_train_batch_new(&b[k], BATCH, DIM, &e), &e);
	}
	for (int s = 0; s < STEPS; s++) {
		for (int k = 0; k < 3; k++)
			CHECK_OK(rd_draw_step(draw[k], s, &b[k], &e), &e);
		CHECK(!memcmp(b[1].x0, b[2].x0, BATCH * DIM * sizeof(float)));
		CHECK(!memcmp(b[0].label, b[1].label, BATCH * sizeof(int32_t)) && !memcmp(b[0].t, b[1].t, BATCH * sizeof(float)));
		CHECK(coupling == RD_COUPLING_OT || !memcmp(b[0].eps, b[1].eps, BATCH * DIM * sizeof(float)));
		for (int j = 0; j < BATCH; j++) {
			const float *x = b[0].x0 + j * DIM, *y = b[1].x0 + j * DIM;
			const bool same = !memcmp(x, y, DIM * sizeof *x);

			CHECK(same != is_mirrored(x, y));
			mirrored += !same;
		}
	}
	CHECK_NEAR((double)mirrored / (STEPS * BATCH), 0.5, 0.06);
	for (int k = 0; k < 2; k++) /* what is held out is not */
		CHECK_OK(rd_draw_held(draw[k], &d, 0, &b[k], &e), &e);
	CHECK(!memcmp(b[0].x0, b[1].x0, BATCH * DIM * sizeof(float)));
	for (int k = 0; k < 3; k++) {
		rd_draw_free(draw[k]);
		rd_train_batch_free(&b[k]);
	}
	rd_objective_free(&ob[0]);
	rd_objective_free(&ob[1]);
	rd_model_free(&m);
}

/* Rows of each channel by themselves. */
static void rows(void)
{
	struct rd_model m = model_of_images();
	struct rd_train_opts o = opts_of(1, 64);
	struct rd_dataset d = data_of(false, false);
	struct rd_objective ob;
	struct rd_train_batch b;
	struct rd_draw *draw;
	float x[12], back[12] = {2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9};
	int seen[2] = {0};

	m.net.sample = rd_shape_make(3, (int64_t[]){2, 2, 3});
	for (int i = 0; i < 12; i++)
		x[i] = (float)i;
	d.n = 1;
	d.dim = 12;
	d.sample = x;
	o.coupling = RD_COUPLING_INDEPENDENT;
	o.flip = true;
	CHECK_OK(rd_objective_init(&ob, &m, &o, NULL, &e), &e);
	CHECK_OK(rd_draw_new(&draw, &d, &ob, &e), &e);
	CHECK_OK(rd_train_batch_new(&b, o.batch, d.dim, &e), &e);
	CHECK_OK(rd_draw_step(draw, 0, &b, &e), &e);
	for (int j = 0; j < o.batch; j++) {
		const bool same = !memcmp(b.x0 + j * 12, x, sizeof x);

		CHECK(same || !memcmp(b.x0 + j * 12, back, sizeof back));
		seen[same]++;
	}
	CHECK(seen[0] > 10 && seen[1] > 10);
	rd_draw_free(draw);
	rd_train_batch_free(&b);
	rd_objective_free(&ob);
	rd_model_free(&m);
}

static void refusals(void)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset pairs = data_of(true, true), data = data_of(false, true);
	struct rd_train_opts o = opts_of(1, 2);
	struct rd_trainer *t;

	o.flip = true;
	CHECK(rd_trainer_new(&t, &m, &pairs, NULL, be, dev, &o, &e) == RD_EUSAGE && strstr(e.msg, "--flip: a pair's sample"));
	o.coupling = RD_COUPLING_INDEPENDENT;
	CHECK(rd_trainer_new(&t, &m, &data, NULL, be, dev, &o, &e) == RD_EUSAGE && strstr(e.msg, "no images"));
	rd_model_free(&m);
}

int main(void)
{
	trainers_begin();
	mirrors(RD_COUPLING_INDEPENDENT);
	mirrors(RD_COUPLING_OT);
	rows();
	refusals();
	trainers_end();
	return check_report("augment");
}
