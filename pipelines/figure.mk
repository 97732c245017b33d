# The paper's figures 3 and 4: first-order trajectories under every form, and phased ones, in two dimensions.
#
#	make -f pipelines/figure.mk exact            the formula alone, in a second
#	make -f pipelines/figure.mk phases           a teacher, the same rectified, and in phases (a minute)
#	make -f pipelines/figure.mk [VAR=...]        all of it, with models trained and rectified under every form (a few minutes)
#
#	FORMS   of the measured part        N             samples and pairs of each form
#	DIST    what the models learn       PHASED_DIST   what those for phases learn
#	SEED, DEVICE, JOBS                  TRAIN_STEPS   of each training          OUT     out/figure
#
# An interrupted run continues where it was.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

OUT ?= out/figure
FORMS ?= fm ve ddpm vp subvp
DIST ?= 8gaussians
PHASED_DIST ?= moons
N ?= 10000
TRAIN_STEPS ?= 4000
MODELS := base rectified

$(eval $(call made_with,FORMS DIST PHASED_DIST N TRAIN_STEPS))

.PHONY: all exact phases
all: exact phases $(foreach f,$(FORMS),$(OUT)/$f/trajectories.svg $(OUT)/$f/defect.svg) \
		$(OUT)/before.svg $(OUT)/after.svg $(OUT)/training.svg $(OUT)/table.tsv
	@$(call show,$(OUT)/table.tsv)
exact: $(OUT)/exact.svg $(OUT)/exact-together.svg $(OUT)/exact.tsv

# 1. x_t = alpha x0 + sigma eps for the paper's x0 = [0,1] and eps = [1,1]: curves in x under most forms, one straight
# line under all of them in x/sigma and in x/alpha. The defect is 0 whether or not x is straight.
exact_forms := 'flow matching=exact:fm' 'EDM=exact:ve' 'DDPM=exact:vp' 'sub-VP=exact:subvp' \
	--x0 0,1 --eps 1,1 --sigma-max 10

$(OUT)/exact.svg: | $(OUT)/settings
	trajdump --svg $@ --coords x,sigma,alpha --range 10.1 $(exact_forms)

$(OUT)/exact-together.svg: | $(OUT)/settings
	trajdump --svg $@ --coords x,sigma,alpha --overlay $(exact_forms)

$(OUT)/exact.tsv: | $(OUT)/settings
	trajdump --tsv $@ $(exact_forms)

# 2. The same of models: one trained on the data under each form, and itself rectified, by the recipe of toy2d.mk.
# One make for both models of a form: they are targets of one pattern, whose stem is the dot.
define trained
$(OUT)/$1/base%traj $(OUT)/$1/rectified%traj: | $(OUT)/settings
	$$(MAKE) --no-print-directory -f $(HERE)/toy2d.mk OUT=$(OUT)/$1 FORM=$1 \
		PREDICTION=$(if $(filter fm,$1),flow_prediction,epsilon) DIST=$(DIST) N=$(N) TRAIN_STEPS=$(TRAIN_STEPS) SEED=$(SEED) \
		DEVICE=$(DEVICE) JOBS=$(JOBS) BIN=$(BIN) $(MODELS:%=$(OUT)/$1/%.traj)

$(OUT)/$1/defect.svg: $(MODELS:%=$(OUT)/$1/%.traj)
	trajdump --svg $$@ --plot defect --axis n $(foreach m,$(MODELS),$m=$(OUT)/$1/$m.traj)

$(OUT)/$1/trajectories.svg: $(MODELS:%=$(OUT)/$1/%.traj)
	trajdump --svg $$@ --coords x,alpha --range 1.6 --max-plot 120 $(foreach m,$(MODELS),$m=$(OUT)/$1/$m.traj)

$(OUT)/$1.tsv: $(MODELS:%=$(OUT)/$1/%.traj)
	trajdump --tsv $$@ $(foreach m,$(MODELS),'$1 $m'=$(OUT)/$1/$m.traj)
endef
$(foreach f,$(FORMS),$(eval $(call trained,$f)))

trajectories = $(foreach f,$(FORMS),$(OUT)/$f/$1.traj)

# x and x/alpha, a column for each form; the frame close to the data, which is where an untrained line bends.
$(OUT)/before.svg: $(call trajectories,base)
	trajdump --svg $@ --coords x,alpha --range 1.6 --max-plot 80 $(foreach f,$(FORMS),$f=$(OUT)/$f/base.traj)

