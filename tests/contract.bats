#!/usr/bin/env bats
# What every tool does alike: help, exit statuses, terminals, pipes, full disks, and inputs that are cut or damaged.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

# The streams that the tests cut and damage, two samples each and with next to no meta, and a model that reads them.
setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m
	noisegen -n 2 --shape 2 -o noise
	denoise -m m --steps 1 -o pairs noise
	odesample -m m --steps 1 -o samples noise
	odesample -m m --steps 1 --trajectory -o trajectory noise
	"$PYTHON" - noise pairs samples trajectory <<-'EOF'
	import os
	import sys
	import msgpack
	for role in sys.argv[1:]:
	    u = msgpack.Unpacker(open(role, "rb"))
	    head = next(u)
	    head["meta"] = {k: v for k, v in head["meta"].items() if k == "grid"}
	    data = msgpack.packb(head) + open(role, "rb").read()[u.tell():]
	    open(role, "wb").write(data)
	    os.mkdir(f"cut-{role}")
	    for n in range(len(data)):
	        open(f"cut-{role}/{n:04}", "wb").write(data[:n])
	    at, bad = data.index(b"\xa4data\xc4") + 7, bytearray(data)
	    bad[at] ^= 1
	    open(f"flipped-{role}", "wb").write(bad)
	EOF
}

