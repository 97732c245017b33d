#!/usr/bin/env bats
# denoise: the end points of the ODE, whatever the batching; models and options that make no sense are refused.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	noisegen -n 2 --shape 3,8,8 -o noise8
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m
}

# ends RUN N [OPTION...]: denoise and the golden run RUN end alike on the first N images.
ends()
{
	tensorcat --to frame -r noise -c "$2" noise="$golden/fashion-ddpm/x.npy" label="$golden/fashion-ddpm/label.npy" |
		denoise -m "$fashion" --scheduler "$golden/fashion-ddpm/$1" "${@:3}" -o "$1"
	tensorcat --to npy -n sample "$1" -o "$1.npy"
	frames "$1" "want = np.load('$golden/fashion-ddpm/$1.npy')[:$2]
close(np.load('$1.npy'), want, 2e-4 * max(1, abs(want).max()))"
}

@test "end points are those of diffusers: 25 steps of DDIM" {
	ends ddim25 3
	run frames ddim25 'print(h["role"], h["fields"], h["meta"]["steps"], h["meta"]["solver"], h["meta"]["nfe"])'
	assert_output "pairs ['noise', 'label', 'sample'] 25 ddim 25"
}

@test "end points are those of diffusers: with guidance" {
	ends ddim25_cfg3 2 --guidance 3 --null-class 10
	run frames ddim25_cfg3 'print(h["meta"]["guidance"], h["meta"]["nfe"])'
	assert_output "3.0 50"
}

@test "end points are those of diffusers: one step" {
	ends ddim1 3 --steps 1
}

@test "batching and sharding change neither noise nor sample" {
	local i
	noisegen -n 6 -s 5 -m "$fashion" -l uniform:10 | denoise -m "$fashion" --steps 2 -b 64 -o a
	noisegen -n 6 -s 5 -m "$fashion" -l uniform:10 -b 4 | denoise -m "$fashion" --steps 2 -b 1 -o b
	for i in 1 2; do
		noisegen -n 6 -s 5 -S $i/2 -m "$fashion" -l uniform:10 | denoise -m "$fashion" --steps 2 -o part$i
	done
	tensorcat --to frame part1 part2 -o c
	for i in b c; do
		frames a "g = read('$i')[1]
for k in 'noise', 'label':
    assert f[k].shape == g[k].shape and (f[k] == g[k]).all(), k
close(f['sample'], g['sample'], 1e-4)"
	done
	frames part2 'assert maps[1]["i"] == 3, maps[1]["i"]'
}

@test "noise by reference stays so, and gives the same samples" {
	noisegen -n 70 -s 3 --shape 2 --ref | denoise -m "$m" --steps 3 -b 32 -o by-ref
	noisegen -n 70 -s 3 --shape 2 | denoise -m "$m" --steps 3 -b 32 -o by-data
	frames by-ref 'g = read("by-data")[1]
assert {m["name"] for m in refs} == {"noise"} and {m["ref"]["seed"] for m in refs} == {3}
assert sum(m["n"] for m in refs) == 70 and sorted(f) == ["sample"]
assert (f["sample"] == g["sample"]).all() and len(g["noise"]) == 70'
}

@test "meta says where the pairs come from" {
	noisegen -n 3 -s 9 --shape 2 | denoise -m "$m" --steps 4 --solver heun --spacing linspace -o a
	run frames a 'm = h["meta"]
print(m["seed"], m["form"], m["prediction"], m["solver"], m["spacing"], m["steps"], m["nfe"], len(m["model"]), m["clip"],
      [t["tool"] for t in m["history"]])'
	assert_output "9 fm flow heun linspace 4 6 16 False ['noisegen', 'denoise']"
}

@test "memory does not grow with the number of samples" {
	local few many n
	cat >wide.json <<-'EOF'
	{"unet": {"_class_name": "MLPModel", "sample_shape": [256], "hidden_dim": 8, "num_layers": 1},
	 "scheduler": {"_class_name": "RectdiffScheduler", "form": "fm"}}
	EOF
	noisegen -n 4 --shape 256 >data
	tensorcat --to npy -n noise data -o data.npy
	rectrain -q --init wide.json -o wide --coupling independent --steps 1 -b 4 sample=data.npy
	for n in 100 30000; do noisegen -n $n --shape 256 -o noise$n; done
	few=$(peak denoise -m wide --steps 1 noise100)
	many=$(peak denoise -m wide --steps 1 noise30000)
	[ "$many" -lt $((few + 8000)) ] || fail "$few kB for 100 samples, $many kB for 30000 (30 MB)"
}

