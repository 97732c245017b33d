#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/npy.h"
#include "tests/fuzz/tar.h"

enum { BLOCK = 512, SIZE_AT = 124, SUM_AT = 148, MEMBERS = 32, MEMBER_MAX = 4096 };

struct member {
	uint8_t header[BLOCK];
	size_t size, claimed; /* claimed: what its header says; 0: the truth */
	uint8_t data[MEMBER_MAX];
};

struct tar {
	int n;
	struct member m[MEMBERS + 1];
};

static struct tar tar;

static bool is(const struct member *m, const char *name)
{
	return !strcmp((const char *)m->header, name);
}

static bool ends(const struct member *m, const char *tail)
{
	size_t n = strnlen((const char *)m->header, 100), k = strlen(tail);

	return n >= k && !memcmp(m->header + n - k, tail, k);
}

/* The members that are whole. */
static void parse(struct tar *t, const uint8_t *p, size_t n)
{
	size_t at = 0;

	for (t->n = 0; t->n < MEMBERS && at + BLOCK <= n && p[at]; t->n++) {
		struct member *m = &t->m[t->n];
		char size[12] = {0};

		memcpy(m->header, p + at, BLOCK);
		m->header[99] = 0; /* names here are text */
		m->claimed = 0;
		memcpy(size, m->header + SIZE_AT, 11);
		m->size = strtoul(size, NULL, 8);
		at += BLOCK;
		if (m->size > MEMBER_MAX || m->size > n - at)
			return;
		memcpy(m->data, p + at, m->size);
		at += (m->size + BLOCK - 1) / BLOCK * BLOCK;
	}
}

