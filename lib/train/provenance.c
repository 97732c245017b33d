#include "lib/train/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/data/joined.h"

#define VALUES_SAID 3 /* of a key that differs from input to input */
#define RANGES_SAID 64 /* of the noise */

struct range {
	uint64_t seed, first, last;
};

struct input {
	char *name;
	json_t *parts; /* meta of each kind of its pairs */
	bool has_seed; /* all kinds are of one: */
	uint64_t seed;
	struct range *range;  /* the noise of its pairs, one for each seed */
	size_t n_ranges, ranges_room;
};

struct pair {
	uint64_t index, hash; /* of noise and label */
	size_t input;
};

struct rd_provenance {
	struct input *input;
	struct pair *pair;
	size_t n_inputs, n_pairs, inputs_room, pairs_room;
	bool rising; /* no index was added that is not above all before it: none is there twice */
};

int rd_provenance_new(struct rd_provenance **out, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof **out, "provenance", e);

	*out = rc ? NULL : p;
	if (!rc)
		(*out)->rising = true;
	return rc;
}

void rd_provenance_free(struct rd_provenance *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_inputs; i++) {
		free(p->input[i].name);
		json_decref(p->input[i].parts);
		free(p->input[i].range);
	}
	free(p->input);
	free(p->pair);
	free(p);
}

int rd_provenance_input(struct rd_provenance *p, const char *name, const json_t *meta, struct rd_err *e)
{
	enum rd_joined_true reverse;
	void *items = p->input;
	struct input in;
	int rc = rd_reserve(&items, &p->inputs_room, p->n_inputs + 1, sizeof in, "what the data were made by", e);

	p->input = items;
	if (rc)
		return rc;
	in = (struct input){.name = strdup(name), .parts = rd_joined_parts(meta)};
	p->input[p->n_inputs++] = in;
	if (!in.name || !in.parts)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", name);
	rc = rd_joined_true(&reverse, meta, "reverse", e);
	if (!rc && reverse == RD_JOINED_NONE)
		p->input[p->n_inputs - 1].has_seed = rd_json_to_u64(json_object_get(meta, "seed"), &p->input[p->n_inputs - 1].seed);
	return rc;
}

/* A pair's noise is of this seed. Seeds that come when there are too many are left out. */
static int note_seed(struct input *in, uint64_t seed, uint64_t index, struct rd_err *e)
{
	void *items = in->range;
	size_t i = in->n_ranges;
	int rc;

	while (i && in->range[i - 1].seed != seed)
		i--;
	if (i) {
		struct range *r = &in->range[i - 1];

		r->first = r->first < index ? r->first : index;
		r->last = r->last > index ? r->last : index;
		return RD_OK;
	}
	if (in->n_ranges == RANGES_SAID)
		return RD_OK;
	rc = rd_reserve(&items, &in->ranges_room, in->n_ranges + 1, sizeof *in->range, "what the data were made by", e);
	in->range = items;
	if (!rc)
		in->range[in->n_ranges++] = (struct range){seed, index, index};
	return rc;
}

int rd_provenance_add(struct rd_provenance *p, uint64_t index, const uint64_t *ref_seed, const float *noise, size_t dim, int32_t label,
                      struct rd_err *e)
{
	struct input *in = &p->input[p->n_inputs - 1];
	const uint64_t *seed = ref_seed ? ref_seed : in->has_seed ? &in->seed : NULL;
	void *items = p->pair;
	int rc = rd_reserve(&items, &p->pairs_room, p->n_pairs + 1, sizeof *p->pair, "what the data were made by", e);

	p->pair = items;
	if (rc)
		return rc;
	if (p->n_pairs && index <= p->pair[p->n_pairs - 1].index)
		p->rising = false;
	p->pair[p->n_pairs++] = (struct pair){index, XXH3_64bits_withSeed(noise, dim * sizeof *noise, (uint32_t)label),
	                                      p->n_inputs - 1};
	return seed ? note_seed(in, *seed, index, e) : RD_OK;
}

/* The same pairs side by side, in the order of their inputs. */
static int order(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->input > y->input) - (x->input < y->input);
}

int rd_provenance_check(struct rd_provenance *p, struct rd_err *e)
{
	int rc = RD_OK;

	if (!p->rising)
		qsort(p->pair, p->n_pairs, sizeof *p->pair, order);
	for (size_t i = 1; i < p->n_pairs && !p->rising && !rc; i++) {
		const struct pair *a = &p->pair[i - 1], *b = &p->pair[i];

		if (a->index == b->index && a->hash == b->hash)
			rc = rd_fail(e, RD_EFAIL, "%s: pair %llu is in %s already, of the same noise and label; each is to be given once",
			             p->input[b->input].name, (unsigned long long)b->index, p->input[a->input].name);
	}
	free(p->pair);
	p->pair = NULL;
	p->n_pairs = p->pairs_room = 0;
	return rc;
}

int rd_provenance_inputs(const struct rd_provenance *p)
{
	return (int)p->n_inputs;
}

/* A kind of pairs: those of an input, or some of them. */
struct kind {
	const struct input *of;
	const json_t *meta;
};

