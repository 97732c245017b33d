#include "lib/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/leftover.h"
#include "formats/out_dir.h"
#include "formats/safetensors.h"
#include "lib/base/clock.h"
#include "lib/base/moments.h"
#include "lib/base/size.h"
#include "lib/train/checkpoint.h"
#include "lib/train/outlock.h"
#include "lib/train/result.h"
#include "lib/train/trainlog.h"

struct rd_run {
	const struct rd_model *m;
	const struct rd_dataset *d;
	struct rd_train_opts t;
	struct rd_run_opts o;
	char *out, *ckpt;        /* paths */
	struct rd_outlock lock;
	json_t *run;             /* what decides the result */
	struct rd_trainlog_file log; /* where o.log is not NULL */
	struct rd_trainer *trainer;
	struct rd_train_state state;
	bool already;
	int64_t from;
};

/* Keys of a run's description that may differ on request. */
static const char *const machine_keys[] = {"device", "micro_batch", NULL}, *const no_keys[] = {NULL};

/* The description that a finished folder carries, NULL where there is none. */
static int finished_run(const struct rd_run *r, const char *folder, json_t **run, struct rd_err *e)
{
	struct rd_safetensors *st;
	char path[4200];
	const char *text;
	int rc;

	*run = NULL;
	snprintf(path, sizeof path, "%s/%s/diffusion_pytorch_model.safetensors", folder, r->m->net.kind->part);
	if (access(path, F_OK))
		return RD_OK;
	rc = rd_safetensors_open(&st, path, e);
	if (rc)
		return r->o.replace ? RD_OK : rc;
	text = json_string_value(json_object_get(rd_safetensors_metadata(st), "rectdiff.run"));
	*run = text ? json_loads(text, 0, NULL) : NULL;
	rd_safetensors_close(st);
	if (!*run && !r->o.replace)
		return rd_fail(e, RD_EFAIL, "%s: is a model that rectrain did not make (-f replaces it)", folder);
	return RD_OK;
}

/* RD_OK where `run`, of the file called name, is this very run; else what is wrong, with the ways out of it: ways, and more where
 * it is but another machine. */
static int compare(const struct rd_run *r, const json_t *run, const char *name, const char *ways, struct rd_err *e)
{
	int rc = rd_run_same(run, r->run, machine_keys, name, e);

	if (rc)
		return rd_context(e, "cannot go on (%s)", ways);
	rc = r->o.any_machine ? RD_OK : rd_run_same(run, r->run, no_keys, name, e);
	return rc ? rd_context(e, "cannot go on (--any-machine does all the same, %s)", ways) : RD_OK;
}

static int look_for_out(struct rd_run *r, struct rd_err *e)
{
	char ways[300];
	json_t *run;
	int rc = finished_run(r, r->out, &run, e);

	if (rc || !run)
		return rc;
	snprintf(ways, sizeof ways, "-f replaces it, -m %.200s -o NEW trains it further", r->out);
	rc = compare(r, run, r->out, ways, e);
	json_decref(run);
	if (!rc && !r->o.restart)
		r->already = true;
	return rc && r->o.replace ? RD_OK : rc;
}

static int look_for_checkpoint(struct rd_run *r, struct rd_err *e)
{
	struct rd_err other;
	json_t *run;
	int rc;

	if (r->o.restart || access(r->ckpt, F_OK))
		return RD_OK;
	rc = rd_checkpoint_load(r->ckpt, &r->state, &run, e);
	if (rc)
		rc = rd_context(e, "cannot go on (--restart begins anew)");
	if (run && compare(r, run, r->ckpt, "--restart begins anew", &other)) { /* which says more than that its arrays do not fit */
		*e = other;
		rc = other.code;
	}
	json_decref(run);
	if (rc)
		return rc;
	r->from = r->state.step;
	return rd_trainer_set(r->trainer, &r->state, e);
}

