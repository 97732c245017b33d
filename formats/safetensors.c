#include "formats/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/size.h"

/*
 *	u64 little-endian   length of the header
 *	header              {"__metadata__": {..}, "name": {"dtype":, "shape":, "data_offsets": [begin, end]}, ..}
 *	data                the tensors, contiguous; offsets count from here
 */
#define HEADER_MAX ((size_t)100 << 20)
#define METADATA "__metadata__"

/* Types of elements; those that are only listed have no rd_dtype, and some are narrower than a byte. */
static const struct st_type {
	const char *name;
	unsigned bits;
	enum rd_dtype dtype;
} st_types[] = {
	{"F32", 32, RD_F32}, {"F16", 16, RD_F16}, {"BF16", 16, RD_BF16}, {"F64", 64, RD_F64}, {"U8", 8, RD_U8},
	{"I32", 32, RD_I32}, {"I64", 64, RD_I64}, {"BOOL", 8, RD_N_DTYPES}, {"I8", 8, RD_N_DTYPES},
	{"I16", 16, RD_N_DTYPES}, {"U16", 16, RD_N_DTYPES}, {"U32", 32, RD_N_DTYPES}, {"U64", 64, RD_N_DTYPES},
	{"C64", 64, RD_N_DTYPES}, {"F8_E4M3", 8, RD_N_DTYPES}, {"F8_E5M2", 8, RD_N_DTYPES},
	{"F8_E8M0", 8, RD_N_DTYPES}, {"F6_E2M3", 6, RD_N_DTYPES}, {"F6_E3M2", 6, RD_N_DTYPES}, {"F4", 4, RD_N_DTYPES},
};
#define N_TYPES (sizeof st_types / sizeof *st_types)

struct rd_safetensors {
	const char *path; /* valid while the file is being opened */
	void *map;
	size_t map_bytes;
	json_t *header;   /* owns the names */
	json_t *metadata; /* borrowed from header, or the reference below */
	json_t *no_metadata;
	struct rd_st_view *view; /* by offset */
	size_t n;
	const struct rd_st_view **by_name;
};

static int map_file(struct rd_safetensors *s, struct rd_err *e)
{
	struct stat st;
	int fd, rc = RD_OK;

	fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rd_fail_errno(e, RD_EIO, "%s", s->path);
	if (fstat(fd, &st))
		rc = rd_fail_errno(e, RD_EIO, "%s", s->path);
	else if (!S_ISREG(st.st_mode))
		rc = rd_fail(e, RD_EINPUT, "%s: not a regular file", s->path);
	else if (st.st_size < 8)
		rc = rd_fail(e, RD_EINPUT, "%s: truncated: %lld bytes are too few for a safetensors file", s->path,
		             (long long)st.st_size);
	if (rc)
		goto out;
	s->map_bytes = (size_t)st.st_size;
	s->map = mmap(NULL, s->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		rc = rd_fail_errno(e, RD_EIO, "%s: mmap", s->path);
	}
out:
	close(fd);
	return rc;
}

/* Parses the header; *data and *data_bytes are what follows it. */
static int parse_header(struct rd_safetensors *s, const uint8_t **data, size_t *data_bytes, struct rd_err *e)
{
	const uint8_t *map = s->map;
	uint64_t len = 0;
	json_error_t je;

	for (int i = 0; i < 8; i++)
		len |= (uint64_t)map[i] << 8 * i;
	if (len > HEADER_MAX)
		return rd_fail(e, RD_EINPUT, "%s: a header of %llu bytes: at most %zu are read", s->path,
		               (unsigned long long)len, HEADER_MAX);
	if (len > s->map_bytes - 8)
		return rd_fail(e, RD_EINPUT, "%s: truncated: a header of %llu bytes in a file of %zu", s->path,
		               (unsigned long long)len, s->map_bytes);
	if (!len || map[8] != '{')
		return rd_fail(e, RD_EINPUT, "%s: the header does not start with '{'", s->path);
	s->header = json_loadb((const char *)map + 8, (size_t)len, JSON_REJECT_DUPLICATES, &je);
	if (!s->header)
		return rd_fail(e, RD_EINPUT, "%s: header: %s (byte %d)", s->path, je.text, je.position);
	*data = map + 8 + len;
	*data_bytes = s->map_bytes - 8 - (size_t)len;
	return RD_OK;
}

