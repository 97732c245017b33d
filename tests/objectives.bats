#!/usr/bin/env bats
# What rectrain is told to minimise: each option reaches the weights and the record, none is taken where it means nothing, and
# phases, consistency and distillation do what they are for.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common
load training

w=unet/diffusion_pytorch_model

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	config net.json
	noisegen -n 300 -s 2 --shape 2 | denoise -m m --steps 16 --knots 4 -o knots
	noisegen -n 300 -s 2 --shape 2 | denoise -m m --steps 16 -o pairs
	noisegen -n 300 --dist 8gaussians -l component -o data
	mlp cond fm flow_prediction '"num_class_embeds": 9,'
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m pairs=$files/pairs knots=$files/knots data=$files/data
	short=(--steps 30 -b 16 -j 1 -q --lr 1e-3 --warmup 0)
}

# recorded OUT CODE: as metadata, of OUT's weights.
recorded() { metadata "$1/$w.safetensors" "$2"; }

# weights OUT [VARIANT]
weights() { tensors "$1/$w${2:+.$2}.safetensors"; }

same() { cmp <(weights "$1") <(weights "$2") && cmp <(weights "$1" raw) <(weights "$2" raw); }

# refused STATUS WORDS ARGUMENTS...
refused()
{
	run "-$1" rectrain "${short[@]}" -o out "${@:3}"
	assert_output --partial "$2"
	assert_absent out
}

# cut COMMAND...: stops it under way, once, with a checkpoint behind it.
cut()
{
	local rc=0 pid
	"$@" --log cut.log --log-every 5 2>cut.err 3>&- &
	pid=$!
	await test -s cut.log
	kill -TERM "$pid"
	wait "$pid" || rc=$?
	[ "$rc" -eq 143 ] || fail "status $rc: $(cat cut.err)"
}

# changed DATA KEY VALUE ARGUMENTS...: other weights than plain's, and run[KEY] is VALUE (Python).
changed()
{
	rectrain -m "$m" "${short[@]}" -o out "${@:4}" "$1"
	run -1 cmp <(weights out) <(weights plain)
	recorded out "assert run['$2'] == $3, run"
	rm -r out
}

@test "every option reaches the weights and what is recorded: pairs" {
	rectrain -m "$m" "${short[@]}" -o plain "$pairs"
	recorded plain 'assert (run["weight"], run["time_sampling"], run["ema"]) == ("none", "importance", "constant:0.999"), run
assert not {"phases", "phase_steps", "consistency", "guidance", "held_out", "keep_best_of_every"} & set(run), run'
	changed "$pairs" time_sampling '"logit-normal:0,1"' --time-sampling logit-normal
	changed "$pairs" time_sampling '"logit-normal:1,0.5"' --time-sampling logit-normal:1,0.5
	changed "$pairs" time_sampling '"lognormal:2,1.2"' --time-sampling lognormal:2
	changed "$pairs" time_sampling '"u-shaped:4"' --time-sampling u-shaped
	changed "$pairs" time_sampling '"u-shaped:1"' --time-sampling u-shaped:1
	changed "$pairs" time_sampling '"last"' --time-sampling last
	changed "$pairs" loss '"huber-image"' --loss huber-image
	changed "$pairs" held_out 100 --hold-out 100
	changed "$knots" phases 4 --phases 4
	rm -r plain
	rectrain -m "$m" "${short[@]}" -o plain --time-sampling uniform "$pairs"
	changed "$pairs" weight '"snr"' --time-sampling uniform --weight snr
	changed "$pairs" weight '"min-snr:5"' --time-sampling uniform --weight min-snr
	changed "$pairs" weight '"min-snr:2"' --time-sampling uniform --weight min-snr:2
	changed "$pairs" weight '"edm:0.5"' --time-sampling uniform --weight edm
	changed "$pairs" weight '"edm:2"' --time-sampling uniform --weight edm:2
}

