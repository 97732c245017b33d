#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/npy.h"
#include "formats/pairs_sum.h"

struct rd_pairs_writer {
	struct archive *tar;
	struct rd_out *out;
	struct rd_err out_err; /* of the first write that failed; code 0: none did */
	bool dropping;         /* the archive is given up */
	struct pairs_tally tally;
	bool counts_rejected;
	uint64_t rejected;
};

/* Never fails as libarchive sees it: an archive that failed cannot be closed, and one that is not closed leaks. */
static la_ssize_t to_out(struct archive *a, void *client, const void *data, size_t n)
{
	struct rd_pairs_writer *w = client;

	(void)a;
	if (!w->dropping && !w->out_err.code && rd_out_write(w->out, data, n, &w->out_err))
		w->dropping = true;
	return (la_ssize_t)n;
}

/* The verdict on a call to libarchive: ok is what it says, out_err what became of the bytes. */
static int check_tar(struct rd_pairs_writer *w, bool ok, struct rd_err *e)
{
	if (w->out_err.code) {
		*e = w->out_err;
		return e->code;
	}
	return ok ? RD_OK : rd_fail(e, RD_EFAIL, "pairs: %s", archive_error_string(w->tar));
}

/* Everything that is not name and size is fixed, so that equal input gives equal bytes. */
static int member_begin(struct rd_pairs_writer *w, const char *name, size_t size, struct rd_err *e)
{
	struct archive_entry *ent = archive_entry_new();
	int rc;

	if (!ent)
		return rd_fail(e, RD_ENOMEM, "pairs: no memory");
	archive_entry_set_pathname(ent, name);
	archive_entry_set_size(ent, (la_int64_t)size);
	archive_entry_set_filetype(ent, AE_IFREG);
	archive_entry_set_perm(ent, 0644);
	archive_entry_set_uid(ent, 0);
	archive_entry_set_gid(ent, 0);
	archive_entry_set_mtime(ent, 0, 0);
	rc = check_tar(w, archive_write_header(w->tar, ent) == ARCHIVE_OK, e);
	archive_entry_free(ent);
	pairs_tally_member(&w->tally, name, size);
	return rc;
}

static int member_data(struct rd_pairs_writer *w, const void *data, size_t n, struct rd_err *e)
{
	pairs_tally_data(&w->tally, data, n);
	return check_tar(w, !n || archive_write_data(w->tar, data, n) == (la_ssize_t)n, e);
}

/* Takes j over. */
static int write_json(struct rd_pairs_writer *w, const char *name, json_t *j, struct rd_err *e)
{
	char *text = j ? rd_json_text(j) : NULL;
	int rc;

	json_decref(j);
	if (!text)
		return rd_fail(e, RD_ENOMEM, "pairs: %s: no memory", name);
	if (strlen(text) > PAIRS_JSON_MAX)
		rc = rd_fail(e, RD_EFAIL, "pairs: %s: longer than %zu bytes", name, PAIRS_JSON_MAX);
	else
		rc = member_begin(w, name, strlen(text), e);
	if (!rc)
		rc = member_data(w, text, strlen(text), e);
	free(text);
	return rc;
}

static int write_npy(struct rd_pairs_writer *w, uint64_t first, const char *field, const struct rd_array *a,
                     struct rd_err *e)
{
	size_t n, bytes = rd_array_bytes(a);
	char header[256], name[64];
	int rc;

	rc = rd_npy_make_header(a->dtype, &a->shape, header, sizeof header, &n, e);
	if (rc)
		return rc;
	snprintf(name, sizeof name, "%08" PRIu64 ".%s.npy", first, field);
	rc = member_begin(w, name, n + bytes, e);
	if (!rc)
		rc = member_data(w, header, n, e);
	return rc ? rc : member_data(w, a->data, bytes, e);
}

