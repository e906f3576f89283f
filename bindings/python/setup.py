"""Builds libito.so by Meson, puts it into the package, and writes what is made from the headers.

The library's sources are two directories up; in a source distribution, in source/. ITO_BUILD names a build
directory of Meson that is used in place of one of its own.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
SOURCE = CLONE if (CLONE / "ito.h").exists() else HERE / "source"
VERSION = re.search(r"version: '(.*?)'", (SOURCE / "meson.build").read_text())[1]
# What building the library does not take.
LEFT_OUT = {"bindings", "examples", "runs", "tests"}


class build_library(build_py):
    def run(self):
        super().run()
        package = Path(self.build_lib) / "ito"
        build = Path(os.environ.get("ITO_BUILD") or
                     Path(self.get_finalized_command("build").build_temp).resolve() / "libito")
        if not (build / "build.ninja").exists():
            subprocess.run(["meson", "setup", str(build), str(SOURCE), "-Dtests=disabled", "-Dexamples=disabled"],
                           check=True)
        subprocess.run(["ninja", "-C", str(build), "libito.so." + VERSION], check=True)
        shutil.copy(build / ("libito.so." + VERSION), package / "libito.so")
        subprocess.run(["strip", "--strip-unneeded", str(package / "libito.so")], check=True)
        subprocess.run([sys.executable, str(HERE / "generate.py"), str(build / "include"), str(package)], check=True)


class OfOneMachine(Distribution):
    def has_ext_modules(self):
        return True


class wheel_of_library(bdist_wheel):
    def get_tag(self):
        """Any Python 3 takes it, since the library knows nothing of Python."""
        return "py3", "none", super().get_tag()[2]


def copy(source, place):
    place.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        shutil.copy(source, place)


class sdist_with_library(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for part in SOURCE.iterdir():
            if part.name not in LEFT_OUT and not part.name.startswith((".", "build")):
                copy(part, Path(base_dir) / "source" / part.name)
        for name in ("generate.py", "tests", "examples"):
            copy(HERE / name, Path(base_dir) / name)


os.chdir(HERE)
setup(version=VERSION, distclass=OfOneMachine,
      cmdclass={"build_py": build_library, "bdist_wheel": wheel_of_library, "sdist": sdist_with_library})
