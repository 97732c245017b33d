# The paper's comparison at the scale of Fashion-MNIST: what a model of each kind makes in few steps, trained on the same pairs for as
# many iterations of the same batches.
#
#	make -f pipelines/paper.mk [-j2 JOBS=1] [VAR=...]
#
#	rf          rectified flow: the teacher as a model of flow matching and velocity, then Algorithm 3
#	rd          rectified diffusion: Algorithm 4, the teacher as it is
#	rd-eps      the same with the paper's formula, an L2 loss on epsilon, in place of its code's loss on x0
#	rd-lora     rd, with adapters of a low RANK trained in place of the weights
#	cd          rd, then consistency distillation for a quarter of the iterations
#	phased      four phases of the teacher's trajectories
#	distilled   pairs at the noisiest time alone
#
#	MODEL   the teacher       N       pairs             TRAIN_STEPS   iterations      SEEDS   of the trainings
#	EVAL    samples of each   BATCH, LR, EMA, RANK      DEVICE, JOBS                  OUT     out/paper
#
# An interrupted run continues where it was. -j2 JOBS=1 trains two models side by side, which is the best use of two cores.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

MODEL ?= $(SHARE)/models/fashion-ddpm
FEATURES ?= $(SHARE)/models/fashion-classifier
OUT ?= out/paper
# The test set: idx or idx.gz.
DATA ?= /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
TEACHER_STEPS ?= 24
PHASES ?= 4
N ?= 4096
TRAIN_STEPS ?= 4000
SEEDS ?= 1 2 3
EVAL ?= 1024
BATCH ?= 8
LR ?= 1e-3
EMA ?= 0.995
RANK ?= 16
# Consistency distillation starts where rd ended, and must not leave it.
CD_STEPS ?= $(shell echo $$(($(TRAIN_STEPS) / 4)))
CD_LR ?= 1e-4
CD_GRID ?= 20

METHODS := rf rd rd-eps rd-lora cd phased distilled
K := 1 2 4 $(TEACHER_STEPS)
EVAL_SEED := $(shell echo $$(($(SEED) + 1000003)))
# Iterations after which rf and rd are looked at on their way (the paper's figure 2).
EVERY := $(shell echo $$(($(TRAIN_STEPS) / 4)))
STAGES := $(EVERY) $(shell echo $$((2 * $(EVERY)))) $(shell echo $$((3 * $(EVERY))))

runs := $(foreach k,$K,teacher-$k $(foreach m,$(METHODS),$(foreach s,$(SEEDS),$m.$s-$k)))
stages := $(foreach m,rf rd,$(foreach s,$(SEEDS),$(foreach i,$(STAGES),$m.$s.$i-1)))
SUMMARY := awk -f $(HERE)/summary.awk

EVALUATED := SEEDS
$(eval $(call made_with,MODEL DATA FEATURES TEACHER_STEPS PHASES N TRAIN_STEPS EVAL BATCH LR EMA RANK CD_STEPS CD_LR CD_GRID))

.PHONY: all
all: $(OUT)/table.tsv $(OUT)/iterations.tsv $(foreach k,$K,$(OUT)/teacher-$k.png $(foreach m,$(METHODS),$(OUT)/$m-$k.png))
	@$(call show,$(OUT)/table.tsv $(OUT)/iterations.tsv)

# 1. Pairs of the teacher's own ODE, with the states between phases; before them, one comparison, which tries the data.
$(OUT)/pairs.tar: | $(OUT)/settings $(OUT)/teacher-1.set.tsv
	. $(HERE)/alone.sh $@; \
	noisegen -n $(N) -s $(SEED) -m $(MODEL) -l uniform:10 $J | \
	denoise -m $(MODEL) --steps $(TEACHER_STEPS) --knots $(PHASES) $D | pairpack -o $@

# 2. Trainings. Optimiser, batches and iterations are the same; losses are each method's own.
train = --batch $(BATCH) --ema $(EMA) $D -f
full = --steps $(TRAIN_STEPS) --lr $(LR) $(train)
train_rf = -m $(MODEL) --convert-to fm,flow --loss-space output --snapshot-every $(EVERY) $(full)
train_rd = -m $(MODEL) --snapshot-every $(EVERY) $(full)
train_rd-eps = -m $(MODEL) --loss-space eps $(full)
train_rd-lora = -m $(MODEL) --lora $(RANK) $(full)
train_cd = -m $(OUT)/rd.$1 --consistency=$(CD_GRID) --loss huber --steps $(CD_STEPS) --lr $(CD_LR) $(train)
train_phased = -m $(MODEL) --phases $(PHASES) $(full)
train_distilled = -m $(MODEL) --time-sampling last $(full)

