"""Ito in a loop of PyTorch and the other way, with gradients of gradients."""
import subprocess
import sys

import ito
import pytest

torch = pytest.importorskip("torch")
import ito.torch  # noqa: E402


def f64(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaf(*shape, seed=0):
    return f64(*shape, seed=seed).requires_grad_()


@ito.torch.function
def loss(x, w, target):
    return ito.huber_loss(ito.silu(ito.matmul(x, w)), target, reduction="none", delta=0.7)


def test_gradients_of_a_loss():
    inputs = leaf(3, 4, seed=1), leaf(4, 2, seed=2), f64(3, 2, seed=3)
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_gradients_of_several_results():
    @ito.torch.function
    def both(x, w, n):
        y = ito.matmul(x, w)
        return ito.exp(y) * n, ito.sin(x), ito.argmax(y, dim=1)

    inputs = leaf(3, 4, seed=1), leaf(4, 2, seed=2), 3
    assert both(*inputs)[2].dtype == torch.int64 and not both(*inputs)[2].requires_grad
    assert torch.autograd.gradcheck(lambda *a: both(*a)[:2], inputs)
    assert torch.autograd.gradgradcheck(lambda *a: both(*a)[:2], inputs)


def test_a_loop_of_pytorch_learns_by_a_loss_of_ito():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    x = torch.linspace(-3, 3, 64)[:, None]
    mse = ito.torch.function(lambda y, t: ito.mse_loss(y, t))
    losses, blocks = [], 0
    for i in range(200):
        blocks = ito.memory_blocks() if i == 10 else blocks
        adam.zero_grad()
        value = mse(net(x), torch.sin(x))
        value.backward()
        adam.step()
        losses.append(value.item())
    assert losses[-1] < 0.02 * losses[0]
    assert ito.memory_blocks() == blocks, "a step leaves nothing behind"


def test_memory_is_shared():
    seen = []
    f = ito.torch.function(lambda x: seen.append(ito.lib.ito_const_data(x)) or x * 2)
    x = torch.ones(3)
    f(x)
    assert seen == [x.data_ptr()]


def test_an_input_that_comes_back_is_a_copy():
    f = ito.torch.function(lambda x: x[1:])
    x = torch.zeros(3, requires_grad=True)
    y = f(x)
    with torch.no_grad():
        y.fill_(5)
    assert x.tolist() == [0, 0, 0]


def test_a_change_before_backward_is_found():
    f = ito.torch.function(lambda x: (x * x).sum())
    x = leaf(3)
    h = x * 1
    y = f(h)
    h.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_graph_that_is_kept_serves_twice():
    x = leaf(3)
    y = ito.torch.function(lambda x: (x * x).sum())(x)
    y.backward(retain_graph=True)
    y.backward()
    torch.testing.assert_close(x.grad, 4 * x.detach())


def test_bf16_passes():
    f = ito.torch.function(lambda x: x * 2)
    assert f(torch.ones(3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_another_result_is_refused():
    with pytest.raises(TypeError, match="result 0 of <lambda> is a float, not a tensor of Ito"):
        ito.torch.function(lambda x: 1.0)(torch.ones(2))


def test_an_error_of_ito_reaches_the_loop():
    with pytest.raises(ito.Error, match=r"^matmul: shapes \[2\] and \[3\]"):
        ito.torch.function(ito.matmul)(torch.ones(2), torch.ones(3))


# ---- PyTorch in Ito

@ito.torch.operation
def energy(x, y):
    return torch.logcumsumexp(x * y, 0)


def both_ways(f, *inputs):
    """Values, gradients and gradients of gradients by x and y."""
    y = f(*inputs)
    g = ito.grads((y * y).sum(), inputs, create_graph=True)
    return [y, *g, *ito.grads((g[0] * g[1]).sum(), inputs)]


def test_a_function_of_pytorch_in_a_graph_of_ito():
    def plain(x, y):
        z = x * y
        return ito.cat([ito.logsumexp(z[:i + 1], dims=0, keepdim=True) for i in range(5)], 0)

    made = [both_ways(f, *[ito.randn(ito.Generator(s), (5,), "f64").requires_grad_() for s in (1, 2)])
            for f in (energy, plain)]
    for got, want in zip(*made):
        torch.testing.assert_close(ito.torch.to_torch(got), ito.torch.to_torch(want), rtol=1e-12, atol=1e-12)


def test_an_exception_of_pytorch_is_an_error_of_ito():
    @ito.torch.operation
    def wrong(x):
        return x @ x

    with pytest.raises(ito.Error, match="^wrong: RuntimeError: "):
        wrong(ito.ones((2, 3)))


def test_an_operation_that_returns_its_input():
    same = ito.torch.operation(lambda x: x)
    x = ito.ones((2,)).requires_grad_()
    (same(x) * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


# ---- in one process

def test_other_devices_are_named():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here; tests/tensor/test_dlpack.c has the sentence")
    with pytest.raises(ito.Error, match="^from_dlpack: the tensor is on CUDA device 0; bring it to the CPU first$"):
        ito.from_dlpack(torch.ones(2, device="cuda"))


@pytest.mark.parametrize("first", ["ito", "torch"])
def test_two_openmp_libraries_live_in_one_process(first):
    second = {"ito": "torch", "torch": "ito"}[first]
    code = f"""
import {first}, {second}, ito.torch
torch.set_num_threads(2); ito.set_threads(2)
x = torch.ones(512, 512)
f = ito.torch.function(lambda x: ito.matmul(x, x))
for _ in range(20):
    assert (f(x) - x @ x).abs().max() == 0
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


class _Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return ito.torch.to_torch(ito.matmul(ito.full((300, 300), i), ito.ones((300, 300))).sum())


def test_a_dataloader_that_forks():
    ito.matmul(ito.ones((512, 512)), ito.ones((512, 512)))
    loader = torch.utils.data.DataLoader(_Squares(), batch_size=4, num_workers=2, multiprocessing_context="fork",
                                         timeout=60)
    assert torch.cat(list(loader)).tolist() == [i * 300.0**3 for i in range(8)]
