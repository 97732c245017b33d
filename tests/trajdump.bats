#!/usr/bin/env bats
bats_require_minimum_version 1.5.0
# trajdump: what is measured, told and drawn of streams of trajectories and of logs.

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

# points FILE COLOUR: the points of the polylines of that colour, "x y" a line.
points()
{
	grep "<polyline.*stroke=\"$2\"" "$1" | sed 's/.*points="\([^"]*\)".*/\1/' | tr ' ' '\n' | tr ',' ' '
}

# log FILE STEPS FACTOR: a training log, loss FACTOR/step with noise of one line in five, a line each 10 steps.
log()
{
	awk -v n="$2" -v f="$3" 'BEGIN { for (s = 10; s <= n; s += 10)
		printf "{\"step\":%d,\"loss\":%.9g,\"grad_norm\":%.9g,\"lr\":1e-3,\"seconds\":1.5}\n",
			s, f / s * (s % 50 ? 1 : 30), 2 * f }' >"$1"
}

@test "the JSON holds the known numbers" {
	trajdump --json a plane
	run json a 'd = o["first_order_defect"]; c = [(i / 40) ** 2 for i in range(40)]
near = lambda a, b: abs(a - b) < 1e-6
print(o["name"], o["samples"], o["steps"], o["dim"], near(d["mean"], sum(c) / 40), near(d["p50"], (c[19] + c[20]) / 2),
    near(d["p05"], c[1] + .95 * (c[2] - c[1])), near(o["one_step_error"]["mean"], 4), o["straightness"]["p95"] < 1e-10,
    o["curvature"]["p95"] < 1e-10, o["meta"]["form"], "grid" in o["meta"])'
	assert_output "plane 40 8 2 True True True True True True fm False"
	trajdump --json b --name plane <plane
	cmp a b
	run trajdump --json - <plane
	assert_output --partial '"name":"standard input"'
}

@test "the JSON holds the defect at each node" {
	trajdump --json a plane
	run json a 'b = o["defect_by_node"]; c = [(i / 40) ** 2 for i in range(40)]
near = lambda a, v: all(abs(x - v) < 1e-6 for x in a)
print({len(v) for v in b.values()}, b["t"] == [1 - k / 8 for k in range(8)], b["n"][0], near(b["n"][4:5], 1),
    near(b["mean"], sum(c) / 40), near(b["p50"], (c[19] + c[20]) / 2), near(b["p05"], c[1] + .95 * (c[2] - c[1])),
    near(b["p95"], c[37] + .05 * (c[38] - c[37])))'
	assert_output "{8} True None True True True True True"
}

@test "the table is what is written when nothing is asked for" {
	run --separate-stderr trajdump plane
	[ "${#lines[@]}" -eq 6 ]
	assert_line --index 0 "plane: 40 samples of 2 numbers, 8 steps"
	assert_line --index 1 --regexp "^ +mean +5 % +25 % +50 % +75 % +95 %$"
	assert_line --index 2 --regexp "^  first_order_defect +0\.3209 +0\.002406 +0\.0595[0-9]* +0\.2378 +0\.5348 +0\.858$"
	assert_line --index 5 --regexp "^  one_step_error +4( +4){5}$"
	trajdump -o a plane
	trajdump <plane | cmp <(sed 's/^plane/standard input/' a)
	run ! diff a <(trajdump --name other plane)
}

@test "the CSV has a row per sample and node, the last without a prediction" {
	trajdump --csv a plane
	run head -1 a
	assert_output "i,k,t,alpha,sigma,defect,x.0,x.1,x0.0,x0.1,eps.0,eps.1"
	[ "$(wc -l <a)" -eq 361 ]
	[ "$(grep -c ',,,,$' a)" -eq 40 ]
	# x of the forward form, from the row's own alpha, sigma and the end point; the defect of sample i
	run "$PYTHON" -c 'import csv
r = list(csv.DictReader(open("a")))
end = {q["i"]: float(q["x.1"]) for q in r if q["k"] == "8"}
noise = {q["i"]: float(q["x.1"]) for q in r if q["k"] == "0"}
print(max(abs(float(q["x.1"]) - float(q["alpha"]) * end[q["i"]] - float(q["sigma"]) * noise[q["i"]]) for q in r) < 1e-6,
    max(abs(float(q["defect"]) - (int(q["i"]) / 40) ** 2) for q in r if q["k"] != "8") < 1e-6,
    {q["defect"] for q in r if q["k"] == "8"})'
	assert_output "True True {''}"
	"$RD_BUILD/tests/test_trajectory" long trajectory 17
	run trajdump -q --csv - long
	assert_line --index 0 "i,k,t,alpha,sigma,defect,x.norm,x0.norm,eps.norm"
	[ "${#lines[@]}" -eq 361 ]
	run -2 trajdump --csv - plane plane
	assert_output --partial "one input"
}

