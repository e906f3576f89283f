"""Writes layers.safetensors: layers of nn/ on small odd shapes, forward and gradient in float64.

A case "name" stores its state dict under PyTorch's names as name/state/..., its inputs as
name/input0, ..., name/output, the cotangent name/dy, the gradients name/grad_input0, ... and
name/grad/PARAMETER, and buffers (and weights) that the forward changed as name/after/... README.md
lists the arguments of every case.
"""

import math
import os
import platform

import numpy as np
import safetensors
import torch
from safetensors.numpy import save_file
from torch.nn.utils import parametrizations

arrays = {}
generator = np.random.Generator(np.random.PCG64(20200619))


def x(*shape, low=-2.0, high=2.0):
    return torch.from_numpy(generator.uniform(low, high, shape))


def state_of(module):
    # A copy, row-major, before anything runs.
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def case(name, module, *inputs, call=None, train=True):
    """call(module, *inputs) gives the output; by default the module itself is called."""
    module = module.double().train(train)
    for parameter in module.parameters():
        parameter.data.copy_(x(*parameter.shape, low=-1.0, high=1.0))
    for key, buffer in module.named_buffers():
        if "running" in key:
            buffer.copy_(x(*buffer.shape, low=0.5, high=1.5))
    before = state_of(module)
    inputs = [a.requires_grad_() if a.is_floating_point() else a for a in inputs]
    output = module(*inputs) if call is None else call(module, *inputs)
    dy = x(*output.shape)
    output.backward(dy)
    for key, value in before.items():
        arrays["%s/state/%s" % (name, key)] = value.numpy()
    for i, a in enumerate(inputs):
        arrays["%s/input%d" % (name, i)] = a.detach().numpy()
        if a.grad is not None:
            arrays["%s/grad_input%d" % (name, i)] = a.grad.numpy()
    arrays[name + "/output"] = output.detach().numpy()
    arrays[name + "/dy"] = dy.numpy()
    for key, parameter in module.named_parameters():
        if parameter.grad is not None:
            arrays["%s/grad/%s" % (name, key)] = parameter.grad.numpy()
    for key, value in state_of(module).items():
        if not torch.equal(value, before[key]):
            arrays["%s/after/%s" % (name, key)] = value.numpy()


def computed_weights():
    nn = torch.nn
    case("weight_norm_linear", parametrizations.weight_norm(nn.Linear(5, 3)), x(4, 5))
    case("weight_norm_conv", parametrizations.weight_norm(nn.Conv2d(2, 3, 3), dim=1), x(2, 2, 5, 4))
    case("weight_norm_all", parametrizations.weight_norm(nn.Linear(5, 3), dim=None), x(4, 5))
    torch.manual_seed(1)  # u and v
    case("spectral_norm_linear", parametrizations.spectral_norm(nn.Linear(5, 3)), x(4, 5))
    case(
        "spectral_norm_conv",
        parametrizations.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=2, dim=1),
        x(2, 2, 5, 4),
    )
    case(
        "spectral_norm_evaluation",
        parametrizations.spectral_norm(nn.Conv2d(2, 3, 3)),
        x(2, 2, 5, 4),
        train=False,
    )


