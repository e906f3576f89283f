"""PyTorch's side of the benchmark, in the protocol of bench.h. Each row runs in a process of its
own, forked before anything is computed, with a limit on its time. Of both memory formats the faster
one is taken. With ITO_TORCH_COMPILE=1 whole steps go through torch.compile."""

import contextlib
import ctypes
import os
import re
import signal
import sys
import time

LONG = 0.5  # seconds; of what takes longer the first run already chooses the format
FIRST, LIMIT = 20, 60  # seconds for the first run, and for the rest of a row


def read_line():
    line = b""
    while not line.endswith(b"\n"):
        c = os.read(0, 1)
        if not c:
            return ""
        line += c
    return line.decode()


def answer(text):
    os.write(1, (text + "\n").encode())


if read_line() != "hello\n":
    sys.exit(1)
try:
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reference"))
    import torch
    import torch.nn.functional as F
    from torch import nn
    from unet import UNet
except ImportError as e:
    answer("none: %s" % e)
    sys.exit(0)
FORMATS = (torch.contiguous_format, torch.channels_last)


def gemm(dtype, layout, batch, m, n, k):
    def matrix(transposed, rows, cols):
        shape = (cols, rows) if transposed else (rows, cols)
        x = torch.rand(*([batch] if batch > 1 else []), *shape).sub_(0.5).to(dtype)
        return x.transpose(-1, -2) if transposed else x

    a, b = matrix(layout[0] == "t", m, k), matrix(layout[1] == "t", k, n)
    return [lambda: torch.matmul(a, b)]


def images(dtype, layout, *shape):
    return torch.rand(*shape).sub_(0.5).to(dtype).to(memory_format=layout)


def conv(dtype, direction, n, ci, co, size):
    def with_layout(layout):
        x, w = images(dtype, layout, n, ci, size, size), images(dtype, layout, co, ci, 3, 3)
        b, dy = torch.zeros(co).to(dtype), images(dtype, layout, n, co, size, size)
        if direction == "forward":
            return lambda: F.conv2d(x, w, b, padding=1)
        mask = [direction == "data", direction == "weight", False]
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, [co], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
        )

    return [no_grad(with_layout(layout)) for layout in FORMATS]


def no_grad(f):
    def g():
        with torch.no_grad():
            return f()

    return g


def forward_backward(f, *inputs):
    leaves = [x.requires_grad_() for x in inputs]
    dy = f(*leaves).detach().clone()
    return lambda: torch.autograd.grad(f(*leaves), leaves, dy)


def layer(f, inputs=1, backward=True):
    def build(dtype, n, c, size):
        result = []
        for layout in FORMATS:
            xs = [images(dtype, layout, n, c, size, size) for _ in range(inputs)]
            result.append(forward_backward(f, *xs) if backward else no_grad(lambda xs=xs: f(*xs)))
        return result

    return build


def group_norm_silu(dtype, n, c, size):
    w, b = torch.ones(c).to(dtype), torch.zeros(c).to(dtype)
    return [
        forward_backward(
            lambda x, w, b: F.silu(F.group_norm(x, 32, w, b, 1e-6)),
            images(dtype, layout, n, c, size, size), w.clone(), b.clone(),
        )
        for layout in FORMATS
    ]


def softmax(dtype, rows, columns):
    return [forward_backward(lambda x: F.softmax(x, -1), torch.rand(rows, columns).to(dtype))]


def layer_norm(dtype, rows, columns):
    x, w, b = torch.rand(rows, columns), torch.ones(columns), torch.zeros(columns)
    return [
        forward_backward(
            lambda x, w, b: F.layer_norm(x, (columns,), w, b, 1e-5), x.to(dtype), w.to(dtype), b.to(dtype)
        )
    ]


def additions(backward):
    def build(dtype, count, floats):
        x = torch.rand(floats, dtype=dtype, requires_grad=True)

        def add(x):
            y = x
            for _ in range(count):
                y = y + x
            return y

        return [forward_backward(add, x) if backward else lambda: add(x)]

    return build