@test "the samples' numbers have a row each, whatever the input is called" {
	trajdump --samples a 'a, "b"=plane' c=plane
	[ "$(wc -l <a)" -eq 81 ]
	run head -2 a
	assert_line --index 0 "name,i,first_order_defect,straightness,curvature,one_step_error"
	assert_line --index 1 --regexp '^"a, ""b""",0,0,'
	run "$PYTHON" -c 'import csv
r = list(csv.DictReader(open("a")))
print([q["name"] for q in r[39:41]],
    max(abs(float(q["first_order_defect"]) - (int(q["i"]) / 40) ** 2) for q in r) < 1e-6,
    max(abs(float(q["one_step_error"]) - 4) for q in r) < 1e-5, [q["i"] for q in r[40:42]])'
	assert_output "['a, \"b\"', 'c'] True True ['0', '1']"
}

@test "the table for programs has the means, a line for each input" {
	run trajdump -q --tsv - --name here plane
	assert_line --index 0 "$(printf 'name\tsamples\tsteps\tfirst_order_defect\tstraightness\tcurvature\tone_step_error')"
	assert_line --index 1 --regexp "^here	40	8	0\.32093[0-9]	"
	run trajdump -q --tsv - plane before=plane ./plane
	[ "${#lines[@]}" -eq 4 ]
	assert_line --index 1 --regexp "^plane	40	"
	assert_line --index 2 --regexp "^before	40	"
	assert_line --index 3 --regexp "^\./plane	40	"
	run -2 trajdump --name here plane plane
	mapfile -t many < <(yes plane | head -65)
	run -2 trajdump --tsv - "${many[@]}"
	assert_output --partial "at most 64"
}

@test "several inputs are several lines of JSON" {
	trajdump --json a before=plane after=plane
	run "$PYTHON" -c 'import json
print([(o["name"], o["samples"]) for o in map(json.loads, open("a"))])'
	assert_output "[('before', 40), ('after', 40)]"
}

@test "a file with = in its name is ./ and its name" {
	mv plane a=b
	run trajdump -q ./a=b
	assert_line --index 0 --partial "./a=b: 40 samples"
	run -1 trajdump a=b
	assert_output --partial "b: No such file"
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
	trajdump --plot trajectories --svg c.svg plane
	cmp a.svg c.svg
}

@test "scaled coordinates leave out the nodes where they are infinite" {
	for coords in alpha sigma; do
		trajdump --svg a.svg --coords $coords plane
		xmllint --noout a.svg
		[ "$(grep -c '<circle' a.svg)" -eq 42 ]
		run ! grep -qiE 'nan|inf' a.svg
	done
	run -2 trajdump --svg a.svg --coords x,beta plane
	run -2 trajdump --svg a.svg --coords x,alpha,sigma,x plane
}

@test "a picture has a panel for each input and each kind of coordinates" {
	trajdump --svg a.svg --coords x,alpha,sigma --max-plot 5 before=plane after=plane
	xmllint --noout a.svg
	[ "$(grep -c '<clipPath' a.svg)" -eq 6 ]
	[ "$(grep -c 'x₂/σ</text>' a.svg)" -eq 2 ]
	grep -q '>before</text>' a.svg
	grep -q '>after</text>' a.svg
	[ "$(grep -c '<circle' a.svg)" -eq $((2 * (2 + 1 + 1) * 5 + 2)) ]
}

