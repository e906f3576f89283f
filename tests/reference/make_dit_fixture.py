"""Writes dit.safetensors: what PyTorch makes of small diffusion transformers, in float64.

The network is that of Peebles, Xie 2022 in plain PyTorch, with the names of its published weights.
Weights, images, times and the cotangent come from formula.py and are not stored. README.md says what
each stored array holds.
"""

import math
import os
import platform
import sys

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

import formula

CASES = {
    "sincos": dict(channels=2, height=4, width=6, patch=2, hidden=8, depth=2, heads=2, ratio=4.0,
                   classes=3, out=4, labels=[1, 3]),
    "rotary": dict(channels=1, height=6, width=4, patch=2, hidden=16, depth=1, heads=2, ratio=1.5,
                   classes=0, out=1, labels=None),
    "learned": dict(channels=3, height=3, width=2, patch=1, hidden=6, depth=1, heads=3, ratio=2.0,
                    classes=2, out=3, labels=[2, 2]),
}  # fmt: skip


def modulate(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def adaLN(hidden, n):
    return nn.Sequential(nn.SiLU(), nn.Linear(hidden, n * hidden))


class TimestepEmbedder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t):
        freqs = torch.exp(-math.log(10000) * torch.arange(128, dtype=t.dtype) / 128)
        args = t[:, None] * freqs[None]
        return self.mlp(torch.cat([torch.cos(args), torch.sin(args)], dim=-1))


class LabelEmbedder(nn.Module):
    def __init__(self, classes, hidden):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, hidden)


class PatchEmbed(nn.Module):
    def __init__(self, channels, patch, hidden):
        super().__init__()
        self.proj = nn.Conv2d(channels, hidden, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


def axial_cis(columns, rows, dim):
    """RoPE-Axial, Heo et al. 2024: complex [tokens, dim / 2]."""
    freqs = 1.0 / 100.0 ** (torch.arange(0, dim, 4, dtype=torch.float64) / dim)
    place = torch.arange(columns * rows)
    angles = [torch.outer((place % columns).double(), freqs),
              torch.outer((place // columns).double(), freqs)]  # fmt: skip
    return torch.cat([torch.polar(torch.ones_like(a), a) for a in angles], dim=-1)


class Attention(nn.Module):
    def __init__(self, hidden, heads, cis):
        super().__init__()
        self.qkv, self.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.heads, self.cis = heads, cis

    def turned(self, x):
        if self.cis is None:
            return x
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * self.cis.to(pairs.dtype)).flatten(-2)

    def forward(self, x):
        n, t, c = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.turned(q), self.turned(k)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(c // self.heads), -1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, t, c))


class Mlp(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(hidden, width), nn.Linear(width, hidden)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, hidden, heads, ratio, cis):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(hidden, heads, cis)
        self.norm2 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(hidden, int(hidden * ratio))
        self.adaLN_modulation = adaLN(hidden, 6)

    def forward(self, x, c):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, 1)
        x = x + gate_a.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift_a, scale_a))
        return x + gate_m.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift_m, scale_m))


class FinalLayer(nn.Module):
    def __init__(self, hidden, size):
        super().__init__()
        self.norm_final = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(hidden, size)
        self.adaLN_modulation = adaLN(hidden, 2)

    def forward(self, x, c):
        return self.linear(modulate(self.norm_final(x), *self.adaLN_modulation(c).chunk(2, 1)))


