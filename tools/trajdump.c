/* Trajectories of a sampler as numbers and pictures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/measure/trajectory.h"
#include "lib/measure/trajplot.h"
#include "lib/measure/trajreport.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: trajdump [--csv FILE] [--json FILE] [--tsv FILE] [--svg FILE] [options] [FRAMES]\n"
	"Reads trajectories (odesample --trajectory; default standard input) and writes what is asked for; FILE may be -.\n"
	"With none of them, the JSON goes to standard output.\n"
	"\n"
	"      --csv FILE           a row per sample and node\n"
	"      --json FILE          first-order defect, straightness, curvature and one-step error over the samples\n"
	"      --tsv FILE           their means as a line of a table\n"
	"      --name NAME          the line's name; default: the input's\n"
	"      --svg FILE           the trajectories as a picture\n"
	"      --coords x|alpha|sigma  what the picture shows: x, x/alpha or x/sigma; default x\n"
	"      --max-plot N         trajectories in the picture at most, default 200\n"
	"  -o, --output FILE        the JSON's place when no --json is given\n"
	"  -f, --force   -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_CSV = RD_OPT_TOOL, OPT_JSON, OPT_TSV, OPT_SVG, OPT_NAME, OPT_COORDS, OPT_MAX_PLOT };

struct opts {
	struct rd_common c;
	const char *csv, *json, *tsv, *svg; /* NULL: not wanted */
	const char *input, *name;
	enum rd_traj_coords coords;
	size_t max_plot;
};

struct job {
	struct rd_source *in;
	const json_t *meta;
	int x, x0, eps; /* fields */
	struct rd_traj_grid grid;
	struct rd_traj_stats stats;
	struct rd_trajplot *plot;
	struct rd_out *csv, *json, *tsv, *svg; /* NULL: not wanted, or done */
	size_t dim; /* 0: no batch seen yet */
};

static bool to_stdout(const char *path)
{
	return path && !strcmp(path, "-");
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		RD_COMMON_LONG,
		{ "csv", required_argument, 0, OPT_CSV }, { "json", required_argument, 0, OPT_JSON },
		{ "tsv", required_argument, 0, OPT_TSV }, { "name", required_argument, 0, OPT_NAME },
		{ "svg", required_argument, 0, OPT_SVG }, { "coords", required_argument, 0, OPT_COORDS },
		{ "max-plot", required_argument, 0, OPT_MAX_PLOT }, { 0, 0, 0, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT, longs, NULL)) != -1) {
		switch (opt) {
		case OPT_CSV: o->csv = optarg; break;
		case OPT_JSON: o->json = optarg; break;
		case OPT_TSV: o->tsv = optarg; break;
		case OPT_NAME: o->name = optarg; break;
		case OPT_SVG: o->svg = optarg; break;
		case OPT_COORDS: o->coords = (enum rd_traj_coords)rd_opt_choice("--coords", optarg, rd_traj_coords_names); break;
		case OPT_MAX_PLOT: o->max_plot = (size_t)rd_opt_int("--max-plot", optarg, 1, 100000); break;
		default:
			if (!rd_common_opt(&o->c, opt))
				rd_usage_error("unknown option");
		}
	}
	if (argc - optind > 1)
		rd_usage_error("%s: one input is read", argv[optind + 1]);
	o->input = optind < argc ? argv[optind] : "-";
	if (o->c.out && o->json)
		rd_usage_error("-o and --json both say where the JSON goes");
	if (o->c.out || (!o->csv && !o->json && !o->tsv && !o->svg))
		o->json = o->c.out ? o->c.out : "-";
	if (to_stdout(o->csv) + to_stdout(o->json) + to_stdout(o->tsv) + to_stdout(o->svg) > 1)
		rd_usage_error("only one output fits standard output");
}

static int open_out(struct rd_out **out, const char *path, struct rd_err *e)
{
	return path ? rd_out_open(out, path, 0, e) : RD_OK;
}

/* The input, what it declares, and the outputs. */
static int open_all(struct job *j, const struct opts *o, struct rd_err *e)
{
	const struct rd_stream *s;
	int rc = rd_source_open(&j->in, &o->input, 1, "trajectory", e);

	if (rc)
		return rc;
	s = rd_source_stream(j->in);
	j->meta = s->meta;
	j->x = rd_stream_field(s, "x");
	j->x0 = rd_stream_field(s, "x0");
	j->eps = rd_stream_field(s, "eps");
	if (j->x < 0 || j->x0 < 0 || j->eps < 0)
		return rd_fail(e, RD_EINPUT, "%s: has no field %s, which a trajectory has", rd_source_name(j->in),
		               j->x < 0 ? "x" : j->x0 < 0 ? "x0" : "eps");
	rc = rd_traj_grid_parse(&j->grid, j->meta, e);
	if (rc)
		return rd_context(e, "%s", rd_source_name(j->in));
	if (o->svg)
		rc = rd_trajplot_new(&j->plot, &j->grid, o->coords, o->max_plot, e);
	if (!rc)
		rc = open_out(&j->csv, o->csv, e);
	if (!rc)
		rc = open_out(&j->json, o->json, e);
	if (!rc)
		rc = open_out(&j->tsv, o->tsv, e);
	return rc ? rc : open_out(&j->svg, o->svg, e);
}