/* Size and checksum of the header as the member is now. */
static void seal(struct member *m)
{
	unsigned sum = 0;
	char text[16];

	snprintf(text, sizeof text, "%011zo", m->claimed ? m->claimed : m->size);
	memcpy(m->header + SIZE_AT, text, 12);
	memset(m->header + SUM_AT, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += m->header[i];
	snprintf(text, sizeof text, "%06o", sum & 0777777);
	memcpy(m->header + SUM_AT, text, 7);
}

/* What __end__ must say of the members before it. */
static void describe(struct tar *t, struct member *end)
{
	XXH3_state_t *sum = XXH3_createState();
	long long chunks = 0, samples = 0;

	ENSURE(sum && XXH3_64bits_reset(sum) == XXH_OK);
	for (const struct member *m = t->m; m < end; m++) {
		struct rd_shape s = {0};
		enum rd_dtype type;
		struct rd_err e;
		uint8_t le[8];
		size_t h;

		for (int i = 0; i < 8; i++)
			le[i] = (uint8_t)((uint64_t)m->size >> 8 * i);
		ENSURE(XXH3_64bits_update(sum, m->header, strlen((const char *)m->header) + 1) == XXH_OK);
		ENSURE(XXH3_64bits_update(sum, le, 8) == XXH_OK && XXH3_64bits_update(sum, m->data, m->size) == XXH_OK);
		if (ends(m, ".sample.npy") && !rd_npy_header(m->data, m->size, &type, &s, &h, &e)) {
			chunks++;
			samples += s.nd ? s.d[0] & 0xffff : 0;
		}
	}
	end->size = (size_t)snprintf((char *)end->data, MEMBER_MAX,
	                             "{\"format\":\"rdpairs\",\"v\":1,\"chunks\":%lld,\"samples\":%lld,\"xxh3\":\"%016" PRIx64 "\"}",
	                             chunks, samples, (uint64_t)XXH3_64bits_digest(sum));
	XXH3_freeState(sum);
}

static void change_data(struct member *m, uint32_t *r, const char *const *words)
{
	if (ends(m, ".json") || ends(m, "__"))
		m->size = fuzz_mutate_json(m->data, m->size, MEMBER_MAX, fuzz_random(r), words);
	else
		m->size = fuzz_bytes(m->data, m->size, MEMBER_MAX);
}

/* Another member's name, or one of the words, or other characters. */
static void change_name(struct tar *t, struct member *m, uint32_t *r, const char *const *words)
{
	size_t n = strlen((const char *)m->header), k = 0;

	while (words[k])
		k++;
	switch (fuzz_random(r) % 3) {
	case 0: memcpy(m->header, t->m[fuzz_random(r) % (uint32_t)t->n].header, 100); break;
	case 1: snprintf((char *)m->header, 100, "%s", words[fuzz_random(r) % k]); break;
	default:
		n = fuzz_bytes(m->header, n, 99);
		memset(m->header + n, 0, 100 - n);
	}
}

/* An array of which only the front is there. */
static void claim_more(struct member *m, uint32_t *r)
{
	static const int64_t sizes[] = {1000, 100000, 8000000, 20000000, 130000000, 268435000, 268435456, 1000000000};
	struct rd_shape s = {0};
	enum rd_dtype type;
	struct rd_err e;
	size_t h, elems;

	if (rd_npy_header(m->data, m->size, &type, &s, &h, &e) || !s.nd || h > MEMBER_MAX)
		return;
	s.d[0] = sizes[fuzz_random(r) % (sizeof sizes / sizeof *sizes)];
	if (rd_shape_elems(&s, &elems, &e) || rd_npy_make_header(type, &s, (char *)m->data, 256, &h, &e))
		return;
	m->claimed = h + elems * rd_dtype_bytes(type);
}

static void change(struct tar *t, uint32_t *r, const char *const *words)
{
	int i = (int)(fuzz_random(r) % (uint32_t)t->n);
	struct member *m = &t->m[i], spare;

	switch (fuzz_random(r) % 16) {
	case 0: /* taken out */
		memmove(m, m + 1, (size_t)(--t->n - i) * sizeof *m);
		break;
	case 1: /* there twice */
		if (t->n < MEMBERS)
			memmove(m + 1, m, (size_t)(t->n++ - i) * sizeof *m);
		break;
	case 2: /* changes places with the next */
		if (i + 1 < t->n) {
			spare = m[0];
			m[0] = m[1];
			m[1] = spare;
		}
		break;
	case 3:
	case 4: change_name(t, m, r, words); break;
	case 5: fuzz_bytes(m->header, BLOCK, BLOCK); break;
	case 6: claim_more(m, r); break;
	default: change_data(m, r, words);
	}
}

/* The archive as bytes; 0 where it does not fit. */
static size_t build(struct tar *t, uint8_t *p, size_t max, bool describe_end)
{
	size_t at = 0, padded;

	for (int i = 0; i < t->n; i++) {
		struct member *m = &t->m[i];

		if (is(m, "__end__") && describe_end)
			describe(t, m);
		seal(m);
		padded = (m->size + BLOCK - 1) / BLOCK * BLOCK;
		if (max - at < BLOCK + padded)
			return 0;
		memcpy(p + at, m->header, BLOCK);
		memset(p + at + BLOCK, 0, padded);
		memcpy(p + at + BLOCK, m->data, m->size);
		at += BLOCK + padded;
	}
	if (max - at < 2 * BLOCK)
		return 0;
	memset(p + at, 0, 2 * BLOCK);
	return at + 2 * BLOCK;
}

size_t fuzz_mutate_tar(uint8_t *data, size_t n, size_t max, uint32_t seed, const char *const *words)
{
	static uint8_t out[FUZZ_TAR_MAX];
	uint32_t r = seed;
	size_t m = 0;

	parse(&tar, data, n);
	if (!tar.n || fuzz_random(&r) % 8 == 0)
		return fuzz_bytes(data, n, max);
	for (uint32_t k = 1 + fuzz_random(&r) % 2; k && tar.n; k--)
		change(&tar, &r, words);
	for (int i = 0; i < tar.n; i++)
		tar.m[i].header[99] = 0;
	m = build(&tar, out, max < sizeof out ? max : sizeof out, fuzz_random(&r) % 8);
	if (!m)
		return fuzz_bytes(data, n, max);
	memcpy(data, out, m);
	return m;
}
