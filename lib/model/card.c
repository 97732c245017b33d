#include "lib/model/card.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/in.h"
#include "formats/png.h"
#include "lib/base/tree.h"

#define README_MAX ((size_t)1 << 20)
#define VALUE_MAX 200

/* --- what the source says of itself ------------------------------------------------------------------------------- */

/* Copies a plain scalar without its quotes; false where it is empty, long, or has a character with a meaning in YAML. */
static bool take_scalar(const char *s, size_t n, char buf[VALUE_MAX])
{
	while (n && isspace((unsigned char)*s))
		s++, n--;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	if (n > 1 && (*s == '"' || *s == '\'') && s[n - 1] == *s)
		s++, n -= 2;
	if (!n || n >= VALUE_MAX || !isalnum((unsigned char)*s))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("._-/:+~%", s[i]))
			return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	return true;
}

/* The value of a key in the YAML between the lines --- at the top of a README; the first one of a list. */
static bool front_matter(const char *readme, const char *key, char buf[VALUE_MAX])
{
	const char *line = readme;
	bool in_list = false;

	if (!readme || strncmp(readme, "---", 3))
		return false;
	while ((line = strchr(line, '\n')) && strncmp(++line, "---", 3)) {
		size_t n = strcspn(line, "\n"), k = strlen(key), blank = strspn(line, " ");

		if (in_list)
			return line[blank] == '-' && take_scalar(line + blank + 1, n - blank - 1, buf);
		if (n <= k || strncmp(line, key, k) || line[k] != ':')
			continue;
		if (take_scalar(line + k + 1, n - k - 1, buf))
			return true;
		in_list = strspn(line + k + 1, " \r") == n - k - 1;
		if (!in_list)
			return false;
	}
	return false;
}

/* OWNER/NAME, as a hub's models are called, and no path of this machine. */
static bool is_hub_id(const char *s)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t owner = s ? strspn(s, chars) : 0;

	return owner && s[owner] == '/' && s[owner + 1] && !s[owner + 1 + strspn(s + owner + 1, chars)] &&
	       isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[owner + 1]) && strlen(s) < VALUE_MAX && !rd_exists("%s", s);
}

/* The hub's name of the source: what its README calls its base, or what its configs were loaded from. */
static bool base_model(const struct rd_model *m, const char *readme, char buf[VALUE_MAX])
{
	json_t *index = m->index_text ? json_loads(m->index_text, 0, NULL) : NULL;
	const char *from[] = {json_string_value(json_object_get(index, "_name_or_path")),
	                      json_string_value(json_object_get(m->config, "_name_or_path"))};
	bool found = front_matter(readme, "base_model", buf);

	for (int i = 0; i < 2 && !found; i++) {
		found = is_hub_id(from[i]);
		if (found)
			strcpy(buf, from[i]);
	}
	json_decref(index);
	return found;
}

static char *source_readme(const struct rd_model *m)
{
	char path[4200], *text = NULL;
	struct rd_err e;
	size_t n;

	snprintf(path, sizeof path, "%.4000s/README.md", m->dir);
	return access(path, R_OK) || rd_in_file(path, README_MAX, &text, &n, &e) ? NULL : text;
}

/* --- the card ----------------------------------------------------------------------------------------------------- */

/* Whether samples are what is wanted, and no latents: of a DiT those that can be seen. */
static bool is_image(const struct rd_model *m)
{
	const int64_t c = m->net.sample.d[0];

	return m->net.kind == &rd_net_unet2d || (rd_net_is_dit(&m->net) && (c == 1 || c == 3));
}

/* As the card's odesample says it: 64 samples, by default 8 in a row and twice as large. */
static bool makes_picture(const struct rd_model *m)
{
	const int64_t *d = m->net.sample.d;
	struct rd_err e;

	return is_image(m) && !rd_png_grid_check(64, d[0], d[1], d[2], 8, 2, &e);
}

/* Of a pipeline, which has an autoencoder beside it, and what makes contexts of texts where the network wants them. */
static bool is_part(const struct rd_model *m)
{
	return m->net.kind && m->net.kind->latent && !is_image(m);
}

static const char *pipeline(const struct rd_model *m)
{
	if (rd_net_is_dit(&m->net))
		return "DiTPipeline";
	if (m->net.kind == &rd_net_sd3)
		return "StableDiffusion3Pipeline";
	return m->net.vector_dim ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline";
}

/* The class that loads the network now. */
static const char *net_class(const struct rd_model *m)
{
	return rd_net_is_dit(&m->net) ? rd_net_dit.class_name : m->net.kind->class_name;
}

