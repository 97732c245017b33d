# What check.sh and bench.sh share: where the build is and its libraries, what the record says of the machine.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
[ $# -ge 1 ] || { echo "usage: $0 BUILD [WHAT...]" >&2; exit 2; }
build=$(realpath "$1") || exit 2
export PATH="$build/bin:$PATH" OMP_WAIT_POLICY=passive
library_path=${LD_LIBRARY_PATH:-} # as it was given: for programs that are not ours

# Libraries that came with the build (bundle.sh), and CUDA's where the loader does not know them: a toolkit's, or those of a
# Python's packages.
export LD_LIBRARY_PATH="$build/lib${library_path:+:$library_path}"
find_cuda_libraries()
{
	local lib d
	for lib in $(ldd "$build"/lib/rectdiff/rectdiff-cuda.so 2>/dev/null | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p'); do
		for d in /usr/local/cuda*/lib64 /usr/local/cuda*/lib $(python3 -c 'import glob, sys
print(*[d for p in sys.path for d in glob.glob(p + "/nvidia/*/lib")])' 2>/dev/null); do
			if [ -e "$d/$lib" ]; then
				LD_LIBRARY_PATH+=:$d
				break
			fi
		done
	done
}
find_cuda_libraries

# quoted TEXT: as a JSON string.
quoted()
{
	local s=${1//\\/\\\\}
	s=${s//\"/\\\"}
	printf '"%s"' "${s//[$'\n\t\r']/ }"
}

smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader -i 0 2>/dev/null || echo unknown; }

# machine: members of the record's object.
machine()
{
	printf '"date":%s,"commit":%s,"device":%s,"driver":%s,"nvcc":%s,"memory":%s' "$(quoted "$(date -u +%FT%TZ)")" \
		"$(quoted "$(git describe --always --dirty 2>/dev/null || echo unknown)")" "$(quoted "$(smi name)")" \
		"$(quoted "$(smi driver_version)")" "$(quoted "$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')")" \
		"$(quoted "$(smi memory.total)")"
}

# record KIND: standard input becomes tests/gpu-record/KIND-DEVICE.json; also where RD_GPU_RECORD names a folder. Called as
# often as there is news, so that a run that is cut short leaves what it found.
record()
{
	local name
	name=$1-$(smi name | tr -cs 'A-Za-z0-9\n' - | sed 's/^-*//;s/-*$//').json
	cat >"tests/gpu-record/$name"
	if [ -n "${RD_GPU_RECORD:-}" ]; then cp "tests/gpu-record/$name" "$RD_GPU_RECORD/"; fi
}
