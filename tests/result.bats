#!/usr/bin/env bats
# What rectrain writes in the end: which weights, of which type, and how they were made; and what is taken for it.
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
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m pairs=$files/pairs
	short=(--steps 40 -b 16 -j 1 -q)
}

@test "EMA and raw weights, and how they were made" {
	local w=unet/diffusion_pytorch_model
	rectrain -m "$m" "${short[@]}" -o a --lr 1e-3 --warmup 0 "$pairs"
	metadata a/$w.safetensors 'assert m["rectdiff.weights"] == "ema" and m["format"] == "pt", m
assert run["lr"] == 1e-3 and run["coupling"] == "pairs" and run["samples"] == 300 and run["loss_space"] == "x0", run
assert json.loads(m["rectdiff.data"])["solver"] == "dpm++2m", m'
	metadata a/$w.raw.safetensors 'assert m["rectdiff.weights"] == "raw", m'
	run -1 cmp <(tensors a/$w.safetensors) <(tensors a/$w.raw.safetensors)
	rectrain -m "$m" "${short[@]}" -o b --lr 1e-3 --warmup 0 --ema 0 "$pairs"
	cmp <(tensors b/$w.safetensors) <(tensors b/$w.raw.safetensors)
	cmp <(tensors a/$w.raw.safetensors) <(tensors b/$w.raw.safetensors)
	grep -q -e '--ema 0' b/README.md
}

@test "weights of half precision are those of single, rounded; and none but the averaged where the others are not wanted" {
	rectrain -q -m "$m" -o a --steps 5 --batch 8 "$pairs"
	for t in f16 bf16; do
		rectrain -q -m "$m" -o "$t" --steps 5 --batch 8 --save-as "$t" --no-raw "$pairs"
		assert_absent "$t/unet/diffusion_pytorch_model.raw.safetensors"
		run grep -c 'variant' "$t/README.md"
		assert_output 0
		odesample -q -m "$t" -n 4 --steps 2 -o "$t.samples"
	done
	PYTHONPATH=$top/tests "$PYTHON" - <<-'EOF'
	import numpy as np
	from folders import layout, read
	import json
	name = "/unet/diffusion_pytorch_model.safetensors"
	single, half = read("a" + name)[0], read("f16" + name)[0]
	assert single.keys() == half.keys()
	for k in single:
	    assert half[k].dtype == np.float16 and (half[k] == single[k].astype("<f2")).all(), k
	b = open("bf16" + name, "rb").read()
	n = int.from_bytes(b[:8], "little")
	head = json.loads(b[8:8 + n])
	for k in single:
	    lo, hi = head[k]["data_offsets"]
	    v = np.frombuffer(b[8 + n + lo:8 + n + hi], "<u2").astype("<u4") << 16
	    assert head[k]["dtype"] == "BF16" and abs(v.view("<f4") - single[k].ravel()).max() <= 2**-8 * abs(single[k]).max(), k
	EOF
	run tensorcat bf16
	assert_line --partial BF16
}

@test "what cannot be written in the end is not lost" {
	cp -r "$m" m
	PYTHONPATH=$top/tests "$PYTHON" -c 'from folders import *
w = "m/unet/diffusion_pytorch_model.safetensors"
t, meta = read(w)
t["out.weight"] = t["out.weight"] + np.float32(1e5)
write(w, t, meta)'
	run rectrain -q -m m -o r --steps 6 --batch 8 --save-as f16 --log log --log-every 2 "$pairs"
	assert_failure 1
	assert_output --partial 'all steps are done, and are in r.ckpt, from which rectrain goes on'
	assert_output --partial 'tensor out.weight holds numbers too large for F16'
	[ ! -e r ]
	run rectrain -q -m m -o r --steps 6 --batch 8 --micro-batch 4 --save-as bf16 --log log "$pairs"
	assert_failure 1
	assert_output --partial 'micro_batch is absent there, 4 here'
	run rectrain -m m -o r --steps 6 --batch 8 --micro-batch 4 --any-machine --save-as bf16 --log log "$pairs"
	assert_success
	assert_output --partial 'all of 6 steps are done; writes r'
	assert_output --partial 'wrote r: 6 steps'
	refute_output --partial nan
	[ "$(wc -l <log)" -eq 3 ]
	assert_absent r.ckpt
	rectrain -q -m m -o straight --steps 6 --batch 8 --save-as bf16 "$pairs"
	cmp <(tensors r/unet/diffusion_pytorch_model.safetensors) <(tensors straight/unet/diffusion_pytorch_model.safetensors)
}