@test "clip_sample of a config does not count unless --clip asks" {
	local sched=$golden/cifar-like/ddim_clip
	tensorcat --to frame -r noise -c 2 noise="$golden/cifar-like/x.npy" -o x
	denoise -m "$cifar" --scheduler "$sched" --steps 10 x -o free
	denoise -m "$cifar" --scheduler "$sched" --steps 10 --clip --precision f64 x -o clipped
	denoise -m "$cifar" --scheduler "$sched" --steps 10 --clip=0.5 x -o half
	frames free 'assert abs(f["sample"]).max() > 2 and not h["meta"]["clip"]'
	frames clipped "close(f['sample'], np.load('$golden/cifar-like/ddim_clip.npy')[:2], 1e-4)
assert h['meta']['clip']"
	frames half 'assert abs(f["sample"]).max() == 0.5'
}

@test "in reverse a gaussian's samples come from where its flow began" {
	local form
	for form in ddpm vp ve fm; do
		noisegen -n 40 -s 3 -m "analytic:gauss,form=$form" -o noise
		odesample -f -m "analytic:gauss,form=$form" --solver rk4 --steps 80 -o there noise
		denoise -f --reverse -m "analytic:gauss,form=$form" --solver rk4 --steps 80 -o back there
		frames back '
close(f["sample"], read("there")[1]["sample"], 0)
close(f["noise"], read("noise")[1]["noise"], 0.02)
assert h["role"] == "pairs" and h["meta"]["reverse"] is True and h["meta"]["start"]["sigma"] > 0.9'
	done
	tensorcat --to npy -n sample -o sample.npy there
	denoise --reverse -m "analytic:gauss,form=fm" --solver rk4 --steps 80 -o again sample.npy
	frames again 'close(f["noise"], read("back")[1]["noise"], 0)'
	run -3 denoise --reverse -m "analytic:gauss" -o out noise
	assert_output --partial 'no field'
}

@test "guidance needs a null class" {
	noisegen -n 1 -m "$no_null" -l 3 -o y
	run -2 denoise -m "$no_null" --steps 1 --guidance 3 -o out y
	assert_output --partial "null class"
	noisegen -n 1 -m "$fashion" -l 3 -o x
	denoise -m "$fashion" --steps 1 --guidance 3 -o recorded x
	denoise -m "$fashion" --steps 1 --guidance 3 --null-class 10 -o told x
	frames recorded 'assert (f["sample"] == read("told")[1]["sample"]).all()'
	run -2 denoise -m "$fashion" --steps 1 --guidance 3 --null-class 11 -o out x
	assert_output --partial "classes 0 to 10"
	run -2 denoise -m "$m" --steps 1 --guidance 3 -o out <(noisegen -n 1 --shape 2)
	assert_output --partial "no classes"
	assert_absent out
}

@test "labels: a conditional model needs them or a null class, and they must be classes of it" {
	run -2 denoise -m "$no_null" --steps 1 -o out <(noisegen -n 1 -m "$no_null" -l none)
	assert_output --partial "labels are needed"
	run -3 denoise -m "$fashion" --steps 1 -o out <(noisegen -n 1 --shape 1,28,28 -l 11)
	assert_output --partial "label 11"
	assert_absent out
	noisegen -n 7 --shape 1,28,28 -l cycle:12 -b 2 -i 6 -o noise
	run -3 denoise -m "$fashion" --steps 1 -o out noise
	assert_output "denoise: noise: label 11 of sample 11: the model has classes 0 to 10"
	tensorcat --to npy -n noise noise -o x.npy
	tensorcat --to npy -n label noise -o y.npy
	tensorcat --to frame -r samples sample=x.npy label=y.npy -o data
	run -3 denoise -m "$fashion" --reverse --steps 1 -o out data
	assert_output --partial "denoise: data: label 11 of sample 5: the model has classes 0 to 10"
	assert_absent out
	denoise -m "$fashion" --steps 1 -o a <(noisegen -n 1 -m "$fashion" -l none)
	denoise -m "$fashion" --steps 1 -o b <(noisegen -n 1 -m "$fashion" -l 10)
	frames a 'assert (f["sample"] == read("b")[1]["sample"]).all() and h["fields"] == ["noise", "sample"]'
	# labels that the model has no use for are passed over
	denoise -m "$m" --steps 1 -o c <(noisegen -n 3 --shape 2 -l 7)
	frames c 'assert len(f["sample"]) == 3'
}

@test "where labels are needed, the message says how to make them" {
	run -2 denoise -m "$no_null" --steps 1 -o out <(noisegen -n 1 -m "$no_null" -l none)
	assert_output --partial "labels are needed (noisegen -l uniform:5)"
	noisegen -n 1 -m "$no_null" -l uniform:5 | denoise -m "$no_null" --steps 1 -o out
}

