"""UNet2DConditionModel configs drawn over all of their keys, and the contexts that their cross-attention looks at."""

import torch
from diffusers.models.embeddings import get_timestep_embedding

DOWN = ["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"]
ACTS = ["silu", "swish", "mish", "gelu", "relu", "SiLU"]
DEFAULTS = {
    "in_channels": 4, "out_channels": 4, "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0,
    "mid_block_type": "UNetMidBlock2DCrossAttn", "only_cross_attention": False, "layers_per_block": 2,
    "downsample_padding": 1, "mid_block_scale_factor": 1, "dropout": 0.0, "act_fn": "silu", "norm_num_groups": 32,
    "norm_eps": 1e-5, "cross_attention_dim": 1280, "transformer_layers_per_block": 1,
    "reverse_transformer_layers_per_block": None, "encoder_hid_dim": None, "encoder_hid_dim_type": None,
    "attention_head_dim": 8, "num_attention_heads": None, "dual_cross_attention": False, "use_linear_projection": False,
    "class_embed_type": None, "addition_embed_type": None, "addition_time_embed_dim": None, "num_class_embeds": None,
    "upcast_attention": False, "resnet_time_scale_shift": "default", "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0, "time_embedding_type": "positional", "time_embedding_dim": None,
    "time_embedding_act_fn": None, "timestep_post_act": None, "time_cond_proj_dim": None, "conv_in_kernel": 3,
    "conv_out_kernel": 3, "projection_class_embeddings_input_dim": None, "attention_type": "default",
    "class_embeddings_concat": False, "mid_block_only_cross_attention": None, "cross_attention_norm": None,
    "addition_embed_type_num_heads": 64}


def up_of(down):
    return down.replace("Downsample", "Upsample") if down.startswith("Resnet") else down.replace("Down", "Up")


def attends(c):
    """Some part looks at contexts."""
    blocks = c.get("down_block_types", ["Cross"]) + c.get("up_block_types", ["Cross"])
    return any("Cross" in b for b in blocks) or "Cross" in (c.get("mid_block_type", "Cross") or "")


# --- what we refuse though diffusers takes it -------------------------------------------------------------------------

def is_set(key):
    return lambda c: c.get(key) not in (None, False)


def is_other(key):
    return lambda c: c.get(key, DEFAULTS[key]) != DEFAULTS[key]


def foreign_block(key):
    return lambda c: any(b.replace("UNetRes", "") not in DOWN + [up_of(d) for d in DOWN] for b in c.get(key, []))


def unread(c):
    """There are transformers without layers, or blocks without transformers: diffusers does not read what is for their layers."""
    depths = c.get("transformer_layers_per_block", 1)
    blocks = c.get("down_block_types", ["Cross"]) + c.get("up_block_types", ["Cross"])
    return 0 in (depths if isinstance(depths, list) else [depths]) or not all("Cross" in b for b in blocks)


def uneven_depths(c):
    """diffusers looks at the first n, the last n or the last one of a list, whatever its length, and takes -1 for 0."""
    v = c.get("transformer_layers_per_block", 1)
    return v == -1 or isinstance(v, list) and (len(v) != len(c["block_out_channels"]) or any(isinstance(k, list) for k in v))


