#!/bin/bash
# tests/gpu/bundle.sh BUILD FILE.tar.gz: what check.sh and bench.sh run, with the libraries it needs, for a machine that has a
# GPU, its driver and CUDA's libraries but none of this suite's. Unpacked there, the folder is their BUILD.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 BUILD FILE.tar.gz" >&2; exit 2; }
build=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/bin" "$dir/tests" "$dir/lib/rectdiff"

# The test programs that check.sh names, or whose names it begins.
mapfile -t tests < <(grep -o 'tests/test_[a-z_]*[a-z]' "$(dirname "$0")/check.sh" | sort -u |
	while read -r t; do ls "$build/$t"*; done)
for f in "$build"/bin/* "$build/tests/bench_gpu" "${tests[@]}" "$build"/lib/rectdiff/*.so; do
	case $f in
	*.o | *.d) ;;
	*) strip -o "$dir/${f#"$build"/}" "$f" ;;
	esac
done

# The C and C++ libraries are the machine's own; the plug-in's are CUDA's.
ldd "$dir"/bin/* "$dir"/tests/* | sed -n 's/^.* => \(\/[^ ]*\).*/\1/p' | sort -u |
	grep -Ev '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s)\.so' | while read -r lib; do
		cp -L "$lib" "$dir/lib/"
	done
tar -C "$dir" --sort=name --owner=0 --group=0 -czf "$2" .
echo "$2: $(($(stat -c %s "$2") >> 20)) MiB"
