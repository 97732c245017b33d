/* Trajectories of a sampler, and logs of its training, as numbers and pictures. */
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/measure/chords.h"
#include "lib/measure/defectplot.h"
#include "lib/measure/logplot.h"
#include "lib/measure/trajplot.h"
#include "lib/measure/trajreport.h"
#include "lib/measure/trajsource.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: trajdump [--json FILE] [--tsv FILE] [--samples FILE] [--csv FILE] [--svg FILE] [options] [[NAME=]FRAMES...]\n"
	"       trajdump --log --svg FILE [--window N] [NAME=]LOG...\n"
	"Reads trajectories (odesample --trajectory; default standard input) and writes what is asked for; FILE may be -.\n"
	"With nothing asked for, a table of first-order defect, straightness, curvature and one-step error.\n"
	"\n"
	"      --json FILE          mean, deviation and quantiles of these numbers and of the defect at each node\n"
	"      --tsv FILE           their means, a line of a table for each input\n"
	"      --samples FILE       CSV of the numbers of each sample\n"
	"      --csv FILE           CSV of every state of one input: a row per sample and node\n"
	"      --name NAME          what a single input is called; default: its file's name\n"
	"      --svg FILE           a picture\n"
	"      --plot trajectories|defect  what it shows: the trajectories, or the defect along them; default trajectories\n"
	"      --chords LIST        first-order paths through states of a trajectory itself, one for each of so many phases:\n"
	"                           drawn, and the distance from them; a number for all inputs, or one for each\n"
	"      --coords LIST        of x, alpha and sigma: panels of x, x/alpha, x/sigma; default x\n"
	"      --overlay            all inputs in one panel\n"
	"      --range R            fit the axes to the nodes of a scale of at most R; default sqrt 10\n"
	"      --max-plot N         trajectories of an input in the picture at most, default 200\n"
	"      --axis t|n           of the defect's plot: time, or sigma/alpha; default t\n"
	"      --log                the inputs are logs of rectrain or classtrain: loss and gradient norm as a picture\n"
	"      --window N           lines of a log that make a running median; default a twentieth of them\n"
	"  -o, --output FILE        where the table goes; default standard output, if nothing else is asked for\n"
	"  -j, --threads N          default all processors\n"
	"  -f, --force   -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n"
	"\n"
	"[NAME=]exact:FORM in place of a file (ddpm, vp, subvp, ve, fm, table:FILE) is a trajectory, first-order by construction:\n"
	"      --x0 LIST  --eps LIST   its data and its noise; default 0,1 and 1,1\n"
	"      --steps K               default 200\n"
	"      --sigma-max S           of ve\n";

enum { OPT_CSV = RD_OPT_TOOL, OPT_JSON, OPT_TSV, OPT_SAMPLES, OPT_SVG, OPT_NAME, OPT_PLOT, OPT_COORDS, OPT_OVERLAY,
       OPT_RANGE, OPT_MAX_PLOT, OPT_AXIS, OPT_LOG, OPT_WINDOW, OPT_CHORDS, OPT_X0, OPT_EPS, OPT_STEPS, OPT_SIGMA_MAX };
enum { MAX_INPUTS = 64 };
enum output { TEXT, JSON, TSV, SAMPLES, CSV, SVG, N_OUTPUTS };

struct opts {
	struct rd_common c;
	const char *path[N_OUTPUTS]; /* NULL: not wanted */
	char *const *input;
	int n_inputs;
	const char *name;
	bool log, defect, exact; /* exact: an option of exact inputs was given */
	size_t window;
	enum rd_defect_axis axis;
	int phases[MAX_INPUTS]; /* of the inputs' chords, n_phases of them */
	int n_phases;
	struct rd_trajplot_opts plot;
	struct rd_exact_opts of;
	size_t n_eps;
	const char *drawn, *drawn_defect; /* an option of pictures of trajectories, of the defect; NULL: none was given */
};

struct input {
	struct rd_trajsource *src;
	struct rd_traj_stats stats;
	struct rd_chords chords;
	double mismatch; /* the largest of its samples */
};