EXTRA = "not of Stable Diffusion 1 or 2"
UNUSED = "nothing in this config reads it"
# By the key that the message names: for which configs, and why.
REFUSED = {
    "class_embed_type": (is_set("class_embed_type"), "a label stands for a context and nothing else"),
    "num_class_embeds": (is_set("num_class_embeds"), "a label stands for a context and nothing else"),
    "encoder_hid_dim": (is_set("encoder_hid_dim"), EXTRA),
    "addition_embed_type": (lambda c: c["addition_embed_type"] != "text_time" or not attends(c), EXTRA),
    "time_cond_proj_dim": (is_set("time_cond_proj_dim"), "it wants a guidance scale"),
    "only_cross_attention": (is_set("only_cross_attention"), EXTRA),
    "reverse_transformer_layers_per_block": (is_set("reverse_transformer_layers_per_block"), EXTRA),
    "transformer_layers_per_block": (uneven_depths, "lists of one number a block only"),
    "layers_per_block": (lambda c: isinstance(c["layers_per_block"], list) or c["layers_per_block"] == -1, EXTRA),
    "resnet_out_scale_factor": (is_other("resnet_out_scale_factor"), UNUSED),
    "time_embedding_act_fn": (is_set("time_embedding_act_fn"), EXTRA),
    "timestep_post_act": (is_set("timestep_post_act"), EXTRA),
    "time_embedding_type": (is_other("time_embedding_type"), EXTRA),
    "conv_in_kernel": (is_other("conv_in_kernel"), EXTRA),
    "conv_out_kernel": (is_other("conv_out_kernel"), EXTRA),
    "attention_type": (is_other("attention_type"), "GLIGEN's boxes; diffusers takes any other name for default"),
    "mid_block_type": (is_other("mid_block_type"), EXTRA),
    "down_block_types": (foreign_block("down_block_types"), EXTRA),
    "up_block_types": (foreign_block("up_block_types"), EXTRA),
    "dual_cross_attention": (is_set("dual_cross_attention"), UNUSED),
    "mid_block_only_cross_attention": (is_set("mid_block_only_cross_attention"), UNUSED),
    "cross_attention_norm": (is_set("cross_attention_norm"), UNUSED),
    "sample_size": (lambda c: True, "sizes that cannot be halved"),
    "attention_head_dim": (unread, UNUSED),
    "cross_attention_dim": (unread, UNUSED),
    "contexts": (unread, "of another dim, where no layer looks at them"),
}


def documented(key, config):
    holds, why = REFUSED.get(key, (lambda c: False, None))
    return why if holds(config) else None


# --- a config ---------------------------------------------------------------------------------------------------------

def one_or_each(r, n, one):
    """A value of one(), or a list of one for each block."""
    return [one() for _ in range(n)] if r.random() < 0.4 else one()


def draw_attention(r, c, n):
    dim = r.choice([4, 7, 12, 16])
    c.update({"attention_head_dim": one_or_each(r, n, lambda: r.choice([1, 2, 4, 8, 8, 3, 5])),
              "cross_attention_dim": [dim] * n if r.random() < 0.3 else dim,
              "transformer_layers_per_block": one_or_each(r, n, lambda: r.choice([1, 1, 1, 2, 0])),
              "use_linear_projection": r.random() < 0.5, "upcast_attention": r.random() < 0.3})
    if r.random() < 0.3:
        sinusoids = r.choice([4, 6, 7])
        c.update({"addition_embed_type": "text_time", "addition_time_embed_dim": sinusoids,
                  "projection_class_embeddings_input_dim": 6 * sinusoids + r.choice([1, 3, 10])})


