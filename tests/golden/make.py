#!/usr/bin/env python3
"""Makes tests/golden/unet-*, dit* and sd3*: small UNet2DModels of diffusers that have every kind of block, time embedding and
condition between them, UNet2DConditionModels in the manner of Stable Diffusion 1, 2 and XL, DiTTransformer2DModels and
SD3Transformer2DModels, with outputs and gradients in float32. Run by hand in tests/golden, for all or for those that are named; README.md says with which
versions.

The weights are f16 numbers: half the bytes, and exact in f32."""

import json
import os
import sys

import diffusers
import numpy as np
import torch
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import save_file

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": False,
         "steps_offset": 1, "clip_sample": False, "skip_prk_steps": True, "trained_betas": None}
PNDM = dict(BETAS, _class_name="PNDMScheduler")
DDIM_V = dict(BETAS, _class_name="DDIMScheduler", prediction_type="v_prediction")
EULER = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
         "timestep_spacing": "leading", "steps_offset": 1, "interpolation_type": "linear", "use_karras_sigmas": False}
DDIM = {"_class_name": "DDIMScheduler", "beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "clip_sample": False,
        "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": True, "steps_offset": 0, "trained_betas": None}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
SCHEDULERS = {"unet-cross": PNDM, "unet-cross-linear": DDIM_V, "unet-cross-vectors": EULER, "dit": DDIM, "sd3": FLOW, "sd3-dual": FLOW}
ROWS, TOKENS, NULL_ROW = 3, 5, 2  # of contexts.safetensors

