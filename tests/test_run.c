/* Runs of training where the system is not what one expects: clocks that make each step long. */
#include "lib/base/clock.h"
#include "lib/train/run.h"
#include "tests/trainers.h"

/* --- what stands in for the system's ---------------------------------------------------------------------------------------------- */

static double now, tick; /* seconds; what passes between two looks at the clock */

double rd_clock(void)
{
	return now += tick;
}

/* --- runs ------------------------------------------------------------------------------------------------------------------------- */

static struct rd_run *run_of(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	static char out[300]; /* borrowed */
	struct rd_run_opts o = {.out = out, .checkpoint_every = 100, .log_every = 100, .held_out_every = 100};
	struct rd_run *r;

	snprintf(out, sizeof out, "%s", path("out"));
	CHECK_OK(rd_run_open(&r, m, d, NULL, be, dev, t, &o, &e), &e);
	return r;
}

/* Measuring is bounded in time, unless a good measurement is asked for: then one step warms up and some are measured. */
static void rehearsals(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	static const struct {
		double tick;
		bool well;
		double least, most; /* seconds that measuring took */
	} cases[] = {{100, false, 100, 100}, {0.6, false, 1.2, 1.2}, {0.3, false, 0.9, 1.2}, {0.01, false, 0.1, 0.2}, {100, true, 400, 500}};
	struct rd_run *r = run_of(m, d, t);
	struct rd_run_plan p;

	for (int i = 0; i < LEN(cases); i++) {
		tick = cases[i].tick;
		now = 0;
		CHECK_OK(rd_run_plan(r, cases[i].well, &p, &e), &e);
		now -= tick; /* the first look, from which on time passes */
		CHECK(now > cases[i].least * 0.99 && now < cases[i].most * 1.01);
		CHECK_NEAR(p.step_seconds, tick, 1e-9);
	}
	tick = 0;
	rd_run_close(r);
}

int main(void)
{
	struct rd_model m;
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts t = opts_of(6, 2);

	trainers_begin();
	m = model_of("fm", "flow_prediction");
	rehearsals(&m, &d, &t);
	rd_model_free(&m);
	trainers_end();
	return check_report("run");
}
