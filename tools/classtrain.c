/* Trains a classifier of images, whose features samplecmp compares sets by. */
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/out.h"
#include "formats/out_dir.h"
#include "lib/classify/card.h"
#include "lib/classify/features.h"
#include "lib/model/metakeys.h"
#include "lib/train/classify.h"
#include "tools/common/common.h"
#include "tools/common/stop.h"

static const char usage[] =
	"usage: classtrain -o DIR [options] DATA...\n"
	"Trains a classifier on images with labels (frames, archives, folders with a folder of .png for each class, or\n"
	"arrays side by side: sample=IMAGES label=LABELS) and writes the folder DIR, which samplecmp --features takes.\n"
	"\n"
	"  -o, --output DIR       the folder to write\n"
	"      --test DATA        images that it is not trained on, given like DATA, once for each input: prints \"accuracy\", the\n"
	"                         share that is recognised, and its standard error\n"
	"      --widths LIST      channels at full size and after each halving, default 16,32,48,64; the last is the number of\n"
	"                         features; each is a multiple of --groups\n"
	"      --groups N         of the normalisations, default 8\n"
	"      --steps N          default 4000\n"
	"  -b, --batch N          images a step, default 128\n"
	"      --lr R             AdamW's rate, default 3e-3; it falls to 0 along a cosine\n"
	"      --warmup N         steps of linear warm-up, default 100\n"
	"      --weight-decay W   default 0.05\n"
	"      --ema D            decay of the averaged weights, default 0.995\n"
	"      --shift N          images are moved by up to N pixels, default 0\n"
	"      --flip             and mirrored, left to right, every other time\n"
	"  -s, --seed S           of new weights, order and moves, default 0\n"
	"      --log FILE         JSON lines; --log-every N steps, default 50\n"
	"  -f, --force            replace a DIR that is there\n"
	"  -d, --device D         auto (default), cpu or cuda[:N]\n"
	"      --precision P      f32 (default); tf32, bf16 (on CUDA alone), f64 (on the CPU)\n"
	"  -j, --threads N        default all processors; the result's last bits depend on it\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum {
	OPT_TEST = RD_OPT_TOOL, OPT_WIDTHS, OPT_GROUPS, OPT_STEPS, OPT_LR, OPT_WARMUP, OPT_DECAY, OPT_EMA, OPT_SHIFT, OPT_FLIP,
	OPT_LOG, OPT_LOG_EVERY
};

#define MAX_TESTS 64

struct opts {
	struct rd_common c;
	struct rd_classify_opts t;
	struct rd_classifier_net net; /* widths and groups */
	const char *log;
	int64_t log_every;
	const char *test[MAX_TESTS], *const *data;
	int n_tests, n_data;
	char *command;
};

static void parse_widths(struct opts *o, const char *list)
{
	char word[16];
	size_t n;

	for (o->net.n_widths = 0;; list += n + 1) {
		n = strcspn(list, ",");
		if (o->net.n_widths == RD_CLASSIFIER_MAX_WIDTHS)
			rd_usage_error("--widths: at most %d of them", RD_CLASSIFIER_MAX_WIDTHS);
		if (n >= sizeof word)
			rd_usage_error("--widths: '%s' is no list of numbers", list);
		memcpy(word, list, n);
		word[n] = '\0';
		o->net.block_out_channels[o->net.n_widths++] = rd_opt_int("--widths", word, 1, 4096);
		if (!list[n])
			break;
	}
}

static void add_test(struct opts *o, const char *path)
{
	if (o->n_tests == MAX_TESTS)
		rd_usage_error("--test: at most %d of them", MAX_TESTS);
	o->test[o->n_tests++] = path;
}