static bool is_own_scheduler(const struct rd_model *m)
{
	return !strcmp(m->scheduler.class_name, "RectdiffScheduler");
}

/* For the readers of model hubs. A licence, and the model that this one came from, where the source names them. */
static void header(FILE *f, const struct rd_model *m, bool paired)
{
	static const char *const kept[] = {"license", "license_name", "license_link"};
	const char *task = is_image(m) || rd_net_is_dit(&m->net) ? "unconditional-image-generation" : is_part(m) ? "text-to-image" : NULL;
	char value[VALUE_MAX], *readme = source_readme(m);

	fprintf(f, "---\nlibrary_name: %s\n", task && !is_own_scheduler(m) ? "diffusers" : "rectdiff");
	if (task)
		fprintf(f, "pipeline_tag: %s\n", task);
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (front_matter(readme, kept[i], value))
			fprintf(f, "%s: %s\n", kept[i], value);
	if (base_model(m, readme, value))
		fprintf(f, "base_model: %s\n", value);
	fprintf(f, "tags:\n- rectdiff\n%s%s%s%s---\n\n", paired ? "- rectified-diffusion\n" : "", task ? "- " : "", task ? task : "",
	        task ? "\n" : "");
	free(readme);
}

static const char *diffusers_scheduler(const struct rd_model *m)
{
	if (!(is_image(m) || is_part(m)) || is_own_scheduler(m))
		return NULL;
	if (!strcmp(m->scheduler.schedule.form->name, "fm"))
		return "FlowMatchEulerDiscreteScheduler";
	if (!strcmp(m->scheduler.schedule.form->name, "ddpm") && m->scheduler.pred.type <= RD_PRED_V)
		return "DDIMScheduler";
	return NULL;
}

/* Python that loads network and scheduler; the class may be any. */
static void load_in_python(FILE *f, const struct rd_model *m, const char *class)
{
	const bool ddim = !strcmp(class, "DDIMScheduler"), ends = json_is_false(json_object_get(m->scheduler_config, "set_alpha_to_one"));
	const char *keys = ddim ? ", timestep_spacing=\"trailing\", clip_sample=False" : "";
	const char *last = ddim && ends ? ", set_alpha_to_one=True" : "", *net = net_class(m), *part = m->net.kind->part;

	fprintf(f, "With diffusers, where `folder` is this one or the name of its repository:\n\n```python\n"
	           "%sfrom diffusers import %s, %s%s%s\n\nfolder = \".\"\n"
	           "%s = %s.from_pretrained(folder, subfolder=\"%s\")\n"
	           "scheduler = %s.from_pretrained(folder, subfolder=\"scheduler\"%s%s)\n",
	        is_part(m) ? "" : "import torch\n", class, is_part(m) ? pipeline(m) : net, is_part(m) ? ", " : "", is_part(m) ? net : "",
	        part, net, part, class, keys, last);
}

static void sample_in_python(FILE *f, const struct rd_model *m, int steps)
{
	const int64_t *d = m->net.sample.d;
	char variance[32];

	snprintf(variance, sizeof variance, "[:, :%lld]", (long long)d[0]);
	fprintf(f, "scheduler.set_timesteps(%d)\nx = torch.randn(4, %lld, %lld, %lld)\n"
	           "with torch.no_grad():\n    for t in scheduler.timesteps:\n"
	           "        x = scheduler.step(%s(x, t%s%s).sample%s, t, x).prev_sample\n```\n\n",
	        steps, (long long)d[0], (long long)d[1], (long long)d[2], m->net.kind->part,
	        rd_net_is_dit(&m->net) ? ".expand(4)" : "", m->net.classes ? ", class_labels=torch.zeros(4, dtype=torch.long)" : "",
	        m->net.variance ? variance : "");
}

/* The network takes its place in the pipeline. What learnt from a model's samples has their guidance, or none, and gets no other. */
static void pipeline_in_python(FILE *f, const struct rd_model *m, int steps, bool as_it_is)
{
	const char *part = m->net.kind->part, *subject = rd_net_is_dit(&m->net) ? "[0]" : "\"a text\"";

	fprintf(f, "pipeline = %s.from_pretrained(\"ORIGINAL\", %s=%s, scheduler=scheduler)\n"
	           "image = pipeline(%s, num_inference_steps=%d%s).images[0]\n```\n\n"
	           "ORIGINAL is the pipeline that this network came from, which has the %sautoencoder.\n\n",
	        pipeline(m), part, part, subject, steps, as_it_is ? ", guidance_scale=1" : "",
	        rd_net_is_dit(&m->net) ? "" : "text encoder and the ");
}

