#!/usr/bin/env bats
# What users and their systems do to the tools: outputs in the way of other things, numbers that are none, options that
# mean nothing where they are, limits of the system, names that no one should have given.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common
load training

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	noisegen -n 20 --shape 2 -o noise
	denoise -m m --steps 1 -o pairs noise
	odesample -m m --steps 2 -n 4 --trajectory -o trajectory
	odesample -m m --steps 2 -n 4 -o samples
	"$PYTHON" - <<-'END'
	import numpy as np
	r = np.random.default_rng(1)
	x = r.standard_normal((20, 2)).astype("f4")
	np.save("x.npy", x)
	for name, v in ("nan", np.nan), ("inf", -np.inf), ("huge", 3e38):
	    y = x.copy()
	    y[7, 1] = v
	    np.save(f"{name}.npy", y)
	np.save("images.npy", r.standard_normal((12, 1, 8, 8)).astype("f4"))
	np.save("labels.npy", (np.arange(12) % 3).astype("i4"))
	END
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m
}

# refused STATUS TEXT COMMAND...: it must end so, with one line that has TEXT (and "try --help", where it has), and leave
# nothing called out.
refused()
{
	run "-$1" --separate-stderr timeout 60 "${@:3}"
	[ -z "$output" ] || fail "${*:3} prints: $output"
	[[ ${stderr_lines[0]} == "$3: "*"$2"* ]] || fail "${*:3} says: $stderr"
	[ "${#stderr_lines[@]}" -eq 1 ] || [ "${stderr_lines[*]:1}" = "$3: try --help" ] || fail "${*:3} says: $stderr"
}

# use TRAINER OPTIONS...: sets cmd to a short run of it.
use()
{
	case $1 in
	rectrain) cmd=(rectrain -q -m "$m" --steps 2 -b 2 "${@:2}" "$files/pairs") ;;
	classtrain)
		cmd=(classtrain -q --widths 8 --groups 2 --steps 2 -b 2 "${@:2}" sample="$files/images.npy" label="$files/labels.npy")
		;;
	esac
}

train()
{
	local cmd
	use rectrain "$@"
	"${cmd[@]}"
}

classify()
{
	local cmd
	use classtrain "$@"
	"${cmd[@]}"
}

@test "-f never puts a model in the place of a file, a fifo or a folder of something else" {
	local t cmd
	mkdir work # bats keeps files of its own one above
	cd work
	mkdir folder
	echo precious >folder/thesis
	echo precious >file
	mkfifo fifo
	for t in rectrain classtrain; do
		for o in file fifo; do
			use $t -f -o $o
			refused 1 "$o: is there already and is no folder" "${cmd[@]}"
		done
		use $t -f -o folder/
		refused 1 "is a folder of something else than a model" "${cmd[@]}"
		use $t -f -o ..
		refused 2 "..: an output folder is put in its place by its name" "${cmd[@]}"
		use $t -f -o /proc
		refused 1 "/proc" "${cmd[@]}"
		use $t -o folder
		refused 1 "is a folder of something else than a model" "${cmd[@]}"
	done
	[ -p fifo ]
	[ "$(cat file folder/thesis | xargs)" = "precious precious" ]
	assert_equal "$(find . -mindepth 1 | LC_ALL=C sort | xargs)" "./fifo ./file ./folder ./folder/thesis"
}

@test "-f replaces a model or an empty folder, through a link too, and the link stays" {
	mkdir empty real
	ln -s real link
	train -f -o empty
	train -f -o link
	[ -L link ]
	cmp empty/unet/diffusion_pytorch_model.safetensors real/unet/diffusion_pytorch_model.safetensors
	train -f -s 1 -o link/
	[ -L link ]
	run ! cmp empty/unet/diffusion_pytorch_model.safetensors real/unet/diffusion_pytorch_model.safetensors
	classify -o c
	classify -f -o c
	[ "$(find . -maxdepth 1 | LC_ALL=C sort | xargs)" = ". ./c ./empty ./link ./real" ]
}

