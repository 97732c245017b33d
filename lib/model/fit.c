#include "lib/model/fit.h"

#include <math.h>
#include <string.h>

#include "lib/base/names.h"

json_t *rd_fit_network(const json_t *parts)
{
	json_t *found = NULL;

	for (const char *const *part = rd_net_parts; *part && !found; part++)
		found = json_object_get(parts, *part);
	return found;
}

/* One part: "name": ["library", "class"], [null, null] where an optional one is left out. */
static int check_part(struct rd_config index, const char *key, const json_t *part, bool latent, struct rd_err *e)
{
	const json_t *class = json_array_get(part, 1);
	const char *name = json_string_value(class), *pipeline = json_string_value(json_object_get(index.json, "_class_name"));

	if (json_array_size(part) != 2 || (!name && !json_is_null(class)))
		return rd_fail(e, RD_EINPUT, "%s: %.60s: [\"library\", \"class\"] expected", index.file, key);
	if (!strcmp(key, "scheduler") || !name)
		return RD_OK; /* its config says the same, and more */
	if (latent)
		return RD_OK;
	if (rd_names_find(rd_net_parts, key) < 0)
		return rd_fail(e, RD_EINPUT, "%s: %.60s: a %.60s has a %.60s beside its network and scheduler: only models of the "
		               "samples themselves are read", index.file, key, pipeline ? pipeline : "pipeline that", name);
	if (!rd_net_kind_named(name))
		return rd_fail(e, RD_EINPUT, "%s: %s: the network of a %.60s is a %.60s: only " RD_NET_CLASSES " are known", index.file, key,
		               pipeline ? pipeline : "pipeline", name);
	return RD_OK;
}

int rd_fit_index(struct rd_config index, bool *whole, struct rd_err *e)
{
	const json_t *class = json_object_get(index.json, "_class_name");
	const struct rd_net_kind *network = rd_net_kind_named(json_string_value(json_array_get(rd_fit_network(index.json), 1)));
	const char *key;
	json_t *v;
	int rc = RD_OK;

	*whole = true;
	if (class && !json_is_string(class))
		return rd_fail(e, RD_EINPUT, "%s: _class_name: a string expected", index.file);
	json_object_foreach((json_t *)(uintptr_t)index.json, key, v) {
		bool part = rd_names_find(rd_net_parts, key) >= 0 || !strcmp(key, "scheduler");

		if (key[0] == '_' || !(part || json_is_array(v)) || rc) /* what else is there are a pipeline's switches */
			continue;
		rc = check_part(index, key, v, network && network->latent, e);
		*whole = *whole && (part || json_is_null(json_array_get(v, 1)));
	}
	return rc;
}

/* --- types -------------------------------------------------------------------------------------------------------- */

enum { STR = 1, BOOL = 2, INT = 4, NUM = 8, LIST = 16, NUL = 32 /* null too */, OBJECT = 64 };

struct key {
	const char *name;
	int kinds;
	double lo, hi; /* of a number; both 0: finite is enough */
};

#define TINY 1e-12
#define ENDLESS 1e308 /* what rd_json_load makes of Infinity */

