"""ito.Tensor: a reference to a tensor of the library, and its memory shared by DLPack."""
import ctypes
from enum import IntEnum

from . import _c
from ._library import Error, lib, raise_error

_DTYPES = {name.removeprefix("ITO_").lower(): value for name, value in _c.ENUMS["ito_dtype"].items()
           if name != "ITO_DTYPES"}


class dtype(IntEnum):
    """The element types: ito.f32, or "f32" where one is an argument."""
    vars().update(_DTYPES)

    __repr__ = __str__ = lambda self: "ito." + self.name

    @classmethod
    def of(cls, value):
        if isinstance(value, str):
            if value not in _DTYPES:
                raise Error(f"{value!r} is no dtype; there are {', '.join(_DTYPES)}", "ITO_ERR_DTYPE")
            return cls[value]
        return cls(value)

    @property
    def is_float(self):
        return lib.ito_dtype_is_float(self)


def as_shape(sizes):
    """An ito_shape of sizes or axes; a number is a list of one, None all axes."""
    if sizes is None:
        return _c.ito_shape(-1)
    sizes = [sizes] if not hasattr(sizes, "__iter__") else list(sizes)
    return _c.ito_shape(len(sizes), (ctypes.c_int64 * 8)(*sizes[:8]))


# ---- DLPack's capsules: a name and a destructor, by Python's own C functions

def _python(name, result, *arguments):
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_object, _address, _name = ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p
_new = _python("PyCapsule_New", _object, _address, _name, _address)
_is_valid = _python("PyCapsule_IsValid", ctypes.c_int, _object, _name)
_pointer_of = _python("PyCapsule_GetPointer", _address, _object, _name)
_rename = _python("PyCapsule_SetName", ctypes.c_int, _object, _name)
# Of a capsule that is being destroyed, which may not be referred to any more.
_dying_is_valid = _python("PyCapsule_IsValid", ctypes.c_int, _address, _name)
_dying_pointer_of = _python("PyCapsule_GetPointer", _address, _address, _name)


class _Form:
    """One of DLPack's two: the capsule's name, its name once taken, the functions of the library."""

    def __init__(self, name, out, into):
        self.name, self.used, self.out, self.into = name, b"used_" + name, out, into
        self.destroy = ctypes.PYFUNCTYPE(None, _address)(self._destroy)

    def _destroy(self, capsule):
        """Nobody took the capsule: a tensor of it lets go of the memory."""
        if _dying_is_valid(capsule, self.name):
            lib.ito_scope_begin()
            self.into(_dying_pointer_of(capsule, self.name))
            lib.ito_scope_end()


_VERSIONED = _Form(b"dltensor_versioned", lib.ito_to_dlpack, lib.ito_from_dlpack)
_LEGACY = _Form(b"dltensor", lib.ito_to_dlpack_legacy, lib.ito_from_dlpack_legacy)


def from_dlpack(x):
    """A tensor on the memory of x, which has __dlpack__: an array of NumPy, a tensor of PyTorch. Nothing
    is copied: a change of one is seen by the other. Memory that is read-only, negative strides, other
    devices and dtypes that Ito does not have are refused; ito.tensor(x) makes a copy."""
    try:
        capsule = x.__dlpack__(max_version=(1, 0))
    except TypeError:
        capsule = x.__dlpack__()
    form = _VERSIONED if _is_valid(capsule, _VERSIONED.name) else _LEGACY
    lib.ito_scope_begin()
    try:
        address = lib.ito_retain(form.into(_pointer_of(capsule, form.name)))
    finally:
        lib.ito_scope_end()
    if address is None:
        raise_error()
    _rename(capsule, form.used)
    return Tensor._own(address)