@test "noise of another shape than the model's is refused, both named" {
	run -3 denoise -m "$m" -o out <(noisegen -n 1 --shape 3)
	assert_output --partial "[3]"
	assert_output --partial "[2]"
	assert_absent out
}

@test "an epsilon model cannot start where the signal is zero" {
	local s=$cifar/scheduler/scheduler_config.json
	"$PYTHON" -c 'import json, sys
c = json.load(open(sys.argv[1]))
json.dump(c | {"_class_name": "DDIMScheduler", "prediction_type": "epsilon", "rescale_betas_zero_snr": True,
               "timestep_spacing": "trailing"}, open("zero.json", "w"))' "$s"
	run -1 denoise -m "$cifar" --scheduler zero.json -o out "$files/noise8"
	assert_output --partial "alpha = 0"
	assert_absent out
	# later in the schedule there is a signal
	denoise -m "$cifar" --scheduler zero.json --spacing leading -q --steps 2 -o out "$files/noise8"
}

@test "a spacing that begins late warns, -q does not" {
	run -0 --separate-stderr denoise -m "$cifar" --spacing leading --steps 2 -o out "$files/noise8"
	[[ $stderr == "denoise: warning: "*"--spacing trailing"* ]]
	run -0 denoise -m "$cifar" --spacing leading --steps 2 -q -o out "$files/noise8"
	assert_output ""
	# where there is hardly anything but noise all the same, those who ask are told
	run -0 --separate-stderr denoise -m "$cifar" --spacing leading --steps 10 -o out "$files/noise8"
	assert_equal "$stderr" ""
	run -0 denoise -m "$cifar" --spacing leading --steps 10 -v -o out "$files/noise8"
	assert_output --partial "first step is at t = 900, where sigma/alpha is 60.8"
	# it is the noise that counts, not the time: the cosine schedule has 6.4 there
	"$PYTHON" -c 'import json, sys
json.dump(json.load(open(sys.argv[1])) | {"beta_schedule": "squaredcos_cap_v2"}, open("cosine.json", "w"))' \
		"$cifar/scheduler/scheduler_config.json"
	run -0 denoise -m "$cifar" --scheduler cosine.json --spacing leading --steps 10 -o out "$files/noise8"
	assert_output --partial "warning: the first step is at t = 900"
}

# fault NAME CODE: the cifar-like model with tensors t (name: (dtype, shape, bytes)) or config c changed, as folder NAME.
fault()
{
	cp -r "$cifar" "$1"
	"$PYTHON" - "$1/unet" "$2" <<-'EOF'
	import json
	import struct
	import sys
	path, config = sys.argv[1] + "/diffusion_pytorch_model.safetensors", sys.argv[1] + "/config.json"
	raw = open(path, "rb").read()
	n, = struct.unpack("<Q", raw[:8])
	head, data, c = json.loads(raw[8:8 + n]), raw[8 + n:], json.load(open(config))
	meta = head.pop("__metadata__", {})
	t = {k: (v["dtype"], v["shape"], data[slice(*v["data_offsets"])]) for k, v in head.items()}
	exec(sys.argv[2])
	head, data = {"__metadata__": meta}, b""
	for k, (dtype, shape, b) in t.items():
	    head[k] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(b)]}
	    data += b
	text = json.dumps(head).encode()
	open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
	json.dump(c, open(config, "w"))
	EOF
}

# refused NAME WORD...: denoise does not take the model NAME, with a message that has every WORD.
refused()
{
	run -3 denoise -m "$1" --steps 1 -o out "$files/noise8"
	for word in "${@:2}"; do assert_output --partial "$word"; done
	assert_absent out
}

@test "weights that are not this network's: the file and the tensor are named" {
	fault same 'pass'
	denoise -m same --steps 1 -o out "$files/noise8"
	rm out
	fault missing 't.pop("conv_in.bias")'
	refused missing missing/unet/diffusion_pytorch_model.safetensors conv_in.bias missing
	fault extra 't["conv_in.spare"] = ("F32", [1], b"1234")'
	refused extra extra/unet/diffusion_pytorch_model.safetensors conv_in.spare
	fault misshapen 'd, s, b = t["conv_in.bias"]; t["conv_in.bias"] = (d, [s[0] // 2, 2], b)'
	refused misshapen misshapen/unet/diffusion_pytorch_model.safetensors conv_in.bias "2]"
	fault doubles 'd, s, b = t["conv_in.bias"]; t["conv_in.bias"] = ("F64", s, b + b)'
	refused doubles doubles/unet/diffusion_pytorch_model.safetensors conv_in.bias
	fault long 'pass'
	echo >>long/unet/diffusion_pytorch_model.safetensors
	refused long long/unet/diffusion_pytorch_model.safetensors
	fault short 'pass'
	truncate -s -1 short/unet/diffusion_pytorch_model.safetensors
	refused short short/unet/diffusion_pytorch_model.safetensors
}