$(OUT)/after.svg: $(call trajectories,rectified)
	trajdump --svg $@ --coords x,alpha --range 1.6 --max-plot 80 $(foreach f,$(FORMS),$f=$(OUT)/$f/rectified.traj)

$(OUT)/training.svg: $(call trajectories,rectified)
	trajdump --log --svg $@ $(foreach f,$(FORMS),$f=$(OUT)/$f/rectified.jsonl)

$(OUT)/table.tsv: $(FORMS:%=$(OUT)/%.tsv)
	$(join_tables)

# 3. First-order in one piece or in four: a teacher on ddpm, and two models trained on the same trajectories of it, one
# rectified, one with a first-order path of its own in each of four phases. Drawn with each trajectory are its chords, the
# first-order paths through its states at both ends, or at the knots: curves in x under ddpm. PHASED_DIST is one whose
# trajectories bend.
P := $(OUT)/phases
PHASED := teacher rectified phased
chords_teacher := 4
chords_rectified := 1
chords_phased := 4
folder_teacher := $P/base
folder_rectified := $P/rectified
folder_phased := $P/phased
phases_phased := --phases 4
unseen := -n 1000 -s $(shell echo $$(($(SEED) + 1000003))) -b 1000
empty :=
comma := ,

phases: $P/trajectories.svg $P/one-chord.svg $P/training.svg $P/table.tsv
	@$(call show,$P/table.tsv)

$(call model,$P/base): | $(OUT)/settings
	$(MAKE) --no-print-directory -f $(HERE)/toy2d.mk OUT=$P FORM=ddpm DIST=$(PHASED_DIST) N=$(N) TRAIN_STEPS=$(TRAIN_STEPS) \
		SEED=$(SEED) DEVICE=$(DEVICE) JOBS=$(JOBS) BIN=$(BIN) $@

$P/pairs.tar: $(call model,$P/base)
	noisegen -n $(N) -s $(SEED) -m $P/base $J | denoise -m $P/base --steps 200 --knots 4 -b 1024 $D | pairpack -o $@

$(call model,$P/rectified) $(call model,$P/phased): $(call model,$P/%): $P/pairs.tar
	rectrain -m $P/base -o $P/$* -f $(phases_$*) --log $P/$*.jsonl --batch 256 --steps $(TRAIN_STEPS) --lr 2e-3 --ema 0.995 \
		--hold-out 500 --held-out-every 200 --seed $(SEED) $D $<

# The table's chord_1 and chord_4 are the distances from one chord and from four, whatever is drawn.
define phased
$P/$1.traj: $(call model,$(folder_$1))
	odesample -m $(folder_$1) $(unseen) --solver ddim --steps 48 --trajectory $D -o $$@

$P/$1-%.rdf: $(call model,$(folder_$1))
	odesample -m $(folder_$1) $(unseen) --solver ddim --steps $$* $D -o $$@

$P/$1-%.chord: $P/$1.traj
	trajdump --tsv - --chords $$* $$< | awk -F '\t' '{ print NR == 1 ? "chord_$$*" : $$$$NF }' >$$@

$P/$1.tsv: $P/$1.traj $P/$1-1.chord $P/$1-4.chord $P/$1-1.paired $P/$1-4.paired
	trajdump --tsv - --name $1 $$< | paste - $$(filter-out $$<,$$^) >$$@
endef
$(foreach m,$(PHASED),$(eval $(call phased,$m)))

# A column of the table: the mean squared difference from the teacher's samples of 200 steps.
$P/%.paired: $P/%.rdf $P/teacher-200.rdf
	samplecmp --tsv --metric paired $J $^ | awk -F '\t' '{ print NR == 1 ? "paired_$(lastword $(subst -, ,$*))" : $$2 }' >$@

$P/table.tsv: $(PHASED:%=$P/%.tsv)
	$(join_tables)

$P/trajectories.svg: $(PHASED:%=$P/%.traj)
	trajdump --svg $@ --max-plot 24 --chords $(subst $(empty) $(empty),$(comma),$(foreach m,$(PHASED),$(chords_$m))) \
		$(foreach m,$(PHASED),$m=$P/$m.traj)

# The same beside one chord each, which only the rectified follow; also over alpha, where it is straight.
$P/one-chord.svg: $(PHASED:%=$P/%.traj)
	trajdump --svg $@ --max-plot 24 --chords 1 --coords x,alpha --range 2 $(foreach m,$(PHASED),$m=$P/$m.traj)

$P/training.svg: $(call model,$P/rectified) $(call model,$P/phased)
	trajdump --log --svg $@ rectified=$P/rectified.jsonl phased=$P/phased.jsonl
