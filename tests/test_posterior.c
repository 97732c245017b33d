/* E[x0 | x] against brute force: the density is sampled, or its definition summed, without any of the formulas. */
#include <stdlib.h>
#include <string.h>

#include "lib/density/density.h"
#include "lib/density/posterior.h"
#include "tests/check.h"

static struct rd_err e;

static struct rd_posterior *make(const char *spec)
{
	struct rd_posterior *p;

	CHECK_OK(rd_posterior_new(&p, spec, &e), &e);
	return p;
}

/* x0[n] of x[n], all at the same alpha and sigma; n up to 4. */
static void mean(const struct rd_posterior *p, double alpha, double sigma, size_t n, const float *x, float *x0)
{
	const double a[] = {alpha, alpha, alpha, alpha}, s[] = {sigma, sigma, sigma, sigma};

	rd_posterior_mean_each(p, a, s, n, x, x0);
}

/* One gaussian: the textbook's regression. */
static void gauss(void)
{
	struct rd_posterior *p = make("gauss,dim=3,mean=-0.7,std=0.4");
	float x[3] = {0.3f, -1.2f, 2}, x0[3];
	double a = 0.6, s = 0.8;

	CHECK(rd_posterior_dim(p) == 3);
	mean(p, a, s, 1, x, x0);
	for (int j = 0; j < 3; j++)
		CHECK_NEAR(x0[j], -0.7 + a * 0.16 / (a * a * 0.16 + s * s) * ((double)x[j] + a * 0.7), 1e-6);
	mean(p, 0, 1, 1, x, x0);
	CHECK_NEAR(x0[1], -0.7, 1e-6);
	mean(p, 0.5, 0, 1, x, x0);
	CHECK_NEAR(x0[2], 4, 1e-6);
	rd_posterior_free(p);
}

/* Bayes by summation over a grid of x0, where the density is known at every point. */
static void mixture(void)
{
	struct rd_posterior *p = make("mixture,dim=1");
	double a = 0.7, s = 0.5;

	for (float x = -2; x < 2.1f; x += 0.5f) {
		double num = 0, den = 0;
		float x0;

		for (double u = -5; u < 5; u += 1e-3) {
			double w = exp(-pow((u - 1) / 0.3, 2) / 2) + 2 * exp(-pow((u + 1) / 0.3, 2) / 2);

			w *= exp(-pow(((double)x - a * u) / s, 2) / 2);
			num += w * u;
			den += w;
		}
		mean(p, a, s, 1, &x, &x0);
		CHECK_NEAR(x0, num / den, 1e-6);
	}
	rd_posterior_free(p);
}

/* The 2-D densities: the mean over samples, each weighted by how likely it makes x. */
static void densities(void)
{
	enum { N = 400000 };
	float *xy = malloc(2 * N * sizeof *xy);

	for (int k = 0; rd_density_names[k]; k++) {
		struct rd_posterior *p = make(rd_density_names[k]);

		rd_density_sample(rd_density_find(rd_density_names[k]), 5, 0, N, xy, NULL);
		for (int i = 0; i < 12; i++) {
			double a = 0.8, s = i % 2 ? 0.6 : 0.25, num[2] = {0, 0}, den = 0, sq = 0;
			float x[2] = {(float)(a * (double)xy[2 * i] + 0.2 * s), (float)(a * (double)xy[2 * i + 1] - 0.3 * s)}, x0[2];

			for (int n = 0; n < N; n++) {
				double dx = (double)x[0] - a * (double)xy[2 * n], dy = (double)x[1] - a * (double)xy[2 * n + 1];
				double w = exp(-(dx * dx + dy * dy) / (2 * s * s));

				num[0] += w * (double)xy[2 * n];
				num[1] += w * (double)xy[2 * n + 1];
				den += w;
				sq += w * w;
			}
			mean(p, a, s, 1, x, x0);
			for (int j = 0; j < 2; j++) /* five standard errors, a coordinate's deviation being below 1.5 */
				CHECK_NEAR(x0[j], num[j] / den, 5 * fmin(1.5, 2 * s / a) * sqrt(sq) / den);
		}
		rd_posterior_free(p);
	}
	free(xy);
}

/* The checkerboard up to noise that leaves nothing of it: the posterior's mean and the trace of its covariance, worked out from
 * the same formulas to 80 digits. x is z sigma, alpha 1, sigma = 2^k. */
