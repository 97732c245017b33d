/* Retrains a model on (noise, sample) pairs, or trains one on data; schedule, prediction type and network stay as they are. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/out.h"
#include "lib/model/query.h"
#include "lib/train/run.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: rectrain (-m MODEL | --init CONFIG) -o OUT [options] DATA...|-\n"
	"Trains on pairs (archives, or a stream on standard input) or on data, and writes the model folder OUT. Killed at any\n"
	"moment and started again with the same command, it goes on from OUT.ckpt.\n"
	"\n"
	"  -m, --model MODEL           the model to start from\n"
	"      --init CONFIG           or a new one: a JSON file {\"unet\":..., \"scheduler\":...} or a folder of configs\n"
	"  -o, --output OUT            the folder to write\n"
	"      --coupling C            pairs (default; Algorithm 4) or independent (fresh noise for every sample; Algorithm 2)\n"
	"      --steps N               default 10000\n"
	"      --batch N, -b N         samples a step, default 64\n"
	"      --lr R                  AdamW's rate, default 2e-4\n"
	"      --rate S                cosine (default; down to 0 at the last step) or constant\n"
	"      --warmup N              steps of linear warm-up, default 100\n"
	"      --ema D                 decay of the averaged weights, default 0.999\n"
	"      --loss L                l2 (default) or huber (pseudo-Huber)\n"
	"      --convert-to F[,P]      train -m MODEL under the form F (ddpm, vp, subvp, ve, fm, table:FILE) with the prediction\n"
	"                              type P (epsilon, sample, v, flow, edm, edm_v): the network keeps its own convention,\n"
	"                              recorded in OUT\n"
	"      --loss-space S          eps, x0 or output (what the prediction type is): whose error the loss is; default: x0 for\n"
	"                              pairs, eps for an independent coupling\n"
	"      --huber-c C             default 1e-3\n"
	"      --time-sampling T       importance (default): more often where the loss weighs errors more, and divided by it;\n"
	"                              uniform: the same objective, estimated plainly\n"
	"      --weight-decay W        default 1e-3\n"
	"      --clip G                largest norm of a gradient, 0: none; default none for pairs, 1 for an independent coupling\n"
	"      --betas B1,B2           AdamW's; default 0.98,0.99 for pairs, 0.9,0.999 for an independent coupling\n"
	"      --seed S, -s S          order, times, noise, new weights; default 0\n"
	"      --label-drop P          probability that a label is replaced by the null class, default 0\n"
	"      --null-class K          the class that stands for none; recorded in OUT\n"
	"      --checkpoint-every N    steps, default 500\n"
	"      --log FILE              JSON lines; --log-every N steps, default 50\n"
	"      --dry-run               say what would be done and how long it would take, and stop\n"
	"      --restart               begin anew although there is a checkpoint\n"
	"      --any-machine           go on from a checkpoint of another device, instruction set or thread count\n"
	"      --any-form              take pairs of a model of another form\n"
	"  -f, --force                 replace an OUT of another run\n"
	"  -d, --device D              auto (default), cpu or cuda[:N]\n"
	"      --precision P           f32 (default), tf32 or bf16 (on CUDA alone)\n"
	"      --recompute             hold less in memory: compute activations once more on the way back\n"
	"  -j, --threads N             default all processors; the result's last bits depend on it\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_INIT = RD_OPT_TOOL, OPT_CONVERT, OPT_COUPLING, OPT_STEPS, OPT_LR, OPT_RATE, OPT_WARMUP, OPT_EMA, OPT_LOSS, OPT_SPACE, OPT_HUBER,
       OPT_DECAY, OPT_CLIP, OPT_BETAS, OPT_DROP, OPT_NULL, OPT_EVERY, OPT_LOG, OPT_LOG_EVERY, OPT_DRY, OPT_RESTART,
       OPT_MACHINE, OPT_FORM, OPT_TIMES, OPT_RECOMPUTE };

#define SHORTS RD_COMMON_SHORT RD_COMPUTE_SHORT "m:s:"

struct opts {
	struct rd_common c;
	const char *model, *init;
	const char *form; /* --convert-to */
	int pred;
	bool paired, dry, any_form;
	struct rd_train_opts t;
	struct rd_run_opts r;
};

/* SIGINT and SIGTERM ask for a checkpoint and an end; the second one, and one before training, ends at once. They are
 * blocked in every thread but one that waits for them: a handler must not run in the middle of a step, since oneDNN's
 * generated matrix products keep data below the stack pointer, where a signal's frame overwrites it. */
static atomic_int stop_signal; /* 0: none came */
static atomic_bool in_training;

static sigset_t stop_signals(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGINT);
	sigaddset(&s, SIGTERM);
	return s;
}

