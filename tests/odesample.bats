#!/usr/bin/env bats
# odesample: samples from its own noise or a stream's, whole trajectories, pictures.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m
}

# same A B FIELD...: the streams' fields are the same bits.
same()
{
	frames "$1" "g = read('$2')[1]
for k in '${*:3}'.split():
    assert f[k].shape == g[k].shape and f[k].tobytes() == g[k].tobytes(), k"
}

@test "its own noise is noisegen's" {
	odesample -m "$m" -n 200 -s 9 -i 5 --steps 3 -o own
	noisegen -n 200 -s 9 -i 5 --shape 2 -o noise
	odesample -m "$m" --steps 3 -o of-file noise
	odesample -m "$m" --steps 3 -o piped - <noise
	noisegen -n 200 -s 9 -i 5 --shape 2 -b 11 | odesample -m "$m" --steps 3 -o small -
	same own noise noise
	same own of-file noise sample
	same own piped noise sample
	same own small noise
	frames own 'close(f["sample"], read("small")[1]["sample"], 1e-5)'
	run frames own 'print(h["role"], h["fields"], maps[1]["i"], len(f["sample"]), h["meta"]["seed"], h["meta"]["first"])'
	assert_output "samples ['noise', 'sample'] 5 200 9 5"
}

@test "noise that the model was trained on is warned of" {
	local args
	noisegen -n 60 -s 5 -i 10 --shape 2 | denoise -q -m "$m" --steps 2 -o a
	noisegen -n 40 -s 5 -i 70 --shape 2 | denoise -q -m "$m" --steps 2 -o b
	noisegen -n 40 -s 6 -i 20 --shape 2 | denoise -q -m "$m" --steps 2 | pairpack -o c.tar
	rectrain -q -m "$m" -j 1 --steps 5 -b 8 --warmup 0 -o learnt b a c.tar
	tensorcat learnt >about
	grep -qF '"noise":[{"seed":5,"first":10,"last":109},{"seed":6,"first":20,"last":59}]' about
	known="odesample: warning: learnt was trained on pairs of seed"
	run -0 odesample -m learnt -s 5 -i 100 -n 30 --steps 1 -o out
	assert_output "$known 5, indices 10 to 109, and here is noise of these: elsewhere it does worse (-s another seed)"
	run -0 odesample -m learnt -s 6 -n 90 -b 10 --steps 1 -o out
	assert_output "$known 6, indices 20 to 59, and here is noise of these: elsewhere it does worse (-s another seed)"
	noisegen -n 30 -s 6 --shape 2 -o noise
	run -0 odesample -m learnt --steps 1 -o out noise
	assert_output --partial "$known 6"
	for args in "-m learnt -s 5 -n 10" "-m learnt -s 5 -i 110" "-m learnt -s 7" "-m $m -s 5 -i 10" "-q -m learnt -s 5 -i 10"; do
		# shellcheck disable=SC2086
		run -0 odesample $args --steps 1 -o out
		assert_output ""
	done
	noisegen -n 10 -s 5 --ref --shape 2 | denoise -q -m "$m" --steps 1 -o d
	noisegen -n 10 -s 6 -i 10 --ref --shape 2 | denoise -q -m "$m" --steps 1 -o e
	pairpack --noise ref -o ref.tar d e # of an archive of two seeds, each has its own indices: where they are known
	pairpack --noise data -o data.tar d e
	for kind in ref data; do rectrain -q -m "$m" -j 1 --steps 5 -b 8 --warmup 0 -o of-$kind $kind.tar; done
	tensorcat of-ref >about
	grep -qF '"noise":[{"seed":5,"first":0,"last":9},{"seed":6,"first":10,"last":19}]' about
	tensorcat of-data >about
	run ! grep -F '"noise":[' about
	for args in "-m of-ref -s 6 -n 10" "-m of-ref -s 5 -i 10" "-m of-data -s 6 -n 10"; do
		# shellcheck disable=SC2086
		run -0 odesample $args --steps 1 -o out
		assert_output ""
	done
	run -0 odesample -m of-ref -s 6 -i 19 -n 1 --steps 1 -o out
	assert_output --partial "of-ref was trained on pairs of seed 6, indices 10 to 19"
	denoise -q -m "$m" --steps 1 --reverse a -o back # the seed is that of other noise
	rectrain -q -m "$m" -j 1 --steps 5 -b 8 --warmup 0 -o other back
	run -0 odesample -m other -s 5 -i 10 --steps 1 -o out
	assert_output ""
}

