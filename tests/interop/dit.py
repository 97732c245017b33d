"""DiTTransformer2DModel configs drawn over all of their keys, some in the form that they had as Transformer2DModels."""

import diffusers

MLPS = ["gelu", "geglu", "geglu-approximate", "swiglu", "linear-silu"]  # beside gelu-approximate
DEFAULTS = {
    "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4, "out_channels": None, "num_layers": 28, "dropout": 0.0,
    "norm_num_groups": 32, "attention_bias": True, "sample_size": 32, "patch_size": 2, "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000, "upcast_attention": False, "norm_type": "ada_norm_zero", "norm_elementwise_affine": False,
    "norm_eps": 1e-5}
# Keys of Transformer2DModel only, with values that say nothing, and others; diffusers looks at neither.
FORMER = {"cross_attention_dim": (None, 12), "num_vector_embeds": (None, 5), "use_linear_projection": (False, True),
          "only_cross_attention": (False, True), "double_self_attention": (False, True), "attention_type": ("default", "gated"),
          "caption_channels": (None, 4), "interpolation_scale": (None, 2), "use_additional_conditions": (None, True)}

# What we refuse though diffusers takes it, by the key that the message names: for which configs, and why.
REFUSED = {
    **{key: (lambda c, key=key, none=none: c.get(key, none) != none, "Transformer2DModel made another network of it")
       for key, (none, _) in FORMER.items()},
    "norm_elementwise_affine": (lambda c: c["norm_elementwise_affine"] is True, "the norms' scales are those of time and class"),
    "norm_eps": (lambda c: c["norm_eps"] == 0, "a division by 0 where channels are alike"),
    "activation_fn": (lambda c: c["activation_fn"] == "geglu-approximate", "not of any DiT"),
    "num_embeds_ada_norm": (lambda c: c["num_embeds_ada_norm"] == 0, "no class but the one that stands for none"),
    "dropout": (lambda c: c["dropout"] == 1, "nothing would be left in training"),
    "center_input_sample": (lambda c: "_class_name" in c, "no key of it; diffusers says so in its log"),
}


def documented(key, config):
    holds, why = REFUSED.get(key, (lambda c: False, None))
    return why if holds(config) else None


def model_of(config):
    """What a file with this config is loaded as."""
    if "_class_name" not in config:
        return diffusers.DiTTransformer2DModel(**config)
    model = diffusers.Transformer2DModel.from_config(config)
    if not isinstance(model, diffusers.DiTTransformer2DModel):
        raise TypeError(f"a {type(model).__name__}")
    return model


# --- a config ---------------------------------------------------------------------------------------------------------

def draw(r):
    patch, heads = r.choice([1, 2, 2, 2, 4, 4, 8, 3]), r.choice([1, 2, 2, 3, 4, 5])
    dims = [d for d in (1, 2, 3, 4, 6, 8, 12, 16, 20, 24) if heads * d % 4 == 0]
    channels = r.choice([1, 3, 4, 4])
    c = dict(DEFAULTS)
    c.update({
        "num_attention_heads": heads, "attention_head_dim": r.choice(dims), "in_channels": channels,
        "out_channels": r.choice([None, channels, 2 * channels, 2 * channels]), "num_layers": r.choice([1, 2, 2, 3]),
        "dropout": r.choice([0.0, 0.1, 0.5]), "norm_num_groups": r.choice([32, 32, 7, None]), "attention_bias": r.random() < 0.7,
        "sample_size": patch * r.choice([n for n in (1, 2, 3, 4, 5, 8) if n * patch <= 16]), "patch_size": patch,
        "num_embeds_ada_norm": r.choice([1, 5, 10, 1000]), "upcast_attention": r.random() < 0.3,
        "norm_elementwise_affine": r.random() < 0.04, "norm_eps": r.choice([1e-5, 1e-6, 1e-2])})
    if r.random() < 0.15:
        c["activation_fn"] = r.choice(MLPS)
    if r.random() < 0.2:
        spoil(r, c)
    c = {k: v for k, v in c.items() if k not in DEFAULTS or v != DEFAULTS[k] or r.random() < 0.5}
    if r.random() < 0.3:
        former(r, c)
    return c


def former(r, c):
    """As a Transformer2DModel, which is a DiT by its norm_type."""
    c["_class_name"] = "Transformer2DModel"
    if r.random() < 0.95:
        c.setdefault("norm_type", DEFAULTS["norm_type"])
    c.update({key: none for key, (none, _) in FORMER.items() if r.random() < 0.5})
    if r.random() < 0.15:
        key = r.choice(list(FORMER))
        c[key] = FORMER[key][1]


def spoil(r, c):
    """A value that may make the config invalid."""
    channels, patch = c["in_channels"], c["patch_size"]
    key, values = r.choice([
        ("num_attention_heads", [0, None, -1, 2.5]), ("attention_head_dim", [0, None, 7, 2.5]), ("in_channels", [None, 0]),
        ("out_channels", [0, channels + 1, 2 * channels + 1, 3 * channels]), ("num_layers", [0, -1, None, 1.5]),
        ("dropout", [-0.1, 1.5, None, 1]), ("norm_num_groups", [0]), ("attention_bias", [None]),
        ("sample_size", [None, 0, patch * 2 + 1, [patch * 2] * 2, [patch, 2 * patch]]), ("patch_size", [None, 0, 2 * c["sample_size"]]),
        ("activation_fn", ["silu", "relu", "", None]), ("num_embeds_ada_norm", [None, 0, -1]), ("upcast_attention", [None]),
        ("norm_type", ["ada_norm", "ada_norm_single", "layer_norm", None]), ("norm_elementwise_affine", [None]),
        ("norm_eps", [None, 0, 0.0]), ("center_input_sample", [True])])
    c[key] = r.choice(values)