@test "every option reaches the weights and what is recorded: a teacher on data" {
	local fresh=(--coupling independent)
	rectrain -m "$m" "${short[@]}" "${fresh[@]}" -o plain "$data"
	recorded plain 'assert run["loss_space"] == "eps", run'
	changed "$data" coupling '"ot"' --coupling ot
	changed "$data" loss_space '"x0"' "${fresh[@]}" --consistency
	changed "$data" consistency 50 "${fresh[@]}" --consistency
	changed "$data" phases 2 "${fresh[@]}" --phases 2
	"$PYTHON" -c 'import json, numpy as np
c = json.load(open("'"$files"'/net.json"))
c["unet"]["sample_shape"] = [1, 2, 3]
json.dump(c, open("images.json", "w"))
np.save("images.npy", np.random.default_rng(1).normal(size=(40, 1, 2, 3)).astype("f4"))'
	rm -r plain
	rectrain --init images.json "${short[@]}" "${fresh[@]}" -o plain images.npy
	recorded plain 'assert "flip" not in run'
	rectrain --init images.json "${short[@]}" "${fresh[@]}" -o flipped --flip images.npy
	run -1 cmp <(weights flipped) <(weights plain)
	recorded flipped 'assert run["flip"] is True, run'
	rm -r plain
	rectrain -m "$m" "${short[@]}" "${fresh[@]}" -o plain --phases 2 "$data"
	recorded plain 'assert run["phase_steps"] == 10 and run["loss_space"] == "x0", run'
	changed "$data" phase_steps 3 "${fresh[@]}" --phases 2 --phase-steps 3
	changed "$data" loss_space '"eps"' "${fresh[@]}" --phases 2 --loss-space eps
	rm -r plain
	m=$files/cond
	rectrain -m "$m" "${short[@]}" "${fresh[@]}" -o plain --consistency=20 --null-class 8 "$data"
	changed "$data" guidance 2.5 "${fresh[@]}" --consistency=20 --null-class 8 --guidance 2.5
	changed "$data" consistency 10 "${fresh[@]}" --consistency=10 --null-class 8
}

@test "averages decay as they are asked to" {
	local one=(--steps 1 -b 16 -j 1 -q --lr 1e-3 --warmup 0)
	# After one step the average is d times what was there and 1 - d times the new: the same d by another name is the same average.
	rectrain -m "$m" "${one[@]}" -o half --ema 0.5 "$pairs"
	rectrain -m "$m" "${one[@]}" -o life --ema half-life:1 "$pairs"
	same half life
	rectrain -m "$m" "${one[@]}" -o power --ema power:3 "$pairs"
	cmp <(weights power) <(weights power raw) # (1 - 1/1)^4 = 0
	rectrain -m "$m" "${one[@]}" -o warm --ema warmup "$pairs"
	rectrain -m "$m" "${one[@]}" -o ratio --ema 0.18181818181818182 "$pairs" # 2/11
	same warm ratio
	recorded warm 'assert run["ema"] == "warmup:0.99990000000000001", run'
	recorded life 'assert run["ema"] == "half-life:1", run'
	recorded power 'assert run["ema"] == "power:3", run'
	rectrain -m "$m" "${one[@]}" -o spelt --ema constant:0.5 "$pairs"
	same half spelt
}

@test "what does not go together is refused: status 2, and why" {
	local fresh=(-m "$m" --coupling independent "$data") new=(--init "$files/net.json" --coupling independent "$data")
	refused 2 "one or the other" --phases 2 --consistency "${fresh[@]}"
	refused 2 "knots of 4" --phases 2 -m "$m" "$knots"
	refused 2 "knows nothing yet" --consistency "${new[@]}"
	refused 2 "knows nothing yet" --phases 2 "${new[@]}"
	refused 2 "--hold-out N is needed" --keep-best "${fresh[@]}"
	refused 2 "there is none" --guidance 2 "${fresh[@]}"
	refused 2 "there is none" --guidance 2 -m "$m" "$pairs"
	refused 2 "that of denoise" --guidance 2 --phases 4 -m "$m" "$knots"
	refused 2 "a phase ends elsewhere" --phases 4 --weight snr -m "$m" "$knots"
	refused 2 "the first phase alone" --phases 4 --time-sampling last -m "$m" "$knots"
	refused 2 "300 samples held out" --hold-out 300 "${fresh[@]}"
	refused 2 "sees no error there" --time-sampling last --loss-space eps -m "$m" "$pairs"
	refused 2 "the weight snr is nothing there" --time-sampling last --weight snr -m "$m" "$pairs"
	refused 2 "the weight min-snr is nothing there" --time-sampling last --weight min-snr -m "$m" "$pairs"
	config fm-eps.json fm epsilon
	refused 1 "alpha = 0" --init fm-eps.json "$pairs" # where all is noise, it says nothing of the sample
	refused 1 "alpha = 0" --init fm-eps.json --coupling independent "$data"
	refused 2 "--flip: a pair's sample" --flip -m "$m" "$pairs"
	refused 2 "--flip: the model's samples are no images" --flip "${fresh[@]}"
	refused 2 "has none of them" --time-sampling lognormal:-40,0.1 "${fresh[@]}"
	refused 3 "$pairs: no field \`knots\` in it: phases need the states between, as denoise --knots" --phases 4 -m "$m" "$pairs"
}

