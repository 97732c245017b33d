/* Pairs from frames into archives, and back; and what is in an archive: listed, verified, audited. */
#include <stdlib.h>
#include <string.h>

#include "formats/out.h"
#include "lib/data/audit.h"
#include "lib/data/pack.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: pairpack [-c CHUNK] [--shard-pairs N [--first-shard K] -o 'NAME-%06d.tar'] [--noise data|ref]\n"
	"                [--max-error E [--rejects FILE]] [FRAMES...] >TAR\n"
	"       pairpack -x [TAR...] >FRAMES\n"
	"       pairpack -t [-v] [TAR...]\n"
	"Packs streams of pairs (default standard input) into an archive, extracts archives as one stream, or tests them.\n"
	"\n"
	"  -c, --chunk CHUNK     pairs per chunk, default 256; 1: a pair per key, as some loaders want it\n"
	"      --shard-pairs N   pairs per archive; the output's name then has one %d or %06d for the number of the archive\n"
	"      --first-shard K   the number of the first archive, default 0\n"
	"      --noise data|ref  store noise (default), or the seed it comes from: half the size, for these tools only\n"
	"      --max-error E     leave out pairs whose field error, which denoise can record, is over E or not a number\n"
	"      --rejects FILE    what those were made from, as a stream for denoise: their noise, or data if it ran in reverse\n"
	"  -x, --extract         archives to frames\n"
	"  -t, --test            verify every byte, print what is there, and audit it: noise that is not standard normal\n"
	"                        or is there twice, NaN, noise and sample swapped, labels out of range; exit 3: corrupt,\n"
	"                        1: something found\n"
	"  -o, --output FILE     default standard output\n"
	"  -f, --force           write binary data to a terminal; replace archives of --shard-pairs that are there already\n"
	"  -j, --threads N       default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_SHARD = RD_OPT_TOOL, OPT_FIRST, OPT_NOISE, OPT_MAX_ERROR, OPT_REJECTS };

struct opts {
	struct rd_common c;
	struct rd_pack_opts p;
	bool extract, test;
	const char *const *in;
	int n_in;
};

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const char *const stdin_only[] = {"-"}, *const noise[] = {"data", "ref", NULL};
	static const struct option longs[] = {
		RD_COMMON_LONG, {"chunk", required_argument, 0, 'c'}, {"shard-pairs", required_argument, 0, OPT_SHARD},
		{"first-shard", required_argument, 0, OPT_FIRST},
		{"noise", required_argument, 0, OPT_NOISE}, {"max-error", required_argument, 0, OPT_MAX_ERROR},
		{"rejects", required_argument, 0, OPT_REJECTS}, {"extract", no_argument, 0, 'x'}, {"test", no_argument, 0, 't'},
		{0, 0, 0, 0},
	};
	bool packing = false, numbered = false;
	int opt;

	o->p.chunk = 256;
	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT "c:xt", longs, NULL)) != -1) {
		packing |= opt == 'c' || opt == OPT_SHARD || opt == OPT_FIRST || opt == OPT_NOISE || opt == OPT_MAX_ERROR || opt == OPT_REJECTS;
		switch (opt) {
		case 'c': o->p.chunk = rd_opt_int("--chunk", optarg, 1, 1 << 24); break;
		case 'x': o->extract = true; break;
		case 't': o->test = true; break;
		case OPT_SHARD: o->p.shard_pairs = rd_opt_int("--shard-pairs", optarg, 1, INT64_MAX); break;
		case OPT_FIRST:
			numbered = true;
			o->p.first_shard = rd_opt_int("--first-shard", optarg, 0, INT64_MAX / 2);
			break;
		case OPT_NOISE: o->p.ref = rd_opt_choice("--noise", optarg, noise) == 1; break;
		case OPT_MAX_ERROR:
			o->p.limited = true;
			o->p.max_error = rd_opt_num("--max-error", optarg, 0, 1e30);
			break;
		case OPT_REJECTS: o->p.rejects = optarg; break;
		default:
			if (!rd_common_opt(&o->c, opt))
				rd_usage_error(NULL);
		}
	}
	if (o->extract + o->test + packing > 1)
		rd_usage_error("-x, -t and the options of packing exclude one another");
	if (numbered && !o->p.shard_pairs)
		rd_usage_error("--first-shard: of the archives that --shard-pairs makes");
	if (o->p.rejects && !o->p.limited)
		rd_usage_error("--rejects: nothing is rejected without --max-error");
	if (o->p.rejects && !strcmp(o->p.rejects, "-") && (!o->c.out || !strcmp(o->c.out, "-")))
		rd_usage_error("--rejects -: the archive is on standard output; give it a name with -o");
	o->in = optind < argc ? (const char *const *)argv + optind : stdin_only;
	o->n_in = optind < argc ? argc - optind : 1;
	o->p.out = o->c.out;
	o->p.flags = rd_common_out_flags(&o->c);
}

