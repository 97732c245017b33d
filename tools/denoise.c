/* Noise in, (noise, sample) pairs out: the end points of the model's own probability-flow ODE. */
#include <stdlib.h>

#include "tools/common/noise_in.h"
#include "tools/common/sampling.h"

static const char usage[] =
	"usage: denoise -m MODEL [options] [FRAMES] >PAIRS\n"
	"Reads noise frames (standard input by default) and integrates the model's ODE from each. Writes pairs: the noise as it\n"
	"came (data or reference), its label, the sample. With --reverse it reads data and integrates back to noise.\n"
	"\n"
	RD_SAMPLING_USAGE
	"      --reverse        from data (field sample of frames, archives, .npy, idx) to noise; the pairs are as ever\n"
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

enum { OPT_REVERSE = RD_OPT_TOOL };

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {RD_COMMON_LONG, RD_COMPUTE_LONG, RD_SAMPLING_LONG,
	                                      {"reverse", no_argument, 0, OPT_REVERSE}, {0, 0, 0, 0}};
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT RD_SAMPLING_SHORT, longs, NULL)) != -1)
		if (opt == OPT_REVERSE)
			o->s.reverse = o->reverse = true;
		else if (!rd_common_opt(&o->c, opt) && !rd_sampling_opt(&o->s, opt))
			rd_usage_error(NULL);
	if (argc - optind > 1)
		rd_usage_error("%s: one input is read", argv[optind + 1]);
	o->in = optind < argc ? argv[optind] : "-";
}

static int describe(struct rd_stream *out, const struct rd_noise_in *in, const struct rd_sampling *s, struct rd_err *e)
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
	return rc ? rc : rd_stream_add(out, "sample", e);
}

/* The arrays of a batch borrow: nothing here is freed through it. What was computed is the sample, or in reverse the noise. */
static void fill(struct rd_batch *p, const struct rd_noise_in *in, const struct rd_noise_batch *b, float *computed, bool reverse)
{
	void *given = (void *)(uintptr_t)b->noise;
	struct rd_shape s = {.nd = in->sample.nd + 1, .d = {b->n}};
	int k = 0;

	for (int i = 0; i < in->sample.nd; i++)
		s.d[i + 1] = in->sample.d[i];
	*p = (struct rd_batch){.first = b->first, .n = b->n};
	p->ref[k] = b->ref && !reverse;
	p->ref_seed[k] = b->ref_seed;
	p->f[k++] = (struct rd_array){RD_F32, s, reverse ? computed : given};
	if (rd_noise_has_labels(in))
		p->f[k++] = (struct rd_array){RD_I32, {1, {b->n}}, (void *)(uintptr_t)b->label};
	p->f[k] = (struct rd_array){RD_F32, s, reverse ? given : computed};
}

static int work_all(struct rd_sampling *s, struct rd_noise_in *in, struct rd_sink *out, bool reverse, struct rd_err *e)
{
	float *sample = calloc((size_t)in->batch, in->dim * sizeof *sample);
	struct rd_noise_batch b;
	struct rd_batch p;
	int rc;

	if (!sample)
		return rd_fail(e, RD_ENOMEM, "no memory for a batch of %lld", (long long)in->batch);
	while ((rc = rd_noise_next(in, &b, e)) > 0) {
		rc = rd_sampler_run(s->sampler, b.n, b.noise, b.label, sample, NULL, e);
		fill(&p, in, &b, sample, reverse);
		if (!rc)
			rc = rd_sink_write(out, &p, e);
		if (rc)
			break;
		rd_progress_add((uint64_t)b.n);
	}
	free(sample);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_sampling s;
	struct rd_noise_in in;
	struct rd_stream head;
	struct rd_sink *out;
	struct rd_err e;
	json_t *end;

	rd_tool_init("denoise", usage, &o.c);
	rd_sampling_init(&o.s);
	parse_opts(&o, argc, argv);
	if (rd_sampling_open(&s, &o.s, &o.c, false, &e) ||
	    rd_noise_stream(&in, o.in, o.reverse, &s.model.net.sample, s.batch, s.model.net.classes, &e) || describe(&head, &in, &s, &e) ||
	    rd_sink_open(&out, o.c.out, rd_common_out_flags(&o.c), &head, &e))
		rd_die(&e);
	rd_progress_start(&o.c, "samples", (uint64_t)json_integer_value(json_object_get(head.meta, "count")));
	if (work_all(&s, &in, out, o.reverse, &e)) {
		rd_sink_abort(out);
		rd_die(&e);
	}
	rd_progress_end();
	end = json_pack("{s:f}", "seconds", rd_progress_seconds());
	rd_sampling_end(&s, end);
	if (rd_sink_finish(out, end, &e))
		rd_die(&e);
	json_decref(end);
	rd_stream_free(&head);
	rd_noise_close(&in);
	rd_sampling_close(&s);
	return 0;
}
