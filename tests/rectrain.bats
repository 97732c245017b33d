#!/usr/bin/env bats
# rectrain: it learns, it can be stopped and killed anywhere, and it takes no data, checkpoint or folder for another.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common
load training

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	config net.json
	noisegen -n 300 -s 2 --shape 2 | denoise -m m --steps 5 -o pairs
	noisegen -n 300 --dist 8gaussians -l component -o data
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m pairs=$files/pairs data=$files/data
	short=(--steps 40 -b 16 -j 1 -q)
	fresh=(--init "$files/net.json" --coupling independent)
}

# falls LOG FACTOR: the loss of the last line is below FACTOR times that of the first.
falls()
{
	"$PYTHON" -c 'import json, sys
loss = [json.loads(line)["loss"] for line in open(sys.argv[1])]
assert len(loss) > 2 and loss[-1] < float(sys.argv[2]) * loss[0], loss' "$@"
}

logged_steps() { grep -oE '"step":[0-9]+' "$1"; }

# stopped SIGNAL COMMAND...: starts it, with a log, and sends the signal under way.
stopped()
{
	local rc=0 pid
	rm -f stopped.log
	(ulimit -c 0 && exec env --default-signal "${@:2}" --log stopped.log --log-every 5) 2>stopped.err 3>&- &
	pid=$!
	await test -s stopped.log
	kill "-$1" "$pid"
	wait "$pid" || rc=$?
	[ "$rc" -eq $((128 + $(kill -l "$1"))) ] || fail "status $rc: $(cat stopped.err)"
}

@test "the loss falls: a perceptron on data, then on its pairs" {
	rectrain "${fresh[@]}" -q -o a --steps 600 --lr 2e-3 --log a.log "$data"
	falls a.log 0.8
	noisegen -n 500 --shape 2 | denoise -m a --steps 20 -o a.pairs
	rectrain -m a -q -o b --steps 600 --lr 1e-3 --log b.log a.pairs
	falls b.log 0.6
}

@test "the loss falls: a U-Net on its pairs" {
	noisegen -n 8 -m "$cifar" | denoise -m "$cifar" --solver ddim --spacing trailing --steps 2 -o pairs
	rectrain -m "$cifar" -q -o a --steps 16 -b 4 --lr 1e-3 --warmup 2 --loss-space eps --log a.log --log-every 4 pairs
	falls a.log 0.9
	cmp a/unet/config.json "$cifar/unet/config.json"
	cmp a/scheduler/scheduler_config.json "$cifar/scheduler/scheduler_config.json"
	cmp a/model_index.json "$cifar/model_index.json"
	odesample -q -m a -n 1 --steps 1 -o sample
}

@test "a line of the log is the mean of the steps since the one before" {
	rectrain -m "$m" "${short[@]}" -o a --log each.log --log-every 1 "$pairs"
	rectrain -m "$m" "${short[@]}" -o b --log mean.log --log-every 15 "$pairs"
	"$PYTHON" -c 'import json
each, mean = ([json.loads(line) for line in open(f)] for f in ("each.log", "mean.log"))
assert len(each) == 40 and [l["step"] for l in mean] == [15, 30, 40], mean
for l, part in zip(mean, (each[:15], each[15:30], each[30:])):
    for key in ("loss", "grad_norm"):
        want = sum(s[key] for s in part) / len(part)
        assert abs(l[key] - want) < 1e-6 * want, (key, l, want)'
}

@test "one step on the pairs gets closer to where many steps end" {
	rectrain -m "$m" -q -o a --steps 1500 --lr 2e-3 "$pairs"
	tensorcat --to frame -r noise noise=<(tensorcat --to npy -n noise "$pairs") -o noise
	odesample -m "$m" --steps 1 --solver ddim -o before noise
	odesample -m a --steps 1 --solver ddim -o after noise
	frames "$pairs" 'before, after = (abs(f["sample"] - read(p)[1]["sample"]).mean() for p in ("before", "after"))
assert after < before / 2, (before, after)'
}

