/* pairs.tar: (noise, sample[, label][, knots][, error]) chunks in a ustar archive that WebDataset reads; rdpairs(5) specifies it.
 *
 *	__meta__               a JSON object, where the pairs come from
 *	%08llu.noise.npy       or %08llu.noise.json, {"seed":s,"first":i,"shape":[n,...]}: the noise is a function of these
 *	%08llu.sample.npy
 *	%08llu.label.npy       [n]            these in every chunk or in none
 *	%08llu.knots.npy       [n, k, ...]    states on the way from noise to sample
 *	%08llu.error.npy       [n]            of the solver
 *	...                    chunks by rising index of their first sample, which is the number in the name
 *	__end__                {"format":"rdpairs","v":1,"chunks":c,"samples":n[,"rejected":r],"xxh3":"16 hex digits"}
 *
 * xxh3 is XXH3-64 over the members before __end__: the name, a NUL, the size as u64 little-endian, the data; and then over
 * r as u64 little-endian, where it is there. Integers of JSON above 2^63 - 1 (a seed) are strings of digits. The archive
 * ends with the two blocks of zeros, unpadded. */
#ifndef RD_FORMATS_PAIRS_H
#define RD_FORMATS_PAIRS_H

#include <jansson.h>

#include "formats/in.h"
#include "formats/out.h"
#include "lib/base/tensor.h"

#define RD_PAIRS_DATA_MAX ((size_t)1 << 30) /* bytes of an array of a chunk, the header of its .npy aside */

/* What a pair may have beside noise and sample, in the order of the members. */
enum rd_pairs_extra { RD_PAIRS_LABEL, RD_PAIRS_KNOTS, RD_PAIRS_ERROR, RD_PAIRS_EXTRAS };
extern const char *const rd_pairs_extra_names[RD_PAIRS_EXTRAS];

struct rd_pairs_chunk {
	uint64_t first;             /* global index of the first sample; its %08d is the key */
	int64_t n;
	bool noise_ref;             /* noise is not stored: it is that of (noise_seed, index), see noise.shape */
	uint64_t noise_seed;
	struct rd_array noise;      /* [n, ...] f32; with noise_ref: the shape alone, data NULL */
	struct rd_array sample;     /* [n, ...] f32 */
	bool has[RD_PAIRS_EXTRAS];
	struct rd_array extra[RD_PAIRS_EXTRAS]; /* label: [n] i32; knots: [n, k, ...] f32, of k samples each; error: [n] f32 */
};
void rd_pairs_chunk_free(struct rd_pairs_chunk *c); /* the arrays; NULL-safe */

struct rd_pairs_writer;

/* Writes __meta__ = meta (an object). o is borrowed: the caller finishes it after rd_pairs_writer_finish, aborts otherwise. */
int rd_pairs_writer_open(struct rd_pairs_writer **out, struct rd_out *o, const json_t *meta, struct rd_err *e) RD_MUST;
int rd_pairs_write(struct rd_pairs_writer *w, const struct rd_pairs_chunk *c, struct rd_err *e) RD_MUST;
/* __end__ is to say that so many pairs were left out. */
void rd_pairs_writer_rejected(struct rd_pairs_writer *w, uint64_t n);
int rd_pairs_writer_finish(struct rd_pairs_writer *w, struct rd_err *e) RD_MUST; /* __end__, and the end of the tar; frees */
void rd_pairs_writer_abort(struct rd_pairs_writer *w);

struct rd_pairs_reader;

/* Reads __meta__. Takes `in` over (closes it with the reader, and on failure). */
int rd_pairs_reader_open(struct rd_pairs_reader **out, struct rd_in *in, struct rd_err *e) RD_MUST;
/* The same by name; "-": standard input. */
int rd_pairs_reader_open_path(struct rd_pairs_reader **out, const char *path, struct rd_err *e) RD_MUST;
const json_t *rd_pairs_reader_meta(const struct rd_pairs_reader *r);

/* 1: a chunk in *c, its arrays owned by the caller; 0: __end__ was there, and counts and checksums agree; < 0: error. */
int rd_pairs_next(struct rd_pairs_reader *r, struct rd_pairs_chunk *c, struct rd_err *e) RD_MUST;
/* At the end, whether the archive counts the pairs that were left out; and how many. */
bool rd_pairs_reader_rejected(const struct rd_pairs_reader *r, uint64_t *n);
void rd_pairs_reader_close(struct rd_pairs_reader *r);

/* True where the first 512 bytes look like a tar header. */
bool rd_pairs_sniff(const void *buf, size_t n);

#endif
