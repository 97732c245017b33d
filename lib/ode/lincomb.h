/* a x + b y, with the same numbers for every image of a batch or with its own for each: what solvers and prediction formulas are
 * made of. Holds the coefficients on the device, where the kernel wants one per image. */
#ifndef RD_LIB_ODE_LINCOMB_H
#define RD_LIB_ODE_LINCOMB_H

#include "kernels/kernels.h"

struct rd_lincomb {
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_dims d;
	float *coef, *host; /* of the device and the host, [2, n]: a and b go there together */
};

int rd_lincomb_init(struct rd_lincomb *l, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d,
                    struct rd_err *e) RD_MUST;
void rd_lincomb_free(struct rd_lincomb *l); /* a zeroed struct is fine */

/* out = a x + b y; y may be NULL (then b is not used); out may be x or y. Device samples of dims d. */
int rd_lincomb(struct rd_lincomb *l, double a, const void *x, double b, const void *y, void *out, struct rd_err *e) RD_MUST;
/* out_i = a[i] x_i + b[i] y_i for image i; a, b [n] on the host. */
int rd_lincomb_each(struct rd_lincomb *l, const double *a, const void *x, const double *b, const void *y, void *out,
                    struct rd_err *e) RD_MUST;

#endif