static void check_opts(struct opts *o)
{
	if (!o->c.out || !strcmp(o->c.out, "-"))
		rd_usage_error("-o DIR, a folder, is needed");
	if (!o->n_data)
		rd_usage_error("no training data: sample=IMAGES label=LABELS, or files with both");
	for (int i = 0; i < o->net.n_widths; i++)
		if (o->net.block_out_channels[i] % o->net.norm_num_groups)
			rd_usage_error("--widths: %lld is no multiple of the %lld --groups",
			               (long long)o->net.block_out_channels[i], (long long)o->net.norm_num_groups);
	if (o->log_every && !o->log)
		rd_usage_error("--log-every: of the log, which --log FILE asks for");
	if (!o->log_every)
		o->log_every = 50;
	if (o->c.batch)
		o->t.batch = o->c.batch;
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG, RD_COMPUTE_LONG, {"test", required_argument, 0, OPT_TEST},
		{"widths", required_argument, 0, OPT_WIDTHS}, {"groups", required_argument, 0, OPT_GROUPS},
		{"steps", required_argument, 0, OPT_STEPS}, {"lr", required_argument, 0, OPT_LR},
		{"warmup", required_argument, 0, OPT_WARMUP}, {"weight-decay", required_argument, 0, OPT_DECAY},
		{"ema", required_argument, 0, OPT_EMA}, {"shift", required_argument, 0, OPT_SHIFT}, {"flip", no_argument, 0, OPT_FLIP},
		{"seed", required_argument, 0, 's'}, {"log", required_argument, 0, OPT_LOG},
		{"log-every", required_argument, 0, OPT_LOG_EVERY}, {0, 0, 0, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT "s:", longs, NULL)) != -1) {
		switch (opt) {
		case OPT_TEST: add_test(o, optarg); break;
		case OPT_WIDTHS: parse_widths(o, optarg); break;
		case OPT_GROUPS: o->net.norm_num_groups = rd_opt_int("--groups", optarg, 1, 4096); break;
		case OPT_STEPS: o->t.steps = rd_opt_int("--steps", optarg, 1, 1000000000); break;
		case OPT_LR: o->t.lr = rd_opt_num("--lr", optarg, 0, 10); break;
		case OPT_WARMUP: o->t.warmup = rd_opt_int("--warmup", optarg, 0, 1000000000); break;
		case OPT_DECAY: o->t.weight_decay = rd_opt_num("--weight-decay", optarg, 0, 10); break;
		case OPT_EMA: o->t.ema = rd_opt_num("--ema", optarg, 0, 0.9999999); break;
		case OPT_SHIFT: o->t.shift = rd_opt_int("--shift", optarg, 0, 1024); break;
		case OPT_FLIP: o->t.flip = true; break;
		case 's': o->t.seed = rd_opt_u64("--seed", optarg); break;
		case OPT_LOG: o->log = optarg; break;
		case OPT_LOG_EVERY: o->log_every = rd_opt_int("--log-every", optarg, 1, INT32_MAX); break;
		default:
			if (!rd_common_opt(&o->c, opt))
				rd_usage_error(NULL);
		}
	}
	o->data = (const char *const *)argv + optind;
	o->n_data = argc - optind;
	check_opts(o);
}

/* A network for the images that are there, and for the labels up to their largest. */
static int new_classifier(struct rd_classifier *c, struct opts *o, const struct rd_points *data, struct rd_err *e)
{
	const struct rd_shape *s = &data->sample;
	char text[64];

	if (s->nd != 3)
		return rd_fail(e, RD_EINPUT, "%s: a sample is %s; images, [channels, height, width], expected", o->data[0],
		               rd_shape_str(s, text, sizeof text));
	if (!data->label)
		return rd_fail(e, RD_EINPUT, "%s: no field `label` in it", o->data[0]);
	o->net.in_channels = s->d[0];
	o->net.height = s->d[1];
	o->net.width = s->d[2];
	o->net.num_classes = 2;
	for (int64_t i = 0; i < data->n; i++)
		if (data->label[i] >= o->net.num_classes)
			o->net.num_classes = (int64_t)data->label[i] + 1;
	if (!rd_classifier_new(c, &o->net, o->t.seed, e))
		return RD_OK;
	return rd_context(e, "%s, %lld classes, with --widths for %d halvings", o->data[0], (long long)o->net.num_classes, o->net.n_widths - 1);
}

static void tick(int64_t step, const struct rd_step_report *r)
{
	(void)step;
	rd_progress_add(1);
	rd_progress_note("loss %.4g", r->loss);
}

static int fit(struct rd_classifier *c, const struct rd_points *data, const struct opts *o, const json_t *run,
               const struct rd_backend *be, struct rd_dev *dev, struct rd_err *e)
{
	struct rd_trainlog_file log;
	struct rd_classify *t;
	int rc = o->log ? rd_trainlog_file(&log, o->log, o->c.force, run, e) : RD_OK;

	if (!rc && o->log)
		rc = rd_trainlog_apart(&log, o->c.out, e);
	if (!rc)
		rc = rd_classify_new(&t, c, data, be, dev, &o->t, e);
	if (rc)
		return rc;
	rd_progress_start(&o->c, "steps", (uint64_t)o->t.steps);
	rc = rd_classify_go(t, o->log ? &log : NULL, o->log_every, tick, e);
	if (!rc)
		rc = rd_classify_average(t, c->w, e);
	rd_classifier_rehash(c);
	rd_classify_free(t);
	rd_progress_end();
	return rc;
}

static int test(const struct rd_classifier *c, struct rd_points *p, const struct opts *o, const struct rd_backend *be,
                struct rd_dev *dev, struct rd_agreement *a, struct rd_err *e)
{
	struct rd_classifier_run *r;
	int rc = rd_classifier_open(&r, c, be, dev, o->t.batch, e);

