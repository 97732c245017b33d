#!/usr/bin/env bats
# The solver's error of each pair, by step halving; and archives without the pairs whose error is large.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup()
{
	start
}

# A gaussian's flow is known, and with it the error of the coarser run; for order p the estimate tends to 1 - 2^-p of that.
@test "halving tells a gaussian's true error within a factor of two" {
	local form solver
	for form in ddpm vp fm; do
		noisegen -n 200 -s 3 --shape 2 -o noise
		for solver in ddim heun dpm++2m deis3 unipc2; do
			denoise -m "analytic:gauss,mean=0.7,form=$form" --solver $solver --steps 24 --error -o pairs noise
			denoise -m "analytic:gauss,mean=0.7,form=$form" --solver $solver --steps 24 -o coarse noise
			frames pairs '
s = h["meta"]["start"]
z = (s["scale"] * f["noise"].astype(float) - 0.7 * s["alpha"]) / np.hypot(0.5 * s["alpha"], s["sigma"])
rms = lambda x: np.sqrt((x.astype(float) ** 2).mean(1))
true, e = rms(read("coarse")[1]["sample"] - (0.7 + 0.5 * z)), f["error"]
assert true.mean() > 1e-4 and (e > 0.45 * true).all() and (e < 1.2 * true).all(), (h["meta"]["solver"], e / true)'
		done
	done
}

# kept FORM SPACING STEPS LOW HIGH: rk4's end is off by so many times what halving says, LOW to HIGH.
kept()
{
	noisegen -n 200 -s 3 -m "analytic:gauss,form=$1" | denoise -f -m "analytic:gauss,form=$1" --solver rk4 --spacing "$2" --steps "$3" --error -o pairs
	frames pairs '
s = h["meta"]["start"]
z = (s["scale"] * f["noise"].astype(float) - 0.5 * s["alpha"]) / np.hypot(0.5 * s["alpha"], s["sigma"])
true, said = (np.sqrt((x.astype(float) ** 2).mean()) for x in (f["sample"] - (0.5 + 0.5 * z), f["error"]))
assert '"$4 * said < true < $5 * said, ('$1', '$2', true, said)"
}

@test "what the manual says that the error does not know: a last step of order 1" {
	kept ddpm trailing 40 0.4 1
	kept ddpm trailing 160 0.5 1
	kept vp trailing 160 0.5 1
	kept fm trailing 160 0.25 0.4
	kept ve trailing 40 0 0.3
	kept subvp trailing 40 0 0.3
	kept ddpm exponential 160 50 500
	kept vp karras 160 50 500
}

@test "the sample is that of twice as many steps, the error how far the two are apart" {
	mlp m
	noisegen -n 70 -s 3 --shape 2 -o noise
	denoise -m m --solver heun --steps 3 --error -b 32 -o pairs noise
	denoise -m m --solver heun --steps 3 -b 32 -o coarse noise
	denoise -m m --solver heun --steps 6 -b 32 -o fine noise
	frames pairs '
a, b = read("coarse")[1]["sample"], read("fine")
assert h["fields"] == ["noise", "sample", "error"] and h["meta"]["error"] == "halving"
assert (f["sample"] == b[1]["sample"]).all() and (f["noise"] == b[1]["noise"]).all()
close(f["error"], np.sqrt(((a.astype(float) - f["sample"]) ** 2).mean(1)), 1e-7)
assert f["error"].dtype == "<f4" and f["error"].min() > 0
for k in "steps", "nfe", "start", "spacing":
    assert h["meta"][k] == b[0][0]["meta"][k], k'
	# in reverse it is the noise that is computed
	tensorcat --to npy -n sample fine -o data.npy
	denoise --reverse -m m --solver heun --steps 3 --error -o back data.npy
	denoise --reverse -m m --solver heun --steps 3 -o back3 data.npy
	denoise --reverse -m m --solver heun --steps 6 -o back6 data.npy
	frames back '
a, b = (read(p)[1]["noise"].astype(float) for p in ("back3", "back6"))
assert (f["noise"] == b.astype("f4")).all() and h["meta"]["error"] == "halving"
close(f["error"], np.sqrt(((a - b) ** 2).mean(1)), 1e-6)'
	# so many steps and twice as many, also where the last node is the least noise itself
	for spacing in trailing leading linspace karras exponential beta; do
		for steps in 1 2 5; do
			denoise -q -f --reverse -m analytic:mixture --error --spacing $spacing --steps $steps -o back data.npy
			denoise -q -f --reverse -m analytic:mixture --spacing $spacing --steps $((2 * steps)) -o twice data.npy
			frames back "assert h['meta']['steps'] == 2 * $steps == read('twice')[0][0]['meta']['steps'], h['meta']
assert (f['noise'] == read('twice')[1]['noise']).all()"
		done
	done
	run -2 denoise -m analytic:gauss --steps 600 --error -o out noise
	assert_output --partial "1200"
	assert_absent out
}

