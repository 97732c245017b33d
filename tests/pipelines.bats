#!/usr/bin/env bats
# pipelines/rectify.mk, at sizes that say nothing of quality.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0
load common

setup()
{
	start
}

rectify()
{
	env -u MAKELEVEL -u MAKEFLAGS make --no-print-directory -f "$top/pipelines/rectify.mk" BIN="$RD_BUILD/bin" MODEL="$no_null" OUT=out LABELS=uniform:4 N=24 SHARDS=2 \
		GUIDANCE=2 NULL_CLASS=4 TEACHER_STEPS=4 TRAIN_STEPS=3 BATCH=4 EVAL=8 K='1 2' JOBS=1 DEVICE=cpu "$@"
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
	run rectify -s DATA='a b'
	assert_output --partial 'DATA=a b: a name without spaces'
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
	rectify -s OUT=pictures K=1 TEACHER_STEPS=1 >shown
	[ -s pictures/rectified-1.png ]
}

@test "a decimal comma changes no table" {
	localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 2>said || skip "no locale can be made here"
	printf 'name\tsliced\tpaired\nrd.1-1\t0.5\t1.25\n' >a.tsv
	printf 'name\tsliced\tpaired\nrd.2-1\t0.75\t2.25\n' >b.tsv
	printf 'include %s\nall:\n\t@awk -f $(HERE)/summary.awk a.tsv b.tsv\n' "$top/pipelines/common.mk" >makefile
	LOCPATH=$PWD LC_ALL=de_DE.UTF-8 make -s -f makefile >table
	[ "$(tail -n 1 table | tr '\t' ' ')" = 'rd 1 2 0.625 0.18 1.75 0.71' ]
}
