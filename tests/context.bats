#!/usr/bin/env bats
# Networks that are conditioned on contexts: what labels stand for, from noise to a rectified model.
# shellcheck disable=SC2154 # what start sets
load common
load training

setup()
{
	start
	export prelude='rows = np.random.default_rng(7).normal(size=(4, 5, 6)).astype("<f4")' # of contexts
}

# network DIR: such a network without weights, and its contexts.
network()
{
	mkdir -p "$1/unet" "$1/scheduler"
	cat >"$1/unet/config.json" <<-EOF
	{"_class_name": "UNet2DConditionModel", "sample_size": [4, 6], "in_channels": 4, "out_channels": 4,
	 "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2, "cross_attention_dim": 6,
	 "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}
	EOF
	cat >"$1/scheduler/scheduler_config.json" <<-EOF
	{"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
	 "set_alpha_to_one": false, "steps_offset": 1, "clip_sample": false}
	EOF
	python "write('$1/contexts.safetensors', {'contexts': rows}, {'null_class': '3', 'prompts': 'a cat'})"
}

# model DIR: the same, trained for a moment.
model()
{
	network "$1.new"
	python "np.save('$1.x.npy', np.random.default_rng(1).normal(size=(24, 4, 4, 6)).astype('<f4'))
np.save('$1.label.npy', np.arange(24, dtype='<i4') % 3)"
	rectrain -q --init "$1.new" -o "$1" --coupling independent --steps 12 --batch 4 --lr 1e-2 --warmup 1 sample="$1.x.npy" \
		label="$1.label.npy"
}

@test "from noise to a rectified model, which has the contexts too" {
	model m
	run tensorcat m
	assert_line --regexp '^  contexts +4 rows of 5 tokens of 6 numbers'
	assert_line --regexp '^  classes +4, of which 3 stands for none$'
	noisegen -n 40 -s 1 -m m -o noise
	frames noise 'assert set(f["label"]) == {0, 1, 2}, "the null class is left out"'
	denoise -q -m m --steps 3 --guidance 2 noise | pairpack -o pairs.tar
	rectrain -q -m m -o r --steps 6 --batch 4 pairs.tar
	assert_absent r/model_index.json
	cmp r/contexts.safetensors m/contexts.safetensors
	python "m = read('r/contexts.safetensors'); assert (m[0]['contexts'] == rows).all() and m[1]['prompts'] == 'a cat', m[1]"
	run tensorcat r
	assert_line --regexp '^  contexts hash +[0-9a-f]{16}$'
	hash=$(tensorcat r | sed -n 's/^  contexts hash *//p')
	metadata r/unet/diffusion_pytorch_model.safetensors 'assert run["contexts"] == "'"$hash"'" and run["null_class"] == 3
d = json.loads(m["rectdiff.data"]); assert d["contexts"] == run["contexts"] and d["null_class"] == 3, d'
	odesample -q -m r -n 6 -l cycle:3 --steps 2 -o samples
	frames samples 'assert f["sample"].shape == (6, 4, 4, 6) and list(f["label"]) == [0, 1, 2, 0, 1, 2]'
}

@test "labels by default leave the null row out, wherever it is" {
	local null
	model m
	noisegen -n 200 -s 5 -m m -o last
	for null in 0 1; do
		python "write('m/contexts.safetensors', {'contexts': rows}, {'null_class': '$null'})"
		noisegen -n 200 -s 5 -m m -o noise
		frames last "g, label = read('noise'), f['label'] + (f['label'] >= $null)
assert g[0][0]['meta']['labels'] == 'uniform:4:without:$null' and set(label) == {0, 1, 2, 3} - {$null}
assert (g[1]['label'] == label).all() and h['meta']['labels'] == 'uniform:3'"
	done
	odesample -q -m m -n 200 -s 5 --steps 1 -o samples
	frames samples "assert (f['label'] == read('noise')[1]['label']).all()"
	odesample -q -m m -n 200 -s 5 --steps 1 --null-class 2 -o told
	frames told "assert set(f['label']) == {0, 1, 3}"
}

@test "a label is its row: rows in another order under other labels, and of another type" {
	model m
	odesample -q -m m -n 3 -l cycle:3 --steps 2 -o a
	cp -r m turned
	python "write('turned/contexts.safetensors', {'contexts': rows[::-1].copy()}, {'null_class': '0'})"
	for k in 0 1 2; do
		odesample -q -m turned -n 3 -l $((3 - k)) --steps 2 -o "b$k"
		frames a "close(f['sample'][$k:$k + 1], read('b$k')[1]['sample'][$k:$k + 1], 0)"
	done
	frames b0 'assert abs(f["sample"] - read("b1")[1]["sample"]).max() > 1e-4, "rows make no difference"'
	python "write('turned/contexts.safetensors', {'contexts': rows.astype('<f2')})
write('m/contexts.safetensors', {'contexts': rows.astype('<f2').astype('<f4')})"
	odesample -q -m turned -n 3 -l cycle:3 --steps 2 -o half
	odesample -q -m m -n 3 -l cycle:3 --steps 2 -o single
	frames half 'close(f["sample"], read("single")[1]["sample"], 0)'
}

@test "guidance is towards the label and away from the null row" {
	model m
	odesample -q -m m -n 2 -l 1 --steps 1 --trajectory -o one
	odesample -q -m m -n 2 -l 3 --steps 1 --trajectory -o null
	odesample -q -m m -n 2 -l 1 --steps 1 --guidance 3 --trajectory -o guided
	frames guided 'one, null = read("one")[1]["eps"], read("null")[1]["eps"]
close(f["eps"][:, 0], null[:, 0] + 3 * (one[:, 0] - null[:, 0]), 1e-5)'
	python "write('m/contexts.safetensors', {'contexts': rows})"
	run odesample -q -m m -n 2 -l 1 --steps 1 --guidance 3
	assert_failure
	assert_output --partial 'm records no null class'
	odesample -q -m m -n 2 -l 1 --steps 1 --guidance 3 --null-class 3 --trajectory -o named
	frames named 'close(f["eps"], read("guided")[1]["eps"], 0)'
}

@test "labels of other contexts are refused, and pairs of two kinds are not mixed" {
	model m
	noisegen -n 8 -s 1 -m m | denoise -q -m m --steps 2 | pairpack -o a.tar
	cp -r m other
	python "write('other/contexts.safetensors', {'contexts': rows + 1}, {'null_class': '3'})"
	run rectrain -q -m other -o result --steps 1 --batch 4 a.tar
	assert_failure
	assert_output --partial 'a.tar: its labels stand for the contexts '
	assert_absent result
	noisegen -n 8 -s 2 -m m | denoise -q -m other --steps 2 | pairpack -o b.tar
	run rectrain -q -m m -o r --steps 1 --batch 4 a.tar b.tar
	assert_failure
	assert_output --partial 'b.tar: its contexts '
	odesample -q -m m -n 4 --steps 1 -o samples
	run denoise -q -m other --reverse --steps 2 samples
	assert_failure
	assert_output --partial 'samples: its labels stand for the contexts '
}

@test "a run with other contexts is another run" {
	model m
	python "np.save('l.npy', np.zeros(24, '<i4'))"
	rectrain -q -m m -o r --coupling independent --steps 2 --batch 4 sample=m.x.npy label=l.npy
	rectrain -q -m m -o r --coupling independent --steps 2 --batch 4 sample=m.x.npy label=l.npy
	python "write('m/contexts.safetensors', {'contexts': rows + 1}, {'null_class': '3'})"
	run rectrain -q -m m -o r --coupling independent --steps 2 --batch 4 sample=m.x.npy label=l.npy
	assert_failure
	assert_output --partial 'contexts'
}

@test "contexts that are missing, damaged or do not fit are refused by name" {
	model m
	mv m/contexts.safetensors kept
	unsampled 'm: the network is conditioned on contexts' 'no contexts.safetensors' 'rdmodel(5)'
	run tensorcat m
	assert_success
	assert_line --regexp '^  contexts +none yet: the network takes tokens of 6 numbers$'
	python "write('m/contexts.safetensors', {'contexts': rows[:, :, :5].copy()})"
	unsampled 'm/contexts.safetensors: contexts of 5 numbers a token, the network takes 6 (cross_attention_dim)'
	python "write('m/contexts.safetensors', {'rows': rows})"
	unsampled 'm/contexts.safetensors: there is no tensor `contexts` in it'
	python "write('m/contexts.safetensors', {'contexts': rows, 'more': rows})"
	unsampled 'm/contexts.safetensors: another tensor than `contexts` and `vectors` in it'
	python "write('m/contexts.safetensors', {'contexts': rows, 'vectors': rows[:, 0].copy()})"
	unsampled 'm/contexts.safetensors: vectors of 6 numbers, the network takes 0 (0: none; projection_class_embeddings_input_dim)'
	python "write('m/contexts.safetensors', {'contexts': rows, 'vectors': rows[:3, 0].copy()})"
	unsampled 'm/contexts.safetensors: 3 vectors beside 4 contexts'
	python "write('m/contexts.safetensors', {'contexts': rows[0]})"
	unsampled 'm/contexts.safetensors: contexts has shape [5, 6]; [rows, tokens, dim] expected'
	python "write('m/contexts.safetensors', {'contexts': rows[:0]})"
	unsampled 'm/contexts.safetensors: contexts has shape [0, 5, 6]'
	python "write('m/contexts.safetensors', {'contexts': rows.astype('<f8')})"
	unsampled 'm/contexts.safetensors: contexts is of type F64'
	python "write('m/contexts.safetensors', {'contexts': rows}, {'null_class': '4'})"
	unsampled "m/contexts.safetensors: metadata: null_class: '4' is none of the network's 4 classes"
	python "rows[1, 2, 3] = np.nan; write('m/contexts.safetensors', {'contexts': rows})"
	run odesample -q -m m -n 1 -l 1 --steps 2
	assert_failure
	assert_output 'odesample: label 1: its context holds NaN or infinities'
	odesample -q -m m -n 1 -l 2 --steps 2 -o fine
	head -c 200 kept >m/contexts.safetensors
	unsampled 'm/contexts.safetensors: '
	cp kept m/contexts.safetensors
	odesample -q -m m -n 1 --steps 2 -o fine
	run odesample -q -m m -n 1 -l 4 --steps 2
	assert_failure
	cp kept d.safetensors
	cp -r "$cifar" m2
	chmod -R u+w m2
	cp kept m2/contexts.safetensors
	run odesample -q -m m2 -n 1 --steps 2
	assert_failure
	assert_output --partial 'm2/contexts.safetensors: the network is not conditioned on contexts'
}

@test "vectors beside the contexts, as Stable Diffusion XL has them" {
	network m.new
	python "edit('m.new/unet/config.json', addition_embed_type='text_time', addition_time_embed_dim=2,
     projection_class_embeddings_input_dim=7)
write('m.new/contexts.safetensors', {'contexts': rows, 'vectors': rows.reshape(4, 30)[:, :7].astype('<f2')}, {'null_class': '3'})
np.save('x.npy', np.random.default_rng(1).normal(size=(24, 4, 4, 6)).astype('<f4'))
np.save('label.npy', np.arange(24, dtype='<i4') % 3)"
	rectrain -q --init m.new -o m --coupling independent --steps 12 --batch 4 --lr 1e-2 --warmup 1 sample=x.npy label=label.npy
	python "a, b = read('m/contexts.safetensors'), read('m.new/contexts.safetensors')
assert a[1] == b[1] and a[0].keys() == b[0].keys() and all(a[0][k].tobytes() == b[0][k].tobytes() for k in b[0]), a[1]"
	run tensorcat m
	assert_line --regexp '^  contexts +4 rows of 5 tokens of 6 numbers, and vectors of 7'
	odesample -q -m m -n 3 -l cycle:3 --steps 2 --guidance 2 -o a
	cp -r m other
	python "write('other/contexts.safetensors', {'contexts': rows, 'vectors': rows.reshape(4, 30)[[0, 2, 2, 3], :7].astype('<f2')}, {'null_class': '3'})"
	odesample -q -m other -n 3 -l cycle:3 --steps 2 --guidance 2 -o b
	frames a 'b = read("b")[1]["sample"]
close(f["sample"][[0, 2]], b[[0, 2]], 0)
assert abs(f["sample"][1] - b[1]).max() > 1e-4, "vectors make no difference"
assert h["meta"]["contexts"] != read("b")[0][0]["meta"]["contexts"]'
	grep -q 'StableDiffusionXLPipeline.from_pretrained' m/README.md
	python "write('m/contexts.safetensors', {'contexts': rows})"
	unsampled 'm/contexts.safetensors: vectors of 0 numbers, the network takes 7'
	python "edit('m/unet/config.json', projection_class_embeddings_input_dim=None)"
	unsampled 'm/unet/config.json: projection_class_embeddings_input_dim: addition_embed_type text_time needs it'
}

