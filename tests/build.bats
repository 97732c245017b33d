#!/usr/bin/env bats
# What the Makefile and scripts/setup do with what a packager gives them. Nothing is compiled here.

setup()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	cd "$BATS_TEST_DIRNAME/.." || exit 1
	unset MAKEFLAGS MAKEOVERRIDES MFLAGS
	nvcc=()
	[ -e "$RD_BUILD/lib/rectdiff/rectdiff-cuda.so" ] || nvcc=(NVCC=)
}

@test "a name with a blank in it is refused before anything is done" {
	for v in B PREFIX bindir libdir mandir datadir; do
		run make -n "$v=$BATS_TEST_TMPDIR/a b" uninstall
		assert_failure
		assert_output --partial "$v='$BATS_TEST_TMPDIR/a b': a name with a blank in it"
		refute_output --partial "rm "
	done
	run make -n "DESTDIR=$BATS_TEST_TMPDIR/a b" uninstall
	assert_success
}

@test "install and uninstall leave nothing behind, into a folder with a blank in its name and without nvcc" {
	to="$BATS_TEST_TMPDIR/a b"
	make -s -o all "B=$RD_BUILD" "${nvcc[@]}" "DESTDIR=$to" PREFIX=/usr install
	[ -x "$to/usr/bin/rectrain" ]
	[ -r "$to/usr/share/man/man1/rectrain.1" ]
	[ -r "$to/usr/share/rectdiff/pipelines/rectify.mk" ]
	"$to/usr/bin/noisegen" -n 1 -m "$to/usr/share/rectdiff/models/fashion-ddpm" >/dev/null
	mkdir -p "$to/usr/lib/rectdiff"
	touch "$to/usr/lib/rectdiff/rectdiff-cuda.so" "$to/usr/lib/other.so"
	make -s NVCC= "DESTDIR=$to" PREFIX=/usr uninstall
	assert_equal "$(cd "$to" && find . -type f)" ./usr/lib/other.so
	[ ! -e "$to/usr/lib/rectdiff" ]
	[ ! -e "$to/usr/share/rectdiff" ]
}

@test "what names the folder of the plug-in is compiled again when another is named, and only then" {
	b=$BATS_TEST_TMPDIR/b
	mkdir -p "$b/kernels"
	made() { make -n -o ready "B=$b" NVCC= "libdir=$1" "$b/kernels/backend.o" | grep -o 'RD_PLUGIN_DIR=[^ ]*' || true; }

	make -s "B=$b" NVCC= libdir=/one "$b/plugindir"
	assert_equal "$(cat "$b/plugindir")" /one/rectdiff
	touch -d '1 hour ago' "$b/plugindir"
	assert_equal "$(made /one)" "RD_PLUGIN_DIR='\"/one/rectdiff\"'"
	touch "$b/kernels/backend.o"
	make -s "B=$b" NVCC= libdir=/one "$b/plugindir"
	[ "$b/kernels/backend.o" -nt "$b/plugindir" ]
	make -s "B=$b" NVCC= libdir=/two "$b/plugindir"
	assert_equal "$(cat "$b/plugindir")" /two/rectdiff
	[ "$b/plugindir" -nt "$b/kernels/backend.o" ]
}

@test "compilers may come with arguments" {
	CC="env cc" PKG_CONFIG="env pkg-config" run scripts/setup check build
	assert_success
	assert_output ""
	CC="no-such-compiler -O" run scripts/setup check build
	assert_failure
	assert_output --partial "a C compiler (no-such-compiler -O)"
}

@test "flags reach the compiler, and WERROR= takes the errors out of warnings" {
	said() { make -n -o ready "B=$BATS_TEST_TMPDIR/b" NVCC= V=1 "$@" "$BATS_TEST_TMPDIR/b/lib/base/size.o"; }

	run said CPPFLAGS=-DFOR_CPP CFLAGS=-DFOR_C CC="env cc"
	assert_output --partial "env cc -std=c11"
	assert_output --partial -DFOR_CPP
	assert_output --partial -DFOR_C
	assert_output --partial -Werror
	run said WERROR=
	assert_output --partial -Wextra
	refute_output --partial -Werror
}
