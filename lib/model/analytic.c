/* Models without a network: the exact denoiser of a known density under a form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/model/model.h"

#define MAX_FORM 1024 /* table:FILE */

bool rd_model_is_analytic(const char *dir)
{
	return !strncmp(dir, "analytic:", 9);
}

/* SPEC without its ",form=F"; F, or ddpm. */
static int split_form(const char *spec, char *rest, size_t cap, char form[MAX_FORM], struct rd_err *e)
{
	const char *at = strstr(spec, ",form="), *end;
	size_t n;

	snprintf(form, MAX_FORM, "ddpm");
	if (!at)
		at = spec + strlen(spec);
	end = *at ? at + 6 + strcspn(at + 6, ",") : at;
	n = *at ? (size_t)(end - at) - 6 : 0;
	if (n >= MAX_FORM || strlen(spec) >= cap)
		return rd_fail(e, RD_EUSAGE, "analytic:%.64s: too long", spec);
	if (n)
		snprintf(form, MAX_FORM, "%.*s", (int)n, at + 6);
	snprintf(rest, cap, "%.*s%s", (int)(at - spec), spec, end);
	return RD_OK;
}

int rd_model_analytic(struct rd_model *m, const char *spec, struct rd_err *e)
{
	struct rd_scheduler *s = &m->scheduler;
	char rest[256 + MAX_FORM], form[MAX_FORM];
	int64_t dim;
	int rc = split_form(spec, rest, sizeof rest, form, e);

	if (!rc)
		rc = rd_posterior_new(&m->analytic, rest, e);
	if (!rc) {
		rc = rd_schedule_init(&s->schedule, form, e);
		if (rc)
			rd_context(e, "analytic:%s", spec);
	}
	if (rc)
		return rc;
	snprintf(s->class_name, sizeof s->class_name, "analytic");
	s->pred = (struct rd_prediction){RD_PRED_SAMPLE, 1};
	rd_scheduler_own_sampling(s);
	s->clip_range = 1;
	dim = rd_posterior_dim(m->analytic);
	m->net.sample = rd_shape_make(1, &dim);
	m->net.time_scale = 1;
	m->meta = json_object();
	snprintf(m->hash, sizeof m->hash, "%016llx", (unsigned long long)XXH3_64bits(spec, strlen(spec)));
	return m->meta ? RD_OK : rd_fail(e, RD_ENOMEM, "analytic: no memory");
}