@test "values that cannot be meant are refused: status 2, and what was expected" {
	local args says
	while read -r args says; do
		# shellcheck disable=SC2086
		run -2 rectrain "${short[@]}" -m "$m" -o out $args "$pairs"
		assert_output --partial "$says"
	done <<-EOF2
	--weight=best one of none, snr, min-snr, edm expected
	--weight=snr:2 snr takes no number
	--weight=min-snr:0 gamma must be from
	--weight=edm:x a number expected as the sigma_data
	--time-sampling=logit-normal:0,0 deviation must be from
	--time-sampling=logit-normal:0,1,2 takes two numbers
	--time-sampling=u-shaped:4, a number expected as the exponent
	--time-sampling=last:1 last takes no number
	--ema=power:-1 exponent must be from
	--ema=half-life:0 number of steps must be from
	--ema=constant:1 decay must be from
	--coupling=optimal one of
	--phases=1 --phases
	--consistency=1 --consistency
	--hold-out=0 --hold-out
	EOF2
	[ -z "$(ls -A)" ]
}

@test "the plan says what is learnt" {
	local fresh=(--coupling independent "$data")
	run -0 rectrain -m "$m" -o out --dry-run "$pairs"
	refute_output --partial "phases"
	refute_output --partial "consistency"
	run -0 rectrain -m "$m" -o out --dry-run --phases 4 "$knots"
	assert_line "rectrain: a first-order path for each of 4 phases, between the knots of the pairs"
	run -0 rectrain -m "$m" -o out --dry-run --phases 2 --phase-steps 7 "${fresh[@]}"
	assert_line "rectrain: a first-order path for each of 2 phases, to where the model started from gets in 7 steps"
	run -0 rectrain -m "$files/cond" -o out --dry-run --consistency=9 --guidance 2 --null-class 8 "${fresh[@]}"
	assert_line "rectrain: consistency along the ODE of the model started from, in 9 steps, with guidance 2"
	run -0 rectrain -m "$m" -o out --dry-run --time-sampling last --hold-out 40 "$pairs"
	assert_line "rectrain: one step from the noisiest time, no other"
	assert_line --partial "260 pairs"
	assert_line --partial "40 more are held out"
}

@test "what is held out is measured, and OUT gets the average that did best" {
	# A rate that ruins the model: the best is the first measurement.
	local cmd=(rectrain -m "$m" -q -j 1 -b 16 --steps 60 --lr 0.3 --warmup 20 --ema 0 --rate constant \
		--hold-out 100 --held-out-every 5)
	"${cmd[@]}" -o last --log log --log-every 15 "$pairs"
	"${cmd[@]}" -o best --keep-best --snapshot-every 5 "$pairs" --log best.log
	"$PYTHON" -c 'import json
lines = [json.loads(l) for l in open("log")]
held = {l["step"]: l["held_out"] for l in lines if "held_out" in l}
assert list(held) == list(range(5, 61, 5)) and [l["step"] for l in lines] == list(held), lines
best = min(held, key=held.get)
assert best < 60 and held[best] > 0, held
print(best, held[best])' >best.txt
	read -r step loss <best.txt
	recorded best "assert int(m['rectdiff.step']) == $step and abs(float(m['rectdiff.held_out']) - $loss) <= 1e-8 * $loss, m
assert run['held_out'] == 100 and run['samples'] == 200 and run['keep_best_of_every'] == 5, run"
	recorded last "assert m['rectdiff.step'] == '60' and 'rectdiff.held_out' not in m, m"
	cmp <(weights best) <(weights "best.$step")
	cmp <(weights best raw) <(weights last raw)
	run -1 cmp <(weights best) <(weights last)
}

