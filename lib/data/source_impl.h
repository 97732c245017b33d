/* Private to lib/data/source.c, input.c and input_*.c: one input of a source, in whatever form it came. */
#ifndef RD_LIB_DATA_SOURCE_IMPL_H
#define RD_LIB_DATA_SOURCE_IMPL_H

#include "formats/in.h"
#include "lib/data/batch.h"

struct rd_input;

struct rd_input_ops {
	int (*next)(struct rd_input *in, struct rd_err *e); /* 1: in->batch is filled; 0: ended whole; < 0: error */
	void (*release)(struct rd_input *in);               /* what the form holds beyond struct rd_input */
};

/* First member of the struct of every form. */
struct rd_input {
	const struct rd_input_ops *ops;
	char *name;                                  /* for messages */
	char *field_name[RD_FRAME_MAX_FIELDS];       /* the file of one field, where each has its own; NULL: name */
	struct rd_stream stream;
	struct rd_batch batch;                       /* fields in the order of stream; owned */
	size_t room[RD_FRAME_MAX_FIELDS];            /* bytes at batch.f[k].data, where rd_input_room made it */
	struct rd_shape sample[RD_FRAME_MAX_FIELDS]; /* of one sample of field k; nd = -1: not known yet */
	bool empty;                                  /* an archive without a pair: extra fields are not known */
	bool counts_rejected;                        /* at the end: */
	uint64_t rejected;                           /* pairs that were left out of it, as it says itself */
	json_t *end_meta;                            /* what a stream says at its end; NULL: nothing, or it has not ended */
};

/* What there is to see of a path before its turn: frames or pairs as the input that they are; of arrays just the file, of a folder
 * nothing. */
struct rd_input_look {
	struct rd_input *in;
	struct rd_in *file;
	bool once; /* it cannot be opened again: a pipe, standard input */
};
int rd_input_look(struct rd_input_look *l, const char *path, struct rd_err *e) RD_MUST;
void rd_input_look_end(struct rd_input_look *l); /* closes what nobody has taken; nothing where all is 0 */

/* Looks into the file and opens what it finds, taking what l has (all 0: nobody has looked). Arrays count their samples from
 * first. */
int rd_input_open(struct rd_input **out, const char *path, struct rd_input_look *l, uint64_t first, struct rd_err *e) RD_MUST;
void rd_input_close(struct rd_input *in); /* NULL-safe */

/* The forms. Each takes `file` over, also when it fails. */
int rd_input_frames(struct rd_input **out, struct rd_in *file, struct rd_err *e) RD_MUST;
int rd_input_pairs(struct rd_input **out, struct rd_in *file, struct rd_err *e) RD_MUST;
int rd_input_array(struct rd_input **out, struct rd_in *file, uint64_t first, struct rd_err *e) RD_MUST;
/* A folder of .png files. */
int rd_input_images(struct rd_input **out, const char *path, uint64_t first, struct rd_err *e) RD_MUST;

/* n arguments NAME=PATH, side by side. */
int rd_input_named(struct rd_input **out, const char *const *args, int n, uint64_t first, struct rd_err *e) RD_MUST;

/* NAME=PATH split: the length of NAME; 0 where arg is just a path. */
size_t rd_input_name_len(const char *arg);

/* What a file starts with. */
enum rd_input_form { RD_FORM_NONE, RD_FORM_FRAMES, RD_FORM_PAIRS, RD_FORM_NPY, RD_FORM_IDX };
int rd_input_sniff(struct rd_in *file, enum rd_input_form *f, struct rd_err *e) RD_MUST;

const char *rd_input_field_name(const struct rd_input *in, int k);

/* For the forms: zeroed memory of their struct with name set and shapes unknown; room for field k of a batch, of type
 * label or f32 as its name asks; src converted into it. */
int rd_input_new(void **out, size_t size, const struct rd_input_ops *ops, const char *name, struct rd_err *e) RD_MUST;
int rd_input_room(struct rd_input *in, int k, const struct rd_shape *s, struct rd_err *e) RD_MUST;
int rd_input_convert(struct rd_input *in, int k, const void *src, enum rd_dtype t, struct rd_err *e) RD_MUST;
enum rd_dtype rd_field_dtype(const char *field);

/* 0 .. 255 as -1 .. 1. */
static inline float rd_input_pixel(uint8_t v)
{
	return (float)v / 127.5f - 1.0f;
}

/* Data of field k (there is room): the noise of (seed, batch.first ...). */
void rd_input_noise(struct rd_input *in, int k, uint64_t seed);

#endif