def draw(r):
    n = r.choice([1, 2, 2, 3])
    down, up = [r.choice(DOWN) for _ in range(n)], [up_of(r.choice(DOWN)) for _ in range(n)]
    default_blocks = r.random() < 0.04
    if default_blocks:
        n, down = 4, ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
        up = [up_of(b) for b in reversed(down)]
    groups, widths = r.choice([1, 2, 4, 8]), [8 * r.randint(1, 4) for _ in range(n)]
    layers = r.choice([1, 1, 1, 2, 3])
    if r.random() < 0.06:
        widths, layers = [r.choice([16, 32])] * n, 0
    elif r.random() < 0.15:
        groups, widths = r.choice([1, 3, 5]), [r.choice([15, 30, 45]) for _ in range(n)]
    side = [s for s in (8, 10, 12, 14, 16, 9, 13) if s % 2 ** (n - 1) == 0]
    size = [16, 16] if default_blocks else [r.choice(side), r.choice(side)]
    channels = r.choice([1, 3, 4, 4])
    c = dict(DEFAULTS)
    c.update({
        "sample_size": size if r.random() < 0.6 else size[0], "in_channels": channels, "out_channels": channels * r.choice([1, 1, 1, 2]),
        "center_input_sample": r.random() < 0.2, "flip_sin_to_cos": r.random() < 0.6, "freq_shift": r.choice([0, 0, 1, 0.5]),
        "down_block_types": down, "up_block_types": up, "block_out_channels": widths, "norm_num_groups": groups,
        "mid_block_type": r.choice(["UNetMidBlock2DCrossAttn"] * 5 + [None]), "layers_per_block": layers,
        "downsample_padding": r.choice([0, 1]), "mid_block_scale_factor": r.choice([1, 1, 1.5, -2]),
        "dropout": r.choice([0.0, 0.1, 0.5]), "act_fn": r.choice(ACTS), "norm_eps": r.choice([1e-5, 1e-6, 1e-3]),
        "resnet_time_scale_shift": r.choice(["default", "scale_shift"]), "time_embedding_dim": r.choice([None, None, 12, 33])})
    draw_attention(r, c, n)
    kind = r.random()
    if kind < 0.1:
        foreign(r, c, n)
    elif kind < 0.3:
        spoil(r, c, n)
    for key in ("down_block_types", "up_block_types"):
        if default_blocks and r.random() < 0.7:
            del c[key]
        elif r.random() < 0.1:
            c[key] = ["UNetRes" + b for b in c[key]]
    return {k: v for k, v in c.items() if k not in DEFAULTS or v != DEFAULTS[k] or r.random() < 0.3}


def choose(r, c, table):
    key, values = r.choice(table)
    c[key] = r.choice(values)
    if c["mid_block_scale_factor"] is None:
        c["mid_block_type"] = DEFAULTS["mid_block_type"]  # or diffusers does not look at it


def foreign(r, c, n):
    """What other models than Stable Diffusion's have."""
    depth = lambda: r.choice([1, 1, 2, 0])
    layers = c["layers_per_block"]
    choose(r, c, [
        ("only_cross_attention", [True, [r.random() < 0.5 for _ in range(n)]]),
        ("layers_per_block", [[1] * n, [1] * (n - 1) + [2]]),
        ("reverse_transformer_layers_per_block", [[depth() for _ in range(n)], [[depth() for _ in range(layers + 1)] for _ in range(n)]]),
        ("down_block_types", [["AttnDownBlock2D"] * n, ["ResnetDownsampleBlock2D"] * n, ["SimpleCrossAttnDownBlock2D"] * n]),
        ("up_block_types", [["AttnUpBlock2D"] * n, ["ResnetUpsampleBlock2D"] * n, ["SimpleCrossAttnUpBlock2D"] * n]),
        ("mid_block_type", ["UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn"]), ("conv_in_kernel", [1, 5]),
        ("conv_out_kernel", [1, 7]),
        ("time_embedding_act_fn", ACTS), ("timestep_post_act", ACTS), ("time_embedding_type", ["fourier"]),
        ("time_cond_proj_dim", [6]),
        ("resnet_skip_time_act", [True]), ("resnet_out_scale_factor", [2, 0.7]),
        ("class_embed_type", ["timestep", "identity"]),
        ("num_class_embeds", [5]), ("encoder_hid_dim", [6]), ("attention_type", ["gated", "gated-text-image"]),
        ("mid_block_only_cross_attention", [True]), ("cross_attention_norm", ["layer_norm", "group_norm"]),
        ("addition_time_embed_dim", [8]), ("projection_class_embeddings_input_dim", [6]),
        ("addition_embed_type_num_heads", [8])])


