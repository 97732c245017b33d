#!/bin/bash
# tests/gpu/check.sh BUILD [NAME...]: what only a device can show. Each check has a time limit of its own, a failure does not
# end the others, and the record is written after each. Exit status 1 where a check failed or no device answered.
# NAME: the checks that match it alone ('kernels*'), with a record of their own: parts of the whole, where time is short.
set -u
# shellcheck source=tests/gpu/common.sh
. "$(dirname "$0")/common.sh"
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
export RD_BUILD="$build" RD_TEST_DEVICE=cuda
shift
failed=0 rows='' names=("$@")
about=$(machine)
kind=check$(printf -- '-%s' ${names[@]+"${names[@]}"} | tr -cs 'A-Za-z0-9\n' - | sed 's/-*$//')

# wanted NAME
wanted()
{
	local n
	[ ${#names[@]} -gt 0 ] || return 0
	for n in "${names[@]}"; do
		# shellcheck disable=SC2053 # a pattern
		if [[ $1 == $n ]]; then return 0; fi
	done
	return 1
}

# check NAME SECONDS COMMAND...
check()
{
	local name=$1 limit=$2 from=$SECONDS rc=0
	wanted "$name" || return 0
	shift 2
	timeout "$limit" "$@" >"$dir/log" 2>&1 </dev/null || rc=$?
	if [ $rc -eq 0 ]; then
		printf 'ok    %-28s %3d s  %s\n' "$name" $((SECONDS - from)) "$(tail -n 1 "$dir/log")"
	else
		failed=$((failed + 1))
		printf 'FAIL  %-28s %3d s  (exit status %d)\n' "$name" $((SECONDS - from)) $rc
		tail -n 25 "$dir/log" | cut -c 1-300 | sed 's/^/      /'
	fi
	rows+=${rows:+,}$(printf '{"name":%s,"ok":%s,"seconds":%d,"last":%s}' "$(quoted "$name")" \
		"$([ $rc -eq 0 ] && echo true || echo false)" $((SECONDS - from)) "$(quoted "$(tail -n 1 "$dir/log" | cut -c 1-300)")")
	printf '{%s,"failed":%d,"checks":[%s]}\n' "$about" $failed "$rows" | record "$kind"
}

in_precision() { RD_TEST_PRECISION=$1 "${@:2}"; }

# The same samples from the same noise: the farthest number apart, and the bound that it must keep.
apart()
{
	paste -d , "$1" "$2" | awk -F , -v bound="$3" '
		{ n = NF / 2; for (i = 1; i <= n; i++) { d = $i - $(i + n); d = d < 0 ? -d : d; if (d > worst) worst = d } }
		END { printf "%d rows, %g apart, %g allowed\n", NR, worst, bound; exit !(NR && worst <= bound) }'
}

noise()
{
	[ -e "$dir/noise" ] || noisegen -n 256 -s 5 -l uniform:10 -m models/fashion-ddpm -o "$dir/noise"
}

# In f32 on the device: what training checks learn from.
pairs()
{
	[ -e "$dir/pairs.tar" ] || { noise && denoise -q -m models/fashion-ddpm --steps 10 -d cuda -o "$dir/pairs" "$dir/noise" &&
		pairpack "$dir/pairs" >"$dir/pairs.tar"; }
}

demo_pairs()
{
	local d out=$dir/pairs-$1
	noise || return
	for d in cpu cuda; do
		denoise -q -m models/fashion-ddpm --steps 25 -b 128 -d $d --precision "$([ $d = cpu ] && echo f32 || echo "$1")" \
			-o "$out.$d" "$dir/noise" && tensorcat --to csv -n sample -o "$out.$d.csv" "$out.$d" || return
	done
	apart <(tail -n +2 "$out.cpu.csv") <(tail -n +2 "$out.cuda.csv") "$2"
}

# Killed once it has left a checkpoint, and started again: the files of a run that was left alone.
kill_and_resume()
{
	local p=$1 out=$dir/run-$1 pid
	pairs || return
	set -- rectrain -q -m models/fashion-ddpm -d cuda --precision "$p" --steps 400 -b 64 --checkpoint-every 20
	"$@" -o "$out-whole" "$dir/pairs.tar" || return
	"$@" -o "$out-cut" "$dir/pairs.tar" &
	pid=$!
	while kill -0 $pid 2>/dev/null && [ ! -e "$out-cut.ckpt" ]; do sleep 0.05; done
	kill -KILL $pid 2>/dev/null
	wait $pid
	[ -e "$out-cut.ckpt" ] || { echo "no checkpoint was left to go on from"; return 1; }
	"$@" -o "$out-cut" "$dir/pairs.tar" || return
	cmp "$out-whole/unet/diffusion_pytorch_model.safetensors" "$out-cut/unet/diffusion_pytorch_model.safetensors" &&
		echo "the same bytes"
}

recompute()
{
	local out=$dir/rec
	pairs || return
	set -- rectrain -q -m models/fashion-ddpm -d cuda --steps 30 -b 32
	"$@" -o "$out-a" "$dir/pairs.tar" && "$@" --recompute -o "$out-b" "$dir/pairs.tar" || return
	cmp "$out-a/unet/diffusion_pytorch_model.safetensors" "$out-b/unet/diffusion_pytorch_model.safetensors" &&
		echo "the same bytes"
}

# Not where what virtualises the machine keeps debuggers from the device.
sanitizer_answers()
{
	[ -e "$dir/probed" ] || timeout -k 5 60 compute-sanitizer odesample -q -m models/fashion-ddpm -n 1 --steps 1 -l 1 -d cuda -f \
		-o "$dir/probe" >"$dir/probed" 2>&1 </dev/null
	! grep -q 'Device not supported' "$dir/probed"
}

# sanitize TOOL SECONDS TEST: few cases of the test, and no more of them than there is time for. Memory: without cuDNN's own kernels,
# and calls that fail are the tests' business. Races: of this suite's kernels, whose names end alike.
sanitize()
{
	local how=() rc=0 options
	command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer here: not run"; return 0; }
	sanitizer_answers || { echo "compute-sanitizer does not support this device here: not run"; return 0; }
	options=$(compute-sanitizer --help)
	if [ "$1" = memcheck ]; then
		how=(--report-api-errors no)
		case $options in *--kernel-name-exclude*) how+=(--kernel-name-exclude kernel_substring=cudnn) ;; esac
	else
		case $options in *--kernel-name*) how+=(--kernel-name kernel_substring=_kernel) ;; esac
	fi
	RD_TEST_SPARSE=1 timeout -k 5 "$2" compute-sanitizer --tool "$1" --error-exitcode 9 "${how[@]}" "$build/tests/test_$3" \
		>"$dir/sanitized" 2>&1 || rc=$?
	tail -n 200 "$dir/sanitized"
	case $rc in
	124 | 137)
		grep -q '^========= .*\(Invalid\|Error\|Race\|hazard\)' "$dir/sanitized" && return 1
		echo "nothing found in $2 s, which was not the whole"
		rc=0
		;;
	esac
	return $rc
}
export -f in_precision apart noise pairs demo_pairs kill_and_resume recompute sanitizer_answers sanitize
export dir build

