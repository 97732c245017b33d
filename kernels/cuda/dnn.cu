/* cuDNN's graph API in C: its handle, and the plans that a device keeps. */
#include "kernels/cuda/dnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

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

void rd_dnn_free(struct rd_dnn *d)
{
	if (!d)
		return;
	rd_dnn_convs_free(d->convs);
	rd_dnn_attentions_free(d->attentions);
	while (d->entries) {
		struct rd_dnn_entry *en = d->entries;

		d->entries = en->next;
		rd_dnn_plan_free(&en->plan);
		free(en);
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

void rd_dnn_tell(FILE *f, const char *name, const struct rd_dnn_plan *p)
{
	static const char *const why[RD_DNN_N_REASONS] = { "order of sums", "narrow sums", "narrow operands",
	                                                    "no tensor cores", "no plan" };
	static const char *const refused[] = { "", "the graph", "heuristics", "a plan" };

	fprintf(f, "%s: ", name);
	if (p->plan)
		fprintf(f, "engine %lld by mode %c%s%s%s, %zu bytes", (long long)p->engine, p->mode, p->tensor_core ? ", tensor cores" : "",
		        p->transforms ? ", transforms" : "", p->compiled ? ", compiled" : "", p->ws_bytes);
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
	for (struct rd_dnn_entry *en = f ? dnn->entries : NULL; en; en = en->next)
		rd_dnn_tell(f, en->name, &en->plan);
	if (f)
		fclose(f);
	return dnn->engines ? dnn->engines : "";
}

/* For the device's note. */
static void tell_missing(struct rd_dev *dev, const struct rd_dnn_entry *en)
{
	char *line = NULL;
	size_t bytes;
	FILE *f = dev->note ? open_memstream(&line, &bytes) : NULL;

	if (!f)
		return;
	rd_dnn_tell(f, en->name, &en->plan);
	if (!fclose(f))
		rd_cuda_note(dev, "cuDNN: a convolution without an engine: %.*s", (int)strcspn(line, "\n"), line);
	free(line);
}

struct rd_dnn_entry *rd_dnn_entry_new(struct rd_dev *dev, struct rd_dnn_graph *g, bool wanted, const char *name)
{
	const struct rd_dnn_target here = { dev->dnn->handle, NULL };
	struct rd_dnn_entry *en = (struct rd_dnn_entry *)calloc(1, sizeof *en), **at = &dev->dnn->entries;

	if (!en) {
		rd_dnn_drop(g);
		return NULL;
	}
	snprintf(en->name, sizeof en->name, "%s", name);
	rd_dnn_plan_make(&en->plan, &here, g, dev->precision);
	while (*at)
		at = &(*at)->next;
	*at = en;
	if (wanted && !en->plan.plan)
		tell_missing(dev, en);
	return en;
}

#endif
