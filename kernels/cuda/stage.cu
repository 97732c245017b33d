#include "kernels/cuda/stage.h"

#include <stdlib.h>
#include <string.h>

int rd_stage_new(struct rd_stage **out, struct rd_err *e)
{
	struct rd_stage *s = (struct rd_stage *)calloc(1, sizeof *s);
	int rc = s ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory");

	for (int i = 0; i < RD_SLOTS && !rc; i++) {
		rc = rd_cuda_check(cudaEventCreateWithFlags(&s->slot[i].copied, cudaEventDisableTiming), "event", e);
		if (!rc)
			rc = rd_cuda_check(cudaEventCreateWithFlags(&s->slot[i].used, cudaEventDisableTiming), "event", e);
	}
	if (rc)
		rd_stage_free(s);
	*out = rc ? NULL : s;
	return rc;
}

static void drop_buffers(struct rd_slot *s)
{
	cudaFreeHost(s->pinned);
	cudaFree(s->device);
	s->pinned = s->device = NULL;
	s->bytes = 0;
}

void rd_stage_free(struct rd_stage *s)
{
	if (!s)
		return;
	for (int i = 0; i < RD_SLOTS; i++) {
		drop_buffers(&s->slot[i]);
		if (s->slot[i].copied)
			cudaEventDestroy(s->slot[i].copied);
		if (s->slot[i].used)
			cudaEventDestroy(s->slot[i].used);
	}
	free(s);
}

int rd_stage_take(struct rd_dev *dev, size_t bytes, struct rd_slot **out, struct rd_err *e)
{
	struct rd_slot *s = &dev->stage->slot[dev->stage->next];
	size_t want = bytes > RD_PIECE ? bytes : (size_t)RD_PIECE; /* of one size, almost always: made once */
	void *p = NULL;
	int rc = RD_OK;

	if (dev->recording)
		return rd_fail(e, RD_EDEVICE, "device cuda: host data asked for while recording");
	dev->stage->next = (dev->stage->next + 1) % RD_SLOTS;
	if (s->busy)
		rc = rd_cuda_check(cudaEventSynchronize(s->used), "waiting for a copy", e);
	s->busy = false;
	if (!rc && s->bytes < bytes) {
		drop_buffers(s);
		rc = rd_cuda_check(cudaMallocHost(&p, want), "pinned memory", e);
		s->pinned = (char *)p;
		if (!rc)
			rc = rd_cuda_check(cudaMalloc(&p, want), "device memory", e);
		s->device = rc ? NULL : (char *)p;
		s->bytes = rc ? 0 : want;
	}
	*out = s;
	return rc;
}

int rd_stage_in(struct rd_dev *dev, const void *host, size_t bytes, struct rd_slot **out, struct rd_err *e)
{
	struct rd_slot *s;
	int rc = rd_stage_take(dev, bytes, &s, e);

	*out = s;
	if (rc)
		return rc;
	memcpy(s->pinned, host, bytes);
	rc = rd_cuda_check(cudaMemcpyAsync(s->device, s->pinned, bytes, cudaMemcpyHostToDevice, dev->copy), "copy", e);
	if (!rc)
		rc = rd_cuda_check(cudaEventRecord(s->copied, dev->copy), "copy", e);
	return rc ? rc : rd_cuda_check(cudaStreamWaitEvent(dev->stream, s->copied, 0), "copy", e);
}

int rd_stage_used(struct rd_dev *dev, struct rd_slot *slot, struct rd_err *e)
{
	slot->busy = true;
	return rd_cuda_check(cudaEventRecord(slot->used, dev->stream), "copy", e);
}

int rd_stage_out(struct rd_dev *dev, struct rd_slot *slot, void *host, size_t bytes, struct rd_err *e)
{
	int rc = rd_cuda_check(cudaMemcpyAsync(slot->pinned, slot->device, bytes, cudaMemcpyDeviceToHost, dev->stream), "copy",
	                       e);

	if (!rc)
		rc = rd_cuda_check(cudaStreamSynchronize(dev->stream), "device", e);
	if (!rc)
		memcpy(host, slot->pinned, bytes);
	return rc;
}

struct words {
	uint32_t w[1000]; /* of 4096 bytes of arguments */
};

static __global__ void words_kernel(struct words from, unsigned n, uint32_t *to)
{
	unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

	if (i < n)
		to[i] = from.w[i];
}

bool rd_words_fit(const void *dst, size_t bytes)
{
	return bytes && bytes <= sizeof(struct words) && bytes % sizeof(uint32_t) == 0 && (uintptr_t)dst % sizeof(uint32_t) == 0;
}

int rd_words_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e)
{
	unsigned n = (unsigned)(bytes / sizeof(uint32_t)), threads = 64;
	struct words from;

	memcpy(from.w, host, bytes);
	return RD_LAUNCH(dev, e, words_kernel, (n + threads - 1) / threads, threads, 0, from, n, (uint32_t *)dst);
}
