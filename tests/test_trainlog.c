/* The log of a run goes on where the run does, and no other file is emptied for it. */
#include "formats/in.h"
#include "lib/train/trainlog.h"
#include "tests/trainers.h"

static json_t *ours, *theirs; /* descriptions of runs */

static struct rd_trainlog_file file_of(const json_t *run, bool replace)
{
	static char name[300];
	struct rd_trainlog_file f;

	snprintf(name, sizeof name, "%s", path("log"));
	CHECK_OK(rd_trainlog_file(&f, name, replace, run, &e), &e);
	return f;
}

/* Lines of steps 10, 20 .. after `from`, up to `to`. */
static int go(const json_t *run, bool replace, int64_t from, int64_t to)
{
	const struct rd_trainlog_file f = file_of(run, replace);
	const struct rd_step_report r = {1.5, 2.5, 0.01};
	struct rd_trainlog *l;
	int rc = rd_trainlog_try(&f, &e), again;

	again = rd_trainlog_open(&l, &f, from, (struct rd_unlogged){0}, &e);
	CHECK(rc == again); /* the one tells what the other will do */
	if (again)
		return again;
	for (int64_t s = from + 1; s <= to; s++) {
		rd_trainlog_add(l, &r);
		if (s % 10 == 0)
			CHECK_OK(rd_trainlog_write(l, s, NULL, &e), &e);
	}
	CHECK_OK(rd_trainlog_close(l, &e), &e);
	return RD_OK;
}

static char *text(void)
{
	char *s = NULL;
	size_t n;

	CHECK_OK(rd_in_file(path("log"), 1 << 20, &s, &n, &e), &e);
	return s;
}

/* The steps of the log, which is all lines of this run: "10 20 30". */
static bool steps_are(const json_t *run, const char *want)
{
	const struct rd_trainlog_file f = file_of(run, false);
	char *s = text(), have[200] = "";
	bool good = s != NULL;

	for (char *line = s; good && *line; line = strchr(line, '\n') + 1) {
		json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
		size_t n = strlen(have);

		good = o && strchr(line, '\n') && !strcmp(json_string_value(json_object_get(o, "run")), f.run);
		snprintf(have + n, sizeof have - n, "%s%lld", n ? " " : "", (long long)json_integer_value(json_object_get(o, "step")));
		json_decref(o);
	}
	free(s);
	return good && !strcmp(have, want);
}

static void put(const char *s)
{
	CHECK_OK(rd_out_file(path("log"), s, strlen(s), &e), &e);
}

/* s put behind what is there. */
static void put_behind(const char *s, size_t n)
{
	FILE *f = fopen(path("log"), "a");

	CHECK(f && fwrite(s, 1, n, f) == n && !fclose(f));
}

static void resumed(void)
{
	char *line, *all;

	CHECK_OK(go(ours, false, 0, 50), &e);
	CHECK(steps_are(ours, "10 20 30 40 50"));
	CHECK_OK(go(ours, false, 30, 50), &e);
	CHECK(steps_are(ours, "10 20 30 40 50"));
	CHECK_OK(go(ours, false, 0, 20), &e); /* killed before its first checkpoint */
	CHECK(steps_are(ours, "10 20"));
	all = text();
	line = strchr(all, '\n') + 1;
	for (size_t n = 1; n < strlen(line); n++) { /* torn anywhere */
		put_behind(line, n);
		CHECK_OK(go(ours, false, 20, 30), &e);
		CHECK(steps_are(ours, "10 20 30"));
		CHECK_OK(go(ours, false, 20, 20), &e);
	}
	put_behind("{\"ru\0\0\0\0", 8); /* after a power cut */
	CHECK_OK(go(ours, false, 20, 30), &e);
	CHECK(steps_are(ours, "10 20 30"));
	put("");
	put_behind(line, 12); /* the very first one */
	CHECK_OK(go(ours, false, 0, 10), &e);
	CHECK(steps_are(ours, "10"));
	free(all);
	unlink(path("log"));
}

static void of_another_run(void)
{
	CHECK_OK(go(theirs, false, 0, 40), &e);
	CHECK(go(ours, false, 0, 20) == RD_EFAIL && strstr(e.msg, "is the log of another run (-f replaces it)"));
	CHECK(steps_are(theirs, "10 20 30 40"));
	CHECK_OK(go(ours, true, 0, 20), &e);
	CHECK(steps_are(ours, "10 20"));
	CHECK(go(theirs, false, 20, 20) == RD_EFAIL);
	put("{\"step\":10,\"loss\":1,\"grad_norm\":2,\"lr\":3,\"seconds\":4}\n"); /* it does not say of which */
	CHECK(go(ours, false, 0, 20) == RD_EFAIL && strstr(e.msg, "another run"));
	CHECK_OK(go(ours, true, 0, 20), &e);
	CHECK(steps_are(ours, "10 20"));
	unlink(path("log"));
}

static void no_log(void)
{
	static const char *const texts[] = {
		"notes\n", "notes", "{}\n", "{\"step\":10}\n", "{\"step\":10,\"loss\":1,\"grad_norm\":2}\nnotes\n", "\n", "[10, 20]\n",
		"{\"step\":\"a\",\"loss\":1,\"grad_norm\":2}\n", "{\"name\":",
	};

	for (int i = 0; i < LEN(texts); i++)
		for (int force = 0; force < 2; force++) {
			char *s;

			put(texts[i]);
			CHECK(go(ours, force, 0, 20) == RD_EFAIL && strstr(e.msg, "is no log of a training: it is not replaced"));
			s = text();
			CHECK(!strcmp(s, texts[i]));
			free(s);
		}
	put("");
	CHECK_OK(go(ours, false, 0, 20), &e);
	CHECK(steps_are(ours, "10 20"));
	unlink(path("log"));
}

int main(void)
{
	struct rd_trainlog_file f;

	trainers_begin();
	ours = json_pack("{s:i}", "seed", 1);
	theirs = json_pack("{s:i}", "seed", 2);
	resumed();
	of_another_run();
	no_log();
	CHECK(rd_trainlog_file(&f, "-", false, ours, &e) == RD_EUSAGE);
	json_decref(ours);
	json_decref(theirs);
	trainers_end();
	return check_report("trainlog");
}
