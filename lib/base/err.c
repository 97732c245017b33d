#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int rd_fail(struct rd_err *e, enum rd_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	return code;
}

int rd_fail_errno(struct rd_err *e, enum rd_code code, const char *fmt, ...)
{
	int err = errno;
	va_list ap;
	size_t n;

	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(err));
	errno = err;
	return code;
}

int rd_context(struct rd_err *e, const char *fmt, ...)
{
	char head[256], tail[sizeof e->msg];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(head, sizeof head, fmt, ap);
	va_end(ap);
	memcpy(tail, e->msg, sizeof tail);
	tail[sizeof tail - 1] = '\0';
	snprintf(e->msg, sizeof e->msg, "%.200s: %.300s", head, tail);
	return e->code;
}

int rd_exit_status(const struct rd_err *e)
{
	switch (e->code) {
	case RD_EUSAGE: return 2;
	case RD_EINPUT: return 3;
	default: return 1;
	}
}
