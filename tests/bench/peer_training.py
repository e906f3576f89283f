"""PyTorch's side of compare_training.sh: the recipe of

    ito-ddpm train --preset small --flip no --prediction v

for grey images of 28x28, with the network of tests/reference/unet.py and PyTorch's own random numbers.

    peer_training.py train DIRECTORY OUT [--steps N] [--seed S] [--threads N]

learns the images of DIRECTORY, IDX files as MNIST's, and leaves OUT/log.jsonl, with the loss of each
step, and OUT/model.safetensors, the averaged weights, as `ito-ddpm export` writes them.

    peer_training.py check DIRECTORY build/tests/training_steps

makes a few steps in f64 on the same weights, images, times and noise in PyTorch and in Ito, and
fails unless losses, gradients, weights and averages agree."""

import argparse
import copy
import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reference"))
from unet import UNet

T, BATCH, LR, WARMUP, CLIP, EMA = 1000, 32, 1e-3, 100, 1.0, 0.999
SETTINGS = {
    "model": {
        "in_channels": 1, "out_channels": 1, "height": 28, "width": 28, "channels": 32, "blocks": 2,
        "groups": 32, "multipliers": [1, 2, 2], "attention": [False, False, True], "dropout": 0,
    },
    "diffusion": {
        "schedule": "cosine", "steps": T, "prediction": "v", "variance": "fixedsmall",
        "weighting": "simple", "loss": "simple",
    },
}  # fmt: skip


def read_images(directory):
    """[N, 1, 28, 28] u8."""
    name = os.path.join(directory, "train-images-idx3-ubyte")
    with gzip.open(name + ".gz") if os.path.exists(name + ".gz") else open(name, "rb") as f:
        data = f.read()
    n, h, w = np.frombuffer(data, ">i4", 3, 4)
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(n, 1, h, w).copy())


def scaled(images):
    """Pixels in -1..1."""
    return images.float() / 127.5 - 1


def make_network():
    """Weights as in the code of Ho et al.: Glorot, next to 0 where a branch or the network ends; biases 0."""
    net = UNet(32, (1, 2, 2), 2, (2,))
    net.conv_in, net.conv_out = nn.Conv2d(1, 32, 3, 1, 1), nn.Conv2d(32, 1, 3, 1, 1)
    for name, p in net.named_parameters():
        if p.dim() > 1:
            last = name.endswith((".conv2.weight", ".to_out.0.weight")) or name == "conv_out.weight"
            nn.init.xavier_uniform_(p, gain=math.sqrt(1e-10) if last else 1)  # the square root of a variance's
        elif name.endswith(".bias"):
            nn.init.zeros_(p)
    return net


def cosine_alpha_bar():
    """[T], f64: Nichol, Dhariwal 2021, eq. (17), no beta above 0.999."""
    f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp(max=0.999), 0)


def learning_rate(step, steps):
    return LR * min((step + 1) / WARMUP, 1) * (1 + math.cos(math.pi * step / steps)) / 2