SKIPS = {"in_channels": 3, "out_channels": 3, "sample_size": [8, 4], "norm_num_groups": None}
MODELS = {
    # the way down and up of score_sde_ve: filtered, with a picture beside the features, times by Fourier features
    "unet-skip": dict(SKIPS, block_out_channels=[4, 4], layers_per_block=1, time_embedding_type="fourier", act_fn="mish",
                      down_block_types=["SkipDownBlock2D", "SkipDownBlock2D"], up_block_types=["SkipUpBlock2D", "SkipUpBlock2D"],
                      mid_block_scale_factor=2 ** 0.5, norm_eps=1e-6, attention_head_dim=4, center_input_sample=True, dropout=0.1),
    "unet-attn-skip": dict(SKIPS, block_out_channels=[32], layers_per_block=0, down_block_types=["AttnSkipDownBlock2D"],
                           up_block_types=["AttnSkipUpBlock2D"], attention_head_dim=12, mid_block_type=None,
                           class_embed_type="timestep", time_embedding_dim=8, freq_shift=1),
    "unet-resnet": dict(in_channels=2, out_channels=2, sample_size=8, block_out_channels=[4, 6], layers_per_block=1,
                        down_block_types=["AttnDownBlock2D", "ResnetDownsampleBlock2D"], downsample_type="resnet",
                        up_block_types=["AttnUpBlock2D", "ResnetUpsampleBlock2D"], upsample_type="resnet",
                        time_embedding_type="learned", num_train_timesteps=20, class_embed_type="timestep",
                        resnet_time_scale_shift="scale_shift", norm_num_groups=2, attn_norm_num_groups=2,
                        attention_head_dim=None, act_fn="gelu", time_embedding_dim=10),
    "unet-identity": dict(in_channels=1, out_channels=1, sample_size=[4, 12], block_out_channels=[4, 4], layers_per_block=1,
                          down_block_types=["ResnetDownsampleBlock2D", "UNetResAttnDownBlock2D"], downsample_padding=0,
                          up_block_types=["ResnetUpsampleBlock2D", "UNetResUpBlock2D"], class_embed_type="identity",
                          add_attention=False, norm_num_groups=2, flip_sin_to_cos=False, time_embedding_dim=6,
                          attention_head_dim=3),
    "unet-cross": dict(in_channels=4, out_channels=4, sample_size=8, block_out_channels=[16, 24], layers_per_block=1,
                       down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], norm_num_groups=8, cross_attention_dim=12,
                       up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"], attention_head_dim=4),
    # three heads of five channels in a block of 16
    "unet-cross-linear": dict(in_channels=4, out_channels=4, sample_size=[4, 8], block_out_channels=[8, 16], layers_per_block=1,
                              down_block_types=["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2,
                              norm_num_groups=4, cross_attention_dim=12, attention_head_dim=[2, 3], use_linear_projection=True,
                              transformer_layers_per_block=2, upcast_attention=True, dropout=0.1),
    # a vector of 6 + 6 * 4 numbers beside each context; as deep as its resolution is low
    "unet-cross-vectors": dict(in_channels=4, out_channels=4, sample_size=8, block_out_channels=[8, 16], layers_per_block=1,
                               down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
                               up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"], norm_num_groups=4, cross_attention_dim=12,
                               attention_head_dim=[1, 2], transformer_layers_per_block=[1, 2], use_linear_projection=True,
                               addition_embed_type="text_time", addition_time_embed_dim=4,
                               projection_class_embeddings_input_dim=30),
    # the second half of the output is a variance
    "dit": dict(in_channels=4, out_channels=8, sample_size=8, patch_size=2, num_attention_heads=2, attention_head_dim=8, num_layers=2,
                num_embeds_ada_norm=10, attention_bias=True, activation_fn="gelu-approximate", norm_type="ada_norm_zero",
                norm_elementwise_affine=False, norm_num_groups=32, dropout=0.0, upcast_attention=False),
    "dit-pixels": dict(in_channels=3, out_channels=3, sample_size=16, patch_size=4, num_attention_heads=4, attention_head_dim=9,
                       num_layers=3, num_embeds_ada_norm=4, attention_bias=False, norm_eps=0.01, dropout=0.1),
    # of 7x7 positions the middle ones, which is not quite their middle
    "sd3": dict(in_channels=4, out_channels=4, sample_size=8, patch_size=2, num_layers=2, num_attention_heads=2, attention_head_dim=8,
                joint_attention_dim=12, caption_projection_dim=16, pooled_projection_dim=7, pos_embed_max_size=7),
    # in the manner of Stable Diffusion 3.5
    "sd3-dual": dict(in_channels=3, out_channels=3, sample_size=6, patch_size=2, num_layers=3, num_attention_heads=3,
                     attention_head_dim=4, joint_attention_dim=10, caption_projection_dim=12, pooled_projection_dim=5,
                     pos_embed_max_size=5, dual_attention_layers=[0, 2], qk_norm="rms_norm"),
}

# What facebook/DiT-XL-2-256 has: the class's former name, and keys of that
FORMER = {"dit": {"_class_name": "Transformer2DModel", "cross_attention_dim": None, "num_vector_embeds": None,
                  "only_cross_attention": False, "use_linear_projection": False}}

# Sampling, for cases.json: steps, guidance, what is not as in the model's scheduler
RUNS = {
    "unet-cross": {"ddim_leading": (6, 1, {"_class_name": "DDIMScheduler"}), "dpmpp2m": (6, 1, {"_class_name": "DPMSolverMultistepScheduler"}),
                   "ddim_cfg3": (6, 3, {"_class_name": "DDIMScheduler"})},
    "unet-cross-linear": {"ddim_v": (6, 1, {})},
    "unet-cross-vectors": {"euler_leading": (6, 1, {}), "euler_cfg3": (6, 3, {})},
    "sd3": {"euler": (6, 1, {}), "euler_cfg3": (6, 3, {})},
    "dit": {"ddim_leading": (6, 1, {}), "ddim_cfg3": (6, 3, {}), "dpmpp2m": (6, 1, {"_class_name": "DPMSolverMultistepScheduler"})},
}


def is_sd3(config):
    return "joint_attention_dim" in config


def is_cross(config):
    return "cross_attention_dim" in config


def is_dit(config):
    return "num_embeds_ada_norm" in config


def class_of(config):
    if is_sd3(config):
        return diffusers.SD3Transformer2DModel
    name = "DiTTransformer2DModel" if is_dit(config) else "UNet2DConditionModel" if is_cross(config) else "UNet2DModel"
    return getattr(diffusers, name)


def inputs(config):
    shape = [2, config["in_channels"]] + list(np.broadcast_to(config["sample_size"], 2))
    learned = config.get("time_embedding_type") == "learned"
    t = np.array([3, 19]) if learned else np.array([0.5, 40], np.float32)
    kind = "row" if is_cross(config) or is_dit(config) or is_sd3(config) else config.get("class_embed_type")
    label = {None: None, "timestep": np.array([7, 2]), "identity": np.random.randn(2, config.get("time_embedding_dim", 0)),
             "row": np.array([1, 0])}[kind]
    return np.random.randn(*shape).astype(np.float32), t, label.astype(np.float32) if kind == "identity" else label


def frozen(model):
    """What is saved with the parameters but is none."""
    parameters = dict(model.named_parameters())
    return {k: v for k, v in model.state_dict().items() if k not in parameters}


def model_of(config):
    model = class_of(config)(**config).eval()
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(frozen(model).items()):
            if name != "time_proj.weight":
                p += 0.05 * torch.randn_like(p)
            if (is_cross(config) or is_dit(config) or is_sd3(config)) and (".to_q." in name or ".to_k." in name):
                p *= 2  # or all tokens would count alike
            if (is_dit(config) or is_sd3(config)) and (".ff.net.0." in name or ".ff_context.net.0." in name):
                p *= 4  # to where the forms of gelu differ
            p.copy_(p.half().float())
    return model


@torch.no_grad()
def even_out(model, x):
    """Gives the first image a first patch whose channels are nearly alike, so that a normalisation's eps counts. There must be as
    many channels as numbers in a patch."""
    e, p = model.pos_embed, model.config.patch_size
    goal = 0.1 * torch.randn(model.inner_dim) - e.pos_embed[0, 0] - e.proj.bias
    x[0, :, :p, :p] = torch.linalg.solve(e.proj.weight.flatten(1), goal).view(-1, p, p).numpy()


def condition(label, contexts):
    """The arguments of the network that labels stand for."""
    label = None if label is None else torch.from_numpy(label)
    if contexts is None:
        return {"class_labels": label}
    if "text_embeds" not in contexts and "vectors" in contexts:
        return {"encoder_hidden_states": contexts["contexts"][label], "pooled_projections": contexts["vectors"][label]}
    added = {k: contexts[k][label] for k in ("text_embeds", "time_ids") if k in contexts}
    return {"encoder_hidden_states": contexts["contexts"][label], "added_cond_kwargs": added}


def draw_contexts(config):
    """What labels stand for, by the names that diffusers has for it; and `vectors`, as the file has them."""
    normal = lambda *shape: torch.from_numpy(np.random.randn(*shape).astype(np.float32))
    if is_sd3(config):
        return {"contexts": normal(ROWS, TOKENS, config["joint_attention_dim"]), "vectors": normal(ROWS, config["pooled_projection_dim"])}
    if not is_cross(config):
        return None
    c = {"contexts": normal(ROWS, TOKENS, config["cross_attention_dim"])}
    if "addition_embed_type" in config:
        dim = config["addition_time_embed_dim"]
        c["text_embeds"] = normal(ROWS, config["projection_class_embeddings_input_dim"] - 6 * dim)
        c["time_ids"] = torch.from_numpy(np.random.randint(0, 64, (ROWS, 6)))
        sizes = get_timestep_embedding(c["time_ids"].flatten(), dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        c["vectors"] = torch.cat([c["text_embeds"], sizes.reshape(ROWS, -1)], -1)
    return c


def scheduler_of(name, config):
    """One whose times the network can be fed: fourier's are above 0, learned ones have a row each."""
    if config.get("time_embedding_type") == "fourier":
        return {"_class_name": "RectdiffScheduler", "form": "vp"}
    if config.get("time_embedding_type") == "learned":
        return {"_class_name": "DDPMScheduler", "num_train_timesteps": config.get("num_train_timesteps")}
    if name in SCHEDULERS:
        return SCHEDULERS[name]
    return {"_class_name": "DDPMScheduler"}


def write_json(file, value, indent=None):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=indent)
        f.write("\n")


def write_model(name, config, model, contexts):
    folder = name + "/model"
    network = folder + ("/transformer" if is_dit(config) or is_sd3(config) else "/unet")
    write_json(network + "/config.json", {**config, "_class_name": type(model).__name__, **FORMER.get(name, {})}, 2)
    write_json(folder + "/scheduler/scheduler_config.json", scheduler_of(name, config), 2)
    save_file({k: v.half() for k, v in model.state_dict().items()}, network + "/diffusion_pytorch_model.safetensors")
    if contexts is not None:
        save_file({k: contexts[k] for k in ("contexts", "vectors") if k in contexts}, folder + "/contexts.safetensors", {"null_class": str(NULL_ROW)})


def predict(model, x, t, label, contexts):
    """The output without its variances, if it has any."""
    return model(x, timestep=t, **condition(label, contexts)).sample[:, :x.shape[1]]


@torch.no_grad()
def sample(model, scheduler, x, label, contexts, guidance):
    null = np.full_like(label, model.config.num_embeds_ada_norm if is_dit(model.config) else NULL_ROW)
    flow = isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler)
    x = x * (1 if flow else scheduler.init_noise_sigma)
    for t in scheduler.timesteps:
        times, given = t.expand(len(x)), x if flow else scheduler.scale_model_input(x, t)
        y = predict(model, given, times, label, contexts)
        if guidance != 1:
            y0 = predict(model, given, times, null, contexts)
            y = y0 + guidance * (y - y0)
        x = scheduler.step(y, t, x).prev_sample
    return x.numpy()


