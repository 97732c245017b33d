/* Runs of training where the system is not what one expects: file systems without locks, clocks that make each step long. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "formats/in.h"
#include "lib/base/clock.h"
#include "lib/base/tree.h"
#include "lib/train/outlock.h"
#include "lib/train/run.h"
#include "tests/trainers.h"

/* --- what stands in for the system's ---------------------------------------------------------------------------------------------- */

static int lock_errno, interruptions; /* of the next calls; 0: they work */

int flock(int fd, int operation)
{
	if (interruptions && interruptions--) {
		errno = EINTR;
		return -1;
	}
	if (lock_errno) {
		errno = lock_errno;
		return -1;
	}
	return (int)syscall(SYS_flock, fd, operation);
}

static double now, tick; /* seconds; what passes between two looks at the clock */

double rd_clock(void)
{
	return now += tick;
}

/* --- locks ------------------------------------------------------------------------------------------------------------------------ */

static void locks(void)
{
	static const int none[] = {ENOLCK, ENOSYS, ENOTSUP};
	struct rd_outlock a, b;
	char lock[300];

	snprintf(lock, sizeof lock, "%s", path("out.lock"));
	interruptions = 2;
	CHECK_OK(rd_outlock_take(&a, path("out"), &e), &e);
	CHECK(a.fd >= 0 && !access(lock, F_OK) && !interruptions);
	CHECK(rd_outlock_take(&b, path("out"), &e) == RD_EFAIL && strstr(e.msg, "out: another rectrain is at work on it"));
	rd_outlock_drop(&b);
	CHECK(!access(lock, F_OK));
	rd_outlock_drop(&a);
	CHECK(access(lock, F_OK));
	for (int i = 0; i < LEN(none); i++) {
		lock_errno = none[i];
		CHECK_OK(rd_outlock_take(&a, path("out"), &e), &e);
		CHECK(a.fd < 0 && access(lock, F_OK));
		rd_outlock_drop(&a);
	}
	lock_errno = EBADF;
	CHECK(rd_outlock_take(&a, path("out"), &e) == RD_EIO && strstr(e.msg, "out.lock: cannot be locked: Bad file descriptor"));
	rd_outlock_drop(&a);
	CHECK(!unlink(lock));
	lock_errno = 0;
}

/* --- runs ------------------------------------------------------------------------------------------------------------------------- */

static struct rd_run *run_of(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	static char out[300], log_file[300]; /* borrowed */
	struct rd_run_opts o = {.out = out, .log = log_file, .checkpoint_every = 100, .log_every = 100, .held_out_every = 100};
	struct rd_run *r;

	snprintf(out, sizeof out, "%s", path("out"));
	snprintf(log_file, sizeof log_file, "%s", path("log"));
	CHECK_OK(rd_run_open(&r, m, d, NULL, be, dev, t, &o, &e), &e);
	return r;
}

/* A run without a lock goes on, says so, and leaves alone what may be another's. */
static void unlocked(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	struct rd_run_plan p;
	struct rd_run *r;

	for (int i = 0; i < 2; i++) {
		CHECK(!mkdir(path("out.tmp.1"), 0777));
		lock_errno = i ? 0 : ENOLCK;
		r = run_of(m, d, t);
		CHECK(!access(path("out.tmp.1"), F_OK) == !i);
		CHECK_OK(rd_run_plan(r, false, &p, &e), &e);
		CHECK(p.unlocked == !i && !p.already);
		rd_run_close(r);
		rd_remove_tree(path("out.tmp.1"));
	}
}

/* A checkpoint that was being written on another machine is gone, however new; a log's may belong to another run. */
static void requeued(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	static const char *const left[] = {".out.ckpt.node-x.1.0.tmp", ".log.node-x.1.0.tmp"};

	for (int i = 0; i < 2; i++) {
		CHECK_OK(rd_out_file(path(left[0]), "x", 1, &e), &e);
		CHECK_OK(rd_out_file(path(left[1]), "x", 1, &e), &e);
		lock_errno = i ? ENOLCK : 0;
		rd_run_close(run_of(m, d, t));
		CHECK(!access(path(left[0]), F_OK) == !!i);
		CHECK(!unlink(path(left[1])));
		CHECK(!i || !unlink(path(left[0])));
	}
	lock_errno = 0;
}

