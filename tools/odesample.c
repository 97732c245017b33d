/* Samples of a model in few steps: from noise of its own or from a stream; as frames, whole trajectories, or a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/png.h"
#include "lib/base/size.h"
#include "lib/data/joined.h"
#include "lib/model/metakeys.h"
#include "tools/common/noise_in.h"
#include "tools/common/sampling.h"

static const char usage[] =
	"usage: odesample -m MODEL [-n N] [-s SEED] [-i FIRST] [-S I/N] [-l LABELS] [options] >FRAMES\n"
	"       odesample -m MODEL [options] NOISE|- >FRAMES\n"
	"Integrates the model's ODE from noise that it makes, or from a noise stream, and writes the samples.\n"
	"\n"
	"  -n, --count N        how many samples, default 64\n"
	"  -s, --seed S         default 0\n"
	"  -i, --first FIRST    index of the first sample, default 0\n"
	"  -S, --shard I/N      only the I-th of N parts of the range, I from 1\n"
	"  -l, --labels LABELS  none, uniform:K, cycle:K (sample i has class i mod K), either with :without:N (but class N), a\n"
	"                       class, or a file; default: uniform over the model's classes without the null class\n"
	RD_SAMPLING_USAGE
	"      --clip[=R]       clamp x0 to +-R at every step; default: as the scheduler's clip_sample says\n"
	"      --no-clip        do not clamp, whatever the config says\n"
	"      --trajectory     write every state with its t, alpha, sigma, x0 and eps (role trajectory)\n"
	"      --png FILE       a grid of the samples (the first 1024); without -o nothing else is written\n"
	"      --columns C      of the grid, default as many as rows\n"
	"      --scale K        K-fold enlargement of the grid's images, default 2\n"
	"  -b, --batch N        images computed at once, default 64\n"
	"  -d, --device D       auto (default), cpu or cuda[:N]\n"
	"      --precision P    f32 (default); tf32, bf16 (on CUDA alone), f64 (on the CPU)\n"
	"  -o, --output FILE    default standard output (-o - with --png)\n"
	"  -f, --force          write binary data to a terminal\n"
	"  -j, --threads N      default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_TRAJECTORY = RD_OPT_TOOL, OPT_PNG, OPT_COLUMNS, OPT_SCALE };

#define PNG_MAX 1024

struct opts {
	struct rd_common c;
	struct rd_sampling_args s;
	const char *in, *labels, *png; /* in NULL: noise of its own */
	uint64_t count, seed, first;
	bool trajectory;
	int64_t columns;
	int scale;
};

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG, RD_COMPUTE_LONG, RD_SAMPLING_LONG, {"count", required_argument, 0, 'n'},
		{"seed", required_argument, 0, 's'}, {"first", required_argument, 0, 'i'}, {"shard", required_argument, 0, 'S'},
		{"labels", required_argument, 0, 'l'},
		{"trajectory", no_argument, 0, OPT_TRAJECTORY}, {"png", required_argument, 0, OPT_PNG},
		{"columns", required_argument, 0, OPT_COLUMNS}, {"scale", required_argument, 0, OPT_SCALE}, {0, 0, 0, 0},
	};
	const char *shard = NULL;
	bool own = false;
	int opt;

	o->count = 64;
	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT RD_SAMPLING_SHORT "n:s:i:S:l:", longs, NULL)) != -1) {
		own |= opt == 'n' || opt == 's' || opt == 'i' || opt == 'S' || opt == 'l';
		switch (opt) {
		case 'n': o->count = (uint64_t)rd_opt_int("--count", optarg, 1, INT64_MAX / 2); break;
		case 's': o->seed = rd_opt_u64("--seed", optarg); break;
		case 'i': o->first = (uint64_t)rd_opt_int("--first", optarg, 0, INT64_MAX / 2); break;
		case 'S': shard = optarg; break;
		case 'l': o->labels = optarg; break;
		case OPT_TRAJECTORY: o->trajectory = true; break;
		case OPT_PNG: o->png = optarg; break;
		case OPT_COLUMNS: o->columns = rd_opt_int("--columns", optarg, 1, PNG_MAX); break;
		case OPT_SCALE: o->scale = (int)rd_opt_int("--scale", optarg, 1, 64); break;
		default:
			if (!rd_common_opt(&o->c, opt) && !rd_sampling_opt(&o->s, opt))
				rd_usage_error(NULL);
		}
	}
	if (argc - optind > 1)
		rd_usage_error("%s: one input is read", argv[optind + 1]);
	o->in = optind < argc ? argv[optind] : NULL;
	if (shard)
		rd_noise_shard(shard, &o->first, &o->count);
	if (!o->png && (o->columns || o->scale))
		rd_usage_error("--columns and --scale: of a picture, which --png asks for");
	if (o->png && o->c.out && !strcmp(o->png, "-") && !strcmp(o->c.out, "-"))
		rd_usage_error("-o - and --png -: only one output fits standard output");
	if (!o->scale)
		o->scale = 2;
	if (o->trajectory && rd_sampling_chooses_steps(&o->s))
		rd_usage_error("--trajectory: dopri5 gives every sample steps of its own, and a trajectory's are those of all");
	if (o->in && own)
		rd_usage_error("-n, -s, -i, -S and -l are for noise of one's own; %s brings its own", o->in);
}

