#!/usr/bin/env bats
# Folders of .png files as data.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

# Pictures 4 x 6 by an encoder of our own: cat/3.png, cat/4.png, cat/5.PNG, dog/1.png, dog/2.png; pixels.npy has them in this order.
setup()
{
	start
	mkdir -p set/cat set/dog
	"$PYTHON" - <<-'EOF'
	import struct, zlib
	import numpy as np

	def png(path, a, bits=8, more=b""):
	    kind = {1: 0, 3: 2, 4: 6}[a.shape[2]]
	    def chunk(t, d):
	        return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
	    rows = b"".join(b"\0" + row.tobytes() for row in a)
	    head = struct.pack(">IIBBBBB", a.shape[1], a.shape[0], bits, kind, 0, 0, 0)
	    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

	x = np.random.default_rng(1).integers(0, 256, (5, 4, 6, 3), dtype="u1")
	for name, a in zip(("cat/3.png", "cat/4.png", "cat/5.PNG", "dog/1.png", "dog/2.png"), x):
	    png("set/" + name, a)
	np.save("pixels.npy", x)
	png("grey.png", x[0, :, :, :1])
	png("clear.png", np.concatenate((x[0], x[0, :, :, :1]), 2))
	png("deep.png", np.zeros((4, 6, 3), ">u2"), 16)
	png("linear.png", np.arange(24, dtype="u1").reshape(4, 6, 1) * 11, more=struct.pack(">I4sI", 4, b"gAMA", 100000) +
	    struct.pack(">I", zlib.crc32(b"gAMA" + struct.pack(">I", 100000))))
	png("square.png", np.tile(x[0, :2, :2], (4, 4, 1)))
	EOF
}

@test "a folder for each class: pixels, channels first, labels, the names of the classes" {
	tensorcat --to frame set -o all
	frames all 'x = np.load("pixels.npy").transpose(0, 3, 1, 2)
close(f["sample"], x / 127.5 - 1, 1e-7)
print(*f["label"], *h["meta"]["class_names"])'
	run frames all 'print(*f["label"], *h["meta"]["class_names"])'
	assert_output "0 0 0 1 1 cat dog"
	run tensorcat set/dog
	assert_line --index 0 "set/dog: data, 2 samples from index 0"
	refute_output --partial "label"
	run tensorcat --to npy -n sample set/cat set/dog -o both.npy
	assert_success
	tensorcat --to npy -n sample set | cmp - both.npy
}

@test "what the other tools make of them" {
	run samplecmp --metric paired set set
	assert_output --regexp '^paired 0 '
	run samplecmp --metric paired set set/cat
	assert_failure
	mkdir grey
	cp grey.png grey/a.png
	run tensorcat --to png grey -o again.png
	assert_success
}

@test "refused by name: other sizes and kinds, files beside folders, what is no picture" {
	cp grey.png set/dog/3.png
	run -3 tensorcat set
	assert_output --partial "set/dog/3.png: is [1, 4, 6] (channels, height, width), but set/cat/3.png is [3, 4, 6]"
	cp clear.png set/dog/3.png
	run -3 tensorcat set
	assert_output --partial "set/dog/3.png: has transparency"
	cp deep.png set/dog/3.png
	run -3 tensorcat set
	assert_output --partial "set/dog/3.png: has 16 bits a channel"
	head -c 60 set/dog/1.png >set/dog/3.png
	run -3 tensorcat set
	assert_output --partial "set/dog/3.png: png: "
	mv set/dog/3.png set/dog/3.jpg
	run -3 tensorcat set
	assert_output --partial "set/dog/3.jpg: of pictures only .png are read"
	rm set/dog/3.jpg
	cp grey.png set
	run -3 tensorcat set
	assert_output --partial "set: pictures beside folders of pictures"
	rm set/grey.png
	mkfifo set/dog/4.png
	run -3 timeout 20 tensorcat set # opened, it would wait for a writer
	assert_output --partial "set/dog/4.png: not a file, as a picture is"
	rm set/dog/4.png
	mkdir set/dog/4.png
	run -3 tensorcat set
	assert_output --partial "set/dog/4.png: not a file, as a picture is"
	rmdir set/dog/4.png
	ln -s nowhere set/dog/4.png
	run -1 tensorcat set
	assert_output --partial "set/dog/4.png: No such file"
	rm set/dog/4.png
	mkdir set/eel none
	run -3 tensorcat set
	assert_output --partial "set/eel: a class without .png files"
	run -3 samplecmp none set
	assert_output --partial "none: a folder without .png files"
}

