#include "lib/density/density.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/rng.h"

/* What a sample is made of: two normals, a whole number, two uniforms in (0, 1). */
struct draw {
	double z[2], u, v;
	uint32_t w;
};

struct rd_density {
	int n_components;
	double scale; /* the largest radius, or half the board's side, or the moons' radius */
	double noise; /* standard deviation, in units of scale */
	void (*place)(const struct draw *d, double p[2], int32_t *component); /* without noise, in units of scale */
};

/* Sine and cosine of a part of a turn, >= 0. libm's differ in their last bits from one version to another. */
static void sincos_turn(double turn, double *s, double *c)
{
	const int quarter = (int)(turn * 4 + 0.5);
	const double x = (turn * 4 - quarter) * 1.5707963267948966;
	double sine = 1, cosine = 1;

	for (int k = 9; k >= 1; k--) {
		cosine = 1 - x * x / ((2 * k - 1) * (2 * k)) * cosine;
		sine = 1 - x * x / ((2 * k) * (2 * k + 1)) * sine;
	}
	sine *= x;
	*s = quarter & 1 ? cosine : sine;
	*c = quarter & 1 ? sine : cosine;
	if (quarter & 2)
		*s = -*s;
	if ((quarter + 1) & 2)
		*c = -*c;
}

/* The upper bits of a word as one of n. */
static int32_t one_of(uint32_t w, uint32_t n)
{
	return (int32_t)((uint64_t)w * n >> 32);
}

static void place_8gaussians(const struct draw *d, double p[2], int32_t *component)
{
	*component = one_of(d->w, 8);
	sincos_turn(*component / 8.0, &p[1], &p[0]);
}

static void place_checkerboard(const struct draw *d, double p[2], int32_t *component)
{
	int32_t c = one_of(d->w, 8), row = c / 2;

	*component = c;
	p[0] = (c % 2 * 2 + row % 2 + d->u) / 2 - 1;
	p[1] = (row + d->v) / 2 - 1;
}

static void place_moons(const struct draw *d, double p[2], int32_t *component)
{
	*component = one_of(d->w, 2);
	sincos_turn(d->u / 2, &p[1], &p[0]);
	if (*component) {
		p[0] = 1 - p[0];
		p[1] = 0.5 - p[1];
	}
	p[0] -= 0.5;
	p[1] -= 0.25;
}

static void place_spiral(const struct draw *d, double p[2], int32_t *component)
{
	const double r = sqrt(d->u); /* an arm grows longer by the turn: this keeps it about equally dense */

	*component = one_of(d->w, 2);
	sincos_turn(1.5 * r + 0.5 * *component, &p[1], &p[0]);
	p[0] *= r;
	p[1] *= r;
}

static void place_rings(const struct draw *d, double p[2], int32_t *component)
{
	static const int32_t ring[] = { 0, 1, 1, 2, 2, 2, 3, 3, 3, 3 };

	*component = ring[one_of(d->w, 10)];
	sincos_turn(d->u, &p[1], &p[0]);
	p[0] *= (*component + 1) / 4.0;
	p[1] *= (*component + 1) / 4.0;
}

/* scale^2 (E |place|^2 + 2 noise^2) = 2: E |place|^2 is 1, 2/3, 0.994 (0.75 + 1/2 - (2/pi)^2 + (2/pi - 1/4)^2), 1/2,
 * 5/8, in the order below. */
static const struct rd_density densities[] = {
	{ 8, 1.3926212476455828, 0.125, place_8gaussians },
	{ 8, 1.7320508075688772, 0, place_checkerboard },
	{ 2, 1.4042851762946006, 0.1, place_moons },
	{ 2, 1.9975046777556893, 0.025, place_spiral },
	{ 4, 1.7870682064350811, 0.025, place_rings },
};

const char *const rd_density_names[] = { "8gaussians", "checkerboard", "moons", "spiral", "rings", NULL };

const struct rd_density *rd_density_find(const char *name)
{
	for (int i = 0; rd_density_names[i]; i++)
		if (!strcmp(name, rd_density_names[i]))
			return &densities[i];
	return NULL;
}

/* Block 0 of a sample's words gives its normals, block 1 the rest. */
static struct draw draw(uint64_t seed, uint64_t index, const float z[2])
{
	const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	const uint32_t ctr[4] = { 1, RD_RNG_DATA, (uint32_t)index, (uint32_t)(index >> 32) };
	uint32_t w[4];

	rd_philox4x32_10(ctr, key, w);
	return (struct draw){
		.z = { (double)z[0], (double)z[1] },
		.w = w[0],
		.u = (w[1] + 0.5) * 0x1p-32,
		.v = (w[2] + 0.5) * 0x1p-32,
	};
}

void rd_density_sample(const struct rd_density *d, uint64_t seed, uint64_t first, size_t n, float *xy,
                       int32_t *component)
{
	/* the normals are put where the samples go */
	rd_rng_normal_batch(seed, RD_RNG_DATA, first, xy, n, 2);
	for (size_t i = 0; i < n; i++) {
		const struct draw r = draw(seed, first + i, xy + 2 * i);
		double p[2];
		int32_t c;

		d->place(&r, p, &c);
		xy[2 * i] = (float)(d->scale * (p[0] + d->noise * r.z[0]));
		xy[2 * i + 1] = (float)(d->scale * (p[1] + d->noise * r.z[1]));
		if (component)
			component[i] = c;
	}
}

/* The whole numbers w at which one_of takes each of its values in turn; u and v in the middle of their intervals. */
void rd_density_centres(const struct rd_density *d, size_t n, double *xy, double *std, double *side)
{
	bool board = d->place == place_checkerboard;

	for (size_t i = 0; i < n; i++) {
		size_t parts = d->place == place_rings ? 10 : (size_t)d->n_components, part = i % parts, k = i / parts;
		struct draw r = {.w = (uint32_t)(((uint64_t)part << 32) / parts + 1)};
		double p[2];
		int32_t c;

		r.u = board ? 0 : ((double)k + 0.5) / ceil((double)n / (double)parts);
		d->place(&r, p, &c);
		xy[2 * i] = d->scale * p[0];
		xy[2 * i + 1] = d->scale * p[1];
	}
	*std = d->scale * d->noise;
	*side = board ? d->scale / 2 : 0;
}
