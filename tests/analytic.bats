#!/usr/bin/env bats
# -m analytic:NAME: exact denoisers of known densities in place of a trained model.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup()
{
	start
}

# The flow maps quantiles to quantiles: from N(alpha mu, alpha^2 s^2 + sigma^2) at the first step to N(mu, s^2) at the data.
@test "a gaussian's samples are where its flow ends, under every form and by every solver" {
	local form solver
	for form in ddpm vp subvp ve fm; do
		noisegen -n 50 -s 3 -m "analytic:gauss,dim=3,form=$form" -o noise
		for solver in heun dpm++2m dpm2m dpm++2s dpm3s deis3 unipc2; do
			odesample -f -m "analytic:gauss,dim=3,mean=0.7,form=$form" --steps 60 --spacing exponential --solver "$solver" -o out noise ||
				odesample -f -m "analytic:gauss,dim=3,mean=0.7,form=$form" --steps 60 --solver "$solver" -o out noise
			frames out '
s = h["meta"]["start"]
x = s["scale"] * f["noise"].astype(float)
z = (x - 0.7 * s["alpha"]) / np.hypot(0.5 * s["alpha"], s["sigma"])
close(f["sample"], 0.7 + 0.5 * z, 0.02)'
		done
	done
}

@test "a density's samples are distributed as it is" {
	local name
	for name in 8gaussians checkerboard moons spiral rings; do
		noisegen -n 3000 -s 1 -m "analytic:$name" | denoise -m "analytic:$name" --steps 40 -o pairs
		noisegen -n 3000 -s 2 --dist "$name" -o data
		samplecmp --json pairs data >report.json
		"$PYTHON" -c '
import json
r = json.load(open("report.json"))["energy"]
assert r["value"] < 6 * r["se"] + 1e-3, r'
	done
}

@test "what is no density, form or option: status 2, named" {
	local bad
	for bad in 7gaussians gauss,dim=x gauss,form=cosine moons,dim=2 gauss,mean; do
		run -2 odesample -n 1 -m "analytic:$bad" -o out
		assert_output --partial "analytic:$bad"
		[ ! -e out ]
	done
	noisegen -n 4 --dist moons -o data
	run -2 rectrain -m analytic:moons -o model --steps 1 data
	assert_output --partial "nothing to train"
}

# Under every form, to the data and back; nothing of the run before is left in the meta, and what it took is in the end map.
@test "dopri5 keeps its tolerance under every form and counts its evaluations" {
	local form
	for form in ddpm vp subvp ve fm; do
		noisegen -n 50 -s 3 -m "analytic:gauss,dim=3,form=$form" -o noise
		denoise -f -m "analytic:gauss,dim=3,mean=0.7,form=$form" --solver dopri5 --rtol 1e-4 --atol 1e-4 -b 16 -o out noise
		frames out '
m, e = h["meta"], end["meta"]
assert m["solver"] == "dopri5" and m["rtol"] == m["atol"] == 1e-4 and not {"nfe", "steps", "spacing"} & set(m), m
assert 20 < e["nfe_mean"] <= e["nfe_max"] < 100 and e["nfe_max"] % 6 == 1 and "rejected_steps" in e, e
s = m["start"]
x = s["scale"] * f["noise"].astype(float)
z = (x - 0.7 * s["alpha"]) / np.hypot(0.5 * s["alpha"], s["sigma"])
close(f["sample"], 0.7 + 0.5 * z, 1e-2 if s["alpha"] == 0 else 2e-3)'
		denoise -f --reverse -m "analytic:gauss,dim=3,mean=0.7,form=$form" --solver dopri5 --rtol 1e-6 --atol 1e-6 -o back out
		frames back '
assert h["meta"]["reverse"] and h["meta"]["rtol"] == 1e-6
close(f["noise"], read("out")[1]["noise"], 0.02)'
	done
	denoise -f --reverse -m "analytic:gauss,dim=3,mean=0.7,form=fm" --solver heun -o heun back
	frames heun 'assert "rtol" not in h["meta"] and h["meta"]["nfe"] > 0 and "nfe_mean" not in end["meta"]'
}

@test "dopri5: a sample does not depend on its batch" {
	odesample -m analytic:8gaussians -n 7 --solver dopri5 -o all
	odesample -m analytic:8gaussians -i 4 -n 1 --solver dopri5 -o one
	frames one '
g = read("all")
assert (f["sample"][0] == g[1]["sample"][4]).all()
assert end["meta"]["nfe_mean"] == end["meta"]["nfe_max"] <= g[0][-1]["meta"]["nfe_max"]
assert g[0][-1]["meta"]["nfe_mean"] < g[0][-1]["meta"]["nfe_max"]'
}

