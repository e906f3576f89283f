"""What generate.py says of the C interface, against what the compiler says: sizes, offsets, constants, defaults."""
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ito import _c
from ito._library import lib

HERE = Path(__file__).resolve().parent
INCLUDE = os.environ.get("ITO_INCLUDE")  # the directory of <ito/ito.h>
needs_compiler = pytest.mark.skipif(not INCLUDE or not shutil.which("cc"),
                                    reason="needs a C compiler and the headers (ITO_INCLUDE)")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The lines of a C program that tells of every struct, by their first two words."""
    place = tmp_path_factory.mktemp("layout")
    source = subprocess.run([sys.executable, str(HERE.parent / "generate.py"), INCLUDE, "--layout"],
                            capture_output=True, text=True, check=True).stdout
    (place / "layout.c").write_text(source)
    subprocess.run(["cc", "-std=gnu17", "-w", f"-I{INCLUDE}", str(place / "layout.c"), "-o", str(place / "layout")],
                   check=True)
    return [line.split() for line in
            subprocess.run([str(place / "layout")], capture_output=True, text=True, check=True).stdout.splitlines()]


@needs_compiler
def test_structs_are_laid_out_as_in_c(told):
    sizes = fields = 0
    for kind, name, *numbers in told:
        if kind == "size":
            sizes += 1
            assert ctypes.sizeof(getattr(_c, name)) == int(numbers[0]), name
        elif kind == "field":
            fields += 1
            struct, field = name.split(".")
            ours = getattr(getattr(_c, struct), field)
            assert [ours.offset, ours.size] == [int(n) for n in numbers], name
    assert sizes > 200 and fields > 1000


@needs_compiler
def test_constants_are_those_of_c(told):
    constants = {name: value for values in _c.ENUMS.values() for name, value in values.items()}
    found = {name: int(value) for kind, name, value in (line for line in told if line[0] == "constant")}
    assert constants == found and len(found) > 50


@needs_compiler
def test_defaults_are_those_of_c(told):
    found = 0
    for kind, name, *value in told:
        if kind == "default":
            struct, field = name.split(".")
            ours = getattr(type(made := _c.DEFAULTS[struct]()), field)
            assert bytes(made)[ours.offset:ours.offset + ours.size].hex() == value[0], name
            found += 1
    assert found > 500


@needs_compiler
def test_the_generated_files_are_those_of_these_headers(tmp_path):
    subprocess.run([sys.executable, str(HERE.parent / "generate.py"), INCLUDE, str(tmp_path)], check=True)
    for name in ("_c.py", "operations.py"):
        assert (tmp_path / name).read_text() == (Path(_c.__file__).parent / name).read_text(), name


def test_every_function_is_in_the_library():
    for name in _c.FUNCTIONS:
        getattr(lib, name)
    assert len(_c.FUNCTIONS) > 800
