#!/usr/bin/env bats
# samplecmp: what it reads, its three ways to write, and what it refuses. The numbers are test_metrics' business.

# shellcheck disable=SC2154 # what run --separate-stderr sets
bats_require_minimum_version 1.5.0
load common

setup()
{
	start
	noisegen -n 300 -s 1 --dist moons -o a
	noisegen -n 300 -s 2 --dist moons | tensorcat --to npy - -o same # says nothing of its seed
	noisegen -n 200 -s 3 --dist rings -o other
}

# col N: the N-th column
col() { awk -v n="$1" '{ print $n }'; }

@test "what are no pairs is not compared as pairs" {
	mlp m fm flow_prediction '"num_class_embeds": 8,'
	sample() { odesample -q -m m -n 40 "${@:2}" --steps 1 -o "$1"; }
	sample x -s 1 && sample y -s 1 && sample seed -s 2 && sample first -s 1 -i 40 && sample label -s 1 -l 3
	run samplecmp x y
	assert_line "paired 0 0"
	refute_output --partial "left out"
	for other in "seed: their seeds are 1 and 2" "first: their first samples have the indices 0 and 40" \
		"label: label 0 (from 0) is 4 and 3"; do
		run --separate-stderr samplecmp x "${other%%:*}"
		assert_success
		refute_output --partial paired
		assert_equal "$stderr" "samplecmp: paired is left out: x, $other"
		run -3 samplecmp --metric sliced,paired x "${other%%:*}"
		assert_output "samplecmp: paired: x, $other"
	done
	samplecmp -q --tsv x seed >t
	assert_equal "$(awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "paired") c = i } NR == 2 { print $c }' t)" -
	# a gap in the indices, as pairpack --max-error leaves it: the same counts, the same first
	noisegen -n 40 --shape 2 -l 0 | denoise -q -m m --steps 4 --error -o p
	frames p 'err = np.sort(f["error"][1:])[::-1]; assert f["error"][0] < err[1]; print((err[0] + err[1]) / 2)' >limit
	pairpack -q --max-error "$(cat limit)" -o less.tar p
	run -3 samplecmp --metric paired less.tar <(tensorcat --to frame -c 39 p)
	assert_output --partial "their samples have other indices"
	# an array says nothing
	tensorcat --to npy seed -o seed.npy
	run samplecmp x seed.npy
	assert_line --regexp '^paired [0-9.]+ '
}

@test "noise of several seeds is compared as pairs where it is there, and the same" {
	mlp m
	for s in 1 2 3; do odesample -q -m m -n 20 -s $s -i $((s > 1 ? 20 : 0)) --steps 1 -o o$s; done
	for s in 1 2; do odesample -q -m m -n 20 -s $s -i $((s > 1 ? 20 : 0)) --steps 2 -o t$s; done
	tensorcat --to frame o1 o2 -o o12
	tensorcat --to frame o1 o3 -o o13
	tensorcat --to frame t1 t2 -o t12
	tensorcat --to frame -n sample t12 -o bare
	run -0 samplecmp --metric paired o12 t12
	assert_output --regexp '^paired [0-9.e-]+ '
	run -3 samplecmp --metric paired o12 o13
	assert_output "samplecmp: paired: o12, o13: their noise is of several seeds, and not the same"
	run -0 --separate-stderr samplecmp o12 o13
	refute_output --partial paired
	run -3 samplecmp --metric paired o12 bare
	assert_output --partial "noise of several seeds is in one of them"
	denoise -q -m m --reverse --steps 1 -o rv o1 # of samples, noise: not what they were made of, in a part as in the whole
	noisegen -n 20 -s 2 --shape 2 | denoise -q -m m --steps 1 -o fw
	tensorcat --to frame fw rv -o half
	run -3 samplecmp --metric paired half half
	assert_output "samplecmp: paired: half, half: noise of several seeds is in one of them, and is not there to compare"
	denoise -q -m m --reverse --steps 1 -o back o12 # what this noise is made of is the same data
	denoise -q -m m --reverse --steps 2 -o back2 o12
	run -3 samplecmp --metric paired -n noise back back2
	assert_output --partial "is not there to compare"
}

