#!/usr/bin/env python3
"""UNet2DModel, UNet2DConditionModel, DiTTransformer2DModel and SD3Transformer2DModel configs, in turns, drawn over all of their
keys, computed by diffusers and by tests/probe: output and gradients. Of a network that also predicts a variance, the prediction only.

A config counts as equal, as refused by both, as refused as documented (REFUSED in cross.py, dit.py and sd3.py), or as a failure. Run
by hand, with the packages of requirements.txt:
    make build/tests/probe && tests/interop/networks.py -n 200 --seed 1 --probe build/tests/probe
Exits with 1 where a config failed."""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

import cross
import dit
import sd3

FORWARD, GRADIENT = 1e-5, 1e-4  # of the largest value; of a tensor's norm, or of 1e-3 of the largest norm
PLAIN = ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]
SKIP = ["SkipDownBlock2D", "AttnSkipDownBlock2D"]
REFUSAL = re.compile(r"^exit 3: probe: (?:(?:(?:unet|transformer)/)?config\.json: |(?=contexts\.safetensors))(\w+)")  # bad input's status, file and key
OLD_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
DEFAULTS = {
    "center_input_sample": False, "time_embedding_type": "positional", "time_embedding_dim": None, "freq_shift": 0,
    "flip_sin_to_cos": True, "mid_block_type": "UNetMidBlock2D", "layers_per_block": 2, "mid_block_scale_factor": 1,
    "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu",
    "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default", "add_attention": True, "class_embed_type": None, "num_class_embeds": None,
    "num_train_timesteps": None, "in_channels": 3, "out_channels": 3}


# --- a config ---------------------------------------------------------------------------------------------------------

def draw_blocks(r, n):
    """Ways down and up. Skip blocks stand first going down, where no other block lies between them and the picture, and
    last going up; a tenth of the draws ignores that."""
    kind = r.choice(["plain", "plain", "skip", "mixed"])
    if r.random() < 0.1:
        return [r.choice(PLAIN + SKIP) for _ in range(n)], [cross.up_of(r.choice(PLAIN + SKIP)) for _ in range(n)]
    down = [r.choice(PLAIN) for _ in range(n)]
    up = [cross.up_of(r.choice(PLAIN)) for _ in range(n)]
    skips_down = {"plain": 0, "skip": n, "mixed": r.randint(0, n)}[kind]
    skips_up = {"plain": 0, "skip": n, "mixed": r.randint(0, n)}[kind]
    for i in range(skips_down):
        down[i] = r.choice(SKIP)
    for i in range(skips_up):
        up[n - 1 - i] = cross.up_of(r.choice(SKIP))
    return down, up


def draw_condition(r, c):
    c["class_embed_type"] = r.choice([None, None, None, "timestep", "identity"])
    if c["class_embed_type"] is None or r.random() < 0.2:
        c["num_class_embeds"] = r.choice([None, 1, 5, 10])


