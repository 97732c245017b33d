/* Several inputs as one source: opened one after another, each held to what the first one was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/data/joined.h"
#include "lib/data/source_impl.h"

struct rd_source {
	char **path;
	int n_paths, next_path, n_opened;
	struct rd_input_look *look; /* at paths that cannot be opened twice */
	char role[RD_FRAME_NAME]; /* wanted; "": any */
	struct rd_stream stream;  /* of the first input; its meta is that of all */
	char *first_name;
	json_t *class_names;      /* of the first input that has some; NULL: none yet */
	char *named_by;           /* that input */
	struct rd_shape sample[RD_FRAME_MAX_FIELDS]; /* nd = -1: not known yet */
	struct rd_input *in;                /* being read; NULL between two, and behind the last */
	int of_input[RD_FRAME_MAX_FIELDS];  /* its field that is our k-th */
	struct rd_batch view;               /* its batch in our order; borrowed */
	uint64_t next_index;                /* where an array goes on counting */
	bool counts_rejected;
	uint64_t rejected;
	json_t *end_meta;         /* of the input that ended last; NULL: none */
};

static int copy_paths(struct rd_source *s, const char *const *paths, int n, struct rd_err *e)
{
	int stdins = 0, rc;
	void *p;

	rc = rd_alloc0(&p, (size_t)n, sizeof *s->path, "inputs", e);
	s->path = p;
	if (!rc)
		rc = rd_alloc0(&p, (size_t)n, sizeof *s->look, "inputs", e);
	s->look = rc ? NULL : p;
	for (int i = 0; !rc && i < n; i++) {
		if (!strcmp(paths[i], "-") && stdins++)
			return rd_fail(e, RD_EUSAGE, "standard input is read once: it is there twice");
		s->path[i] = strdup(paths[i]);
		if (!s->path[i])
			rc = rd_fail(e, RD_ENOMEM, "%s: no memory", paths[i]);
		s->n_paths++;
	}
	return rc;
}

/* How many of the paths from the next one on are NAME=PATH, every NAME a new one: they stand side by side. */
static int group_size(const struct rd_source *s)
{
	char **arg = s->path + s->next_path;
	int n = 0;

	for (; s->next_path + n < s->n_paths; n++) {
		size_t len = rd_input_name_len(arg[n]);

		for (int i = 0; i < n && len; i++)
			if (!strncmp(arg[i], arg[n], len + 1))
				len = 0;
		if (!len)
			break;
	}
	return n;
}

static int set_stream(struct rd_source *s, const struct rd_input *in, struct rd_err *e)
{
	s->stream = in->stream;
	json_incref(s->stream.meta);
	s->first_name = strdup(in->name);
	return s->first_name ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", in->name);
}

/* A value of meta in few words: text itself, a node's time, how many nodes. */
static void brief(const json_t *v, char *out, size_t cap)
{
	const json_t *t = json_object_get(v, "t");

	if (json_is_string(v))
		snprintf(out, cap, "%s", json_string_value(v));
	else if (json_is_number(t))
		snprintf(out, cap, "t = %g", json_number_value(t));
	else if (json_is_array(t))
		snprintf(out, cap, "%zu points", json_array_size(t));
	else
		snprintf(out, cap, "%s", v ? "another" : "none");
}

/* What the numbers mean must agree too. */
static int match_meta(const struct rd_source *s, const struct rd_input *in, struct rd_err *e)
{
	static const char *const keys[] = {"form", "start", "grid", "knots", "contexts"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const json_t *a = json_object_get(s->stream.meta, keys[i]), *b = json_object_get(in->stream.meta, keys[i]);
		char x[100], y[100];

		if (a == b || json_equal(a, b))
			continue;
		brief(a, x, sizeof x);
		brief(b, y, sizeof y);
		return rd_fail(e, RD_EINPUT, "%s: its %s (%s) is not that of %s (%s)", in->name, keys[i],
		               strcmp(x, y) ? y : "another", s->first_name, x);
	}
	return RD_OK;
}

/* The labels of two inputs mean the same: an input that does not say what they mean is taken at that. */
static int match_classes(struct rd_source *s, const struct rd_input *in, struct rd_err *e)
{
	json_t *names = json_object_get(in->stream.meta, "class_names");

	if (!names)
		return RD_OK;
	if (s->class_names)
		return json_equal(s->class_names, names) ? RD_OK : rd_fail(e, RD_EINPUT, "%s: its classes (class_names) are not those of %s",
		                                                            in->name, s->named_by);
	s->named_by = strdup(in->name);
	if (!s->named_by)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", in->name);
	s->class_names = json_incref(names);
	return RD_OK;
}

