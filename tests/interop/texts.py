#!/usr/bin/env python3
"""Text to image as a user goes about it: small pipelines in the manner of Stable Diffusion 1, 2, XL and 3, with random weights; the
snippets of rdmodel(5), of README.md and of the card, as they stand there; rectify.mk; and what odesample and the pipelines make
of the same noise and texts.

Run by hand, with the packages of requirements.txt; README.md has the command. Exits with 1 where anything differs."""

import json
import os
import re
import sys

import diffusers
import numpy as np
import torch
from PIL import Image
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline,
                       StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel)
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel,
                          T5TokenizerFast)

import suite
from suite import IMAGES, SEED, STEPS, below, commands_of, distance, python_of, run_python, tell_apart, write, write_json

GUIDANCE = 7.5
TEXTS = ["a lighthouse at dusk", "two cats, asleep", "a cat", "Rain on a red roof; oil on canvas, 1910"]
OTHERS = ["a dog", "a lighthouse at dawn", "nobody"]

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
         "trained_betas": None, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
# Keys and values of the files that these models come with; some are of no use to the class that is named there.
SCHEDULERS = {
    "1": {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **BETAS},
    "2": {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "prediction_type": "v_prediction", **BETAS},
    "XL": {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "interpolation_type": "linear",
           "prediction_type": "epsilon", "sample_max_value": 1.0, "timestep_spacing": "leading", "use_karras_sigmas": False,
           **BETAS},
    "3": {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.29.0.dev0", "num_train_timesteps": 1000,
          "shift": 3.0},
}
UNETS = {
    "1": dict(attention_head_dim=4, cross_attention_dim=24),
    "2": dict(attention_head_dim=[2, 4], cross_attention_dim=24, use_linear_projection=True, upcast_attention=True),
    "XL": dict(attention_head_dim=[2, 4], cross_attention_dim=24 + 32, use_linear_projection=True,
               transformer_layers_per_block=[1, 2], addition_embed_type="text_time", addition_time_embed_dim=8,
               projection_class_embeddings_input_dim=6 * 8 + 20),
}
SD3 = dict(sample_size=8, in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2, attention_head_dim=12,
           joint_attention_dim=64, caption_projection_dim=24, pooled_projection_dim=20 + 20, pos_embed_max_size=6,
           dual_attention_layers=[0], qk_norm="rms_norm")
# The pipeline's scheduler: its own, or one that a user puts in its place. odesample follows it without options where it is the
# model's own or what stands in for that; else by --scheduler.
TWINS = {
    "1": {"DPM-Solver++": (DPMSolverMultistepScheduler, {"timestep_spacing": "trailing"}), "DDIM": (DDIMScheduler, {})},
    "2": {"own": None},
    "XL": {"own": None, "DDIM": (DDIMScheduler, {})},
    "3": {"own": None},
}
PIPELINES = {"1": StableDiffusionPipeline, "2": StableDiffusionPipeline, "XL": StableDiffusionXLPipeline, "3": StableDiffusion3Pipeline}
TOKENS = {"1": 77, "2": 77, "XL": 77, "3": 77 + 256}

# --- small pipelines --------------------------------------------------------------------------------------------------


def part_of(kind):
    return "transformer" if kind == "3" else "unet"


