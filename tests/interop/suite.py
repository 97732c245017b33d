"""The suite as a user has it, beside a pipeline of diffusers: its executables, rectify.mk and the documents' snippets. For
texts.py and classes.py."""

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
import transformers

TOLERANCE = 1e-5  # of the largest value
IMAGES, STEPS, SEED = 6, (1, 2, 10), 5
RECTIFY = dict(N=24, TRAIN_STEPS=6, BATCH=4, LR=1e-4, EMA=0.5, TEACHER_STEPS=5, K="1 2", EVAL=8, GUIDANCE=3, JOBS=1)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def write_json(path, o):
    write(path, json.dumps(o, indent=2) + "\n")


def below(path, section):
    """The text below a heading."""
    with open(path, encoding="utf-8") as f:
        return re.search(rf"^#+ {section}$(.*?)(?=^#+ |\Z)", f.read(), re.S | re.M)[1]


def python_of(text):
    [code] = re.findall(r"```python\n(.*?)```", text, re.S)
    return code


def commands_of(block):
    return "\n".join(line.removeprefix("$ ") for line in block.splitlines())


def run_python(code, folder, **names):
    """In that folder, with no names but its own and these."""
    with contextlib.chdir(folder):
        exec(code, names)  # pylint: disable=exec-used
    for pipeline in {"p", "pipeline"} & names.keys():
        names[pipeline].set_progress_bar_config(disable=True)
    return names


class Tools:
    """The suite's executables, run in one folder."""

    def __init__(self, bin_dir, folder):
        self.bin, self.folder = os.path.abspath(bin_dir), folder
        self.env = dict(os.environ, PATH=self.bin + ":" + os.environ["PATH"])

    def sh(self, command, there="."):
        """What it says."""
        p = subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=self.env, cwd=os.path.join(self.folder, there),
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if p.returncode:
            sys.exit(f"{command}\n{p.stdout}")
        return p.stdout

    def array(self, source, field):
        self.sh(f"tensorcat -q --to npy -n {field} {source} -f -o array.npy")
        return np.load(self.folder + "/array.npy")

    def noise(self, model, conditions):
        """The file `noise`: its latents, and the text or class of each."""
        self.sh(f"noisegen -q -n {IMAGES} -s {SEED} -l cycle:{len(conditions)} -m {model} -o noise")
        return torch.from_numpy(self.array("noise", "noise")), [conditions[k] for k in self.array("noise", "label")]

    def sample(self, model, *options):
        """From the noise in that file."""
        self.sh(f"odesample -q -j 1 -m {model} {' '.join(options)} noise -o samples")
        return self.array("samples", "sample")

    def rectify(self):
        """MODEL into the folder out; a second run finds that made."""
        variables = " ".join(f"{k}='{v}'" for k, v in RECTIFY.items())
        command = f"make -s -f {os.getcwd()}/pipelines/rectify.mk BIN={self.bin} MODEL=MODEL OUT=out {variables}"
        self.sh(command)
        weights = "ls -l --time-style=+%s.%N out/rectified/*/*.safetensors"
        before = self.sh(weights)
        self.sh(command)
        assert self.sh(weights) == before, "trained twice"


def distance(a, reference):
    """Of the largest value of the reference."""
    a, reference = np.asarray(a, np.float64), np.asarray(reference, np.float64)
    assert a.shape == reference.shape, (a.shape, reference.shape)
    return float(np.abs(a - reference).max() / np.abs(reference).max())


def tell_apart(what, rows):
    """That a condition left out, or another in its place, would be seen."""
    least = min(distance(rows[i], rows[j]) for i in range(len(rows)) for j in range(i))
    assert least > 100 * TOLERANCE, f"two {what} are {least} apart"


def versions(bin_dir):
    own = subprocess.run([bin_dir + "/odesample", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    return {"rectdiff": own, "diffusers": diffusers.__version__, "transformers": transformers.__version__,
            "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}


def main(doc, kinds, check):
    """check(kind, tools) for each: differences by part and name; of latents, or "levels" of a picture."""
    p = argparse.ArgumentParser(description=doc)
    p.add_argument("--bin", default="build/bin", help="folder of the tools")
    p.add_argument("--only", choices=kinds, help="this kind only")
    p.add_argument("--result", help="write the figures here, as JSON")
    o = p.parse_args()
    torch.set_num_threads(1)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    results = {}
    for kind, name in kinds.items():
        if o.only in (None, kind):
            with tempfile.TemporaryDirectory() as folder:
                results[name] = check(kind, Tools(o.bin, folder))
    result = {"versions": versions(o.bin), "tolerance": TOLERANCE, "images": IMAGES, "seed": SEED, **results}
    print(json.dumps(result, indent=2))
    if o.result:
        write_json(o.result, result)
    found = [d for r in results.values() for part in r.values() for d in part.items()]
    return any(not d <= (1 if "levels" in name else TOLERANCE) for name, d in found)
