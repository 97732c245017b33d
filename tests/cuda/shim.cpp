/* Blocks of threads as fibers, and lazy streams. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <vector>

#include <setjmp.h>
#include <ucontext.h>

#include "cuda_runtime.h"

static void die(const char *what)
{
	fprintf(stderr, "cuda shim: %s\n", what);
	abort();
}

/* --- a block ------------------------------------------------------------------------------------------------------ */

dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { MAX_THREADS = 1024, STACK = 128 << 10, WARP = 32 };
enum thread_state { READY, AT_BLOCK, AT_WARP, DONE };

/* A fiber takes the block's next thread that has not begun, until one meets a barrier and leaves it waiting there: a kernel
 * without barriers is a plain loop. A fiber's stack is made by makecontext and entered once; from then on _longjmp goes to
 * and fro, which unlike swapcontext asks nothing of the operating system. */
struct fiber {
	ucontext_t ctx;
	jmp_buf at;
	bool begun;
	char *stack;
	unsigned thread;
	bool busy;
};

static struct {
	const std::function<void()> *f;
	unsigned n, next; /* threads, and the one that begins next */
	std::vector<thread_state> state;
	std::vector<unsigned> mask; /* of those at a warp's barrier */
	std::vector<uint64_t> value;
	std::vector<fiber *> fibers;
	fiber *current;
	jmp_buf scheduler;
	std::vector<char> shared;
} b;

static void be_thread(unsigned t)
{
	threadIdx = dim3(t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y));
}

static void fiber_main()
{
	for (;;) {
		fiber *me = b.current;

		while (b.next < b.n) {
			me->thread = b.next++;
			be_thread(me->thread);
			(*b.f)();
			b.state[me->thread] = DONE;
		}
		me->busy = false;
		if (!_setjmp(me->at))
			_longjmp(b.scheduler, 1);
	}
}

static fiber *fiber_new()
{
	fiber *f = new fiber;

	f->stack = (char *)malloc(STACK);
	f->busy = f->begun = false;
	getcontext(&f->ctx);
	f->ctx.uc_stack.ss_sp = f->stack;
	f->ctx.uc_stack.ss_size = STACK;
	f->ctx.uc_link = nullptr;
	makecontext(&f->ctx, fiber_main, 0);
	b.fibers.push_back(f);
	return f;
}

static void resume(fiber *f)
{
	b.current = f;
	be_thread(f->thread);
	if (_setjmp(b.scheduler))
		return;
	if (f->begun)
		_longjmp(f->at, 1);
	f->begun = true;
	setcontext(&f->ctx);
}

static void wait_as(thread_state s)
{
	fiber *me = b.current;

	b.state[me->thread] = s;
	if (!_setjmp(me->at))
		_longjmp(b.scheduler, 1);
}

/* Those of a warp that wait at the barrier of one mask, as bits. */
static unsigned waiting(unsigned warp, unsigned mask)
{
	unsigned there = 0;

	for (unsigned l = 0; l < WARP; l++)
		if (b.state[warp + l] == AT_WARP && b.mask[warp + l] == mask)
			there |= 1u << l;
	return there;
}

/* All of a block's threads are at its barrier, or all that a warp's barrier names are there: they go on. */
static void release()
{
	unsigned at = 0, done = 0;
	bool freed = false;

	for (unsigned t = 0; t < b.n; t++) {
		at += b.state[t] == AT_BLOCK;
		done += b.state[t] == DONE;
	}
	if (at && at + done == b.n) {
		if (done)
			die("__syncthreads that not all threads of the block reach");
		b.state.assign(b.n, READY);
		return;
	}
	for (unsigned t = 0; t < b.n; t++) {
		unsigned warp = t / WARP * WARP, mask = b.mask[t];

		if (b.state[t] != AT_WARP || waiting(warp, mask) != mask)
			continue;
		for (unsigned l = 0; l < WARP; l++)
			if (mask >> l & 1)
				b.state[warp + l] = READY;
		freed = true;
	}
	if (!freed)
		die("threads wait for one that does not come");
}

static void run_block()
{
	bool moved;

	memset(b.shared.data(), 0xff, b.shared.size());
	b.next = 0;
	b.state.assign(b.n, READY);
	b.mask.assign(b.n, 0);
	b.value.assign(b.n, 0);
	for (;;) {
		unsigned done = 0;

		moved = false;
		for (size_t i = 0; i < b.fibers.size() || b.next < b.n; i++) {
			fiber *f = i < b.fibers.size() ? b.fibers[i] : fiber_new();

			if (f->busy ? b.state[f->thread] == READY : b.next < b.n) {
				if (!f->busy)
					f->thread = b.next;
				f->busy = true;
				resume(f);
				moved = true;
			}
		}
		for (unsigned t = 0; t < b.n; t++)
			done += b.state[t] == DONE;
		if (done == b.n)
			break;
		if (!moved)
			release();
	}
}

void rd_shim_grid(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread)
{
	b.f = &thread;
	b.n = block.x * block.y * block.z;
	b.shared.assign(shared + 16, 0);
	blockDim = block;
	gridDim = grid;
	if (!b.n || b.n > MAX_THREADS || b.n % WARP || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 ||
	    shared > 48 << 10)
		die("a launch that no device takes, or a block of broken warps");
	for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
		for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
			for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
				run_block();
}

void *rd_shim_shared()
{
	return (void *)(((uintptr_t)b.shared.data() + 15) & ~(uintptr_t)15);
}

void __syncthreads()
{
	wait_as(AT_BLOCK);
}

int rd_shim_lane()
{
	return (int)(b.current->thread % WARP);
}

void __syncwarp(unsigned mask)
{
	b.mask[b.current->thread] = mask;
	wait_as(AT_WARP);
}

uint64_t rd_shim_shuffle(uint64_t bits, unsigned mask, int from)
{
	unsigned warp = b.current->thread / WARP * WARP;
	uint64_t got;

	if (from < 0 || from >= WARP || !(mask >> from & 1))
		die("a shuffle from a lane that takes no part");
	b.value[b.current->thread] = bits;
	__syncwarp(mask);
	got = b.value[warp + (unsigned)from];
	__syncwarp(mask);
	return got;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

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
		die("cudaFree of what is no buffer");
	end = (const unsigned char *)p + buffers[p];
	for (int i = 0; i < BEYOND; i++)
		if (end[i] != 0xff)
			die("written beyond the end of a buffer");
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
