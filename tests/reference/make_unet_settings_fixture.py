"""Writes unet_settings.safetensors: what diffusers' UNet2DModel makes of its settings, in float64.

Networks of a few channels, one for each group of settings. Weights and images come from formula.py
and are not stored; names, shapes and outputs are. Needs diffusers 0.42.1 beside PyTorch. The cases
are those of tests/models/ddpm/network/test_unet_settings.c, with the settings in diffusers' words.
"""

import os
import platform
import sys

import diffusers
import numpy as np
import safetensors
import torch
from diffusers import UNet2DModel
from safetensors.numpy import save_file

import formula

SQRT2 = 1.4142135623730951
PLAIN, ATTENTION, RESNET = "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"

# name: (height, width, times, labels or None, settings); down_block_types by level, and
# up_block_types as diffusers has them, from the smallest level up.
CASES = {
    "google": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 16, 32), down_block_types=(PLAIN, ATTENTION, PLAIN),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), layers_per_block=2,
        downsample_padding=0, norm_eps=1e-6, freq_shift=1, flip_sin_to_cos=False,
        attention_head_dim=None)),
    "library": (8, 12, (7, 412), None, dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, ATTENTION),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"))),
    "scale_shift": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 24), down_block_types=(ATTENTION, ATTENTION),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"), resnet_time_scale_shift="scale_shift",
        mid_block_scale_factor=SQRT2)),
    "attention_norm": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 24), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), resnet_time_scale_shift="scale_shift",
        attn_norm_num_groups=6, attention_head_dim=4, act_fn="gelu", layers_per_block=1)),
    "resnet_resampling": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 16, 32), down_block_types=(RESNET, ATTENTION, RESNET),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D", "UpBlock2D"),
        downsample_type="resnet", upsample_type="resnet", layers_per_block=1)),
    "resnet_scale_shift": (4, 8, (7, 412), None, dict(
        block_out_channels=(16, 32), down_block_types=(ATTENTION, PLAIN),
        up_block_types=("ResnetUpsampleBlock2D", "UpBlock2D"), downsample_type="resnet",
        resnet_time_scale_shift="scale_shift", act_fn="mish", layers_per_block=1,
        attention_head_dim=None, norm_eps=1e-3)),
    "no_middle": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, ATTENTION),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"), mid_block_type=None, act_fn="gelu",
        in_channels=1, out_channels=2)),
    "plain_middle": (8, 8, (7, 412), None, dict(
        block_out_channels=(16, 24, 40), down_block_types=(PLAIN, PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"), add_attention=False,
        time_embedding_dim=20, act_fn="mish", layers_per_block=1, mid_block_scale_factor=2.0)),
    "centred": (6, 4, (7, 412), None, dict(
        block_out_channels=(16,), down_block_types=(ATTENTION,), up_block_types=("UpBlock2D",),
        center_input_sample=True, act_fn="relu", layers_per_block=3, freq_shift=-3)),
    "classes": (4, 4, (7, 412), (4, 0), dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), num_class_embeds=5, layers_per_block=1,
        flip_sin_to_cos=False)),
    "class_timestep": (4, 4, (7, 412), (2.5, 600.0), dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), class_embed_type="timestep",
        layers_per_block=1, freq_shift=1)),
    "class_identity": (4, 4, (7, 412), "rows", dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), class_embed_type="identity",
        layers_per_block=1, time_embedding_dim=12)),
    "fourier": (4, 4, (0.5, 2.25), (1.5, 30.0), dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), time_embedding_type="fourier",
        class_embed_type="timestep", layers_per_block=1)),
    "learned": (4, 4, (0, 9), None, dict(
        block_out_channels=(16, 32), down_block_types=(PLAIN, PLAIN),
        up_block_types=("UpBlock2D", "UpBlock2D"), time_embedding_type="learned",
        num_train_timesteps=10, layers_per_block=1)),
}


class Sines(torch.nn.Module):
    """The positional features in double; diffusers' own are float32 whatever the model is."""

    def __init__(self, channels, flip, shift):
        super().__init__()
        self.channels, self.flip, self.shift = channels, flip, shift

    def forward(self, t):
        half = self.channels // 2
        i = torch.arange(half, dtype=torch.float64)
        angle = t.double()[:, None] * 10000.0 ** (-i / (half - self.shift))
        waves = [torch.sin(angle), torch.cos(angle)]
        return torch.cat(waves[::-1] if self.flip else waves, 1)


def make(settings, sample_size):
    net = UNet2DModel(sample_size=sample_size, norm_num_groups=8, **settings).eval()
    state = net.state_dict()
    shapes = []
    for p, name in enumerate(sorted(state)):
        shape = tuple(state[name].shape)
        state[name].copy_(torch.from_numpy(formula.parameter(p, name, shape)))
        shapes.append(" ".join([name, *map(str, shape)]))
    return net, shapes


def labels_of(labels, width):
    if labels == "rows":
        return torch.from_numpy(formula.eps(1, (2, width)))
    return None if labels is None else torch.tensor(labels)


def run(net, x, t, labels, dtype):
    if dtype == torch.float64 and net.config.time_embedding_type == "positional":
        c = net.config
        net.time_proj = Sines(c.block_out_channels[0], c.flip_sin_to_cos, c.freq_shift)
    floating = [v.to(dtype) if v is not None and v.is_floating_point() else v for v in (t, labels)]
    with torch.no_grad():
        return net.to(dtype)(x.to(dtype), *floating).sample.double().numpy()


def main():
    diffusers.logging.set_verbosity_error()
    arrays = {}
    for name, (height, width, times, labels, settings) in CASES.items():
        net, shapes = make(settings, (height, width))
        x = torch.from_numpy(formula.x_0(0, (2, net.config.in_channels, height, width)))
        given = labels_of(labels, net.time_embedding.linear_2.out_features)
        narrow = run(net, x, torch.tensor(times), given, torch.float32)
        wide = run(net, x, torch.tensor(times), given, torch.float64)
        error = np.abs(narrow - wide).max() / np.abs(wide).max()
        print("%-20s %3d tensors, float32 is %.1e off" % (name, len(shapes), error))
        if error > 1e-4:
            sys.exit("%s: float32 and float64 disagree" % name)
        arrays[name + "/parameters"] = np.frombuffer("\n".join(shapes).encode(), np.uint8)
        arrays[name + "/output"] = np.ascontiguousarray(wide)
    made_with = "torch %s, diffusers %s, numpy %s, safetensors %s, Python %s" % (
        torch.__version__, diffusers.__version__, np.__version__, safetensors.__version__,
        platform.python_version())
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "unet_settings.safetensors")
    save_file(arrays, path, {"made_with": made_with})
    print("wrote %s, %d bytes" % (os.path.basename(path), os.path.getsize(path)))


if __name__ == "__main__":
    main()
