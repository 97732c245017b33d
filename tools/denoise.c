/* Noise in, (noise, sample) pairs out: the end points of the model's own probability-flow ODE. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/noise_in.h"
#include "tools/common/sampling.h"

static const char usage[] =
	"usage: denoise -m MODEL [options] [FRAMES] >PAIRS\n"
	"Reads noise frames (standard input by default) and integrates the model's ODE from each. Writes pairs: the noise as it\n"
	"came (data or reference), its label, the sample. With --reverse it reads data and integrates back to noise.\n"
	"\n"
	RD_SAMPLING_USAGE
	"      --reverse        from data (field sample of frames, archives, .npy, idx) to noise; the pairs are as ever\n"
	"      --likelihood T   with --reverse: the log-density of each sample too, a field logp in nats; traces of the Jacobian\n"
	"                       T: exact, or hutchinson[:PROBES] (default 1) for an unbiased estimate; the solver is rk4 (the\n"
	"                       default) or heun\n"
	"      --likelihood-seed S   of hutchinson's probes, default 0\n"
	"      --clip[=R]       clamp x0 to +-R at every step (default R: the config's); off unless asked for, it changes the ODE\n"
	"      --no-clip        do not; the default\n"
	"  -b, --batch N        images computed at once, default 64\n"
	"  -d, --device D       auto (default), cpu or cuda[:N]\n"
	"      --precision P    f32 (default), tf32 or bf16 (on CUDA alone)\n"
	"  -o, --output FILE    default standard output\n"
	"  -f, --force          write binary data to a terminal\n"
	"  -j, --threads N      default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

struct opts {
	struct rd_common c;
	struct rd_sampling_args s;
	const char *in;
	bool reverse;
};

enum { OPT_REVERSE = RD_OPT_TOOL, OPT_LIKELIHOOD, OPT_LIKELIHOOD_SEED };

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
	                                      {"reverse", no_argument, 0, OPT_REVERSE},
	                                      {"likelihood", required_argument, 0, OPT_LIKELIHOOD},
	                                      {"likelihood-seed", required_argument, 0, OPT_LIKELIHOOD_SEED}, {0, 0, 0, 0}};
	bool seed = false;
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT RD_SAMPLING_SHORT, longs, NULL)) != -1)
		if (opt == OPT_REVERSE)
			o->s.reverse = o->reverse = true;
		else if (opt == OPT_LIKELIHOOD)
			parse_likelihood(&o->s.trace, optarg);
		else if (opt == OPT_LIKELIHOOD_SEED) {
			o->s.trace.seed = (uint64_t)rd_opt_int("--likelihood-seed", optarg, 0, INT64_MAX);
			seed = true;
		} else if (!rd_common_opt(&o->c, opt) && !rd_sampling_opt(&o->s, opt))
			rd_usage_error(NULL);
	if (argc - optind > 1)
		rd_usage_error("%s: one input is read", argv[optind + 1]);
	if (o->s.trace.kind != RD_TRACE_NONE && !o->reverse)
		rd_usage_error("--likelihood is that of data, which --reverse reads");
	if (seed && o->s.trace.kind != RD_TRACE_HUTCHINSON)
		rd_usage_error("--likelihood-seed is that of --likelihood hutchinson");
	o->in = optind < argc ? argv[optind] : "-";
}

static int describe(struct rd_stream *out, const struct rd_noise_in *in, const struct rd_sampling *s, bool logp, struct rd_err *e)
{
	json_t *meta = json_deep_copy(rd_source_stream(in->src)->meta);
	int rc;

	rd_model_describe(&s->model, meta);
	rd_sampler_describe(s->sampler, meta);
	rd_meta_history(meta, NULL);
	rd_stream_init(out, "pairs", meta);
	rc = rd_stream_add(out, "noise", e);
	if (!rc && rd_noise_has_labels(in))
		rc = rd_stream_add(out, "label", e);
	if (!rc)
		rc = rd_stream_add(out, "sample", e);
	return rc || !logp ? rc : rd_stream_add(out, "logp", e);
}

/* What one batch after another needs. */
struct job {
	struct rd_sampling *s;
	struct rd_noise_in *in;
	struct rd_sink *out;
	bool reverse;
	float *computed; /* [batch, dim]: the sample, or in reverse the noise */
	double *logp;    /* [batch]; NULL: not wanted */
	float *logp_f32;
	double logp_sum;
	uint64_t n;      /* samples so far */
};

