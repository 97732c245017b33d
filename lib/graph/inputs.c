/* What a graph is fed with beside x: times, labels, the number of a draw. */
#include <math.h>
#include <string.h>

#include "lib/graph/exec_impl.h"

static int put_words(struct rd_exec *x, void *to, struct rd_err *e)
{
	return x->be->put(x->dev, to, x->words, (size_t)x->g->batch * sizeof *x->words, e);
}

static void number_word(struct rd_exec *x, int64_t i, float f)
{
	memcpy(&x->words[i], &f, sizeof f);
}

static int time_word(struct rd_exec *x, const struct rd_value *v, int64_t i, float t, struct rd_err *e)
{
	double d = (double)t;

	if (v->kind == RD_VALUE_INDEX) {
		if (!(d >= 0 && d < (double)v->rows && d == floor(d)))
			return rd_fail(e, RD_EDOMAIN, "time %g: the network has learned the whole numbers from 0 to %lld, no others",
			               d, (long long)v->rows - 1);
		x->words[i] = (uint32_t)t;
		return RD_OK;
	}
	if (!isfinite(d) || (v->kind == RD_VALUE_POSITIVE && !(d > 0)))
		return rd_fail(e, RD_EDOMAIN, "time %g: the network takes the logarithm of times, they must be above 0", d);
	number_word(x, i, t);
	return RD_OK;
}

int rd_exec_put_times(struct rd_exec *x, const float *t, struct rd_err *e)
{
	for (int64_t i = 0; i < x->g->batch; i++)
		if (time_word(x, &x->g->value[x->g->t], i, t[i], e))
			return e->code;
	return put_words(x, x->val[x->g->t], e);
}

/* Bytes of what the labels of a batch are in the graph. */
static size_t label_bytes(const struct rd_exec *x)
{
	const struct rd_value *v = &x->g->value[x->g->label];

	return v->kind == RD_VALUE_ACT ? x->be->act_bytes(v->d) : (size_t)x->g->batch * sizeof *x->words;
}

/* Where the vectors lie behind them. */
static size_t vectors_at(const struct rd_exec *x)
{
	return (label_bytes(x) + 63) / 64 * 64;
}

size_t rd_exec_condition_bytes(const struct rd_exec *x)
{
	if (x->g->label == RD_NONE)
		return 0;
	if (x->g->vector == RD_NONE)
		return label_bytes(x);
	return vectors_at(x) + x->be->act_bytes(rd_graph_dims(x->g, x->g->vector));
}