@test "an output that cannot be written is told before anything is read" {
	run -1 samplecmp -o nowhere/table a missing
	assert_output --partial nowhere
	run -1 samplecmp -o table a missing
	assert_output --partial missing
	assert_absent table
}

@test "a line per metric: name, value, error" {
	run samplecmp a same
	assert_success
	assert_equal "$(col 1 <<<"$output" | xargs)" "sliced energy mmd paired"
	assert_equal "$(awk 'NF != 3 || $2 + 0 != $2 || !($3 > 0)' <<<"$output")" ""
}

@test "other samples are farther than more of the same" {
	noisegen -n 2000 -s 1 --dist moons -o a
	noisegen -n 2000 -s 2 --dist moons -o same
	noisegen -n 2000 -s 3 --dist rings -o other
	samplecmp --metric sliced,energy,mmd a same >near
	samplecmp --metric sliced,energy,mmd a other >far
	paste near far | awk '!($5 > $2 + 2 * ($3 + $6)) { bad = 1 } END { exit bad || NR != 3 }'
}

@test "a set and itself: nothing between them" {
	run samplecmp --metric sliced,paired a a
	assert_success
	assert_line --index 0 --regexp '^sliced 0 '
	assert_line --index 1 "paired 0 0"
}

@test "the same numbers again, whatever the threads; another seed, others" {
	samplecmp --metric all --components 1 --max 100 a other >one
	samplecmp --metric all --components 1 --max 100 -j 1 a other >two
	samplecmp --metric all --components 1 --max 100 -j 3 -s 0 a other >three
	cmp one two
	cmp one three
	samplecmp --metric all --components 1 --max 100 -s 1 a other >four
	run cmp -s one four
	assert_failure
}

@test "--metric all: the four, and those that are printed by name only" {
	run samplecmp --metric all a same
	assert_success
	assert_equal "$(col 1 <<<"$output" | xargs)" \
		"sliced energy mmd paired frechet kid precision recall density coverage"
	run samplecmp --metric all a other
	assert_success
	refute_output --partial paired
	run samplecmp --metric coverage,frechet a same
	assert_equal "$(col 1 <<<"$output" | xargs)" "frechet coverage"
}

@test "a set and itself by neighbours: all of it, as dense as itself" {
	run samplecmp --metric precision,recall,density,coverage a a
	assert_line --index 0 "precision 1 0"
	assert_line --index 1 "recall 1 0"
	assert_line --index 2 --regexp '^density 1 '
	assert_line --index 3 "coverage 1 0"
	run samplecmp --metric frechet a a
	assert_output --regexp '^frechet ([0-9.]+e-1[0-9]|0) '
}

@test "--components: frechet on principal components of the second set" {
	"$PYTHON" -c 'import numpy as np; x = np.arange(200)[:, None] * [[.1, 1, .01]]
np.save("x.npy", x.astype("f4")); np.save("y.npy", (x + [[0, 2, 100]]).astype("f4"))'
	run samplecmp --json --metric frechet --components 1 x.npy y.npy
	assert_output --partial '"dimensions":1'
	samplecmp --metric frechet --components 1 x.npy y.npy | awk '$2 < 8.7 || $2 > 9.3 { exit 1 }' # 9: 2 y and 100 z along x
	run samplecmp --json --metric frechet x.npy y.npy
	assert_output --partial '"dimensions":3,"variance":1.0'
	samplecmp --metric frechet x.npy y.npy | awk '$2 < 10003.9 || $2 > 10004.1 { exit 1 }'
}

@test "--neighbours: larger balls hold more; as many neighbours as samples are refused" {
	samplecmp --metric coverage --neighbours 1 a other >one
	samplecmp --metric coverage --neighbours 50 a other >fifty
	paste one fifty | awk '!($5 > $2) { exit 1 }'
	run samplecmp --json --metric density --neighbours 3 a other
	assert_output --partial '"neighbours":3'
	run samplecmp --metric recall --neighbours 200 a other
	assert_failure 3
	assert_output "samplecmp: a, other: 200 samples: none has 200 neighbours"
}

