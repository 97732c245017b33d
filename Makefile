#: make               build build/bin/; says what is missing, installs nothing
#: make check         all tests; installs what they need first (scripts/setup)
#: make demo          two small pipelines from noise to pictures, in out/demo; installs what they need first
#: make install       PREFIX=/usr/local, DESTDIR, bindir, libdir, mandir, datadir; make uninstall
#: make lint          warnings as errors under gcc and clang, includes, man pages, scripts
#: make bench         what the kernels reach on this machine
#: make fuzz          libFuzzer over every reader: RUNS=1000000 of each, FUZZ='NAME ...' (tests/fuzz/README.md)
#: make check-gpu     on a machine with a GPU: conformance, goldens, resume; a record in tests/gpu-record/
#: make bench-gpu     images a second in each precision, beside PyTorch where it is there
#: make gpu-bundle    what these two need, in one archive, for a machine that cannot build
#: make setup         only installs; make clean
#:
#: B=build is where all of it goes. NVCC= leaves the CUDA plug-in out, CUDNN= builds it without cuDNN. WERROR= lets warnings of a
#: compiler that is newer than this pass. V=1 shows commands. CC, OPT, CFLAGS, CPPFLAGS and LDFLAGS are heeded; make clean when they change.
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
bindir ?= $(PREFIX)/bin
libdir ?= $(PREFIX)/lib
plugindir = $(libdir)/rectdiff
mandir ?= $(PREFIX)/share/man
datadir ?= $(PREFIX)/share/rectdiff
B ?= build
CC ?= cc
PKG_CONFIG ?= pkg-config
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
# make's lists have blanks between their items: uninstall would remove the parts of a name.
$(foreach v,B PREFIX bindir libdir mandir datadir,$(if $(word 2,x$($v)x),$(error $v='$($v)': a name with a blank in it)))
say = $(if $V,,@echo '  $1 $2'; )

# --- the compiler ---------------------------------------------------------------------------------------------------
# The libraries' flags are asked for at the first recipe that needs them, once: by then `ready` has installed pkg-config.
pkg = $(shell $(PKG_CONFIG) $1 jansson libarchive libpng libxxhash zlib \
	`$(PKG_CONFIG) --exists msgpack-c && echo msgpack-c || echo msgpack`)
PKG_CFLAGS = $(eval PKG_CFLAGS := $(call pkg,--cflags))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(call pkg,--libs))$(PKG_LIBS)
WERROR ?= -Werror
WARN := -Wall -Wextra $(WERROR) -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
OPT ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(OPT) -ffp-contract=off -fno-math-errno -fopenmp -pthread -I. \
	-DRD_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LDLIBS = $(PKG_LIBS) -ldnnl -ldl -lm