def attention(dtype, n, t, c):
    qkv = [torch.rand(n, 1, t, c).sub_(0.5).to(dtype) for _ in range(3)]
    return [forward_backward(F.scaled_dot_product_attention, *qkv)]


def row_major(dtype, n, c, size):
    x = images(dtype, torch.channels_last, n, c, size, size)
    return [lambda: x.contiguous(memory_format=torch.contiguous_format)]


def to_bf16(dtype, n, c, size):
    x = images(dtype, torch.channels_last, n, c, size, size)
    return [lambda: x.to(torch.bfloat16)]


# ---- whole steps


def network(model):
    if model == "cifar10":
        net = UNet(128, (1, 2, 2, 2), 2, (1,))
    else:
        net = UNet(32, (1, 2, 2), 2, (1,))
        net.conv_in, net.conv_out = nn.Conv2d(1, 32, 3, 1, 1), nn.Conv2d(32, 1, 3, 1, 1)
    if model == "cifar10":  # its dropout, between the second norm of a block and the convolution
        for m in net.modules():
            if hasattr(m, "conv2") and hasattr(m, "norm2"):
                m.conv2 = nn.Sequential(nn.Dropout(0.1), m.conv2)
    return net, 3 if model == "cifar10" else 1


class Step:
    def __init__(self, dtype, layout, model, batch):
        torch.manual_seed(0)
        net, channels = network(model)
        self.net = net.to(memory_format=layout)
        self.run_net = torch.compile(net) if os.environ.get("ITO_TORCH_COMPILE") == "1" else net
        self.context = contextlib.nullcontext
        if dtype is torch.bfloat16:
            self.context = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
        self.parameters = list(net.parameters())
        self.adam = torch.optim.Adam(self.parameters, lr=2e-4, fused=True)
        self.ema = [p.detach().clone() for p in self.parameters]
        beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        bar = torch.cumprod(1 - beta, 0)
        self.a, self.b = bar.sqrt().float(), (1 - bar).sqrt().float()
        self.beta, self.bar = beta, bar
        self.x = torch.rand(batch, channels, 32, 32).mul_(2).sub_(1).to(memory_format=layout)
        self.t = torch.full((batch,), 500)

    def optimise(self):
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.parameters, 1e-4)

    def train(self):
        t, eps = torch.randint(0, 1000, (len(self.x),)), torch.randn_like(self.x)
        x = self.a[t][:, None, None, None] * self.x + self.b[t][:, None, None, None] * eps
        self.adam.zero_grad(set_to_none=True)
        with self.context():
            loss = F.mse_loss(self.run_net(x, t).float(), eps)
        loss.backward()
        self.optimise()
        loss.item()

    def network(self):
        with torch.no_grad(), self.context():
            return self.run_net(self.x, self.t).float()

    def sample(self):
        eps, bar, before, beta = self.network(), self.bar[500], self.bar[499], self.beta[500]
        with torch.no_grad():
            x_0 = ((self.x - (1 - bar).sqrt() * eps) / bar.sqrt()).clamp(-1, 1)
            mean = before.sqrt() * beta / (1 - bar) * x_0
            mean = mean + (1 - beta).sqrt() * (1 - before) / (1 - bar) * self.x
            noise = torch.randn_like(self.x)
            return mean + (beta * (1 - before) / (1 - bar)).sqrt() * noise


def step(kind):
    def build(dtype, model, batch):
        def with_layout(layout):
            s = Step(dtype, layout, model, batch)
            s.net.train(kind == "train")
            return getattr(s, kind)

        return [lambda layout=layout: with_layout(layout) for layout in FORMATS]

    build.lazy = True  # one at a time, for the sake of memory
    return build


def optimiser(dtype, model):
    s = Step(dtype, FORMATS[0], model, 1)
    s.train()
    return [s.optimise]