@test "--dry-run says what it would do and writes nothing" {
	run -0 rectrain -m "$m" -o a --steps 1000 --log a.log --dry-run "$pairs"
	assert_line --regexp "steps 1 to 1000 .* about [0-9.e-]*[1-9][0-9.e-]* s a step"
	assert_line --partial "300 pairs"
	assert_line --partial "writes a"
	[ -z "$(ls -A)" ]
}

@test "names in the plan have nothing in them that a terminal acts on" {
	local evil=$'m\e[31m\nrectrain: x'
	cp -r "$m" "$evil"
	run -0 rectrain -m "$evil" -o $'a\r' --log $'l\b' --scratch . --steps 10 --dry-run "$pairs"
	assert_line --regexp '^rectrain: m\?\[31m\?rectrain: x, [0-9]+ parameters, '
	assert_line --regexp '^rectrain: writes a\? \(.* a\?\.ckpt .*; log l\?$'
	refute_line --regexp '^rectrain: x'
	refute_output --regexp $'[\e\r\b]'
}

@test "the same command again is told that there is nothing to do" {
	local before
	rectrain -m "$m" "${short[@]}" -o a "$pairs"
	before=$(find a -type f -printf '%p %T@\n' | sort)
	run -0 rectrain -m "$m" -o a --steps 40 -b 16 -j 1 "$pairs"
	assert_output --partial "nothing to do"
	[ "$before" = "$(find a -type f -printf '%p %T@\n' | sort)" ]
	[ "$(ls -A)" = a ]
}