static bool is_finite(const float *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* A row [tokens, dim] as an image [dim, tokens]; false where it holds NaN or infinities. */
static bool turn_row(const struct rd_contexts *c, int64_t row, float *token, float *out)
{
	const size_t step = (size_t)c->dim * rd_dtype_bytes(c->type);
	const char *from = (const char *)c->data + (size_t)row * (size_t)c->tokens * step;
	bool finite = true;

	for (int64_t t = 0; t < c->tokens; t++, from += step) {
		rd_to_f32(token, from, c->type, (size_t)c->dim);
		finite = finite && is_finite(token, c->dim);
		for (int64_t k = 0; k < c->dim; k++)
			out[k * c->tokens + t] = token[k];
	}
	return finite;
}

static bool vector_row(const struct rd_contexts *c, int64_t row, float *out)
{
	const char *from = (const char *)c->vectors + (size_t)(row * c->vector_dim) * rd_dtype_bytes(c->vector_type);

	rd_to_f32(out, from, c->vector_type, (size_t)c->vector_dim);
	return is_finite(out, c->vector_dim);
}

/* The rows of the labels, and their vectors. */
static int put_rows(struct rd_exec *x, const int32_t *label, void *rows, void *vectors, struct rd_err *e)
{
	const struct rd_contexts *c = &x->g->contexts;
	const size_t n = (size_t)c->tokens * (size_t)c->dim;
	int rc;

	for (int64_t i = 0; i < x->g->batch; i++) {
		if (label[i] < 0 || label[i] >= c->rows)
			return rd_fail(e, RD_EINPUT, "label %d: there are contexts 0 to %lld", label[i], (long long)c->rows - 1);
		if (!turn_row(c, label[i], x->token, x->rows + (size_t)i * n) ||
		    (vectors && !vector_row(c, label[i], x->vector + i * c->vector_dim)))
			return rd_fail(e, RD_EINPUT, "label %d: its context holds NaN or infinities", label[i]);
	}
	rc = x->be->act_import(x->dev, rd_graph_dims(x->g, x->g->label), x->rows, rows, e);
	return rc || !vectors ? rc : x->be->act_import(x->dev, rd_graph_dims(x->g, x->g->vector), x->vector, vectors, e);
}

/* Labels that stand for no rows, as words. */
static int put_label_words(struct rd_exec *x, const int32_t *label, void *to, struct rd_err *e)
{
	const struct rd_value *v = &x->g->value[x->g->label];

	if (v->kind == RD_VALUE_ACT)
		return rd_fail(e, RD_EUSAGE, "the network's condition is a vector of %lld numbers, not a label", (long long)v->d.c);
	for (int64_t i = 0; i < x->g->batch; i++) {
		if (v->kind == RD_VALUE_INDEX && (label[i] < 0 || label[i] >= v->rows))
			return rd_fail(e, RD_EINPUT, "label %d: the network has 0 to %lld", label[i], (long long)v->rows - 1);
		if (v->kind == RD_VALUE_POSITIVE && label[i] <= 0)
			return rd_fail(e, RD_EINPUT, "label %d: the network takes the logarithm of labels, they must be above 0",
			               label[i]);
		if (v->kind == RD_VALUE_INDEX)
			x->words[i] = (uint32_t)label[i];
		else
			number_word(x, i, (float)label[i]);
	}
	return put_words(x, to, e);
}

/* vectors: where those of contexts go; NULL where there are none. */
static int put_condition(struct rd_exec *x, const int32_t *label, void *to, void *vectors, struct rd_err *e)
{
	return x->rows ? put_rows(x, label, to, vectors, e) : put_label_words(x, label, to, e);
}

int rd_exec_condition(struct rd_exec *x, const int32_t *label, void *to, struct rd_err *e)
{
	if (x->g->label == RD_NONE)
		return RD_OK;
	return put_condition(x, label, to, x->g->vector == RD_NONE ? NULL : (char *)to + vectors_at(x), e);
}

int rd_exec_put_condition(struct rd_exec *x, const void *from, struct rd_err *e)
{
	const rd_ref v = x->g->vector;
	int rc;

	if (x->g->label == RD_NONE)
		return RD_OK;
	rc = x->be->copy(x->dev, x->val[x->g->label], from, label_bytes(x), e);
	if (rc || v == RD_NONE)
		return rc;
	return x->be->copy(x->dev, x->val[v], (const char *)from + vectors_at(x), x->be->act_bytes(rd_graph_dims(x->g, v)), e);
}

int rd_exec_put_labels(struct rd_exec *x, const int32_t *label, struct rd_err *e)
{
	if (x->g->label == RD_NONE)
		return RD_OK;
	return put_condition(x, label, x->val[x->g->label], x->g->vector == RD_NONE ? NULL : x->val[x->g->vector], e);
}

int rd_exec_put_vectors(struct rd_exec *x, const float *v, struct rd_err *e)
{
	if (x->g->label == RD_NONE)
		return RD_OK;
	if (x->g->value[x->g->label].kind != RD_VALUE_ACT)
		return rd_fail(e, RD_EUSAGE, "the network's condition is a label, not a vector");
	return x->be->act_import(x->dev, rd_graph_dims(x->g, x->g->label), v, x->val[x->g->label], e);
}

int rd_exec_set_draw(struct rd_exec *x, uint64_t first, struct rd_err *e)
{
	return x->draw ? x->be->put(x->dev, x->draw, &first, sizeof first, e) : RD_OK;
}
