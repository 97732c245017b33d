/* What is held out: samples from everywhere among the others, of every label, at times from everywhere in the schedule. */
#include "lib/train/draw.h"
#include "tests/trainers.h"

/* `all` samples, each its own number, with labels dealt out in turn. */
static struct rd_dataset numbered(int64_t all, int classes)
{
	struct rd_dataset d = {.n = all, .dim = 1, .hash = "0"};

	d.sample = d.mem[0].p = malloc((size_t)all * sizeof *d.sample);
	d.label = d.mem[3].p = malloc((size_t)all * sizeof *d.label);
	for (int64_t i = 0; i < all; i++) {
		d.sample[i] = (float)i;
		d.label[i] = (int32_t)(i % classes);
	}
	return d;
}

/* One sample of each of n equal parts, the others in their order; of each of the classes about as many as of any other. */
static void splits(int64_t all, int64_t n, int classes)
{
	struct rd_dataset d = numbered(all, classes), held;
	int64_t count[16] = {0}, kept = 0;

	CHECK_OK(rd_dataset_split(&d, n, &held, &e), &e);
	CHECK(d.n == all - n && held.n == n);
	for (int64_t j = 0; j < n; j++) {
		const int64_t row = (int64_t)held.sample[j];

		CHECK(row >= j * all / n && row < (j + 1) * all / n && held.label[j] == row % classes);
		count[held.label[j]]++;
		for (; kept < row - j; kept++)
			CHECK((int64_t)d.sample[kept] == kept + j);
	}
	for (; kept < d.n; kept++)
		CHECK((int64_t)d.sample[kept] == kept + n);
	for (int k = 0; k < classes && n >= 20 * classes; k++)
		CHECK(10 * count[k] * classes >= 7 * n && 10 * count[k] * classes <= 13 * n);
	rd_dataset_free(&d);
	rd_dataset_free(&held);
}

static int by_number(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* n samples stand in the middles of n equal parts of fm's times, whatever the batch; and any run of them is spread out. */
static void times(int64_t n, int64_t batch)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_dataset held = data_of(false, true);
	struct rd_train_opts o = opts_of(1, batch);
	struct rd_train_batch b;
	struct rd_objective ob;
	struct rd_draw *draw;
	float t[64];

	held.n = n;
	o.coupling = RD_COUPLING_INDEPENDENT;
	o.times.kind = RD_TIMES_UNIFORM;
	CHECK_OK(rd_objective_init(&ob, &m, &o, NULL, &e), &e);
	CHECK_OK(rd_draw_new(&draw, &held, &ob, &e), &e);
	CHECK_OK(rd_train_batch_new(&b, batch, DIM, &e), &e);
	for (int64_t i = 0; i < n; i += batch) {
		CHECK_OK(rd_draw_held(draw, &held, i, &b, &e), &e);
		for (int64_t j = 0; j < batch && i + j < n; j++)
			t[i + j] = (float)b.node[j].t;
	}
	for (int64_t i = 0; i + 4 <= n && n >= 6; i++) { /* of four in a row, some are early and some late */
		float least = 1, most = 0;

		for (int k = 0; k < 4; k++) {
			least = fminf(least, t[i + k]);
			most = fmaxf(most, t[i + k]);
		}
		CHECK(most - least > 0.4f);
	}
	qsort(t, (size_t)n, sizeof *t, by_number);
	for (int64_t i = 0; i < n; i++)
		CHECK_NEAR(t[i], ((double)i + 0.5) / (double)n, 2e-3);
	rd_train_batch_free(&b);
	rd_draw_free(draw);
	rd_objective_free(&ob);
	rd_model_free(&m);
}

int main(void)
{
	trainers_begin();
	for (int classes = 1; classes <= 10; classes += 3)
		for (int64_t all = 2; all < 4000; all = all * 3 + 1)
			for (int64_t n = 1; n < all; n = n * 2 + 1)
				splits(all, n, classes);
	splits(50000, 1000, 10);
	splits(1000, 100, 10);
	for (int64_t n = 1; n <= N; n++)
		for (int64_t batch = 1; batch <= 4; batch++)
			times(n, batch);
	trainers_end();
	return check_report("held");
}