static int alloc_job(struct job *j, bool logp, struct rd_err *e)
{
	size_t n = (size_t)j->in->batch;

	j->computed = calloc(n, j->in->dim * sizeof *j->computed);
	j->logp = logp ? calloc(n, sizeof *j->logp) : NULL;
	j->logp_f32 = logp ? calloc(n, sizeof *j->logp_f32) : NULL;
	if (j->computed && (!logp || (j->logp && j->logp_f32)))
		return RD_OK;
	return rd_fail(e, RD_ENOMEM, "no memory for a batch of %zu", n);
}

/* The arrays of a batch borrow: nothing here is freed through it. */
static void fill(struct rd_batch *p, const struct job *j, const struct rd_noise_batch *b)
{
	void *given = (void *)(uintptr_t)b->noise;
	struct rd_shape s = {.nd = j->in->sample.nd + 1, .d = {b->n}};
	int k = 0;

	for (int i = 0; i < j->in->sample.nd; i++)
		s.d[i + 1] = j->in->sample.d[i];
	*p = (struct rd_batch){.first = b->first, .n = b->n};
	p->ref[k] = b->ref && !j->reverse;
	p->ref_seed[k] = b->ref_seed;
	p->f[k++] = (struct rd_array){RD_F32, s, j->reverse ? j->computed : given};
	if (rd_noise_has_labels(j->in))
		p->f[k++] = (struct rd_array){RD_I32, {1, {b->n}}, (void *)(uintptr_t)b->label};
	p->f[k++] = (struct rd_array){RD_F32, s, j->reverse ? given : j->computed};
	if (j->logp)
		p->f[k] = (struct rd_array){RD_F32, {1, {b->n}}, j->logp_f32};
}

static int work(struct job *j, const struct rd_noise_batch *b, struct rd_err *e)
{
	struct rd_batch p;
	int rc;

	if (!j->logp)
		rc = rd_sampler_run(j->s->sampler, b->n, b->noise, b->label, j->computed, NULL, e);
	else
		rc = rd_sampler_likelihood(j->s->sampler, b->first, b->n, b->noise, b->label, j->computed, j->logp, e);
	for (int64_t i = 0; i < b->n && j->logp && !rc; i++) {
		j->logp_sum += j->logp[i];
		j->logp_f32[i] = (float)j->logp[i];
	}
	j->n += (uint64_t)b->n;
	fill(&p, j, b);
	return rc ? rc : rd_sink_write(j->out, &p, e);
}

static int work_all(struct job *j, struct rd_err *e)
{
	struct rd_noise_batch b;
	int rc;

	while ((rc = rd_noise_next(j->in, &b, e)) > 0) {
		rc = work(j, &b, e);
		if (rc)
			break;
		rd_progress_add((uint64_t)b.n);
	}
	return rc;
}

/* The mean log-density, to the end map and to those who ask. */
static void sum_up(const struct job *j, json_t *end)
{
	double mean = j->logp_sum / (double)j->n, bits = -mean / ((double)j->in->dim * M_LN2);

	if (j->n && !isfinite(mean))
		rd_warn("warning: not every logp is a finite number");
	if (!j->n || !isfinite(mean))
		return;
	json_object_set_new(end, "logp", json_real(mean));
	json_object_set_new(end, "bits_per_dim", json_real(bits));
	rd_info("mean logp %.6g nats, %.6g bits per dimension", mean, bits);
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_sampling s;
	struct rd_noise_in in;
	struct job job = {.s = &s, .in = &in};
	struct rd_stream head;
	struct rd_err e;
	json_t *end;

	rd_tool_init("denoise", usage, &o.c);
	rd_sampling_init(&o.s);
	parse_opts(&o, argc, argv);
	job.reverse = o.reverse;
	if (rd_sampling_open(&s, &o.s, &o.c, false, &e) ||
	    rd_noise_stream(&in, o.in, o.reverse, &s.model.net.sample, s.batch, s.model.net.classes, &e) ||
	    describe(&head, &in, &s, o.s.trace.kind != RD_TRACE_NONE, &e) ||
	    alloc_job(&job, o.s.trace.kind != RD_TRACE_NONE, &e) ||
	    rd_sink_open(&job.out, o.c.out, rd_common_out_flags(&o.c), &head, &e))
		rd_die(&e);
	rd_progress_start(&o.c, "samples", (uint64_t)json_integer_value(json_object_get(head.meta, "count")));
	if (work_all(&job, &e)) {
		rd_sink_abort(job.out);
		rd_die(&e);
	}
	rd_progress_end();
	end = json_pack("{s:f}", "seconds", rd_progress_seconds());
	if (job.logp)
		sum_up(&job, end);
	if (rd_sink_finish(job.out, end, &e))
		rd_die(&e);
	json_decref(end);
	free(job.computed);
	free(job.logp);
	free(job.logp_f32);
	rd_stream_free(&head);
	rd_noise_close(&in);
	rd_sampling_close(&s);
	return 0;
}
