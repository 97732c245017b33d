/* A schedule from rows: ddpm's own rows give ddpm's schedule, a line from data to noise flow matching; inverses; what is no table. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ode/grid.h"
#include "lib/ode/table.h"
#include "tests/check.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct rd_err e;

static double n_at(const struct rd_schedule *s, double t)
{
	return rd_sigma(s, t) / rd_alpha(s, t);
}

/* Between rows too: ddpm is linear in ln n there as well. */
static void as_ddpm(void)
{
	static struct rd_table_row row[1000];
	struct rd_schedule ddpm, s;

	CHECK_OK(rd_schedule_init(&ddpm, "ddpm", &e), &e);
	for (int i = 0; i < 1000; i++)
		row[i] = (struct rd_table_row){i, rd_alpha(&ddpm, i), rd_sigma(&ddpm, i)};
	CHECK_OK(rd_schedule_init_table(&s, row, 1000, &e), &e);
	CHECK(!strcmp(s.form->name, "table") && s.t_lo == 0 && s.t_hi == 999);
	for (double t = 0; t < 999; t += 0.37) {
		CHECK_NEAR(rd_alpha(&s, t), rd_alpha(&ddpm, t), 1e-13);
		CHECK_NEAR(rd_sigma(&s, t), rd_sigma(&ddpm, t), 1e-13);
		CHECK(s.form->net_time(&s, t) == t);
	}
	CHECK(rd_schedule_start_scale(&s, rd_sigma(&s, 999)) == rd_sigma(&s, 999));
	rd_schedule_free(&s);
	rd_schedule_free(&ddpm);
}

/* Rows of any size, both ends infinite in ln n: monotone, and the inverse is one. */
static void inverse(void)
{
	static const struct rd_table_row line[] = {{0, 1, 0}, {1, 0, 1}}, bent[] = {{0.5, 2, 0}, {1, 3, 0.5}, {4, 1, 3}, {4.5, 0.1, 70}, {9, 0, 5}};
	const struct rd_table_row *rows[] = {line, bent};
	const size_t n_rows[] = {LEN(line), LEN(bent)};
	struct rd_schedule s;

	for (int k = 0; k < 2; k++) {
		double first = rows[k][0].t, last = rows[k][n_rows[k] - 1].t, before = 0;

		CHECK_OK(rd_schedule_init_table(&s, rows[k], n_rows[k], &e), &e);
		CHECK_NEAR(s.t_lo, first + (last - first) / 1000, 1e-15);
		for (int i = 1; i < 1000; i++) {
			double t = s.t_lo + (last - s.t_lo) * i / 1000, n = n_at(&s, t);

			CHECK(n > before);
			CHECK_NEAR(s.form->t_of_n(&s, n), t, 1e-12 * last);
			if (k == 0)
				CHECK(fabs(rd_alpha(&s, t) - (1 - t)) < 1e-15 && fabs(rd_sigma(&s, t) - t) < 1e-15);
			before = n;
		}
		for (size_t i = 0; i < n_rows[k]; i++)
			CHECK(rd_alpha(&s, rows[k][i].t) == rows[k][i].alpha && rd_sigma(&s, rows[k][i].t) == rows[k][i].sigma);
		CHECK(s.form->t_of_n(&s, INFINITY) == last && s.form->t_of_n(&s, 0) == s.t_lo);
		rd_schedule_free(&s);
	}
	/* half-way between rows ln n and the ln of the size are */
	CHECK_OK(rd_schedule_init_table(&s, bent, LEN(bent), &e), &e);
	CHECK_NEAR(n_at(&s, 2.5), sqrt(0.5 / 3 * 3), 1e-12);
	CHECK_NEAR(hypot(rd_alpha(&s, 2.5), rd_sigma(&s, 2.5)), sqrt(hypot(3, 0.5) * hypot(1, 3)), 1e-12);
	rd_schedule_free(&s);
}

