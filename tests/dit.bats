#!/usr/bin/env bats
# DiTs, and networks that put out a variance beside their prediction.
# shellcheck disable=SC2154 # what start sets
load common
load training

setup() { start; }

# model DIR: a DiT of ten classes with variances, by the name that they once had.
model()
{
	cp -r "$top/tests/golden/dit/model" "$1"
}

@test "a DiT is described" {
	model m
	run tensorcat m
	assert_line --regexp '^  network +Transformer2DModel, 20176 parameters in 44 tensors$'
	assert_line --regexp '^  sample +\[4, 8, 8\]$'
	assert_line --regexp '^  variance +as many channels again'
	assert_line --regexp '^  patches +2 x 2, 16 channels, attention in '
	assert_line --regexp '^  classes +11, of which 10 stands for none$'
	assert_line --regexp '^  pos_embed +\[16, 4, 2, 2\], 272 numbers$'
	refute_output --partial table
}

@test "from noise to a rectified DiT, whose null class nobody has to name" {
	model m
	noisegen -n 40 -s 1 -m m -o noise
	frames noise 'assert set(f["label"]) <= set(range(10)) and len(set(f["label"])) > 5, "the null class is left out"'
	denoise -q -m m --steps 3 --guidance 2 noise | pairpack -o pairs.tar
	rectrain -q -m m -o r --steps 6 --batch 4 --lr 1e-2 pairs.tar
	assert_absent r/unet
	assert_absent r/model_index.json
	cmp r/transformer/config.json m/transformer/config.json
	metadata r/transformer/diffusion_pytorch_model.safetensors 'assert run["null_class"] == 10 and m["null_class"] == "10"'
	python "a, b = read('r/transformer/diffusion_pytorch_model.safetensors')[0], read('m/transformer/diffusion_pytorch_model.safetensors')[0]
assert a.keys() == b.keys() and any((a[k] != b[k]).any() for k in a)"
	odesample -q -m r -n 6 -l cycle:3 --steps 2 -o samples
	frames samples 'assert f["sample"].shape == (6, 4, 8, 8) and list(f["label"]) == [0, 1, 2, 0, 1, 2]'
	run rectrain -m m -o r --steps 6 --batch 4 --lr 1e-2 pairs.tar
	assert_success
	assert_output --partial 'nothing to do'
	run cat r/README.md
	assert_output --partial 'transformer = DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer")'
	assert_output --partial 'pipeline = DiTPipeline.from_pretrained("ORIGINAL", transformer=transformer, scheduler=scheduler)'
	assert_output --partial 'pipeline([0], num_inference_steps=1, guidance_scale=1)'
	assert_output --partial '`transformer/diffusion_pytorch_model.safetensors`'
	refute_output --partial unet
	refute_output --partial 'text encoder'
}

@test "guidance is away from the last class" {
	model m
	odesample -q -m m -n 2 -l 1 --steps 1 --trajectory -o one
	odesample -q -m m -n 2 -l 10 --steps 1 --trajectory -o null
	odesample -q -m m -n 2 -l 1 --steps 1 --guidance 3 --trajectory -o guided
	frames guided 'one, null = read("one")[1]["eps"], read("null")[1]["eps"]
close(f["eps"][:, 0], null[:, 0] + 3 * (one[:, 0] - null[:, 0]), 1e-5)'
}