@test "labels by default: uniform over the classes, without the null class" {
	odesample -m "$fashion" -n 40 -s 2 --steps 1 -o own
	noisegen -n 40 -s 2 -m "$fashion" -l uniform:10 | odesample -m "$fashion" --steps 1 -o piped -
	same own piped noise label sample
	odesample -m "$fashion" -n 40 -s 2 --steps 1 -l 3 -o threes
	frames threes 'assert set(f["label"]) == {3} and (f["sample"] != read("own")[1]["sample"]).any()'
	# --null-class goes before what the model records: 10 is then a class like others, 3 is none, and guidance is away from that
	odesample -q -m "$fashion" -n 200 --steps 1 --null-class 3 --guidance 2 -o told
	frames told 'assert set(f["label"]) == set(range(11)) - {3} and h["meta"]["null_class"] == 3'
	run -2 odesample -m "$fashion" -n 2 --null-class 11 -o out
	assert_output "odesample: null class 11: the model has classes 0 to 10"
	run -2 odesample -m "$fashion" -n 2 -l 11
	assert_output --partial "label 11"
	run -2 odesample -m "$m" -n 2 -l 1
	assert_output --partial "no classes"
}

@test "a sample is a function of seed and index" {
	odesample -m "$m" -n 50 -s 4 --steps 2 -o all
	odesample -m "$m" -n 20 -i 30 -s 4 --steps 2 -b 7 -o tail
	frames all 'g = read("tail")[1]
assert (f["noise"][30:] == g["noise"]).all()
close(f["sample"][30:], g["sample"], 1e-6)'
	odesample -m "$m" -n 50 -s 4 --steps 2 -o again
	cmp <(tensorcat --to npy all) <(tensorcat --to npy again)
	odesample -m "$m" -n 50 -s 5 --steps 2 -o other
	frames other 'assert (f["sample"] != read("all")[1]["sample"]).all()'
}

@test "end points are those of diffusers, clipped where the config says so" {
	local run tolerance more
	tensorcat --to frame -r noise noise="$golden/cifar-like/x.npy" -o x
	while read -r run tolerance more; do
		# shellcheck disable=SC2086
		odesample -q -m "$cifar" --scheduler "$golden/cifar-like/$run" --steps 10 $more x -o "$run"
		frames "$run" "want = np.load('$golden/cifar-like/$run.npy')
close(f['sample'], want, $tolerance * max(1, abs(want).max()))"
	done <<-EOF2
	ddim_leading 1e-5
	ddim_trailing 1e-5
	ddim_clip 1e-4 --precision f64
	dpmpp2m 1e-5
	dpmpp2m_karras 1e-5
	flow 1e-5
	flow_shift3 1e-5
	EOF2
	run frames ddim_clip 'print(h["meta"]["clip"], abs(f["sample"]).max() <= 1)'
	assert_output "True True"
	odesample -q -m "$cifar" --scheduler "$golden/cifar-like/ddim_clip" --steps 10 --no-clip x -o free
	run frames free 'print(h["meta"]["clip"], abs(f["sample"]).max() > 2)'
	assert_output "False True"
}

