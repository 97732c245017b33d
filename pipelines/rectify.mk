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
# each, before the rest is made; what is wrong with the variables is found out before, by the target try:
#
#	make -f pipelines/rectify.mk MODEL=DIR SHARDS=8 try
#	sbatch --array=1-8 --wrap 'make -f pipelines/rectify.mk MODEL=DIR SHARDS=8 out/rectify/pairs-$SLURM_ARRAY_TASK_ID.tar'
#
# OUT/settings has what the pairs in OUT were made with; to change one of these variables takes another OUT. OUT/rectified/settings has
# what the model was trained with: to train anew on the same pairs, rename or remove OUT/rectified (and OUT/rectified.ckpt and snapshots
# OUT/rectified.STEP, if they are there); put back, it is what it was. K, EVAL, DATA, FEATURES, ROUNDS, DEVICE and JOBS may change at any time, and so may options in PAIRS and TRAIN that change
# nothing but last bits, such as --any-machine and --micro-batch. Names of files have no spaces or quotes.
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
EVALUATED := K EVAL DATA FEATURES ROUNDS
TRAINED := TRAIN_STEPS BATCH LR EMA TRAIN
# Options that change nothing of what is made but last bits. $(call without,THESE,VALUE)
free := -[qv]+|--(quiet|verbose)|-j *[^ ]+|--(threads|progress)[ =]+[^ ]+
free_PAIRS := $(free)|-b *[^ ]+|--batch[ =]+[^ ]+
free_TRAIN := $(free)|--(any-machine|restart|recompute)|--(micro-batch|scratch|log|(log|checkpoint|snapshot)-every)[ =]+[^ ]+
without = $(shell printf ' %s \n' $(call quoted,$2) | sed -E ':a; s/ +($1) / /; ta')
counted_PAIRS = $(call without,$(free_PAIRS),$(PAIRS))
counted_TRAIN = $(call without,$(free_TRAIN),$(TRAIN))
$(eval $(call made_with,MODEL LABELS N SHARDS TEACHER_STEPS SOLVER CLIP GUIDANCE NULL_CLASS PAIRS))
$(if $(if $(NULL_CLASS),$(LABELS),yes),,$(error NULL_CLASS=$(NULL_CLASS) without LABELS=: noisegen would draw that class too (uniform:K:without:$(NULL_CLASS) leaves it out)))
# What is compared is of no concern to an archive by itself.
whole := $(if $(filter-out all try,$(MAKECMDGOALS)),,yes)
ifdef whole
$(if $(DATA),$(if $(wildcard $(DATA)),,$(error DATA=$(DATA) is not there$(no_data))))
$(if $(FEATURES),$(if $(DATA),,$(error FEATURES=$(FEATURES) without DATA=: there is nothing to compare them with)))
$(if $(FEATURES),$(if $(wildcard $(FEATURES)/config.json),,$(error FEATURES=$(FEATURES): no classifier is there)))
endif
rounds := $(shell seq $(ROUNDS))
shards := $(shell seq $(SHARDS))
all_K := $K $(filter-out $K,$(TEACHER_STEPS))
# What round 1 makes is called rectified, of round 2 rectified2, and so on.
after_1 = $(filter-out 1,$1)
name = rectified$(after_1)
trained := $(foreach r,$(rounds),$(call name,$r))
models := teacher $(trained)
runs := $(foreach m,$(models),$(foreach k,$(all_K),$m-$k))
many = --steps $(TEACHER_STEPS) $(if $(SOLVER),--solver $(SOLVER)) $(CLIP)
# After the first round guidance is in the model. $(call guided,MODEL NAME)
guided = $(if $(filter teacher,$1),$(if $(filter-out 1,$(GUIDANCE)),--guidance $(GUIDANCE) $(NULL_CLASS:%=--null-class %)))
tables := $(OUT)/table.tsv $(if $(DATA),$(OUT)/data.tsv) $(OUT)/trajectories.tsv

# Models that are there, or begun, and how they were trained: as the folder says, or what lies beside it until the training is done.
begun := $(wildcard $(foreach m,$(trained),$(OUT)/$m $(OUT)/$m.ckpt $(OUT)/$m.[0-9]*))
settings_of = $(firstword $(wildcard $(OUT)/$1/settings) $(OUT)/$1.settings)
$(foreach m,$(sort $(basename $(notdir $(begun)))),$(foreach v,$(TRAINED),$(call check,$(call settings_of,$m),$v,$(OUT)/$m,to train anew on \
	the same pairs rename or remove $(begun))))

.PHONY: all pairs try trial
all: $(tables) $(if $(filter picture,$(about)),$(runs:%=$(OUT)/%.png))
	@$(call show,$(tables))

# 1. Pairs: the model's own ODE, shard by shard, from noise that is each round's own.
# 2. Retraining on them; schedule, prediction type and network as they were. rectrain itself continues where it was.
define round
dir_$(call name,$1) := $(OUT)/$(call name,$1)
pairs_$1 := $(foreach i,$(shards),$(OUT)/pairs$(after_1)-$i.tar)
from_$1 := $(if $(after_1),$(call name,$(shell echo $$(($1 - 1)))),teacher)

