/* Successive shortest augmenting paths with dual prices (the Hungarian method in its n^3 form). Row after row enters the assignment
 * by the cheapest alternating path to a free column; prices keep all reduced costs at or above 0. */
#include "lib/train/assign.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

struct state {
	size_t n;
	const double *cost;
	double *row_price, *column_price; /* [n] */
	double *distance;                 /* [n]: of the cheapest path to a column so far */
	double *row_of, *from, *done;     /* [n]: the row that has a column; the row by which a path enters it; whether it is final */
};

#define NOBODY (-1.0)

size_t rd_assign_doubles(size_t n)
{
	return 6 * n;
}

/* The open column that is nearest. */
static size_t nearest(const struct state *s)
{
	size_t best = s->n;

	for (size_t j = 0; j < s->n; j++)
		if (s->done[j] == 0 && (best == s->n || s->distance[j] < s->distance[best]))
			best = j;
	return best;
}

/* Paths over row i, which is reached at length `at`. */
static void relax(struct state *s, size_t i, double at)
{
	for (size_t j = 0; j < s->n; j++) {
		double d = at + s->cost[i * s->n + j] - s->row_price[i] - s->column_price[j];

		if (s->done[j] == 0 && d < s->distance[j]) {
			s->distance[j] = d;
			s->from[j] = (double)i;
		}
	}
}

/* The free column that ends the cheapest path from row i; prices follow. */
static size_t shortest_path(struct state *s, size_t i)
{
	size_t j, row = i;
	double at = 0;

	for (j = 0; j < s->n; j++) {
		s->distance[j] = INFINITY;
		s->done[j] = 0;
	}
	for (;;) {
		relax(s, row, at);
		j = nearest(s);
		at = s->distance[j];
		if (s->row_of[j] == NOBODY)
			break;
		s->done[j] = 1;
		row = (size_t)s->row_of[j];
	}
	s->row_price[i] += at;
	for (size_t k = 0; k < s->n; k++)
		if (s->done[k] != 0) {
			s->column_price[k] += s->distance[k] - at;
			s->row_price[(size_t)s->row_of[k]] += at - s->distance[k];
		}
	return j;
}

void rd_assign(size_t n, const double *cost, size_t *column, double *work)
{
	struct state s = {.n = n, .cost = cost, .row_price = work, .column_price = work + n, .distance = work + 2 * n,
	                  .row_of = work + 3 * n, .from = work + 4 * n, .done = work + 5 * n};

	for (size_t j = 0; j < n; j++) {
		s.row_price[j] = s.column_price[j] = 0;
		s.row_of[j] = NOBODY;
		column[j] = SIZE_MAX;
	}
	for (size_t i = 0; i < n; i++) {
		size_t j = shortest_path(&s, i), row, before;

		do { /* back along the path, every row takes the column by which it was left */
			row = (size_t)s.from[j];
			before = column[row];
			s.row_of[j] = (double)row;
			column[row] = j;
			j = before;
		} while (row != i);
	}
}
