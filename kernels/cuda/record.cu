/* Recorded work as a CUDA graph, with the host data that it uploads. */
#include "kernels/cuda/record.h"

#include <stdlib.h>
#include <string.h>

static const size_t CHUNK_BYTES = 64 << 10;

struct chunk { /* of pinned memory */
	struct chunk *next;
	char *p;
	size_t used, bytes;
};

struct rd_replay {
	cudaGraphExec_t exec;
	struct chunk *chunks;
};

int rd_cuda_record_begin(struct rd_dev *dev, struct rd_err *e)
{
	int rc;

	if (dev->recording)
		return rd_fail(e, RD_EDEVICE, "device cuda: a recording is under way");
	if (dev->no_graphs)
		return rd_fail(e, RD_EDEVICE, "device cuda: recordings are off");
	dev->recording = (struct rd_replay *)calloc(1, sizeof *dev->recording);
	if (!dev->recording)
		return rd_fail(e, RD_ENOMEM, "no memory");
	rc = rd_cuda_check(cudaStreamBeginCapture(dev->stream, cudaStreamCaptureModeRelaxed), "recording", e);
	if (rc) {
		free(dev->recording);
		dev->recording = NULL;
	}
	return rc;
}

int rd_cuda_record_end(struct rd_dev *dev, struct rd_replay **out, struct rd_err *e)
{
	struct rd_replay *r = dev->recording;
	cudaGraph_t graph = NULL;
	int rc;

	*out = NULL;
	if (!r)
		return rd_fail(e, RD_EDEVICE, "device cuda: no recording is under way");
	dev->recording = NULL;
	rc = rd_cuda_check(cudaStreamEndCapture(dev->stream, &graph), "recording", e);
	if (!rc)
		rc = rd_cuda_check(cudaGraphInstantiateWithFlags(&r->exec, graph, 0), "recording", e);
	if (graph)
		cudaGraphDestroy(graph);
	if (rc)
		rd_cuda_replay_free(dev, r);
	else
		*out = r;
	return rc;
}

int rd_cuda_replay(struct rd_dev *dev, struct rd_replay *r, struct rd_err *e)
{
	return rd_cuda_check(cudaGraphLaunch(r->exec, dev->stream), "replay", e);
}

static void free_replay(struct rd_replay *r)
{
	if (r->exec)
		cudaGraphExecDestroy(r->exec);
	while (r->chunks) {
		struct chunk *c = r->chunks;

		r->chunks = c->next;
		cudaFreeHost(c->p);
		free(c);
	}
	free(r);
}

void rd_cuda_replay_free(struct rd_dev *dev, struct rd_replay *r)
{
	if (!r)
		return;
	cudaStreamSynchronize(dev->stream);
	free_replay(r);
}

/* A capture ends even where a call in it has made it invalid; only then may anything else be done on its stream. */
void rd_cuda_record_drop(struct rd_dev *dev, const struct rd_err *why)
{
	cudaGraph_t graph = NULL;

	if (dev->recording) {
		if (cudaStreamEndCapture(dev->stream, &graph) == cudaSuccess && graph)
			cudaGraphDestroy(graph);
		(void)cudaGetLastError();
		free_replay(dev->recording);
		dev->recording = NULL;
	}
	if (!why || dev->no_graphs)
		return;
	dev->no_graphs = true;
	rd_cuda_note(dev, "nothing more is recorded as a CUDA graph, work goes on call by call: %s", why->msg);
}

static int chunk_for(struct rd_replay *r, size_t bytes, struct rd_err *e)
{
	struct chunk *c = (struct chunk *)calloc(1, sizeof *c);
	void *p = NULL;
	int rc = c ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory");

	if (!rc)
		rc = rd_cuda_check(cudaMallocHost(&p, bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES), "pinned memory", e);
	if (rc) {
		free(c);
		return rc;
	}
	c->p = (char *)p;
	c->bytes = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
	c->next = r->chunks;
	r->chunks = c;
	return RD_OK;
}

int rd_record_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e)
{
	struct rd_replay *r = dev->recording;
	size_t need = (bytes + 15) & ~(size_t)15;
	char *to;

	if (!r->chunks || r->chunks->bytes - r->chunks->used < need)
		if (chunk_for(r, need, e))
			return e->code;
	to = r->chunks->p + r->chunks->used;
	r->chunks->used += need;
	memcpy(to, host, bytes);
	return rd_cuda_check(cudaMemcpyAsync(dst, to, bytes, cudaMemcpyHostToDevice, dev->stream), "copy", e);
}