def draw(r):
    n = r.choice([1, 2, 2, 3])
    down, up = draw_blocks(r, n)
    default_blocks = r.random() < 0.04
    if default_blocks:
        n, down, up = 4, PLAIN[:1] + PLAIN[1:2] * 3, ["AttnUpBlock2D"] * 3 + ["UpBlock2D"]
    attn_skip = any("AttnSkip" in b for b in down + up)
    skip = any("Skip" in b for b in down + up)
    groups = r.choice([1, 2, 4, 8])
    widths = [8 * r.randint(1, 4) for _ in range(n)]
    layers = r.choice([1, 1, 1, 2, 3])
    if r.random() < 0.08:
        widths, layers = [r.choice([16, 32])] * n, 0
    elif r.random() < 0.15:
        groups, widths = r.choice([1, 3, 5]), [r.choice([15, 30, 45]) for _ in range(n)]
    if attn_skip and r.random() < 0.9:
        widths = [32] * n
    side = [s for s in (8, 10, 12, 14, 16, 9, 13) if s % 2 ** (n - 1) == 0]
    size = [16, 16] if default_blocks else [r.choice(side), r.choice(side)]
    channels = 3 if skip and r.random() < 0.9 else r.choice([1, 2, 3, 3, 4])
    c = dict(DEFAULTS)
    c.update({
        "sample_size": size if r.random() < 0.6 else size[0], "in_channels": channels, "out_channels": channels * r.choice([1, 1, 1, 2]),
        "center_input_sample": r.random() < 0.3, "time_embedding_type": r.choice(["positional", "positional", "fourier", "learned"]),
        "time_embedding_dim": r.choice([None, None, 12, 33]), "freq_shift": r.choice([0, 0, 1, 0.5]),
        "flip_sin_to_cos": r.random() < 0.5, "down_block_types": down, "up_block_types": up, "block_out_channels": widths,
        "mid_block_type": r.choice(["UNetMidBlock2D"] * 3 + [None]), "layers_per_block": layers,
        "mid_block_scale_factor": r.choice([1, 1, 1.5, 2 ** 0.5, -2]), "downsample_padding": r.choice([0, 1]),
        "downsample_type": r.choice(["conv", "conv", "resnet", None]), "upsample_type": r.choice(["conv", "conv", "resnet", None]),
        "dropout": r.choice([0.0, 0.1, 0.5]), "act_fn": r.choice(["silu", "swish", "mish", "gelu", "relu", "SiLU"]),
        "attention_head_dim": r.choice([8, 8, 4, 3, 5, 16, None]), "norm_num_groups": groups,
        "attn_norm_num_groups": r.choice([None, None, 1, groups]), "norm_eps": r.choice([1e-5, 1e-6, 1e-3]),
        "resnet_time_scale_shift": r.choice(["default", "scale_shift"]), "add_attention": r.random() < 0.7,
        "num_train_timesteps": r.choice([None, 1000])})
    if c["time_embedding_type"] == "learned":
        c["num_train_timesteps"] = r.choice([10, 1000])
    if all("Skip" in b for b in down + up) and r.random() < 0.5:
        c["norm_num_groups"] = None
    draw_condition(r, c)
    spoil(r, c)
    for key in ("down_block_types", "up_block_types"):
        if default_blocks and r.random() < 0.7:
            del c[key]
        elif r.random() < 0.1:
            c[key] = ["UNetRes" + b for b in c[key]]
    return {k: v for k, v in c.items() if k not in DEFAULTS or v != DEFAULTS[k] or r.random() < 0.5}


def spoil(r, c):
    """One config in six gets a value that may make it invalid."""
    if r.random() > 1 / 6:
        return
    key, values = r.choice([
        ("act_fn", ["elu", ""]), ("dropout", [-0.1, 1.5]), ("down_block_types", [["CrossAttnDownBlock2D"] * len(c["down_block_types"]), []]),
        ("up_block_types", [["UpDecoderBlock"] * len(c["up_block_types"]), c["up_block_types"] + ["UpBlock2D"]]),
        ("norm_num_groups", [0, 7, None]), ("attn_norm_num_groups", [0, 7]), ("attention_head_dim", [64, 17]),
        ("time_embedding_type", ["sinusoidal"]), ("num_train_timesteps", [None]), ("resnet_time_scale_shift", ["ada_group", "spatial", "none", None]),
        ("downsample_padding", [2, 3]), ("sample_size", [[9, 8], [15, 15], 7]), ("layers_per_block", [None, 0]), ("num_class_embeds", [0]),
        ("block_out_channels", [c["block_out_channels"] + [16], [6] * len(c["block_out_channels"])]), ("norm_eps", [None]),
        ("in_channels", [None]), ("out_channels", [None, 0, c["in_channels"] + 2]), ("mid_block_scale_factor", [None, 0.5])])
    c[key] = r.choice(values)
    if c["mid_block_scale_factor"] is None or c["attn_norm_num_groups"] == 0:
        c.update({"mid_block_type": "UNetMidBlock2D", "add_attention": True})  # or diffusers does not look at them


# --- inputs -----------------------------------------------------------------------------------------------------------

def rows(table, r, n):
    return np.array([r.randrange(max(table, 1)) for _ in range(n)], np.int64)


def log_is_rounded(t):
    """torch's float32 logarithm is off by one bit for some numbers, which fourier's frequencies make thousands of bits."""
    t = np.float32(t)
    return torch.log(torch.tensor([t] * 8))[0].item() == np.float32(np.log(np.float64(t)))


def draw_numbers(c, r, n, one):
    """n of one(), which a network of fourier embeddings can be compared on."""
    out = []
    while len(out) < n:
        t = one()
        if c.get("time_embedding_type") != "fourier" or log_is_rounded(t):
            out.append(t)
    return out


