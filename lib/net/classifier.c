/* h = conv_in(x); for each further width: h = down(silu(norm(h))), h += conv(silu(norm(h))); features = mean(silu(norm(h))). */
#include "lib/net/classifier.h"

#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "lib/net/net.h"

#define NORM_EPS 1e-5f
#define NAME 64

static const char *const known[] = {"in_channels", "sample_size", "block_out_channels", "norm_num_groups", "num_classes", NULL};

static int check_size(const char *key, int64_t v, int64_t least, int64_t most, struct rd_err *e)
{
	if (v >= least && v <= most)
		return RD_OK;
	return rd_fail(e, RD_ESHAPE, "%s: %lld is outside %lld..%lld", key, (long long)v, (long long)least, (long long)most);
}

/* The bounds of a network that is read, and of a new one. */
static int check_sizes(const struct rd_classifier_net *c, struct rd_err *e)
{
	const int64_t most = RD_CLASSIFIER_MAX_SIZE;
	int rc = check_size("in_channels", c->in_channels, 1, most, e);

	if (!rc)
		rc = check_size("sample_size", c->height < c->width ? c->height : c->width, 1, most, e);
	if (!rc)
		rc = check_size("sample_size", c->height < c->width ? c->width : c->height, 1, most, e);
	if (!rc)
		rc = check_size("norm_num_groups", c->norm_num_groups, 1, most, e);
	if (!rc)
		rc = check_size("num_classes", c->num_classes, 2, RD_CLASSIFIER_MAX_CLASSES, e);
	for (int i = 0; i < c->n_widths && !rc; i++)
		rc = check_size("block_out_channels", c->block_out_channels[i], 1, most, e);
	return rc;
}

/* A size, or [height, width]. */
static int parse_size(struct rd_classifier_net *c, const json_t *config, const char *file, struct rd_err *e)
{
	const json_t *s = json_object_get(config, "sample_size"), *h = s, *w = s;

	if (json_is_array(s)) {
		h = json_array_get(s, 0);
		w = json_array_get(s, 1);
	}
	c->height = json_integer_value(h);
	c->width = json_integer_value(w);
	if ((json_is_array(s) && json_array_size(s) != 2) || !json_is_integer(h) || !json_is_integer(w))
		return rd_fail(e, RD_EINPUT, "%s: sample_size: a size, or [height, width], expected", file);
	return RD_OK;
}

static int parse_widths(struct rd_classifier_net *c, const json_t *config, const char *file, struct rd_err *e)
{
	const json_t *a = json_object_get(config, "block_out_channels"), *v;
	size_t i;

	if (!json_is_array(a) || json_array_size(a) < 1 || json_array_size(a) > RD_CLASSIFIER_MAX_WIDTHS)
		return rd_fail(e, RD_EINPUT, "%s: block_out_channels: a list of 1 to %d widths expected", file,
		               RD_CLASSIFIER_MAX_WIDTHS);
	json_array_foreach(a, i, v)
		c->block_out_channels[i] = json_integer_value(v);
	c->n_widths = (int)json_array_size(a);
	return RD_OK;
}

int rd_classifier_parse(struct rd_classifier_net *c, const json_t *config, const char *file, struct rd_err *e)
{
	char name[64];
	int rc = rd_json_str(config, file, "_class_name", NULL, name, sizeof name, e);

	memset(c, 0, sizeof *c);
	if (!rc && strcmp(name, RD_CLASSIFIER_NAME) != 0)
		rc = rd_fail(e, RD_EINPUT, "%s: _class_name %s: a classifier's is " RD_CLASSIFIER_NAME, file, name);
	if (!rc)
		rc = rd_net_check_keys(config, file, known, e);
	if (!rc) /* 0, the default, is out of bounds: a key that must be there */
		rc = rd_json_int(config, file, "in_channels", 0, 1, INT64_MAX, &c->in_channels, e);
	if (!rc)
		rc = rd_json_int(config, file, "num_classes", 0, 1, INT64_MAX, &c->num_classes, e);
	if (!rc)
		rc = rd_json_int(config, file, "norm_num_groups", 8, 1, INT64_MAX, &c->norm_num_groups, e);
	if (!rc && (!c->in_channels || !c->num_classes))
		rc = rd_fail(e, RD_EINPUT, "%s: %s: is not there", file, c->in_channels ? "num_classes" : "in_channels");
	if (!rc)
		rc = parse_size(c, config, file, e);
	if (!rc)
		rc = parse_widths(c, config, file, e);
	if (rc || !check_sizes(c, e))
		return rc;
	e->code = RD_EINPUT;
	return rd_context(e, "%s", file);
}

