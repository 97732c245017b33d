#include "lib/ode/lincomb.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

int rd_lincomb_init(struct rd_lincomb *l, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc(&p, (size_t)d.n, sizeof *l->host, "coefficients", e);

	memset(l, 0, sizeof *l);
	if (rc)
		return rc;
	*l = (struct rd_lincomb){.be = be, .dev = dev, .d = d, .host = p};
	for (int i = 0; i < 2 && !rc; i++)
		rc = be->alloc(dev, &l->coef[i], (size_t)d.n * sizeof(float), e);
	if (rc)
		rd_lincomb_free(l);
	return rc;
}

void rd_lincomb_free(struct rd_lincomb *l)
{
	for (int i = 0; i < 2; i++)
		if (l->coef[i])
			l->be->release(l->dev, l->coef[i]);
	free(l->host);
	memset(l, 0, sizeof *l);
}

/* n numbers into a device array, v[stride i] for image i. */
static int put(struct rd_lincomb *l, void *dst, const double *v, int64_t stride, struct rd_err *e)
{
	for (int64_t i = 0; i < l->d.n; i++)
		l->host[i] = (float)v[stride * i];
	return l->be->put(l->dev, dst, l->host, (size_t)l->d.n * sizeof(float), e);
}

static int combine(struct rd_lincomb *l, const double *a, const void *x, const double *b, const void *y, int64_t stride, void *out,
                   struct rd_err *e)
{
	int rc = put(l, l->coef[0], a, stride, e);

	if (!rc && y)
		rc = put(l, l->coef[1], b, stride, e);
	return rc ? rc : l->be->combine(l->dev, l->d, l->coef[0], x, l->coef[1], y, out, e);
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
