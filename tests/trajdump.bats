#!/usr/bin/env bats
bats_require_minimum_version 1.5.0
# trajdump: what is measured, told and drawn of a stream of trajectories.

setup()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	cd "$BATS_TEST_TMPDIR" || return
	# 40 trajectories of 8 steps with a known defect
	"$RD_BUILD/tests/test_trajectory" plane trajectory 2
}

# json FILE PYTHON: the object o to a line of Python.
json()
{
	"$PYTHON" -c 'import json, sys; o = json.load(open(sys.argv[1])); exec(sys.argv[2])' "$1" "$2"
}

@test "the JSON holds the known numbers" {
	trajdump plane >a
	run json a 'd = o["first_order_defect"]; c = [(i / 40) ** 2 for i in range(40)]
near = lambda a, b: abs(a - b) < 1e-6
print(o["samples"], o["steps"], o["dim"], near(d["mean"], sum(c) / 40), near(d["p50"], (c[19] + c[20]) / 2),
    near(d["p05"], c[1] + .95 * (c[2] - c[1])), near(o["one_step_error"]["mean"], 4), o["straightness"]["p95"] < 1e-10,
    o["curvature"]["p95"] < 1e-10, o["meta"]["form"], "grid" in o["meta"])'
	assert_output "40 8 2 True True True True True True fm False"
	trajdump --json b <plane
	cmp a b
	trajdump -o c plane
	cmp a c
}

@test "the CSV has a row per sample and node, the last without a prediction" {
	trajdump --csv a plane
	run head -1 a
	assert_output "i,k,t,alpha,sigma,x.0,x.1,x0.0,x0.1,eps.0,eps.1"
	[ "$(wc -l <a)" -eq 361 ]
	[ "$(grep -c ',,,,$' a)" -eq 40 ]
	# x of the forward form, from the row's own alpha, sigma and the end point
	run "$PYTHON" -c 'import csv
r = list(csv.DictReader(open("a")))
end = {q["i"]: float(q["x.1"]) for q in r if q["k"] == "8"}
noise = {q["i"]: float(q["x.1"]) for q in r if q["k"] == "0"}
print(max(abs(float(q["x.1"]) - float(q["alpha"]) * end[q["i"]] - float(q["sigma"]) * noise[q["i"]]) for q in r) < 1e-6)'
	assert_output True
	"$RD_BUILD/tests/test_trajectory" long trajectory 17
	run trajdump --csv - long
	assert_line --index 0 "i,k,t,alpha,sigma,x.norm,x0.norm,eps.norm"
	[ "${#lines[@]}" -eq 361 ]
}

@test "the picture is an SVG with every trajectory in it" {
	trajdump --svg a.svg plane
	xmllint --noout a.svg
	[ "$(grep -c '<circle' a.svg)" -eq 82 ] # 40 starts, 40 ends, two in the legend
	grep -q 'model &lt;a&amp;b&gt;' a.svg
	grep -q 'fm, ddim, 8 steps' a.svg
	grep -q 'seed 1000004' a.svg
	run ! grep -qi nan a.svg
	trajdump --svg b.svg --max-plot 10 plane
	[ "$(grep -c '<circle' b.svg)" -eq 22 ]
	grep -q '10 of 40 samples' b.svg
}

@test "scaled coordinates leave out the nodes where they are infinite" {
	for coords in alpha sigma; do
		trajdump --svg a.svg --coords $coords plane
		xmllint --noout a.svg
		[ "$(grep -c '<circle' a.svg)" -eq 42 ]
		run ! grep -qiE 'nan|inf' a.svg
	done
}

@test "longer samples are drawn in their principal components" {
	"$RD_BUILD/tests/test_trajectory" long trajectory 30
	trajdump --svg a.svg long
	xmllint --noout a.svg
	grep -q 'principal component 2' a.svg
	"$RD_BUILD/tests/test_trajectory" line trajectory 1
	run trajdump --svg b.svg line
	assert_failure
	assert_output --partial "two numbers"
	[ ! -e b.svg ]
}

@test "the table has the means" {
	run trajdump --tsv - --name here plane
	assert_line --index 0 "$(printf 'name\tsamples\tsteps\tfirst_order_defect\tstraightness\tcurvature\tone_step_error')"
	assert_line --index 1 --regexp "^here	40	8	0\.32093[0-9]	"
}

@test "outputs can be combined, and the same input gives the same bytes" {
	trajdump --csv a.csv --json a.json --svg a.svg plane
	trajdump --csv b.csv --json - --svg b.svg plane >b.json
	cmp a.csv b.csv
	cmp a.json b.json
	cmp a.svg b.svg
	run trajdump --csv - --svg - plane
	assert_failure 2
}

@test "a stream of another role is refused, both roles named" {
	"$RD_BUILD/tests/test_trajectory" other pairs 2
	run trajdump other
	assert_failure 3
	assert_output --partial pairs
	assert_output --partial trajectory
	noisegen -n 3 --shape 2 | {
		run trajdump
		assert_failure 3
		assert_output --partial noise
	}
}

@test "a cut stream leaves no output behind" {
	head -c 3000 plane >short
	run trajdump --csv a.csv --json a.json --svg a.svg short
	assert_failure 3
	run ls
	refute_output --partial a.
}

@test "a full disk is a failure" {
	run trajdump --csv /dev/full plane
	assert_failure 1
	run bash -c 'trajdump plane >/dev/full'
	assert_failure 1
}

@test "what a sampler wrote" {
	model="$BATS_TEST_DIRNAME/../models/fashion-ddpm"
	odesample -m "$model" -n 2 -l 3 --steps 3 --trajectory >a
	trajdump --svg a.svg --json a.json a
	xmllint --noout a.svg
	run json a.json 'print(o["samples"], o["steps"], o["dim"], all(o[k]["mean"] > 1e-6 for k in
    ("first_order_defect", "straightness", "curvature", "one_step_error")))'
	assert_output "2 3 784 True"
}
