/* Noise in, (noise, sample) pairs out: the end points of the model's own probability-flow ODE. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/data/joined.h"
#include "lib/sample/knots.h"
#include "tools/common/noise_in.h"
#include "tools/common/sampling.h"

static const char usage[] =
	"usage: denoise -m MODEL [options] [FRAMES] >PAIRS\n"
	"Reads noise frames (standard input by default) and integrates the model's ODE from each. Writes pairs: the noise as it\n"
	"came (data or reference), its label, the sample. With --reverse it reads data and integrates back to noise.\n"
	"\n"
	RD_SAMPLING_USAGE
	"      --reverse        from data (field sample of frames, archives, .npy, idx, folders of .png) to noise; still writes pairs\n"
	"      --likelihood T   with --reverse: also the log-density of each sample, a field logp in nats; T says how the trace of\n"
	"                       the Jacobian is taken: exact, or hutchinson[:PROBES] (default 1), an unbiased estimate; the\n"
	"                       solver is rk4 (the default) or heun\n"
	"      --likelihood-seed S   of hutchinson's probes, default 0\n"
	"      --knots M        also record the states between M equal phases (field knots); needs trailing spacing, and --steps a\n"
	"                       multiple of M\n"
	"      --error          solve in --steps and in twice as many; the sample is that of twice as many, and the field error\n"
	"                       is the root mean square by which the two differ; three times the work\n"
	"      --clip[=R]       clamp x0 to +-R at every step (default R: the config's); off unless asked for, it changes the ODE\n"
	"      --no-clip        do not clamp; the default\n"
	"  -b, --batch N        images computed at once, default 64\n"
	"  -d, --device D       auto (default), cpu or cuda[:N]\n"
	"      --precision P    f32 (default); tf32, bf16 (on CUDA alone), f64 (on the CPU)\n"
	"  -o, --output FILE    default standard output\n"
	"  -f, --force          write binary data to a terminal\n"
	"  -j, --threads N      default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

struct opts {
	struct rd_common c;
	struct rd_sampling_args s;
	const char *in;
};

enum { OPT_REVERSE = RD_OPT_TOOL, OPT_KNOTS, OPT_ERROR, OPT_LIKELIHOOD, OPT_LIKELIHOOD_SEED };

static void parse_likelihood(struct rd_trace_opts *t, const char *text)
{
	static const char *const names[] = {"exact", "hutchinson", NULL};
	char kind[16];
	size_t n = strcspn(text, ":");

	snprintf(kind, sizeof kind, "%.*s", (int)n, text);
	t->kind = rd_opt_choice("--likelihood", kind, names) ? RD_TRACE_HUTCHINSON : RD_TRACE_EXACT;
	if (text[n] && t->kind == RD_TRACE_EXACT)
		rd_usage_error("--likelihood: '%s': an exact trace has no probes", text);
	t->probes = text[n] ? (int)rd_opt_int("--likelihood", text + n + 1, 1, RD_TRACE_MAX_PROBES) : 1;
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {RD_COMMON_LONG, RD_COMPUTE_LONG, RD_SAMPLING_LONG,
	                                      {"reverse", no_argument, 0, OPT_REVERSE}, {"knots", required_argument, 0, OPT_KNOTS},
	                                      {"error", no_argument, 0, OPT_ERROR},
	                                      {"likelihood", required_argument, 0, OPT_LIKELIHOOD},
	                                      {"likelihood-seed", required_argument, 0, OPT_LIKELIHOOD_SEED}, {0, 0, 0, 0}};
	bool seed = false;
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT RD_SAMPLING_SHORT, longs, NULL)) != -1)
		switch (opt) {
		case OPT_REVERSE: o->s.reverse = true; break;
		case OPT_KNOTS: o->s.knots = (int)rd_opt_int("--knots", optarg, 2, RD_MAX_PHASES); break;
		case OPT_ERROR: o->s.error = true; break;
		case OPT_LIKELIHOOD: parse_likelihood(&o->s.trace, optarg); break;
		case OPT_LIKELIHOOD_SEED:
			o->s.trace.seed = rd_opt_u64("--likelihood-seed", optarg);
			seed = true;
			break;
		default:
			if (!rd_common_opt(&o->c, opt) && !rd_sampling_opt(&o->s, opt))
				rd_usage_error(NULL);
		}
	if (argc - optind > 1)
		rd_usage_error("%s: one input is read", argv[optind + 1]);
	if (o->s.trace.kind != RD_TRACE_NONE && !o->s.reverse)
		rd_usage_error("--likelihood is that of data, which --reverse reads");
	if (seed && o->s.trace.kind != RD_TRACE_HUTCHINSON)
		rd_usage_error("--likelihood-seed is that of --likelihood hutchinson");
	o->in = optind < argc ? argv[optind] : "-";
}

/* What a batch comes to, beside what it came as. */
struct results {
	float *computed; /* the sample, or in reverse the noise */
	struct rd_record rec;
	float *logp;     /* rec.logp as it is written */
};

