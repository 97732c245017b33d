/* What the fuzz targets share. A target is one reader. It is fed bytes as a file, and must refuse them with a message or
 * keep its promises on what it took: what was read can be written, and reads back the same. */
#ifndef RD_TESTS_FUZZ_H
#define RD_TESTS_FUZZ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/out.h"

typedef void fuzz_emit(void *arg, const void *data, size_t n);

struct fuzz_target {
	const char *name;
	size_t max_bytes; /* of an input worth trying */
	void (*run)(const uint8_t *data, size_t n);
	/* Changes an input in place and returns its size; NULL: bytes are changed with no regard to what they mean. */
	size_t (*mutate)(uint8_t *data, size_t n, size_t max, uint32_t seed);
	void (*seeds)(fuzz_emit *emit, void *arg); /* good inputs to start from */
	const char *const *words;                  /* strings of the format, NULL-terminated */
};

extern const struct fuzz_target fuzz_safetensors, fuzz_config, fuzz_scheduler, fuzz_model, fuzz_frame, fuzz_npy, fuzz_idx,
	fuzz_idxgz, fuzz_pairs, fuzz_index, fuzz_png, fuzz_contexts;

/* Once, before anything else: the files in memory. */
void fuzz_init(void);

/* One input through a target, in less than a second of processor time, with no descriptor left open. */
void fuzz_run(const struct fuzz_target *t, const uint8_t *data, size_t n);

/* A target's mutation of an input, by fuzz_bytes where it has none of its own. */
size_t fuzz_mutate(const struct fuzz_target *t, uint8_t *data, size_t n, size_t max, uint32_t seed);

/* Changes bytes; libFuzzer's or the replay's own. Set before the first fuzz_mutate. */
extern size_t (*fuzz_bytes)(uint8_t *data, size_t n, size_t max);

/* --- for the targets ---------------------------------------------------------------------------------------------- */

/* Says what is wrong and aborts. */
_Noreturn void fuzz_fail(const char *file, int line, const char *what);

#define ENSURE(cond) ((cond) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #cond))
#define ENSURE_OK(call, e) ((call) >= 0 ? (void)0 : fuzz_fail(__FILE__, __LINE__, (e)->msg))

/* A reader's verdict: true where it took the input. A refusal must come with its code and a message, and must not be for
 * want of memory. */
bool fuzz_accepted(int rc, const struct rd_err *e);

/* The path of a file of these bytes; it lasts until the next call with the same slot. */
enum { FUZZ_SLOTS = 5 };
const char *fuzz_file(int slot, const void *data, size_t n);

/* An output in memory, one at a time; take finishes it and gives its bytes, to be freed. */
struct rd_out *fuzz_out_open(void);
void *fuzz_out_take(struct rd_out *o, size_t *n);

/* The names of standard output's own file again, for a program that has something to say after all. */
void fuzz_out_restore(void);

uint32_t fuzz_random(uint32_t *state); /* state: not 0 */

/* One change of JSON text as a tree, or of its bytes where it does not parse. words: strings to be put into it. */
size_t fuzz_mutate_json(uint8_t *data, size_t n, size_t max, uint32_t seed, const char *const *words);

/* Emits every file that matches a glob, seen from the top of the tree. */
void fuzz_emit_files(const char *pattern, fuzz_emit *emit, void *arg);

/* JSON that the suite takes in may come out again as text elsewhere: it must read back equal. */
void fuzz_check_json(const json_t *o);

#endif
