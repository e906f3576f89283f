#!/bin/sh
# The Python package of a build directory, and its tests. Left out, with a word, where $ITO_PYTHON
# (python3) lacks what they need. The package stays in BUILD/python.
#     python.sh BUILD
set -e
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
python=${ITO_PYTHON:-python3}
for module in pycparser pytest numpy torch; do
    if ! "$python" -c "import $module" 2>/dev/null; then
        echo "$python has no $module: $([ $module = torch ] && echo 'no tests beside PyTorch' || echo 'left out')"
        [ $module = torch ] || exit 0
    fi
done
rm -rf "$build/python"
mkdir "$build/python"
cp -r bindings/python/ito "$build/python/ito"
"$python" bindings/python/generate.py "$build/include" "$build/python/ito"
ln -s "$build/libito.so" "$build/python/ito/libito.so"
ITO_INCLUDE=$build/include PYTHONPATH=$build/python OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 \
    "$python" -m pytest -q -p no:cacheprovider bindings/python/tests