@test "snapshots are models of their own, and what a shorter run would have made" {
	rectrain -m "$m" "${short[@]}" --rate constant -o out --snapshot-every 10 "$pairs"
	[ "$(echo out*)" = "out out.10 out.20" ]
	rectrain -m "$m" "${short[@]}" --rate constant -o short --steps 20 "$pairs"
	same short out.20
	recorded out.10 'assert m["rectdiff.step"] == "10", m'
	odesample -q -m out.10 -n 4 --steps 2 -o sample
	frames sample 'assert f["sample"].shape == (4, 2)'
	run -1 cmp <(weights out.10) <(weights out.20)
}

# An undisturbed run and one that is stopped, twice, must end with the same bytes.
resumes()
{
	"$@" -o undisturbed -q
	for _ in 1 2; do
		rm -f cut.log
		cut "$@" -o out -q
		[ -e out.ckpt ] && [ ! -e out ]
	done
	"$@" -o out 2>err
	grep -qE "steps [0-9]{2,} to" err
	same undisturbed out
	assert_absent out.ckpt
}

@test "a run with a best average and snapshots goes on where it was stopped" {
	# The rate ruins the model, so the best average is the first one measured, before the run is stopped.
	resumes rectrain -m "$m" -b 128 --steps 4000 -j 1 --lr 2 --warmup 100 --weight-decay 0 --ema 0.99 \
		--hold-out 100 --held-out-every 5 --keep-best --snapshot-every 1500 --rate constant "$pairs"
	recorded undisturbed 'assert m["rectdiff.step"] == "5", m
print(m["rectdiff.step"], m["rectdiff.held_out"])' >a
	recorded out 'print(m["rectdiff.step"], m["rectdiff.held_out"])' >b
	diff a b
	same undisturbed.1500 out.1500
	same undisturbed.3000 out.3000
}

# told STREAM KEY VALUE: the stream, its meta saying so.
told()
{
	"$PYTHON" -c 'import json, msgpack, sys
maps = list(msgpack.Unpacker(open(sys.argv[1], "rb"), max_buffer_size=1 << 28))
maps[0]["meta"][sys.argv[2]] = json.loads(sys.argv[3])
sys.stdout.buffer.write(b"".join(msgpack.packb(m) for m in maps))' "$@"
}

@test "guidance that pairs were made with, and the class that stood for none, are recorded: in the weights, and on the card" {
	local c=$files/cond p
	noisegen -n 40 -m "$c" -s 3 -l uniform:8 | denoise -m "$c" --steps 4 --guidance 2 --null-class 8 -o p
	told p null_class 8 >guided
	told p null_class 9 >none
	noisegen -n 40 -m "$c" -s 4 -l uniform:8 | denoise -m "$c" --steps 4 -o plain
	rectrain -m "$c" "${short[@]}" -o learnt guided
	recorded learnt 'assert m["rectdiff.guidance_learnt"] == "2" and m["null_class"] == "8" and run["null_class"] == 8, m'
	metadata learnt/$w.raw.safetensors 'assert m["rectdiff.guidance_learnt"] == "2" and m["null_class"] == "8", m'
	grep -q "guidance of 2 is in the weights.*: sample without guidance" learnt/README.md
	run tensorcat learnt
	assert_output --partial "rectdiff.guidance_learnt: 2"
	odesample -q -m learnt -n 4 --guidance 3 --steps 1 -o x # the class is known now
	rectrain -m "$c" "${short[@]}" -o dropped --label-drop 0.2 guided
	rectrain -m "$c" "${short[@]}" -o other --null-class 7 guided
	recorded other 'assert m["null_class"] == "7", m'
	refused 3 "null class 9: the model has classes 0 to 8" -m "$c" none
	refused 2 "needs a null class" --label-drop 0.2 -m "$c" plain
	rectrain -m "$c" "${short[@]}" -o without plain
	recorded without 'assert "rectdiff.guidance_learnt" not in m and "null_class" not in m, m'
	run -1 grep -q "in the weights" without/README.md
	run -0 rectrain -m "$c" --steps 30 -o mixed --lr 1e-3 -j 1 guided plain
	assert_line "rectrain: warning: guided has pairs with guidance 2, plain with guidance 1: they are trained on together"
	recorded mixed 'assert m["rectdiff.guidance_learnt"] == "2 and 1", m'

	# What a model has learnt its own pairs have, and consistency along its own ODE; another's pairs have not.
	noisegen -n 40 -m learnt -s 5 -l uniform:8 | denoise -m learnt --steps 4 -o again
	rectrain -m learnt "${short[@]}" -o round again
	recorded round 'assert m["rectdiff.guidance_learnt"] == "2" and m["null_class"] == "8", m'
	rectrain -m learnt "${short[@]}" -o consistent --consistency=4 plain
	recorded consistent 'assert m["rectdiff.guidance_learnt"] == "2", m'
	rectrain -m learnt "${short[@]}" -o more --consistency=4 --guidance 3 plain
	recorded more 'assert m["rectdiff.guidance_learnt"] == "3 on top of 2", m'
	for p in "-m learnt plain" "-m learnt --coupling independent plain"; do
		rm -rf away
		# shellcheck disable=SC2086
		rectrain $p "${short[@]}" -o away
		recorded away 'assert "rectdiff.guidance_learnt" not in m, m'
	done
}