/* As if the signal had not been caught: whoever waits for us sees it. */
static void die_of_signal(int sig)
{
	const sigset_t s = stop_signals();

	rd_out_unlink_all();
	signal(sig, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &s, NULL);
	raise(sig);
}

static void *wait_for_signals(void *arg)
{
	const sigset_t s = stop_signals();
	int sig;

	for (;;) {
		if (sigwait(&s, &sig))
			return arg;
		if (!atomic_load(&in_training) || atomic_load(&stop_signal))
			die_of_signal(sig);
		atomic_store(&stop_signal, sig);
	}
}

/* To be called before there are other threads, which inherit what is blocked. */
static void watch_signals(void)
{
	const sigset_t s = stop_signals();
	pthread_t t;

	if (pthread_sigmask(SIG_BLOCK, &s, NULL) || pthread_create(&t, NULL, wait_for_signals, NULL) || pthread_detach(t)) {
		pthread_sigmask(SIG_UNBLOCK, &s, NULL);
		rd_warn("warning: no thread to watch for signals: SIGTERM will end the run without a checkpoint");
	}
}

/* What works for each coupling. On pairs the loss in x0 space is stiff (an error of the output at t = T counts a hundredfold):
 * a long first moment damps the stiff directions, a short second one follows the falling gradient, and the rate goes to 0. */
static struct rd_train_opts defaults(bool paired)
{
	struct rd_train_opts t = {.steps = 10000, .batch = 64, .warmup = 100, .lr = 2e-4, .rate = RD_RATE_COSINE, .beta1 = 0.9,
	                          .beta2 = 0.999, .adam_eps = 1e-8, .weight_decay = 1e-3, .clip = 1, .ema = 0.999,
	                          .loss = RD_LOSS_L2, .space = RD_SPACE_EPS, .huber_c = 1e-3, .times = RD_TIMES_IMPORTANCE,
	                          .null_class = -1};

	if (paired) {
		t.space = RD_SPACE_X0;
		t.beta1 = 0.98;
		t.beta2 = 0.99;
		t.clip = 0;
	}
	return t;
}

static void parse_betas(struct opts *o, const char *text)
{
	char copy[64], *comma;

	snprintf(copy, sizeof copy, "%s", text);
	comma = strchr(copy, ',');
	if (!comma)
		rd_usage_error("--betas %s: two numbers expected, as 0.9,0.999", text);
	*comma = '\0';
	o->t.beta1 = rd_opt_num("--betas", copy, 0, 0.999999);
	o->t.beta2 = rd_opt_num("--betas", comma + 1, 0, 0.999999);
}

/* Options of the training itself. */
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

static bool train_opt(struct opts *o, int opt)
{
	switch (opt) {
	case OPT_COUPLING: break; /* taken in a first pass, since other defaults hang on it */
	case OPT_STEPS: o->t.steps = rd_opt_int("--steps", optarg, 1, 1000000000); break;
	case OPT_LR: o->t.lr = rd_opt_num("--lr", optarg, 0, 10); break;
	case OPT_RATE: o->t.rate = (enum rd_rate)rd_opt_choice("--rate", optarg, rd_rate_names); break;
	case OPT_WARMUP: o->t.warmup = rd_opt_int("--warmup", optarg, 0, 1000000000); break;
	case OPT_EMA: o->t.ema = rd_opt_num("--ema", optarg, 0, 0.9999999); break;
	case OPT_LOSS: o->t.loss = (enum rd_loss)rd_opt_choice("--loss", optarg, rd_loss_names); break;
	case OPT_SPACE: o->t.space = (enum rd_loss_space)rd_opt_choice("--loss-space", optarg, rd_loss_space_names); break;
	case OPT_TIMES:
		o->t.times = (enum rd_time_sampling)rd_opt_choice("--time-sampling", optarg, rd_time_sampling_names);
		break;
	case OPT_HUBER: o->t.huber_c = rd_opt_num("--huber-c", optarg, 1e-9, 1e9); break;
	case OPT_DECAY: o->t.weight_decay = rd_opt_num("--weight-decay", optarg, 0, 10); break;
	case OPT_CLIP: o->t.clip = rd_opt_num("--clip", optarg, 0, 1e9); break;
	case OPT_BETAS: parse_betas(o, optarg); break;
	case OPT_DROP: o->t.label_drop = rd_opt_num("--label-drop", optarg, 0, 1); break;
	case OPT_NULL: o->t.null_class = rd_opt_int("--null-class", optarg, 0, INT32_MAX); break;
	case 's': o->t.seed = rd_opt_u64("--seed", optarg); break;
	default: return false;
	}
	return true;
}

