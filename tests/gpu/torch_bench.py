"""torch_bench.py FILE [OWN]: the networks of bench.c in PyTorch: diffusers' UNet2DModel where it is there, else an equal
module, and UNet2DConditionModel and DiTTransformer2DModel only where it is there; bf16 under autocast, channels_last, torch.compile as it is and with CUDA graphs (reduce-overhead), AdamW fused,
clipping and a moving average. Rows of JSON go into FILE; OWN is bench.c's, for how many times as fast that is."""
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

try:
    from diffusers import DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel
except ImportError:
    UNet2DModel = None

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True


class Res(nn.Module):
    def __init__(self, i, o, t, groups):
        super().__init__()
        self.n1, self.c1 = nn.GroupNorm(groups, i, 1e-6), nn.Conv2d(i, o, 3, padding=1)
        self.t, self.n2 = nn.Linear(t, o), nn.GroupNorm(groups, o, 1e-6)
        self.c2 = nn.Conv2d(o, o, 3, padding=1)
        self.skip = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x, t):
        h = self.c1(F.silu(self.n1(x))) + self.t(F.silu(t))[:, :, None, None]
        return self.skip(x) + self.c2(F.silu(self.n2(h)))


class Attn(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.n, self.qkv, self.o = nn.GroupNorm(groups, c, 1e-6), nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.n(x).flatten(2).transpose(1, 2)).unsqueeze(1).chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        return x + self.o(y).transpose(1, 2).reshape(b, c, h, w)