json_t *rd_classifier_config(const struct rd_classifier_net *c)
{
	json_t *widths = json_array();

	for (int i = 0; i < c->n_widths; i++)
		json_array_append_new(widths, json_integer(c->block_out_channels[i]));
	return json_pack("{s:s, s:I, s:[I,I], s:o, s:I, s:I}", "_class_name", RD_CLASSIFIER_NAME, "in_channels",
	                 (json_int_t)c->in_channels, "sample_size", (json_int_t)c->height, (json_int_t)c->width,
	                 "block_out_channels", widths, "norm_num_groups", (json_int_t)c->norm_num_groups, "num_classes",
	                 (json_int_t)c->num_classes);
}

static rd_ref norm(struct rd_graph *g, rd_ref x, const char *name, int64_t groups)
{
	return rd_graph_groupnorm(g, x, name, (struct rd_norm_opts){groups, NORM_EPS, RD_ACT_SILU, RD_NONE, RD_NONE});
}

/* Halves, rounding up, and goes on at that size. */
static rd_ref block(struct rd_graph *g, rd_ref h, int i, int64_t width, int64_t groups)
{
	struct rd_conv_opts half = {3, 2, 1, 1, RD_NONE}, same = {3, 1, 1, 1, RD_NONE};
	char name[NAME];

	snprintf(name, sizeof name, "blocks.%d.norm1", i);
	h = norm(g, h, name, groups);
	snprintf(name, sizeof name, "blocks.%d.down", i);
	same.residual = h = rd_graph_conv(g, h, name, width, half);
	snprintf(name, sizeof name, "blocks.%d.norm2", i);
	h = norm(g, h, name, groups);
	snprintf(name, sizeof name, "blocks.%d.conv", i);
	return rd_graph_conv(g, h, name, width, same);
}

/* Halving a square of a power of two leaves out no pixel, so the mean of means is the mean. */
static rd_ref mean(struct rd_graph *g, rd_ref h)
{
	struct rd_dims d = rd_graph_dims(g, h);

	if (!g->err.code && (d.h != d.w || (d.h & (d.h - 1))))
		return rd_graph_refuse(g, "sample_size: halved for each block it is %lldx%lld; a square of a power of two is averaged",
		                       (long long)d.h, (long long)d.w);
	for (; d.h > 1; d.h /= 2)
		h = rd_graph_avgpool2(g, h);
	return h;
}

int rd_classifier_build(const struct rd_classifier_net *c, int64_t batch, struct rd_graph **out, struct rd_err *e)
{
	struct rd_graph *g;
	rd_ref h;
	int rc = check_sizes(c, e);

	*out = NULL;
	if (!rc)
		rc = rd_graph_new(&g, batch, e);
	if (rc)
		return rc;
	g->x = rd_graph_input(g, c->in_channels, c->height, c->width);
	h = rd_graph_conv(g, g->x, "conv_in", c->block_out_channels[0], (struct rd_conv_opts){3, 1, 1, 1, RD_NONE});
	for (int i = 1; i < c->n_widths; i++)
		h = block(g, h, i - 1, c->block_out_channels[i], c->norm_num_groups);
	h = mean(g, norm(g, h, "norm_out", c->norm_num_groups));
	g->y = rd_graph_concat(g, h, rd_graph_linear(g, h, "head", c->num_classes, RD_NONE));
	rc = rd_graph_check(g, e);
	if (rc)
		rd_graph_free(g);
	else
		*out = g;
	return rc;
}
