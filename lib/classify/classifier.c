#include "lib/classify/classifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/json.h"
#include "formats/out_dir.h"
#include "lib/base/size.h"
#include "lib/model/weights.h"

#define WEIGHTS "diffusion_pytorch_model.safetensors" /* diffusers' name for the weights of any network */

/* Sample shape and table of parameters of c->net. */
static int set_params(struct rd_classifier *c, struct rd_err *e)
{
	c->sample = rd_shape_make(3, (int64_t[]){c->net.in_channels, c->net.height, c->net.width});
	return rd_classifier_build(&c->net, 1, &c->params, e);
}

static int alloc_weights(struct rd_classifier *c, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, c->params->n_flat, sizeof *c->w, "weights", e);

	if (!rc)
		c->w = p;
	return rc;
}

static int load_config(struct rd_classifier *c, const char *dir, struct rd_err *e)
{
	char file[4096];
	json_t *config = NULL;
	int rc = RD_OK;

	if (snprintf(file, sizeof file, "%s/config.json", dir) >= (int)sizeof file)
		rc = rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	if (!rc)
		rc = rd_json_load(file, &config, e);
	if (!rc)
		rc = rd_classifier_parse(&c->net, config, file, e);
	json_decref(config);
	if (!rc && set_params(c, e)) {
		if (e->code == RD_ESHAPE) /* sizes that do not fit one another come from the file */
			e->code = RD_EINPUT;
		rc = rd_context(e, "%s", file);
	}
	return rc;
}

static int load_weights(struct rd_classifier *c, const char *dir, struct rd_err *e)
{
	struct rd_weights *w;
	int rc = rd_weights_open(&w, dir, e);

	if (rc)
		return rc;
	rc = rd_weights_read(w, c->params, NULL, e); /* memory for what a config asks is there once the file has it */
	if (!rc)
		rc = alloc_weights(c, e);
	if (!rc)
		rc = rd_weights_read(w, c->params, c->w, e);
	rd_weights_close(w);
	return rc;
}

int rd_classifier_load(struct rd_classifier *c, const char *dir, struct rd_err *e)
{
	int rc;

	memset(c, 0, sizeof *c);
	c->dir = strdup(dir);
	rc = c->dir ? load_config(c, dir, e) : rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	if (!rc)
		rc = load_weights(c, dir, e);
	if (rc)
		rd_classifier_free(c);
	else
		rd_classifier_rehash(c);
	return rc;
}

int rd_classifier_new(struct rd_classifier *c, const struct rd_classifier_net *net, uint64_t seed, struct rd_err *e)
{
	int rc;

	memset(c, 0, sizeof *c);
	c->net = *net;
	rc = set_params(c, e);
	if (!rc)
		rc = alloc_weights(c, e);
	if (rc) {
		rd_classifier_free(c);
		return rc;
	}
	rd_graph_init_params(c->params, seed, c->w);
	rd_classifier_rehash(c);
	return RD_OK;
}

void rd_classifier_free(struct rd_classifier *c)
{
	if (!c)
		return;
	free(c->dir);
	rd_graph_free(c->params);
	free(c->w);
	memset(c, 0, sizeof *c);
}

void rd_classifier_rehash(struct rd_classifier *c)
{
	snprintf(c->hash, sizeof c->hash, "%016llx", (unsigned long long)XXH3_64bits(c->w, c->params->n_flat * sizeof *c->w));
}

static int write_all(const struct rd_classifier *c, struct rd_out_dir *d, const json_t *meta, const char *card, struct rd_err *e)
{
	json_t *config = rd_classifier_config(&c->net);
	char *text = config ? json_dumps(config, JSON_INDENT(2)) : NULL;
	int rc = text ? rd_out_dir_text(d, "config.json", text, e) : rd_fail(e, RD_ENOMEM, "no memory for config.json");

	if (!rc)
		rc = rd_out_dir_text(d, "README.md", card, e);
	if (!rc)
		rc = rd_weights_write(rd_out_dir_path(d, WEIGHTS), c->params, c->w, RD_F32, meta, e);
	free(text);
	json_decref(config);
	return rc;
}

int rd_classifier_save(const struct rd_classifier *c, const char *dir, const json_t *meta, const char *card, bool replace,
                       struct rd_err *e)
{
	struct rd_out_dir *d;
	int rc = rd_out_dir_open(&d, dir, replace, e);

	if (rc)
		return rc;
	rc = write_all(c, d, meta, card, e);
	if (!rc)
		return rd_out_dir_finish(d, e);
	rd_out_dir_abort(d);
	return rc;
}