@test "a trajectory: its fields agree with one another and with the sample" {
	odesample -m "$m" -n 20 -s 3 --steps 5 --solver ddim -b 8 -o sample
	odesample -m "$m" -n 20 -s 3 --steps 5 --solver ddim -b 8 --trajectory -o trajectory
	same sample trajectory noise
	run frames trajectory 'x, x0, eps, grid = f["x"], f["x0"], f["eps"], h["meta"]["grid"]
alpha, sigma = (np.array(grid[k])[:, None] for k in ("alpha", "sigma"))
close(x[:, :-1], alpha[:-1] * x0 + sigma[:-1] * eps, 1e-5)
close(x[:, 1:], alpha[1:] * x0 + sigma[1:] * eps, 1e-5)
assert (x[:, 0] == f["noise"]).all()
assert (x[:, -1] == read("sample")[1]["sample"]).all()
assert alpha[-1] == 1 and sigma[-1] == 0 and (np.diff(grid["t"]) < 0).all()
print(h["role"], h["fields"], x.shape, x0.shape, eps.shape, len(grid["t"]))'
	assert_output "trajectory ['noise', 'x', 'x0', 'eps'] (20, 6, 2) (20, 5, 2) (20, 5, 2) 6"
}

@test "one step of ddim ends at the first x0" {
	odesample -m "$cifar" -n 2 --steps 1 --solver ddim --spacing trailing --no-clip -o sample
	odesample -m "$cifar" -n 2 --steps 1 --solver ddim --spacing trailing --no-clip --trajectory -o trajectory
	frames sample 'g = read("trajectory")[1]
close(f["sample"], g["x0"][:, 0], 1e-5 * abs(f["sample"]).max())'
}

@test "every solver and spacing runs, and the finer the steps the closer they come" {
	local solver spacing
	odesample -m "$m" -n 30 --steps 400 -o fine
	for solver in ddim euler heun dpm++2m; do
		for spacing in trailing linspace; do
			odesample -m "$m" -n 30 --steps 4 --solver $solver --spacing $spacing -o 4
			odesample -m "$m" -n 30 --steps 64 --solver $solver --spacing $spacing -o 64
			frames fine "few, many = (abs(f['sample'] - read(p)[1]['sample']).mean() for p in ('4', '64'))
assert many < few / 2 and many < 0.05, ('$solver', '$spacing', few, many)"
		done
	done
}

# picture FILE: width, height, channels, and how many different values the pixels have.
picture()
{
	"$PYTHON" - "$1" <<-'EOF2'
	import struct
	import sys
	import zlib
	b = open(sys.argv[1], "rb").read()
	assert b[:8] == b"\x89PNG\r\n\x1a\n" and b[-8:-4] == b"IEND"
	w, h, depth, kind = struct.unpack(">IIBB", b[16:26])
	at, data = 8, b""
	while at < len(b):
	    n, = struct.unpack(">I", b[at:at + 4])
	    if b[at + 4:at + 8] == b"IDAT":
	        data += b[at + 8:at + 8 + n]
	    at += 12 + n
	raw, channels = zlib.decompress(data), {0: 1, 2: 3}[kind]
	assert depth == 8 and len(raw) == h * (1 + w * channels)
	print(w, h, channels, len(set(raw)) > 20)
	EOF2
}

@test "--png: a grid of the right size, and no frames unless asked for" {
	odesample -m "$fashion" -n 5 -l 1 --steps 1 --png grid.png >frames
	[ ! -s frames ]
	run picture grid.png # 3 x 2 images of 28 pixels, doubled, 2 between them
	assert_output "172 114 1 True"
	odesample -q -m "$cifar" -n 5 --steps 1 --png wide.png --columns 5 --scale 3 -o - >frames
	run picture wide.png
	assert_output --regexp "^128 24 3"
	run frames frames 'print(len(f["sample"]))'
	assert_output 5
	odesample -q -m "$cifar" -n 1 --steps 1 --png one.png --scale 1 -o one
	run picture one.png
	assert_output --regexp "^8 8 3"
	[ -s one ]
}

