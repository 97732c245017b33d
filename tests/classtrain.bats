#!/usr/bin/env bats
# classtrain, and the features that samplecmp takes from what it writes. The loss and its gradient are test_classify's business.
# shellcheck disable=SC2154 # what start sets
bats_require_minimum_version 1.5.0

load common

# Images of three classes, told apart by which third of them is bright, and a classifier of them.
setup_file()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	"$PYTHON" - <<-'EOF'
	import numpy as np
	for name, seed, n in ("train", 1, 400), ("test", 2, 300), ("other", 3, 300):
	    r = np.random.default_rng(seed)
	    label = r.integers(0, 3, n)
	    x = r.normal(0, 0.4, (n, 1, 12, 16)) - 0.5
	    for i, k in enumerate(label):
	        x[i, 0, 4 * k:4 * k + 4] += 0.8
	    np.save(name + ".npy", x.astype("f4"))
	    np.save(name + "-label.npy", label.astype("i4"))
	    square = np.zeros((n, 1, 16, 16), "f4")
	    square[:, :, 2:14] = x
	    np.save(name + "-square.npy", square)
	EOF
	classtrain -o c "${small[@]}" --log log.jsonl sample=train-square.npy label=train-label.npy
	tensorcat --to frame -o test sample=test-square.npy label=test-label.npy
	tensorcat --to frame -o other sample=other-square.npy label=other-label.npy
	"$PYTHON" -c 'import numpy as np
x = np.load("test-square.npy")
for s in (1, 2, 4, 8):
    np.save(f"noise-{s}.npy", (x + s / 10 * np.random.default_rng(s).normal(size=x.shape)).astype("f4"))
    x2 = x
    for _ in range(s): x2 = (np.roll(x2, 1, 3) + 2 * x2 + np.roll(x2, -1, 3)) / 4
    np.save(f"blurred-{s}.npy", x2.astype("f4"))
np.save("flat.npy", x.reshape(300, 256)); np.save("large.npy", np.zeros((20, 3, 32, 32), "f4"))'
}

small=(--widths "8,16,16" --groups 4 --steps 60 -b 32 --lr 1e-2 --warmup 5 --ema 0.9 -j 1)
files=(sample=train-square.npy label=train-label.npy)

setup()
{
	start
	cd "$BATS_FILE_TMPDIR" || return
	out=$BATS_TEST_TMPDIR/out
}

@test "what it learns it recognises, and says how often; the folder has its story" {
	run -0 classtrain -o "$out" "${small[@]}" --test sample=test-square.npy --test label=test-label.npy "${files[@]}"
	awk '$1 != "accuracy" || NF != 3 || !($2 > 0.95) || !($3 >= 0 && $3 < 0.02) { exit 1 }' <<<"$output"
	[ "$(find "$out" -type f -printf '%f\n' | sort | xargs)" = "README.md config.json diffusion_pytorch_model.safetensors" ]
	grep -q "it recognises" "$out/README.md"
	grep -q "classtrain -o .* --test sample=test-square.npy" "$out/README.md"
	"$PYTHON" - "$out" <<-'EOF'
	import json, struct, sys
	raw = open(sys.argv[1] + "/diffusion_pytorch_model.safetensors", "rb").read()
	meta = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])["__metadata__"]
	run = json.loads(meta["rectdiff.run"])
	assert run["steps"] == 60 and run["batch"] == 32 and run["samples"] == 400 and len(run["data"]) == 16, run
	assert json.load(open(sys.argv[1] + "/config.json"))["num_classes"] == 3
	EOF
	assert_absent "$out.tmp"
}

@test "the same bytes from the same seed, others from another" {
	classtrain -o "$out" "${small[@]}" "${files[@]}"
	cmp "$out/diffusion_pytorch_model.safetensors" c/diffusion_pytorch_model.safetensors
	classtrain -f -o "$out" "${small[@]}" -s 1 "${files[@]}"
	run ! cmp -s "$out/diffusion_pytorch_model.safetensors" c/diffusion_pytorch_model.safetensors
}

@test "frames with labels are training data too; --shift and --flip move the images" {
	tensorcat --to frame "${files[@]}" | classtrain -o "$out" "${small[@]}" -
	cmp "$out/diffusion_pytorch_model.safetensors" c/diffusion_pytorch_model.safetensors
	for move in "--shift 1" --flip; do
		# shellcheck disable=SC2086
		classtrain -f -o "$out" "${small[@]}" $move "${files[@]}"
		run ! cmp -s "$out/diffusion_pytorch_model.safetensors" c/diffusion_pytorch_model.safetensors
	done
}

@test "the log has the steps, and a loss that falls" {
	"$PYTHON" -c 'import json
lines = [json.loads(l) for l in open("log.jsonl")]
assert all(set(l) == {"run", "step", "loss", "grad_norm", "lr", "seconds"} for l in lines), lines[0]
assert [l["step"] for l in lines] == [50, 60], lines
assert 0 < lines[1]["loss"] < lines[0]["loss"] < 1.2 and lines[1]["lr"] < lines[0]["lr"], lines'
}