$$(pairs_$1): $(OUT)/pairs$(after_1)-%.tar: $(if $(after_1),$$(call model,$$(dir_$$(from_$1)))) | $(OUT)/settings \
		$(if $(after_1),$$(dir_$$(from_$1))/settings)
	@$$(settled)
	. $(HERE)/alone.sh $$@; \
	$$(call solve,-n $(N) -s $(shell echo $$(($(SEED) + $1 - 1))) -S $$*/$(SHARDS),$$(from_$1),$$@)

# FORCE: one that is gone is made anew though what was made of it is there; archives that are gone are not.
$$(call model,$$(dir_$(call name,$1))): $$(pairs_$1) $$(if $$(wildcard $$(dir_$(call name,$1))),,FORCE)
	@$$(call print,$(TRAINED)) >$$(dir_$(call name,$1)).settings
	$$(call retrain,$$(from_$1),$$(dir_$(call name,$1))) --log $(OUT)/$(call name,$1).jsonl $$(pairs_$1)
# A folder is there as a whole, whatever stops the recipe afterwards.
.PRECIOUS: $$(call model,$$(dir_$(call name,$1)))
# Of one that was there before: the variables are what it was trained with, else the check above would have stopped.
$$(dir_$(call name,$1))/settings: $$(call model,$$(dir_$(call name,$1)))
	@$$(call print,$(TRAINED)) >$$@
endef
# $(call solve,NOISE,MODEL NAME,ARCHIVE)
solve = noisegen $1 -m $(MODEL) $(LABELS:%=-l %) $J | \
	denoise -m $(dir_$2) $(many) $(call guided,$2) $(PAIRS) $D | pairpack -o $3
# $(call retrain,MODEL NAME,FOLDER)
retrain = rectrain -m $(dir_$1) -o $2 -f --steps $(TRAIN_STEPS) --batch $(BATCH) --lr $(LR) --ema $(EMA) --seed $(SEED) \
	$(NULL_CLASS:%=--null-class %) $(TRAIN) $D
dir_teacher := $(MODEL)
$(foreach r,$(rounds),$(eval $(call round,$r)))
pairs: $(pairs_1)

# Before anything is made: options are tried on a few pairs (and so none of many can be held out), data on samples of the teacher.
trial:
	@echo 'trying the options on two pairs'
	@t=$$(mktemp -d); trap 'rm -rf "$$t"' EXIT; \
	{ $(call solve,-n 2 -s $(SEED),teacher,"$$t/pairs.tar") $(if $(whole),&& \
	$(call retrain,teacher,"$$t/rectified") $(if $(findstring --ho,$(TRAIN)),--hold-out 1) --dry-run "$$t/pairs.tar"); \
	} >"$$t/said" 2>&1 || { rc=$$?; cat "$$t/said" >&2; exit $$rc; }

data_first := $(if $(whole),$(if $(DATA),$(OUT)/teacher-$(firstword $(all_K)).data.tsv))
$(OUT)/settings: | $(if $(if $(wildcard $(OUT)/settings),$(if $(whole),$(if $(begun),,yes)),yes),trial)
$(pairs_1): | $(data_first)
try: trial $(data_first)

# 3. Samples of all models from the same noise. Few steps are DDIM's, which is exact on a first-order path; the teacher's many are as
# its pairs were made.
$(OUT)/noise.rdf: $(OUT)/sampled
	noisegen -n $(EVAL) -s $(EVAL_SEED) -m $(MODEL) $(LABELS:%=-l %) $J -o $@

# Few steps must begin at the noisiest time, which leading and linspace, the usual configurations, do not.
even := $(if $(filter early,$(about)),--spacing trailing)
# $(call sampling,MODEL NAME,STEPS)
sampling = odesample -m $(dir_$1) $(if $(filter $(TEACHER_STEPS),$2),$(many),--steps $2 --solver ddim $(CLIP) $(even)) $(call guided,$1) $D
needs = $(OUT)/noise.rdf $(if $(filter-out teacher,$1),$(call model,$(dir_$1)) $(OUT)/$1.sampled | $(OUT)/$1/settings)

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
	samplecmp --tsv --name '$* to teacher-$(TEACHER_STEPS)' $J $< $(own) >$@.part
	@mv $@.part $@

$(OUT)/%.data.tsv: $(OUT)/%.rdf $(DATA) $(FEATURES:%=%/config.json) $(OUT)/compared
	samplecmp --tsv --name '$* to the data' $(if $(FEATURES),$(on_features),$J) $< $(DATA) >$@.part
	@mv $@.part $@
on_features = --metric frechet,kid,precision,recall --features $(FEATURES) $D

# How many samples there are, what they were compared with and how the models were trained (the date of a folder that was put back is an
# old one): written anew when that changes.
define remembered
$(OUT)/$1: $(if $(call differ,$(shell cat $(OUT)/$1 2>/dev/null),$2),FORCE) | $(OUT)/settings
	@echo $(call quoted,$(strip $2)) >$$@
endef
$(eval $(call remembered,sampled,$(EVAL)))
$(eval $(call remembered,compared,$(DATA) $(FEATURES)))
trained_with := $(shell $(call print,$(TRAINED)) | cksum)
$(foreach m,$(trained),$(eval $(call remembered,$m.sampled,$(trained_with))))

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