def draw_times(c, r, n):
    if c.get("time_embedding_type") == "learned":
        return rows(c.get("num_train_timesteps") or 10, r, n)
    if r.random() < 0.5:
        return np.array(draw_numbers(c, r, n, lambda: r.randint(1, 999)), np.int64)
    one = lambda: r.choice([r.uniform(0.01, 1), r.uniform(1, 80), r.uniform(80, 999)])
    return np.array(draw_numbers(c, r, n, one), np.float32)


def draw_labels(c, r, n):
    kind = c.get("class_embed_type")
    if kind == "identity":
        dim = c.get("time_embedding_dim") or 4 * c["block_out_channels"][0]
        return np.array([[r.gauss(0, 1) for _ in range(dim)] for _ in range(n)], np.float32)
    if kind == "timestep":
        learned = c.get("time_embedding_type") == "learned"
        return rows(c.get("num_train_timesteps") or 10, r, n) if learned else \
            np.array(draw_numbers(c, r, n, lambda: r.randint(1, 50)), np.int64)
    if c.get("num_class_embeds") is not None:
        return rows(c["num_class_embeds"], r, n)
    return None


DEFAULT_SIZES = {m: d["sample_size"] for m, d in (("DiTTransformer2DModel", dit.DEFAULTS), ("SD3Transformer2DModel", sd3.DEFAULTS))}


def channels_of(name, c):
    return c.get("in_channels", {"UNet2DModel": 3, "SD3Transformer2DModel": 16}.get(name, 4)) or 3


def draw_inputs(name, c, r):
    n, size = r.randint(2, 3), c.get("sample_size", DEFAULT_SIZES.get(name)) or 8
    size = size if isinstance(size, list) else [size] * 2
    rng = np.random.default_rng(r.randrange(2 ** 32))
    out = {"x": rng.standard_normal([n, channels_of(name, c)] + size).astype(np.float32), "t": draw_times(c, r, n), "contexts": None}
    if name == "UNet2DModel":
        return dict(out, label=draw_labels(c, r, n))
    if name == "DiTTransformer2DModel":
        return dict(out, label=rows((c.get("num_embeds_ada_norm", dit.DEFAULTS["num_embeds_ada_norm"]) or 0) + 1, r, n))
    contexts = (sd3 if name == "SD3Transformer2DModel" else cross).draw_contexts(r, c)
    return dict(out, label=rows(len(contexts["contexts"]), r, n), contexts=contexts)


# --- the two sides ----------------------------------------------------------------------------------------------------

def evaluate(model, inputs, x):
    x = x.clone().requires_grad_()
    label = None if inputs["label"] is None else torch.from_numpy(inputs["label"])
    more = {"class_labels": label}
    if inputs["contexts"] is not None:
        given = {k: v[label].to(x.dtype) for k, v in inputs["contexts"].items()}
        if isinstance(model, diffusers.SD3Transformer2DModel):
            more = {"pooled_projections": given["vectors"]}
        else:
            more["added_cond_kwargs"] = {k: given[k] for k in ("text_embeds", "time_ids") if k in given}
        more["encoder_hidden_states"] = given["contexts"]
    model.zero_grad()
    y = model(x, timestep=torch.from_numpy(inputs["t"]), **more).sample
    if y.shape[1] == 2 * x.shape[1]:
        y = y[:, :x.shape[1]]  # the rest is a variance
    if y.shape != x.shape:
        raise ValueError(f"{tuple(y.shape)} is no prediction for {tuple(x.shape)}")
    (y.square().mean() / 2).backward()
    grads = {k: torch.zeros_like(p) if p.grad is None else p.grad for k, p in model.state_dict(keep_vars=True).items()}
    return {"y": y.detach().numpy(), "grad_x": x.grad.numpy(), "grads": {k: g.numpy().copy() for k, g in grads.items()}}


def is_touchy(config):
    """relu's slope jumps at 0, and a value within rounding of it falls on either side; a normalisation over a single channel
    of few pixels divides by next to nothing where these are alike."""
    acts = [config.get(k) for k in ("act_fn", "time_embedding_act_fn", "timestep_post_act")]
    return "relu" in acts or config.get("norm_num_groups") in config.get("block_out_channels", [])


def avoid_jumps(model, inputs):
    """An x whose gradient jumps when x moves by as little as rounding does is drawn again."""
    for attempt in range(30):
        x = torch.from_numpy(inputs["x"])
        here = evaluate(model, inputs, x)
        near = [evaluate(model, inputs, x * (1 + 2e-6 * torch.randn_like(x))) for _ in range(4)]
        if all(difference(n, here)["gradients of parameters"] < GRADIENT / 2 for n in near):
            return
        inputs["x"] = torch.randn_like(x).numpy()


