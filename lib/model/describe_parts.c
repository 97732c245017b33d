#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/describe_impl.h"
#include "lib/ode/table.h"

void rd_page_line(struct rd_page *p, int width, const char *label, const char *fmt, ...)
{
	char *text, *all;
	va_list ap;
	int n;

	if (p->rc)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n >= 0) {
		n = asprintf(&all, "%s%-*s%s%s", *label ? "  " : "", width, label, *label && *text ? "  " : "", text);
		free(text);
	}
	if (n < 0) {
		p->rc = rd_fail(p->e, RD_ENOMEM, "no memory for a line");
		return;
	}
	for (int i = 0; i < n; i++)
		if (iscntrl((unsigned char)all[i]))
			all[i] = '?';
	p->rc = rd_out_printf(p->o, p->e, "%s\n", all);
	free(all);
}

/* --- network ------------------------------------------------------------------------------------------------------ */

/* Length of the part of a parameter's name that says its block: "mid_block" of mid_block.resnets.0.., "up_blocks.1". */
static size_t block_len(const char *name)
{
	size_t n = strcspn(name, ".");

	return name[n] && isdigit((unsigned char)name[n + 1]) ? n + 1 + strcspn(name + n + 1, ".") : n;
}

static bool same_block(const char *a, const char *b)
{
	return block_len(a) == block_len(b) && !strncmp(a, b, block_len(a));
}

/* How many "block.kind.0", "block.kind.1" .. there are. */
static int count_layers(const struct rd_graph *g, const char *block, const char *kind)
{
	int last = -1;

	for (int i = 0; i < g->n_params; i++) {
		const char *rest = g->param[i].name + block_len(g->param[i].name), *dot;
		size_t k = strlen(kind);

		if (!same_block(g->param[i].name, block) || *rest != '.' || strncmp(rest + 1, kind, k) || rest[1 + k] != '.')
			continue;
		dot = rest + 1 + k;
		if (atoi(dot + 1) > last)
			last = atoi(dot + 1);
	}
	return last + 1;
}

/* Channels that the block's residual layers put out; 0 where it has none. */
static int64_t block_width(const struct rd_graph *g, const char *block)
{
	for (int i = 0; i < g->n_params; i++)
		if (same_block(g->param[i].name, block) && !strcmp(g->param[i].name + block_len(block), ".resnets.0.conv1.weight"))
			return g->param[i].shape.d[0];
	return 0;
}

static size_t block_numbers(const struct rd_graph *g, const char *block)
{
	size_t n = 0;

	for (int i = 0; i < g->n_params; i++)
		if (same_block(g->param[i].name, block) && !g->param[i].computed)
			n += g->param[i].n_elems;
	return n;
}

/* diffusers' name of a block's kind; "" where the config says none. */
static const char *block_type(const struct rd_net *net, const json_t *config, const char *block)
{
	const char *dot = strchr(block, '.');
	const char *key = !strncmp(block, "down_blocks.", 12) ? "down_block_types" : "up_block_types";
	const char *type = net->u.unet2d.mid_cross ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D";

	if (strncmp(block, "mid_block.", 10))
		type = json_string_value(json_array_get(json_object_get(config, key), (size_t)atoi(dot + 1)));
	return type ? type : "";
}

/* ", attention in 8 heads" where the block has any. */
static void say_attention(const struct rd_unet2d *u, bool context, const char *block, int64_t width, char *out, size_t cap)
{
	const char *dot = strchr(block, '.');
	int b = !strncmp(block, "mid_block.", 10) ? u->n_blocks - 1 : atoi(dot + 1), r = strncmp(block, "up_", 3) ? b : u->n_blocks - 1 - b;
	int64_t heads = context ? u->heads[r] : u->attention_head_dim ? width / u->attention_head_dim : 1;

	if (context)
		snprintf(out, cap, ", transformers of %lld layer%s in %lld head%s", (long long)u->transformer_layers[r],
		         u->transformer_layers[r] == 1 ? "" : "s", (long long)heads, heads == 1 ? "" : "s");
	else
		snprintf(out, cap, ", attention in %lld head%s", (long long)heads, heads == 1 ? "" : "s");
}

static void unet_block(struct rd_page *p, const struct rd_net *net, const json_t *config, const struct rd_graph *g, const char *block)
{
	int64_t width = block_width(g, block);
	int attentions = count_layers(g, block, "attentions"), layers = count_layers(g, block, "resnets");
	const char *type = block_type(net, config, block);
	char name[RD_PARAM_NAME], attention[64] = "";

	snprintf(name, sizeof name, "%.*s", (int)block_len(block), block);
	if (attentions)
		say_attention(&net->u.unet2d, net->kind == &rd_net_unet2d_condition, block, width, attention, sizeof attention);
	SAY(p, name, "%s%s%lld channels, %d layer%s%s%s, %zu numbers", type, *type ? ", " : "",
	    (long long)width, layers, layers > 1 ? "s" : "", attention,
	    count_layers(g, block, "downsamplers") ? ", down" : count_layers(g, block, "upsamplers") ? ", up" : "",
	    block_numbers(g, block));
}

