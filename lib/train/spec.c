#include "lib/train/spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rd_spec rd_spec_usual(const struct rd_spec_kind *kinds, int i)
{
	struct rd_spec s = {.kind = i};

	for (int j = 0; j < RD_SPEC_NUMBERS; j++)
		s.a[j] = kinds[i].number[j].usual;
	return s;
}

static int unknown(const struct rd_spec_kind *kinds, const char *option, const char *text, struct rd_err *e)
{
	char list[256] = "";
	size_t at = 0;

	for (; kinds->name && at < sizeof list - 1; kinds++)
		at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", kinds->name);
	return rd_fail(e, RD_EUSAGE, "%s %s: one of %s expected", option, text, list);
}

int rd_spec_parse(struct rd_spec *s, const struct rd_spec_kind *kinds, const char *option, const char *text, struct rd_err *e)
{
	size_t n = strcspn(text, ":");
	const char *at = text + n;
	int i = 0;

	while (kinds[i].name && (strlen(kinds[i].name) != n || strncmp(kinds[i].name, text, n)))
		i++;
	if (!kinds[i].name)
		return unknown(kinds, option, text, e);
	*s = rd_spec_usual(kinds, i);
	for (int j = 0; *at; j++) {
		const struct rd_spec_number *k = &kinds[i].number[j];
		char *end;

		if (j == RD_SPEC_NUMBERS || !k->name)
			return rd_fail(e, RD_EUSAGE, "%s %s: %s takes %s", option, text, kinds[i].name,
			               j == 0 ? "no number" : j == 1 ? "one number" : "two numbers");
		s->a[j] = strtod(at + 1, &end);
		if (end == at + 1 || (*end && *end != ',') || (*end && !end[1]))
			return rd_fail(e, RD_EUSAGE, "%s %s: a number expected as the %s", option, text, k->name);
		if (!(s->a[j] >= k->lo && s->a[j] <= k->hi))
			return rd_fail(e, RD_EUSAGE, "%s %s: the %s must be from %g to %g", option, text, k->name, k->lo, k->hi);
		at = end;
	}
	return RD_OK;
}

const char *rd_spec_text(const struct rd_spec *s, const struct rd_spec_kind *kinds, char *buf, size_t size)
{
	const struct rd_spec_kind *k = &kinds[s->kind];
	size_t at = (size_t)snprintf(buf, size, "%s", k->name);

	for (int j = 0; j < RD_SPEC_NUMBERS && k->number[j].name && at < size; j++)
		at += (size_t)snprintf(buf + at, size - at, "%c%.17g", j ? ',' : ':', s->a[j]);
	return buf;
}
