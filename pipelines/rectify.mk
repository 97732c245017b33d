# Rectified Diffusion of a model of yours, from noise to a table and pictures (where samples are pictures):
#
#	make -f pipelines/rectify.mk MODEL=DIR [VAR=...]
#
#	N, SHARDS              number of pairs (50000), and of the archives that they are in (1)
#	LABELS                 classes of the pairs, as for noisegen -l; by default what noisegen chooses for the model
#	CLIP                   --no-clip, or --clip for a teacher that needs its x0 clipped: for the pairs and for all samples
#	TEACHER_STEPS, SOLVER  how pairs are made (25); SOLVER is the model's own unless given
#	GUIDANCE, NULL_CLASS   classifier-free guidance of the pairs, which the first round learns
#	TRAIN_STEPS, BATCH, LR, EMA     how rectrain trains (10000, 64, 2e-4, 0.999)
#	PAIRS, TRAIN           further options of denoise and of rectrain
#	ROUNDS                 number of rounds (1), each on pairs made by the model of the one before
#	K, EVAL                numbers of steps to sample in (1 2 4), and how many samples are compared (512)
#	DATA, FEATURES         samples to compare with, and the classifier whose features to compare
#	SEED, DEVICE, JOBS     of the random numbers (1); auto, cpu or cuda; threads of each tool (0: all)
#	OUT                    where it is written (out/rectify)
#
# An interrupted run continues where it was. The archives are targets of their own, so that an array of batch jobs can make them, one
# each, before the rest is made:
#
#	sbatch --array=1-8 --wrap 'make -f pipelines/rectify.mk MODEL=DIR SHARDS=8 out/rectify/pairs-$SLURM_ARRAY_TASK_ID.tar'
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

MODEL ?= $(error MODEL=DIR: which model is to be rectified)
OUT ?= out/rectify
LABELS ?=
GUIDANCE ?= 1
# Where the model does not record it; then LABELS leave it out.
NULL_CLASS ?=
CLIP ?= --no-clip
# The solver that the model's own configuration names, unless given.
SOLVER ?=
TEACHER_STEPS ?= 25
N ?= 50000
SHARDS ?= 1
TRAIN_STEPS ?= 10000
BATCH ?= 64
LR ?= 2e-4
EMA ?= 0.999
PAIRS ?=
TRAIN ?=
ROUNDS ?= 1
K ?= 1 2 4
EVAL ?= 512
DATA ?=
FEATURES ?=

# Evaluation is on noise that no pair was made of.
EVAL_SEED := $(shell echo $$(($(SEED) + 1000003)))
EVALUATED := K DATA FEATURES ROUNDS
$(eval $(call made_with,MODEL LABELS N SHARDS TEACHER_STEPS SOLVER CLIP GUIDANCE NULL_CLASS PAIRS TRAIN_STEPS BATCH LR EMA TRAIN EVAL))
$(if $(if $(NULL_CLASS),$(LABELS),yes),,$(error NULL_CLASS=$(NULL_CLASS) without LABELS=: noisegen would draw that class too))
# Only what is compared needs it: not an archive by itself.
ifeq ($(filter-out all,$(MAKECMDGOALS)),)
$(if $(word 2,$(DATA)),$(error DATA=$(DATA): a name without spaces is needed))
$(if $(DATA),$(if $(wildcard $(DATA)),,$(error DATA=$(DATA) is not there$(no_data))))
endif
# early: the model's own spacing begins before the noisiest time. latents: its samples are no pictures.
about := $(shell PATH='$(PATH)' tensorcat '$(MODEL)' | sed -nE 's/^ *sampling .*(leading|linspace).*/early/p; \
	/^ *sample +\[[0-9]+, [0-9]+, [0-9]+\]/{/\[[13],/!s/.*/latents/p}')
rounds := $(shell seq $(ROUNDS))
shards := $(shell seq $(SHARDS))
all_K := $K $(filter-out $K,$(TEACHER_STEPS))
# What round 1 makes is called rectified, of round 2 rectified2, and so on.
after_1 = $(filter-out 1,$1)
name = rectified$(after_1)
models := teacher $(foreach r,$(rounds),$(call name,$r))
runs := $(foreach m,$(models),$(foreach k,$(all_K),$m-$k))
many = --steps $(TEACHER_STEPS) $(if $(SOLVER),--solver $(SOLVER)) $(CLIP)
# After the first round guidance is in the model. $(call guided,MODEL NAME)
guided = $(if $(filter teacher,$1),$(if $(filter-out 1,$(GUIDANCE)),--guidance $(GUIDANCE) $(NULL_CLASS:%=--null-class %)))
tables := $(OUT)/table.tsv $(if $(DATA),$(OUT)/data.tsv) $(OUT)/trajectories.tsv

.PHONY: all pairs
all: $(tables) $(if $(filter latents,$(about)),,$(runs:%=$(OUT)/%.png))
	@$(call show,$(tables))

