/* Standard normal noise, or samples of a density, as a stream of frames. Each is a function of (seed, index). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "kernels/rng.h"
#include "lib/base/size.h"
#include "lib/density/density.h"
#include "lib/data/labels.h"
#include "lib/model/model.h"
#include "tools/common/common.h"
#include "tools/common/noise_in.h"

static const char usage[] =
	"usage: noisegen -n COUNT (-m MODEL | --shape C,H,W | --dist NAME) [options] >FRAMES\n"
	"Writes standard normal noise, or samples of a density, as frames. A sample depends on its seed and index alone.\n"
	"\n"
	"  -n, --count COUNT    how many samples\n"
	"  -m, --model MODEL    noise of the shape that a model folder's config asks for\n"
	"      --shape C,H,W    noise of this shape (one to seven sizes)\n"
	"      --dist NAME      samples of 8gaussians, checkerboard, moons, spiral or rings instead of noise\n"
	"  -s, --seed S         default 0\n"
	"  -i, --first FIRST    index of the first sample, default 0\n"
	"  -S, --shard I/N      only the I-th of N parts of the range, I from 1\n"
	"  -l, --labels LABELS  none, uniform:K, cycle:K (sample i has class i mod K), a class, or a file (.npy, idx)\n"
	"                       with one integer per sample from index 0; uniform:K:without:N, cycle:K:without:N: of the\n"
	"                       classes below K but N; with --dist: component, the part of the mixture; default: none, but\n"
	"                       with -m of a model with classes uniform over those, without the null class\n"
	"      --ref            write references: the seed in place of the numbers\n"
	"  -b, --batch N        samples per frame, default about 1 MiB\n"
	"  -o, --output FILE    default standard output\n"
	"  -f, --force          write binary data to a terminal\n"
	"  -j, --threads N      default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_SHAPE = RD_OPT_TOOL, OPT_DIST, OPT_REF };

struct opts {
	struct rd_common c;
	uint64_t count, seed, first;
	bool has_count, ref;
	const char *model, *shape, *labels; /* labels NULL: the default */
	const struct rd_density *dist;
	const char *dist_name;
};

/* What is generated: count samples from first. */
struct job {
	struct rd_shape sample;
	uint64_t first, count;
	struct rd_labels *labels; /* NULL for a density's components */
	bool with_label;
	const char *label_spec; /* -l's text or the default */
	char by_default[RD_NOISE_LABELS];
};

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG,
		{ "batch", required_argument, 0, 'b' }, { "count", required_argument, 0, 'n' },
		{ "seed", required_argument, 0, 's' }, { "first", required_argument, 0, 'i' },
		{ "shard", required_argument, 0, 'S' }, { "model", required_argument, 0, 'm' },
		{ "shape", required_argument, 0, OPT_SHAPE }, { "labels", required_argument, 0, 'l' },
		{ "dist", required_argument, 0, OPT_DIST }, { "ref", no_argument, 0, OPT_REF }, { 0, 0, 0, 0 },
	};
	const char *shard = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT "b:n:s:i:S:m:l:", longs, NULL)) != -1) {
		switch (opt) {
		case 'n':
			o->count = (uint64_t)rd_opt_int("--count", optarg, 0, INT64_MAX);
			o->has_count = true;
			break;
		case 's': o->seed = rd_opt_u64("--seed", optarg); break;
		case 'i': o->first = (uint64_t)rd_opt_int("--first", optarg, 0, INT64_MAX); break;
		case 'S': shard = optarg; break;
		case 'm': o->model = optarg; break;
		case 'l': o->labels = optarg; break;
		case OPT_SHAPE: o->shape = optarg; break;
		case OPT_REF: o->ref = true; break;
		case OPT_DIST:
			o->dist_name = rd_density_names[rd_opt_choice("--dist", optarg, rd_density_names)];
			o->dist = rd_density_find(o->dist_name);
			break;
		default:
			if (!rd_common_opt(&o->c, opt))
				rd_usage_error(NULL); /* getopt has said what */
		}
	}
	if (optind < argc)
		rd_usage_error("%s: no input is read", argv[optind]);
	if (!o->has_count)
		rd_usage_error("how many? -n COUNT is missing");
	if (!!o->model + !!o->shape + !!o->dist != 1)
		rd_usage_error("one of -m MODEL, --shape and --dist is needed, and only one");
	if (o->ref && o->dist)
		rd_usage_error("--ref: a density's samples cannot be references");
	if (o->count > INT64_MAX - o->first)
		rd_usage_error("--first and --count: indices end at 2^63");
	if (shard)
		rd_noise_shard(shard, &o->first, &o->count);
}

/* "3,32,32" */
static void parse_shape(struct rd_shape *s, const char *text)
{
	char *copy = strdup(text), *rest = copy, *part;

	s->nd = 0;
	while ((part = strsep(&rest, ","))) {
		if (s->nd == RD_MAX_DIMS - 1)
			rd_usage_error("--shape %s: more than %d sizes", text, RD_MAX_DIMS - 1);
		s->d[s->nd++] = rd_opt_int("--shape", part, 1, INT32_MAX);
	}
	free(copy);
}

/* -l's text or the default, which for a model is odesample's: one quick start then trains all of its classes. */
static int choose_labels(struct job *j, const struct opts *o, const struct rd_net *net, struct rd_err *e)
{
	int64_t null_class = -1;

	j->label_spec = o->labels ? o->labels : j->by_default;
	if (o->labels && o->model && !net->classes && strcmp(o->labels, "none"))
		return rd_fail(e, RD_EUSAGE, "%s: the model has no classes: -l %s", o->model, o->labels);
	if (!o->labels && (net->cond == RD_COND_CLASS || net->cond == RD_COND_CONTEXT) && rd_model_null_class(o->model, net, &null_class, e))
		return rd_context(e, "%s: which of its classes stands for none? -l says what labels to take", o->model);
	if (!o->labels)
		rd_noise_default_labels(j->by_default, net, null_class);
	j->with_label = strcmp(j->label_spec, "none") != 0;
	if (o->dist && !strcmp(j->label_spec, "component"))
		return RD_OK;
	return rd_labels_open(&j->labels, j->label_spec, o->seed, net->classes, e);
}

