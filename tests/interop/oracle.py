"""diffusers as the oracle: what it samples with a scheduler config from a small network, in float32 and in float64."""

import contextlib
import logging
import sys
import warnings

import diffusers
import numpy as np
import torch
from diffusers import UNet2DModel

from draw import CLASSES

warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity(logging.CRITICAL)

class Instead:
    """A module (torch, numpy) with some other names in it."""

    def __init__(self, module, **other):
        self.module, self.other = module, other

    def __getattr__(self, name):
        return self.other[name] if name in self.other else getattr(self.module, name)


@contextlib.contextmanager
def schedulers_with(torch_instead, numpy_instead):
    """What the modules of the schedulers see as torch and np."""
    modules = [sys.modules[getattr(diffusers, name).__module__] for name in CLASSES]
    for module in modules:
        module.torch, module.np = torch_instead, numpy_instead
    try:
        yield
    finally:
        for module in modules:
            module.torch, module.np = torch, np


@contextlib.contextmanager
def float64():
    """The schedulers compute in float64 throughout."""
    torch.set_default_dtype(torch.float64)
    try:
        with schedulers_with(Instead(torch, float32=torch.float64), Instead(np, float32=np.float64)):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def log(x):
    return np.log(np.asarray(x, np.float64)).astype(x.dtype) if isinstance(x, (np.ndarray, np.floating)) else np.log(x)


def root(x):
    return torch.Tensor.double(x).pow(0.5).to(x.dtype)


@contextlib.contextmanager
def rounded_well():
    """Roots and logarithms in float32 are rounded correctly, which those of torch and numpy are not: their last bits
    depend on the CPU. Where 1 - abar is small or a time is next to a whole number that shows."""
    plain = torch.Tensor.sqrt, torch.Tensor.__pow__
    torch.Tensor.sqrt = root
    torch.Tensor.__pow__ = lambda x, p: root(x) if p == 0.5 else plain[1](x, p)
    try:
        with schedulers_with(Instead(torch, sqrt=root), Instead(np, log=log)):
            yield
    finally:
        torch.Tensor.sqrt, torch.Tensor.__pow__ = plain


TABLES = {"as they are": contextlib.nullcontext, "rounded well": rounded_well, "float64": float64}


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
        net.conv_out.weight *= 0.5
        net.conv_out.bias += 0.5
    return net.eval().requires_grad_(False)


def own_class(config):
    keys = {k: v for k, v in config.items() if k != "_class_name"}
    return getattr(diffusers, config["_class_name"]).from_config(keys)


def saved(config):
    """The text of scheduler_config.json that diffusers saves: every key, and what it made of some."""
    return own_class(config).to_json_string()


def make(config):
    """The scheduler of a config; where its own sampling is not ours (`stand_in`), DDIM's on the same betas."""
    own = own_class(config)
    if not stand_in(config):
        return own
    return diffusers.DDIMScheduler(
        num_train_timesteps=own.config.num_train_timesteps, trained_betas=own.betas.tolist(),
        timestep_spacing="leading", prediction_type=own.config.prediction_type,
        clip_sample=own.config.get("clip_sample", False), clip_sample_range=own.config.get("clip_sample_range", 1.0),
        thresholding=own.config.get("thresholding", False))


def stand_in(config):
    return config["_class_name"] in ("DDPMScheduler", "PNDMScheduler")


def whole(times):
    """The times where they are whole numbers (cut or rounded, so that another precision might cut them otherwise)."""
    return times if all(t % 1 == 0 for t in times) else None


def prepare(config, steps, times=None):
    """The scheduler, its steps set, with other times than its own where they are given. Not all pipelines set the first
    index; it matters only where the first two times are equal: there those that do not fail."""
    scheduler = make(config)
    scheduler.set_timesteps(steps)
    if times is not None:
        scheduler.timesteps = torch.tensor(times, dtype=scheduler.timesteps.dtype)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler


def walk(scheduler, net, noise):
    """As the pipelines do it: the end, the times passed to the network, and the state at each."""
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
    def run(self, config, steps):
        """In float32, as diffusers is."""
        return walk(prepare(config, steps), self.net, self.noise)

    @torch.no_grad()
    def run64(self, config, steps, tables, times=None):
        """In float64 on tables of one kind (TABLES)."""
        with TABLES[tables]():
            scheduler = prepare(config, steps, times)
        for name, value in vars(scheduler).items():
            if torch.is_tensor(value) and value.is_floating_point():
                setattr(scheduler, name, value.double())
        with float64():
            return walk(scheduler, self.net64, self.noise.double())
