/* What a model is, as text for people: a folder, a safetensors file, or one of the configs by itself. */
#ifndef RD_LIB_MODEL_DESCRIBE_H
#define RD_LIB_MODEL_DESCRIBE_H

#include <stdbool.h>

#include "formats/out.h"

/* True for a folder, for a file that begins as safetensors do, and for one that begins as a JSON object; none is samples. */
int rd_describe_knows(const char *path, bool *yes, struct rd_err *e) RD_MUST;

struct rd_describe_opts {
	bool tensors;       /* of a folder: a line per tensor too */
	const char *tensor; /* that one only, and nothing else */
};

/* A folder with a network and a scheduler is loaded, so that all of it has been checked, and described: network, schedule,
 * sampling, weights, provenance. Another folder: its safetensors files, each by tensors and metadata. A JSON file: the
 * network, the scheduler, or both, as rectrain --init takes them. */
int rd_describe(const char *path, const struct rd_describe_opts *x, struct rd_out *o, struct rd_err *e) RD_MUST;

#endif
