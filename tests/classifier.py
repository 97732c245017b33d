"""A classifier's folder once more, in numpy: classifier.py DIR A.npy B.npy [LABELS.npy]

Prints the Frechet distance between the features of images A and B, and the share of A that is recognised as LABELS.
"""
import json
import sys

import numpy as np


def tensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    at = lambda t: np.frombuffer(raw, "<f4", offset=8 + n + t["data_offsets"][0], count=int(np.prod(t["shape"])))
    return {k: at(t).reshape(t["shape"]).astype(float) for k, t in head.items()}


def conv(x, w, b, stride):
    """3x3, one pixel of zeros around."""
    n, _, h, wide = x.shape
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = sum(np.einsum("nchw,oc->nohw", p[:, :, i:i + h:stride, j:j + wide:stride], w[:, :, i, j])
            for i in range(3) for j in range(3))
    return y + b[:, None, None]


def norm_silu(x, w, b, groups):
    g = x.reshape(len(x), groups, -1)
    g = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + 1e-5)
    y = g.reshape(x.shape) * w[:, None, None] + b[:, None, None]
    return y / (1 + np.exp(-y))


def forward(folder, x):
    c = json.load(open(folder + "/config.json"))
    t = tensors(folder + "/diffusion_pytorch_model.safetensors")
    both = lambda name: (t[name + ".weight"], t[name + ".bias"])
    norm = lambda h, name: norm_silu(h, *both(name), c["norm_num_groups"])
    h = conv(x.astype(float), *both("conv_in"), 1)
    for i in range(len(c["block_out_channels"]) - 1):
        at = f"blocks.{i}."
        h = conv(norm(h, at + "norm1"), *both(at + "down"), 2)
        h = h + conv(norm(h, at + "norm2"), *both(at + "conv"), 1)
    f = norm(h, "norm_out").mean((2, 3))
    w, b = both("head")
    return f, f @ w.T + b


def frechet(a, b):
    sa, sb = np.cov(a.T), np.cov(b.T)
    w, v = np.linalg.eigh(sa)
    root = v * np.sqrt(np.maximum(w, 0)) @ v.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ sb @ root), 0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa) + np.trace(sb) - 2 * cross


folder, a, b = sys.argv[1], np.load(sys.argv[2]), np.load(sys.argv[3])
fa, za = forward(folder, a)
fb, _ = forward(folder, b)
print("feature_frechet", frechet(fa, fb))
if len(sys.argv) > 4:
    print("recognised_a", (za.argmax(1) == np.load(sys.argv[4])).mean())
