/* Checked access to JSON: what is there, what is absent, what is of the wrong kind, and the messages. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/out.h"
#include "tests/check.h"

static struct rd_err e;
static char path[] = "/tmp/test_json.XXXXXX";

static int load(const char *text, size_t n, json_t **o)
{
	CHECK_OK(rd_out_file(path, text, n, &e), &e);
	return rd_json_load(path, o, &e);
}

static void refused(const char *text, const char *why)
{
	json_t *o;

	CHECK(load(text, strlen(text), &o) == RD_EINPUT && !o);
	check_one(strstr(e.msg, path) && strstr(e.msg, why), __FILE__, __LINE__, e.msg);
}

static void test_load(void)
{
	static const char good[] = " {\"a\": [1, {\"b\": null}]}\n";
	json_t *o;

	CHECK_OK(load(good, sizeof good - 1, &o), &e);
	CHECK(json_object_size(o) == 1);
	json_decref(o);
	refused("", "line 1");
	refused("[1]", "an object");
	refused("{\"a\":1,\"a\":2}", "duplicate");
	refused("{\"a\":1} x", "end of file");
	refused("{\"a\":1,}", "line 1");
	refused("{\n\n\"a\":tru}", "line 3");
	refused("{\"a\":1e999}", "real");
	refused("{\"a\":NaN}", "line 1, at a");
	refused("{\"a\": \"b\",\n\"c\\\"d\": [1, 1e400]}", "line 2, at c\\\"d: ");
	refused("{\"a\": {\"b\": 99999999999999999999}}", "at b: too big");
	refused("{\"a\":\"\xff\"}", "decode");
	CHECK(load("{}\0{}", 5, &o) == RD_EINPUT);
	CHECK(rd_json_load("/nonexistent/x.json", &o, &e) == RD_EIO);
}

/* Python writes infinities as bare words; they count as very large numbers. A string that looks like one stays. */
static void test_infinity(void)
{
	static const char text[] = "{\"a\": -Infinity, \"b\": Infinity, \"Infinity\": \"\\\"Infinity\"}";
	json_t *o;
	double v;

	CHECK_OK(load(text, sizeof text - 1, &o), &e);
	CHECK_OK(rd_json_num(o, "f", "a", 0, &v, &e), &e);
	CHECK(v < -1e300);
	CHECK_OK(rd_json_num(o, "f", "b", 0, &v, &e), &e);
	CHECK(v > 1e300);
	CHECK(!strcmp(json_string_value(json_object_get(o, "Infinity")), "\"Infinity"));
	json_decref(o);
}

static void test_numbers(const json_t *o)
{
	int64_t i;
	double d;
	bool b;

	CHECK(rd_json_int(o, "f", "int", -1, 0, 10, &i, &e) == 0 && i == 7);
	CHECK(rd_json_int(o, "f", "whole", -1, 0, 2000, &i, &e) == 0 && i == 1000);
	CHECK(rd_json_int(o, "f", "none", -1, 0, 10, &i, &e) == 0 && i == -1);
	CHECK(rd_json_int(o, "f", "null", -1, 0, 10, &i, &e) == 0 && i == -1);
	CHECK(rd_json_int(o, "f", "int", -1, 8, 10, &i, &e) == RD_EINPUT && !strcmp(e.msg, "f: int: 7 is outside 8..10"));
	CHECK(rd_json_int(o, "f", "int", -1, 0, 6, &i, &e) == RD_EINPUT);
	CHECK(rd_json_int(o, "f", "real", -1, 0, 10, &i, &e) == RD_EINPUT && strstr(e.msg, "f: real: an integer expected"));
	CHECK(rd_json_int(o, "f", "huge", -1, 0, INT64_MAX, &i, &e) == RD_EINPUT);
	CHECK(rd_json_int(o, "f", "text", -1, 0, 10, &i, &e) == RD_EINPUT && strstr(e.msg, "a string found"));
	CHECK(rd_json_num(o, "f", "real", 0, &d, &e) == 0 && d == 0.1);
	CHECK(rd_json_num(o, "f", "int", 0, &d, &e) == 0 && d == 7);
	CHECK(rd_json_num(o, "f", "none", 2.5, &d, &e) == 0 && d == 2.5);
	CHECK(rd_json_num(o, "f", "true", 0, &d, &e) == RD_EINPUT && strstr(e.msg, "f: true: a number expected, true found"));
	CHECK(rd_json_bool(o, "f", "true", false, &b, &e) == 0 && b);
	CHECK(rd_json_bool(o, "f", "none", true, &b, &e) == 0 && b);
	CHECK(rd_json_bool(o, "f", "int", true, &b, &e) == RD_EINPUT);
}

static void test_strings(const json_t *o)
{
	static const char *const names[] = {"hello", "world", NULL};
	char s[6];
	int k = -1;

	CHECK(rd_json_str(o, "f", "text", NULL, s, sizeof s, &e) == 0 && !strcmp(s, "world"));
	CHECK(rd_json_str(o, "f", "none", "def", s, sizeof s, &e) == 0 && !strcmp(s, "def"));
	CHECK(rd_json_str(o, "f", "none", NULL, s, sizeof s, &e) == RD_EINPUT && !strcmp(e.msg, "f: none: missing"));
	CHECK(rd_json_str(o, "f", "text", NULL, s, 5, &e) == RD_EINPUT && strstr(e.msg, "at most 4"));
	CHECK(rd_json_str(o, "f", "int", NULL, s, sizeof s, &e) == RD_EINPUT);
	CHECK(rd_json_str(o, "f", "zero", NULL, s, sizeof s, &e) == RD_EINPUT);
	CHECK(rd_json_choice(o, "f", "text", "hello", names, &k, &e) == 0 && k == 1);
	CHECK(rd_json_choice(o, "f", "none", "hello", names, &k, &e) == 0 && k == 0);
	CHECK(rd_json_choice(o, "f", "other", "hello", names, &k, &e) == RD_EINPUT);
	CHECK(!strcmp(e.msg, "f: other: 'x' is not one of hello, world"));
}

static void test_text(void)
{
	static const double v[] = {0.1, 1.0 / 3, 1e-300, -2.5, 1e300, 123456789.123456789, 5e-324, 1};
	json_t *a = json_array(), *b;
	char *s;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		json_array_append_new(a, json_real(v[i]));
	json_array_append_new(a, json_integer(INT64_MIN));
	s = rd_json_text(a);
	CHECK(s && !strchr(s, ' ') && !strchr(s, '\n'));
	b = json_loads(s, 0, NULL);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		CHECK(json_real_value(json_array_get(b, i)) == v[i]);
	CHECK(json_equal(a, b));
	free(s);
	s = rd_json_text(json_null());
	CHECK(s && !strcmp(s, "null"));
	free(s);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	static const char text[] = "{\"int\":7, \"whole\":1e3, \"real\":0.1, \"huge\":1e30, \"null\":null, \"true\":true, "
	                           "\"text\":\"world\", \"other\":\"x\", \"zero\":\"a\\u0000b\"}";
	json_t *o = json_loads(text, JSON_ALLOW_NUL, NULL);

	CHECK(close(mkstemp(path)) == 0);
	CHECK(o != NULL);
	test_load();
	test_infinity();
	test_numbers(o);
	test_strings(o);
	test_text();
	json_decref(o);
	unlink(path);
	return check_report("test_json");
}