struct job {
	const struct opts *o;
	struct input in[MAX_INPUTS];
	struct rd_traj_told told[MAX_INPUTS];
	struct rd_trainlog_read log[MAX_INPUTS];
	struct rd_out *out[N_OUTPUTS]; /* NULL: not wanted, or done */
	struct rd_trajplot *plot;
	double *node;  /* the defects of a sample */
	bool measured; /* an output needs numbers; of nodes too */
	bool nodes;
};

static void parse_coords(struct rd_trajplot_opts *p, const char *list)
{
	char text[64], *rest = text, *word;

	if (strlen(list) >= sizeof text)
		rd_usage_error("--coords: %s: too long", list);
	strcpy(text, list);
	for (p->n_coords = 0; (word = strsep(&rest, ",")); p->n_coords++) {
		if (p->n_coords == RD_TRAJ_COORDS)
			rd_usage_error("--coords: %s: at most %d", list, RD_TRAJ_COORDS);
		p->coords[p->n_coords] = (enum rd_traj_coords)rd_opt_choice("--coords", word, rd_traj_coords_names);
	}
}

static void parse_chords(struct opts *o, const char *list)
{
	char text[512], *rest = text, *word;

	if (strlen(list) >= sizeof text)
		rd_usage_error("--chords: %s: too long", list);
	strcpy(text, list);
	for (o->n_phases = 0; (word = strsep(&rest, ",")); o->n_phases++) {
		if (o->n_phases == MAX_INPUTS)
			rd_usage_error("--chords: %s: at most %d numbers", list, MAX_INPUTS);
		o->phases[o->n_phases] = (int)rd_opt_int("--chords", word, 1, RD_TRAJ_MAX_STEPS);
	}
}

/* Numbers with commas between them; how many. */
static size_t parse_vector(const char *option, const char *list, float v[RD_EXACT_MAX_DIM])
{
	char text[512], *rest = text, *word;
	size_t n = 0;

	if (strlen(list) >= sizeof text)
		rd_usage_error("%s: %s: too long", option, list);
	strcpy(text, list);
	while ((word = strsep(&rest, ","))) {
		if (n == RD_EXACT_MAX_DIM)
			rd_usage_error("%s: %s: at most %d numbers", option, list, RD_EXACT_MAX_DIM);
		v[n++] = (float)rd_opt_num(option, word, -1e6, 1e6);
	}
	return n;
}

/* True where it was one of the options of pictures and exact inputs. */
static bool more_opt(struct opts *o, int opt)
{
	static const char *const plots[] = { "trajectories", "defect", NULL };

	switch (opt) {
	case OPT_PLOT: o->defect = rd_opt_choice("--plot", optarg, plots); return true;
	case OPT_COORDS: o->drawn = "--coords"; parse_coords(&o->plot, optarg); return true;
	case OPT_CHORDS: parse_chords(o, optarg); return true;
	case OPT_OVERLAY: o->drawn = "--overlay"; o->plot.overlay = true; return true;
	case OPT_RANGE: o->drawn = "--range"; o->plot.range = rd_opt_num("--range", optarg, 1, 1e6); return true;
	case OPT_MAX_PLOT: o->drawn = "--max-plot"; o->plot.max = (size_t)rd_opt_int("--max-plot", optarg, 1, 100000); return true;
	case OPT_AXIS: o->drawn_defect = "--axis"; o->axis = (enum rd_defect_axis)rd_opt_choice("--axis", optarg, rd_defect_axis_names); return true;
	case OPT_WINDOW: o->window = (size_t)rd_opt_int("--window", optarg, 1, 1000000); return true;
	case OPT_X0: o->of.dim = parse_vector("--x0", optarg, o->of.x0); break;
	case OPT_EPS: o->n_eps = parse_vector("--eps", optarg, o->of.eps); break;
	case OPT_STEPS: o->of.steps = (int)rd_opt_int("--steps", optarg, 1, 1000); break;
	case OPT_SIGMA_MAX: o->of.sigma_max = rd_opt_num("--sigma-max", optarg, 0.01, 1e6); break;
	default: return false;
	}
	o->exact = true;
	return true;
}

static void check_names(const struct opts *o)
{
	for (int i = 0; i < o->n_inputs; i++)
		if (strpbrk(o->name ? o->name : o->input[i], "\t\n"))
			rd_usage_error("--name: tabs and newlines have no place in a table");
}

