"""The schedulers of diffusers that differ from Ito's samplers, on Gaussian data N(0, 1/4) and their best network: x
goes along sqrt(D_to / D_at), D the variance of x_t. Prints their relative errors (docs/diffusion.md, section 6).
    python3 tests/reference/compare_schedulers.py      with torch and diffusers
"""
import math

import torch
from diffusers import DDIMInverseScheduler, PNDMScheduler

SCHEDULE = {"num_train_timesteps": 4000, "beta_start": 2.5e-5, "beta_end": 5e-3}
STEPS = (10, 20, 40, 80)


def variance(alpha_bar):
    return alpha_bar / 4 + 1 - alpha_bar


def network(alpha_bar, x, kind):
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    x_0, eps = signal / 4 / variance(alpha_bar) * x, noise / variance(alpha_bar) * x
    return {"epsilon": eps, "v_prediction": signal * eps - noise * x_0, "sample": x_0}[kind]


def run(scheduler, n, kind):
    scheduler.set_timesteps(n)
    alphas = scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    x = torch.ones(1)
    for t in scheduler.timesteps:
        x = scheduler.step(network(alphas[int(t)], x, kind), int(t), x).prev_sample
    return float(x), [alphas[int(t)] for t in scheduler.timesteps]


torch.set_default_dtype(torch.float64)
for name, skip in (("plms", True), ("pndm", False)):
    for kind in ("epsilon", "v_prediction"):
        errors = []
        for n in STEPS:
            scheduler = PNDMScheduler(**SCHEDULE, skip_prk_steps=skip, prediction_type=kind)
            x, levels = run(scheduler, n, kind)
            exact = math.sqrt(variance(scheduler.alphas_cumprod[0]) / variance(levels[0]))
            errors.append(x / exact - 1)
        print(f"{name:8} {kind:13}", *(f"{e:9.5f}" for e in errors))
for kind in ("epsilon", "v_prediction", "sample"):
    errors = []
    for n in STEPS:
        x, levels = run(DDIMInverseScheduler(**SCHEDULE, prediction_type=kind, clip_sample=False), n, kind)
        errors.append(x / math.sqrt(variance(levels[-1]) / 0.25) - 1)
    print(f"{'inverse':8} {kind:13}", *(f"{e:9.5f}" for e in errors))
