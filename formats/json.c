#include "formats/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/in.h"
#include "lib/base/names.h"

#define JSON_MAX_BYTES ((size_t)16 << 20)
#define EXACT_INT 9007199254740992.0 /* 2^53: up to here a double holds every integer */

/* Python's json writes infinities as bare words (diffusers' lambda_min_clipped is one). They become large numbers
 * (1e308), in place; strings are left alone. NaN has no such reading and stays an error. */
static void replace_infinities(char *text)
{
	static const char word[] = "Infinity";
	bool in_string = false;

	for (char *p = text; *p; p++) {
		if (*p == '"')
			in_string = !in_string;
		else if (in_string && *p == '\\' && p[1])
			p++;
		else if (!in_string && !strncmp(p, word, sizeof word - 1))
			memcpy(p, "1e308   ", sizeof word - 1);
	}
}

/* The last key that stands before byte n of a text: the one whose value a parser stumbled over. *len 0: there is none. */
static const char *last_key(const char *text, size_t n, int *len)
{
	const char *start = NULL, *key = text;
	size_t i = 0, string_len = 0;

	*len = 0;
	while (i < n) {
		if (text[i] == '"') {
			start = text + ++i;
			while (i < n && text[i] != '"')
				i += text[i] == '\\' ? 2 : 1;
			string_len = i < n ? (size_t)(text + i - start) : 0;
		} else if (text[i] == ':' && string_len) {
			key = start;
			*len = string_len < 60 ? (int)string_len : 60;
		}
		i++;
	}
	return key;
}

static int parse_error(const char *path, const char *text, size_t n, const json_error_t *je, struct rd_err *e)
{
	size_t at = je->position > 0 && (size_t)je->position < n ? (size_t)je->position : n;
	int len;
	const char *key = last_key(text, at, &len);

	return rd_fail(e, RD_EINPUT, "%s: line %d%s%.*s: %s", path, je->line, len ? ", at " : "", len, key, je->text);
}

int rd_json_load(const char *path, json_t **out, struct rd_err *e)
{
	json_error_t je;
	char *text;
	size_t n;
	int rc;

	*out = NULL;
	rc = rd_in_file(path, JSON_MAX_BYTES, &text, &n, e);
	if (rc)
		return rc;
	replace_infinities(text);
	*out = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	rc = *out ? RD_OK : parse_error(path, text, n, &je, e);
	free(text);
	if (rc)
		return rc;
	if (!json_is_object(*out)) {
		json_decref(*out);
		*out = NULL;
		return rd_fail(e, RD_EINPUT, "%s: an object {...} expected at the top", path);
	}
	return RD_OK;
}

/* NULL where the key is absent or null. */
static const json_t *value(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_null(v) ? NULL : v;
}

static int wrong(const json_t *v, const char *file, const char *key, const char *expected, struct rd_err *e)
{
	static const char *const name[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
		[JSON_INTEGER] = "an integer", [JSON_REAL] = "a number with a fraction", [JSON_TRUE] = "true",
		[JSON_FALSE] = "false", [JSON_NULL] = "null",
	};

	return rd_fail(e, RD_EINPUT, "%s: %s: %s expected, %s found", file, key, expected, name[json_typeof(v)]);
}

int rd_json_int(const json_t *o, const char *file, const char *key, int64_t def, int64_t lo, int64_t hi, int64_t *out,
                struct rd_err *e)
{
	const json_t *v = value(o, key);
	double d;

	*out = def;
	if (!v)
		return RD_OK;
	d = json_real_value(v);
	if (json_is_integer(v))
		*out = json_integer_value(v);
	else if (json_is_real(v) && d == floor(d) && fabs(d) <= EXACT_INT)
		*out = (int64_t)d; /* 1e3 and 1000.0 are integers too: JSON has one kind of number */
	else
		return wrong(v, file, key, "an integer", e);
	if (*out < lo || *out > hi)
		return rd_fail(e, RD_EINPUT, "%s: %s: %lld is outside %lld..%lld", file, key, (long long)*out,
		               (long long)lo, (long long)hi);
	return RD_OK;
}

int rd_json_num(const json_t *o, const char *file, const char *key, double def, double *out, struct rd_err *e)
{
	const json_t *v = value(o, key);

	*out = def;
	if (!v)
		return RD_OK;
	if (!json_is_number(v))
		return wrong(v, file, key, "a number", e);
	*out = json_number_value(v);
	return RD_OK;
}

int rd_json_bool(const json_t *o, const char *file, const char *key, bool def, bool *out, struct rd_err *e)
{
	const json_t *v = value(o, key);

	*out = def;
	if (!v)
		return RD_OK;
	if (!json_is_boolean(v))
		return wrong(v, file, key, "true or false", e);
	*out = json_is_true(v);
	return RD_OK;
}

/* The string of a key, or def; *s borrows it. */
static int string(const json_t *o, const char *file, const char *key, const char *def, const char **s, struct rd_err *e)
{
	const json_t *v = value(o, key);

	*s = def;
	if (!v)
		return def ? RD_OK : rd_fail(e, RD_EINPUT, "%s: %s: missing", file, key);
	if (!json_is_string(v))
		return wrong(v, file, key, "a string", e);
	*s = json_string_value(v);
	if (strlen(*s) != json_string_length(v))
		return rd_fail(e, RD_EINPUT, "%s: %s: a string with a zero character", file, key);
	return RD_OK;
}

int rd_json_str(const json_t *o, const char *file, const char *key, const char *def, char *buf, size_t cap,
                struct rd_err *e)
{
	const char *s;
	int rc = string(o, file, key, def, &s, e);

	if (rc)
		return rc;
	if (strlen(s) >= cap)
		return rd_fail(e, RD_EINPUT, "%s: %s: a string of %zu bytes, at most %zu fit", file, key, strlen(s),
		               cap - 1);
	memcpy(buf, s, strlen(s) + 1);
	return RD_OK;
}

int rd_json_choice(const json_t *o, const char *file, const char *key, const char *def, const char *const *names,
                   int *out, struct rd_err *e)
{
	char list[256];
	const char *s;
	int rc = string(o, file, key, def, &s, e);

	if (rc)
		return rc;
	*out = rd_names_find(names, s);
	return *out >= 0 ? RD_OK : rd_fail(e, RD_EINPUT, "%s: %s: '%.64s' is not one of %s", file, key, s,
	                                   rd_names_text(names, list, sizeof list));
}

char *rd_json_text(const json_t *o)
{
	return json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

json_t *rd_json_u64(uint64_t v)
{
	char text[24];

	if (v <= INT64_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof text, "%" PRIu64, v);
	return json_string(text);
}

bool rd_json_to_u64(const json_t *j, uint64_t *v)
{
	const char *s = json_string_value(j);

	if (json_is_integer(j) && json_integer_value(j) >= 0) {
		*v = (uint64_t)json_integer_value(j);
		return true;
	}
	if (!s || !*s)
		return false;
	for (*v = 0; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, (uint64_t)(*s - '0'), v))
			return false;
	return !*s;
}