def tokenizer(folder, pad):
    """Letters and two merges, in the files that the models come with; the special tokens are the last, as there."""
    letters = "!" + "".join(chr(c) for c in range(34, 127))
    tokens = list(letters) + [c + "</w>" for c in letters] + ["ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder)
    write_json(folder + "/vocab.json", {t: i for i, t in enumerate(tokens)})
    write(folder + "/merges.txt", "#version: 0.2\nc a\nca t</w>\n")
    write_json(folder + "/tokenizer_config.json",
               {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": pad, "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})
    return CLIPTokenizer.from_pretrained(folder), len(tokens)


def encoder(kind, vocabulary, width):
    config = CLIPTextConfig(vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
                            num_attention_heads=4, projection_dim=20, bos_token_id=0, eos_token_id=2, pad_token_id=1)
    return kind(config).eval()


def t5(width):
    """A tokenizer of letters, one word and a piece of one, and an encoder."""
    pieces = ["\u2581", *(chr(c) for c in range(33, 127)), "\u2581a", "cat"]
    words = T5TokenizerFast(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [(p, -3.0) for p in pieces], extra_ids=0)
    config = T5Config(vocab_size=len(words), d_model=width, d_kv=8, d_ff=width, num_layers=2, num_heads=4)
    return {"tokenizer_3": words, "text_encoder_3": T5EncoderModel(config).eval()}


def network(kind):
    """Contexts and vectors count for more than at the usual start of training, or all texts would have much the same samples."""
    if kind == "3":
        net, strong = SD3Transformer2DModel(**SD3), ("context_embedder", "text_embedder", "attn.add_v_proj", "attn.to_out.0.weight")
    else:
        net = UNet2DConditionModel(sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
                                   down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                                   up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **UNETS[kind])
        strong = ("attn2.to_v", "attn2.to_out.0.weight", "add_embedding")
    with torch.no_grad():
        for name, p in net.named_parameters():
            p *= 4 if any(s in name for s in strong) else 1
    return net


def build(kind, folder):
    """A pipeline in the folder MODEL of this one."""
    torch.manual_seed(SEED)
    words, n = tokenizer(folder + "/words", "<|endoftext|>")
    net = network(kind)
    vae = AutoencoderKL(block_out_channels=(8, 8, 8, 8), latent_channels=4, norm_num_groups=4,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                        **({"scaling_factor": 1.5305, "shift_factor": 0.0609} if kind == "3" else {}))
    scheduler = getattr(diffusers, SCHEDULERS[kind]["_class_name"]).from_config(SCHEDULERS[kind])
    first = CLIPTextModelWithProjection if kind == "3" else CLIPTextModel
    parts = {"vae": vae, part_of(kind): net, "scheduler": scheduler, "tokenizer": words, "text_encoder": encoder(first, n, 24)}
    if kind in ("XL", "3"):
        parts.update(tokenizer_2=tokenizer(folder + "/words2", "!")[0], text_encoder_2=encoder(CLIPTextModelWithProjection, n, 32))
    if kind == "3":
        parts.update(t5(SD3["joint_attention_dim"]))
    if kind in ("1", "2"):
        parts.update(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    p = PIPELINES[kind](**parts)
    p.save_pretrained(folder + "/MODEL")
    write_json(folder + "/MODEL/scheduler/scheduler_config.json", SCHEDULERS[kind])


# --- what the documents say -------------------------------------------------------------------------------------------


def man_block(*words):
    """The one literal block with these words in the section of rdmodel(5) on contexts."""
    with open("man/rdmodel.5", encoding="utf-8") as f:
        part = re.search(r"^\.Ss Contexts$(.*?)^\.Ss ", f.read(), re.S | re.M)[1]
    [block] = [b for b in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", part, re.S | re.M) if all(w in b for w in words)]
    assert "\\" not in block, "roff to be read"
    return block


def contexts_code(kind):
    return man_block(PIPELINES[kind].__name__)


def latents(p, noise, texts, steps, guidance):
    return p(texts, num_inference_steps=steps, guidance_scale=guidance, latents=noise.clone(), output_type="latent").images


# --- what a user does -------------------------------------------------------------------------------------------------


def write_prompts(folder, texts):
    write(folder + "/prompts", "".join(t + "\n" for t in texts))


def fed(p, texts):
    """What the pipeline feeds its network: contexts and, for XL and 3, vectors, of no text for each text and then of the texts."""
    seen, net = {}, getattr(p, "unet", None) or p.transformer
    hooks = [net.register_forward_pre_hook(lambda m, args, named: seen.update(contexts=named["encoder_hidden_states"]),
                                           with_kwargs=True)]
    embedding = net.time_text_embed.text_embedder if isinstance(net, SD3Transformer2DModel) else \
        net.add_embedding if net.config.addition_embed_type else None
    if embedding:
        hooks.append(embedding.register_forward_pre_hook(lambda m, args: seen.update(vectors=args[0])))
    p(texts, num_inference_steps=1, guidance_scale=2, output_type="latent")
    for h in hooks:
        h.remove()
    return seen


def check_contexts(kind, folder, tools):
    """1. The snippet of rdmodel(5), and its contexts beside what the pipeline itself makes of the texts."""
    write_prompts(folder, TEXTS)
    n, p = len(TEXTS), run_python(contexts_code(kind), folder)["p"]
    tensors, seen = load_file(folder + "/MODEL/contexts.safetensors"), fed(p, TEXTS)
    with safe_open(folder + "/MODEL/contexts.safetensors", "pt") as f:
        assert f.metadata() == {"null_class": str(n)}, f.metadata()
    assert seen.keys() == tensors.keys(), (seen.keys(), tensors.keys())
    said = tools.sh("tensorcat MODEL")
    assert re.search(rf"contexts +{n + 1} rows of {TOKENS[kind]} tokens", said) and f"{n} stands for none" in said, said
    for key in seen:
        tell_apart(key, tensors[key])
    return p, {key: distance(tensors[key], torch.cat([of[n:], of[:1]])) for key, of in seen.items()}


def check_sampling(kind, p, folder, tools):
    """2. The model as it came, with and without guidance."""
    noise, texts = tools.noise("MODEL", TEXTS)
    own, result = p.scheduler, {}
    write_json(folder + "/ddim.json", {**SCHEDULERS[kind], "_class_name": "DDIMScheduler"})
    for name, twin in TWINS[kind].items():
        p.scheduler = twin[0].from_config(own.config, **twin[1]) if twin else own
        options = ["--scheduler", "ddim.json"] if name == "DDIM" else []
        for steps in STEPS:
            for guidance in (1, GUIDANCE):
                ours = tools.sample("MODEL", "--steps", str(steps), "--guidance", str(guidance), *options)
                theirs = latents(p, noise, texts, steps, guidance)
                result[f"{name}, {steps} steps, guidance {guidance}"] = distance(ours, theirs)
    p.scheduler = own
    alike = torch.from_numpy(tools.array("noise", "noise")[:1]).repeat(len(TEXTS), 1, 1, 1)
    tell_apart("samples", latents(p, alike, TEXTS, 2, 1))
    return result


def many_steps(kind, steps):
    """odesample's options for what the pipeline does."""
    return [] if steps == 1 or kind == "3" else ["--solver", "ddim"]


def check_rectified(kind, folder, tools):
    """3. rectify.mk; then the snippets of the card and of README.md give an image, and the latents of their pipelines are ours."""
    tools.rectify()
    card = below(folder + "/out/rectified/README.md", "Use")
    readme = python_of(below("README.md", "Text to image")).replace("RECTIFIED", "out/rectified").replace("DIR", "MODEL")
    if kind == "XL":
        readme = readme.replace("StableDiffusionPipeline", "StableDiffusionXLPipeline")
    tools.sh(re.findall(r"```\n(odesample.*?)```", card, re.S)[0], "out/rectified")
    noise, texts = tools.noise("out/rectified", TEXTS)
    part = part_of(kind)
    original = load_file(f"{folder}/MODEL/{part}/diffusion_pytorch_model.safetensors")
    result = {}
    codes = {"card": (python_of(card).replace("ORIGINAL", "../../MODEL"), "/out/rectified"), "README": (readme, "")}
    if kind == "3":
        del codes["README"]  # those lines are of other classes
    for name, (code, there) in codes.items():
        names = run_python(code, folder + there)
        p, side = names["pipeline"], names[part].config.sample_size * 8
        assert names["image"].size == (side, side) and np.ptp(np.asarray(names["image"])) > 0, names["image"]
        now = getattr(p, part).state_dict()
        assert any(not torch.equal(v, original[k]) for k, v in now.items()), "the network is the original's"
        assert "pos_embed.pos_embed" not in now or torch.equal(*(o["pos_embed.pos_embed"] for o in (now, original))), "trained positions"
        for steps in STEPS:
            ours = tools.sample("out/rectified", "--steps", str(steps), *many_steps(kind, steps))
            result[f"{name}, {steps} steps"] = distance(ours, latents(p, noise, texts, steps, 1))
    return p, result


def check_others(kind, p, folder, tools):
    """4. Other texts for the rectified model, by rdmodel(5), and pictures of the latents."""
    tools.sh(commands_of(man_block("ln -s")).replace("RECTIFIED", "out/rectified"))
    write_prompts(folder, OTHERS)
    names = run_python(contexts_code(kind).replace("MODEL/contexts", "OTHER/contexts"), folder)
    noise, texts = tools.noise("OTHER", OTHERS)
    ours, theirs = tools.sample("OTHER", "--steps", "2", *many_steps(kind, 2)), latents(p, noise, texts, 2, 1)
    result = {"2 steps": distance(ours, theirs)}
    tools.sh(commands_of(man_block("tensorcat")))
    run_python(man_block("numpy.load"), folder, torch=torch, p=names["p"])
    images = p(texts, num_inference_steps=2, guidance_scale=1, latents=noise.clone()).images
    ours, theirs = [np.asarray(Image.open(f"{folder}/{i}.png"), int) for i in range(IMAGES)], np.stack(images).astype(int)
    result["pictures, levels of 255"] = int(np.abs(ours - theirs).max())
    return result


def check_adapters(folder, tools):
    """5. Of rectrain --lora, by the line of its card: the pipeline that it came from, with the LoRA, and odesample with the weights
    that it is in."""
    tools.sh("rectrain -q -m MODEL -o adapted --lora 3 --steps 4 --batch 4 --lr 1e-2 --warmup 0 --ema 0.5 out/pairs-1.tar")
    card = below(folder + "/adapted/README.md", "Use")
    [line] = re.findall(r"`(pipeline.load_lora_weights.*?)`", card)
    code = python_of(card).split("image = ")[0].replace("ORIGINAL", "../MODEL")
    code = re.sub(r"(unet|transformer)=\1, ", "", code)
    p = run_python(code, folder + "/adapted")["pipeline"]
    noise, texts = tools.noise("adapted", TEXTS)
    tell_apart("weights", [latents(p, noise, texts, 1, 1), tools.sample("adapted", "--steps", "1")])
    run_python(line.replace("folder", "\".\""), folder + "/adapted", pipeline=p)
    result = {}
    for steps in STEPS:
        ours = tools.sample("adapted", "--steps", str(steps), *([] if steps == 1 else ["--solver", "ddim"]))
        result[f"{steps} steps"] = distance(ours, latents(p, noise, texts, steps, 1))
    return result


def check(kind, tools):
    folder = tools.folder
    build(kind, folder)
    p, contexts = check_contexts(kind, folder, tools)
    result = {"contexts": contexts, "samples": check_sampling(kind, p, folder, tools)}
    p, result["rectified"] = check_rectified(kind, folder, tools)
    result["other texts"] = check_others(kind, p, folder, tools)
    result["adapters"] = check_adapters(folder, tools)
    return result


if __name__ == "__main__":
    sys.exit(suite.main(__doc__, {kind: "Stable Diffusion " + kind for kind in SCHEDULERS}, check))