@test "what is no image gives no picture" {
	run -2 odesample -m "$m" -n 4 --png a.png
	assert_output --partial "no images"
	assert_absent a.png
	run -1 odesample -m "$cifar" -n 1 --steps 1 --png nowhere/a.png -q
	assert_output --partial nowhere
}

@test "what will be no picture is told before there are samples" {
	local latents=$golden/unet-cross/model
	noisegen -n 6 -m "$cifar" -b 2 | head -c -30 >broken # status 3 when it is read to its end
	run -1 odesample -q -m "$cifar" --steps 1 --png nowhere/a.png -o out broken
	assert_output --partial nowhere
	noisegen -n 6 -m "$latents" -b 2 -l 0 | head -c -30 >broken
	run -2 odesample -q -m "$latents" --steps 1 --png a.png -o out broken
	assert_output "odesample: --png: images of 4 channels: 1 or 3 make a picture"
	run -2 timeout 20 odesample -q -m "$fashion" -n 1000000000 --steps 1 --png a.png --columns 1 --scale 64
	assert_output --partial "1792 x 1837054 pixels is too large"
	run -2 timeout 20 odesample -q -m "$fashion" -n 1000000000 --steps 1 --png a.png --columns 1024 --scale 64 -o out
	assert_output --partial "1837054 x 1792 pixels is too large"
	assert_absent a.png out
}

@test "a picture that cannot be written takes no samples with it" {
	run -1 odesample -q -m "$cifar" -n 3 --steps 1 --png /dev/full -o out
	assert_output --partial "/dev/full"
	frames out 'assert f["sample"].shape == (3, 3, 8, 8)'
}

@test "a picture of a stream that breaks off is not made" {
	noisegen -n 6 -m "$cifar" -b 2 -o noise
	run -3 odesample -q -m "$cifar" --steps 1 --png a.png -o out - < <(head -c -30 noise)
	assert_absent a.png
	assert_absent out
}

@test "under another form a model's ODE is the same one" {
	local form
	noisegen -n 3 -s 5 -m "$fashion" -l uniform:10 -o noise
	odesample -m "$fashion" --solver ddim --spacing karras --steps 12 -o own noise
	for form in ddpm vp subvp ve fm; do
		odesample -m "$fashion" --as "$form" --solver ddim --spacing karras --steps 12 -o "$form" noise
		frames "$form" "
assert h['meta']['form'] == '$form', h['meta']
close(f['sample'], read('own')[1]['sample'], 0.03)" # the steps are the same ones, but for own times rounded to integers
	done
	odesample -m "$fashion" --as fm --steps 60 -o many noise
	odesample -m "$fashion" --steps 60 -o fine noise
	frames many 'assert ((f["sample"] - read("fine")[1]["sample"]) ** 2).mean() < 0.01'
}

# dopri5 walks in a coordinate that all forms share, so that two forms of one model differ by its tolerance alone; but for where they
# begin and end: a network that knows pure noise begins a little below it under forms that do not, and DDPM has whole times alone,
# the least of sigma/alpha 0.01.
@test "every form and prediction type under every other: the same end points" {
	local own pred form
	noisegen -q -n 20 -s 5 --shape 2 -o noise
	for own in ddpm vp subvp ve fm; do
		for pred in epsilon sample v_prediction flow_prediction; do
			[ "$own,$pred" = fm,epsilon ] && continue # says nothing at alpha = 0
			mlp "$own-$pred" "$own" "$pred"
			odesample -q -m "$own-$pred" --solver dopri5 --rtol 1e-5 --atol 1e-5 -f -o own noise
			for form in ddpm vp subvp ve fm; do
				odesample -q -m "$own-$pred" --as "$form" --solver dopri5 --rtol 1e-5 --atol 1e-5 -f -o as noise
				frames as "
assert h['meta']['form'] == '$form', h['meta']
want = read('own')[1]['sample']
close(f['sample'], want, (0.02 if '$own' == 'fm' or '$form' == 'ddpm' else 5e-3) * max(2, abs(want).max()))"
			done
		done
	done
}

