# Rectified Diffusion of the shipped Fashion-MNIST teacher, from noise to tables and pictures:
#
#	make -f pipelines/fashion.mk [DEMO=1] [VAR=...]
#
# All is rectify.mk's but the values that its variables have here. DEMO=1 is a short run (about eight minutes on two cores).
MODEL ?= $(SHARE)/models/fashion-ddpm
LABELS ?= uniform:10
# The test set's images: idx or idx.gz.
DATA ?= /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
SHARDS ?= 5
K ?= 1 2
ifdef DEMO
OUT ?= out/demo/fashion
N ?= 2048
TRAIN_STEPS ?= 6000
EMA ?= 0.995
EVAL ?= 128
else
OUT ?= out/fashion
N ?= 7500
TRAIN_STEPS ?= 12000
EMA ?= 0.998
EVAL ?= 512
endif
# Small batches: what limits this retraining is the number of steps, not the noise of a gradient.
BATCH ?= 8
LR ?= 1e-3

# What is said where DATA is not there.
no_data := : Debian has it as dataset-fashion-mnist

include $(dir $(lastword $(MAKEFILE_LIST)))rectify.mk
