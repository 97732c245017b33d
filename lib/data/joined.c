#include "lib/data/joined.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define JOINED "joined"

/* Not of a kind, but of the samples at hand; what class names mean, no two inputs that have them say differently. */
static const char *const apart[] = {"count", "first", "history", "class_names"};

struct kinds {
	json_t *parts;    /* distinct objects */
	json_t *given_up; /* keys of too many values to list: null, also in parts that did not have them */
};

/* The list of kinds; NULL where there is none, or none that is written here. */
static const json_t *listed(const json_t *meta)
{
	const json_t *list = json_object_get(meta, JOINED);
	bool sound = json_array_size(list) > 1 && json_array_size(list) <= RD_JOINED_PARTS;

	for (size_t i = 0; sound && i < json_array_size(list); i++)
		sound = json_is_object(json_array_get(list, i));
	return sound ? list : NULL;
}

json_t *rd_joined_parts(const json_t *meta)
{
	const json_t *list = listed(meta);
	json_t *parts = json_array();
	int bad = !parts;

	for (size_t i = 0; i < (list ? json_array_size(list) : 1) && !bad; i++) {
		json_t *part = list ? json_copy(json_array_get(list, i)) : json_object();

		bad = !part || json_object_update(part, (json_t *)(uintptr_t)meta);
		if (part && list)
			json_object_del(part, JOINED);
		bad |= json_array_append_new(parts, part);
	}
	if (!bad)
		return parts;
	json_decref(parts);
	return NULL;
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

static bool has(const json_t *list, const json_t *v)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), v))
			return true;
	return false;
}

/* NULL-safe: a part need not have the key. */
static bool same(const json_t *a, const json_t *b)
{
	return a == b || json_equal(a, b);
}

static int add(struct kinds *k, json_t *part)
{
	return has(k->parts, part) ? 0 : json_array_append(k->parts, part);
}

