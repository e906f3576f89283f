"""What Tensor has besides the operations as methods: arithmetic signs, indices, pieces, making one of values."""
import ctypes
from numbers import Integral, Real

from . import _c, operations as o
from ._call import _enum, _in, _list, _list_of, _tensor, lib
from ._library import Error
from .tensor import Tensor, as_shape, dtype, from_dlpack


# ---- made of values

def tensor(values, dtype=None):
    """A copy of values: a number, lists of numbers, an array. dtype: that of an array; of Python's numbers
    i64, bool or f32."""
    if hasattr(values, "__dlpack__") or hasattr(values, "__array__"):
        made = _copied(values)
    else:
        made = _of_lists(values, dtype)
    return made if dtype is None or made.dtype == _dtype.of(dtype) else o.cast(made, dtype)


_dtype = dtype


def _copied(array):
    try:
        return o.clone(o.detach(from_dlpack(array) if not isinstance(array, Tensor) else array))
    except (Error, BufferError) as refused:
        try:
            import numpy
            return from_dlpack(numpy.array(array))  # read-only, or with negative strides
        except ImportError:
            raise refused from None


def _flatten(values, shape, depth, out):
    if not isinstance(values, (list, tuple)):
        if depth != len(shape):
            raise Error("tensor: a number stands where a list is elsewhere", "ITO_ERR_SHAPE")
        out.append(values)
        return
    if depth == len(shape) or len(values) != shape[depth]:
        raise Error("tensor: lists beside each other have different lengths", "ITO_ERR_SHAPE")
    for value in values:
        _flatten(value, shape, depth + 1, out)


def _of_lists(values, wanted):
    shape, first = [], values
    while isinstance(first, (list, tuple)):
        shape.append(len(first))
        first = first[0] if first else 0.0
    flat = []
    _flatten(values, shape, 0, flat)
    if flat and all(isinstance(v, Integral) for v in flat):
        for v in flat:
            if not -2**63 <= v < 2**63:
                raise Error(f"tensor: {v} is no number of i64", "ITO_ERR_RANGE")
        data = (ctypes.c_int64 * len(flat))(*map(int, flat))
        made = _tensor(lib.ito_from_data, data, as_shape(shape), dtype.i64)
        return o.cast(made, "bool") if wanted is None and all(isinstance(v, bool) for v in flat) else made
    data = (ctypes.c_double * max(len(flat), 1))(*flat)
    made = _tensor(lib.ito_from_data, data, as_shape(shape), dtype.f64)
    return o.cast(made, "f32") if wanted is None else made


# Random numbers by counter: a position in a stream of a seed, which drawing moves on. Generator(7, stream=3)
Generator = _c.ito_generator


# ---- pieces

def unbind(x, axis=0):
    """The entries of an axis, which goes: views."""
    x = _in(x)
    n = x.shape[axis]
    return _list_of(n, lib.ito_unbind, x, axis, n)


def chunks(x, n, axis=0):
    """n pieces of equal size along an axis, the last one maybe smaller: views."""
    return _list_of(n, lib.ito_chunks, _in(x), n, axis)


def tensor_split(x, n, axis=0):
    """n pieces along an axis, as even as can be: views."""
    return _list_of(n, lib.ito_tensor_split, _in(x), n, axis)


def split_sizes(x, sizes, axis=0):
    """Pieces of these sizes along an axis, which they fill: views."""
    return _list_of(len(sizes), lib.ito_split_sizes, _in(x), as_shape(sizes), axis)


def meshgrid(tensors, indexing="ij"):
    """Lists as coordinates of a grid, an axis for each: views. "xy" has the first two axes exchanged."""
    tensors = [_in(t) for t in tensors]
    return _list_of(len(tensors), lib.ito_meshgrid, _list(tensors), len(tensors),
                    _enum("ito_indexing", indexing))


# ---- gradients

def grads(output, inputs, *, cotangent=None, retain_graph=False, create_graph=False):
    """The gradients of output with respect to several inputs, in one sweep."""
    inputs, cotangent = [_in(t) for t in inputs], _in(cotangent)
    options = _c.ito_backward_options(cotangent=None if cotangent is None else cotangent._as_parameter_,
                                      retain_graph=retain_graph, create_graph=create_graph)

    def call(places):
        return lib.ito_grads(output, _list(inputs), len(inputs), places, options)

    return _list_of(len(inputs), call)


class _mode:
    """A block that begins and ends a mode of the thread."""

    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def __enter__(self):
        self.saved = self.begin()

    def __exit__(self, *error):
        self.end(self.saved)


def no_grad():
    """with ito.no_grad(): operations record no history."""
    return _mode(lib.ito_no_grad_begin, lambda _: lib.ito_no_grad_end())


