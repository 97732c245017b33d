/* A block of threads, as fibers. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <setjmp.h>
#include <ucontext.h>

#include "block.h"

void rd_shim_die(const char *what)
{
	fprintf(stderr, "cuda shim: %s\n", what);
	abort();
}

dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { STACK = 128 << 10, WARP = 32 };
enum thread_state { NEW, READY, AT_BLOCK, AT_WARP, DONE };

/* A fiber takes a warp's next thread that has not begun, until one meets a barrier and leaves it waiting there: a kernel
 * without barriers is a plain loop. A fiber's stack is made by makecontext and entered once; from then on _longjmp goes to
 * and fro, which unlike swapcontext asks nothing of the operating system. */
struct fiber {
	ucontext_t ctx;
	jmp_buf at;
	bool begun;
	char *stack;
	unsigned thread;
};

static struct {
	const std::function<void()> *f;
	unsigned n, next, end; /* threads; the one that begins next, of those before end */
	std::vector<thread_state> state;
	std::vector<unsigned> mask; /* of those at a warp's barrier */
	std::vector<uint64_t> value;
	std::vector<fiber *> idle, of; /* those without a thread; and that of each thread */
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

		while (b.next < b.end) {
			me->thread = b.next++;
			b.of[me->thread] = me;
			be_thread(me->thread);
			(*b.f)();
			rd_shim_copies_end();
			b.state[me->thread] = DONE;
		}
		b.idle.push_back(me);
		if (!_setjmp(me->at))
			_longjmp(b.scheduler, 1);
	}
}

static fiber *fiber_new()
{
	fiber *f = new fiber;

	f->stack = (char *)malloc(STACK);
	f->begun = false;
	getcontext(&f->ctx);
	f->ctx.uc_stack.ss_sp = f->stack;
	f->ctx.uc_stack.ss_size = STACK;
	f->ctx.uc_link = nullptr;
	makecontext(&f->ctx, fiber_main, 0);
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

/* Those of a warp that have not begun do, each up to its first barrier. */
static void begin(unsigned warp)
{
	b.next = warp;
	b.end = warp + WARP;
	while (b.next < b.end) {
		fiber *f = b.idle.empty() ? fiber_new() : b.idle.back();

		if (!b.idle.empty())
			b.idle.pop_back();
		f->thread = b.next;
		resume(f);
	}
}

/* A warp's threads that wait at its barrier, where all are there that it names, may go on. */
static bool meet(unsigned warp)
{
	for (unsigned t = warp; t < warp + WARP; t++) {
		unsigned mask = b.mask[t];

		if (b.state[t] != AT_WARP || waiting(warp, mask) != mask)
			continue;
		for (unsigned l = 0; l < WARP; l++)
			if (mask >> l & 1)
				b.state[warp + l] = READY;
		return true;
	}
	return false;
}

static bool is_ready(unsigned warp)
{
	for (unsigned t = warp; t < warp + WARP; t++)
		if (b.state[t] == READY)
			return true;
	return false;
}

static bool go_on(unsigned warp)
{
	if (b.state[warp] == NEW) {
		begin(warp);
		return true;
	}
	if (!is_ready(warp) && !meet(warp))
		return false;
	for (unsigned t = warp; t < warp + WARP; t++)
		if (b.state[t] == READY)
			resume(b.of[t]);
	return true;
}

/* All of a block's threads are at its barrier, or at their end. */
static bool meet_all()
{
	unsigned at = 0, done = 0;

	for (unsigned t = 0; t < b.n; t++) {
		at += b.state[t] == AT_BLOCK;
		done += b.state[t] == DONE;
	}
	if (at + done < b.n)
		rd_shim_die("threads wait for one that does not come");
	if (at && done)
		rd_shim_die("__syncthreads that not all threads of the block reach");
	b.state.assign(b.n, READY);
	return at;
}

/* A warp goes on as far as it can before another does, the first one first or, in every second block, the last: what warps do to
 * each other without a barrier between them shows. */
static void run_block()
{
	unsigned warps = b.n / WARP;
	bool moved;

	memset(b.shared.data(), 0xff, b.shared.size());
	b.state.assign(b.n, NEW);
	b.mask.assign(b.n, 0);
	b.value.assign(b.n, 0);
	b.of.assign(b.n, nullptr);
	do {
		moved = false;
		for (unsigned w = 0; w < warps && !moved; w++)
			moved = go_on((blockIdx.x % 2 ? warps - 1 - w : w) * WARP);
	} while (moved || meet_all());
}

void rd_shim_grid(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread)
{
	b.f = &thread;
	b.n = block.x * block.y * block.z;
	b.shared.assign(shared + 16, 0);
	blockDim = block;
	gridDim = grid;
	if (!b.n || b.n > RD_SHIM_THREADS || b.n % WARP || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 ||
	    shared > 48 << 10)
		rd_shim_die("a launch that no device takes, or a block of broken warps");
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
		rd_shim_die("a shuffle from a lane that takes no part");
	b.value[b.current->thread] = bits;
	__syncwarp(mask);
	got = b.value[warp + (unsigned)from];
	__syncwarp(mask);
	return got;
}

unsigned rd_shim_thread()
{
	return b.current->thread;
}

const uint64_t *rd_shim_lanes(uint64_t mine)
{
	b.value[b.current->thread] = mine;
	__syncwarp();
	return &b.value[b.current->thread / WARP * WARP];
}
