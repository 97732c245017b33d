/* Distances between two sets of samples. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/out.h"
#include "lib/classify/features.h"
#include "lib/measure/figures.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: samplecmp [options] A B\n"
	"Distances between the samples of A and of B (frames, archives, .npy, idx, folders of .png; one may be -), each with a bootstrap\n"
	"standard error: a line \"metric value error\" each.\n"
	"\n"
	"      --metric LIST    names with commas, or all; default the first four, where they are defined\n"
	"                       sliced: sliced Wasserstein distance of order 2\n"
	"                       energy: energy distance, 2E|a-b| - E|a-a'| - E|b-b'|, unbiased\n"
	"                       mmd:    squared maximum mean discrepancy, Gaussian kernel of median width, unbiased\n"
	"                       paired: mean squared difference of sample i and sample i (per number), for equal counts, where\n"
	"                               seeds, indices and labels, as far as they are known, are the same\n"
	"                       frechet: between Gaussians with the means and covariances of A and B (FID of features)\n"
	"                       kid:    squared maximum mean discrepancy, kernel (x.y/d + 1)^3, unbiased\n"
	"                       precision, recall: the share of A that lies among B; of B that lies among A\n"
	"                       density, coverage: how densely A lies in B; the share of B that has an A near\n"
	"      --features DIR   compare features that this classifier (classtrain) gives the samples: metrics are feature_NAME\n"
	"      --classes        with --features: the share of each input's samples that it recognises as what their labels say,\n"
	"                       recognised_a and recognised_b\n"
	"  -d, --device D       with --features: auto (default), cpu or cuda[:N]\n"
	"  -b, --batch N        with --features: images at once, default 256\n"
	"      --precision P    with --features: f32 (default); tf32, bf16 (on CUDA alone), f64 (on the CPU)\n"
	"      --json           one object\n"
	"      --tsv            a row of names and a row of values, \"-\" where one is not defined\n"
	"      --name LABEL     first column of the row, default A's name\n"
	"  -n, --field FIELD    what is compared, default sample\n"
	"      --max N          samples of each set at most, default 10000 for sliced and frechet, else 2000\n"
	"      --projections N  directions of sliced, default 128\n"
	"      --components N   samples of more numbers: frechet is of that many principal components of B, default 64\n"
	"      --neighbours K   of precision, recall, density and coverage, default 5\n"
	"      --bootstrap N    resamples behind an error, default 100\n"
	"  -s, --seed S         of directions, subsets and resamples, default 0\n"
	"  -o, --output FILE    default standard output\n"
	"  -j, --threads N      default all processors; the result does not depend on it\n"
	"  -f, --force   -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum {
	OPT_METRIC = RD_OPT_TOOL, OPT_JSON, OPT_TSV, OPT_NAME, OPT_MAX, OPT_PROJECTIONS, OPT_COMPONENTS, OPT_NEIGHBOURS,
	OPT_BOOTSTRAP, OPT_FEATURES, OPT_CLASSES
};

struct opts {
	struct rd_common c;
	struct rd_metrics_opts m;
	bool must_pair; /* paired was asked for by name */
	bool json, tsv;
	bool classes;
	const char *features;  /* the classifier's folder; NULL: samples as they are */
	const char *computing; /* an option that only features make use of; NULL: none was given */
	const char *name, *field, *a, *b;
};

struct result {
	struct rd_metrics m;
	char hash[17];               /* of the classifier's weights */
	struct rd_agreement with[2]; /* labels of a and of b */
};

/* "sliced,mmd", "all" */
static void choose(struct opts *o, const char *list)
{
	char word[16];
	size_t n;
	int k;

	o->must_pair = false;
	for (k = 0; k < RD_N_METRICS; k++)
		o->m.want[k] = !strcmp(list, "all");
	if (!strcmp(list, "all"))
		return;
	for (;; list += n + 1) {
		n = strcspn(list, ",");
		if (n >= sizeof word)
			rd_usage_error("--metric: no metric is called %s", list);
		memcpy(word, list, n);
		word[n] = '\0';
		k = rd_opt_choice("--metric", word, rd_metric_names);
		o->m.want[k] = true;
		o->must_pair |= k == RD_METRIC_PAIRED;
		if (!list[n])
			break;
	}
}

/* Options that are those of some metrics; their defaults. */
static void check_metrics(struct rd_metrics_opts *m)
{
	if (m->projections && !m->want[RD_METRIC_SLICED])
		rd_usage_error("--projections: only sliced has them");
	if (m->components && !m->want[RD_METRIC_FRECHET])
		rd_usage_error("--components: only frechet has them");
	if (m->neighbours && !m->want[RD_METRIC_PRECISION] && !m->want[RD_METRIC_RECALL] && !m->want[RD_METRIC_DENSITY] &&
	    !m->want[RD_METRIC_COVERAGE])
		rd_usage_error("--neighbours: only precision, recall, density and coverage have them");
	if (!m->projections)
		m->projections = 128;
	if (!m->components)
		m->components = 64;
	if (!m->neighbours)
		m->neighbours = 5;
}

