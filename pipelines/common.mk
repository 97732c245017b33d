# What the pipelines share: where things are, the shell that notices a failing stage, variables of the command line.
HERE := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
SHARE := $(abspath $(HERE)/..)
# In the source tree the tools are in build/bin; an installed pipeline finds them in PATH.
BIN ?= $(SHARE)/build/bin
export PATH := $(BIN):$(PATH)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

SEED ?= 1
DEVICE ?= auto
# Threads of each tool; 0 is all. The last bits of a trained model depend on it.
JOBS ?= 0
D = -d $(DEVICE) $(if $(filter-out 0,$(JOBS)),-j $(JOBS))
J = $(if $(filter-out 0,$(JOBS)),-j $(JOBS))

# $(call weights,DIR): the file that says that a model folder is complete.
weights = $1/unet/diffusion_pytorch_model.safetensors