/* Where the results go. */
struct sinks {
	struct rd_sink *frames; /* NULL: none */
	struct rd_stream head;
	struct rd_out *png;     /* NULL: no picture */
	float *picture;         /* its samples, the first */
	size_t pictured, room;
	struct rd_record rec;   /* of one batch, for --trajectory */
	float *sample;          /* of one batch */
};

static int open_noise(struct rd_noise_in *in, const struct opts *o, const struct rd_sampling *s, struct rd_err *e)
{
	const struct rd_net *net = &s->model.net;
	char labels[RD_NOISE_LABELS];

	if (o->in)
		return rd_noise_stream(in, o->in, false, &s->model, s->batch, e);
	rd_noise_default_labels(labels, net, s->model.null_class);
	return rd_noise_generate(in, &net->sample, s->batch, o->seed, o->first, o->count, o->labels ? o->labels : labels,
	                         net->classes, e);
}

static int describe(struct rd_stream *out, const struct rd_noise_in *in, const struct opts *o, const struct rd_sampling *s,
                    struct rd_err *e)
{
	static const char *const fields[] = {"x", "x0", "eps"};
	json_t *from = in->src ? json_incref(rd_source_stream(in->src)->meta) : json_object(), *meta;
	int rc;

	if (!in->src) {
		json_object_set_new(from, "seed", rd_json_u64(o->seed));
		json_object_set_new(from, "first", json_integer((json_int_t)o->first));
		json_object_set_new(from, "count", json_integer((json_int_t)o->count));
	}
	rc = rd_joined_each(&meta, from, rd_sampling_describe, s, e);
	json_decref(from);
	if (rc)
		return rc;
	if (o->trajectory)
		json_object_set_new(meta, "grid", rd_sampler_grid_json(s->sampler));
	rd_meta_history(meta, NULL);
	rd_stream_init(out, o->trajectory ? "trajectory" : "samples", meta);
	rc = rd_stream_add(out, "noise", e);
	if (!rc && rd_noise_has_labels(in))
		rc = rd_stream_add(out, "label", e);
	for (int i = 0; i < 3 && o->trajectory && !rc; i++)
		rc = rd_stream_add(out, fields[i], e);
	return rc || o->trajectory ? rc : rd_stream_add(out, "sample", e);
}

static int reserve_picture(struct sinks *k, size_t n, size_t dim, struct rd_err *e)
{
	void *p = k->picture;
	int rc = rd_reserve(&p, &k->room, n, dim * sizeof *k->picture, "the picture's samples", e);

	k->picture = p;
	return rc;
}

static int64_t columns(const struct opts *o, size_t n)
{
	return o->columns ? o->columns : (int64_t)ceil(sqrt((double)n));
}