nvidia-smi -L || echo "nvidia-smi: no device"
check "a device answers" 60 odesample -v -m models/fashion-ddpm -n 1 --steps 1 -l 1 -d cuda -o "$dir/one"
check "cuDNN's engines" 120 "$build/tests/test_engines"
for t in simple train norm layernorm attention conv unet dit; do
	check "kernels, $t" 240 "$build/tests/test_kernels_$t"
done
check "networks and training" 240 "$build/tests/test_cuda"
check "looking ahead" 240 "$build/tests/test_train_ahead"
for p in f32 tf32 bf16; do
	check "goldens, $p" 240 bash -c "in_precision $p $build/tests/test_golden"
done
check "gradients by differences" 240 "$build/tests/test_graph"
check "adapters" 240 "$build/tests/test_lora"
check "likelihoods" 240 "$build/tests/test_likelihood"
check "the classifier" 240 "$build/tests/test_classify"
check "demo pairs, f32" 120 bash -c 'demo_pairs f32 1e-3'
check "demo pairs, bf16" 120 bash -c 'demo_pairs bf16 0.3'
check "kill and resume, f32" 180 bash -c 'kill_and_resume f32'
check "kill and resume, bf16" 180 bash -c 'kill_and_resume bf16'
check "recompute" 120 bash -c recompute
for t in kernels_train kernels_norm kernels_layernorm kernels_attention kernels_conv kernels_simple kernels_dit cuda; do
	check "memcheck, $t" 150 bash -c "sanitize memcheck 120 $t"
done
for t in kernels_train kernels_norm kernels_layernorm kernels_attention kernels_conv kernels_dit cuda; do
	check "racecheck, $t" 150 bash -c "sanitize racecheck 120 $t"
done
echo "$failed checks failed; a record in tests/gpu-record"
[ -n "$rows" ] && [ $failed -eq 0 ]