static void check_opts(struct opts *o, int argc, char **argv)
{
	if (argc - optind != 2)
		rd_usage_error("two inputs are compared, %d given", argc - optind);
	o->a = argv[optind];
	o->b = argv[optind + 1];
	if (!strcmp(o->a, "-") && !strcmp(o->b, "-"))
		rd_usage_error("standard input cannot be both");
	if (o->json && o->tsv)
		rd_usage_error("--json and --tsv: one of them");
	if (!o->features && (o->classes || o->computing))
		rd_usage_error("%s: only with --features", o->classes ? "--classes" : o->computing);
	if (o->name && !o->json && !o->tsv)
		rd_usage_error("--name: of a row or an object, which --tsv or --json ask for");
	if (!o->name)
		o->name = o->a;
	if (o->tsv && strpbrk(o->name, "\t\n"))
		rd_usage_error("--name: tabs and newlines have no place in a table");
}

static void common_opt(struct opts *o, int opt)
{
	if (!rd_common_opt(&o->c, opt))
		rd_usage_error(NULL); /* getopt has said what */
	switch (opt) {
	case 'd': o->computing = "--device"; break;
	case 'b': o->computing = "--batch"; break;
	case RD_OPT_PRECISION: o->computing = "--precision"; break;
	default: break;
	}
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG, RD_COMPUTE_LONG,
		{"metric", required_argument, 0, OPT_METRIC}, {"json", no_argument, 0, OPT_JSON},
		{"tsv", no_argument, 0, OPT_TSV}, {"name", required_argument, 0, OPT_NAME},
		{"field", required_argument, 0, 'n'}, {"max", required_argument, 0, OPT_MAX},
		{"projections", required_argument, 0, OPT_PROJECTIONS}, {"bootstrap", required_argument, 0, OPT_BOOTSTRAP},
		{"components", required_argument, 0, OPT_COMPONENTS}, {"neighbours", required_argument, 0, OPT_NEIGHBOURS},
		{"seed", required_argument, 0, 's'}, {"features", required_argument, 0, OPT_FEATURES},
		{"classes", no_argument, 0, OPT_CLASSES}, {0, 0, 0, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT RD_COMPUTE_SHORT "n:s:", longs, NULL)) != -1) {
		switch (opt) {
		case OPT_METRIC: choose(o, optarg); break;
		case OPT_JSON: o->json = true; break;
		case OPT_TSV: o->tsv = true; break;
		case OPT_NAME: o->name = optarg; break;
		case 'n': o->field = optarg; break;
		case OPT_MAX: o->m.max = rd_opt_int("--max", optarg, 2, 1 << 24); break;
		case OPT_PROJECTIONS: o->m.projections = (int)rd_opt_int("--projections", optarg, 1, 1 << 16); break;
		case OPT_COMPONENTS: o->m.components = (int)rd_opt_int("--components", optarg, 1, 1 << 12); break;
		case OPT_NEIGHBOURS: o->m.neighbours = (int)rd_opt_int("--neighbours", optarg, 1, 1 << 10); break;
		case OPT_BOOTSTRAP: o->m.bootstrap = (int)rd_opt_int("--bootstrap", optarg, 2, 1 << 16); break;
		case OPT_FEATURES: o->features = optarg; break;
		case OPT_CLASSES: o->classes = true; break;
		case 's': o->m.seed = rd_opt_u64("--seed", optarg); break;
		default: common_opt(o, opt);
		}
	}
	check_opts(o, argc, argv);
	check_metrics(&o->m);
}

/* The samples of both become the features that the classifier on the device gives them. */
static int classify(const struct opts *o, const struct rd_classifier *c, struct rd_points *p[2], struct result *r,
                    struct rd_err *e)
{
	const int64_t batch = o->c.batch ? o->c.batch : 256;
	struct rd_classifier_run *run;
	const struct rd_backend *be;
	struct rd_dev *dev;
	int rc = rd_common_device(&o->c, &be, &dev, e);

	if (rc)
		return rc;
	rc = rd_classifier_open(&run, c, be, dev, batch, e);
	rd_progress_start(&o->c, "images", (uint64_t)(p[0]->n + p[1]->n));
	for (int i = 0; i < 2 && !rc; i++)
		rc = rd_points_classify(p[i], c, run, batch, rd_progress_add, o->classes ? &r->with[i] : NULL, e);
	rd_progress_end();
	rd_classifier_close(run);
	be->close(dev);
	return rc;
}