static int set_paths(struct rd_run *r, struct rd_err *e)
{
	size_t n = strlen(r->o.out);

	while (n > 1 && r->o.out[n - 1] == '/')
		n--;
	if (n > 4000)
		return rd_fail(e, RD_EUSAGE, "-o: the path is too long");
	if (asprintf(&r->out, "%.*s", (int)n, r->o.out) < 0 || asprintf(&r->ckpt, "%s.ckpt", r->out) < 0)
		return rd_fail(e, RD_ENOMEM, "no memory");
	if (r->o.log && (!strcmp(r->o.log, r->out) || !strcmp(r->o.log, r->ckpt)))
		return rd_fail(e, RD_EUSAGE, "--log %s: the run itself writes there", r->o.log);
	return RD_OK;
}

int rd_run_open(struct rd_run **out, const struct rd_model *m, const struct rd_dataset *d, const struct rd_dataset *held,
                const struct rd_backend *be, struct rd_dev *dev, const struct rd_train_opts *t, const struct rd_run_opts *o, struct rd_err *e)
{
	struct rd_run *r;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *r, "run", e);

	*out = NULL;
	if (rc)
		return rc;
	r = p;
	r->m = m;
	r->d = d;
	r->t = *t;
	r->o = *o;
	r->lock = RD_OUTLOCK_NONE;
	r->run = rd_train_describe(m, d, t);
	rc = r->run ? set_paths(r, e) : rd_fail(e, RD_ENOMEM, "no memory");
	if (r->run && o->keep_best)
		json_object_set_new(r->run, "keep_best_of_every", json_integer(o->held_out_every));
	if (!rc && o->log)
		rc = rd_trainlog_file(&r->log, o->log, o->replace, r->run, e); /* without machine_keys, which may change under way */
	if (!rc) {
		json_object_set_new(r->run, "device", json_string(be->describe(dev)));
		if (t->micro_batch && t->micro_batch != t->batch)
			json_object_set_new(r->run, "micro_batch", json_integer(t->micro_batch));
		rc = rd_outlock_take(&r->lock, r->out, e);
	}
	if (!rc && r->lock.fd >= 0) { /* so nobody is writing what killed runs left */
		rd_leftover_dir(r->out);
		rd_leftover_file(r->ckpt);
		if (o->log)
			rd_leftover_file(o->log);
	}
	if (!rc)
		rc = look_for_out(r, e);
	if (!rc && !r->already)
		rc = rd_out_dir_try(r->out, o->replace, e);
	if (!rc && !r->already && o->log)
		rc = rd_trainlog_try(&r->log, e);
	if (!rc && !r->already)
		rc = rd_trainer_new(&r->trainer, m, d, held, be, dev, t, e);
	if (!rc && !r->already)
		rc = rd_trainer_state(r->trainer, &r->state, e);
	if (!rc && !r->already && o->keep_best)
		rc = rd_train_state_keep_best(&r->state, e);
	if (!rc && !r->already)
		rc = look_for_checkpoint(r, e);
	if (rc)
		rd_run_close(r);
	else
		*out = r;
	return rc;
}

void rd_run_close(struct rd_run *r)
{
	if (!r)
		return;
	rd_train_state_free(&r->state);
	rd_trainer_free(r->trainer);
	json_decref(r->run);
	rd_outlock_drop(&r->lock);
	free(r->out);
	free(r->ckpt);
	free(r);
}

/* Seconds of a step: the median over some rehearsals, since one may have waited for a processor longer than a small step takes. The
 * first one warms up and does not count, unless the second that may be spent here is over by then; measuring well has no such bound. */