def spoil(r, c, n):
    """A value that may make the config invalid."""
    one = lambda name: [name] + c["down_block_types"][1:]
    last = lambda name: c["up_block_types"][:-1] + [name]
    choose(r, c, [
        ("act_fn", ["elu", "", None]), ("time_embedding_act_fn", ["elu", ""]), ("timestep_post_act", ["tanh", ""]),
        ("dropout", [-0.1, 1.5, None]), ("norm_num_groups", [0, 7, None]), ("norm_eps", [None]), ("freq_shift", [None]),
        ("attention_head_dim", [0, None, 17, 64, [4] * (n + 1), [None] * n, [8] * (n - 1) + [None], 2.5]),
        ("num_attention_heads", [4, [2] * n]),
        ("transformer_layers_per_block", [None, -1, [1] * (n + 1), [1] * (n - 1), [[1, 1, 1]] * n]),
        ("cross_attention_dim", [None, 0, [9] * n, [12] * (n + 1), [None] * n, [5] + [12] * (n - 1), [12] * (n - 1) + [5]]),
        ("reverse_transformer_layers_per_block", [1, [], [1] * (n + 1), [[1]] * n]),
        ("layers_per_block", [None, 0, [1] * (n + 1), -1]),
        ("only_cross_attention", [None, 1, [True] * (n + 1), [1] * n]), ("mid_block_only_cross_attention", ["yes", 1]),
        ("mid_block_type", ["MidBlock"]), ("mid_block_scale_factor", [None, 0.5]), ("dual_cross_attention", [True]),
        ("class_embed_type", ["projection", "simple_projection", "none"]), ("num_class_embeds", [0]),
        ("class_embeddings_concat", [True, None]), ("encoder_hid_dim_type", ["text_proj"]),
        ("addition_embed_type", ["text", "text_time", "none"]),
        ("attention_type", ["none", None]), ("conv_in_kernel", [0, 2, 4, None, [3, 3]]),
        ("conv_out_kernel", [0, 2, 4, None, [3, 3]]),
        ("resnet_skip_time_act", [None]), ("resnet_out_scale_factor", [None, "1"]),
        ("resnet_time_scale_shift", ["ada_group", "spatial", "none", None]),
        ("time_embedding_type", ["learned", None]), ("downsample_padding", [2, 3, None] if n > 1 else [0]),
        ("sample_size", [[9, 8], [15, 15], 7]),
        ("down_block_types", [one("SkipDownBlock2D"), one("KDownBlock2D"), one("DownEncoderBlock2D"), c["down_block_types"] + ["DownBlock2D"], []]),
        ("up_block_types", [last("SkipUpBlock2D"), last("KCrossAttnUpBlock2D"), last("UpDecoderBlock2D"), c["up_block_types"] + ["UpBlock2D"]]),
        ("block_out_channels", [c["block_out_channels"] + [16], [6] * n]), ("in_channels", [None]),
        ("out_channels", [None, 0, c["in_channels"] + 2]), ("cross_attention_norm", ["none"]),
        ("downsample_type", ["conv"]), ("center_input_sample", [None]), ("upcast_attention", [None]),
        ("use_linear_projection", [None])])


def draw_contexts(r, c):
    """Contexts [rows, tokens, dim] of some type, now and then of another dim than the config's; with text_time, what diffusers is
    given beside them, and the vectors that this comes to."""
    dims = c.get("encoder_hid_dim") or c.get("cross_attention_dim", 1280)
    dim = next((d for d in (dims if isinstance(dims, list) else [dims]) if d), 4) + (r.random() < 0.02)
    shape = [r.randint(1, 4), r.choice([1, 2, 5, 9, 33]), dim]
    g = torch.Generator().manual_seed(r.randrange(2 ** 32))
    out = {"contexts": torch.randn(shape, generator=g).to(r.choice([torch.float32, torch.float16, torch.bfloat16]))}
    sinusoids, both = c.get("addition_time_embed_dim"), c.get("projection_class_embeddings_input_dim")
    if c.get("addition_embed_type") == "text_time" and sinusoids and both and both > 6 * sinusoids:
        out["text_embeds"] = torch.randn(shape[0], both - 6 * sinusoids, generator=g)
        out["time_ids"] = torch.randint(0, 1024, (shape[0], 6), generator=g)
        sizes = get_timestep_embedding(out["time_ids"].flatten(), sinusoids, flip_sin_to_cos=c.get("flip_sin_to_cos", True),
                                       downscale_freq_shift=c.get("freq_shift") or 0)
        out["vectors"] = torch.cat([out["text_embeds"], sizes.reshape(shape[0], -1)], -1)
    return out
