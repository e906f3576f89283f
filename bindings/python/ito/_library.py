"""libito.so, with the types that the headers give its functions, and its errors as exceptions."""
import ctypes
import os
from pathlib import Path

from . import _c


class Error(RuntimeError):
    """What the library refused, in its own sentence; code is the name of its ito_status."""

    def __init__(self, message, code="ITO_ERR_ARGUMENT"):
        super().__init__(message)
        self.code = code


class Library:
    """The functions by their C names: lib.ito_add. Each gets its types when it is first used."""

    def __init__(self):
        beside = Path(__file__).with_name("libito.so")
        self.dll = ctypes.CDLL(os.environ.get("ITO_LIBRARY") or str(beside))

    def __getattr__(self, name):
        function = getattr(self.dll, name)
        function.restype, function.argtypes = _c.FUNCTIONS[name]
        setattr(self, name, function)
        return function


lib = Library()


def raise_error():
    """Raise what the library has recorded in this thread, if anything, and forget it."""
    code = lib.ito_error_code()
    if code == 0:
        return
    message = lib.ito_error_message().decode()
    lib.ito_error_clear()
    raise Error(message, next(name for name, value in _c.ENUMS["ito_status"].items() if value == code))


# libgomp has no threads in a child that was forked after its parent used some, and would wait for them.
os.register_at_fork(after_in_child=lambda: lib.ito_set_threads(1))