/* Measuring is bounded in time, less so where a good measurement is asked for: then one step warms up and some are measured. */
static void rehearsals(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	static const struct {
		double tick;
		bool well;
		double least, most; /* seconds that measuring took */
	} cases[] = {{100, false, 100, 100}, {0.6, false, 1.2, 1.2}, {0.3, false, 0.9, 1.2}, {0.01, false, 0.1, 0.2},
	             {100, true, 100, 100}, {12, true, 24, 24}, {4, true, 16, 20}};
	struct rd_run *r = run_of(m, d, t);
	struct rd_run_plan p;

	for (int i = 0; i < LEN(cases); i++) {
		tick = cases[i].tick;
		now = 0;
		CHECK_OK(rd_run_plan(r, cases[i].well, &p, &e), &e);
		now -= tick; /* the first look, from which on time passes */
		CHECK(now > cases[i].least * 0.99 && now < cases[i].most * 1.01);
		CHECK_NEAR(p.step_seconds, tick, 1e-9);
	}
	tick = 0;
	rd_run_close(r);
}

/* --- contexts --------------------------------------------------------------------------------------------------------------------- */

#define GOLDEN "tests/golden/unet-cross/model"
#define CONTEXTS "model/contexts.safetensors"

struct job {
	struct rd_model m;
	struct rd_dataset d;
	struct rd_train_opts t;
	int64_t snapshot_every, stop_at;
	int64_t at; /* after this step, `then` happens */
	void (*then)(void);
};

static bool stop(void *ctx, int64_t done, const struct rd_step_report *r)
{
	const struct job *j = ctx;

	(void)r;
	if (done == j->at)
		j->then();
	return done == j->stop_at;
}

/* The run's return value; *p is its plan. */
static int try(struct job *j, struct rd_run_plan *p)
{
	struct rd_run_opts o = {.out = "out", .checkpoint_every = 3, .log_every = 100, .held_out_every = 100,
	                        .snapshot_every = j->snapshot_every, .replace = true};
	struct rd_run_result res;
	struct rd_run *r;
	int rc;

	CHECK_OK(rd_run_open(&r, &j->m, &j->d, NULL, be, dev, &j->t, &o, &e), &e);
	CHECK_OK(rd_run_plan(r, false, p, &e), &e);
	rc = rd_run_go(r, stop, j, &res, &e);
	CHECK(rc || res.stopped == (j->stop_at > 0));
	rd_run_close(r);
	return rc;
}

static struct rd_run_plan go(struct job *j)
{
	struct rd_run_plan p;

	CHECK_OK(try(j, &p), &e);
	return p;
}

static ino_t inode(const char *file)
{
	struct stat st;

	CHECK(!stat(file, &st));
	return st.st_ino;
}

/* Snapshots share one file of contexts, but not that of another run; the result has its own. */
static void snapshots(struct job *j)
{
	const size_t contexts = 4 * 3 * 5 * 12; /* F32 [rows, tokens, dim] */
	struct rd_run_plan p;

	j->snapshot_every = 2;
	j->stop_at = 3;
	j->t.seed = 1;
	p = go(j);
	CHECK(p.contexts_bytes == contexts && p.model_bytes == 8 * j->m.params->n_flat);
	CHECK(!unlink("out.ckpt"));
	j->t.seed = 2; /* another run, which makes no snapshot at step 2 */
	j->snapshot_every = 0;
	go(j);
	j->snapshot_every = 2;
	j->stop_at = 0;
	go(j);
	CHECK(inode("out.2/contexts.safetensors") != inode("out.4/contexts.safetensors"));
	CHECK(inode("out.4/contexts.safetensors") == inode("out.6/contexts.safetensors"));
	CHECK(inode("out.6/contexts.safetensors") != inode("out/contexts.safetensors"));
	CHECK(inode("out.6/contexts.safetensors") != inode(CONTEXTS));
	CHECK(!access("out.6/unet/config.json", F_OK) && access("out.8", F_OK));
}

