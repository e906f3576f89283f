"""Runs PyTorch's halves of docs/cookbook.md, and compares what each prints with the ```text block after
it, as compare.sh does for Ito's. Exits with 77 (skipped) where PyTorch is not installed.
    python torch_halves.py cookbook.md [number of a recipe]
"""
import contextlib
import io
import re
import sys

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)


def recipes(text):
    """(heading, code, printed) of each ```python block."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        code = re.search(r"^```python\n(.*?)^```$", section, re.M | re.S)
        printed = re.search(r"^```text\n(.*?)^```$", section, re.M | re.S)
        if code:
            yield section.split("\n")[0], code.group(1), printed.group(1)


def words(line):
    """The numbers and words of a line, without commas and the dtype and shape that Ito prints."""
    line = re.sub(r" \(\w+ \[[\d, ]*\]\)$", "", line).replace(",", " ")
    return re.sub(r"([\]\[(),:%])", r" \1 ", line).split()


def same(a, b):
    try:
        return a == b or abs(float(a) - float(b)) <= 0.015 + 0.02 * abs(float(b))
    except ValueError:
        return False


def agree(wanted, got):
    wanted, got = ([words(line) for line in t.splitlines()] for t in (wanted, got))
    return len(wanted) == len(got) and all(
        len(a) == len(b) and all(map(same, a, b)) for a, b in zip(wanted, got))


failures = count = 0
for heading, code, printed in recipes(open(sys.argv[1]).read()):
    if len(sys.argv) > 2 and not heading.startswith(sys.argv[2] + "."):
        continue
    count += 1
    torch.manual_seed(1)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {"torch": torch, "nn": nn, "F": F, "__name__": "recipe"})
    if not agree(printed, out.getvalue()):
        failures += 1
        print(f"{heading}: expected\n{printed}got\n{out.getvalue()}", file=sys.stderr)
if count == 0:
    sys.exit("no recipe found")
sys.exit(failures > 0)