def write_runs(folder, config, model, x, label, contexts):
    cases = {}
    for name, (steps, guidance, keys) in RUNS[folder].items():
        keys = dict(scheduler_of(folder, config), **keys)
        write_json(f"{folder}/{name}/scheduler_config.json", keys, 2)
        scheduler = getattr(diffusers, keys["_class_name"]).from_config(keys)
        scheduler.set_timesteps(steps)
        end = sample(model, scheduler, torch.from_numpy(x), label, contexts, guidance)
        np.save(f"{folder}/{name}.npy", end)
        cases[name] = {"steps": steps, "timesteps": [float(t) for t in scheduler.timesteps], "max": float(np.abs(end).max())}
        if guidance != 1:
            cases[name]["guidance"] = guidance
    write_json(folder + "/cases.json", cases, 1)


def main():
    for number, (name, config) in enumerate(MODELS.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        torch.manual_seed(number)
        np.random.seed(number)
        model = model_of(config)
        x, t, label = inputs(config)
        if name == "dit":
            even_out(model, x)
        contexts = draw_contexts(config)
        write_model(name, config, model, contexts)
        tx = torch.from_numpy(x).requires_grad_()
        y = predict(model, tx, torch.from_numpy(t), label, contexts)
        (y.square().mean() / 2).backward()
        sums = {k: [float(f"{v:.9g}") for v in (p.grad.norm(), p.grad.sum())] if p.grad is not None else [0, 0] for k, p in model.named_parameters()}
        sums.update({k: [0, 0] for k in frozen(model)})
        write_json(name + "/grad_norm_sum.json", sums)
        arrays = {"x": x, "t": t, "label": label, "y": y.detach().numpy(), "grad_x": tx.grad.numpy()}
        for key, value in arrays.items():
            if value is not None:
                np.save(f"{name}/{key}.npy", value)
        if name in RUNS:
            write_runs(name, config, model, x, label, contexts)


if __name__ == "__main__":
    main()