/* Told without being asked: pairs that are missed later are better known of now. */
static void tell_rejected(const struct opts *o, uint64_t rejected, uint64_t n)
{
	const char *in = !o->p.rejects ? "not kept" : strcmp(o->p.rejects, "-") ? "in " : "on standard output";

	if (rejected)
		rd_tell("%llu of %llu pairs left out, their error over %g or not a number; what they were made from is %s%s",
		        (unsigned long long)rejected, (unsigned long long)n, o->p.max_error, in,
		        !o->p.rejects ? " (--rejects)" : strcmp(o->p.rejects, "-") ? o->p.rejects : "");
}

static int pack(const struct opts *o, struct rd_source *src, struct rd_err *e)
{
	const struct rd_batch *b;
	struct rd_pack *p;
	uint64_t n = 0, rejected;
	int rc = rd_pack_open(&p, &o->p, rd_source_stream(src), e);

	if (rc)
		return e->code == RD_EINPUT ? rd_context(e, "%s", rd_source_name(src)) : rc;
	while ((rc = rd_source_next(src, &b, e)) > 0) {
		rc = rd_pack_add(p, b, e);
		if (rc == RD_EINPUT)
			rc = rd_context(e, "%s", rd_source_name(src));
		if (rc)
			break;
		n += (uint64_t)b->n;
		rd_progress_add((uint64_t)b->n);
	}
	if (rc) {
		rd_pack_abort(p);
		return rc;
	}
	rejected = rd_pack_rejected(p);
	rc = rd_pack_finish(p, e);
	if (!rc)
		tell_rejected(o, rejected, n);
	return rc;
}

static int extract(const struct opts *o, struct rd_source *src, struct rd_err *e)
{
	const struct rd_batch *b;
	struct rd_sink *k;
	int rc = rd_sink_open(&k, o->c.out, o->p.flags, rd_source_stream(src), e);

	if (rc)
		return rc;
	while ((rc = rd_source_next(src, &b, e)) > 0) {
		rc = rd_sink_write(k, b, e);
		if (rc)
			break;
		rd_progress_add((uint64_t)b->n);
	}
	if (!rc)
		return rd_sink_finish(k, NULL, e);
	rd_sink_abort(k);
	return rc;
}

/* --- -t ----------------------------------------------------------------------------------------------------------- */

/* What the batches of one input held. */
struct listing {
	uint64_t batches, pairs, first, last;
};

static int list_batch(const struct opts *o, struct listing *l, struct rd_out *out, const struct rd_batch *b,
                      struct rd_err *e)
{
	if (!l->batches++)
		l->first = b->first;
	l->last = b->first + (uint64_t)b->n - 1;
	l->pairs += (uint64_t)b->n;
	rd_progress_add((uint64_t)b->n);
	if (!o->c.verbose)
		return RD_OK;
	return rd_out_printf(out, e, "  %08llu %lld\n", (unsigned long long)b->first, (long long)b->n);
}