@test "--overlay draws all inputs in one panel, told apart by colour" {
	trajdump --svg a.svg --overlay --coords x,alpha one=exact:fm two=exact:subvp
	xmllint --noout a.svg
	[ "$(grep -c '<clipPath' a.svg)" -eq 2 ]
	grep -q '>two</text>' a.svg
	[ "$(grep -c '<g fill="none" stroke="#0072b2"' a.svg)" -eq 2 ]
	[ "$(grep -c '<g fill="none" stroke="#d55e00"' a.svg)" -eq 2 ]
	run ! grep -q 'α²+σ²' a.svg # no colour bar
}

@test "inputs of one form have one frame for x, and of any form one for x/alpha" {
	# the numbers along the axes of a panel, which are those of its frame
	numbers()
	{
		grep -oE '<text [^>]*stroke="none">[^<]*' "$1" | sed 's/.*>//' | tr '\n' ' '
	}
	trajdump --svg one.svg exact:ve --sigma-max 2
	trajdump --svg same.svg exact:ve exact:ve --sigma-max 2
	trajdump --svg differ.svg exact:ve exact:fm --sigma-max 2
	trajdump --svg scaled.svg --coords alpha exact:ve exact:fm --sigma-max 2
	run "$PYTHON" -c 'import re, sys
for f in sys.argv[1:]:
    t = [(float(a), b) for a, b in re.findall(r"<text x=\"([0-9.]+)\"[^>]*stroke=\"none\">([^<]*)<", open(f).read())]
    left, right = ([b for a, b in t if (a < 500) == side] for side in (True, False))
    print(f, left == right)' same.svg differ.svg scaled.svg
	assert_output "$(printf 'same.svg True\ndiffer.svg False\nscaled.svg True')"
}

@test "--range says how far the frame reaches" {
	trajdump --svg a.svg exact:ve --sigma-max 10
	trajdump --svg b.svg --range 10.1 exact:ve --sigma-max 10
	run ! grep -q '>10</text>' a.svg
	grep -q '>10</text>' b.svg
	run -2 trajdump --svg a.svg --range 0 plane
}

@test "longer samples are drawn in their principal components, which all inputs share" {
	"$RD_BUILD/tests/test_trajectory" long trajectory 30
	trajdump --svg a.svg long
	xmllint --noout a.svg
	grep -q 'principal component 2' a.svg
	run -1 trajdump --svg b.svg long plane
	assert_output --partial "samples of 2 numbers do not fit into a picture of samples of 30"
	"$RD_BUILD/tests/test_trajectory" line trajectory 1
	run -1 trajdump --svg b.svg line
	assert_output --partial "two numbers"
	[ ! -e b.svg ]
}

@test "the defect is drawn against t or n, a curve with its bands for each input" {
	trajdump --plot defect --svg a.svg before=plane after=plane
	xmllint --noout a.svg
	[ "$(grep -c '<polyline' a.svg)" -eq 2 ]
	[ "$(grep -c '<polygon' a.svg)" -eq 4 ]
	grep -q '>after</text>' a.svg
	grep -q 'time t' a.svg
	[ "$(points a.svg '#0072b2' | wc -l)" -eq 8 ]
	# the median is the same at every node: a level line
	[ "$(points a.svg '#0072b2' | cut -d' ' -f2 | sort -u | wc -l)" -eq 1 ]
	# n is infinite at the first node of fm, which has no place then
	trajdump --plot defect --axis n --svg b.svg plane
	grep -q 'n = σ/α' b.svg
	[ "$(points b.svg '#0072b2' | wc -l)" -eq 7 ]
	run ! grep -qiE 'nan|inf' b.svg
	# the bands hold what the JSON says: the wider one reaches from p05 to p95, by the scale of the axis' 0.01 and 0.1
	trajdump --json a.json plane
	run "$PYTHON" -c 'import json, math, re
s = open("b.svg").read(); o = json.load(open("a.json"))["defect_by_node"]
y = {t: float(v) for v, t in re.findall(r"<text x=\"[0-9.]+\" y=\"([0-9.]+)\" text-anchor=\"end\"[^>]*>([0-9.]+)<", s)}
decade = y["0.01"] - y["0.1"]
p = [float(q.split(",")[1]) for q in re.search(r"<polygon points=\"([^\"]*)", s)[1].split()]
print(abs((max(p) - min(p)) / decade - math.log10(o["p95"][3] / o["p05"][3])) < 0.001)'
	assert_output True
	run -2 trajdump --plot defect --svg c.svg a=exact:fm b=exact:vp
	assert_output --partial "--axis n"
	assert [ ! -e c.svg ]
	trajdump --plot defect --axis n --svg c.svg a=exact:fm b=exact:vp
	xmllint --noout c.svg
	run -2 trajdump --plot other --svg c.svg plane
	run -2 trajdump --plot defect --axis s --svg c.svg plane
}

@test "an exact input is first-order under every form" {
	run --separate-stderr trajdump --tsv - exact:fm exact:ve exact:ddpm exact:vp exact:subvp
	[ "$(cut -f4 <<<"$output" | tail -n +2 | sort -u)" = 0 ]
	run -0 awk -F '\t' 'NR > 1 && ($6 > 1e-12 || ($5 > 0.1) != ($1 ~ /^(ddpm|vp|subvp)$/)) { bad = 1 }
		END { exit bad }' <<<"$output"
	# its states are the formula's
	trajdump --csv a --x0 3,-1,0 --eps 1,2,0.5 --steps 4 --sigma-max 2 exact:ve
	run "$PYTHON" -c 'import csv
r = list(csv.DictReader(open("a")))
print(len(r), r[0]["sigma"], all(abs(float(q[f"x.{j}"]) - x - float(q["sigma"]) * e) < 1e-6 for q in r
    for j, (x, e) in enumerate([(3, 1), (-1, 2), (0, .5)])), r[0]["x0.1"], r[3]["eps.2"])'
	assert_output "5 2 True -1 0.5"
	run -2 trajdump --x0 1,2,3 exact:fm
	assert_output --partial "3 and 2 numbers"
	run -2 trajdump --x0 1,a exact:fm
	run -2 trajdump --steps 5 plane
	assert_output --partial "exact:FORM"
	run -2 trajdump exact:none
	assert_output --partial none
}

@test "--chords: the distance from first-order paths is the one that numpy finds" {
	load common
	for form in ddpm ve subvp; do
		odesample -q -m analytic:mixture,dim=2 --as "$form" -n 5 --seed 3 --steps 12 --solver ddim --trajectory -o $form
		trajdump --json one.json --chords 1 $form
		trajdump --json four.json --samples four.csv --chords 4 $form
		run frames $form 'import json, csv
g, x = h["meta"]["grid"], f["x"].astype(float)
a, s = np.array(g["alpha"]), np.array(g["sigma"])
def chord(m):
    each, apart = 12 // m, []
    for k in range(13):
        if k % each == 0: continue
        i = k // each * each
        j = i + each
        ends = np.linalg.solve([[a[i], s[i]], [a[j], s[j]]], x[:, [i, j]].transpose(1, 0, 2).reshape(2, -1))
        c = (a[k] * ends[0] + s[k] * ends[1]).reshape(len(x), -1)
        apart.append(np.sqrt(((x[:, k] - c) ** 2).mean(1) / (a[k] ** 2 + s[k] ** 2)))
    return np.mean(apart, 0)
assert chord(1).min() > 0.001, chord(1)
for name, m in ("one", 1), ("four", 4):
    o = json.load(open(name + ".json"))
    assert o["phases"] == m and abs(o["chord"]["mean"] / chord(m).mean() - 1) < 1e-4, (m, o, chord(m))
close(np.array([float(r["chord"]) for r in csv.DictReader(open("four.csv"))]), chord(4), 1e-5)
print("close")'
		assert_output close
		# a knot at each node leaves nothing between them
		[ "$(trajdump --tsv - --chords 12 $form | tail -1 | cut -f9)" = 0 ]
	done
}

@test "--chords: an exact trajectory is on its chords, of one phase or many" {
	for m in 1 5 50; do
		run --separate-stderr trajdump --tsv - --chords $m exact:fm exact:ve exact:ddpm exact:vp exact:subvp
		assert_line --index 0 "$(printf 'name\tsamples\tsteps\tphases\tfirst_order_defect\tstraightness\tcurvature\tone_step_error\tchord')"
		awk -F '\t' -v m=$m 'NR > 1 && !($4 == m && $9 < 1e-6) { bad = 1 } END { exit bad || NR != 6 }' <<<"$output"
	done
	run trajdump --chords 2,4 a=plane b=plane
	assert_line "a: 40 samples of 2 numbers, 8 steps, chords of 2 phases"
	assert_line "b: 40 samples of 2 numbers, 8 steps, chords of 4 phases"
	assert_line --regexp "^  chord +[0-9.]+e-0[89]"
	trajdump --samples a --chords 1 plane
	run head -1 a
	assert_output "name,i,first_order_defect,straightness,curvature,one_step_error,chord"
}

@test "--chords: where a picture has them" {
	run -0 trajdump --svg a.svg --coords x,alpha --chords 4,1 --steps 20 bent=exact:vp whole=exact:ve
	xmllint --noout a.svg
	# a group of chords for each panel, and the sample of the legend
	[ "$(grep -c 'stroke-dasharray="4 2.5"' a.svg)" -eq 5 ]
	[ "$(grep -c 'fill="#d55e00" stroke="none"' a.svg)" -eq 6 ]
	grep -q '>chord</text>' a.svg
	grep -q '20 steps, 4 chords<' a.svg
	grep -q '20 steps, 1 chord<' a.svg
	# first-order: every node of the chord is where the trajectory is
	run "$PYTHON" -c 'import re
s = open("a.svg").read()
worst = pieces = 0
for before, dashed in re.findall(r"clip-path=(.*?)<g [^>]*4 2.5[^>]*>(.*?)</g>", s, re.S):
    points = lambda t: {tuple(map(float, q.split(","))) for p in re.findall(r"points=\"([^\"]*)", t) for q in p.split()}
    there = points(before)
    for x, y in points(dashed):
        pieces += 1
        worst = max(worst, min(abs(x - a) + abs(y - b) for a, b in there))
print(pieces > 80, worst < 0.05)'
	assert_output "True True"
	trajdump --svg b.svg --coords x,alpha --steps 20 bent=exact:vp whole=exact:ve
	run ! grep -qE '4 2.5|chord' b.svg
}

@test "--chords: what it cannot be" {
	run -2 trajdump --chords 3 plane
	assert_output "trajdump: plane: chords of 3 phases: 8 steps are no multiple of that"
	run -2 trajdump --chords 16 plane
	run -2 trajdump --chords 1,2 plane plane plane
	assert_output --partial "2 numbers for 3 inputs"
	run -2 trajdump --chords 0 plane
	run -2 trajdump --chords 1, plane
	run -2 trajdump --svg a.svg --overlay --chords 1 plane
	assert_output --partial overlay
	run -2 trajdump --svg a.svg --plot defect --chords 1 plane
	run -2 trajdump --csv a.csv --chords 1 plane
	assert_output --partial "has a place"
	log good 100 1
	run -2 trajdump --log --svg a.svg --chords 1 good
	run ls
	refute_output --partial a.
}

@test "a name that is no UTF-8 still gives pictures and tables, but no JSON" {
	name=$(printf 'a\377b')
	trajdump --svg a.svg --tsv a.tsv --overlay "$name=plane"
	xmllint --noout a.svg
	grep -q '>a?b</text>' a.svg
	run -2 trajdump --json a.json "$name=plane"
	assert_output --partial "no UTF-8"
}

@test "the exact part of the figure is drawn by make" {
	make -s -f "$BATS_TEST_DIRNAME/../pipelines/figure.mk" BIN="$RD_BUILD/bin" OUT=out exact
	xmllint --noout out/exact.svg out/exact-together.svg
	[ "$(grep -c '<clipPath' out/exact.svg)" -eq 12 ]
	[ "$(wc -l <out/exact.tsv)" -eq 5 ]
}

@test "the part of the figure with phases is drawn by make, here of models that learnt nothing" {
	make -s -f "$BATS_TEST_DIRNAME/../pipelines/figure.mk" BIN="$RD_BUILD/bin" OUT=out N=700 TRAIN_STEPS=20 JOBS=1 DEVICE=cpu phases
	xmllint --noout out/phases/trajectories.svg out/phases/one-chord.svg out/phases/training.svg
	[ "$(grep -c '<clipPath' out/phases/trajectories.svg)" -eq 3 ]
	grep -q 'held out' out/phases/training.svg
	run cut -f1,8- out/phases/table.tsv
	assert_line --index 0 "$(printf 'name\tchord_1\tchord_4\tpaired_1\tpaired_4')"
	assert_line --index 1 --regexp "^teacher(	[0-9.e-]+){4}$"
	assert_line --index 3 --regexp "^phased(	[0-9.e-]+){4}$"
	[ "${#lines[@]}" -eq 4 ]
}

@test "a log is drawn as running medians with their bands" {
	log a.jsonl 4000 5
	log b.jsonl 2000 50
	trajdump --log --svg a.svg a.jsonl other=b.jsonl
	xmllint --noout a.svg
	[ "$(grep -c '<polyline' a.svg)" -eq 4 ]
	[ "$(grep -c '<polygon' a.svg)" -eq 4 ]
	grep -q '>a.jsonl</text>' a.svg
	grep -q '>other</text>' a.svg
	grep -q '>loss</text>' a.svg
	grep -q '>gradient norm</text>' a.svg
	run ! grep -qiE 'nan|inf' a.svg
	# one line in five is 30 times too large, and the median does not see it: its curve hardly rises anywhere
	rise()
	{
		points "$1" '#0072b2' | head -400 | awk 'NR > 1 && last - $2 > most { most = last - $2 } { last = $2 }
			END { print int(most) }'
	}
	trajdump --log --window 1 --svg b.svg a.jsonl
	[ "$(rise a.svg)" -lt 8 ]
	[ "$(rise b.svg)" -gt 40 ]
	trajdump --log --svg - - <a.jsonl | grep -q '>standard input</text>'
}

@test "what is no log is refused, file and line named" {
	log good 100 1
	# complaint TEXT: of a log whose fourth line is standard input's
	complaint()
	{
		{ head -3 good; cat; tail -n +5 good; } >bad
		run -3 trajdump --log --svg out.svg good bad
		assert_equal "${#lines[@]}" 1
		assert_output --partial "trajdump: bad: line 4: "
		assert_output --partial "$1"
		[ ! -e out.svg ]
	}
	echo 'step 40' | complaint "no JSON"
	echo | complaint "no JSON"
	echo '[40, 1]' | complaint "no JSON object"
	echo '{"step":40,"loss":nan,"grad_norm":1}' | complaint "no JSON"
	echo '{"step":40,"grad_norm":1}' | complaint loss
	echo '{"step":40,"loss":1,"grad_norm":"1"}' | complaint grad_norm
	echo '{"step":20,"loss":1,"grad_norm":1}' | complaint "step 20 after step 30"
	{ printf '{"step":40,"loss":1,"grad_norm":1,"x":"'; head -c 70000 /dev/zero | tr '\0' x; echo '"}'; } |
		complaint "longer than 65536"
	head -c 5000 /dev/urandom | tr -d '\n' | complaint ""
	head -c -9 good >short
	run -3 trajdump --log --svg out.svg short
	assert_output --partial "short: line 10:"
	: >empty
	run -3 trajdump --log --svg out.svg empty
	assert_output --partial "empty: an empty log"
	run -1 trajdump --log --svg out.svg nothing
	run -3 trajdump --log --svg out.svg plane
	run -2 trajdump --log good
	run -2 trajdump --log --svg a.svg --json a good
	run -2 trajdump --window 3 plane
}

@test "a log's loss of held-out samples is a row of points beside the curve" {
	log plain 1000 5
	awk '{ if (NR % 5 == 0) sub(/,"lr"/, ",\"held_out\":" 10 / NR "&"); print }' plain >held
	[ "$(grep -c held_out held)" -eq 20 ]
	trajdump --log --svg a.svg plain=plain
	run ! grep -qE '<circle|held out' a.svg
	trajdump --log --svg a.svg one=plain two=held
	xmllint --noout a.svg
	[ "$(grep -c '>held out</text>' a.svg)" -eq 1 ]
	# three in the legend, and all in the colour of the second run
	[ "$(grep -c '<circle.*stroke="#d55e00"' a.svg)" -eq 23 ]
	[ "$(grep -c '<circle' a.svg)" -eq 23 ]
	# where they are: 10/NR, NR = step/10, against the powers of ten of the axis
	run "$PYTHON" -c 'import math, re
s = open("a.svg").read()
c = [tuple(map(float, q)) for q in re.findall(r"<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"", s)]
c = [q for q in c if q[0] < 576]
y = {t: float(v) for v, t in re.findall(r"<text x=\"[0-9.]+\" y=\"([0-9.]+)\" text-anchor=\"end\"[^>]*>([0-9.]+)<", s)}
decade = y["0.1"] - y["1"]
x = {t: float(v) for v, t in re.findall(r"<text x=\"([0-9.]+)\" y=\"[0-9.]+\" text-anchor=\"middle\"[^>]*>([0-9]+)<", s)}
pixel = (x["1000"] - x["0"]) / 1000
print(len(c), max(abs((b - c[0][1]) / decade - math.log10(k + 1)) for k, (a, b) in enumerate(c)) < 0.002,
    max(abs(a - x["0"] - pixel * 50 * (k + 1)) for k, (a, b) in enumerate(c)) < 0.05)'
	assert_output "20 True True"
	# more of them than are told apart: the first and the last among those drawn
	sed 's/,"lr"/,"held_out":3&/' plain >many
	trajdump --log --svg b.svg many
	[ "$(grep -c '<circle' b.svg)" -eq 43 ]
	# a frame that holds them, where they are far from the curve
	sed 's/,"lr"/,"held_out":1e-7&/' plain >far
	trajdump --log --svg c.svg far
	run awk -F '"' '/<circle/ { n++; if ($4 < 66 || $4 > 296) bad = 1 } END { print n, bad + 0 }' c.svg
	assert_output "43 0"
	sed '3s/,"lr"/,"held_out":"3"&/' plain >bad
	run -3 trajdump --log --svg d.svg bad
	assert_output "trajdump: bad: line 3: held_out: a number expected"
}

@test "a log of rectrain itself" {
	load common
	mlp m
	rectrain -q -m m -o n --coupling independent --steps 60 --log-every 5 --log a.jsonl m.data
	trajdump --log --svg a.svg a.jsonl
	xmllint --noout a.svg
}

@test "outputs can be combined, and the same input gives the same bytes" {
	trajdump --csv a.csv --json a.json --svg a.svg --tsv a.tsv --samples a.samples -o a.text plane
	trajdump --csv b.csv --json - --svg b.svg --tsv b.tsv --samples b.samples -o b.text plane >b.json
	for f in csv json svg tsv samples text; do
		[ -s a.$f ]
		cmp a.$f b.$f
	done
	run -2 trajdump --csv - --svg - plane
}

@test "a stream of another role is refused, both roles named" {
	"$RD_BUILD/tests/test_trajectory" other pairs 2
	run -3 trajdump other
	assert_output --partial pairs
	assert_output --partial trajectory
	noisegen -n 3 --shape 2 | {
		run -3 trajdump
		assert_output --partial noise
	}
}

@test "a cut stream leaves no output behind" {
	head -c 3000 plane >short
	run -3 trajdump --json a.json --svg a.svg --tsv a.tsv --samples a.samples plane short
	run -3 trajdump --csv a.csv --json a.json --svg a.svg --tsv a.tsv --samples a.samples short
	run ls
	refute_output --partial a.
}

@test "a full disk is a failure" {
	run -1 trajdump --csv /dev/full plane
	run -1 trajdump --samples /dev/full plane
	run -1 bash -c 'trajdump plane >/dev/full'
	run -1 bash -c 'trajdump --plot defect --svg - plane >/dev/full'
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