# 1. Pairs: the model's own ODE, shard by shard, from noise that is each round's own.
# 2. Retraining on them; schedule, prediction type and network as they were. rectrain itself continues where it was.
define round
dir_$(call name,$1) := $(OUT)/$(call name,$1)
pairs_$1 := $(foreach i,$(shards),$(OUT)/pairs$(after_1)-$i.tar)
from_$1 := $(if $(after_1),$(call name,$(shell echo $$(($1 - 1)))),teacher)

$$(pairs_$1): $(OUT)/pairs$(after_1)-%.tar: $(if $(after_1),$$(call model,$$(dir_$$(from_$1)))) | $(OUT)/settings
	noisegen -n $(N) -s $(shell echo $$(($(SEED) + $1 - 1))) -S $$*/$(SHARDS) -m $(MODEL) $(LABELS:%=-l %) $J | \
	denoise -m $$(dir_$$(from_$1)) $(many) $$(call guided,$$(from_$1)) $(PAIRS) $D | pairpack -o $$@

$$(call model,$$(dir_$(call name,$1))): $$(pairs_$1)
	rectrain -m $$(dir_$$(from_$1)) -o $$(dir_$(call name,$1)) -f --steps $(TRAIN_STEPS) --batch $(BATCH) --lr $(LR) --ema $(EMA) \
		--seed $(SEED) --log $(OUT)/$(call name,$1).jsonl $(NULL_CLASS:%=--null-class %) $(TRAIN) $D $$(pairs_$1)
endef
dir_teacher := $(MODEL)
$(foreach r,$(rounds),$(eval $(call round,$r)))
pairs: $(pairs_1)

# 3. Samples of all models from the same noise. Few steps are DDIM's, which is exact on a first-order path; the teacher's many are as
# its pairs were made.
$(OUT)/noise.rdf: | $(OUT)/settings
	noisegen -n $(EVAL) -s $(EVAL_SEED) -m $(MODEL) $(LABELS:%=-l %) $J -o $@

# Few steps must begin at the noisiest time, which leading and linspace, the usual configurations, do not.
even := $(if $(filter early,$(about)),--spacing trailing)
# $(call sampling,MODEL NAME,STEPS)
sampling = odesample -m $(dir_$1) $(if $(filter $(TEACHER_STEPS),$2),$(many),--steps $2 --solver ddim $(CLIP) $(even)) $(call guided,$1) $D
needs = $(OUT)/noise.rdf $(if $(filter-out teacher,$1),$(call model,$(dir_$1)))

define samples
$(OUT)/$1-$2.rdf: $(call needs,$1)
	$(call sampling,$1,$2) -o $$@ $(OUT)/noise.rdf
endef
$(foreach m,$(models),$(foreach k,$(all_K),$(eval $(call samples,$m,$k))))

$(OUT)/%.png: $(OUT)/%.rdf
	tensorcat --to png -n sample --count 64 --scale 2 -o $@ $<

# 4. Distances to the teacher's own samples from the same noise, and to data.
own := $(OUT)/teacher-$(TEACHER_STEPS).rdf
$(OUT)/%.own.tsv: $(OUT)/%.rdf $(own)
	samplecmp --tsv --name '$* to teacher-$(TEACHER_STEPS)' $J $< $(own) > $@

$(OUT)/%.data.tsv: $(OUT)/%.rdf $(DATA) $(OUT)/compared
	samplecmp --tsv --name '$* to the data' $(if $(FEATURES),$(on_features),$J) $< $(DATA) > $@
on_features = --metric frechet,kid,precision,recall --features $(FEATURES) $D

# What they were compared with, written anew when that changes.
$(OUT)/compared: FORCE | $(OUT)/settings
	@echo $(call quoted,$(DATA) $(FEATURES)) | cmp -s - $@ || echo $(call quoted,$(DATA) $(FEATURES)) >$@

# Tables are put together each time: of which runs is a matter of K and ROUNDS.
.PHONY: FORCE
$(OUT)/table.tsv $(OUT)/data.tsv $(OUT)/trajectories.tsv: FORCE
$(OUT)/table.tsv: $(runs:%=$(OUT)/%.own.tsv)
	$(join_tables)

$(OUT)/data.tsv: $(runs:%=$(OUT)/%.data.tsv)
	$(join_tables)

# 5. The first-order defect and its companions along trajectories of as many steps as the teacher's.
define trajectories
$(OUT)/$1.traj.tsv: $(call needs,$1)
	odesample -m $(dir_$1) $(call guided,$1) --steps $(TEACHER_STEPS) --solver ddim $(CLIP) $(even) --trajectory $D $(OUT)/noise.rdf | \
	trajdump --tsv $$@ --name $1
endef
$(foreach m,$(models),$(eval $(call trajectories,$m)))

$(OUT)/trajectories.tsv: $(models:%=$(OUT)/%.traj.tsv)
	$(join_tables)
