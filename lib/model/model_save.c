/* Writing a model folder: all of it beside the target, synced, then one rename. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/out.h"
#include "formats/safetensors.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"
#include "lib/model/model.h"

static int sync_dir(const char *path, struct rd_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), rc = RD_OK;

	if (fd < 0)
		return rd_fail_errno(e, RD_EIO, "%s", path);
	if (fsync(fd) && errno != EINVAL)
		rc = rd_fail_errno(e, RD_EIO, "%s: sync", path);
	close(fd);
	return rc;
}

static int make_dir(const char *path, struct rd_err *e)
{
	return mkdir(path, 0777) ? rd_fail_errno(e, RD_EIO, "%s", path) : RD_OK;
}

static int write_text(const char *dir, const char *name, const char *text, struct rd_err *e)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return rd_out_file(path, text, strlen(text), e);
}

static int write_weights(const struct rd_model *m, const char *path, const float *flat, const json_t *meta, struct rd_err *e)
{
	const struct rd_graph *g = m->params;
	struct rd_st_view *v;
	struct rd_out *o;
	void *p;
	int rc = rd_alloc0(&p, (size_t)g->n_params, sizeof *v, "tensor table", e);

	if (rc)
		return rc;
	v = p;
	for (int i = 0; i < g->n_params; i++)
		v[i] = (struct rd_st_view){.name = g->param[i].name, .dtype = RD_F32, .shape = g->param[i].shape,
		                           .data = flat + g->param[i].offset, .bytes = g->param[i].n_elems * sizeof *flat};
	rc = rd_out_open(&o, path, RD_OUT_BINARY, e);
	if (!rc) {
		rc = rd_safetensors_write(o, v, (size_t)g->n_params, meta, e);
		if (rc)
			rd_out_abort(o);
		else
			rc = rd_out_finish(o, e);
	}
	free(v);
	return rc;
}

/* The index of a pipeline folder that had none. */
static char *make_index(const struct rd_model *m)
{
	bool unet = m->net.kind == &rd_net_unet2d, own = !strcmp(m->scheduler.class_name, "RectdiffScheduler");
	bool ddim = !strcmp(m->scheduler.class_name, "DDIMScheduler");
	const char *pipeline = !unet || own ? "RectdiffPipeline" : ddim ? "DDIMPipeline" : "DDPMPipeline";
	json_t *j = json_pack("{s:s, s:[s,s], s:[s,s]}", "_class_name", pipeline,
	                      "scheduler", own ? "rectdiff" : "diffusers", m->scheduler.class_name, "unet",
	                      unet ? "diffusers" : "rectdiff", m->net.kind->class_name);
	char *s = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

	json_decref(j);
	return s;
}

static int write_all(const struct rd_model *m, const char *dir, const struct rd_model_out *o, struct rd_err *e)
{
	char unet[4160], sched[4160], path[4200], *index = m->index_text ? strdup(m->index_text) : make_index(m);
	int rc;

	snprintf(unet, sizeof unet, "%s/unet", dir);
	snprintf(sched, sizeof sched, "%s/scheduler", dir);
	rc = index ? make_dir(dir, e) : rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	if (!rc)
		rc = make_dir(unet, e);
	if (!rc)
		rc = make_dir(sched, e);
	if (!rc)
		rc = write_text(dir, "model_index.json", index, e);
	if (!rc)
		rc = write_text(unet, "config.json", m->config_text, e);
	if (!rc)
		rc = write_text(sched, "scheduler_config.json", m->scheduler_text, e);
	if (!rc && o->card)
		rc = write_text(dir, "README.md", o->card, e);
	snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors", unet);
	if (!rc)
		rc = write_weights(m, path, o->main, o->meta, e);
	snprintf(path, sizeof path, "%s/diffusion_pytorch_model.raw.safetensors", unet);
	if (!rc && o->raw)
		rc = write_weights(m, path, o->raw, o->raw_meta, e);
	if (!rc)
		rc = sync_dir(unet, e);
	if (!rc)
		rc = sync_dir(sched, e);
	if (!rc)
		rc = sync_dir(dir, e);
	free(index);
	return rc;
}

/* tmp becomes dir; what was there is swapped out in the same instant and then removed. */
static int put_in_place(const char *tmp, const char *dir, bool replace, struct rd_err *e)
{
	if (!renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_NOREPLACE))
		return RD_OK;
	if (errno != EEXIST && errno != EINVAL)
		return rd_fail_errno(e, RD_EIO, "%s", dir);
	if (errno == EINVAL) { /* a file system without the flag */
		if (access(dir, F_OK) && !rename(tmp, dir))
			return RD_OK;
	}
	if (!replace)
		return rd_fail(e, RD_EFAIL, "%s: is there already", dir);
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_EXCHANGE))
		return rd_fail_errno(e, RD_EIO, "%s", dir);
	rd_remove_tree(tmp);
	return RD_OK;
}

int rd_model_save(const struct rd_model *m, const char *dir, const struct rd_model_out *o, struct rd_err *e)
{
	char tmp[4096], parent[4096], *slash;
	size_t n = strlen(dir);
	int rc;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (snprintf(tmp, sizeof tmp, "%.*s.tmp.%ld", (int)n, dir, (long)getpid()) >= (int)sizeof tmp)
		return rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	rd_remove_tree(tmp);
	rc = write_all(m, tmp, o, e);
	if (!rc)
		rc = put_in_place(tmp, dir, o->replace, e);
	if (rc) {
		rd_remove_tree(tmp);
		return rc;
	}
	snprintf(parent, sizeof parent, "%.*s", (int)n, dir);
	slash = strrchr(parent, '/');
	if (slash == parent)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	return sync_dir(slash ? parent : ".", e);
}