@test "snapshots take no other folder's place" {
	local cmd
	mkdir out.1
	echo precious >out.1/thesis
	use rectrain --snapshot-every 1 -o out
	refused 1 "out.1: is a folder of something else than a model" "${cmd[@]}"
	[ "$(cat out.1/thesis)" = precious ]
	assert_absent out.ckpt
}

@test "snapshots of another run are replaced with -f only, and all that is in their way is told before the first step" {
	local cmd
	train -o out.6
	cp -r out.6 before
	use rectrain --snapshot-every 2 --steps 8 -s 3 -o out
	refused 1 "out.6: is there already (-f replaces it)" "${cmd[@]}"
	diff -r out.6 before
	assert_equal "$(echo out*)" out.6
	"${cmd[@]}" -f
	run ! diff -rq out.6 before
	assert_equal "$(echo out*)" "out out.2 out.4 out.6"
	rm -r out out.2 # what this very run made is its own
	"${cmd[@]}"
	assert_equal "$(echo out*)" "out out.2 out.4 out.6"
	use rectrain --snapshot-every 2 --steps 8 -s 3 -o long
	refused 2 "--log ./long.4: the run itself writes there" "${cmd[@]}" --log ./long.4
	ln -s nowhere long.4
	refused 1 "long.4: a link that leads nowhere" "${cmd[@]}" -f
}

@test "a log that cannot be written costs no steps" {
	local cmd
	use rectrain --steps 30 -o out --log-every 10
	run -1 "${cmd[@]}" --log /dev/full
	assert_output "rectrain: step 10 is done, and is in out.ckpt, from which rectrain goes on: /dev/full: No space left on device"
	run -0 "${cmd[@]}" --log log
	assert_equal "$(grep -oE 'step":[0-9]+' log | xargs -d '\n')" 'step":20 step":30'
	train --steps 30 -o straight
	cmp {out,straight}/unet/diffusion_pytorch_model.raw.safetensors
}

@test "what is in an output folder's way is told before the work, not after it" {
	local t cmd long
	long=$(printf 'a%.0s' {1..250})
	ln -s nowhere dangling
	echo >file
	for t in rectrain classtrain; do
		for o in nosuch/out file/out dangling "$long"; do
			use $t -o "$o" --steps 100000000
			refused 1 "$o" "${cmd[@]}"
		done
		use $t -o ""
		refused 2 "--output: the name is empty" "${cmd[@]}"
		use $t -o out --log -
		refused 2 "--log -" "${cmd[@]}"
	done
	use rectrain -o out --log out
	refused 2 "--log out: the run itself writes there" "${cmd[@]}"
	assert_absent out
}

@test "a log has no place in what the run replaces" {
	local t cmd f
	for t in rectrain classtrain; do
		use $t -o out
		"${cmd[@]}"
		ln -s out/log link
		ln -s "$PWD/out" there
		use $t -f -o ./out/ --steps 3
		for f in out out/log out/./log "$PWD/there/log" link there; do
			refused 2 "--log $f: the run itself writes there: ./out is replaced as a whole" "${cmd[@]}" --log "$f"
		done
		use $t -f -o there --steps 3
		refused 2 "--log out/log: the run itself writes there" "${cmd[@]}" --log out/log
		"${cmd[@]}" --log out.log
		[ -s out.log ]
		rm -r out out.log link there
		mkdir out
		use $t -f -o out
		refused 2 "--log out/log: the run itself writes there" "${cmd[@]}" --log out/log
		rmdir out
	done
	use rectrain -o out
	for f in ./out.ckpt out.lock; do
		refused 2 "--log $f: the run itself writes there" "${cmd[@]}" --log "$f"
	done
	assert_absent out
}

@test "a log takes the place of no other file, and without -f not of another run's log" {
	local t cmd
	for t in rectrain classtrain; do
		echo notes >log
		use $t -o out -f --log log --steps 100000000
		refused 1 "--log log: is there already and is no log of a training: it is not replaced" "${cmd[@]}"
		[ "$(cat log)" = notes ]
		rm log
		use $t -o "a.$t" --log log
		"${cmd[@]}"
		cp log before
		use $t -o out --seed 1 --log log --steps 100000000
		refused 1 "--log log: is the log of another run (-f replaces it)" "${cmd[@]}"
		cmp log before
		use $t -o "b.$t" --seed 1 --log log -f
		"${cmd[@]}"
		[ "$(wc -l <log)" -eq 1 ]
		run ! cmp -s log before
		rm log
	done
	assert_absent out
}