@test "parts of a pipeline beside a DiT are left alone" {
	model m
	cat >m/model_index.json <<-EOF
	{"_class_name": "DiTPipeline", "transformer": ["diffusers", "Transformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
	 "scheduler": ["diffusers", "DDIMScheduler"], "id2label": {"0": "tench, Tinca tinca"}}
	EOF
	mkdir m/vae
	odesample -q -m m -n 1 --steps 1 -o samples
	sed -i 's/"Transformer2DModel"/"FluxTransformer2DModel"/' m/model_index.json
	unsampled 'm/model_index.json: ' FluxTransformer2DModel
}

@test "a new DiT begins as one that says nothing" {
	cat >config.json <<-EOF
	{"transformer": {"_class_name": "DiTTransformer2DModel", "sample_size": 4, "patch_size": 2, "in_channels": 1,
	  "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "num_embeds_ada_norm": 3},
	 "scheduler": {"_class_name": "DDIMScheduler", "clip_sample": false}}
	EOF
	run tensorcat config.json
	assert_line --regexp '^  network +DiTTransformer2DModel'
	python "np.save('x.npy', np.random.default_rng(1).normal(size=(24, 1, 4, 4)).astype('<f4'))
np.save('label.npy', np.arange(24, dtype='<i4') % 3)"
	rectrain -q --init config.json -o new --coupling independent --lr 0 --steps 1 --batch 4 sample=x.npy label=label.npy
	odesample -q -m new -n 4 --steps 1 --trajectory -o zero
	frames zero 'assert (f["eps"] == 0).all()'
	rectrain -q --init config.json -o learnt --coupling independent --steps 40 --warmup 1 --lr 1e-2 --batch 4 --log log \
		sample=x.npy label=label.npy
	odesample -q -m learnt -n 4 --steps 1 --trajectory -o some
	frames some 'assert (f["eps"] != 0).all()'
	run cat learnt/README.md
	refute_output --partial ORIGINAL
	assert_output --partial 'transformer(x, t.expand(4), class_labels=torch.zeros(4, dtype=torch.long)).sample, t, x)'
	assert_output --partial '--png grid.png'
}

@test "what is no DiT is refused by its key" {
	model m
	set_key() { python "edit('m/transformer/config.json', $1)"; }
	while IFS='|' read -r key message; do
		rm -rf m
		model m
		set_key "$key"
		unsampled "m/transformer/config.json: $message"
	done <<-'EOF'
	norm_type='ada_norm'|norm_type: 
	norm_elementwise_affine=True|norm_elementwise_affine: not supported here
	cross_attention_dim=16|cross_attention_dim: not supported here
	activation_fn='geglu-approximate'|activation_fn: 
	sample_size=9|sample_size: 9 does not divide into patches of 2
	sample_size=[8, 8]|sample_size: 
	attention_head_dim=3|attention_head_dim: 
	num_layers=0|num_layers: 
	patch_size=None|patch_size: 
	num_embeds_ada_norm=0|num_embeds_ada_norm: 
	out_channels=5|out_channels: 5 for the 4 that go in
	dropout=1.0|dropout: 
	interpolation_scale=2.0|interpolation_scale: 
	unheard_of=1|unheard_of: a key that is not known
	_class_name='FluxTransformer2DModel'|_class_name FluxTransformer2DModel: only UNet2DModel
	EOF
	python "import json
c = json.load(open('m/transformer/config.json'))
c['_class_name'] = 'Transformer2DModel'
c.pop('norm_type')
json.dump(c, open('m/transformer/config.json', 'w'))"
	unsampled 'm/transformer/config.json: norm_type: a Transformer2DModel without it is no DiT'
	rm -rf m
	model m
	mkdir m/unet
	cp m/transformer/config.json m/unet
	unsampled 'm: two networks in it: unet and transformer'
}

@test "a U-Net with variances predicts what it does without, and a scheduler may know of them" {
	cp -r "$top/tests/golden/class-scale-shift/model" m
	cp -r m wide
	python "import json
w = 'wide/unet/diffusion_pytorch_model.safetensors'
t, meta = read(w)
for k in ('conv_out.weight', 'conv_out.bias'):
    t[k] = np.concatenate([t[k], t[k][::-1] + 1])
write(w, t, meta)
edit('wide/unet/config.json', out_channels=2 * json.load(open('wide/unet/config.json'))['in_channels'])"
	odesample -q -m m -n 3 --steps 2 -o a
	odesample -q -m wide -n 3 --steps 2 -o b
	frames a 'close(f["sample"], read("b")[1]["sample"], 1e-6)'
	python "edit('wide/scheduler/scheduler_config.json', variance_type='learned_range')"
	odesample -q -m wide -n 3 --steps 2 -o c
	frames b 'close(f["sample"], read("c")[1]["sample"], 0)'
	noisegen -n 8 -s 1 -m wide | denoise -q -m wide --steps 2 | pairpack -o a.tar
	rectrain -q -m wide -o r --steps 3 --batch 4 --weight-decay 0 a.tar
	python "a, b = read('wide/unet/diffusion_pytorch_model.safetensors')[0], read('r/unet/diffusion_pytorch_model.safetensors')[0]
n = len(a['conv_out.bias']) // 2
assert (a['conv_out.weight'][n:] == b['conv_out.weight'][n:]).all() and (a['conv_out.weight'][:n] != b['conv_out.weight'][:n]).any()"
	cp m/unet/config.json m/config.keep
	python "edit('m/scheduler/scheduler_config.json', variance_type='learned')"
	unsampled 'm/scheduler/scheduler_config.json: variance_type: learned asks for twice the channels'
}
