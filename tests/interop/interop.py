#!/usr/bin/env python3
"""A folder written by rectrain, loaded and sampled by diffusers, and one saved by diffusers, sampled by odesample.

Run by hand, with the packages of requirements.txt; README.md has the command. Exits with 1 where anything differs."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, UNet2DModel
from safetensors import safe_open

PAIRS_SEED, TRAIN_SEED, NOISE_SEED, IMAGES = 1, 2, 3, 32


class Tools:
    """The suite's executables, and shell pipes of them with the files of one folder."""

    def __init__(self, bin_dir, folder, threads):
        self.folder, self.threads = folder, threads
        self.env = dict(os.environ, PATH=os.path.abspath(bin_dir) + ":" + os.environ["PATH"])

    def path(self, name):
        return os.path.join(self.folder, name)

    def sh(self, command):
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=self.env, check=True)

    def array(self, source, field):
        self.sh(f"tensorcat -q --to npy -n {field} {source} -f -o {self.path('array.npy')}")
        return np.load(self.path("array.npy"))

    def sample(self, model, steps):
        """From the noise and labels in the file `noise`."""
        out = self.path("samples")
        self.sh(f"odesample -q -j {self.threads} -m {model} --solver ddim --spacing trailing --steps {steps} "
                f"{self.path('noise')} -f -o {out}")
        return self.array(out, "sample")

    def rectify(self, model, out):
        self.sh(f"noisegen -q -n 128 -s {PAIRS_SEED} -l uniform:10 -m {model} "
                f"| denoise -q -j {self.threads} -m {model} --steps 8 | pairpack -q -f -o {self.path('pairs.tar')}")
        self.sh(f"rectrain -q -j {self.threads} -m {model} -o {out} --steps 12 -b 16 --warmup 4 "
                f"--ema 0.8 -s {TRAIN_SEED} {self.path('pairs.tar')}")


def bytes_of(x):
    """Pixels as a picture has them."""
    return np.clip(np.rint(x * 127.5 + 127.5), 0, 255).astype(np.int16)


def load(out):
    """The folder in every way that diffusers has; its tensors all found, none left over."""
    unet, info = UNet2DModel.from_pretrained(out, subfolder="unet", output_loading_info=True)
    raw = UNet2DModel.from_pretrained(out, subfolder="unet", variant="raw", use_safetensors=True)
    ddpm = DDPMPipeline.from_pretrained(out)
    ddim = DDIMPipeline.from_pretrained(out)
    assert not any(info.values()), info
    same = [torch.equal(a, b) for a, b in zip(unet.state_dict().values(), ddpm.unet.state_dict().values())]
    moved = [not torch.equal(a, b) for a, b in zip(unet.state_dict().values(), raw.state_dict().values())]
    assert all(same) and any(moved), "the raw weights are not those of the moving average"
    assert isinstance(ddim.scheduler, DDIMScheduler)
    return ddpm, ddim


@torch.no_grad()
def sample(unet, config, noise, labels, steps):
    scheduler = DDIMScheduler.from_config(config, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    x = torch.from_numpy(noise)
    classes = torch.from_numpy(labels.astype(np.int64))
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t, class_labels=classes).sample, t, x).prev_sample
    return x.numpy()


def compare(ours, theirs):
    levels = np.abs(bytes_of(ours) - bytes_of(theirs))
    return {"largest value": float(np.abs(theirs).max()), "worst error": float(np.abs(ours - theirs).max()),
            "pixels": int(levels.size), "pixels one level of 255 apart": int((levels == 1).sum()),
            "pixels further apart": int((levels > 1).sum())}


def versions(tools):
    own = subprocess.run(["odesample", "--version"], env=tools.env, capture_output=True, text=True, check=True).stdout
    return {"rectdiff": own.split()[-1], "diffusers": diffusers.__version__, "torch": torch.__version__,
            "numpy": np.__version__, "python": platform.python_version()}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bin", default="build/bin", help="folder of the tools")
    p.add_argument("--model", default="models/fashion-ddpm")
    p.add_argument("--result", help="write the figures here, as JSON")
    p.add_argument("-j", "--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    diffusers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(o.bin, folder, o.threads)
        out, back = tools.path("rectified"), tools.path("saved")
        tools.rectify(o.model, out)
        ddpm, ddim = load(out)
        with safe_open(os.path.join(out, "unet/diffusion_pytorch_model.safetensors"), "pt") as f:
            assert f.metadata()["format"] == "pt"
        tools.sh(f"noisegen -q -n {IMAGES} -s {NOISE_SEED} -l uniform:10 -m {out} -o {tools.path('noise')}")
        noise, labels = (tools.array(tools.path("noise"), f) for f in ("noise", "label"))
        result = {"versions": versions(tools), "images": IMAGES, "sampling": {},
                  "seeds": {"pairs": PAIRS_SEED, "training": TRAIN_SEED, "noise": NOISE_SEED}}
        ddpm.save_pretrained(back)
        for steps in (1, 10):
            ours = tools.sample(out, steps)
            theirs = sample(ddim.unet, ddpm.scheduler.config, noise, labels, steps)
            result["sampling"][f"DDIM, {steps}"] = compare(ours, theirs)
            assert np.array_equal(ours, tools.sample(back, steps)), "a folder saved by diffusers samples differently"
        result["saved by diffusers, sampled by odesample"] = "the same bits"
    text = json.dumps(result, indent=2)
    print(text)
    if o.result:
        with open(o.result, "w", encoding="utf-8") as f:
            f.write(text + "\n")
    return any(r["pixels further apart"] for r in result["sampling"].values())


if __name__ == "__main__":
    sys.exit(main())