@test "a shell takes back the command line that a card records" {
	local cmd args=() out="it's \"an\" \$out' \\ * #1"
	use rectrain -o "$out" --log "'"
	"${cmd[@]}"
	eval "args=($(grep '^rectrain ' "$out/README.md"))"
	assert_equal "${args[*]@Q}" "${cmd[*]@Q}"
}

@test "two outputs under one name are refused, however it is spelt" {
	local n=$files/noise
	denoise -m "$m" --steps 1 --error -o with "$n"
	refused 2 "two outputs under one name" trajdump --csv out --json ./out "$files/trajectory"
	refused 2 "two outputs under one name" trajdump -o out --svg "$PWD/out" "$files/trajectory"
	refused 2 "two outputs under one name" pairpack --max-error 1 --rejects out -o out with
	refused 2 "two outputs under one name" odesample -m "$fashion" -n 1 --steps 1 -o out --png ./out
	refused 2 "only one output fits" odesample -m "$fashion" -n 1 --steps 1 -o - --png -
	assert_absent out
	# one and the same name in two folders is two
	mkdir a b
	trajdump --csv a/x --json b/x "$files/trajectory"
	[ -s a/x ]
	[ -s b/x ]
}

@test "options that nothing would make use of" {
	local p=$files/pairs t=$files/trajectory s=$files/samples
	refused 2 "--columns and --scale" odesample -m "$m" --columns 3
	refused 2 "--columns and --scale" odesample -m "$m" --scale 3
	refused 2 "--columns and --scale" tensorcat --columns 3 "$p"
	refused 2 "--columns and --scale" tensorcat --to npy --scale 2 "$p"
	refused 2 "--huber-c" rectrain -m "$m" -o out --huber-c 1e-3 "$p"
	refused 2 "--phase-steps" rectrain -m "$m" -o out --phase-steps 3 "$p"
	refused 2 "--log-every" rectrain -m "$m" -o out --log-every 3 "$p"
	refused 2 "--held-out-every" rectrain -m "$m" -o out --held-out-every 3 "$p"
	refused 2 "--log-every" classtrain -o out --log-every 3 "$files/images.npy"
	refused 2 "--projections" samplecmp --metric mmd --projections 3 "$s" "$s"
	refused 2 "--components" samplecmp --components 3 "$s" "$s"
	refused 2 "--neighbours" samplecmp --neighbours 3 "$s" "$s"
	refused 2 "--name" samplecmp --name x "$s" "$s"
	refused 2 "--range" trajdump --range 3 "$t"
	refused 2 "--max-plot" trajdump --max-plot 3 --json out "$t"
	refused 2 "--coords" trajdump --coords x --svg out --plot defect "$t"
	refused 2 "--axis" trajdump --axis n --svg out "$t"
	refused 2 "--plot" trajdump --plot defect "$t"
	refused 2 "null class 3" odesample -m "$m" --null-class 3 -n 1
	assert_absent out
}

