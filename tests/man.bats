#!/usr/bin/env bats
# shellcheck disable=SC2154 # what start sets
# The pages say what the tools do: options, cross references, the reader in rdframe(5).
load common

setup() {
	start
	cd "$top" || return
}

tools() {
	local f
	for f in tools/*.c; do basename "$f" .c; done
}

# Long options, one a line, of a tool's help and of its page.
help_options() { "$1" --help | grep -E '^ +-' | grep -oE -e '--[a-z0-9][a-z0-9-]*' | sort -u; }
page_options() { sed -n 's/^\.It Fl//p' "man/$1.1" | grep -oE ' -[a-z0-9][a-z0-9-]*' | sed 's/^ -/--/' | sort -u; }

short_help_options() { "$1" --help | grep -E '^ +-' | grep -oE '(^|[ (])-[A-Za-z]( |,|$)' | grep -oE '[A-Za-z]' | sort -u; }
short_page_options() { sed -nE 's/^\.It Fl ([A-Za-z])( .*|$)/\1/p' "man/$1.1" | sort -u; }

@test "every tool has a page, and every page of section 1 a tool" {
	diff <(tools) <(for f in man/*.1; do basename "$f" .1; done)
}

@test "a page lists the long options that --help lists, and no others" {
	local t
	for t in $(tools); do
		run diff <(help_options "$t") <(page_options "$t")
		assert_success
	done
}

@test "a page lists the short options that --help lists, and no others" {
	local t
	for t in $(tools); do
		run diff <(short_help_options "$t") <(short_page_options "$t")
		assert_success
	done
}

# mandoc forgives what groff, which most man commands use, loses without a word: a reference with an author called Li, a wide table.
@test "groff finds nothing to warn of at 80 columns" {
	command -v groff >/dev/null || skip "no groff"
	local f
	for f in man/*.[157]; do
		[ -z "$(groff -Tutf8 -mdoc -rLL=78n "$f" 2>&1 >/dev/null)" ] || fail "$f"
	done
}

@test "pages of tools that join inputs say that all are opened first" {
	for t in classtrain pairpack rectrain tensorcat; do
		tr '\n' ' ' <"man/$t.1" | grep -q "opened before the first is read" || fail "man/$t.1"
	done
}

@test "cross references lead to pages that are there" {
	local name section
	while read -r name section; do
		[ -e "man/$name.$section" ] || fail "man/$name.$section: referenced, not there"
	done < <(sed -nE 's/^\.(It )?Xr ([a-z]+) ([157]).*/\2 \3/p' man/*.[157] | sort -u)
}

# With the sampler's own seed, 0, a result would be looked at on the noise that it was trained on.
@test "examples that make pairs name a seed other than 0" {
	run bash -c 'grep -nE "noisegen .*-m " man/*.[157] README.md | grep -v -e "-s [1-9]"'
	assert_output ""
}

@test "the Python reader in rdframe(5) reads a stream" {
	"$PYTHON" -c 'import msgpack, numpy' || skip "no python3 with msgpack and numpy"
	noisegen -n 1000 --shape 3,4 -s 7 -b 300 -o "$BATS_TEST_TMPDIR/stream"
	tensorcat --to npy -n noise "$BATS_TEST_TMPDIR/stream" >"$BATS_TEST_TMPDIR/noise.npy"
	"$PYTHON" tests/read_frame.py noise "$BATS_TEST_TMPDIR/noise.npy" <"$BATS_TEST_TMPDIR/stream"
}

@test "the Python reader in rdframe(5) notices a cut, also between two frames" {
	"$PYTHON" -c 'import msgpack, numpy' || skip "no python3 with msgpack and numpy"
	local full cut
	noisegen -n 1000 --shape 3,4 -b 300 -o "$BATS_TEST_TMPDIR/stream"
	full=$(stat -c %s "$BATS_TEST_TMPDIR/stream")
	for cut in $((full - 1)) $((full - 13)) $((full - 40)) 1000; do
		run "$PYTHON" tests/read_frame.py noise /dev/null < <(head -c "$cut" "$BATS_TEST_TMPDIR/stream")
		assert_failure
		assert_output --partial "no end map"
	done
}