static void much_noise(void)
{
	static const struct {
		int k;
		float z[2];
		double mean[2], trace;
	} want[] = {
		{1, {0.5f, -1.25f}, {0.14617605452332439, -0.50059553018738699}, 1.6221701066942704},
		{1, {19, -0.125f}, {1.6224081285865782, 0.29892374938998454}, 0.78583521636348286},
		{2, {0.5f, -1.25f}, {0.068695684723518291, -0.27824349335452825}, 1.8899107266224115},
		{2, {19, -0.125f}, {1.5174700084940004, 0.37163075937930147}, 0.86226475976946226},
		{4, {0.5f, -1.25f}, {0.01664092807348688, -0.072090203412421786}, 1.9927475364274229},
		{4, {19, -0.125f}, {0.94542574636056248, 0.19635901603264237}, 1.4642256515688831},
		{13, {0.5f, -1.25f}, {3.2424927052976382e-5, -0.00014114379751783978}, 1.9999999722342183},
		{13, {5, 0.125f}, {0.00061321253606235474, 0.00012969970129910226}, 1.999999750007418},
		{27, {0.5f, -1.25f}, {1.9790604710578917e-9, -8.614733815193175e-9}, 1.9999999999999997},
		{27, {5, 0.125f}, {3.7427525967359527e-8, 7.9162418842315652e-9}, 1.9999999999999988},
		{40, {0.5f, -1.25f}, {2.4158453015843404e-13, -1.0516032489249482e-12}, 1.9999999999999998},
		{40, {5, 0.125f}, {4.5687897909374437e-12, 9.6633812063373614e-13}, 1.9999999999999998},
	};
	struct rd_posterior *p = make("checkerboard");

	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		const double alpha = 1, sigma = ldexp(1, want[i].k);
		float x[2] = {ldexpf(want[i].z[0], want[i].k), ldexpf(want[i].z[1], want[i].k)}, x0[2];
		double trace;

		mean(p, alpha, sigma, 1, x, x0);
		for (int j = 0; j < 2; j++)
			CHECK_NEAR(x0[j], want[i].mean[j], 1e-14 + 6e-8 * fabs(want[i].mean[j]));
		rd_posterior_jacobian_each(p, &alpha, &sigma, 1, x, NULL, &trace);
		CHECK_NEAR(trace * sigma * sigma, want[i].trace, 1e-9);
	}
	rd_posterior_free(p);
}

/* Jacobians against differences of the mean: the trace, and along both diagonals. */
static void jacobians(void)
{
	static const char *const specs[] = {"gauss", "mixture", "mixture,mean=0.4,std=0.5", "8gaussians", "checkerboard", "moons",
	                                    "spiral", "rings"};
	static const float diagonal[2][2] = {{1, 1}, {-1, 1}};
	const double a = 0.8, h = 0.01;

	for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
		struct rd_posterior *p = make(specs[k]);

		for (int i = 0; i < 24; i++) {
			double s = i % 3 == 0 ? 0.2 : i % 3 == 1 ? 0.6 : 5, trace, along;
			float at[2] = {0.1f * (float)(i - 12), 0.07f * (float)(17 - i)}, x[8], x0[8];
			double jac[2][2]; /* to fourth order in h */

			for (int c = 0; c < 2; c++) {
				for (int j = 0; j < 4; j++) {
					x[2 * j] = at[0];
					x[2 * j + 1] = at[1];
					x[2 * j + c] += (float)(h * (j < 2 ? j - 2 : j - 1));
				}
				mean(p, a, s, 4, x, x0);
				for (int r = 0; r < 2; r++)
					jac[r][c] = (8 * ((double)x0[4 + r] - (double)x0[2 + r]) - ((double)x0[6 + r] - (double)x0[r])) / (12 * h);
			}
			rd_posterior_jacobian_each(p, &a, &s, 1, at, NULL, &trace);
			CHECK_NEAR(trace, jac[0][0] + jac[1][1], 2e-3 * fmax(1, fabs(trace)));
			for (int d = 0; d < 2; d++) {
				rd_posterior_jacobian_each(p, &a, &s, 1, at, diagonal[d], &along);
				CHECK_NEAR(along, jac[0][0] + jac[1][1] + (d ? -1 : 1) * (jac[0][1] + jac[1][0]), 4e-3 * fmax(1, fabs(trace)));
			}
		}
		rd_posterior_free(p);
	}
}

/* Where there is no signal or no noise; and far away, where no variance may turn negative. */
static void jacobian_ends(void)
{
	struct rd_posterior *p = make("checkerboard");
	const double none = 0, half = 0.5, one = 1;
	float x[2] = {0.3f, -0.2f}, v[2] = {1, -1};
	double j;

	rd_posterior_jacobian_each(p, &none, &one, 1, x, NULL, &j);
	CHECK(j == 0);
	rd_posterior_jacobian_each(p, &half, &none, 1, x, v, &j);
	CHECK_NEAR(j, 4, 1e-12);
	for (float far = 1; far < 1e5f; far *= 3)
		for (double s = 1e-3; s < 2000; s *= 3) {
			x[0] = far;
			x[1] = -far / 2;
			rd_posterior_jacobian_each(p, &one, &s, 1, x, NULL, &j);
			CHECK(j >= -1e-9 && j <= 1e3);
		}
	rd_posterior_free(p);
}

/* Far outside a board the nearest edge is what x0 can be; no NaN at any distance. */
static void far_away(void)
{
	struct rd_posterior *p = make("checkerboard");
	float x[2] = {1000, -1000}, x0[2];

	for (double s = 1e-3; s < 2000; s *= 3) {
		mean(p, 1, s, 1, x, x0);
		CHECK(fabs((double)x0[0]) <= 1.7320509 && fabs((double)x0[1]) <= 1.7320509);
	}
	rd_posterior_free(p);
}

static void refusals(void)
{
	static const char *const bad[] = {"", "gaus", "gauss,dim=0", "gauss,dim=1.5", "gauss,std=-1", "gauss,std=nan", "gauss,dim",
	                                  "gauss,width=3", "gauss,dim=2x", "moons,dim=3", "mixture,mean=1e9"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rd_posterior *p;

		CHECK(rd_posterior_new(&p, bad[i], &e) == RD_EUSAGE && !p && strstr(e.msg, "analytic:"));
	}
}

int main(void)
{
	gauss();
	mixture();
	densities();
	far_away();
	much_noise();
	jacobians();
	jacobian_ends();
	refusals();
	return check_report("posterior");
}
