#!/usr/bin/env bats
# pairpack: archives from streams and back, shards, every refusal and every exit status.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

setup()
{
	start
}

# pairs OUT [SEED COUNT]: a stream of pairs: noise of a seed, samples of eight Gaussians, labels.
pairs()
{
	local seed=${2:-5} n=${3:-600}
	noisegen -n "$n" -s "$seed" --shape 2 -l uniform:10 -o "$1.noise"
	tensorcat --to npy -n noise "$1.noise" -o "$1.n.npy"
	tensorcat --to npy -n label "$1.noise" -o "$1.l.npy"
	noisegen -n "$n" -s "$seed" --dist 8gaussians | tensorcat --to npy - -o "$1.s.npy"
	tensorcat --to frame -r pairs noise="$1.n.npy" sample="$1.s.npy" label="$1.l.npy" -o "$1"
}

@test "chunks of 256 in plain ustar, by rising index" {
	pairs p
	pairpack p -o a.tar
	run tar tf a.tar
	assert_output - <<-'END'
	__meta__
	00000000.noise.npy
	00000000.sample.npy
	00000000.label.npy
	00000256.noise.npy
	00000256.sample.npy
	00000256.label.npy
	00000512.noise.npy
	00000512.sample.npy
	00000512.label.npy
	__end__
	END
	tar xf a.tar
	run "$PYTHON" -c 'import numpy as np, json
a = np.concatenate([np.load(f"{i:08d}.noise.npy") for i in (0, 256, 512)])
print(a.shape, (a == np.load("p.n.npy")).all(), np.load("00000512.label.npy").dtype, json.load(open("__end__"))["samples"])'
	assert_output "(600, 2) True int32 600"
}

@test "the same bytes from a file and from a pipe, and again" {
	pairs p
	pairpack p -o a.tar
	pairpack <p >b.tar
	pairpack - <p | cmp - a.tar
	cmp a.tar b.tar
}

@test "-x gives the stream back, and packing that the archive" {
	pairs p
	pairpack -c 100 p -o a.tar
	pairpack -x a.tar -o q
	run frames q 'print(h["role"], h["fields"], len(f["noise"]), maps[1]["n"])'
	assert_output "pairs ['noise', 'sample', 'label'] 600 100"
	pairpack -x a.tar | pairpack -c 100 | cmp - a.tar
}

@test "archives of consecutive pairs merge into what packing all at once gives" {
	pairs p
	pairpack p --shard-pairs 250 -o 'p-%03d.tar'
	run ls p-000.tar p-001.tar p-002.tar
	assert_success
	pairpack -c 64 p -o whole.tar
	pairpack -x p-0*.tar | pairpack -c 64 | cmp - whole.tar
	pairpack -c 64 p-0*.tar | cmp - whole.tar
	run pairpack -o m.tar p-001.tar p-000.tar
	assert_failure 3
	assert_absent m.tar
}

@test "-c 1: one pair under each key" {
	pairs p 5 12
	pairpack -c 1 p -o a.tar
	run bash -c 'tar tf a.tar | grep -c sample'
	assert_output 12
	run bash -c 'tar tf a.tar | grep 00000011'
	assert_output "$(printf '00000011.%s.npy\n' noise sample label)"
}

@test "--noise ref stores seeds, and what comes back is the noise itself" {
	pairs p
	# The stream made of arrays names no seed: refused, though the noise has one.
	run pairpack --noise ref p -o a.tar
	assert_failure 3
	assert_output --partial "names no seed"
	assert_absent a.tar
	mlp m
	noisegen -n 300 -s 8 -m m | denoise -q -m m --steps 2 -o q
	noisegen -n 300 -s 8 -m m --ref | denoise -q -m m --steps 2 -o r
	pairpack --noise ref q -o a.tar
	pairpack --noise ref r | cmp - a.tar
	pairpack q -o data.tar
	pairpack --noise data a.tar | cmp - data.tar
	tensorcat --to npy -n noise q -o x.npy
	tensorcat --to npy -n noise a.tar | cmp - x.npy
	run pairpack -t a.tar
	assert_success
}

@test "-t lists and verifies" {
	pairs p
	pairpack p -o a.tar
	run pairpack -t -v --progress never a.tar
	assert_success
	assert_line "  00000256 256"
	assert_line "a.tar: 600 pairs in 3 chunks, indices 0 to 599: noise [2], sample [2], label"
	assert_line "audit: 600 pairs, nothing found"
	run pairpack -t p - <a.tar
	assert_failure 1
	assert_output --partial "600 noise vectors are there more than once"
}

