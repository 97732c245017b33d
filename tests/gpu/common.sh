# What check.sh and bench.sh share: where the build is, what the record says of the machine.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
[ $# -ge 1 ] || { echo "usage: $0 BUILD" >&2; exit 2; }
build=$(realpath "$1") || exit 2
export PATH="$build/bin:$PATH" OMP_WAIT_POLICY=passive

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

# record KIND: standard input becomes tests/gpu-record/KIND-DEVICE.json; also where RD_GPU_RECORD names a folder.
record()
{
	local name
	name=$1-$(smi name | tr -cs 'A-Za-z0-9\n' - | sed 's/^-*//;s/-*$//').json
	cat >"tests/gpu-record/$name"
	if [ -n "${RD_GPU_RECORD:-}" ]; then cp "tests/gpu-record/$name" "$RD_GPU_RECORD/"; fi
	echo "record: tests/gpu-record/$name"
}
