#include "lib/train/run.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"
#include "lib/model/card.h"
#include "lib/train/checkpoint.h"
#include "lib/train/trainlog.h"

struct rd_run {
	const struct rd_model *m;
	const struct rd_dataset *d;
	struct rd_train_opts t;
	struct rd_run_opts o;
	char *out, *ckpt, *lock; /* paths */
	int lock_fd;
	json_t *run;             /* what decides the result */
	struct rd_trainer *trainer;
	struct rd_train_state state;
	bool already;
	int64_t from;
};

/* Keys of a run's description that may differ on request. */
static const char *const machine_keys[] = {"device", NULL}, *const no_keys[] = {NULL};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Who held the lock removes the file before letting go: what was locked may no longer be what the name stands for. */
static int take_lock(struct rd_run *r, struct rd_err *e)
{
	struct stat mine, named;
	int fd;

	for (;;) {
		fd = open(r->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			return rd_fail_errno(e, RD_EIO, "%s", r->lock);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return rd_fail(e, RD_EFAIL, "%s: another rectrain is at work on it", r->out);
		}
		if (!fstat(fd, &mine) && !stat(r->lock, &named) && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino)
			break;
		close(fd);
	}
	r->lock_fd = fd;
	return RD_OK;
}

static void drop_lock(struct rd_run *r)
{
	if (r->lock_fd < 0)
		return;
	unlink(r->lock);
	close(r->lock_fd);
}

static void remove_matching(const char *pattern)
{
	glob_t g;

	if (glob(pattern, GLOB_NOSORT, NULL, &g))
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		rd_remove_tree(g.gl_pathv[i]);
	globfree(&g);
}

/* s as a pattern that matches nothing but s; out holds twice its length and more. */
static char *quote(char *out, const char *s)
{
	for (; *s; *out++ = *s++)
		if (strchr("*?[]\\", *s))
			*out++ = '\\';
	*out = '\0';
	return out;
}

/* Temporary files of an output (formats/out.c) of this name. */
static void remove_unfinished(const char *target)
{
	const char *slash = strrchr(target, '/'), *base = slash ? slash + 1 : target;
	char name[4400], pattern[2 * sizeof name + 32];

	snprintf(name, sizeof name, "%.*s.%.200s", (int)(base - target), target, base);
	strcpy(quote(pattern, name), ".[0-9]*.tmp");
	remove_matching(pattern);
}

/* What runs that were killed left; the lock is ours, so nobody is writing it. */
static void remove_leftovers(const struct rd_run *r)
{
	char pattern[2 * 4096 + 32];

	strcpy(quote(pattern, r->out), ".tmp.[0-9]*");
	remove_matching(pattern);
	remove_unfinished(r->ckpt);
	if (r->o.log)
		remove_unfinished(r->o.log);
}

/* The description that the finished OUT carries, NULL where there is none. */
static int finished_run(const struct rd_run *r, json_t **run, struct rd_err *e)
{
	struct rd_safetensors *st;
	char path[4200];
	const char *text;
	int rc;

	*run = NULL;
	snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", r->out);
	if (access(path, F_OK))
		return access(r->out, F_OK) || r->o.replace
		               ? RD_OK
		               : rd_fail(e, RD_EFAIL, "%s: is there already and is no model (-f replaces it)", r->out);
	rc = rd_safetensors_open(&st, path, e);
	if (rc)
		return r->o.replace ? RD_OK : rc;
	text = json_string_value(json_object_get(rd_safetensors_metadata(st), "rectdiff.run"));
	*run = text ? json_loads(text, 0, NULL) : NULL;
	rd_safetensors_close(st);
	if (!*run && !r->o.replace)
		return rd_fail(e, RD_EFAIL, "%s: is a model that rectrain did not make (-f replaces it)", r->out);
	return RD_OK;
}

static int look_for_out(struct rd_run *r, struct rd_err *e)
{
	json_t *run;
	int rc = finished_run(r, &run, e);

	if (rc || !run)
		return rc;
	rc = rd_run_same(run, r->run, r->o.any_machine ? machine_keys : no_keys, r->out, e);
	json_decref(run);
	if (!rc && !r->o.restart)
		r->already = true;
	return rc && r->o.replace ? RD_OK : rc;
}

static int look_for_checkpoint(struct rd_run *r, struct rd_err *e)
{
	json_t *run;
	int rc;

	if (r->o.restart || access(r->ckpt, F_OK))
		return RD_OK;
	rc = rd_checkpoint_load(r->ckpt, &r->state, &run, e);
	if (!rc)
		rc = rd_run_same(run, r->run, r->o.any_machine ? machine_keys : no_keys, r->ckpt, e);
	json_decref(run);
	if (rc)
		return rd_context(e, "cannot go on (--restart begins anew)");
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
	if (asprintf(&r->out, "%.*s", (int)n, r->o.out) < 0 || asprintf(&r->ckpt, "%s.ckpt", r->out) < 0 ||
	    asprintf(&r->lock, "%s.lock", r->out) < 0)
		return rd_fail(e, RD_ENOMEM, "no memory");
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
	r->lock_fd = -1;
	r->run = rd_train_describe(m, d, t);
	rc = r->run ? set_paths(r, e) : rd_fail(e, RD_ENOMEM, "no memory");
	if (r->run && o->keep_best)
		json_object_set_new(r->run, "keep_best_of_every", json_integer(o->held_out_every));
	if (!rc) {
		json_object_set_new(r->run, "device", json_string(be->describe(dev)));
		rc = take_lock(r, e);
	}
	if (!rc) {
		remove_leftovers(r);
		rc = look_for_out(r, e);
	}
	if (!rc && !r->already)
		rc = rd_trainer_new(&r->trainer, m, d, held, be, dev, t, e);
	if (!rc && !r->already)
		rc = rd_train_state_init(&r->state, m->params->n_flat, e);
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
	rd_trainer_free(r->trainer);
	rd_train_state_free(&r->state);
	json_decref(r->run);
	drop_lock(r);
	free(r->out);
	free(r->ckpt);
	free(r->lock);
	free(r);
}

