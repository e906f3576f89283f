"""Writes inception.safetensors: features of Inception-v3 at weights from formula.py, in float64.

`fid` is pytorch-fid's network, built as its fid_inception_v3 does but for the download, with its
resizing; `torchvision` is torchvision's. Needs torchvision and pytorch-fid.
"""

import os
import platform
from importlib.metadata import version

import numpy as np
import pytorch_fid.inception as fid
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

import formula

HERE = os.path.dirname(os.path.abspath(__file__))


def fid_inception():
    net = torchvision.models.inception_v3(
        weights=None, num_classes=1008, aux_logits=False, init_weights=False
    )
    net.Mixed_5b = fid.FIDInceptionA(192, pool_features=32)
    net.Mixed_5c = fid.FIDInceptionA(256, pool_features=64)
    net.Mixed_5d = fid.FIDInceptionA(288, pool_features=64)
    net.Mixed_6b = fid.FIDInceptionC(768, channels_7x7=128)
    net.Mixed_6c = fid.FIDInceptionC(768, channels_7x7=160)
    net.Mixed_6d = fid.FIDInceptionC(768, channels_7x7=160)
    net.Mixed_6e = fid.FIDInceptionC(768, channels_7x7=192)
    net.Mixed_7b = fid.FIDInceptionE_1(1280)
    net.Mixed_7c = fid.FIDInceptionE_2(2048)
    return net


def weights(net):
    """The state dict; formula.py's numbers, but relus keep the size of what passes, and running
    means are around 0."""
    shapes = {n: tuple(t.shape) for n, t in net.state_dict().items() if t.dim() > 0}
    state = {}
    for p, name in enumerate(sorted(shapes)):
        v = formula.parameter(p, name, shapes[name])
        if len(shapes[name]) == 4:
            v = np.float32(np.sqrt(2.0)) * v
        if name.endswith("running_mean"):
            v = formula.parameter(p, "running_mean.bias", shapes[name])
        state[name] = torch.from_numpy(v)
    return state


def run(net, images):
    """Features and logits of images in [-1, 1], in float64."""
    net.load_state_dict(weights(net), strict=False)
    net.double().eval()
    pooled = []
    net.avgpool.register_forward_hook(lambda m, x, y: pooled.append(y.flatten(1)))
    x = F.interpolate((images.double() + 1) / 2, (299, 299), mode="bilinear", align_corners=False)
    logits = net(2 * x - 1)
    return pooled[0], logits


def slope(net, image):
    """Of a sum of features, weighted, as the image moves in a direction."""
    image = image.double().requires_grad_()
    features, _ = run(net, image)
    weights = torch.from_numpy(formula.uniform(31002, 2048))
    (features * weights).sum().backward()
    direction = torch.from_numpy(formula.uniform(31003, image.numel())).reshape(image.shape)
    return (image.grad * direction).sum().reshape(1)


def plain():
    return torchvision.models.inception_v3(
        weights=None, num_classes=1000, aux_logits=False, init_weights=False
    )


images = torch.from_numpy(formula.uniform(31000, 2 * 3 * 48 * 36).reshape(2, 3, 48, 36))
bytes_ = formula.hashes(31001, 28 * 28) % 256
grey = torch.from_numpy(bytes_.astype(np.float64) / 127.5 - 1).reshape(1, 1, 28, 28)
arrays = {}
with torch.no_grad():
    arrays["fid/features"], logits = run(fid_inception(), images)
    arrays["fid/logits"] = logits[:, :16].contiguous()
    arrays["fid/features_of_grey"], _ = run(fid_inception(), grey.expand(-1, 3, -1, -1))
    arrays["torchvision/features"], _ = run(plain(), images[:1])
arrays["fid/slope"] = slope(fid_inception(), images[:1])
arrays = {name: t.float() for name, t in arrays.items()}
apart = (arrays["fid/features"][:1] - arrays["torchvision/features"]).abs()
print("largest feature", float(arrays["fid/features"].max()), "apart", float(apart.max()))
print("images differ by", float((arrays["fid/features"][0] - arrays["fid/features"][1]).abs().max()))
print("slope", float(arrays["fid/slope"]))
made_with = "torch %s, torchvision %s, pytorch-fid %s, numpy %s, safetensors %s, Python %s" % (
    torch.__version__, torchvision.__version__, version("pytorch-fid"), np.__version__,
    version("safetensors"), platform.python_version())
save_file(arrays, os.path.join(HERE, "inception.safetensors"), {"made_with": made_with})
