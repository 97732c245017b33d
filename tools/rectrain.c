/* Retrains a model on (noise, sample) pairs, or trains one on data; schedule, prediction type and network stay as they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/model/query.h"
#include "lib/train/run.h"
#include "tools/common/stop.h"
#include "tools/common/training.h"
#include "tools/common/training_say.h"

static const char usage[] =
	"usage: rectrain (-m MODEL | --init CONFIG) -o OUT [options] DATA...|-\n"
	"Trains on pairs (archives, or a stream on standard input) or on data (frames, .npy, idx, folders of .png), and writes the\n"
	"model folder OUT. Killed at any moment and started again with the same command, it goes on from OUT.ckpt.\n"
	"\n"
	"  -m, --model MODEL           the model to start from\n"
	"      --init CONFIG           or a new one: a JSON file {\"unet\":..., \"scheduler\":...} or a folder of configs\n"
	"  -o, --output OUT            the folder to write\n"
	"      --convert-to F[,P]      train -m MODEL under the form F (ddpm, vp, subvp, ve, fm, table:FILE) with the prediction\n"
	"                              type P (epsilon, sample, v, flow, edm, edm_v): the network keeps its own convention,\n"
	"                              recorded in OUT\n"
	RD_TRAINING_USAGE
	"      --snapshot-every N      steps between folders OUT.STEP, of the average so far\n"
	"      --save-as T             the weights of OUT as f32 (default), f16 or bf16\n"
	"      --no-raw                without the weights that are not averaged\n"
	"      --keep-best             OUT gets the average that did best on --hold-out, not the last\n"
	"      --checkpoint-every N    steps, default 500\n"
	"      --log FILE              JSON lines; --log-every N steps, default 50\n"
	"      --dry-run               say what would be done and how long it would take, and stop\n"
	"      --restart               begin anew although there is a checkpoint\n"
	"      --any-machine           go on from a checkpoint of another device, instruction set, thread count or micro-batch\n"
	"      --any-form              take pairs of a model of another form\n"
	"      --scratch DIR           keep the data in a mapped file in DIR, for data that do not fit in memory\n"
	"  -f, --force                 replace OUT, OUT.STEP and the log of another run, and an OUT of this one with other weights\n"
	"  -d, --device D              auto (default), cpu or cuda[:N]\n"
	"      --precision P           f32 (default); tf32, bf16 (on CUDA alone), f64 (on the CPU)\n"
	"  -j, --threads N             default all processors; the result's last bits depend on it\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_INIT = RD_OPT_TOOL, OPT_CONVERT, OPT_EVERY, OPT_LOG, OPT_LOG_EVERY, OPT_DRY, OPT_RESTART, OPT_MACHINE, OPT_FORM,
       OPT_HELD_EVERY, OPT_BEST, OPT_SNAPSHOT, OPT_SCRATCH, OPT_SAVE_AS, OPT_NO_RAW };

#define SHORTS RD_COMMON_SHORT RD_COMPUTE_SHORT RD_TRAINING_SHORT "m:"

struct opts {
	struct rd_common c;
	const char *model, *init;
	const char *form; /* --convert-to */
	int pred;
	const char *scratch;
	bool dry, any_form;
	struct rd_train_opts t;
	struct rd_run_opts r;
};

/* "FORM" or "FORM,PREDICTION" */
static void convert_to(struct opts *o, const char *text)
{
	size_t n = strcspn(text, ",");
	static char form[4096];

	if (n >= sizeof form)
		rd_usage_error("--convert-to: no form is called %s", text);
	memcpy(form, text, n);
	form[n] = '\0';
	o->form = rd_opt_form("--convert-to", form);
	o->pred = text[n] ? rd_opt_choice("--convert-to", text + n + 1, rd_pred_names) : -1;
}

