/* The tools as processes: how long one takes to start, and the memory of a small job of each. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

struct process {
	double seconds, mib;
	bool ok;
};

/* A program with one argument, or a shell command (arg NULL), its output to /dev/null. fork, not vfork: the peak of a
 * vforked child is at first that of its parent. */
static struct process run(const char *command, const char *arg)
{
	struct process p;
	struct rusage u;
	double t0 = bench_now();
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		if (arg)
			execl(command, command, arg, (char *)NULL);
		else
			execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &u) < 0)
		return (struct process){0, 0, false};
	p.seconds = bench_now() - t0;
	p.mib = (double)u.ru_maxrss / 1024;
	p.ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return p;
}

static void failed(struct bench *b, const char *what)
{
	fprintf(stderr, "bench: %s: failed\n", what);
	b->failed = true;
}

static int is_tool(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void start_up(struct bench *b)
{
	struct dirent **list;
	int n = scandir(b->bin, &list, is_tool, alphasort), runs = b->quick ? 7 : 21;
	double t[BENCH_MAX_RUNS];
	char path[1024];

	if (n <= 0) {
		fprintf(stderr, "bench: there are no tools in %s; `make` makes them\n", b->bin);
		b->failed = true;
	}
	for (int i = 0; i < n; i++) {
		struct process p = {0, 0, true};

		snprintf(path, sizeof path, "%s/%s", b->bin, list[i]->d_name);
		for (int k = 0; k < runs && p.ok; k++) {
			p = run(path, "--version");
			t[k] = p.seconds;
		}
		if (p.ok)
			bench_print(&BENCH_ROW(.rate = 1e3 * bench_median(t, runs), .unit = "ms", .mib = p.mib),
			            "%s --version", list[i]->d_name);
		else
			failed(b, path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

/* Each reads what those before it wrote: BIN is where the tools are, T where files go, M the model, J the threads.
 * exec, so that the process measured is the tool. */
static void small_jobs(struct bench *b)
{
	static const struct {
		const char *what, *command;
	} jobs[] = {
		{"noisegen, 20,000 x 1x28x28", "exec $BIN/noisegen -q -n 20000 -m $M -o $T/many -f"},
		{NULL, "exec $BIN/noisegen -q -n 256 -l uniform:10 -m $M -o $T/noise -f"},
		{"denoise, 256 images, 2 steps", "exec $BIN/denoise -q -j $J -m $M --steps 2 -o $T/pairs -f $T/noise"},
		{"pairpack, 256 pairs", "exec $BIN/pairpack -q -o $T/pairs.tar -f $T/pairs"},
		{"rectrain, 256 pairs, 4 steps of batch 64",
		 "exec $BIN/rectrain -q -j $J -m $M --steps 4 -b 64 -o $T/model $T/pairs.tar"},
		{"odesample, 256 images, 1 step",
		 "exec $BIN/odesample -q -j $J -m $T/model -n 256 -l uniform:10 --steps 1 -o $T/a -f"},
		{NULL, "exec $BIN/odesample -q -j $J -m $T/model -n 64 -l uniform:10 --steps 4 --trajectory -o $T/traj -f"},
		{"trajdump, 64 trajectories of 4 steps", "exec $BIN/trajdump -q --csv $T/traj.csv $T/traj"},
		{"tensorcat, 256 images to .npy", "exec $BIN/tensorcat -q --to npy -n sample $T/a"},
		{"samplecmp, 256 images and 256", "exec $BIN/samplecmp -q -j $J $T/a $T/pairs.tar"},
	};

	char threads[16];

	snprintf(threads, sizeof threads, "%d", b->threads);
	setenv("BIN", b->bin, 1);
	setenv("T", b->tmp, 1);
	setenv("M", "models/fashion-ddpm", 1);
	setenv("J", threads, 1);
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
		struct process p = run(jobs[i].command, NULL);

		if (!p.ok)
			failed(b, jobs[i].command);
		else if (jobs[i].what)
			bench_print(&BENCH_ROW(.rate = 1e3 * p.seconds, .unit = "ms", .mib = p.mib), "%s", jobs[i].what);
	}
}

void bench_tools(struct bench *b)
{
	start_up(b);
	if (!b->failed)
		small_jobs(b);
}