static const struct key net_keys[] = {
	{"_class_name", STR, 0, 0}, {"sample_size", INT | LIST | NUL, 0, 0}, {"in_channels", INT, 0, 0},
	{"out_channels", INT | NUL, 0, 0}, {"center_input_sample", BOOL | NUL, 0, 0}, {"time_embedding_type", STR, 0, 0},
	{"time_embedding_dim", INT | NUL, 0, 0}, {"freq_shift", NUM, -100, 100}, {"flip_sin_to_cos", BOOL | NUL, 0, 0},
	{"down_block_types", LIST, 0, 0}, {"mid_block_type", STR | NUL, 0, 0}, {"up_block_types", LIST, 0, 0},
	{"block_out_channels", LIST, 0, 0}, {"layers_per_block", INT, 0, 0}, {"mid_block_scale_factor", NUM, -1e6, 1e6},
	{"downsample_padding", INT, 0, 0}, {"downsample_type", STR | NUL, 0, 0}, {"upsample_type", STR | NUL, 0, 0},
	{"dropout", NUM, 0, 1}, {"act_fn", STR, 0, 0}, {"attention_head_dim", INT | LIST | NUL, 0, 0},
	{"norm_num_groups", INT | NUL, 0, 0}, {"attn_norm_num_groups", INT | NUL, 0, 0}, {"norm_eps", NUM, TINY, 1},
	{"resnet_time_scale_shift", STR, 0, 0}, {"add_attention", BOOL | NUL, 0, 0}, {"class_embed_type", STR | NUL, 0, 0},
	{"num_class_embeds", INT | NUL, 0, 0}, {"num_train_timesteps", INT | NUL, 1, 1e6}, {"sample_shape", LIST, 0, 0},
	{"cross_attention_dim", INT | LIST | NUL, 0, 0}, {"transformer_layers_per_block", INT | LIST, 0, 0},
	{"use_linear_projection", BOOL | NUL, 0, 0}, {"upcast_attention", BOOL | NUL, 0, 0},
	{"patch_size", INT, 0, 0}, {"activation_fn", STR, 0, 0}, {"attention_bias", BOOL | NUL, 0, 0},
	{"num_embeds_ada_norm", INT, 0, 0}, {"norm_type", STR, 0, 0}, {"norm_elementwise_affine", BOOL | NUL, 0, 0},
	{"num_attention_heads", INT | LIST | NUL, 0, 0}, {"joint_attention_dim", INT, 0, 0}, {"caption_projection_dim", INT, 0, 0},
	{"pooled_projection_dim", INT, 0, 0}, {"pos_embed_max_size", INT, 0, 0}, {"dual_attention_layers", LIST, 0, 0},
	{"qk_norm", STR | NUL, 0, 0}, {"hidden_dim", INT, 0, 0}, {"num_layers", INT, 0, 0}, {"time_scale", NUM, 0, 0}, {NULL, 0, 0, 0}};

static const struct key scheduler_keys[] = {
	{"_class_name", STR, 0, 0}, {"num_train_timesteps", INT, 0, 0}, {"beta_start", NUM, TINY, 1}, {"beta_end", NUM, TINY, 1},
	{"beta_schedule", STR, 0, 0}, {"trained_betas", LIST | NUL, 0, 0}, {"rescale_betas_zero_snr", BOOL, 0, 0},
	{"prediction_type", STR, 0, 0}, {"variance_type", STR | NUL, 0, 0}, {"timestep_spacing", STR, 0, 0},
	{"steps_offset", INT, 0, 0}, {"clip_sample", BOOL, 0, 0}, {"clip_sample_range", NUM, 1e-6, 1e6},
	{"set_alpha_to_one", BOOL, 0, 0}, {"thresholding", BOOL, 0, 0}, {"dynamic_thresholding_ratio", NUM, 0, 1},
	{"sample_max_value", NUM, 1e-6, 1e6}, {"solver_order", INT, 0, 0}, {"algorithm_type", STR, 0, 0},
	{"solver_type", STR, 0, 0}, {"lower_order_final", BOOL, 0, 0}, {"euler_at_final", BOOL, 0, 0},
	{"use_karras_sigmas", BOOL | NUL, 0, 0}, {"use_exponential_sigmas", BOOL | NUL, 0, 0},
	{"use_beta_sigmas", BOOL | NUL, 0, 0}, {"use_lu_lambdas", BOOL, 0, 0}, {"use_flow_sigmas", BOOL, 0, 0},
	{"flow_shift", NUM, 1e-6, 1e6}, {"final_sigmas_type", STR, 0, 0},
	{"lambda_min_clipped", NUM, -ENDLESS, ENDLESS}, {"predict_x0", BOOL, 0, 0}, {"disable_corrector", LIST, 0, 0},
	{"interpolation_type", STR, 0, 0},
	{"timestep_type", STR, 0, 0}, {"sigma_min", NUM | NUL, 0, 1e6}, {"sigma_max", NUM | NUL, TINY, 1e6},
	{"sigma_data", NUM, TINY, 1e6}, {"sigma_schedule", STR, 0, 0}, {"rho", NUM, TINY, 1e6}, {"shift", NUM, 1e-6, 1e6},
	{"use_dynamic_shifting", BOOL, 0, 0}, {"base_shift", NUM | NUL, -1e6, 1e6}, {"max_shift", NUM | NUL, -1e6, 1e6},
	{"shift_terminal", NUM | NUL, 0, 1}, {"invert_sigmas", BOOL, 0, 0}, {"stochastic_sampling", BOOL, 0, 0},
	{"form", STR, 0, 0}, {"beta_min", NUM, 0, 1e6}, {"beta_max", NUM, 0, 1e6}, {"t_min", NUM, 0, 1e6},
	{"t_max", NUM, 0, 1e6}, {"time_shift_type", STR, 0, 0}, {"base_image_seq_len", INT, 0, 0},
	{"max_image_seq_len", INT, 0, 0}, {"skip_prk_steps", BOOL, 0, 0}, {"solver_p", STR | NUL, 0, 0}, {"network", OBJECT | NUL, 0, 0},
	{"table", LIST, 0, 0}, {"network_time", STR, 0, 0},
	{NULL, 0, 0, 0}};