@test "consistency goes on where it was stopped" {
	resumes rectrain -m "$m" --coupling independent --consistency=8 -b 64 --steps 3000 -j 1 --ema 0.9 "$data"
}

# nearer A B FACTOR: the samples of the file A are to those of `true` nearer than FACTOR times those of B, in root mean square.
nearer()
{
	frames true "d = lambda p: ((f['sample'] - read(p)[1]['sample']) ** 2).mean() ** 0.5
assert d('$1') < $3 * d('$2'), (d('$1'), d('$2'))
print(d('$1'), d('$2'))"
}

@test "phased, by knots and by a teacher, and distilled: nearer to where the teacher ends" {
	config base.json vp v_prediction
	noisegen -n 1000 --dist 8gaussians -o base.data
	rectrain -q -j 1 --init base.json -o base --coupling independent --steps 2000 --lr 2e-3 --ema 0.99 base.data
	noisegen -n 1000 -s 2 --shape 2 | denoise -m base --solver ddim --spacing trailing --steps 40 --knots 4 -o pairs
	noisegen -n 200 -s 3 --shape 2 -o noise
	odesample -m base --solver ddim --spacing trailing --steps 40 -o true noise
	odesample -m base --solver ddim --spacing trailing --steps 4 -o four noise
	odesample -m base --solver ddim --spacing trailing --steps 1 -o one noise
	local train=(-m base -q -j 1 --steps 1500 --lr 2e-3 --ema 0.99)
	rectrain "${train[@]}" --phases 4 -o knots pairs
	rectrain "${train[@]}" --phases 4 --coupling independent -o taught base.data
	rectrain "${train[@]}" --time-sampling last -o distilled pairs
	odesample -m knots --solver ddim --spacing trailing --steps 4 -o knots.four noise
	odesample -m taught --solver ddim --spacing trailing --steps 4 -o taught.four noise
	odesample -m distilled --solver ddim --spacing trailing --steps 1 -o distilled.one noise
	nearer knots.four four 0.4
	nearer taught.four four 0.4
	nearer distilled.one one 0.1
}

@test "consistency from an ordinary model, on data: one step is near to where the teacher ends" {
	noisegen -n 200 -s 3 --shape 2 -o noise
	odesample -m "$m" --solver ddim --spacing trailing --steps 10 -o true noise
	odesample -m "$m" --solver ddim --spacing trailing --steps 1 -o one noise
	rectrain -m "$m" -q -j 1 --steps 3000 --lr 2e-3 --ema 0.9 --coupling independent --consistency=10 -o out "$data"
	odesample -m out --solver ddim --spacing trailing --steps 1 -o out.one noise
	nearer out.one one 0.3
	# The memory of the average: N/(1 - d) steps are far more than there are, and the noisy end has not heard of the truth.
	rectrain -m "$m" -q -j 1 --steps 3000 --lr 2e-3 --ema 0.9999 --coupling independent --consistency=10 -o slow "$data"
	odesample -m slow --solver ddim --spacing trailing --steps 1 -o slow.one noise
	nearer out.one slow.one 0.3
}

