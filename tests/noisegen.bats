#!/usr/bin/env bats
# noisegen: every sample is a function of (seed, index), however it is asked for.

setup()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	cd "$BATS_TEST_TMPDIR" || return
	model="$BATS_TEST_DIRNAME/../models/fashion-ddpm"
	no_null="$BATS_TEST_DIRNAME/golden/class-scale-shift/model"
	classes=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["num_class_embeds"])' "$no_null/unet/config.json")
}

# frames FILE PYTHON: the stream's header h, its fields f (arrays, all samples) and the index of the first sample, to a
# line of Python.
frames()
{
	"$PYTHON" - "$1" "$2" <<-'EOF'
	import sys
	import msgpack
	import numpy as np
	maps = list(msgpack.Unpacker(open(sys.argv[1], "rb"), max_buffer_size=2**30))
	h, end = maps[0], maps[-1]
	assert end["end"] == len(maps) - 2, end
	f, refs, first = {}, 0, None
	for m in maps[1:-1]:
	    first = m["i"] if first is None else first
	    if "data" in m:
	        a = np.frombuffer(m["data"], m["type"]).reshape(m["shape"])
	        f.setdefault(m["name"], []).append(a)
	    else:
	        refs += 1
	f = {k: np.concatenate(v) for k, v in f.items()}
	exec(sys.argv[2])
	EOF
}

@test "noise of a shape: role, field, meta, moments" {
	noisegen -n 500 -s 7 --shape 3,8,8 -o a
	run frames a 'x = f["noise"]; print(h["role"], h["fields"], x.shape, x.dtype, end["samples"], h["meta"]["seed"],
	    h["meta"]["count"], h["meta"]["first"], abs(x.mean()) < .01, abs(x.std() - 1) < .01)'
	assert_success
	assert_output "noise ['noise'] (500, 3, 8, 8) float32 500 7 500 0 True True"
}

@test "a model folder gives the shape and the bounds of labels" {
	noisegen -n 3 -m "$model" -l uniform:10 -o a
	run frames a 'print(h["fields"], f["noise"].shape, f["label"].shape, f["label"].dtype)'
	assert_output "['noise', 'label'] (3, 1, 28, 28) (3,) int32"
	run noisegen -n 3 -m "$model" -l uniform:12 -o b
	assert_failure 2
	assert_output --partial "11 classes"
	run noisegen -n 3 -m "$model" -l 11 -o b
	assert_failure 2
	run noisegen -n 3 -m . -o b
	assert_failure
	assert_output --partial "config.json"
	[ ! -e b ]
}

@test "a model with classes: labels by default as odesample draws them" {
	noisegen -n 20 -s 7 -i 30 -m "$model" -o a
	odesample -q -n 20 -s 7 -i 30 -m "$model" --steps 1 -o b
	for x in a b; do frames $x 'f["noise"].tofile("n"); f["label"].tofile("l")'; cat n l >$x.raw; done
	cmp a.raw b.raw
	run frames a 'print(h["meta"]["labels"], sorted(set(f["label"].tolist())))'
	assert_output "uniform:10 [0, 1, 4, 5, 6, 7, 8, 9]"
	noisegen -n 1000 -m "$no_null" -o a # records no null class: all of its classes
	run frames a 'print(h["meta"]["labels"], len(set(f["label"].tolist())))'
	assert_output "uniform:$classes $classes"
	noisegen -n 3 -m "$model" -l none -o a
	run frames a 'print(h["meta"]["labels"], list(f))'
	assert_output "none ['noise']"
	noisegen -n 3 --shape 2 -o a
	run frames a 'print(h["meta"]["labels"], list(f))'
	assert_output "none ['noise']"
	# without weights the null class is not known: it is not guessed
	mkdir -p m/unet
	cp "$model/unet/config.json" m/unet
	run noisegen -n 3 -m m -o c
	assert_failure 1
	assert_output --partial "which of its classes stands for none? -l says"
	assert_output --partial "diffusion_pytorch_model.safetensors"
	[ ! -e c ]
	noisegen -n 3 -m m -l 4 -o c
}

