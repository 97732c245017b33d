/* The weights of a model folder, in whichever of diffusers' ways they are stored:
 *
 *   diffusion_pytorch_model.safetensors                one file
 *   diffusion_pytorch_model.safetensors.index.json     shards: {"weight_map": {TENSOR: FILE, ..}, ..}, files
 *   diffusion_pytorch_model.V.safetensors              a variant, such as fp16, in one file
 *   diffusion_pytorch_model.safetensors.index.V.json   a variant in shards
 *
 * An index goes before a single file, as in diffusers. A variant is taken where there is nothing else. */
#ifndef RD_LIB_MODEL_WEIGHTS_H
#define RD_LIB_MODEL_WEIGHTS_H

#include <jansson.h>

#include "formats/safetensors.h"
#include "lib/graph/graph.h"

struct rd_weights;

/* Finds and opens the weights in folder, which holds config.json too. An index must name plain file names, and put every
 * tensor of every shard, and nothing else, into the shard that holds it: RD_EINPUT names the file and the tensor. */
int rd_weights_open(struct rd_weights **out, const char *folder, struct rd_err *e) RD_MUST;
void rd_weights_close(struct rd_weights *w); /* NULL-safe */

const char *rd_weights_file(const struct rd_weights *w);      /* name in the folder: of the one file, or of the index */
const char *rd_weights_variant(const struct rd_weights *w);   /* "" for the plain one */
int rd_weights_shards(const struct rd_weights *w);            /* 1: no index, or one of a single shard */
const json_t *rd_weights_metadata(const struct rd_weights *w); /* of all shards, the first one's where they differ */

/* All tensors, shard by shard. */
size_t rd_weights_count(const struct rd_weights *w);
const struct rd_st_view *rd_weights_at(const struct rd_weights *w, size_t i);

/* Fills flat, laid out as params says; flat NULL: looks whether it could. A tensor that is missing, one that params has no use for, one of another shape or of a
 * type other than f32, f16, bf16 is RD_EINPUT. diffusers' older names of attention's tensors are known. */
int rd_weights_read(const struct rd_weights *w, const struct rd_graph *params, float *flat, struct rd_err *e) RD_MUST;

/* The flat array as a safetensors file of tensors of a type, RD_F32, RD_F16 or RD_BF16, with metadata (an object of strings, or
 * NULL). RD_EDOMAIN where a number is too large for it. */
int rd_weights_write(const char *path, const struct rd_graph *params, const float *flat, enum rd_dtype type, const json_t *metadata,
                     struct rd_err *e) RD_MUST;

/* The same of g's adapters, the first n_adapters floats of its flat array, as diffusers reads them: each name begins with part, what
 * the network is called in a pipeline, and a dot. */
int rd_weights_write_adapters(const char *path, const struct rd_graph *g, const char *part, const float *adapters, enum rd_dtype type,
                              const json_t *metadata, struct rd_err *e) RD_MUST;

#endif
