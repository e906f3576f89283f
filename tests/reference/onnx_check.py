"""Runs ONNX files in onnxruntime and compares with what the library computed: onnx_check.py DIRECTORY

For each NAME.onnx there, NAME.INPUT.npy are its inputs and NAME.output.npy its result; NAME.2.INPUT.npy
and NAME.2.output.npy, if they are there, another batch. Each file has to pass onnx's checker, with its
shapes inferred, and the result to be within 1e-5 of the library's largest value.
"""
import pathlib
import sys

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-5
EXCEPTIONS = {
    "argmax_nan": "onnxruntime does not take NaN for the largest",
    "argmin_nan": "onnxruntime does not take NaN for the smallest",
    "median_nan": "onnxruntime does not take NaN for the largest",
    "isin_nan": "onnxruntime does not put NaN behind all others",
    "linalg_det_singular": "the determinant is 0, and what is left of it rounding",
}


def compare(session, directory, name):
    inputs = {i.name: numpy.load(directory / f"{name}.{i.name}.npy") for i in session.get_inputs()}
    expected = numpy.load(directory / f"{name}.output.npy")
    result = session.run(None, inputs)[0]
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return f"{result.dtype} {result.shape} is not {expected.dtype} {expected.shape}"
    if expected.size == 0:
        return None
    if expected.dtype.kind != "f":
        wrong = int((result != expected).sum())
        return f"{wrong} of {expected.size} differ" if wrong else None
    finite = numpy.isfinite(expected)
    if not numpy.array_equal(result[~finite], expected[~finite], equal_nan=True):
        return "other elements are not finite"
    largest = numpy.abs(expected[finite]).max(initial=0)
    apart = numpy.abs(result[finite] - expected[finite]).max(initial=0)
    return f"{apart:.3g} apart, largest {largest:.3g}" if apart > TOLERANCE * largest else None


def check(path):
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(str(path), full_check=True)
    if model.opset_import[0].version != 17:
        return "another opset"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = path.name[: -len(".onnx")]
    fault = compare(session, path.parent, name)
    if fault is None and (path.parent / f"{name}.2.output.npy").exists():
        fault = compare(session, path.parent, f"{name}.2")
        fault = fault and f"with another batch {fault}"
    return fault


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    failed = 0
    for path in paths:
        try:
            fault = check(path)
        except Exception as error:  # whatever the checker or the runtime do not take
            fault = str(error).strip().splitlines()[0]
        if (fault is None) == (path.stem in EXCEPTIONS):
            fault = fault or "this exception is none any more"
        else:
            fault = None
        if fault is not None:
            print(f"{path.name}: {fault}")
            failed += 1
    print(f"{len(paths) - failed} ONNX files agree, {failed} do not")
    return failed > 0 or not paths


sys.exit(main())
