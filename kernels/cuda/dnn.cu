/* cuDNN's graph API in C: an execution plan for each direction of a convolution, NHWC. Plans are kept with the device and
 * shared by convolutions of the same shape. Engines whose sums depend on the order of arrival or are less than f32 are passed
 * over, in f32 those that round operands or transform them, and in tf32 and bf16 those without tensor cores. */
#include "kernels/cuda/dnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

const struct rd_dnn_kind rd_dnn_kinds[RD_DNN_N_KINDS] = {
	{ "forward", RD_DNN_FWD, 0, 0 },           { "forward +=", RD_DNN_FWD, 1, 0 },
	{ "forward with bias", RD_DNN_FWD, 0, 1 }, { "by the input", RD_DNN_BWD_DATA, 0, 0 },
	{ "by the input +=", RD_DNN_BWD_DATA, 1, 0 }, { "by the weights", RD_DNN_BWD_WEIGHTS, 0, 0 },
};
static_assert(RD_CONV_ALL == (1 << RD_DNN_N_KINDS) - 1, "a kind for each way");

/* Of the same description: one, for training and without it. */
struct rd_dnn_conv {
	struct rd_dnn_conv *next;
	struct rd_conv2d_desc d;
	bool made[RD_DNN_N_KINDS];
	struct rd_dnn_plan plan[RD_DNN_N_KINDS]; /* of those made */
};

struct rd_dnn {
	cudnnHandle_t handle;
	struct rd_dnn_conv *convs;
	char text[48];
	char *engines; /* as last told */
};

/* cuDNN looks for the compiler of its fused kernels in a few places of its own, and takes it where it has been loaded. */
static void load_compiler(struct rd_dev *dev)
{
	char name[32];

	snprintf(name, sizeof name, "libnvrtc.so.%d", CUDART_VERSION / 1000);
	if (!dlopen(name, RTLD_LAZY))
		rd_cuda_note(dev, "cuDNN may lack the engines that it compiles: %s", dlerror());
}