@test "pairs of both directions train together" {
	noisegen -n 100 -s 5 -m "$m" | denoise -m "$m" --steps 8 | pairpack -o there.tar
	denoise -m "$m" --reverse --steps 8 "$data" | pairpack -o back.tar
	run -0 rectrain -m "$m" --steps 30 -b 16 -j 1 -o out there.tar back.tar
	assert_output --partial "400 pairs"
}

@test "pairs of two kinds in one archive or stream are two kinds still" {
	local c=$files/cond
	noisegen -n 40 -m "$c" -s 3 -l uniform:8 | denoise -m "$c" --steps 4 | pairpack -o one.tar
	noisegen -n 40 -m "$c" -s 4 -l uniform:8 -i 40 | denoise -m "$c" --steps 6 --guidance 2 --null-class 8 | pairpack -o two.tar
	pairpack -o both.tar one.tar two.tar
	pairpack -x one.tar two.tar >both
	pairpack both | cmp - both.tar
	pairpack - two.tar <one.tar | cmp - both.tar
	pairpack <(pairpack -x one.tar) <(pairpack -x two.tar) | cmp - both.tar
	tensorcat --to frame one.tar two.tar -o cat
	for pairs in both.tar both cat; do
		run -0 rectrain -m "$c" --steps 30 -b 16 -j 1 --lr 1e-3 --warmup 0 -o "of-$pairs" $pairs
		assert_output --partial ", 4 and 6 steps, guidance 1 and 2"
		assert_line "rectrain: warning: $pairs has pairs with guidance 1, and others with guidance 2: they are trained on together"
		recorded "of-$pairs" 'assert m["rectdiff.guidance_learnt"] == "1 and 2" and m["null_class"] == "8", m
d = json.loads(m["rectdiff.data"]); assert "guidance" not in d and "seed" not in d and d["solver"] == "dpm++2m", d
assert [(k["seed"], k["guidance"], k["steps"]) for k in d["joined"]] == [(3, 1, 4), (4, 2, 6)], d'
	done
	run -0 rectrain -m of-both -j 1 --dry-run -o out one.tar # what it was trained on before
	refute_output --partial "another model"

	# Noise of two seeds through one teacher: of the two kinds the seeds are left; of one run in parts, one kind.
	noisegen -n 20 -m "$c" -s 3 -l uniform:8 -o n3
	noisegen -n 20 -m "$c" -s 4 -l uniform:8 -o n4
	tensorcat --to frame n3 n4 | denoise -m "$c" --steps 4 -o of-noise
	frames of-noise 'm = h["meta"]; assert m["joined"] == [{"seed": 3}, {"seed": 4}] and "seed" not in m and m["guidance"] == 1, m'
	pairpack both.tar --noise data | pairpack -x - | tensorcat --to npy - | cmp - <(tensorcat --to npy both.tar)
}

@test "pairs that were clamped and such as were not are a mixture" {
	noisegen -n 40 -s 3 --shape 2 | denoise -m "$m" --steps 4 --clip -o clipped
	noisegen -n 40 -s 4 --shape 2 | denoise -m "$m" --steps 4 --clip=3 -o wider
	noisegen -n 40 -s 5 --shape 2 | denoise -m "$m" --steps 4 --no-clip -o plain
	run -0 rectrain -m "$m" -j 1 --dry-run -o out clipped plain
	assert_line "rectrain: warning: clipped has pairs with clip on, plain with clip off: they are trained on together"
	run -0 rectrain -m "$m" -j 1 --dry-run -o out clipped wider
	assert_line "rectrain: warning: clipped has pairs with clip range 1, wider with clip range 3: they are trained on together"
	run -0 rectrain -m "$m" -j 1 --dry-run -o out plain
	refute_output --partial "trained on together"
}
