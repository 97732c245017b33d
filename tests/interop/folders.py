#!/usr/bin/env python3
"""Folders both ways, without numbers: what rectrain writes loads in diffusers with nothing on its logger and a card that the
hub's reader understands, and what diffusers saves in its other ways (shards, variants, both) is the same model to tensorcat.

Run by hand, with the packages of requirements.txt; README.md has the command. Exits with 1 where anything differs."""

import argparse
import io
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import warnings

import diffusers
import torch
from diffusers import AutoModel, DDIMPipeline, DDPMPipeline
from huggingface_hub import ModelCard


class Listener:
    """What diffusers says at level warning and above, and Python's warnings, while the block runs."""

    def __enter__(self):
        self.text, self.caught = io.StringIO(), warnings.catch_warnings(record=True)
        self.handler = logging.StreamHandler(self.text)
        logging.getLogger("diffusers").addHandler(self.handler)
        self.warned = self.caught.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *exc):
        self.caught.__exit__(*exc)
        logging.getLogger("diffusers").removeHandler(self.handler)

    def heard(self):
        return self.text.getvalue() + "".join(f"{w.category.__name__}: {w.message}\n" for w in self.warned)


def edit(path, **keys):
    with open(path) as f:
        o = json.load(f)
    with open(path, "w") as f:
        json.dump({**o, **keys}, f)


def tool(command):
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, capture_output=True, text=True).stdout


def facts(folder):
    """What tensorcat says of a folder, but for where its weights lie. A DiT's former name, which diffusers saves no more, counts as
    its own."""
    lines = tool(f"tensorcat {folder}").replace(" Transformer2DModel", " DiTTransformer2DModel").splitlines()[1:]
    return [l for l in lines if l.split()[0] not in ("weights", "shards", "metadata", "kind", "trained")]


def rectify(model, out):
    label = "-l 0" if "classes          none" not in tool(f"tensorcat {model}") else ""
    tool(f"noisegen -n 8 {label} -m {model} | denoise -q -m {model} --steps 2 -o {out}.pairs")
    tool(f"rectrain -q -m {model} -o {out} --steps 2 -b 4 {out}.pairs")


def check_written(source, out, pipeline):
    rectify(source, out)
    with Listener() as ears:
        main = pipeline.from_pretrained(out)
        raw = pipeline.from_pretrained(out, variant="raw")
    assert not ears.heard(), ears.heard()
    assert type(main.scheduler).__name__ == json.load(open(f"{out}/scheduler/scheduler_config.json"))["_class_name"]
    pairs = zip(main.unet.state_dict().values(), raw.unet.state_dict().values())
    assert any(not torch.equal(a, b) for a, b in pairs), "raw and averaged weights are the same"
    card = ModelCard.load(f"{out}/README.md")
    assert card.data.library_name == "diffusers" and card.data.pipeline_tag == "unconditional-image-generation"
    assert "rectified-diffusion" in card.data.tags
    code = re.search(r"```python\n(.*?)```", card.text, re.S)[1]
    here, names = os.getcwd(), {}
    os.chdir(out)
    with Listener() as ears:
        exec(code, names)  # pylint: disable=exec-used
    os.chdir(here)
    assert not ears.heard(), ears.heard()
    assert tuple(names["x"].shape[1:]) == (main.unet.config.in_channels,) + (main.unet.config.sample_size,) * 2
    assert names["x"].isfinite().all()
    return card


def check_read(source, part, folder):
    """The source's network saved by diffusers in each of its ways."""
    net, same = AutoModel.from_pretrained(f"{source}/{part}"), facts(source)
    for name, how in {"whole": {}, "shards": {"max_shard_size": "40KB"}, "variant": {"variant": "fp16"},
                      "both": {"variant": "fp16", "max_shard_size": "40KB"}}.items():
        there = f"{folder}/{name}"
        shutil.copytree(source, there)
        shutil.rmtree(f"{there}/{part}")
        net.save_pretrained(f"{there}/{part}", **how)
        assert facts(there) == same, name
    there = f"{folder}/pickle"
    shutil.copytree(source, there)
    shutil.rmtree(f"{there}/{part}")
    net.save_pretrained(f"{there}/{part}", safe_serialization=False)
    said = subprocess.run(["tensorcat", there], capture_output=True, text=True, check=False).stderr
    tool(said.split("to convert: ")[1].replace("python3", os.sys.executable, 1))
    assert facts(there) == same, "the conversion that is told"


def check_ears(model, folder):
    """That warnings are heard at all."""
    shutil.copytree(model, f"{folder}/odd")
    edit(f"{folder}/odd/scheduler/scheduler_config.json", no_such_key=1)
    with Listener() as ears:
        DDPMPipeline.from_pretrained(f"{folder}/odd")
    assert "no_such_key" in ears.heard(), "a warning was not heard"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bin", default="build/bin", help="folder of the tools")
    o = p.parse_args()
    os.environ["PATH"] = os.path.abspath(o.bin) + ":" + os.environ["PATH"]
    torch.set_num_threads(1)
    diffusers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        ddim = f"{folder}/ddim"
        shutil.copytree("tests/golden/cifar-like/model", ddim)
        edit(f"{ddim}/unet/config.json", _name_or_path="owner/name")
        edit(f"{ddim}/scheduler/scheduler_config.json", _class_name="DDIMScheduler")
        edit(f"{ddim}/model_index.json", _class_name="DDIMPipeline", scheduler=["diffusers", "DDIMScheduler"])
        with open(f"{ddim}/README.md", "w") as f:
            f.write("---\nlicense: mit\n---\n")
        check_ears("models/fashion-ddpm", folder)
        plain = check_written("models/fashion-ddpm", f"{folder}/a", DDPMPipeline)
        assert "license" not in plain.data.to_dict() and "base_model" not in plain.data.to_dict()
        kept = check_written(ddim, f"{folder}/b", DDIMPipeline)
        assert kept.data.license == "mit" and kept.data.base_model == "owner/name"
        os.remove(f"{ddim}/model_index.json")
        check_written(ddim, f"{folder}/c", DDIMPipeline)
        check_read("tests/golden/cifar-like/model", "unet", f"{folder}/unet")
        check_read("tests/golden/dit/model", "transformer", f"{folder}/dit")
    print("folders: all as they should be")


if __name__ == "__main__":
    main()