@test "an unknown option is named once" {
	for tool in "$RD_BUILD"/bin/*; do
		run -2 "$tool" --nonsense
		assert_equal "${#lines[@]}" 2
		assert_line --index 0 --partial nonsense
		assert_line --index 1 "$(basename "$tool"): try --help"
	done
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
	m=$files/m
}

# Nothing runs on after a test that failed.
teardown()
{
	local pid
	for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
}

tools()
{
	local t
	for t in "$RD_BUILD"/bin/*; do basename "$t"; done
}

# reading TOOL OUT: sets cmd to a use of TOOL that reads a stream on standard input and writes the file or folder OUT.
reading()
{
	case $1 in
	denoise) cmd=(denoise -m "$m" --steps 1 -o "$2") ;;
	odesample) cmd=(odesample -m "$m" --steps 1 -o "$2" -) ;;
	pairpack) cmd=(pairpack -o "$2") ;;
	trajdump) cmd=(trajdump -o "$2") ;;
	tensorcat) cmd=(tensorcat --to frame -o "$2" -) ;;
	samplecmp) cmd=(samplecmp -o "$2" - "$files/samples") ;;
	rectrain) cmd=(rectrain -q -m "$m" --steps 1 -b 1 -o "$2" -) ;;
	esac
}

reads()
{
	local cmd
	reading "$@"
	"${cmd[@]}"
}

role_of()
{
	case $1 in
	denoise | odesample | tensorcat) echo noise ;;
	pairpack | rectrain) echo pairs ;;
	trajdump) echo trajectory ;;
	samplecmp) echo samples ;;
	esac
}

# The tools that read streams, as far as they are there.
readers()
{
	local t
	for t in $(tools); do
		[ -z "$(role_of "$t")" ] || echo "$t"
	done
}

# Options in a page's synopsis: ".Op Fl -steps Ar k", ".Op Fl fhq".
synopsis()
{
	awk '/^\.Sh/ { on = /SYNOPSIS/ } on' "$top/man/$1.1" | grep -oE '\<Fl [^ ]+' | while read -r _ word; do
		case $word in
		-*) echo "-$word" ;;
		*) grep -o . <<<"$word" | sed 's/^/-/' ;;
		esac
	done | sort -u
}

@test "--help names every option of the synopsis, on standard output" {
	local t option
	for t in $(tools); do
		run -0 --separate-stderr "$t" --help
		[ -z "$stderr" ]
		[ -n "$(synopsis "$t")" ] || fail "$t: no synopsis"
		for option in $(synopsis "$t"); do
			grep -qE -e "(^|[ (|,[])$option([] =,|[)]|\$)" <<<"$output" || fail "$t --help: no $option"
		done
		run -0 "$t" -h
		assert_line --index 0 --partial "usage: $t"
	done
}

@test "--version names the tool and one version for all" {
	local t
	for t in $(tools); do
		run -0 --separate-stderr "$t" --version
		[ -z "$stderr" ]
		assert_output --regexp "^$t \(rectdiff\) [0-9]+\.[0-9]+\.[0-9]+$"
		echo "${output##* }"
	done | sort -u >versions
	[ "$(wc -l <versions)" -eq 1 ]
}

@test "an unknown option or a number that is none: status 2, told on standard error" {
	local t args
	for t in $(tools); do
		for args in --no-such-option -% "-j x" "-j -1" "--progress sometimes" "-j"; do
			# shellcheck disable=SC2086
			run -2 --separate-stderr "$t" $args
			[ -z "$output" ]
			[[ $stderr == "$t: "* ]] || fail "$t $args says: $stderr"
		done
	done
}

# to_full_disk COMMAND...: it must fail on a full standard output.
to_full_disk()
{
	# shellcheck disable=SC2016 # for the inner shell
	run -1 --separate-stderr bash -c '"$@" >/dev/full' - "$@"
	[ "$stderr" = "$1: standard output: No space left on device" ] || fail "$* says: $stderr"
}

@test "a full disk is a failure that is told" {
	local t
	for t in $(tools); do
		to_full_disk "$t" --help
		to_full_disk "$t" --version
	done
	to_full_disk noisegen -n 1 --shape 2
	to_full_disk denoise -m "$m" "$files/noise"
	to_full_disk odesample -m "$m" -n 1
	to_full_disk pairpack "$files/pairs"
	to_full_disk trajdump "$files/trajectory"
	to_full_disk tensorcat "$files/pairs"
	to_full_disk tensorcat --to frame "$files/pairs"
	to_full_disk samplecmp "$files/samples" "$files/samples"
}

@test "a reader that has gone ends a tool without a word" {
	local cmd
	noisegen -n 200000 --shape 2 -o noise
	denoise -m "$m" --steps 1 -b 4096 -o pairs noise
	pairpack -o pairs.tar pairs
	odesample -m "$m" --steps 3 --trajectory -o trajectory -n 20000
	for cmd in "noisegen -n 200000 --shape 2" "denoise -m $m --steps 1 -b 4096 noise" \
		"odesample -m $m -n 200000 --steps 1 -b 4096" "pairpack pairs" "pairpack -x pairs.tar" "tensorcat --to frame pairs" \
		"tensorcat --to csv pairs" "tensorcat --to npy -n sample pairs" "trajdump --csv - trajectory"; do
		{
			rc=0
			# shellcheck disable=SC2086
			env --default-signal=PIPE $cmd 2>err || rc=$?
			echo $rc >rc
		} 2>/dev/null | head -c 10 >/dev/null
		[ "$(cat rc)" -eq 141 ] || fail "$cmd: status $(cat rc)"
		[ ! -s err ] || fail "$cmd says: $(cat err)"
	done
}

@test "binary data goes to a terminal only with -f" {
	command -v script >/dev/null || skip "script(1) is not there"
	script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no terminal can be made here"
	local cmd
	# A terminal of its own for the command; what it prints there is the output.
	on_terminal() { SHELL=/bin/bash script -qec "$1" /dev/null </dev/null; }
	for cmd in "noisegen -n 1 --shape 2" "denoise -m $m $files/noise" "odesample -m $m -n 1" "pairpack $files/pairs" \
		"tensorcat --to frame $files/pairs" "tensorcat --to npy -n sample $files/pairs"; do
		run -2 on_terminal "$cmd"
		assert_output --partial "${cmd%% *}: standard output: is a terminal"
		run -0 on_terminal "$cmd -f"
		refute_output --partial "is a terminal"
	done
	run -2 on_terminal "odesample -m $BATS_TEST_DIRNAME/golden/cifar-like/model -n 1 --steps 2 --png -"
	assert_output --partial "standard output: is a terminal"
	run -0 on_terminal "odesample -m $BATS_TEST_DIRNAME/golden/cifar-like/model -n 1 --steps 2 -f --png -"
	refute_output --partial "is a terminal"
	run -0 on_terminal "tensorcat $files/pairs"
}

@test "a tool that does well says nothing on standard error" {
	local t
	for t in $(readers); do
		reads "$t" "$t.out" <"$files/$(role_of "$t")" 2>err
		[ -e "$t.out" ]
		[ ! -s err ] || fail "$t says: $(cat err)"
	done
}

# cut_anywhere TOOL: prints the first of TOOL's streams, each cut at another byte, that it does not refuse as it should.
cut_anywhere()
{
	local cut rc line
	mkdir "$1.dir"
	cd "$1.dir" || return
	for cut in "$files/cut-$(role_of "$1")"/*; do
		rc=0 line=
		reads "$1" out <"$cut" 2>err || rc=$?
		read -r line <err || true
		if [[ $rc -ne 3 || -e out || $line != "$1: "* ]]; then
			echo "$1 of ${cut##*/} bytes: status $rc, '$line'"
			return
		fi
	done
	find . -name '*out*'
}

@test "a stream cut at any byte: status 3, a message, no output" {
	local t
	for t in $(readers); do
		cut_anywhere "$t" >"$t.complaint" 2>&1 3>&- &
	done
	wait
	for t in $(readers); do
		run cat "$t.complaint"
		assert_output ""
	done
}

@test "an archive cut at any block: status 3, no output" {
	local n
	pairpack -o pairs.tar "$files/pairs"
	for ((n = 0; n < $(stat -c %s pairs.tar); n += 512)); do
		head -c "$n" pairs.tar >short
		run -3 pairpack -x -o out short
		run -3 rectrain -q -m "$m" --steps 1 -b 1 -o out short
		assert_absent out
	done
}

