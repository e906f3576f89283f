"""Writes unet_names.safetensors: U-Nets under the names of other programs, and what they compute.

Small networks built as guided-diffusion and DDIM build theirs, by their published code: modules of the
same names, shapes and order of computation. TensorFlow's are DDIM's network under the names and layouts
of the original release. Weights and images come from formula.py and are not stored; names, shapes and
outputs, in float64, are. No checkpoint of these programs was at hand.
"""

import math
import os
import platform
import re

import numpy as np
import safetensors
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

import formula

TIMES = (7, 412)


def sines(t, channels, shift, cosines_first):
    half = channels // 2
    angle = t.double()[:, None] * torch.exp(-math.log(10000) * torch.arange(half).double() / (half - shift))
    waves = [torch.sin(angle), torch.cos(angle)]
    return torch.cat(waves[::-1] if cosines_first else waves, 1)


# ---- guided-diffusion ----


class ResBlock(nn.Module):
    def __init__(self, width, time, out, scale_shift, resample=None):
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * out if scale_shift else out))
        self.out_layers = nn.Sequential(nn.GroupNorm(32, out), nn.SiLU(), nn.Dropout(0.0),
                                        nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if width == out else nn.Conv2d(width, out, 1)

    def forward(self, x, emb):
        h = self.in_layers[:-1](x)
        if self.resample:
            h, x = self.resample(h), self.resample(x)
        h, e = self.in_layers[-1](h), self.emb_layers(emb)[..., None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    def __init__(self, width, heads, new_order):
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = nn.GroupNorm(32, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x, emb):
        n, c, height, width = x.shape
        d = c // self.heads
        qkv = self.qkv(self.norm(x.reshape(n, c, -1)))
        if self.new_order:  # all queries, all keys, all values
            q, k, v = (part.reshape(n * self.heads, d, -1) for part in qkv.chunk(3, dim=1))
        else:  # the queries, keys and values of each head
            q, k, v = qkv.reshape(n * self.heads, 3 * d, -1).split(d, dim=1)
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(d), dim=-1)
        h = torch.einsum("bts,bcs->bct", weight, v).reshape(n, c, -1)
        return x + self.proj_out(h).reshape(n, c, height, width)


class Downsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x, emb):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x, emb):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Layers(nn.Sequential):
    def forward(self, x, emb):
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, emb)
        return x


class GuidedUNet(nn.Module):
    def __init__(self, ch, multipliers, blocks, attention, out, classes=0, heads=None, head_channels=None,
                 scale_shift=False, resblock_updown=False, new_order=False):
        super().__init__()
        self.ch, time = ch, 4 * ch
        block = lambda a, b, r=None: ResBlock(a, time, b, scale_shift, r)
        attend = lambda c: AttentionBlock(c, heads or c // head_channels, new_order)
        double = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
        self.time_embed = nn.Sequential(nn.Linear(ch, time), nn.SiLU(), nn.Linear(time, time))
        if classes:
            self.label_emb = nn.Embedding(classes, time)
        self.input_blocks = nn.ModuleList([Layers(nn.Conv2d(3, ch, 3, padding=1))])
        width, skips = ch, [ch]
        for level, m in enumerate(multipliers):
            for _ in range(blocks):
                layers = [block(width, ch * m)]
                width = ch * m
                if level in attention:
                    layers.append(attend(width))
                self.input_blocks.append(Layers(*layers))
                skips.append(width)
            if level < len(multipliers) - 1:
                self.input_blocks.append(Layers(
                    block(width, width, lambda x: F.avg_pool2d(x, 2)) if resblock_updown else Downsample(width)))
                skips.append(width)
        self.middle_block = Layers(block(width, width), attend(width), block(width, width))
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                layers = [block(width + skips.pop(), ch * m)]
                width = ch * m
                if level in attention:
                    layers.append(attend(width))
                if level and i == blocks:
                    layers.append(block(width, width, double) if resblock_updown else Upsample(width))
                self.output_blocks.append(Layers(*layers))
        self.out = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))

    def forward(self, x, t, y=None):
        emb = self.time_embed(sines(t, self.ch, 0, True))
        if y is not None:
            emb = emb + self.label_emb(y)
        skips = []
        for layers in self.input_blocks:
            x = layers(x, emb)
            skips.append(x)
        x = self.middle_block(x, emb)
        for layers in self.output_blocks:
            x = layers(torch.cat([x, skips.pop()], 1), emb)
        return self.out(x)


# ---- DDIM ----


