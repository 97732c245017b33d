"""diffusers as the oracle: end point and network times of one scheduler config on a small network, in float32 and in float64."""

import contextlib
import itertools
import logging
import sys
import warnings

import diffusers
import numpy as np
import torch
from diffusers import UNet2DModel

warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity(logging.CRITICAL)

NEAR = 1e-3  # a time this near to a whole number is cut to it or to the one below as rounding has it


class Wide:
    """A module (torch, numpy) in which float32 means float64."""

    def __init__(self, module, **other):
        self.module, self.other = module, dict(other, float32=module.float64)

    def __getattr__(self, name):
        return self.other[name] if name in self.other else getattr(self.module, name)


@contextlib.contextmanager
def float64(cls, **other):
    """The module of a scheduler computes in float64 throughout, its tables too."""
    module = sys.modules[cls.__module__]
    module.torch, module.np = Wide(torch, **other), Wide(np)
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        module.torch, module.np = torch, np
        torch.set_default_dtype(torch.float32)


def network(seed):
    """Random weights, scaled so that trajectories stay bounded and that a time that is off by one shows."""
    torch.manual_seed(seed)
    net = UNet2DModel(sample_size=16, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(16, 32),
                      down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
                      add_attention=False, norm_num_groups=8)
    with torch.no_grad():
        net.time_embedding.linear_1.weight *= 0.5
        for block in net.modules():
            if isinstance(block, diffusers.models.resnet.ResnetBlock2D):
                block.time_emb_proj.weight *= 3
        net.conv_out.weight *= 2
    return net.eval().requires_grad_(False)


def make(config):
    """The scheduler of a config; of a class without deterministic sampling, DDIM's on the same betas (as `stand_in` says)."""
    cls = getattr(diffusers, config["_class_name"])
    own = cls.from_config({k: v for k, v in config.items() if k != "_class_name"})
    if not stand_in(config):
        return own
    return diffusers.DDIMScheduler(
        num_train_timesteps=own.config.num_train_timesteps, trained_betas=own.betas.tolist(), timestep_spacing="leading",
        prediction_type=own.config.prediction_type, clip_sample=own.config.get("clip_sample", False),
        thresholding=own.config.get("thresholding", False), clip_sample_range=own.config.get("clip_sample_range", 1.0))


def stand_in(config):
    return config["_class_name"] in ("DDPMScheduler", "PNDMScheduler")


def walk(scheduler, steps, net, noise, times=None):
    """As the pipelines do it. (They do not all set the first index; it matters only where the first two times are equal.)"""
    scheduler.set_timesteps(steps)
    if times is not None:
        scheduler.timesteps = torch.tensor(times, dtype=scheduler.timesteps.dtype)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x, passed, states = noise * getattr(scheduler, "init_noise_sigma", 1), [], []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        passed.append(float(t))
        states.append(x.double().numpy())
        x = scheduler.step(net(scaled, t).sample, t, x).prev_sample
    return x.double().numpy(), passed, states


class Oracle:
    """Both precisions of a network and its noise, and what diffusers makes of a config with them."""

    def __init__(self, seed, images):
        self.net, self.net64 = network(seed), network(seed).double()
        self.noise = torch.randn(images, 1, 16, 16, generator=torch.Generator().manual_seed(seed + 1))

    @torch.no_grad()
    def run(self, config, steps, times=None):
        return walk(make(config), steps, self.net, self.noise, times)

    @torch.no_grad()
    def run64(self, config, steps, times=None):
        cls = getattr(diffusers, config["_class_name"])
        with float64(cls), float64(diffusers.DDIMScheduler):
            return walk(make(config), steps, self.net64, self.noise.double(), times)

    def uncut(self, config, steps):
        """The times before they are cut to whole numbers."""
        cls = getattr(diffusers, config["_class_name"])
        with float64(cls, int64=torch.float64):
            scheduler = make(config)
            scheduler.set_timesteps(steps)
            return [float(t) for t in scheduler.timesteps]

    def near_ties(self, config, steps, most=32):
        """Other lists of times that rounding could have given: those of a cut of times next to whole numbers."""
        now, exact = self.run(config, steps)[1], self.uncut(config, steps)
        if len(now) != len(exact) or any(t % 1 for t in now):
            return []
        choices = [{float(np.floor(t - NEAR)), float(np.floor(t + NEAR))} if t % 1 else {t, n} for t, n in zip(exact, now)]
        lists = itertools.islice(itertools.product(*choices), most)
        return [list(t) for t in lists if min(t) >= 0 and list(t) != now]
