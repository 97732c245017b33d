/* Shared by describe.c (what there is, weights, provenance) and describe_parts.c (network and scheduler). */
#ifndef RD_LIB_MODEL_DESCRIBE_IMPL_H
#define RD_LIB_MODEL_DESCRIBE_IMPL_H

#include "formats/out.h"
#include "lib/model/scheduler.h"
#include "lib/net/net.h"

/* Where lines go; after an error nothing more is written, and rc says so. */
struct rd_page {
	struct rd_out *o;
	struct rd_err *e;
	int rc;
};

/* "  label  text", the label as wide as width; label "": the text alone. What comes from a file may hold anything, and control
 * characters are for terminals, so they become '?'. */
void rd_page_line(struct rd_page *p, int width, const char *label, const char *fmt, ...) RD_PRINTF(4, 5);
#define SAY(p, label, ...) rd_page_line(p, 15, label, __VA_ARGS__)

/* g: the network's parameters; null_class -1: not recorded. */
void rd_describe_network(struct rd_page *p, const struct rd_net *net, const json_t *config, const struct rd_graph *g,
                         int64_t null_class);
void rd_describe_scheduler(struct rd_page *p, const struct rd_scheduler *s, const json_t *config);

#endif
