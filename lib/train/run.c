#include "lib/train/run.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/leftover.h"
#include "formats/name.h"
#include "formats/out_dir.h"
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
	struct rd_trainlog *logging; /* while it is under way */
	bool already;
	int64_t from;
};

/* Keys of a run's description that may differ on request. */
static const char *const machine_keys[] = {"device", "micro_batch", NULL}, *const no_keys[] = {NULL};

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

/* What is there of this run may be a snapshot that was put there, or have weights of another type, or others, than asked for. */
static int check_complete(const struct rd_run *r, const struct rd_result_found *f, struct rd_err *e)
{
	if (r->o.keep_best ? !f->best : f->step != r->t.steps)
		return rd_fail(e, RD_EFAIL, "%s: is a snapshot of this very run, of step %lld of %lld (-f replaces it by the result)", r->out,
		               (long long)f->step, (long long)r->t.steps);
	if (f->type != r->o.save_as)
		return rd_fail(e, RD_EFAIL, "%s: is of this very run, but its weights are %s, which --save-as does not ask for (-f makes it anew)",
		               r->out, f->type_name);
	if (f->raw == r->o.no_raw)
		return rd_fail(e, RD_EFAIL, "%s: is of this very run, but %s those weights that are not averaged (-f makes it anew)", r->out,
		               f->raw ? "has" : "lacks");
	return RD_OK;
}