class Preserving(torch.nn.Module):
    """EDM2's layer with a weight [out, in, ...], from its equations (47) and (66)."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(shape))

    @staticmethod
    def to_root_mean_square_1(w):
        rms = w.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (w.ndim - 1))
        return w / (rms + 1e-4)

    def forward(self, a, gain=1.0):
        if self.training:
            self.weight.data.copy_(self.to_root_mean_square_1(self.weight.data))
        w = self.to_root_mean_square_1(self.weight) * gain / math.sqrt(self.weight[0].numel())
        if w.ndim == 2:
            return torch.nn.functional.linear(a, w)
        return torch.nn.functional.conv2d(a, w, padding=w.shape[-1] // 2)


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Fourier(torch.nn.Module):
    def __init__(self, freqs, phases):
        super().__init__()
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)

    def forward(self, a):
        return math.sqrt(2) * torch.cos(a[..., None] * self.freqs + self.phases)


class Features(torch.nn.Module):
    def __init__(self, b):
        super().__init__()
        self.register_buffer("B", b)

    def forward(self, a):
        angle = 2 * math.pi * a @ self.B.T
        return torch.cat([angle.cos(), angle.sin()], -1)


def preserving():
    silu = torch.nn.functional.silu
    case("mp_silu", Function(lambda a: silu(a) / 0.596), x(3, 5))
    t = 0.3
    length = math.sqrt((1 - t) ** 2 + t**2)
    case("mp_sum", Function(lambda a, b: ((1 - t) * a + t * b) / length), x(3, 5), x(3, 5))

    def cat(a, b):
        n = (a.shape[1] + b.shape[1]) ** 0.5 / length
        return torch.cat(
            [a * n * (1 - t) / a.shape[1] ** 0.5, b * n * t / b.shape[1] ** 0.5], dim=1
        )

    case("mp_cat", Function(cat), x(2, 3, 2), x(2, 5, 2))
    case(
        "mp_pixel_norm",
        Function(lambda a: a / (1e-4 + a.square().mean(1, keepdim=True).sqrt())),
        x(2, 5, 3),
    )
    case("mp_linear", Preserving(3, 5), x(4, 5))
    case("mp_linear_evaluation", Preserving(3, 5), x(4, 5), train=False)
    case("mp_linear_gain", Preserving(3, 5), x(4, 5), x(1))
    case("mp_conv2d", Preserving(3, 2, 3, 3), x(2, 2, 5, 4))
    case("mp_fourier", Fourier(x(6), x(6)), x(4))
    case("fourier_features", Features(x(6, 3)), x(2, 4, 3))


def convolutions():
    nn = torch.nn
    case("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), x(2, 4, 7))
    case(
        "conv1d_same",
        nn.Conv1d(2, 3, 4, padding="same", padding_mode="circular", dilation=2),
        x(2, 2, 9),
    )
    case(
        "conv2d_axes",
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False),
        x(2, 2, 5, 6),
    )
    case("conv3d", nn.Conv3d(2, 4, (2, 3, 1), stride=2, padding=1, groups=2), x(2, 2, 4, 5, 3))
    case(
        "conv_transpose1d",
        nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        x(2, 4, 5),
    )
    case(
        "conv_transpose2d",
        nn.ConvTranspose2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False),
        x(2, 2, 3, 4),
    )
    case("conv_transpose3d", nn.ConvTranspose3d(2, 3, 2, stride=2), x(2, 2, 2, 3, 2))


def attention():
    nn = torch.nn
    hides = torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]).bool()
    padding = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]]).bool()

    def to_self(m, a, mask=None, pad=None, causal=False):
        return m(
            a, a, a, attn_mask=mask, key_padding_mask=pad, is_causal=causal, need_weights=False
        )[0]

    case("mha", nn.MultiheadAttention(6, 2), x(4, 3, 6), call=to_self)
    case("mha_alone", nn.MultiheadAttention(6, 3, bias=False), x(4, 6), call=to_self)
    case("mha_masks", nn.MultiheadAttention(6, 2), x(4, 3, 6), hides, padding, call=to_self)
    case(
        "mha_mask_of_numbers",
        nn.MultiheadAttention(6, 2, batch_first=True),
        x(3, 4, 6),
        x(6, 4, 4),
        call=lambda m, a, mask: to_self(m, a, mask),
    )
    case(
        "mha_causal",
        nn.MultiheadAttention(6, 2),
        x(4, 3, 6),
        call=lambda m, a: to_self(m, a, torch.ones(4, 4).triu(1).bool(), None, True),
    )
    case(
        "mha_cross",
        nn.MultiheadAttention(6, 2, kdim=5, vdim=4),
        x(4, 3, 6),
        x(7, 3, 5),
        x(7, 3, 4),
        call=lambda m, q, k, v: m(q, k, v, need_weights=False)[0],
    )


def transformers():
    nn = torch.nn
    sizes = {"dim_feedforward": 7, "dropout": 0.0}
    future = torch.ones(4, 4).triu(1).bool()
    case("encoder_layer", nn.TransformerEncoderLayer(6, 2, **sizes), x(4, 3, 6))
    case(
        "encoder_layer_norm_first",
        nn.TransformerEncoderLayer(
            6, 2, activation="gelu", norm_first=True, batch_first=True, **sizes
        ),
        x(3, 4, 6),
        call=lambda m, a: m(a, src_mask=future, is_causal=True),
    )
    case(
        "decoder_layer",
        nn.TransformerDecoderLayer(6, 2, **sizes),
        x(4, 3, 6),
        x(5, 3, 6),
        call=lambda m, a, b: m(a, b, tgt_mask=future, tgt_is_causal=True),
    )
    case(
        "decoder_layer_norm_first",
        nn.TransformerDecoderLayer(6, 2, norm_first=True, bias=False, **sizes),
        x(4, 3, 6),
        x(5, 3, 6),
    )
    norm = nn.LayerNorm(6)
    layer = nn.TransformerEncoderLayer(6, 2, **sizes)
    case(
        "encoder",
        nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False),
        x(4, 3, 6),
    )
    layer = nn.TransformerDecoderLayer(6, 2, **sizes)
    case("decoder", nn.TransformerDecoder(layer, 2, nn.LayerNorm(6)), x(4, 3, 6), x(5, 3, 6))


def running_norms():
    nn = torch.nn
    case("batch_norm", nn.BatchNorm2d(3), x(2, 3, 2, 3))
    case("batch_norm_evaluation", nn.BatchNorm1d(3, eps=0.1), x(4, 3), train=False)
    case("batch_norm_of_all", nn.BatchNorm1d(3, momentum=None), x(2, 3, 4))
    case(
        "batch_norm_untracked_evaluation",
        nn.BatchNorm1d(3, affine=False, track_running_stats=False),
        x(4, 3),
        train=False,
    )
    case("instance_norm", nn.InstanceNorm2d(3), x(2, 3, 2, 3))
    tracked = {"affine": True, "track_running_stats": True, "momentum": 0.3}
    case("instance_norm_tracked", nn.InstanceNorm1d(3, **tracked), x(2, 3, 5))
    case("instance_norm_evaluation", nn.InstanceNorm1d(3, **tracked), x(2, 3, 5), train=False)


def pools():
    nn = torch.nn
    case("max_pool1d", nn.MaxPool1d(2, dilation=2), x(2, 3, 7))
    case("max_pool2d", nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), x(2, 3, 6, 5))
    case("max_pool3d", nn.MaxPool3d((1, 2, 2)), x(2, 2, 2, 4, 5))
    case("avg_pool1d", nn.AvgPool1d(3, padding=1, count_include_pad=False), x(2, 3, 7))
    case("avg_pool2d", nn.AvgPool2d(2, stride=1), x(2, 3, 4, 5))
    case("avg_pool3d", nn.AvgPool3d(2), x(2, 2, 2, 4, 4))
    case("adaptive_avg_pool1d", nn.AdaptiveAvgPool1d(3), x(2, 3, 7))
    case("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((2, 3)), x(2, 3, 5, 4))
    case("adaptive_max_pool3d", nn.AdaptiveMaxPool3d(2), x(2, 2, 3, 4, 5))


def recurrent():
    def all_of(m, a, *states):
        states = states[0] if len(states) == 1 else states or None
        output, last = m(a, states)
        last = last if isinstance(last, tuple) else (last,)
        return torch.cat([t.flatten() for t in (output, *last)])

    nn = torch.nn
    case(
        "lstm",
        nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        x(5, 2, 3),
        x(4, 2, 4),
        x(4, 2, 4),
        call=all_of,
    )
    case("gru", nn.GRU(3, 4, num_layers=2, batch_first=True), x(2, 5, 3), x(2, 2, 4), call=all_of)
    case("gru_alone", nn.GRU(3, 4, bias=False, bidirectional=True), x(5, 3), call=all_of)
    case("rnn_relu", nn.RNN(3, 4, nonlinearity="relu"), x(5, 2, 3), call=all_of)
    case("rnn_tanh", nn.RNN(3, 4), x(5, 2, 3), call=all_of)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    computed_weights()
    preserving()
    convolutions()
    attention()
    transformers()
    running_norms()
    pools()
    recurrent()
    arrays = {k: np.array(v, order="C") for k, v in arrays.items()}
    made = "torch %s, numpy %s, safetensors %s, Python %s" % (
        torch.__version__.split("+")[0],
        np.__version__,
        safetensors.__version__,
        platform.python_version(),
    )
    here = os.path.dirname(os.path.abspath(__file__))
    save_file(arrays, os.path.join(here, "layers.safetensors"), {"made_with": made})
    print(len(arrays), "arrays")
