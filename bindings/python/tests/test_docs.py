"""The programs of docs/python.md run, and print what it says."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent / "../../../docs/python.md"
if not PAGE.exists():
    pytest.skip("docs/python.md is not here", allow_module_level=True)
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE.read_text(), re.S | re.M)


def test_each_program_is_among_them():
    assert len(PROGRAMS) == PAGE.read_text().count("```python") == 6


@pytest.mark.parametrize("program,output", PROGRAMS, ids=range(len(PROGRAMS)))
def test_program(program, output, tmp_path):
    for library in ("numpy", "torch"):
        if f"import {library}" in program:
            pytest.importorskip(library)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout == output, ran.stderr