@test "NaN and infinities in what is read: status 3, file, field and sample named" {
	local v
	for v in nan inf; do
		tensorcat --to frame -r noise noise="$files/$v.npy" -o "$v.noise"
		tensorcat --to frame -r pairs noise="$files/x.npy" sample="$files/$v.npy" -o "$v.pairs"
		tensorcat --to frame -r pairs noise="$files/$v.npy" sample="$files/x.npy" -o "$v.noises"
		refused 3 "$v.noise: field \`noise\` of sample 7 holds NaN or infinities" denoise -m "$m" -o out "$v.noise"
		refused 3 "$v.noise: field \`noise\` of sample 7 holds NaN or infinities" odesample -m "$m" -o out "$v.noise"
		refused 3 "$v.npy: field \`sample\` of sample 7" denoise --reverse -m "$m" -o out "$files/$v.npy"
		refused 3 "$v.pairs: field \`sample\` of sample 7" rectrain -m "$m" -o out "$v.pairs"
		refused 3 "$v.noises: field \`noise\` of sample 7" rectrain -m "$m" -o out "$v.noises"
		refused 3 "$v.npy: field \`sample\` of sample 7" rectrain -m "$m" -o out --coupling independent "$files/$v.npy"
		refused 3 "$v.npy: sample 7" samplecmp -o out "$files/$v.npy" "$files/x.npy"
	done
	refused 1 "the largest number is of size 3e+38" samplecmp --metric energy -o out "$files/huge.npy" "$files/x.npy"
	assert_absent out
}

@test "weights that hold NaN: status 3, file and tensor named" {
	cp -r "$m" broken
	"$PYTHON" -c 'import json, struct
p = "broken/unet/diffusion_pytorch_model.safetensors"
b = bytearray(open(p, "rb").read())
n = int.from_bytes(b[:8], "little")
at = json.loads(b[8:8 + n])["layers.1.weight"]["data_offsets"][0] if "layers.1.weight" in json.loads(b[8:8 + n]) else 0
b[8 + n + at + 8:8 + n + at + 12] = struct.pack("<f", float("nan"))
open(p, "wb").write(b)'
	local cmd
	for cmd in "denoise -m broken -o out $files/noise" "odesample -m broken -n 1 -o out" "rectrain -m broken -o out $files/pairs" \
		"tensorcat broken"; do
		# shellcheck disable=SC2086
		refused 3 "number 2 of it is NaN or infinite" $cmd
		[[ $stderr == *"broken/unet/diffusion_pytorch_model.safetensors: tensor "* ]]
	done
	assert_absent out
}

@test "samples that come out as NaN are told of and counted" {
	tensorcat --to frame -r noise noise="$files/huge.npy" -o huge
	run -0 --separate-stderr odesample -m "$m" --steps 25 -o out huge
	[ "$stderr" = "odesample: warning: 1 samples hold NaN or infinities, the first is 7" ]
	frames out 'assert end["meta"]["not_finite"] == 1 and not np.isfinite(f["sample"][7]).all()'
	odesample -m "$m" --steps 2 -n 3 -o good
	frames good 'assert "not_finite" not in end["meta"]'
}

@test "what is compressed is named so" {
	gzip -c "$files/noise" >noise.gz
	refused 3 "noise.gz: compressed by gzip" denoise -m "$m" -o out noise.gz
	printf '\x28\xb5\x2f\xfd whatever' >noise.zst
	refused 3 "noise.zst: is compressed (zstd)" denoise -m "$m" -o out noise.zst
	printf '\xfd7zXZ\0 whatever' >noise.xz
	refused 3 "noise.xz: is compressed (xz)" pairpack -o out noise.xz
	printf 'BZh91AY whatever' >noise.bz2
	refused 3 "noise.bz2: is compressed (bzip2)" tensorcat noise.bz2
}

@test "the limit of a file's size is a full disk: told, nothing left" {
	run -1 bash -c 'ulimit -f 16; noisegen -n 200000 --shape 2 -o out'
	assert_output "noisegen: out: File too large"
	run -1 bash -c 'ulimit -f 16; "$@"' - rectrain -q -m "$m" --steps 2 -b 2 --checkpoint-every 1 -o out "$files/pairs"
	assert_output "rectrain: out.ckpt: File too large"
	assert_absent out
}

@test "the limit of a process's seconds leaves no temporary file" {
	run -152 bash -c 'ulimit -c 0; ulimit -S -t 1; noisegen -n 9000000000 --shape 2 -o out'
	assert_absent out
}

