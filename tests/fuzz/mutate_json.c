/* Mutation of JSON as a tree, so that what comes out parses and the readers behind the parser are reached. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static size_t count(const json_t *v)
{
	const char *key;
	json_t *child;
	size_t i, n = 1;

	json_array_foreach(v, i, child)
		n += count(child);
	json_object_foreach((json_t *)(uintptr_t)v, key, child)
		n += count(child);
	return n;
}

/* The value number *k in reading order; its number counts down to 0 on the way. */
static json_t *nth(json_t *v, size_t *k)
{
	json_t *child, *hit = NULL;
	const char *key;
	size_t i;

	if (!(*k)--)
		return v;
	json_array_foreach(v, i, child)
		if (!hit)
			hit = nth(child, k);
	if (!hit)
		json_object_foreach(v, key, child)
			if (!hit)
				hit = nth(child, k);
	return hit;
}

static json_t *pick(json_t *root, uint32_t *r)
{
	size_t k = fuzz_random(r) % count(root);

	return nth(root, &k);
}

static const char *word(const char *const *words, uint32_t *r)
{
	size_t n = 0;

	while (words[n])
		n++;
	return words[fuzz_random(r) % n];
}

static json_t *number(uint32_t *r)
{
	static const json_int_t ints[] = {0, 1, -1, 2, 3, 4, 7, 8, 11, 16, 28, 32, 33, 64, 100, 255, 256, 1000, 4096, 4097, 65536,
	                                  1 << 20, 1000000, INT32_MAX, (json_int_t)1 << 32, INT64_MAX, INT64_MIN};
	static const double reals[] = {0, -0.0, 0.5, 1, 1.5, -1, 1e-3, 1e-5, 1e-20, 1e-300, 1e-310, 1e20, 1e308, -1e308,
	                               0.0001, 0.02, 0.999, 80, 1e15};

	switch (fuzz_random(r) % 4) {
	case 0: return json_integer((json_int_t)(fuzz_random(r) % 16));
	case 1: return json_real(reals[fuzz_random(r) % (sizeof reals / sizeof *reals)]);
	default: return json_integer(ints[fuzz_random(r) % (sizeof ints / sizeof *ints)]);
	}
}

static json_t *fresh(json_t *root, const char *const *words, uint32_t *r)
{
	switch (fuzz_random(r) % 10) {
	case 0: return json_null();
	case 1: return json_boolean(fuzz_random(r) & 1);
	case 2: return json_object();
	case 3: return json_pack("[o, o]", number(r), number(r));
	case 4: return json_deep_copy(pick(root, r));
	case 5:
	case 6: return json_string(word(words, r));
	default: return number(r);
	}
}

static void change_array(json_t *a, json_t *root, const char *const *words, uint32_t *r)
{
	size_t i = json_array_size(a) ? fuzz_random(r) % json_array_size(a) : 0;

	switch (json_array_size(a) ? fuzz_random(r) % 4 : 0) {
	case 0: json_array_append_new(a, fresh(root, words, r)); break;
	case 1: json_array_insert_new(a, i, json_deep_copy(json_array_get(a, i))); break;
	case 2: json_array_remove(a, i); break;
	default: json_array_set_new(a, i, fresh(root, words, r)); break;
	}
}

static void change_object(json_t *o, json_t *root, const char *const *words, uint32_t *r)
{
	size_t skip = json_object_size(o) ? fuzz_random(r) % json_object_size(o) : 0;
	void *it = json_object_iter(o);
	json_t *copy;

	while (skip--)
		it = json_object_iter_next(o, it);
	switch (it ? fuzz_random(r) % 8 : 0) {
	case 0: json_object_set_new(o, word(words, r), fresh(root, words, r)); break;
	case 1: json_object_del(o, json_object_iter_key(it)); break;
	case 2:
		copy = json_deep_copy(json_object_iter_value(it));
		json_object_set_new(o, word(words, r), copy);
		break;
	default: json_object_iter_set_new(o, it, fresh(root, words, r)); break;
	}
}

size_t fuzz_mutate_json(uint8_t *data, size_t n, size_t max, uint32_t seed, const char *const *words)
{
	json_t *root = json_loadb((const char *)data, n, JSON_ALLOW_NUL, NULL);
	uint32_t r = seed;
	char *text = NULL;

	if (root && fuzz_random(&r) % 4) {
		for (uint32_t k = 1 + fuzz_random(&r) % 3; k; k--) {
			json_t *at = pick(root, &r);

			if (json_is_array(at))
				change_array(at, root, words, &r);
			else
				change_object(json_is_object(at) ? at : root, root, words, &r);
		}
		text = json_dumps(root, JSON_COMPACT);
	}
	json_decref(root);
	if (text && strlen(text) <= max) {
		n = strlen(text);
		memcpy(data, text, n);
	} else {
		n = fuzz_bytes(data, n, max);
	}
	free(text);
	return n;
}