static void check_opts(struct opts *o)
{
	int to_stdout = 0, asked = 0, exact = 0;

	for (int k = JSON; k < N_OUTPUTS; k++)
		asked += o->path[k] != NULL;
	if (o->log && (!o->path[SVG] || asked > 1 || o->c.out))
		rd_usage_error("--log: a log is drawn, with --svg FILE and nothing else");
	if (o->drawn && (!o->path[SVG] || o->log || o->defect))
		rd_usage_error("%s: of a picture of trajectories, which --svg FILE asks for", o->drawn);
	if (o->drawn_defect && (!o->path[SVG] || o->log || !o->defect))
		rd_usage_error("%s: of a picture of the defect, which --svg FILE --plot defect asks for", o->drawn_defect);
	if (o->defect && (!o->path[SVG] || o->log))
		rd_usage_error("--plot: of a picture, which --svg FILE asks for");
	if (o->window && !o->log)
		rd_usage_error("--window is for --log");
	if (o->c.out || !asked)
		o->path[TEXT] = o->c.out ? o->c.out : "-";
	for (int k = 0; k < N_OUTPUTS; k++)
		to_stdout += o->path[k] && !strcmp(o->path[k], "-");
	if (to_stdout > 1)
		rd_usage_error("only one output fits standard output");
	if (o->n_inputs > 1 && o->path[CSV])
		rd_usage_error("--csv: the states of one input are written");
	if (o->path[TSV] || o->path[SAMPLES])
		check_names(o);
	if (o->n_inputs > 1 && o->name)
		rd_usage_error("--name: several inputs are named as in NAME=FILE");
	for (int i = 0; i < o->n_inputs; i++)
		exact += rd_trajsource_is_exact(o->input[i]);
	if (o->exact && !exact)
		rd_usage_error("--x0, --eps, --steps and --sigma-max are for inputs exact:FORM");
	if (o->of.dim != o->n_eps)
		rd_usage_error("--x0 and --eps: %zu and %zu numbers", o->of.dim, o->n_eps);
}

static void check_chords(const struct opts *o)
{
	const bool pictured = o->path[SVG] && !o->defect;
	const bool told = o->path[TEXT] || o->path[JSON] || o->path[TSV] || o->path[SAMPLES];

	if (!o->n_phases)
		return;
	if (o->log)
		rd_usage_error("--chords are of trajectories, not of logs");
	if (o->n_phases != 1 && o->n_phases != o->n_inputs)
		rd_usage_error("--chords: %d numbers for %d input%s", o->n_phases, o->n_inputs, o->n_inputs == 1 ? "" : "s");
	if (o->plot.overlay)
		rd_usage_error("--chords and --overlay: a colour stands for an input, and chords would need another");
	if (!pictured && !told)
		rd_usage_error("--chords: nothing that is asked for has a place for them");
}

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static char *standard_input[] = { "-" };
	static const struct option longs[] = {
		RD_COMMON_LONG,
		{ "csv", required_argument, 0, OPT_CSV }, { "json", required_argument, 0, OPT_JSON },
		{ "tsv", required_argument, 0, OPT_TSV }, { "samples", required_argument, 0, OPT_SAMPLES },
		{ "svg", required_argument, 0, OPT_SVG }, { "name", required_argument, 0, OPT_NAME },
		{ "plot", required_argument, 0, OPT_PLOT }, { "coords", required_argument, 0, OPT_COORDS },
		{ "chords", required_argument, 0, OPT_CHORDS }, { "overlay", no_argument, 0, OPT_OVERLAY },
		{ "range", required_argument, 0, OPT_RANGE },
		{ "max-plot", required_argument, 0, OPT_MAX_PLOT }, { "axis", required_argument, 0, OPT_AXIS },
		{ "log", no_argument, 0, OPT_LOG }, { "window", required_argument, 0, OPT_WINDOW },
		{ "x0", required_argument, 0, OPT_X0 }, { "eps", required_argument, 0, OPT_EPS },
		{ "steps", required_argument, 0, OPT_STEPS }, { "sigma-max", required_argument, 0, OPT_SIGMA_MAX },
		{ 0, 0, 0, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT, longs, NULL)) != -1) {
		switch (opt) {
		case OPT_CSV: o->path[CSV] = optarg; break;
		case OPT_JSON: o->path[JSON] = optarg; break;
		case OPT_TSV: o->path[TSV] = optarg; break;
		case OPT_SAMPLES: o->path[SAMPLES] = optarg; break;
		case OPT_SVG: o->path[SVG] = optarg; break;
		case OPT_NAME: o->name = optarg; break;
		case OPT_LOG: o->log = true; break;
		default:
			if (!rd_common_opt(&o->c, opt) && !more_opt(o, opt))
				rd_usage_error(NULL); /* getopt has said what */
		}
	}
	o->input = optind < argc ? argv + optind : standard_input;
	o->n_inputs = optind < argc ? argc - optind : 1;
	if (o->n_inputs > MAX_INPUTS)
		rd_usage_error("%d inputs: at most %d", o->n_inputs, MAX_INPUTS);
	o->plot.inputs = (size_t)o->n_inputs;
	check_opts(o);
	check_chords(o);
}