@test "dopri5: options that make no sense with it, or without it, and steps that do not do" {
	run -2 odesample -m analytic:moons --solver dopri5 --spacing karras
	assert_output --partial "--spacing: dopri5 chooses its steps"
	run -2 odesample -m analytic:moons --solver dopri5 --trajectory
	assert_output --partial "--trajectory: dopri5"
	run -2 odesample -m analytic:moons --solver dopri5 --solver-type data
	run -2 odesample -m analytic:moons --solver dopri5 --rtol 1e-9 --atol 0
	assert_output --partial "single precision"
	run -2 odesample -m analytic:moons --rtol 1e-3
	assert_output --partial "--solver dopri5"
	run -2 odesample -m analytic:moons --solver heun --atol 1e-3
	run -1 odesample -f -m analytic:moons --solver dopri5 --steps 4 -o out
	assert_output --partial "after 4 steps"
	assert_absent out
	run odesample -v -n 9 -m analytic:moons --solver dopri5 -o out
	assert_output --regexp "dopri5, rtol 0.0001, atol 0.0001;.*"
	assert_output --regexp "[0-9.]+ evaluations a sample, at most [0-9]+; [0-9.]+ steps a sample were rejected"
}

@test "a table of ddpm's schedule is ddpm, one of a line flow matching, and a model converted to it is the same one" {
	"$PYTHON" -c '
import numpy as np
abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000, dtype=np.float32).astype(float))
with open("ddpm.table", "w") as f:
    print("# t, alpha, sigma", file=f)
    for t, a in enumerate(abar):
        print(f"{t}, {a ** .5:.17g}, {(1 - a) ** .5:.17g}", file=f)'
	odesample -m "$fashion" -n 2 -s 5 --as ddpm --spacing linspace --steps 28 -o ddpm
	odesample -m "$fashion" -n 2 -s 5 --as table:ddpm.table --spacing linspace --steps 28 -o table
	frames table 'close(f["sample"], read("ddpm")[1]["sample"], 1e-4); assert h["meta"]["form"] == "table"'
	printf '1 0\n0 1\n' >line
	odesample -m analytic:moons,form=fm -n 40 -s 5 --solver dopri5 -o fm
	odesample -m analytic:moons,form=table:line -n 40 -s 5 --solver dopri5 -o table
	frames table 'close(f["sample"], read("fm")[1]["sample"], 1e-4)'
	odesample -m analytic:moons,form=fm -n 40 -s 5 --as table:line --steps 10 -o table
	# it ends at sigma/alpha = 4, where the model knows more
	printf '0.9 0.1\n0.5,2\n' >short
	run odesample -m analytic:moons,form=fm -n 4 --as table:short --steps 3 -o table
	assert_output --partial "the table ends at sigma/alpha = 4"
}

@test "a table that is none: status 3 and the line; one that the model does not reach: 1; none at all: 2" {
	local bad
	while IFS='|' read -r bad said; do
		printf '%b' "$bad" >t
		run -3 odesample -m analytic:moons --as table:t -n 1 -o out
		assert_output --partial "t: $said"
		run -3 odesample -m analytic:moons,form=table:t -n 1 -o out
		assert_output --partial "t: $said"
		assert_absent out
	done <<-'EOF'
	1 0\n0 nan\n|line 2: 'nan'
	1 0\n1 1\n1 0.5\n|line 3: sigma/alpha 0.5 is not above
	1 0\n|one row
	1 0\n1 1 1\n|line 2: 3 columns
	EOF
	printf '1 1000\n1 2000\n' >far
	run -1 odesample -m analytic:moons --as table:far -n 1 -o out
	assert_output --partial "the network knows 0.01"
	run -1 odesample -m analytic:moons --as table:nowhere -n 1 -o out
	assert_output --partial nowhere
	run -2 odesample -m analytic:moons --as table -n 1 -o out
	assert_output --partial "table:FILE"
}

# With a closed-form teacher the pairs are the exact map, and a network rectified on them goes there in one step.
@test "a perceptron rectified on a gaussian's pairs: one step is the exact map" {
	local teacher=analytic:gauss,dim=2,mean=0.7,form=ddpm
	noisegen -q -n 4000 -s 3 -m "$teacher" | denoise -q -m "$teacher" --solver rk4 --spacing exponential --steps 40 -b 4000 |
		pairpack -q -o pairs.tar
	config c.json ddpm v_prediction
	rectrain -q --init c.json -o m --steps 1500 --batch 128 --lr 3e-3 --ema 0.99 -j 1 pairs.tar
	noisegen -q -n 500 -s 4 -m m -o noise
	odesample -q -m m --steps 1 --solver ddim -o one noise
	frames one '
s = h["meta"]["start"]
z = (s["scale"] * f["noise"].astype(float) - 0.7 * s["alpha"]) / np.hypot(0.5 * s["alpha"], s["sigma"])
error = np.sqrt(((f["sample"] - 0.7 - 0.5 * z) ** 2).mean())
assert error < 0.05, error'
	odesample -q -m "$teacher" --steps 1 --solver ddim -o teacher noise # all of it to the mean: half a deviation off
	frames teacher 'assert abs(f["sample"] - 0.7).max() < 0.05'
}
