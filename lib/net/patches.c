#include "lib/net/patches.h"

#define MAX_SIDE 256

int rd_patches_check(const struct rd_patches *p, const char *file, struct rd_err *e)
{
	if (p->size % p->patch)
		return rd_fail(e, RD_EINPUT, "%s: sample_size: %lld does not divide into patches of %lld (patch_size)", file,
		               (long long)p->size, (long long)p->patch);
	if (p->size / p->patch > MAX_SIDE)
		return rd_fail(e, RD_EINPUT, "%s: sample_size: %lld is more than %d patches of %lld (patch_size)", file, (long long)p->size,
		               MAX_SIDE, (long long)p->patch);
	if (p->heads * p->head_dim % 4)
		return rd_fail(e, RD_EINPUT, "%s: attention_head_dim: %lld heads of %lld: no multiple of 4, which the sinusoids of "
		               "positions need", file, (long long)p->heads, (long long)p->head_dim);
	return RD_OK;
}