/* The same fields in any order; of_input: which of the input's our k-th is. */
static int match_stream(struct rd_source *s, const struct rd_input *in, int *of_input, struct rd_err *e)
{
	int rc;

	if (!s->first_name && set_stream(s, in, e))
		return e->code;
	for (int k = 0; k < s->stream.n_fields; k++) {
		of_input[k] = rd_stream_field(&in->stream, s->stream.field[k]);
		if (of_input[k] < 0)
			return rd_fail(e, RD_EINPUT, "%s: has no field '%s', unlike %s", in->name, s->stream.field[k],
			               s->first_name);
	}
	for (int k = 0; k < in->stream.n_fields; k++)
		if (rd_stream_field(&s->stream, in->stream.field[k]) < 0)
			return rd_fail(e, RD_EINPUT, "%s: has a field '%s', unlike %s", in->name, in->stream.field[k], s->first_name);
	rc = match_meta(s, in, e);
	return rc ? rc : match_classes(s, in, e);
}

/* Field k of the input is one of samples of this shape. */
static int match_shape(struct rd_source *s, int k, const struct rd_shape *one, struct rd_err *e)
{
	char a[200], b[200];

	if (s->sample[k].nd < 0)
		s->sample[k] = *one;
	if (rd_shape_eq(&s->sample[k], one))
		return RD_OK;
	return rd_fail(e, RD_EINPUT, "%s: a sample of field '%s' is %s, but %s in %s%s", rd_input_field_name(s->in, s->of_input[k]),
	               s->stream.field[k], rd_shape_str(one, a, sizeof a), rd_shape_str(&s->sample[k], b, sizeof b), s->first_name,
	               rd_sample_shape_hint(one));
}

/* An archive without a pair, whose fields are not all known, is held to its role alone; it is what the source is like only where
 * nothing else follows. */
static bool passed_over(const struct rd_source *s, const struct rd_input *in)
{
	return in->empty && (s->first_name || s->next_path < s->n_paths);
}

static int match_role(const struct rd_source *s, const struct rd_input *in, struct rd_err *e)
{
	if (s->role[0] && strcmp(s->role, in->stream.role))
		return rd_fail(e, RD_EINPUT, "%s: holds %s, %s expected", in->name, in->stream.role, s->role);
	if (s->first_name && strcmp(s->stream.role, in->stream.role))
		return rd_fail(e, RD_EINPUT, "%s: holds %s, but %s holds %s", in->name, in->stream.role, s->first_name,
		               s->stream.role);
	return RD_OK;
}

static int open_next(struct rd_source *s, struct rd_err *e)
{
	const int group = group_size(s);
	const char *const *arg = (const char *const *)s->path + s->next_path;
	int rc;

	if (group)
		rc = rd_input_named(&s->in, arg, group, s->next_index, e);
	else
		rc = rd_input_open(&s->in, arg[0], &s->look[s->next_path], s->next_index, e);
	s->next_path += group ? group : 1;
	s->n_opened++;
	if (!rc)
		rc = match_role(s, s->in, e);
	if (rc || passed_over(s, s->in))
		return rc;
	rc = match_stream(s, s->in, s->of_input, e);
	for (int k = 0; !rc && k < s->stream.n_fields; k++)
		if (s->in->sample[s->of_input[k]].nd >= 0)
			rc = match_shape(s, k, &s->in->sample[s->of_input[k]], e);
	return rc;
}

/* The input being read has come to its end. */
static void close_input(struct rd_source *s)
{
	s->counts_rejected |= s->in->counts_rejected;
	s->rejected += s->in->rejected;
	json_decref(s->end_meta);
	s->end_meta = json_incref(s->in->end_meta);
	rd_input_close(s->in);
	s->in = NULL;
}

/* Inputs up to the first that says what the source is like. */
static int open_first(struct rd_source *s, struct rd_err *e)
{
	int rc = open_next(s, e);

	while (!rc && !s->first_name) {
		rc = s->in->ops->next(s->in, e);
		close_input(s);
		if (!rc)
			rc = open_next(s, e);
	}
	return rc;
}

/* --- what follows the first input --------------------------------------------------------------------------------- */

/* Path i is held to the first input before anything is read, and its meta joins the list. Arrays and folders have none. */
static int look_at(struct rd_source *s, int i, json_t *list, struct rd_err *e)
{
	struct rd_input_look *look = &s->look[i];
	int rc = rd_input_name_len(s->path[i]) ? RD_OK : rd_input_look(look, s->path[i], e);
	const struct rd_input *in = look->in;
	int unused[RD_FRAME_MAX_FIELDS];

	if (!rc && in)
		rc = match_role(s, in, e);
	if (!rc && in && passed_over(s, in))
		return RD_OK;
	if (!rc && in)
		rc = match_stream(s, in, unused, e);
	if (!rc && json_array_append_new(list, in ? json_incref(in->stream.meta) : json_object()))
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory", s->path[i]);
	return rc;
}