@test "a flipped bit of the data: status 3, told, no output" {
	local t
	for t in $(readers); do
		run -3 reads "$t" out <"$files/flipped-$(role_of "$t")"
		assert_output --partial checksum
		assert_absent out
	done
}

@test "a stream of another role is refused, both roles named" {
	local t
	for t in denoise odesample pairpack trajdump rectrain; do
		for role in noise pairs samples trajectory; do
			[ "$role" != "$(role_of "$t")" ] || continue
			run -3 reads "$t" out <"$files/$role"
			assert_output --partial "holds $role"
			assert_output --partial "$(role_of "$t") expected"
			assert_absent out
		done
	done
}

@test "a file that is there stays as it was until the new one is whole" {
	local t
	noisegen -n 5000 --shape 2 -o noise
	denoise -m "$m" --steps 1 -o pairs noise
	odesample -m "$m" --steps 1 -o samples noise
	odesample -m "$m" --steps 1 --trajectory -o trajectory noise
	for t in $(readers); do
		[ "$t" != rectrain ] || continue
		echo old >out
		run -3 reads "$t" out < <(head -c -20 "$(role_of "$t")")
		[ "$(cat out)" = old ] || fail "$t wrote over it"
		[ "$(find . -name '*out*')" = ./out ] || fail "$t left $(find . -name '*out*')"
	done
}

@test "a signal leaves no temporary file and ends the tool as signals do" {
	local t sig pid rc cmd
	noisegen -n 5000 --shape 2 -o noise
	for t in denoise odesample tensorcat; do
		for sig in TERM HUP USR1 USR2 ALRM; do
			mkfifo "$t.$sig"
			reading "$t" "$t.out"
			"${cmd[@]}" <"$t.$sig" 3>&- &
			pid=$!
			exec 9>"$t.$sig"
			head -c 20000 noise >&9
			await written ".$t.out.*"
			kill -"$sig" "$pid"
			rc=0
			wait "$pid" || rc=$?
			exec 9>&-
			[ "$rc" -eq $((128 + $(kill -l "$sig"))) ] || fail "$t: status $rc"
			assert_absent "$t.out"
		done
	done
}

# spins VARIABLE...: how long threads spin in a tool that has these in its environment, once it reads its input.
spins()
{
	local pid
	env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$@" tensorcat - <fifo >/dev/null &
	pid=$!
	exec 8>fifo
	sleep 0.3
	tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^GOMP_SPINCOUNT=//p'
	exec 8>&-
	wait "$pid" || true
}

@test "threads do not spin for long while they wait, unless the environment says how they are to wait" {
	mkfifo fifo
	run spins
	assert_line --index 0 1000
	run spins GOMP_SPINCOUNT=7
	assert_line --index 0 7
	run spins OMP_WAIT_POLICY=active
	refute_line --regexp '^[0-9]+$'
}

@test "the second start that this takes changes no name, and what runs a tool goes on running it" {
	local pid
	mkfifo fifo
	env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT tensorcat - <fifo >/dev/null &
	pid=$!
	exec 8>fifo
	sleep 0.3
	run cat "/proc/$pid/comm"
	exec 8>&-
	wait "$pid" || true
	assert_output tensorcat
	run env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$(sed -n 's/.*interpreter: \(.*\)]/\1/p' <(readelf -l "$RD_BUILD/bin/noisegen"))" \
		"$RD_BUILD/bin/noisegen" -n 2 --shape 2 -o x
	assert_success
	tensorcat x >/dev/null
}

# writing OUT: starts a tool that writes OUT until it is killed, and sets pid.
writing()
{
	mkfifo fifo
	denoise -q -m "$m" --steps 1 -o "$1" fifo 3>&- &
	pid=$!
	exec 9>fifo
	head -c 200000 noise >&9
	await written ".$1.*.$pid.*"
	rm fifo
}

@test "what a killed tool left goes when its output is written the next time, and what another is writing stays" {
	local pid killed rc=0
	noisegen -n 50000 --shape 2 -o noise
	writing out
	killed=$pid
	kill -KILL "$pid"
	wait "$pid" || rc=$?
	exec 9>&-
	assert_equal "$rc" 137
	[ -n "$(find . -name ".out.*.$killed.*.tmp")" ]
	writing out
	assert_equal "$(find . -name '.out.*')" "$(find . -name ".out.*.$pid.*.tmp")" # the live one alone
	noisegen -n 5 --shape 2 -o out
	assert_equal "$(find . -name '.out.*')" "$(find . -name ".out.*.$pid.*.tmp")"
	[ -n "$(find . -name '.out.*')" ]
	tail -c +200001 noise >&9
	exec 9>&-
	wait "$pid"
	assert_equal "$(find . -name '*out*')" ./out
	tensorcat out >/dev/null
}
