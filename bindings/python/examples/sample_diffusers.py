#!/usr/bin/env python3
"""Images of a trained diffusion model: one of diffusers' directories, a run or a file of Ito, or, if none is
named, the model of clothes that is part of Ito.

    sample_diffusers.py --model google/ddpm-cifar10-32     # a directory
    sample_diffusers.py --label boot --guidance 2
"""
import argparse

import ito

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--model", help="a directory or a file")
options.add_argument("--n", type=int, default=16, help="how many images")
options.add_argument("--sampler", default="dpmpp_2m", help="ddpm, ddim, heun, ...")
options.add_argument("--steps", type=int, default=20)
options.add_argument("--seed", type=int, default=0)
options.add_argument("--label", help="a class by its name")
options.add_argument("--guidance", type=float, default=1.0)
options.add_argument("--out", default="samples.png")
o = options.parse_args()

model = ito.DDPM.load(o.model) if o.model else ito.DDPM.fashion_mnist()
print("images of", model.shape, "classes:", ", ".join(model.classes) or "none")
images = model.sample(o.n, steps=o.steps, sampler=o.sampler, seed=o.seed, label=o.label, guidance=o.guidance)

ito.image_save(o.out, ito.image_grid(images, 4, 2))
print(f"{o.out}: {o.n} images, {images.min().item():.2f} to {images.max().item():.2f}")

try:  # in a notebook this is what remains to be done: show it
    from IPython import get_ipython
    from IPython.display import Image, display

    if get_ipython() is not None:
        display(Image(o.out))
except ImportError:
    pass
