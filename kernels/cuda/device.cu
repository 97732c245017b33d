/* The device and its memory. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/record.h"
#include "kernels/cuda/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rd_block {
	struct rd_block *next;
	void *p;
	size_t bytes;
};

int rd_cuda_check(cudaError_t rc, const char *what, struct rd_err *e)
{
	if (rc == cudaSuccess)
		return RD_OK;
	(void)cudaGetLastError(); /* it is told here: the next launch is not to be blamed for it */
	return rd_fail(e, rc == cudaErrorMemoryAllocation ? RD_ENOMEM : RD_EDEVICE, "device cuda: %s: %s", what,
	               cudaGetErrorString(rc));
}

void rd_cuda_note(struct rd_dev *dev, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!dev->note)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	dev->note(line);
}

/* CUDA numbers its versions as 13020 for 13.2; where there is no driver it says that one is too old, and 0. */
static int count_devices(int *n, struct rd_err *e)
{
	int driver = 0, runtime = 0;
	cudaError_t rc = cudaGetDeviceCount(n);

	if (rc != cudaErrorInsufficientDriver)
		return rd_cuda_check(rc, "no device", e);
	(void)cudaGetLastError();
	(void)cudaDriverGetVersion(&driver);
	(void)cudaRuntimeGetVersion(&runtime);
	if (!driver)
		return rd_fail(e, RD_EDEVICE, "device cuda: no driver is installed");
	return rd_fail(e, RD_EDEVICE,
	               "device cuda: the driver is there for CUDA up to %d.%d, and this plug-in was built with CUDA %d.%d: a newer "
	               "driver is needed, or a build with an older CUDA", driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

static void tell_device(struct rd_dev *dev, const struct cudaDeviceProp *p)
{
	int driver = 0, runtime = 0;

	(void)cudaDriverGetVersion(&driver);
	(void)cudaRuntimeGetVersion(&runtime);
	rd_cuda_note(dev, "%.80s: %d multiprocessors, %zu MiB; driver for CUDA %d.%d, built with %d.%d", p->name,
	             p->multiProcessorCount, p->totalGlobalMem >> 20, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

/* So that work can be looked at call by call, or goes on where graphs do not. */
static void ask_for_graphs(struct rd_dev *dev)
{
	const char *no = getenv("RECTDIFF_NO_GRAPHS");

	dev->no_graphs = no && *no;
	if (dev->no_graphs)
		rd_cuda_note(dev, "RECTDIFF_NO_GRAPHS is set: nothing is recorded as a CUDA graph");
}

static int find_device(struct rd_dev *dev, struct rd_err *e)
{
	struct cudaDeviceProp p;
	int n = 0, rc = count_devices(&n, e);

	if (rc)
		return rc;
	if (dev->index >= n)
		return rd_fail(e, RD_EDEVICE, "device cuda:%d: there are %d devices, from 0", dev->index, n);
	rc = rd_cuda_check(cudaSetDevice(dev->index), "device", e);
	if (!rc)
		rc = rd_cuda_check(cudaGetDeviceProperties(&p, dev->index), "device", e);
	if (rc)
		return rc;
	if (p.major < 8)
		return rd_fail(e, RD_EDEVICE, "device cuda:%d: %.60s is of compute capability %d.%d, 8.0 or later is needed",
		               dev->index, p.name, p.major, p.minor);
	snprintf(dev->text, sizeof dev->text, "cuda, %.80s, sm_%d%d, %s", p.name, p.major, p.minor,
	         dev->precision == RD_PRECISION_BF16 ? "bf16" : dev->precision == RD_PRECISION_TF32 ? "tf32" : "f32");
	tell_device(dev, &p);
	return RD_OK;
}

static int make_resources(struct rd_dev *dev, struct rd_err *e)
{
	int rc = rd_cuda_check(cudaStreamCreateWithFlags(&dev->stream, cudaStreamNonBlocking), "stream", e);

	if (!rc)
		rc = rd_cuda_check(cudaStreamCreateWithFlags(&dev->copy, cudaStreamNonBlocking), "stream", e);
	if (!rc)
		rc = rd_cuda_check(cudaMalloc(&dev->coef, 256), "device memory", e);
	if (!rc)
		rc = rd_stage_new(&dev->stage, e);
	if (!rc)
		rc = rd_blas_new(&dev->blas, dev, e);
	return rc ? rc : rd_dnn_new(&dev->dnn, dev, e);
}

int rd_cuda_open(struct rd_dev **out, const struct rd_dev_opts *o, struct rd_err *e)
{
	struct rd_dev *dev;
	size_t len;
	int rc;

	*out = NULL;
	if (o->precision == RD_PRECISION_F64)
		return rd_fail(e, RD_EUSAGE, "precision f64: CUDA computes in f32, tf32 or bf16");
	dev = (struct rd_dev *)calloc(1, sizeof *dev);
	if (!dev)
		return rd_fail(e, RD_ENOMEM, "no memory");
	dev->index = o->index;
	dev->precision = o->precision;
	dev->note = o->note;
	rc = find_device(dev, e);
	if (!rc)
		rc = make_resources(dev, e);
	if (rc) {
		rd_cuda_close(dev);
		return rc;
	}
	len = strlen(dev->text);
	snprintf(dev->text + len, sizeof dev->text - len, ", %s", rd_dnn_text(dev->dnn));
	ask_for_graphs(dev);
	*out = dev;
	return RD_OK;
}

void rd_cuda_close(struct rd_dev *dev)
{
	if (!dev)
		return;
	if (dev->stream)
		cudaStreamSynchronize(dev->stream);
	rd_dnn_free(dev->dnn);
	rd_blas_free(dev->blas);
	rd_stage_free(dev->stage);
	while (dev->scratch) {
		struct rd_block *b = dev->scratch;

		dev->scratch = b->next;
		cudaFree(b->p);
		free(b);
	}
	cudaFree(dev->coef);
	if (dev->copy)
		cudaStreamDestroy(dev->copy);
	if (dev->stream)
		cudaStreamDestroy(dev->stream);
	free(dev);
}

const char *rd_cuda_describe(struct rd_dev *dev)
{
	return dev->text;
}

int rd_cuda_alloc(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *e)
{
	int rc = rd_cuda_check(cudaMalloc(out, bytes ? bytes : 1), "device memory", e);

	(void)dev;
	if (rc)
		*out = NULL;
	return rc;
}

void rd_cuda_release(struct rd_dev *dev, void *p)
{
	(void)dev;
	cudaFree(p);
}

int rd_cuda_scratch(struct rd_dev *dev, size_t bytes, void **out, struct rd_err *e)
{
	struct rd_block *b = dev->scratch;
	size_t have = b ? b->bytes : 0;

	if (bytes > have) {
		if (dev->recording)
			return rd_fail(e, RD_EDEVICE, "device cuda: %zu bytes wanted while recording, %zu are there", bytes, have);
		b = (struct rd_block *)calloc(1, sizeof *b);
		if (!b)
			return rd_fail(e, RD_ENOMEM, "no memory");
		b->bytes = bytes > 2 * have ? bytes : 2 * have;
		if (rd_cuda_alloc(dev, &b->p, b->bytes, e)) {
			free(b);
			return e->code;
		}
		b->next = dev->scratch;
		dev->scratch = b;
	}
	*out = b ? b->p : NULL;
	return RD_OK;
}

int rd_cuda_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e)
{
	char *to = (char *)dst;
	const char *from = (const char *)host;
	int rc = RD_OK;

	if (rd_words_fit(dst, bytes))
		return rd_words_put(dev, dst, host, bytes, e);
	if (dev->recording)
		return bytes ? rd_record_put(dev, dst, host, bytes, e) : RD_OK;
	for (size_t at = 0; at < bytes && !rc; at += RD_PIECE) {
		size_t n = bytes - at < RD_PIECE ? bytes - at : (size_t)RD_PIECE;
		struct rd_slot *s;

		rc = rd_stage_in(dev, from + at, n, &s, e);
		if (!rc)
			rc = rd_cuda_check(cudaMemcpyAsync(to + at, s->device, n, cudaMemcpyDeviceToDevice, dev->stream), "copy", e);
		if (!rc)
			rc = rd_stage_used(dev, s, e);
	}
	return rc;
}

int rd_cuda_get(struct rd_dev *dev, void *host, const void *src, size_t bytes, struct rd_err *e)
{
	char *to = (char *)host;
	const char *from = (const char *)src;
	int rc = RD_OK;

	for (size_t at = 0; at < bytes && !rc; at += RD_PIECE) {
		size_t n = bytes - at < RD_PIECE ? bytes - at : (size_t)RD_PIECE;
		struct rd_slot *s;

		rc = rd_stage_take(dev, n, &s, e);
		if (!rc)
			rc = rd_cuda_check(cudaMemcpyAsync(s->device, from + at, n, cudaMemcpyDeviceToDevice, dev->stream), "copy", e);
		if (!rc)
			rc = rd_stage_out(dev, s, to + at, n, e);
	}
	return rc;
}

int rd_cuda_zero(struct rd_dev *dev, void *dst, size_t bytes, struct rd_err *e)
{
	return bytes ? rd_cuda_check(cudaMemsetAsync(dst, 0, bytes, dev->stream), "memset", e) : RD_OK;
}

int rd_cuda_copy(struct rd_dev *dev, void *dst, const void *src, size_t bytes, struct rd_err *e)
{
	return bytes ? rd_cuda_check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, dev->stream), "copy", e) : RD_OK;
}

int rd_cuda_sync(struct rd_dev *dev, struct rd_err *e)
{
	return rd_cuda_check(cudaStreamSynchronize(dev->stream), "device", e);
}