static bool wants_logp(const struct rd_sampling_args *a)
{
	return a->trace.kind != RD_TRACE_NONE;
}

/* max_error is of the pairs that the noise was taken from. */
static void describe_part(json_t *meta, const void *ctx)
{
	json_object_del(meta, "max_error");
	rd_sampling_describe(meta, ctx);
}

static int describe(struct rd_stream *out, const struct rd_noise_in *in, const struct rd_sampling_args *a, const struct rd_sampling *s,
                    struct rd_err *e)
{
	json_t *meta;
	int rc = rd_joined_each(&meta, rd_source_stream(in->src)->meta, describe_part, s, e);

	if (rc)
		return rc;
	rd_meta_history(meta, NULL);
	rd_stream_init(out, "pairs", meta);
	rc = rd_stream_add(out, "noise", e);
	if (!rc && rd_noise_has_labels(in))
		rc = rd_stream_add(out, "label", e);
	if (!rc)
		rc = rd_stream_add(out, "sample", e);
	if (!rc && a->knots)
		rc = rd_stream_add(out, "knots", e);
	if (!rc && a->error)
		rc = rd_stream_add(out, "error", e);
	return rc || !wants_logp(a) ? rc : rd_stream_add(out, "logp", e);
}

/* The arrays of a batch borrow: nothing here is freed through it. */
static void fill(struct rd_batch *p, const struct rd_noise_in *in, const struct rd_noise_batch *b, const struct results *r,
                 const struct rd_sampling_args *a)
{
	int k = 0;

	*p = (struct rd_batch){.first = b->first, .n = b->n};
	p->ref[k] = b->ref && !a->reverse;
	p->ref_seed[k] = b->ref_seed;
	p->f[k++] = rd_noise_view(in, b->n, 0, a->reverse ? r->computed : b->noise);
	if (rd_noise_has_labels(in))
		p->f[k++] = (struct rd_array){RD_I32, {1, {b->n}}, (void *)(uintptr_t)b->label};
	p->f[k++] = rd_noise_view(in, b->n, 0, a->reverse ? b->noise : r->computed);
	if (a->knots)
		p->f[k++] = rd_noise_view(in, b->n, a->knots - 1, r->rec.knots);
	if (a->error)
		p->f[k++] = (struct rd_array){RD_F32, {1, {b->n}}, r->rec.error};
	if (wants_logp(a))
		p->f[k] = (struct rd_array){RD_F32, {1, {b->n}}, r->logp};
}