static int measure_step(struct rd_run *r, bool well, double *out, struct rd_err *e)
{
	enum { LEAST = 3, MOST = 25 };
	const double enough = 0.1, bound = well ? INFINITY : 1;
	double took[MOST + 1], *counted = took + 1, begun = rd_clock(), warm = begun, t = begun;
	int n = 0, rc = RD_OK;

	do {
		rc = rd_trainer_rehearse(r->trainer, e);
		took[n] = rd_clock() - t;
		t += took[n++];
		if (n == 1)
			warm = t;
	} while (!rc && n <= MOST && t - begun < bound && (n <= LEAST || t - warm < enough));
	if (rc)
		return rc;
	if (n == 1)
		counted = took;
	else
		n--;
	qsort(counted, (size_t)n, sizeof *counted, rd_by_value);
	*out = counted[n / 2];
	return RD_OK;
}

bool rd_run_reads_model(const struct rd_run *r)
{
	return r->trainer && rd_trainer_reads_model(r->trainer);
}

int rd_run_plan(struct rd_run *r, bool measure_well, struct rd_run_plan *p, struct rd_err *e)
{
	const size_t each = rd_dtype_bytes(r->o.save_as);
	const struct rd_graph *adapted;

	*p = (struct rd_run_plan){.already = r->already, .unlocked = r->lock.fd < 0, .from_step = r->from,
	                          .model_bytes = (r->o.no_raw ? 1 : 2) * r->m->params->n_flat * each,
	                          .checkpoint_bytes = (r->o.keep_best ? 5 : 4) * r->state.n * sizeof(float)};
	p->contexts_bytes = r->m->contexts ? rd_contexts_bytes(r->m->contexts) : 0;
	if (r->already)
		return RD_OK;
	adapted = rd_trainer_adapters(r->trainer);
	if (adapted) {
		p->adapter_params = rd_graph_adapter_count(adapted);
		p->model_bytes += (size_t)p->adapter_params * each;
	}
	p->device_bytes = rd_trainer_bytes(r->trainer);
	return r->from == r->t.steps ? RD_OK : measure_step(r, measure_well, &p->step_seconds, e);
}

/* The state as it is, where what it was trained on is still what the run's description says. */
static int get_state(struct rd_run *r, struct rd_err *e)
{
	int rc = r->m->contexts ? rd_contexts_unchanged(r->m->contexts, e) : RD_OK;

	return rc ? rc : rd_trainer_get(r->trainer, &r->state, e);
}

static int checkpoint(struct rd_run *r, struct rd_err *e)
{
	int rc = get_state(r, e);

	return rc ? rc : rd_checkpoint_save(r->ckpt, &r->state, r->run, e);
}

static int save(struct rd_run *r, const char *path, const float *average, const char *contexts, bool replace, struct rd_err *e)
{
	struct rd_result res = {.m = r->m, .t = &r->t, .run = r->run, .d = r->d, .command = r->o.command, .state = &r->state,
	                        .average = average, .type = r->o.save_as, .raw = !r->o.no_raw, .contexts = contexts,
	                        .adapted = rd_trainer_adapters(r->trainer)};
	void *merged = NULL;
	int rc = get_state(r, e);

	if (!rc && res.adapted)
		rc = rd_alloc(&merged, r->m->params->n_flat, sizeof *res.merged, "weights", e);
	if (!rc && res.adapted)
		rc = rd_trainer_merge(r->trainer, average, merged, e);
	res.merged = merged;
	if (!rc)
		rc = rd_result_save(&res, path, replace, e);
	free(merged);
	return rc;
}

/* The contexts of the snapshot before that of `step`, where this very run has made it. */
static bool shared_contexts(const struct rd_run *r, int64_t step, char *path, size_t cap)
{
	json_t *run = NULL;
	struct rd_err e;
	bool ours;

	snprintf(path, cap, "%s.%lld", r->out, (long long)(step - r->o.snapshot_every));
	ours = r->m->contexts && !finished_run(r, path, &run, &e) && run && !rd_run_same(run, r->run, machine_keys, path, &e);
	json_decref(run);
	snprintf(path + strlen(path), cap - strlen(path), "/" RD_CONTEXTS_FILE);
	return ours;
}

