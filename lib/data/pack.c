#include "lib/data/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/json.h"
#include "formats/pairs.h"
#include "kernels/rng.h"
#include "lib/base/size.h"
#include "lib/data/joined.h"
#include "lib/data/rejects.h"

struct rd_pack {
	struct rd_pack_opts o;
	json_t *meta;
	int noise, sample, extra[RD_PAIRS_EXTRAS]; /* fields of the stream; -1: none */
	size_t noise_elems, sample_elems, extra_bytes[RD_PAIRS_EXTRAS]; /* of one pair */
	struct rd_pairs_chunk c;  /* being filled: c.n of o.chunk */
	bool shapes_known;
	uint64_t next;            /* the least index that may follow */
	float *check;             /* the noise of one sample, made again */
	uint64_t seed[RD_JOINED_PARTS]; /* that meta names, distinct; [0]: the one that was right last */
	size_t n_seeds;
	struct rd_pairs_writer *w;
	struct rd_out *archive;   /* being written, or settled; NULL: between two */
	size_t n_archives;        /* begun so far */
	int64_t in_shard;         /* pairs */
	struct rd_rejects *rejects;
	uint64_t rejected, told;  /* pairs left out; of those, how many closed archives count */
};

/* --- archives ----------------------------------------------------------------------------------------------------- */

/* The number of a shard put into a pattern, which holds one %d or %0Nd. NULL where it does not. */
static char *shard_name(const char *pattern, size_t number)
{
	const char *pct = strchr(pattern, '%');
	char *rest, *name;
	long width = 0;

	if (!pct || (pct[1] != 'd' && pct[1] != '0'))
		return NULL;
	width = strtol(pct + 1, &rest, 10);
	if (*rest != 'd' || width > 20 || strchr(rest, '%'))
		return NULL;
	if (asprintf(&name, "%.*s%0*zu%s", (int)(pct - pattern), pattern, (int)width, number, rest + 1) < 0)
		return NULL;
	return name;
}

/* Nobody names the archives of a series, so that one of another run would be lost unseen. */
static int open_shard(struct rd_pack *p, struct rd_err *e)
{
	char *name = shard_name(p->o.out, (size_t)p->o.first_shard + p->n_archives);
	struct stat st;
	int rc;

	if (!name)
		return rd_fail(e, RD_ENOMEM, "no memory for the name of an archive");
	if (!(p->o.flags & RD_OUT_FORCE) && !stat(name, &st) && S_ISREG(st.st_mode))
		rc = rd_fail(e, RD_EFAIL, "%s: is there already (-f replaces it)", name);
	else
		rc = rd_out_open(&p->archive, name, p->o.flags, e);
	free(name);
	return rc;
}

static int open_archive(struct rd_pack *p, struct rd_err *e)
{
	int rc = p->o.shard_pairs ? open_shard(p, e) : rd_out_open(&p->archive, p->o.out, p->o.flags, e);

	if (rc)
		return rc;
	p->n_archives++;
	return rd_pairs_writer_open(&p->w, p->archive, p->meta, e);
}

/* Whole and on disk, under its temporary name. */
static int close_archive(struct rd_pack *p, struct rd_err *e)
{
	struct rd_pairs_writer *w = p->w;
	int rc;

	p->w = NULL;
	p->in_shard = 0;
	if (p->o.limited)
		rd_pairs_writer_rejected(w, p->rejected - p->told);
	p->told = p->rejected;
	rc = rd_pairs_writer_finish(w, e);
	return rc ? rc : rd_out_settle(p->archive, e);
}

/* What is closed appears under its name, and stays whatever happens to those after it. */
static int publish(struct rd_pack *p, struct rd_err *e)
{
	struct rd_out *out = p->archive;

	p->archive = NULL;
	return rd_out_finish(out, e);
}

static int end_shard(struct rd_pack *p, struct rd_err *e)
{
	int rc = close_archive(p, e);

	return rc ? rc : publish(p, e);
}