@test "-t exits 1 on a finding" {
	pairs p
	tensorcat --to frame -r pairs noise=p.s.npy sample=p.n.npy -o swapped
	run pairpack -t swapped
	assert_failure 1
	assert_output --partial "audit: noise and sample look swapped"
	assert_output --partial "audit: FAILED"
	tensorcat --to frame -r pairs noise=p.n.npy sample=p.n.npy -o same
	run pairpack -t same
	assert_failure 1
	assert_output --partial "600 samples equal their noise"
	"$PYTHON" -c 'import numpy as np
n = np.load("p.n.npy"); n[17, 1] = np.nan; np.save("nan.npy", n)'
	tensorcat --to frame -r pairs noise=nan.npy sample=p.s.npy | pairpack -o nan.tar
	run pairpack -t nan.tar
	assert_failure 1
	assert_line "audit: 1 noise vectors hold NaN or infinities, the first is 17"
}

@test "a cut or a flipped bit: exit 3, and no output" {
	pairs p 5 40
	pairpack p -o a.tar
	size=$(stat -c %s a.tar)
	for cut in 0 100 512 1500 $((size / 2)) $((size - 1024)) $((size - 1)); do
		head -c "$cut" a.tar >cut.tar
		for mode in -t -x -c9; do
			run pairpack "$mode" cut.tar -o out
			assert_failure 3
			assert_output --partial "cut.tar"
			assert_absent out
		done
	done
	for cut in 0 100 512 700; do
		head -c "$cut" p >cut.rdf
		run pairpack cut.rdf -o out
		assert_failure 3
		assert_absent out
	done
	"$PYTHON" -c 'b = bytearray(open("a.tar", "rb").read()); b[1800] ^= 4; open("flip.tar", "wb").write(b)'
	run pairpack -t flip.tar
	assert_failure 3
	assert_output --partial "corrupt"
}

@test "a stream that is cut leaves the shards that are complete" {
	mlp m
	noisegen -n 250 --shape 2 -b 25 | denoise -q -m m --steps 1 -b 25 -o p
	head -c "$(($(stat -c %s p) - 3))" p >cut.rdf
	run pairpack --shard-pairs 100 -o 's-%d.tar' cut.rdf
	assert_failure 3
	assert_absent s-2
	run pairpack -t s-0.tar s-1.tar
	assert_success
	assert_output --partial "s-1.tar: 100 pairs in 1 chunk, indices 100 to 199"
}

@test "killed, it leaves the shards that are complete" {
	mlp m
	noisegen -n 250 --shape 2 -b 50 | denoise -q -m m --steps 1 -b 50 -o p
	mkfifo pipe
	pairpack --shard-pairs 100 -o 's-%d.tar' pipe &
	pid=$!
	exec 9>pipe
	head -c "$(($(stat -c %s p) - 1))" p >&9 # 250 pairs, without the end map
	await test -e s-1.tar
	kill -KILL "$pid"
	run wait "$pid"
	exec 9>&-
	run pairpack -t s-0.tar s-1.tar
	assert_success
	assert_output --partial "audit: 200 pairs, nothing found"
	[ ! -e s-2.tar ]
}

@test "shards take no other archive's place without -f; --first-shard goes on behind them" {
	mlp m
	noisegen -n 1500 --shape 2 | denoise -q -m m --steps 1 -o whole
	noisegen -n 600 --shape 2 | denoise -q -m m --steps 1 | pairpack --shard-pairs 300 -o 'p-%03d.tar'
	sha256sum p-*.tar >before
	noisegen -i 600 -n 900 --shape 2 | denoise -q -m m --steps 1 -o rest
	run -1 pairpack --shard-pairs 300 -o 'p-%03d.tar' rest
	assert_output "pairpack: p-000.tar: is there already (-f replaces it)"
	sha256sum -c --quiet before
	pairpack --shard-pairs 300 --first-shard 2 -o 'p-%03d.tar' rest
	sha256sum -c --quiet before
	pairpack p-*.tar | cmp - <(pairpack whole)
	rm p-003.tar
	run -1 pairpack --shard-pairs 300 --first-shard 3 -o 'p-%03d.tar' rest # the one behind it is there
	assert_output "pairpack: p-004.tar: is there already (-f replaces it)"
	pairpack --shard-pairs 300 -f -o 'p-%03d.tar' rest
	pairpack -x p-000.tar -o out
	frames out 'assert maps[1]["i"] == 600'
	run -2 pairpack --first-shard 2 -o a.tar rest
	assert_output --partial "--first-shard: of the archives that --shard-pairs makes"
}

