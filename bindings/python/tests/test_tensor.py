"""Tensors, operations with options by name, errors, gradients."""
import gc
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import ito
import pytest

OPERATIONS = Path(__file__).resolve().parent / "../../../docs/operations.md"


def refused(message):
    return pytest.raises(ito.Error, match="^" + re.escape(message) + "$")


def test_made_of_values():
    assert ito.tensor([[1, 2], [3, 4]]).dtype == ito.i64
    assert ito.tensor([1.5, 2]).dtype == ito.f32
    assert ito.tensor([True, False]).dtype == ito.bool_
    assert ito.tensor(3.0, "f64").shape == ()
    assert ito.tensor([]).shape == (0,)
    assert ito.tensor(2**60 + 1).item() == 2**60 + 1
    with refused("tensor: 9223372036854775808 is no number of i64"):
        ito.tensor([1, 2**63])
    with refused("tensor: lists beside each other have different lengths"):
        ito.tensor([[1, 2], [3]])
    with refused("tensor: a number stands where a list is elsewhere"):
        ito.tensor([[1, 2], 3])
    with refused("'f8' is no dtype; there are f32, f64, bf16, f16, i32, i64, u8, bool"):
        ito.zeros((2,), "f8")


def test_arithmetic():
    x = ito.tensor([1.0, 4.0])
    assert (2 - x / 2 + x * x - 1).tolist() == [1.5, 15]
    assert (x ** 0.5).tolist() == [1, 2] and (-x).tolist() == [-1, -4] and abs(-x).tolist() == [1, 4]
    assert (x > 2).tolist() == [False, True] and (x == x).tolist() == [True, True]
    i = ito.tensor([5, -5])
    assert (i // 2).tolist() == [2, -3] and (i % 3).tolist() == [2, 1] and (i & 1).tolist() == [1, 1]
    assert (i + 1).dtype == ito.i64
    with refused("+: 0.5 is no number of i64: cast the tensor first"):
        i + 0.5
    with refused("+: 300 is no number of u8: cast the tensor first"):
        ito.cast(i, "u8") + 300
    assert (i + 2**60).tolist() == [2**60 + 5, 2**60 - 5]
    assert (x @ x).item() == 17


def test_an_error_is_the_sentence_of_the_library():
    with refused("matmul: shapes [2, 3] and [2, 3] do not multiply: 3 columns meet 2 rows") as raised:
        ito.matmul(ito.ones((2, 3)), ito.ones((2, 3)))
    assert raised.value.code == "ITO_ERR_SHAPE"
    assert ito.ones((2,)).sum().item() == 2, "the next call knows nothing of it"


@pytest.mark.skipif(not OPERATIONS.exists(), reason="docs/operations.md is not here")
def test_every_operation_is_here():
    names = re.findall(r"^\| `ito_(\w+)`", OPERATIONS.read_text(), re.M)
    assert len(names) > 370 and not [name for name in names if not hasattr(ito, name)]


def test_options_by_name():
    x = ito.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.sum(dims=1).tolist() == [3, 7]
    assert x.sum(dims=(0, 1), keepdim=True).shape == (1, 1)
    assert ito.conv2d(ito.ones((1, 1, 5, 5)), ito.ones((1, 1, 3, 3)), None, stride=2, padding=1).shape == (1, 1, 3, 3)
    assert ito.mse_loss(x, x + 1, reduction="sum").item() == 4
    with refused("ito_reduction: 'most' is none of reduction_mean, reduction_sum, reduction_none, reduction_batchmean"):
        ito.mse_loss(x, x, reduction="most")


def test_several_results():
    values, places = ito.sort(ito.tensor([3.0, 1.0, 2.0]), descending=True)
    assert values.tolist() == [3, 2, 1] and places.tolist() == [0, 2, 1]
    x = ito.tensor([1, 2, 3])
    assert [t.tolist() for t in x.split_sizes([1, 2])] == [[1], [2, 3]]
    assert [t.tolist() for t in x.chunks(2)] == [[1, 2], [3]]
    assert [t.tolist() for t in x.tensor_split(3)] == [[1], [2], [3]]
    assert [t.tolist() for t in ito.meshgrid([x[:2], x[:1]])] == [[[1], [2]], [[1], [1]]]
    assert ito.meshgrid([x, x[:1]], "xy")[0].shape == (1, 3)
    assert [t.item() for t in ito.tensor([1, 2])] == [1, 2]
    assert ito.cat([ito.ones((1, 2)), ito.zeros((2, 2))], 0).shape == (3, 2)


def test_indices():
    x = ito.tensor([[0, 1, 2], [3, 4, 5]])
    assert x[1].tolist() == [3, 4, 5] and x[-1, 0].item() == 3
    assert x[:, 1:].tolist() == [[1, 2], [4, 5]] and x[..., ::2].tolist() == [[0, 2], [3, 5]]
    assert x[None, :, None].shape == (1, 2, 1, 3)
    assert x[[1, 0, 1]].tolist() == [[3, 4, 5], [0, 1, 2], [3, 4, 5]]
    assert x[x > 3].tolist() == [4, 5] and x[[False, True]].tolist() == [[3, 4, 5]]
    assert x[[0, 1], [2, 0]].tolist() == [2, 3] and x[[]].shape == (0, 3)
    with refused("index: a mask of shape [3] for axes [2]"):
        x[[True, False, True]]
    with refused("index: lists of places do not mix with slices and numbers: index twice"):
        x[[0, 1], 1:]
    with refused("index: what is at lists of places is no view, so it is not assigned to: ito.index_put and ito.where "
                 "make a new tensor"):
        x[x > 3] = 0
    with refused("=: 0.5 is no number of i64: cast the tensor first"):
        x[0] = 0.5
    x[0] = 7
    x[:, 2] = ito.tensor([8, 9])
    assert x.tolist() == [[7, 7, 8], [3, 4, 9]]
    with refused("select: axis 0 of [2, 3] has no index 2"):
        x[2]
    with pytest.raises(TypeError, match="a tensor without axes has no length"):
        len(ito.tensor(1.0))


def test_gradients():
    x = ito.tensor([1.0, 2.0], "f64").requires_grad_()
    y = (x * x * x).sum()
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [3, 12]
    g, = ito.grads(y, [x], create_graph=True)
    assert ito.grad(g.sum(), x).tolist() == [6, 12]
    with ito.no_grad():
        assert not (x * 2).requires_grad
        with ito.enable_grad():
            assert (x * 2).requires_grad
    with pytest.raises(ito.Error, match=r"^backward: the output \[\] requires no gradient: "):
        ito.ones(()).backward()


def test_autocast():
    w = ito.ones((2, 2))
    with ito.autocast():
        assert ito.matmul(w, w).dtype == ito.bf16
    assert ito.matmul(w, w).dtype == ito.f32


def test_random_numbers_are_those_of_c():
    g = ito.Generator(7, stream=3)
    a, b = ito.randn(g, (3,)), ito.randn(g, (3,))
    assert a.tolist() != b.tolist() and g.offset > 0
    assert ito.randn(ito.Generator(7, 3), (3,)).tolist() == a.tolist()


def test_options_that_are_no_numbers():
    g = ito.Generator(1)
    x = ito.ones((1, 2, 4, 8))
    dropped = ito.scaled_dot_product_attention(x, x, x, dropout_p=0.5, generator=g)
    assert g.offset > 0 and dropped.tolist() != x.tolist()
    weight = ito.tensor([1.0, 3.0])
    assert ito.cross_entropy(ito.zeros((1, 2)), ito.tensor([1]), weight=weight).item() == pytest.approx(0.6931, 1e-3)
    assert ito.pad(ito.ones((2,)), 5.0, (1, 2)).tolist() == [5, 1, 1, 5, 5]


def test_printed_as_numpy_does():
    assert repr(ito.tensor([[1.0, 2.0], [3.0, 4.0]])) == \
        "ito.Tensor([[1., 2.],\n            [3., 4.]] (f32 [2, 2]))"
    assert repr(ito.f32) == "ito.f32"


def test_nothing_is_leaked():
    def step():
        w = ito.randn(ito.Generator(1), (4, 3, 3, 3)).requires_grad_()
        x = ito.conv2d(ito.ones((2, 3, 8, 8)), w, None, padding=1)
        ito.silu(x).mean().backward()
        w.grad.numpy()
        try:
            ito.matmul(x, x)
        except ito.Error:
            pass

    step()
    gc.collect()
    before = ito.memory_blocks()
    for _ in range(20):
        step()
    gc.collect()
    assert ito.memory_blocks() == before


def test_threads_have_errors_of_their_own():
    failed = []

    def work(i):
        for k in range(50):
            try:
                ito.reshape(ito.ones((i + 2,)), (i + 3,))
            except ito.Error as e:
                if f"[{i + 2}]" not in str(e):
                    failed.append(str(e))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed


def test_a_forked_child_computes():
    """libgomp's threads are not in it: it would wait for them without end if it asked for some."""
    code = """
import ito, os, sys
ito.set_threads(2)
x = ito.ones((512, 512))
want = ito.matmul(x, x).sum().item()
child = os.fork()
if child == 0:
    os._exit(0 if ito.matmul(x, x).sum().item() == want and ito.threads() == 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, env=os.environ).returncode == 0
