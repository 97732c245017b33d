/* What the tests of training share: a small model of any form and prediction type, its data, a trainer. */
#ifndef RD_TESTS_TRAINERS_H
#define RD_TESTS_TRAINERS_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/out.h"
#include "lib/train/train.h"
#include "tests/check.h"

#define DIM 3 /* of a sample */
#define N 7   /* samples; no multiple of a batch */
#define CLASSES 4
#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;
static char dir[256];

static inline const char *path(const char *name)
{
	static char buf[300];

	snprintf(buf, sizeof buf, "%s/%s", dir, name);
	return buf;
}

static inline void trainers_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof dir, "%s/rd_test.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(dir) != NULL);
	CHECK_OK(rd_device_open("cpu", 1, &be, &dev, &e), &e);
}

static inline void trainers_end(void)
{
	unlink(path("config.json"));
	unlink(path("ckpt"));
	CHECK(!rmdir(dir));
	be->close(dev);
}

/* extra: more keys of the scheduler's config, or "". */
static inline struct rd_model model_with(const char *form, const char *prediction, const char *extra)
{
	struct rd_model m;
	char text[1024];

	snprintf(text, sizeof text,
	         "{\"unet\": {\"_class_name\": \"MLPModel\", \"sample_shape\": [%d], \"hidden_dim\": 10, \"num_layers\": 2,"
	         " \"time_embedding_dim\": 8, \"num_class_embeds\": %d},"
	         " \"scheduler\": {\"_class_name\": \"RectdiffScheduler\", \"form\": \"%s\", \"prediction_type\": \"%s\"%s}}",
	         DIM, CLASSES, form, prediction, extra);
	CHECK_OK(rd_out_file(path("config.json"), text, strlen(text), &e), &e);
	CHECK_OK(rd_model_from_config(&m, path("config.json"), &e), &e);
	CHECK_OK(rd_model_init_weights(&m, 3, &e), &e);
	return m;
}

static inline struct rd_model model_of(const char *form, const char *prediction)
{
	return model_with(form, prediction, "");
}

/* A U-Net whose images are DIM channels of one pixel; keys: more of its config, or "". */
static inline struct rd_model unet_of(const char *form, const char *prediction, const char *keys)
{
	struct rd_model m;
	char text[1024];

	snprintf(text, sizeof text,
	         "{\"unet\": {\"_class_name\": \"UNet2DModel\", \"sample_size\": 1, \"block_out_channels\": [8],"
	         " \"down_block_types\": [\"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\"], \"norm_num_groups\": 2%s},"
	         " \"scheduler\": {\"_class_name\": \"RectdiffScheduler\", \"form\": \"%s\", \"prediction_type\": \"%s\"}}",
	         keys, form, prediction);
	CHECK_OK(rd_out_file(path("config.json"), text, strlen(text), &e), &e);
	CHECK_OK(rd_model_from_config(&m, path("config.json"), &e), &e);
	CHECK_OK(rd_model_init_weights(&m, 3, &e), &e);
	return m;
}

static float sample[N * DIM], eps[N * DIM];
static int32_t label[N];

static inline struct rd_dataset data_of(bool paired, bool labelled)
{
	rd_rng_normal(11, RD_RNG_DATA, 0, sample, LEN(sample));
	rd_rng_normal(11, RD_RNG_NOISE, 0, eps, LEN(eps));
	for (int i = 0; i < N; i++)
		label[i] = i % 3;
	return (struct rd_dataset){.n = N, .dim = DIM, .sample = sample, .eps = paired ? eps : NULL,
	                           .label = labelled ? label : NULL, .hash = "0123456789abcdef"};
}

static inline struct rd_train_opts opts_of(int64_t steps, int64_t batch)
{
	return (struct rd_train_opts){.steps = steps, .batch = batch, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.99,
	                              .adam_eps = 1e-8, .weight_decay = 0.1, .clip = 0.5, .ema = {.kind = RD_EMA_CONSTANT, .a = {0.9}}, .guidance = 1, .huber_c = 0.3,
	                              .null_class = 3, .seed = 5};
}

static inline struct rd_trainer *trainer_of(const struct rd_model *m, const struct rd_dataset *d,
                                            const struct rd_train_opts *o)
{
	struct rd_train_opts with = *o;
	struct rd_trainer *t;

	if (!d->eps && with.coupling == RD_COUPLING_PAIRS)
		with.coupling = RD_COUPLING_INDEPENDENT;
	CHECK_OK(rd_trainer_new(&t, m, d, NULL, be, dev, &with, &e), &e);
	return t;
}

static inline struct rd_step_report step(struct rd_trainer *t)
{
	struct rd_step_report r = {NAN, NAN, NAN};

	CHECK_OK(rd_trainer_step(t, &r, &e), &e);
	return r;
}

static inline struct rd_train_state state_of(struct rd_trainer *t, const struct rd_model *m)
{
	const struct rd_graph *adapted = rd_trainer_adapters(t);
	struct rd_train_state s;

	CHECK_OK(rd_train_state_init(&s, adapted ? adapted->n_adapters : m->params->n_flat, &e), &e);
	CHECK_OK(rd_trainer_get(t, &s, &e), &e);
	return s;
}

static inline bool same_state(const struct rd_train_state *a, const struct rd_train_state *b)
{
	return a->step == b->step && a->n == b->n && !memcmp(a->w, b->w, 4 * a->n * sizeof *a->w); /* w, m, v, ema in a row */
}

#endif
