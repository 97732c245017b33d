#include "tools/common/training_say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/data/joined.h"
#include "lib/model/metakeys.h"
#include "tools/common/common.h"

/* --- pairs --------------------------------------------------------------------------------------------------------- */

/* Pairs of two teachers, or of one under two guidances, or now clamped and now not, have noises that lead to two different places. */
static void warn_of_mixture(const struct rd_provenance *p, const char *key, const char *what)
{
	struct rd_provenance_pair d;

	if (!rd_provenance_differ(p, key, &d))
		return;
	rd_warn("%s has pairs %s %s, %s %s %s: they are trained on together", d.name[0], what, d.value[0],
	        strcmp(d.name[0], d.name[1]) ? d.name[1] : "and others", what, d.value[1]);
	free(d.value[0]);
	free(d.value[1]);
}

/* That the metadata of m's weights name, under key, a model that pairs were made by: one that it comes from. */
static bool descends(const struct rd_model *m, const char *key, const struct rd_provenance *p)
{
	const char *text = json_string_value(json_object_get(m->meta, key));
	json_t *o = text ? json_loads(text, 0, NULL) : NULL, *parts = o ? rd_joined_parts(o) : NULL;
	bool yes = false;

	for (size_t i = 0; i < json_array_size(parts) && !yes; i++) {
		const char *hash = json_string_value(json_object_get(json_array_get(parts, i), "model"));

		yes = hash && rd_provenance_says(p, "model", hash);
	}
	json_decref(parts);
	json_decref(o);
	return yes;
}

/* What m would say of their noise is not what it is to learn. Where m was trained on such pairs before, or began as the model that
 * made them, it is trained further. */
static void warn_of_strangers(const struct rd_provenance *p, const struct rd_model *m)
{
	char *by = rd_provenance_text(p, "model");

	if (by && !rd_provenance_says(p, "model", m->hash) && !descends(m, RD_META_RUN, p) && !descends(m, RD_META_DATA, p))
		rd_warn("the pairs are by another model (%s) than %s (%s)", by, m->dir, m->hash);
	free(by);
}

/* A line on what n pairs were made by, and warnings where inputs do not go together, or with m, the model that training starts from
 * (NULL: a new one). */
static void say_pairs(const struct rd_dataset *d, int64_t n, const struct rd_model *m)
{
	static const struct {
		const char *key, *before, *after;
	} said[] = {{"model", "by model ", ""}, {"solver", "", ""}, {"steps", "", " steps"}, {"guidance", "guidance ", ""}};
	int files = rd_provenance_inputs(d->made_by);
	char line[512];
	size_t at, begun;

	at = begun = (size_t)snprintf(line, sizeof line, "pairs: %lld in %d file%s", (long long)n, files, files == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		char *value = rd_provenance_text(d->made_by, said[i].key);

		if (value && at < sizeof line)
			at += (size_t)snprintf(line + at, sizeof line - at, ", %s%s%s", said[i].before, value, said[i].after);
		free(value);
	}
	rd_tell("%s%s", line, at == begun ? "; nothing says what made them" : "");
	if (m)
		warn_of_strangers(d->made_by, m);
	warn_of_mixture(d->made_by, "model", "by model");
	warn_of_mixture(d->made_by, "guidance", "with guidance");
	warn_of_mixture(d->made_by, "clip", "with clip");
	warn_of_mixture(d->made_by, "clip_range", "with clip range");
}

/* --- the run ------------------------------------------------------------------------------------------------------- */

static const char *duration(double s, char buf[32])
{
	if (s < 100)
		snprintf(buf, 32, "%.0f s", s);
	else if (s < 5400)
		snprintf(buf, 32, "%.0f min", s / 60);
	else
		snprintf(buf, 32, "%.1f h", s / 3600);
	return buf;
}

static const char *what_it_is(const struct rd_train_opts *t)
{
	return t->coupling == RD_COUPLING_PAIRS ? "pairs" : t->coupling == RD_COUPLING_OT ? "samples, noise by optimal transport"
	                                                                                  : "samples, independent noise";
}