/* odesample's options: a phase has a first-order path of its own, of which a solver that looks back knows nothing. */
static void usage(FILE *f, const struct rd_model *m, int steps, bool phased, bool as_it_is, bool raw)
{
	const char *class = diffusers_scheduler(m);

	fprintf(f, "## Use\n\n");
	if (class)
		load_in_python(f, m, class);
	if (class && is_part(m))
		pipeline_in_python(f, m, steps, as_it_is);
	else if (class)
		sample_in_python(f, m, steps);
	fprintf(f, "With rectdiff:\n\n```\nodesample -m . -n 64%s --steps %d%s%s%s\n```\n\n", m->net.classes ? " -l 0" : "", steps,
	        phased ? " --solver ddim" : "", m->scheduler.clip ? " --no-clip" : "",
	        makes_picture(m) ? " --png grid.png" : " >samples");
	fprintf(f, "`%s/diffusion_pytorch_model.safetensors` holds the averaged (EMA) weights%s.\n\n", m->net.kind->part,
	        raw ? "; the raw ones are variant `raw`" : "");
}

/* What was trained, in a file of its own. */
static void adapters(FILE *f, const struct rd_model *m, int rank)
{
	bool loads = is_part(m) && !rd_net_is_dit(&m->net) && diffusers_scheduler(m) && !m->converted;
	const char *how = loads ? ", which `pipeline.load_lora_weights(folder)` puts into ORIGINAL" : "";

	fprintf(f, "`" RD_MODEL_LORA_FILE "` holds what these have that the model it came from has not, as a LoRA of rank %d%s.\n\n",
	        rank, how);
}

/* Text of others in a table's cell: a bar would end it, and a backquote what stands between backquotes. */
static void cell(FILE *f, const char *s)
{
	for (; *s; s++)
		fprintf(f, *s == '|' ? "\\|" : *s == '`' ? "'" : "%c", *s);
}

/* One row of a two-column table for each member, values as JSON. */
static void rows(FILE *f, const char *title, const json_t *object)
{
	const char *key;
	json_t *v;

	fprintf(f, "| %s | |\n|---|---|\n", title);
	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));

		fprintf(f, "| ");
		cell(f, key);
		fprintf(f, " | `");
		cell(f, text ? text : "");
		fprintf(f, "` |\n");
		free(text);
	}
	fprintf(f, "\n");
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "unknown";
}

/* How far it is the model that it came from. */
static void origin(FILE *f, const struct rd_model *m, bool paired)
{
	const struct rd_scheduler *s = &m->scheduler;

	fprintf(f, "Trained by rectdiff %s%s", RD_VERSION, paired ? " on (noise, sample) pairs of the model's own ODE (arXiv 2410.07303)" : "");
	if (m->converted)
		fprintf(f, "; the network is that of the model it came from, whose form was %s, with %s-prediction", s->network->schedule.form->name,
		        rd_pred_names[s->network->pred.type]);
	else if (paired)
		fprintf(f, "; network, schedule and prediction type are those of the model it came from");
	fprintf(f, ". Form %s, %s-prediction.\n\n", s->schedule.form->name, rd_pred_names[s->pred.type]);
}

char *rd_model_card(const struct rd_model *m, const struct rd_card *c)
{
	const json_t *run = c->run;
	bool paired = !strcmp(text_of(run, "coupling"), "pairs"), one_step = paired || json_object_get(run, "consistency");
	int phases = (int)json_integer_value(json_object_get(run, "phases")), rank = (int)json_integer_value(json_object_get(run, "lora"));
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	header(f, m, one_step || phases);
	fprintf(f, "# %s\n\n", one_step || phases ? "A rectified diffusion model" : "A diffusion model");
	origin(f, m, paired);
	if (c->guidance)
		fprintf(f, "Classifier-free guidance of %s is in the weights, as it was in what they learnt from: sample without guidance.\n\n",
		        c->guidance);
	usage(f, m, phases ? phases : one_step ? 1 : 50, phases > 0, c->guidance || one_step || phases, c->raw);
	if (rank)
		adapters(f, m, rank);
	fprintf(f, "## How it was made\n\n");
	if (c->command)
		fprintf(f, "```\n%s\n```\n\n", c->command);
	fprintf(f, "It began with the weights whose hash is `%s`.\n\n", text_of(run, "model"));
	rows(f, "training", run);
	rows(f, "data", c->data);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
