"""optim.safetensors: what PyTorch's optimisers, and the code of the papers where PyTorch has none,
make of two parameters, in float64.

    python make_optim_fixture.py [directory of soap.py]

lion_pytorch 0.2.5 and schedulefree 1.4.1 are on PyPI; soap.py is the file of nikhilvyas/SOAP.
"""

import os
import platform
import sys
import types

import numpy as np
import safetensors
import torch
from safetensors.numpy import save_file

import lion_pytorch
import schedulefree

sys.path.append(sys.argv[1] if len(sys.argv) > 1 else ".")
from soap import SOAP

torch.manual_seed(2026)
torch.set_default_dtype(torch.float64)
STEPS = 8
SHAPES = {"w": (4, 3, 2, 2), "a": (6, 6), "b": (5,)}
start = {name: torch.randn(shape) for name, shape in SHAPES.items()}
grads = {name: torch.randn(STEPS, *shape) for name, shape in SHAPES.items()}
grads["b"][2, 3] = 0.0
arrays = {}
for name in SHAPES:
    arrays["start/" + name] = start[name].numpy()
    arrays["grads/" + name] = grads[name].numpy()


def muon_in_float64():
    """torch.optim.Muon casts its matrices to bfloat16: here it is told that float64 is that."""

    class Torch(types.ModuleType):
        bfloat16 = torch.float64

        def __getattr__(self, name):
            return getattr(torch, name)

    import torch.optim._muon as module

    module.torch = Torch("torch")


def soap_in_float64():
    """soap.py casts its bases to torch.float: here that is float64."""
    torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double


class MuonAndAdamW:
    """Matrices, convolutions flattened, by Muon; the rest by AdamW."""

    def __init__(self, parameters, lr, adamw_lr=1.0, adamw={}, **options):
        self.flat = [(p, p.detach().view(p.shape[0], -1)) for p in parameters if p.ndim >= 2]
        rest = [p for p in parameters if p.ndim < 2]
        self.muon = torch.optim.Muon([m for _, m in self.flat], lr=lr, **options)
        self.adamw = torch.optim.AdamW(rest, lr=lr * adamw_lr, **adamw)

    def step(self):
        for p, m in self.flat:
            m.grad = p.grad.reshape(m.shape)
        self.muon.step()
        self.adamw.step()


def run(case, make, evaluate=False):
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    optimiser = make(list(parameters.values()))
    if evaluate:
        optimiser.train()
    values = {name: [] for name in SHAPES}
    for t in range(STEPS):
        for name, p in parameters.items():
            p.grad = grads[name][t].clone()
        optimiser.step()
        for name, p in parameters.items():
            values[name].append(p.detach().clone())
    for name in SHAPES:
        arrays[case + "/" + name] = torch.stack(values[name]).numpy()
    if evaluate:
        optimiser.eval()
        for name, p in parameters.items():
            arrays[case + "/evaluated/" + name] = p.detach().clone().numpy()


o = torch.optim
LR = 0.05
muon_in_float64()
soap_in_float64()
run("adam_amsgrad", lambda p: o.Adam(p, lr=LR, amsgrad=True, betas=(0.9, 0.7)))
run("adamw_amsgrad", lambda p: o.AdamW(p, lr=LR, amsgrad=True, betas=(0.9, 0.7)))
run("sgd_dampening", lambda p: o.SGD(p, lr=LR, momentum=0.9, dampening=0.3, weight_decay=0.1))
run("rmsprop", lambda p: o.RMSprop(p, lr=LR))
run("rmsprop_decay", lambda p: o.RMSprop(p, lr=LR, alpha=0.9, eps=1e-3, weight_decay=0.1))
run("rmsprop_centered", lambda p: o.RMSprop(p, lr=LR, centered=True, alpha=0.9))
run("rmsprop_momentum", lambda p: o.RMSprop(p, lr=LR, momentum=0.8, centered=True))
run("adagrad", lambda p: o.Adagrad(p, lr=LR))
run(
    "adagrad_decay",
    lambda p: o.Adagrad(
        p, lr=LR, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3
    ),
)
run("radam", lambda p: o.RAdam(p, lr=LR))
run("radam_decay", lambda p: o.RAdam(p, lr=LR, betas=(0.8, 0.9), weight_decay=0.1))
run(
    "radam_decoupled",
    lambda p: o.RAdam(p, lr=LR, weight_decay=0.1, decoupled_weight_decay=True),
)
run("lion", lambda p: lion_pytorch.Lion(p, lr=LR))
run("lion_decay", lambda p: lion_pytorch.Lion(p, lr=LR, betas=(0.5, 0.8), weight_decay=0.1))
run("adafactor", lambda p: o.Adafactor(p, lr=LR))
run(
    "adafactor_decay",
    lambda p: o.Adafactor(
        p, lr=LR, beta2_decay=-0.5, eps=(1e-3, 0.1), d=1.5, weight_decay=0.1
    ),
)
run("muon", lambda p: MuonAndAdamW(p, LR))
run(
    "muon_rms",
    lambda p: MuonAndAdamW(
        p,
        LR,
        adamw_lr=0.5,
        adamw=dict(betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2),
        weight_decay=0.3,
        momentum=0.8,
        nesterov=False,
        ns_coefficients=(2.0, -1.5, 0.5),
        ns_steps=3,
        adjust_lr_fn="match_rms_adamw",
    ),
)
run("muon_spectral", lambda p: MuonAndAdamW(p, LR, adjust_lr_fn="spectral_unclamped"))
run("soap", lambda p: SOAP(p, lr=LR, precondition_frequency=3))
run(
    "soap_options",
    lambda p: SOAP(
        p,
        lr=LR,
        betas=(0.8, 0.9),
        shampoo_beta=0.7,
        eps=1e-3,
        weight_decay=0.1,
        precondition_frequency=2,
        max_precond_dim=5,
        normalize_grads=True,
        correct_bias=False,
    ),
)
run(
    "soap_merged",
    lambda p: SOAP(p, lr=LR, max_precond_dim=6, merge_dims=True, precondition_frequency=2),
)
run("schedule_free_adamw", lambda p: schedulefree.AdamWScheduleFree(p, lr=LR), True)
run(
    "schedule_free_adamw_options",
    lambda p: schedulefree.AdamWScheduleFree(
        p,
        lr=LR,
        betas=(0.8, 0.9),
        eps=1e-3,
        weight_decay=0.1,
        warmup_steps=5,
        r=0.5,
        weight_lr_power=1.0,
    ),
    True,
)
run("schedule_free_sgd", lambda p: schedulefree.SGDScheduleFree(p, lr=LR), True)
run(
    "schedule_free_sgd_options",
    lambda p: schedulefree.SGDScheduleFree(
        p, lr=LR, momentum=0.7, weight_decay=0.1, warmup_steps=5, r=1.0
    ),
    True,
)

versions = "torch %s, numpy %s, safetensors %s, lion-pytorch 0.2.5, schedulefree 1.4.1, python %s" % (
    torch.__version__,
    np.__version__,
    safetensors.__version__,
    platform.python_version(),
)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim.safetensors")
save_file({k: np.array(v, order="C") for k, v in arrays.items()}, path, {"made_with": versions})
cases = len({name.split("/")[0] for name in arrays}) - 2
print("wrote %s: %d cases, %d bytes" % (os.path.basename(path), cases, os.path.getsize(path)))