static int write_noise_ref(struct rd_pairs_writer *w, const struct rd_pairs_chunk *c, struct rd_err *e)
{
	json_t *shape = json_array();
	char name[64];

	for (int i = 0; i < c->noise.shape.nd; i++)
		if (json_array_append_new(shape, json_integer(c->noise.shape.d[i]))) {
			json_decref(shape);
			return rd_fail(e, RD_ENOMEM, "pairs: no memory");
		}
	snprintf(name, sizeof name, "%08" PRIu64 ".noise.json", c->first);
	return write_json(w, name, json_pack("{s:o, s:o, s:o}", "seed", rd_json_u64(c->noise_seed), "first",
	                                     rd_json_u64(c->first), "shape", shape), e);
}

static int open_tar(struct rd_pairs_writer *w, struct rd_err *e)
{
	w->tar = archive_write_new();
	if (!w->tar)
		return rd_fail(e, RD_ENOMEM, "pairs: no memory");
	/* 0: no blocking factor, so no padding past the two blocks of zeros; a reader then notices any cut */
	return check_tar(w, archive_write_set_format_ustar(w->tar) == ARCHIVE_OK &&
	                    archive_write_add_filter_none(w->tar) == ARCHIVE_OK &&
	                    archive_write_set_bytes_per_block(w->tar, 0) == ARCHIVE_OK &&
	                    archive_write_open(w->tar, w, NULL, to_out, NULL) == ARCHIVE_OK, e);
}

int rd_pairs_writer_open(struct rd_pairs_writer **out, struct rd_out *o, const json_t *meta, struct rd_err *e)
{
	struct rd_pairs_writer *w;
	int rc;

	*out = NULL;
	w = calloc(1, sizeof *w);
	if (!w)
		return rd_fail(e, RD_ENOMEM, "pairs: no memory");
	w->out = o;
	rc = pairs_tally_init(&w->tally, e);
	if (!rc)
		rc = open_tar(w, e);
	if (!rc)
		rc = write_json(w, PAIRS_META, json_incref((json_t *)meta), e);
	if (rc)
		rd_pairs_writer_abort(w);
	else
		*out = w;
	return rc;
}

int rd_pairs_write(struct rd_pairs_writer *w, const struct rd_pairs_chunk *c, struct rd_err *e)
{
	int rc;

	if (pairs_tally_chunk(&w->tally, c, e))
		return rd_context(e, "pairs");
	if (c->noise_ref)
		rc = write_noise_ref(w, c, e);
	else
		rc = write_npy(w, c->first, "noise", &c->noise, e);
	if (!rc)
		rc = write_npy(w, c->first, "sample", &c->sample, e);
	for (int k = 0; k < RD_PAIRS_EXTRAS && !rc; k++)
		if (c->has[k])
			rc = write_npy(w, c->first, rd_pairs_extra_names[k], &c->extra[k], e);
	return rc;
}

void rd_pairs_writer_rejected(struct rd_pairs_writer *w, uint64_t n)
{
	w->rejected = n;
	w->counts_rejected = true;
}

/* What __end__ says of the members before it. */
static json_t *end_object(struct rd_pairs_writer *w)
{
	char sum[PAIRS_SUM_TEXT];

	if (w->counts_rejected)
		pairs_tally_rejected(&w->tally, w->rejected);
	pairs_tally_text(&w->tally, sum);
	return json_pack("{s:s, s:i, s:I, s:I, s:o*, s:s}", "format", PAIRS_FORMAT, "v", PAIRS_VERSION, "chunks",
	                 (json_int_t)w->tally.chunks, "samples", (json_int_t)w->tally.samples, "rejected",
	                 w->counts_rejected ? rd_json_u64(w->rejected) : NULL, "xxh3", sum);
}

int rd_pairs_writer_finish(struct rd_pairs_writer *w, struct rd_err *e)
{
	int rc = write_json(w, PAIRS_END, end_object(w), e);

	if (!rc)
		rc = check_tar(w, archive_write_close(w->tar) == ARCHIVE_OK, e);
	rd_pairs_writer_abort(w);
	return rc;
}

void rd_pairs_writer_abort(struct rd_pairs_writer *w)
{
	if (!w)
		return;
	w->dropping = true; /* free closes, and closing writes an end */
	archive_write_free(w->tar);
	pairs_tally_free(&w->tally);
	free(w);
}