/* The i-th of all; false behind the last. */
static bool kind_at(const struct rd_provenance *p, size_t i, struct kind *k)
{
	for (size_t j = 0; p && j < p->n_inputs; i -= json_array_size(p->input[j++].parts))
		if (i < json_array_size(p->input[j].parts)) {
			*k = (struct kind){&p->input[j], json_array_get(p->input[j].parts, i)};
			return true;
		}
	return false;
}

/* NULL: it says nothing of the key. */
static char *value_of(const struct kind *k, const char *key)
{
	const json_t *v = json_object_get(k->meta, key);
	char *text = NULL;
	int rc = -1;

	if (json_is_string(v))
		rc = asprintf(&text, "%s", json_string_value(v));
	else if (json_is_number(v))
		rc = asprintf(&text, "%.15g", json_number_value(v));
	else if (json_is_boolean(v))
		rc = asprintf(&text, "%s", json_is_true(v) ? "on" : "off");
	return rc < 0 ? NULL : text;
}

char *rd_provenance_text(const struct rd_provenance *p, const char *key)
{
	char *seen[VALUES_SAID] = {NULL}, *text = NULL;
	struct kind k;
	int n = 0;

	for (size_t i = 0; n < VALUES_SAID && kind_at(p, i, &k); i++) {
		char *v = value_of(&k, key);
		bool known = !v;

		for (int j = 0; j < n && !known; j++)
			known = !strcmp(seen[j], v);
		if (known)
			free(v);
		else
			seen[n++] = v;
	}
	if (n && asprintf(&text, "%s%s%s%s", seen[0], n > 1 ? " and " : "", n > 1 ? seen[1] : "", n > 2 ? " and others" : "") < 0)
		text = NULL;
	for (int j = 0; j < n; j++)
		free(seen[j]);
	return text;
}

bool rd_provenance_says(const struct rd_provenance *p, const char *key, const char *value)
{
	bool found = false;
	struct kind k;

	for (size_t i = 0; !found && kind_at(p, i, &k); i++) {
		char *v = value_of(&k, key);

		found = v && !strcmp(v, value);
		free(v);
	}
	return found;
}

bool rd_provenance_differ(const struct rd_provenance *p, const char *key, struct rd_provenance_pair *which)
{
	struct kind k;

	*which = (struct rd_provenance_pair){0};
	for (size_t i = 0; kind_at(p, i, &k); i++) {
		char *v = value_of(&k, key);
		int at = which->value[0] ? 1 : 0;

		if (!v || (at && !strcmp(v, which->value[0]))) {
			free(v);
			continue;
		}
		which->name[at] = k.of->name;
		which->value[at] = v;
		if (at)
			return true;
	}
	free(which->value[0]);
	*which = (struct rd_provenance_pair){0};
	return false;
}

int64_t rd_provenance_null_class(const struct rd_provenance *p)
{
	int64_t found = -1;
	struct kind k;

	for (size_t i = 0; kind_at(p, i, &k); i++) {
		const json_t *v = json_object_get(k.meta, "null_class");

		if (!json_is_integer(v) || json_integer_value(v) < 0)
			continue;
		if (found >= 0 && json_integer_value(v) != found)
			return -1;
		found = json_integer_value(v);
	}
	return found;
}

/* A range of the list becomes one with first .. last of its seed. */
static int widen(json_t *range, uint64_t first, uint64_t last)
{
	uint64_t a, b;

	if (!rd_json_to_u64(json_object_get(range, "first"), &a) || !rd_json_to_u64(json_object_get(range, "last"), &b))
		return -1;
	return json_object_set_new(range, "first", rd_json_u64(a < first ? a : first)) |
	       json_object_set_new(range, "last", rd_json_u64(b > last ? b : last));
}

static bool touches(const json_t *range, uint64_t first, uint64_t last)
{
	uint64_t a, b;

	return rd_json_to_u64(json_object_get(range, "first"), &a) && rd_json_to_u64(json_object_get(range, "last"), &b) &&
	       (first <= b || first - b == 1) && (a <= last || a - last == 1);
}

/* Where the list is full, a range of the same seed takes in what lies between, too. */
static int add_range(json_t *list, const struct range *r)
{
	json_t *same = NULL;
	uint64_t seed;

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *range = json_array_get(list, i);

		if (!rd_json_to_u64(json_object_get(range, "seed"), &seed) || seed != r->seed)
			continue;
		if (touches(range, r->first, r->last))
			return widen(range, r->first, r->last);
		same = range;
	}
	if (json_array_size(list) == RANGES_SAID)
		return same ? widen(same, r->first, r->last) : 0;
	return json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "seed", rd_json_u64(r->seed), "first", rd_json_u64(r->first), "last",
	                                             rd_json_u64(r->last)));
}

json_t *rd_provenance_noise(const struct rd_provenance *p)
{
	json_t *list = json_array();
	int bad = !list;

	for (size_t i = 0; i < p->n_inputs; i++)
		for (size_t j = 0; j < p->input[i].n_ranges && !bad; j++)
			bad = add_range(list, &p->input[i].range[j]);
	if (!bad)
		return list;
	json_decref(list);
	return NULL;
}