/* The chunk so far goes out. */
static int flush(struct rd_pack *p, struct rd_err *e)
{
	struct rd_pairs_chunk *c = &p->c;
	int rc = RD_OK;

	if (!c->n)
		return RD_OK;
	if (!p->w)
		rc = open_archive(p, e);
	c->noise.shape.d[0] = c->sample.shape.d[0] = c->n;
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		c->extra[k].shape.d[0] = c->n;
	if (!rc)
		rc = rd_pairs_write(p->w, c, e);
	if (rc)
		return rc;
	p->in_shard += c->n;
	c->n = 0;
	return RD_OK;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

static int chunk_array(struct rd_array *a, const struct rd_array *like, int64_t n, struct rd_err *e)
{
	struct rd_shape s = like->shape;

	s.d[0] = n;
	return rd_array_init(a, like->dtype, &s, RD_PAIRS_DATA_MAX, e);
}

static int chunk_extras(struct rd_pack *p, const struct rd_batch *b, struct rd_err *e)
{
	int rc = RD_OK;

	for (int k = 0; k < RD_PAIRS_EXTRAS && !rc; k++) {
		const struct rd_array *like = &b->f[p->extra[k] < 0 ? 0 : p->extra[k]];

		if (p->extra[k] < 0)
			continue;
		p->c.has[k] = true;
		p->extra_bytes[k] = rd_shape_sample_elems(&like->shape) * rd_dtype_bytes(like->dtype);
		rc = chunk_array(&p->c.extra[k], like, p->o.chunk, e);
	}
	return rc;
}

/* The first batch says how much a pair takes. */
static int learn_shapes(struct rd_pack *p, const struct rd_batch *b, struct rd_err *e)
{
	struct rd_pairs_chunk *c = &p->c;
	void *check;

	p->noise_elems = rd_shape_sample_elems(&b->f[p->noise].shape);
	p->sample_elems = rd_shape_sample_elems(&b->f[p->sample].shape);
	if (chunk_array(&c->noise, &b->f[p->noise], p->o.chunk, e) || chunk_array(&c->sample, &b->f[p->sample], p->o.chunk, e) ||
	    chunk_extras(p, b, e) || rd_alloc(&check, p->noise_elems, sizeof(float), "noise", e)) {
		e->code = e->code == RD_EINPUT ? RD_EUSAGE : e->code;
		return rd_context(e, "chunks of %lld pairs", (long long)p->o.chunk);
	}
	p->check = check;
	c->noise_ref = p->o.ref;
	p->shapes_known = true;
	return RD_OK;
}

static bool is_noise_of(struct rd_pack *p, const float *noise, uint64_t seed, uint64_t index)
{
	rd_rng_normal(seed, RD_RNG_NOISE, index, p->check, p->noise_elems);
	return !memcmp(p->check, noise, p->noise_elems * sizeof *noise);
}

/* Of which of the seeds that meta names the noise is, to the bit, comes to be the first. */
static int find_seed(struct rd_pack *p, const float *noise, uint64_t index, struct rd_err *e)
{
	for (size_t i = 0; i < p->n_seeds; i++) {
		uint64_t seed = p->seed[i];

		if (!is_noise_of(p, noise, seed, index))
			continue;
		p->seed[i] = p->seed[0];
		p->seed[0] = seed;
		return RD_OK;
	}
	if (!p->n_seeds)
		return rd_fail(e, RD_EINPUT, "the stream names no seed: its noise must be stored as data");
	if (p->n_seeds > 1)
		return rd_fail(e, RD_EINPUT, "the noise of sample %llu is of none of the %zu seeds that the inputs name: it must be stored as data",
		               (unsigned long long)index, p->n_seeds);
	return rd_fail(e, RD_EINPUT, "the noise of sample %llu is not that of seed %llu: it must be stored as data",
	               (unsigned long long)index, (unsigned long long)p->seed[0]);
}

static bool is_full(const struct rd_pack *p)
{
	return p->w && p->o.shard_pairs && p->in_shard == p->o.shard_pairs;
}

static int add_pair(struct rd_pack *p, const struct rd_batch *b, size_t i, struct rd_err *e)
{
	const float *noise = (const float *)b->f[p->noise].data + i * p->noise_elems;
	const float *sample = (const float *)b->f[p->sample].data + i * p->sample_elems;
	uint64_t index = b->first + i, seed;
	struct rd_pairs_chunk *c = &p->c;
	int rc = RD_OK;

	if (index < p->next)
		return rd_fail(e, RD_EINPUT, "sample %llu comes behind sample %llu: indices rise in an archive; pack these by themselves "
		               "(rectrain takes several archives), or make them under other indices (noisegen -i)",
		               (unsigned long long)index, (unsigned long long)p->next - 1);
	if (p->o.ref && !b->ref[p->noise])
		rc = find_seed(p, noise, index, e);
	seed = b->ref[p->noise] ? b->ref_seed[p->noise] : p->seed[0];
	if (!rc && c->n && (index != c->first + (uint64_t)c->n || (p->o.ref && seed != c->noise_seed)))
		rc = flush(p, e);
	if (rc)
		return rc;
	if (!c->n) {
		if (is_full(p)) /* with a limit not before: it counts what is left out behind its last pair */
			rc = end_shard(p, e);
		c->first = index;
		c->noise_seed = p->o.ref ? seed : 0;
	}
	if (!p->o.ref)
		memcpy((float *)c->noise.data + (size_t)c->n * p->noise_elems, noise, p->noise_elems * sizeof *noise);
	memcpy((float *)c->sample.data + (size_t)c->n * p->sample_elems, sample, p->sample_elems * sizeof *sample);
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		if (c->has[k])
			memcpy((char *)c->extra[k].data + (size_t)c->n * p->extra_bytes[k],
			       (const char *)b->f[p->extra[k]].data + i * p->extra_bytes[k], p->extra_bytes[k]);
	c->n++;
	p->next = index + 1;
	if (!rc && (c->n == p->o.chunk || (p->o.shard_pairs && p->in_shard + c->n == p->o.shard_pairs)))
		rc = flush(p, e);
	if (!rc && !p->o.limited && is_full(p))
		rc = end_shard(p, e);
	return rc;
}

/* --- the public calls --------------------------------------------------------------------------------------------- */

static bool has_place(const struct rd_pack *p, int field)
{
	bool has = field == p->noise || field == p->sample;

	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		has = has || field == p->extra[k];
	return has;
}

static int check_stream(struct rd_pack *p, const struct rd_stream *s, struct rd_err *e)
{
	p->noise = rd_stream_field(s, "noise");
	p->sample = rd_stream_field(s, "sample");
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		p->extra[k] = rd_stream_field(s, rd_pairs_extra_names[k]);
	if (p->noise < 0 || p->sample < 0)
		return rd_fail(e, RD_EINPUT, "an archive holds pairs: the fields noise and sample are needed");
	for (int k = 0; k < s->n_fields; k++)
		if (!has_place(p, k))
			return rd_fail(e, RD_EINPUT, "field '%s': an archive holds noise, sample, label, knots and error alone",
			               s->field[k]);
	if (p->o.limited && p->extra[RD_PAIRS_ERROR] < 0)
		return rd_fail(e, RD_EINPUT, "has no field `error` to hold against a limit; denoise --error records it");
	return RD_OK;
}

/* How many there were at first says nothing of an archive, which counts its own pairs. Those that met a stricter limit before keep
 * to it. */
static void change_meta(json_t *meta, const void *ctx)
{
	const struct rd_pack_opts *o = ctx;
	const json_t *before = json_object_get(meta, "max_error");

	json_object_del(meta, "count");
	if (o->limited && !(json_is_number(before) && json_number_value(before) < o->max_error))
		json_object_set_new(meta, "max_error", json_real(o->max_error));
}

static int list_seeds(struct rd_pack *p, struct rd_err *e)
{
	json_t *parts = rd_joined_parts(p->meta);

	for (size_t i = 0; i < json_array_size(parts); i++) {
		uint64_t *seed = &p->seed[p->n_seeds];
		bool new = rd_json_to_u64(json_object_get(json_array_get(parts, i), "seed"), seed);

		for (size_t j = 0; j < p->n_seeds && new; j++)
			new = p->seed[j] != *seed;
		p->n_seeds += new;
	}
	json_decref(parts);
	return parts ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory to pack pairs");
}

int rd_pack_open(struct rd_pack **out, const struct rd_pack_opts *o, const struct rd_stream *s, struct rd_err *e)
{
	struct rd_pack *p;
	char *name = NULL;
	int rc = RD_OK;

	*out = NULL;
	if (o->shard_pairs)
		name = o->out ? shard_name(o->out, 0) : NULL;
	if (o->shard_pairs && !name)
		return rd_fail(e, RD_EUSAGE, "%s: shards need a name with one %%06d in it", o->out ? o->out : "standard output");
	free(name);
	p = calloc(1, sizeof *p);
	if (!p)
		return rd_fail(e, RD_ENOMEM, "no memory to pack pairs");
	p->o = *o;
	rc = rd_joined_each(&p->meta, s->meta, change_meta, o, e);
	if (!rc)
		rc = list_seeds(p, e);
	if (!rc)
		rc = check_stream(p, s, e);
	if (!rc)
		rc = open_archive(p, e); /* at once: a name that cannot be written is better known before the work */
	if (!rc && o->rejects)
		rc = rd_rejects_open(&p->rejects, o->rejects, o->flags, s, e);
	if (rc)
		rd_pack_abort(p);
	else
		*out = p;
	return rc;
}

static bool kept(const struct rd_pack *p, const struct rd_batch *b, int64_t i)
{
	return !p->o.limited || (double)((const float *)b->f[p->extra[RD_PAIRS_ERROR]].data)[i] <= p->o.max_error;
}

/* Pairs at .. at+n-1, all of which stay out. */
static int reject(struct rd_pack *p, const struct rd_batch *b, int64_t at, int64_t n, struct rd_err *e)
{
	p->rejected += (uint64_t)n;
	return p->rejects ? rd_rejects_add(p->rejects, b, at, n, e) : RD_OK;
}

int rd_pack_add(struct rd_pack *p, const struct rd_batch *b, struct rd_err *e)
{
	int rc = p->shapes_known ? RD_OK : learn_shapes(p, b, e);

	for (int64_t i = 0, n; i < b->n && !rc; i += n) { /* a run of the one kind or the other */
		bool keep = kept(p, b, i);

		for (n = 1; i + n < b->n && kept(p, b, i + n) == keep; n++)
			;
		for (int64_t k = i; k < i + n && keep && !rc; k++)
			rc = add_pair(p, b, (size_t)k, e);
		if (!keep)
			rc = reject(p, b, i, n, e);
	}
	return rc;
}

uint64_t rd_pack_rejected(const struct rd_pack *p)
{
	return p->rejected;
}

int rd_pack_finish(struct rd_pack *p, struct rd_err *e)
{
	int rc = flush(p, e);

	if (!rc && p->w)
		rc = close_archive(p, e);
	if (!rc && p->rejects) {
		rc = rd_rejects_finish(p->rejects, e);
		p->rejects = NULL;
	}
	if (!rc && p->archive)
		rc = publish(p, e);
	rd_pack_abort(p);
	return rc;
}

void rd_pack_abort(struct rd_pack *p)
{
	if (!p)
		return;
	rd_pairs_writer_abort(p->w);
	rd_rejects_abort(p->rejects);
	rd_out_abort(p->archive);
	rd_pairs_chunk_free(&p->c);
	free(p->check);
	json_decref(p->meta);
	free(p);
}
