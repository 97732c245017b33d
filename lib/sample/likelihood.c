#include "lib/sample/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/base/size.h"

int rd_likelihood_init(struct rd_likelihood *l, const struct rd_trace_opts *t, const struct rd_solver *s, const struct rd_grid *g,
                       bool reversed, struct rd_err *e)
{
	const struct rd_node *data = &g->from[0];
	int rc;

	*l = (struct rd_likelihood){.trace = *t, .n_evals = -1};
	if (t->kind == RD_TRACE_NONE)
		return RD_OK;
	if (!reversed)
		return rd_fail(e, RD_EUSAGE, "a likelihood is that of data: the ODE is to be walked in reverse");
	rc = rd_solver_divergence(&l->divergence, s, g, e);
	l->noise_to_signal = data->sigma / data->alpha;
	l->log_scale = l->divergence.scale + log(data->alpha / g->start_scale) - log(2 * M_PI) / 2;
	return rc;
}

int rd_likelihood_resize(struct rd_likelihood *l, int64_t n, struct rd_err *e)
{
	void *p;
	int rc;

	free(l->logdet);
	l->logdet = NULL;
	l->n = 0;
	rc = rd_alloc(&p, (size_t)n, sizeof *l->logdet, "densities", e);
	if (rc)
		return rc;
	l->logdet = p;
	l->n = n;
	return RD_OK;
}

void rd_likelihood_free(struct rd_likelihood *l)
{
	free(l->divergence.at);
	free(l->logdet);
	*l = (struct rd_likelihood){.n_evals = -1};
}

void rd_likelihood_begin(struct rd_likelihood *l, struct rd_denoiser *d, uint64_t first)
{
	l->n_evals = 0;
	memset(l->logdet, 0, (size_t)l->n * sizeof *l->logdet);
	rd_denoiser_trace(d, true, first);
}

void rd_likelihood_stop(struct rd_likelihood *l, struct rd_denoiser *d)
{
	l->n_evals = -1;
	rd_denoiser_trace(d, false, 0);
}

bool rd_likelihood_is_on(const struct rd_likelihood *l)
{
	return l->n_evals >= 0;
}

void rd_likelihood_add(struct rd_likelihood *l, const struct rd_denoiser *d)
{
	const struct rd_divergence_at *w;

	if (!rd_likelihood_is_on(l))
		return;
	w = &l->divergence.at[l->n_evals++];
	rd_denoiser_add_traces(d, w->on_x0, w->on_eps, l->logdet);
}

/* With z = x_T/start_scale the noise, and data = x/alpha where x begins. */
void rd_likelihood_end(const struct rd_likelihood *l, int64_t n, size_t dim, const float *noise, double *logp)
{
	for (size_t i = 0; i < (size_t)n; i++) {
		double square = 0;

		for (size_t j = i * dim; j < (i + 1) * dim; j++)
			square += (double)noise[j] * (double)noise[j];
		logp[i] = l->logdet[i] + l->log_scale * (double)dim - square / 2;
	}
}

json_t *rd_likelihood_json(const struct rd_likelihood *l)
{
	bool exact = l->trace.kind == RD_TRACE_EXACT;
	json_t *j;

	if (l->trace.kind == RD_TRACE_NONE)
		return NULL;
	j = json_pack("{s:s, s:f}", "trace", exact ? "exact" : "hutchinson", "noise_to_signal", l->noise_to_signal);
	if (!exact)
		json_object_update_new(j, json_pack("{s:i, s:o}", "probes", l->trace.probes, "seed", rd_json_u64(l->trace.seed)));
	return j;
}
