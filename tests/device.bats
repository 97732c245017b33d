#!/usr/bin/env bats
# shellcheck disable=SC2154 # what start sets
# Devices and precisions as the tools take them; and the tools over the CUDA plug-in, whose kernels run here on the CPU.
bats_require_minimum_version 1.5.0

load common

setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	mlp m fm flow_prediction '"num_class_embeds":8,'
	noisegen -n 40 -s 3 -l uniform:8 -m m -o noise
	denoise -m m --steps 4 -d cpu -o pairs noise
	pairpack pairs >pairs.tar
	fake_cuda
}

setup()
{
	start
	files=$BATS_FILE_TMPDIR
}

# The tools with a plug-in beside them that takes the CPU for a device.
fake_cuda()
{
	local t
	[ -e "$RD_BUILD/tests/cuda-host.so" ] || return 0
	mkdir -p fake/bin fake/lib/rectdiff
	for t in denoise odesample rectrain; do cp "$(command -v $t)" fake/bin/; done
	cp "$RD_BUILD/tests/cuda-host.so" fake/lib/rectdiff/rectdiff-cuda.so
}

needs_fake()
{
	[ -e "$files/fake" ] || skip "no C++ compiler here"
	fake=$files/fake/bin
}

@test "where no device answers, cuda is an error of one line and auto takes the CPU and says so" {
	run -1 --separate-stderr denoise -m "$files/m" -d cuda -o out "$files/noise" || skip "a device answers here"
	[ "${#stderr_lines[@]}" = 1 ] || fail "more than a line: $stderr"
	[[ $stderr == "denoise: device cuda: "* ]] || fail "$stderr"
	run -1 denoise -m "$files/m" -d cuda:7 -o out "$files/noise"
	assert_absent out
	run -0 denoise -v -m "$files/m" -o out "$files/noise"
	assert_output --partial "the CPU computes"
	assert_output --partial "cpu, "
}

