/* What a backend that is loaded at run time exports: one symbol, rd_plugin. */
#ifndef RD_KERNELS_PLUGIN_H
#define RD_KERNELS_PLUGIN_H

#include "kernels/kernels.h"

#define RD_PLUGIN_CUDA "rectdiff-cuda.so"
#define RD_PLUGIN_SYMBOL "rd_plugin"

struct rd_plugin {
	const char *version; /* RD_VERSION of both sides must be the same, and so must be the table */
	size_t table_bytes;
	const struct rd_backend *(*backend)(enum rd_precision p);
};

/* Loads the plug-in at path, for the life of the process. RD_EDEVICE where it cannot be, or is of another version. */
int rd_plugin_load(const char *path, const struct rd_plugin **out, struct rd_err *e) RD_MUST;

#endif
