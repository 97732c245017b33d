/* Whatever the suite reads, looked at or converted. */
#include <string.h>

#include "formats/out.h"
#include "lib/data/export.h"
#include "lib/data/show.h"
#include "lib/measure/trajgrid.h"
#include "lib/model/describe.h"
#include "tools/common/common.h"

static const char usage[] =
	"usage: tensorcat [--to text|frame|npy|csv|png] [-r ROLE] [-n FIELD] [NAME=]FILE...\n"
	"Shows or converts frame streams (- is standard input), pairs archives, .npy and idx arrays, gzip or not, folders of\n"
	".png pictures, or of a folder of them for each class; as text also models: folders, safetensors files, config.json\n"
	"and scheduler_config.json. Several files are one after another; NAME=FILE reads an array as the field NAME, and several\n"
	"of these stand side by side.\n"
	"\n"
	"      --to text    shapes, statistics, first values, provenance of each file (default); of a model what it is\n"
	"      --to frame   a stream of frames\n"
	"      --to npy     one field as one array; of a safetensors file one tensor\n"
	"      --to csv     a line per sample, a column per number\n"
	"      --to png     a grid of images\n"
	"  -n, --field FIELD   the field (tensor), also called --name; default all, for npy and png `sample`, or the only one\n"
	"  -r, --role ROLE  role of the frames: noise, pairs, samples, trajectory, data; default as it was\n"
	"      --grid FILE  with -r trajectory, of arrays: t, alpha and sigma of the nodes, an .npy [K+1, 3], noise first\n"
	"  -c, --count N    the first N samples; default all, for png 64\n"
	"      --tensors    of a model, a line for each of its tensors too\n"
	"      --columns C  of the grid, default as many as rows; of a trajectory, its points\n"
	"      --scale K    K-fold enlargement of the grid's images, default 2\n"
	"  -o, --output FILE   default standard output\n"
	"  -f, --force      write binary data to a terminal\n"
	"  -j, --threads N  default all processors\n"
	"  -q, --quiet   -v, --verbose   --progress auto|always|never   -h, --help   -V, --version\n";

enum { OPT_TO = RD_OPT_TOOL, OPT_COLUMNS, OPT_SCALE, OPT_TENSORS, OPT_GRID };
enum { TO_TEXT = 4 };

struct opts {
	struct rd_common c;
	struct rd_export_opts x;
	int to;
	bool tensors;
	const char *grid; /* NULL: not given */
	const char *const *in;
	int n_in;
};

static void parse_opts(struct opts *o, int argc, char **argv)
{
	static const char *const forms[] = {[RD_EXPORT_FRAME] = "frame", [RD_EXPORT_NPY] = "npy", [RD_EXPORT_CSV] = "csv",
	                                    [RD_EXPORT_PNG] = "png", [TO_TEXT] = "text", NULL};
	static const char *const roles[] = {"noise", "pairs", "samples", "trajectory", "data", NULL};
	static const struct option longs[] = {
		RD_COMMON_LONG, {"to", required_argument, 0, OPT_TO}, {"field", required_argument, 0, 'n'},
		{"name", required_argument, 0, 'n'},
		{"role", required_argument, 0, 'r'}, {"count", required_argument, 0, 'c'},
		{"columns", required_argument, 0, OPT_COLUMNS}, {"scale", required_argument, 0, OPT_SCALE},
		{"tensors", no_argument, 0, OPT_TENSORS}, {"grid", required_argument, 0, OPT_GRID}, {0, 0, 0, 0},
	};
	int opt;

	o->to = TO_TEXT;
	while ((opt = getopt_long(argc, argv, RD_COMMON_SHORT "n:r:c:", longs, NULL)) != -1)
		switch (opt) {
		case OPT_TO: o->to = rd_opt_choice("--to", optarg, forms); break;
		case 'n': o->x.field = optarg; break;
		case 'r': o->x.role = roles[rd_opt_choice("--role", optarg, roles)]; break;
		case 'c': o->x.count = (uint64_t)rd_opt_int("--count", optarg, 1, INT64_MAX); break;
		case OPT_COLUMNS: o->x.columns = rd_opt_int("--columns", optarg, 1, 1 << 14); break;
		case OPT_SCALE: o->x.scale = (int)rd_opt_int("--scale", optarg, 1, 64); break;
		case OPT_TENSORS: o->tensors = true; break;
		case OPT_GRID: o->grid = optarg; break;
		default:
			if (!rd_common_opt(&o->c, opt))
				rd_usage_error(NULL);
		}
	if (optind == argc)
		rd_usage_error("what? A FILE is missing (- is standard input)");
	if (o->to == TO_TEXT && (o->x.role || o->x.count))
		rd_usage_error("-r and -c are for --to frame, npy, csv and png");
	if (o->to != RD_EXPORT_PNG && (o->x.columns || o->x.scale))
		rd_usage_error("--columns and --scale are for --to png");
	if (!o->x.scale)
		o->x.scale = 2;
	if (o->to != TO_TEXT && o->tensors)
		rd_usage_error("--tensors is for --to text");
	if (o->grid && (o->to != RD_EXPORT_FRAME || !o->x.role || strcmp(o->x.role, "trajectory") || o->x.field))
		rd_usage_error("--grid is for --to frame -r trajectory, of all fields");
	if (!o->x.count)
		o->x.count = o->to == RD_EXPORT_PNG ? 64 : UINT64_MAX;
	o->x.out = o->c.out;
	o->x.flags = rd_common_out_flags(&o->c);
	o->in = (const char *const *)argv + optind;
	o->n_in = argc - optind;
}

