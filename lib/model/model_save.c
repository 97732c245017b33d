/* Writing a model folder: all of it beside the target, synced, then one rename. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/out_dir.h"
#include "lib/model/model.h"
#include "lib/model/weights.h"

/* The index of a pipeline folder that had none. */
static char *make_index(const struct rd_model *m)
{
	bool unet = m->net.kind == &rd_net_unet2d, own = !strcmp(m->scheduler.class_name, "RectdiffScheduler");
	bool ddim = !strcmp(m->scheduler.class_name, "DDIMScheduler");
	const char *pipeline = !unet || own ? "RectdiffPipeline" : ddim ? "DDIMPipeline" : "DDPMPipeline";
	json_t *j = json_pack("{s:s, s:[s,s], s:[s,s]}", "_class_name", pipeline,
	                      "scheduler", own ? "rectdiff" : "diffusers", m->scheduler.class_name, m->net.kind->part,
	                      unet ? "diffusers" : "rectdiff", m->net.kind->class_name);
	char *s = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

	json_decref(j);
	return s;
}

struct part {
	char name[96];
};

/* The path of one of the network's files. */
static const char *of_net(struct part *p, const struct rd_model *m, const char *name)
{
	snprintf(p->name, sizeof p->name, "%s/%s", m->net.kind->part, name);
	return p->name;
}

static int write_contexts(const struct rd_model *m, struct rd_out_dir *d, const struct rd_model_out *o, struct rd_err *e)
{
	const char *path = rd_out_dir_path(d, RD_CONTEXTS_FILE);

	if (o->contexts && !linkat(AT_FDCWD, o->contexts, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		return RD_OK;
	return rd_contexts_write(m->contexts, path, m->null_class, e);
}

/* For network and scheduler of what makes latents alone there is no pipeline, and so no index. */
static int write_all(const struct rd_model *m, struct rd_out_dir *d, const struct rd_model_out *o, struct rd_err *e)
{
	bool alone = !m->index_text && m->net.kind->latent;
	char *index = alone ? NULL : m->index_text ? strdup(m->index_text) : make_index(m);
	struct part p;
	int rc = index || alone ? rd_out_dir_sub(d, m->net.kind->part, e) : rd_fail(e, RD_ENOMEM, "no memory for model_index.json");

	if (!rc)
		rc = rd_out_dir_sub(d, "scheduler", e);
	if (!rc && index)
		rc = rd_out_dir_text(d, "model_index.json", index, e);
	if (!rc)
		rc = rd_out_dir_text(d, of_net(&p, m, "config.json"), m->config_text, e);
	if (!rc)
		rc = rd_out_dir_text(d, "scheduler/scheduler_config.json", m->scheduler_text, e);
	if (!rc && o->card)
		rc = rd_out_dir_text(d, "README.md", o->card, e);
	if (!rc)
		rc = rd_weights_write(rd_out_dir_path(d, of_net(&p, m, "diffusion_pytorch_model.safetensors")), m->params, o->main,
		                      o->type, o->meta, e);
	if (!rc && o->raw)
		rc = rd_weights_write(rd_out_dir_path(d, of_net(&p, m, "diffusion_pytorch_model.raw.safetensors")), m->params, o->raw,
		                      o->type, o->raw_meta, e);
	if (!rc && o->adapted)
		rc = rd_weights_write_adapters(rd_out_dir_path(d, RD_MODEL_LORA_FILE), o->adapted, m->net.kind->part, o->adapters, o->type,
		                               o->meta, e);
	if (!rc && m->contexts)
		rc = write_contexts(m, d, o, e);
	free(index);
	return rc;
}

int rd_model_save(const struct rd_model *m, const char *dir, const struct rd_model_out *o, struct rd_err *e)
{
	struct rd_out_dir *d;
	int rc = rd_out_dir_open(&d, dir, o->replace, e);

	if (rc)
		return rc;
	rc = write_all(m, d, o, e);
	if (!rc)
		return rd_out_dir_finish(d, e);
	rd_out_dir_abort(d);
	return rc;
}
