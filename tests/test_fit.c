/* Networks and schedulers that do not fit, where the formats' own tests cannot make such a folder. */
#include <string.h>

#include "lib/model/fit.h"
#include "tests/check.h"

/* What rd_fit_scheduler says of a network's config and a scheduler's; *said is its message. */
static int fit(const char *net, const char *sched, char said[512])
{
	json_t *n = json_loads(net, 0, NULL), *s = json_loads(sched, 0, NULL);
	struct rd_scheduler parsed;
	struct rd_err e = {0};
	int rc = rd_scheduler_parse(&parsed, s, "s.json", &e);

	CHECK_OK(rc, &e);
	if (!rc) {
		rc = rd_fit_scheduler((struct rd_config){n, "n.json"}, false, (struct rd_config){s, "s.json"}, &parsed, &e);
		rd_scheduler_free(&parsed);
	}
	memcpy(said, e.msg, sizeof e.msg);
	json_decref(n);
	json_decref(s);
	return rc;
}

#define DDPM(n) "{\"_class_name\": \"DDPMScheduler\", \"num_train_timesteps\": " #n "}"
#define FLOW "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}"
#define OWN(form) "{\"_class_name\": \"RectdiffScheduler\", \"form\": \"" form "\"}"
#define LEARNED(n) "{\"time_embedding_type\": \"learned\", \"num_train_timesteps\": " n "}"
#define FOURIER "{\"time_embedding_type\": \"fourier\"}"
#define SINUSOIDS "{\"time_embedding_type\": \"positional\", \"num_train_timesteps\": 10}"

static void test_times(void)
{
	static const struct { const char *net, *sched, *key; } of[] = {
		{LEARNED("1000"), DDPM(1000), NULL},
		{LEARNED("1000"), DDPM(100), NULL},
		{LEARNED("999"), DDPM(1000), "s.json: num_train_timesteps: the network has learned the times 0 to 998"},
		{LEARNED("null"), DDPM(1000), "s.json: num_train_timesteps"},
		{LEARNED("1000"), FLOW, "continuous"},
		{LEARNED("1000"), OWN("ve"), "continuous"},
		{FOURIER, DDPM(1000), "s.json: _class_name: it has a time of 0 or less"},
		{FOURIER, OWN("ddpm"), "n.json: time_embedding_type"},
		{FOURIER, OWN("ve"), "time of 0 or less"} /* ln sigma */,
		{FOURIER, OWN("vp"), NULL},
		{SINUSOIDS, DDPM(1000), NULL},
		{SINUSOIDS, FLOW, NULL},
		{"{}", DDPM(1000), NULL},
	};
	char said[512];

	for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
		int rc = fit(of[i].net, of[i].sched, said);

		CHECK(rc == (of[i].key ? RD_EINPUT : RD_OK));
		CHECK(!of[i].key || strstr(said, of[i].key));
	}
}

int main(void)
{
	test_times();
	return check_report("fit");
}