static int kind_of(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_STRING: return STR;
	case JSON_TRUE:
	case JSON_FALSE: return BOOL;
	case JSON_INTEGER: return INT | NUM;
	case JSON_REAL: return json_real_value(v) == floor(json_real_value(v)) ? INT | NUM : NUM;
	case JSON_ARRAY: return LIST;
	case JSON_NULL: return NUL;
	case JSON_OBJECT: return OBJECT;
	default: return 0;
	}
}

static const char *expected(int kinds)
{
	switch (kinds & ~NUL) {
	case STR: return "a string";
	case BOOL: return "true or false";
	case INT: return "a whole number";
	case NUM: return "a number";
	case LIST: return "a list";
	case OBJECT: return "an object";
	default: return "a whole number or a list";
	}
}

static int check_type(struct rd_config c, const struct key *k, struct rd_err *e)
{
	static const char *const found[] = {[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a string",
	                                    [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
	                                    [JSON_FALSE] = "false", [JSON_NULL] = "null"};
	const json_t *v = json_object_get(c.json, k->name);
	double d = json_number_value(v), most = k->hi > k->lo ? k->hi : ENDLESS / 2, least = k->hi > k->lo ? k->lo : -most;

	if (v && !(kind_of(v) & k->kinds))
		return rd_fail(e, RD_EINPUT, "%s: %s: %s expected, %s found", c.file, k->name, expected(k->kinds),
		               found[json_typeof(v)]);
	if (json_is_number(v) && !(d >= least && d <= most))
		return rd_fail(e, RD_EINPUT, "%s: %s: %g is outside %g to %g", c.file, k->name, d, least, most);
	return RD_OK;
}

static int check_types(struct rd_config c, const struct key *k, struct rd_err *e)
{
	int rc = RD_OK;

	for (; k->name && !rc; k++)
		rc = check_type(c, k, e);
	return rc;
}

int rd_fit_net_types(struct rd_config c, struct rd_err *e)
{
	return check_types(c, net_keys, e);
}

int rd_fit_scheduler_types(struct rd_config c, struct rd_err *e)
{
	return check_types(c, scheduler_keys, e);
}

bool rd_fit_scheduler_has(const char *key)
{
	const struct key *k = scheduler_keys;

	while (k->name && strcmp(k->name, key))
		k++;
	return k->name;
}

/* --- scheduler and network ---------------------------------------------------------------------------------------- */

/* The times that the network is fed: of c, at the noise levels of c; or, where that is another form, at those of `asked`. */
static int check_times(struct rd_config net, struct rd_config sched, const struct rd_schedule *c, const struct rd_schedule *asked,
                       struct rd_err *e)
{
	const char *type = json_string_value(json_object_get(net.json, "time_embedding_type"));
	json_int_t rows = json_integer_value(json_object_get(net.json, "num_train_timesteps"));
	bool discrete = !strcmp(c->form->name, "ddpm");

	if (type && !strcmp(type, "learned") && (!discrete || c->n_train > rows))
		return rd_fail(e, RD_EINPUT, "%s: num_train_timesteps: the network has learned the times 0 to %lld (%s: "
		               "num_train_timesteps), the scheduler has %s", sched.file, (long long)rows - 1, net.file,
		               discrete ? "more" : "continuous ones");
	if (type && !strcmp(type, "fourier") && !(asked->form->net_time(asked, asked->t_lo) > 0))
		return rd_fail(e, RD_EINPUT, "%s: _class_name: it has a time of 0 or less, and the network takes the logarithm "
		               "(%s: time_embedding_type)", sched.file, net.file);
	return RD_OK;
}

int rd_fit_scheduler(struct rd_config net, bool has_variance, struct rd_config sched, const struct rd_scheduler *s, struct rd_err *e)
{
	static const char *const learned[] = {"learned", "learned_range", NULL};
	const char *variance = json_string_value(json_object_get(sched.json, "variance_type"));

	if (variance && rd_names_find(learned, variance) >= 0 && !has_variance)
		return rd_fail(e, RD_EINPUT, "%s: variance_type: %s asks for twice the channels that the network puts out (%s: "
		               "out_channels)", sched.file, variance, net.file);
	return check_times(net, sched, &s->schedule, s->network ? &s->network->schedule : &s->schedule, e);
}
