#include "tools/common/threads.h"

#include <stdlib.h>
#include <unistd.h>

void rd_threads_be_patient(char **argv)
{
	if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || setenv("GOMP_SPINCOUNT", "1000", 1))
		return;
	execv("/proc/self/exe", argv);
}