/* Options of the run around it. */
static bool run_opt(struct opts *o, int opt)
{
	static const char *const type_names[] = {"f32", "f16", "bf16", NULL};
	static const enum rd_dtype types[] = {RD_F32, RD_F16, RD_BF16};

	switch (opt) {
	case 'm': o->model = optarg; break;
	case OPT_INIT: o->init = optarg; break;
	case OPT_CONVERT: convert_to(o, optarg); break;
	case OPT_EVERY: o->r.checkpoint_every = rd_opt_int("--checkpoint-every", optarg, 1, INT32_MAX); break;
	case OPT_LOG: o->r.log = optarg; break;
	case OPT_LOG_EVERY: o->r.log_every = rd_opt_int("--log-every", optarg, 1, INT32_MAX); break;
	case OPT_DRY: o->dry = true; break;
	case OPT_RESTART: o->r.restart = true; break;
	case OPT_HELD_EVERY: o->r.held_out_every = rd_opt_int("--held-out-every", optarg, 1, INT32_MAX); break;
	case OPT_SNAPSHOT: o->r.snapshot_every = rd_opt_int("--snapshot-every", optarg, 1, INT32_MAX); break;
	case OPT_BEST: o->r.keep_best = true; break;
	case OPT_MACHINE: o->r.any_machine = true; break;
	case OPT_FORM: o->any_form = true; break;
	case OPT_SCRATCH: o->scratch = optarg; break;
	case OPT_SAVE_AS: o->r.save_as = types[rd_opt_choice("--save-as", optarg, type_names)]; break;
	case OPT_NO_RAW: o->r.no_raw = true; break;
	default: return false;
	}
	return true;
}

/* Options that say something of another one, which then has to be there; their defaults. */
static void check_dependents(struct opts *o, const struct rd_train_opts *usual)
{
	if (o->t.huber_c > 0 && o->t.loss == RD_LOSS_L2)
		rd_usage_error("--huber-c: the loss is l2; --loss huber or huber-image has it");
	if (o->t.phase_steps && (!o->t.phases || o->t.coupling == RD_COUPLING_PAIRS))
		rd_usage_error("--phase-steps: of --phases with another coupling than pairs, whose knots are recorded");
	if (o->t.lora.layers && !o->t.lora.rank)
		rd_usage_error("--lora-layers: of the adapters, which --lora RANK asks for");
	if (o->r.log_every && !o->r.log)
		rd_usage_error("--log-every: of the log, which --log FILE asks for");
	if (o->r.held_out_every && !o->t.held_out)
		rd_usage_error("--held-out-every: nothing is held out without --hold-out N");
	if (!(o->t.huber_c > 0))
		o->t.huber_c = usual->huber_c;
	if (!o->t.phase_steps)
		o->t.phase_steps = usual->phase_steps;
	if (!o->r.log_every)
		o->r.log_every = 50;
	if (!o->r.held_out_every)
		o->r.held_out_every = 500;
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG, RD_COMPUTE_LONG, RD_TRAINING_LONG, {"model", required_argument, 0, 'm'},
		{"init", required_argument, 0, OPT_INIT}, {"convert-to", required_argument, 0, OPT_CONVERT},
		{"checkpoint-every", required_argument, 0, OPT_EVERY}, {"log", required_argument, 0, OPT_LOG},
		{"log-every", required_argument, 0, OPT_LOG_EVERY}, {"held-out-every", required_argument, 0, OPT_HELD_EVERY},
		{"snapshot-every", required_argument, 0, OPT_SNAPSHOT}, {"keep-best", no_argument, 0, OPT_BEST}, {"dry-run", no_argument, 0, OPT_DRY},
		{"restart", no_argument, 0, OPT_RESTART}, {"any-machine", no_argument, 0, OPT_MACHINE},
		{"any-form", no_argument, 0, OPT_FORM}, {"scratch", required_argument, 0, OPT_SCRATCH},
		{"save-as", required_argument, 0, OPT_SAVE_AS}, {"no-raw", no_argument, 0, OPT_NO_RAW}, {0, 0, 0, 0},
	};
	enum rd_coupling coupling = RD_COUPLING_PAIRS;
	struct rd_train_opts usual;
	bool taught = false;
	int opt;

	o->r = (struct rd_run_opts){.checkpoint_every = 500, .command = o->r.command};
	for (opterr = 0; (opt = getopt_long(argc, argv, SHORTS, longs, NULL)) != -1;)
		if (opt == RD_OPT_COUPLING) /* in a pass of its own: other defaults hang on it */
			coupling = (enum rd_coupling)rd_opt_choice("--coupling", optarg, rd_coupling_names);
		else if (opt == RD_OPT_PHASES || opt == RD_OPT_CONSISTENCY)
			taught = true;
	o->t = usual = rd_training_defaults(coupling, taught);
	o->t.huber_c = 0; /* not given */
	o->t.phase_steps = 0;
	optind = opterr = 1;
	while ((opt = getopt_long(argc, argv, SHORTS, longs, NULL)) != -1)
		if (!rd_common_opt(&o->c, opt) && !rd_training_opt(&o->t, opt) && !run_opt(o, opt))
			rd_usage_error(NULL);
	if (!o->model == !o->init)
		rd_usage_error(o->model ? "-m MODEL and --init CONFIG: a run starts from one of them, not both"
		                        : "one of -m MODEL and --init CONFIG is needed");
	check_dependents(o, &usual);
	if (o->r.keep_best && !o->t.held_out)
		rd_usage_error("--keep-best: best at what? --hold-out N is needed");
	if (o->init && (o->t.consistency || (o->t.phases && o->t.coupling != RD_COUPLING_PAIRS)))
		rd_usage_error("%s: the teacher is the model started from (-m); a new one (--init) knows nothing yet",
		               o->t.phases ? "--phases" : "--consistency");
	if (o->init && o->t.lora.rank)
		rd_usage_error("--lora: adapters are of the model started from (-m); a new one (--init) knows nothing yet");
	if (o->init && o->form)
		rd_usage_error("--convert-to: a model is converted (-m), not a new one (--init)");
	if (!o->c.out || !strcmp(o->c.out, "-"))
		rd_usage_error("-o OUT, a folder, is needed");
	if (optind == argc)
		rd_usage_error("no training data: archives, files, or - for standard input");
	if (o->c.batch)
		o->t.batch = o->c.batch;
	o->r.no_raw |= o->t.lora.rank > 0; /* what the averaged ones are for is sampling; of adapters there is one file */
	o->r.out = o->c.out;
	o->r.replace = o->c.force;
}

