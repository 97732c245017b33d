#!/usr/bin/env python3
"""Makes tests/golden/unet-*: small UNet2DModels of diffusers that have every kind of block, time embedding and condition
between them, with outputs and gradients in float32. Run by hand in tests/golden; README.md says with which versions.

The weights are f16 numbers: half the bytes, and exact in f32."""

import json
import os

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

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
}


def inputs(config):
    shape = [2, config["in_channels"]] + list(np.broadcast_to(config["sample_size"], 2))
    learned = config.get("time_embedding_type") == "learned"
    t = np.array([3, 19]) if learned else np.array([0.5, 40], np.float32)
    kind = config.get("class_embed_type")
    label = {None: None, "timestep": np.array([7, 2]), "identity": np.random.randn(2, config.get("time_embedding_dim", 0))}[kind]
    return np.random.randn(*shape).astype(np.float32), t, label.astype(np.float32) if kind == "identity" else label


def model_of(config):
    model = UNet2DModel(**config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name != "time_proj.weight":
                p += 0.05 * torch.randn_like(p)
            p.copy_(p.half().float())
    return model


def scheduler_of(config):
    """One whose times the network can be fed: fourier's are above 0, learned ones have a row each."""
    if config.get("time_embedding_type") == "fourier":
        return {"_class_name": "RectdiffScheduler", "form": "vp"}
    if config.get("time_embedding_type") == "learned":
        return {"_class_name": "DDPMScheduler", "num_train_timesteps": config.get("num_train_timesteps")}
    return {"_class_name": "DDPMScheduler"}


def write_model(folder, config, model):
    os.makedirs(folder + "/unet", exist_ok=True)
    os.makedirs(folder + "/scheduler", exist_ok=True)
    for file, value in (("unet", dict(config, _class_name="UNet2DModel")), ("scheduler/scheduler_", scheduler_of(config))):
        with open(f"{folder}/{file}{'/' if file == 'unet' else ''}config.json", "w", encoding="utf-8") as f:
            json.dump(value, f, indent=2)
            f.write("\n")
    save_file({k: v.half() for k, v in model.state_dict().items()}, folder + "/unet/diffusion_pytorch_model.safetensors")


def main():
    for number, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        np.random.seed(number)
        model = model_of(config)
        x, t, label = inputs(config)
        write_model(name + "/model", config, model)
        tx = torch.from_numpy(x).requires_grad_()
        y = model(tx, torch.from_numpy(t), class_labels=None if label is None else torch.from_numpy(label)).sample
        (y.square().mean() / 2).backward()
        sums = {k: [float(f"{v:.9g}") for v in (p.grad.norm(), p.grad.sum())] if p.grad is not None else [0, 0] for k, p in model.named_parameters()}
        with open(name + "/grad_norm_sum.json", "w", encoding="utf-8") as f:
            json.dump(sums, f)
            f.write("\n")
        arrays = {"x": x, "t": t, "label": label, "y": y.detach().numpy(), "grad_x": tx.grad.numpy()}
        for key, value in arrays.items():
            if value is not None:
                np.save(f"{name}/{key}.npy", value)


if __name__ == "__main__":
    main()
