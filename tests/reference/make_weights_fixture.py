#!/usr/bin/env python3
"""Files of weights as other programs write them, for tests/tensor/io/test_weights*.c.

    python3 tests/reference/make_weights_fixture.py        # writes tests/reference/weights/

Needs torch, numpy and safetensors. Made with torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""
import pathlib

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


def main():
    HERE.mkdir(exist_ok=True)
    save_file(dtypes(), HERE / "dtypes.safetensors")


if __name__ == "__main__":
    main()
