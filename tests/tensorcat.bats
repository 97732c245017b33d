#!/usr/bin/env bats
# tensorcat: everything the suite reads, in every form it writes.

# common.bash sets what is used here.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0
load common

setup()
{
	start
}

@test "text: role, count, shapes, statistics, first values, provenance" {
	noisegen -n 3 -s 1 -i 7 --shape 2 -l 4 -o a
	run tensorcat a
	assert_success
	assert_line --index 0 "a: noise, 3 samples from index 7"
	assert_line --index 1 --regexp '^  noise  <f4 \[3, 2\]  mean [-0-9.e]+ std [0-9.e]+ min [-0-9.e]+ max [-0-9.e]+ : ([-0-9.e]+ ?){6}$'
	assert_line --index 2 "  label  <i4 [3]  mean 4 std 0 min 4 max 4 : 4 4 4"
	assert_line --index 3 --regexp '^  meta \{.*"seed":1.*\}$'
	run tensorcat -n label a
	refute_output --partial "<f4"
	run tensorcat - <a
	assert_line --index 0 "standard input: noise, 3 samples from index 7"
}

@test "text: what a stream says at its end, each of its own" {
	noisegen -n 9 --dist moons -o data
	denoise -m analytic:moons --solver dopri5 -o pairs <(noisegen -n 4 --shape 2)
	denoise -m analytic:moons --reverse --likelihood exact -o back data
	run -0 tensorcat pairs data back
	assert_equal "$(grep -c '^  end ' <<<"$output")" 2
	assert_line --regexp '^  end  \{.*"nfe_mean":[0-9.]+,"nfe_max":[0-9]+,"rejected_steps":[0-9]+\}$'
	assert_line --regexp '^  end  \{.*"logp":-?[0-9.]+,"bits_per_dim":[0-9.]+\}$'
}

@test "text: the numbers are right, NaN is counted" {
	"$PYTHON" -c 'import numpy as np
a = np.array([[1, 2], [3, np.nan], [5, 9]], "<f4"); np.save("a.npy", a)'
	run tensorcat a.npy
	assert_line --index 0 "a.npy: data, 3 samples from index 0"
	assert_line --index 1 "  sample  <f4 [3, 2]  mean 4 std 2.82843 min 1 max 9  1 NaN or infinite : 1 2 3 nan 5 9"
}

@test "unsigned bytes of an .npy are pixels, as those of idx; labels and other fields are not" {
	"$PYTHON" - <<-'EOF'
	import numpy as np
	b = (np.arange(2 * 1 * 4 * 4).reshape(2, 1, 4, 4) * 8).astype("u1")
	np.save("b.npy", b)
	np.save("l.npy", np.array([3, 200], "u1"))
	np.save("i.npy", b.astype("<i4"))
	open("b.idx", "wb").write(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4]) + b.tobytes())
	EOF
	tensorcat --to npy b.npy -o from-npy.npy
	tensorcat --to npy b.idx | cmp - from-npy.npy
	tensorcat --to npy -n sample sample=b.npy label=l.npy | cmp - from-npy.npy
	"$PYTHON" -c 'import numpy as np
x, b = np.load("from-npy.npy"), np.load("b.npy")
assert x.dtype == np.float32 and abs(x - (b / 127.5 - 1)).max() < 1e-6, x'
	for args in "noise=b.npy" "i.npy"; do
		tensorcat --to npy "$args" -o raw.npy
		"$PYTHON" -c 'import numpy as np; assert (np.load("raw.npy") == np.load("b.npy")).all()'
	done
	run tensorcat --to csv -n label sample=b.npy label=l.npy
	assert_line "1,200"
	run tensorcat --to csv l.npy
	assert_line "1,200"
}

@test "height, width, channels: the refusal says what is expected" {
	"$PYTHON" -c 'import numpy as np
np.save("hwc.npy", np.zeros((2, 28, 28, 1), "f4")); np.save("rgb.npy", np.zeros((2, 8, 8, 3), "u1"))
np.save("chw.npy", np.zeros((2, 1, 8, 8), "f4")); np.save("l.npy", np.array([1, 5]))'
	hint="(height, width, channels? rdframes are channels first)"
	run tensorcat --to png rgb.npy -o x.png
	assert_failure 3
	assert_output --partial "$hint"
	run rectrain -q -m "$fashion" -o out --coupling independent hwc.npy
	assert_failure 3
	assert_output --partial "$hint"
	run denoise --reverse -m "$fashion" hwc.npy -o out
	assert_failure 3
	assert_output --partial "$hint"
	run samplecmp --features "$top/models/fashion-classifier" hwc.npy hwc.npy
	assert_failure 3
	assert_output --partial "$hint"
	run denoise --reverse -m "$fashion" chw.npy -o out
	assert_failure 3
	refute_output --partial "channels"
	assert_absent out
}