@test "the end is told in a line, without a word while it goes on fast" {
	run -0 rectrain -m "$m" -o a --steps 120 -b 16 -j 1 --log a.log --log-every 1 "$pairs"
	assert_line --index $((${#lines[@]} - 1)) --regexp "^rectrain: wrote a: 120 steps, mean loss [0-9.e-]+ over the last 100$"
	"$PYTHON" -c 'import json, sys
loss = [json.loads(line)["loss"] for line in open("a.log")][-100:]
assert abs(float(sys.argv[1]) / (sum(loss) / 100) - 1) < 1e-3' "$(grep -oE "mean loss [0-9.e-]+" <<<"$output" | cut -d" " -f3)"
	refute_output --partial warning
	refute_output --partial "/120 steps"
	run -0 rectrain -m "$m" -o b --steps 40 -b 16 -j 1 --hold-out 20 --keep-best --held-out-every 10 "$pairs"
	metadata b/unet/diffusion_pytorch_model.safetensors 'print(m["rectdiff.step"])' >step
	assert_line --regexp "^rectrain: wrote b: 40 steps.* it is the average of step $(cat step), whose loss on what is held out"
	assert_line "rectrain: warning: --warmup 100: the rate is still rising after the last of 40 steps"
	run -0 rectrain -m "$m" -o c --steps 40 -b 16 -j 1 -q "$pairs"
	assert_output ""
}

@test "the same command elsewhere makes the same bytes, however often it checkpoints" {
	rectrain -m "$m" "${short[@]}" -o a "$pairs"
	rectrain -m "$m" "${short[@]}" -o b --checkpoint-every 3 --log log "$pairs"
	same_weights a b
	rectrain -m "$m" "${short[@]}" -o c -s 1 "$pairs"
	run -1 same_weights a c
	[ "$(names)" = "a b c log" ]
}

@test "stopped by a signal, the same command ends as if it had not been" {
	local cmd=(rectrain "${fresh[@]}" --steps 6000 -b 256 -j 1 "$data") sig first
	"${cmd[@]}" -q -o undisturbed --log undisturbed.log --log-every 5
	for sig in TERM INT USR1 USR2 HUP XCPU; do
		stopped $sig "${cmd[@]}" -o a
		grep -q "stopped at step [0-9]* of 6000; the same command goes on from there" stopped.err
		[ -e a.ckpt ] && [ ! -e a ]
		first=$(($(logged_steps stopped.log | tail -n 1 | grep -o '[0-9]*$') + 1))
		"${cmd[@]}" -o a --log stopped.log --log-every 5 2>err
		grep -qE "steps [0-9]+ to 6000" err
		[ "$(grep -oE 'steps [0-9]+ to' err | grep -oE '[0-9]+')" -ge "$first" ]
		same_weights undisturbed a
		diff <(sed 's/,"seconds.*//' undisturbed.log) <(sed 's/,"seconds.*//' stopped.log)
		[ "$(names)" = "a err stopped.err stopped.log undisturbed undisturbed.log" ]
		rm -r a
	done
}

@test "started to ignore SIGHUP, as under nohup, it goes on after one; a limit of processor time leaves a checkpoint" {
	local pid rc=0
	env --ignore-signal=HUP rectrain "${fresh[@]}" --steps 2000 -b 256 -j 1 -q -o a --log log --log-every 5 "$data" 3>&- &
	pid=$!
	await test -s log
	kill -HUP "$pid"
	wait "$pid"
	[ -e a ]
	run -152 bash -c 'ulimit -c 0; ulimit -S -t 1; "$@"' - rectrain "${fresh[@]}" --steps 1000000 --checkpoint-every 1000000 -q -o b "$data"
	[ -s b.ckpt ]
}

longer_than() { [ "$(wc -l <log)" -gt "$1" ]; }

# logged: waits for the end of the step that is under way.
logged() { await longer_than "$(wc -l <log)"; }

# In the background of a shell SIGINT is ignored, unless env says otherwise. Steps of some tenths of a second leave room for what
# comes while one is under way; where that comes too late after all, nobody is there to be killed.
@test "a request to stop that is repeated is one request; a later second SIGINT ends at once; what was ignored stays so" {
	local cmd=(rectrain --init wide.json --coupling independent --steps 6000 -b 20000 -j 1 -q --log log --log-every 1 -o a "$data") pid rc
	sed 's/"hidden_dim": 32/"hidden_dim": 256/' "$files/net.json" >wide.json
	"${cmd[@]}" 2>err 3>&- &
	pid=$!
	await test -s log
	kill -INT "$pid"
	logged
	logged
	[ ! -e a.ckpt ]
	kill -TERM "$pid"
	sleep 0.05
	kill -TERM "$pid" || true
	kill -USR1 "$pid" || true
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 143 ]
	[ -s a.ckpt ]
	rm log a.ckpt
	interrupted_twice 0
	[ -s a.ckpt ]
	rm log a.ckpt
	interrupted_twice 0.15
	[ ! -e a.ckpt ]
}

# interrupted_twice SECONDS: cmd, with two SIGINTs so far apart.
interrupted_twice()
{
	local rc=0
	env --default-signal=INT "${cmd[@]}" 2>err 3>&- &
	pid=$!
	await test -s log
	logged
	kill -INT "$pid"
	[ "$1" = 0 ] || sleep "$1"
	kill -INT "$pid"
	wait "$pid" || rc=$?
	[ "$rc" -eq 130 ]
}

@test "a few SIGKILLs at random moments change nothing" {
	"$BATS_TEST_DIRNAME/kill.sh" 6
}

@test "the log has loss, norm and rate of every interval, once" {
	rectrain -m "$m" "${short[@]}" -o a --log log --log-every 15 --warmup 20 --lr 1e-3 --rate constant "$pairs"
	run "$PYTHON" -c 'import json
for r in map(json.loads, open("log")):
    print(r["step"], round(r["lr"], 6), r["loss"] > 0, r["grad_norm"] > 0, r["seconds"] >= 0, len(r))'
	assert_output "15 0.00075 True True True 6
30 0.001 True True True 6
40 0.001 True True True 6"
}

@test "a checkpoint of other options is refused, the option named" {
	local before change
	stopped TERM rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 "$pairs"
	before=$(cksum a.ckpt)
	noisegen -n 300 -s 3 --shape 2 | denoise -m "$m" --steps 5 -o others
	while read -r change name; do
		# shellcheck disable=SC2086
		run -1 rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 --dry-run $change "$pairs"
		assert_output --regexp "a\.ckpt: is of another run: $name is .* there, .* here"
	done <<-EOF2
	--steps=999999 steps
	--lr=1e-3 lr
	--batch=32 batch
	--seed=7 seed
	--ema=0.99 ema
	--loss=huber loss
	--time-sampling=uniform time_sampling
	--loss-space=eps loss_space
	--weight-decay=0 weight_decay
	--betas=0.8,0.99 beta1
	--clip=2 clip
	--rate=constant rate
	--warmup=3 warmup
	--coupling=independent (data|coupling)
	-j2 device
	EOF2
	run -1 rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 --dry-run others
	assert_output --partial "cannot go on (--restart begins anew): a.ckpt: is of another run: data is"
	run -1 rectrain -m "$m" -o a --steps 1000000 -b 64 -j 2 --dry-run "$pairs"
	assert_output --partial "cannot go on (--any-machine does all the same, --restart begins anew): a.ckpt: "
	run -1 rectrain -m "$m" -o a --steps 1000000 -b 32 -j 2 --dry-run "$pairs" # it would not help
	assert_output --partial "cannot go on (--restart begins anew): a.ckpt: is of another run: batch is"
	[ "$before" = "$(cksum a.ckpt)" ]
}

@test "--restart and --any-machine take what is refused otherwise" {
	stopped TERM rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 "$pairs"
	run -0 rectrain -m "$m" -o a --steps 1000000 -b 64 -j 2 --any-machine --dry-run "$pairs"
	refute_output --partial "steps 1 to"
	rectrain -m "$m" "${short[@]}" -o a --restart "$pairs"
	rectrain -m "$m" "${short[@]}" -o b "$pairs"
	same_weights a b
	assert_absent a.ckpt a.lock
}

@test "a checkpoint that is damaged is refused" {
	stopped TERM rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 "$pairs"
	truncate -s -4 a.ckpt
	run -3 rectrain -m "$m" -o a --steps 1000000 -b 64 -j 1 --dry-run "$pairs"
	assert_output --partial a.ckpt
	assert_output --partial "--restart"
}

@test "two at once do not work on one OUT" {
	local pid
	rectrain -q -m "$m" -o a --steps 1000000 -j 1 --log log --log-every 5 "$pairs" 3>&- &
	pid=$!
	await test -s log
	run -1 rectrain -m "$m" -o a --steps 1000000 -j 1 --dry-run "$pairs"
	assert_output --partial "another rectrain"
	kill "$pid"
	wait "$pid" || true
}

@test "an OUT that is something else is not touched without -f, and with it only where it is a model or empty" {
	mkdir a
	echo keep >a/file
	run -1 rectrain -m "$m" "${short[@]}" -o a "$pairs"
	assert_output --partial "a: is a folder of something else than a model"
	[ "$(cat a/file)" = keep ]
	cp -r "$cifar" b
	run -1 rectrain -m "$m" "${short[@]}" -o b "$pairs"
	assert_output --partial "rectrain did not make"
	rectrain -m "$m" "${short[@]}" -o c "$pairs"
	cp -r c c.before
	run -1 rectrain -m "$m" "${short[@]}" -o c -s 1 "$pairs"
	assert_output --partial "cannot go on (-f replaces it, -m c -o NEW trains it further): c: is of another run: seed is 0 there, 1 here"
	run -1 rectrain -m "$m" "${short[@]}" -o c -j 2 "$pairs"
	assert_output --partial "cannot go on (--any-machine does all the same, -f replaces it, -m c -o NEW trains it further): c: "
	rectrain -m "$m" "${short[@]}" -o c -j 2 --any-machine "$pairs" # there already
	diff -r c c.before
	[ "$(names)" = "a b c c.before" ]
	run -1 rectrain -m "$m" "${short[@]}" -o a -f "$pairs"
	assert_output --partial "a: is a folder of something else than a model: it is not replaced"
	[ "$(cat a/file)" = keep ]
	rm a/file
	for out in a b c; do
		rectrain -m "$m" "${short[@]}" -o $out -f -s 1 "$pairs"
	done
	same_weights a b
	same_weights a c
	[ "$(names)" = "a b c c.before" ]
}

@test "the model started from is not replaced by what is made of it, however its name is spelt" {
	local out
	cp -r "$m" model
	ln -s model link
	for out in model ./model/ link "$PWD/model" model/unet; do
		run -2 rectrain -m model "${short[@]}" -o "$out" -f "$pairs"
		assert_output --partial "-o $out: is the model started from (-m)"
	done
	diff -r "$m" model
	cp model/scheduler/scheduler_config.json model/unet # now that folder by itself is a model too
	run -2 rectrain -m model/unet "${short[@]}" -o model -f "$pairs"
	assert_output --partial "-o model: is the model started from (-m)"
	[ "$(names)" = "link model" ]
}

@test "other files beside OUT are left alone, whatever OUT is called" {
	touch ab.tmp.1 a.tmp.backup .a.ckpt.mine.tmp
	mkdir a.tmp.2-keep
	rectrain -m "$m" "${short[@]}" -o 'a[b]' "$pairs"
	rectrain -m "$m" "${short[@]}" -o 'a*' "$pairs"
	rectrain -m "$m" "${short[@]}" -o a "$pairs"
	[ -e ab.tmp.1 ] && [ -e a.tmp.backup ] && [ -e .a.ckpt.mine.tmp ] && [ -e a.tmp.2-keep ]
}

@test "what killed runs left is removed" {
	local host
	host=$(uname -n | tr -c 'a-zA-Z0-9\n' -)
	mkdir a.tmp.123 a.500.tmp.123
	touch a.tmp.123/x ".a.ckpt.$host.123.0.tmp" ".log.$host.123.0.tmp"
	rectrain -m "$m" "${short[@]}" -o a --log log "$pairs"
	assert_equal "$(names)" "a log"
	mkdir -p far/b far/b.tmp.123
	ln -s far/b b
	rectrain -m "$m" "${short[@]}" -o b -f "$pairs"
	[ "$(ls -A far)" = b ]
}

@test "a stream, a file, an archive and several of them are the same data" {
	local w=unet/diffusion_pytorch_model.safetensors i
	rectrain -m "$m" "${short[@]}" -o file "$pairs"
	rectrain -m "$m" "${short[@]}" -o stream - <"$pairs"
	noisegen -n 300 -s 2 --shape 2 | denoise -m "$m" --steps 5 | rectrain -m "$m" "${short[@]}" -o live -
	pairpack -o pairs.tar "$pairs"
	pairpack --shard-pairs 128 -o 'shard-%03d.tar' "$pairs"
	rectrain -m "$m" "${short[@]}" -o tar pairs.tar
	rectrain -m "$m" "${short[@]}" -o shards shard-*.tar
	[ "$(find . -name 'shard-*.tar' | wc -l)" -gt 1 ]
	for i in stream live tar shards; do cmp <(tensors file/$w) <(tensors $i/$w); done
}

@test "the null class is recorded and samplers use it" {
	config net.json fm flow_prediction '"num_class_embeds": 9,'
	rectrain --init net.json "${short[@]}" --coupling independent -o a --null-class 8 --label-drop 0.3 "$data"
	odesample -m a -n 4 --steps 1 --guidance 2 -o x
	frames x 'assert h["meta"]["guidance"] == 2 and f["label"].max() < 8'
	rectrain --init net.json "${short[@]}" --coupling independent -o b "$data"
	run -2 odesample -m b -n 4 --steps 1 --guidance 2 -o x
	run -2 rectrain --init net.json "${short[@]}" --coupling independent -o c --label-drop 0.3 "$data"
	assert_output --partial "null class"
	run -2 rectrain --init net.json "${short[@]}" --coupling independent -o c --null-class 9 "$data"
	assert_output --partial "null class 9: the model has classes 0 to 8"
	noisegen -n 30 --dist 8gaussians -o unlabelled
	run -2 rectrain --init net.json "${short[@]}" --coupling independent -o c --null-class 9 unlabelled
	assert_output --partial "null class 9: the model has classes 0 to 8"
	run -2 rectrain "${fresh[@]}" "${short[@]}" -o c --null-class 0 "$data"
	assert_output --partial "net.json has no classes"
	assert_absent c
}

# refused WORDS STATUS ARGUMENTS...: rectrain fails with a message that has WORDS, and leaves nothing.
refused()
{
	run "-$2" rectrain "${short[@]}" -o out "${@:3}"
	assert_output --partial "$1"
	assert_absent out
}

@test "data that cannot be meant is refused" {
	config four.json fm flow_prediction '"num_class_embeds": 4,'
	refused "the model has classes 0 to 3" 3 --init four.json --coupling independent "$data"
	"$PYTHON" -c 'import numpy as np
x = np.random.default_rng(0).normal(size=(50, 2)).astype("f4")
np.save("x.npy", x)
np.save("x3.npy", x[:48].reshape(32, 3))
np.save("x20.npy", x[:20])
for name, bad in ("nan", np.nan), ("inf", np.inf):
    y = x.copy()
    y[33, 1] = bad
    np.save(name + ".npy", y)'
	refused "sample 33" 3 "${fresh[@]}" nan.npy
	refused "sample 33" 3 "${fresh[@]}" inf.npy
	refused "sample 33" 3 -m "$m" noise=nan.npy sample=x.npy
	refused "[3]" 3 "${fresh[@]}" x3.npy
	refused "50 samples, but 20" 3 -m "$m" noise=x20.npy sample=x.npy
	refused "pairs expected" 3 -m "$m" x.npy
	refused "no samples" 3 "${fresh[@]}" <(noisegen -n 0 --dist moons)
	refused "nowhere.tar" 1 -m "$m" nowhere.tar
	rectrain -m "$m" "${short[@]}" -o good noise=x.npy sample=x.npy
}

@test "pairs of another form are refused, both named, unless asked for" {
	mlp vp vp epsilon
	noisegen -n 50 --shape 2 | denoise -m vp --steps 3 -o vp.pairs
	refused "pairs of form vp, the model's form is fm" 3 -m "$m" vp.pairs
	rectrain -m "$m" "${short[@]}" -o b --any-form vp.pairs
	rectrain -m vp "${short[@]}" -o c vp.pairs
	refused "vp.pairs: its form (vp) is not that of" 3 -m "$m" "$pairs" vp.pairs
	refused "form (fm) is not that of vp.pairs" 3 -m "$m" --any-form vp.pairs "$pairs"
	noisegen -n 50 -s 3 --shape 2 | denoise -q -m "$m" --steps 5 --spacing leading -o early
	refused "early: its start (t = 0.8002) is not that of $pairs (t = 1)" 3 -m "$m" "$pairs" early
	noisegen -n 50 -s 3 --shape 2 | denoise -q -m "$m" --steps 6 --knots 3 -o three
	noisegen -n 50 -s 4 --shape 2 | denoise -q -m "$m" --steps 6 --knots 2 -o two
	refused "two: its knots (3 points) is not that of three (4 points)" 3 -m "$m" --phases 3 three two
}

@test "what made the pairs is said, a mixture warned of, and a pair that comes twice refused" {
	local hash other
	hash=$(tensorcat "$m" | awk '$1 == "hash" { print $2 }')
	noisegen -n 200 -s 5 --shape 2 | denoise -m "$m" --steps 5 | pairpack --shard-pairs 150 -o 'five-%d.tar'
	noisegen -n 50 -s 6 --shape 2 | denoise -m "$m" --solver euler --steps 9 | pairpack -o nine.tar
	run -0 rectrain -m "$m" --steps 400 -j 1 -o out --dry-run --hold-out 20 five-*.tar
	assert_line "rectrain: pairs: 200 in 2 files, by model $hash, dpm++2m, 5 steps, guidance 1"
	refute_output --partial warning
	run -0 rectrain -m "$m" --steps 400 -j 1 -o out --dry-run five-0.tar nine.tar
	assert_line "rectrain: pairs: 200 in 2 files, by model $hash, dpm++2m and euler, 5 and 9 steps, guidance 1"
	refute_output --partial warning # what is left over is solved again in more steps, as denoise(1) says
	run -0 rectrain -m "$m" --steps 400 -j 1 -o out --dry-run noise=<(tensorcat --to npy -n noise five-0.tar) sample=<(tensorcat --to npy five-0.tar)
	assert_line "rectrain: pairs: 150 in 1 file; nothing says what made them"

	rectrain -m "$m" "${short[@]}" -o two "$pairs"
	other=$(tensorcat two | awk '$1 == "hash" { print $2 }')
	[ "$hash" != "$other" ] || fail "two models are one"
	noisegen -n 50 -s 7 --shape 2 | denoise -m two --steps 5 -o other
	run -0 rectrain -m "$m" --steps 400 -j 1 -o out --dry-run five-0.tar five-1.tar other
	assert_line "rectrain: warning: five-0.tar has pairs by model $hash, other by model $other: they are trained on together"
	refute_output --partial "the pairs are by another model"
	mlp stranger vp epsilon
	run -0 rectrain -m stranger --any-form -j 1 -o out --dry-run five-0.tar
	assert_output --partial "rectrain: warning: the pairs are by another model ($hash) than stranger ("
	run -0 rectrain -m "$m" --convert-to vp -j 1 -o out --dry-run --any-form five-0.tar
	refute_output --partial warning
	run -0 rectrain -m two -j 1 -o out --dry-run five-0.tar # further, on what it was trained on
	refute_output --partial warning
	rectrain -m two "${short[@]}" -o three five-0.tar
	run -0 rectrain -m three -j 1 -o out --dry-run five-0.tar
	refute_output --partial warning
	run -0 rectrain --init "$files/net.json" -j 1 -o out --dry-run five-0.tar
	refute_output --partial warning

	refused "five-0.tar: pair 0 is in five-0.tar already" 1 -m "$m" five-0.tar five-0.tar
	cp five-1.tar again.tar
	refused "again.tar: pair 150 is in five-1.tar already" 1 -m "$m" five-0.tar five-1.tar again.tar
	noisegen -n 10 -s 5 --shape 2 | denoise -m two --steps 3 -o short
	refused "short: pair 0 is in five-0.tar already, of the same noise" 1 -m "$m" five-0.tar short
	rectrain -m "$m" "${short[@]}" -o out --coupling independent five-0.tar five-0.tar # data may be weighted so
}

@test "a loss that is no number any more stops the run" {
	run -1 rectrain "${fresh[@]}" -q -j 1 -o a --steps 5000 --lr 10 --clip 0 --loss l2 --warmup 0 --weight-decay 10 "$data"
	assert_output --regexp "step [0-9]+: the loss is .* a smaller --lr"
	[ ! -e a ]
	[ ! -e a.lock ]
}

@test "options that make no sense: status 2" {
	local args
	run -2 rectrain -m "$m" --init "$files/net.json" -o out "$pairs"
	assert_output --partial "from one of them, not both"
	for args in "" "-o out" "-m $m -o out" "-m $m $pairs" "-m $m --init net.json -o out $pairs" "-m $m -o - $pairs" \
		"-m $m -o out --steps 0 $pairs" "-m $m -o out --ema 1 $pairs" "-m $m -o out --betas 0.9 $pairs" \
		"-m $m -o out --lr -1 $pairs" "-m $m -o out --loss l3 $pairs" "-m $m -o out --label-drop 2 $pairs" \
		"-m $m -o out --seed -1 $pairs" "-m $m -o out -b 0 $pairs"; do
		# shellcheck disable=SC2086
		run -2 rectrain $args
		assert_output --partial "rectrain: "
	done
	[ -z "$(ls -A)" ]
}

# Rectified flow as the paper compares with: the teacher converted to flow matching and velocity, then trained on its pairs.
@test "a model converted to another form is the same one, and learns under it" {
	mlp base vp v_prediction
	noisegen -n 400 -s 2 -m base | denoise -m base --steps 40 | pairpack >pairs.tar
	rectrain -q -m base --convert-to fm,flow --loss-space output --steps 1 -b 4 --lr 1e-9 --warmup 0 --ema 0 -o same pairs.tar
	noisegen -n 20 -s 3 -m base -o noise
	odesample -m base --as fm --steps 12 -o as noise
	odesample -m same --steps 12 -o converted noise
	frames converted 'close(f["sample"], read("as")[1]["sample"], 1e-4)'
	run tensorcat same
	assert_output --partial "flow"
	assert_output --partial "one of vp, v-prediction"
	rectrain -q -m base --convert-to fm,flow --loss-space output --steps 800 -b 64 --lr 2e-3 --ema 0.98 -o flow pairs.tar
	odesample -m base --steps 40 -o many noise
	odesample -m base --steps 1 -o before noise
	odesample -m flow --steps 1 -o after noise
	frames after 'd = lambda x: ((x - read("many")[1]["sample"]) ** 2).mean()
assert d(f["sample"]) < 0.4 * d(read("before")[1]["sample"]), (d(f["sample"]), d(read("before")[1]["sample"]))'
	rectrain -q -m base --convert-to ve,edm --loss-space output --steps 1 -b 4 -o edm pairs.tar
	grep -q '"sigma_data": 0.5' edm/scheduler/scheduler_config.json
	run -3 rectrain -q -m flow --convert-to vp --steps 1 -o x pairs.tar
	assert_output --partial "converted from vp already"
	run -2 rectrain -q --init base.json --convert-to fm --steps 1 -o x pairs.tar
	run -2 rectrain -q -m base --convert-to fm,speed --steps 1 -o x pairs.tar
}

@test "a model under a table of one's own: converted, saved and loaded again; or made for it" {
	printf '# alpha sigma\n1 0\n0.9 0.3\n0.5 0.8\n0 1\n' >mine
	config base.json fm flow_prediction
	noisegen -n 300 -s 1 --dist 8gaussians -o data
	rectrain -q --init base.json -o base --coupling independent --steps 60 --lr 2e-3 data
	noisegen -n 40 -s 3 -m base -o noise
	odesample -m base --as table:mine --steps 12 -o as noise
	rectrain -q -m base --convert-to table:mine,v --coupling independent --steps 1 -b 4 --lr 1e-9 --warmup 0 --ema 0 -o same data
	odesample -m same --steps 12 -o converted noise
	frames converted '
close(f["sample"], read("as")[1]["sample"], 1e-3)
assert h["meta"]["form"] == "table" and h["meta"]["prediction"] == "v"'
	run tensorcat same
	assert_output --partial "table of 4 rows"
	"$PYTHON" -c '
import json
c = json.load(open("same/scheduler/scheduler_config.json"))
assert c["form"] == "table" and c["table"][1] == [1, 0.9, 0.3] and c["network"]["form"] == "fm", c
for name, change in [("cut", {"table": c["table"][:1]}), ("none", {"table": "mine"}), ("words", {"table": [[0, 1, "x"], [1, 0, 1]]}),
                     ("turned", {"table": c["table"][::-1]}), ("outside", {"t_max": 7}), ("log", {"network_time": "log"}),
                     ("path", {"form": "table:mine"})]:
    json.dump({**c, **change}, open(name + ".json", "w"))
base = json.load(open("base.json"))
base["scheduler"] = {"_class_name": "RectdiffScheduler", "form": "table", "table": [[1, 1, 0.02], [2, 0.7, 0.7], [3, 0.02, 0.99]],
                     "prediction_type": "v_prediction", "network_time": "log"}
json.dump(base, open("own.json", "w"))'
	for bad in cut none words turned outside log path; do
		run -3 odesample -m same --scheduler "$bad.json" -n 1 -o out
		assert_output --partial "$bad.json"
	done
	rectrain -q --init own.json -o own --coupling independent --steps 200 --lr 2e-3 data
	odesample -m own -n 30 --steps 10 -o out
	frames out 'assert h["meta"]["start"]["scale"] == 0.99 and abs(f["sample"]).max() < 5'
}

@test "--scratch: data in a file of no name, the same result to the bit; a folder that is none is refused" {
	mlp base
	noisegen -q -n 300 -m base | denoise -q -m base --steps 4 | pairpack -q -o pairs.tar
	rectrain -q -m base -o memory --steps 20 --batch 16 --hold-out 30 --seed 1 pairs.tar
	rectrain -q -m base -o file --steps 20 --batch 16 --hold-out 30 --seed 1 --scratch . pairs.tar
	[ "$(tensorcat memory | grep '^  hash')" = "$(tensorcat file | grep '^  hash')" ]
	run rectrain --dry-run -m base -o x --steps 20 --scratch . pairs.tar
	assert_output --partial "MB for the data, in a file in ."
	# while they are read there is room for a quarter more, not for twice as much: 8 bytes each, and not 48 KiB for all
	noisegen -q -n 4100 -b 1000 --dist 8gaussians -o many
	(ulimit -f 48 && rectrain -q --dry-run -m base -o x --coupling independent --scratch . many)
	run -1 rectrain -q -m base -o x --scratch nowhere pairs.tar
	assert_output --partial "training data: nowhere: No such file or directory"
}
