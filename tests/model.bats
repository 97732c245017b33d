#!/usr/bin/env bats
# Model folders: what is read, what is refused and how it is said, what is written.
# shellcheck disable=SC2154 # what start sets
load common

setup()
{
	start
	export PYTHONPATH=$top/tests prelude='import json, os, folders
if os.path.exists("m/" + WEIGHTS):
    t, meta = read("m/" + WEIGHTS)'
	cp -r "$cifar" m
	chmod -R u+w m
	w=m/unet/diffusion_pytorch_model
}

hash_of() { tensorcat "$1" | sed -n 's/^  hash  *//p'; }

# refused STATUS PART...: m is not read, and every PART is in the message.
refused()
{
	run tensorcat m
	assert_failure "$1"
	for part in "${@:2}"; do
		assert_output --partial "$part"
	done
	assert_equal "${#lines[@]}" 1
}

# again: m as it was.
again()
{
	rm -rf m
	cp -r "$cifar" m
	chmod -R u+w m
}

@test "shards are read as one file is" {
	before=$(hash_of m)
	for n in 1 3 7; do
		again
		python "shards('m', $n)"
		assert_equal "$(hash_of m)" "$before"
	done
	run tensorcat m
	assert_line --regexp '^  shards +7$'
	assert_line --regexp '^  weights +m/unet/diffusion_pytorch_model.safetensors.index.json, F32$'
	odesample -q -m m -n 1 --steps 2 -o a
	odesample -q -m "$cifar" -n 1 --steps 2 -o b
	frames a 'close(f["sample"], read("b")[1]["sample"], 0)'
}

@test "an index goes before a single file, as in diffusers" {
	before=$(hash_of m)
	cp "$w.safetensors" whole
	python 'shards("m", 2)'
	"$PYTHON" -c 'import sys; sys.path[0] = ""
from folders import *
t, meta = read("whole")
write("m/" + WEIGHTS, {k: v * 0 for k, v in t.items()}, meta)'
	assert_equal "$(hash_of m)" "$before"
}

@test "an index may name files beside it, and nothing else" {
	python 'shards("m", 2)'
	for name in '"../unet/diffusion_pytorch_model-00001-of-00002.safetensors"' '"/etc/passwd"' '"a/b"' '".."' '"."' '""' \
		'".hidden"' 5 null '["a"]' "\"$(printf 'x%.0s' {1..300})\""; do
		cp "$w.safetensors.index.json" keep
		python "where = json.load(open('keep'))['weight_map']
where['conv_in.bias'] = json.loads(sys.argv[2])
put_index('m', where)" "$name"
		refused 3 index.json "conv_in.bias: the name of a file beside it expected"
		mv keep "$w.safetensors.index.json"
	done
	python 'put_index("m", {"x%d" % i: "f%d" % i for i in range(2000)})'
	refused 1 f0 "No such file"
}

@test "an index that is none" {
	for text in '{}' '{"weight_map": []}' '{"weight_map": "x"}' '{"weight_map": null}'; do
		echo "$text" >"$w.safetensors.index.json"
		refused 3 safetensors.index.json "weight_map: an object expected"
	done
	echo '{"weight_map": {}}' >"$w.safetensors.index.json"
	refused 3 safetensors.index.json "weight_map: it names no file"
	echo '{"weight_map": {' >"$w.safetensors.index.json"
	refused 3 safetensors.index.json "line 2, at weight_map"
}

@test "shards and index that disagree" {
	python 'where = shards("m", 2)
where["conv_in.bias"] = [f for f in set(where.values()) if f != where["conv_in.bias"]][0]
put_index("m", where)'
	refused 3 "tensor conv_in.bias is not in it"
	again
	python 'where = shards("m", 2)
del where["conv_in.bias"]
put_index("m", where)'
	refused 3 -of-00002.safetensors "tensor conv_in.bias is in it" nowhere
	again
	python 'where = shards("m", 2)
other = [f for f in set(where.values()) if f != where["conv_in.bias"]][0]
part, meta = read("m/unet/" + other)
write("m/unet/" + other, {**part, "conv_in.bias": t["conv_in.bias"]}, meta)'
	refused 3 "tensor conv_in.bias is in it" "into another file"
	again
	python 'where = shards("m", 2)
os.remove("m/unet/" + where["conv_in.bias"])'
	refused 1 index.json -of-00002.safetensors "No such file"
}

