/* The state of a run: out of a trainer, to disk and back with the same bits onward; which run it belongs to. */
#include "lib/train/checkpoint.h"
#include "tests/trainers.h"

/* --- state -------------------------------------------------------------------------------------------------------- */

/* Cut after 3 steps, to disk and back into another trainer: the same bits onward, across the end of an epoch. */
static void cut_and_go_on(bool paired)
{
	struct rd_model m = model_of("ddpm", "epsilon");
	struct rd_dataset d = data_of(paired, true);
	struct rd_train_opts o = opts_of(6, 2);
	struct rd_trainer *whole = trainer_of(&m, &d, &o), *first = trainer_of(&m, &d, &o), *second = trainer_of(&m, &d, &o);
	struct rd_train_state a, b, c;
	json_t *run = rd_train_describe(&m, &d, &o), *back;

	for (int s = 0; s < 3; s++) {
		CHECK_OK(rd_trainer_rehearse(first, &e), &e); /* changes nothing */
		CHECK(step(whole).loss == step(first).loss);
	}
	a = state_of(first, &m);
	CHECK_OK(rd_checkpoint_save(path("ckpt"), &a, run, &e), &e);
	CHECK_OK(rd_train_state_init(&b, a.n, &e), &e);
	CHECK_OK(rd_checkpoint_load(path("ckpt"), &b, &back, &e), &e);
	CHECK(same_state(&a, &b) && a.step == 3 && json_equal(run, back));
	CHECK_OK(rd_trainer_set(second, &b, &e), &e);
	CHECK(rd_trainer_done(second) == 3);
	for (int s = 3; s < 6; s++) {
		struct rd_step_report p = step(whole), q = step(second);

		CHECK(p.loss == q.loss && p.grad_norm == q.grad_norm && p.lr == q.lr);
	}
	rd_train_state_free(&b);
	b = state_of(whole, &m);
	c = state_of(second, &m);
	CHECK(same_state(&b, &c) && !same_state(&a, &b));
	rd_train_state_free(&a);
	rd_train_state_free(&b);
	rd_train_state_free(&c);
	rd_trainer_free(whole);
	rd_trainer_free(first);
	rd_trainer_free(second);
	json_decref(run);
	json_decref(back);
	rd_model_free(&m);
}

/* Everything that decides the result is in the description, and a run is not taken for another. */
static void descriptions(void)
{
	static const char *const ignore[] = {"seed", NULL}, *const nothing[] = {NULL};
	struct rd_model m = model_of("fm", "flow_prediction"), other = model_of("fm", "flow_prediction");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts base = opts_of(6, 2), o[24];
	json_t *run = rd_train_describe(&m, &d, &base), *v;

	for (int i = 0; i < LEN(o); i++)
		o[i] = base;
	o[0].steps = 7, o[1].batch = 3, o[2].warmup = 1, o[3].lr = 0.02, o[4].beta1 = 0.8, o[5].beta2 = 0.9;
	o[6].adam_eps = 1e-7, o[7].weight_decay = 0, o[8].clip = 0, o[9].ema.a[0] = 0.99, o[10].rate = RD_RATE_COSINE;
	o[11].loss = RD_LOSS_HUBER, o[12].space = RD_SPACE_X0, o[13].times.kind = RD_TIMES_IMPORTANCE, o[14].huber_c = 0.1;
	o[15].label_drop = 0.1, o[16].seed = 6, o[17].coupling = RD_COUPLING_INDEPENDENT, o[18].phases = 2;
	o[19].consistency = 10, o[20].guidance = 2, o[21].held_out = 3;
	o[22].weight = rd_spec_usual(rd_weight_kinds, RD_WEIGHT_MIN_SNR);
	o[23].ema = (struct rd_spec){RD_EMA_HALF_LIFE, {0.9}};
	for (int i = 0; i < LEN(o); i++) {
		v = rd_train_describe(&m, &d, &o[i]);
		CHECK(!json_equal(run, v));
		CHECK(rd_run_same(v, run, ignore, "there", &e) == (i == 16 ? RD_OK : RD_EFAIL));
		json_decref(v);
	}
	v = rd_train_describe(&m, &d, &o[16]);
	CHECK(rd_run_same(v, run, nothing, "there", &e) == RD_EFAIL);
	CHECK(strstr(e.msg, "there: is of another run: seed is 6 there, 5 here"));
	json_object_set_new(v, "seed", json_integer(5));
	CHECK_OK(rd_run_same(v, run, nothing, "there", &e), &e);
	json_object_set_new(v, "more", json_true());
	CHECK(rd_run_same(v, run, nothing, "there", &e) == RD_EFAIL && strstr(e.msg, "more is true there, absent here"));
	json_decref(v);
	CHECK_OK(rd_model_init_weights(&other, 4, &e), &e);
	v = rd_train_describe(&other, &d, &base);
	CHECK(!json_equal(run, v));
	json_decref(v);
	rd_model_free(&other);
	other = model_of("fm", "v_prediction"); /* the same weights */
	v = rd_train_describe(&other, &d, &base);
	CHECK(rd_run_same(v, run, nothing, "there", &e) == RD_EFAIL);
	json_decref(v);
	rd_model_free(&other);
	other = model_with("fm", "flow_prediction", ", \"shift\": 2");
	v = rd_train_describe(&other, &d, &base);
	CHECK(rd_run_same(v, run, nothing, "there", &e) == RD_EFAIL);
	json_decref(v);
	json_decref(run);
	rd_model_free(&m);
	rd_model_free(&other);
}

/* --- checkpoints that are none ------------------------------------------------------------------------------------ */

/* of_run: whether the file still says which run it is of. */
static void refused(const char *file, struct rd_train_state *s, bool of_run, const char *says)
{
	json_t *run = (json_t *)(void *)s; /* anything but NULL, which it must become */

	CHECK(rd_checkpoint_load(file, s, &run, &e) != RD_OK && !run == !of_run);
	if (run)
		CHECK(json_integer_value(json_object_get(run, "lr")) == 1);
	json_decref(run);
	if (!strstr(e.msg, says))
		fprintf(stderr, "'%s' does not say '%s'\n", e.msg, says);
	CHECK(strstr(e.msg, says) && strstr(e.msg, file));
}

static void bad_checkpoints(void)
{
	struct rd_train_state s, more;
	json_t *run = json_pack("{s:i}", "lr", 1);

	CHECK_OK(rd_train_state_init(&s, 64, &e), &e);
	CHECK_OK(rd_train_state_init(&more, 80, &e), &e);
	s.step = 12;
	CHECK_OK(rd_checkpoint_save(path("ckpt"), &s, run, &e), &e);
	refused(path("ckpt"), &more, true, "no array w of this run's 80 parameters");
	CHECK(!truncate(path("ckpt"), 700));
	refused(path("ckpt"), &s, false, "");
	refused(path("not-there"), &s, false, "");
	refused("models/fashion-ddpm/unet/diffusion_pytorch_model.safetensors", &s, false, "not a checkpoint");
	CHECK_OK(rd_out_file(path("ckpt"), "no safetensors at all", 21, &e), &e);
	refused(path("ckpt"), &s, false, "");
	CHECK(rd_checkpoint_save(path("no/such/folder"), &s, run, &e) == RD_EIO);
	rd_train_state_free(&s);
	rd_train_state_free(&more);
	json_decref(run);
}

int main(void)
{
	trainers_begin();
	cut_and_go_on(true);
	cut_and_go_on(false);
	descriptions();
	bad_checkpoints();
	trainers_end();
	return check_report("checkpoint");
}