@test "meta counts no pairs that are not there" {
	mlp m
	for i in 1 2 3; do noisegen -n 300 -S $i/3 --shape 2 | denoise -q -m m --steps 1 -o p$i; done
	noisegen -n 300 --shape 2 | denoise -q -m m --steps 1 -o p
	pairpack -o whole.tar p
	pairpack p1 p2 p3 | cmp - whole.tar
	pairpack -o a.tar p1
	pairpack -o b.tar p2
	pairpack -o c.tar p3
	pairpack a.tar b.tar c.tar | cmp - whole.tar
	for archives in "whole.tar" "a.tar b.tar c.tar"; do
		# shellcheck disable=SC2086
		pairpack -x $archives -o out
		frames out 'assert end["samples"] == 300 and "count" not in h["meta"] and h["meta"]["first"] == 0'
	done
	tensorcat --to frame -o out p1 p2
	frames out 'assert end["samples"] == 200 and "count" not in h["meta"]'
	tensorcat --to frame -o out p2
	frames out 'assert end["samples"] == h["meta"]["count"] == 100'
}

@test "limits that several archives were held to stay with each; a looser one changes none" {
	mlp m
	noisegen -n 40 --shape 2 | denoise -q -m m --steps 2 --error -o a
	noisegen -n 40 -i 40 --shape 2 | denoise -q -m m --steps 2 --error -o b
	pairpack -q --max-error 1e3 -o a.tar a
	pairpack -q --max-error 1e5 -o b.tar b
	pairpack -o ab.tar a.tar b.tar
	pairpack --max-error 1e4 -o limited.tar ab.tar
	tar xOf ab.tar __meta__ | grep -qF '"joined":[{"max_error":1000.0},{"max_error":100000.0}]'
	tar xOf limited.tar __meta__ | grep -qF '"joined":[{"max_error":1000.0},{"max_error":10000.0}]'
	run -0 pairpack -t limited.tar
	assert_line --partial "; 0 rejected"
	refute_output --partial "error over"
	pairpack -q --max-error 0 --rejects again -o none.tar ab.tar
	frames again 'assert "joined" not in h["meta"] and "max_error" not in h["meta"], h'
}

@test "rejects are of pairs made forward or in reverse, not of both" {
	mlp m
	noisegen -n 10 -s 5 --shape 2 | denoise -q -m m --steps 2 --error -o fw
	noisegen -n 10 -s 5 -i 10 --shape 2 | denoise -q -m m --steps 2 --error -o made
	denoise -q -m m --reverse --steps 2 --error -o rv made
	for pair in "fw rv" joined.tar; do
		# shellcheck disable=SC2086
		run -3 pairpack --max-error 0 --rejects rej -o out $pair
		assert_output "pairpack: ${pair%% *}: some pairs were made in reverse (reverse) and others not: what is left out of them (--rejects) \
is no one stream; pack them one by one"
		assert_absent rej out
		pairpack -q -o joined.tar fw rv
	done
	pairpack -q --max-error 0 -o out joined.tar
	for one in fw rv; do pairpack -q --max-error 0 --rejects rej-$one -o out.tar $one; done
	frames rej-fw 'assert h["role"] == "noise" and h["fields"] == ["noise"], h'
	frames rej-rv 'assert h["role"] == "data" and h["fields"] == ["sample"], h'
}

@test "--noise ref of several seeds, each of which is looked for among those that the inputs name" {
	mlp m
	noisegen -n 10 -s 5 --shape 2 | denoise -q -m m --steps 1 | pairpack --noise data -o a.tar
	noisegen -n 10 -s 6 -i 10 --shape 2 | denoise -q -m m --steps 1 | pairpack --noise data -o b.tar
	noisegen -n 10 -s 7 -i 20 --shape 2 | denoise -q -m m --steps 1 | pairpack --noise data -o c.tar
	pairpack -o joined.tar a.tar b.tar
	for inputs in "a.tar b.tar" joined.tar; do
		# shellcheck disable=SC2086
		pairpack --noise ref -o ref.tar $inputs
		pairpack -x ref.tar -o out
		frames out 'assert [m["ref"]["seed"] for m in refs] == [5, 6], refs'
		pairpack --noise data ref.tar | cmp - joined.tar
	done
	tensorcat --to npy -n noise c.tar -o n.npy
	tensorcat --to npy -n sample c.tar -o s.npy
	run -3 pairpack --noise ref -o out.tar joined.tar noise=n.npy sample=s.npy
	assert_output --partial "npy: the noise of sample 20 is of none of the 2 seeds that the inputs name: it must be stored as data"
	assert_absent out.tar
}

