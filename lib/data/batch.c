#include "lib/data/batch.h"

#include <stdio.h>
#include <string.h>

void rd_batch_free(struct rd_batch *b)
{
	if (!b)
		return;
	for (int k = 0; k < RD_FRAME_MAX_FIELDS; k++)
		rd_array_free(&b->f[k]);
	memset(b, 0, sizeof *b);
}

int rd_stream_field(const struct rd_stream *s, const char *name)
{
	for (int k = 0; k < s->n_fields; k++)
		if (!strcmp(s->field[k], name))
			return k;
	return -1;
}

void rd_stream_init(struct rd_stream *s, const char *role, json_t *meta)
{
	memset(s, 0, sizeof *s);
	snprintf(s->role, sizeof s->role, "%s", role);
	s->meta = meta ? meta : json_object();
}

int rd_stream_add(struct rd_stream *s, const char *field, struct rd_err *e)
{
	if (s->n_fields == RD_FRAME_MAX_FIELDS)
		return rd_fail(e, RD_EUSAGE, "field '%s': more than %d fields", field, RD_FRAME_MAX_FIELDS);
	if (strlen(field) >= RD_FRAME_NAME)
		return rd_fail(e, RD_EUSAGE, "field '%s': longer than %d bytes", field, RD_FRAME_NAME - 1);
	if (rd_stream_field(s, field) >= 0)
		return rd_fail(e, RD_EUSAGE, "field '%s': there twice", field);
	memcpy(s->field[s->n_fields++], field, strlen(field) + 1);
	return RD_OK;
}

void rd_stream_free(struct rd_stream *s)
{
	if (!s)
		return;
	json_decref(s->meta);
	memset(s, 0, sizeof *s);
}