def sincos_1d(dim, place):
    omega = 1.0 / 10000 ** (np.arange(dim // 2, dtype=np.float64) / (dim / 2))
    out = np.einsum("m,d->md", place.reshape(-1), omega)
    return np.concatenate([np.sin(out), np.cos(out)], axis=1)


def sincos_2d(dim, rows, columns):
    grid = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
    return np.concatenate([sincos_1d(dim // 2, grid[0]), sincos_1d(dim // 2, grid[1])], axis=1)


class DiT(nn.Module):
    def __init__(self, name, channels, height, width, patch, hidden, depth, heads, ratio, classes,
                 out, labels):  # fmt: skip
        super().__init__()
        self.rows, self.columns, self.patch, self.out = height // patch, width // patch, patch, out
        self.x_embedder = PatchEmbed(channels, patch, hidden)
        self.t_embedder = TimestepEmbedder(hidden)
        self.y_embedder = LabelEmbedder(classes, hidden) if classes > 0 else None
        cis, self.pos_embed = None, None
        if name == "rotary":
            cis = axial_cis(self.columns, self.rows, hidden // heads)
        else:
            place = torch.zeros(1, self.rows * self.columns, hidden, dtype=torch.float64)
            self.pos_embed = nn.Parameter(place, requires_grad=name == "learned")
        if name == "sincos":
            self.pos_embed.data.copy_(
                torch.from_numpy(sincos_2d(hidden, self.rows, self.columns)).unsqueeze(0)
            )
        self.blocks = nn.ModuleList(Block(hidden, heads, ratio, cis) for _ in range(depth))
        self.final_layer = FinalLayer(hidden, patch * patch * out)

    def unpatchify(self, x):
        p, h, w = self.patch, self.rows, self.columns
        x = x.reshape(x.shape[0], h, w, p, p, self.out)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(x.shape[0], self.out, h * p, w * p)

    def forward(self, x, t, y):
        x = self.x_embedder(x)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        c = self.t_embedder(t)
        if y is not None:
            c = c + self.y_embedder.embedding_table(y)
        for block in self.blocks:
            x = block(x, c)
        return self.unpatchify(self.final_layer(x, c))


def check_size():
    """That of DiT-XL/2 as its authors' program prints it."""
    with torch.device("meta"):
        net = DiT("learned", 4, 32, 32, 2, 1152, 28, 16, 4.0, 1000, 8, None)
    count = sum(w.numel() for w in net.parameters())
    if count != 675129632:
        sys.exit("dit: %d parameters" % count)


def run(name, o, arrays):
    net = DiT(name, **o).double()
    trained = sorted((k, w) for k, w in net.named_parameters() if w.requires_grad)
    for p, (key, w) in enumerate(trained):
        w.data.copy_(torch.from_numpy(formula.parameter(p, key, tuple(w.shape))))
    n = 2
    x = torch.from_numpy(formula.x_0(0, (n, o["channels"], o["height"], o["width"]))).double()
    t = torch.from_numpy(formula.t(0, n)).double() + 0.25
    dy = torch.from_numpy(formula.eps(0, (n, o["out"], o["height"], o["width"]))).double()
    y = None if o["labels"] is None else torch.tensor(o["labels"])
    output = net(x.requires_grad_(), t.requires_grad_(), y)
    output.backward(dy)
    arrays[name + "/output"] = output.detach().numpy().copy()
    arrays[name + "/grad_x"], arrays[name + "/grad_t"] = x.grad.numpy(), t.grad.numpy()
    arrays[name + "/grad"] = np.concatenate([w.grad.numpy().ravel() for _, w in trained])
    names = "\n".join(key for key, _ in sorted(net.state_dict().items()))
    arrays[name + "/names"] = np.frombuffer(names.encode(), np.uint8)
    if name == "sincos":
        arrays[name + "/pos_embed"] = net.pos_embed.detach().numpy()
    output = output.detach()
    single = net.float()(x.float(), t.float(), y).detach()
    print("%s: %d parameters, output up to %.3f, PyTorch's float32 off by %.1e" % (
        name, sum(w.numel() for _, w in trained), output.abs().max(),
        (single.double() - output).abs().max()))  # fmt: skip


def main():
    check_size()
    arrays = {}
    for name, options in CASES.items():
        run(name, options, arrays)
    versions = "torch %s, numpy %s, safetensors %s, python %s" % (
        torch.__version__, np.__version__, safetensors.__version__,
        platform.python_version())  # fmt: skip
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dit.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, {"made_with": versions})
    print("made with", versions)
    print("wrote %s, %d bytes" % (os.path.basename(path), os.path.getsize(path)))


if __name__ == "__main__":
    main()
