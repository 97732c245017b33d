#include "lib/measure/trajgrid.h"

#include <string.h>

#include "formats/npy.h"
#include "lib/measure/trajectory.h"

static double number(const struct rd_array *a, size_t i)
{
	float f;

	if (a->dtype == RD_F64)
		return ((const double *)a->data)[i];
	rd_to_f32(&f, (const char *)a->data + i * rd_dtype_bytes(a->dtype), a->dtype, 1);
	return (double)f;
}

/* {"t":[..],"alpha":[..],"sigma":[..]} of the columns; a number that is none in JSON (NaN) is null, which the parser refuses. */
static json_t *columns(const struct rd_array *a)
{
	static const char *const keys[3] = {"t", "alpha", "sigma"};
	json_t *grid = json_object();

	for (size_t c = 0; c < 3; c++) {
		json_t *list = json_array();

		for (size_t k = 0; k < (size_t)a->shape.d[0]; k++) {
			json_t *v = json_real(number(a, 3 * k + c));

			json_array_append_new(list, v ? v : json_null());
		}
		json_object_set_new(grid, keys[c], list);
	}
	return grid;
}

static int load(json_t *meta, struct rd_traj_grid *g, const char *path, struct rd_err *e)
{
	struct rd_array a = {0};
	char shape[160];
	int rc = rd_npy_load(path, &a, e);

	if (rc)
		return rc;
	if (a.shape.nd != 2 || a.shape.d[1] != 3 || a.shape.d[0] < 2 || a.shape.d[0] > RD_TRAJ_MAX_STEPS + 1)
		rc = rd_fail(e, RD_EINPUT, "%s: the shape is %s, [K+1, 3] expected: t, alpha and sigma of 2 to %d nodes", path,
		             rd_shape_str(&a.shape, shape, sizeof shape), RD_TRAJ_MAX_STEPS + 1);
	else if (json_object_set_new(meta, "grid", columns(&a)))
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory for the grid", path);
	else if (rd_traj_grid_parse(g, meta, e))
		rc = rd_context(e, "%s", path);
	rd_array_free(&a);
	return rc;
}

/* Arrays say their shapes before they are read; a stream does not, and is held to its grid when it is measured. */
static int check_fields(const struct rd_source *src, int steps, const char *path, struct rd_err *e)
{
	static const char *const fields[] = {"x", "x0", "eps"};

	for (int i = 0; i < 3; i++) {
		const int k = rd_stream_field(rd_source_stream(src), fields[i]), nodes = steps + (i == 0);
		struct rd_shape s;
		char text[160];

		if (k < 0)
			return rd_fail(e, RD_EINPUT, "%s: has no field %s, which a trajectory has", rd_source_name(src), fields[i]);
		if (rd_source_sample_shape(src, k, &s) && (s.nd < 2 || s.d[0] != nodes))
			return rd_fail(e, RD_EINPUT, "%s: a sample of field %s is %s, but %s has %d nodes: [%d, ...] expected",
			               rd_source_field_name(src, k), fields[i], rd_shape_str(&s, text, sizeof text), path, steps + 1, nodes);
	}
	return RD_OK;
}

int rd_trajgrid_attach(struct rd_source *src, const char *path, struct rd_err *e)
{
	json_t *meta = rd_source_stream(src)->meta;
	struct rd_traj_grid g;
	int rc;

	if (json_object_get(meta, "grid"))
		return rd_fail(e, RD_EINPUT, "%s: has a grid already", rd_source_name(src));
	rc = load(meta, &g, path, e);
	if (rc)
		return rc;
	rc = check_fields(src, g.steps, path, e);
	rd_traj_grid_free(&g);
	return rc;
}
