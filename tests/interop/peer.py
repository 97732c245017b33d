#!/usr/bin/env python3
"""How fast the tools are on the CPU beside diffusers with PyTorch: sampling and training of the shipped model, and, with random
weights, of google/ddpm-cifar10-32's configuration, of a network in the manner of Stable Diffusion's, conditioned on contexts, of two
DiTs, and of four layers of 1024 channels such as Stable Diffusion 3 has 24 of 1536.

Run by hand, with the packages of requirements.txt; README.md has the command. odesample is timed as a whole, start and files
included, rectrain by its log, from the first step to the last; PyTorch within this process, after its imports, its compilation
and a first run. Both take turns, ROUNDS of them, as other work on the machine comes and goes; a row has the median of the
rounds' ratios."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time

import diffusers
import torch
from diffusers import (DDIMScheduler, DDPMPipeline, DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel,
                       UNet2DConditionModel, UNet2DModel)
from safetensors.torch import load_file, save_file

ROUNDS, SAMPLING_STEPS = 3, 10
CIFAR = dict(sample_size=32, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=(128, 256, 256, 256),
             down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
             up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), attention_head_dim=None,
             downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, norm_num_groups=32)
LATENT = dict(sample_size=32, block_out_channels=(96, 192, 384, 384), layers_per_block=1, cross_attention_dim=768,
              attention_head_dim=8)
DIT_S = dict(num_attention_heads=6, attention_head_dim=64, num_layers=12)
DIT_B = dict(num_attention_heads=12, attention_head_dim=64, num_layers=12)
SD3 = dict(sample_size=32, num_layers=4, num_attention_heads=16, attention_head_dim=64, caption_projection_dim=1024,
           joint_attention_dim=1024, pooled_projection_dim=512, pos_embed_max_size=48)
# of PyTorch: memory format and whether it is compiled
WAYS = {"eager": (torch.contiguous_format, False), "channels_last": (torch.channels_last, False),
        "compiled": (torch.channels_last, True)}


class Peer:
    """The network in PyTorch, sampled and trained as the tools do it."""

    def __init__(self, folder, batch, way):
        memory, compiled = WAYS[way]
        contexts = folder + "/contexts.safetensors"
        transformer, conditioned = os.path.exists(folder + "/transformer"), os.path.exists(contexts)
        kind = {(True, True): SD3Transformer2DModel, (True, False): DiTTransformer2DModel,
                (False, True): UNet2DConditionModel, (False, False): UNet2DModel}[transformer, conditioned]
        self.net = kind.from_pretrained(folder, subfolder="transformer" if transformer else "unet").to(memory_format=memory)
        self.run = torch.compile(self.net) if compiled else self.net
        if kind is SD3Transformer2DModel:
            self.scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
        else:
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", timestep_spacing="trailing",
                                                           clip_sample=False)
        c = self.net.config
        self.x = torch.randn(batch, c.in_channels, c.sample_size, c.sample_size).to(memory_format=memory)
        self.eps = torch.randn_like(self.x)
        self.given = {}
        if conditioned:
            given, row = load_file(contexts), torch.arange(batch) % 4
            self.given["encoder_hidden_states"] = given["contexts"][row]
            if "vectors" in given:
                self.given["pooled_projections"] = given["vectors"][row]
        elif transformer or c.num_class_embeds:
            self.given["class_labels"] = torch.arange(batch) % 10
        self.params = list(self.net.parameters())
        self.ema = [p.detach().clone() for p in self.params]
        self.adamw = torch.optim.AdamW(self.params, lr=1e-6, fused=True)

    @torch.no_grad()
    def sample(self, times):
        start = time.perf_counter()
        for _ in range(times):
            self.scheduler.set_timesteps(SAMPLING_STEPS)
            x = self.x
            for t in self.scheduler.timesteps:
                x = self.scheduler.step(self.run(x, timestep=t.expand(len(x)), **self.given).sample, t, x).prev_sample
        return time.perf_counter() - start

    def train(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            t = torch.randint(0, 1000, (len(self.x),))
            if isinstance(self.scheduler, FlowMatchEulerDiscreteScheduler):
                x = torch.lerp(self.x, self.eps, t.view(-1, 1, 1, 1) / 1000)
            else:
                x = self.scheduler.add_noise(self.x, self.eps, t)
            out = self.run(x, timestep=t, **self.given).sample
            loss = torch.nn.functional.huber_loss(out, self.eps)
            self.adamw.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            self.adamw.step()
            torch._foreach_lerp_(self.ema, self.params, 0.001)
        return time.perf_counter() - start


class Suite:
    """The tools. Both classes' sample and train return seconds for so many batches."""

    def __init__(self, tools, folder, batch, scratch):
        self.env = dict(os.environ, PATH=os.path.abspath(tools) + ":" + os.environ["PATH"])
        self.folder, self.batch, self.scratch = folder, batch, scratch
        self.sh(f"noisegen -q -n {4 * batch} -s 1 -m {folder} | denoise -q -m {folder} --steps 1 "
                f"| pairpack -q -f -o {scratch}/pairs.tar")

    def sh(self, command):
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=self.env, check=True)

    def sample(self, times):
        start = time.perf_counter()
        self.sh(f"odesample -q -f -m {self.folder} -n {times * self.batch} -b {self.batch} --solver ddim --steps {SAMPLING_STEPS} "
                f"-o {self.scratch}/samples")
        return time.perf_counter() - start

    def train(self, steps):
        self.sh(f"rm -rf {self.scratch}/out*; rectrain -q -m {self.folder} -o {self.scratch}/out -b {self.batch} "
                f"--steps {steps + 1} --log {self.scratch}/out.log --log-every 1 {self.scratch}/pairs.tar")
        with open(f"{self.scratch}/out.log") as f:
            at = [json.loads(line)["seconds"] for line in f]
        return at[-1] - at[0]


