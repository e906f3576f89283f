"""Writes unet.safetensors: what PyTorch makes of the DDPM U-Net (ch 32), in float64 and float32.

A forward pass, L_simple with every gradient, and 20 training steps. Weights, images, noise and step
indices come from formula.py and are not stored. README.md says what each stored array holds.
"""

import copy
import os
import platform
import sys

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import formula
from unet import UNet

STEPS, BATCH, LR, CLIP = 20, 4, 2e-4, 1.0
EMA_DECAYS = {"ema": 0.9999, "ema_fast": 0.9}


def check_sizes():
    for n, options in (
        (35746307, dict(ch=128)),
        (113673219, dict(ch=128, multipliers=(1, 1, 2, 2, 4, 4), attention=(4,))),
    ):
        with torch.device("meta"):
            count = sum(w.numel() for w in UNet(**options).parameters())
        if count != n:
            sys.exit("unet: %d parameters instead of %d" % (count, n))


def make_unet(dtype):
    net = UNet()
    state = net.state_dict()
    for p, name in enumerate(sorted(state)):
        value = formula.parameter(p, name, tuple(state[name].shape))
        state[name].copy_(torch.from_numpy(value))
    return net.to(dtype)


def sorted_parameters(net):
    return [w for _, w in sorted(net.named_parameters())]


def alpha_bar():
    """Linear schedule, all in double."""
    return np.cumprod(1.0 - np.linspace(1e-4, 0.02, formula.STEPS))


def batch(number, n):
    """x_t [n, 3, 32, 32], eps, t: x_t in double, rounded once to float32."""
    shape = (n, 3, 32, 32)
    x_0, eps, t = formula.x_0(number, shape), formula.eps(number, shape), formula.t(number, n)
    ab = alpha_bar()[t].reshape(n, 1, 1, 1)
    x_t = np.sqrt(ab) * x_0.astype(np.float64) + np.sqrt(1.0 - ab) * eps.astype(np.float64)
    return [torch.from_numpy(a) for a in (x_t.astype(np.float32), eps, t)]


def f64(w):
    return w.detach().double().numpy().ravel()


def summaries(tensors, projections):
    """L2 norms [P] and projections on +-1 vectors [P, projections], accumulated in float64."""
    values = [f64(w) for w in tensors]
    norms = np.array([np.sqrt(np.sum(v * v)) for v in values])
    dots = [
        [
            np.sum(v * formula.signs(formula.stream_projection(p, j), v.size))
            for j in range(projections)
        ]
        for p, v in enumerate(values)
    ]
    return norms, np.array(dots)


def one_batch(dtype):
    """Output, activations, loss and gradients of batch 0."""
    net = make_unet(dtype)
    x_t, eps, t = batch(0, 2)
    notes = []
    output = net(x_t.to(dtype), t, lambda name, value: notes.append((name, value)))
    loss = F.mse_loss(output, eps.to(dtype))
    loss.backward()
    gradients = [w.grad for w in sorted_parameters(net)]
    norm, projection = summaries(gradients, formula.PROJECTIONS)
    activation_norm, activation_projection = summaries([v for _, v in notes], 1)
    samples = [f64(g)[formula.sample(p, g.numel())] for p, g in enumerate(gradients)]
    result = {
        "forward/x_t": x_t.numpy(),
        "forward/t": t.numpy(),
        "forward/output": output.detach().double().numpy(),
        "forward/loss": np.array(loss.item()),
        "activation/norm": activation_norm,
        "activation/projection": activation_projection[:, 0],
        "grad/norm": norm,
        "grad/projection": projection,
        "grad/max_abs": np.array([np.abs(f64(g)).max() for g in gradients]),
        "grad/sample": np.concatenate(samples).astype(np.float32),
        "grad/sample_offset": np.cumsum([0] + [s.size for s in samples]),
    }
    return result, [name for name, _ in notes], gradients


def train(dtype):
    """STEPS steps of Adam on L_simple, gradients clipped, averages kept."""
    net = make_unet(dtype)
    parameters = sorted_parameters(net)
    start = [w.detach().clone() for w in parameters]
    averages = {name: copy.deepcopy(start) for name in EMA_DECAYS}
    adam = torch.optim.Adam(parameters, lr=LR, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    losses, norms = [], []
    for step in range(STEPS):
        x_t, eps, t = batch(step + 1, BATCH)
        loss = F.mse_loss(net(x_t.to(dtype), t), eps.to(dtype))
        adam.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, CLIP).item())
        losses.append(loss.item())
        adam.step()
        with torch.no_grad():
            for name, decay in EMA_DECAYS.items():
                for average, w in zip(averages[name], parameters):
                    average.mul_(decay).add_(w, alpha=1.0 - decay)
    result = {"loss": np.array(losses), "grad_norm": np.array(norms)}
    moved = [w.detach().double() - s.double() for w, s in zip(parameters, start)]
    for name, tensors in {"parameter": parameters, "moved": moved, **averages}.items():
        result[name + "_norm"], result[name + "_projection"] = summaries(tensors, 2)
    return result, moved