static int chords(struct job *j, int i, struct rd_err *e)
{
	const struct opts *o = j->o;
	int rc;

	if (!o->n_phases)
		return RD_OK;
	j->told[i].phases = o->phases[o->n_phases == 1 ? 0 : i];
	j->in[i].stats.chords = true;
	rc = rd_chords_init(&j->in[i].chords, j->told[i].grid, j->told[i].phases, e);
	return rc ? rd_context(e, "%s", j->told[i].name) : RD_OK;
}

/* The inputs, what they declare, and the outputs. */
static int open_all(struct job *j, struct rd_err *e)
{
	const struct opts *o = j->o;
	int rc = RD_OK, most = 0;

	j->nodes = o->path[JSON] || (o->path[SVG] && o->defect);
	j->measured = j->nodes || o->path[TEXT] || o->path[TSV] || o->path[SAMPLES] || o->path[CSV];
	for (int i = 0; !rc && i < o->n_inputs; i++) {
		struct input *in = j->in + i;

		rc = rd_trajsource_open(&in->src, o->input[i], &o->of, e);
		if (rc)
			return rc;
		j->told[i] = (struct rd_traj_told){ o->name ? o->name : rd_trajsource_name(in->src), rd_trajsource_grid(in->src),
			                            &in->stats, rd_trajsource_meta(in->src), 0, 0 };
		rc = chords(j, i, e);
		if (rc)
			return rc;
		in->stats.nodes = j->nodes ? j->told[i].grid->steps : 0;
		most = j->told[i].grid->steps > most ? j->told[i].grid->steps : most;
	}
	j->node = calloc((size_t)most, sizeof *j->node);
	if (!j->node)
		return rd_fail(e, RD_ENOMEM, "no memory for %d numbers", most);
	if (o->path[SVG] && !o->defect)
		rc = rd_trajplot_new(&j->plot, &o->plot, e);
	for (int k = 0; !rc && k < N_OUTPUTS; k++)
		rc = o->path[k] ? rd_out_open(&j->out[k], o->path[k], 0, e) : RD_OK;
	if (!rc && j->out[SAMPLES])
		rc = rd_traj_samples_header(j->out[SAMPLES], o->n_phases, e);
	return rc;
}

static int take_sample(struct job *j, int i, const struct rd_traj *t, struct rd_err *e)
{
	const struct rd_traj_told *told = j->told + i;
	double v[RD_TRAJ_N];
	int rc = RD_OK;

	if (j->out[CSV] && !told->dim)
		rc = rd_traj_csv_header(j->out[CSV], t->dim, e);
	j->told[i].dim = t->dim;
	j->in[i].mismatch = fmax(j->in[i].mismatch, rd_traj_mismatch(told->grid, t));
	if (j->measured) {
		rd_traj_measure(told->grid, t, v, j->node);
		if (told->phases)
			v[RD_TRAJ_CHORD] = rd_chords_distance(&j->in[i].chords, told->grid, t);
		if (!rc && rd_traj_stats_add(&j->in[i].stats, t->index, v, j->node, e))
			rc = rd_context(e, "%s", told->name);
	}
	if (!rc && j->plot)
		rc = rd_trajplot_add(j->plot, t, e);
	if (!rc && j->out[SAMPLES])
		rc = rd_traj_samples_row(j->out[SAMPLES], told->name, t->index, v, told->phases, e);
	if (!rc && j->out[CSV])
		rc = rd_traj_csv_rows(j->out[CSV], told->grid, t, j->node, e);
	rd_progress_add(1);
	return rc;
}