@test "shards that miss a tensor of the network, or have one more" {
	python 'del t["conv_in.bias"]; write("m/" + WEIGHTS, t, meta); shards("m", 2)'
	refused 3 index.json "tensor conv_in.bias is missing"
	again
	python 't["more"] = t["conv_in.bias"]; write("m/" + WEIGHTS, t, meta); shards("m", 2)'
	refused 3 -of-00002.safetensors "tensor more is not part of this network"
}

@test "a variant is taken where it is the only one, and told" {
	python 'write("m/unet/diffusion_pytorch_model.fp16.safetensors", {k: v.astype("<f2") for k, v in t.items()}, meta)'
	assert_equal "$(hash_of m)" "$(hash_of "$cifar")"
	rm "$w.safetensors"
	run tensorcat m
	assert_line --regexp '^  weights +m/unet/diffusion_pytorch_model.fp16.safetensors, F16, variant fp16$'
	run odesample -v -m m -n 1 --steps 1 -o a
	assert_success
	assert_output --partial "variant fp16"
	python 't, meta = read("m/unet/diffusion_pytorch_model.fp16.safetensors")
write("m/" + WEIGHTS, {k: v.astype("<f4") for k, v in t.items()}, meta)'
	whole=$(hash_of m)
	rm "$w.safetensors"
	assert_equal "$(hash_of m)" "$whole"
	cp "$w.fp16.safetensors" "$w.raw.safetensors"
	refused 3 m/unet "fp16, raw"
}

@test "a variant in shards" {
	for name in diffusion_pytorch_model-%05d-of-%05d.fp16.safetensors diffusion_pytorch_model.fp16-%05d-of-%05d.safetensors; do
		again
		python "shards('m', 2, '$name', 'unet/diffusion_pytorch_model.safetensors.index.fp16.json')"
		run tensorcat m
		assert_success
		assert_line --regexp '^  weights +m/unet/diffusion_pytorch_model.safetensors.index.fp16.json, F32, variant fp16$'
		assert_line --regexp '^  shards +2$'
	done
	rm "$w.safetensors.index.fp16.json"
	refused 1 "there is no diffusion_pytorch_model.safetensors in it"
}

@test "pickles are refused, and how to convert them is said" {
	mv "$w.safetensors" "$w.bin"
	refused 3 "m/unet: its weights are a pickle" "M.from_pretrained('m/unet', use_safetensors=False).save_pretrained('m/unet')"
	rm "$w.bin"
	refused 1 "m/unet: there is no diffusion_pytorch_model.safetensors in it"
}

@test "pipelines of other kinds are refused by name" {
	index() { python "edit('m/model_index.json', $1)"; }
	index '_class_name="TextToVideoSDPipeline", unet=["diffusers", "UNet3DConditionModel"]'
	refused 3 "m/model_index.json: unet: the network of a TextToVideoSDPipeline is a UNet3DConditionModel"
	index '_class_name="LDMPipeline", unet=["diffusers", "UNet2DModel"], vqvae=["diffusers", "VQModel"]'
	refused 3 "m/model_index.json: vqvae: a LDMPipeline has a VQModel beside its network and scheduler"
	run noisegen -n 1 -m m -o a
	assert_failure 3
	assert_output --partial "m/model_index.json: vqvae"
	index 'vqvae=..., unet=["diffusers"]'
	refused 3 'm/model_index.json: unet: ["library", "class"] expected'
	index 'unet="UNet2DModel"'
	refused 3 'm/model_index.json: unet: ["library", "class"] expected'
	index '_class_name=5, unet=["diffusers", "UNet2DModel"]'
	refused 3 'm/model_index.json: _class_name: a string expected'
	index '_class_name="DDPMPipeline", safety_checker=[None, None], requires_safety_checker=False, _note=["a"]'
	run tensorcat m
	assert_success
}

