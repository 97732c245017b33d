/* The device that tests of whole networks run on: the CPU on one thread, or what RD_TEST_DEVICE and RD_TEST_PRECISION name
 * (make check-gpu sets them). */
#ifndef RD_TESTS_DEVICE_H
#define RD_TESTS_DEVICE_H

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/check.h"

static inline enum rd_precision test_precision(void)
{
	const char *p = getenv("RD_TEST_PRECISION");
	int i = 0;

	while (p && rd_precision_names[i] && strcmp(rd_precision_names[i], p) != 0)
		i++;
	return p && rd_precision_names[i] ? (enum rd_precision)i : RD_PRECISION_F32;
}

static inline const char *test_device(void)
{
	return getenv("RD_TEST_DEVICE") ? getenv("RD_TEST_DEVICE") : "cpu";
}

static inline int test_on_cuda(void)
{
	return strcmp(test_device(), "cpu") != 0;
}

static inline int test_open(const struct rd_backend **be, struct rd_dev **dev, int threads, struct rd_err *e)
{
	const struct rd_dev_opts o = {.threads = threads, .precision = test_precision()};

	return rd_device_open_with(test_device(), o, be, dev, e);
}

/* A bound of the CPU's, as it is on this device: 1e-4 for f32, and what the precision is good for. */
static inline double test_bound(double cpu)
{
	static const double least[] = {1e-4, 1e-2, 3e-2};

	return test_on_cuda() ? fmax(cpu, least[test_precision()]) : cpu;
}

#endif
