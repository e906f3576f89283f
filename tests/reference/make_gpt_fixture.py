"""Writes gpt.safetensors: GPT-2 as nanoGPT has it, written again in PyTorch, in float64.

A case has its state dict as case/state/NAME, i64 tokens and targets, the logits, the loss (mean cross
entropy) and its gradients as case/grad/NAME, all names being nanoGPT's. README.md lists the cases.
"""

import os
import platform

import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

torch.manual_seed(20190214)
VOCABULARY, BLOCK, LAYERS = 7, 6, 2
arrays = {}


def rotate(x):
    """Rotary embedding of [N, heads, T, D]: pairs (j, j + D / 2), base 10000."""
    half = x.shape[-1] // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Attention(nn.Module):
    def __init__(self, width, heads, bias, rotary):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self.heads, self.rotary = heads, rotary

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = (
            part.view(n, t, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, t, width))


class MLP(nn.Module):
    def __init__(self, width, bias, activation):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)
        self.activation = activation

    def forward(self, x):
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads, bias, rotary, activation):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = Attention(width, heads, bias, rotary)
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = MLP(width, bias, activation)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, width, heads, bias=True, tied=True, rotary=False, activation=F.gelu):
        super().__init__()
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(VOCABULARY, width)})
        if not rotary:
            self.transformer["wpe"] = nn.Embedding(BLOCK, width)
        self.transformer["h"] = nn.ModuleList(
            Block(width, heads, bias, rotary, activation) for _ in range(LAYERS)
        )
        self.transformer["ln_f"] = nn.LayerNorm(width, bias=bias)
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)
        if tied:
            self.lm_head.weight = self.transformer["wte"].weight

    def forward(self, tokens):
        x = self.transformer["wte"](tokens)
        if "wpe" in self.transformer:
            x = x + self.transformer["wpe"](torch.arange(tokens.shape[1]))
        for block in self.transformer["h"]:
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


def case(name, model):
    model = model.double()
    for parameter in model.parameters():
        parameter.data.uniform_(-0.8, 0.8)
    tokens = torch.randint(VOCABULARY, (3, BLOCK))
    targets = torch.randint(VOCABULARY, (3, BLOCK))
    logits = model(tokens)
    loss = F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))
    loss.backward()
    for key, value in model.named_parameters(remove_duplicate=False):
        arrays[f"{name}/state/{key}"] = value.detach().numpy().copy()
        arrays[f"{name}/grad/{key}"] = value.grad.numpy().copy()
    for key, value in dict(tokens=tokens, targets=targets, logits=logits, loss=loss).items():
        arrays[f"{name}/{key}"] = value.detach().numpy()


case("gpt", GPT(6, 3))
case("plain", GPT(4, 2, bias=False, tied=False, activation=F.silu))
case("rotary", GPT(8, 2, rotary=True))
versions = "torch %s, safetensors %s, Python %s" % (
    torch.__version__, safetensors.__version__, platform.python_version())
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpt.safetensors")
save_file(arrays, path, metadata={"made_with": versions})
print("%s: %d arrays, %d bytes" % (path, len(arrays), os.path.getsize(path)))
