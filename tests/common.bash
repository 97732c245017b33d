# What the bats files share: libraries, a tiny model, streams looked at in Python.
# shellcheck shell=bash

# start: to be called by setup(); leaves the test in a folder of its own.
start()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	top=$(realpath "$BATS_TEST_DIRNAME/..")
	golden=$top/tests/golden
	export top golden fashion="$top/models/fashion-ddpm" cifar="$golden/cifar-like/model" no_null="$golden/class-scale-shift/model"
	PYTHON=${PYTHON:-python3}
	# The results do not depend on it; on a busy machine it decides whether two threads take milliseconds or minutes.
	export OMP_NUM_THREADS=1
	cd "$BATS_TEST_TMPDIR" || return
}

# config FILE [FORM PREDICTION [KEYS]]: the description of an MLP of two numbers; KEYS, as '"num_class_embeds":4,', go to unet.
config()
{
	cat >"$1" <<-EOF
	{"unet": {"_class_name": "MLPModel", $4 "sample_shape": [2], "hidden_dim": 32, "num_layers": 2,
	          "time_embedding_dim": 16},
	 "scheduler": {"_class_name": "RectdiffScheduler", "form": "${2:-fm}", "prediction_type": "${3:-flow_prediction}"}}
	EOF
}

# mlp OUT [FORM PREDICTION [KEYS]]: such a model, trained for a moment on eight Gaussians.
mlp()
{
	config "$1.json" "${@:2}"
	noisegen -n 500 -s 1 --dist 8gaussians -l component -o "$1.data"
	rectrain -q --init "$1.json" -o "$1" --coupling independent --steps 100 --lr 2e-3 --warmup 10 "$1.data"
}

# frames FILE CODE: runs CODE with the stream's header h, fields f (arrays of all samples), refs (its frames that are
# references), end map; and with close(a, b, tolerance), which fails loudly.
frames()
{
	"$PYTHON" - "$@" <<-'EOF'
	import sys
	import msgpack
	import numpy as np

	def read(path):
	    maps = list(msgpack.Unpacker(open(path, "rb"), max_buffer_size=1 << 28))
	    assert maps[-1]["end"] == len(maps) - 2, maps[-1]
	    fields = {}
	    for m in maps[1:-1]:
	        if "data" in m:
	            fields.setdefault(m["name"], []).append(np.frombuffer(m["data"], m["type"]).reshape(m["shape"]))
	    return maps, {k: np.concatenate(v) for k, v in fields.items()}

	def close(a, b, tolerance):
	    assert a.shape == b.shape, (a.shape, b.shape)
	    worst = abs(a.astype(float) - b).max()
	    assert worst <= tolerance, f"{worst} apart, {tolerance} allowed"

	maps, f = read(sys.argv[1])
	h, end, refs = maps[0], maps[-1], [m for m in maps if "ref" in m]
	exec(sys.argv[2])
	EOF
}

# peak COMMAND...: runs it and prints the kilobytes that it had in memory at its peak.
peak()
{
	"$PYTHON" -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}

# assert_absent PATH...: that nothing, not even a temporary file of it, is there.
assert_absent()
{
	local p
	for p in "$@"; do
		run find "$(dirname "$p")" -maxdepth 1 -name "*$(basename "$p")*"
		assert_output ""
	done
}

# python CODE ARG...: with numpy and folders.py at hand, and what the variable `prelude` says; sys.argv[2] is the first ARG.
python()
{
	PYTHONPATH=$top/tests "$PYTHON" -c 'import sys
import numpy as np
from folders import *
exec(sys.argv.pop(1))
exec(sys.argv[1])' "${prelude-}" "$@"
}

# unsampled PART...: the model m is not sampled, and every PART is in the one line of message.
unsampled()
{
	run odesample -q -m m -n 1 --steps 2
	assert_failure
	for part in "$@"; do
		assert_output --partial "$part"
	done
	assert_equal "${#lines[@]}" 1
}

# await CONDITION...: a command, again and again until it succeeds.
await()
{
	for _ in $(seq 1500); do
		! "$@" || return 0
		sleep 0.02
	done
	fail "waited in vain: $*"
}

# written PATTERN: a file here or below has a name like that.
written() { [ -n "$(find . -name "$1")" ]; }