/* What can be said of the picture before there are samples; of a stream how many there will be is not known. */
static int prepare_picture(struct sinks *k, const struct opts *o, const struct rd_noise_in *in, struct rd_err *e)
{
	const int64_t *d = in->sample.d;
	size_t n = in->src || !o->count ? 1 : o->count < PNG_MAX ? (size_t)o->count : PNG_MAX;

	if (in->sample.nd != 3)
		return rd_fail(e, RD_EUSAGE, "--png: the model's samples are no images");
	if (rd_png_grid_check((int64_t)n, d[0], d[1], d[2], columns(o, n), o->scale, e))
		return rd_context(e, "--png");
	return reserve_picture(k, n, in->dim, e);
}

static int alloc(struct sinks *k, const struct opts *o, const struct rd_noise_in *in, const struct rd_sampling *s,
                 struct rd_err *e)
{
	size_t row = in->dim * sizeof(float), b = (size_t)in->batch, steps = (size_t)rd_sampler_grid(s->sampler)->steps;

	k->sample = calloc(b, row);
	if (o->trajectory) {
		k->rec = (struct rd_record){.x = calloc(b * (steps + 1), row), .x0 = calloc(b * steps, row), .eps = calloc(b * steps, row)};
		if (!k->rec.x || !k->rec.x0 || !k->rec.eps)
			return rd_fail(e, RD_ENOMEM, "no memory for trajectories of %lld samples at once", (long long)in->batch);
	}
	if (!k->sample)
		return rd_fail(e, RD_ENOMEM, "no memory for a batch");
	return o->png ? prepare_picture(k, o, in, e) : RD_OK;
}

static int open_sinks(struct sinks *k, const struct opts *o, struct rd_err *e)
{
	int rc = !o->png || o->c.out ? rd_sink_open(&k->frames, o->c.out, rd_common_out_flags(&o->c), &k->head, e) : RD_OK;

	return rc || !o->png ? rc : rd_out_open(&k->png, o->png, rd_common_out_flags(&o->c), e);
}

static int write_batch(struct sinks *k, const struct rd_noise_in *in, const struct rd_noise_batch *b, int64_t steps,
                       struct rd_err *e)
{
	struct rd_batch p = {.first = b->first, .n = b->n};
	int f = 0;

	p.ref[0] = b->ref;
	p.ref_seed[0] = b->ref_seed;
	p.f[f++] = rd_noise_view(in, b->n, 0, b->noise);
	if (b->label)
		p.f[f++] = (struct rd_array){RD_I32, {1, {b->n}}, (void *)(uintptr_t)b->label};
	if (k->rec.x) {
		p.f[f++] = rd_noise_view(in, b->n, steps + 1, k->rec.x);
		p.f[f++] = rd_noise_view(in, b->n, steps, k->rec.x0);
		p.f[f] = rd_noise_view(in, b->n, steps, k->rec.eps);
	} else {
		p.f[f] = rd_noise_view(in, b->n, 0, k->sample);
	}
	return rd_sink_write(k->frames, &p, e);
}

/* The first of a batch of n, as many as the picture takes. */
static int keep_for_picture(struct sinks *k, int64_t n, size_t dim, struct rd_err *e)
{
	size_t more = PNG_MAX - k->pictured < (size_t)n ? PNG_MAX - k->pictured : (size_t)n;
	int rc = k->png ? reserve_picture(k, k->pictured + more, dim, e) : RD_OK;

	if (rc || !k->png)
		return rc;
	memcpy(k->picture + k->pictured * dim, k->sample, more * dim * sizeof *k->sample);
	k->pictured += more;
	return RD_OK;
}

/* The seed of a batch's noise, where it is known. */
static bool seed_of(const struct rd_noise_in *in, const struct rd_noise_batch *b, uint64_t *seed)
{
	*seed = b->ref_seed;
	return !in->src || b->ref || rd_json_to_u64(json_object_get(rd_source_stream(in->src)->meta, "seed"), seed);
}

/* The ranges of noise that a model was trained on. NULL: it does not say. */
static json_t *known_noise(const struct rd_model *m)
{
	const char *text = json_string_value(json_object_get(m->meta, RD_META_DATA));
	json_t *data = text ? json_loads(text, 0, NULL) : NULL, *ranges = json_incref(json_object_get(data, "noise"));

	json_decref(data);
	return ranges;
}