/* Field f has n samples of `nodes` states each, of the size that the first batch had. */
static int check_field(struct job *j, const struct rd_batch *b, int f, int nodes, struct rd_err *e)
{
	const struct rd_shape *s = &b->f[f].shape;
	char text[160];
	size_t dim;

	if (s->nd < 3 || s->d[1] != nodes)
		return rd_fail(e, RD_EINPUT, "%s: field %s has the shape %s, [n, %d, ...] expected by meta.grid",
		               rd_source_name(j->in), rd_source_stream(j->in)->field[f], rd_shape_str(s, text, sizeof text), nodes);
	dim = rd_shape_sample_elems(s) / (size_t)nodes;
	if (!j->dim)
		j->dim = dim;
	if (!dim || dim != j->dim)
		return rd_fail(e, RD_EINPUT, "%s: field %s has %zu numbers a state, another has %zu", rd_source_name(j->in),
		               rd_source_stream(j->in)->field[f], dim, j->dim);
	return RD_OK;
}

static int take_sample(struct job *j, const struct rd_traj *t, struct rd_err *e)
{
	double v[RD_TRAJ_N];
	int rc = RD_OK;

	if (j->json || j->tsv) {
		rd_traj_measure(&j->grid, t, v);
		rc = rd_traj_stats_add(&j->stats, t->index, v, e);
	}
	if (!rc && j->plot)
		rc = rd_trajplot_add(j->plot, t, e);
	if (!rc && j->csv)
		rc = rd_traj_csv_rows(j->csv, &j->grid, t, e);
	return rc;
}

static int take_batch(struct job *j, const struct rd_batch *b, struct rd_err *e)
{
	const int steps = j->grid.steps;
	const bool first = !j->dim;
	int rc = check_field(j, b, j->x, steps + 1, e);

	if (!rc)
		rc = check_field(j, b, j->x0, steps, e);
	if (!rc)
		rc = check_field(j, b, j->eps, steps, e);
	if (!rc && first && j->csv)
		rc = rd_traj_csv_header(j->csv, j->dim, e);
	for (size_t i = 0; !rc && i < (size_t)b->n; i++) {
		const size_t at = i * (size_t)steps * j->dim;
		const struct rd_traj t = {
			.index = b->first + i,
			.dim = j->dim,
			.x = (const float *)b->f[j->x].data + at + i * j->dim,
			.x0 = (const float *)b->f[j->x0].data + at,
			.eps = (const float *)b->f[j->eps].data + at,
		};

		rc = take_sample(j, &t, e);
	}
	rd_progress_add((uint64_t)b->n);
	return rc;
}

/* Finishes an output that is there; after an error it is left to be aborted. */
static int finish(struct rd_out **out, int rc, struct rd_err *e)
{
	struct rd_out *o = *out;

	if (rc || !o)
		return rc;
	*out = NULL;
	return rd_out_finish(o, e);
}

static int run(struct job *j, const char *name, struct rd_err *e)
{
	const struct rd_batch *b;
	uint64_t samples = 0;
	int rc;

	while ((rc = rd_source_next(j->in, &b, e)) > 0) {
		rc = take_batch(j, b, e);
		if (rc)
			return rc;
		samples += (uint64_t)b->n;
	}
	rd_progress_end();
	if (!rc && j->svg)
		rc = rd_trajplot_write(j->plot, j->meta, samples, j->svg, e);
	if (!rc && j->json)
		rc = rd_traj_report_json(j->json, &j->grid, &j->stats, j->dim, j->meta, e);
	if (!rc && j->tsv)
		rc = rd_traj_report_tsv(j->tsv, &j->grid, &j->stats, name ? name : rd_source_name(j->in), e);
	rc = finish(&j->csv, rc, e);
	rc = finish(&j->svg, rc, e);
	rc = finish(&j->tsv, rc, e);
	return finish(&j->json, rc, e);
}

int main(int argc, char **argv)
{
	struct opts o = { .max_plot = 200 };
	struct job j = { 0 };
	struct rd_err e;
	int rc;

	rd_tool_init("trajdump", usage, &o.c);
	parse_opts(&o, argc, argv);
	rc = open_all(&j, &o, &e);
	if (!rc) {
		rd_progress_start(&o.c, "samples", 0);
		rc = run(&j, o.name, &e);
	}
	rd_out_abort(j.csv);
	rd_out_abort(j.json);
	rd_out_abort(j.tsv);
	rd_out_abort(j.svg);
	rd_trajplot_free(j.plot);
	rd_traj_stats_free(&j.stats);
	rd_traj_grid_free(&j.grid);
	if (j.in)
		rd_source_close(j.in);
	if (rc)
		rd_die(&e);
	return 0;
}
