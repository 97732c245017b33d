#!/usr/bin/env bats
# Adapters: what rectrain --lora trains, and where it ends up. Their outputs and gradients are in test_lora.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common
load training

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	noisegen -n 300 -s 2 --shape 2 | denoise -m m --steps 5 -o pairs
	noisegen -n 24 -s 3 -m "$top/tests/golden/class-scale-shift/model" -l uniform:3 |
		denoise -m "$top/tests/golden/class-scale-shift/model" --steps 3 -o pictures
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m pairs=$files/pairs
	unet=$top/tests/golden/class-scale-shift/model
	short=(--steps 40 -b 16 -j 1 -q)
}

# merged BASE OUT RANK LAYERS: OUT is BASE but for B A of the layers with adapters, as many as a regular expression finds.
merged()
{
	PYTHONPATH=$top/tests "$PYTHON" - "$@" <<-'EOF'
	import re, sys
	import numpy as np
	from folders import WEIGHTS, read
	base, out, rank, layers = sys.argv[1:]
	was, is_, lora = (read(f)[0] for f in (f"{base}/{WEIGHTS}", f"{out}/{WEIGHTS}", f"{out}/pytorch_lora_weights.safetensors"))
	assert was.keys() == is_.keys()
	for name, w in was.items():
	    layer = "unet." + name.removesuffix(".weight")
	    a, b = lora.pop(f"{layer}.lora_A.weight", None), lora.pop(f"{layer}.lora_B.weight", None)
	    if w.ndim in (2, 4) and name.endswith(".weight") and re.search(layers, name):
	        assert a.shape == (int(rank), *w.shape[1:]) and b.shape == (len(w), int(rank)) + (1, 1) * (w.ndim == 4), name
	        both = b.reshape(len(w), -1).astype(float) @ a.reshape(len(a), -1)
	        assert abs(both).max() > 0, name
	        np.testing.assert_allclose(is_[name], w + both.reshape(w.shape), rtol=1e-5, atol=1e-6, err_msg=name)
	    else:
	        assert a is None and b is None and (is_[name] == w).all(), name
	assert not lora, lora.keys()
	EOF
}

# column LOG KEY: its values.
column()
{
	"$PYTHON" -c 'import json, sys
for line in open(sys.argv[1]):
    o = json.loads(line)
    if sys.argv[2] in o: print(o[sys.argv[2]])' "$1" "$2"
}

@test "adapters alone are trained, and the result is the model with their product in its weights" {
	rectrain -q -m "$unet" -o a --lora 3 --steps 6 --batch 8 --lr 1e-2 "$files/pictures"
	merged "$unet" a 3 '^(?!class_embedding)'
	rectrain -q -m "$unet" -o b --lora 2 --lora-layers attention --steps 6 --batch 8 --lr 1e-2 "$files/pictures"
	merged "$unet" b 2 'to_(q|k|v|out\.0)\.weight$'
	assert_absent a/unet/diffusion_pytorch_model.raw.safetensors
	metadata a/pytorch_lora_weights.safetensors 'assert run["lora"] == 3 and run["lora_layers"] == "all" and m["format"] == "pt", m'
	grep -q 'pytorch_lora_weights.*LoRA of rank 3' a/README.md
	odesample -q -m a -n 4 --steps 2 -l 1 -o samples
}

@test "what they learn is learnt: the loss on held-out pairs falls, and is that of the result" {
	local held=(--hold-out 8 --ema 0 -b 8 -q "$files/pictures")
	rectrain -m "$unet" -o a --lora 4 --steps 40 --lr 1e-2 --log log --held-out-every 20 "${held[@]}"
	column log held_out >held
	"$PYTHON" -c 'h = [float(x) for x in open("held")]
assert len(h) == 2 and h[1] < h[0], h'
	rectrain -m a -o again --steps 1 --lr 0 --log after --held-out-every 1 "${held[@]}"
	"$PYTHON" -c 'import sys
was, now = float(open("held").read().split()[-1]), float(sys.argv[1])
assert abs(was - now) < 1e-4 * was, (was, now)' "$(column after held_out)"
}

@test "at first they change nothing: the first loss is the model's own, with pairs, phases and consistency" {
	local how
	for how in '--loss l2' '--consistency=10' '--phases 2 --coupling independent'; do
		# shellcheck disable=SC2086 # options
		rectrain -m "$m" -o "full$how" $how --steps 1 --batch 16 -q --log full --log-every 1 -f "$pairs"
		# shellcheck disable=SC2086
		rectrain -m "$m" -o "lora$how" --lora 2 $how --steps 1 --batch 16 -q --log lora --log-every 1 -f "$pairs"
		"$PYTHON" -c 'import sys
a, b = map(float, sys.argv[1:])
assert a > 0 and abs(a - b) < 1e-5 * a, (a, b)' "$(column full loss)" "$(column lora loss)"
	done
}