@test "a U-Net's labels and guidance go into both runs" {
	noisegen -n 2 -s 5 -m "$fashion" -l uniform:10 -o noise
	denoise -m "$fashion" --steps 1 --guidance 2 --error -o pairs noise
	denoise -m "$fashion" --steps 1 --guidance 2 -o coarse noise
	frames pairs 'a = read("coarse")[1]["sample"].astype(float)
close(f["error"], np.sqrt(((a - f["sample"]) ** 2).mean((1, 2, 3))), 1e-6)'
}

# solved: pairs of 400 noises by reference, with labels and errors.
solved()
{
	noisegen -n 400 -s 6 --shape 2 -l uniform:8 --ref -o noise
	mlp m fm flow_prediction '"num_class_embeds": 8,'
	denoise -m m --steps 4 --error -b 64 -o pairs noise
	limit=$(frames pairs 'print(float(np.sort(f["error"])[299]))')
}

@test "--max-error keeps those up to it, and the others' noise can be solved again" {
	solved
	run -0 --separate-stderr pairpack --max-error "$limit" --rejects again -o some.tar pairs
	[[ $stderr == "pairpack: 100 of 400 pairs left out"*" again" ]]
	pairpack -x some.tar -o some
	frames some "
p = read('pairs')[1]
keep = p['error'] <= $limit
assert keep.sum() == 300
for k in 'sample', 'label', 'error':
    assert (f[k] == p[k][keep]).all(), k
index = np.concatenate([np.arange(m['i'], m['i'] + m['n']) for m in maps[1:-1] if m['name'] == 'sample'])
assert (index == np.nonzero(keep)[0]).all()
assert h['meta']['max_error'] == $limit"
	frames again "
p = read('pairs')[1]
assert h['role'] == 'noise' and h['fields'] == ['noise', 'label'] and end['samples'] == 100
assert {m['name'] for m in refs} == {'noise'} and 'max_error' not in h['meta']
index = np.concatenate([np.arange(m['i'], m['i'] + m['n']) for m in refs])
assert (index == np.nonzero(p['error'] > $limit)[0]).all() and (f['label'] == p['label'][index]).all()"
	denoise -m m --steps 32 --error -o second again
	pairpack second -o rest.tar
	run -0 pairpack -t some.tar rest.tar
	assert_line --partial "some.tar: 300 pairs"
	assert_line --partial "; 100 rejected, error over"
	assert_line --regexp "^error   mean [0-9.]+  5% [0-9.]+  50% [0-9.]+  95% [0-9.]+  max"
	assert_line "audit: 400 pairs, nothing found"
	frames second 'p = read("pairs")[1]
assert h["meta"]["error"] == "halving" and h["meta"]["steps"] == 64 and f["error"].mean() < p["error"].mean() / 4
assert "count" not in h["meta"]'
	rectrain -q -m m -o out --steps 2 -b 8 -j 1 some.tar rest.tar
}

