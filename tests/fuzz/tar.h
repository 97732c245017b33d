/* Mutation of pairs.tar member by member, with sizes, padding and checksums put right behind it. */
#ifndef RD_TESTS_FUZZ_TAR_H
#define RD_TESTS_FUZZ_TAR_H

#include "tests/fuzz/fuzz.h"

#define FUZZ_TAR_MAX 16384

size_t fuzz_mutate_tar(uint8_t *data, size_t n, size_t max, uint32_t seed, const char *const *words);

#endif
