#!/bin/bash
# tests/kill.sh [N]: rectrain killed with SIGKILL at N random moments (default 100) must end where it would have ended.
#
# A tiny run is killed at a random moment and started again, until it is through; then the next one is, until N kills
# have hit. Each result must have the bytes of an undisturbed run's, the log each interval once, and nothing may be left
# lying about. The tools must be in PATH.
set -eu
kills=${1:-100}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

die()
{
	echo "kill.sh: $*" >&2
	ls -lA >&2
	exit 1
}

command=(rectrain -q --coupling independent --steps 300 -b 16 --checkpoint-every 7 --log-every 10 --snapshot-every 130 -j 1 --init net.json)

# check OUT: a finished OUT is that of the undisturbed run, whatever is or is not there beside it.
check()
{
	local f
	for f in unet/config.json unet/diffusion_pytorch_model.safetensors unet/diffusion_pytorch_model.raw.safetensors; do
		cmp "undisturbed/$f" "$1/$f" || die "$1 is not what an undisturbed run makes"
	done
}

steps() { grep -oE '"step":[0-9]+' "$1"; }

cat >net.json <<'END'
{"unet": {"_class_name": "MLPModel", "sample_shape": [2], "hidden_dim": 32, "num_layers": 2, "time_embedding_dim": 16},
 "scheduler": {"_class_name": "RectdiffScheduler", "form": "fm", "prediction_type": "flow_prediction"}}
END
noisegen -n 200 --dist 8gaussians -o data
begun=${EPOCHREALTIME/./}
"${command[@]}" -o undisturbed --log undisturbed.log data
span=$((${EPOCHREALTIME/./} - begun))

hit=0 runs=0 torn=0
while [ $hit -lt "$kills" ] || [ ! -e out ]; do
	moment=$((1 + (RANDOM << 15 | RANDOM) % span))
	[ $hit -lt "$kills" ] || moment=600000000
	rc=0
	timeout --foreground -s KILL "$(printf %d.%06d $((moment / 1000000)) $((moment % 1000000)))" \
		"${command[@]}" -o out --log out.log data || rc=$?
	[ $rc -ne 124 ] || continue # it ended at that very moment by itself; started again it says how
	[ $rc -eq 0 ] || [ $rc -eq 137 ] || die "status $rc"
	# About two kills to a run that gets through, however busy the machine is by now.
	if [ $rc -eq 0 ]; then
		span=$((span - span / 10))
	else
		span=$((span + span / 20))
		hit=$((hit + 1))
	fi
	[ -z "$(find . -maxdepth 1 -name '*tmp*')" ] || torn=$((torn + 1))
	[ ! -e out ] || check out
	if [ $rc -eq 0 ]; then
		runs=$((runs + 1))
		diff <(steps undisturbed.log) <(steps out.log) || die "the log is not that of an undisturbed run"
		[ "$(find . -maxdepth 1 -name '*out*' | sort | xargs)" = "./out ./out.130 ./out.260 ./out.log" ] || die "something was left behind"
		[ $hit -ge "$kills" ] || rm -r out out.*
	fi
done
echo "kill.sh: $hit kills in $runs runs, $torn of them with a file half-written: every result as undisturbed"