/* What is learnt, where that is more than the paths of the pairs or the data. */
static void say_objective(const struct rd_train_opts *t)
{
	char guided[48] = "";

	if (t->guidance != 1)
		snprintf(guided, sizeof guided, ", with guidance %g", t->guidance);
	if (t->phases && t->coupling == RD_COUPLING_PAIRS)
		rd_say("a first-order path for each of %d phases, between the knots of the pairs%s", t->phases, guided);
	else if (t->phases)
		rd_say("a first-order path for each of %d phases, to where the model started from gets in %d steps%s", t->phases,
		       t->phase_steps, guided);
	else if (t->consistency)
		rd_say("consistency along the ODE of the model started from, in %d steps%s", t->consistency, guided);
	else if (t->times.kind == RD_TIMES_LAST)
		rd_say("one step from the noisiest time, no other%s", guided);
}

/* Each snapshot but the first has the contexts of the one before. */
static void say_files(const struct rd_training_story *s, const struct rd_run_plan *p)
{
	const int64_t every = s->r->snapshot_every, n = every ? (s->t->steps - 1) / every - p->from_step / every : 0;
	char snapshots[96] = "";

	if (n > 0)
		snprintf(snapshots, sizeof snapshots, " and %lld snapshots (%.1f MB) every %lld", (long long)n,
		         ((double)p->model_bytes * (double)n + (double)p->contexts_bytes) / 1e6, (long long)every);
	rd_say("writes %s (%.1f MB) and, on the way, %s.ckpt (%.1f MB) every %lld steps%s%s%s", s->r->out,
	       (double)(p->model_bytes + p->contexts_bytes) / 1e6, s->r->out, (double)p->checkpoint_bytes / 1e6,
	       (long long)s->r->checkpoint_every, snapshots, s->r->log ? "; log " : "", s->r->log ? s->r->log : "");
}

/* Options that would have left more than OUT are named: that is not made up for. */
static void say_already(const struct rd_run_opts *o)
{
	const bool log = o->log != NULL, snapshots = o->snapshot_every > 0;

	rd_say("%s is there already, of this very run: nothing to do%s%s%s%s%s", o->out, log || snapshots ? ", so " : "", log ? "--log" : "",
	       log && snapshots ? " and " : "", snapshots ? "--snapshot-every" : "", log || snapshots ? " without effect" : "");
}

void rd_training_say(const struct rd_training_story *s, const struct rd_run_plan *p)
{
	const struct rd_model *m = s->m;
	const struct rd_dataset *d = s->d;
	const bool taught = s->t->consistency || (s->t->phases && s->t->coupling != RD_COUPLING_PAIRS);
	char takes[32];

	rd_say("%s%s%s, %lld parameters, %s, %s-prediction; %lld %s", m->dir, m->variant[0] ? ", variant " : "", m->variant,
	       (long long)rd_graph_param_count(m->params), m->scheduler.schedule.form->name, rd_pred_names[m->scheduler.pred.type],
	       (long long)d->n, what_it_is(s->t));
	if (d->made_by)
		say_pairs(d, d->n + s->t->held_out, s->is_new ? NULL : m);
	if (s->t->warmup > s->t->steps)
		rd_warn("--warmup %lld: the rate is still rising after the last of %lld steps", (long long)s->t->warmup,
		        (long long)s->t->steps);
	if (p->unlocked)
		rd_warn("%s.lock: the file system has no locks; another rectrain at work on %s would not be noticed", s->r->out,
		        s->r->out);
	say_objective(s->t);
	if (p->adapter_params)
		rd_say("adapters of rank %d on %s: %lld parameters are trained", s->t->lora.rank,
		       s->t->lora.layers == RD_LORA_ALL ? "all layers" : "attention's projections", (long long)p->adapter_params);
	if (s->t->held_out)
		rd_say("%lld more are held out; their loss is measured every %lld steps", (long long)s->t->held_out,
		       (long long)s->r->held_out_every);
	if (p->already) {
		say_already(s->r);
		return;
	}
	if (p->from_step == s->t->steps) {
		rd_say("all of %lld steps are done; writes %s", (long long)s->t->steps, s->r->out);
		return;
	}
	rd_say("steps %lld to %lld of batch %lld (%.1f epochs in all), about %.3g s a step, %s; %.0f MB of memory for %s and optimiser, "
	       "%.0f MB for the data%s%s", (long long)p->from_step + 1, (long long)s->t->steps, (long long)s->t->batch,
	       (double)s->t->steps * (double)s->t->batch / (double)d->n, p->step_seconds,
	       duration(p->step_seconds * (double)(s->t->steps - p->from_step) + p->held_seconds, takes), (double)p->device_bytes / 1e6,
	       taught ? "networks" : "network", (double)rd_dataset_bytes(d) / 1e6, s->scratch ? ", in a file in " : "", s->scratch ? s->scratch : "");
	say_files(s, p);
}