@test "damaged weights: file and tensor are named" {
	python 'del t["conv_in.bias"]; write("m/" + WEIGHTS, t)'
	refused 3 "$w.safetensors: tensor conv_in.bias is missing"
	python 'write("m/" + WEIGHTS, {**t, "conv_in.bias": np.zeros(16, "f4"), "more": np.zeros(1, "f4")})'
	refused 3 "$w.safetensors: tensor more is not part of this network"
	again
	python 'write("m/" + WEIGHTS, {**t, "conv_in.bias": t["conv_in.bias"][1:]})'
	refused 3 "$w.safetensors: tensor conv_in.bias has shape [15], the config asks for [16]"
	again
	python 'write("m/" + WEIGHTS, {**t, "conv_in.bias": t["conv_in.bias"].astype("<i8")})'
	refused 3 "$w.safetensors: tensor conv_in.bias has type I64"
}

@test "damaged safetensors: file and tensor are named" {
	damage()
	{
		again
		python "head, data = layout(t, meta)
b = head['conv_norm_out.bias']
lo, hi = b['data_offsets']
$1
write_raw('m/' + WEIGHTS, head, data)"
	}
	damage 'b["data_offsets"] = [lo - 64, hi - 64]'
	refused 3 "$w.safetensors" "overlaps"
	damage 'data = data[:lo] + b"1234" + data[lo:]
for v in head.values():
    if "data_offsets" in v and v["data_offsets"][0] >= lo: v["data_offsets"] = [x + 4 for x in v["data_offsets"]]'
	refused 3 "$w.safetensors: conv_norm_out.bias: a hole before the tensor"
	damage 'data += b"x"'
	refused 3 "$w.safetensors: 1 bytes behind the last tensor"
	damage 'data = data[:-1]'
	refused 3 "$w.safetensors" "outside the"
	damage 'b["shape"] = [17]'
	refused 3 "$w.safetensors: conv_norm_out.bias: F32 [17] does not fill 64 bytes"
	damage 'b["shape"] = [-16]'
	refused 3 "$w.safetensors: conv_norm_out.bias: shape"
	damage 'b["dtype"] = "Q7"'
	refused 3 "$w.safetensors: conv_norm_out.bias: dtype Q7 is not known"
	damage 'del b["dtype"]'
	refused 3 "$w.safetensors: conv_norm_out.bias: dtype"
	damage 'head["__metadata__"] = {"null_class": 3}'
	refused 3 "$w.safetensors: __metadata__: null_class is not a string"
	again
	for n in 0 7 8 100; do
		head -c "$n" "$cifar/unet/diffusion_pytorch_model.safetensors" >"$w.safetensors"
		refused 3 "$w.safetensors" truncated
	done
}

@test "a null class that is no class of the network" {
	python 'write("m/" + WEIGHTS, t, {"format": "pt", "null_class": "0"})'
	refused 3 "$w.safetensors: metadata: null_class: '0' is none of the network's 0 classes"
	rm -r m
	cp -r "$fashion" m
	chmod -R u+w m
	run tensorcat m
	assert_line --regexp '^  classes +11, of which 10 stands for none$'
	for v in 11 -1 x "" 99999999999999999999 "1 " 1.0; do
		python 'write("m/" + WEIGHTS, t, {"format": "pt", "null_class": sys.argv[2]})' "$v"
		refused 3 "$w.safetensors: metadata: null_class: '$v' is none of the network's 11 classes"
	done
}

