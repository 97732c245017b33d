#!/bin/bash
# shellcheck disable=SC2154 # build, library_path: by common.sh
# tests/gpu/bench.sh BUILD [own|torch]: training and sampling on the device in each precision, beside PyTorch where it is there; or
# one of the two alone, with a record of its own, where time is short. The record is written when the one is done and again when
# the other is.
set -u
# shellcheck source=tests/gpu/common.sh
. "$(dirname "$0")/common.sh"
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
about=$(machine)
only=${2:-}
rc=0

# of FILE: its array of rows. bench_gpu ends it when it ends; torch_bench.py writes it whole each time.
rows_of()
{
	local s
	s=$(cat "$1" 2>/dev/null)
	if [ -z "$s" ]; then s='['; fi
	if [ "${s: -1}" = ']' ]; then echo "$s"; else echo "$s]"; fi
}

record_all()
{
	printf '{%s,"rectdiff":%s,"torch":%s}\n' "$about" "$(rows_of "$dir/own.json")" "$(rows_of "$dir/torch.json")" | record "bench${only:+-$only}"
}

if [ "$only" != torch ]; then
	timeout 560 "$build/tests/bench_gpu" "$dir/own.json" || rc=$?
	record_all
fi
for python in python3 /usr/bin/python3; do
	[ "$only" = own ] && break
	if LD_LIBRARY_PATH=$library_path "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
		LD_LIBRARY_PATH=$library_path timeout 560 "$python" tests/gpu/torch_bench.py "$dir/torch.json" "$dir/own.json" ||
			echo "PyTorch: stopped with status $?"
		record_all
		break
	fi
done
echo "a record in tests/gpu-record"
exit $rc
