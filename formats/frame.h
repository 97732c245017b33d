/* rdframe: the stream of msgpack-framed tensors that the tools exchange; rdframe(5) is its specification. */
#ifndef RD_FORMATS_FRAME_H
#define RD_FORMATS_FRAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "formats/in.h"
#include "formats/out.h"
#include "lib/base/tensor.h"

#define RD_FRAME_MAX_BYTES ((size_t)64 << 20) /* payload of one frame */
#define RD_FRAME_MAX_FIELDS 16
#define RD_FRAME_NAME 32

/* What a stream declares before its first frame. */
struct rd_stream {
	char role[RD_FRAME_NAME]; /* noise, pairs, samples, trajectory, data */
	int n_fields;
	char field[RD_FRAME_MAX_FIELDS][RD_FRAME_NAME];
	json_t *meta; /* an object; owned by whoever owns the struct */
};

/* One frame's header: samples i .. i+n-1 of field `name`; shape[0] = n. With ref, no payload follows: the data is the
 * standard normal noise of (ref_seed, sample index), shape says how much of it. */
struct rd_frame {
	uint64_t i, n;
	char name[RD_FRAME_NAME];
	enum rd_dtype dtype;
	struct rd_shape shape;
	bool ref;
	uint64_t ref_seed;
	size_t bytes; /* of payload */
};

struct rd_frame_reader;

/* Reads the header map. Takes `in` over (closes it with the reader, and on failure). */
int rd_frame_reader_open(struct rd_frame_reader **out, struct rd_in *in, struct rd_err *e) RD_MUST;
void rd_frame_reader_close(struct rd_frame_reader *r);
const struct rd_stream *rd_frame_reader_stream(const struct rd_frame_reader *r);

/* 1: a frame's header is in *f (its payload, if any, must be read next); 0: the end map, counts agreeing, nothing
 * behind it; < 0: error. Checks the order of fields, bounds, dtype against bytes. An unread payload is an error. */
int rd_frame_next(struct rd_frame_reader *r, struct rd_frame *f, struct rd_err *e) RD_MUST;

/* The payload of the frame just announced: exactly f->bytes to dst; the checksum is verified. */
int rd_frame_payload(struct rd_frame_reader *r, void *dst, struct rd_err *e) RD_MUST;

/* The end map's "meta" once rd_frame_next returned 0; NULL where there is none. Lives as long as r. */
const json_t *rd_frame_reader_end_meta(const struct rd_frame_reader *r);

struct rd_frame_writer;

/* Writes the header map to o (borrowed: the caller finishes or aborts it after the writer is done). */
int rd_frame_writer_open(struct rd_frame_writer **out, struct rd_out *o, const struct rd_stream *s,
                         struct rd_err *e) RD_MUST;
int rd_frame_write(struct rd_frame_writer *w, const struct rd_frame *f, const void *data, struct rd_err *e) RD_MUST;

/* The end map {"end":frames,"samples":n[,"meta":end_meta]}; frees the writer, also when it fails. end_meta: an object
 * of what is known only at the end (seconds), or NULL. */
int rd_frame_writer_finish(struct rd_frame_writer *w, const json_t *end_meta, struct rd_err *e) RD_MUST;
void rd_frame_writer_abort(struct rd_frame_writer *w); /* no end map; NULL-safe */

#endif
