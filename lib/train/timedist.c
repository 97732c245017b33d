#include "lib/train/timedist.h"

#include <stddef.h>

#define N RD_TIMEDIST_CELLS

const char *const rd_time_sampling_names[] = {"uniform", "importance", NULL};

void rd_timedist_init(struct rd_timedist *d, enum rd_time_sampling s, double (*factor)(const void *ctx, double u),
                      const void *ctx)
{
	double k[N], sum = 0, at = 0;

	for (int i = 0; i < N; i++) {
		k[i] = s == RD_TIMES_UNIFORM ? 1 : factor(ctx, (i + 0.5) / N);
		sum += k[i];
	}
	for (int i = 0; i < N; i++) {
		d->cdf[i] = at;
		at += 0.5 / N + 0.5 * k[i] / sum;
	}
	d->cdf[N] = 1;
}

double rd_timedist_draw(const struct rd_timedist *d, double v, double *weight)
{
	int lo = 0, hi = N;
	double mass;

	while (hi - lo > 1) {
		int mid = (lo + hi) / 2;

		if (d->cdf[mid] <= v)
			lo = mid;
		else
			hi = mid;
	}
	mass = d->cdf[lo + 1] - d->cdf[lo];
	*weight = 1 / (N * mass);
	return (lo + (v - d->cdf[lo]) / mass) / N;
}