/* "pairs.tar: 1000 pairs in 4 chunks, indices 0 to 999: noise [3, 32, 32], label, sample [3, 32, 32]" */
static int list_input(const struct listing *l, struct rd_out *out, struct rd_source *src, struct rd_err *e)
{
	const struct rd_stream *s = rd_source_stream(src);
	const json_t *limit = json_object_get(s->meta, "max_error");
	struct rd_shape shape;
	uint64_t rejected;
	char text[128];
	int rc;

	rc = rd_out_printf(out, e, "%s: %llu pair%s in %llu chunk%s", rd_source_name(src), (unsigned long long)l->pairs,
	                   l->pairs == 1 ? "" : "s", (unsigned long long)l->batches, l->batches == 1 ? "" : "s");
	if (!rc && l->pairs)
		rc = rd_out_printf(out, e, ", indices %llu to %llu", (unsigned long long)l->first, (unsigned long long)l->last);
	for (int k = 0; k < s->n_fields && !rc; k++)
		if (rd_source_sample_shape(src, k, &shape))
			rc = rd_out_printf(out, e, "%s %s%s%s", k ? "," : ":", s->field[k], shape.nd ? " " : "",
			                   shape.nd ? rd_shape_str(&shape, text, sizeof text) : "");
	if (!rc && rd_source_rejected(src, &rejected))
		rc = rd_out_printf(out, e, "; %llu rejected", (unsigned long long)rejected);
	if (!rc && rd_source_rejected(src, &rejected) && json_is_number(limit)) /* in an archive of several there may be more than one */
		rc = rd_out_printf(out, e, ", error over %g", json_number_value(limit));
	return rc ? rc : rd_out_printf(out, e, "\n");
}

static int test_input(const struct opts *o, const char *const *path, struct rd_audit *a, struct rd_out *out,
                      struct rd_err *e)
{
	struct listing l = {0};
	const struct rd_batch *b;
	struct rd_source *src;
	int rc = rd_source_open(&src, path, 1, "pairs", e);

	if (rc)
		return rc;
	while ((rc = rd_source_next(src, &b, e)) > 0) {
		rc = rd_audit_add(a, rd_source_stream(src), b, e);
		if (!rc)
			rc = list_batch(o, &l, out, b, e);
		if (rc)
			break;
	}
	if (!rc)
		rc = list_input(&l, out, src, e);
	rd_source_close(src);
	return rc;
}

/* Every input by itself, then the audit of all of them together. *findings: how many. */
static int test(const struct opts *o, int *findings, struct rd_err *e)
{
	struct rd_audit_report r;
	struct rd_audit *a;
	struct rd_out *out;
	int rc = rd_out_open(&out, o->c.out, 0, e);

	if (rc)
		return rc;
	rc = rd_audit_new(&a, e);
	for (int i = 0; i < o->n_in && !rc; i++)
		rc = test_input(o, o->in + i, a, out, e);
	if (!rc) {
		rd_audit_finish(a, &r);
		*findings = r.n_findings;
		rc = rd_audit_print(&r, out, e);
	}
	rd_audit_free(a);
	if (!rc)
		return rd_out_finish(out, e);
	rd_out_abort(out);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_source *src = NULL;
	struct rd_err e;
	int findings = 0;

	rd_tool_init("pairpack", usage, argv, &o.c);
	parse_opts(&o, argc, argv);
	rd_progress_start(&o.c, "pairs", 0);
	if (!o.test && rd_source_open(&src, o.in, o.n_in, "pairs", &e))
		rd_die(&e);
	if (o.test ? test(&o, &findings, &e) : o.extract ? extract(&o, src, &e) : pack(&o, src, &e))
		rd_die(&e);
	rd_progress_end();
	rd_source_close(src);
	return findings ? 1 : 0;
}