static int show_all(const struct opts *o, struct rd_err *e)
{
	const struct rd_describe_opts x = {.tensors = o->tensors, .tensor = o->x.field};
	struct rd_out *out;
	bool model;
	int rc = rd_out_open(&out, o->c.out, 0, e);

	if (rc)
		return rc;
	for (int i = 0; i < o->n_in && !rc; i++) {
		rc = rd_describe_knows(o->in[i], &model, e);
		if (!rc)
			rc = model ? rd_describe(o->in[i], &x, out, e) : rd_show_samples(o->in[i], o->x.field, out, e);
	}
	if (!rc)
		return rd_out_finish(out, e);
	rd_out_abort(out);
	return rc;
}

static int convert_tensor(const struct opts *o, struct rd_err *e)
{
	if (o->to != RD_EXPORT_NPY || !o->x.field || o->n_in > 1)
		return rd_fail(e, RD_EUSAGE, "%s: of a safetensors file, --to npy -n TENSOR makes one array", o->in[0]);
	return rd_export_tensor(o->in[0], o->x.field, &o->x, e);
}

/* Frames of that role have a grid: without one there is nothing to measure. The groups of arrays behind the first would have none. */
static int add_grid(const struct opts *o, struct rd_source *src, struct rd_err *e)
{
	if (o->grid && rd_source_more(src))
		return rd_fail(e, RD_EUSAGE, "--grid is of one group of arrays; others follow %s: convert each by itself", rd_source_name(src));
	if (o->grid)
		return rd_trajgrid_attach(src, o->grid, e);
	if (o->to != RD_EXPORT_FRAME || !o->x.role || strcmp(o->x.role, "trajectory") || json_object_get(rd_source_stream(src)->meta, "grid"))
		return RD_OK;
	return rd_fail(e, RD_EUSAGE, "-r trajectory: %s has no grid; --grid FILE gives the t, alpha and sigma of its nodes", rd_source_name(src));
}

static int convert(struct opts *o, struct rd_err *e)
{
	struct rd_source *src;
	bool model;
	int rc = rd_describe_knows(o->in[0], &model, e);

	if (rc)
		return rc;
	if (model)
		return convert_tensor(o, e);
	rc = rd_source_open(&src, o->in, o->n_in, NULL, e);
	if (rc)
		return rc;
	if (o->to == RD_EXPORT_FRAME)
		rd_meta_history(rd_source_stream(src)->meta, NULL);
	o->x.form = (enum rd_export_form)o->to;
	rc = add_grid(o, src, e);
	if (!rc)
		rc = rd_export(src, &o->x, e);
	rd_source_close(src);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct rd_err e;

	rd_tool_init("tensorcat", usage, argv, &o.c);
	parse_opts(&o, argc, argv);
	if (o.to == TO_TEXT ? show_all(&o, &e) : convert(&o, &e))
		rd_die(&e);
	return 0;
}
