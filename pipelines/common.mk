# What the pipelines share: where things are, the shell that notices a failing stage, variables of the command line.
HERE := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
SHARE := $(abspath $(HERE)/..)
# In the source tree the tools are in build/bin; an installed pipeline finds them in PATH.
BIN ?= $(SHARE)/build/bin
export PATH := $(BIN):$(PATH)
# Where the decimal point is a comma, awk would read and print numbers that way.
export LC_ALL := C

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

SEED ?= 1
DEVICE ?= auto
# Threads of each tool; 0 is all. The last bits of a trained model depend on it.
JOBS ?= 0
D = -d $(DEVICE) $(if $(filter-out 0,$(JOBS)),-j $(JOBS))
J = $(if $(filter-out 0,$(JOBS)),-j $(JOBS))

# $(call model,DIR): a file that every model folder has. A folder is there as a whole or not at all.
model = $1/scheduler/scheduler_config.json

# Tables, for reading; as they are where there is no column(1).
show = for t in $1; do if command -v column >/dev/null; then column -t -s $$'\t' "$$t"; else cat "$$t"; fi; done

# A table of the tables that a target depends on.
join_tables = awk 'FNR > 1 || NR == 1' $(filter %.tsv,$^) >$@

# $(call made_with,VARIABLES): what is in OUT was made with these, and OUT/settings says so. With others a run stops rather than show old
# results as its own, or make hours of work anew. What is first to be made depends on OUT/settings, order-only.
# A variable of the command line that is neither among these, nor among $(EVALUATED), nor below is a mistake.
settings := SEED
anywhere := DEVICE JOBS OUT BIN DEMO

differ = $(subst x$(strip $1),,x$(strip $2))$(subst x$(strip $2),,x$(strip $1))
old = $(shell sed -n 's/^$1=//p' $(OUT)/settings)
check = $(if $(call differ,$(call old,$1),$($1)),$(error $(OUT) was made with $1=$(call old,$1) and this is $1=$(strip $($1)): \
	choose another OUT=, or remove that one))
quoted = '$(subst ','\'',$1)'

define made_with
settings += $1
$$(if $$(wildcard $$(OUT)/settings),$$(foreach v,$$(settings),$$(call check,$$v)),$$(if $$(wildcard $$(OUT)/*),\
	$$(error $$(OUT): holds something, and no $$(OUT)/settings says what it was made with: choose another OUT=)))
$$(if $$(filter 0,$$(MAKELEVEL)),$$(foreach v,$$(.VARIABLES),$$(if $$(filter command,$$(firstword $$(origin $$v))),$$(if \
	$$(filter $$(settings) $$(EVALUATED) $$(anywhere) -*-%,$$v),,$$(error $$v: no variable of this pipeline; it has \
	$$(settings) $$(EVALUATED) $$(anywhere))))))

$$(OUT)/settings:
	@mkdir -p $$(@D)
	@printf '%s\n' $$(foreach v,$$(settings),$$(call quoted,$$v=$$(strip $$($$v)))) >$$(@D)/.settings.$$$$$$$$ && \
		mv $$(@D)/.settings.$$$$$$$$ $$@
endef