int rd_dnn_new(struct rd_dnn **out, struct rd_dev *dev, struct rd_err *e)
{
	struct rd_dnn *d = (struct rd_dnn *)calloc(1, sizeof *d);
	size_t v = cudnnGetVersion();
	cudnnStatus_t s;

	*out = NULL;
	if (!d)
		return rd_fail(e, RD_ENOMEM, "no memory");
	load_compiler(dev);
	s = cudnnCreate(&d->handle);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnSetStream(d->handle, dev->stream);
	if (s != CUDNN_STATUS_SUCCESS) {
		rd_dnn_free(d);
		return rd_fail(e, RD_EDEVICE, "cuDNN: %s", cudnnGetErrorString(s));
	}
	snprintf(d->text, sizeof d->text, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
	*out = d;
	return RD_OK;
}

static int kind_of(enum rd_conv2d_way way)
{
	int i = 0;

	while (way >> i > 1)
		i++;
	return i;
}

static void free_conv(struct rd_dnn_conv *c)
{
	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		rd_dnn_plan_free(&c->plan[i]);
	free(c);
}

void rd_dnn_free(struct rd_dnn *d)
{
	if (!d)
		return;
	while (d->convs) {
		struct rd_dnn_conv *c = d->convs;

		d->convs = c->next;
		free_conv(c);
	}
	if (d->handle)
		cudnnDestroy(d->handle);
	free(d->engines);
	free(d);
}

const char *rd_dnn_text(const struct rd_dnn *d)
{
	return d ? d->text : "no cuDNN";
}

static void tell_plan(FILE *f, const struct rd_conv2d_desc *d, const struct rd_dnn_kind *k, const struct rd_dnn_plan *p)
{
	static const char *const why[RD_DNN_N_REASONS] = { "order of sums", "narrow sums", "narrow operands",
	                                                    "no tensor cores", "no plan" };
	static const char *const refused[] = { "", "the graph", "heuristics", "a plan" };

	fprintf(f, "%lldx%lldx%lldx%lld to %lld, %dx%d over %d, %s: ", (long long)d->in.n, (long long)d->in.c, (long long)d->in.h,
	        (long long)d->in.w, (long long)d->out_c, d->kernel, d->kernel, d->stride, k->name);
	if (p->plan)
		fprintf(f, "engine %lld by mode %c%s%s, %zu bytes", (long long)p->engine, p->mode, p->tensor_core ? ", tensor cores" : "",
		        p->transforms ? ", transforms" : "", p->ws_bytes);
	else
		fputs("none", f);
	for (int i = 0; i < RD_DNN_N_REASONS; i++)
		if (p->passed_over[i])
			fprintf(f, "; passed over for %s: %d", why[i], p->passed_over[i]);
	if (!p->plan && p->refused)
		fprintf(f, "; refused: %s: %s%s%s", refused[p->refused], cudnnGetErrorString(p->status), *p->text ? ": " : "", p->text);
	fputc('\n', f);
}

const char *rd_cuda_engines(struct rd_dev *dev)
{
	struct rd_dnn *dnn = dev->dnn;
	size_t bytes;
	FILE *f;

	if (!dnn)
		return "";
	free(dnn->engines);
	dnn->engines = NULL;
	f = open_memstream(&dnn->engines, &bytes);
	for (struct rd_dnn_conv *c = f ? dnn->convs : NULL; c; c = c->next)
		for (int i = 0; i < RD_DNN_N_KINDS; i++)
			if (c->made[i])
				tell_plan(f, &c->d, &rd_dnn_kinds[i], &c->plan[i]);
	if (f)
		fclose(f);
	return dnn->engines ? dnn->engines : "";
}

/* For the device's note. */
static void tell_missing(struct rd_dev *dev, const struct rd_dnn_conv *c, int kind)
{
	char *line = NULL;
	size_t bytes;
	FILE *f = dev->note ? open_memstream(&line, &bytes) : NULL;

	if (!f)
		return;
	tell_plan(f, &c->d, &rd_dnn_kinds[kind], &c->plan[kind]);
	if (!fclose(f))
		rd_cuda_note(dev, "cuDNN: a convolution without an engine: %.*s", (int)strcspn(line, "\n"), line);
	free(line);
}

static void make_plan(struct rd_dev *dev, struct rd_dnn_conv *c, int kind)
{
	if (c->made[kind])
		return;
	c->made[kind] = true;
	rd_dnn_plan_make(&c->plan[kind], dev->dnn->handle, &c->d, dev->precision, &rd_dnn_kinds[kind]);
	if (!c->plan[kind].plan)
		tell_missing(dev, c, kind);
}

static struct rd_dnn_conv *find(struct rd_dnn *dnn, const struct rd_conv2d_desc *d)
{
	struct rd_dnn_conv *c = dnn->convs;

	while (c && memcmp(&c->d, d, sizeof *d) != 0)
		c = c->next;
	if (c)
		return c;
	c = (struct rd_dnn_conv *)calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->d = *d;
	c->next = dnn->convs;
	return dnn->convs = c;
}

struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways)
{
	struct rd_dnn_conv *c = find(dev->dnn, d);

	if (!c)
		return NULL;
	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		if (ways >> i & 1)
			make_plan(dev, c, i);
	if (ways & RD_CONV_Y_BIAS && !rd_dnn_conv_has(c, RD_CONV_Y_BIAS))
		make_plan(dev, c, kind_of(RD_CONV_Y));
	return c;
}

void rd_dnn_conv_free(struct rd_dnn_conv *c)
{
	(void)c; /* it goes with the device */
}

bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_conv2d_way way)
{
	return c && c->plan[kind_of(way)].plan;
}

size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c, unsigned ways)
{
	size_t n = 0;

	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		if (ways >> i & 1 && c->plan[i].ws_bytes > n)
			n = c->plan[i].ws_bytes;
	return n;
}

int rd_dnn_conv_run(struct rd_dev *dev, struct rd_dnn_conv *c, enum rd_conv2d_way way, const void *x, const void *w, const void *y,
                    const float *bias, void *ws, struct rd_err *e)
{
	cudnnStatus_t s = rd_dnn_plan_run(&c->plan[kind_of(way)], dev->dnn->handle, x, w, y, bias, ws);

	return s == CUDNN_STATUS_SUCCESS ? RD_OK : rd_fail(e, RD_EDEVICE, "cuDNN: convolution: %s", cudnnGetErrorString(s));
}

#endif
