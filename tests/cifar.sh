#!/bin/bash
# tests/cifar.sh: google/ddpm-cifar10-32's configuration (35.7M parameters) with random weights all the way: pairs, 20 steps of
# training at batch 16, one-step samples. Prints what each step took; fails where training holds 6 GB or more. Some minutes;
# run by hand. The tools must be in PATH.
set -eu
python=python3
for p in /usr/bin/python3 python3; do
	"$p" -c 'import numpy' 2>/dev/null && python=$p && break
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >config.json <<'EOF'
{"unet": {"_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "out_channels": 3, "layers_per_block": 2,
  "block_out_channels": [128, 256, 256, 256],
  "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
  "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
  "act_fn": "silu", "attention_head_dim": null, "center_input_sample": false, "downsample_padding": 0,
  "flip_sin_to_cos": false, "freq_shift": 1, "mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 32,
  "time_embedding_type": "positional"},
 "scheduler": {"_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
  "num_train_timesteps": 1000, "clip_sample": true, "variance_type": "fixed_large", "trained_betas": null}}
EOF

# measured NAME COMMAND...: runs it; seconds and the largest resident size in MiB, on standard output and in NAME.mib.
measured()
{
	"$python" - "$@" <<'EOF'
import resource, subprocess, sys, time
t = time.time()
code = subprocess.call(sys.argv[2:])
mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
open(sys.argv[1] + ".mib", "w").write(str(mib))
print(f"{sys.argv[1]:10} {time.time() - t:6.0f} s {mib:6} MiB", flush=True)
sys.exit(code)
EOF
}

noisegen -n 16 --shape 3,32,32 -s 1 | tensorcat --to npy -n noise -o data.npy -
measured new rectrain -q --init config.json --coupling independent --steps 1 -b 1 --warmup 0 --lr 1e-8 -o model data.npy
noisegen -n 16 -s 2 -m model >noise.rdf
measured pairs denoise -m model --steps 4 -b 16 -o pairs.rdf noise.rdf
pairpack -o pairs.tar pairs.rdf
measured train rectrain -q -m model --steps 20 -b 16 --log train.jsonl -o rectified pairs.tar
measured sample odesample -m rectified -n 16 --steps 1 -o samples.rdf
tensorcat --to npy -n sample -o samples.npy samples.rdf
"$python" -c '
import numpy as np
x = np.load("samples.npy")
assert x.shape == (16, 3, 32, 32) and np.isfinite(x).all(), x.shape'
params=$("$python" -c '
import json, struct
f = open("rectified/unet/diffusion_pytorch_model.safetensors", "rb")
h = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
h.pop("__metadata__", None)
print(len(h), sum(__import__("math").prod(t["shape"]) for t in h.values()))')
echo "tensors and parameters: $params"
[ "$params" = "328 35746307" ]
[ "$(cat train.mib)" -lt 6000 ]