@test "with standard streams closed, messages go nowhere, least of all into the output" {
	noisegen -n 10 --shape 2 -o want
	noisegen -v -n 10 --shape 2 -o out 2>&-
	cmp out want
	noisegen -v -n 10 --shape 2 -o out >&- 2>&- <&-
	cmp out want
	rm out
	odesample -m "$m" -n 4 --trajectory -o t
	run -1 bash -c 'trajdump --tsv - --json out t >&-'
	assert_absent out
	run -1 bash -c 'noisegen -n 10 --shape 2 >&-'
	assert_output "noisegen: standard output: Bad file descriptor"
	run -1 bash -c '"$@" <&-' - denoise -m "$m" -o out
	assert_output "denoise: standard input: Bad file descriptor"
}

@test "a message is one line, whatever a name holds" {
	local name=$'no\nsuch\x1b[2J\x7f%s%n'
	refused 1 'no?such?[2J?%s%n: No such file' denoise -m "$m" "$name"
	noisegen -n 2 --shape 2 -o "$name"
	denoise -m "$m" --steps 1 -o "$name.pairs" "$name"
	train -o "$name.m"
	odesample -m "$name.m" -n 3 --trajectory -o "$name.t"
	refused 2 "tabs and newlines" trajdump --tsv - "$name.t"
	refused 2 "tabs and newlines" samplecmp --tsv "$name.pairs" "$name.pairs"
	samplecmp "$name.pairs" "$name.pairs"
	trajdump --json - "$name.t" | "$PYTHON" -c 'import json, sys; assert json.load(sys.stdin)["name"].startswith("no\nsuch")'
}

# What JSON's integers do not hold is recorded as digits.
large_seeds()
{
	local cmd s=18446744073709551615
	use rectrain -o r -s $s
	"${cmd[@]}"
	metadata r/unet/diffusion_pytorch_model.safetensors "assert run['seed'] == '$s', run"
	use classtrain -o classifier -s $s
	"${cmd[@]}"
	metadata classifier/diffusion_pytorch_model.safetensors "assert run['seed'] == '$s', run"
}

@test "numbers as they are written: seeds are decimal, or hexadecimal and say so" {
	noisegen -n 2 --shape 2 -s 010 -o a
	noisegen -n 2 --shape 2 -s 10 -o b
	noisegen -n 2 --shape 2 -s 0xA -o c
	cmp a b
	cmp b c
	local v
	for v in "" 0x 10x 1e3 -1 18446744073709551616 "1 "; do
		refused 2 "--seed" noisegen -n 2 --shape 2 -s "$v"
	done
	large_seeds
	refused 2 "--shape 99999999,99999999,99999999" noisegen -n 1 --shape 99999999,99999999,99999999
	for v in nan inf -inf 1e309 "" 1x; do
		refused 2 "--lr" rectrain -m "$m" -o out --lr "$v" "$files/pairs"
		refused 2 "--guidance" denoise -m "$m" --guidance "$v" "$files/noise"
	done
}

@test "pairs whose ODE began where there is no noise, as they say, are refused" {
	noisegen -n 50 --shape 2 | denoise -m "$m" --steps 3 -o good.pairs
	"$PYTHON" -c 'import msgpack
maps = list(msgpack.Unpacker(open("good.pairs", "rb"), max_buffer_size=1 << 28))
def write(name, start):
    maps[0]["meta"]["start"] = start
    open(name, "wb").write(b"".join(map(msgpack.packb, maps)))
start = maps[0]["meta"]["start"]
write("same.pairs", dict(start))
write("0.pairs", start | {"sigma": 0.0})
write("1.pairs", start | {"alpha": 1.0, "sigma": 1e-9})
write("2.pairs", start | {"scale": -1.0})
write("3.pairs", start | {"alpha": "one"})
write("4.pairs", {})
write("5.pairs", [1, 0, 1])
write("none.pairs", None)'
	for i in 0 1 2 3 4 5; do
		refused 3 "$i.pairs: meta: start: alpha >= 0, sigma and scale > 0 expected" rectrain -m "$m" -o out "$i.pairs"
		assert_absent out
	done
	for i in good same none; do
		rectrain -q -m "$m" --steps 2 -b 8 -j 1 -o "of-$i" "$i.pairs"
	done
	cmp of-{good,same}/unet/diffusion_pytorch_model.safetensors
}