static void be_in_the_way(void)
{
	CHECK(!mkdir("out.4", 0777) && !mkdir("out.4/mine", 0777));
}

/* What comes to be in a snapshot's way costs no step; once it is gone the snapshot is made. */
static void hindered_snapshot(struct job *j)
{
	struct rd_run_plan p;

	j->t.seed = 4;
	j->at = 2;
	j->then = be_in_the_way;
	rd_remove_tree("out.4");
	CHECK(try(j, &p) == RD_EFAIL && strstr(e.msg, "step 4 is done, and is in out.ckpt, from which rectrain goes on: out.4: is a folder"));
	rd_remove_tree("out.4");
	j->at = 0;
	p = go(j);
	CHECK(p.from_step == 4 && !access("out.4/unet/config.json", F_OK) && access("out.ckpt", F_OK));
	CHECK(inode("out.4/contexts.safetensors") == inode("out.2/contexts.safetensors"));
}

/* A file of its own, in the place of another that may be there. */
static void put_contexts(void)
{
	char *bytes;
	size_t n;

	CHECK_OK(rd_in_file(GOLDEN "/contexts.safetensors", 1 << 20, &bytes, &n, &e), &e);
	CHECK_OK(rd_out_file(CONTEXTS, bytes, n, &e), &e);
	free(bytes);
}

/* Of long ago, so that writing into it shows however fast that comes. */
static void put_old_contexts(void)
{
	static const struct timespec long_ago[2];

	put_contexts();
	CHECK(!utimensat(AT_FDCWD, CONTEXTS, long_ago, 0));
}

static void write_into(void)
{
	FILE *f = fopen(CONTEXTS, "r+b");

	CHECK(f && !fseek(f, -1, SEEK_END) && fputc(1, f) != EOF && !fclose(f));
}

/* Contexts that somebody writes into are noticed at the next checkpoint, which is not made; others in their place are not seen. */
static void changed_contexts(struct job *j)
{
	struct rd_run_plan p;

	j->snapshot_every = 0;
	j->at = 2;
	j->then = write_into;
	j->t.seed = 3;
	CHECK(try(j, &p) == RD_EFAIL && strstr(e.msg, CONTEXTS ": has been written into while it was in use"));
	CHECK(access("out.ckpt", F_OK));
	rd_model_free(&j->m);
	put_old_contexts();
	CHECK_OK(rd_model_load(&j->m, "model", &e), &e);
	j->then = put_contexts;
	go(j);
	j->at = 0;
}

static void with_contexts(const char *top)
{
	static const char *const made[] = {"model", "out", "out.2", "out.4", "out.6"};
	struct job j = {.t = opts_of(8, 2)};
	const size_t dim = 4 * 8 * 8;
	float *x;

	CHECK(!chdir(dir) && !symlink(top, "tests") && !mkdir("model", 0777));
	CHECK(!symlink("../" GOLDEN "/unet", "model/unet") && !symlink("../" GOLDEN "/scheduler", "model/scheduler"));
	put_old_contexts();
	CHECK_OK(rd_model_load(&j.m, "model", &e), &e);
	j.t.null_class = 2;
	j.d = data_of(true, true);
	j.d.dim = dim;
	j.d.meta = json_object();
	j.d.sample = x = calloc(N * dim, 2 * sizeof *x);
	j.d.eps = x + N * dim;
	rd_rng_normal(11, RD_RNG_DATA, 0, x, 2 * N * dim);
	snapshots(&j);
	hindered_snapshot(&j);
	changed_contexts(&j);
	rd_model_free(&j.m);
	json_decref(j.d.meta);
	free(x);
	CHECK(!unlink("tests"));
	for (int i = 0; i < LEN(made); i++)
		rd_remove_tree(made[i]);
}

int main(void)
{
	char top[PATH_MAX];
	struct rd_model m;
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts t = opts_of(6, 2);

	trainers_begin();
	m = model_of("fm", "flow_prediction");
	locks();
	unlocked(&m, &d, &t);
	requeued(&m, &d, &t);
	rehearsals(&m, &d, &t);
	rd_model_free(&m);
	CHECK(realpath("tests", top) != NULL);
	with_contexts(top);
	trainers_end();
	return check_report("run");
}
