/* rectrain's logs as a picture: loss and gradient norm over the steps, running medians of several runs in one frame. */
#ifndef RD_LIB_MEASURE_LOGPLOT_H
#define RD_LIB_MEASURE_LOGPLOT_H

#include "formats/out.h"

struct rd_trainlog_read {
	char *name;
	size_t n, room;
	double *step, *loss, *norm; /* [n] */
	double *held_step, *held;   /* [n_held]: the lines that tell a loss of held-out samples */
	size_t n_held;
};

/* spec is [NAME=]FILE, "-" for standard input. Every line is a JSON object with the numbers step, loss and grad_norm,
 * and maybe held_out, step growing from line to line: RD_EINPUT "FILE: line N: ..." for any other, for lines above 64
 * KiB and for an empty log. To be freed also when it fails. */
int rd_logplot_read(struct rd_trainlog_read *l, const char *spec, struct rd_err *e) RD_MUST;
void rd_logplot_free(struct rd_trainlog_read *l);

/* The whole SVG to o (borrowed). A curve is the median, and its band holds 5 to 95 %, of a window of lines; `window`
 * 0: a twentieth of each log. The loss of held-out samples has points in the loss's panel, in the colour of its run and
 * with an entry in the legend: its values themselves, at most 40 of them. */
int rd_logplot_write(const struct rd_trainlog_read *l, size_t n, size_t window, struct rd_out *o,
                     struct rd_err *e) RD_MUST;

#endif
