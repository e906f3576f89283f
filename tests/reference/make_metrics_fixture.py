"""Writes metrics.safetensors: evaluation of two small sets of features in float64 as others do it.

frechet is pytorch-fid's formula with SciPy's general matrix root; precision and recall are those of
Kynkaanniemi et al. with all distances at once; density and coverage are those of Naeem et al., the
kernel distance that of Binkowski et al. for all pairs, mmd that of Jayasumana et al.; score is the
Inception score. `classifier/*` is the shipped network (models/classifier) in PyTorch, on formula.py's
images. Where prdc and torchmetrics are installed, their results must be the same.
"""

import os
import platform

import numpy as np
import safetensors
import scipy
import scipy.linalg
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from safetensors.torch import load_file

import formula

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = os.path.join(HERE, "../../models/classifier/fashion-mnist.safetensors")

generator = np.random.Generator(np.random.PCG64(20190415))
arrays = {}


def features(n, mean, scale):
    return generator.standard_normal((n, 12)) @ (scale * mixing) + mean


def frechet(a, b):
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    assert np.abs(np.imag(root)).max() < 1e-9
    apart = a.mean(0) - b.mean(0)
    traces = np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    return apart @ apart + traces - 2 * np.trace(np.real(root))


def precision_recall(real, fake, k):
    r, f = torch.from_numpy(real), torch.from_numpy(fake)
    exact = "donot_use_mm_for_euclid_dist"
    rr, ff = torch.cdist(r, r, compute_mode=exact), torch.cdist(f, f, compute_mode=exact)
    fr = torch.cdist(f, r, compute_mode=exact)
    radius_r, radius_f = rr.sort(1).values[:, k], ff.sort(1).values[:, k]
    precision = (fr <= radius_r[None, :]).any(1).double().mean()
    recall = (fr.T <= radius_f[None, :]).any(1).double().mean()
    return [float(precision), float(recall)]


def density_coverage(real, fake, k):
    r, f = torch.from_numpy(real), torch.from_numpy(fake)
    exact = "donot_use_mm_for_euclid_dist"
    radius = torch.cdist(r, r, compute_mode=exact).sort(1).values[:, k]
    inside = torch.cdist(r, f, compute_mode=exact) < radius[:, None]
    result = [float(inside.double().sum(0).mean() / k), float(inside.any(1).double().mean())]
    try:
        from prdc import compute_prdc
    except ImportError:
        return result
    theirs = compute_prdc(real, fake, k)
    assert np.allclose(result, [theirs["density"], theirs["coverage"]], rtol=1e-14), theirs
    return result


def mmd(kernel, x, y, diagonal):
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    n, m = len(x), len(y)
    if diagonal:
        return xx.mean() + yy.mean() - 2 * xy.mean()
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return within - 2 * xy.mean()


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian(sigma):
    def kernel(x, y):
        return np.exp(-((x[:, None] - y[None]) ** 2).sum(2) / (2 * sigma**2))

    return kernel


def kernel_distance(real, fake):
    result = mmd(cubic, real, fake, False)
    try:
        from torchmetrics.image.kid import poly_mmd
    except ImportError:
        return result
    theirs = float(poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)))
    assert abs(result - theirs) < 1e-12 * abs(theirs), theirs
    return result


def score(logits, splits):
    scores = []
    for part in np.array_split(logits, splits):
        p = F.softmax(torch.from_numpy(part), 1)
        kl = (p * (p.log() - p.mean(0, keepdim=True).log())).sum(1)
        scores.append(float(kl.mean().exp()))
    return [np.mean(scores), np.std(scores)]


def classifier(images):
    w = {k: v.double() for k, v in load_file(WEIGHTS).items()}
    x = torch.from_numpy(images).double()
    for i in range(1, 5):
        x = F.conv2d(x, w["conv%d.weight" % i], padding=1)
        x = F.silu(F.group_norm(x, 8, w["norm%d.weight" % i], w["norm%d.bias" % i]))
        if i <= 2:
            x = F.avg_pool2d(x, 2)
    x = F.silu(F.conv2d(x, w["squeeze.weight"], w["squeeze.bias"])).flatten(1)
    x = F.silu(x @ w["dense.weight"].T + w["dense.bias"])
    return x.numpy(), (x @ w["head.weight"].T + w["head.bias"]).numpy()


mixing = (np.eye(12) + generator.standard_normal((12, 12)) / 8) * np.linspace(0.4, 1.5, 12)[:, None]
arrays["real"] = features(70, 0.0, 1.0)
arrays["fake"] = features(64, 0.3, 0.8)
arrays["logits"] = generator.standard_normal((40, 5)) * 2
real, fake = arrays["real"], arrays["fake"]
arrays["mean"] = real.mean(0)
arrays["covariance"] = np.cov(real, rowvar=False)
arrays["frechet"] = np.array([frechet(real, fake)])
arrays["precision_recall"] = np.array([precision_recall(real, fake, k) for k in (1, 3, 5)])
arrays["density_coverage"] = np.array([density_coverage(real, fake, k) for k in (1, 3, 5)])
arrays["kernel_distance"] = np.array([kernel_distance(real[:64], fake)])
arrays["mmd"] = np.array([1000 * mmd(gaussian(s), real, fake, d) for s in (2, 10) for d in (0, 1)])
arrays["score"] = np.array([score(arrays["logits"], n) for n in (1, 4, 10)])

images = formula.uniform(30000, 2 * 784)
images = images.reshape(2, 1, 28, 28)
arrays["classifier/features"], arrays["classifier/logits"] = classifier(images)

made_with = "torch %s, scipy %s, numpy %s, safetensors %s, Python %s" % (
    torch.__version__, scipy.__version__, np.__version__, safetensors.__version__,
    platform.python_version())
save_file(arrays, os.path.join(HERE, "metrics.safetensors"), {"made_with": made_with})
for name in sorted(arrays):
    if arrays[name].size <= 8:
        print(name, arrays[name].tolist())
