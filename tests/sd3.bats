#!/usr/bin/env bats
# The networks of Stable Diffusion 3 and 3.5.
# shellcheck disable=SC2154 # what start sets
load common
load training

setup() { start; }

# model DIR [KIND]: such a network and three contexts.
model()
{
	cp -r "$top/tests/golden/${2-sd3}/model" "$1"
}

@test "a network of Stable Diffusion 3 is described" {
	model m
	run tensorcat m
	assert_line --regexp '^  network +SD3Transformer2DModel, 22768 parameters in 67 tensors$'
	assert_line --regexp '^  sample +\[4, 8, 8\]$'
	assert_line --regexp '^  patches +2 x 2, 16 channels, attention in 2 heads$'
	assert_line --regexp '^  contexts +3 rows of 5 tokens of 12 numbers, and vectors of 7'
	assert_line --regexp '^  classes +3, of which 2 stands for none$'
	assert_line --regexp '^  pos_embed +\[1, 49, 16\], 1056 numbers$'
	assert_line --regexp '^  schedule +fm, .* shift 3$'
	refute_output --partial table
}

@test "from noise to a rectified network, whose positions are as they were" {
	for kind in sd3 sd3-dual; do
		model m $kind
		noisegen -n 24 -s 1 -m m -o noise
		frames noise 'assert set(f["label"]) == {0, 1}, "the null row is left out"'
		denoise -q -m m --steps 3 --guidance 2 noise | pairpack -o pairs.tar
		rectrain -q -m m -o r --steps 6 --batch 4 --lr 1e-2 pairs.tar
		rectrain -q -m m -o less --recompute --steps 6 --batch 4 --lr 1e-2 pairs.tar
		python "a, b, c = (read(d + '/transformer/diffusion_pytorch_model.safetensors')[0] for d in ('m', 'r', 'less'))
assert a.keys() == b.keys() == c.keys() and all((b[k] == c[k]).all() for k in a)
last = max(k for k in a if 'add_q_proj.bias' in k) # of queries that nothing asks for
assert {k for k in a if (a[k] == b[k]).all()} - {last, last.replace('add_q_proj.bias', 'norm_added_q.weight')} == {'pos_embed.pos_embed'}"
		assert_absent r/unet
		cmp r/contexts.safetensors m/contexts.safetensors
		odesample -q -m r -n 4 -l cycle:2 --steps 2 -o samples
		run cat r/README.md
		assert_output --partial 'from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline, SD3Transformer2DModel'
		assert_output --partial 'pipeline = StableDiffusion3Pipeline.from_pretrained("ORIGINAL", transformer=transformer, scheduler=scheduler)'
		rm -r m r less pairs.tar
	done
}

@test "guidance is away from the row of no text, and contexts and vectors both count" {
	model m
	for label in 0 1 2; do
		odesample -q -m m -n 2 -l $label --steps 1 --trajectory -o $label
	done
	odesample -q -m m -n 2 -l 1 --steps 1 --guidance 3 --trajectory -o guided
	frames guided 'one, null = read("1")[1]["x0"], read("2")[1]["x0"]
close(f["x0"][:, 0], null[:, 0] + 3 * (one[:, 0] - null[:, 0]), 1e-5)'
	for key in contexts vectors; do
		python "t, meta = read('m/contexts.safetensors')
t['$key'] = t['$key'][[1, 1, 2]]
write('m/contexts.safetensors', t, meta)"
		odesample -q -m m -n 2 -l 0 --steps 1 --trajectory -o $key
	done
	frames contexts 'zero, one, all = (read(k)[1]["x0"] for k in ("0", "1", "vectors"))
assert abs(f["x0"] - zero).max() > 1e-2 and abs(f["x0"] - one).max() > 1e-2
close(all, one, 0)'
}