define training
$(call model,$(OUT)/$1.$2): $(OUT)/pairs.tar $(if $(filter cd,$1),$(call model,$(OUT)/rd.$2))
	rectrain $$(call train_$1,$2) -o $(OUT)/$1.$2 --seed $2 --log $(OUT)/$1.$2.jsonl $(OUT)/pairs.tar
endef
$(foreach m,$(METHODS),$(foreach s,$(SEEDS),$(eval $(call training,$m,$s))))

# 3. Samples from noise that no pair was made of; the last number of a name is the steps. Few steps are DDIM's, which is exact on a
# first-order path; many are the model's own solver's.
$(OUT)/noise.rdf: | $(OUT)/settings
	noisegen -n $(EVAL) -s $(EVAL_SEED) -m $(MODEL) -l uniform:10 $J -o $@

sample = odesample --steps $1 $(if $(filter $(TEACHER_STEPS),$1),,--solver ddim) $D
define samples
$(OUT)/teacher-$1.rdf: $(OUT)/noise.rdf
	$$(call sample,$1) -m $(MODEL) -o $$@ $$<
$(foreach m,$(METHODS),$(foreach s,$(SEEDS),
$(OUT)/$m.$s-$1.rdf: $(OUT)/noise.rdf $(call model,$(OUT)/$m.$s)
	$$(call sample,$1) -m $(OUT)/$m.$s -o $$@ $$<
))
endef
$(foreach k,$K,$(eval $(call samples,$k)))

define staged
$(OUT)/$1.$2.$3-1.rdf: $(OUT)/noise.rdf $(call model,$(OUT)/$1.$2)
	$$(call sample,1) -m $(OUT)/$1.$2.$3 -o $$@ $$<
endef
$(foreach m,rf rd,$(foreach s,$(SEEDS),$(foreach i,$(STAGES),$(eval $(call staged,$m,$s,$i)))))

$(OUT)/teacher-%.png: $(OUT)/teacher-%.rdf
	tensorcat --to png -n sample --count 64 --scale 2 -o $@ $<

define picture
$(OUT)/$1-$2.png: $(OUT)/$1.$(firstword $(SEEDS))-$2.rdf
	tensorcat --to png -n sample --count 64 --scale 2 -o $$@ $$<
endef
$(foreach m,$(METHODS),$(foreach k,$K,$(eval $(call picture,$m,$k))))

# 4. Distances to the test set, on a classifier's features and on pixels, and to what the teacher makes of the same noise.
$(OUT)/%.set.tsv: $(OUT)/%.rdf
	@test -e $(DATA) || { echo "$(DATA): the test set is not there (Debian: dataset-fashion-mnist; or DATA=FILE)" >&2; exit 1; }
	samplecmp --tsv --name $* --metric frechet,kid,precision,recall --features $(FEATURES) --classes --bootstrap 2 $D $< $(DATA) > $@

$(OUT)/%.own.tsv: $(OUT)/%.rdf $(OUT)/teacher-$(TEACHER_STEPS).rdf
	samplecmp --tsv --name $* --metric paired --bootstrap 2 $J $< $(OUT)/teacher-$(TEACHER_STEPS).rdf > $@

# Means over the seeds, and their standard deviations. Which seeds these are may change, so tables are made each time.
.PHONY: FORCE
$(OUT)/table.tsv $(OUT)/iterations.tsv: FORCE
$(OUT)/table.tsv: $(runs:%=$(OUT)/%.set.tsv) $(runs:%=$(OUT)/%.own.tsv)
	$(SUMMARY) $(filter %.tsv,$^) > $@

$(OUT)/iterations.tsv: $(stages:%=$(OUT)/%.set.tsv) $(stages:%=$(OUT)/%.own.tsv) \
		$(foreach m,rf rd,$(foreach s,$(SEEDS),$(OUT)/$m.$s-1.set.tsv $(OUT)/$m.$s-1.own.tsv))
	$(SUMMARY) -v last=$(TRAIN_STEPS) $(filter %.tsv,$^) > $@
