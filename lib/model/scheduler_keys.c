#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/model/scheduler_impl.h"

int rd_sched_bool(const struct rd_sched_ctx *x, const char *key, bool def, bool *out)
{
	return rd_json_bool(x->c, x->file, key, def, out, x->e);
}

int rd_sched_num(const struct rd_sched_ctx *x, const char *key, double def, double *out)
{
	return rd_json_num(x->c, x->file, key, def, out, x->e);
}

int rd_sched_choice(const struct rd_sched_ctx *x, const char *key, const char *def, const char *const *names, int *out)
{
	return rd_json_choice(x->c, x->file, key, def, names, out, x->e);
}

int rd_sched_positive(const struct rd_sched_ctx *x, const char *key, double *out)
{
	const json_t *v = json_object_get(x->c, key);
	int rc;

	*out = 0;
	if (!v || json_is_null(v))
		return RD_OK;
	rc = rd_sched_num(x, key, 0, out);
	if (!rc && !(*out > 0 && *out < 1e6))
		rc = rd_fail(x->e, RD_EINPUT, "%s: %s: %g: a positive number below a million expected", x->file, key, *out);
	return rc;
}

int rd_sched_refuse(const struct rd_sched_ctx *x, const char *const *keys)
{
	bool on;
	int rc = 0;

	for (; *keys && !rc; keys++) {
		rc = rd_sched_bool(x, *keys, false, &on);
		if (!rc && on)
			rc = rd_fail(x->e, RD_EINPUT, "%s: %s: true is not supported", x->file, *keys);
	}
	return rc;
}

void rd_sched_ignore(const struct rd_sched_ctx *x, const char *what)
{
	snprintf(x->s->ignored, sizeof x->s->ignored, "%s", what);
}

static int trained_betas(const struct rd_sched_ctx *x, double **out, int64_t *n)
{
	const json_t *a = json_object_get(x->c, "trained_betas"), *v;
	void *p;
	size_t i;
	int rc;

	*out = NULL;
	if (!a || json_is_null(a))
		return RD_OK;
	if (!json_is_array(a) || json_array_size(a) < 2 || json_array_size(a) > 1000000)
		return rd_fail(x->e, RD_EINPUT, "%s: trained_betas: a list of numbers expected", x->file);
	if (json_object_get(x->c, "num_train_timesteps") && json_array_size(a) != (size_t)*n)
		return rd_fail(x->e, RD_EINPUT, "%s: trained_betas: %zu of them, num_train_timesteps says %lld", x->file,
		               json_array_size(a), (long long)*n);
	rc = rd_alloc(&p, json_array_size(a), sizeof **out, "trained_betas", x->e);
	if (rc)
		return rc;
	*out = p;
	*n = (int64_t)json_array_size(a);
	json_array_foreach(a, i, v)
		(*out)[i] = json_number_value(v); /* what is no number gives 0, refused as a beta */
	return RD_OK;
}

int rd_sched_betas(const struct rd_sched_ctx *x, const struct rd_sched_betas *d)
{
	static const char *const kinds[] = {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp", "laplace", NULL};
	struct rd_betas_opts o = {.last_abar = d->last_abar};
	double *trained = NULL;
	int kind, rc = rd_sched_num(x, "beta_start", d->start, &o.start);

	if (!rc)
		rc = rd_sched_num(x, "beta_end", d->end, &o.end);
	if (!rc)
		rc = rd_sched_choice(x, "beta_schedule", "linear", kinds, &kind);
	if (!rc)
		rc = rd_json_int(x->c, x->file, "num_train_timesteps", 1000, 2, 1000000, &o.n_train, x->e);
	if (!rc && d->may_rescale)
		rc = rd_sched_bool(x, "rescale_betas_zero_snr", false, &o.zero_snr);
	if (!rc)
		rc = trained_betas(x, &trained, &o.n_train);
	if (!rc) {
		o.kind = (enum rd_betas)kind;
		o.trained = trained;
		rc = rd_schedule_init_ddpm(&x->s->schedule, &o, x->e);
		if (rc)
			rd_context(x->e, "%s", x->file);
	}
	free(trained);
	return rc;
}

int rd_sched_prediction(const struct rd_sched_ctx *x, const char *const *names)
{
	int p, rc = rd_sched_choice(x, "prediction_type", names[0], names, &p);

	if (!rc)
		x->s->pred = (struct rd_prediction){(enum rd_pred)p, 1};
	return rc;
}

int rd_sched_spacing(const struct rd_sched_ctx *x, const char *def, enum rd_spacing *out)
{
	static const char *const names[] = {"trailing", "leading", "linspace", NULL};
	int64_t offset;
	int k, rc = rd_sched_choice(x, "timestep_spacing", def, names, &k);

	if (!rc)
		rc = rd_json_int(x->c, x->file, "steps_offset", 0, 0, 1000, &offset, x->e);
	if (!rc) {
		*out = (enum rd_spacing)k;
		x->s->grid.steps_offset = (int)offset;
	}
	return rc;
}

int rd_sched_clip(const struct rd_sched_ctx *x, bool def)
{
	static const char *const off[] = {"thresholding", NULL};
	int rc = rd_sched_refuse(x, off);

	if (!rc)
		rc = rd_sched_bool(x, "clip_sample", def, &x->s->clip);
	if (!rc)
		rc = rd_sched_num(x, "clip_sample_range", 1, &x->s->clip_range);
	if (!rc && !(x->s->clip_range > 0))
		rc = rd_fail(x->e, RD_EINPUT, "%s: clip_sample_range: a positive number expected", x->file);
	return rc;
}

int rd_sched_sigmas(const struct rd_sched_ctx *x, enum rd_spacing *out)
{
	static const struct {
		const char *key;
		enum rd_spacing spacing;
	} keys[] = {{"use_karras_sigmas", RD_SPACING_KARRAS}, {"use_exponential_sigmas", RD_SPACING_EXPONENTIAL},
	            {"use_beta_sigmas", RD_SPACING_BETA}};
	const char *found = NULL;
	bool on;
	int rc = 0;

	for (size_t i = 0; i < sizeof keys / sizeof *keys && !rc; i++) {
		rc = rd_sched_bool(x, keys[i].key, false, &on);
		if (rc || !on)
			continue;
		if (found)
			return rd_fail(x->e, RD_EINPUT, "%s: %s and %s exclude each other", x->file, found, keys[i].key);
		found = keys[i].key;
		*out = keys[i].spacing;
	}
	return rc;
}

int rd_sched_final(const struct rd_sched_ctx *x)
{
	static const char *const names[] = {"zero", "sigma_min", NULL};
	int k, rc = rd_sched_choice(x, "final_sigmas_type", "zero", names, &k);

	if (!rc)
		x->s->grid.final = k ? RD_FINAL_LEAST : RD_FINAL_DATA;
	return rc;
}