def theirs(name, config, inputs, seed, dtype):
    """The model with its weights, and its results; or the reason why there are none."""
    torch.manual_seed(seed)
    model = None
    try:
        model = (dit.model_of(config) if name == "DiTTransformer2DModel" else getattr(diffusers, name)(**config)).eval()
        with torch.no_grad():
            for key, p in model.state_dict(keep_vars=True).items():
                if key != "time_proj.weight":
                    p += 0.05 * torch.randn_like(p)
                p.copy_(p.to(dtype).float())
        if is_touchy(config):
            avoid_jumps(model, inputs)
        return model, evaluate(model, inputs, torch.from_numpy(inputs["x"])), None
    except Exception as e:  # whatever diffusers raises is its refusal
        return model, None, f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"


def scheduler_of(config):
    """One whose times the network can be fed: fourier's are above 0, learned ones have a row each."""
    if config.get("time_embedding_type") == "fourier":
        return {"_class_name": "RectdiffScheduler", "form": "vp"}
    if config.get("time_embedding_type") == "learned":
        return {"_class_name": "DDPMScheduler", "num_train_timesteps": config.get("num_train_timesteps") or 1000}
    return {"_class_name": "DDPMScheduler"}


def old_names(model, state):
    """The attentions that diffusers reads by their old names have them."""
    old = tuple(k + "." for k, m in model.named_modules() if getattr(m, "_from_deprecated_attn_block", False))
    for new, other in OLD_NAMES.items():
        state = {k.replace(new, other) if k.startswith(old) else k: v for k, v in state.items()}
    return state


def save(folder, name, config, contexts, model, r, dtype):
    """As a pipeline is saved, or flat; attention by its old names at times."""
    flat, part = r.random() < 0.2, "transformer" if "Transformer" in name else "unet"
    network, scheduler = (folder, folder) if flat else (os.path.join(folder, part), os.path.join(folder, "scheduler"))
    for d in {network, scheduler}:
        os.makedirs(d, exist_ok=True)
    write = {os.path.join(network, "config.json"): {"_class_name": name, **config},
             os.path.join(scheduler, "scheduler_config.json"): scheduler_of(config)}
    for path, value in write.items():
        with open(path, "w", encoding="utf-8") as f:
            json.dump(value, f)
    if contexts is not None:
        save_file({k: contexts[k] for k in ("contexts", "vectors") if k in contexts}, os.path.join(folder, "contexts.safetensors"))
    if model is None:
        return
    state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items()}
    if r.random() < 0.2:
        state = old_names(model, state)
    save_file(state, os.path.join(network, "diffusion_pytorch_model.safetensors"))


def ours(probe, folder, inputs):
    files = []
    for name in ("x", "t", "label"):
        if inputs[name] is not None:
            files.append(os.path.join(folder, name + ".npy"))
            np.save(files[-1], inputs[name])
    p = subprocess.run([probe, folder, *files, folder], capture_output=True, text=True)
    if p.returncode:
        return None, f"exit {p.returncode}: " + p.stderr.strip().replace(folder + "/", "")
    return {"y": np.load(os.path.join(folder, "y.npy")), "grad_x": np.load(os.path.join(folder, "grad_x.npy")),
            "grads": load_file(os.path.join(folder, "grads.safetensors"))}, None


def difference(a, b, exact=None):
    """Worst errors of output, gradient by x, gradients of parameters. A parameter's may be judged by exact instead."""
    if a["grads"].keys() != b["grads"].keys():
        return {"names": float("inf")}
    top = max(np.linalg.norm(g) for g in b["grads"].values())
    norm = lambda g: max(np.linalg.norm(g), 1e-3 * top)
    one = {k: np.linalg.norm(a["grads"][k] - g) / norm(g) for k, g in b["grads"].items()}
    if exact:
        one = {k: min(v, np.linalg.norm(a["grads"][k] - exact["grads"][k]) / norm(exact["grads"][k])) for k, v in one.items()}
    far = lambda k: float(np.abs(a[k] - b[k]).max() / np.abs(b[k]).max())
    return {"output": far("y"), "gradient by x": far("grad_x"), "gradients of parameters": float(max(one.values()))}


