"""Writes ops.safetensors: operations on small odd shapes, forward and gradient in float64.

A case "name" stores name/input0, input1, ..., name/output, the cotangent name/dy and, for each
input that has one, its gradient name/grad0, ... Optimisers store name/start, name/grads [5, 7] and
name/values [5, 7], the parameter after each step. README.md lists the arguments of every case.
"""

import os
import platform

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

arrays = {}
generator = np.random.Generator(np.random.PCG64(20200619))


def x(*shape, low=-2.0, high=2.0):
    return torch.from_numpy(generator.uniform(low, high, shape))


def positive(*shape):
    return x(*shape, low=0.2, high=2.5)


def integers(high, *shape):
    return torch.from_numpy(generator.integers(0, high, shape))


def case(name, function, *inputs):
    inputs = [a.requires_grad_() if a.is_floating_point() else a for a in inputs]
    output = function(*inputs)
    dy = x(*output.shape)
    output.backward(dy)
    for i, a in enumerate(inputs):
        arrays["%s/input%d" % (name, i)] = a.detach().numpy()
        if a.grad is not None:
            arrays["%s/grad%d" % (name, i)] = a.grad.numpy()
    arrays[name + "/output"] = output.detach().numpy()
    arrays[name + "/dy"] = dy.numpy()


