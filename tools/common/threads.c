#include "tools/common/threads.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/name.h"

/* Whether the path is that of this very program, under the name that it was started by: not of a loader or a checker that runs it. */
static bool find_program(const char *called, char path[PATH_MAX])
{
	const char *preload = getenv("LD_PRELOAD");
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (n < 0 || (preload && strstr(preload, "vgpreload"))) /* valgrind would lose it */
		return false;
	path[n] = '\0';
	return !strcmp(rd_name_last(path), rd_name_last(called));
}

void rd_threads_be_patient(char **argv)
{
	char path[PATH_MAX];

	if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || !find_program(argv[0], path))
		return;
	if (!setenv("GOMP_SPINCOUNT", "1000", 1))
		execv(path, argv);
}
