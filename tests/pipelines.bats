#!/usr/bin/env bats
# pipelines/rectify.mk, at sizes that say nothing of quality.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0
load common

setup()
{
	start
	rectify=(env -u MAKELEVEL -u MAKEFLAGS make --no-print-directory -f "$top/pipelines/rectify.mk" BIN="$RD_BUILD/bin" MODEL="$no_null" OUT=out
		LABELS=uniform:4 N=24 SHARDS=2 GUIDANCE=2 NULL_CLASS=4 TEACHER_STEPS=4 TRAIN_STEPS=3 BATCH=4 EVAL=8 K='1 2' JOBS=1 DEVICE=cpu)
}

rectify()
{
	"${rectify[@]}" "$@"
}

# Nothing runs on after a test that failed.
teardown()
{
	touch go
	wait
}

# refused PART VARIABLE...: it stops with PART in its message, and has made no pairs.
refused()
{
	run rectify -s "${@:2}"
	assert_failure
	assert_output --partial "$1"
	run find . -name 'pairs*.tar'
	assert_output ""
}

# failed PID: that what runs in the background as PID fails.
failed()
{
	local rc=0
	wait "$1" || rc=$?
	[ "$rc" -ne 0 ]
}

# waiting PATTERN: a folder `waiting` of the tools, of which pairpack, where its command line has PATTERN, makes the file `here`
# and goes on when there is a file `go`.
waiting()
{
	mkdir waiting
	ln -s "$RD_BUILD"/bin/* waiting
	rm waiting/pairpack
	cat >waiting/pairpack <<-EOF
	#!/bin/sh
	case "\$*" in $1) touch here; while [ ! -e go ]; do sleep 0.05; done ;; esac
	exec "$RD_BUILD/bin/pairpack" "\$@"
	EOF
	chmod +x waiting/pairpack
}

# made_by ARCHIVE: seed and first index of the noise, guidance of the pairs.
made_by()
{
	pairpack -q -x "$1" >pairs
	frames pairs 'print(*(h["meta"][k] for k in ("seed", "first", "guidance")))'
}

@test "rectify.mk: an archive by itself, rounds that follow one another, a table of all, and nothing made twice" {
	rectify -s out/pairs-2.tar
	[ ! -e out/pairs-1.tar ]
	before=$(stat -c %y out/pairs-2.tar)
	rectify -s ROUNDS=2 >shown
	[ "$(stat -c %y out/pairs-2.tar)" = "$before" ]
	[ "$(made_by out/pairs-2.tar)" = '1 12 2.0' ]
	[ "$(made_by out/pairs2-1.tar)" = '2 0 1.0' ]
	for m in teacher rectified rectified2; do
		printf '%s to teacher-4\n' "$m-1" "$m-2" "$m-4"
	done >names
	cut -f 1 out/table.tsv | tail -n +2 | diff - names
	[ "$(cut -f 1 out/trajectories.tsv | tr '\n' ' ')" = 'name teacher rectified rectified2 ' ]
	[ "$(awk '/^teacher-4/ { print $(NF - 1) }' out/table.tsv)" = 0 ]
	run --separate-stderr rectify -n ROUNDS=2
	refute_output --regexp 'denoise|rectrain|odesample'
}

@test "rectify.mk: comparison with data; a model is needed" {
	noisegen -q -n 30 --shape 1,12,12 | tensorcat --to npy -n noise -o data.npy -
	rectify -s DATA=data.npy K=1 TEACHER_STEPS=1 >shown
	grep -q 'rectified-1 to the data' shown
	cp data.npy other.npy
	before=$(stat -c %y out/rectified-1.data.tsv)
	rectify -s DATA=other.npy K=1 TEACHER_STEPS=1 >shown
	[ "$(stat -c %y out/rectified-1.data.tsv)" != "$before" ]
	rectify -s K=1 TEACHER_STEPS=1 >shown
	run ! grep -q 'to the data' shown
	run env -u MAKELEVEL -u MAKEFLAGS make -s -f "$top/pipelines/rectify.mk"
	assert_failure
	assert_output --partial 'MODEL=DIR: which model is to be rectified'
}

@test "what was made with other settings is not shown as these, and a name that is no variable is no setting" {
	rectify -s out/noise.rdf
	run rectify -s N=25 out/noise.rdf
	assert_failure
	assert_output --partial 'out was made with N=24 and this is N=25'
	run rectify -s SOLVER=heun out/noise.rdf
	assert_output --partial 'out was made with SOLVER= and this is SOLVER=heun'
	run rectify -s STEPS=3 out/noise.rdf
	assert_failure
	assert_output --partial 'STEPS: no variable of this pipeline'
	rectify -s DEVICE=auto out/noise.rdf
	rm out/settings
	run rectify -s out/noise.rdf
	assert_failure
	assert_output --partial 'out: holds something, and no out/settings says what it was made with'
}

@test "refused before the work: data that are not there, a null class that labels would draw" {
	run rectify -s DATA=nowhere
	assert_failure
	assert_output --partial 'DATA=nowhere is not there'
	rectify -s DATA=nowhere out/noise.rdf
	run rectify -s LABELS= OUT=other
	assert_failure
	assert_output --partial 'NULL_CLASS=4 without LABELS='
}

@test "few steps begin at the noise, whatever the teacher's spacing, and tools of the tree are found without PATH" {
	cp -r "$no_null" leading
	sed -i 's/"DDPMScheduler"/"DDIMScheduler"/' leading/scheduler/scheduler_config.json
	tensorcat leading | grep -q 'sampling .* leading'
	PATH=/usr/bin:/bin rectify -n MODEL=leading >plan
	[ "$(grep -c -- '-m leading --steps 1 .*--spacing trailing' plan)" -eq 1 ]
	[ "$(grep -c -- '--no-clip' plan)" -gt 5 ]
}

@test "rectify.mk: a network with contexts, whose samples are no pictures" {
	rectify -s MODEL="$golden/unet-cross/model" LABELS= NULL_CLASS= K=1 TEACHER_STEPS=2 >shown
	grep -q 'rectified-1 to teacher-2' shown
	run find out -name '*.png'
	assert_output ""
	cmp out/rectified/contexts.safetensors "$golden/unet-cross/model/contexts.safetensors"
	cp -r "$golden/unet-cross/model" m
	PYTHONPATH=$top/tests "$PYTHON" -c 'from folders import *
c = "m/contexts.safetensors"
t, meta = read(c)
t["contexts"] = t["contexts"] + np.ones_like(t["contexts"])
write(c, t, meta)'
	run rectify -s MODEL=m LABELS= NULL_CLASS= K=1 TEACHER_STEPS=2
	assert_failure
	assert_output --regexp 'out was made with MODEL=weights:.* contexts:[0-9a-f]{16},.* and this is MODEL=weights:'
	rectify -s OUT=pictures K=1 TEACHER_STEPS=1 >shown
	[ -s pictures/rectified-1.png ]
}

@test "rectify.mk: samples of two numbers are no pictures" {
	mlp two
	rectify -s MODEL=two LABELS= GUIDANCE=1 NULL_CLASS= K=1 TEACHER_STEPS=2 >shown
	grep -q 'rectified-1 to teacher-2' shown
	run find out -name '*.png'
	assert_output ""
}

@test "a mistake in what pairs are made with is found at once and leaves nothing behind" {
	refused 'no model that can be read' MODEL=nowhere
	refused 'null class' GUIDANCE=2 NULL_CLASS= LABELS=
	refused 'unrecognized option' PAIRS=--no-such
	assert_absent out
	rectify -s out/pairs-1.tar
}

@test "a mistake in what the training is given is found before the pairs, and training anew keeps them" {
	refused "unrecognized option '--wieght'" TRAIN='--wieght snr'
	refused 'no field `knots`' TRAIN='--phases 2'
	refused "--lr: '1e' is not a number" LR=1e
	assert_absent out
	refused "unrecognized option '--wieght'" TRAIN='--wieght snr' try
	rectify -s try
	assert_absent out
	# An array of jobs makes the archives, whatever the training is to be.
	rectify -s TRAIN=--wieght out/pairs-1.tar out/pairs-2.tar
	before=$(stat -c %y out/pairs-?.tar)
	rectify -s TRAIN='--hold-out 12 --keep-best' >shown
	run rectify -s TRAIN='--weight snr'
	assert_failure
	assert_output --partial 'out/rectified was made with TRAIN=--hold-out 12 --keep-best and this is TRAIN=--weight snr'
	assert_output --partial 'rename or remove out/rectified'
	mv out/rectified out/held-out
	rectify -s TRAIN='--weight snr' >shown
	[ "$(stat -c %y out/pairs-?.tar)" = "$before" ]
	grep -q '^TRAIN=--weight snr$' out/rectified.settings
	tensorcat out/rectified | grep -q 'rectdiff.run.*snr'
	[ out/rectified-1.rdf -nt out/rectified/scheduler ]
}

@test "a folder that is put back is what it was trained with, and so are its tables; snapshots are not replaced unseen" {
	rectify -s TRAIN='--snapshot-every 2' >shown
	cp out/table.tsv table
	mv out/rectified first
	run rectify -s LR=1e-2
	assert_failure
	assert_output --partial 'out/rectified was made with LR=2e-4 and this is LR=1e-2'
	assert_output --partial 'rename or remove out/rectified.2'
	mv out/rectified.2 out/first.2
	rectify -s LR=1e-2 >shown
	run ! cmp out/table.tsv table
	mv out/rectified second
	mv first out/rectified
	run rectify -s LR=1e-2
	assert_failure
	assert_output --partial 'out/rectified was made with LR=2e-4 and this is LR=1e-2'
	rectify -s >shown
	cmp out/table.tsv table
	rectify -n >plan
	run ! grep -E 'denoise|rectrain|odesample' plan
}

@test "a model that is complete stays whole, whatever ends the recipe, and has its settings whenever it was made" {
	mkdir ending
	ln -s "$RD_BUILD"/bin/* ending
	rm ending/rectrain
	printf '#!/bin/sh\n"%s" "$@"\ncase "$*" in *--dry-run*) ;; *) exit 1 ;; esac\n' "$RD_BUILD/bin/rectrain" >ending/rectrain
	chmod +x ending/rectrain
	run rectify -s BIN="$PWD/ending"
	assert_failure
	tensorcat out/rectified >before
	run rectify -s LR=1e-2
	assert_output --partial 'out/rectified was made with LR=2e-4 and this is LR=1e-2'
	rectify -s >shown
	tensorcat out/rectified | cmp - before
	cmp out/rectified/settings out/rectified.settings
	# Older than its pairs and damaged, it is made anew, settings and all.
	rm -r out/rectified/unet/*
	touch out/pairs-1.tar
	rectify -s >shown
	tensorcat out/rectified | cmp - before
	cmp out/rectified/settings out/rectified.settings
}

@test "options and variables that decide nothing of what is made may change" {
	rectify -s TRAIN='-v --loss huber' PAIRS='-b 3 --error' >shown
	rectify -n TRAIN='--any-machine --micro-batch 2 --loss huber --log-every=1 -q --recompute' PAIRS='--error -q --batch=5' JOBS=2 >plan
	run ! grep -E 'denoise|rectrain|odesample' plan
	run rectify -s PAIRS=--error TRAIN='--loss huber --log-everything 1'
	assert_output --partial 'TRAIN=--loss huber --log-everything 1'
	run rectify -s PAIRS=-b
	assert_output --partial 'out was made with PAIRS=--error and this is PAIRS=-b'
	before=$(stat -c %y out/pairs-1.tar out/rectified)
	rectify -s TRAIN='--loss huber' PAIRS=--error EVAL=5 >shown
	frames out/rectified-2.rdf 'assert len(f["sample"]) == 5'
	[ "$(stat -c %y out/pairs-1.tar out/rectified)" = "$before" ]
}

@test "a training that was stopped goes on in another way, by --any-machine" {
	often='--checkpoint-every 20'
	"${rectify[@]}" -s TRAIN_STEPS=150 TRAIN="$often" >said 2>&1 &
	await test -e out/rectified.ckpt
	kill $!
	failed $!
	run rectify -s TRAIN_STEPS=150 TRAIN="$often" JOBS=2
	assert_failure
	assert_output --partial '--any-machine'
	run rectify -s TRAIN_STEPS=100 TRAIN="$often --any-machine"
	assert_output --partial 'out/rectified was made with TRAIN_STEPS=150 and this is TRAIN_STEPS=100'
	assert_output --partial 'remove out/rectified.ckpt'
	rectify -s TRAIN_STEPS=150 TRAIN="--any-machine $often --micro-batch 2" >shown 2>&1
	grep -q 'rectrain: steps [1-9][0-9]* to 150' shown
	run ! grep -q 'rectrain: steps 1 to' shown
}

@test "data and classifier are tried before the pairs" {
	noisegen -q -n 30 --shape 1,12,13 | tensorcat --to npy -n noise -o other.npy -
	refused 'other.npy' DATA=other.npy
	rm -r out
	refused 'FEATURES=nowhere without DATA=' FEATURES=nowhere
	refused 'FEATURES=nowhere: no classifier is there' DATA=other.npy FEATURES=nowhere
	noisegen -q -n 30 --shape 1,12,12 | tensorcat --to npy -n noise -o data.npy -
	refused 'fashion-classifier' DATA=data.npy FEATURES="$top/models/fashion-classifier"
}

@test "a model is what its folder holds, whatever it is called" {
	cp -r "$no_null" m
	rectify -s MODEL=m
	for same in m/ ./m "$PWD/m" "$no_null"; do
		rectify -n MODEL="$same" >plan
		run ! grep -E 'denoise|rectrain|odesample' plan
	done
	mv m first
	cp -r out/rectified m
	run rectify -s MODEL=m K='1 2 3'
	assert_failure
	assert_output --regexp 'out was made with MODEL=weights:[0-9a-f]{16}.* and this is MODEL=weights:'
	rm -r m
	cp -r first m
	sed -i 's/"DDPMScheduler"/"DDIMScheduler"/' m/scheduler/scheduler_config.json
	run rectify -s MODEL=m K='1 2 3'
	assert_failure
	assert_output --partial 'out was made with MODEL='
}

@test "names that make or the shell would take for something else are refused" {
	cp -r "$no_null" 'my model'
	cp -r "$no_null" "it's"
	refused 'OUT=o ut: a name without spaces' OUT='o ut'
	refused 'OUT=o:t: a name without' OUT=o:t
	refused 'OUT=lr=1: a name without' OUT=lr=1
	refused 'MODEL=my model: a name without spaces' MODEL='my model'
	refused "MODEL=it's: a name without spaces" MODEL="it's"
	refused 'DATA=a b: a name without spaces' DATA='a b'
	run ls
	assert_output "$(printf '%s\n' "it's" 'my model')"
	run env -u MAKELEVEL -u MAKEFLAGS make -s -f "$top/pipelines/toy2d.mk" OUT="it's"
	assert_output --partial "OUT=it's: a name without spaces"
}

@test "of two makes in one folder, the second does not do the work of the first" {
	waiting '*out/pairs-1.tar*'
	rectify -s BIN="$PWD/waiting" out/pairs-1.tar &
	await test -e here
	run rectify -s
	assert_failure
	assert_output --partial 'out/pairs-1.tar: another make is at it'
	rectify -s out/pairs-2.tar
	touch go
	wait $!
	[ -s out/pairs-1.tar ]
	rectify -s >shown
}

@test "of two makes that begin at once in one folder, with different settings, one goes on" {
	waiting '*'
	rectify -s BIN="$PWD/waiting" out/pairs-1.tar >said 2>&1 &
	await test -e here
	rectify -s N=26 out/pairs-1.tar
	touch go
	failed $!
	grep -q 'out: another make has begun there, with other settings' said
	grep -q '^N=26$' out/settings
	rectify -s N=26 out/pairs-2.tar
	pairpack -q -x out/pairs-2.tar >pairs
	frames pairs 'assert len(f["sample"]) == 13'
}

@test "a decimal comma changes no table" {
	localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 2>said || skip "no locale can be made here"
	printf 'name\tsliced\tpaired\nrd.1-1\t0.5\t1.25\n' >a.tsv
	printf 'name\tsliced\tpaired\nrd.2-1\t0.75\t2.25\n' >b.tsv
	printf 'include %s\nall:\n\t@awk -f $(HERE)/summary.awk a.tsv b.tsv\n' "$top/pipelines/common.mk" >makefile
	LOCPATH=$PWD LC_ALL=de_DE.UTF-8 make -s -f makefile >table
	[ "$(tail -n 1 table | tr '\t' ' ')" = 'rd 1 2 0.625 0.18 1.75 0.71' ]
}
