#!/usr/bin/env python3
"""Files of weights as other programs write them, for tests/tensor/io/test_weights*.c.

    python3 tests/reference/make_weights_fixture.py        # writes tests/reference/weights/

Needs torch, numpy and safetensors. Made with torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""
import collections
import os
import pathlib
import zipfile

import numpy
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "weights"


def dtypes():
    """Each dtype of the format beside its values in one that Ito has."""
    codes = torch.arange(256).to(torch.uint8)
    out = {}
    for name in ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]:
        out[name] = codes.clone().view(getattr(torch, name))
        out[name + ".values"] = out[name].float()
    edges = {"int8": [-128, -1, 0, 127], "int16": [-32768, -1, 0, 32767], "uint16": [0, 1, 32768, 65535]}
    for name, values in edges.items():
        out[name] = torch.tensor(values, dtype=getattr(torch, name))
        out[name + ".values"] = torch.tensor(values, dtype=torch.int32)
    edges = {"uint32": [0, 1, 2**31, 2**32 - 1], "uint64": [0, 1, 2**32, 2**63 - 1]}
    for name, values in edges.items():
        out[name] = torch.tensor(values, dtype=getattr(torch, name))
        out[name + ".values"] = torch.tensor(values, dtype=torch.int64)
    out["complex64"] = torch.zeros(3, dtype=torch.complex64)
    out["too_large"] = torch.tensor([0, 2**63], dtype=torch.uint64)
    out["float4"] = torch.zeros(2, 3, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    return out


def checkpoint():
    """What training programs save: a state dict among other things, and every kind of view."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    base = torch.arange(24, dtype=torch.float32)
    views = {
        "transposed": base[:6].reshape(2, 3).t(),
        "offset": base[5:9],
        "strided": base.reshape(4, 6)[1:4:2, ::2],
        "channels_last": torch.arange(16.0).reshape(1, 2, 2, 4).contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(7.5),
        "empty": torch.zeros(0, 3),
    }
    kinds = {n: torch.tensor([0, 1, 2, 3]).to(getattr(torch, n)) for n in
             ["float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
              "uint64", "bool", "float8_e4m3fn"]}
    return {
        "state_dict": collections.OrderedDict(net.state_dict()),
        "views": views,
        "kinds": kinds,
        "parameter": torch.nn.Parameter(torch.tensor([1.5, -2.5])),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": base[:2]}},
                      "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0]}]},
        "list": [torch.tensor([1.0]), (torch.tensor([2.0]), None)],
        "epoch": 3, "seed": 2**70, "big": -(2**40), "done": False, "name": "caf\u00e9", "none": None,
        "device": torch.device("cpu"), "size": torch.Size([1, 2]), "bytes": b"abc",
    }


def flat(value, name=""):
    """The tensors of nested dicts and lists, by names with dots."""
    if isinstance(value, torch.Tensor):
        return {name: value.detach()}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else []
    out = {}
    for key, item in items:
        out.update(flat(item, f"{name}.{key}" if name else str(key)))
    return out


def rewrite(source, target, compression, **replaced):
    """The same members, compressed or with other content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for info in old.infolist():
            base = info.filename.rsplit("/", 1)[-1]
            new.writestr(zipfile.ZipInfo(info.filename), replaced.get(base, old.read(info)), compression)


class Caller:
    """An object whose pickle runs a command where it is loaded."""

    def __reduce__(self):
        return os.system, ("touch executed",)


class Script(torch.nn.Module):
    def forward(self, x):
        return x + 1


def pytorch():
    """torch.save, in its forms."""
    save_file({n: t.clone().contiguous() for n, t in flat(checkpoint()).items()}, HERE / "checkpoint.safetensors")
    torch.save(checkpoint(), HERE / "checkpoint.pt")
    torch.save(checkpoint(), HERE / "checkpoint_protocol4.pt", pickle_protocol=4)
    rewrite(HERE / "checkpoint.pt", HERE / "checkpoint_deflated.pt", zipfile.ZIP_DEFLATED)
    small = {"a.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a.bias": torch.tensor([5.0, 6.0])}
    torch.save(small, HERE / "small.pt")
    rewrite(HERE / "small.pt", HERE / "big_endian.pt", zipfile.ZIP_STORED, byteorder=b"big")
    torch.save(small, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.zeros(1).expand(5), HERE / "expanded.pt")
    torch.save(torch.tensor([1.0, 2.0]), HERE / "alone.pt")
    torch.save({"a": torch.zeros(2), "b": Caller()}, HERE / "calls.pt")
    torch.jit.script(Script()).save(str(HERE / "script.pt"))


def main():
    HERE.mkdir(exist_ok=True)
    save_file(dtypes(), HERE / "dtypes.safetensors")
    pytorch()
    rows = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    numpy.savez(HERE / "arrays.npz", **{"a": numpy.int8([-1, 2]), "sub/fortran": numpy.asfortranarray(rows)})


if __name__ == "__main__":
    main()
