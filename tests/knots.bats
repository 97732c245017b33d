#!/usr/bin/env bats
# Knots of phased training: the states that denoise records are those of the trajectory, at the ends of equal phases; and they
# come through archives as they are.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup()
{
	start
}

@test "the knots are the trajectory's states at equal phases, to the bit" {
	local form solver
	for form in ddpm vp subvp ve fm; do
		noisegen -n 7 -s 3 -m "analytic:8gaussians,form=$form" -o noise
		for solver in ddim heun rk4 dpm++2m dpm3m deis2 unipc2; do
			odesample -m "analytic:8gaussians,form=$form" --solver $solver --spacing trailing --steps 12 --trajectory -b 3 -o whole noise
			denoise -m "analytic:8gaussians,form=$form" --solver $solver --spacing trailing --steps 12 --knots 4 -b 4 -o pairs noise
			frames pairs 't = read("whole")
assert h["fields"] == ["noise", "sample", "knots"], h["fields"]
assert f["knots"].dtype == "<f4" and (f["knots"] == t[1]["x"][:, [3, 6, 9]]).all()
assert (f["sample"] == t[1]["x"][:, 12]).all()
k, grid = h["meta"]["knots"], t[0][0]["meta"]["grid"]
assert sorted(k) == ["alpha", "sigma", "t", "time"], k
assert all(k[c] == grid[c][::3] for c in k), (k, grid)'
		done
	done
}

@test "a network's knots, with guidance and labels, whatever the batching" {
	noisegen -n 3 -s 5 -m "$fashion" -l uniform:10 -o noise
	odesample -m "$fashion" --steps 4 --guidance 2 --trajectory -o whole noise
	denoise -m "$fashion" --steps 4 --guidance 2 --knots 2 -o pairs noise
	frames pairs 'assert h["fields"] == ["noise", "label", "sample", "knots"], h["fields"]
assert f["knots"].shape == (3, 1, 1, 28, 28) and (f["knots"][:, 0] == read("whole")[1]["x"][:, 2]).all()'
	denoise -m "$fashion" --steps 4 --guidance 2 -b 2 --knots 2 -o by-two noise
	frames pairs 'close(f["knots"], read("by-two")[1]["knots"], 1e-4)'
}

@test "four phases of a thousand times end at 749, 499, 249 and 0" {
	local k
	noisegen -n 1 -m analytic:gauss -o noise
	for k in 4 8 12 28 100 1000; do
		denoise -m analytic:gauss --steps $k --knots 4 -o pairs noise
		frames pairs 'k = h["meta"]["knots"]
assert k["t"] == [999, 749, 499, 249, 0] and k["alpha"][4] == 1 and k["sigma"][4] == 0, k
abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[[999, 749, 499, 249]]
close(np.array(k["alpha"][:4]), abar ** 0.5, 1e-6)
close(np.array(k["sigma"][:4]), (1 - abar) ** 0.5, 1e-6)'
	done
}

# A gaussian's flow keeps quantiles, so that each state is known from the noise alone.
@test "knots lie on a gaussian's flow, there and back, from noise to data in both" {
	local form
	for form in ddpm vp ve fm; do
		noisegen -n 40 -s 3 -m "analytic:gauss,mean=0.7,form=$form" -o noise
		denoise -m "analytic:gauss,mean=0.7,form=$form" --solver rk4 --spacing trailing --steps 100 --knots 5 -o there noise
		denoise --reverse -m "analytic:gauss,mean=0.7,form=$form" --solver rk4 --spacing trailing --steps 100 --knots 5 -o back there
		for k in there back; do
			frames $k '
s, k = h["meta"]["start"], h["meta"]["knots"]
a, b = np.array(k["alpha"]), np.array(k["sigma"])
assert len(a) == 6 and (np.diff(b / a) < 0).all() and s["sigma"] == b[0]
z = (s["scale"] * f["noise"].astype(float) - 0.7 * a[0]) / np.hypot(0.5 * a[0], b[0])
for j in range(4):
    close(f["knots"][:, j], 0.7 * a[j + 1] + np.hypot(0.5 * a[j + 1], b[j + 1]) * z, 1e-3)'
		done
	done
}

@test "knots that are no states of the trajectory are refused, with the reason" {
	noisegen -n 1 -m analytic:gauss -o noise
	run -2 denoise -m analytic:gauss --steps 25 --knots 4 -o out noise
	assert_output --partial "25 steps are no multiple"
	run -2 denoise -m analytic:gauss --steps 8 --spacing leading --knots 4 -o out noise
	assert_output --partial "spacing leading"
	assert_output --partial "--spacing trailing has"
	run -2 denoise -m analytic:gauss --steps 8 --spacing karras --knots 4 -o out noise
	assert_output --partial "spacing karras"
	run -2 denoise -m analytic:gauss --steps 8 --solver dpm++2s --knots 4 -o out noise
	assert_output --partial "dpm++2s"
	# a thousand times have no sixteenth; of 48 steps the third begins beside where rounding puts it
	run -2 denoise -m analytic:gauss --steps 48 --knots 16 -o out noise
	assert_output --partial "knot 1 is at time 937"
	for k in 0 1 x 1001; do
		run -2 denoise -m analytic:gauss --steps 1000 --knots $k -o out noise
		assert_output --partial "--knots"
	done
	assert_absent out
}

