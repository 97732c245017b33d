/* Samples out in the forms of other programs: an .npy, a table, a picture; or as frames again. */
#ifndef RD_LIB_DATA_EXPORT_H
#define RD_LIB_DATA_EXPORT_H

#include "lib/data/batch.h"

enum rd_export_form { RD_EXPORT_FRAME, RD_EXPORT_NPY, RD_EXPORT_CSV, RD_EXPORT_PNG };

struct rd_export_opts {
	enum rd_export_form form;
	const char *out;   /* NULL: standard output */
	unsigned flags;    /* of rd_out_open */
	const char *role;  /* of frames; NULL: as it was */
	const char *field; /* NULL: all of them; for npy and png, `sample`, or the only one */
	uint64_t count;    /* the first so many samples */
	int64_t columns;   /* of a picture; 0: as many as rows, or a trajectory per row */
	int scale;         /* of a picture */
};

/* All samples of src, which is read to its end whatever the count, so that a truncated input is noticed. */
int rd_export(struct rd_source *src, const struct rd_export_opts *o, struct rd_err *e) RD_MUST;

/* One tensor of a safetensors file as .npy; bf16 becomes f32. */
int rd_export_tensor(const char *path, const char *name, const struct rd_export_opts *o, struct rd_err *e) RD_MUST;

#endif
