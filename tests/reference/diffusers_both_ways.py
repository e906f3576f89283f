"""Networks and samples of Ito against diffusers, from its directories and back. Needs torch and diffusers (0.42.1);
exits with 77, which says skipped, where they are not installed.
    python3 tests/reference/diffusers_both_ways.py build/tests/diffusers_driver [NAME]

Each configuration gets random weights. diffusers writes it and Ito evaluates it; Ito writes it again and diffusers
evaluates that. Outputs agree to 1e-5 of the largest one. Then whole pipelines make the same images (1e-3) from the same
noise.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import diffusers
    from diffusers import (DDIMScheduler, DDPMPipeline, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel)
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
DRIVER = os.path.abspath(sys.argv[1])
OUTPUT, IMAGE = 1e-5, 1e-3

# Google's family: what DDPM's own weights were converted to; the library's: UNet2DModel's defaults.
GOOGLE = dict(downsample_padding=0, norm_eps=1e-6, freq_shift=1, flip_sin_to_cos=False, attention_head_dim=None)
TWO = dict(block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
           up_block_types=("AttnUpBlock2D", "UpBlock2D"), norm_num_groups=8)
THREE = dict(block_out_channels=(16, 24, 32), layers_per_block=1, norm_num_groups=4)
RESNET = ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
CONFIGS = {
    "google": dict(sample_size=32, **TWO, **GOOGLE),
    "google of four levels": dict(
        sample_size=64, block_out_channels=(32, 64, 64, 64), layers_per_block=2, norm_num_groups=16,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), **GOOGLE),
    "library": dict(sample_size=32, **TWO),
    "library at 256": dict(
        sample_size=256, block_out_channels=(8, 8, 16, 16, 32, 32), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4),
    "resnet resampling, scale_shift": dict(
        sample_size=32, down_block_types=RESNET, up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D", "UpBlock2D"),
        downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift", attention_head_dim=8,
        **THREE),
    "middle without attention": dict(sample_size=32, add_attention=False, mid_block_scale_factor=1.5, **TWO),
    "no middle, mish": dict(sample_size=(32, 48), mid_block_type=None, act_fn="mish", **TWO),
    "groups of the middle, gelu": dict(
        sample_size=32, attn_norm_num_groups=4, resnet_time_scale_shift="scale_shift", act_fn="gelu",
        time_embedding_dim=96, **TWO),
    "attention up alone, centred": dict(
        sample_size=32, down_block_types=("DownBlock2D",) * 3,
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), center_input_sample=True, act_fn="relu",
        in_channels=1, out_channels=1, **THREE),
    "ten classes": dict(sample_size=32, num_class_embeds=10, **TWO, **GOOGLE),
    "learned range": dict(sample_size=32, out_channels=6, dropout=0.1, **TWO),
    "fourier": dict(sample_size=32, time_embedding_type="fourier", **TWO),
    "learned times": dict(sample_size=32, time_embedding_type="learned", num_train_timesteps=1000, **TWO),
    "classes as times": dict(sample_size=32, class_embed_type="timestep", **TWO),
    "classes as embeddings": dict(sample_size=32, class_embed_type="identity", **TWO),
}


def drive(*arguments):
    done = subprocess.run([DRIVER, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"diffusers_driver {' '.join(arguments)}: {done.stderr}")
    return done.stderr


def random_network(config):
    torch.manual_seed(0)
    net = UNet2DModel(**config).eval()
    with torch.no_grad():  # the last layers of a fresh network are too small to show faults
        for p in net.parameters():
            p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 1 else p[0].numel() ** -0.5))
        for name, p in net.named_parameters():
            if "norm" in name and name.endswith("weight"):
                p.add_(1.0)
    return net


def inputs(config, net):
    side = config["sample_size"]
    height, width = side if isinstance(side, tuple) else (side, side)
    x = torch.randn(2, config.get("in_channels", 3), height, width)
    t = torch.tensor([3, 700])
    if config.get("class_embed_type") == "identity":
        return x, t, torch.randn(2, net.time_embedding.linear_2.out_features)
    labels = torch.tensor([9, 4]) if "num_class_embeds" in config or "class_embed_type" in config else None
    return x, t, labels


def output(net, x, t, labels):
    with torch.no_grad():
        return net(x, t, class_labels=labels).sample.numpy()


def ito_output(model, x, t, labels):
    np.save("x.npy", x.numpy())
    np.save("t.npy", t.numpy())
    if labels is not None:
        np.save("labels.npy", labels.numpy())
    drive("evaluate", model, "x.npy", "t.npy", "none" if labels is None else "labels.npy", "y.npy")
    return np.load("y.npy")


def difference(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def both_ways(name, config):
    here = f"{name.replace(' ', '-').replace(',', '')}"
    net = random_network(config)
    net.save_pretrained(here + "/unet")
    variance = "learned_range" if config.get("out_channels", 3) == 6 else "fixed_large"
    DDPMScheduler(variance_type=variance).save_pretrained(here + "/scheduler")
    given = inputs(config, net)
    expected = output(net, *given)
    into = difference(ito_output(here, *given), expected)
    drive("save", here, here + "-back")
    back = UNet2DModel.from_pretrained(here + "-back/unet").eval()
    changed = {k: (v, back.config[k]) for k, v in net.config.items() if k[0] != "_" and not same(k, v, back.config[k])}
    if changed:
        sys.exit(f"{name}: settings changed on the way: {changed}")
    out = difference(output(back, *given), expected)
    again = difference(ito_output(here + "-back", *given), expected)
    print(f"{name:34} into Ito {into:.1e}   back {out:.1e}   Ito again {again:.1e}")
    return max(into, out, again) <= OUTPUT


def same(key, a, b):
    if key == "sample_size" or isinstance(a, (list, tuple)):
        return (list(a) if isinstance(a, (list, tuple)) else [a]) == (list(b) if isinstance(b, (list, tuple)) else [b])
    return a == b


def shipped():
    """The trained network that comes with Ito, which takes labels, 10 being none."""
    drive("save", "fashion-mnist", "clothes")
    net = UNet2DModel.from_pretrained("clothes/unet").eval()
    given = torch.randn(2, 1, 28, 28), torch.tensor([3, 700]), torch.tensor([9, 10])
    out = difference(ito_output("fashion-mnist", *given), output(net, *given))
    print(f"{'fashion-mnist':34} out of Ito {out:.1e}")
    return out <= OUTPUT


# ---- whole pipelines ----

class Noise:
    """Stands in for randn_tensor: what is asked for comes from a list, as in Ito."""

    def __init__(self, count, shape):
        self.all = torch.randn(count, *shape)
        self.next = 0

    def __call__(self, shape, *args, **kwargs):
        self.next += 1
        return self.all[self.next - 1]


PIPELINES = {
    "DDPMScheduler": (DDPMScheduler(variance_type="fixed_large"), 20),
    "DDPMScheduler, linspace": (DDPMScheduler(variance_type="fixed_large", timestep_spacing="linspace"), 20),
    "DDPMScheduler, v, cosine, zero SNR": (
        DDPMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True,
                      timestep_spacing="trailing", variance_type="fixed_small"), 20),
    "DDPMScheduler, x_0, betas of its own, threshold": (
        DDPMScheduler(prediction_type="sample", trained_betas=np.linspace(1e-4, 0.1, 100).tolist(),
                      num_train_timesteps=100, thresholding=True, sample_max_value=1e6), 100),
    "DDPMScheduler, learned range": (DDPMScheduler(variance_type="learned_range", clip_sample=False), 20),
    "DDIMScheduler": (DDIMScheduler(beta_schedule="scaled_linear", timestep_spacing="trailing"), 20),
    "DDIMScheduler, leading": (DDIMScheduler(clip_sample=False), 20),
    "DPMSolverMultistepScheduler": (DPMSolverMultistepScheduler(timestep_spacing="trailing"), 10),
}


def pipeline_image(directory, noise, steps):
    import diffusers.pipelines.ddpm.pipeline_ddpm as pipeline
    import diffusers.schedulers.scheduling_ddpm as scheduling
    pipeline.randn_tensor = scheduling.randn_tensor = noise
    noise.next = 0
    pipe = DDPMPipeline.from_pretrained(directory)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(batch_size=2, num_inference_steps=steps, output_type="np").images
    return image.transpose(0, 3, 1, 2)


def same_image(name, scheduler, steps):
    here = f"pipeline-{name.replace(' ', '-').replace(',', '')}"
    config = CONFIGS["learned range" if "learned" in name else "library"]
    DDPMPipeline(random_network(config), scheduler).save_pretrained(here)
    noise = Noise(steps + 1, (2, 3, 32, 32))
    np.save("noise.npy", noise.all.numpy())
    drive("save", here, here + "-back")
    images = []
    for directory in (here, here + "-back"):
        drive("sample", directory, "noise.npy", str(steps), "images.npy")
        images.append((np.load("images.npy") / 2 + 0.5).clip(0, 1))
    theirs = [pipeline_image(d, noise, steps) for d in (here, here + "-back")]
    errors = [float(np.abs(i - theirs[0]).max()) for i in images + theirs[1:]]
    print(f"{name:48} Ito {errors[0]:.1e}   Ito's directory in Ito {errors[1]:.1e}, in diffusers {errors[2]:.1e}")
    return max(errors) <= IMAGE


def main():
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    torch.set_num_threads(2)
    good = True
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        for name, config in CONFIGS.items():
            if wanted in name:
                good = both_ways(name, config) and good
        if wanted in "fashion-mnist":
            good = shipped() and good
        for name, (scheduler, steps) in PIPELINES.items():
            if wanted in name:
                good = same_image(name, scheduler, steps) and good
        os.chdir("/")
    sys.exit(0 if good else 1)


main()
