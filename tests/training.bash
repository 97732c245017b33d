# What the tests of trainings share; loaded beside common.

# Nothing runs on after a test that failed.
teardown()
{
	local pid
	for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
}

# tensors FILE: the bytes of a safetensors file behind its header.
tensors()
{
	"$PYTHON" -c 'import sys
b = open(sys.argv[1], "rb").read()
sys.stdout.buffer.write(b[8 + int.from_bytes(b[:8], "little"):])' "$1"
}

# same_weights A B: the folders hold the same weights, to the byte.
same_weights()
{
	cmp "$1/unet/diffusion_pytorch_model.safetensors" "$2/unet/diffusion_pytorch_model.safetensors"
	cmp "$1/unet/diffusion_pytorch_model.raw.safetensors" "$2/unet/diffusion_pytorch_model.raw.safetensors"
}

# names: of all that is here, in a line.
names() { find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs; }

# metadata FILE CODE: runs CODE with the metadata m of a safetensors file and the run that made it.
metadata()
{
	"$PYTHON" -c 'import json, sys
b = open(sys.argv[1], "rb").read()
m = json.loads(b[8:8 + int.from_bytes(b[:8], "little")])["__metadata__"]
run = json.loads(m["rectdiff.run"])
exec(sys.argv[2])' "$1" "$2"
}
