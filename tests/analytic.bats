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