def convolutions():
    conv = F.conv2d
    case("conv2d", lambda *a: conv(*a, padding=1), x(2, 3, 5, 7), x(4, 3, 3, 3), x(4))
    case(
        "conv2d_stride",
        lambda *a: conv(*a, stride=2, padding=1),
        x(2, 3, 7, 6),
        x(5, 3, 3, 3),
        x(5),
    )
    case(
        "conv2d_dilation",
        lambda *a: conv(*a, padding=2, dilation=2),
        x(1, 2, 7, 6),
        x(3, 2, 3, 3),
        x(3),
    )
    case(
        "conv2d_groups",
        lambda *a: conv(*a, padding=1, groups=2),
        x(2, 4, 5, 3),
        x(6, 2, 3, 3),
        x(6),
    )
    case(
        "conv2d_depthwise",
        lambda *a: conv(*a, padding=1, groups=3),
        x(2, 3, 5, 4),
        x(3, 1, 3, 3),
        x(3),
    )
    case(
        "conv2d_oblong",
        lambda *a: conv(*a, stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
        x(2, 2, 6, 7),
        x(3, 2, 2, 3),
    )
    case("conv2d_1x1", conv, x(2, 5, 3, 3), x(4, 5, 1, 1), x(4))
    case(
        "conv2d_downsample",
        lambda a, w, b: conv(F.pad(a, (0, 1, 0, 1)), w, b, stride=2),
        x(2, 3, 6, 4),
        x(3, 3, 3, 3),
        x(3),
    )
    case(
        "conv_transpose2d",
        lambda *a: F.conv_transpose2d(*a, stride=2, padding=1, output_padding=1),
        x(2, 3, 4, 3),
        x(3, 2, 3, 3),
        x(2),
    )
    case("conv1d", lambda *a: F.conv1d(*a, padding=2, dilation=2), x(2, 3, 9), x(4, 3, 3), x(4))


def normalisations():
    case(
        "group_norm", lambda *a: F.group_norm(a[0], 3, a[1], a[2], 1e-6), x(2, 6, 3, 5), x(6), x(6)
    )
    case(
        "group_norm_single",
        lambda *a: F.group_norm(a[0], 5, a[1], a[2], 1e-5),
        x(3, 5, 7),
        x(5),
        x(5),
    )
    case(
        "layer_norm", lambda *a: F.layer_norm(a[0], (7,), a[1], a[2], 1e-5), x(3, 2, 7), x(7), x(7)
    )
    case("var_unbiased", lambda a: a.var(dim=(0, 2)), x(3, 4, 5))
    case("var_biased", lambda a: a.var(dim=1, unbiased=False, keepdim=True), x(3, 7))
    case("std_unbiased", lambda a: a.std(dim=-1), x(3, 7))


def attention():
    attend = F.scaled_dot_product_attention
    case("softmax", lambda a: a.softmax(-1), x(3, 7, low=-6, high=6))
    case("softmax_axis1", lambda a: a.softmax(1), x(2, 5, 3))
    case("log_softmax", lambda a: a.log_softmax(-1), x(3, 7, low=-6, high=6))
    case("logsumexp", lambda a: a.logsumexp(1), x(3, 7, low=-6, high=6))
    case("attention", attend, x(2, 3, 5, 4), x(2, 3, 7, 4), x(2, 3, 7, 6))
    case(
        "attention_causal",
        lambda *a: attend(*a, is_causal=True),
        x(2, 1, 5, 3),
        x(2, 1, 5, 3),
        x(2, 1, 5, 3),
    )
    case(
        "attention_scale",
        lambda *a: attend(*a, scale=0.3),
        x(1, 2, 5, 4),
        x(1, 2, 6, 4),
        x(1, 2, 6, 4),
    )


def activations():
    for name, function in (
        ("silu", F.silu),
        ("gelu_erf", F.gelu),
        ("gelu_tanh", lambda a: F.gelu(a, approximate="tanh")),
        ("softplus", F.softplus),
        ("mish", F.mish),
        ("elu", F.elu),
        ("leaky_relu", F.leaky_relu),
        ("hardswish", F.hardswish),
        ("logsigmoid", F.logsigmoid),
    ):
        case(name, function, x(3, 7, low=-6, high=6))


def losses():
    labels = integers(5, 7)
    case("cross_entropy", F.cross_entropy, x(7, 5), labels)
    case(
        "cross_entropy_smooth", lambda *a: F.cross_entropy(*a, label_smoothing=0.1), x(7, 5), labels
    )
    ignored = labels.clone()
    ignored[2] = -100
    case("cross_entropy_ignore", F.cross_entropy, x(7, 5), ignored)
    case("cross_entropy_none", lambda *a: F.cross_entropy(*a, reduction="none"), x(7, 5), labels)
    case(
        "bce_with_logits",
        F.binary_cross_entropy_with_logits,
        x(3, 5, low=-9, high=9),
        x(3, 5, low=0, high=1),
    )
    case("huber", lambda *a: F.huber_loss(*a, delta=0.7), x(3, 7), x(3, 7))
    case("smooth_l1", lambda *a: F.smooth_l1_loss(*a, beta=0.7), x(3, 7), x(3, 7))
    case("mse", F.mse_loss, x(3, 7), x(3, 7))
    case("l1", F.l1_loss, x(3, 7), x(3, 7))


def resizing():
    case(
        "upsample_nearest",
        lambda a: F.interpolate(a, scale_factor=2, mode="nearest"),
        x(2, 3, 3, 5),
    )
    case(
        "upsample_bilinear",
        lambda a: F.interpolate(a, size=(5, 7), mode="bilinear", align_corners=False),
        x(1, 2, 3, 4),
    )
    case("avg_pool2d", lambda a: F.avg_pool2d(a, 2), x(2, 3, 4, 6))
    case("avg_pool2d_pad", lambda a: F.avg_pool2d(a, 3, stride=2, padding=1), x(2, 2, 5, 7))
    case("max_pool2d", lambda a: F.max_pool2d(a, 2), x(2, 2, 5, 6))
    case("pad_constant", lambda a: F.pad(a, (1, 2, 0, 3), value=0.5), x(2, 2, 3, 4))
    case("pad_reflect", lambda a: F.pad(a, (1, 2, 2, 1), mode="reflect"), x(1, 2, 4, 5))
    case("pad_replicate", lambda a: F.pad(a, (1, 2, 2, 1), mode="replicate"), x(1, 2, 4, 5))
    case("pad_circular", lambda a: F.pad(a, (1, 2, 2, 1), mode="circular"), x(1, 2, 4, 5))
    case("cat", lambda *a: torch.cat(a, 1), x(2, 3, 4), x(2, 1, 4), x(2, 2, 4))


def reductions():
    ties = torch.tensor(
        [[1.0, 3, 3, -1, 3], [2, 2, 2, 2, 2], [0, -4, 7, 7, -4]], dtype=torch.float64
    )
    case("amax_ties", lambda a: a.amax(1), ties.clone())
    case("amin_ties", lambda a: a.amin(1), ties.clone())
    case("amax_all", lambda a: a.amax(), ties.clone())
    case("max_all", lambda a: a.max(), ties.clone())
    case("maximum_ties", torch.maximum, ties.clone(), ties.flip(1).clone())
    case("minimum_ties", torch.minimum, ties.clone(), ties.flip(1).clone())
    case("cumsum", lambda a: a.cumsum(1), x(3, 7))
    case(
        "cumprod_zero",
        lambda a: a.cumprod(1),
        torch.tensor([[1.5, -2, 0.5, 3], [2, 0, 1.5, -1], [0, 2, 0, 1]], dtype=torch.float64),
    )
    case(
        "prod_zero",
        lambda a: a.prod(1),
        torch.tensor([[1.5, -2, 0.5, 3], [2, 0, 1.5, -1], [0, 2, 0, 1]], dtype=torch.float64),
    )
    case("norm2", lambda a: a.norm(dim=1), torch.cat([x(2, 5), torch.zeros(1, 5).double()]))


def elementwise():
    bounds = torch.tensor([-2.0, -1, -0.5, 0, 0.25, 1, 1.5], dtype=torch.float64)
    case("clamp_bounds", lambda a: a.clamp(-1, 1), bounds.clone())
    case("relu_zero", F.relu, bounds.clone())
    case("abs_zero", torch.abs, bounds.clone())
    case("pow", torch.pow, positive(3, 5), x(3, 5))
    case("pow_broadcast", torch.pow, positive(3, 1), x(5))
    case("pow_scalar", lambda a: a.pow(3), torch.cat([bounds, x(4)]))
    case("pow_zero_exponent", lambda a: a.pow(0), bounds.clone())
    case("atan2", torch.atan2, x(3, 1), x(5))
    case("lerp", torch.lerp, x(3, 5), x(3, 5), x(5))


def indexing():
    case("embedding", lambda w, i: F.embedding(i, w), x(6, 3), torch.tensor([[1, 5, 1], [0, 1, 3]]))
    case("index_select", lambda a, i: a.index_select(1, i), x(3, 5, 2), torch.tensor([4, 0, 4, 2]))
    case(
        "gather",
        lambda a, i: a.gather(1, i),
        x(3, 5),
        torch.tensor([[0, 0, 4], [1, 3, 3], [2, 4, 2]]),
    )
    case(
        "scatter_add",
        lambda a, i, s: a.scatter_add(1, i, s),
        x(3, 5),
        torch.tensor([[0, 0, 4], [1, 3, 3], [2, 4, 2]]),
        x(3, 3),
    )


def products():
    case("linear", F.linear, x(2, 3, 5), x(4, 5), x(4))
    case("matmul", torch.matmul, x(3, 5), x(5, 4))
    case("matmul_broadcast", torch.matmul, x(2, 1, 3, 5), x(4, 5, 2))
    case("matmul_vector", torch.matmul, x(2, 3, 5), x(5))
    case("matmul_dot", torch.matmul, x(7), x(7))


def optimisers():
    start, grads = x(7), x(5, 7, low=-1, high=1)
    grads[2, 3] = 0.0
    for name, make in (
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1)),
        ("adam_decay", lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.05)),
        ("adam_betas", lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9), eps=1e-3)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.05)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
        ("sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        ("sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
        ("sgd_decay", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, lr=0.1)),
    ):
        w = torch.nn.Parameter(start.clone())
        optimiser, values = make([w]), []
        for g in grads:
            w.grad = g.clone()
            optimiser.step()
            values.append(w.detach().clone())
        arrays[name + "/start"] = start.numpy()
        arrays[name + "/grads"] = grads.numpy()
        arrays[name + "/values"] = torch.stack(values).numpy()