class Tensor:
    """A tensor: made by ito.tensor, ito.from_dlpack and the operations, which are methods, too. It holds one
    reference; the memory goes when the last one does."""

    __slots__ = ("_as_parameter_", "__weakref__")
    __array_priority__ = 1000  # numpy_array + tensor is ours

    def __init__(self, *args, **kwargs):
        raise TypeError("ito.tensor(values) makes a tensor")

    @classmethod
    def _own(cls, address):
        """For a reference of the caller's, which becomes this object's."""
        self = object.__new__(cls)
        self._as_parameter_ = address
        return self

    def __del__(self, release=lib.ito_release):
        address = getattr(self, "_as_parameter_", None)
        if address is not None:
            release(address)

    # ---- what it is

    @property
    def shape(self):
        shape = lib.ito_shape_of(self)
        return tuple(shape.dim[:shape.ndim])

    @property
    def ndim(self):
        return lib.ito_ndim(self)

    @property
    def size(self):
        """How many elements it has."""
        return lib.ito_numel(self)

    @property
    def dtype(self):
        return dtype(lib.ito_dtype_of(self))

    @property
    def strides(self):
        """In elements."""
        return tuple(lib.ito_stride(self, i) for i in range(self.ndim))

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __repr__(self):
        text = lib.ito_to_string(self)
        if text is None:
            raise_error()
        try:
            values = ctypes.string_at(text).decode()
        finally:
            _free(text)
        return f"ito.Tensor({values.replace(chr(10), chr(10) + ' ' * 11)})"

    # ---- its memory

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if self.requires_grad:
            raise BufferError("the history of a tensor that requires a gradient stays behind: detach() it first")
        if dl_device not in (None, (1, 0)):
            raise BufferError(f"a tensor of Ito is on the CPU, (1, 0), not on {dl_device}")
        source = self.clone() if copy else self
        form = _VERSIONED if max_version is not None and max_version[0] >= 1 else _LEGACY
        managed = form.out(source)
        if not managed:
            raise_error()
        return _new(managed, form.name, ctypes.cast(form.destroy, ctypes.c_void_p))

    def numpy(self):
        """An array of NumPy on the same memory. bf16 is no dtype of NumPy: cast it first."""
        import numpy
        if self.dtype == dtype.bf16:
            raise Error("numpy: NumPy has no bf16: cast it to f32 first", "ITO_ERR_DTYPE")
        return numpy.from_dlpack(self)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return array.astype(dtype) if dtype is not None and dtype != array.dtype else (
            array.copy() if copy else array)

    def touch(self):
        """Say that its memory was changed from outside, so that a backward pass that needs the old values
        fails in place of using the new ones."""
        lib.ito_touch(self)

    # ---- gradients

    @property
    def requires_grad(self):
        return lib.ito_has_grad_path(self)

    def requires_grad_(self, wanted=True):
        """Ask for gradients with respect to this tensor, or no longer."""
        if lib.ito_requires_grad(self, wanted) is None:
            raise_error()
        return self

    @property
    def grad(self):
        """What backward has accumulated for this leaf; None before."""
        address = lib.ito_retain(lib.ito_grad_of(self))
        return None if address is None else Tensor._own(address)

    # ---- one number

    def item(self):
        """The value of a tensor of one element: a float, an int or a bool."""
        value = lib.ito_item(self)
        raise_error()
        return value if self.dtype.is_float else self._numbers()[0]

    def _numbers(self):
        """All elements in row-major order."""
        real, size = self.dtype.is_float, self.size
        data = ((ctypes.c_double if real else ctypes.c_int64) * max(size, 1))()
        if lib.ito_to_data(self, data, dtype.f64 if real else dtype.i64) != 0:
            raise_error()
        return [bool(v) for v in data[:size]] if self.dtype == dtype["bool"] else data[:size]

    def tolist(self):
        """Numbers in lists in lists; of a tensor without axes, its number."""
        values = self._numbers()
        for n in reversed(self.shape[1:]):
            values = [values[i:i + n] for i in range(0, len(values), n)] if n else [[]] * self.shape[0]
        return values if self.ndim else values[0]

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())


_free = ctypes.CDLL(None).free
_free.argtypes, _free.restype = [ctypes.c_void_p], None
