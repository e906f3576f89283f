"""A trained model in Python."""
import re
import subprocess
import sys
from pathlib import Path

import ito
import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "sample_diffusers.py"


def refused(message):
    return pytest.raises(ito.Error, match="^" + re.escape(message) + "$")


@pytest.fixture(scope="module")
def model():
    return ito.DDPM.fashion_mnist()


def test_what_it_is(model):
    assert model.shape == (1, 28, 28)
    assert len(model.classes) == 10 and "boot" in model.classes


def test_samples_are_decided_by_the_seed(model):
    a = model.sample(2, steps=3, sampler="ddim", label="boot", guidance=2.0, seed=5)
    assert a.shape == (2, 1, 28, 28) and a.isfinite().all().item()
    b = model.sample(3, steps=3, sampler="ddim", label=["boot", "boot", "bag"], guidance=2.0, seed=5)
    assert b[:2].tolist() == a.tolist()
    assert model.sample(1, steps=3, sampler="ddim", seed=6)[0].tolist() != a[0].tolist()
    assert model.sample(1, steps=3, sampler="ddim", eta=1.0).shape == (1, 1, 28, 28)


def test_refusals(model, tmp_path):
    with refused(f"{tmp_path}/none: cannot open: No such file or directory"):
        ito.DDPM.load(tmp_path / "none")
    with pytest.raises(ito.Error, match="there is no sampler 'fast'; there are ddim, ddpm, "):
        model.sample(1, sampler="fast")
    with pytest.raises(ito.Error, match="ito_ddpm_class|class"):
        model.sample(1, label="hat")
    with pytest.raises(ito.Error, match="label"):
        model.sample(1, steps=2, guidance=2.0)
    with refused("sample: 1 labels for 2 images"):
        model.sample(2, label=["boot"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        model.sample(1, stepz=3)


def test_the_example_writes_a_picture(tmp_path):
    out = tmp_path / "samples.png"
    subprocess.run([sys.executable, str(EXAMPLE), "--n", "2", "--steps", "2", "--out", str(out)], check=True)
    assert out.read_bytes().startswith(b"\x89PNG")
