/* The device and its memory: host memory, and calls that have finished when they return. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/common/dev.h"
#include "lib/base/size.h"

void rd_cpu_enter(struct rd_dev *dev)
{
	omp_set_num_threads(dev->threads);
}

int rd_cpu_open(struct rd_dev **out, const struct rd_dev_opts *o, const char *isa, struct rd_err *e)
{
	void *p;
	struct rd_dev *dev;
	int rc;

	*out = NULL;
	if (o->precision != RD_PRECISION_F32 && o->precision != RD_PRECISION_F64)
		return rd_fail(e, RD_EUSAGE, "precision %s: the CPU computes in f32 or f64", rd_precision_names[o->precision]);
	if (o->threads < 0 || o->threads > 4096)
		return rd_fail(e, RD_EUSAGE, "device cpu: %d threads: from 1 to 4096, or 0 for all", o->threads);
	rc = rd_alloc0(&p, 1, sizeof *dev, "device cpu", e);
	if (rc)
		return rc;
	dev = p;
	rc = rd_dnnl_new(&dev->dnnl, e);
	if (rc) {
		rd_cpu_close(dev);
		return rc;
	}
	dev->wide = o->precision == RD_PRECISION_F64;
	dev->threads = o->threads ? o->threads : omp_get_max_threads();
	rd_cpu_enter(dev);
	snprintf(dev->text, sizeof dev->text, "cpu, %d thread%s, %s%s", dev->threads, dev->threads == 1 ? "" : "s", isa,
	         dev->wide ? ", f64" : "");
	*out = dev;
	return RD_OK;
}

void rd_cpu_close(struct rd_dev *dev)
{
	if (!dev)
		return;
	rd_dnnl_free(dev->dnnl);
	free(dev->stage);
	free(dev);
}

const char *rd_cpu_describe(struct rd_dev *dev)
{
	return dev->text;
}

int rd_cpu_alloc(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *e)
{
	(void)dev;
	return rd_alloc(out, bytes, 1, "device memory", e);
}

void rd_cpu_release(struct rd_dev *dev, void *p)
{
	(void)dev;
	free(p);
}

int rd_cpu_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e)
{
	(void)dev;
	(void)e;
	if (bytes)
		memcpy(dst, host, bytes);
	return RD_OK;
}

int rd_cpu_get(struct rd_dev *dev, void *host, const void *src, size_t bytes, struct rd_err *e)
{
	return rd_cpu_put(dev, host, src, bytes, e);
}

int rd_cpu_zero(struct rd_dev *dev, void *dst, size_t bytes, struct rd_err *e)
{
	(void)dev;
	(void)e;
	if (bytes)
		memset(dst, 0, bytes);
	return RD_OK;
}

int rd_cpu_copy(struct rd_dev *dev, void *dst, const void *src, size_t bytes, struct rd_err *e)
{
	return rd_cpu_put(dev, dst, src, bytes, e);
}

int rd_cpu_sync(struct rd_dev *dev, struct rd_err *e)
{
	(void)dev;
	(void)e;
	return RD_OK;
}
