/* Two-dimensional densities to learn from. A sample is a pure function of (seed, index), the same bits everywhere: it
 * is made of the generator's numbers by + - * / and sqrt alone. Each density has mean 0 and E x^2 + E y^2 = 2, so that
 * its scale is that of the noise; no axis is stretched. A component is the part of the mixture that a sample came from.
 *
 *   8gaussians    8 equal gaussians on a circle of radius R, standard deviation R/8. Component: which, counter-clockwise
 *   checkerboard  uniform on 8 squares of a 4 x 4 board. Component: which, row by row from below
 *   moons         two interleaving half circles of radius 1 (before scaling), noise 0.1. Component: upper 0, lower 1
 *   spiral        two arms of 1.5 turns, radius growing with the angle, noise 1/40 of the largest. Component: which arm
 *   rings         radii 1 : 2 : 3 : 4, equally dense along their lengths, noise 1/40. Component: from within */
#ifndef RD_LIB_DENSITY_DENSITY_H
#define RD_LIB_DENSITY_DENSITY_H

#include <stddef.h>
#include <stdint.h>

struct rd_density;

extern const char *const rd_density_names[]; /* NULL-terminated */

/* NULL for an unknown name. */
const struct rd_density *rd_density_find(const char *name);

/* A density as a mixture of n equal isotropic gaussians of standard deviation *std, with centres xy[n][2]: exactly for
 * 8gaussians (n a multiple of 8), closely for what lies along curves (n in the thousands). For checkerboard *std is 0 and
 * xy[n][2] (n = 8) are the squares' lower left corners, *side their side; elsewhere *side is 0. */
void rd_density_centres(const struct rd_density *d, size_t n, double *xy, double *std, double *side);

/* Samples first .. first+n-1: xy[n][2], and component[n], which may be NULL. */
void rd_density_sample(const struct rd_density *d, uint64_t seed, uint64_t first, size_t n, float *xy,
                       int32_t *component);

#endif