@test "the batch size and the first index do not change a sample" {
	noisegen -n 100 -s 3 --shape 5 -l uniform:4 -o a
	noisegen -n 100 -s 3 --shape 5 -l uniform:4 -b 7 -o b
	noisegen -n 60 -i 40 -s 3 --shape 5 -l uniform:4 -o c
	for x in a b c; do frames $x 'print(first); f["noise"][-60:].tofile("n"); f["label"][-60:].tofile("l")'; cat n l >$x.raw; done
	cmp a.raw b.raw
	cmp a.raw c.raw
	run frames c 'print(first)'
	assert_output 40
}

@test "seeds differ, also beyond 2^63" {
	for s in 0 1 4294967296 18446744073709551615; do noisegen -n 1 -s $s --shape 4 -o a; frames a 'print(f["noise"])'; done | sort | uniq -d >dup
	[ ! -s dup ]
}

@test "shards partition the range, whatever the remainder" {
	for range in "10 3" "2 5" "0 2" "64 8" "1001 7"; do
		read -r count n <<<"$range"
		noisegen -n "$count" -i 5 --shape 2 -l uniform:3 -o whole
		frames whole 'open("whole.raw", "wb").write(f["noise"].tobytes() + f["label"].tobytes() if f else b"")'
		for i in $(seq "$n"); do
			noisegen -n "$count" -i 5 -S "$i/$n" --shape 2 -l uniform:3 -o "part$i"
		done
		"$PYTHON" - "$n" "$count" <<-'EOF' >parts.raw
		import sys
		import msgpack
		x, y, at, sizes = b"", b"", 5, []
		for i in range(1, int(sys.argv[1]) + 1):
		    maps = list(msgpack.Unpacker(open(f"part{i}", "rb")))
		    assert maps[0]["meta"]["first"] == at
		    sizes.append(maps[-1]["samples"])
		    assert maps[0]["meta"]["count"] == sizes[-1]
		    at += sizes[-1]
		    for m in maps[1:-1]:
		        if m["name"] == "noise":
		            x += m["data"]
		        else:
		            y += m["data"]
		assert at == 5 + int(sys.argv[2]) and max(sizes) - min(sizes) <= 1
		sys.stdout.buffer.write(x + y)
		EOF
		cmp whole.raw parts.raw
	done
	for part in 0/4 -1/4 5/4; do
		run noisegen -n 10 -S $part --shape 2
		assert_failure 2
		assert_line "noisegen: --shard $part: parts are counted from 1, to 4 here"
	done
	run noisegen -n 10 -S 3 --shape 2
	assert_failure 2
}

@test "references hold no numbers" {
	noisegen -n 1000 -s 9 --shape 3,32,32 --ref -l 2 -o a
	[ "$(stat -c %s a)" -lt 20000 ]
	run frames a 'print(list(f), refs > 0, set(f["label"].tolist()), maps[1]["ref"]["seed"], maps[1]["shape"][1:])'
	assert_output "['label'] True {2} 9 [3, 32, 32]"
}

@test "labels in turn go by the global index" {
	noisegen -n 9 -i 5 --shape 2 -l cycle:4 -b 4 -o a
	run frames a 'print(f["label"].tolist(), h["meta"]["labels"])'
	assert_output "[1, 2, 3, 0, 1, 2, 3, 0, 1] cycle:4"
	run noisegen -n 3 --shape 2 -l cycle:0
	assert_failure 2
	assert_output --partial "cycle:K with K"
	run noisegen -n 3 -m "$model" -l cycle:12
	assert_failure 2
	assert_output --partial "11 classes"
	run noisegen -n 4 -m "$model" -l 0,1,2,3
	assert_failure 2
	assert_output --partial "labels 0,1,2,3: none, uniform:K, cycle:K, a class, or a file expected"
}