@test "messages name the file and what it is" {
	"$PYTHON" -c 'import numpy as np
np.save("imgs.npy", np.zeros((3, 1, 28, 28), "f4")); np.save("l.npy", np.array([1, 99, 3])); np.save("f.npy", np.array([1, .5, 2]))'
	tensorcat --to png imgs.npy -o g.png
	run tensorcat g.png
	assert_failure 3
	assert_output "tensorcat: g.png: is a picture: a folder of them is read"
	run rectrain -q -m "$fashion" -o out --coupling independent sample=imgs.npy label=l.npy
	assert_failure 3
	assert_output --partial "rectrain: l.npy: label 99 of sample 1"
	run tensorcat sample=imgs.npy label=f.npy
	assert_failure 3
	assert_output --partial "tensorcat: f.npy: label"
	noisegen -n 0 --shape 1,28,28 -l 0 | denoise -q -m "$fashion" --steps 1 | pairpack -o empty.tar
	noisegen -n 1 -m "$fashion" | denoise -q -m "$fashion" --steps 1 | pairpack -o one.tar
	run rectrain -q -m "$no_null" -o out empty.tar
	assert_failure 3
	assert_output "rectrain: empty.tar: no pairs in it"
	for order in "empty.tar one.tar" "one.tar empty.tar"; do
		# shellcheck disable=SC2086
		pairpack -q -f $order -o out.tar
		tensorcat --to npy -n sample out.tar | cmp - <(tensorcat --to npy -n sample one.tar)
	done
	pairpack -q empty.tar empty.tar -o out.tar
	run tensorcat out.tar
	assert_line --index 0 "out.tar: pairs, 0 samples"
}

@test "trajectories from arrays, with a grid, measure as the stream that they came from" {
	mlp m
	odesample -q -m m -n 20 --steps 4 --trajectory -o t
	for f in x x0 eps; do tensorcat --to npy -n $f t -o $f.npy; done
	frames t 'g = h["meta"]["grid"]; a = np.stack([g["t"], g["alpha"], g["sigma"]], 1); np.save("grid.npy", a)
np.save("short.npy", a[:4]); a[1, 0] = np.nan; np.save("nan.npy", a); np.save("flat.npy", a[:, :2])'
	arrays=(x=x.npy x0=x0.npy eps=eps.npy)
	tensorcat --to frame -r trajectory --grid grid.npy "${arrays[@]}" -o own
	trajdump --samples a.csv --name n t
	run --separate-stderr trajdump --samples b.csv --name n own
	[ -z "$stderr" ]
	cmp a.csv b.csv
	tensorcat --to frame -r trajectory --grid grid.npy x=x.npy x0=eps.npy eps=x0.npy -o wrong
	run --separate-stderr trajdump wrong
	[[ $stderr == "trajdump: warning: wrong: x is not alpha x0 + sigma eps, but up to "* ]]
	frames own 'g = read("t")[0][0]["meta"]["grid"]; del g["time"] # what its network was told
assert h["meta"]["grid"] == g and h["role"] == "trajectory"'
	tensorcat --to frame -r trajectory own -o again # has its own
	frames again 'assert h["meta"]["grid"] == read("own")[0][0]["meta"]["grid"]'
	run -2 tensorcat --to frame -r trajectory "${arrays[@]}" -o out
	assert_output --partial "x=x.npy has no grid; --grid FILE gives"
	run -3 tensorcat --to frame -r trajectory --grid grid.npy own -o out
	assert_output --partial "own: has a grid already"
	run -3 tensorcat --to frame -r trajectory --grid short.npy "${arrays[@]}" -o out
	assert_output "tensorcat: x.npy: a sample of field x is [5, 2], but short.npy has 4 nodes: [4, ...] expected"
	run -3 tensorcat --to frame -r trajectory --grid flat.npy "${arrays[@]}" -o out
	assert_output --partial "flat.npy: the shape is [5, 2], [K+1, 3] expected"
	run -3 tensorcat --to frame -r trajectory --grid nan.npy "${arrays[@]}" -o out
	assert_output --partial "nan.npy: meta.grid.t: element 1 is not a number"
	run -3 tensorcat --to frame -r trajectory --grid grid.npy x=x.npy eps=eps.npy -o out
	assert_output --partial "has no field x0"
	run -2 tensorcat --to frame -r data --grid grid.npy "${arrays[@]}" -o out
	assert_output --partial "--grid is for"
	run -2 tensorcat --to frame -r trajectory --grid grid.npy "${arrays[@]}" "${arrays[@]}" -o out
	assert_output "tensorcat: --grid is of one group of arrays; others follow x=x.npy: convert each by itself"
	assert_absent out
}

