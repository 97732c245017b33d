/* Which backend answers to a device's name. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu/common/cpu.h"
#include "kernels/kernels.h"
#include "kernels/plugin.h"

const char *const rd_precision_names[] = { "f32", "tf32", "bf16", "f64", NULL };

/* Where make install puts plug-ins. */
#ifndef RD_PLUGIN_DIR
#define RD_PLUGIN_DIR "/usr/local/lib/rectdiff"
#endif

/* The loader's own words; a library of the plug-in's that it does not find may be anywhere. */
static int not_loaded(const char *words, struct rd_err *e)
{
	bool missing = strstr(words, "cannot open shared object file") != NULL;

	return rd_fail(e, RD_EDEVICE, "%s%s", words, missing ? " (LD_LIBRARY_PATH names folders to look in)" : "");
}

int rd_plugin_load(const char *path, const struct rd_plugin **out, struct rd_err *e)
{
	const struct rd_plugin *p;
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	*out = NULL;
	if (!so)
		return not_loaded(dlerror(), e);
	p = dlsym(so, RD_PLUGIN_SYMBOL);
	if (!p || p->table_bytes != sizeof(struct rd_backend) || strcmp(p->version, RD_VERSION) != 0) {
		dlclose(so);
		return rd_fail(e, RD_EDEVICE, "%s: is not of rectdiff %s", path, RD_VERSION);
	}
	*out = p; /* stays loaded for good */
	return RD_OK;
}

/* The plug-in beside the running program (bin/../lib/rectdiff), as in the build's folder and below any prefix; else the
 * one that was installed. False where neither is there. */
static int plugin_path(char *path, size_t size)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *slash;

	if (n > 0) {
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		if (slash)
			*slash = '\0';
		if (snprintf(path, size, "%s/../lib/rectdiff/" RD_PLUGIN_CUDA, exe) < (int)size && !access(path, R_OK))
			return 1;
	}
	return snprintf(path, size, "%s/" RD_PLUGIN_CUDA, RD_PLUGIN_DIR) < (int)size && !access(path, R_OK);
}

static struct {
	pthread_once_t once;
	const struct rd_plugin *plugin;
	struct rd_err e;
} cuda = { .once = PTHREAD_ONCE_INIT };

static void cuda_load(void)
{
	char path[4096 + 64];

	if (!plugin_path(path, sizeof path))
		(void)rd_fail(&cuda.e, RD_EDEVICE, "no plug-in " RD_PLUGIN_CUDA " is installed");
	else if (rd_plugin_load(path, &cuda.plugin, &cuda.e))
		cuda.plugin = NULL;
}

static int open_cuda(const struct rd_dev_opts *o, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e)
{
	pthread_once(&cuda.once, cuda_load);
	if (!cuda.plugin) {
		*e = cuda.e;
		return rd_context(e, "device cuda");
	}
	*be = cuda.plugin->backend(o->precision);
	return (*be)->open(dev, o, e);
}

/* "cuda" is device 0, "cuda:N" device N. False where name is neither. */
static int parse_cuda(const char *name, int *index)
{
	char *end;
	long v;

	*index = 0;
	if (strcmp(name, "cuda") == 0)
		return 1;
	if (strncmp(name, "cuda:", 5) != 0 || name[5] < '0' || name[5] > '9')
		return 0;
	v = strtol(name + 5, &end, 10);
	if (*end || v > 1023)
		return 0;
	*index = (int)v;
	return 1;
}

int rd_device_open_with(const char *name, struct rd_dev_opts o, const struct rd_backend **be, struct rd_dev **dev,
                        struct rd_err *e)
{
	int is_auto = strcmp(name, "auto") == 0;
	const struct rd_backend *cpu;
	struct rd_err why = { .code = RD_OK };

	*be = NULL;
	*dev = NULL;
	if (is_auto || parse_cuda(name, &o.index)) {
		if (open_cuda(&o, be, dev, &why) == RD_OK)
			return RD_OK;
		*be = NULL;
		*dev = NULL;
		if (!is_auto) {
			*e = why;
			return e->code;
		}
	} else if (strcmp(name, "cpu") != 0) {
		return rd_fail(e, RD_EUSAGE, "device %.40s: not one of cpu, cuda, cuda:N, auto", name);
	}
	cpu = rd_cpu_backend(rd_cpu_isa_best());
	if (cpu->open(dev, &o, e))
		return is_auto && o.precision ? rd_context(e, "%s", why.msg) : (int)e->code;
	*e = why;
	e->code = RD_OK;
	*be = cpu;
	return RD_OK;
}

int rd_device_open(const char *name, int threads, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e)
{
	return rd_device_open_with(name, (struct rd_dev_opts){ .threads = threads }, be, dev, e);
}