#define RECENT 100

/* Losses of the last steps: a single one says little. */
struct recent {
	double loss[RECENT];
	int64_t n; /* steps so far */
};

static int64_t recent_steps(const struct recent *l)
{
	return l->n < RECENT ? l->n : RECENT;
}

static double recent_mean(const struct recent *l)
{
	double sum = 0;

	for (int64_t i = 0; i < recent_steps(l); i++)
		sum += l->loss[i];
	return sum / (double)recent_steps(l);
}

static bool tick(void *ctx, int64_t step, const struct rd_step_report *r)
{
	struct recent *l = ctx;

	(void)step;
	l->loss[l->n++ % RECENT] = r->loss;
	rd_progress_note("loss %.4g", recent_mean(l));
	rd_progress_add(1);
	return rd_stop_asked();
}

/* What there is now, in a line. */
static void say_end(const struct opts *o, const struct rd_run_result *res, const struct recent *l)
{
	char best[128] = "", loss[64] = "";

	if (o->r.keep_best)
		snprintf(best, sizeof best, "; it is the average of step %lld, whose loss on what is held out was the least, %.6g",
		         (long long)res->best_step, res->best_loss);
	if (l->n)
		snprintf(loss, sizeof loss, ", mean loss %.4g over the last %lld", recent_mean(l), (long long)recent_steps(l));
	rd_tell("wrote %s: %lld steps%s%s", o->r.out, (long long)res->step, loss, best);
}

/* What can be said before the data are read; the rest is said after it, by the trainer. */
static int check_early(const struct rd_train_opts *t, struct rd_err *e)
{
	struct rd_train_opts known = *t;

	if (t->coupling == RD_COUPLING_PAIRS)
		known.label_drop = 0; /* pairs may say what class stands for none */
	return rd_train_check(&known, e);
}

/* Pairs made with guidance say which class stood for none; nobody else did. */
static int null_class_of_pairs(struct opts *o, struct rd_model *m, const struct rd_dataset *d, struct rd_err *e)
{
	int64_t k = m->net.classes ? rd_provenance_null_class(d->made_by) : -1;

	if (k >= m->net.classes && k >= 0)
		return rd_fail(e, RD_EINPUT, "training data: null class %lld: the model has classes 0 to %lld (--null-class says another)",
		               (long long)k, (long long)m->net.classes - 1);
	o->t.null_class = m->null_class = k;
	return RD_OK;
}

/* The options' own null class is checked before data are, so that no label is blamed for it. */
static int set_null_class(struct opts *o, struct rd_model *m, struct rd_err *e)
{
	if (o->t.null_class < 0) {
		o->t.null_class = m->null_class;
		return RD_OK;
	}
	m->null_class = o->t.null_class;
	return rd_model_check_null_class(m, m->null_class, e);
}