static int to_features(const struct opts *o, struct rd_points *a, struct rd_points *b, struct result *r, struct rd_err *e)
{
	struct rd_points *p[2] = {a, b};
	struct rd_classifier c;
	int rc;

	if (o->classes && !a->label && !b->label)
		return rd_fail(e, RD_EINPUT, "--classes: neither %s nor %s has a field `label`", o->a, o->b);
	rc = rd_classifier_load(&c, o->features, e);
	if (rc)
		return rc;
	for (int i = 0; i < 2 && !rc; i++)
		if (rd_classifier_fits(&c, p[i], o->classes, e))
			rc = rd_context(e, "%s", i ? o->b : o->a);
	if (!rc)
		rc = classify(o, &c, p, r, e);
	strcpy(r->hash, c.hash);
	rd_classifier_free(&c);
	return rc;
}

/* paired compares what came of the same noise; a number for anything else would look like one. */
static int check_pairs(const struct opts *o, const struct rd_points *a, const struct rd_points *b, bool *pairs, struct rd_err *e)
{
	char why[128];

	if (o->must_pair && a->n != b->n)
		return rd_fail(e, RD_EINPUT, "paired: %s has %" PRId64 " samples, %s has %" PRId64, o->a, a->n, o->b, b->n);
	*pairs = !o->m.want[RD_METRIC_PAIRED] || a->n != b->n || rd_points_may_pair(a, b, why, sizeof why);
	if (*pairs)
		return RD_OK;
	if (o->must_pair)
		return rd_fail(e, RD_EINPUT, "paired: %s, %s: %s", o->a, o->b, why);
	rd_tell("paired is left out: %s, %s: %s", o->a, o->b, why);
	return RD_OK;
}

/* A set of n samples has n - 1 components at most. */
static void warn_of_components(const struct opts *o, const struct rd_metrics *m, size_t d)
{
	const size_t wanted = (size_t)o->m.components < d ? (size_t)o->m.components : d;

	if (m->m[RD_METRIC_FRECHET].there && m->dimensions < wanted)
		rd_warn("frechet: %s has %zu principal components, not %zu: what lies outside them does not count", o->b, m->dimensions, wanted);
}

static int compare(const struct opts *o, struct result *r, struct rd_err *e)
{
	struct rd_points a, b = {0};
	bool pairs = true;
	int rc;

	rc = rd_points_load(&a, &o->a, 1, o->field, e);
	if (!rc)
		rc = rd_points_load(&b, &o->b, 1, o->field, e);
	if (!rc)
		rc = check_pairs(o, &a, &b, &pairs, e);
	if (!rc && o->features)
		rc = to_features(o, &a, &b, r, e);
	if (!rc && rd_metrics_compute(&a, &b, &o->m, &r->m, e))
		rc = rd_context(e, "%s, %s", o->a, o->b);
	r->m.m[RD_METRIC_PAIRED].there &= pairs;
	if (!rc)
		warn_of_components(o, &r->m, a.d);
	if (!rc)
		rd_info("%" PRId64 " and %" PRId64 " %s of %zu numbers", a.n, b.n, o->features ? "features" : "samples", a.d);
	rd_points_free(&a);
	rd_points_free(&b);
	return rc;
}

/* The figures of r in f; how many. */
static int figures(const struct opts *o, const struct result *r, struct rd_figure *f)
{
	int n = rd_metrics_figures(&r->m, &o->m, o->features ? "feature_" : "", f);

	for (int i = 0; i < 2 && o->classes; i++) {
		const struct rd_agreement *a = &r->with[i];

		f[n] = (struct rd_figure){.there = a->there, .value = a->share, .se = a->se};
		snprintf(f[n++].name, sizeof f->name, "recognised_%c", 'a' + i);
	}
	return n;
}

static int write_json(struct rd_out *out, const struct opts *o, const struct result *r, const struct rd_figure *f, int n,
                      struct rd_err *e)
{
	json_t *all = json_pack("{s:s, s:s, s:s, s:s}", "name", o->name, "a", o->a, "b", o->b, "field", o->field);
	int rc;

	if (o->features)
		json_object_set_new(all, "features", json_pack("{s:s, s:s}", "classifier", o->features, "hash", r->hash));
	rc = rd_figures_json(out, all, f, n, e);
	json_decref(all);
	return rc;
}

static int write_all(struct rd_out *out, const struct opts *o, const struct result *r, struct rd_err *e)
{
	struct rd_figure f[RD_N_METRICS + 2];
	int n = figures(o, r, f), rc;

	rc = o->json ? write_json(out, o, r, f, n, e) : o->tsv ? rd_figures_tsv(out, o->name, f, n, e) : rd_figures_text(out, f, n, e);
	rd_figures_free(f, n);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {
		.m = {.want = {true, true, true, true}, .bootstrap = 100},
		.field = "sample",
	};
	struct result r = {0};
	struct rd_out *out;
	struct rd_err e;

	rd_tool_init("samplecmp", usage, argv, &o.c);
	parse_opts(&o, argc, argv);
	if (rd_out_open(&out, o.c.out, 0, &e))
		rd_die(&e);
	if (compare(&o, &r, &e) || write_all(out, &o, &r, &e)) {
		rd_out_abort(out);
		rd_die(&e);
	}
	if (rd_out_finish(out, &e))
		rd_die(&e);
	return 0;
}
