#include "lib/ode/lincomb.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

int rd_lincomb_init(struct rd_lincomb *l, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc(&p, (size_t)d.n, 2 * sizeof *l->host, "coefficients", e);

	memset(l, 0, sizeof *l);
	if (rc)
		return rc;
	*l = (struct rd_lincomb){.be = be, .dev = dev, .d = d, .host = p};
	rc = be->alloc(dev, (void **)&l->coef, (size_t)d.n * 2 * sizeof *l->coef, e);
	if (rc)
		rd_lincomb_free(l);
	return rc;
}

void rd_lincomb_free(struct rd_lincomb *l)
{
	if (l->coef)
		l->be->release(l->dev, l->coef);
	free(l->host);
	memset(l, 0, sizeof *l);
}

/* a[stride i] and b[stride i] are image i's. */
static int combine(struct rd_lincomb *l, const double *a, const void *x, const double *b, const void *y, int64_t stride, void *out,
                   struct rd_err *e)
{
	int64_t n = l->d.n;
	int rc;

	for (int64_t i = 0; i < n; i++) {
		l->host[i] = (float)a[stride * i];
		if (y)
			l->host[n + i] = (float)b[stride * i];
	}
	rc = l->be->put(l->dev, l->coef, l->host, (size_t)(y ? 2 * n : n) * sizeof *l->host, e);
	return rc ? rc : l->be->combine(l->dev, l->d, l->coef, x, l->coef + n, y, out, e);
}

int rd_lincomb(struct rd_lincomb *l, double a, const void *x, double b, const void *y, void *out, struct rd_err *e)
{
	return combine(l, &a, x, &b, y, 0, out, e);
}

int rd_lincomb_each(struct rd_lincomb *l, const double *a, const void *x, const double *b, const void *y, void *out,
                    struct rd_err *e)
{
	return combine(l, a, x, b, y, 1, out, e);
}