class Training:
    def __init__(self, net):
        self.net, self.parameters = net, list(net.parameters())
        self.average, self.updates = copy.deepcopy(net).requires_grad_(False), 0
        self.adam = torch.optim.Adam(self.parameters, lr=LR)
        bar = cosine_alpha_bar().to(self.parameters[0].dtype)
        self.signal, self.noise = bar.sqrt(), (1 - bar).sqrt()

    def backward(self, x_0, t, eps):
        signal, noise = self.signal[t][:, None, None, None], self.noise[t][:, None, None, None]
        self.adam.zero_grad()
        loss = F.mse_loss(self.net(signal * x_0 + noise * eps, t), signal * eps - noise * x_0)
        loss.backward()
        return loss.item()

    def update(self, lr):
        """Clip, move, average; the norm of the gradient."""
        norm = nn.utils.clip_grad_norm_(self.parameters, CLIP).item()
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        decay = min(EMA, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(list(self.average.parameters()), [p.detach() for p in self.parameters], 1 - decay)
        return norm


def order(n):
    """Permutations without end."""
    while True:
        yield from torch.randperm(n).tolist()


def train(o):
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    os.makedirs(o.out, exist_ok=True)
    images, training = read_images(o.directory), Training(make_network().to(memory_format=torch.channels_last))
    next_image, start = order(len(images)), time.perf_counter()
    with open(os.path.join(o.out, "log.jsonl"), "w") as log:
        for step in range(o.steps):
            x_0 = scaled(images[[next(next_image) for _ in range(BATCH)]])
            t, eps = torch.randint(0, T, (BATCH,)), torch.randn_like(x_0)
            loss = training.backward(x_0, t, eps)
            norm = training.update(learning_rate(step, o.steps))
            seconds = round(time.perf_counter() - start, 3)
            log.write(json.dumps({"step": step + 1, "loss": loss, "grad_norm": norm, "seconds": seconds}) + "\n")
            log.flush()
    metadata = {"ito_ddpm_settings": json.dumps(SETTINGS), "ito_ddpm_step": str(o.steps)}
    weights = {k: v.contiguous() for k, v in training.average.state_dict().items()}
    save_file(weights, os.path.join(o.out, "model.safetensors"), metadata)


def steps_in_ito(program, tensors):
    with tempfile.TemporaryDirectory() as d:
        given, got = os.path.join(d, "given.safetensors"), os.path.join(d, "got.safetensors")
        save_file({k: v.contiguous() for k, v in tensors.items()}, given)
        subprocess.run([program, given, got], check=True)
        return load_file(got)


def check(o, steps=4, batch=4, tolerance=1e-9):
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    net = make_network().double()
    with torch.no_grad():  # away from the start, where next to nothing comes through a branch
        for p in net.parameters():
            p.add_(torch.randn_like(p), alpha=0.05)
    training, start = Training(net), {k: p.detach().clone() for k, p in net.named_parameters()}
    x_0 = scaled(read_images(o.directory)[: steps * batch]).double().reshape(steps, batch, 1, 28, 28)
    t, eps = torch.randint(0, T, (steps, batch)), torch.randn_like(x_0)
    t[0, 0], t[0, 1] = 0, T - 1  # where the schedule is extreme
    lr = torch.tensor([learning_rate(step, 1000) for step in range(steps)], dtype=torch.float64)
    ito = steps_in_ito(o.program, {**start, "x_0": x_0, "t": t, "eps": eps, "lr": lr})
    ours, losses = {}, []
    for i in range(steps):
        losses.append(training.backward(x_0[i], t[i], eps[i]))
        if i == 0:
            ours.update({"gradient." + k: p.grad.clone() for k, p in net.named_parameters()})
        training.update(lr[i].item())
    ours["loss"] = torch.tensor(losses, dtype=torch.float64)
    ours.update({"weight." + k: p.detach() for k, p in net.named_parameters()})
    ours.update({"average." + k: p for k, p in training.average.named_parameters()})
    compare(ito, ours, start, tolerance)


def compare(ito, ours, start, tolerance):
    """Each tensor, relative to its norm; of weights and averages what they have moved. Not those whose
    gradient cancels, which is 0 but for rounding: what shifts the keys, or a group of one channel."""
    if ito.keys() != ours.keys():
        sys.exit("peer_training: these tensors are only on one side: %s" % sorted(ito.keys() ^ ours.keys()))
    largest = max(ours["gradient." + k].norm() for k in start)
    counts = [k for k in start if ours["gradient." + k].norm() > 1e-12 * largest]
    for kind in ("loss", "gradient", "weight", "average"):
        errors = {}
        for name in counts if kind != "loss" else [""]:
            k = kind + "." * bool(name) + name
            moved = ours[k] - start[name] if kind in ("weight", "average") else ours[k]
            errors[k] = ((ito[k] - ours[k]).norm() / moved.norm()).item()
        worst = max(errors, key=errors.get)
        print("%s: differs by %.0e at most, in %s" % (kind, errors[worst], worst))
        if not errors[worst] < tolerance:
            sys.exit("peer_training: %s differs by more than %.0e" % (worst, tolerance))
    print("%d of %d gradients cancel" % (len(start) - len(counts), len(start)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    for name, last in (("train", "out"), ("check", "program")):
        c = commands.add_parser(name)
        c.add_argument("directory")
        c.add_argument(last)
        c.add_argument("--seed", type=int, default=0)
        c.add_argument("--threads", type=int, default=1)
    commands.choices["train"].add_argument("--steps", type=int, default=800)
    o = p.parse_args()
    train(o) if o.command == "train" else check(o)


if __name__ == "__main__":
    main()
