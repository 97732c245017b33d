/* safetensors, read from a mapped file, and written. */
#ifndef RD_FORMATS_SAFETENSORS_H
#define RD_FORMATS_SAFETENSORS_H

#include <jansson.h>

#include "formats/out.h"
#include "lib/base/tensor.h"

struct rd_safetensors;

/* Opens and checks the whole header: no duplicate names, overlaps, holes or trailing bytes; sizes agree with dtype and
 * shape; header <= 100 MB. RD_EINPUT names the file and the tensor. */
int rd_safetensors_open(struct rd_safetensors **out, const char *path, struct rd_err *e) RD_MUST;
void rd_safetensors_close(struct rd_safetensors *s);

struct rd_st_view {
	const char *name;
	enum rd_dtype dtype; /* RD_N_DTYPES: a type that can be listed and not read */
	struct rd_shape shape;
	const void *data; /* into the mapping; may be unaligned for its type: read through rd_to_f32 or memcpy */
	size_t bytes;
	size_t elems;     /* elems and type are told, and not needed for writing */
	const char *type; /* as safetensors spells it */
};

/* Of a type that weights have: F32, F16 or BF16. */
static inline bool rd_st_is_float(const struct rd_st_view *v)
{
	return v->dtype == RD_F32 || v->dtype == RD_F16 || v->dtype == RD_BF16;
}

size_t rd_safetensors_count(const struct rd_safetensors *s);
const struct rd_st_view *rd_safetensors_at(const struct rd_safetensors *s, size_t i);          /* file order */
const struct rd_st_view *rd_safetensors_find(const struct rd_safetensors *s, const char *name); /* NULL: not there */
const json_t *rd_safetensors_metadata(const struct rd_safetensors *s);                          /* object of strings, maybe empty */

/* Writes tensors in the order given (names unique) with metadata (an object of strings, or NULL). */
int rd_safetensors_write(struct rd_out *o, const struct rd_st_view *t, size_t n, const json_t *metadata,
                         struct rd_err *e) RD_MUST;
/* The same as a file, whole or not at all. */
int rd_safetensors_save(const char *path, const struct rd_st_view *t, size_t n, const json_t *metadata, struct rd_err *e) RD_MUST;

#endif