static int parse_metadata(struct rd_safetensors *s, struct rd_err *e)
{
	const char *key;
	json_t *v;

	s->metadata = json_object_get(s->header, METADATA);
	if (!s->metadata) {
		s->metadata = s->no_metadata = json_object();
		return s->metadata ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", s->path);
	}
	if (!json_is_object(s->metadata))
		return rd_fail(e, RD_EINPUT, "%s: " METADATA " is not an object", s->path);
	json_object_foreach(s->metadata, key, v)
		if (!json_is_string(v))
			return rd_fail(e, RD_EINPUT, "%s: " METADATA ": %.60s is not a string", s->path, key);
	return RD_OK;
}

static int parse_shape(struct rd_safetensors *s, const char *name, const json_t *a, struct rd_shape *out,
                       struct rd_err *e)
{
	size_t n;

	if (!json_is_array(a) || json_array_size(a) > RD_MAX_DIMS)
		return rd_fail(e, RD_EINPUT, "%s: %.60s: shape is not an array of at most %d integers", s->path, name,
		               RD_MAX_DIMS);
	out->nd = (int)json_array_size(a);
	for (int i = 0; i < out->nd; i++) {
		const json_t *d = json_array_get(a, (size_t)i);

		if (!json_is_integer(d) || json_integer_value(d) < 0)
			return rd_fail(e, RD_EINPUT, "%s: %.60s: shape: dimension %d is not a size", s->path, name, i);
		out->d[i] = json_integer_value(d);
	}
	return rd_shape_elems(out, &n, e) ? rd_context(e, "%s: %.60s", s->path, name) : RD_OK;
}

/* NULL, and the reason in e, for one that is not known. */
static const struct st_type *parse_type(struct rd_safetensors *s, const char *name, const json_t *j, struct rd_err *e)
{
	const char *text = json_string_value(j);

	if (!text) {
		rd_fail(e, RD_EINPUT, "%s: %.60s: dtype is not a string", s->path, name);
		return NULL;
	}
	for (size_t t = 0; t < N_TYPES; t++)
		if (!strcmp(text, st_types[t].name))
			return &st_types[t];
	rd_fail(e, RD_EINPUT, "%s: %.60s: dtype %.20s is not known", s->path, name, text);
	return NULL;
}

static int parse_tensor(struct rd_safetensors *s, const char *name, const json_t *o, const uint8_t *data,
                        size_t data_bytes, struct rd_st_view *v, struct rd_err *e)
{
	const json_t *off = json_object_get(o, "data_offsets"), *lo, *hi;
	const struct st_type *type;
	size_t bits;
	char shape[200];
	int rc;

	v->name = name;
	if (!json_is_object(o))
		return rd_fail(e, RD_EINPUT, "%s: %.60s: not an object", s->path, name);
	type = parse_type(s, name, json_object_get(o, "dtype"), e);
	if (!type)
		return e->code;
	rc = parse_shape(s, name, json_object_get(o, "shape"), &v->shape, e);
	if (rc)
		return rc;
	lo = json_array_get(off, 0);
	hi = json_array_get(off, 1);
	if (json_array_size(off) != 2 || !json_is_integer(lo) || !json_is_integer(hi))
		return rd_fail(e, RD_EINPUT, "%s: %.60s: data_offsets is not a pair of integers", s->path, name);
	if (json_integer_value(lo) < 0 || json_integer_value(lo) > json_integer_value(hi) ||
	    (uint64_t)json_integer_value(hi) > data_bytes)
		return rd_fail(e, RD_EINPUT, "%s: %.60s: data_offsets %lld..%lld outside the %zu bytes of data", s->path, name,
		               (long long)json_integer_value(lo), (long long)json_integer_value(hi), data_bytes);
	v->data = data + json_integer_value(lo);
	v->bytes = (size_t)(json_integer_value(hi) - json_integer_value(lo));
	v->dtype = type->dtype;
	v->type = type->name;
	if (rd_shape_elems(&v->shape, &v->elems, e) || !rd_mul(v->elems, type->bits, &bits) || bits % 8 ||
	    bits / 8 != v->bytes)
		return rd_fail(e, RD_EINPUT, "%s: %.60s: %s %s does not fill %zu bytes", s->path, name, type->name,
		               rd_shape_str(&v->shape, shape, sizeof shape), v->bytes);
	return RD_OK;
}

