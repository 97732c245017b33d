/* The picture of the first-order defect along the trajectories: at each node the median over the samples and bands of
 * quantiles, a curve for each input. */
#ifndef RD_LIB_MEASURE_DEFECTPLOT_H
#define RD_LIB_MEASURE_DEFECTPLOT_H

#include "lib/measure/trajreport.h"

/* The defect is drawn against the form's time, or against n = sigma/alpha, which means the same under every form, on a
 * logarithmic axis; there a node at alpha = 0 has no place and is left out. */
enum rd_defect_axis { RD_DEFECT_T, RD_DEFECT_N };
extern const char *const rd_defect_axis_names[]; /* "t", "n", NULL */

/* The whole SVG to o (borrowed). Every input's statistics have been kept with nodes. RD_EUSAGE where inputs of
 * different forms are to be drawn against t. */
int rd_defectplot_write(const struct rd_traj_told *t, size_t n, enum rd_defect_axis axis, struct rd_out *o,
                        struct rd_err *e) RD_MUST;

#endif
