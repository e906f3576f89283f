#!/bin/sh
# The Python package of a build directory, and its tests: installed from a wheel where $ITO_PYTHON
# (python3) can make one, else as it lies. Left out, with a word, where that lacks what tests need. The
# package stays in BUILD/python.
#     python.sh BUILD [TESTS]
set -e
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
python=${ITO_PYTHON:-python3}
has() {
    "$python" -c "import $1" 2>/dev/null
}
for module in pycparser pytest numpy; do
    has $module || { echo "the Python package is not tested: $python has no $module"; exit 0; }
done
has torch || echo "$python has no torch: no tests beside PyTorch"

package=bindings/python
rm -rf "$build/python" $package/build
if has setuptools.command.bdist_wheel; then
    ITO_BUILD=$build "$python" -m pip wheel -q --no-deps --no-build-isolation -w "$build/python/wheel" $package
    "$python" -m pip install -q --no-deps --target "$build/python" "$build"/python/wheel/*.whl
    rm -rf $package/build $package/ito.egg-info
else
    mkdir "$build/python"
    cp -r $package/ito "$build/python/ito"
    "$python" $package/generate.py "$build/include" "$build/python/ito"
    ln -s "$build/libito.so" "$build/python/ito/libito.so"
fi
ITO_INCLUDE=$build/include PYTHONPATH=$build/python OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 \
    "$python" -m pytest -q -p no:cacheprovider ${2:-$package/tests}
