/* Which backend answers to a device's name. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/common/cpu.h"
#include "kernels/kernels.h"

/* The CUDA backend is a plug-in, so that a tool starts where there is no driver: here it will be loaded with
 * dlopen and asked for its table. NULL, with *e set, where it is not there or no device answers. */
static const struct rd_backend *cuda_backend(struct rd_err *e)
{
	rd_fail(e, RD_EDEVICE, "device cuda: this build has no CUDA backend");
	return NULL;
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

int rd_device_open(const char *name, int threads, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e)
{
	struct rd_dev_opts o = { .threads = threads };
	int is_auto = strcmp(name, "auto") == 0;
	const struct rd_backend *cpu;
	struct rd_err none;

	*be = NULL;
	*dev = NULL;
	if (is_auto || parse_cuda(name, &o.index)) {
		*be = cuda_backend(is_auto ? &none : e);
		if (*be && (*be)->open(dev, &o, is_auto ? &none : e) == RD_OK)
			return RD_OK;
		*be = NULL;
		if (!is_auto)
			return e->code;
	} else if (strcmp(name, "cpu") != 0) {
		return rd_fail(e, RD_EUSAGE, "device %.40s: not one of cpu, cuda, cuda:N, auto", name);
	}
	cpu = rd_cpu_backend(rd_cpu_isa_best());
	if (cpu->open(dev, &o, e))
		return e->code;
	*be = cpu;
	return RD_OK;
}
