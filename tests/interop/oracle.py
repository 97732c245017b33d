"""diffusers as the oracle: what it samples with one scheduler config from a small network, in float32 and in float64."""

import contextlib
import itertools
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

NEAR = 1e-3  # a time this near to a whole number is cut to it or to the one below as rounding has it


class Wide:
    """A module (torch, numpy) in which float32 means float64."""

    def __init__(self, module, **other):
        self.module, self.other = module, dict(other, float32=module.float64)

    def __getattr__(self, name):
        return self.other[name] if name in self.other else getattr(self.module, name)


@contextlib.contextmanager
def float64(on, **other):
    """The modules of the schedulers compute in float64 throughout."""
    modules = [sys.modules[getattr(diffusers, name).__module__] for name in CLASSES] if on else []
    for module in modules:
        module.torch, module.np = Wide(torch, **other), Wide(np)
    torch.set_default_dtype(torch.float64 if on else torch.float32)
    try:
        yield
    finally:
        for module in modules:
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
    """The scheduler of a config; of a class without deterministic sampling DDIM's on the same betas (see `stand_in`)."""
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


def cut(config):
    """Whether the network's times are real numbers cut to whole ones."""
    on = {key for key in ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas", "flow_sigmas")
          if config.get("use_" + key)}
    if on & {"karras_sigmas", "lu_lambdas"}:  # these are rounded, but for one class and schedule
        cosine = config.get("beta_schedule") == "squaredcos_cap_v2"
        return config["_class_name"] == "DPMSolverMultistepScheduler" and cosine
    by_logarithms = on & {"exponential_sigmas", "beta_sigmas"}  # flow's times are exact arithmetic: they are to be met
    return bool(by_logarithms) and config["_class_name"] not in ("EulerDiscreteScheduler", "HeunDiscreteScheduler")


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
    def run(self, config, steps, times=None):
        """In float32, as diffusers is."""
        return walk(prepare(config, steps, times), self.net, self.noise)

    @torch.no_grad()
    def run64(self, config, steps, times, tables64):
        """In float64, on the scheduler's float32 tables or on tables in float64 too."""
        with float64(tables64):
            scheduler = prepare(config, steps, times)
        for name, value in vars(scheduler).items():
            if torch.is_tensor(value) and value.is_floating_point():
                setattr(scheduler, name, value.double())
        with float64(True):
            return walk(scheduler, self.net64, self.noise.double())

    def uncut(self, config, steps):
        """The times before they are cut to whole numbers."""
        with float64(True, int64=torch.float64):
            return [float(t) for t in prepare(config, steps).timesteps]

    def near_ties(self, config, steps, most=64):
        """Other lists of times that rounding could have given, where they are cut: of those next to whole numbers."""
        if not cut(config):
            return []
        now, exact = self.run(config, steps)[1], self.uncut(config, steps)
        lists = itertools.islice(itertools.product(*({np.floor(t - NEAR), np.floor(t + NEAR)} for t in exact)), most)
        return [list(t) for t in lists if min(t) >= 0 and list(t) != now]
