#!/usr/bin/env bats
# denoise --likelihood: log-densities in the stream, whatever the batching; what has none is refused.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	noisegen -n 30 -s 2 --dist 8gaussians -o points
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m
	points=$files/points
}

# likelihood OUT MODEL TRACE [OPTION...]: of the points, or of the last option's file.
likelihood()
{
	denoise --reverse -m "$2" --likelihood "$3" -o "$1" "${@:4}"
}

@test "a gaussian's density is the closed one, under every form, and its mean is told in nats and bits" {
	local form steps
	noisegen -n 40 -s 3 --shape 3 >noise
	tensorcat --to npy -n noise noise -o noise.npy
	"$PYTHON" -c 'import numpy as np; np.save("data.npy", (0.7 + 0.5 * np.load("noise.npy")).astype("f4"))'
	for form in ddpm vp subvp ve fm; do
		for steps in 25 200; do
			likelihood "$form$steps" "analytic:gauss,dim=3,mean=0.7,form=$form" exact --steps $steps -v data.npy 2>err
		done
		frames "${form}200" 'x = (f["sample"] - 0.7) / 0.5
want = (-x ** 2 / 2 - np.log(0.5 * np.sqrt(2 * np.pi))).sum(1)
assert h["role"] == "pairs" and h["fields"] == ["noise", "sample", "logp"], h["fields"]
assert h["meta"]["likelihood"]["trace"] == "exact" and h["meta"]["solver"] == "rk4"
assert 0 < h["meta"]["likelihood"]["noise_to_signal"] < 0.02
assert f["logp"].dtype == np.float32 and f["logp"].shape == (40,)
assert abs(f["logp"] - want).mean() < 0.01 * abs(want).mean(), abs(f["logp"] - want).mean()
assert abs(f["logp"].mean() - want.mean()) < 0.002 * abs(want.mean()), (f["logp"].mean(), want.mean())
m = end["meta"]
assert abs(m["logp"] - f["logp"].mean(dtype=float)) < 1e-5
assert abs(m["bits_per_dim"] + m["logp"] / (3 * np.log(2))) < 1e-9
text = open("err").read()
assert "%.6g nats, %.6g bits per dimension" % (m["logp"], m["bits_per_dim"]) in text, text
close(read(h["meta"]["form"] + "25")[1]["logp"], f["logp"], 0.03)'
	done
	# one Jacobian is a multiple of the identity: a single probe finds its trace
	likelihood probed analytic:gauss,dim=3,mean=0.7,form=fm hutchinson --steps 200 data.npy
	frames probed 'close(f["logp"], read("fm200")[1]["logp"], 1e-4)
l = h["meta"]["likelihood"]
assert l == {"trace": "hutchinson", "probes": 1, "seed": 0, "noise_to_signal": l["noise_to_signal"]}'
	# another form, the same ODE
	likelihood as-ve analytic:gauss,dim=3,mean=0.7,form=vp exact --as ve --steps 200 data.npy
	frames as-ve 'close(f["logp"], read("vp200")[1]["logp"], 2e-3)'
}

@test "densities sum to one: of a mixture, of what a network has learnt" {
	"$PYTHON" -c 'import numpy as np
g = np.linspace(-4, 4, 101)
np.save("grid.npy", np.stack(np.meshgrid(g, g), -1).reshape(-1, 2).astype("f4"))'
	likelihood mixture analytic:mixture exact --steps 80 --spacing exponential grid.npy
	likelihood learnt "$m" exact --steps 30 grid.npy
	frames mixture 'assert abs(np.exp(f["logp"].astype(float)).sum() * 0.08 ** 2 - 1) < 0.01'
	frames learnt 'assert abs(np.exp(f["logp"].astype(float)).sum() * 0.08 ** 2 - 1) < 0.02'
}

@test "logp does not depend on the batch, and hutchinson's on the seed alone; many probes come near the trace" {
	local b
	likelihood exact "$m" exact --steps 10 "$points"
	for b in 1 7; do
		likelihood "h$b" "$m" hutchinson:2 --steps 10 -b $b "$points"
		likelihood "e$b" "$m" exact --steps 10 -b $b "$points"
	done
	likelihood seeded "$m" hutchinson:2 --likelihood-seed 5 --steps 10 "$points"
	likelihood many "$m" hutchinson:200 --steps 10 "$points"
	frames h1 'close(f["logp"], read("h7")[1]["logp"], 1e-4)
s = read("seeded")
assert s[0][0]["meta"]["likelihood"]["seed"] == 5 and s[0][0]["meta"]["likelihood"]["probes"] == 2
assert (f["logp"] != s[1]["logp"]).any()
e, many = read("exact")[1]["logp"], read("many")[1]["logp"]
assert 0 < abs(many - e).mean() < abs(f["logp"] - e).mean() / 3, (abs(many - e).mean(), abs(f["logp"] - e).mean())'
	frames e1 'close(f["logp"], read("e7")[1]["logp"], 1e-4)'
}

