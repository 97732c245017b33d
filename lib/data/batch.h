/* Batches of samples, whatever they came in: frame streams, pair archives, .npy, idx. The tools read and write through
 * this, so none of them knows a format. Noise given by reference is filled in here. */
#ifndef RD_LIB_DATA_BATCH_H
#define RD_LIB_DATA_BATCH_H

#include "formats/frame.h"

/* Samples first .. first+n-1; f[k] is field k of the stream: [n, ...], f32, but "label" [n] i32.
 * ref[k]: the data of f[k] (there all the same) is the noise of (ref_seed[k], index). */
struct rd_batch {
	uint64_t first;
	int64_t n;
	struct rd_array f[RD_FRAME_MAX_FIELDS];
	bool ref[RD_FRAME_MAX_FIELDS];
	uint64_t ref_seed[RD_FRAME_MAX_FIELDS];
};
void rd_batch_free(struct rd_batch *b); /* the arrays; NULL-safe */

/* Index of a field, -1 where it is not declared. */
int rd_stream_field(const struct rd_stream *s, const char *name);

/* Adds a field / sets the role; meta is left alone. */
void rd_stream_init(struct rd_stream *s, const char *role, json_t *meta /* taken over; NULL: {} */);
int rd_stream_add(struct rd_stream *s, const char *field, struct rd_err *e) RD_MUST;
void rd_stream_free(struct rd_stream *s);

struct rd_source;

/* Opens inputs (at least one) one after another as one source; each is known by its content: an rdframe stream, a pairs
 * archive, an .npy (field `sample`, role data; bytes of more than one dimension are pixels as those of idx), an idx file, gzip or not
 * (images: field `sample` scaled to [-1, 1] as x / 127.5 - 1 with one channel, [n, 1, h, w]; a one-dimensional idx: field `label`), a
 * folder of .png files (images in the order of their names) or of a folder of them for each class (field `label` too). "-" is
 * standard input, whatever it holds. All must agree in role, fields (their order is the first input's) and sample shapes: RD_EINPUT
 * names both files otherwise; what their meta says of form, start, grid, knots and contexts must be the same too, so an archive does not join
 * bare arrays; so must class_names (what the labels mean, as folders of pictures say), but not all inputs need have them. Streams and
 * archives are opened and compared before any is read; files are closed again until their turn, what is no file stays open.
 * role NULL: any; else RD_EINPUT "NAME: holds ROLE, ROLE expected".
 * NAME=PATH in paths (a field name before '=') reads an array as that field; arrays of several fields that follow one
 * another are joined side by side and must have the same n. Their role is noise with a field of that name, pairs with
 * noise and sample, else data. Arrays count their samples from 0, or on from the input before them. */
int rd_source_open(struct rd_source **out, const char *const *paths, int n_paths, const char *role, struct rd_err *e) RD_MUST;
/* Fields of the first input; meta of all, joined (lib/data/joined.h). */
const struct rd_stream *rd_source_stream(const struct rd_source *s);
/* Shape of one sample of field k where it is known before reading (archives and arrays; after the first batch for streams);
 * false otherwise. */
bool rd_source_sample_shape(const struct rd_source *s, int k, struct rd_shape *out);
/* 1: a batch, its arrays valid until the next call (owned by the source); 0: all inputs ended whole; < 0: error. */
int rd_source_next(struct rd_source *s, const struct rd_batch **b, struct rd_err *e) RD_MUST;
/* Whether archives that were read to their ends count pairs that were left out of them (pairpack --max-error); and how many. */
bool rd_source_rejected(const struct rd_source *s, uint64_t *n);
const char *rd_source_name(const struct rd_source *s); /* of the input being read, for messages */
const json_t *rd_source_meta(const struct rd_source *s); /* its own; rd_source_stream has that of all */
int rd_source_inputs(const struct rd_source *s); /* which one it is, from 1 */
bool rd_source_more(const struct rd_source *s); /* whether others follow it */
/* Of streams, archives and the inputs so far, those that have any; NULL: none does. */
const json_t *rd_source_class_names(const struct rd_source *s);
const char *rd_source_field_name(const struct rd_source *s, int k); /* the same, of field k's file where that has one of its own */
/* To be asked straight after opening: no input has a single pair, so that fields are not all known. (An archive without pairs beside
 * others is passed over, and its fields are not compared.) Later it is said of the input being read alone. */
bool rd_source_is_empty(const struct rd_source *s);
/* What the input that ended last, a stream, said at its end (rdframe(5)): an object; NULL where it said nothing. */
const json_t *rd_source_end_meta(const struct rd_source *s);
/* RD_EINPUT, naming file, field and sample: where field k of the batch, which is of f32, holds NaN or infinities; where its samples are
 * not of the shape that a model's are; where field k, labels, holds one that is none of a model's classes. */
int rd_source_check_finite(const struct rd_source *s, const struct rd_batch *b, int k, struct rd_err *e) RD_MUST;
int rd_source_check_shape(const struct rd_source *s, const struct rd_batch *b, int k, const struct rd_shape *want, struct rd_err *e) RD_MUST;
int rd_source_check_labels(const struct rd_source *s, const struct rd_batch *b, int k, int64_t classes, struct rd_err *e) RD_MUST;
/* What to add to a message that refuses samples of this shape: " (height, width, channels? ...)" where they look so, else "". */
const char *rd_sample_shape_hint(const struct rd_shape *one);
void rd_source_close(struct rd_source *s);

struct rd_sink;

/* A frame stream to path (NULL: standard output); flags of rd_out_open. s is copied (meta by reference). */
int rd_sink_open(struct rd_sink **out, const char *path, unsigned flags, const struct rd_stream *s, struct rd_err *e) RD_MUST;
/* Writes the batch, split where a field would pass RD_FRAME_MAX_BYTES. A field with ref[k] is written as a reference. */
int rd_sink_write(struct rd_sink *k, const struct rd_batch *b, struct rd_err *e) RD_MUST;
/* The end map (with end_meta, an object or NULL: what is known only now, such as seconds), sync, rename; frees. */
int rd_sink_finish(struct rd_sink *k, const json_t *end_meta, struct rd_err *e) RD_MUST;
void rd_sink_abort(struct rd_sink *k); /* NULL-safe */

#endif
