"""Writes operations/FAMILY.safetensors: what PyTorch makes of the table of operations, in float64.

    python3 tests/reference/make_operations_fixture.py build/tests/operations [FAMILY ...]

The program prints each row of tests/autograd/operations/*.def with its inputs and its expression,
which is evaluated here: x is the list of inputs, F torch.nn.functional. A row "name" stores
name/output and, for each input that has one, its gradient name/grad0, ... for the cotangent given.
"""

import json
import math
import os
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

DTYPES = {"f64": torch.float64, "f32": torch.float32, "i64": torch.int64, "bool": torch.bool}


def tensor(t):
    return torch.tensor(t["data"], dtype=torch.float64).reshape(t["shape"]).to(DTYPES[t["dtype"]])


def array(t):
    return t.detach().resolve_neg().contiguous().numpy()


def evaluate(row, arrays):
    x = [tensor(i["value"]) for i in row["inputs"]]
    if not row["discrete"]:
        x = [a.requires_grad_() if i["needs_grad"] else a for a, i in zip(x, row["inputs"])]
    y = eval(row["torch"], {"torch": torch, "F": F, "x": x, "math": math})
    name = row["name"]
    dy = tensor(row["dy"])
    if tuple(dy.shape) != tuple(y.shape):
        sys.exit("%s: PyTorch gives %s, Ito %s" % (name, list(y.shape), list(dy.shape)))
    arrays[name + "/output"] = array(y)
    if row["discrete"]:
        return
    y.backward(dy)
    for i, a in enumerate(x):
        if a.requires_grad:
            grad = torch.zeros_like(a) if a.grad is None else a.grad
            arrays["%s/grad%d" % (name, i)] = array(grad)


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    families = {}
    for line in subprocess.run([program, "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        row = json.loads(line)
        if not wanted or row["family"] in wanted:
            evaluate(row, families.setdefault(row["family"], {}))
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "operations")
    os.makedirs(directory, exist_ok=True)
    for family, arrays in families.items():
        save_file(arrays, os.path.join(directory, family + ".safetensors"), {"torch": torch.__version__})
        print(family, len(arrays))


main()