def enable_grad():
    """with ito.enable_grad(): operations record history, whatever is around."""
    return _mode(lib.ito_enable_grad_begin, lib.ito_enable_grad_end)


def autocast(dtype="bf16"):
    """with ito.autocast(): mixed precision, see ito_autocast_begin."""
    return _mode(lambda: lib.ito_autocast_begin(_dtype.of(dtype)), lib.ito_autocast_end)


# ---- signs

def _number_like(x, value, sign):
    """A number as a tensor of x's dtype, which has to hold it."""
    if not isinstance(value, Real):
        return _in(value)
    if x.dtype.is_float:
        return o.scalar(float(value), x.dtype)
    number = tensor(int(value), x.dtype) if value == value // 1 else None
    if number is None or number.item() != value:
        raise Error(f"{sign}: {value!r} is no number of {x.dtype.name}: cast the tensor first", "ITO_ERR_DTYPE")
    return number


def _binary(sign, function):
    def forward(self, other):
        return function(self, _number_like(self, other, sign))

    def backward(self, other):
        return function(_number_like(self, other, sign), self)

    return forward, backward


for _name, _sign, _function in [
        ("add", "+", o.add), ("sub", "-", o.sub), ("mul", "*", o.mul), ("truediv", "/", o.div),
        ("floordiv", "//", o.floor_divide), ("mod", "%", o.remainder), ("pow", "**", o.pow),
        ("matmul", "@", o.matmul), ("and", "&", o.bitwise_and), ("or", "|", o.bitwise_or),
        ("xor", "^", o.bitwise_xor)]:
    _forward, _backward = _binary(_sign, _function)
    setattr(Tensor, f"__{_name}__", _forward)
    setattr(Tensor, f"__r{_name}__", _backward)
for _name, _sign in [("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")]:
    setattr(Tensor, f"__{_name}__", _binary(_sign, getattr(o, _name))[0])
Tensor.__hash__ = object.__hash__
Tensor.__neg__ = lambda self: o.neg(self)
Tensor.__abs__ = lambda self: o.abs(self)
Tensor.__invert__ = lambda self: o.bitwise_not(self)
Tensor.__iter__ = lambda self: iter(unbind(self))


# ---- indices

END = 2**63 - 1  # beyond the end of any axis


def _is_list(i):
    return isinstance(i, (Tensor, list)) or hasattr(i, "__dlpack__")


def _places(x, index):
    """An index of lists as one of places alone: a bool list stands for the places where it is true."""
    places = []
    for i in index:
        if not _is_list(i):
            raise Error("index: lists of places do not mix with slices and numbers: index twice")
        i = _in(i) if not isinstance(i, list) else tensor(i) if i else o.zeros((0,), "i64")
        if i.dtype != dtype["bool"]:
            places.append(i)
            continue
        axes = x.shape[len(places):len(places) + i.ndim]
        if i.shape != axes:
            raise Error(f"index: a mask of shape {list(i.shape)} for axes {list(axes)}", "ITO_ERR_SHAPE")
        places += unbind(o.nonzero(i), 1)
    return places


def _getitem(self, index):
    """x[1], x[..., 2:5], x[None], x[lists_of_places]: a view, but for the last of these."""
    index = index if isinstance(index, tuple) else (index,)
    if any(_is_list(i) for i in index):
        return o.index(self, _places(self, index))
    used = sum(i is not None and i is not Ellipsis for i in index)
    if Ellipsis not in index:
        index += (Ellipsis,)
    x, axis = self, 0
    for i in index:
        if i is None:
            x, axis = o.unsqueeze(x, axis), axis + 1
        elif i is Ellipsis:
            axis += self.ndim - used
        elif isinstance(i, slice):
            start, stop, step = (usual if given is None else given
                                 for given, usual in ((i.start, 0), (i.stop, END), (i.step, 1)))
            x, axis = o.slice(x, axis, start, stop, step), axis + 1
        else:
            x = o.select(x, axis, i)
    return x


def _setitem(self, index, value):
    if any(_is_list(i) for i in (index if isinstance(index, tuple) else (index,))):
        raise Error("index: what is at lists of places is no view, so it is not assigned to: ito.index_put and "
                    "ito.where make a new tensor")
    place = _getitem(self, index)
    o.copy_(place, _number_like(place, value, "="))


Tensor.__getitem__ = _getitem
Tensor.__setitem__ = _setitem

# ---- operations as methods

for _name in o.METHODS:
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, getattr(o, _name))
for _function in (unbind, chunks, tensor_split, split_sizes):
    setattr(Tensor, _function.__name__, _function)