@test "a folder that is there is replaced with -f only, and refused before training" {
	mkdir "$out"
	run -1 classtrain -o "$out" --steps 100000000 "${files[@]}"
	assert_output "classtrain: $out: is there already (-f replaces it)"
	classtrain -f -o "$out" "${small[@]}" "${files[@]}"
	[ -e "$out/config.json" ]
}

@test "numpy agrees: forward pass, Frechet distance, classes" {
	samplecmp --features c --classes --metric frechet --bootstrap 2 test other-square.npy >ours
	"$PYTHON" "$top/tests/classifier.py" c test-square.npy other-square.npy test-label.npy >theirs
	paste -d ' ' ours theirs
	paste -d ' ' ours theirs | awk '$1 != $4 || ($2 - $5) ^ 2 > (2e-4 * $5) ^ 2 { exit 1 } END { exit NR != 2 }'
}

@test "the shipped classifier is what numpy reads too" {
	"$PYTHON" -c 'import numpy as np
x = np.tanh(np.random.default_rng(1).normal(size=(120, 1, 28, 28)).cumsum(2) / 3).astype("f4")
np.save("a.npy", x[:60]); np.save("b.npy", x[60:] * 0.9); np.save("y.npy", np.arange(60, dtype="i4") % 10)'
	tensorcat --to frame -o a sample=a.npy label=y.npy
	samplecmp --features "$top/models/fashion-classifier" --classes --metric frechet --bootstrap 2 a b.npy >ours
	"$PYTHON" "$top/tests/classifier.py" "$top/models/fashion-classifier" a.npy b.npy y.npy >theirs
	paste -d ' ' ours theirs
	paste -d ' ' ours theirs | awk '$1 != $4 || ($2 - $5) ^ 2 > (5e-4 * $5) ^ 2 { exit 1 } END { exit NR != 2 }'
}

@test "features: nothing between a set and itself, more the more noise or blur" {
	local kind last now
	run -0 samplecmp --features c --metric frechet,paired test test
	assert_line --index 0 "feature_paired 0 0"
	assert_line --index 1 --regexp '^feature_frechet (-?[0-9.]+e-1[0-9]|0) '
	for kind in noise blurred; do
		last=0
		for s in 1 2 4 8; do
			now=$(samplecmp --features c --metric frechet --bootstrap 2 "$kind-$s.npy" test | awk '{ print $2 }')
			awk -v a="$last" -v b="$now" 'BEGIN { exit !(b > 1.2 * a && b > 1e-4) }' || fail "$kind $s: $now after $last"
			last=$now
		done
	done
}

@test "every metric is of features, under its name; without --features nothing has changed" {
	samplecmp --features c --metric all test other-square.npy | awk '{ print $1 }' | xargs >names
	[ "$(cat names)" = "feature_sliced feature_energy feature_mmd feature_paired feature_frechet feature_kid feature_precision \
feature_recall feature_density feature_coverage" ]
	run -0 samplecmp --features c --classes --tsv --name x --metric kid test noise-1.npy
	assert_line --index 0 $'name\tfeature_kid\tfeature_kid_se\trecognised_a\trecognised_a_se\trecognised_b\trecognised_b_se'
	assert_line --index 1 --regexp $'^x\t[-0-9.e]+\t[0-9.e-]+\t(0.9[0-9]+|1)\t[0-9.e-]+\t-\t-$'
	samplecmp --features c --classes --json --metric frechet test noise-1.npy >j
	"$PYTHON" -c 'import json
j = json.load(open("j"))
assert j["features"]["classifier"] == "c" and len(j["features"]["hash"]) == 16, j
assert j["feature_frechet"]["dimensions"] == 16 and j["recognised_a"]["value"] > 0.9 and j["recognised_b"] is None, j'
	run -0 samplecmp --metric kid test other
	assert_output --regexp '^kid '
}

@test "the batch does not matter" {
	samplecmp --features c --metric frechet -b 7 test other >seven
	samplecmp --features c --metric frechet test other >all
	paste seven all | awk '($2 - $5) ^ 2 > (1e-4 * $5) ^ 2 { exit 1 }'
}

# refused STATUS TEXT COMMAND...
refused()
{
	run "-$1" "${@:3}"
	assert_output --partial "$2"
	assert_absent "$out"
}

