#include "kernels/cpu/common/cpu.h"

extern const struct rd_backend rd_cpu_backend_base;
#ifdef __x86_64__
extern const struct rd_backend rd_cpu_backend_avx2;
extern const struct rd_backend rd_cpu_backend_avx512;

/* The sets are those of the x86-64-v3 and -v4 levels that the files are compiled for. */
static int has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static int has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}
#endif

static const struct {
	const char *name;
	const struct rd_backend *table;
	int (*here)(void); /* NULL: everywhere */
} isas[] = {
	{ "base", &rd_cpu_backend_base, NULL },
#ifdef __x86_64__
	{ "avx2", &rd_cpu_backend_avx2, has_avx2 },
	{ "avx512", &rd_cpu_backend_avx512, has_avx512 },
#endif
};
#define N_ISAS ((int)(sizeof isas / sizeof isas[0]))

const char *rd_cpu_isa_name(int i)
{
	return i >= 0 && i < N_ISAS ? isas[i].name : NULL;
}

const struct rd_backend *rd_cpu_backend(int i)
{
	if (i < 0 || i >= N_ISAS || (isas[i].here && !isas[i].here()))
		return NULL;
	return isas[i].table;
}

int rd_cpu_isa_best(void)
{
	int i = N_ISAS - 1;

	while (!rd_cpu_backend(i))
		i--;
	return i;
}
