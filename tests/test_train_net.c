/* Training of networks with what only some of them have: dropout, parameters that are not trained, conditions that are no
 * labels. */
#include "lib/sample/denoiser.h"
#include "tests/trainers.h"

static struct rd_train_opts unconditional(int64_t steps, int64_t batch)
{
	struct rd_train_opts o = opts_of(steps, batch);

	o.null_class = -1;
	return o;
}

static struct rd_train_state trained(const struct rd_model *m, const struct rd_train_opts *o, int steps, int cut)
{
	struct rd_dataset d = data_of(true, false);
	struct rd_trainer *t = trainer_of(m, &d, o);
	struct rd_train_state s;

	for (int i = 0; i < cut; i++)
		step(t);
	if (cut) { /* taken up in a new trainer */
		s = state_of(t, m);
		rd_trainer_free(t);
		t = trainer_of(m, &d, o);
		CHECK_OK(rd_trainer_set(t, &s, &e), &e);
		rd_train_state_free(&s);
	}
	for (int i = cut; i < steps; i++)
		step(t);
	s = state_of(t, m);
	rd_trainer_free(t);
	return s;
}

/* Masks are a function of the seed and the image's number: a run cut and taken up has the bits of one that was not. */
static void dropout(void)
{
	struct rd_model with = unet_of("vp", "epsilon", ", \"dropout\": 0.4"), without = unet_of("vp", "epsilon", "");
	struct rd_train_opts o = unconditional(6, 4), other = o;
	struct rd_train_state a, b, c, d;

	other.seed++;
	a = trained(&with, &o, 5, 0);
	b = trained(&with, &o, 5, 2);
	c = trained(&without, &o, 5, 0);
	d = trained(&with, &other, 5, 0);
	CHECK(same_state(&a, &b));
	CHECK(!same_state(&a, &c) && !same_state(&a, &d));
	rd_train_state_free(&a);
	rd_train_state_free(&b);
	rd_train_state_free(&c);
	rd_train_state_free(&d);
	rd_model_free(&with);
	rd_model_free(&without);
}

/* Fourier's frequencies stay what they are, to the bit, under weight decay and moving average; the rest moves. */
static void frozen(void)
{
	struct rd_model m = unet_of("vp", "epsilon", ", \"time_embedding_type\": \"fourier\"");
	struct rd_train_opts o = unconditional(4, 2);
	struct rd_train_state s = trained(&m, &o, 4, 0);
	size_t n = m.params->n_trained;
	bool seen = false;

	for (int i = 0; i < m.params->n_params; i++) {
		const struct rd_param *p = &m.params->param[i];
		size_t at = p->offset, bytes = p->n_elems * sizeof *s.w;
		bool same = !memcmp(s.w + at, m.w + at, bytes) && !memcmp(s.ema + at, m.w + at, bytes);

		seen |= p->frozen && !strcmp(p->name, "time_proj.weight");
		CHECK(same == p->frozen && (at >= n) == p->frozen);
	}
	CHECK(seen);
	rd_train_state_free(&s);
	rd_model_free(&m);
}

/* The tools have labels only: neither a trainer nor a sampler takes a network that wants a vector. */
static void no_labels(void)
{
	const struct rd_denoiser_opts sampling = {.guidance = 1, .null_class = -1};
	struct rd_denoiser *s;
	struct rd_model m = unet_of("vp", "epsilon", ", \"class_embed_type\": \"identity\"");
	struct rd_dataset d = data_of(true, false);
	struct rd_train_opts o = unconditional(4, 2);
	struct rd_trainer *t;

	CHECK(rd_trainer_new(&t, &m, &d, NULL, be, dev, &o, &e) == RD_EUSAGE && !t && strstr(e.msg, "class_embed_type"));
	CHECK(rd_denoiser_new(&s, &m, be, dev, 2, &sampling, &e) == RD_EUSAGE && !s && strstr(e.msg, "class_embed_type"));
	rd_model_free(&m);
}

int main(void)
{
	trainers_begin();
	dropout();
	frozen();
	no_labels();
	trainers_end();
	return check_report("train_net");
}