class Block(nn.Module):
    def __init__(self, width, time, out):
        super().__init__()
        self.norm1, self.conv1 = norm(width), nn.Conv2d(width, out, 3, padding=1)
        self.temb_proj = nn.Linear(time, out)
        self.norm2, self.conv2 = norm(out), nn.Conv2d(out, out, 3, padding=1)
        if width != out:
            self.nin_shortcut = nn.Conv2d(width, out, 1)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(temb))[..., None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        weight = torch.softmax(q.transpose(1, 2) @ k * q.shape[1] ** -0.5, dim=2)
        return x + self.proj_out((v @ weight.transpose(1, 2)).reshape(x.shape))


def norm(width):
    return nn.GroupNorm(32, width, eps=1e-6)


class DDIM(nn.Module):
    def __init__(self, ch, multipliers, blocks, attention):
        super().__init__()
        self.ch, self.attention, time = ch, attention, 4 * ch
        self.temb = nn.Module()
        self.temb.dense = nn.ModuleList([nn.Linear(ch, time), nn.Linear(time, time)])
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down, self.up, self.mid = nn.ModuleList(), nn.ModuleList(), nn.Module()
        width, skips = ch, [ch]
        for level, m in enumerate(multipliers):
            d = nn.Module()
            d.block, d.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks):
                d.block.append(Block(width, time, ch * m))
                width = ch * m
                skips.append(width)
                if level in attention:
                    d.attn.append(Attention(width))
            if level < len(multipliers) - 1:
                d.downsample = nn.Module()
                d.downsample.conv = nn.Conv2d(width, width, 3, stride=2)
                skips.append(width)
            self.down.append(d)
        self.mid.block_1, self.mid.attn_1 = Block(width, time, width), Attention(width)
        self.mid.block_2 = Block(width, time, width)
        for level, m in reversed(list(enumerate(multipliers))):
            u = nn.Module()
            u.block, u.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks + 1):
                u.block.append(Block(width + skips.pop(), time, ch * m))
                width = ch * m
                if level in attention:
                    u.attn.append(Attention(width))
            if level:
                u.upsample = nn.Module()
                u.upsample.conv = nn.Conv2d(width, width, 3, padding=1)
            self.up.insert(0, u)
        self.norm_out, self.conv_out = norm(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x, t):
        temb = self.temb.dense[1](F.silu(self.temb.dense[0](sines(t, self.ch, 1, False))))
        skips = [self.conv_in(x)]
        for d in self.down:
            for i, block in enumerate(d.block):
                h = block(skips[-1], temb)
                skips.append(d.attn[i](h) if len(d.attn) else h)
            if hasattr(d, "downsample"):
                skips.append(d.downsample.conv(F.pad(skips[-1], (0, 1, 0, 1))))
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(skips[-1], temb)), temb)
        for u in reversed(self.up):
            for i, block in enumerate(u.block):
                h = block(torch.cat([h, skips.pop()], 1), temb)
                h = u.attn[i](h) if len(u.attn) else h
            if hasattr(u, "upsample"):
                h = u.upsample.conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(h)))


def tensorflow(name, value):
    """The variable that a tensor of DDIM's is in the original release, and the other way."""
    *place, parameter = name.split(".")
    path = "/".join(place)
    path = re.sub(r"^(down|up)/(\d+)/", r"\1_\2/", path)
    path = re.sub(r"/(block|attn)/(\d+)", r"/\1_\2", path)
    path = re.sub(r"dense/(\d)", r"dense\1", path)
    layer = place[-1]
    if layer.startswith("norm"):
        return path + ("/gamma" if parameter == "weight" else "/beta"), value
    if parameter == "bias":
        return path + "/b", value
    if layer in ("q", "k", "v", "proj_out", "nin_shortcut"):  # "network in network": a matrix
        return path + "/W", value[:, :, 0, 0].T
    return path + "/W", value.T if value.ndim == 2 else value.transpose(2, 3, 1, 0)


def from_tensorflow(like, value):
    if like.ndim == 4 and value.ndim == 2:
        return value.T[:, :, None, None]
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


# ---- the fixture ----

CASES = {
    "guided": (lambda: GuidedUNet(32, (1, 2), 1, (0, 1), 6, classes=5, head_channels=16, scale_shift=True,
                                  resblock_updown=True), (4, 0)),
    "guided_new_order": (lambda: GuidedUNet(32, (1, 1, 2), 2, (1,), 3, head_channels=8, new_order=True), None),
    "improved": (lambda: GuidedUNet(32, (1, 1), 1, (1,), 6, heads=4), None),
    "ddim": (lambda: DDIM(32, (1, 2), 2, (1,)), None),
    "tensorflow": (lambda: DDIM(32, (1, 1, 2), 1, (1,)), None),
}


def fill(net, case):
    """Set all parameters by the formula, of the names and layouts that the file is to have."""
    state = net.state_dict()
    names = {n: n for n in state}
    if case == "tensorflow":
        names = {tensorflow(n, v.numpy())[0]: n for n, v in state.items()}
    lines = []
    for p, name in enumerate(sorted(names)):
        tensor = state[names[name]]
        shape = tensor.shape
        if case == "tensorflow":
            shape = tensorflow(names[name], tensor.numpy())[1].shape
        value = formula.parameter(p, name, tuple(shape))
        if case == "tensorflow":
            value = from_tensorflow(tensor, value)
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        lines.append(" ".join([name, *map(str, shape)]))
    return lines


def main():
    arrays = {}
    for case, (make, labels) in CASES.items():
        net = make().eval()
        lines = fill(net, case)
        x = torch.from_numpy(formula.x_0(0, (2, 3, 8, 8))).double()
        given = [torch.tensor(labels)] if labels else []
        with torch.no_grad():
            y = net.double()(x, torch.tensor(TIMES), *given).numpy()
        print("%-18s %3d tensors, output up to %.3f" % (case, len(lines), np.abs(y).max()))
        arrays[case + "/parameters"] = np.frombuffer("\n".join(lines).encode(), np.uint8)
        arrays[case + "/output"] = np.ascontiguousarray(y)
    made_with = "torch %s, numpy %s, safetensors %s, Python %s" % (
        torch.__version__, np.__version__, safetensors.__version__, platform.python_version())
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unet_names.safetensors")
    save_file(arrays, path, {"made_with": made_with})
    print("wrote %s, %d bytes" % (os.path.basename(path), os.path.getsize(path)))


if __name__ == "__main__":
    main()