# wrong_values CONFIG KINDS: gives every key of CONFIG (of a folder m) every value that it cannot have. KINDS names the keys
# of each kind; the message must name file and key. What some keys may be given all the same is left out by `fine`.
wrong_values()
{
	"$PYTHON" - "$@" <<-'EOF'
	import json, math, subprocess, sys
	path, kinds = sys.argv[1], json.loads(sys.argv[2])
	text = open(path).read()
	whole = json.loads(text)
	any_kind = {"object": {}, "huge": "@1e400", "huge integer": 10 ** 30, "nan": math.nan, "infinite": math.inf, "empty list": []}
	number = {"large": 1e30, "minus infinite": -math.inf, "very negative": -1e30}
	wrong = {
	    "string": {"number": 3, "true": True, "list": ["x"], "null": None},
	    "switch": {"string": "true", "number": 1, "list": [True], "null": None},
	    "number": {"string": "3", "true": True, "list": [1], "null": None, **number},
	    "whole": {"string": "3", "true": True, "list": [1], "null": None, "fraction": 2.5, "negative": -1, **number},
	    "list": {"string": "x", "number": 3, "true": True, "null": None},
	}
	fine = {("trained_betas", "null"), ("lambda_min_clipped", "infinite"), ("lambda_min_clipped", "minus infinite"),
	        ("lambda_min_clipped", "large"), ("lambda_min_clipped", "very negative"), ("freq_shift", "negative"),
	        *((k, "null") for k in ("sample_size", "time_embedding_dim", "mid_block_type", "attention_head_dim",
	          "attn_norm_num_groups", "class_embed_type", "num_class_embeds", "num_train_timesteps", "variance_type",
	          "downsample_type", "upsample_type", "add_attention", "center_input_sample", "flip_sin_to_cos",
	          "base_shift", "max_shift", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
	          if k != "num_train_timesteps" or "unet" in path)}
	bad, tried = [], 0
	for key, kind in ((k, kind) for kind, keys in kinds.items() for k in keys.split()):
	    for what, value in {**any_kind, **wrong[kind]}.items():
	        if (key, what) in fine:
	            continue
	        open(path, "w").write(json.dumps({**whole, key: value}, indent=1).replace('"@1e400"', "1e400"))
	        p = subprocess.run(["tensorcat", path], capture_output=True, text=True)
	        tried += 1
	        if p.returncode not in (1, 3) or path + ": " not in p.stderr or key not in p.stderr or p.stderr.count("\n") != 1:
	            bad.append((key, what, p.returncode, p.stderr))
	open(path, "w").write(text)
	assert not bad, "\n".join(map(str, bad))
	assert set(whole) - {"_diffusers_version"} <= {k for keys in kinds.values() for k in keys.split()}, "a key was not tried"
	print(tried, "refused")
	EOF
}

@test "config.json: every key with every wrong kind of value" {
	run wrong_values m/unet/config.json '{
		"string": "_class_name act_fn downsample_type upsample_type time_embedding_type resnet_time_scale_shift mid_block_type class_embed_type",
		"switch": "add_attention center_input_sample flip_sin_to_cos",
		"number": "dropout freq_shift mid_block_scale_factor norm_eps",
		"whole": "attention_head_dim attn_norm_num_groups downsample_padding in_channels layers_per_block norm_num_groups num_class_embeds num_train_timesteps out_channels sample_size time_embedding_dim",
		"list": "block_out_channels down_block_types up_block_types"}'
	assert_success
	assert_output "344 refused"
}

