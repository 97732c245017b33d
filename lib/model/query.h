/* What a network is asked at a node of its model's form, and what its answer means.
 *
 * The form under which a model is sampled and trained need not be the one its network was made for. x/alpha at the same
 * sigma/alpha is the same state under every form, so a state x at (alpha, sigma) is, for the network, (alpha'/alpha) x at
 * the time t' where its own form has sigma'/alpha' = sigma/alpha. The conversion is exact. */
#ifndef RD_LIB_MODEL_QUERY_H
#define RD_LIB_MODEL_QUERY_H

#include "lib/model/model.h"

struct rd_query {
	double input;           /* the network's input is this times x */
	double net_t;           /* its time */
	struct rd_pred_coef c;  /* x0 and eps from x (not from the input) and the network's output */
	double on_x0, on_eps;   /* the output that is exact for (x0, eps) is the sum of these times them */
};

/* RD_EDOMAIN where the network's prediction type says nothing at this node. */
int rd_model_query(const struct rd_model *m, const struct rd_node *n, struct rd_query *q, struct rd_err *e) RD_MUST;

/* x at a run's first node is this times the noise, as the network's own convention has it. */
double rd_model_start_scale(const struct rd_model *m, const struct rd_grid_opts *o, const struct rd_node *n);

/* From here on m is sampled and trained under the form with its usual numbers (FORM is one of rd_form_names, or table:FILE) as a model of
 * that prediction type (-1: as it is), over the range of sigma/alpha that its network knows; the network keeps its own
 * convention, which the scheduler's config, a RectdiffScheduler's from here on, records as "network". RD_EUSAGE for an unknown form; RD_EINPUT for a model that has been converted before. */
int rd_model_convert(struct rd_model *m, const char *form, int pred, struct rd_err *e) RD_MUST;

#endif