@test "the CPU computes in f32 and, for what is rounding, in f64" {
	local tool
	for tool in "denoise $files/noise" "odesample -n 2" "rectrain --steps 1 $files/pairs.tar"; do
		# shellcheck disable=SC2086
		run -2 ${tool%% *} -m "$files/m" -d cpu --precision bf16 -o out ${tool#* }
		assert_output --partial "precision bf16"
		# shellcheck disable=SC2086
		run -2 ${tool%% *} -m "$files/m" -d cpu --precision half -o out ${tool#* }
	done
	assert_absent out
	denoise -m "$files/m" -d cpu --precision f32 --steps 4 -o out "$files/noise"
	cp "$files/pairs" pairs
	frames out 'm2, g = read("pairs"); assert (f["sample"] == g["sample"]).all()'
	run -0 denoise -v -m "$files/m" -d cpu --precision f64 --steps 4 -o wide "$files/noise"
	assert_output --partial ", f64"
	cp out f32
	frames wide 'm2, g = read("f32"); close(f["sample"], g["sample"], 1e-5); assert (f["sample"] != g["sample"]).any()'
	denoise -m "$files/m" -d cpu --precision f64 -j 2 --steps 4 -o two "$files/noise"
	cmp wide two || frames two 'm2, g = read("wide"); close(f["sample"], g["sample"], 1e-6)'
}

@test "a plug-in of another version is refused" {
	needs_fake
	mkdir -p old/bin old/lib/rectdiff
	cp "$fake/denoise" old/bin
	LC_ALL=C sed "s/$(denoise -V | sed 's/.* //; s/\./\\./g')/0.0.9/g" "$files/fake/lib/rectdiff/rectdiff-cuda.so" >old/lib/rectdiff/rectdiff-cuda.so
	run -1 old/bin/denoise -m "$files/m" -d cuda -o out "$files/noise"
	assert_output --partial "is not of rectdiff"
}

@test "a plug-in whose libraries are not found says what would help" {
	needs_fake
	mkdir -p lost/bin lost/lib/rectdiff
	cp "$fake/denoise" lost/bin
	LC_ALL=C sed 's/libstdc++\.so\.6/libstdc++.so.0/g' "$files/fake/lib/rectdiff/rectdiff-cuda.so" >lost/lib/rectdiff/rectdiff-cuda.so
	run -1 lost/bin/denoise -m "$files/m" -d cuda -o out "$files/noise"
	assert_output --partial "libstdc++.so.0: cannot open"
	assert_output --partial "LD_LIBRARY_PATH"
}

@test "a device's notes are told under -v: what it is, recordings that are off and why; and change nothing" {
	needs_fake
	set -- "$fake/denoise" -m "$files/m" -d cuda --steps 4 -b 8 "$files/noise"
	run -0 "$@" -v -o recorded
	assert_output --partial "4 multiprocessors, 1024 MiB; driver for CUDA 12.4, built with 13.0"
	refute_output --partial "CUDA graph"
	RECTDIFF_NO_GRAPHS='' run -0 "$@" -v -o recorded -f
	refute_output --partial "CUDA graph"
	RECTDIFF_NO_GRAPHS=1 run -0 "$@" -v -o plain
	assert_output --partial "RECTDIFF_NO_GRAPHS is set: nothing is recorded"
	RD_SHIM_FAIL=instantiate run -0 "$@" -v -o failed
	assert_output --partial "work goes on call by call: device cuda: recording: out of memory"
	RD_SHIM_FAIL=instantiate run -0 "$@" -o failed -f
	assert_output ""
	frames recorded 'for other in "plain", "failed": m2, g = read(other); assert (f["sample"] == g["sample"]).all()'
}

@test "pairs over the plug-in are the CPU's within 1e-4, in bf16 within a hundredth" {
	needs_fake
	"$fake/denoise" -m "$files/m" -d cuda --steps 4 -b 16 -o f32 "$files/noise"
	"$fake/denoise" -m "$files/m" -d cuda --precision bf16 --steps 4 -b 16 -o bf16 "$files/noise"
	cp "$files/pairs" cpu
	frames f32 'm2, g = read("cpu"); close(f["sample"], g["sample"], 1e-4); assert (f["noise"] == g["noise"]).all()'
	frames bf16 'm2, g = read("cpu"); close(f["sample"], g["sample"], 0.05)'
}

@test "auto takes a device that answers, and its name and precision are in the run's description" {
	needs_fake
	run -0 "$fake/odesample" -v -m "$files/m" -n 2 --precision tf32 -o out
	assert_output --partial "cuda, "
	assert_output --partial ", tf32, "
	run -1 "$fake/odesample" -m "$files/m" -n 2 -d cuda:1 -o out2
	assert_output --partial "there are 1 devices"
	run -2 "$fake/odesample" -m "$files/m" -n 2 -d cuda --precision f64 -o out2
	assert_output --partial "precision f64: CUDA computes in"
	run -0 "$fake/odesample" -v -m "$files/m" -n 2 --precision f64 -o out2
	assert_output --partial "cpu, "
}

@test "training over the plug-in: cut and resumed it ends with the same bytes; another precision is refused" {
	needs_fake
	set -- "$fake/rectrain" -q -m "$files/m" -d cuda --steps 30 -b 8 --checkpoint-every 10 --label-drop 0.1 --null-class 7
	"$@" -o whole "$files/pairs.tar"
	cut "$@" -o part "$files/pairs.tar"
	run -1 "$@" -o part --precision bf16 "$files/pairs.tar"
	assert_output --partial "device"
	"$@" -o part "$files/pairs.tar"
	cmp whole/unet/diffusion_pytorch_model.safetensors part/unet/diffusion_pytorch_model.safetensors
}

# cut COMMAND...: stopped by SIGTERM once its first checkpoint is there.
cut()
{
	"$@" --steps 30 &
	local pid=$!
	for _ in $(seq 200); do
		[ -e part.ckpt ] && break
		sleep 0.02
	done
	kill -TERM $pid 2>/dev/null || true
	wait $pid || true
}

@test "--recompute changes no byte of the result" {
	rectrain -q -m "$files/m" -d cpu --steps 20 -b 8 -o a "$files/pairs.tar"
	rectrain -q -m "$files/m" -d cpu --steps 20 -b 8 --recompute -o b "$files/pairs.tar"
	cmp a/unet/diffusion_pytorch_model.safetensors b/unet/diffusion_pytorch_model.safetensors
}