@test "scheduler_config.json: every key with every wrong kind of value" {
	python 'with open("m/scheduler/scheduler_config.json", "r+") as f:
    o = json.load(f)
for name, more in [("DDPMScheduler", {}), ("DPMSolverMultistepScheduler", {"solver_order": 2, "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint", "lower_order_final": True, "euler_at_final": False, "final_sigmas_type": "zero",
        "lambda_min_clipped": -float("inf"), "use_karras_sigmas": False, "use_lu_lambdas": False,
        "use_exponential_sigmas": False, "use_beta_sigmas": False, "use_flow_sigmas": False, "flow_shift": 1.0}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 1.0, "use_dynamic_shifting": False, "base_shift": 0.5, "max_shift": 1.15,
        "invert_sigmas": False, "stochastic_sampling": False})]:
    json.dump({**({} if "Flow" in name else o), "num_train_timesteps": 1000, "_class_name": name, **more}, open(name + ".json", "w"))'
	common=('"string": "_class_name beta_schedule prediction_type timestep_spacing variance_type'
	        '"switch": "clip_sample rescale_betas_zero_snr thresholding'
	        '"number": "beta_start beta_end clip_sample_range dynamic_thresholding_ratio sample_max_value'
	        '"whole": "num_train_timesteps steps_offset' '"list": "trained_betas"')
	run wrong_values DDPMScheduler.json "{${common[0]}\", ${common[1]}\", ${common[2]}\", ${common[3]}\", ${common[4]}}"
	assert_success
	run wrong_values DPMSolverMultistepScheduler.json "{${common[0]} algorithm_type solver_type final_sigmas_type\",
		${common[1]} lower_order_final euler_at_final use_karras_sigmas use_lu_lambdas use_exponential_sigmas use_beta_sigmas use_flow_sigmas\",
		${common[2]} lambda_min_clipped flow_shift\", ${common[3]} solver_order\", ${common[4]}}"
	assert_success
	run wrong_values FlowMatchEulerDiscreteScheduler.json '{"string": "_class_name", "whole": "num_train_timesteps",
		"switch": "use_dynamic_shifting invert_sigmas stochastic_sampling", "number": "shift base_shift max_shift"}'
	assert_success
}

@test "a wrong config is refused by whatever reads the folder" {
	python 'edit("m/unet/config.json", norm_eps="small")'
	refused 3 "m/unet/config.json: norm_eps: a number expected, a string found"
	for command in "odesample -n 1" "noisegen -n 1" "denoise" "rectrain -o r --steps 1 data"; do
		# shellcheck disable=SC2086 # options are words
		run $command -m m </dev/null
		assert_failure 3
		assert_output --partial "m/unet/config.json: norm_eps: a number expected"
	done
	again
	rm m/unet/config.json
	refused 1 "m: there is no unet/config.json nor config.json in it"
	for command in "odesample -n 1" "noisegen -n 1"; do
		# shellcheck disable=SC2086 # options are words
		run -1 $command -m nothing
		assert_output "${command%% *}: nothing: No such file or directory"
	done
	again
	rm m/scheduler/scheduler_config.json
	refused 1 "m: there is no scheduler/scheduler_config.json nor scheduler_config.json in it"
	echo '{"_class_name": "x"}' >m/scheduler/scheduler_config.json
	refused 3 "m/scheduler/scheduler_config.json: _class_name"
}

@test "a scheduler that does not fit the network" {
	for v in learned learned_range; do
		python "edit('m/scheduler/scheduler_config.json', variance_type='$v')"
		refused 3 "m/scheduler/scheduler_config.json: variance_type: $v asks for twice the channels" \
			"m/unet/config.json: out_channels"
	done
	run odesample -q -m "$cifar" -n 1 --scheduler m -o a
	assert_failure 3
	assert_output --partial "m/scheduler/scheduler_config.json: variance_type"
	run odesample -q -m "$cifar" -n 1 --scheduler m/scheduler/scheduler_config.json -o a
	assert_failure 3
	assert_absent a
}

@test "tensorcat: what a model is" {
	run tensorcat m
	assert_success
	assert_line --index 0 "m: model"
	assert_line --regexp '^  network +UNet2DModel, 409219 parameters in 268 tensors$'
	assert_line --regexp '^  sample +\[3, 8, 8\]$'
	assert_line --regexp '^  classes +none$'
	assert_line --regexp '^  down_blocks.0 +DownBlock2D, 16 channels, 2 layers, down, 13808 numbers$'
	assert_line --regexp '^  down_blocks.1 +AttnDownBlock2D, 32 channels, 2 layers, attention in 1 head, down, 55136 numbers$'
	assert_line --regexp '^  mid_block +UNetMidBlock2D, 32 channels, 2 layers, attention in 1 head, 45696 numbers$'
	assert_line --regexp '^  up_blocks.2 +UpBlock2D, 16 channels, 3 layers, 28416 numbers$'
	assert_line --regexp '^  schedule +ddpm, 1000 times, linear betas 0.0001 to 0.02$'
	assert_line --regexp "^  least noise +t 0: alpha 0.99995, sigma 0.010001, network's time 0\$"
	assert_line --regexp "^  most noise +t 999: alpha 0.0063528, sigma 0.99998, network's time 999\$"
	assert_line --regexp '^  prediction +epsilon$'
	assert_line --regexp '^  sampling +dpm\+\+2m, trailing \(DDPMScheduler\)$'
	assert_line --regexp '^  clipping +none$'
	assert_line --regexp '^  weights +m/unet/diffusion_pytorch_model.safetensors, F32$'
	assert_line --regexp '^  hash +[0-9a-f]{16}$'
	refute_output --partial conv_in.bias
	python 'print(sum(v.size for v in t.values()), len(t))' >numbers
	run cat numbers
	assert_output "409219 268"
}

