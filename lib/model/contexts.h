/* contexts.safetensors of a model folder: what the labels of a network that is conditioned on sequences stand for. A tensor
 * `contexts` [rows, tokens, dim] and, where the network takes a vector beside each, `vectors` [rows, vector_dim]; F32, F16 or BF16. In
 * the metadata, null_class: the row that stands for no condition. */
#ifndef RD_LIB_MODEL_CONTEXTS_H
#define RD_LIB_MODEL_CONTEXTS_H

#include <jansson.h>

#include "lib/net/net.h"

#define RD_CONTEXTS_FILE "contexts.safetensors"

struct rd_contexts_file;

/* Opens DIR's; NULL and RD_OK where there is none. RD_EINPUT names the file and what is wrong with it. */
int rd_contexts_open(struct rd_contexts_file **out, const char *dir, struct rd_err *e) RD_MUST;
void rd_contexts_close(struct rd_contexts_file *f); /* NULL-safe */
const char *rd_contexts_path(const struct rd_contexts_file *f);
/* The rows, mapped from the file: they live as long as f. Numbers are not looked at. */
const struct rd_contexts *rd_contexts_rows(const struct rd_contexts_file *f);
const json_t *rd_contexts_metadata(const struct rd_contexts_file *f);
/* 16 hex digits of shapes, types and all numbers, which are read for it the first time that it is asked for; f's. */
const char *rd_contexts_hash(struct rd_contexts_file *f);
size_t rd_contexts_bytes(const struct rd_contexts_file *f); /* of the numbers; a file of them is little larger */

/* RD_EFAIL where the file has been written into since it was opened, as far as its size and date tell: its rows are not those that the
 * hash is of. One that was put in its place changes nothing. */
int rd_contexts_unchanged(const struct rd_contexts_file *f, struct rd_err *e) RD_MUST;

/* The same rows and metadata as another file, with this null class; -1: none. */
int rd_contexts_write(const struct rd_contexts_file *f, const char *path, int64_t null_class, struct rd_err *e) RD_MUST;

#endif