static int by_offset(const void *a, const void *b)
{
	const struct rd_st_view *x = a, *y = b;
	const char *p = x->data, *q = y->data;

	/* an empty tensor goes before the one that starts where it stands */
	return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
	const struct rd_st_view *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* The tensors, in order of offset, tile the data exactly. */
static int check_tiling(const struct rd_safetensors *s, const uint8_t *data, size_t data_bytes, struct rd_err *e)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < s->n; i++) {
		const struct rd_st_view *v = &s->view[i];

		if ((const uint8_t *)v->data != at)
			return rd_fail(e, RD_EINPUT, "%s: %.60s: %s", s->path, v->name,
			               (const uint8_t *)v->data < at ? "overlaps the tensor before it"
			                                             : "a hole before the tensor");
		at += v->bytes;
	}
	if (at != data + data_bytes)
		return rd_fail(e, RD_EINPUT, "%s: %zu bytes behind the last tensor", s->path,
		               (size_t)(data + data_bytes - at));
	return RD_OK;
}

static int parse_tensors(struct rd_safetensors *s, const uint8_t *data, size_t data_bytes, struct rd_err *e)
{
	size_t max = json_object_size(s->header);
	const char *name;
	json_t *o;
	void *p;
	int rc;

	rc = rd_alloc(&p, max, sizeof *s->view, s->path, e);
	if (rc)
		return rc;
	s->view = p;
	json_object_foreach(s->header, name, o) {
		if (!strcmp(name, METADATA))
			continue;
		rc = parse_tensor(s, name, o, data, data_bytes, &s->view[s->n], e);
		if (rc)
			return rc;
		s->n++;
	}
	qsort(s->view, s->n, sizeof *s->view, by_offset);
	rc = check_tiling(s, data, data_bytes, e);
	if (!rc)
		rc = rd_alloc(&p, s->n, sizeof *s->by_name, s->path, e);
	if (rc)
		return rc;
	s->by_name = p;
	for (size_t i = 0; i < s->n; i++)
		s->by_name[i] = &s->view[i];
	qsort(s->by_name, s->n, sizeof *s->by_name, by_name);
	return RD_OK;
}

int rd_safetensors_open(struct rd_safetensors **out, const char *path, struct rd_err *e)
{
	struct rd_safetensors *s;
	const uint8_t *data;
	size_t data_bytes;
	int rc;

	*out = NULL;
	s = calloc(1, sizeof *s);
	if (!s)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	s->path = path;
	rc = map_file(s, e);
	if (!rc)
		rc = parse_header(s, &data, &data_bytes, e);
	if (!rc)
		rc = parse_metadata(s, e);
	if (!rc)
		rc = parse_tensors(s, data, data_bytes, e);
	if (rc) {
		rd_safetensors_close(s);
		return rc;
	}
	s->path = NULL;
	*out = s;
	return RD_OK;
}

void rd_safetensors_close(struct rd_safetensors *s)
{
	int err = errno;

	if (!s)
		return;
	free(s->by_name);
	free(s->view);
	json_decref(s->no_metadata);
	json_decref(s->header);
	if (s->map)
		munmap(s->map, s->map_bytes);
	free(s);
	errno = err;
}

size_t rd_safetensors_count(const struct rd_safetensors *s)
{
	return s->n;
}

const struct rd_st_view *rd_safetensors_at(const struct rd_safetensors *s, size_t i)
{
	return &s->view[i];
}

const struct rd_st_view *rd_safetensors_find(const struct rd_safetensors *s, const char *name)
{
	const struct rd_st_view key = {.name = name}, *k = &key;
	const struct rd_st_view **hit = bsearch(&k, s->by_name, s->n, sizeof *s->by_name, by_name);

	return hit ? *hit : NULL;
}

const json_t *rd_safetensors_metadata(const struct rd_safetensors *s)
{
	return s->metadata;
}

