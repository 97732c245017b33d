# The classifier of models/fashion-classifier, whose features samplecmp --features compares sets of images by:
#
#	make -f pipelines/classifier.mk [VAR=...]
#
#	DATA    the folder of Fashion-MNIST's idx files     TRAIN_STEPS     SEED, DEVICE, JOBS
#	OUT     where it is written, out/classifier
#
# It takes about four minutes on one core. JOBS=1, the default here, gives the shipped weights where the CPU has AVX-512.
JOBS ?= 1
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

OUT ?= out/classifier
DATA ?= /usr/share/datasets/fashion-mnist
TRAIN_STEPS ?= 4000
images = sample=$(DATA)/$1-images-idx3-ubyte.gz
labels = label=$(DATA)/$1-labels-idx1-ubyte.gz

$(eval $(call made_with,DATA TRAIN_STEPS))

.PHONY: all
all: $(OUT)/fashion-classifier/config.json

$(OUT)/fashion-classifier/config.json: | $(OUT)/settings
	classtrain -o $(@D) --steps $(TRAIN_STEPS) --flip --seed $(SEED) $D --log $(OUT)/train.jsonl \
		--test $(call images,t10k) --test $(call labels,t10k) \
		$(call images,train) $(call labels,train)
