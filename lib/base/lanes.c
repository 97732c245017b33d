#include "lib/base/lanes.h"

#include "lib/base/clones.h"

#define LANES 16

static inline double sum(const float acc[LANES])
{
	double s = 0;

	for (int l = 0; l < LANES; l++)
		s += (double)acc[l];
	return s;
}

RD_CLONES double rd_dot(const float *x, const float *y, size_t d)
{
	float acc[LANES] = {0};
	size_t i = 0;

	for (; i + LANES <= d; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			acc[l] += x[i + l] * y[i + l];
	for (size_t l = 0; i < d; i++, l++)
		acc[l] += x[i] * y[i];
	return sum(acc);
}

RD_CLONES double rd_sqdist(const float *x, const float *y, size_t d)
{
	float acc[LANES] = {0};
	size_t i = 0;

	for (; i + LANES <= d; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			acc[l] += (x[i + l] - y[i + l]) * (x[i + l] - y[i + l]);
	for (size_t l = 0; i < d; i++, l++)
		acc[l] += (x[i] - y[i]) * (x[i] - y[i]);
	return sum(acc);
}

RD_CLONES double rd_dot_wide(const float *x, const float *y, size_t d)
{
	double acc[LANES] = {0}, s = 0;
	size_t i = 0;

	for (; i + LANES <= d; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			acc[l] += (double)x[i + l] * (double)y[i + l];
	for (size_t l = 0; i < d; i++, l++)
		acc[l] += (double)x[i] * (double)y[i];
	for (int l = 0; l < LANES; l++)
		s += acc[l];
	return s;
}

RD_CLONES double rd_dot_from(const float *from, const float *x, const float *y, size_t d)
{
	float acc[LANES] = {0};
	size_t i = 0;

	for (; i + LANES <= d; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			acc[l] += (x[i + l] - from[i + l]) * y[i + l];
	for (size_t l = 0; i < d; i++, l++)
		acc[l] += (x[i] - from[i]) * y[i];
	return sum(acc);
}