/* Options of the run around it. */
static bool run_opt(struct opts *o, int opt)
{
	switch (opt) {
	case 'm': o->model = optarg; break;
	case OPT_INIT: o->init = optarg; break;
	case OPT_CONVERT: convert_to(o, optarg); break;
	case OPT_EVERY: o->r.checkpoint_every = rd_opt_int("--checkpoint-every", optarg, 1, INT32_MAX); break;
	case OPT_LOG: o->r.log = optarg; break;
	case OPT_LOG_EVERY: o->r.log_every = rd_opt_int("--log-every", optarg, 1, INT32_MAX); break;
	case OPT_DRY: o->dry = true; break;
	case OPT_RESTART: o->r.restart = true; break;
	case OPT_RECOMPUTE: o->t.recompute = true; break;
	case OPT_MACHINE: o->r.any_machine = true; break;
	case OPT_FORM: o->any_form = true; break;
	default: return false;
	}
	return true;
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG, RD_COMPUTE_LONG, {"model", required_argument, 0, 'm'}, {"init", required_argument, 0, OPT_INIT},
		{"convert-to", required_argument, 0, OPT_CONVERT},
		{"coupling", required_argument, 0, OPT_COUPLING}, {"steps", required_argument, 0, OPT_STEPS},
		{"lr", required_argument, 0, OPT_LR}, {"rate", required_argument, 0, OPT_RATE},
		{"warmup", required_argument, 0, OPT_WARMUP}, {"ema", required_argument, 0, OPT_EMA},
		{"loss", required_argument, 0, OPT_LOSS}, {"loss-space", required_argument, 0, OPT_SPACE},
		{"huber-c", required_argument, 0, OPT_HUBER}, {"time-sampling", required_argument, 0, OPT_TIMES}, {"weight-decay", required_argument, 0, OPT_DECAY},
		{"clip", required_argument, 0, OPT_CLIP}, {"betas", required_argument, 0, OPT_BETAS},
		{"seed", required_argument, 0, 's'}, {"label-drop", required_argument, 0, OPT_DROP},
		{"null-class", required_argument, 0, OPT_NULL}, {"checkpoint-every", required_argument, 0, OPT_EVERY},
		{"log", required_argument, 0, OPT_LOG}, {"log-every", required_argument, 0, OPT_LOG_EVERY},
		{"dry-run", no_argument, 0, OPT_DRY}, {"restart", no_argument, 0, OPT_RESTART},
		{"any-machine", no_argument, 0, OPT_MACHINE}, {"any-form", no_argument, 0, OPT_FORM},
		{"recompute", no_argument, 0, OPT_RECOMPUTE}, {0, 0, 0, 0},
	};
	static const char *const couplings[] = {"pairs", "independent", NULL};
	int opt;

	o->paired = true;
	o->r = (struct rd_run_opts){.checkpoint_every = 500, .log_every = 50, .command = o->r.command};
	for (opterr = 0; (opt = getopt_long(argc, argv, SHORTS, longs, NULL)) != -1;)
		if (opt == OPT_COUPLING)
			o->paired = rd_opt_choice("--coupling", optarg, couplings) == 0;
	o->t = defaults(o->paired);
	optind = opterr = 1;
	while ((opt = getopt_long(argc, argv, SHORTS, longs, NULL)) != -1)
		if (!rd_common_opt(&o->c, opt) && !train_opt(o, opt) && !run_opt(o, opt))
			rd_usage_error(NULL);
	if (!o->model == !o->init)
		rd_usage_error("one of -m MODEL and --init CONFIG is needed");
	if (o->init && o->form)
		rd_usage_error("--convert-to: a model is converted (-m), not a new one (--init)");
	if (!o->c.out || !strcmp(o->c.out, "-"))
		rd_usage_error("-o OUT, a folder, is needed");
	if (optind == argc)
		rd_usage_error("no training data: archives, files, or - for standard input");
	if (o->c.batch)
		o->t.batch = o->c.batch;
	o->r.out = o->c.out;
	o->r.replace = o->c.force;
}

/* The command as it was typed, for the model card; quotes where the shell needs them. */
static char *command_line(int argc, char **argv)
{
	char *s = NULL;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	for (int i = 0; f && i < argc; i++) {
		const char *q = argv[i][strcspn(argv[i], " \t\n'\"\\$`*?[]{}()<>|&;!#~")] || !*argv[i] ? "'" : "";

		fprintf(f, "%s%s%s%s", i ? " " : "", q, argv[i], q);
	}
	if (f)
		fclose(f);
	return s;
}

