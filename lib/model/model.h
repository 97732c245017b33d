/* A model folder in diffusers' layout (rdmodel(5)): configs, weights, and what a rectified model remembers of its making. */
#ifndef RD_LIB_MODEL_MODEL_H
#define RD_LIB_MODEL_MODEL_H

#include "lib/net/net.h"
#include "lib/density/posterior.h"
#include "lib/model/contexts.h"
#include "lib/model/fit.h"
#include "lib/model/scheduler.h"

struct rd_model {
	char *dir;
	char *index_text, *config_text, *scheduler_text; /* the files as they were, to be written again to the byte */
	json_t *config, *scheduler_config; /* the same, parsed */
	char *config_file;        /* where config came from, for messages */
	struct rd_net net;
	struct rd_scheduler scheduler;
	struct rd_posterior *analytic; /* an exact denoiser in place of a network (then net has a sample shape only, and there
	                                  are no params and no w); else NULL */
	struct rd_graph *params;  /* of batch 1: the table of parameters */
	float *w;                 /* flat, params->n_flat floats; NULL for a folder without weights */
	struct rd_contexts_file *contexts; /* what net.contexts are read from; NULL: none */
	char *folder;             /* of the weights: dir, or the network's in it; NULL for a folder without */
	char variant[64];         /* of the weights, such as fp16, where there were no plain ones; else "" */
	json_t *meta;             /* safetensors metadata, an object of strings */
	char hash[17];            /* of the weights, 16 hex digits */
	int64_t null_class;       /* class that stands for "no class"; -1: none recorded */
	bool converted;           /* since it was loaded: see rd_model_convert */
};

/* Loads DIR (unet/ or transformer/, scheduler/ and model_index.json, or the flat layout). Missing, extra or misshapen tensors, and parts that do
 * not fit one another or are not all (a pipeline with a VAE), are RD_EINPUT. */
int rd_model_load(struct rd_model *m, const char *dir, struct rd_err *e) RD_MUST;

/* Another scheduler for m: a file, or a folder with scheduler_config.json in it or in its scheduler/. It must fit the network. */
int rd_model_set_scheduler(struct rd_model *m, const char *path, struct rd_err *e) RD_MUST;
/* The exact denoiser of a known density in place of a trained network: SPEC as in lib/density/posterior.h, with ",form=F"
 * anywhere in it (ddpm by default). rd_model_load and rd_model_net take "analytic:SPEC" for a DIR. */
bool rd_model_is_analytic(const char *dir);
int rd_model_analytic(struct rd_model *m, const char *spec, struct rd_err *e) RD_MUST;

/* What a config says, once every key of it holds what it should (lib/model/fit.h). The scheduler must fit net, of config
 * of_net; NULL: there is none that it must fit. */
int rd_model_parse_net(struct rd_net *net, struct rd_config c, struct rd_err *e) RD_MUST;
int rd_model_parse_scheduler(struct rd_scheduler *s, const struct rd_net *net, struct rd_config of_net, struct rd_config c,
                             struct rd_err *e) RD_MUST;

/* The network that DIR's config describes; its weights and its scheduler are not looked at, and of its contexts only how many there
 * are and of which sizes (their data are NULL). */
int rd_model_net(struct rd_net *net, const char *dir, struct rd_err *e) RD_MUST;
/* The null class that the metadata of DIR's weights record, or of its contexts where the network has them; -1 for none. net is
 * DIR's. The tensors are not looked at. */
int rd_model_null_class(const char *dir, const struct rd_net *net, int64_t *null_class, struct rd_err *e) RD_MUST;
/* RD_EUSAGE where k is no class of m's that could be its null class; k < 0, none, may be. */
int rd_model_check_null_class(const struct rd_model *m, int64_t k, struct rd_err *e) RD_MUST;

/* A new model from a JSON file {"unet" or "transformer": CONFIG, "scheduler": CONFIG} or a folder without weights; w is NULL until
 * rd_model_init_weights. */
int rd_model_from_config(struct rd_model *m, const char *path, struct rd_err *e) RD_MUST;
int rd_model_init_weights(struct rd_model *m, uint64_t seed, struct rd_err *e) RD_MUST;
void rd_model_free(struct rd_model *m);
void rd_model_drop_weights(struct rd_model *m); /* w becomes NULL; what is known of the weights stays */

/* Writes DIR beside its target, synced, and renames: the configs of m to the byte; `main` as diffusion_pytorch_model
 * .safetensors with meta; `raw`, if not NULL, as variant "raw"; card as README.md. A DIR that is there is replaced only with replace. */
struct rd_model_out {
	const float *main, *raw; /* flat */
	enum rd_dtype type;      /* as which they are written: RD_F32, RD_F16 or RD_BF16 */
	const json_t *meta, *raw_meta;
	const struct rd_graph *adapted; /* NULL, or the graph of adapters that are in main already, */
	const float *adapters;   /* which go into a file of their own, RD_MODEL_LORA_FILE, too */
	const char *card;
	const char *contexts; /* a file that holds the contexts of m already, to be shared where a hard link can be made; NULL: none */
	bool replace;
};
#define RD_MODEL_LORA_FILE "pytorch_lora_weights.safetensors" /* as diffusers calls it */
int rd_model_save(const struct rd_model *m, const char *dir, const struct rd_model_out *o, struct rd_err *e) RD_MUST;

/* The guidance that the weights have learnt from guided pairs, as their metadata say; NULL: none. */
const char *rd_model_guidance_learnt(const struct rd_model *m);

/* Whether rectrain made it to be sampled in few steps - of pairs, in phases, or consistent - as its weights' metadata say. */
bool rd_model_is_rectified(const struct rd_model *m);

/* 16 hex digits of n floats. */
void rd_model_hash(const float *w, size_t n, char out[17]);

/* What a stream's meta says of a model: {"model":hash,"form":..,"prediction":..,"sample_shape":[..],"classes":n,"contexts":hash}
 * added to meta. */
void rd_model_describe(const struct rd_model *m, json_t *meta);

/* Whether the labels of a stream called name, of which its meta says what they stand for, are m's: RD_EINPUT for those of other
 * contexts. */
int rd_model_check_labels(const struct rd_model *m, const json_t *meta, const char *name, struct rd_err *e) RD_MUST;

#endif
