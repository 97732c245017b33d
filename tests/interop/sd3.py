"""SD3Transformer2DModel configs drawn over all of their keys, and the contexts and vectors that they are conditioned on."""

import torch

DEFAULTS = {
    "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 18, "attention_head_dim": 64, "num_attention_heads": 18,
    "joint_attention_dim": 4096, "caption_projection_dim": 1152, "pooled_projection_dim": 2048, "out_channels": 16,
    "pos_embed_max_size": 96, "dual_attention_layers": [], "qk_norm": None}


def layers_outside(c):
    layers = c["dual_attention_layers"]
    return isinstance(layers, list) and any(i not in range(c["num_layers"]) for i in layers)


# What we refuse though diffusers takes it, by the key that the message names: for which configs, and why.
REFUSED = {
    "qk_norm": (lambda c: c["qk_norm"] in ("layer_norm", "fp32_layer_norm"), "not of any model of the class"),
    "num_layers": (lambda c: c["num_layers"] in (0, -1), "nothing would look at contexts"),
    "pos_embed_max_size": (lambda c: c["pos_embed_max_size"] is None, "positions that are not in the weights: of no such model"),
    "dual_attention_layers": (layers_outside, "diffusers does not say that there is no such layer"),
}


def documented(key, config):
    holds, why = REFUSED.get(key, (lambda c: False, None))
    return why if holds({**DEFAULTS, **config}) else None


def draw_contexts(r, c):
    """Contexts [rows, tokens, dim] and vectors [rows, dim] of some type, now and then of another dim than the config's."""
    c = {**DEFAULTS, **c}
    rows, g = r.randint(1, 4), torch.Generator().manual_seed(r.randrange(2 ** 32))
    dims = [max(int(c[k] or 4), 1) + (r.random() < 0.02) for k in ("joint_attention_dim", "pooled_projection_dim")]
    draw = lambda *shape: torch.randn(shape, generator=g).to(r.choice([torch.float32, torch.float16, torch.bfloat16]))
    return {"contexts": draw(rows, r.choice([1, 2, 5, 9, 33]), dims[0]), "vectors": draw(rows, dims[1])}


# --- a config ---------------------------------------------------------------------------------------------------------

def draw(r):
    patch, heads, layers = r.choice([1, 2, 2, 2, 4, 3]), r.choice([1, 2, 2, 3, 4, 5]), r.choice([1, 2, 2, 3])
    dim = r.choice([d for d in (1, 2, 3, 4, 6, 8, 12, 16, 20) if heads * d % 4 == 0])
    side, channels = r.choice([n for n in (1, 2, 3, 4, 5, 8) if n * patch <= 16]), r.choice([1, 3, 4, 4])
    norms = [None, "rms_norm"] if dim > 2 else [None]  # of one number a norm leaves the sign, and of gradients what rounding leaves
    c = {
        "sample_size": patch * side, "patch_size": patch, "in_channels": channels,
        "out_channels": r.choice([None, channels, channels, 2 * channels]), "num_layers": layers, "attention_head_dim": dim,
        "num_attention_heads": heads, "joint_attention_dim": r.choice([4, 7, 12]), "caption_projection_dim": heads * dim,
        "pooled_projection_dim": r.choice([1, 5, 8]), "pos_embed_max_size": side + r.choice([0, 0, 1, 2, 3, 6]),
        "dual_attention_layers": [i for i in range(layers) if r.random() < 0.4], "qk_norm": r.choice(norms)}
    if r.random() < 0.2:
        spoil(r, c)
    return {k: v for k, v in c.items() if k not in DEFAULTS or v != DEFAULTS[k] or r.random() < 0.5}


def spoil(r, c):
    """A value that may make the config invalid."""
    channels, patch, layers = c["in_channels"], c["patch_size"], c["num_layers"]
    key, values = r.choice([
        ("sample_size", [None, 0, patch * 2 + 1, [patch * 2] * 2]), ("patch_size", [None, 0, 2 * c["sample_size"]]),
        ("in_channels", [None, 0]), ("out_channels", [0, channels + 1, 3 * channels]), ("num_layers", [None, 0, -1, 1.5]),
        ("attention_head_dim", [None, 0, 7, 2.5, c["attention_head_dim"] + 4]), ("num_attention_heads", [None, 0, -1, 2.5]),
        ("joint_attention_dim", [None, 0, -1, 2.5]), ("caption_projection_dim", [None, 0, c["caption_projection_dim"] + 4]),
        ("pooled_projection_dim", [None, 0, 1.5]), ("pos_embed_max_size", [None, c["sample_size"] // patch - 1, 2.5]),
        ("dual_attention_layers", [None, [layers], [-1], ["0"], [0.5], 0, [0, 0], [0.0]]),
        ("qk_norm", ["layer_norm", "fp32_layer_norm", "l2", "rms_norm_across_heads", "", "batch"]), ("norm_eps", [1e-5])])
    c[key] = r.choice(values)
