/* The solvers by name. */
#include <string.h>

#include "lib/ode/solver.h"

#define DPM(o) {.family = RD_DPM, .order = o}
#define DPMPP(o) {.family = RD_DPM, .order = o, .data = true}
#define UNIPC(o) {.family = RD_UNIPC, .order = o, .data = true}

static const struct rd_solver solvers[] = {
	{.family = RD_DDIM},
	{.family = RD_EULER},
	{.family = RD_HEUN},
	{.family = RD_RK4},
	DPM(1),
	DPM(2),
	DPM(3),
	{.family = RD_DPM, .order = 2, .singlestep = true},
	{.family = RD_DPM, .order = 3, .singlestep = true},
	DPMPP(1),
	DPMPP(2),
	DPMPP(3),
	{.family = RD_DPM, .order = 2, .data = true, .singlestep = true},
	{.family = RD_DPM, .order = 3, .data = true, .singlestep = true},
	{.family = RD_DEIS, .order = 1},
	{.family = RD_DEIS, .order = 2},
	{.family = RD_DEIS, .order = 3},
	UNIPC(1),
	UNIPC(2),
	UNIPC(3),
	{.family = RD_DOPRI5, .rtol = 1e-4, .atol = 1e-4, .max_steps = 1000},
};
const char *const rd_solver_names[] = {"ddim", "euler", "heun", "rk4", "dpm1", "dpm2m", "dpm3m", "dpm2s", "dpm3s", "dpm++1",
                                       "dpm++2m", "dpm++3m", "dpm++2s", "dpm++3s", "deis1", "deis2", "deis3", "unipc1",
                                       "unipc2", "unipc3", "dopri5", NULL};
_Static_assert(sizeof rd_solver_names / sizeof *rd_solver_names == sizeof solvers / sizeof *solvers + 1,
               "a name for each solver");

const char *const rd_solver_type_names[] = {"default", "midpoint", "heun", "bh1", "bh2", "noise", "data", "velocity", NULL};

struct rd_solver rd_solver_named(int i)
{
	return solvers[i];
}

bool rd_solver_chooses_steps(const struct rd_solver *s)
{
	return s->family == RD_DOPRI5;
}

/* A singlestep solver of order 1 is a multistep one; unipc of the noise form has no name of its own. */
const char *rd_solver_name(const struct rd_solver *s)
{
	for (int i = 0; rd_solver_names[i]; i++) {
		const struct rd_solver *k = &solvers[i];

		if (k->family == s->family && k->order == s->order && (k->data == s->data || s->family == RD_UNIPC) &&
		    (k->singlestep == s->singlestep || s->order == 1))
			return rd_solver_names[i];
	}
	return "?";
}

static enum rd_solver_type default_type(const struct rd_solver *s)
{
	switch (s->family) {
	case RD_DPM: return RD_TYPE_MIDPOINT;
	case RD_UNIPC: return RD_TYPE_BH2;
	case RD_HEUN:
	case RD_RK4: return RD_TYPE_NOISE;
	default: return RD_TYPE_DEFAULT;
	}
}

const char *rd_solver_type_name(const struct rd_solver *s)
{
	return s->type == RD_TYPE_DEFAULT || s->type == default_type(s) ? NULL : rd_solver_type_names[s->type];
}

static bool has_type(enum rd_solver_family f, enum rd_solver_type type)
{
	switch (type) {
	case RD_TYPE_MIDPOINT:
	case RD_TYPE_HEUN: return f == RD_DPM;
	case RD_TYPE_BH1:
	case RD_TYPE_BH2: return f == RD_UNIPC;
	case RD_TYPE_NOISE:
	case RD_TYPE_DATA: return f == RD_HEUN || f == RD_RK4;
	case RD_TYPE_VELOCITY: return f == RD_HEUN;
	default: return true;
	}
}

int rd_solver_set_type(struct rd_solver *s, enum rd_solver_type type, struct rd_err *e)
{
	if (!has_type(s->family, type))
		return rd_fail(e, RD_EUSAGE, "solver type %s: %s has none such", rd_solver_type_names[type], rd_solver_name(s));
	s->type = type;
	return RD_OK;
}