@test "text: several files, each by itself" {
	noisegen -n 3 --shape 2 -o a
	noisegen -n 4 --shape 5 -o b
	run tensorcat a b
	assert_success
	assert_line "a: noise, 3 samples from index 0"
	assert_line "b: noise, 4 samples from index 0"
}

@test "text: safetensors and model folders" {
	run tensorcat "$fashion"
	assert_success
	assert_line --index 0 "$fashion: model"
	run tensorcat "$fashion/unet"
	assert_success
	assert_line --index 0 --regexp "unet/diffusion_pytorch_model.safetensors: safetensors, 183 tensors, 1114209 numbers$"
	assert_line --regexp '^  conv_in.weight +F32 \[32, 1, 3, 3\]  mean '
	run tensorcat -n conv_in.bias "$fashion/unet/diffusion_pytorch_model.safetensors"
	assert_success
	assert_output --partial "conv_in.bias"
	refute_output --partial "conv_in.weight"
	run tensorcat -n nothing "$fashion"
	assert_failure 3
	assert_output --partial "has no tensor 'nothing'"
	mkdir empty
	run tensorcat empty
	assert_failure 3
	assert_output --partial "empty: neither a model nor a folder of .png files"
}

@test "npy: a field of a stream, of an archive, of arrays" {
	noisegen -n 300 -s 2 --shape 3,4 -l uniform:5 -b 7 -o a
	tensorcat --to npy -n noise a -o n.npy
	tensorcat --to npy --field noise a | cmp - n.npy
	tensorcat --to npy --name noise a | cmp - n.npy
	tensorcat --to npy -n label a -o l.npy
	frames a 'close(f["noise"], np.load("n.npy"), 0); close(f["label"], np.load("l.npy"), 0)'
	tensorcat --to frame noise=n.npy sample=n.npy label=l.npy | pairpack -o p.tar
	tensorcat --to npy p.tar | cmp - n.npy
	tensorcat --to npy -n label p.tar | cmp - l.npy
	tensorcat --to npy n.npy n.npy -o twice.npy
	tensorcat --to npy -c 5 -n noise a -o few.npy
	run "$PYTHON" -c 'import numpy as np
print(np.load("twice.npy").shape, (np.load("few.npy") == np.load("n.npy")[:5]).all(), np.load("few.npy").shape)'
	assert_output "(600, 3, 4) True (5, 3, 4)"
	run tensorcat --to npy a
	assert_failure 2
	assert_output --partial "which one of its fields?"
	run tensorcat --to npy -n nothing a
	assert_failure 3
}

@test "npy: references become numbers" {
	noisegen -n 50 -s 2 --shape 3 | tensorcat --to npy - -o a.npy
	noisegen -n 50 -s 2 --shape 3 --ref | tensorcat --to npy - | cmp - a.npy
}

@test "npy: one tensor of a safetensors file" {
	file=$fashion/unet/diffusion_pytorch_model.safetensors
	tensorcat --to npy -n conv_in.weight "$file" -o w.npy
	run "$PYTHON" -c 'import numpy as np, json, struct, sys
w = np.load("w.npy")
b = open(sys.argv[1], "rb").read(); n = struct.unpack("<Q", b[:8])[0]; t = json.loads(b[8:8 + n])["conv_in.weight"]
x = np.frombuffer(b[8 + n:][t["data_offsets"][0]:t["data_offsets"][1]], "<f4").reshape(t["shape"])
print(w.shape, (w == x).all())' "$file"
	assert_output "(32, 1, 3, 3) True"
	run tensorcat --to npy "$file"
	assert_failure 2
	run tensorcat --to csv -n conv_in.weight "$file"
	assert_failure 2
	run tensorcat --to npy -n nothing "$file"
	assert_failure 3
}