int rd_run_plan(struct rd_run *r, struct rd_run_plan *p, struct rd_err *e)
{
	double t0;
	int rc;

	*p = (struct rd_run_plan){.already = r->already, .from_step = r->from,
	                          .model_bytes = 2 * r->m->params->n_flat * sizeof(float),
	                          .checkpoint_bytes = (r->o.keep_best ? 5 : 4) * r->m->params->n_flat * sizeof(float)};
	if (r->already)
		return RD_OK;
	p->device_bytes = rd_trainer_bytes(r->trainer);
	rc = rd_trainer_rehearse(r->trainer, e); /* the first one warms up */
	t0 = now();
	for (int i = 0; i < 2 && !rc; i++)
		rc = rd_trainer_rehearse(r->trainer, e);
	p->step_seconds = (now() - t0) / 2;
	return rc;
}

static int checkpoint(struct rd_run *r, struct rd_err *e)
{
	int rc = rd_trainer_get(r->trainer, &r->state, e);

	return rc ? rc : rd_checkpoint_save(r->ckpt, &r->state, r->run, e);
}

/* The metadata of the weights: what diffusers wants, and how they were made. */
static json_t *weights_meta(const struct rd_run *r, const char *which)
{
	char *run = rd_json_text(r->run), *data = rd_json_text(r->d->meta);
	json_t *meta = run && data ? json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "pt", "rectdiff.version", RD_VERSION,
	                                       "rectdiff.weights", which, "rectdiff.run", run, "rectdiff.data", data)
	                           : NULL;
	int64_t null = r->t.null_class >= 0 ? r->t.null_class : r->m->null_class;
	char text[32];

	if (meta && null >= 0) {
		snprintf(text, sizeof text, "%lld", (long long)null);
		json_object_set_new(meta, "null_class", json_string(text));
	}
	if (meta && r->o.keep_best && !strcmp(which, "ema")) {
		snprintf(text, sizeof text, "%lld", (long long)r->state.best_step);
		json_object_set_new(meta, "rectdiff.best_step", json_string(text));
		snprintf(text, sizeof text, "%.9g", r->state.best_loss);
		json_object_set_new(meta, "rectdiff.held_out", json_string(text));
	}
	free(run);
	free(data);
	return meta;
}

static int finish(struct rd_run *r, struct rd_err *e)
{
	struct rd_model_out o = {.replace = r->o.replace};
	json_t *meta = weights_meta(r, "ema"), *raw = weights_meta(r, "raw");
	char *card = rd_model_card(r->m, r->run, r->d->meta, r->o.command);
	int rc = meta && raw && card ? rd_trainer_get(r->trainer, &r->state, e) : rd_fail(e, RD_ENOMEM, "no memory");

	if (!rc) {
		o.main = r->state.best ? r->state.best : r->state.ema;
		o.raw = r->state.w;
		o.meta = meta;
		o.raw_meta = raw;
		o.card = card;
		rc = rd_model_save(r->m, r->out, &o, e);
	}
	json_decref(meta);
	json_decref(raw);
	free(card);
	return rc;
}

static int log_mean(struct rd_trainlog *log, int64_t step, struct rd_step_report *sum, int64_t *n, double t0, struct rd_err *e)
{
	int rc = RD_OK;

	if (*n && log) {
		sum->loss /= (double)*n;
		sum->grad_norm /= (double)*n;
		rc = rd_trainlog_write(log, step, sum, now() - t0, e);
	}
	*sum = (struct rd_step_report){.held_out = NAN};
	*n = 0;
	return rc;
}

/* The loss on what is held out, where it is due after `done` steps; the average that does best is kept. */
static int measure(struct rd_run *r, int64_t done, double *loss, struct rd_err *e)
{
	struct rd_train_state *s = &r->state;
	int rc;

	*loss = NAN;
	if (!r->t.held_out || (done % r->o.held_out_every && done != r->t.steps))
		return RD_OK;
	rc = rd_trainer_held_out(r->trainer, loss, e);
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
	struct rd_step_report s, sum = {.held_out = NAN};
	int64_t summed = 0, done;
	double t0 = now();
	int rc = 0;

	while (!rc && !res->stopped && (done = rd_trainer_done(r->trainer)) < r->t.steps) {
		rc = rd_trainer_step(r->trainer, &s, e);
		if (rc)
			break;
		done++;
		sum.loss += s.loss;
		sum.grad_norm += s.grad_norm;
		sum.lr = s.lr;
		summed++;
		rc = measure(r, done, &sum.held_out, e);
		if (!rc && (done % r->o.log_every == 0 || done == r->t.steps || !isnan(sum.held_out)))
			rc = log_mean(log, done, &sum, &summed, t0, e);
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
	int rc = 0, rc2;

	*res = (struct rd_run_result){.already = r->already, .resumed_at = r->from, .step = r->from};
	if (!r->already) {
		if (r->o.log)
			rc = rd_trainlog_open(&log, r->o.log, r->from, e);
		if (!rc)
			rc = steps(r, log, tick, ctx, res, e);
		if (!rc && !res->stopped)
			rc = finish(r, e);
		if (log) {
			struct rd_err e2;

			rc2 = rd_trainlog_close(log, &e2);
			if (!rc && rc2) {
				*e = e2;
				rc = rc2;
			}
		}
	}
	if (!rc && !res->stopped)
		unlink(r->ckpt);
	return rc;
}