	if (!rc)
		rc = rd_points_classify(p, c, r, o->t.batch, NULL, a, e);
	rd_classifier_close(r);
	return rc;
}

/* Test data that do not fit are refused before training, not after it. */
static int load_test(struct rd_points *p, const struct rd_points *data, const struct rd_classifier *c, const struct opts *o,
                     struct rd_err *e)
{
	int rc = rd_points_load(p, o->test, o->n_tests, "sample", e);

	if (!rc && !p->label)
		rc = rd_fail(e, RD_EINPUT, "--test %s: no field `label` in it", o->test[0]);
	if (!rc && p->class_names && data->class_names && !json_equal(p->class_names, data->class_names))
		rc = rd_fail(e, RD_EINPUT, "--test %s: its classes (class_names) are not those of %s", o->test[0], o->data[0]);
	if (!rc && rd_classifier_fits(c, p, true, e))
		rc = rd_context(e, "--test %s", o->test[0]);
	return rc;
}

static int save(const struct rd_classifier *c, const json_t *run, const struct opts *o, const struct rd_agreement *a,
                double seconds, const char *device, struct rd_err *e)
{
	char line[128], *text = rd_json_text(run), *card;
	json_t *meta = json_pack("{s:s, s:s, s:s}", "format", "pt", RD_META_VERSION, RD_VERSION, RD_META_RUN, text);
	struct rd_classifier_story s = {.command = o->command, .run = run, .test = a->there ? line : NULL, .device = device,
	                                .seconds = seconds};
	int rc;

	snprintf(line, sizeof line, "Of the images given as `--test` it recognises %.2f%% (standard error %.2f%%).", 100 * a->share,
	         100 * a->se);
	card = rd_classifier_card(c, &s);
	rc = text && meta && card ? rd_classifier_save(c, o->c.out, meta, card, o->c.force, e) : rd_fail(e, RD_ENOMEM, "no memory");
	json_decref(meta);
	free(text);
	free(card);
	return rc;
}

static int print(const struct rd_agreement *a, struct rd_err *e)
{
	struct rd_out *out;
	int rc = rd_out_open(&out, NULL, 0, e);

	if (rc)
		return rc;
	rc = rd_out_printf(out, e, "accuracy %.6g %.2g\n", a->share, a->se);
	if (!rc)
		return rd_out_finish(out, e);
	rd_out_abort(out);
	return rc;
}

/* Everything from the data to the folder. */
static int work(struct opts *o, struct rd_agreement *a, struct rd_err *e)
{
	struct rd_points data = {0}, held = {0};
	struct rd_classifier c = {0};
	const struct rd_backend *be = NULL;
	struct rd_dev *dev = NULL;
	json_t *run = NULL;
	double seconds;
	int rc = rd_points_load(&data, o->data, o->n_data, "sample", e);

	if (!rc)
		rc = new_classifier(&c, o, &data, e);
	if (!rc && o->n_tests)
		rc = load_test(&held, &data, &c, o, e);
	if (!rc)
		rc = rd_common_device(&o->c, &be, &dev, e);
	if (rc)
		goto out;
	rd_info("%lld parameters, %lld images of %lld classes", (long long)rd_graph_param_count(c.params), (long long)data.n,
	        (long long)c.net.num_classes);
	run = rd_classify_describe(&c, &data, &o->t);
	rc = run ? fit(&c, &data, o, run, be, dev, e) : rd_fail(e, RD_ENOMEM, "no memory");
	seconds = rd_progress_seconds();
	if (!rc && o->n_tests)
		rc = test(&c, &held, o, be, dev, a, e);
	rd_stop_begin(); /* a signal that comes now leaves the folder whole */
	if (!rc)
		rc = save(&c, run, o, a, seconds, be->describe(dev), e);
out:
	json_decref(run);
	if (dev)
		be->close(dev);
	rd_classifier_free(&c);
	rd_points_free(&data);
	rd_points_free(&held);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {
		.t = {.steps = 4000, .batch = 128, .warmup = 100, .lr = 3e-3, .weight_decay = 0.05, .ema = 0.995},
		.net = {.n_widths = 4, .block_out_channels = {16, 32, 48, 64}, .norm_num_groups = 8},
	};
	struct rd_agreement a = {0};
	struct rd_err e;

	rd_tool_init("classtrain", usage, argv, &o.c);
	o.command = rd_command_line(argc, argv);
	parse_opts(&o, argc, argv);
	rd_stop_watch();
	if (rd_out_dir_try(o.c.out, o.c.force, &e) || work(&o, &a, &e))
		rd_die(&e);
	if (a.there && print(&a, &e))
		rd_die(&e);
	free(o.command);
	return 0;
}