# chain OUT [OPTION...]: pairs of 300 noises with labels, knots and errors, in frames of any size.
chain()
{
	noisegen -n 300 -s 4 --shape 2 -l uniform:8 | denoise -m "$cond" --steps 4 --knots 2 --error "${@:2}" -o "$1"
}

@test "through an archive and back: the same fields, and the same bytes whatever the batching" {
	mlp m fm flow_prediction '"num_class_embeds": 8,'
	cond=m
	chain a -b 300
	tensorcat --to npy -n knots a -o knots.npy
	pairpack a -o a.tar
	# the same pairs in smaller frames
	pairpack -c 7 a | pairpack -x -o b -
	frames b 'assert maps[1]["n"] == 7 and h["fields"] == ["noise", "sample", "label", "knots", "error"], h["fields"]'
	pairpack b | cmp - a.tar
	pairpack -x a.tar | pairpack | cmp - a.tar
	run tar tf a.tar
	assert_line --index 1 00000000.noise.npy
	assert_line --index 3 00000000.label.npy
	assert_line --index 4 00000000.knots.npy
	assert_line --index 5 00000000.error.npy
	run pairpack -t a.tar
	assert_success
	assert_line "a.tar: 300 pairs in 2 chunks, indices 0 to 299: noise [2], sample [2], label, knots [1, 2], error"
	tensorcat --to npy -n knots a.tar | cmp - knots.npy
}

@test "archives of one input agree in fields and in knots" {
	mlp m
	noisegen -n 10 --shape 2 -o noise
	denoise -m m --steps 4 -o plain noise
	denoise -m m --steps 4 --knots 2 -o two noise
	denoise -m m --steps 4 --knots 4 -o four noise
	for p in plain two four; do pairpack $p -o $p.tar; done
	run -3 pairpack -x plain.tar two.tar -o out
	assert_output --partial "two.tar"
	run -3 pairpack -x two.tar four.tar -o out
	assert_output --partial "four.tar: its knots"
	# the same number of them, but elsewhere
	frames two 'h["meta"]["knots"]["t"][1] += 1
open("moved", "wb").write(b"".join(map(msgpack.packb, maps)))'
	run -3 pairpack -x two.tar moved -o out
	assert_output --partial "moved: its knots"
	assert_absent out
}

@test "what has no use for the fields passes them over" {
	mlp m
	noisegen -n 64 -s 2 --shape 2 -o noise
	denoise -m m --steps 4 -o plain noise
	denoise -m m --steps 2 --knots 2 --error -o more noise
	frames plain 'g = read("more")[1]
assert (f["sample"] == g["sample"]).all()'
	pairpack plain -o plain.tar
	pairpack more -o more.tar
	rectrain -q -m m -o a --steps 20 -b 16 -j 1 plain.tar
	rectrain -q -m m -o b --steps 20 -b 16 -j 1 more.tar
	cmp <(weights a) <(weights b)
	run samplecmp --metric paired plain.tar more.tar
	assert_output "paired 0 0"
	denoise --reverse -m m --steps 4 -o back more.tar
	frames back 'assert h["fields"] == ["noise", "sample"] and "knots" not in h["meta"] and "error" not in h["meta"]'
	tensorcat --to csv more.tar | head -n 1 >names
	run cat names
	assert_output "index,noise_0,noise_1,sample_0,sample_1,knots_0,knots_1,error"
}

# weights MODEL: the bytes of its tensors.
weights()
{
	"$PYTHON" -c 'import sys
b = open(sys.argv[1], "rb").read()
sys.stdout.buffer.write(b[8 + int.from_bytes(b[:8], "little"):])' "$1/unet/diffusion_pytorch_model.safetensors"
}

@test "noise by reference from noisegen to rectrain: the weights are those that data gives" {
	mlp m
	noisegen -n 300 -s 8 -m m --ref | denoise -m m --steps 4 --knots 2 -b 70 | pairpack --noise ref -o ref.tar
	noisegen -n 300 -s 8 -m m | denoise -m m --steps 4 --knots 2 -b 70 | pairpack -o data.tar
	run tar tf ref.tar
	assert_line 00000256.noise.json
	refute_line --partial noise.npy
	[ "$(stat -c %s ref.tar)" -lt "$(stat -c %s data.tar)" ]
	rectrain -q -m m -o by-ref --steps 30 -b 16 -j 1 ref.tar
	rectrain -q -m m -o by-data --steps 30 -b 16 -j 1 data.tar
	cmp <(weights by-ref) <(weights by-data)
	cmp -s <(weights by-data) <(weights m) && fail "nothing was learnt"
	pairpack -x ref.tar | rectrain -q -m m -o by-pipe --steps 30 -b 16 -j 1 -
	cmp <(weights by-pipe) <(weights by-data)
}