# started FILE: the spacing, and the time of the first step.
started()
{
	run frames "$1" 'print(h["meta"]["spacing"], h["meta"]["start"]["t"])'
}

# scheduler MODEL KEYS: DDIM over the 1000 times of the golden model's betas; KEYS in Python, class and all.
scheduler()
{
	"$PYTHON" -c 'import json, sys
path = sys.argv[1] + "/scheduler/scheduler_config.json"
c = json.load(open(path))
c.pop("timestep_spacing", None)
json.dump(c | {"_class_name": "DDIMScheduler"} | eval(sys.argv[2]), open(path, "w"))' "$1" "$2"
}

@test "a rectified model begins at the noise, whatever its configuration's spacing; others where that says" {
	local args
	cp -r "$cifar" teacher
	scheduler teacher '{}' # diffusers' default is leading
	noisegen -n 4 -s 1 -m teacher -o noise
	denoise -q -m teacher --spacing trailing --steps 2 -o pairs noise
	rectrain -q -m teacher -o student --steps 1 -b 4 pairs
	denoise -q -m teacher --spacing trailing --steps 4 --knots 2 -o knots noise
	rectrain -q -m teacher -o phased --phases 2 --steps 1 -b 4 knots
	rectrain -q -m teacher -o trained --coupling independent --steps 1 -b 4 pairs
	noisegen -n 4 -s 2 -m teacher -o noise # not what they were trained on
	cmp teacher/scheduler/scheduler_config.json student/scheduler/scheduler_config.json

	for args in "student --steps 1" "student --steps 10" "phased --steps 2 --solver ddim"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr odesample -f -o own -m $args noise
		assert_equal "$stderr" "odesample: ${args%% *} was rectified: trailing spacing in place of its configuration's leading; --spacing leading takes that"
		started own
		assert_output "trailing 999.0"
		# shellcheck disable=SC2086
		odesample -f -o told -m $args --spacing trailing noise
		same own told sample
	done
	run -0 --separate-stderr odesample -q -f -m student --steps 1 -o own noise
	assert_equal "$stderr" ""
	denoise -q -m student --steps 4 --knots 2 -o again noise
	started again
	assert_output "trailing 999.0"
	denoise -q -m student --reverse --steps 4 -o back again
	started back
	assert_output "trailing 999.0"

	for args in "student --spacing leading" "student --scheduler student" teacher trained; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr odesample -f --steps 1 -o own -m $args noise
		[[ $stderr == "odesample: warning: the first step is at t = 0,"*"--spacing trailing"* ]] || fail "$args: $stderr"
		started own
		assert_output "leading 0.0"
	done

	scheduler student '{"_class_name": "EulerDiscreteScheduler"}' # one point of linspace is the data's end
	odesample -q -f -m student --steps 1 -o own noise
	started own
	assert_output "trailing 999.0"
	run -0 --separate-stderr odesample -f -m student --steps 2 -o own noise # and of two the first is not
	assert_equal "$stderr" ""
	started own
	assert_output "linspace 999.0"
}

