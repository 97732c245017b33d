/* Whether the parts of a folder are those of one model that can be run here. Errors are RD_EINPUT; they name file and key. */
#ifndef RD_LIB_MODEL_FIT_H
#define RD_LIB_MODEL_FIT_H

#include <jansson.h>

#include "lib/model/scheduler.h"
#include "lib/net/net.h"

/* A JSON object and the file it came from. */
struct rd_config {
	const json_t *json;
	const char *file;
};

/* Of an object with a member for each part of a pipeline, that of the network, by the names that networks have there; NULL: none. */
json_t *rd_fit_network(const json_t *parts);

/* model_index.json: a network and a scheduler. What samples would have to pass through beside them, such as a VAE, is refused unless
 * the network's samples are latents; *whole says whether there is nothing beside them. */
int rd_fit_index(struct rd_config index, bool *whole, struct rd_err *e) RD_MUST;

/* Every key that diffusers gives a config.json or a scheduler_config.json holds what it should, be it used here or not: a
 * value of its type, finite, within its bounds; null only where that is the default. Other keys are not looked at. */
int rd_fit_net_types(struct rd_config c, struct rd_err *e) RD_MUST;
int rd_fit_scheduler_types(struct rd_config c, struct rd_err *e) RD_MUST;

/* Whether a scheduler of diffusers has a key of that name. */
bool rd_fit_scheduler_has(const char *key);

/* The scheduler s, of config sched, never asks the network of config net for what it has not learned. has_variance: it puts one out
 * beside its prediction. */
int rd_fit_scheduler(struct rd_config net, bool has_variance, struct rd_config sched, const struct rd_scheduler *s,
                     struct rd_err *e) RD_MUST;

#endif