@test "consistency follows the average of the adapters" {
	for ema in 0 0.99; do
		rectrain -m "$unet" -o "c$ema" --lora 2 --consistency=10 --ema $ema --lr 1e-2 --warmup 0 --steps 4 --batch 8 -q \
			--log "log$ema" --log-every 1 "$files/pictures"
	done
	[ "$(column log0 loss | sed -n 1p)" = "$(column log0.99 loss | sed -n 1p)" ]
	[ "$(column log0 loss | sed -n 4p)" != "$(column log0.99 loss | sed -n 4p)" ]
}

@test "a run that is cut ends with the same bits; its checkpoint has adapters alone, and is of their rank" {
	local cmd pid rc=0
	cmd=(rectrain -m "$m" "${short[@]}" -o cut --lora 2 --steps 4000 --log log --log-every 1 "$pairs")
	"${cmd[@]}" 2>err 3>&- &
	pid=$!
	await test -s log
	kill -USR1 "$pid"
	wait "$pid" || rc=$?
	[ "$rc" -eq 138 ]
	[ "$(stat -c %s cut.ckpt)" -lt "$(stat -c %s "$m/unet/diffusion_pytorch_model.safetensors")" ]
	run rectrain -m "$m" "${short[@]}" -o cut --lora 3 --steps 4000 "$pairs"
	assert_failure 1
	assert_output --partial 'cannot go on (--restart begins anew): cut.ckpt: is of another run: lora is 2 there, 3 here'
	"${cmd[@]}"
	rectrain -m "$m" "${short[@]}" -o whole --lora 2 --steps 4000 "$pairs"
	for f in pytorch_lora_weights unet/diffusion_pytorch_model; do
		cmp <(tensors whole/$f.safetensors) <(tensors cut/$f.safetensors)
	done
}

# At a rate that is far too high the loss goes up and down.
@test "what is kept as the best is in the weights and in the file" {
	local held=(--hold-out 8 --ema 0 -b 8 -q "$files/pictures")
	rectrain -m "$unet" -o best --lora 4 --steps 20 --lr 0.3 --warmup 0 --rate constant --keep-best --log log --held-out-every 5 "${held[@]}"
	merged "$unet" best 4 '^(?!class_embedding)'
	rectrain -m best -o again --steps 1 --lr 0 --log after --held-out-every 1 "${held[@]}"
	column log held_out >held
	column after held_out >>held
	metadata best/pytorch_lora_weights.safetensors 'losses = [float(x) for x in open("held")]
*losses, now = losses
assert int(m["rectdiff.step"]) == 5 + 5 * losses.index(min(losses)), (m["rectdiff.step"], losses)
assert abs(min(losses) - now) < 1e-3 * now, (losses, now)'
}

@test "a result of another type is asked for by -f, and has adapters of that type" {
	local run=(rectrain -m "$unet" -o half --lora 2 --steps 4 -b 4 --lr 1e-2 "$files/pictures")
	"${run[@]}" -q
	run "${run[@]}" --save-as f16
	assert_failure 1
	assert_output --partial 'its weights are F32'
	"${run[@]}" -q --save-as f16 -f
	PYTHONPATH=$top/tests "$PYTHON" -c 'from folders import *
for f in WEIGHTS, "pytorch_lora_weights.safetensors":
    assert {a.dtype for a in read("half/" + f)[0].values()} == {np.dtype("<f2")}, f'
	run "${run[@]}" --save-as f16
	assert_success
	assert_output --partial 'nothing to do'
}

@test "of a network that was converted the card does not say that the original's pipeline takes the adapters" {
	local sd3=$top/tests/golden/sd3/model
	noisegen -n 8 -s 1 -m "$sd3" | denoise -q -m "$sd3" --steps 2 -o p
	rectrain -q -m "$sd3" -o a --lora 2 --steps 1 -b 4 p
	grep -q 'LoRA of rank 2, which `pipeline.load_lora_weights(folder)` puts into ORIGINAL' a/README.md
	rectrain -q -m "$sd3" -o b --lora 2 --steps 1 -b 4 --convert-to vp,epsilon --any-form p
	grep -q 'LoRA of rank 2\.$' b/README.md
}

@test "snapshots have their adapters, as the end has" {
	rectrain -m "$m" "${short[@]}" -o r --lora 2 --snapshot-every 20 --lr 1e-2 "$pairs"
	merged "$m" r.20 2 .
	merged "$m" r 2 .
	run -1 cmp <(tensors r.20/pytorch_lora_weights.safetensors) <(tensors r/pytorch_lora_weights.safetensors)
}

@test "what adapters cannot be of is refused" {
	run rectrain -m "$m" -o r --lora 0 "$pairs"
	assert_failure 2
	run rectrain -m "$m" -o r --lora-layers attention "$pairs"
	assert_failure 2
	assert_output --partial '--lora-layers: of the adapters, which --lora RANK asks for'
	run rectrain --init "$m" -o r --lora 2 "$pairs"
	assert_failure 2
	assert_output --partial 'a new one (--init) knows nothing yet'
	run rectrain -m "$m" -o r --lora 2 --lora-layers attention "$pairs"
	assert_failure 2
	assert_output --partial 'none of its layers would get an adapter'
	run rectrain -m "$unet" -o r --lora 2 --lora-layers attention --dry-run "$files/pictures"
	assert_success
	assert_output --partial "adapters of rank 2 on attention's projections"
	assert_absent r
}