WORK = {
    "gemm": gemm,
    "conv": conv,
    "group_norm_silu": group_norm_silu,
    "silu": layer(F.silu),
    "softmax": softmax,
    "layer_norm": layer_norm,
    "attention": attention,
    "additions": additions(False),
    "additions_backward": additions(True),
    "dropout": layer(lambda x: F.dropout(x, 0.1)),
    "cat": layer(lambda a, b: torch.cat([a, b], 1), 2, False),
    "upsample": layer(lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
    "add": layer(torch.add, 2, False),
    "row_major": row_major,
    "to_bf16": to_bf16,
    "randn": lambda dtype, n: [lambda: torch.randn(n)],
    "optimiser": optimiser,
    "train": step("train"),
    "network": step("network"),
    "sample": step("sample"),
}
PRODUCTS = ("gemm", "conv", "attention", "train", "network", "sample")


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def fastest(build, arguments):
    """The faster of the memory formats, warm, and the seconds of its last run."""
    lazy = getattr(build, "lazy", False)
    best, best_seconds, f = None, float("inf"), None
    for c in build(*arguments):
        f = None  # the one before, for the sake of memory
        f = c() if lazy else c
        took = seconds(f)
        signal.alarm(LIMIT)
        took = took if took > LONG else seconds(f)
        if took < best_seconds:
            best, best_seconds = c, took
    if lazy and best is not c:
        f = best()
        best_seconds = seconds(f)
    return f if lazy else best, best_seconds


def process_peak():
    with open("/proc/self/status") as f:
        return next(int(l.split()[1]) / 1024 for l in f if l.startswith("VmHWM"))


def in_child(f):
    """f in a process of its own; None if it ended in its time, else why not."""
    child = os.fork()
    if child == 0:
        f()
        os._exit(0)
    return os.waitpid(child, 0)[1] or None


def bf16_is_slow():
    """Without hardware for it, products in bf16 run tens of times slower than in f32."""

    def probe():
        t = []
        torch.set_num_threads(1)
        for dtype in (torch.float32, torch.bfloat16):
            x, w = torch.rand(1, 64, 32, 32).to(dtype), torch.rand(64, 64, 3, 3).to(dtype)
            F.conv2d(x, w)
            t.append(min(seconds(lambda: F.conv2d(x, w)) for _ in range(5)))
        os._exit(t[1] > 8 * t[0])

    return in_child(probe) is not None


def serve(words):
    """In a child: one row, from its setup to its end."""
    signal.alarm(FIRST)
    torch.set_num_threads(int(words[1]))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[words[2]]
    if words[3] not in WORK:
        answer("none")
        return
    arguments = [int(w) if w.isdigit() else w for w in words[4:]]
    work, took = fastest(WORK[words[3]], [dtype] + arguments)
    answer("ok %.9g" % took)
    while True:
        line = read_line().split()
        if not line or line[0] == "end":
            return
        if line[0] == "run":
            runs = int(line[1])
            start = time.perf_counter()
            for _ in range(runs):
                work()
            answer("%.9g" % ((time.perf_counter() - start) / runs))
        else:
            answer("process_mib=%.0f" % process_peak() if words[3] == "train" else "")


def serve_safely(words):
    try:
        serve(words)
    except Exception as e:
        answer("skip %s" % str(e).splitlines()[0])


def with_onednn():
    version = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return " with oneDNN " + version[1] if version else ""


slow = bf16_is_slow()
# Keep freed memory: with the system's defaults each big result is paid for in page faults.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)
mallopt(M_MMAP_MAX, 0)
mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
answer("ok " + torch.__version__ + with_onednn() + (", without products in bf16, too slow here" if slow else ""))
while True:
    line = read_line()
    if not line:
        break
    words = line.split()
    if words[0] == "end":
        continue
    if words[0] != "setup":
        answer("skip")
    elif slow and words[2] == "bf16" and words[3] in PRODUCTS:
        answer("none")
    elif in_child(lambda: serve_safely(words)) is not None:
        answer("skip slower than %d s a run" % FIRST)