/* Rounding is 1e-6 of it. Where x0 is clipped it may be anything. */
static void warn_mismatch(const struct input *in, const struct rd_traj_told *told)
{
	if (in->mismatch > 1e-3 && !json_is_true(json_object_get(told->meta, "clip")))
		rd_warn("%s: x is not alpha x0 + sigma eps, but up to %.2g of its size away: the grid is of another trajectory, or x0 "
		        "and eps are not of one prediction", told->name, in->mismatch);
}

static int read_all(struct job *j, struct rd_err *e)
{
	struct rd_traj t;
	int rc = RD_OK;

	for (int i = 0; !rc && i < j->o->n_inputs; i++) {
		const struct rd_traj_told *told = j->told + i;

		if (j->plot)
			rc = rd_trajplot_input(j->plot, told->name, told->grid, told->meta, &j->in[i].chords, e);
		while (!rc && (rc = rd_trajsource_next(j->in[i].src, &t, e)) > 0)
			rc = take_sample(j, i, &t, e);
		if (!rc)
			warn_mismatch(&j->in[i], told);
	}
	rd_progress_end();
	return rc;
}

static int tell(struct job *j, struct rd_err *e)
{
	const size_t n = (size_t)j->o->n_inputs;
	int rc = RD_OK;

	if (j->out[SVG])
		rc = j->plot ? rd_trajplot_write(j->plot, j->out[SVG], e)
		             : rd_defectplot_write(j->told, n, j->o->axis, j->out[SVG], e);
	if (!rc && j->out[TSV])
		rc = rd_traj_tsv_header(j->out[TSV], j->o->n_phases, e);
	for (size_t i = 0; !rc && i < n; i++) {
		if (j->out[JSON])
			rc = rd_traj_report_json(j->out[JSON], j->told + i, e);
		if (!rc && j->out[TSV])
			rc = rd_traj_tsv_row(j->out[TSV], j->told + i, e);
		if (!rc && j->out[TEXT])
			rc = rd_traj_report_text(j->out[TEXT], j->told + i, e);
	}
	return rc;
}

static int trajectories(struct job *j, struct rd_err *e)
{
	int rc = open_all(j, e);

	if (rc)
		return rc;
	rd_progress_start(&j->o->c, "samples", 0);
	rc = read_all(j, e);
	return rc ? rc : tell(j, e);
}

static int logs(struct job *j, struct rd_err *e)
{
	const struct opts *o = j->o;
	int rc = RD_OK;

	for (int i = 0; !rc && i < o->n_inputs; i++)
		rc = rd_logplot_read(j->log + i, o->input[i], e);
	if (!rc)
		rc = rd_out_open(&j->out[SVG], o->path[SVG], 0, e);
	return rc ? rc : rd_logplot_write(j->log, (size_t)o->n_inputs, o->window, j->out[SVG], e);
}

static int finish(struct job *j, struct rd_err *e)
{
	int rc = RD_OK;

	for (int k = N_OUTPUTS - 1; !rc && k >= 0; k--) {
		struct rd_out *out = j->out[k];

		j->out[k] = NULL;
		rc = out ? rd_out_finish(out, e) : RD_OK;
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct job j;
	struct opts o = {
		.plot = { .n_coords = 1, .max = 200 },
		.of = { .dim = 2, .x0 = { 0, 1 }, .eps = { 1, 1 }, .steps = 200 },
		.n_eps = 2,
	};
	struct rd_err e;
	int rc;

	rd_tool_init("trajdump", usage, argv, &o.c);
	parse_opts(&o, argc, argv);
	j.o = &o;
	rc = o.log ? logs(&j, &e) : trajectories(&j, &e);
	if (!rc)
		rc = finish(&j, &e);
	for (int k = 0; k < N_OUTPUTS; k++)
		rd_out_abort(j.out[k]);
	rd_trajplot_free(j.plot);
	for (int i = 0; i < o.n_inputs; i++) {
		rd_traj_stats_free(&j.in[i].stats);
		rd_chords_free(&j.in[i].chords);
		rd_trajsource_close(j.in[i].src);
		rd_logplot_free(j.log + i);
	}
	free(j.node);
	if (rc)
		rd_die(&e);
	return 0;
}
