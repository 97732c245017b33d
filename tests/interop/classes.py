#!/usr/bin/env python3
"""Classes to images as a user goes about it: small pipelines in the manner of facebook/DiT-XL-2-256, with random weights, as that
one is and as diffusers saves it now; rectify.mk; the card's snippets; and what odesample and the pipelines make of the same noise
and classes.

Run by hand, with the packages of requirements.txt; README.md has the command. Exits with 1 where anything differs."""

import json
import re
import sys
from unittest import mock

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel, DPMSolverMultistepScheduler
from safetensors.torch import load_file

import suite
from suite import SEED, STEPS, below, distance, python_of, run_python, tell_apart, write_json

CLASSES, GUIDANCE = 4, 4  # of those that are drawn; the pipeline takes the thousandth for none
HUB = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.12.0.dev0", "beta_end": 0.02, "beta_schedule": "linear",
       "beta_start": 0.0001, "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "epsilon",
       "set_alpha_to_one": True, "steps_offset": 0, "trained_betas": None}
# What the transformer's config had before there was a class for it
FORMER = {"_class_name": "Transformer2DModel", "_diffusers_version": "0.12.0.dev0", "cross_attention_dim": None,
          "num_vector_embeds": None, "only_cross_attention": False, "use_linear_projection": False}
KINDS = {"hub": "as on the hub", "saved": "as saved now"}


def build(kind, folder):
    """A pipeline in the folder MODEL of this one. Classes count for more than at the usual start of training, or all would have much
    the same samples."""
    torch.manual_seed(SEED)
    transformer = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=12, out_channels=8, num_layers=2, sample_size=8)
    with torch.no_grad():
        for name, p in transformer.named_parameters():
            p *= 4 if "class_embedder" in name else 1
    vae = AutoencoderKL(block_out_channels=(8, 8, 8, 8), latent_channels=4, norm_num_groups=4,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    model = folder + "/MODEL"
    DiTPipeline(transformer=transformer, vae=vae, scheduler=DDIMScheduler.from_config(HUB)).save_pretrained(model)
    if kind == "saved":
        return
    write_json(model + "/scheduler/scheduler_config.json", HUB)
    edit(model + "/transformer/config.json", {**FORMER, "norm_eps": ...})
    edit(model + "/model_index.json", {"transformer": ["diffusers", "Transformer2DModel"],
                                       "id2label": {str(k): f"thing {k}, object {k}" for k in range(1000)}})


def edit(path, keys):
    """Sets keys of a JSON file; what is `...` goes."""
    with open(path, encoding="utf-8") as f:
        o = {**json.load(f), **keys}
    write_json(path, {k: v for k, v in o.items() if v is not ...})


def latents(p, noise, classes, steps, guidance):
    """What the pipeline makes of this noise; it takes none and gives images only."""
    seen = {}
    hook = p.vae.post_quant_conv.register_forward_pre_hook(lambda m, args: seen.update(x=args[0]))
    with mock.patch("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda **named: noise.clone()):
        p([int(k) for k in classes], num_inference_steps=steps, guidance_scale=guidance, output_type="pt")
    hook.remove()
    return seen["x"] * p.vae.config.scaling_factor


def check_sampling(kind, folder, tools):
    """1. The model as it came, with and without guidance, by its own scheduler and by that of diffusers' example."""
    p = DiTPipeline.from_pretrained(folder + "/MODEL")
    p.set_progress_bar_config(disable=True)
    assert kind == "saved" or p.get_label_ids(["object 3"]) == [3]
    said = tools.sh("tensorcat MODEL")
    assert re.search(r"classes +1001, of which 1000 stands for none", said), said
    noise, classes = tools.noise("MODEL", range(CLASSES))
    own, result = p.scheduler, {}
    example = DPMSolverMultistepScheduler.from_config(own.config)
    example.save_pretrained(folder + "/example")
    for name, scheduler, options in (("own", own, []), ("DPM-Solver++", example, ["--scheduler", "example"])):
        p.scheduler = scheduler
        for steps in STEPS:
            for guidance in (1, GUIDANCE):
                ours = tools.sample("MODEL", "--steps", str(steps), "--guidance", str(guidance), *options)
                theirs = latents(p, noise, classes, steps, guidance)
                result[f"{name}, {steps} steps, guidance {guidance}"] = distance(ours, theirs)
    p.scheduler = own
    tell_apart("classes' samples", latents(p, noise[:1].repeat(CLASSES, 1, 1, 1), range(CLASSES), 2, 1))
    return result


def check_rectified(folder, tools):
    """2. rectify.mk; then the card's snippets give an image, and the latents of their pipeline are ours."""
    tools.rectify()
    card = below(folder + "/out/rectified/README.md", "Use")
    tools.sh(re.findall(r"```\n(odesample.*?)```", card, re.S)[0], "out/rectified")
    noise, classes = tools.noise("out/rectified", range(CLASSES))
    names = run_python(python_of(card).replace("ORIGINAL", "../../MODEL"), folder + "/out/rectified")
    p, side = names["pipeline"], names["transformer"].config.sample_size * 8
    assert names["image"].size == (side, side), names["image"]
    original = load_file(folder + "/MODEL/transformer/diffusion_pytorch_model.safetensors")
    assert original.keys() == p.transformer.state_dict().keys()
    was, now = (b.view(-1, 2, 4) for b in (original["proj_out_2.bias"], p.transformer.proj_out_2.bias.detach()))
    assert not torch.equal(was[:, 0], now[:, 0]), "the network is the original's"
    assert torch.equal(was[:, 1], now[:, 1]), "variances have changed, which nothing taught"
    result = {}
    for steps in STEPS:
        ours = tools.sample("out/rectified", "--steps", str(steps), *([] if steps == 1 else ["--solver", "ddim"]))
        result[f"{steps} steps"] = distance(ours, latents(p, noise, classes, steps, 1))
    return result


def check(kind, tools):
    build(kind, tools.folder)
    return {"samples": check_sampling(kind, tools.folder, tools), "rectified": check_rectified(tools.folder, tools)}


if __name__ == "__main__":
    sys.exit(suite.main(__doc__, KINDS, check))