/* The sample's shape and the labels. */
static int prepare(struct job *j, const struct opts *o, struct rd_err *e)
{
	struct rd_net net = {0};
	size_t elems;
	int rc = RD_OK;

	j->first = o->first;
	j->count = o->count;
	if (o->model) {
		rc = rd_model_net(&net, o->model, e);
		j->sample = net.sample;
	} else if (o->shape) {
		parse_shape(&j->sample, o->shape);
	} else {
		j->sample = rd_shape_make(1, (const int64_t[]){ 2 });
	}
	if (!rc && rd_shape_elems(&j->sample, &elems, e))
		rc = o->shape ? rd_fail(e, RD_EUSAGE, "--shape %s: more numbers than a sample can have", o->shape) : e->code;
	if (!rc && elems > RD_FRAME_MAX_BYTES / sizeof(float))
		rc = rd_fail(e, RD_EUSAGE, "a sample of %zu numbers does not fit a frame", elems);
	return rc ? rc : choose_labels(j, o, &net, e);
}

static int describe(struct rd_stream *s, const struct opts *o, const struct job *j, struct rd_err *e)
{
	json_t *meta = json_object(), *shape = json_array();
	int rc;

	for (int k = 0; k < j->sample.nd; k++)
		json_array_append_new(shape, json_integer(j->sample.d[k]));
	json_object_set_new(meta, "generator", json_string("philox4x32-10, Box-Muller"));
	if (o->dist)
		json_object_set_new(meta, "density", json_string(o->dist_name));
	json_object_set_new(meta, "seed", rd_json_u64(o->seed));
	json_object_set_new(meta, "first", json_integer((json_int_t)j->first));
	json_object_set_new(meta, "count", json_integer((json_int_t)j->count));
	json_object_set_new(meta, "sample_shape", shape);
	json_object_set_new(meta, "labels", json_string(j->label_spec));
	rd_meta_history(meta, NULL);
	rd_stream_init(s, o->dist ? "data" : "noise", meta);
	rc = rd_stream_add(s, o->dist ? "sample" : "noise", e);
	if (!rc && j->with_label)
		rc = rd_stream_add(s, "label", e);
	return rc;
}

/* Fills b with samples b->first .. b->first+b->n-1. */
static int generate(const struct job *j, const struct opts *o, struct rd_batch *b, struct rd_err *e)
{
	const size_t n = (size_t)b->n;

	b->f[0].shape.d[0] = b->f[1].shape.d[0] = b->n;
	if (o->dist)
		rd_density_sample(o->dist, o->seed, b->first, n, b->f[0].data, j->labels ? NULL : b->f[1].data);
	else if (!o->ref)
		rd_rng_normal_batch(o->seed, RD_RNG_NOISE, b->first, b->f[0].data, n, rd_shape_sample_elems(&b->f[0].shape));
	return j->labels ? rd_labels_get(j->labels, b->first, b->n, b->f[1].data, e) : RD_OK;
}

static int write_all(const struct job *j, const struct opts *o, struct rd_sink *sink, struct rd_err *e)
{
	struct rd_batch b = { .ref = { o->ref }, .ref_seed = { o->seed } };
	struct rd_shape s = { .nd = j->sample.nd + 1 };
	size_t elems;
	int64_t step = o->c.batch;
	int rc;

	for (int k = 0; k < j->sample.nd; k++)
		s.d[k + 1] = j->sample.d[k];
	elems = rd_shape_sample_elems(&s);
	if (!step)
		step = elems < 1 << 18 ? (int64_t)((1 << 18) / elems) : 1;
	if ((uint64_t)step > j->count)
		step = (int64_t)j->count;
	s.d[0] = step;
	rc = rd_array_init(&b.f[0], RD_F32, &s, 0, e);
	if (!rc)
		rc = rd_array_init(&b.f[1], RD_I32, &(struct rd_shape){ .nd = 1, .d = { step } }, 0, e);
	for (uint64_t done = 0; !rc && done < j->count; done += (uint64_t)b.n) {
		b.first = j->first + done;
		b.n = j->count - done < (uint64_t)step ? (int64_t)(j->count - done) : step;
		rc = generate(j, o, &b, e);
		if (!rc)
			rc = rd_sink_write(sink, &b, e);
		rd_progress_add((uint64_t)b.n);
	}
	rd_batch_free(&b);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = { 0 };
	struct job j = { 0 };
	struct rd_stream s;
	struct rd_sink *sink;
	struct rd_err e;

	rd_tool_init("noisegen", usage, argv, &o.c);
	parse_opts(&o, argc, argv);
	if (prepare(&j, &o, &e) || describe(&s, &o, &j, &e) ||
	    rd_sink_open(&sink, o.c.out, rd_common_out_flags(&o.c), &s, &e))
		rd_die(&e);
	rd_progress_start(&o.c, "samples", j.count);
	if (write_all(&j, &o, sink, &e)) {
		rd_sink_abort(sink);
		rd_die(&e);
	}
	rd_progress_end();
	if (rd_sink_finish(sink, NULL, &e))
		rd_die(&e);
	rd_stream_free(&s);
	rd_labels_close(j.labels);
	return 0;
}