def within(errors):
    bounds = {"output": FORWARD, "gradient by x": GRADIENT, "gradients of parameters": GRADIENT}
    return all(v <= bounds.get(k, 0) for k, v in errors.items())


def compare(got, want, model, inputs):
    """Where a normalisation takes out what a bias adds, the bias's gradient is 0 and in float32 only rounding, which in
    torch reaches 1e-4 of 1e-3 of the largest gradient: what float32 does not agree on is asked of torch in float64."""
    errors = difference(got, want)
    if within(errors):
        return {"verdict": "equal", "errors": errors}
    label = inputs["label"] if inputs["label"] is None or inputs["label"].dtype == np.int64 else inputs["label"].astype(np.float64)
    t = inputs["t"] if inputs["t"].dtype == np.int64 else inputs["t"].astype(np.float64)
    exact = evaluate(model.double(), dict(inputs, label=label, t=t), torch.from_numpy(inputs["x"]).double())
    errors = difference(got, want, exact)
    return {"verdict": "equal" if within(errors) else "FAIL", "errors": errors, "float64": True}


CLASSES = {"UNet2DModel": draw, "UNet2DConditionModel": cross.draw, "DiTTransformer2DModel": dit.draw,
           "SD3Transformer2DModel": sd3.draw}
DOCUMENTED = {"UNet2DModel": lambda key, config: None, "UNet2DConditionModel": cross.documented,
              "DiTTransformer2DModel": dit.documented, "SD3Transformer2DModel": sd3.documented}


def check(probe, seed, number, names):
    """One config: what it is, and how it went. The classes take turns."""
    r, name = random.Random(f"{seed}/{number}"), names[number % len(names)]
    config = CLASSES[name](r)
    inputs = draw_inputs(name, config, r)
    dtype = r.choice([torch.float32] * 3 + [torch.float16, torch.bfloat16])
    model, want, why = theirs(name, config, inputs, r.randrange(2 ** 32), dtype)
    with tempfile.TemporaryDirectory() as folder:
        attends = name == "SD3Transformer2DModel" or name == "UNet2DConditionModel" and cross.attends(config)
        save(folder, name, config, inputs["contexts"] if attends else None, model, r, dtype)
        got, reason = ours(probe, folder, inputs)
    result = {"number": number, "class": name, "config": config}
    if want is None or got is None:
        named = got is None and REFUSAL.search(reason)
        ours_only = named and DOCUMENTED[name](named.group(1), config)
        verdict = "FAIL" if not named else "refused by both" if want is None else "refused as documented" if ours_only else "FAIL"
        return dict(result, verdict=verdict, diffusers=why, rectdiff=reason)
    return dict(result, **compare(got, want, model, inputs))


def count(table, key):
    table[key] = table.get(key, 0) + 1


def run(n, seed, probe, names, progress=None):
    verdicts, worst, refusals, failures, exact = {k: {} for k in names}, {k: {} for k in names}, {}, [], 0
    for i in range(n):
        r = check(probe, seed, i, names)
        count(verdicts[r["class"]], r["verdict"])
        for k, v in r.get("errors", {}).items():
            worst[r["class"]][k] = max(worst[r["class"]].get(k, 0), v)
        exact += "float64" in r
        if r["verdict"].startswith("refused"):
            count(refusals.setdefault(r["verdict"], {}), REFUSAL.search(r["rectdiff"]).group(1))
        if r["verdict"] == "FAIL":
            failures.append(r)
        if progress:
            progress(r)
    return {"versions": {"diffusers": diffusers.__version__, "torch": torch.__version__}, "seed": seed, "configs": n,
            "verdicts": verdicts, "judged by float64": exact, "worst errors": worst, **refusals, "failures": failures}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-n", "--configs", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--probe", default="build/tests/probe")
    p.add_argument("--class", dest="name", choices=CLASSES, help="draw only these")
    p.add_argument("--only", type=int, help="the config of this number, in full")
    p.add_argument("-v", "--verbose", action="store_true", help="a line for each config")
    o = p.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    names = [o.name] if o.name else list(CLASSES)
    if o.only is not None:
        print(json.dumps(check(o.probe, o.seed, o.only, names), indent=2))
        return 0
    line = lambda r: print(r["number"], r["class"], r["verdict"], r.get("errors", ""), r.get("rectdiff", ""), "|", r.get("diffusers", ""), flush=True)
    result = run(o.configs, o.seed, o.probe, names, line if o.verbose else None)
    print(json.dumps(result, indent=2))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
