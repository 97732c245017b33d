/* What a graph refuses, as it is built and as it is fed. */
#include <stdlib.h>
#include <string.h>

#include "lib/graph/exec.h"
#include "tests/check.h"
#include "tests/graphs.h"

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

static const struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE};

/* x has 6 channels of 4x4 pixels, v is a vector of 6. */
static void too_large_a_kernel(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	rd_graph_conv(g, v, "c", 4, (struct rd_conv_opts){3, 1, 0, 0, RD_NONE});
}

static void conv_residual(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_conv(g, x, "c", 4, (struct rd_conv_opts){3, 1, 1, 1, x});
}

static void linear_residual(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_linear(g, v, "l", 6, x);
}

static void groups(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){4, 1e-5f, RD_ACT_NONE, RD_NONE, RD_NONE});
}

static void shift_of_an_image(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){3, 1e-5f, RD_ACT_NONE, x, RD_NONE});
}

static void half_a_scale_shift(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){3, 1e-5f, RD_ACT_NONE, RD_NONE, v});
}

static void heads(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_attention(g, x, x, x, 4);
}

static void attention_to_itself(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_attention(g, v, rd_graph_act(g, v, RD_ACT_SILU), v, 2);
	(void)x;
}

static void attention_shapes(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_attention(g, x, v, x, 2);
}

static void sum(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_add(g, x, v);
}

static void concat(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_concat(g, x, v);
}

static void empty_embedding(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	(void)v;
	rd_graph_timestep(g, rd_graph_number_input(g, false), 0, false, 0);
}

static void pool_of_a_pixel(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	rd_graph_avgpool2(g, v);
}

static void odd_picture(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_fir_down2(g, rd_graph_conv(g, x, "c", 4, (struct rd_conv_opts){3, 1, 1, 0, RD_NONE}));
}

static void drop_everything(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_dropout(g, x, 1);
}

static void no_channels(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_conv(g, x, "c", 0, c3);
}

static void another_of_the_name(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_conv_declare(g, 6, "c", 4, 1);
	rd_graph_conv(g, x, "c", 4, c3);
}

static void another_kind_of_the_name(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	rd_graph_embed(g, rd_graph_index_input(g, 3), "c", 4);
	rd_graph_conv(g, v, "c", 4, (struct rd_conv_opts){1, 1, 0, 0, RD_NONE});
}

static void long_name(struct rd_graph *g, rd_ref x, rd_ref v)
{
	char name[200];

	(void)v;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	rd_graph_conv(g, x, name, 4, c3);
}

static void refusals(void)
{
	static const struct {
		void (*make)(struct rd_graph *g, rd_ref x, rd_ref v);
		const char *says;
	} bad[] = {
		{too_large_a_kernel, "c: a 3x3 convolution does not fit 1x1"}, {conv_residual, "c: the residual"},
		{linear_residual, "l: the residual"}, {groups, "n: 6 channels do not divide into 4 groups"},
		{shift_of_an_image, "n: the time embedding"}, {half_a_scale_shift, "n: the time embedding"},
		{heads, "6 channels do not divide into 4 heads"}, {attention_shapes, "q, k and v of different shapes"},
		{attention_to_itself, "three values"}, {sum, "a sum of two shapes"},
		{concat, "4x4 and 1x1"}, {empty_embedding, "[1, 0, 1, 1]"}, {pool_of_a_pixel, "[1, 6, 0, 0]"},
		{odd_picture, "3x3: even sizes"}, {drop_everything, "dropout of 1"}, {no_channels, "c:"}, {long_name, "too long"},
		{another_of_the_name, "c: parameters of that name"}, {another_kind_of_the_name, "c: parameters of that name"},
	};
	struct rd_graph *g;
	struct rd_exec *x;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		rd_ref image, vector;
		char first[512];

		CHECK_OK(rd_graph_new(&g, 1, &e), &e);
		image = rd_graph_input(g, 6, 4, 4);
		vector = rd_graph_input(g, 6, 1, 1);
		bad[i].make(g, image, vector);
		CHECK(rd_graph_check(g, &e) == RD_ESHAPE);
		if (!strstr(e.msg, bad[i].says))
			fprintf(stderr, "'%s' does not say '%s'\n", e.msg, bad[i].says);
		CHECK(strstr(e.msg, bad[i].says));
		/* it stays the first error, whatever follows, and nothing runs */
		snprintf(first, sizeof first, "%s", e.msg);
		CHECK(rd_graph_act(g, image, RD_ACT_SILU) == RD_NONE && rd_graph_conv(g, image, "d", 0, c3) == RD_NONE);
		CHECK(rd_exec_new(&x, g, be, dev, (struct rd_exec_opts){0}, &e) == RD_ESHAPE && !x && !strcmp(e.msg, first));
		rd_graph_free(g);
	}
	CHECK_OK(rd_graph_new(&g, 0, &e), &e);
	CHECK(rd_graph_input(g, 1, 1, 1) == RD_NONE && rd_graph_check(g, &e) == RD_ESHAPE);
	rd_graph_free(g);
	CHECK_OK(rd_graph_new(&g, 1, &e), &e);
	CHECK(rd_graph_scale(g, rd_graph_input(g, 1, 1, 1), 1) == 0 && g->n_nodes == 1); /* a scale of 1 is no operation */
	rd_graph_free(g);
}

/* Times and labels go in as each input wants them, and what it cannot mean is refused. */
static void inputs(void)
{
	static const char learned[] = "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 4, \"block_out_channels\": [8],"
		" \"down_block_types\": [\"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\"], \"norm_num_groups\": 2,"
		" \"time_embedding_type\": \"%s\", \"num_train_timesteps\": 10, \"class_embed_type\": \"%s\"}";
	static const struct {
		const char *time, *cond;
		float t;
		int32_t label;
		int rc_time, rc_label;
	} c[] = {
		{"positional", "timestep", -3.5f, -2, 0, 0}, {"positional", "timestep", NAN, 0, RD_EDOMAIN, 0},
		{"learned", "timestep", 9, 9, 0, 0}, {"learned", "timestep", 9.5f, 10, RD_EDOMAIN, RD_EINPUT},
		{"learned", "timestep", 10, -1, RD_EDOMAIN, RD_EINPUT}, {"learned", "timestep", -1, 0, RD_EDOMAIN, 0},
		{"fourier", "timestep", 0.5f, 1, 0, 0}, {"fourier", "timestep", 0, 0, RD_EDOMAIN, RD_EINPUT},
		{"fourier", "identity", 1, 0, 0, RD_EUSAGE}, {"fourier", "identity", INFINITY, 0, RD_EDOMAIN, RD_EUSAGE},
	};
	float v[32] = {0};

	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct rd_graph *g;
		struct rd_exec *x;
		char config[512];
		bool vector = !strcmp(c[i].cond, "identity");

		snprintf(config, sizeof config, learned, c[i].time, c[i].cond);
		g = graphs_build(config, 1);
		CHECK_OK(rd_exec_new(&x, g, be, dev, (struct rd_exec_opts){0}, &e), &e);
		CHECK(rd_exec_put_times(x, &c[i].t, &e) == c[i].rc_time);
		CHECK(rd_exec_put_labels(x, &c[i].label, &e) == c[i].rc_label);
		CHECK(rd_exec_put_vectors(x, v, &e) == (vector ? RD_OK : RD_EUSAGE));
		rd_exec_free(x);
		rd_graph_free(g);
	}
}

int main(void)
{
	CHECK_OK(rd_device_open("cpu", 1, &be, &dev, &e), &e);
	refusals();
	inputs();
	be->close(dev);
	return check_report("graph_refusals");
}