def norms_of_rows():
    case(
        "layer_norm_axes",
        lambda a, w: F.layer_norm(a, (5, 4), w, eps=1e-3),
        x(2, 3, 5, 4),
        x(5, 4),
    )
    case("layer_norm_plain", lambda a: F.layer_norm(a, (3, 5)), x(3, 5))
    case("rms_norm", lambda a, w: F.rms_norm(a, (7,), w), x(3, 2, 7), x(7))
    case("rms_norm_axes", lambda a: F.rms_norm(a, (5, 4), eps=1e-3), x(2, 5, 4))


def main():
    convolutions()
    normalisations()
    attention()
    activations()
    losses()
    resizing()
    reductions()
    elementwise()
    indexing()
    products()
    optimisers()
    norms_of_rows()  # last, so that the numbers of the others stay
    versions = "torch %s, numpy %s, safetensors %s, python %s" % (
        torch.__version__,
        np.__version__,
        safetensors.__version__,
        platform.python_version(),
    )
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops.safetensors")
    save_file({k: np.array(v, order="C") for k, v in arrays.items()}, path, {"made_with": versions})
    cases = len({name.split("/")[0] for name in arrays})
    print("made with", versions)
    print("wrote %s: %d cases, %d bytes" % (os.path.basename(path), cases, os.path.getsize(path)))


if __name__ == "__main__":
    main()