/* OUT as it would be if the run ended here, beside it. */
static int snapshot(struct rd_run *r, int64_t step, struct rd_err *e)
{
	char path[4200], contexts[4300];

	if (!r->o.snapshot_every || step % r->o.snapshot_every || step == r->t.steps)
		return RD_OK;
	snprintf(path, sizeof path, "%s.%lld", r->out, (long long)step);
	return save(r, path, r->state.ema, shared_contexts(r, step, contexts, sizeof contexts) ? contexts : NULL, true, e);
}

/* Where OUT cannot be written, a checkpoint of the last step keeps the work. */
static int finish(struct rd_run *r, struct rd_err *e)
{
	struct rd_err later;
	int rc = save(r, r->out, r->state.best ? r->state.best : r->state.ema, NULL, r->o.replace, e);

	if (rc && !checkpoint(r, &later))
		rc = rd_context(e, "all steps are done, and are in %s, from which rectrain goes on", r->ckpt);
	return rc;
}

static bool measure_due(const struct rd_run *r, int64_t done)
{
	return r->t.held_out && (done % r->o.held_out_every == 0 || done == r->t.steps);
}

/* The loss on what is held out; the average that does best is kept. */
static int measure(struct rd_run *r, int64_t done, double *loss, struct rd_err *e)
{
	struct rd_train_state *s = &r->state;
	int rc = rd_trainer_held_out(r->trainer, loss, e);

	if (!rc && !isfinite(*loss))
		rc = rd_fail(e, RD_EFAIL, "step %lld: the loss of what is held out is %g", (long long)done, *loss);
	if (rc || !s->best || !(*loss < s->best_loss))
		return rc;
	rc = rd_trainer_get(r->trainer, s, e);
	if (rc)
		return rc;
	memcpy(s->best, s->ema, s->n * sizeof *s->best);
	s->best_loss = *loss;
	s->best_step = done;
	return RD_OK;
}

/* Steps until the end or until tick asks to stop. */
static int steps(struct rd_run *r, struct rd_trainlog *log, rd_run_tick_fn tick, void *ctx, struct rd_run_result *res,
                 struct rd_err *e)
{
	struct rd_step_report s;
	double held;
	int64_t done;
	int rc = 0;

	while (!rc && !res->stopped && (done = rd_trainer_done(r->trainer)) < r->t.steps) {
		rc = rd_trainer_step(r->trainer, &s, e);
		if (rc)
			break;
		done++;
		rd_trainlog_add(log, &s);
		if (measure_due(r, done))
			rc = measure(r, done, &held, e);
		if (!rc && (done % r->o.log_every == 0 || done == r->t.steps || measure_due(r, done)))
			rc = rd_trainlog_write(log, done, measure_due(r, done) ? &held : NULL, e);
		if (!rc)
			rc = snapshot(r, done, e);
		if (!rc && tick(ctx, done, &s))
			res->stopped = done < r->t.steps;
		if (!rc && done < r->t.steps && (res->stopped || done % r->o.checkpoint_every == 0))
			rc = checkpoint(r, e);
	}
	res->step = rd_trainer_done(r->trainer);
	res->best_step = r->state.best_step;
	res->best_loss = r->state.best_loss;
	return rc;
}

int rd_run_go(struct rd_run *r, rd_run_tick_fn tick, void *ctx, struct rd_run_result *res, struct rd_err *e)
{
	struct rd_trainlog *log = NULL;
	struct rd_err later;
	int rc = 0;

	*res = (struct rd_run_result){.already = r->already, .resumed_at = r->from, .step = r->from};
	if (!r->already) {
		if (r->o.log)
			rc = rd_trainlog_open(&log, &r->log, r->from, e);
		if (!rc)
			rc = steps(r, log, tick, ctx, res, e);
		if (!rc && !res->stopped)
			rc = finish(r, e);
		if (rd_trainlog_close(log, &later) && !rc) {
			*e = later;
			rc = later.code;
		}
	}
	if (!rc && !res->stopped)
		unlink(r->ckpt);
	return rc;
}