static int look_for_out(struct rd_run *r, struct rd_err *e)
{
	struct rd_result_found f;
	char ways[300];
	int rc = rd_result_find(&f, r->m, r->out, e);

	if (!rc && f.run) {
		snprintf(ways, sizeof ways, "-f replaces it, -m %.200s -o NEW trains it further", r->out);
		rc = compare(r, f.run, r->out, ways, e);
		if (!rc)
			rc = check_complete(r, &f, e);
		r->already = !rc && !r->o.restart;
	}
	json_decref(f.run);
	return r->o.replace ? RD_OK : rc;
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

static void snapshot_path(const struct rd_run *r, int64_t step, char *path, size_t cap)
{
	snprintf(path, cap, "%s.%lld", r->out, (long long)step);
}

/* Whether this very run has made the snapshot, be it on another machine. */
static bool is_ours(const struct rd_run *r, const char *snapshot)
{
	struct rd_result_found f;
	struct rd_err e;
	bool ours = !rd_result_find(&f, r->m, snapshot, &e) && f.run && !rd_run_same(f.run, r->run, machine_keys, snapshot, &e);

	json_decref(f.run);
	return ours;
}

/* The first step from here on that makes a snapshot. */
static int64_t first_snapshot(const struct rd_run *r)
{
	const int64_t every = r->o.snapshot_every;

	return r->from >= every ? r->from - r->from % every : every;
}

/* The step of the snapshot, of those still to be made, that name, an entry of its folder, may be of; 0: of none. */
static int64_t step_of(const struct rd_run *r, const char *name)
{
	const char *base = rd_name_last(r->out);
	const size_t n = strlen(base);
	int64_t step;

	if (strncmp(name, base, n) || name[n] != '.')
		return 0;
	step = strtoll(name + n + 1, NULL, 10);
	return step >= first_snapshot(r) && step < r->t.steps && step % r->o.snapshot_every == 0 ? step : 0;
}

static int try_snapshot(const struct rd_run *r, int64_t step, struct rd_err *e)
{
	char path[4200];
	int rc = RD_OK;

	snapshot_path(r, step, path, sizeof path);
	if (r->o.log)
		rc = rd_trainlog_apart(&r->log, path, e);
	return rc ? rc : rd_out_dir_try(path, r->o.replace || is_ours(r, path), e);
}

/* Of those that there is something of, the first that cannot be made. */
static int try_snapshots_there(const struct rd_run *r, struct rd_err *e)
{
	const char *base = rd_name_last(r->out);
	int64_t step, bad = INT64_MAX;
	struct dirent *f;
	struct rd_err one;
	char folder[4200];
	DIR *d;

	snprintf(folder, sizeof folder, "%.*s", (int)(base - r->out), r->out);
	d = opendir(*folder ? folder : ".");
	while (d && (f = readdir(d))) {
		step = step_of(r, f->d_name);
		if (step && step < bad && try_snapshot(r, step, &one)) {
			bad = step;
			*e = one;
		}
	}
	if (d)
		closedir(d);
	return bad == INT64_MAX ? RD_OK : e->code;
}

/* What is in the way of a snapshot is to be known now, not when its step is done. There may be millions: looked at are those that there
 * is something of, the longest name, and what the log's own path has the name of. */
static int look_for_snapshots(const struct rd_run *r, struct rd_err *e)
{
	const int64_t every = r->o.snapshot_every, end = r->t.steps - 1;
	char *log, *rest, *part;
	int rc;

	if (!every || first_snapshot(r) > end)
		return RD_OK;
	rc = try_snapshots_there(r, e);
	if (!rc)
		rc = try_snapshot(r, end - end % every, e);
	log = r->o.log ? rd_name_follow(r->o.log) : NULL; /* NULL: try_snapshot has said so */
	for (part = log ? strtok_r(log, "/", &rest) : NULL; part && !rc; part = strtok_r(NULL, "/", &rest))
		if (step_of(r, part))
			rc = try_snapshot(r, step_of(r, part), e);
	free(log);
	return rc;
}

static int set_paths(struct rd_run *r, struct rd_err *e)
{
	const size_t n = rd_name_length(r->o.out);

	if (n > 4000)
		return rd_fail(e, RD_EUSAGE, "-o: the path is too long");
	if (asprintf(&r->out, "%.*s", (int)n, r->o.out) < 0 || asprintf(&r->ckpt, "%s.ckpt", r->out) < 0)
		return rd_fail(e, RD_ENOMEM, "no memory");
	return RD_OK;
}

/* Where the run logs, which is no place that it writes otherwise; without machine_keys, which may change under way. */
static int set_log(struct rd_run *r, struct rd_err *e)
{
	char *lock = NULL;
	int rc = rd_trainlog_file(&r->log, r->o.log, r->o.replace, r->run, e);

	if (!rc && asprintf(&lock, "%s.lock", r->out) < 0)
		return rd_fail(e, RD_ENOMEM, "no memory");
	for (int i = 0; i < 3 && !rc; i++)
		rc = rd_trainlog_apart(&r->log, (const char *[]){r->out, r->ckpt, lock}[i], e);
	free(lock);
	return rc;
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
		rc = set_log(r, e);
	if (!rc) {
		json_object_set_new(r->run, "device", json_string(be->describe(dev)));
		if (t->micro_batch && t->micro_batch != t->batch)
			json_object_set_new(r->run, "micro_batch", json_integer(t->micro_batch));
		rc = rd_outlock_take(&r->lock, r->out, e);
	}
	if (!rc && r->lock.fd >= 0) { /* so nobody is writing what killed runs left */
		rd_leftover_dir(r->out);
		rd_leftover_file(r->ckpt, true);
		if (o->log)
			rd_leftover_file(o->log, false); /* which an output of another name may have too */
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
	if (!rc && !r->already)
		rc = look_for_snapshots(r, e);
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
 * first one warms up and does not count, unless the second that may be spent here, or to measure well 20 of them, is over by then. */
static int measure_step(struct rd_run *r, bool well, double *out, struct rd_err *e)
{
	enum { LEAST = 3, MOST = 25 };
	const double enough = 0.1, bound = well ? 20 : 1;
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
	const int64_t every = r->o.held_out_every;
	int64_t times = 0;
	int rc;

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
	rc = r->from == r->t.steps ? RD_OK : measure_step(r, measure_well, &p->step_seconds, e);
	if (r->t.held_out)
		times = r->t.steps / every - r->from / every + (r->t.steps % every > 0);
	p->held_seconds = (double)times * ceil((double)r->t.held_out / (double)r->t.batch) * p->step_seconds / 3;
	return rc;
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

	r->state.unlogged = rd_trainlog_sum(r->logging);
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
	bool ours;

	snapshot_path(r, step - r->o.snapshot_every, path, cap);
	ours = r->m->contexts && is_ours(r, path);
	snprintf(path + strlen(path), cap - strlen(path), "/" RD_CONTEXTS_FILE);
	return ours;
}

/* OUT as it would be if the run ended here, beside it. */
static int snapshot(struct rd_run *r, int64_t step, struct rd_err *e)
{
	char path[4200], contexts[4300];

	if (!r->o.snapshot_every || step % r->o.snapshot_every || step == r->t.steps)
		return RD_OK;
	snapshot_path(r, step, path, sizeof path);
	return save(r, path, r->state.ema, shared_contexts(r, step, contexts, sizeof contexts) ? contexts : NULL,
	            r->o.replace || is_ours(r, path), e);
}

/* That of the step which the run goes on from: it may have been what could not be written. */
static int missing_snapshot(struct rd_run *r, struct rd_err *e)
{
	char path[4200];

	snapshot_path(r, r->from, path, sizeof path);
	return !r->from || !r->o.snapshot_every || is_ours(r, path) ? RD_OK : snapshot(r, r->from, e);
}

/* Where something else cannot be written, a checkpoint keeps the work. */
static int keep_work(struct rd_run *r, struct rd_err *e)
{
	const int64_t done = rd_trainer_done(r->trainer);
	struct rd_err later;

	if (checkpoint(r, &later))
		return e->code;
	if (done == r->t.steps)
		return rd_context(e, "all steps are done, and are in %s, from which rectrain goes on", r->ckpt);
	return rd_context(e, "step %lld is done, and is in %s, from which rectrain goes on", (long long)done, r->ckpt);
}

static int finish(struct rd_run *r, struct rd_err *e)
{
	int rc = save(r, r->out, r->state.best ? r->state.best : r->state.ema, NULL, r->o.replace, e);

	return rc ? keep_work(r, e) : RD_OK;
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

/* What the step that is done leaves in files, but for checkpoints. */
static int record(struct rd_run *r, int64_t done, const double *held, struct rd_err *e)
{
	int rc = RD_OK;

	if (done % r->o.log_every == 0 || done == r->t.steps || held)
		rc = rd_trainlog_write(r->logging, done, held, e);
	if (!rc)
		rc = snapshot(r, done, e);
	return rc ? keep_work(r, e) : RD_OK;
}

/* Steps until the end or until tick asks to stop. */
static int steps(struct rd_run *r, rd_run_tick_fn tick, void *ctx, struct rd_run_result *res, struct rd_err *e)
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
		rd_trainlog_add(r->logging, &s);
		if (measure_due(r, done))
			rc = measure(r, done, &held, e);
		if (!rc)
			rc = record(r, done, measure_due(r, done) ? &held : NULL, e);
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
	struct rd_err later;
	int rc = 0;

	*res = (struct rd_run_result){.already = r->already, .step = r->from};
	if (!r->already) {
		if (r->o.log)
			rc = rd_trainlog_open(&r->logging, &r->log, r->from, r->state.unlogged, e);
		if (!rc)
			rc = missing_snapshot(r, e);
		if (!rc)
			rc = steps(r, tick, ctx, res, e);
		if (!rc && !res->stopped)
			rc = finish(r, e);
		if (rd_trainlog_close(r->logging, &later) && !rc) {
			*e = later;
			rc = later.code;
		}
		r->logging = NULL;
	}
	if (!rc && !res->stopped)
		unlink(r->ckpt);
	return rc;
}