@test "tensorcat: tensors of a model" {
	run tensorcat --tensors m
	assert_line --index 0 "m: model"
	assert_line --regexp '^  conv_in.bias +F32 \[16\]  mean [-0-9.e]+ std [0-9.e]+ min [-0-9.e]+ max [-0-9.e]+$'
	assert_equal "$(grep -c ' F32 \[' <<<"$output")" 268
	run tensorcat -n conv_in.bias m
	assert_output --regexp '^  conv_in.bias +F32 \[16\]  mean [-0-9.e]+ std [-0-9.e]+ min [-0-9.e]+ max [-0-9.e]+$'
	python 'write("a.safetensors", {"x": np.array([[1, 2, 3], [4, 5, np.inf]], "f4"), "i": np.array([-5, 7]),
"none": np.zeros((0, 3), "f4"), "\x1b[31m": np.zeros(1, "f4")}, {"note": "two\nlines \x1b[0m"})'
	run tensorcat a.safetensors
	assert_output - <<-'END'
	a.safetensors: safetensors, 4 tensors, 9 numbers
	  x      F32 [2, 3]  mean 3 std 1.41421 min 1 max 5  1 NaN or infinite
	  i      I64 [2]  mean 1 std 6 min -5 max 7
	  none   F32 [0, 3]
	  ?[31m  F32 [1]  mean 0 std 0 min 0 max 0
	  metadata         note: two?lines ?[0m
	END
}

@test "tensorcat: a config by itself, and both in a file" {
	run tensorcat m/unet/config.json
	assert_success
	assert_line --index 0 "m/unet/config.json: network"
	assert_line --regexp '^  mid_block +UNetMidBlock2D, 32 channels'
	refute_output --partial schedule
	run tensorcat m/scheduler/scheduler_config.json
	assert_line --index 0 "m/scheduler/scheduler_config.json: scheduler"
	assert_line --regexp '^  schedule +ddpm, 1000 times'
	refute_output --partial network:
	config both.json ve epsilon '"num_class_embeds": 4,'
	run tensorcat both.json
	assert_line --index 0 "both.json: model without weights"
	assert_line --regexp '^  network +MLPModel'
	assert_line --regexp '^  classes +4, null class not recorded$'
	assert_line --regexp '^  schedule +ve, sigma 0.002 to 80$'
	run tensorcat m/model_index.json
	assert_failure 2
	assert_output --partial "name its folder"
	echo '{"a": 1}' >a.json
	run tensorcat a.json
	assert_failure 3
	assert_output --partial "a.json: _class_name: missing"
}

# trained: r, made from m.
trained()
{
	noisegen -q -n 8 -m m | denoise -q -m m --solver ddim --spacing trailing --steps 2 -o pairs
	rectrain -q -m m -o r --steps 2 -b 4 pairs
}

@test "rectrain keeps configs to the byte, records what it did, and writes a card" {
	python 'edit("m/unet/config.json", _name_or_path="owner/some-model", dropout=..., upsample_type=..., attn_norm_num_groups=...)
edit("m/scheduler/scheduler_config.json", trained_betas=..., beta_start=1e-4, _note={"a": [1, None]})
edit("m/model_index.json", _name_or_path="owner/some-model", _note=1)
for f in ("m/unet/config.json", "m/model_index.json"):
    s = open(f).read()
    open(f, "w").write("\n\n" + s.replace(": ", " :\t") + "\r\n ")'
	printf -- '---\r\nlanguage: en\r\nlicense: "cc-by-4.0"\r\ntags:\r\n- x\r\n---\r\nlicense: not this\r\n' >m/README.md
	trained
	cmp r/unet/config.json m/unet/config.json
	cmp r/scheduler/scheduler_config.json m/scheduler/scheduler_config.json
	cmp r/model_index.json m/model_index.json
	run tensorcat r
	assert_success
	assert_line --regexp '^  kind +moving average \(EMA\)$'
	assert_line --regexp "^  trained +by rectdiff [0-9.]+ from model $(hash_of m): 2 steps of 4 on 8 pairs, data [0-9a-f]{16}\$"
	run tensorcat r/unet/diffusion_pytorch_model.raw.safetensors
	assert_line --regexp '^  metadata +rectdiff.weights: raw$'
	run sed '/^---$/,/^---$/!d' r/README.md
	assert_output - <<-'END'
	---
	library_name: diffusers
	pipeline_tag: unconditional-image-generation
	license: cc-by-4.0
	base_model: owner/some-model
	tags:
	- rectdiff
	- rectified-diffusion
	- unconditional-image-generation
	---
	END
	run cat r/README.md
	assert_line "rectrain -q -m m -o r --steps 2 -b 4 pairs"
	assert_line "It began with the weights whose hash is \`$(hash_of m)\`."
	assert_line '| seed | `0` |'
	assert_line '| solver | `"ddim"` |'
}

@test "the card has a picture made only where samples make one" {
	trained
	grep -q -e '--steps 1 .*--png grid.png' r/README.md
	python 'edit("m/unet/config.json", in_channels=4, out_channels=4)
np.save("latents.npy", np.zeros((8, 4, 8, 8), "f4"))'
	rm -r m/unet/*.safetensors
	rectrain -q --init m -o four --coupling independent --steps 1 -b 4 latents.npy
	run cat four/README.md
	assert_line --regexp '^odesample -m \. -n 64 .*--steps 50 .*>samples$'
	refute_output --partial "--png"
}

@test "the card names the schedule that the network was made for, and says that it stayed only where it did" {
	local same="network, schedule and prediction type are those of the model it came from"
	trained
	grep -q "(arXiv 2410.07303); $same. Form ddpm, epsilon-prediction.\$" r/README.md
	rectrain -q -m m -o as --convert-to fm,flow --steps 1 -b 4 pairs
	run cat as/README.md
	refute_output --partial "$same"
	assert_output --partial "(arXiv 2410.07303); the network is that of the model it came from, whose form was ddpm, with epsilon-prediction. Form fm, flow-prediction."
	noisegen -q -n 8 -m m | denoise -q -m as --steps 2 -o more
	rectrain -q -m as -o on --steps 1 -b 4 more
	grep -q "; $same. Form fm, flow-prediction.\$" on/README.md
}

@test "the card names a licence and a base only where the source does" {
	card() { printf %b "$1" >m/README.md; rm -rf r; rectrain -q -m m -o r --steps 2 -b 4 pairs; }
	trained
	for text in '' '# license: mit\n' '---\nlicense:\n---\n' '---\nlicense: a: b\n---\n' '---\nxlicense: mit\n---\n' '---\nlicense: [mit]\n---\n' \
		'---\ntags:\n---\nlicense: mit\n'; do
		card "$text"
		run cat r/README.md
		refute_line --regexp '^(license|base_model)'
	done
	card '---\nlicense:\n- mit\nbase_model:\n  - owner/name\n---\n'
	run cat r/README.md
	assert_line "license: mit"
	assert_line "base_model: owner/name"
	for name in ./x /a/b a a/b/c m/unet ../x "a b/c"; do
		rm m/README.md
		python 'edit("m/unet/config.json", _name_or_path=sys.argv[2])' "$name"
		card ''
		run cat r/README.md
		refute_line --regexp '^base_model'
	done
}
