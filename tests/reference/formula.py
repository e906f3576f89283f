"""The numbers that the reference fixtures do not store; formula.h is the same in C, bit for bit.

Run as a program it compiles formula.h and compares the two over every parameter, image, noise and
step index that make_unet_fixture.py uses.
"""

import numpy as np

PROJECTIONS = 4
SAMPLES = 512
STEPS = 1000


def stream_parameter(p):
    return p


def stream_projection(p, j):
    return 1000 + PROJECTIONS * p + j


def stream_sample(p):
    return 5000 + p


def stream_x_0(batch):
    return 10000 + 4 * batch


def stream_eps(batch):
    return 10001 + 4 * batch


def stream_t(batch):
    return 10002 + 4 * batch


def hashes(stream, n):
    """lowbias32 of (stream, 0..n-1), uint32."""
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B9)
    h += np.uint32(stream * 0x85EBCA6B & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def uniform(stream, n):
    """2u - 1 in [-1, 1), exact in float32."""
    k = (hashes(stream, n) >> np.uint32(8)).astype(np.int32) - np.int32(1 << 23)
    return k.astype(np.float32) * np.float32(2.0**-23)


def signs(stream, n):
    return np.where(hashes(stream, n) >> np.uint32(31), -1.0, 1.0)


def x_0(batch, shape):
    return uniform(stream_x_0(batch), int(np.prod(shape))).reshape(shape)


def eps(batch, shape):
    values = uniform(stream_eps(batch), int(np.prod(shape))) * np.float32(np.sqrt(3.0))
    return values.reshape(shape)


def t(batch, n):
    return (hashes(stream_t(batch), n) % np.uint32(STEPS)).astype(np.int64)


def parameter(p, name, shape):
    """Parameter p of the state dict sorted by name; float32."""
    v = uniform(stream_parameter(p), int(np.prod(shape))).reshape(shape)
    if name.endswith(".bias"):
        return np.float32(0.125) * v
    if len(shape) == 1:
        return np.float32(1.0) + np.float32(0.125) * v
    fan_in = int(np.prod(shape[1:]))
    return np.float32(np.sqrt(3.0 / fan_in)) * v


def sample(p, n):
    """Indices of the gradient elements that are stored."""
    if n <= SAMPLES:
        return np.arange(n)
    return (hashes(stream_sample(p), SAMPLES) % np.uint32(n)).astype(np.int64)


def _compare_with_c():
    import os
    import subprocess
    import sys
    import tempfile

    from unet import UNet

    here = os.path.dirname(os.path.abspath(__file__))
    shapes = sorted((n, tuple(w.shape)) for n, w in UNet().state_dict().items())
    shape = (4, 3, 32, 32)
    pixels = int(np.prod(shape))
    main = ['#include "formula.h"', "#include <stdio.h>", "int main(void)", "{"]
    put = "for (uint32_t i = 0; i < %du; i++) { %s v = %s; fwrite(&v, sizeof v, 1, stdout); }"
    expected = []
    for p, (name, dims) in enumerate(shapes):
        n = int(np.prod(dims))
        cdims = "(const int64_t[]){%s}" % ", ".join(map(str, dims))
        call = 'formula_parameter(%d, "%s", %d, %s, i)' % (p, name, len(dims), cdims)
        main.append(put % (n, "float", call))
        expected.append(parameter(p, name, dims))
        main.append(put % (min(n, SAMPLES), "int64_t", "formula_sample(%d, %d, i)" % (p, n)))
        expected.append(sample(p, n))
        main.append(put % (n, "float", "formula_sign(formula_stream_projection(%d, 3), i)" % p))
        expected.append(signs(stream_projection(p, 3), n).astype(np.float32))
    for batch in range(21):
        main.append(put % (pixels, "float", "formula_x_0(%d, i)" % batch))
        main.append(put % (pixels, "float", "formula_eps(%d, i)" % batch))
        main.append(put % (4, "int64_t", "formula_t(%d, i)" % batch))
        expected += [x_0(batch, shape), eps(batch, shape), t(batch, 4)]
    main += ["return 0;", "}", ""]
    wanted = b"".join(np.ascontiguousarray(e).tobytes() for e in expected)
    flags = [
        "-std=gnu17",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wno-sign-conversion",
        "-Wdouble-promotion",
        "-Wshadow",
        "-Werror",
        "-I" + here,
    ]
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "main.c")
        binary = os.path.join(directory, "main")
        with open(source, "w") as f:
            f.write("\n".join(main))
        for compiler in ("gcc", "clang"):
            for extra in (["-O2"], ["-O3", "-mavx2", "-mfma", "-ffp-contract=fast"]):
                subprocess.run([compiler, *flags, *extra, source, "-o", binary, "-lm"], check=True)
                got = subprocess.run([binary], check=True, stdout=subprocess.PIPE).stdout
                if got != wanted:
                    sys.exit("formula: %s %s differs from Python" % (compiler, extra))
                print("formula: %s %s: %d bytes equal" % (compiler, " ".join(extra), len(got)))


if __name__ == "__main__":
    _compare_with_c()
