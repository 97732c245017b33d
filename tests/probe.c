/* probe MODEL_DIR X.npy T.npy [LABEL.npy] OUT_DIR
 *
 * Runs a model's network, without dropout, on X at the times T; writes y.npy, grad_x.npy and grads.safetensors, the
 * gradients of mean(y^2)/2 by x and by each parameter. Labels are integers, or the vectors of class_embed_type identity. For
 * tests/interop/networks.py; no tool of the suite. */
#include <stdio.h>
#include <stdlib.h>

#include "formats/npy.h"
#include "lib/model/weights.h"
#include "tests/netrun.h"

static char *path(const char *dir, const char *name)
{
	static char buf[4096];

	snprintf(buf, sizeof buf, "%s/%s", dir, name);
	return buf;
}

static int write_array(const char *file, const struct rd_shape *s, const float *data, struct rd_err *e)
{
	struct rd_out *o;
	int rc = rd_out_open(&o, file, RD_OUT_BINARY, e);

	if (rc)
		return rc;
	rc = rd_npy_write(o, RD_F32, s, data, e);
	if (!rc)
		return rd_out_finish(o, e);
	rd_out_abort(o);
	return rc;
}

static int probe(char **arg, int n, struct rd_err *e)
{
	const char *dir = arg[n - 1];
	const struct rd_backend *be;
	struct netrun_out out = {0};
	struct netrun_in in = {0};
	struct rd_model m = {0};
	struct rd_dev *dev;
	int rc = rd_device_open("cpu", 1, &be, &dev, e);

	if (rc)
		return rc;
	rc = rd_model_load(&m, arg[0], e);
	if (!rc)
		rc = netrun_load(&in, arg[1], arg[2], n == 5 ? arg[3] : NULL, e);
	if (!rc)
		rc = netrun(&out, &m, be, dev, &in, e);
	if (!rc)
		rc = write_array(path(dir, "y.npy"), &in.shape, out.y, e);
	if (!rc)
		rc = write_array(path(dir, "grad_x.npy"), &in.shape, out.grad_x, e);
	if (!rc)
		rc = rd_weights_write(path(dir, "grads.safetensors"), m.params, out.grads, RD_F32, NULL, e);
	netrun_out_free(&out);
	netrun_in_free(&in);
	rd_model_free(&m);
	be->close(dev);
	return rc;
}

int main(int argc, char **argv)
{
	struct rd_err e;

	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: probe MODEL_DIR X.npy T.npy [LABEL.npy] OUT_DIR\n");
		return 2;
	}
	if (!probe(argv + 1, argc - 1, &e))
		return 0;
	fprintf(stderr, "probe: %s\n", e.msg);
	return rd_exit_status(&e);
}
