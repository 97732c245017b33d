# The method on a 2-D density, where trajectories can be seen:
#
#	make -f pipelines/toy2d.mk [DEMO=1] [FORM=ddpm|vp|subvp|ve|fm] [PREDICTION=epsilon|sample|v_prediction|flow_prediction]
#
#	DIST    8gaussians, checkerboard, moons, spiral, rings       N     samples and pairs
#	TRAIN_STEPS   of each of the two models                      SEED, DEVICE, JOBS
#	OUT     where it is written, out/toy2d
#
# An interrupted run continues where it was. DEMO=1 is a short run (about a minute).
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

FORM ?= ddpm
PREDICTION ?= epsilon
DIST ?= 8gaussians
ifdef DEMO
OUT ?= out/demo/toy2d
N ?= 20000
TRAIN_STEPS ?= 8000
else
OUT ?= out/toy2d
N ?= 50000
TRAIN_STEPS ?= 20000
endif
BATCH ?= 256
LR ?= 2e-3
# Fed to the network is ln(sigma)/4 under ve; its sinusoids want a wider range.
TIME_SCALE := $(if $(filter ve,$(FORM)),250,1)
MODELS := base rectified
COORDS := x alpha
train = --batch $(BATCH) --steps $(TRAIN_STEPS) --lr $(LR) --ema 0.995 --seed $(SEED) $D

$(eval $(call made_with,FORM PREDICTION DIST N TRAIN_STEPS BATCH LR))

.PHONY: all
all: $(foreach m,$(MODELS),$(foreach c,$(COORDS),$(OUT)/$m-$c.svg) $(OUT)/$m-1.svg) $(OUT)/table.tsv
	@$(call show,$(OUT)/table.tsv)

# 1. Data, and a model trained on it with fresh noise for every sample (Algorithm 2).
$(OUT)/data.rdf: | $(OUT)/settings
	noisegen --dist $(DIST) -n $(N) -s $(SEED) $J -o $@

$(OUT)/config.json: | $(OUT)/settings
	printf '%s\n' '{"unet": {"_class_name": "MLPModel", "sample_shape": [2], "hidden_dim": 128, "num_layers": 3,' \
		'  "time_embedding_dim": 64, "time_scale": $(TIME_SCALE)},' \
		' "scheduler": {"_class_name": "RectdiffScheduler", "form": "$(FORM)", "prediction_type": "$(PREDICTION)"}}' > $@

$(call model,$(OUT)/base): $(OUT)/config.json $(OUT)/data.rdf
	rectrain --init $(OUT)/config.json -o $(OUT)/base -f --coupling independent --log $(OUT)/base.jsonl $(train) $(OUT)/data.rdf

# 2. Pairs along the model's own ODE.
$(OUT)/pairs.tar: $(call model,$(OUT)/base)
	noisegen -n $(N) -s $(SEED) -m $(OUT)/base $J | denoise -m $(OUT)/base --steps 50 -b 1024 $D | pairpack -o $@

# 3. Retraining on them (Algorithm 4); form, prediction type and network as they were.
$(call model,$(OUT)/rectified): $(OUT)/pairs.tar
	rectrain -m $(OUT)/base -o $(OUT)/rectified -f --log $(OUT)/rectified.jsonl $(train) $<

# 4. Trajectories before and after, as they are and, near the data, over alpha (straight for every form, once first-order).
$(OUT)/%.traj: $(call model,$(OUT)/%)
	odesample -m $(OUT)/$* -n 1000 -s $$(( $(SEED) + 1000003 )) --solver ddim --steps 50 --trajectory -b 1000 $D -o $@

$(OUT)/%-x.svg: $(OUT)/%.traj
	trajdump --svg $@ --coords x $<

$(OUT)/%-alpha.svg: $(OUT)/%.traj
	trajdump --svg $@ --coords alpha --range 2 --max-plot 60 $<

# One step from the same noise.
$(OUT)/%-1.svg: $(call model,$(OUT)/%)
	odesample -m $(OUT)/$* -n 1000 -s $$(( $(SEED) + 1000003 )) --solver ddim --steps 1 --trajectory -b 1000 $D | \
	trajdump --svg $@ --coords x --max-plot 1000

$(OUT)/%.tsv: $(OUT)/%.traj
	trajdump --tsv $@ --name $* $<

$(OUT)/table.tsv: $(MODELS:%=$(OUT)/%.tsv)
	$(join_tables)
