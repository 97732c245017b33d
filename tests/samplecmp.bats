#!/usr/bin/env bats
# samplecmp: what it reads, its three ways to write, and what it refuses. The numbers are test_metrics' business.

setup()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	cd "$BATS_TEST_TMPDIR" || return
	noisegen -n 300 -s 1 --dist moons -o a
	noisegen -n 300 -s 2 --dist moons -o same
	noisegen -n 200 -s 3 --dist rings -o other
}

# col N: the N-th column
col() { awk -v n="$1" '{ print $n }'; }

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
	samplecmp --max 100 a other >one
	samplecmp --max 100 -j 1 a other >two
	samplecmp --max 100 -j 3 -s 0 a other >three
	cmp one two
	cmp one three
	samplecmp --max 100 -s 1 a other >four
	run cmp -s one four
	assert_failure
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
		"--max 1 a same" "--bootstrap 1 a same" "--projections 0 a same" "--nonsense a same"; do
		# shellcheck disable=SC2086
		run samplecmp $args
		assert_failure 2
	done
	run samplecmp --name $'a\tb' a same
	assert_failure 2
}

@test "a full disk is noticed" {
	run samplecmp -o /dev/full a same
	assert_failure 1
}