def compare(args, name, folder, batch, times, scratch):
    suite = Suite(args.bin, folder, batch, scratch)
    for way in WAYS:
        peer = Peer(folder, batch, way)
        for work in ("sample", "train"):
            ours, theirs = getattr(suite, work), getattr(peer, work)
            n = times[work]
            theirs(1)
            rounds = [(ours(n), theirs(n)) for _ in range(ROUNDS)]
            images = n * batch
            row = {"network": name, "work": work, "batch": batch, "pytorch": way,
                   "rectdiff images/s": round(images / statistics.median(a for a, _ in rounds), 2),
                   "pytorch images/s": round(images / statistics.median(b for _, b in rounds), 2),
                   "ratio": round(statistics.median(b / a for a, b in rounds), 2)}
            print(json.dumps(row), flush=True)
            yield row


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bin", default="build/bin", help="the tools")
    p.add_argument("--result", help="a file for the table, JSON")
    p.add_argument("--only", help="one network: fashion, cifar, latent, dit-s, dit-b or sd3")
    args = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(1)
        cifar, latent, dit_s, dit_b, sd3 = (f"{scratch}/{name}" for name in ("cifar", "latent", "dit-s", "dit-b", "sd3"))
        DDPMPipeline(UNet2DModel(**CIFAR), DDIMScheduler()).save_pretrained(cifar)
        UNet2DConditionModel(**LATENT).save_pretrained(latent + "/unet")
        DiTTransformer2DModel(**DIT_S).save_pretrained(dit_s + "/transformer")
        DiTTransformer2DModel(**DIT_B).save_pretrained(dit_b + "/transformer")
        SD3Transformer2DModel(**SD3).save_pretrained(sd3 + "/transformer")
        FlowMatchEulerDiscreteScheduler().save_pretrained(sd3 + "/scheduler")
        for folder in latent, dit_s, dit_b:
            DDIMScheduler().save_pretrained(folder + "/scheduler")
        save_file({"contexts": torch.randn(4, 77, LATENT["cross_attention_dim"])}, latent + "/contexts.safetensors")
        save_file({"contexts": torch.randn(4, 77, SD3["joint_attention_dim"]),
                   "vectors": torch.randn(4, SD3["pooled_projection_dim"])}, sd3 + "/contexts.safetensors")
        for name, *what in (("fashion, 1.1M", "models/fashion-ddpm", 64, {"sample": 4, "train": 40}),
                            ("cifar, 35.7M", cifar, 8, {"sample": 3, "train": 8}),
                            ("latent, 54.8M", latent, 4, {"sample": 3, "train": 8}),
                            ("dit-s, 39.8M", dit_s, 4, {"sample": 3, "train": 8}),
                            ("dit-b, 147M", dit_b, 4, {"sample": 1, "train": 4}),
                            ("sd3, 144M", sd3, 4, {"sample": 1, "train": 4})):
            if args.only in (None, name.split(",")[0]):
                rows += compare(args, name, *what, scratch)
    if args.result:
        about = {"versions": {"diffusers": diffusers.__version__, "torch": torch.__version__}, "threads": torch.get_num_threads(),
                 "machine": platform.machine(), "sampling": f"DDIM, {SAMPLING_STEPS} steps", "rows": rows}
        with open(args.result, "w") as f:
            json.dump(about, f, indent=2)
            f.write("\n")


if __name__ == "__main__":
    main()