def text(lines):
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def errors(tensors, truths, live):
    """L2 of the difference and of the truth, per parameter that matters."""
    kept = [p for p in range(len(truths)) if live[p]]
    apart = [np.linalg.norm(f64(tensors[p]) - f64(truths[p])) for p in kept]
    return np.array(apart), np.array([np.linalg.norm(f64(truths[p])) for p in kept])


def report(truth, single, gradients, single_gradients, long_run, short_run, moved, single_moved):
    """How far PyTorch's own float32 is from its float64: the scale of any sensible tolerance."""
    live = truth["grad/is_zero"] == 0
    total = np.linalg.norm(truth["grad/norm"])
    apart = np.abs(single["forward/output"] - truth["forward/output"]).max()
    print(
        "output: max |f32 - f64| = %.2e, max |f64| = %.3f"
        % (apart, np.abs(truth["forward/output"]).max())
    )
    print(
        "loss: f64 %.12f, relative difference %.2e"
        % (truth["forward/loss"], single["forward/loss"] / truth["forward/loss"] - 1.0)
    )
    apart = single["activation/norm"] / truth["activation/norm"] - 1.0
    print("activation norms: worst relative difference %.2e" % np.abs(apart).max())
    apart, scale = errors(single_gradients, gradients, live)
    print(
        "gradients, per parameter: |f32 - f64| / |f64| median %.2e, worst %.2e; over the norm of "
        "all (%.6f) worst %.2e"
        % (np.median(apart / scale), (apart / scale).max(), total, apart.max() / total)
    )
    print(
        "gradients that are zero: f32 norm over the norm of all, worst %.2e"
        % (single["grad/norm"][~live].max() / total)
    )
    apart = np.abs(single["grad/projection"] - truth["grad/projection"])[live]
    print(
        "gradient projections: |f32 - f64| / norm, worst %.2e"
        % (apart / truth["grad/norm"][live, None]).max()
    )
    for key in ("loss", "grad_norm"):
        apart = np.abs(short_run[key] / long_run[key] - 1.0)
        print(
            "training %s: relative difference %.2e at step 0, worst %.2e at step %d"
            % (key, apart[0], apart.max(), apart.argmax())
        )
    apart, scale = errors(single_moved, moved, live)
    print(
        "moved, per parameter: |f32 - f64| / |f64| median %.2e, worst %.2e"
        % (np.median(apart / scale), (apart / scale).max())
    )
    for name in ("parameter", "moved", *EMA_DECAYS):
        scale = long_run[name + "_norm"][live]
        norm = np.abs(short_run[name + "_norm"][live] / scale - 1.0)
        dots = np.abs(short_run[name + "_projection"] - long_run[name + "_projection"])[live]
        print(
            "%s: norms, worst relative difference %.2e; projections, worst / norm %.2e"
            % (name, norm.max(), (dots / scale[:, None]).max())
        )


def main():
    torch.use_deterministic_algorithms(True)
    check_sizes()
    names = sorted(make_unet(torch.float32).state_dict())
    truth, activations, gradients = one_batch(torch.float64)
    single, _, single_gradients = one_batch(torch.float32)
    long_run, moved = train(torch.float64)
    short_run, single_moved = train(torch.float32)
    arrays = dict(truth)
    arrays["forward/output_f32"] = single["forward/output"].astype(np.float32)
    arrays["forward/loss_f32"] = single["forward/loss"]
    # Gradients that cancel exactly: shifts that a softmax or a group of one channel removes.
    zero = truth["grad/norm"] < 1e-12 * np.linalg.norm(truth["grad/norm"])
    truth["grad/is_zero"] = arrays["grad/is_zero"] = zero.astype(np.uint8)
    arrays["parameter/numel"] = np.array([g.numel() for g in gradients])
    arrays.update({"train_f64/" + k: v for k, v in long_run.items()})
    arrays.update({"train_f32/" + k: v for k, v in short_run.items()})
    arrays["parameter/names"] = text(names)
    arrays["activation/names"] = text(activations)
    versions = "torch %s, numpy %s, safetensors %s, python %s" % (
        torch.__version__,
        np.__version__,
        safetensors.__version__,
        platform.python_version(),
    )
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unet.safetensors")
    save_file(
        {k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, {"made_with": versions}
    )  # one entry: the writer does not keep the order of several
    print("made with", versions)
    report(truth, single, gradients, single_gradients, long_run, short_run, moved, single_moved)
    print("losses:", " ".join("%.5f" % v for v in long_run["loss"]))
    print("gradient norms:", " ".join("%.4f" % v for v in long_run["grad_norm"]))
    print("wrote %s, %d bytes" % (os.path.basename(path), os.path.getsize(path)))


if __name__ == "__main__":
    main()
