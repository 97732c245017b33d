/* Checks of the C test programs: each failure prints its place and goes on; check_report is the exit status. */
#ifndef RD_TESTS_CHECK_H
#define RD_TESTS_CHECK_H

#include <math.h>
#include <stdio.h>

#include "lib/base/err.h"

static int check_passed, check_failed;

static inline void check_one(int ok, const char *file, int line, const char *what)
{
	if (ok) {
		check_passed++;
		return;
	}
	check_failed++;
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}

#define CHECK(cond) check_one(!!(cond), __FILE__, __LINE__, #cond)

/* A library call that must return RD_OK (or, for readers, not a negative code); prints its message where it does not. */
#define CHECK_OK(call, e) \
	do { \
		int check_rc = (call); \
		check_one(check_rc >= 0, __FILE__, __LINE__, check_rc >= 0 ? #call : (e)->msg); \
	} while (0)

/* |a - b| <= tol; NaN fails. */
#define CHECK_NEAR(a, b, tol) \
	do { \
		double check_a = (double)(a), check_b = (double)(b); \
		char check_m[200]; \
		snprintf(check_m, sizeof check_m, "%s = %.9g, %s = %.9g, tolerance %g", #a, check_a, #b, check_b, (double)(tol)); \
		check_one(fabs(check_a - check_b) <= (double)(tol), __FILE__, __LINE__, check_m); \
	} while (0)

static inline int check_report(const char *name)
{
	printf("%s: %d checks passed, %d failed\n", name, check_passed, check_failed);
	return check_failed || !check_passed;
}

#endif
