#!/bin/bash
# shellcheck disable=SC2154 # build: by common.sh
# tests/gpu/bench.sh BUILD: training and sampling on the device in each precision, beside PyTorch where it is there.
set -u
# shellcheck source=tests/gpu/common.sh
. "$(dirname "$0")/common.sh"
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
rc=0
timeout 420 "$build/tests/bench_gpu" "$dir/own.json" || rc=$?
[ -s "$dir/own.json" ] || echo '[]' >"$dir/own.json"
echo '[]' >"$dir/torch.json"
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
		timeout 480 "$python" tests/gpu/torch_bench.py "$dir/torch.json" || echo "PyTorch: stopped with status $?"
		break
	fi
done
[ -s "$dir/torch.json" ] || echo '[]' >"$dir/torch.json"
printf '{%s,"rectdiff":%s,"torch":%s}\n' "$(machine)" "$(cat "$dir/own.json")" "$(cat "$dir/torch.json")" | record bench
exit $rc
