# Rectified Diffusion of the shipped Fashion-MNIST teacher, from noise to a table:
#
#	make -f pipelines/fashion.mk [DEMO=1] [VAR=...]
#
#	MODEL   the teacher           N       pairs               STEPS   training steps
#	SEED    of everything drawn   DEVICE, JOBS                OUT     where it is written, out/fashion
#
# An interrupted run continues where it was. DEMO=1 is a short run (about eight minutes on two cores).
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

MODEL ?= $(SHARE)/models/fashion-ddpm
OUT ?= out/fashion
# The test set's images: idx or idx.gz.
DATA ?= /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
TEACHER_STEPS ?= 25
SHARDS ?= 5
ifdef DEMO
N ?= 2048
STEPS ?= 6000
EMA ?= 0.995
EVAL ?= 128
else
N ?= 7500
STEPS ?= 12000
EMA ?= 0.998
EVAL ?= 512
endif
# Small batches: what limits this retraining is the number of steps, not the noise of a gradient.
BATCH ?= 8
LR ?= 1e-3

# Evaluation is on noise that no pair was made of.
EVAL_SEED := $(shell echo $$(($(SEED) + 1000003)))
K := 1 2 $(TEACHER_STEPS)
MODELS := teacher rectified
dir_teacher := $(MODEL)
dir_rectified := $(OUT)/rectified
pairs := $(foreach i,$(shell seq $(SHARDS)),$(OUT)/pairs-$i.tar)
runs := $(foreach m,$(MODELS),$(foreach k,$K,$m-$k))

.PHONY: all
all: $(OUT)/table.tsv $(OUT)/trajectories.tsv $(runs:%=$(OUT)/%.png)
	@column -t -s $$'\t' $(OUT)/table.tsv
	@column -t -s $$'\t' $(OUT)/trajectories.tsv

# 1. Pairs: the teacher's own ODE, shard by shard.
$(OUT)/pairs-%.tar:
	@mkdir -p $(@D)
	noisegen -n $(N) -s $(SEED) -S $*/$(SHARDS) -m $(MODEL) -l uniform:10 $J | \
	denoise -m $(MODEL) --steps $(TEACHER_STEPS) $D | pairpack -o $@

# 2. Retraining on them; schedule, prediction type and network as they were. rectrain itself continues where it was.
$(call weights,$(OUT)/rectified): $(pairs)
	rectrain -m $(MODEL) -o $(OUT)/rectified -f --steps $(STEPS) --batch $(BATCH) --lr $(LR) --ema $(EMA) \
		--seed $(SEED) --log $(OUT)/train.jsonl $D $(pairs)

# 3. Samples of both models at 1, 2 and 25 steps from the same noise.
$(OUT)/noise.rdf:
	@mkdir -p $(@D)
	noisegen -n $(EVAL) -s $(EVAL_SEED) -m $(MODEL) -l uniform:10 $J -o $@

define samples
$(OUT)/$1-$2.rdf: $(OUT)/noise.rdf $(if $(filter rectified,$1),$(call weights,$(OUT)/rectified))
	odesample -m $(dir_$1) --steps $2 $D -o $$@ $(OUT)/noise.rdf
endef
$(foreach m,$(MODELS),$(foreach k,$K,$(eval $(call samples,$m,$k))))

$(OUT)/%.png: $(OUT)/%.rdf
	tensorcat --to png -n sample --count 100 --scale 2 -o $@ $<

# 4. Distances to the teacher's own samples from the same noise, and to the test set.
$(OUT)/%.tsv: $(OUT)/%.rdf $(OUT)/teacher-$(TEACHER_STEPS).rdf
	@test -e $(DATA) || { echo "$(DATA): the test set is not there (Debian: dataset-fashion-mnist; or DATA=FILE)" >&2; exit 1; }
	samplecmp --tsv --name '$* to teacher-$(TEACHER_STEPS)' $J $< $(OUT)/teacher-$(TEACHER_STEPS).rdf > $@
	samplecmp --tsv --name '$* to the test set' $J $< $(DATA) | tail -n +2 >> $@

$(OUT)/table.tsv: $(runs:%=$(OUT)/%.tsv)
	awk 'FNR > 1 || NR == 1' $^ > $@

# 5. The first-order defect and its companions along 25-step trajectories.
define trajectories
$(OUT)/$1.traj.tsv: $(OUT)/noise.rdf $(if $(filter rectified,$1),$(call weights,$(OUT)/rectified))
	odesample -m $(dir_$1) --steps $(TEACHER_STEPS) --solver ddim --trajectory $D $(OUT)/noise.rdf | \
	trajdump --tsv $$@ --name $1
endef
$(foreach m,$(MODELS),$(eval $(call trajectories,$m)))

$(OUT)/trajectories.tsv: $(MODELS:%=$(OUT)/%.traj.tsv)
	awk 'FNR > 1 || NR == 1' $^ > $@
