/* What the reader and the writer of rdframe share: the bytes of its maps, and the rules on the order of frames.
 * Private to formats/frame_*.c. */
#ifndef RD_FORMATS_FRAME_WIRE_H
#define RD_FORMATS_FRAME_WIRE_H

#include <msgpack.h>

#include "formats/frame.h"

#define RD_WIRE_MAGIC "rdframe"
#define RD_WIRE_VERSION 1
#define RD_WIRE_MAP_MAX ((size_t)64 << 10) /* a map without its bulk data */
#define RD_WIRE_DEPTH 16                   /* maps and arrays within one another */

/* A map at the front of the input, measured but not consumed. */
struct rd_wire_map {
	size_t bytes;     /* up to its end, or up to the first byte of its bulk data */
	bool has_bin;     /* the last value is bulk data ... */
	size_t bin_at;    /* ... its tag at this offset ... */
	size_t bin_bytes; /* ... and so much of it follows */
};

/* Walks over a map token by token, and asks the input for no byte behind it. Every element declared has then been seen
 * and bounded, so msgpack-c can unpack it. RD_EINPUT for anything that has no place in an rdframe map. */
int rd_wire_scan(struct rd_in *in, struct rd_wire_map *m, struct rd_err *e) RD_MUST;

/* Conversion of meta; a value that the other side cannot hold is refused. */
int rd_wire_to_json(const msgpack_object *o, json_t **out, struct rd_err *e) RD_MUST;
int rd_wire_pack_json(msgpack_packer *pk, const json_t *v, struct rd_err *e) RD_MUST;

/* Where a stream is: what the next frame must look like. */
struct rd_wire_order {
	enum rd_code code; /* of a violation: RD_EINPUT for the reader, RD_EFAIL for the writer */
	int next_field;
	uint64_t i, n;     /* of the batch that is under way */
	uint64_t frames, samples;
	enum rd_dtype dtype[RD_FRAME_MAX_FIELDS];
	struct rd_shape shape[RD_FRAME_MAX_FIELDS]; /* nd = 0: no frame of this field yet */
};

int rd_wire_check_stream(const struct rd_stream *s, enum rd_code code, struct rd_err *e) RD_MUST;

/* Checks f against the stream and what came before, sets f->bytes, and moves on. */
int rd_wire_check_frame(struct rd_wire_order *o, const struct rd_stream *s, struct rd_frame *f,
                        struct rd_err *e) RD_MUST;

#endif
