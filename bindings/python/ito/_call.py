"""How operations.py calls the library: what Python has becomes what C takes, and the other way."""
import ctypes
from numbers import Real

from . import _c
from ._library import Error, lib, raise_error
from .tensor import Tensor, as_shape, dtype as _dtype_class, from_dlpack


def _in(x):
    """A tensor for x: itself, one on the memory of an array, or one of a number."""
    if x is None or isinstance(x, Tensor):
        return x
    if hasattr(x, "__dlpack__"):
        return from_dlpack(x)
    if isinstance(x, Real):
        return _tensor(lib.ito_scalar, float(x), _dtype_class.f64)
    raise TypeError(f"{type(x).__name__} is neither a tensor, an array nor a number")


def _address(t):
    return None if t is None else t._as_parameter_


def _list(tensors):
    return (ctypes.c_void_p * max(len(tensors), 1))(*[_address(t) for t in tensors])


def _byref(x):
    return None if x is None else ctypes.byref(x)


def _pointer(x):
    return None if x is None else ctypes.pointer(x)


def _text(x):
    return x if x is None or isinstance(x, bytes) else str(x).encode()


_shape, _dtype = as_shape, _dtype_class.of


def _enum(name, value):
    """A number, or the end of a constant's name: "sum" is ITO_SUM."""
    if not isinstance(value, str):
        return value
    names = {constant.removeprefix("ITO_").lower(): number for constant, number in _c.ENUMS[name].items()}
    ends = [number for constant, number in names.items()
            if constant == value.lower() or constant.endswith("_" + value.lower())]
    if len(ends) != 1:
        raise Error(f"{name}: {value!r} is none of {', '.join(names)}")
    return ends[0]


def _choice(struct, value):
    """A struct, or the name of one that the library has: "cosine" is ito_schedule_cosine."""
    if not isinstance(value, str):
        return value
    try:
        return ctypes.pointer(getattr(_c, struct).in_dll(lib.dll, f"{struct}_{value}"))
    except ValueError:
        names = [name.removeprefix(struct + "_") for name in _c.VARIABLES if name.startswith(struct + "_")]
        raise Error(f"there is no {struct.removeprefix('ito_')} {value!r}; there are "
                    f"{', '.join(sorted(names))}") from None


def _tensor(function, *args):
    """Call a function that returns a tensor. What it makes on the way goes with the scope."""
    lib.ito_scope_begin()
    try:
        address = lib.ito_retain(function(*args))
    finally:
        lib.ito_scope_end()
    if address is None:
        return raise_error()
    return Tensor._own(address)


def _tensors(outs, function, *args):
    """The same with further results, whose places are outs."""
    lib.ito_scope_begin()
    try:
        results = [lib.ito_retain(function(*args))]
        results += [lib.ito_retain(out) for out in outs] if results[0] is not None else []
    finally:
        lib.ito_scope_end()
    if results[0] is None:
        return raise_error()
    return tuple(Tensor._own(address) for address in results)


def _list_of(n, function, *args):
    """n tensors that a function writes to a list, its last argument."""
    places = (ctypes.c_void_p * max(n, 1))()
    lib.ito_scope_begin()
    try:
        done = function(*args, places) == 0
        results = [lib.ito_retain(places[i]) for i in range(n)] if done else []
    finally:
        lib.ito_scope_end()
    if not done:
        raise_error()
    return tuple(Tensor._own(address) for address in results)


def _value(function, *args):
    result = function(*args)
    raise_error()
    return result


def _status(function, *args):
    lib.ito_scope_begin()
    try:
        function(*args)
    finally:
        lib.ito_scope_end()
    raise_error()


def _string(function, *args):
    text = _value(function, *args)
    return None if text is None else text.decode()


def _dtype_of(function, *args):
    return _dtype_class(_value(function, *args))