static void say_time(double s)
{
	if (s < 100)
		fprintf(stderr, "%.0f s", s);
	else if (s < 5400)
		fprintf(stderr, "%.0f min", s / 60);
	else
		fprintf(stderr, "%.1f h", s / 3600);
}

/* What is about to happen, in a few lines on standard error. */
static void say_plan(const struct opts *o, const struct rd_model *m, const struct rd_dataset *d, const struct rd_run_plan *p)
{
	if (o->c.quiet && !o->dry)
		return;
	fprintf(stderr, "rectrain: %s%s%s, %lld parameters, %s, %s-prediction; %lld %s\n", m->dir,
	        m->variant[0] ? ", variant " : "", m->variant, (long long)rd_graph_param_count(m->params),
	        m->scheduler.schedule.form->name, rd_pred_names[m->scheduler.pred.type],
	        (long long)d->n, o->paired ? "pairs" : "samples, independent noise");
	if (p->already) {
		fprintf(stderr, "rectrain: %s is there already, of this very run: nothing to do\n", o->r.out);
		return;
	}
	fprintf(stderr, "rectrain: steps %lld to %lld of batch %lld (%.1f epochs in all), about %.3g s a step, ",
	        (long long)p->from_step + 1, (long long)o->t.steps, (long long)o->t.batch,
	        (double)o->t.steps * (double)o->t.batch / (double)d->n, p->step_seconds);
	say_time(p->step_seconds * (double)(o->t.steps - p->from_step));
	fprintf(stderr, "; %.0f MB of memory for network and optimiser\n", (double)p->device_bytes / 1e6);
	fprintf(stderr, "rectrain: writes %s (%.1f MB) and, on the way, %s.ckpt (%.1f MB) every %lld steps%s%s\n", o->r.out,
	        (double)p->model_bytes / 1e6, o->r.out, (double)p->checkpoint_bytes / 1e6, (long long)o->r.checkpoint_every,
	        o->r.log ? "; log " : "", o->r.log ? o->r.log : "");
}

static bool tick(void *ctx, int64_t step, const struct rd_step_report *r)
{
	(void)ctx;
	(void)step;
	rd_progress_add(1);
	rd_progress_note("loss %.4g", r->loss);
	return atomic_load(&stop_signal) != 0;
}

static int open_all(struct opts *o, struct rd_model *m, struct rd_dataset *d, const struct rd_backend **be, struct rd_dev **dev,
                    const char *const *data, int n_data, struct rd_err *e)
{
	int rc;

	if (o->model && rd_model_is_analytic(o->model))
		return rd_fail(e, RD_EUSAGE, "%s: an exact denoiser has nothing to train", o->model);
	rc = o->model ? rd_model_load(m, o->model, e) : rd_model_from_config(m, o->init, e);
	if (!rc && o->form)
		rc = rd_model_convert(m, o->form, o->pred, e);

	if (!rc && o->init)
		rc = rd_model_init_weights(m, o->t.seed, e);
	if (!rc && o->t.null_class < 0)
		o->t.null_class = m->null_class;
	else if (!rc)
		m->null_class = o->t.null_class < m->net.classes ? o->t.null_class : -1;
	if (!rc)
		rc = rd_common_device(&o->c, be, dev, e);
	return rc ? rc : rd_dataset_load(d, data, n_data, o->paired, o->any_form, m, e);
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_model m;
	struct rd_dataset d;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_run *run;
	struct rd_run_plan plan;
	struct rd_run_result res = {0};
	struct rd_err e;
	char *command;

	rd_tool_init("rectrain", usage, &o.c);
	o.r.command = command = command_line(argc, argv);
	parse_opts(&o, argc, argv);
	watch_signals();
	if (open_all(&o, &m, &d, &be, &dev, (const char *const *)argv + optind, argc - optind, &e) ||
	    rd_run_open(&run, &m, &d, be, dev, &o.t, &o.r, &e) || rd_run_plan(run, &plan, &e))
		rd_die(&e);
	say_plan(&o, &m, &d, &plan);
	if (!o.dry) {
		atomic_store(&in_training, true);
		rd_progress_start(&o.c, "steps", (uint64_t)(o.t.steps - plan.from_step));
		if (rd_run_go(run, tick, NULL, &res, &e)) {
			rd_run_close(run); /* lets go of the lock */
			rd_die(&e);
		}
		rd_progress_end();
	}
	rd_run_close(run);
	be->close(dev);
	rd_dataset_free(&d);
	rd_model_free(&m);
	free(command);
	if (res.stopped) {
		rd_warn("stopped at step %lld of %lld; the same command goes on from there", (long long)res.step,
		        (long long)o.t.steps);
		die_of_signal(atomic_load(&stop_signal));
	}
	return 0;
}