/* One line per block, in the order of the parameters. */
static void blocks(struct rd_page *p, const struct rd_net *net, const json_t *config, const struct rd_graph *g)
{
	char name[RD_PARAM_NAME], shape[160];

	for (int i = 0; i < g->n_params; i++) {
		const char *block = g->param[i].name;
		int first = 0;

		if (g->param[i].computed)
			continue;
		while (g->param[first].computed || !same_block(g->param[first].name, block))
			first++;
		if (first < i)
			continue;
		if (block_width(g, block)) {
			unet_block(p, net, config, g, block);
			continue;
		}
		snprintf(name, sizeof name, "%.*s", (int)block_len(block), block);
		if (isdigit((unsigned char)name[strlen(name) - 1]))
			SAY(p, name, "%zu numbers", block_numbers(g, block));
		else
			SAY(p, name, "%s, %zu numbers", rd_shape_str(&g->param[i].shape, shape, sizeof shape), block_numbers(g, block));
	}
}

static void patches(struct rd_page *p, int64_t side, int64_t heads, int64_t head_dim)
{
	SAY(p, "patches", "%lld x %lld, %lld channels, attention in %lld heads", (long long)side, (long long)side,
	    (long long)(heads * head_dim), (long long)heads);
}

void rd_describe_network(struct rd_page *p, const struct rd_net *net, const json_t *config, const struct rd_graph *g,
                         int64_t null_class)
{
	char shape[160], vectors[48] = "";

	SAY(p, "network", "%s, %lld parameters in %d tensors", net->kind->class_name, (long long)rd_graph_param_count(g),
	    rd_graph_tensor_count(g));
	SAY(p, "sample", "%s", rd_shape_str(&net->sample, shape, sizeof shape));
	if (net->variance)
		SAY(p, "variance", "as many channels again are put out, and not used");
	if (rd_net_is_dit(net))
		patches(p, net->u.dit.patch, net->u.dit.heads, net->u.dit.head_dim);
	if (net->kind == &rd_net_sd3)
		patches(p, net->u.sd3.patch, net->u.sd3.heads, net->u.sd3.head_dim);
	if (net->vector_dim)
		snprintf(vectors, sizeof vectors, ", and vectors of %lld", (long long)net->vector_dim);
	if (net->contexts.rows)
		SAY(p, "contexts", "%lld rows of %lld tokens of %lld numbers%s, for the labels", (long long)net->contexts.rows,
		    (long long)net->contexts.tokens, (long long)net->contexts.dim, vectors);
	else if (net->cond == RD_COND_CONTEXT)
		SAY(p, "contexts", "none yet: the network takes tokens of %lld numbers%s", (long long)net->cond_dim, vectors);
	if (net->classes && null_class >= 0)
		SAY(p, "classes", "%lld, of which %lld stands for none", (long long)net->classes, (long long)null_class);
	else if (net->classes)
		SAY(p, "classes", "%lld, null class not recorded", (long long)net->classes);
	else
		SAY(p, "classes", "none");
	blocks(p, net, config, g);
}

/* --- scheduler ---------------------------------------------------------------------------------------------------- */

static void schedule_numbers(struct rd_page *p, const struct rd_scheduler *s, const json_t *config)
{
	const struct rd_schedule *c = &s->schedule;
	const char *form = c->form->name, *kind = json_string_value(json_object_get(config, "beta_schedule"));

	if (!strcmp(form, "ddpm"))
		SAY(p, "schedule", "ddpm, %lld times, %s%sbetas %.4g to %.4g", (long long)c->n_train, kind ? kind : "", kind ? " " : "",
		    1 - c->abar[0], 1 - c->abar[c->n_train - 1] / c->abar[c->n_train - 2]);
	else if (c->table)
		SAY(p, "schedule", "table of %zu rows, t %.6g to %.6g", c->table->n, c->t_lo, c->t_hi);
	else if (!strcmp(form, "vp") || !strcmp(form, "subvp"))
		SAY(p, "schedule", "%s, beta %.6g to %.6g, t %.6g to %.6g", form, c->beta0, c->beta1, c->t_lo, c->t_hi);
	else if (s->grid.shift > 0 && s->grid.shift != 1)
		SAY(p, "schedule", "%s, t %.6g to %.6g, shift %.6g", form, c->t_lo, c->t_hi, s->grid.shift);
	else
		SAY(p, "schedule", "%s, %s %.6g to %.6g", form, strcmp(form, "ve") ? "t" : "sigma", c->t_lo, c->t_hi);
}

static void schedule_end(struct rd_page *p, const char *label, const struct rd_schedule *c, double t)
{
	SAY(p, label, "t %.6g: alpha %.5g, sigma %.5g, network's time %.6g", t, rd_alpha(c, t), rd_sigma(c, t),
	    c->form->net_time(c, t));
}

void rd_describe_scheduler(struct rd_page *p, const struct rd_scheduler *s, const json_t *config)
{
	schedule_numbers(p, s, config);
	schedule_end(p, "least noise", &s->schedule, s->schedule.t_lo);
	schedule_end(p, "most noise", &s->schedule, s->schedule.t_hi);
	SAY(p, "prediction", "%s", rd_pred_names[s->pred.type]);
	if (s->network)
		SAY(p, "converted", "the network is one of %s, %s-prediction, and is asked at its times with the same sigma/alpha",
		    s->network->schedule.form->name, rd_pred_names[s->network->pred.type]);
	SAY(p, "sampling", "%s, %s (%s)", rd_solver_name(&s->solver), rd_spacing_names[s->grid.spacing], s->class_name);
	if (s->clip)
		SAY(p, "clipping", "samples within -%.6g to %.6g at every step (odesample)", s->clip_range, s->clip_range);
	else
		SAY(p, "clipping", "none");
}