@test "configs that are not understood: the file and the key are named" {
	fault type 'c["layers_per_block"] = "two"'
	refused type type/unet/config.json layers_per_block
	fault unknown 'c["flux_capacitor"] = 88'
	refused unknown unknown/unet/config.json flux_capacitor
	fault class 'c["_class_name"] = "UNet3DModel"'
	refused class class/unet/config.json UNet3DModel
	fault drop 'c["dropout"] = 1.5'
	refused drop drop/unet/config.json dropout
	fault odd 'c["block_out_channels"] = [-32, 64]'
	refused odd odd/unet/config.json block_out_channels
	fault json 'pass'
	echo '{"_class_name": "UNet2DModel"' >json/unet/config.json
	refused json json/unet/config.json
	fault sched 'pass'
	echo '{"_class_name": "LCMScheduler"}' >sched/scheduler/scheduler_config.json
	refused sched sched/scheduler/scheduler_config.json LCMScheduler
	mkdir none
	run -1 denoise -m none -o out "$files/noise8"
	assert_output --partial "config.json"
}

@test "options that make no sense: status 2" {
	local args
	for args in "" "-m $m --steps 0" "-m $m --steps x" "-m $m --solver ab2" "-m $m --spacing dense" "-m $m --guidance w" \
		"-m $m --clip=0" "-m $m -b 0" "-m $m --null-class -1" "-m $m one two" "-m $m -d cuda:x" "-m $m -d tpu"; do
		# shellcheck disable=SC2086
		run -2 denoise $args -o out </dev/null
		assert_output --partial "denoise: "
	done
	assert_absent out
}

@test "the manual's examples run as they stand, whatever the scheduler's spacing" {
	local spacing
	"$PYTHON" -c 'import numpy as np
for name, a in ("t10k-images-idx3", np.zeros((2, 28, 28), "u1")), ("t10k-labels-idx1", np.zeros(2, "u1")):
    open(name + "-ubyte", "wb").write(bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">i4").tobytes() + a.tobytes())'
	gzip t10k-*
	cp -r "$fashion" MODEL
	"$PYTHON" - "$top/man/denoise.1" >examples <<-'EOF'
	import re
	import sys
	page = open(sys.argv[1]).read().split(".Sh EXAMPLES")[1].split(".Sh SEE ALSO")[0]
	text = "".join(l[4:] if l.startswith(".Dl ") else "" if l.startswith(".") else l for l in page.splitlines(True))
	commands = re.findall(r"^\$ (.*(?:\n    .*)*)", text, re.M)
	assert len(commands) == 7, commands
	for c in commands:  # of little size, which is all that is changed
	    c = c.replace("\\e\n", "\n").replace("\n", " ").replace("50000", "2").replace("hutchinson:4", "hutchinson")
	    c = c.replace("0.02", "$limit")
	    c = re.sub(r"--steps (\d+)", lambda m: f"--steps {int(m[1]) // 10}", c).replace("denoise ", "denoise -q ")
	    c = re.sub(r"--spacing exponential", "--steps 1 --spacing exponential", c)
	    print(c.replace("rectrain ", "rectrain -q --steps 1 -b 2 "))
	EOF
	for spacing in trailing leading; do
		rm -rf RECTIFIED* again ./*.tar pairs
		"$PYTHON" -c 'import json, sys
path = "MODEL/scheduler/scheduler_config.json"
c = json.load(open(path))
json.dump(c | {"_class_name": "DDIMScheduler", "timestep_spacing": sys.argv[1]}, open(path, "w"))' $spacing
		noisegen -n 2 -m MODEL | denoise -q -m MODEL --steps 2 --spacing trailing --error -f -o some
		limit=$(frames some 'print(f["error"].mean())') bash -euo pipefail examples # so that one is below, one above
	done
	frames pairs 'assert f["knots"].shape == (2, 3, 1, 28, 28)'
	run -0 cat logp.csv
	assert_equal "${#lines[@]}" 3 # and a line of names
}

@test "an empty stream of noise is an empty stream of pairs" {
	noisegen -n 0 --shape 2 | denoise -m "$m" -o out
	frames out 'assert not f and h["role"] == "pairs" and end["samples"] == 0'
}
