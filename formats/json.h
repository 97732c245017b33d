/* Checked access to JSON files: every error names the file and the key. jansson does the parsing. */
#ifndef RD_FORMATS_JSON_H
#define RD_FORMATS_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* An object from a file of at most 16 MiB; duplicate keys and trailing text are errors (RD_EINPUT). */
int rd_json_load(const char *path, json_t **out, struct rd_err *e) RD_MUST;

/* Values by key, checked for type and range; a key that is absent or null gives the default. `file` is for messages. */
int rd_json_int(const json_t *o, const char *file, const char *key, int64_t def, int64_t lo, int64_t hi, int64_t *out,
                struct rd_err *e) RD_MUST;
int rd_json_num(const json_t *o, const char *file, const char *key, double def, double *out, struct rd_err *e) RD_MUST;
int rd_json_bool(const json_t *o, const char *file, const char *key, bool def, bool *out, struct rd_err *e) RD_MUST;
/* A string into buf; one that does not fit is an error. def may be NULL: then the key must be there. */
int rd_json_str(const json_t *o, const char *file, const char *key, const char *def, char *buf, size_t cap,
                struct rd_err *e) RD_MUST;
/* One of a NULL-terminated list; *out is its index. An unknown value is refused with the list in the message. */
int rd_json_choice(const json_t *o, const char *file, const char *key, const char *def, const char *const *names,
                   int *out, struct rd_err *e) RD_MUST;

/* The library's integers end at 2^63 - 1; larger ones are a string of digits. false where j is neither. */
json_t *rd_json_u64(uint64_t v);
bool rd_json_to_u64(const json_t *j, uint64_t *v) RD_MUST;

/* Compact text of o, numbers that read back as the same double; free() releases it. NULL only without memory. */
char *rd_json_text(const json_t *o);

#endif
