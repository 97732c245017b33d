/* The meta of several inputs: what they say alike, the kinds in what they do not, bounds, and lists that nobody wrote. */
#include <stdbool.h>
#include <string.h>

#include "lib/data/joined.h"
#include "tests/check.h"

static struct rd_err e;

static json_t *read(const char *text)
{
	json_t *v = json_loads(text, 0, NULL);

	CHECK(v);
	return v;
}

/* Whether a list of meta comes to want, keys in order. */
static bool joins(const char *list, const char *want)
{
	json_t *l = read(list), *all;
	char *text;
	bool same;

	CHECK_OK(rd_joined_new(&all, l, &e), &e);
	text = json_dumps(all, JSON_COMPACT);
	same = text && !strcmp(text, want);
	if (!same)
		printf("%s\n  gives %s\n", list, text);
	free(text);
	json_decref(all);
	json_decref(l);
	return same;
}

static void test_one_kind(void)
{
	CHECK(joins("[{\"seed\":1,\"first\":5,\"count\":3,\"history\":[7]}]", "{\"seed\":1,\"first\":5,\"count\":3,\"history\":[7]}"));
	CHECK(joins("[{\"b\":1,\"first\":0,\"a\":2,\"count\":3},{\"a\":2,\"b\":1,\"first\":3,\"history\":[]}]", "{\"b\":1,\"first\":0,\"a\":2}"));
	CHECK(joins("[{},{\"class_names\":[\"x\"]}]", "{}"));
}

static void test_kinds(void)
{
	CHECK(joins("[{\"seed\":1,\"w\":1.0,\"count\":2},{\"w\":3.0,\"seed\":1,\"null_class\":3},{\"seed\":1,\"w\":1.0}]",
	            "{\"seed\":1,\"joined\":[{\"w\":1.0},{\"w\":3.0,\"null_class\":3}]}"));
	CHECK(joins("[{\"seed\":1},{}]", "{\"joined\":[{\"seed\":1},{}]}"));
	/* kinds of kinds, of which two are one */
	CHECK(joins("[{\"m\":1,\"joined\":[{\"w\":1},{\"w\":2}]},{\"m\":1,\"w\":2},{\"m\":1,\"w\":4}]",
	            "{\"m\":1,\"joined\":[{\"w\":1},{\"w\":2},{\"w\":4}]}"));
	/* what meta says itself is of all */
	CHECK(joins("[{\"m\":1,\"w\":5,\"joined\":[{\"w\":1},{\"w\":2}]}]", "{\"m\":1,\"w\":5}"));
}

static void test_parts(void)
{
	static const char *const meta[] = {"{\"m\":1}", "{\"m\":1,\"joined\":[{\"w\":1},{\"w\":2}]}", "{\"m\":1,\"joined\":3}",
	                                   "{\"joined\":[{\"w\":1},2]}", "{\"joined\":[{\"w\":1}]}"};
	static const char *const want[] = {"[{\"m\":1}]", "[{\"w\":1,\"m\":1},{\"w\":2,\"m\":1}]", "[{\"m\":1,\"joined\":3}]",
	                                   "[{\"joined\":[{\"w\":1},2]}]", "[{\"joined\":[{\"w\":1}]}]"};

	for (size_t i = 0; i < sizeof meta / sizeof *meta; i++) {
		json_t *m = read(meta[i]), *w = read(want[i]), *parts = rd_joined_parts(m);

		CHECK(json_equal(parts, w));
		json_decref(parts);
		json_decref(w);
		json_decref(m);
	}
}

static void test_true(void)
{
	static const struct {
		const char *meta;
		enum rd_joined_true want;
	} cases[] = {
		{"{}", RD_JOINED_NONE}, {"{\"w\":false}", RD_JOINED_NONE}, {"{\"w\":true}", RD_JOINED_ALL}, {"{\"w\":null}", RD_JOINED_SOME},
		{"{\"joined\":[{\"w\":true},{}]}", RD_JOINED_SOME}, {"{\"joined\":[{\"v\":1},{\"w\":true}]}", RD_JOINED_SOME},
		{"{\"w\":true,\"joined\":[{\"v\":1},{\"v\":2}]}", RD_JOINED_ALL}, {"{\"joined\":[{\"v\":1},{\"v\":2}]}", RD_JOINED_NONE},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_t *m = read(cases[i].meta);
		enum rd_joined_true got;

		CHECK_OK(rd_joined_true(&got, m, "w", &e), &e);
		CHECK(got == cases[i].want);
		json_decref(m);
	}
}

static json_t *numbered(int n, const char *labels)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		json_t *m = json_pack("{s:i, s:i, s:i}", "seed", i, "w", i % 2, "m", 7);

		if (labels)
			json_object_set_new(m, "labels", json_sprintf("%s%d", labels, i % 8));
		json_array_append_new(list, m);
	}
	return list;
}

/* Past the bound the key of the most values goes: that there are several is still said. */
static void test_bounds(void)
{
	json_t *list = numbered(RD_JOINED_PARTS, NULL), *all, *kinds;
	char long_text[4000];

	CHECK_OK(rd_joined_new(&all, list, &e), &e);
	CHECK(json_array_size(json_object_get(all, "joined")) == RD_JOINED_PARTS && !json_object_get(all, "seed"));
	json_decref(all);
	json_decref(list);

	kinds = read("[{\"w\":0},{\"w\":1}]");
	for (int n = RD_JOINED_PARTS + 1; n < 2000; n += 1900) { /* of few bytes, and of many */
		list = numbered(n, NULL);
		CHECK_OK(rd_joined_new(&all, list, &e), &e);
		CHECK(json_is_null(json_object_get(all, "seed")) && json_integer_value(json_object_get(all, "m")) == 7);
		CHECK(json_equal(json_object_get(all, "joined"), kinds));
		json_decref(all);
		json_decref(list);
	}

	memset(long_text, 'x', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	list = numbered(40, long_text); /* forty kinds, but of 160 KB */
	CHECK_OK(rd_joined_new(&all, list, &e), &e);
	CHECK(json_is_null(json_object_get(all, "labels")) && json_array_size(json_object_get(all, "joined")) == 40);
	CHECK(json_dumpb(json_object_get(all, "joined"), NULL, 0, JSON_COMPACT) <= RD_JOINED_BYTES);
	json_decref(kinds);
	json_decref(all);
	json_decref(list);
}

static void set_w(json_t *part, const void *ctx)
{
	json_object_set_new(part, "w", json_integer(*(const int *)ctx));
}

static void test_each(void)
{
	const int w = 9;
	json_t *m = read("{\"m\":1,\"count\":4,\"joined\":[{\"w\":1},{\"w\":2}]}"), *before = json_deep_copy(m), *all;

	CHECK_OK(rd_joined_each(&all, m, set_w, &w, &e), &e);
	CHECK(json_equal(m, before));
	json_decref(before);
	before = read("{\"m\":1,\"w\":9}");
	CHECK(json_equal(all, before));
	json_decref(before);
	json_decref(all);
	json_decref(m);
	m = read("{\"m\":1,\"count\":4}");
	CHECK_OK(rd_joined_each(&all, m, set_w, &w, &e), &e);
	before = read("{\"m\":1,\"count\":4,\"w\":9}");
	CHECK(json_equal(all, before));
	json_decref(before);
	json_decref(all);
	json_decref(m);
}

int main(void)
{
	test_one_kind();
	test_kinds();
	test_parts();
	test_true();
	test_bounds();
	test_each();
	return check_report("test_joined");
}