@test "guidance: meta names the null class, and weights that have it already are told of" {
	local stream
	odesample -q -m "$fashion" -n 2 --steps 1 --guidance 2 -o recorded
	odesample -q -m "$no_null" -n 2 --steps 1 --guidance 2 --null-class 1 -o told
	odesample -q -m "$fashion" -n 2 --steps 1 -o plain
	for stream in recorded told plain; do frames $stream 'print(h["meta"].get("null_class"))'; done >nulls
	assert_equal "$(tr '\n' ' ' <nulls)" "10 1 None "
	denoise --reverse -m "$fashion" --steps 1 -o back recorded # what the samples came from does not stay
	frames back 'assert "null_class" not in h["meta"]'

	cp -r "$no_null" learnt
	PYTHONPATH=$top/tests "$PYTHON" -c 'import folders
path = "learnt/" + folders.WEIGHTS
tensors, meta = folders.read(path)
folders.write(path, tensors, meta | {"rectdiff.guidance_learnt": "3 on top of 2"})'
	run -0 --separate-stderr odesample -m learnt -f -n 2 --steps 1 --guidance 2 --null-class 1 -o out
	assert_equal "$stderr" "odesample: warning: guidance 3 on top of 2 is in the weights of learnt already: --guidance 2 comes on top of it"
	run -0 --separate-stderr odesample -m learnt -f -n 2 --steps 1 -o out
	assert_equal "$stderr" ""
}

@test "options that make no sense: status 2" {
	local args
	noisegen -n 1 --shape 2 -o noise
	for args in "" "-m $m -n 0" "-m $m -n 3 noise" "-m $m -s 1 -" "-m $m -l none noise" "-m $m noise noise" \
		"-m $m --columns 0" "-m $m --scale 65" "-m $m --steps 0" "-m $m --solver rk5" "-m $m --solver ddim --solver-type bh1" "-m $m --solver heun --solver-type velocity --spacing exact" "-m $m -l uniform:0"; do
		# shellcheck disable=SC2086
		run -2 odesample $args -o out <noise
		assert_output --partial "odesample: "
	done
	assert_absent out
}

@test "dopri5 ends where many small steps end, with guidance and clipping, a sample whatever its batch" {
	odesample -m "$fashion" -n 3 -s 5 --guidance 2 --no-clip --solver dopri5 --rtol 1e-4 --atol 1e-4 -o dopri5
	odesample -m "$fashion" -n 3 -s 5 --guidance 2 --no-clip --solver rk4 --steps 40 --spacing karras -o small
	odesample -m "$fashion" -n 1 -i 2 -s 5 --guidance 2 --no-clip --solver dopri5 --rtol 1e-4 --atol 1e-4 -o last
	frames dopri5 '
close(f["sample"], read("small")[1]["sample"], 0.3)
assert np.sqrt(np.square(f["sample"] - read("small")[1]["sample"]).mean()) < 0.03
close(f["sample"][2:], read("last")[1]["sample"], 5e-3)
assert end["meta"]["nfe_max"] % 12 == 2'
	odesample -m "$fashion" -n 2 -s 5 --clip=0.5 --solver dopri5 --rtol 1e-2 --atol 1e-2 -o clipped
	frames clipped 'assert abs(f["sample"]).max() == 0.5'
}

@test "parts of a range, as of an array of batch jobs, are the range" {
	odesample -q -m "$cifar" -n 5 -s 2 -i 3 -b 5 --steps 1 -o whole
	for i in 1 2; do
		odesample -q -m "$cifar" -n 5 -s 2 -i 3 -S "$i/2" -b 5 --steps 1 -o "part.$i"
	done
	tensorcat --to npy -n noise part.1 part.2 -o noise.npy
	tensorcat --to npy -n sample part.1 part.2 -o parts.npy
	frames whole 'close(f["noise"], np.load("noise.npy"), 0); close(f["sample"], np.load("parts.npy"), 1e-5 * abs(f["sample"]).max())'
	run frames part.2 'print(maps[1]["i"], len(f["noise"]))'
	assert_output "6 2"
	run -1 odesample -q -m "$cifar" -n 2 -S 3/3 --steps 1 --png empty.png -o empty
	assert_output "odesample: --png: there are no samples to draw"
	assert_absent empty.png
	run tensorcat empty
	assert_success
	run -2 odesample -m "$cifar" -S 0/2 -o x
	assert_output --partial "counted from 1"
	run -2 odesample -m "$cifar" -S 1/2 -o x whole
	assert_output --partial "for noise of one's own"
}
