"""The U-Net of Ho, Jain, Abbeel 2020 in plain PyTorch, with diffusers' UNet2DModel's names."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


def conv(c_in, c_out, kernel=3, stride=1, padding=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, padding)


class Resnet(nn.Module):
    def __init__(self, c_in, c_out, c_time):
        super().__init__()
        self.norm1 = norm(c_in)
        self.conv1 = conv(c_in, c_out)
        self.time_emb_proj = nn.Linear(c_time, c_out)
        self.norm2 = norm(c_out)
        self.conv2 = conv(c_out, c_out)
        if c_in != c_out:
            self.conv_shortcut = conv(c_in, c_out, 1, padding=0)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(nn.Module):
    """One head over all pixels, scores scaled by C^-1/2."""

    def __init__(self, c):
        super().__init__()
        self.group_norm = norm(c)
        self.to_q, self.to_k, self.to_v = (nn.Linear(c, c) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x):
        h = self.group_norm(x).flatten(2).transpose(1, 2)  # [N, HW, C]
        q, k, v = self.to_q(h), self.to_k(h), self.to_v(h)
        scores = q @ k.transpose(1, 2) / math.sqrt(x.shape[1])
        h = self.to_out[0](scores.softmax(-1) @ v)
        return x + h.transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv(c, c, stride=2, padding=0)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and bottom only


class Upsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv(c, c)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Block(nn.Module):
    """A level going down or up, or the middle: resnets, each with an attention behind it or not."""

    def __init__(self, resnets, attention, c_time, resample=None):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(i, o, c_time) for i, o in resnets)
        if attention:
            self.attentions = nn.ModuleList(Attention(o) for _, o in resnets[:attention])
        if isinstance(resample, Downsample):
            self.downsamplers = nn.ModuleList([resample])
        elif isinstance(resample, Upsample):
            self.upsamplers = nn.ModuleList([resample])

    def layer(self, i, x, temb):
        x = self.resnets[i](x, temb)
        if hasattr(self, "attentions") and i < len(self.attentions):
            x = self.attentions[i](x)
        return x


class UNet(nn.Module):
    """x [N, 3, S, S], t [N] int64 -> [N, 3, S, S]."""

    def __init__(self, ch=32, multipliers=(1, 2, 2, 2), layers=2, attention=(1,)):
        super().__init__()
        self.ch, c_time, last = ch, 4 * ch, len(multipliers) - 1
        self.conv_in = conv(3, ch)
        self.time_embedding = nn.ModuleDict(
            {"linear_1": nn.Linear(ch, c_time), "linear_2": nn.Linear(c_time, c_time)}
        )
        widths = [ch * m for m in multipliers]
        skips, c = [ch], ch
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            resnets = [(c, width)] + [(width, width)] * (layers - 1)
            down = Downsample(width) if level < last else None
            has = layers if level in attention else 0
            self.down_blocks.append(Block(resnets, has, c_time, down))
            skips += [width] * (layers + (down is not None))
            c = width
        self.mid_block = Block([(c, c)] * 2, 1, c_time)
        self.up_blocks = nn.ModuleList()
        for level in range(last, -1, -1):
            resnets = []
            for _ in range(layers + 1):
                resnets.append((c + skips.pop(), widths[level]))
                c = widths[level]
            up = Upsample(c) if level > 0 else None
            has = layers + 1 if level in attention else 0
            self.up_blocks.append(Block(resnets, has, c_time, up))
        self.conv_norm_out = norm(c)
        self.conv_out = conv(c, 3)

    def embed(self, t, dtype):
        half = self.ch // 2
        exponent = torch.arange(half, dtype=dtype) * (-math.log(10000.0) / (half - 1))
        angle = t[:, None].to(dtype) * exponent.exp()
        h = torch.cat([angle.sin(), angle.cos()], 1)
        h = self.time_embedding["linear_1"](h)
        return self.time_embedding["linear_2"](F.silu(h))

    def forward(self, x, t, record=None):
        note = record if record is not None else lambda name, value: None
        temb = self.embed(t, x.dtype)
        note("time_embedding", temb)
        x = self.conv_in(x)
        note("conv_in", x)
        skips = [x]
        for level, block in enumerate(self.down_blocks):
            for i in range(len(block.resnets)):
                x = block.layer(i, x, temb)
                skips.append(x)
            if hasattr(block, "downsamplers"):
                x = block.downsamplers[0](x)
                skips.append(x)
            note("down_blocks.%d" % level, x)
        for i in range(2):
            x = self.mid_block.layer(i, x, temb)
        note("mid_block", x)
        for level, block in enumerate(self.up_blocks):
            for i in range(len(block.resnets)):
                x = block.layer(i, torch.cat([x, skips.pop()], 1), temb)
            if hasattr(block, "upsamplers"):
                x = block.upsamplers[0](x)
            note("up_blocks.%d" % level, x)
        x = F.silu(self.conv_norm_out(x))
        note("conv_norm_out", x)
        return self.conv_out(x)
