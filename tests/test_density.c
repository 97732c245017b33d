/* The densities: their moments, shapes and components, and that a sample depends on its index alone. */
#include "lib/density/density.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/check.h"

enum { N = 100000 };
static float xy[2 * N], again[2 * N];
static int32_t part[N], part_again[N];

/* Mean 0, E r^2 = 2, within 5 standard errors. */
static void moments(void)
{
	double m[2] = { 0 }, r2 = 0, r4 = 0;

	for (int i = 0; i < N; i++) {
		double x = xy[2 * i], y = xy[2 * i + 1], r = x * x + y * y;

		m[0] += x / N;
		m[1] += y / N;
		r2 += r / N;
		r4 += r * r / N;
	}
	CHECK_NEAR(m[0], 0, 5 * sqrt(1.6 / N));
	CHECK_NEAR(m[1], 0, 5 * sqrt(1.6 / N));
	CHECK_NEAR(r2, 2, 5 * sqrt((r4 - 4) / N) + 1e-6);
}

/* k of them. */
static void components(int k)
{
	int n_of[16] = { 0 }, bad = 0;

	for (int i = 0; i < N; i++)
		if (part[i] < 0 || part[i] >= k)
			bad++;
		else
			n_of[part[i]]++;
	CHECK(bad == 0);
	for (int c = 0; c < k; c++)
		CHECK(n_of[c] > N / k / 3);
}

/* Ranges read one by one, and without components, are those read at once. */
static void ranges(const struct rd_density *d)
{
	rd_density_sample(d, 4, 1000, 777, again, NULL);
	CHECK(!memcmp(again, xy + 2 * 1000, 777 * 2 * sizeof *xy));
	for (uint64_t i = 90; i < 110; i++) {
		rd_density_sample(d, 4, i, 1, again, part_again);
		CHECK(!memcmp(again, xy + 2 * i, 2 * sizeof *xy) && part_again[0] == part[i]);
	}
	rd_density_sample(d, 5, 0, N, again, part_again);
	CHECK(memcmp(again, xy, sizeof xy) != 0);
}

/* The part of the samples that lie where the density has none, in units of the shape. */
static double misplaced(const char *name)
{
	int bad = 0;

	for (int i = 0; i < N; i++) {
		double x = xy[2 * i], y = xy[2 * i + 1], r = hypot(x, y);
		int32_t c = part[i];

		if (!strcmp(name, "8gaussians")) {
			double R = 1.39262, a = c * acos(-1) / 4;
			bad += hypot(x - R * cos(a), y - R * sin(a)) > 4 * R / 8;
		} else if (!strcmp(name, "checkerboard")) {
			int col = (int)floor(x / sqrt(3) * 2 + 2), row = (int)floor(y / sqrt(3) * 2 + 2);
			bad += col < 0 || col > 3 || row < 0 || row > 3 || (col + row) % 2 || c != row * 2 + col / 2;
		} else if (!strcmp(name, "moons")) {
			double a = 1.404285, u = x / a + 0.5, v = y / a + 0.25;
			double q = c ? hypot(u - 1, v - 0.5) : hypot(u, v);
			bad += fabs(q - 1) > 0.45 || (c ? v > 0.95 : v < -0.45);
		} else if (!strcmp(name, "spiral")) {
			double rho = r / 1.997505, turn = atan2(y, x) / (2 * acos(-1)) - 1.5 * rho - 0.5 * c;
			bad += rho > 0.3 && fabs(turn - round(turn)) / 1.5 > 0.13;
		} else {
			bad += fabs(r / 1.787068 - (c + 1) / 4.0) > 0.11;
		}
	}
	return (double)bad / N;
}

int main(void)
{
	/* XXH3 of samples 0..9999 of seed 4. */
	static const unsigned long long golden[] = {
		0x1310c487f3990392, 0xcc0c2c59c2e94c5f, 0xb53fab8bcac66728, 0x70718a138dbc5ce0, 0xc1b53ec9ed271973,
	};

	static const int parts[] = { 8, 8, 2, 2, 4 };

	for (int k = 0; rd_density_names[k]; k++) {
		const struct rd_density *d = rd_density_find(rd_density_names[k]);
		unsigned long long h;

		CHECK(d);
		if (!d)
			continue;
		rd_density_sample(d, 4, 0, N, xy, part);
		moments();
		components(parts[k]);
		ranges(d);
		CHECK_NEAR(misplaced(rd_density_names[k]), 0, 1e-3);
		h = XXH3_64bits(xy, 20000 * sizeof *xy);
		printf("%s: misplaced %g, hash of the first 10000 samples %016llx\n", rd_density_names[k],
		       misplaced(rd_density_names[k]), h);
		CHECK(h == golden[k]);
	}
	CHECK(!rd_density_find("nine gaussians"));
	return check_report("test_density");
}
