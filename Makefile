# rectdiff: make, make check, make demo, make bench, make lint, make install, make clean.
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
B ?= build
CC ?= cc
PKG_CONFIG ?= pkg-config
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# --- the compiler ---------------------------------------------------------------------------------------------------
PKGS := jansson libarchive libpng libxxhash zlib
MSGPACK := $(firstword $(foreach p,msgpack-c msgpack,$(shell $(PKG_CONFIG) --exists $(p) 2>/dev/null && echo $(p))))
WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
OPT ?= -O2 -g
CFLAGS ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(OPT) -ffp-contract=off -fno-math-errno -fopenmp -pthread -I. \
	-DRD_VERSION='"$(VERSION)"' $(shell $(PKG_CONFIG) --cflags $(PKGS) $(MSGPACK) 2>/dev/null) $(CFLAGS)
LDLIBS = $(shell $(PKG_CONFIG) --libs $(PKGS) $(MSGPACK) 2>/dev/null) -ldnnl -ldl -lm

# --- what is built --------------------------------------------------------------------------------------------------
TOOLS := $(filter-out common,$(basename $(notdir $(wildcard tools/*.c))))
TESTS := $(basename $(notdir $(wildcard tests/test_*.c)))
LIB_SRC := $(wildcard lib/base/*.c lib/*.c lib/net/*.c formats/*.c kernels/*.c kernels/cpu/common/*.c)
# kernels/cpu/*.c are compiled once for each instruction set; the best one is chosen at run time.
ISA_SRC := $(wildcard kernels/cpu/*.c)
ifeq ($(shell uname -m),x86_64)
ISAS := base avx2 avx512
else
ISAS := base
endif
ISA_FLAGS_avx2 := -march=x86-64-v3
ISA_FLAGS_avx512 := -march=x86-64-v4 -mprefer-vector-width=512

LIB_OBJ := $(LIB_SRC:%.c=$B/%.o) $(foreach i,$(ISAS),$(ISA_SRC:%.c=$B/%.$i.o))
TOOL_COMMON := $(patsubst %.c,$B/%.o,$(wildcard tools/common/*.c))
TOOL_BIN := $(TOOLS:%=$B/bin/%)
TEST_BIN := $(TESTS:%=$B/tests/%)

.PHONY: all tests clean
all: $(TOOL_BIN)
tests: $(TEST_BIN)

$B/librectdiff.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$B/bin/%: $B/tools/%.o $(TOOL_COMMON) $B/librectdiff.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$B/tests/%: $B/tests/%.o $B/librectdiff.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define isa_rule
$B/kernels/cpu/%.$1.o: kernels/cpu/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) -DRD_ISA=$1 $$(ISA_FLAGS_$1) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$i)))

clean:
	rm -rf $B

.SECONDARY:
-include $(shell find $B -name '*.d' 2>/dev/null)
