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

comma := ,

# Tables, for reading; as they are where there is no column(1).
show = for t in $1; do if command -v column >/dev/null; then column -t -s $$'\t' "$$t"; else cat "$$t"; fi; done

# A table of the tables that a target depends on.
join_tables = awk 'FNR > 1 || NR == 1' $(filter %.tsv,$^) >$@

# Names of files are written into rules and commands as they are.
odd := " ' ` \ $$ & ( ) * : ; < > ? [ ] { } | ! % \#
odd_OUT := =
check_name = $(if $(word 2,$($1))$(strip $(foreach c,$(odd) $(odd_$1),$(findstring $c,$($1)))),$(error $1=$($1): a name without spaces, quotes and \
	the like ($(strip $(odd) $(odd_$1))) is needed))

# What has to be known of MODEL: its weights and contexts; early, where its own spacing begins before the noisiest time; picture, where its
# samples are some.
about = $(eval about := $(shell PATH='$(PATH)' tensorcat $(MODEL) | sed -nE 's/^ *hash +/weights:/p; s/^ *contexts hash +/contexts:/p; \
	s/^ *sampling .*(leading|linspace).*/early/p; s/^ *sample +\[([13], )?[0-9]+, [0-9]+\]$$/picture/p'))$(about)

# What of a variable decides what is made, where that is not all of it. Of a model it is what is in the folder, not the name.
counted_MODEL = $(eval counted_MODEL := $(or $(filter weights:% contexts:%,$(about)),$(error MODEL=$(MODEL): no model that can \
	be read)),scheduler:$(firstword $(shell cat $(wildcard $(addprefix $(MODEL)/,scheduler/scheduler_config.json \
	scheduler_config.json)) /dev/null | cksum)))$(counted_MODEL)
counted = $(strip $(if $(filter undefined,$(origin counted_$1)),$($1),$(counted_$1)))

# $(call made_with,VARIABLES): what is in OUT was made with these, and OUT/settings says so. With others a run stops rather than show old
# results as its own, or make hours of work anew. What is first to be made depends on OUT/settings, order-only.
# A variable of the command line that is neither among these, nor among $(TRAINED) and $(EVALUATED), nor below is a mistake.
settings := SEED
anywhere := DEVICE JOBS OUT BIN DEMO

differ = $(subst x$(strip $1),,x$(strip $2))$(subst x$(strip $2),,x$(strip $1))
quoted = '$(subst ','\'',$1)'
print = printf '%s\n' $(foreach v,$1,$(call quoted,$v=$(call counted,$v)))
old = $(shell sed -n 's/^$2=//p' $1)
# $(call check,FILE OF SETTINGS,VARIABLE,WHAT WAS MADE WITH THEM,WHAT TO DO)
check = $(if $(call differ,$(call old,$1,$2),$(call counted,$2)),$(error $3 was made with $2=$(call old,$1,$2) and this is \
	$2=$(call counted,$2): $4))

# Of two that begin at once, with different settings, one goes on.
settled = $(call print,$(settings)) | cmp -s - $(OUT)/settings || \
	{ echo "$(OUT): another make has begun there, with other settings" >&2; exit 1; }

define made_with
settings += $1
$$(foreach v,$$(filter OUT BIN MODEL DATA FEATURES,$$(settings) $$(EVALUATED) $$(anywhere)),$$(call check_name,$$v))
$$(if $$(foreach v,$$(settings),$$(call counted,$$v)),)
$$(if $$(wildcard $$(OUT)/settings),$$(foreach v,$$(settings),$$(call check,$$(OUT)/settings,$$v,$$(OUT),choose another OUT=$$(comma) or \
	remove that one)),$$(if $$(wildcard $$(OUT)/*),\
	$$(error $$(OUT): holds something, and no $$(OUT)/settings says what it was made with: choose another OUT=)))
$$(if $$(filter 0,$$(MAKELEVEL)),$$(foreach v,$$(.VARIABLES),$$(if $$(filter command,$$(firstword $$(origin $$v))),$$(if \
	$$(filter $$(settings) $$(TRAINED) $$(EVALUATED) $$(anywhere) -*-%,$$v),,$$(error $$v: no variable of this pipeline; it has \
	$$(settings) $$(TRAINED) $$(EVALUATED) $$(anywhere))))))

.PRECIOUS: $$(OUT)/settings
$$(OUT)/settings:
	@mkdir -p $$(@D)
	@new=$$(@D)/.settings.$$$$$$$$; $$(call print,$$(settings)) >$$$$new; mv -n $$$$new $$@ || :; rm -f $$$$new
	@$$(settled)
endef
