"""Makes tests/reference/diffusers/: two directories as diffusers has them, and what it computes with them.
    python3 tests/reference/make_diffusers_fixture.py       with torch, safetensors and diffusers (0.42.1)

pipeline/  UNet2DModel's defaults for all but the sizes, DDIMScheduler; as DDPMPipeline.save_pretrained writes it
root/      Google's family with the files in the root, a .bin, names of diffusers before 0.17, DDPMScheduler
"""
import json
import os
import shutil

import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "diffusers")
SIZES = dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1,
             norm_num_groups=2, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
             up_block_types=("AttnUpBlock2D", "UpBlock2D"))
GOOGLE = dict(downsample_padding=0, norm_eps=1e-6, freq_shift=1, flip_sin_to_cos=False, attention_head_dim=None)
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def network(seed, **config):
    torch.manual_seed(seed)
    net = UNet2DModel(**config).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 1 else p[0].numel() ** -0.5))
            if "norm" in name and name.endswith("weight"):
                p.add_(1.0)
            p.copy_(p.half().float())  # what a file of half precision holds
    return net


def old_name(name):
    for new, old in OLD.items():
        name = name.replace(f".{new}.", f".{old}.")
    return name


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    os.makedirs(HERE + "/root")
    torch.manual_seed(0)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    expected = {"x": x, "t": t}

    net = network(1, **SIZES, attention_head_dim=4)
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", timestep_spacing="trailing")
    DDPMPipeline(net, scheduler).save_pretrained(HERE + "/pipeline")
    expected["pipeline"] = net(x, t).sample
    image = x
    scheduler.set_timesteps(5)
    for step in scheduler.timesteps:
        image = scheduler.step(net(image, step).sample, step, image).prev_sample
    expected["image"] = image

    net = network(2, **SIZES, **GOOGLE)
    net.save_config(HERE + "/root")
    DDPMScheduler(variance_type="fixed_large").save_config(HERE + "/root")
    weights = {old_name(k): v.half() for k, v in net.state_dict().items()}
    torch.save(weights, HERE + "/root/diffusion_pytorch_model.bin")
    expected["root"] = net(x, t).sample
    with open(HERE + "/root/model_index.json", "w") as f:
        json.dump({"_class_name": "DDPMPipeline", "_diffusers_version": "0.1.1",
                   "scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}, f, indent=2)
    save_file({k: v.detach().contiguous() for k, v in expected.items()}, HERE + "/expected.safetensors")


main()