/* Every spacing has sound nodes, the last step to the data. */
static void grids(void)
{
	static const struct rd_table_row rows[] = {{2, 1, 0.01}, {5, 0.8, 0.6}, {6, 0.1, 1}};
	struct rd_schedule s;
	struct rd_grid g;

	CHECK_OK(rd_schedule_init_table(&s, rows, LEN(rows), &e), &e);
	for (int p = 0; p < RD_N_SPACINGS; p++) {
		CHECK_OK(rd_grid_init(&g, &s, &(struct rd_grid_opts){.steps = 7, .spacing = (enum rd_spacing)p}, &e), &e);
		CHECK(g.steps == 7 && g.to[6].alpha == 1 && g.to[6].sigma == 0 && g.start_scale == g.from[0].sigma);
		CHECK(p == RD_SPACING_LEADING || fabs(g.from[0].t - 6) < 1e-12);
		for (int k = 0; k < 7; k++)
			CHECK(g.from[k].t > 2 - 1e-12 && (!k || g.from[k].t < g.from[k - 1].t));
		rd_grid_free(&g);
	}
	CHECK_OK(rd_table_narrow(&s, 0.02, 5, &e), &e);
	CHECK_NEAR(n_at(&s, s.t_lo), 0.02, 1e-12);
	CHECK_NEAR(n_at(&s, s.t_hi), 5, 1e-12);
	CHECK(rd_table_narrow(&s, 11, 20, &e) == RD_EDOMAIN && strstr(e.msg, "network knows 11 to 20"));
	rd_schedule_free(&s);
}

static void text(const char *what, const char *said)
{
	char path[] = "/tmp/test_table.XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	struct rd_schedule s;
	int rc;

	fputs(what, f);
	fclose(f);
	rc = rd_schedule_read_table(&s, path, &e);
	if (!said) {
		CHECK_OK(rc, &e);
		CHECK(rd_alpha(&s, s.t_hi) == 0.25 && rd_sigma(&s, s.t_hi) == 2);
	} else {
		CHECK(rc == RD_EINPUT && !strncmp(e.msg, path, strlen(path)));
		CHECK(strstr(e.msg, said));
		if (!strstr(e.msg, said))
			fprintf(stderr, "said: %s\n", e.msg);
	}
	rd_schedule_free(&s);
	unlink(path);
}

static void files(void)
{
	char many[12 * (RD_TABLE_MAX_ROWS + 2)] = "";
	size_t n = 0;

	text("# alpha sigma\n1 0.1\n\n  0.5,1 # then\r\n0.25\t,\t2", NULL);
	text("3 1 0.1\n4.5 0.25 2\n", NULL);
	text("", "no row");
	text("# nothing\n", "no row");
	text("1 0\n", "one row");
	text("1 0\n1 1 1\n", "line 2: 3 columns: 2, as before");
	text("1\n", "line 1: 1 columns");
	text("1 2 3 4\n", "line 1: more than three");
	text("1 0\n0 nan\n", "line 2: 'nan': a number");
	text("1 0\n0 1e400\n", "line 2: '1e400'");
	text("1 0\n0 x\n", "line 2: 'x'");
	text("1 0\n0,,1\n", "line 2: ',1'");
	text("1 0\n-1 1\n", "line 2: t 1, alpha -1");
	text("1 0\n0 0\n", "line 2: alpha and sigma are both 0");
	text("1 0\n\n1 1\n1 0.5\n", "line 4: sigma/alpha 0.5 is not above");
	text("1 0\n0 1\n0 2\n", "line 3: sigma/alpha inf is not above");
	text("1 1 0\n1 1 1\n", "line 2: t 1 is not above");
	text("1e-6 1e-6\n1e-6 1e6\n1e-15 1e6\n", "line 3: sigma/alpha is");
	for (int i = 0; i <= RD_TABLE_MAX_ROWS; i++)
		n += (size_t)snprintf(many + n, sizeof many - n, "1 %d\n", i);
	text(many, "line 10001: more than 10000 rows");
}

int main(void)
{
	as_ddpm();
	inverse();
	grids();
	files();
	return check_report("table");
}