/* On the noise that it was trained on a model does better than elsewhere. True where a warning was given. */
static bool warn_of_known(const struct rd_model *m, const json_t *ranges, const struct rd_noise_in *in, const struct rd_noise_batch *b)
{
	uint64_t seed, of, first, last;
	bool known = false;

	for (size_t i = 0; i < json_array_size(ranges) && !known && seed_of(in, b, &seed); i++) {
		const json_t *r = json_array_get(ranges, i);

		known = rd_json_to_u64(json_object_get(r, "seed"), &of) && rd_json_to_u64(json_object_get(r, "first"), &first) &&
		        rd_json_to_u64(json_object_get(r, "last"), &last) && of == seed && b->first <= last &&
		        b->first + (uint64_t)b->n > first;
	}
	if (known)
		rd_warn("%s was trained on pairs of seed %llu, indices %llu to %llu, and here is noise of these: elsewhere it does "
		        "worse (-s another seed)", m->dir, (unsigned long long)seed, (unsigned long long)first, (unsigned long long)last);
	return known;
}

static int work_all(struct sinks *k, struct rd_sampling *s, struct rd_noise_in *in, const json_t *known, struct rd_err *e)
{
	int64_t steps = rd_sampler_grid(s->sampler)->steps;
	struct rd_noise_batch b;
	bool warned = false;
	int rc;

	while ((rc = rd_noise_next(in, &b, e)) > 0) {
		warned = warned || warn_of_known(&s->model, known, in, &b);
		rc = rd_sampler_run(s->sampler, b.n, b.noise, b.label, k->sample, k->rec.x ? &k->rec : NULL, e);
		if (!rc)
			rd_sampling_check(s, k->sample, b.first, b.n, in->dim);
		if (!rc && k->frames)
			rc = write_batch(k, in, &b, steps, e);
		if (!rc)
			rc = keep_for_picture(k, b.n, in->dim, e);
		if (rc)
			return rc;
		rd_progress_add((uint64_t)b.n);
	}
	return rc;
}

/* Once the frames are away: what goes wrong with the picture leaves them as they are. */
static int write_png(struct sinks *k, const struct opts *o, const struct rd_noise_in *in, struct rd_err *e)
{
	const int64_t *d = in->sample.d;
	int rc = k->pictured ? rd_png_grid(k->png, k->picture, (int64_t)k->pictured, d[0], d[1], d[2], columns(o, k->pictured),
	                                   o->scale, e)
	                     : rd_fail(e, RD_EFAIL, "--png: there are no samples to draw");

	if (!rc)
		return rd_out_finish(k->png, e);
	rd_out_abort(k->png);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct sinks k = {0};
	struct rd_sampling s;
	struct rd_noise_in in;
	struct rd_err e;
	json_t *known, *end;

	rd_tool_init("odesample", usage, argv, &o.c);
	rd_sampling_init(&o.s);
	parse_opts(&o, argc, argv);
	if (rd_sampling_open(&s, &o.s, &o.c, true, &e) || open_noise(&in, &o, &s, &e) || describe(&k.head, &in, &o, &s, &e) ||
	    alloc(&k, &o, &in, &s, &e) || open_sinks(&k, &o, &e))
		rd_die(&e);
	rd_progress_start(&o.c, "samples", (uint64_t)json_integer_value(json_object_get(k.head.meta, "count")));
	known = known_noise(&s.model);
	if (work_all(&k, &s, &in, known, &e)) {
		rd_sink_abort(k.frames);
		rd_out_abort(k.png);
		rd_die(&e);
	}
	rd_progress_end();
	end = json_pack("{s:f}", "seconds", rd_progress_seconds());
	rd_sampling_end(&s, end);
	if (k.frames && rd_sink_finish(k.frames, end, &e))
		rd_die(&e);
	if (k.png && write_png(&k, &o, &in, &e))
		rd_die(&e);
	json_decref(end);
	json_decref(known);
	rd_stream_free(&k.head);
	rd_noise_close(&in);
	rd_sampling_close(&s);
	free(k.sample);
	free(k.picture);
	free(k.rec.x);
	free(k.rec.x0);
	free(k.rec.eps);
	return 0;
}
