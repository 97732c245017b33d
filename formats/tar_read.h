/* The members of a plain ustar archive, one after another, and a strict look at what is between them. Own code, since
 * tar libraries hide what we must see: whether the padding and the two blocks of zeros at the end are there. */
#ifndef RD_FORMATS_TAR_READ_H
#define RD_FORMATS_TAR_READ_H

#include "formats/in.h"

#define RD_TAR_BLOCK 512
#define RD_TAR_NAME 101

struct rd_tar_member {
	char name[RD_TAR_NAME];
	size_t size;
};

/* The 512 bytes of a header. RD_EINPUT for a wrong checksum, or for anything but a regular file of ustar. */
int rd_tar_header(const uint8_t *h, struct rd_tar_member *m, struct rd_err *e) RD_MUST;

/* 1: the header of the next member is in *m; its m->size bytes come next in the input, then rd_tar_pad. 0: the end of
 * the archive, with both blocks of zeros, and nothing but zeros behind them; < 0: error. */
int rd_tar_next(struct rd_in *in, struct rd_tar_member *m, struct rd_err *e) RD_MUST;

/* Consumes the zeros behind the data of a member. */
int rd_tar_pad(struct rd_in *in, const struct rd_tar_member *m, struct rd_err *e) RD_MUST;

#endif