/* Adds a tensor that starts at *offset to the header. */
static int describe(json_t *header, const struct rd_st_view *t, size_t *offset, struct rd_err *e)
{
	size_t elems, bytes, end;
	json_t *shape, *o;
	unsigned type = 0;
	int rc;

	while (st_types[type].dtype != t->dtype)
		type++;
	if (!strcmp(t->name, METADATA) || json_object_get(header, t->name))
		return rd_fail(e, RD_EFAIL, "safetensors: %.60s: a name that is taken", t->name);
	rc = rd_shape_elems(&t->shape, &elems, e);
	if (rc)
		return rd_context(e, "safetensors: %.60s", t->name);
	if (!rd_mul(elems, rd_dtype_bytes(t->dtype), &bytes) || bytes != t->bytes || !rd_add(*offset, bytes, &end))
		return rd_fail(e, RD_ESHAPE, "safetensors: %.60s: %zu bytes do not hold its shape", t->name, t->bytes);
	shape = json_array();
	for (int i = 0; i < t->shape.nd; i++)
		if (json_array_append_new(shape, json_integer(t->shape.d[i])))
			rc = -1;
	o = json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_types[type].name, "shape", shape, "data_offsets",
	              (json_int_t)*offset, (json_int_t)end);
	if (rc || !o || json_object_set_new(header, t->name, o))
		return rd_fail(e, RD_ENOMEM, "safetensors: %.60s: no memory, or a name that is not UTF-8", t->name);
	*offset = end;
	return RD_OK;
}

static int make_header(const struct rd_st_view *t, size_t n, const json_t *metadata, char **text, struct rd_err *e)
{
	json_t *header = json_object(), *v;
	size_t offset = 0;
	const char *key;
	int rc = RD_OK;

	*text = NULL;
	if (!header)
		return rd_fail(e, RD_ENOMEM, "safetensors: no memory");
	json_object_foreach((json_t *)metadata, key, v)
		if (!json_is_string(v))
			rc = rd_fail(e, RD_EFAIL, "safetensors: metadata %.60s is not a string", key);
	if (!rc && metadata && json_object_set(header, METADATA, (json_t *)metadata))
		rc = rd_fail(e, RD_ENOMEM, "safetensors: no memory");
	for (size_t i = 0; !rc && i < n; i++)
		rc = describe(header, &t[i], &offset, e);
	if (!rc) {
		*text = json_dumps(header, JSON_COMPACT);
		if (!*text)
			rc = rd_fail(e, RD_ENOMEM, "safetensors: no memory");
	}
	json_decref(header);
	return rc;
}

int rd_safetensors_write(struct rd_out *o, const struct rd_st_view *t, size_t n, const json_t *metadata,
                         struct rd_err *e)
{
	static const char spaces[8] = "        ";
	uint8_t len[8];
	char *text;
	size_t used, padded;
	int rc;

	rc = make_header(t, n, metadata, &text, e);
	if (rc)
		return rc;
	used = strlen(text);
	padded = (used + 7) & ~(size_t)7;
	for (int i = 0; i < 8; i++)
		len[i] = (uint8_t)(padded >> 8 * i);
	if (padded > HEADER_MAX)
		rc = rd_fail(e, RD_EFAIL, "safetensors: a header of %zu bytes: at most %zu are read", padded, HEADER_MAX);
	if (!rc)
		rc = rd_out_write(o, len, sizeof len, e);
	if (!rc)
		rc = rd_out_write(o, text, used, e);
	if (!rc)
		rc = rd_out_write(o, spaces, padded - used, e);
	for (size_t i = 0; !rc && i < n; i++)
		rc = rd_out_write(o, t[i].data, t[i].bytes, e);
	free(text);
	return rc;
}

int rd_safetensors_save(const char *path, const struct rd_st_view *t, size_t n, const json_t *metadata, struct rd_err *e)
{
	struct rd_out *o;
	int rc = rd_out_open(&o, path, RD_OUT_BINARY, e);

	if (rc)
		return rc;
	rc = rd_safetensors_write(o, t, n, metadata, e);
	if (!rc)
		return rd_out_finish(o, e);
	rd_out_abort(o);
	return rc;
}