@test "parts of a pipeline beside such a network are left alone" {
	model m
	cat >m/model_index.json <<-EOF
	{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
	 "scheduler": ["diffusers", "DDIMScheduler"], "vae": ["diffusers", "AutoencoderKL"], "safety_checker": [null, null],
	 "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
	EOF
	noisegen -n 4 -s 1 -m m | denoise -q -m m --steps 2 | pairpack -o a.tar
	rectrain -q -m m -o r --steps 1 --batch 4 a.tar
	assert_absent r/model_index.json
	run grep -c 'UNet2DConditionModel.from_pretrained' r/README.md
	assert_output 1
	grep -q 'num_inference_steps=1, guidance_scale=1)' r/README.md
	grep -q 'num_inference_steps=50)' m/README.md
}

@test "a batch of rows is one by one, and threads and training that recomputes change no bit" {
	model m
	odesample -q -m m -n 5 -s 3 --steps 2 -b 5 -o a
	odesample -q -m m -n 5 -s 3 --steps 2 -b 2 -o b
	frames a 'close(f["sample"], read("b")[1]["sample"], 2e-6)'
	noisegen -n 8 -s 1 -m m | denoise -q -m m --steps 2 | pairpack -o a.tar
	rectrain -q -m m -o r1 --steps 3 --batch 4 -j 2 a.tar
	rectrain -q -m m -o r2 --steps 3 --batch 4 -j 2 --recompute a.tar
	run rectrain -m m -o r --steps 7 --batch 4 --snapshot-every 2 --dry-run a.tar
	assert_line --regexp '^rectrain: writes r \([0-9.]* MB\) and, on the way, r.ckpt .* every 500 steps and 3 snapshots \([0-9.]* MB\) every 2$'
	tensors r1/unet/diffusion_pytorch_model.safetensors >r1.bin
	tensors r2/unet/diffusion_pytorch_model.safetensors >r2.bin
	cmp r1.bin r2.bin
}