@test "a new network has the positions of diffusers, and begins as one that says nothing" {
	mkdir -p new/transformer new/scheduler
	cat >new/transformer/config.json <<-EOF
	{"_class_name": "SD3Transformer2DModel", "sample_size": 4, "patch_size": 2, "in_channels": 2, "out_channels": 2,
	 "num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 2, "joint_attention_dim": 6, "caption_projection_dim": 8,
	 "pooled_projection_dim": 3, "pos_embed_max_size": 5, "dual_attention_layers": [1], "qk_norm": "rms_norm"}
	EOF
	echo '{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}' >new/scheduler/scheduler_config.json
	python "g = np.random.default_rng(1)
write('new/contexts.safetensors', {'contexts': g.normal(size=(4, 3, 6)).astype('<f4'), 'vectors': g.normal(size=(4, 3)).astype('<f2')},
      {'null_class': '3'})
np.save('x.npy', g.normal(size=(24, 2, 4, 4)).astype('<f4'))
np.save('label.npy', np.arange(24, dtype='<i4') % 3)"
	rectrain -q --init new -o m --coupling independent --lr 0 --steps 1 --batch 4 sample=x.npy label=label.npy
	odesample -q -m m -n 3 -l cycle:3 --steps 1 --trajectory -o zero
	frames zero 'close(f["x"][:, 0], f["x"][:, 1], 0)' # its flow
	rectrain -q --init new -o learnt --coupling independent --steps 40 --warmup 1 --lr 1e-2 --batch 4 sample=x.npy label=label.npy
	python "for m in 'm', 'learnt':
    got = read(m + '/transformer/diffusion_pytorch_model.safetensors')[0]['pos_embed.pos_embed']
    at, omega = np.arange(5, dtype='<f4') / np.float32(5 / 2), 1 / 10000 ** (np.arange(2) / 2)
    one = np.concatenate([np.sin(np.outer(at, omega)), np.cos(np.outer(at, omega))], 1)
    want = np.concatenate([np.tile(one, (5, 1)), np.repeat(one, 5, 0)], 1).astype('<f4') # of columns, of rows
    assert got.shape == (1, 25, 8) and abs(got[0] - want).max() < 1e-7, abs(got[0] - want).max()"
	odesample -q -m learnt -n 3 -l cycle:3 --steps 1 --trajectory -o some
	frames some 'assert (f["x"][:, 0] != f["x"][:, 1]).all()'
	assert_absent learnt/model_index.json
}

@test "parts of a pipeline beside such a network are left alone" {
	model m
	cat >m/model_index.json <<-EOF
	{"_class_name": "StableDiffusion3Pipeline", "transformer": ["diffusers", "SD3Transformer2DModel"],
	 "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "vae": ["diffusers", "AutoencoderKL"],
	 "text_encoder": ["transformers", "CLIPTextModelWithProjection"], "text_encoder_3": [null, null]}
	EOF
	mkdir m/vae
	odesample -q -m m -n 1 --steps 1 -o samples
}

@test "what is no such network is refused by its key" {
	set_key() { python "edit('m/transformer/config.json', $1)"; }
	while IFS='|' read -r key message; do
		rm -rf m
		model m
		set_key "$key"
		unsampled "m/transformer/config.json: $message"
	done <<-'EOF'
	qk_norm='layer_norm'|qk_norm: 'layer_norm' is not one of rms_norm
	qk_norm=''|qk_norm: 
	caption_projection_dim=20|caption_projection_dim: 20 for 2 heads of 8
	attention_head_dim=3|attention_head_dim: 
	sample_size=9|sample_size: 9 does not divide into patches of 2
	sample_size=None|sample_size: 
	pos_embed_max_size=3|pos_embed_max_size: 3 for the 4 patches of a side
	pos_embed_max_size=None|pos_embed_max_size: 
	pos_embed_max_size=1025|pos_embed_max_size: 
	dual_attention_layers=[2]|dual_attention_layers: whole numbers from 0 to 1 expected
	dual_attention_layers=[0.5]|dual_attention_layers: 
	dual_attention_layers=[True]|dual_attention_layers: 
	dual_attention_layers=None|dual_attention_layers: 
	dual_attention_layers=1|dual_attention_layers: 
	num_layers=0|num_layers: 
	out_channels=5|out_channels: 5 for the 4 that go in
	out_channels=16|out_channels: 16 for the 4 that go in
	norm_eps=1e-5|norm_eps: a key that is not known
	EOF
	rm -rf m
	model m
	set_key 'pos_embed_max_size=8'
	unsampled 'm/transformer/diffusion_pytorch_model.safetensors: ' pos_embed.pos_embed
	rm -rf m
	model m
	python "t, meta = read('m/contexts.safetensors'); t.pop('vectors'); write('m/contexts.safetensors', t, meta)"
	unsampled 'm/contexts.safetensors: vectors of 0 numbers, the network takes 7 (0: none; pooled_projection_dim)'
	python "t, meta = read('m/contexts.safetensors'); t['contexts'] = t['contexts'][:, :, 1:]; write('m/contexts.safetensors', t, meta)"
	unsampled 'm/contexts.safetensors: contexts of 11 numbers a token, the network takes 12 (joint_attention_dim)'
	rm m/contexts.safetensors
	unsampled 'contexts.safetensors'
}