@test "paired asks for equal counts" {
	run samplecmp a other
	assert_success
	refute_output --partial paired
	run samplecmp --metric paired a other
	assert_failure 3
	assert_output --partial "a has 300 samples, other has 200"
}

@test "--tsv: a row of names, a row of values, - where one is not defined" {
	run samplecmp --tsv --name "moons and rings" --metric paired,sliced a same
	assert_success
	assert_line --index 0 $'name\tsliced\tsliced_se\tpaired\tpaired_se'
	assert_equal "$(cut -f1 <<<"${lines[1]}")" "moons and rings"
	assert_equal "${#lines[@]}" 2
	run samplecmp --tsv a other
	assert_line --index 1 --regexp $'^a\t.*\t-\t-$'
}

@test "--json: one object, null where a metric is not defined" {
	samplecmp --json -n sample a other >j
	"$PYTHON" - <<-'EOF'
	import json
	j = json.load(open("j"))
	assert j["a"] == "a" and j["b"] == "other" and j["paired"] is None, j
	assert j["sliced"]["n_a"] == 300 and j["sliced"]["n_b"] == 200, j
	assert j["mmd"]["bandwidth"] > 0 and j["energy"]["se"] > 0, j
	EOF
	samplecmp a other | awk '$1 == "energy" { print $2 }' >text
	"$PYTHON" -c 'import json; print("%.6g" % json.load(open("j"))["energy"]["value"])' >json
	cmp text json
}

@test "--max bounds what is used" {
	run samplecmp --json --max 50 a other
	assert_output --partial '"n_a":50,"n_b":50'
	refute_output --partial '"n_a":300'
}

@test "arrays and standard input are samples too" {
	"$PYTHON" -c 'import numpy as np; np.save("x.npy", np.arange(40, dtype="f8").reshape(20, 2))
np.save("y.npy", np.arange(40, dtype="f4").reshape(20, 2) + 3)'
	run samplecmp --metric paired x.npy y.npy
	assert_output "paired 9 0"
	run bash -c 'samplecmp --metric paired x.npy - <y.npy'
	assert_output "paired 9 0"
}

@test "refused: shapes that differ, fields that are not there, what is truncated or not finite" {
	noisegen -n 20 --shape 3 -o n
	run samplecmp a n
	assert_failure 3
	assert_output "samplecmp: n: has no field 'sample' (role noise)"
	"$PYTHON" -c 'import numpy as np; np.save("d.npy", np.zeros((20, 3), "f4")); x = np.zeros((20, 2), "f4")
x[7, 1] = np.nan; np.save("nan.npy", x); np.save("one.npy", x[:1])'
	run samplecmp a d.npy
	assert_failure 1
	assert_output --partial "a, d.npy: a sample is [2] in one set and [3] in the other"
	run samplecmp a nan.npy
	assert_failure 3
	assert_output --partial "nan.npy: sample 7 is not finite"
	run samplecmp a one.npy
	assert_failure 3
	head -c 1000 a >short
	run samplecmp -o out short a
	assert_failure 3
	[ ! -e out ]
	run samplecmp a missing
	assert_failure 1
	assert_output --partial missing
}

@test "usage errors" {
	for args in "" "a" "a same other" "- -" "--json --tsv a same" "--metric foo a same" "--metric sliced, a same" \
		"--max 1 a same" "--bootstrap 1 a same" "--projections 0 a same" "--nonsense a same" \
		"--components 0 a same" "--neighbours 0 a same" "--metric all,mmd a same"; do
		# shellcheck disable=SC2086
		run samplecmp $args
		assert_failure 2
	done
	run samplecmp --tsv --name $'a\tb' a same
	assert_failure 2
}

@test "a full disk is noticed" {
	run samplecmp -o /dev/full a same
	assert_failure 1
}