/* Characters that the different values of a key take; 0 where all parts say the same. */
static size_t weight(const struct kinds *k, const char *key)
{
	json_t *seen = json_array(), *first = json_object_get(json_array_get(k->parts, 0), key);
	bool differs = false;
	size_t sum = 0;

	for (size_t i = 0; i < json_array_size(k->parts); i++) {
		json_t *v = json_object_get(json_array_get(k->parts, i), key);

		differs |= !same(first, v);
		if (!v || has(seen, v))
			continue;
		json_array_append(seen, v);
		sum += json_dumpb(v, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
	}
	json_decref(seen);
	return differs ? sum : 0;
}

/* All keys of all parts; NULL without memory. */
static json_t *keys_of(const struct kinds *k)
{
	json_t *keys = json_object();

	for (size_t i = 0; i < json_array_size(k->parts); i++)
		if (json_object_update(keys, json_array_get(k->parts, i))) {
			json_decref(keys);
			return NULL;
		}
	return keys;
}

/* The key whose values take the most room is no longer told apart. */
static int give_up_one(struct kinds *k)
{
	json_t *keys = keys_of(k), *parts = k->parts, *v;
	const char *key, *worst = NULL;
	size_t most = 0;
	int bad = !keys;

	json_object_foreach(keys, key, v) {
		size_t w = weight(k, key);

		if (w > most) {
			most = w;
			worst = key;
		}
	}
	bad = bad || !worst || json_object_set_new(k->given_up, worst, json_null());
	k->parts = json_array();
	bad |= !k->parts;
	for (size_t i = 0; i < json_array_size(parts) && !bad; i++) {
		json_t *part = json_array_get(parts, i);

		bad = json_object_set_new(part, worst, json_null()) || add(k, part);
	}
	json_decref(parts);
	json_decref(keys);
	return bad ? -1 : 0;
}

/* What meta says by itself, of every kind in it. */
static int add_meta(struct kinds *k, const json_t *meta)
{
	json_t *parts = rd_joined_parts(meta);
	int bad = !parts;

	for (size_t i = 0; i < json_array_size(parts) && !bad; i++) {
		json_t *part = json_array_get(parts, i);
		const char *key;
		json_t *v;

		for (size_t j = 0; j < sizeof apart / sizeof *apart; j++)
			json_object_del(part, apart[j]);
		json_object_foreach(k->given_up, key, v)
			bad |= json_object_set(part, key, v);
		bad = bad || add(k, part);
		while (!bad && json_array_size(k->parts) > RD_JOINED_PARTS)
			bad = give_up_one(k);
	}
	json_decref(parts);
	return bad ? -1 : 0;
}

/* Keys that all parts say alike move from the parts to meta, those that they do not leave meta. */
static int spread(const struct kinds *k, json_t *meta)
{
	json_t *keys = keys_of(k), *v;
	size_t n = json_array_size(k->parts);
	const char *key;
	int bad = !keys;

	json_object_foreach(keys, key, v) {
		json_t *first = json_object_get(json_array_get(k->parts, 0), key);
		bool alike = true;

		for (size_t i = 1; i < n && alike; i++)
			alike = same(first, json_object_get(json_array_get(k->parts, i), key));
		if (alike)
			bad |= json_object_set(meta, key, first);
		else
			json_object_del(meta, key);
		for (size_t i = 0; i < n && alike; i++)
			json_object_del(json_array_get(k->parts, i), key);
	}
	json_object_del(meta, JOINED);
	if (n > 1)
		bad |= json_object_set(meta, JOINED, k->parts);
	json_decref(keys);
	return bad ? -1 : 0;
}

/* The kinds in a list of meta become those of to. */
static int join(json_t *to, const json_t *list, struct rd_err *e)
{
	struct kinds k = {json_array(), json_object()};
	int bad = !k.parts || !k.given_up;

	for (size_t i = 0; i < json_array_size(list) && !bad; i++)
		bad = add_meta(&k, json_array_get(list, i));
	for (;;) {
		bad = bad || spread(&k, to);
		if (bad || json_dumpb(k.parts, NULL, 0, JSON_COMPACT) <= RD_JOINED_BYTES)
			break;
		bad = give_up_one(&k);
	}
	json_decref(k.parts);
	json_decref(k.given_up);
	return bad ? rd_fail(e, RD_ENOMEM, "no memory for what the samples were made by") : RD_OK;
}

int rd_joined_new(json_t **out, const json_t *list, struct rd_err *e)
{
	json_t *meta = json_copy(json_array_get(list, 0));
	int rc = meta ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for what the samples were made by");

	*out = NULL;
	if (json_array_size(list) > 1) /* it was of the first */
		json_object_del(meta, "count");
	if (!rc)
		rc = join(meta, list, e);
	if (rc)
		json_decref(meta);
	else
		*out = meta;
	return rc;
}

int rd_joined_each(json_t **out, const json_t *meta, void (*change)(json_t *part, const void *ctx), const void *ctx, struct rd_err *e)
{
	json_t *own = json_deep_copy(meta), *parts = own ? rd_joined_parts(own) : NULL;
	int rc;

	*out = NULL;
	for (size_t i = 0; i < json_array_size(parts); i++)
		change(json_array_get(parts, i), ctx);
	rc = parts ? rd_joined_new(out, parts, e) : rd_fail(e, RD_ENOMEM, "no memory for what the samples were made by");
	json_decref(parts);
	json_decref(own);
	return rc;
}

int rd_joined_true(enum rd_joined_true *out, const json_t *meta, const char *key, struct rd_err *e)
{
	json_t *parts = rd_joined_parts(meta);
	bool some = false, all = true;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *v = json_object_get(json_array_get(parts, i), key);

		some |= json_is_true(v) || json_is_null(v);
		all &= json_is_true(v);
	}
	*out = !some ? RD_JOINED_NONE : all ? RD_JOINED_ALL : RD_JOINED_SOME;
	json_decref(parts);
	return parts ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for what the samples were made by");
}
