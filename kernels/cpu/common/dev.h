/* What the files of the CPU backend share: the device, and how work is divided among threads. */
#ifndef RD_KERNELS_CPU_DEV_H
#define RD_KERNELS_CPU_DEV_H

#include "kernels/cpu/common/dnnl.h"
#include "kernels/kernels.h"

struct rd_dev {
	int threads;
	int wide;             /* products are double: --precision f64 */
	struct rd_dnnl *dnnl;
	float *stage;         /* normals on their way to the physical layout; grown on first use */
	size_t stage_elems;
	char text[96];        /* describe */
};

/* Before oneDNN is called: it asks OpenMP how many threads there are, and the answer belongs to the calling
 * thread. */
void rd_cpu_enter(struct rd_dev *dev);

/* open of the instruction set called isa, and the functions that need no instruction set. */
int rd_cpu_open(struct rd_dev **out, const struct rd_dev_opts *o, const char *isa, struct rd_err *e);
void rd_cpu_close(struct rd_dev *dev);
const char *rd_cpu_describe(struct rd_dev *dev);
int rd_cpu_alloc(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *e);
void rd_cpu_release(struct rd_dev *dev, void *p);
int rd_cpu_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e);
int rd_cpu_get(struct rd_dev *dev, void *host, const void *src, size_t bytes, struct rd_err *e);
int rd_cpu_zero(struct rd_dev *dev, void *dst, size_t bytes, struct rd_err *e);
int rd_cpu_copy(struct rd_dev *dev, void *dst, const void *src, size_t bytes, struct rd_err *e);
int rd_cpu_sync(struct rd_dev *dev, struct rd_err *e);

size_t rd_cpu_act_bytes(struct rd_dims d);
int rd_cpu_act_import(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e);
int rd_cpu_act_export(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e);
int rd_cpu_normal(struct rd_dev *dev, struct rd_dims d, uint64_t seed, enum rd_rng_stream s, uint64_t index,
                  void *out, struct rd_err *e);

#endif