/* The stream's meta comes to be that of all inputs, of which the first is open. */
static int look_ahead(struct rd_source *s, struct rd_err *e)
{
	json_t *list = json_array(), *all;
	int rc = list && !json_array_append(list, s->stream.meta) ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for a source");

	for (int i = s->next_path; i < s->n_paths && !rc; i++) {
		rc = look_at(s, i, list, e);
		if (!s->look[i].once)
			rd_input_look_end(&s->look[i]);
	}
	if (!rc)
		rc = rd_joined_new(&all, list, e);
	if (!rc) {
		json_decref(s->stream.meta);
		s->stream.meta = all;
	}
	json_decref(list);
	return rc;
}

int rd_source_open(struct rd_source **out, const char *const *paths, int n_paths, const char *role, struct rd_err *e)
{
	struct rd_source *s;
	int rc;

	*out = NULL;
	if (n_paths < 1)
		return rd_fail(e, RD_EUSAGE, "no input");
	s = calloc(1, sizeof *s);
	if (!s)
		return rd_fail(e, RD_ENOMEM, "no memory for a source");
	for (int k = 0; k < RD_FRAME_MAX_FIELDS; k++)
		s->sample[k].nd = -1;
	strncpy(s->role, role ? role : "", sizeof s->role - 1);
	rc = copy_paths(s, paths, n_paths, e);
	if (!rc)
		rc = open_first(s, e);
	if (!rc && s->next_path < s->n_paths)
		rc = look_ahead(s, e);
	if (rc)
		rd_source_close(s);
	else
		*out = s;
	return rc;
}

const struct rd_stream *rd_source_stream(const struct rd_source *s)
{
	return &s->stream;
}

bool rd_source_sample_shape(const struct rd_source *s, int k, struct rd_shape *out)
{
	*out = s->sample[k];
	return out->nd >= 0;
}

/* The input's batch as ours. */
static int show(struct rd_source *s, struct rd_err *e)
{
	const struct rd_batch *b = &s->in->batch;
	struct rd_shape one;
	int rc = RD_OK;

	s->view.first = b->first;
	s->view.n = b->n;
	for (int k = 0; !rc && k < s->stream.n_fields; k++) {
		const int j = s->of_input[k];

		one = rd_shape_make(b->f[j].shape.nd - 1, b->f[j].shape.d + 1);
		rc = match_shape(s, k, &one, e);
		s->view.f[k] = b->f[j];
		s->view.ref[k] = b->ref[j];
		s->view.ref_seed[k] = b->ref_seed[j];
	}
	s->next_index = b->first + (uint64_t)b->n;
	return rc;
}

int rd_source_next(struct rd_source *s, const struct rd_batch **b, struct rd_err *e)
{
	int rc;

	*b = NULL;
	for (;;) {
		if (!s->in && s->next_path == s->n_paths)
			return 0;
		rc = s->in ? RD_OK : open_next(s, e);
		if (!rc)
			rc = s->in->ops->next(s->in, e);
		if (rc)
			break;
		close_input(s);
	}
	if (rc > 0)
		rc = show(s, e);
	if (rc)
		return rc;
	*b = &s->view;
	return 1;
}

bool rd_source_rejected(const struct rd_source *s, uint64_t *n)
{
	*n = s->rejected;
	return s->counts_rejected;
}

const json_t *rd_source_end_meta(const struct rd_source *s)
{
	return s->end_meta;
}

const char *rd_source_name(const struct rd_source *s)
{
	return s->in ? s->in->name : s->first_name;
}

const json_t *rd_source_meta(const struct rd_source *s)
{
	return s->in ? s->in->stream.meta : s->stream.meta;
}

int rd_source_inputs(const struct rd_source *s)
{
	return s->n_opened;
}

bool rd_source_more(const struct rd_source *s)
{
	return s->next_path < s->n_paths;
}

const json_t *rd_source_class_names(const struct rd_source *s)
{
	return s->class_names;
}

const char *rd_source_field_name(const struct rd_source *s, int k)
{
	return s->in ? rd_input_field_name(s->in, s->of_input[k]) : s->first_name;
}

bool rd_source_is_empty(const struct rd_source *s)
{
	return s->in && s->in->empty;
}

void rd_source_close(struct rd_source *s)
{
	if (!s)
		return;
	rd_input_close(s->in);
	rd_stream_free(&s->stream);
	for (int i = 0; i < s->n_paths; i++) {
		rd_input_look_end(&s->look[i]);
		free(s->path[i]);
	}
	free(s->look);
	free(s->path);
	free(s->first_name);
	json_decref(s->class_names);
	json_decref(s->end_meta);
	free(s->named_by);
	free(s);
}