# --- what is built --------------------------------------------------------------------------------------------------
TOOLS := $(filter-out common,$(basename $(notdir $(wildcard tools/*.c))))
TESTS := $(basename $(notdir $(wildcard tests/test_*.c)))
LIB_SRC := $(wildcard lib/*/*.c formats/*.c kernels/*.c kernels/cpu/common/*.c)
# kernels/cpu/*.c are compiled once for each instruction set; the best one is chosen at run time.
ISA_SRC := $(wildcard kernels/cpu/*.c)
# What the compiler makes code for; this machine, where there is no compiler yet.
TARGET := $(or $(shell $(CC) -dumpmachine 2>/dev/null),$(shell uname -m))
ifneq ($(filter x86_64%,$(TARGET)),)
ISAS := base avx2 avx512
else
ISAS := base
endif
ISA_FLAGS_avx2 := -march=x86-64-v3
ISA_FLAGS_avx512 := -march=x86-64-v4 -mprefer-vector-width=512

# The CUDA backend is a plug-in of its own. Its kernels are also compiled for the CPU, for the tests.
CUDA_SRC := $(wildcard kernels/cuda/*.cu)
CXX ?= c++
NVCC ?= $(firstword $(wildcard $(shell command -v nvcc) /usr/local/cuda/bin/nvcc /usr/lib/nvidia-cuda-toolkit/bin/nvcc))
# Of these what this nvcc knows; the last one also as PTX, for later devices.
CUDA_ARCHS ?= $(or $(patsubst compute_%,%,$(filter compute_80 compute_90 compute_100,$(shell $(NVCC) --list-gpu-arch))),80)
CUDNN ?= $(if $(NVCC),$(wildcard $(dir $(NVCC))../include/cudnn_graph.h /usr/include/cudnn_graph.h))
PLUGIN := $(if $(NVCC),$B/lib/rectdiff/rectdiff-cuda.so)
CUDA_HOST := $(if $(shell command -v $(CXX)),$B/tests/cuda-host.so)
PLUGIN_C := kernels/cuda/table kernels/shape lib/base/err

LIB_OBJ := $(LIB_SRC:%.c=$B/%.o) $(foreach i,$(ISAS),$(ISA_SRC:%.c=$B/%.$i.o))
TOOL_COMMON := $(patsubst %.c,$B/%.o,$(wildcard tools/common/*.c))
TOOL_BIN := $(TOOLS:%=$B/bin/%)
TEST_BIN := $(TESTS:%=$B/tests/%)
GPU_OBJ := $(patsubst %.c,$B/%.o,$(wildcard tests/gpu/*.c))
BENCH_OBJ := $(patsubst tests/bench/%.c,$B/tests/bench_%.o,$(wildcard tests/bench/*.c))
MAN := $(wildcard man/*.[157])

.PHONY: always all help tests objects setup ready check demo bench lint lint-objects install uninstall clean check-gpu bench-gpu gpu-bundle
all: ready $(TOOL_BIN) $(PLUGIN)
	@$(if $(PLUGIN),$(if $(CUDNN),,echo "no cuDNN here: the CUDA plug-in convolves by matrix products"),\
		echo "no nvcc here: the CUDA plug-in is left out")
help:
	@sed -n 's/^#: \{0,1\}//p' $(firstword $(MAKEFILE_LIST))
tests: $(TEST_BIN) $(CUDA_HOST) $(if $(PLUGIN),$B/tests/cuda-libs)
	@$(if $(CUDA_HOST),,echo "no $(CXX) here: the CUDA kernels are not tested on the CPU")
objects: $(LIB_OBJ) $(TOOL_COMMON) $(TOOLS:%=$B/tools/%.o) $(TESTS:%=$B/tests/%.o) $B/tests/netrun.o $B/tests/probe.o $(BENCH_OBJ) $(GPU_OBJ)

# --- what is needed -------------------------------------------------------------------------------------------------
wanted = $(filter $1,$(MAKECMDGOALS))
ready:
	@CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' FUZZ_CC='$(FUZZ_CC)' \
		scripts/setup $(if $(call wanted,check fuzz demo setup),install,check) build \
		$(if $(call wanted,check lint setup),test) $(if $(call wanted,demo setup),demo) $(if $(call wanted,fuzz),fuzz)
setup: ready

compile = $(call say,CC  ,$@)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
link = $(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

$B/librectdiff.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR  ,$@)$(AR) rcs $@ $^

$B/bin/%: $B/tools/%.o $(TOOL_COMMON) $B/librectdiff.a
	@mkdir -p $(@D)
	$(link)

$B/tests/bench_gpu: $(GPU_OBJ) $B/librectdiff.a
	$(link)

$B/tests/bench: $(BENCH_OBJ) $B/librectdiff.a
	$(link)

$B/tests/test_golden $B/tests/probe: $B/tests/netrun.o
$B/tests/test_progress: $B/tools/common/progress.o

$B/tests/%: $B/tests/%.o $B/librectdiff.a
	$(link)

$B/%.o: %.c | ready
	@mkdir -p $(@D)
	$(compile)

# Where it is to be installed is compiled in: make install may name another folder than make did.
$B/kernels/backend.o: ALL_CFLAGS += -DRD_PLUGIN_DIR='"$(plugindir)"'
$B/kernels/backend.o: $B/plugindir
$B/plugindir: always
	@mkdir -p $(@D)
	@echo '$(plugindir)' | cmp -s - $@ || echo '$(plugindir)' >$@

$B/tests/bench_%.o: tests/bench/%.c | ready
	@mkdir -p $(@D)
	$(compile)

# --- the CUDA plug-in -----------------------------------------------------------------------------------------------
CXX_WARN := -Wall -Wextra $(WERROR) -Wshadow
comma := ,
empty :=
NVCC_FLAGS = -std=c++17 -O3 -lineinfo $(if $(WERROR),-Werror all-warnings) -I. $(if $(CUDNN),-DRD_CUDNN) \
	-Xcompiler -fPIC,-ffp-contract=off,$(subst $(empty) $(empty),$(comma),$(CXX_WARN)) \
	$(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a$(comma)code=sm_$a) \
	-gencode arch=compute_$(lastword $(CUDA_ARCHS))$(comma)code=compute_$(lastword $(CUDA_ARCHS))
# RD_ATT_MOST: so few that attention takes its images in parts; RD_FUSED_SMALL: that both shapes of its blocks are met;
# RD_DNN_ATT_LEAST: that cuDNN's stand-in does some; RD_MOST_X and RD_MOST_Y: that kernels go on to further rows and images in steps.
# An access of 8 or 16 bytes that a device would refuse ends the test (SIGILL); without the sanitizer's library, to need none.
HOST_FLAGS = -std=c++17 -O2 -g $(CXX_WARN) -fPIC -ffp-contract=off -fno-math-errno -pthread -DRD_CUDNN \
	-DRD_ATT_MOST=2000 -DRD_FUSED_SMALL=3 -DRD_DNN_ATT_LEAST=0 -DRD_MOST_X=3 -DRD_MOST_Y=3 \
	-fsanitize=alignment -fsanitize-undefined-trap-on-error -Itests/cuda -I. $(CPPFLAGS) $(CXXFLAGS)
# Libraries are looked for above the plug-in (gpu-bundle), then where this nvcc has its own: a loader need not know of them.
CUDA_LIBDIR = $(abspath $(firstword $(wildcard $(dir $(realpath $(NVCC)))../lib64)))
nvcc_libs = -Xlinker -rpath -Xlinker '$$ORIGIN/..$(addprefix :,$(CUDA_LIBDIR))' -lcublasLt $(if $(CUDNN),-lcudnn)

$B/plugin/%.o: %.cu | ready
	@mkdir -p $(@D)
	$(call say,NVCC,$@)$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$B/plugin/%.o: %.c | ready
	@mkdir -p $(@D)
	$(call say,CC  ,$@)$(CC) $(ALL_CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$B/lib/rectdiff/rectdiff-cuda.so: $(CUDA_SRC:%.cu=$B/plugin/%.o) $(PLUGIN_C:%=$B/plugin/%.o)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(NVCC) -shared -o $@ $^ $(nvcc_libs) -Xlinker --no-undefined

# What cuBLASLt and cuDNN say where there is no device.
$B/tests/driver/libcuda.so.1: tests/cuda/driver.c | ready
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -fPIC -shared $(LDFLAGS) -Wl,-soname,libcuda.so.1 -o $@ $<

$B/tests/cuda-libs: tests/cuda/try_libs.cu $B/lib/rectdiff/rectdiff-cuda.so $B/tests/driver/libcuda.so.1
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(NVCC) $(NVCC_FLAGS) -o $@ $(wordlist 1,2,$^) $(if $(CUDNN),-lcudnn) -Xlinker --no-as-needed \
		-Xlinker $(word 3,$^) -Xlinker -rpath -Xlinker '$$ORIGIN/../lib/rectdiff:$$ORIGIN/driver$(addprefix :,$(CUDA_LIBDIR))'

$B/host/%.o: %.cu | ready
	@mkdir -p $(@D)
	$(call say,CXX ,$@)$(CXX) $(HOST_FLAGS) -MMD -MP -x c++ -c -o $@ $<

$B/host/%.o: %.cpp | ready
	@mkdir -p $(@D)
	$(call say,CXX ,$@)$(CXX) $(HOST_FLAGS) -MMD -MP -c -o $@ $<

$B/tests/cuda-host.so: $(patsubst %.cu,$B/host/%.o,$(filter-out %/blas.cu,$(CUDA_SRC))) \
		$(patsubst %.cpp,$B/host/%.o,$(wildcard tests/cuda/*.cpp)) $(PLUGIN_C:%=$B/plugin/%.o)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CXX) -shared -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $^ -ldl -Wl,--no-undefined

define isa_rule
$B/kernels/cpu/%.$1.o: kernels/cpu/%.c | ready
	@mkdir -p $$(@D)
	$$(compile) -DRD_ISA=$1 $$(ISA_FLAGS_$1)
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$i)))

# --- what is run ----------------------------------------------------------------------------------------------------
# The bats files and the C programs find the tools first in PATH. A make of its own builds them: it sees the compilers that `ready` has
# installed.
check: ready
	@$(MAKE) --no-print-directory all tests
	tests/run $B

# On a machine with a GPU; both leave a record in tests/gpu-record/.
check-gpu: ready all tests
	tests/gpu/check.sh $B

bench-gpu: ready all $B/tests/bench_gpu
	tests/gpu/bench.sh $B

# For a machine that has a GPU and CUDA, but not the libraries of this suite: tests/gpu/check.sh FOLDER there.
gpu-bundle: ready all tests $B/tests/bench_gpu
	tests/gpu/bundle.sh $B $B/gpu.tar.gz

bench: all $B/tests/bench
	$B/tests/bench

demo: all
	@for p in toy2d fashion; do \
		$(MAKE) --no-print-directory -f pipelines/$$p.mk DEMO=1 BIN="$(abspath $B)/bin"; \
	done
	@echo; echo "The demo is done. Its tables and pictures:"; \
	ls -1 out/demo/*/*.tsv out/demo/*/*.svg out/demo/*/*.png

# Warnings as errors under each compiler that is there, then the checks that need no compiler.
lint: lint-objects
	tests/lint

LINT_CC ?= gcc clang
lint-objects: ready
	@for cc in $(LINT_CC); do \
		if command -v $$cc >/dev/null; then $(MAKE) --no-print-directory B=$B/lint-$$cc CC=$$cc WERROR=-Werror objects; \
		else echo "lint: no $$cc here: not compiled with it"; fi; \
	done

# --- fuzzing --------------------------------------------------------------------------------------------------------
# RUNS executions of each target, or of those that FUZZ names, under libFuzzer, ASan and UBSan: tests/fuzz/README.md.
# Objects of their own, of which the linker takes what the readers need: no threads, no oneDNN.
RUNS ?= 1000000
FUZZ_TARGETS := safetensors config scheduler model index contexts frame npy idx idxgz png pairs
FUZZ ?= $(FUZZ_TARGETS)
FUZZ_CC ?= clang
FUZZ_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) -O1 -g -fno-omit-frame-pointer -fopenmp-simd -I. \
	-DRD_VERSION='"$(VERSION)"' $(PKG_CFLAGS) -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
FUZZ_SRC := $(filter-out tests/fuzz/main.c,$(wildcard tests/fuzz/*.c))
FUZZ_LIB := $(filter-out kernels/rng.c,$(wildcard formats/*.c kernels/*.c) \
	$(foreach r,base data density graph model net ode sample,$(wildcard lib/$r/*.c)))

.PHONY: fuzz
objects: $(FUZZ_SRC:%.c=$B/%.o)

# The targets without a fuzzer: one of the tests.
$B/tests/test_fuzz_replay: $B/tests/test_fuzz_replay.o $(FUZZ_SRC:%.c=$B/%.o) $B/librectdiff.a
	$(link)

$B/fuzz/%.o: %.c | ready
	@mkdir -p $(@D)
	$(call say,CC  ,$@)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$B/fuzz/readers.a: $(FUZZ_SRC:%.c=$B/fuzz/%.o) $(FUZZ_LIB:%.c=$B/fuzz/%.o)
	@rm -f $@
	$(call say,AR  ,$@)$(AR) rcs $@ $^

$B/fuzz/bin/%: tests/fuzz/main.c $B/fuzz/readers.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(FUZZ_CC) $(FUZZ_CFLAGS) -DTARGET=fuzz_$* -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS) -lm

fuzz: ready $(FUZZ:%=$B/fuzz/bin/%)
	tests/fuzz/run $B $(RUNS) $(FUZZ)

# --- installing -----------------------------------------------------------------------------------------------------
MODEL_FILES := $(shell cd models 2>/dev/null && find . -type f | sort)
INSTALLED = $(TOOLS:%=$(bindir)/%) $(plugindir)/rectdiff-cuda.so $(foreach m,$(MAN),$(mandir)/man$(subst .,,$(suffix $m))/$(notdir $m))

install: all
	install -d $(foreach d,$(bindir) $(mandir)/man1 $(mandir)/man5 $(mandir)/man7 $(datadir)/pipelines,'$(DESTDIR)$d')
	install $(TOOL_BIN) '$(DESTDIR)$(bindir)'
	$(if $(PLUGIN),install -D -m 755 $(PLUGIN) '$(DESTDIR)$(plugindir)/rectdiff-cuda.so')
	for m in $(MAN); do install -m 644 $$m "$(DESTDIR)$(mandir)/man$${m##*.}"; done
	install -m 644 $(wildcard pipelines/*) '$(DESTDIR)$(datadir)/pipelines'
	for f in $(MODEL_FILES); do install -D -m 644 models/$$f "$(DESTDIR)$(datadir)/models/$$f"; done

uninstall:
	rm -f $(foreach f,$(INSTALLED),'$(DESTDIR)$f')
	rm -rf '$(DESTDIR)$(datadir)'
	[ ! -d '$(DESTDIR)$(plugindir)' ] || rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(plugindir)'

clean:
	rm -rf $B

.SECONDARY:
-include $(shell find $B -name '*.d' 2>/dev/null)
