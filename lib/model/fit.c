#include "lib/model/fit.h"

#include <string.h>

static bool is_one_of(const char *s, const char *const *list)
{
	while (*list && strcmp(*list, s))
		list++;
	return *list;
}

/* One part: "name": ["library", "class"], [null, null] where an optional one is left out. */
static int check_part(struct rd_config index, const char *key, const json_t *part, struct rd_err *e)
{
	static const char *const networks[] = {"UNet2DModel", "MLPModel", NULL};
	const json_t *class = json_array_get(part, 1);
	const char *name = json_string_value(class), *pipeline = json_string_value(json_object_get(index.json, "_class_name"));

	if (json_array_size(part) != 2 || (!name && !json_is_null(class)))
		return rd_fail(e, RD_EINPUT, "%s: %.60s: [\"library\", \"class\"] expected", index.file, key);
	if (!strcmp(key, "scheduler") || !name)
		return RD_OK; /* its config says the same, and more */
	if (strcmp(key, "unet"))
		return rd_fail(e, RD_EINPUT, "%s: %.60s: a %.60s has a %.60s beside its network and scheduler: only models of the "
		               "samples themselves are read", index.file, key, pipeline ? pipeline : "pipeline that", name);
	if (!is_one_of(name, networks))
		return rd_fail(e, RD_EINPUT, "%s: unet: the network of a %.60s is a %.60s: only UNet2DModel and MLPModel are known",
		               index.file, pipeline ? pipeline : "pipeline", name);
	return RD_OK;
}

int rd_fit_index(struct rd_config index, struct rd_err *e)
{
	const json_t *class = json_object_get(index.json, "_class_name");
	const char *key;
	json_t *v;
	int rc = RD_OK;

	if (class && !json_is_string(class))
		return rd_fail(e, RD_EINPUT, "%s: _class_name: a string expected", index.file);
	json_object_foreach((json_t *)(uintptr_t)index.json, key, v) {
		bool part = !strcmp(key, "unet") || !strcmp(key, "scheduler");

		if (key[0] != '_' && (part || json_is_array(v)) && !rc) /* what else is there are a pipeline's switches */
			rc = check_part(index, key, v, e);
	}
	return rc;
}

const char *const rd_fit_net_nulls[] = {
	"sample_size", "time_embedding_dim", "mid_block_type", "attention_head_dim", "attn_norm_num_groups",
	"class_embed_type", "num_class_embeds", "num_train_timesteps", NULL};
const char *const rd_fit_scheduler_nulls[] = {
	"trained_betas", "variance_type", "base_shift", "max_shift", "shift_terminal", "use_karras_sigmas",
	"use_exponential_sigmas", "use_beta_sigmas", "sigma_min", "sigma_max", "solver_p", NULL};

int rd_fit_nulls(struct rd_config c, const char *const *nullable, struct rd_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)c.json, key, v)
		if (json_is_null(v) && key[0] != '_' && !is_one_of(key, nullable))
			return rd_fail(e, RD_EINPUT, "%s: %.60s: a value expected, null found", c.file, key);
	return RD_OK;
}

/* The times that the network is fed. */
static int check_times(struct rd_config net, struct rd_config sched, const struct rd_schedule *c, struct rd_err *e)
{
	const char *type = json_string_value(json_object_get(net.json, "time_embedding_type"));
	json_int_t rows = json_integer_value(json_object_get(net.json, "num_train_timesteps"));
	bool discrete = !strcmp(c->form->name, "ddpm");

	if (type && !strcmp(type, "learned") && (!discrete || c->n_train > rows))
		return rd_fail(e, RD_EINPUT, "%s: num_train_timesteps: the network has learned the times 0 to %lld (%s: "
		               "num_train_timesteps), the scheduler has %s", sched.file, (long long)rows - 1, net.file,
		               discrete ? "more" : "continuous ones");
	if (type && !strcmp(type, "fourier") && !(c->form->net_time(c, c->t_lo) > 0))
		return rd_fail(e, RD_EINPUT, "%s: _class_name: this scheduler has a time of 0, and the network takes its logarithm "
		               "(%s: time_embedding_type)", sched.file, net.file);
	return RD_OK;
}

int rd_fit_scheduler(struct rd_config net, struct rd_config sched, const struct rd_scheduler *s, struct rd_err *e)
{
	static const char *const learned[] = {"learned", "learned_range", NULL};
	const char *variance = json_string_value(json_object_get(sched.json, "variance_type"));

	if (variance && is_one_of(variance, learned))
		return rd_fail(e, RD_EINPUT, "%s: variance_type: %s asks for twice the channels that the network puts out (%s: "
		               "out_channels)", sched.file, variance, net.file);
	return check_times(net, sched, &s->schedule, e);
}
