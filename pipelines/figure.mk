# The paper's figure 3: first-order trajectories under every form, in two dimensions.
#
#	make -f pipelines/figure.mk exact            the formula alone, in a second
#	make -f pipelines/figure.mk [VAR=...]        and models trained and rectified under every form (a few minutes)
#
#	FORMS   of the measured part        N       samples and pairs of each form       STEPS   of each training
#	DIST    what the models learn       SEED, DEVICE, JOBS                           OUT     out/figure
#
# An interrupted run continues where it was.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

OUT ?= out/figure
FORMS ?= fm ve ddpm vp subvp
DIST ?= 8gaussians
N ?= 10000
STEPS ?= 4000
MODELS := base rectified

.PHONY: all exact
all: exact $(foreach f,$(FORMS),$(OUT)/$f/trajectories.svg $(OUT)/$f/defect.svg) \
		$(OUT)/before.svg $(OUT)/after.svg $(OUT)/training.svg $(OUT)/table.tsv
	@column -t -s $$'\t' $(OUT)/table.tsv
exact: $(OUT)/exact.svg $(OUT)/exact-together.svg $(OUT)/exact.tsv

# 1. x_t = alpha x0 + sigma eps for the paper's x0 = [0,1] and eps = [1,1]: curves in x under most forms, one straight
# line under all of them in x/sigma and in x/alpha. The defect is 0 whether or not x is straight.
exact_forms := 'flow matching=exact:fm' 'EDM=exact:ve' 'DDPM=exact:vp' 'sub-VP=exact:subvp' \
	--x0 0,1 --eps 1,1 --sigma-max 10

$(OUT)/exact.svg:
	@mkdir -p $(@D)
	trajdump --svg $@ --coords x,sigma,alpha --range 10.1 $(exact_forms)

$(OUT)/exact-together.svg:
	@mkdir -p $(@D)
	trajdump --svg $@ --coords x,sigma,alpha --overlay $(exact_forms)

$(OUT)/exact.tsv:
	@mkdir -p $(@D)
	trajdump --tsv $@ $(exact_forms)

# 2. The same of models: one trained on the data under each form, and itself rectified, by the recipe of toy2d.mk.
# One make for both models of a form: they are targets of one pattern, whose stem is the dot.
define trained
$(OUT)/$1/base%traj $(OUT)/$1/rectified%traj:
	$$(MAKE) --no-print-directory -f $(HERE)/toy2d.mk OUT=$(OUT)/$1 FORM=$1 \
		PREDICTION=$(if $(filter fm,$1),flow_prediction,epsilon) DIST=$(DIST) N=$(N) STEPS=$(STEPS) SEED=$(SEED) \
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
	awk 'FNR > 1 || NR == 1' $^ > $@
