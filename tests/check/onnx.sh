#!/bin/sh
# The ONNX files of the networks and of the table of operations in onnxruntime. Left out, with a word,
# where $ITO_PYTHON (python3) lacks it.    onnx.sh BUILD
set -e
python=${ITO_PYTHON:-python3}
for module in numpy onnx onnxruntime; do
    "$python" -c "import $module" 2>/dev/null ||
        { echo "ONNX files are not run: $python has no $module"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/models" "$work/rows"
"$1/tests/onnx_models" "$work/models"
"$1/tests/onnx_rows" "$work/rows" >"$work/log"
here=$(dirname "$0")/../reference
"$python" "$here/onnx_check.py" "$work/models"
"$python" "$here/onnx_check.py" "$work/rows"