@test "images under a conditional network: labels and guidance count, the noise is that of reverse alone" {
	noisegen -n 2 -s 1 -m "$fashion" -l uniform:10 | odesample -m "$fashion" --steps 5 -o images -
	likelihood free "$fashion" hutchinson --steps 3 images
	likelihood guided "$fashion" hutchinson --steps 3 --guidance 2 images
	denoise --reverse -m "$fashion" --solver rk4 --steps 3 -o plain images
	frames free 'g = read("guided")[1]
assert h["fields"] == ["noise", "label", "sample", "logp"] and np.isfinite(f["logp"]).all()
assert abs(f["logp"] - g["logp"]).min() > 1
close(f["noise"], read("plain")[1]["noise"], 1e-4)'
}

@test "with --error and --knots the density is that of the doubled number of steps" {
	likelihood all "$m" hutchinson --steps 8 --error --knots 4 --spacing trailing "$points"
	likelihood alone "$m" hutchinson --steps 16 --spacing trailing "$points"
	frames all 'assert h["fields"] == ["noise", "sample", "knots", "error", "logp"], h["fields"]
g = read("alone")[1]
close(f["logp"], g["logp"], 0)
close(f["noise"], g["noise"], 0)'
	# made from these pairs, what was said of their density is not said of others
	denoise --reverse -m "$m" --steps 4 -o again all
	frames again 'assert "likelihood" not in h["meta"] and h["fields"] == ["noise", "sample"]'
}

@test "what reads pairs: tensorcat takes logp out, rectrain and samplecmp pass over it, an archive has no place for it" {
	likelihood pairs "$m" exact --steps 5 "$points"
	tensorcat --to npy -n logp pairs -o logp.npy
	frames pairs 'close(f["logp"], np.load("logp.npy"), 0)'
	run tensorcat pairs
	assert_output --regexp 'logp +<f4 \[30\]'
	rectrain -q -m "$m" -o next --steps 1 pairs
	samplecmp pairs "$points"
	run -3 pairpack -o out pairs
	assert_output --partial "field 'logp': an archive holds"
	assert_absent out
}

@test "what has no density, and options that make no sense: status 2" {
	local args
	for args in "--likelihood exact" "--reverse --likelihood trace" "--reverse --likelihood hutchinson:0" \
		"--reverse --likelihood exact:3" "--reverse --likelihood hutchinson:x" "--reverse --likelihood-seed 3" \
		"--reverse --likelihood exact --likelihood-seed 3" "--reverse --likelihood exact --solver ddim" \
		"--reverse --likelihood exact --solver dpm++2m" "--reverse --likelihood exact --clip"; do
		# shellcheck disable=SC2086
		run -2 denoise -m "$m" $args -o out "$points"
		assert_output --partial "denoise: "
	done
	run -2 denoise -m "$m" --reverse --likelihood exact --solver unipc2 -o out "$points"
	assert_output --partial "unipc2"
	assert_output --partial "heun and rk4"
	noisegen -n 1 --shape 1,28,28 >noise
	tensorcat --to npy -n noise -o image.npy noise
	run -2 denoise -m "$fashion" --reverse --likelihood exact -o out image.npy
	assert_output --partial "784 numbers"
	assert_output --partial hutchinson
	assert_absent out
}

@test "the least noise of each form is what the manual says" {
	local form n
	while read -r form n; do
		noisegen -n 1 -m "analytic:gauss,form=$form" | odesample -f -m "analytic:gauss,form=$form" --steps 4 -o data -
		denoise -f -m "analytic:gauss,form=$form" --reverse --likelihood exact --steps 4 -o pairs data
		frames pairs "n = h['meta']['likelihood']['noise_to_signal']
assert abs(n / $n - 1) < 0.05, ('$form', n)"
	done <<-EOF2
	ddpm 0.01
	vp 0.01
	ve 0.002
	fm 0.001
	subvp 0.00011
	EOF2
}