@test "named pipes are inputs like others, where they are written at the same time" {
	pairs p 5 3000
	mkfifo fa fb
	pairpack -o a.tar p
	for to in "tensorcat --to frame" "pairpack -x"; do
		cat a.tar >fa &
		cat a.tar >fb &
		$to fa fb -o out
		wait
		frames out 'assert end["samples"] == 6000'
	done
}

@test "all inputs are looked at before the first is read" {
	pairs p 5 100
	pairpack p -o a.tar
	tensorcat --to frame -r pairs noise=p.n.npy sample=p.s.npy -o q
	run -3 pairpack --shard-pairs 10 -o 's-%d.tar' p q
	assert_output "pairpack: q: has no field 'label', unlike p"
	assert_absent s-0.tar
	run -3 pairpack -o b.tar q a.tar
	assert_output "pairpack: a.tar: has a field 'label', unlike q"
	run -1 pairpack --shard-pairs 10 -o 's-%d.tar' p missing
	assert_absent s-0.tar
	run -2 pairpack -o b.tar - - <p
	assert_output "pairpack: standard input is read once: it is there twice"
	for i in $(seq 20); do cp a.tar "c$i.tar"; done
	run -0 bash -c 'ulimit -n 12; pairpack -x a.tar c*.tar -o out'
	frames out 'assert end["samples"] == 2100'
}

@test "inputs the wrong way round are named, and the way out" {
	mlp m
	noisegen -n 30 --shape 2 | denoise -q -m m --steps 1 -o a
	noisegen -n 30 -i 30 --shape 2 | denoise -q -m m --steps 1 -o b
	pairpack -o a.tar a
	for last in a a.tar; do
		run -3 pairpack -o out b $last
		assert_output --partial "pairpack: $last: sample 0 comes behind sample 59: indices rise in an archive; pack these by themselves"
		assert_absent out
	done
	pairpack -x b a.tar -o out
	run -3 pairpack -o out.tar out
	assert_output --partial "pairpack: out: sample 0 comes behind"
}

@test "no pairs at all is a finding" {
	mlp m
	noisegen -n 30 --shape 2 | denoise -q -m m --steps 1 --error -o a
	run -0 --separate-stderr pairpack --max-error 0 --rejects - -o none.tar a
	assert_equal "$stderr" "pairpack: 30 of 30 pairs left out, their error over 0 or not a number; what they were made from is on standard output"
	run -1 pairpack -t none.tar
	assert_line "noise   mean -  std -  kurtosis -  min -  max -"
	assert_line "audit: no pairs"
	assert_line "audit: FAILED, 1 finding in 0 pairs"
	pairpack -o all.tar a
	run -0 pairpack -t none.tar all.tar
	assert_line "audit: 30 pairs, nothing found"
}

@test "what is not pairs is refused" {
	noisegen -n 4 --shape 2 -o noise
	run pairpack noise
	assert_failure 3
	assert_output "pairpack: noise: holds noise, pairs expected"
	run pairpack /nonexistent
	assert_failure 1
	echo hello >text
	run pairpack text
	assert_failure 3
}

@test "usage errors exit 2" {
	for args in "-c 0" "-c x" "--shard-pairs 0" "--noise maybe" "-x -t" "-x -c 3" "-t --noise ref" "--nonsense"; do
		# shellcheck disable=SC2086
		run pairpack $args
		assert_failure 2
	done
	run pairpack --shard-pairs 10 -o plain.tar /dev/null
	assert_failure
	pairs p 5 10
	run pairpack --shard-pairs 10 -o plain.tar p
	assert_failure 2
	assert_output --partial "%06d"
	run pairpack --shard-pairs 10 p
	assert_failure 2
}

@test "help, version, and full disks" {
	run pairpack --help
	assert_success
	assert_output --partial "usage: pairpack"
	run pairpack -V
	assert_success
	assert_output --regexp '^pairpack \(rectdiff\) [0-9]'
	pairs p 5 10
	run bash -c 'pairpack p >/dev/full'
	assert_failure 1
	assert_output --partial "No space left"
	run pairpack -o /dev/full p
	assert_failure 1
	pairpack p -o a.tar
	run bash -c 'pairpack -x a.tar >/dev/full'
	assert_failure 1
	run bash -c 'pairpack -t a.tar >/dev/full'
	assert_failure 1
	run bash -c 'pairpack --help >/dev/full'
	assert_failure 1
}

@test "killed, it leaves nothing behind" {
	pairs p 5 100
	mkfifo pipe
	pairpack -o a.tar pipe &
	pid=$!
	exec 9>pipe
	head -c 700 p >&9
	await written '*a.tar*'
	kill -TERM "$pid"
	run wait "$pid"
	exec 9>&-
	assert_absent a.tar
}