@test "what is left out does not depend on the batching, and shards' counts add up" {
	solved
	pairpack -q --max-error "$limit" --noise ref pairs -o a.tar
	pairpack -c 3 pairs | pairpack -x - | pairpack -q --max-error "$limit" --noise ref - | cmp - a.tar
	pairpack -q --max-error "$limit" --noise ref --shard-pairs 90 -o 's-%d.tar' pairs
	run bash -c 'for i in 0 1 2 3; do tar xf s-$i.tar __end__ -O; echo; done | tr -dc "a-z:,0-9\n" | sed "s/.*samples:\([0-9]*\),rejected:\([0-9]*\).*/\1 \2/"'
	[ "$(awk '{ s += $1; r += $2 } END { print NR, s, r }' <<<"$output")" = "4 300 100" ] || fail "$output"
	pairpack -x s-?.tar | pairpack --noise ref | cmp - <(pairpack -x a.tar | pairpack --noise ref)
	# the stricter of two limits stays
	pairpack -q --max-error 1e9 a.tar -o b.tar
	pairpack -x b.tar -o b
	frames b "assert h['meta']['max_error'] == $limit"
}

@test "an error that is no number is over every limit" {
	"$PYTHON" -c 'import numpy as np
x = np.random.default_rng(1).standard_normal((6, 2)).astype("f4")
np.save("x.npy", x)
np.save("y.npy", 2 * x)
np.save("e.npy", np.array([0, np.nan, 1, np.inf, -np.inf, 2], "f4"))'
	tensorcat --to frame -r pairs noise=x.npy sample=y.npy error=e.npy -o pairs
	pairpack -q --max-error 1e30 --rejects again pairs | pairpack -x - >kept
	frames kept 'assert list(f["error"]) == [0, 1, -np.inf, 2], f["error"]'
	frames again 'assert [m["i"] for m in maps[1:-1]] == [1, 3]
assert (f["noise"] == np.load("x.npy")[[1, 3]]).all()'
	pairpack pairs -o all.tar
	run -1 pairpack -t all.tar
	assert_line "audit: 3 errors are NaN or infinite, the first is 1"
}

@test "pairs made in reverse: what is done again starts from their data" {
	mlp m
	noisegen -n 50 --dist 8gaussians -o data
	denoise --reverse -m m --steps 4 --error -o pairs data
	pairpack -q --max-error 0 --rejects again pairs -o none.tar
	denoise --reverse -m m --steps 4 --error -o second again
	frames again 'assert h["role"] == "data" and h["fields"] == ["sample"]
assert (f["sample"] == read("data")[1]["sample"]).all()
g, p = read("second")[1], read("pairs")[1]
assert all((g[k] == p[k]).all() for k in p)'
	run -0 pairpack -x none.tar -o empty
	frames empty 'assert end["samples"] == 0'
}

@test "limits that cannot be held are refused" {
	mlp m
	noisegen -n 4 --shape 2 | denoise -m m --steps 2 -o plain
	run -3 pairpack --max-error 1 plain -o out
	assert_output --partial 'plain: has no field `error`'
	noisegen -n 4 --shape 2 | denoise -m m --steps 2 --error -o with
	pairpack with -o with.tar
	run -3 pairpack --max-error 1 with.tar plain -o out
	assert_output --partial "plain"
	for args in "--max-error -1" "--max-error x" "--rejects r" "--max-error 1 --rejects -" "-x --max-error 1" "-t --rejects r"; do
		# shellcheck disable=SC2086
		run -2 pairpack $args with
		assert_output --partial "pairpack: "
	done
	run -1 pairpack --max-error 0 --rejects /dev/full with -o out
	assert_output --partial "/dev/full"
	assert_absent out
	pairpack -q --max-error 0 --rejects - -o out with >again
	frames again 'assert end["samples"] == 4'
}
