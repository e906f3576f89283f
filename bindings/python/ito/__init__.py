"""Ito in Python: tensors, operations with gradients, trained diffusion models. docs/python.md has more."""
from ._library import Error, lib
from .operations import *  # noqa: F403
from .operators import (Generator, autocast, chunks, enable_grad, grads, meshgrid, no_grad, split_sizes, tensor,
                        tensor_split, unbind)
from .tensor import Tensor, dtype, from_dlpack
from .ddpm import DDPM

f32, f64, bf16, f16, i32, i64, u8 = (dtype[name] for name in ("f32", "f64", "bf16", "f16", "i32", "i64", "u8"))
bool_ = dtype["bool"]
__version__ = lib.ito_version().decode()
