#include "lib/model/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row of a two-column table for each member, values as JSON. */
static void rows(FILE *f, const json_t *object)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));

		fprintf(f, "| %s | `%s` |\n", key, text ? text : "");
		free(text);
	}
}

static void usage(FILE *f, const struct rd_model *m)
{
	if (m->net.kind != &rd_net_unet2d || strcmp(m->scheduler.schedule.form->name, "ddpm"))
		return;
	fprintf(f, "## Use\n\nWith diffusers, in one step:\n\n```python\n"
	           "from diffusers import DDIMScheduler, UNet2DModel\nimport torch\n\n"
	           "unet = UNet2DModel.from_pretrained(\".\", subfolder=\"unet\")\n"
	           "scheduler = DDIMScheduler.from_pretrained(\".\", subfolder=\"scheduler\", timestep_spacing=\"trailing\",\n"
	           "                                          clip_sample=False)\n"
	           "scheduler.set_timesteps(1)\n"
	           "x = torch.randn(4, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)\n"
	           "with torch.no_grad():\n    for t in scheduler.timesteps:\n"
	           "        x = scheduler.step(unet(x, t%s).sample, t, x).prev_sample\n```\n\n",
	        m->net.classes ? ", class_labels=torch.zeros(4, dtype=torch.long)" : "");
	fprintf(f, "`unet/diffusion_pytorch_model.safetensors` holds the averaged (EMA) weights; the raw ones are variant `raw`.\n\n");
}

char *rd_model_card(const struct rd_model *m, const json_t *run, const json_t *data_meta, const char *command)
{
	const char *coupling = json_string_value(json_object_get(run, "coupling"));
	bool paired = coupling && !strcmp(coupling, "pairs");
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fprintf(f, "# %s\n\n", paired ? "A rectified diffusion model" : "A diffusion model");
	fprintf(f, "Trained by rectdiff %s%s. Form %s, %s-prediction.\n\n", RD_VERSION,
	        paired ? " on (noise, sample) pairs of the model's own ODE (arXiv 2410.07303); network, schedule and prediction type "
	                 "are those of the model it came from"
	               : "",
	        m->scheduler.schedule.form->name, rd_pred_names[m->scheduler.pred.type]);
	usage(f, m);
	fprintf(f, "## How it was made\n\n");
	if (command)
		fprintf(f, "```\n%s\n```\n\n", command);
	fprintf(f, "| training | |\n|---|---|\n");
	rows(f, run);
	fprintf(f, "\n| data | |\n|---|---|\n");
	rows(f, data_meta);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