@test "frame: arrays side by side, with a role; a part of a stream" {
	noisegen -n 20 --shape 2 -l uniform:3 -o a
	tensorcat --to npy -n noise a -o n.npy
	tensorcat --to npy -n label a -o l.npy
	tensorcat --to frame -r noise noise=n.npy label=l.npy -o b
	frames b 'a = read("a")[1]; close(f["noise"], a["noise"], 0); close(f["label"], a["label"], 0)'
	run frames b 'print(h["role"], h["fields"], end["samples"], h["meta"]["history"][-1]["tool"])'
	assert_output "noise ['noise', 'label'] 20 tensorcat"
	tensorcat --to frame -n noise -c 5 a -o c
	run frames c 'print(h["fields"], end["samples"], f["noise"].shape)'
	assert_output "['noise'] 5 (5, 2)"
	noisegen -n 9 --shape 2 --ref | tensorcat --to frame -c 4 - -o d
	run frames d 'print(len(refs), refs[0]["n"], f)'
	assert_output "1 4 {}"
	head -c 200 n.npy >short.npy
	run tensorcat --to frame -r noise noise=short.npy label=l.npy -o e
	assert_failure 3
	assert_absent e
}

@test "csv: a line per sample, exact numbers" {
	noisegen -n 4 -s 3 -i 10 --shape 1,2 -l 6 -o a
	tensorcat --to csv a -o a.csv
	run head -n 1 a.csv
	assert_output "index,noise_0,noise_1,label"
	run frames a 'rows = [l.split(",") for l in open("a.csv")][1:]
print([r[0] for r in rows], {r[3].strip() for r in rows},
      (np.array([r[1:3] for r in rows], "f4").reshape(4, 1, 2) == f["noise"]).all())'
	assert_output "['10', '11', '12', '13'] {'6'} True"
	run tensorcat --to csv -n label -c 2 a
	assert_output - <<-'END'
	index,label
	10,6
	11,6
	END
}

@test "png: images in a grid, a trajectory in a row" {
	"$PYTHON" -c 'import numpy as np
np.save("g.npy", np.linspace(-1, 1, 5 * 16, dtype="f4").reshape(5, 1, 4, 4))
np.save("rgb.npy", np.zeros((4, 3, 8, 8), "f4"))
np.save("t.npy", np.zeros((2, 6, 1, 4, 4), "f4"))
np.save("flat.npy", np.zeros((4, 3), "f4"))'
	tensorcat --to png --scale 1 g.npy -o g.png
	run file -b g.png
	assert_output --regexp "PNG image data, 16 x 10, 8-bit grayscale"
	tensorcat --to png --columns 2 -c 3 --scale 3 rgb.npy >rgb.png
	run file -b rgb.png
	assert_output --regexp "PNG image data, [0-9]+ x [0-9]+, 8-bit/color RGB"
	tensorcat --to png --scale 1 t.npy -o t.png
	run file -b t.png
	assert_output --regexp "PNG image data, 34 x 10, 8-bit grayscale"
	run tensorcat --to png flat.npy -o flat.png
	assert_failure 3
	assert_output --partial "no picture"
	assert_absent flat.png
}

@test "a truncated input is noticed, also where its end was not asked for" {
	noisegen -n 100 -b 10 --shape 2 -o a
	head -c "$(($(stat -c %s a) - 1))" a >cut.rdf
	for form in text frame npy csv; do
		count=(-c 1)
		[ "$form" != text ] || count=()
		run tensorcat --to "$form" "${count[@]}" cut.rdf -o out
		assert_failure 3
		assert_output --partial "cut"
		assert_absent out
	done
}

@test "usage errors exit 2" {
	for args in "" "--to jpeg a" "-r nonsense a" "-c 0 a" "-c 3 a" "-r noise a" "--scale 0 --to png a" "--nonsense" \
		"--tensors --to npy a"; do
		# shellcheck disable=SC2086
		run tensorcat $args
		assert_failure 2
	done
	run tensorcat /nonexistent
	assert_failure 1
	assert_output --partial "/nonexistent"
}

@test "help, version, and full disks" {
	run tensorcat -h
	assert_success
	assert_output --partial "usage: tensorcat"
	run tensorcat --version
	assert_output --regexp '^tensorcat \(rectdiff\) [0-9]'
	noisegen -n 4 --shape 1,8,8 -o a
	for form in text frame npy csv png; do
		run bash -c "tensorcat --to $form a >/dev/full"
		assert_failure 1
		assert_output --partial "No space left"
	done
}

@test "of no samples there is no array and no picture" {
	noisegen -n 0 --shape 1,8,8 -o none
	for to in npy png; do
		run -3 tensorcat --to $to -n noise -o out none
		assert_output "tensorcat: no samples, so no shape for an array"
		[ ! -e out ]
	done
}
