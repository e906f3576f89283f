"""Functions of Ito in a loop of PyTorch, and functions of PyTorch in a graph of Ito, with gradients of any
order. Tensors pass by DLPack, without a copy.

    @ito.torch.function
    def loss(x, target):                # of Ito's tensors
        return ito.huber_loss(ito.silu(x), target)

    loss(net(images), labels).backward()   # of PyTorch's
"""
import ctypes
import functools

import torch

from . import _c, operators
from ._call import _in, _list, _tensor, lib
from .tensor import Tensor, from_dlpack


def to_torch(t):
    """A tensor of PyTorch on the memory of t, without its history."""
    return torch.from_dlpack(t.detach() if t.requires_grad else t)


def to_ito(t):
    """A tensor of Ito on the memory of t, without its history."""
    return from_dlpack(t.detach()) if isinstance(t, torch.Tensor) else t


def _span(t):
    reach = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride()))
    return t.data_ptr(), t.data_ptr() + (reach if t.numel() else 0) * t.element_size()


def _apart(t, others):
    """t, or a copy where it lies in the memory of one of the others."""
    low, high = _span(t)
    spans = [_span(o) for o in others if isinstance(o, torch.Tensor)]
    return t.clone() if any(low < b and a < high for a, b in spans) else t


# ---- Ito in PyTorch

def function(f):
    """f, of tensors of Ito and other arguments, as a function of PyTorch's tensors: it returns one or a tuple
    of them. Once made it can be called by any number of threads."""

    @functools.wraps(f)
    def call(*inputs):
        return _Function.apply(f, *inputs)

    return call


def _gradients(f, n, wanted, filled):
    """The function of Ito that gives the gradients of f for inputs `wanted`: of f's n inputs and of the
    cotangents of its results number `filled`. Differentiable, so that gradients have gradients."""

    def gradients(*arguments):
        inputs = [t.detach().requires_grad_() if i in wanted and not t.requires_grad else t
                  for i, t in enumerate(arguments[:n])]
        results = f(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        return _sum_of_grads([results[i] for i in filled], [inputs[i] for i in wanted], arguments[n:], True)

    return gradients


def _sum_of_grads(results, inputs, cotangents, create_graph):
    total = None
    for y, dy in zip(results, cotangents):
        part = operators.grads(y, inputs, cotangent=dy, retain_graph=True, create_graph=create_graph)
        total = part if total is None else tuple(a + b for a, b in zip(total, part))
    return total


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, *inputs):
        ctx.set_materialize_grads(False)
        ctx.f, ctx.n = f, len(inputs)
        ctx.wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        arguments = [to_ito(t) for t in inputs]
        for i in ctx.wanted:
            arguments[i].requires_grad_()
        with operators.enable_grad():
            results = f(*arguments)
        ctx.single = not isinstance(results, tuple)
        results = (results,) if ctx.single else results
        for i, t in enumerate(results):
            if not isinstance(t, Tensor):
                raise TypeError(f"result {i} of {getattr(f, '__name__', f)} is a {type(t).__name__}, not a tensor of "
                                "Ito")
        outputs = tuple(_apart(to_torch(t), inputs) for t in results)
        ctx.mark_non_differentiable(*[o for o, t in zip(outputs, results) if not t.requires_grad])
        ctx.graph = [arguments[i] for i in ctx.wanted], results
        ctx.others = [None if isinstance(t, torch.Tensor) else t for t in inputs]
        # PyTorch says so where one of these is changed in place before backward.
        ctx.save_for_backward(*[t if isinstance(t, torch.Tensor) else None for t in inputs], *outputs)
        return outputs[0] if ctx.single else outputs

    @staticmethod
    def backward(ctx, *cotangents):
        inputs = [t if t is not None else other for t, other in zip(ctx.saved_tensors, ctx.others)]
        filled = [i for i, dy in enumerate(cotangents) if dy is not None]
        gradients = [None] * (1 + ctx.n)
        if not filled:
            return tuple(gradients)
        if torch.is_grad_enabled():
            made = _Function.apply(_gradients(ctx.f, ctx.n, ctx.wanted, filled), *inputs,
                                   *[cotangents[i] for i in filled])
        else:
            leaves, results = ctx.graph
            made = [to_torch(g) for g in _sum_of_grads([results[i] for i in filled], leaves,
                                                       [to_ito(cotangents[i]) for i in filled], False)]
        for i, g in zip(ctx.wanted, made):
            gradients[1 + i] = g
        return tuple(gradients)


# ---- PyTorch in Ito

_operations = []  # a graph may outlive the name of the operation that it needs


class operation:
    """f, of tensors of PyTorch, as an operation of Ito: pure, with one tensor as its result. Its gradient runs
    f again. Make it once, not in each step: it is never freed.

        @ito.torch.operation
        def energy(x):
            return torch.logcumsumexp(x, 0)
    """

    def __init__(self, f):
        functools.update_wrapper(self, f)
        self.f, self.gradient_of, self.name = f, {}, getattr(f, "__name__", "operation").encode()
        types = dict(_c.ito_custom_op._fields_)
        self.op = _c.ito_custom_op(name=self.name, forward=types["forward"](self._forward),
                                   backward=types["backward"](self._backward))
        _operations.append(self)

    def __call__(self, *inputs):
        inputs = [_in(t) for t in inputs]
        return _tensor(lib.ito_custom, ctypes.byref(self.op), _list(inputs), len(inputs), None)

    def _forward(self, inputs, n, params):
        return self._guarded(lambda: self._run([_borrowed(inputs[i]) for i in range(n)]))

    def _run(self, inputs):
        inputs = [to_torch(t) for t in inputs]
        with torch.no_grad():
            result = self.f(*inputs).detach()
        return from_dlpack(_apart(result, inputs))

    def _backward(self, i, inputs, n, output, dy, params):
        return self._guarded(lambda: self._gradient(i)(*[_borrowed(inputs[k]) for k in range(n)],
                                                       _borrowed(dy)))

    def _gradient(self, i):
        if i not in self.gradient_of:
            self.gradient_of[i] = operation(functools.partial(_gradient, self.f, i))
        return self.gradient_of[i]

    def _guarded(self, make):
        """The result for C, of its current scope; an exception becomes an error of the library."""
        try:
            return lib.ito_adopt(lib.ito_retain(make()))
        except Exception as failed:
            message = f"{self.name.decode()}: {type(failed).__name__}: {failed}"
            lib.dll.ito_error_set(_c.ENUMS["ito_status"]["ITO_ERR_ARGUMENT"], b"%s", message.encode())
            return None


def _borrowed(address):
    return Tensor._own(lib.ito_retain(address))


def _gradient(f, i, *arguments):
    """The gradient of f for input i, of f's inputs and the cotangent of its result."""
    *inputs, dy = arguments
    with torch.enable_grad():
        inputs = [t if t.requires_grad or not t.is_floating_point() else t.detach().requires_grad_()
                  for t in inputs]
        gradient, = torch.autograd.grad(f(*inputs), inputs[i], dy, create_graph=True, allow_unused=True)
    return torch.zeros_like(inputs[i]) if gradient is None else gradient