static int alloc(struct results *r, const struct rd_noise_in *in, const struct rd_sampling_args *a, struct rd_err *e)
{
	size_t n = (size_t)in->batch, row = in->dim * sizeof(float);

	*r = (struct results){.computed = calloc(n, row)};
	if (a->knots)
		r->rec.knots = calloc(n * (size_t)(a->knots - 1), row);
	if (a->error)
		r->rec.error = calloc(n, sizeof *r->rec.error);
	if (wants_logp(a)) {
		r->rec.logp = calloc(n, sizeof *r->rec.logp);
		r->logp = calloc(n, sizeof *r->logp);
	}
	if (!r->computed || (a->knots && !r->rec.knots) || (a->error && !r->rec.error) || (wants_logp(a) && (!r->rec.logp || !r->logp)))
		return rd_fail(e, RD_ENOMEM, "no memory for a batch of %lld", (long long)in->batch);
	return RD_OK;
}

static void release(struct results *r)
{
	free(r->computed);
	free(r->rec.knots);
	free(r->rec.error);
	free(r->rec.logp);
	free(r->logp);
}

/* Of all samples so far. */
struct totals {
	uint64_t n;
	double logp;
};

static void add_logp(struct totals *t, struct results *r, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		r->logp[i] = (float)r->rec.logp[i];
		t->logp += r->rec.logp[i];
	}
	t->n += (uint64_t)n;
}

/* The mean log-density, to the end map and to those who ask. */
static void sum_up(const struct totals *t, size_t dim, json_t *end)
{
	double mean = t->logp / (double)t->n, bits = -mean / ((double)dim * M_LN2);

	if (!t->n)
		return;
	if (!isfinite(mean)) {
		rd_warn("not every logp is a finite number");
		return;
	}
	json_object_set_new(end, "logp", json_real(mean));
	json_object_set_new(end, "bits_per_dim", json_real(bits));
	rd_info("mean logp %.6g nats, %.6g bits per dimension", mean, bits);
}

static int work_all(struct rd_sampling *s, struct rd_noise_in *in, struct rd_sink *out, const struct rd_sampling_args *a,
                    struct totals *t, struct rd_err *e)
{
	struct rd_noise_batch b;
	struct results r;
	struct rd_batch p;
	int rc = alloc(&r, in, a, e);

	while (!rc && (rc = rd_noise_next(in, &b, e)) > 0) {
		r.rec.first = b.first;
		rc = rd_sampler_run(s->sampler, b.n, b.noise, b.label, r.computed, &r.rec, e);
		if (!rc)
			rd_sampling_check(s, r.computed, b.first, b.n, in->dim);
		if (!rc && wants_logp(a))
			add_logp(t, &r, b.n);
		fill(&p, in, &b, &r, a);
		if (!rc)
			rc = rd_sink_write(out, &p, e);
		if (!rc)
			rd_progress_add((uint64_t)b.n);
	}
	release(&r);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_sampling s;
	struct rd_noise_in in;
	struct rd_stream head;
	struct totals totals = {0};
	struct rd_sink *out;
	struct rd_err e;
	json_t *end;

	rd_tool_init("denoise", usage, argv, &o.c);
	rd_sampling_init(&o.s);
	parse_opts(&o, argc, argv);
	if (rd_sampling_open(&s, &o.s, &o.c, false, &e) ||
	    rd_noise_stream(&in, o.in, o.s.reverse, &s.model, s.batch, &e) ||
	    describe(&head, &in, &o.s, &s, &e) || rd_sink_open(&out, o.c.out, rd_common_out_flags(&o.c), &head, &e))
		rd_die(&e);
	rd_progress_start(&o.c, "samples", (uint64_t)json_integer_value(json_object_get(head.meta, "count")));
	if (work_all(&s, &in, out, &o.s, &totals, &e)) {
		rd_sink_abort(out);
		rd_die(&e);
	}
	rd_progress_end();
	end = json_pack("{s:f}", "seconds", rd_progress_seconds());
	sum_up(&totals, in.dim, end);
	rd_sampling_end(&s, end);
	if (rd_sink_finish(out, end, &e))
		rd_die(&e);
	json_decref(end);
	rd_stream_free(&head);
	rd_noise_close(&in);
	rd_sampling_close(&s);
	return 0;
}
