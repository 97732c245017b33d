/* The runtime's side of the host: lazy streams, memory, recordings. */
#include <cstdlib>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <vector>

#include "block.h"

struct rd_shim_event {
	cudaStream_t in;
	uint64_t place; /* of the stream's works: this many are before it */
};

struct rd_shim_graph {
	std::vector<std::function<void()>> work;
	bool invalid;
};

struct rd_shim_stream {
	std::deque<std::function<void()>> work;
	uint64_t done;
	rd_shim_graph *capture;
};

static std::vector<cudaStream_t> streams;

/* The stream's works up to number place. */
static void drain(cudaStream_t s, uint64_t place)
{
	while (s->done < place && !s->work.empty()) {
		std::function<void()> f = std::move(s->work.front());

		s->work.pop_front();
		s->done++;
		f();
	}
}

static void drain_all()
{
	for (cudaStream_t s : streams)
		drain(s, UINT64_MAX);
}

static bool fails(const char *what)
{
	const char *v = getenv("RD_SHIM_FAIL");

	return v && !strcmp(v, what);
}

static cudaError_t last;

static cudaError_t failed(cudaError_t c)
{
	return last = c;
}

/* A work that a capture refuses makes all of it invalid. */
void rd_shim_enqueue(cudaStream_t s, std::function<void()> f)
{
	if (!s->capture) {
		s->work.push_back(std::move(f));
	} else if (s->capture->invalid || (fails("capture") && s->capture->work.size() == 4)) {
		s->capture->invalid = true;
		failed(cudaErrorStreamCaptureInvalidated);
	} else {
		s->capture->work.push_back(std::move(f));
	}
}

static bool capturing()
{
	for (cudaStream_t s : streams)
		if (s->capture)
			return true;
	return false;
}

const char *cudaGetErrorString(cudaError_t c)
{
	return c == cudaSuccess ? "no error" : c == cudaErrorMemoryAllocation ? "out of memory" : "refused by the shim";
}

cudaError_t cudaGetLastError()
{
	cudaError_t c = last;

	last = cudaSuccess;
	return c;
}

cudaError_t cudaGetDeviceCount(int *n)
{
	*n = 1;
	return fails("driver") || fails("no driver") ? failed(cudaErrorInsufficientDriver) : cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
	*v = fails("no driver") ? 0 : 12040;
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
	*v = 13000;
	return cudaSuccess;
}

cudaError_t cudaSetDevice(int i)
{
	return i ? failed(cudaErrorInvalidDevice) : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
	*p = {};
	strcpy(p->name, "the CPU through a shim");
	p->totalGlobalMem = (size_t)1 << 30;
	p->major = 9;
	p->multiProcessorCount = 4;
	return cudaSuccess;
}

/* A buffer is poisoned, and so is what lies beyond its end, where nothing may have been written when it is released. */
static std::unordered_map<void *, size_t> buffers;
enum { BEYOND = 256 };

cudaError_t cudaMalloc(void **p, size_t n)
{
	*p = n > SIZE_MAX / 2 ? nullptr : aligned_alloc(256, (n + BEYOND + 255) / 256 * 256);
	if (!*p)
		return failed(cudaErrorMemoryAllocation);
	memset(*p, 0xff, n + BEYOND);
	buffers[*p] = n;
	return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
	const unsigned char *end;

	drain_all();
	if (!p)
		return cudaSuccess;
	if (!buffers.count(p))
		rd_shim_die("cudaFree of what is no buffer");
	end = (const unsigned char *)p + buffers[p];
	for (int i = 0; i < BEYOND; i++)
		if (end[i] != 0xff)
			rd_shim_die("written beyond the end of a buffer");
	buffers.erase(p);
	free(p);
	return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t n)
{
	return cudaMalloc(p, n);
}

cudaError_t cudaFreeHost(void *p)
{
	return cudaFree(p);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, cudaMemcpyKind, cudaStream_t s)
{
	rd_shim_enqueue(s, [=] { memcpy(dst, src, n); });
	return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int v, size_t n, cudaStream_t s)
{
	rd_shim_enqueue(s, [=] { memset(dst, v, n); });
	return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
	*s = new rd_shim_stream{};
	streams.push_back(*s);
	return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
	drain(s, UINT64_MAX);
	for (size_t i = 0; i < streams.size(); i++)
		if (streams[i] == s)
			streams.erase(streams.begin() + (long)i);
	delete s;
	return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
	if (capturing())
		return failed(cudaErrorStreamCaptureUnsupported);
	drain(s, UINT64_MAX);
	return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t ev, unsigned)
{
	const rd_shim_event at = *ev;

	if (s->capture)
		return failed(cudaErrorStreamCaptureUnsupported);
	if (at.in)
		rd_shim_enqueue(s, [=] { drain(at.in, at.place); });
	return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
	if (s->capture)
		return failed(cudaErrorStreamCaptureUnsupported);
	s->capture = new rd_shim_graph{};
	return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
	rd_shim_graph *c = s->capture;

	*g = nullptr;
	s->capture = nullptr;
	if (!c)
		return failed(cudaErrorInvalidValue);
	if (c->invalid || fails("end")) {
		delete c;
		return failed(cudaErrorStreamCaptureInvalidated);
	}
	*g = c;
	return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ev, unsigned)
{
	*ev = new rd_shim_event{};
	return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t ev)
{
	delete ev;
	return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t ev, cudaStream_t s)
{
	*ev = rd_shim_event{ s, s->done + s->work.size() };
	return s->capture ? failed(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t ev)
{
	if (ev->in)
		drain(ev->in, ev->place);
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long)
{
	const char *most = getenv("RD_SHIM_NODES");

	*x = nullptr;
	if (fails("instantiate") || (most && g->work.size() > (size_t)atoi(most)))
		return failed(cudaErrorMemoryAllocation);
	*x = new rd_shim_graph(*g);
	return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
	if (fails("launch"))
		return failed(cudaErrorMemoryAllocation);
	for (const std::function<void()> &f : x->work)
		rd_shim_enqueue(s, f);
	return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
	delete g;
	return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
	delete x;
	return cudaSuccess;
}
