/* meta: a JSON object in the tools, a msgpack map on the wire. */
#include "formats/frame_wire.h"

#include <stdlib.h>
#include <string.h>

static int pack_text(msgpack_packer *pk, const char *s, size_t n)
{
	int bad = msgpack_pack_str(pk, n);

	return bad | msgpack_pack_str_body(pk, s, n);
}

static int pack(msgpack_packer *pk, const json_t *v, int depth)
{
	int bad = 0;

	if ((json_is_object(v) || json_is_array(v)) && depth > RD_WIRE_DEPTH)
		return -1;
	switch (json_typeof(v)) {
	case JSON_OBJECT: {
		json_t *o = (json_t *)(uintptr_t)v, *child; /* jansson's iterator wants it writable, and does not write */
		const char *key;

		bad = msgpack_pack_map(pk, json_object_size(v));
		json_object_foreach(o, key, child)
			bad |= pack_text(pk, key, strlen(key)) | pack(pk, child, depth + 1);
		return bad;
	}
	case JSON_ARRAY:
		bad = msgpack_pack_array(pk, json_array_size(v));
		for (size_t i = 0; i < json_array_size(v); i++)
			bad |= pack(pk, json_array_get(v, i), depth + 1);
		return bad;
	case JSON_STRING: return pack_text(pk, json_string_value(v), json_string_length(v));
	case JSON_INTEGER: return msgpack_pack_int64(pk, json_integer_value(v));
	case JSON_REAL: return msgpack_pack_double(pk, json_real_value(v));
	case JSON_TRUE: return msgpack_pack_true(pk);
	case JSON_FALSE: return msgpack_pack_false(pk);
	default: return msgpack_pack_nil(pk);
	}
}

int rd_wire_pack_json(msgpack_packer *pk, const json_t *v, struct rd_err *e)
{
	/* The map of the stream around it is level 1. */
	if (pack(pk, v, 2))
		return rd_fail(e, RD_EFAIL, "meta: no memory, or nested more than %d deep", RD_WIRE_DEPTH);
	return RD_OK;
}

static int array_to_json(const msgpack_object_array *a, json_t **out, struct rd_err *e)
{
	json_t *r = json_array(), *v;
	int rc = r ? RD_OK : rd_fail(e, RD_ENOMEM, "meta: no memory");

	for (uint32_t i = 0; i < a->size && !rc; i++) {
		rc = rd_wire_to_json(&a->ptr[i], &v, e);
		if (!rc && json_array_append_new(r, v))
			rc = rd_fail(e, RD_ENOMEM, "meta: no memory");
	}
	if (rc) {
		json_decref(r);
		r = NULL;
	}
	*out = r;
	return rc;
}

/* The key, to be freed. */
static int take_key(const msgpack_object *k, char **key, struct rd_err *e)
{
	if (k->type != MSGPACK_OBJECT_STR || memchr(k->via.str.ptr, '\0', k->via.str.size))
		return rd_fail(e, RD_EINPUT, "meta: a key that is no string, or has a zero character in it");
	*key = strndup(k->via.str.ptr, k->via.str.size);
	return *key ? RD_OK : rd_fail(e, RD_ENOMEM, "meta: no memory");
}

static int add_member(json_t *r, const msgpack_object_kv *kv, struct rd_err *e)
{
	char *key = NULL;
	json_t *v;
	int rc = take_key(&kv->key, &key, e);

	if (!rc && json_object_get(r, key))
		rc = rd_fail(e, RD_EINPUT, "meta: key '%.100s' is there twice", key);
	if (!rc)
		rc = rd_wire_to_json(&kv->val, &v, e);
	if (!rc && json_object_set_new(r, key, v))
		rc = rd_fail(e, RD_EINPUT, "meta: a key that is not UTF-8");
	free(key);
	return rc;
}

static int map_to_json(const msgpack_object_map *m, json_t **out, struct rd_err *e)
{
	json_t *r = json_object();
	int rc = r ? RD_OK : rd_fail(e, RD_ENOMEM, "meta: no memory");

	for (uint32_t i = 0; i < m->size && !rc; i++)
		rc = add_member(r, &m->ptr[i], e);
	if (rc) {
		json_decref(r);
		r = NULL;
	}
	*out = r;
	return rc;
}

int rd_wire_to_json(const msgpack_object *o, json_t **out, struct rd_err *e)
{
	*out = NULL;
	switch (o->type) {
	case MSGPACK_OBJECT_NIL: *out = json_null(); break;
	case MSGPACK_OBJECT_BOOLEAN: *out = json_boolean(o->via.boolean); break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: *out = json_integer(o->via.i64); break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		if (o->via.u64 > INT64_MAX)
			return rd_fail(e, RD_EINPUT, "meta: %llu is larger than 2^63 - 1", (unsigned long long)o->via.u64);
		*out = json_integer((json_int_t)o->via.u64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: *out = json_real(o->via.f64); break;
	case MSGPACK_OBJECT_STR:
		if (memchr(o->via.str.ptr, '\0', o->via.str.size)) /* JSON text with one is not read again */
			return rd_fail(e, RD_EINPUT, "meta: a string with a zero character");
		*out = json_stringn(o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_ARRAY: return array_to_json(&o->via.array, out, e);
	case MSGPACK_OBJECT_MAP: return map_to_json(&o->via.map, out, e);
	default: break;
	}
	if (!*out)
		return rd_fail(e, RD_EINPUT, "meta: a value that JSON cannot hold (NaN, infinite, not UTF-8, binary)");
	return RD_OK;
}