@test "what is there already is what was asked for, or is not passed over" {
	local run
	run=(rectrain -m "$m" -o a --steps 40 -b 16 -j 1)
	"${run[@]}" -q "$pairs"
	run -0 "${run[@]}" --log log --snapshot-every 10 "$pairs"
	assert_line "rectrain: a is there already, of this very run: nothing to do, so --log and --snapshot-every without effect"
	run -0 "${run[@]}" --snapshot-every 10 -f "$pairs"
	assert_line "rectrain: a is there already, of this very run: nothing to do, so --snapshot-every without effect"
	[ "$(names)" = a ]
	cp -r a before
	run -1 "${run[@]}" --save-as f16 "$pairs"
	assert_output "rectrain: a: is of this very run, but its weights are F32, which --save-as does not ask for (-f makes it anew)"
	run -1 "${run[@]}" --no-raw "$pairs"
	assert_output "rectrain: a: is of this very run, but has those weights that are not averaged (-f makes it anew)"
	diff -r a before
	"${run[@]}" --save-as f16 --no-raw -f -q "$pairs"
	run tensorcat a
	assert_line --partial F16
	assert_absent a/unet/diffusion_pytorch_model.raw.safetensors
	run -0 "${run[@]}" --save-as f16 --no-raw "$pairs"
	assert_line "rectrain: a is there already, of this very run: nothing to do"
	run -1 "${run[@]}" --save-as f16 "$pairs"
	assert_output --partial "but lacks those weights"
	"${run[@]}" -f -q "$pairs"
	same_weights a before
}

@test "a snapshot in the place of the result is not the result" {
	local more best=(--hold-out 20 --held-out-every 2 --keep-best)
	for more in none best; do
		[ "$more" = best ] || best=()
		run=(rectrain -q -m "$m" --steps 6 -b 16 -j 1 --snapshot-every 2 "${best[@]}" "$pairs")
		"${run[@]}" -o a
		"${run[@]}" -o a
		mv a whole
		mv a.4 a
		run tensorcat a
		assert_line --regexp "trained.*: 4 of 6 steps of 16 on"
		run -1 "${run[@]}" -o a
		assert_output "rectrain: a: is a snapshot of this very run, of step 4 of 6 (-f replaces it by the result)"
		"${run[@]}" -o a -f
		same_weights a whole
		rm -r a* whole
		best=(--hold-out 20 --held-out-every 2 --keep-best)
	done
}

@test "what -f replaces is what the help says: OUT, OUT.STEP and the log of another run" {
	run rectrain --help
	assert_line --regexp '^  -f, --force +replace OUT, OUT\.STEP and the log of another run, and an OUT of this one with other weights$'
	local run=(rectrain -q -m "$m" --steps 4 -b 16 -j 1 --snapshot-every 2 --log log --log-every 1)
	"${run[@]}" -o a "$pairs"
	mv a first
	run -1 "${run[@]}" --seed 2 -o a "$pairs"
	cp -r a.2 before
	"${run[@]}" --seed 2 -o a -f "$pairs"
	run -1 same_weights a.2 before
	run -1 "${run[@]}" -o a "$pairs"
	mv a second
	rm -r a.2
	run -1 "${run[@]}" -o a "$pairs"
	assert_output --partial '--log log: is the log of another run (-f replaces it)'
	"${run[@]}" -o a -f "$pairs"
	same_weights a first
}

@test "however many snapshots there are to be, what is in the way of one is found at once" {
	local run=(timeout 20 rectrain -q -m "$m" --steps 20000000 --snapshot-every 2 -b 16 -j 1 --dry-run -o a)
	mkdir a.7 a.08 a.8x a.20000000
	touch a.7/mine a.08/mine a.8x/mine a.20000000/mine
	"${run[@]}" --log log "$pairs"
	run -2 "${run[@]}" --log ./a.123456 "$pairs"
	assert_output --partial '--log ./a.123456: the run itself writes there: a.123456 is replaced as a whole'
	mkdir far
	ln -s far a.77778
	run -2 "${run[@]}" --log far/log "$pairs"
	assert_output --partial '--log far/log: the run itself writes there: a.77778 is replaced as a whole'
	rm a.77778
	ln -s a.5554 link
	run -2 "${run[@]}" --log link "$pairs"
	assert_output --partial '--log link: the run itself writes there: a.5554 is replaced as a whole'
	mkdir a.777776 a.99998
	touch a.777776/mine a.99998/mine
	run -1 "${run[@]}" --log log -f "$pairs"
	assert_output --partial 'a.99998: is a folder of something else than a model'
}