@test "a class that is left out: the others as without it, renumbered around it" {
	local args
	noisegen -n 400 -s 3 -i 7 --shape 2 -l uniform:4 -o four
	noisegen -n 400 -s 3 -i 7 --shape 2 -l uniform:5:without:2 -o around
	noisegen -n 400 -s 3 -i 7 --shape 2 -l uniform:5:without:4 -o last
	for x in four around last; do frames $x "f['label'].tofile('$x.raw')"; done
	cmp four.raw last.raw
	frames around 'four = np.fromfile("four.raw", "i4")
assert (f["label"] == four + (four >= 2)).all() and set(f["label"]) == {0, 1, 3, 4}'
	noisegen -n 7 -i 1 --shape 2 -l cycle:4:without:0 -o turns
	run frames turns 'print(f["label"].tolist(), h["meta"]["labels"])'
	assert_output "[2, 3, 1, 2, 3, 1, 2] cycle:4:without:0"
	for args in uniform:5:without:5 uniform:5:without:-1 uniform:5:without: uniform:5:without:x cycle:1:without:0 \
		uniform:0:without:0 uniform:5:but:2 uniform::without:2; do
		run noisegen -n 1 --shape 2 -l "$args" -o out
		assert_failure 2
		assert_output --partial "labels $args: "
	done
	run noisegen -n 1 -m "$no_null" -l "uniform:$((classes + 1)):without:0" -o out
	assert_failure 2
	assert_output --partial "the model has $classes classes"
	[ ! -e out ]
}

@test "labels from a file go by the global index" {
	"$PYTHON" -c 'import numpy as np; np.save("l.npy", np.arange(100) % 10); np.save("bad.npy", np.array([3, -1]))
np.save("square.npy", np.zeros((4, 4), int))'
	noisegen -n 20 -i 70 -b 6 --shape 2 -l l.npy -o a
	run frames a 'print((f["label"] == (np.arange(70, 90) % 10)).all())'
	assert_output True
	run noisegen -n 20 -i 90 --shape 2 -l l.npy -o b
	assert_failure 3
	assert_output --partial "100 labels"
	run noisegen -n 2 --shape 2 -l bad.npy -o b
	assert_failure 3
	assert_output --partial "label -1"
	run noisegen -n 2 --shape 2 -l square.npy -o b
	assert_failure 3
	[ ! -e b ]
}

@test "densities: role data, standardised, components as labels when asked" {
	for d in 8gaussians checkerboard moons spiral rings; do
		noisegen -n 20000 --dist $d -l component -o a
		run frames a 'x = f["sample"]; print(h["role"], h["fields"], x.shape, (abs(x.mean(0)) < .05).all(),
		    abs((x**2).sum(1).mean() - 2) < .05, f["label"].max() in (1, 3, 7), f["label"].min())'
		assert_output "data ['sample', 'label'] (20000, 2) True True True 0"
	done
	noisegen -n 5 --dist moons -o a
	run frames a 'print(h["fields"], h["meta"]["density"])'
	assert_output "['sample'] moons"
	run noisegen -n 5 --shape 2 -l component
	assert_failure
}

@test "an empty range is a whole stream" {
	noisegen -n 0 --shape 2 -o a
	run frames a 'print(end["samples"], f)'
	assert_output "0 {}"
}

@test "what makes no sense is refused with status 2" {
	for args in "" "-n 3" "-n 3 --shape 2 --dist moons" "-n -1 --shape 2" "-n 3x --shape 2" "-n 3 --shape 2,,2" \
		"-n 3 --shape 0" "-n 3 --shape 1,1,1,1,1,1,1,1" "-n 3 --dist squares" "-n 3 --dist moons --ref" \
		"-n 3 --shape 2 -l uniform:0" "-n 3 --shape 2 -l uniform:x" "-n 3 --shape 99999999,9999" "-n 3 --shape 2 extra" \
		"-n 9223372036854775807 -i 1 --shape 2"; do
		# shellcheck disable=SC2086
		run noisegen $args -o x
		assert_failure 2
		assert_output --partial noisegen
		[ ! -e x ]
	done
}

@test "a full disk is a failure" {
	run noisegen -n 1000 --shape 1000 -o /dev/full
	assert_failure 1
	assert_output --partial "No space left"
}