@test "folders named by numbers: these are the labels" {
	mv set/cat set/10
	mv set/dog set/2
	tensorcat --to frame set -o all
	run frames all 'print(*f["label"], h["meta"].get("class_names"))'
	assert_output "10 10 10 2 2 None"
	mv set/2 set/02 # one name that is none: all are names
	tensorcat --to frame set -o all -f
	run frames all 'print(*f["label"], *h["meta"]["class_names"])'
	assert_output "0 0 1 1 1 02 10"
	mv set/02 set/2147483647
	run tensorcat --to csv -n label set
	assert_output --partial 2147483647
	refute_output --partial "class_names"
	mv set/2147483647 set/4294967297
	tensorcat --to frame set -o all -f
	run frames all 'print(*f["label"], *h["meta"]["class_names"])'
	assert_output "0 0 0 1 1 10 4294967297"
}

@test "a listing that the system breaks off is no shorter listing" {
	strace -o log true || skip "no strace here"
	local w said=0
	for w in {1..14}; do
		run strace -o log -e trace=getdents64 -e "inject=getdents64:error=EIO:when=$w" tensorcat set
		[ "$status" -ne 0 ] || assert_line --index 0 "set: data, 5 samples from index 0"
		[[ $output != *"set/cat: Input/output error"* ]] || said=1
	done
	[ $said -eq 1 ]
}

@test "a class's name that is not UTF-8 is refused" {
	cp -r set/cat $'set/\xff'
	run -3 tensorcat set
	assert_output --partial ": the name of a class, but not UTF-8"
}

@test "folders of other classes do not join, in any place; nor do they test a classifier" {
	cp -r set more
	tensorcat --to frame -n label set more -o both
	mv more/dog more/eel
	run -3 tensorcat --to frame set more -o out
	assert_output "tensorcat: more: its classes (class_names) are not those of set"
	tensorcat --to frame set -o all
	run -3 tensorcat --to frame all more -o out
	assert_output --partial "more: its classes (class_names) are not those of all"
	mkdir numbers
	cp -r set/cat numbers/0
	run -3 tensorcat --to frame numbers set more -o out
	assert_output --partial "more: its classes (class_names) are not those of set"
	assert_absent out
	for k in a/cat a/dog b/cat b/eel; do
		mkdir -p $k
		cp square.png $k
	done
	small=(--widths 8 --groups 4 --steps 2 -b 2 --warmup 1 -j 1)
	run -3 classtrain -q -o out "${small[@]}" --test b a
	assert_output "classtrain: --test b: its classes (class_names) are not those of a"
	assert_absent out
	classtrain -q -o out "${small[@]}" --test a a
}

@test "a gAMA chunk: what is linear light becomes sRGB" {
	mkdir one
	cp linear.png one
	tensorcat --to npy -n sample one -o one.npy
	"$PYTHON" -c 'import numpy as np
v = np.arange(24) * 11 / 255
want = np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)
have = (np.load("one.npy").ravel() + 1) / 2
assert abs(want - v).max() > 50 / 255 and abs(have - want).max() < 3 / 255 # libpng rounds twice'
}

@test "a model with a picture beside it is a model" {
	cp -r "$cifar" model
	cp grey.png model/unet
	cp grey.png model
	run tensorcat model
	assert_line --index 0 "model: model"
}