static bool same_folder(const char *path, const struct stat *st)
{
	struct stat other;

	return !stat(path, &other) && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* The result must not take the place of the model that it comes from, nor of a folder around that: a run that is started again
 * would find another model. */
static int check_out(const struct opts *o, const struct rd_model *m, struct rd_err *e)
{
	struct stat out;
	char *above;
	bool same;

	if (stat(o->r.out, &out))
		return RD_OK;
	if (asprintf(&above, "%s/..", m->folder) < 0)
		return rd_fail(e, RD_ENOMEM, "no memory");
	same = same_folder(m->dir, &out) || same_folder(m->folder, &out) || same_folder(above, &out);
	free(above);
	return same ? rd_fail(e, RD_EUSAGE, "-o %s: is the model started from (-m); the result needs a folder of its own", o->r.out) : RD_OK;
}

static int open_all(struct opts *o, struct rd_model *m, struct rd_dataset *d, struct rd_dataset *held, const struct rd_backend **be, struct rd_dev **dev,
                    const char *const *data, int n_data, struct rd_err *e)
{
	const struct rd_dataset_opts data_opts = {.paired = o->t.coupling == RD_COUPLING_PAIRS, .any_form = o->any_form,
	                                          .knots = o->t.phases && o->t.coupling == RD_COUPLING_PAIRS,
	                                          .scratch = o->scratch};
	int rc;

	if (o->model && rd_model_is_analytic(o->model))
		return rd_fail(e, RD_EUSAGE, "%s: an exact denoiser has nothing to train", o->model);
	rc = o->model ? rd_model_load(m, o->model, e) : rd_model_from_config(m, o->init, e);
	if (!rc && o->model)
		rc = check_out(o, m, e);
	if (!rc && o->form)
		rc = rd_model_convert(m, o->form, o->pred, e);
	if (!rc && o->init)
		rc = rd_model_init_weights(m, o->t.seed, e);
	if (!rc)
		rc = set_null_class(o, m, e);
	if (!rc)
		rc = check_early(&o->t, e);
	if (!rc)
		rc = rd_common_device(&o->c, be, dev, e);
	if (!rc)
		rc = rd_dataset_load(d, data, n_data, &data_opts, m, e);
	if (!rc && o->t.null_class < 0)
		rc = null_class_of_pairs(o, m, d, e);
	return rc || !o->t.held_out ? rc : rd_dataset_split(d, o->t.held_out, held, e);
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_model m;
	struct rd_dataset d, held = {0};
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_run *run;
	struct rd_run_plan plan;
	struct rd_run_result res = {0};
	struct recent recent = {0};
	struct rd_err e;
	char *command;

	rd_tool_init("rectrain", usage, argv, &o.c);
	o.r.command = command = rd_command_line(argc, argv);
	parse_opts(&o, argc, argv);
	rd_stop_watch();
	if (open_all(&o, &m, &d, &held, &be, &dev, (const char *const *)argv + optind, argc - optind, &e) ||
	    rd_run_open(&run, &m, &d, &held, be, dev, &o.t, &o.r, &e))
		rd_die(&e);
	if (!rd_run_reads_model(run)) /* the trainer has its own */
		rd_model_drop_weights(&m);
	if (rd_run_plan(run, o.dry, &plan, &e)) {
		rd_run_close(run); /* lets go of the lock */
		rd_die(&e);
	}
	if (!o.c.quiet || o.dry)
		rd_training_say(&(struct rd_training_story){.t = &o.t, .r = &o.r, .m = &m, .is_new = o.init, .d = &d, .scratch = o.scratch}, &plan);
	if (!o.dry) {
		rd_stop_begin();
		rd_progress_start(&o.c, "steps", (uint64_t)o.t.steps);
		rd_progress_resume((uint64_t)plan.from_step);
		if (rd_run_go(run, tick, &recent, &res, &e)) {
			rd_run_close(run);
			rd_die(&e);
		}
		rd_progress_end();
	}
	rd_run_close(run);
	be->close(dev);
	rd_dataset_free(&d);
	rd_dataset_free(&held);
	rd_model_free(&m);
	free(command);
	if (!res.stopped && !res.already && !o.dry)
		say_end(&o, &res, &recent);
	if (res.stopped) {
		rd_tell("stopped at step %lld of %lld; the same command goes on from there", (long long)res.step,
		        (long long)o.t.steps);
		rd_stop_die();
	}
	return 0;
}