@test "samplecmp refuses what does not fit, both sides named" {
	refused 3 "large.npy: a sample is [3, 32, 32], the classifier c takes [1, 16, 16]" samplecmp --features c test large.npy
	refused 3 "flat.npy: a sample is [256], the classifier c takes [1, 16, 16]" samplecmp --features c flat.npy test
	refused 1 "nowhere/config.json" samplecmp --features nowhere test test
	refused 3 "RectdiffClassifier" samplecmp --features "$top/models/fashion-ddpm/unet" test test
	refused 3 "neither noise-1.npy nor noise-2.npy has a field \`label\`" samplecmp --features c --classes noise-1.npy noise-2.npy
	refused 2 "--classes: only with --features" samplecmp --classes test test
	refused 2 "--batch: only with --features" samplecmp -b 4 test test
	refused 2 "--device: only with --features" samplecmp -d cpu test test
	refused 2 "--precision: only with --features" samplecmp --precision f32 test test
	"$PYTHON" -c 'import numpy as np; np.save("nine.npy", np.full(300, 9, "i4"))'
	tensorcat --to frame -o nine sample=test-square.npy label=nine.npy
	refused 3 "nine: label 9 of sample 0: the classifier has classes 0 to 2" samplecmp --features c --classes test nine
	samplecmp --features c test nine
}

@test "a classifier's folder that is damaged is refused" {
	local n
	cp -r c broken
	for n in 0 7 100 3000 $(($(stat -c %s c/diffusion_pytorch_model.safetensors) - 1)); do
		head -c "$n" c/diffusion_pytorch_model.safetensors >broken/diffusion_pytorch_model.safetensors
		refused 3 "broken/diffusion_pytorch_model.safetensors" samplecmp --features broken test test
	done
	cp c/diffusion_pytorch_model.safetensors broken
	sed -i 's/"num_classes": 3/"num_classes": 4/' broken/config.json
	refused 3 "the config asks for" samplecmp --features broken test test
	echo '{}' >broken/config.json
	refused 3 "broken/config.json: _class_name" samplecmp --features broken test test
	rm broken/config.json
	refused 1 "broken/config.json" samplecmp --features broken test test
}

@test "classtrain refuses what is no training data" {
	refused 3 "label" classtrain -o "$out" train-square.npy
	refused 3 "[256]" classtrain -o "$out" sample=flat.npy label=test-label.npy
	refused 1 "sample=train.npy, 3 classes, with --widths for 0 halvings: sample_size: halved for each block it is 12x16" \
		classtrain -o "$out" --widths 8 sample=train.npy label=train-label.npy
	refused 1 nowhere.npy classtrain -o "$out" sample=nowhere.npy label=train-label.npy
	refused 3 "400" classtrain -o "$out" sample=train-square.npy label=test-label.npy
	refused 3 "large.npy" classtrain -o "$out" --test sample=large.npy "${files[@]}"
	"$PYTHON" -c 'import numpy as np; np.save("minus.npy", np.full(400, -1, "i4")); np.save("five.npy", np.full(300, 5, "i4"))'
	"$PYTHON" -c 'import numpy as np; np.save("many.npy", np.r_[np.full(399, 1, "i4"), np.int32(65536)])'
	refused 1 "num_classes: 65537 is outside 2..65536" classtrain -o "$out" sample=train-square.npy label=many.npy
	refused 3 "label -1 of sample 0" classtrain -o "$out" sample=train-square.npy label=minus.npy
	refused 3 "--test sample=test-square.npy: label 5 of sample 0: the classifier has classes 0 to 2" \
		classtrain -o "$out" --test sample=test-square.npy --test label=five.npy "${files[@]}"
	refused 3 "--test test-square.npy: no field \`label\`" classtrain -o "$out" --test test-square.npy "${files[@]}"
	head -c 2000 test >short
	refused 3 short classtrain -o "$out" short
}

@test "options that make no sense: status 2" {
	local args
	for args in "" "-o out" "${files[*]}" "-o - ${files[*]}" "-o out --widths 8,x ${files[*]}" "-o out --widths 12 ${files[*]}" \
		"-o out --widths 8,8,8,8,8,8,8,8,8 ${files[*]}" "-o out --steps 0 ${files[*]}" "-o out --ema 1 ${files[*]}" \
		"-o out --shift -1 ${files[*]}" "-o out --lr x ${files[*]}"; do
		# shellcheck disable=SC2086
		refused 2 "classtrain: " classtrain $args
	done
}

@test "a loss that is no number any more stops it, with nothing written" {
	refused 1 "a smaller --lr" classtrain -o "$out" "${small[@]}" --lr 10 --weight-decay 10 --steps 3000 "${files[@]}"
}

@test "a full disk is told; a signal ends it with nothing written" {
	local pid rc=0
	# shellcheck disable=SC2016 # for the inner shell
	run -1 bash -c '"$@" >/dev/full' - classtrain -o "$out" "${small[@]}" --test test "${files[@]}"
	assert_output "classtrain: standard output: No space left on device"
	classtrain -f -o "$out.2" "${small[@]}" --steps 100000000 --log "$out.log" --log-every 1 "${files[@]}" 3>&- &
	pid=$!
	await test -s "$out.log"
	kill -TERM "$pid"
	wait "$pid" || rc=$?
	[ "$rc" -eq 143 ]
	assert_absent "$out.2"
}