class Plain(nn.Module):
    """DDPM's U-Net as UNet2DModel builds it, attention at the levels named."""

    def __init__(self, cin, ch, groups, attn, layers=2):
        super().__init__()
        t = 4 * ch[0]
        self.ch0, self.time = ch[0], nn.Sequential(nn.Linear(ch[0], t), nn.SiLU(), nn.Linear(t, t))
        self.inp = nn.Conv2d(cin, ch[0], 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [ch[0]], ch[0]
        for i, o in enumerate(ch):
            for _ in range(layers):
                self.down.append(nn.ModuleList([Res(c, o, t, groups), Attn(o, groups) if i in attn else nn.Identity()]))
                skips.append(o)
                c = o
            if i + 1 < len(ch):
                self.down.append(nn.Conv2d(o, o, 3, stride=2, padding=1))
                skips.append(o)
        self.mid = nn.ModuleList([Res(c, c, t, groups), Attn(c, groups), Res(c, c, t, groups)])
        for i, o in reversed(list(enumerate(ch))):
            for _ in range(layers + 1):
                self.up.append(nn.ModuleList([Res(c + skips.pop(), o, t, groups),
                                              Attn(o, groups) if i in attn else nn.Identity()]))
                c = o
            if i:
                self.up.append(nn.Conv2d(o, o, 3, padding=1))
        self.n, self.out = nn.GroupNorm(groups, c, 1e-6), nn.Conv2d(c, cin, 3, padding=1)

    def forward(self, x, t):
        f = torch.exp(torch.arange(self.ch0 // 2, device=x.device) * (-9.21 / (self.ch0 // 2 - 1)))
        a = t.float()[:, None] * f
        t = self.time(torch.cat([a.sin(), a.cos()], 1))
        h = self.inp(x)
        hs = [h]
        for m in self.down:
            h = m(h) if isinstance(m, nn.Conv2d) else m[1](m[0](h, t))
            hs.append(h)
        h = self.mid[2](self.mid[1](self.mid[0](h, t)), t)
        for m in self.up:
            if isinstance(m, nn.Conv2d):
                h = m(F.interpolate(h, scale_factor=2.0))
            else:
                h = m[1](m[0](torch.cat([h, hs.pop()], 1), t))
        return self.out(F.silu(self.n(h)))


def unet(size, cin, ch):
    if cin == 1:  # the demo's teacher, without its classes
        return Plain(cin, ch, 8, (2,), 1)
    if not ch:
        return Classes(DiTTransformer2DModel(sample_size=size, num_attention_heads=12, attention_head_dim=64, num_layers=12))
    if cin == 4:
        return Text(UNet2DConditionModel(sample_size=size, block_out_channels=ch, cross_attention_dim=768))
    if UNet2DModel is None:
        return Plain(cin, ch, 32, (1,))
    n = len(ch)
    m = UNet2DModel(sample_size=size, in_channels=cin, out_channels=cin, block_out_channels=ch, layers_per_block=2,
                    attention_head_dim=None, norm_num_groups=32, norm_eps=1e-6, downsample_padding=0,
                    down_block_types=tuple("AttnDownBlock2D" if i == 1 else "DownBlock2D" for i in range(n)),
                    up_block_types=tuple("AttnUpBlock2D" if n - 1 - i == 1 else "UpBlock2D" for i in range(n)))
    return Wrap(m)


class Text(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m
        self.register_buffer("context", torch.randn(1, 77, 768))

    def forward(self, x, t):
        return self.m(x, t, encoder_hidden_states=self.context.expand(len(x), -1, -1)).sample


class Classes(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m
        self.register_buffer("label", torch.zeros(1, dtype=torch.long))

    def forward(self, x, t):
        return self.m(x, t, class_labels=self.label.expand(len(x))).sample


class Wrap(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x, t):
        return self.m(x, t).sample


def timed(f, seconds):
    for _ in range(4):
        f()
    torch.cuda.synchronize()
    n, t0 = 0, time.perf_counter()
    while time.perf_counter() - t0 < seconds:
        for _ in range(3):
            f()
        torch.cuda.synchronize()
        n += 3
    return (time.perf_counter() - t0) / n


def own_rate(name, work, batch):
    for r in own:
        if (r.get("network"), r.get("work"), r.get("batch"), r.get("precision")) == (name, work, batch, "bf16"):
            return r["images_per_second"]
    return None


def bench(name, size, cin, ch, batch, mode):
    torch._dynamo.reset()
    net = unet(size, cin, ch).cuda().to(memory_format=torch.channels_last)
    params = list(net.parameters())
    ema = [p.detach().clone() for p in params]
    opt = torch.optim.AdamW(params, lr=1e-5, fused=True)
    run = net if mode == "eager" else torch.compile(net, mode=mode, dynamic=False)
    x = torch.randn(batch, cin, size, size, device="cuda").to(memory_format=torch.channels_last)
    y, t = torch.randn_like(x), torch.randint(0, 1000, (batch,), device="cuda")

    def train():
        torch.compiler.cudagraph_mark_step_begin()
        opt.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = (run(x, t).float() - y).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        torch._foreach_lerp_(ema, params, 0.001)

    @torch.no_grad()
    def sample():
        with torch.autocast("cuda", torch.bfloat16):
            z = x
            for _ in range(10):
                torch.compiler.cudagraph_mark_step_begin()
                z = 0.9 * z + 0.1 * run(z, t)
        return z

    kind = type(net.m if isinstance(net, (Classes, Text, Wrap)) else net).__name__
    for work, f in (("training", train), ("10 steps", sample)):
        t0 = time.perf_counter()
        s = timed(f, 2.0)
        mine = own_rate(name, work, batch)
        rows.append({"network": name, "work": work, "precision": "bf16", "batch": batch, "mode": mode,
                     "images_per_second": batch / s, "rectdiff_times_as_fast": mine and mine * s / batch,
                     "setup_seconds": time.perf_counter() - t0 - 2, "parameters": sum(p.numel() for p in params),
                     "module": kind, "torch": torch.__version__})
        print(f"torch    {name:8} bf16  {work:8} batch {batch:4} {batch / s:10.1f} images/s  {kind}, {mode}"
              f"{f', rectdiff {mine * s / batch:.2f} times as fast' if mine else ''}", flush=True)
        with open(sys.argv[1], "w") as out:
            json.dump(rows, out)


rows = []
try:
    own = json.load(open(sys.argv[2]))
except (IndexError, OSError, ValueError):
    own = []
CIFAR, FASHION = ("cifar", 32, 3, (128, 256, 256, 256)), ("fashion", 28, 1, (32, 64, 64))
LARGE, LATENT = ("64x64", 64, 3, (128, 256, 384, 512)), ("latent", 64, 4, (320, 640, 1280, 1280))
DIT = ("dit", 32, 4, ())
CASES = ((CIFAR, 128, "default"), (CIFAR, 8, "default"), (CIFAR, 8, "reduce-overhead"), (CIFAR, 128, "reduce-overhead"),
         (FASHION, 512, "default"), (FASHION, 8, "reduce-overhead"), (LARGE, 64, "default"), (LARGE, 8, "reduce-overhead"),
         (LATENT, 16, "default"), (LATENT, 8, "reduce-overhead"), (DIT, 64, "default"),
         (DIT, 8, "reduce-overhead"),
         (FASHION, 512, "reduce-overhead"), (FASHION, 8, "default"), (LARGE, 64, "reduce-overhead"), (LARGE, 8, "default"),
         (CIFAR, 128, "eager"), (CIFAR, 8, "eager"), (LARGE, 64, "eager"), (FASHION, 512, "eager"))
for net_of, batch_of, mode_of in CASES:  # what tells most comes first: compiling takes minutes, and the time is bounded
    try:
        bench(*net_of, batch_of, mode_of)
    except Exception as ex:  # one that fails leaves the others
        print(f"torch: {net_of[0]}, {mode_of}: {type(ex).__name__}: {str(ex)[:200]}", flush=True)
    torch.cuda.empty_cache()
