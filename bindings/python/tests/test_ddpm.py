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


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A small one of diffusers at random weights, and its directory."""
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    import torch
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(sample_size=8, in_channels=3, out_channels=3, layers_per_block=1,
                                 block_out_channels=(16, 32), norm_num_groups=8, attention_head_dim=None,
                                 down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                                 up_block_types=("AttnUpBlock2D", "UpBlock2D"))
    made = diffusers.DDPMPipeline(unet, diffusers.DDIMScheduler(num_train_timesteps=100, clip_sample=True))
    place = tmp_path_factory.mktemp("pipeline")
    made.save_pretrained(place)
    return made, place


def test_a_model_of_diffusers_draws_what_diffusers_draws(pipeline):
    """From the same noise, by DDIM over the same steps."""
    import torch
    made, place = pipeline
    model = ito.DDPM.load(place)
    assert model.shape == (3, 8, 8) and model.notes == ""
    noise = ito.randn(ito.Generator(3), (2, 3, 8, 8))
    ours = model.sample(2, noise=noise, steps=10, sampler="ddim", spacing="leading")
    x = torch.from_dlpack(noise).clone()
    made.scheduler.set_timesteps(10)
    with torch.no_grad():
        for t in made.scheduler.timesteps:
            x = made.scheduler.step(made.unet(x, t).sample, t, x).prev_sample
    torch.testing.assert_close(torch.from_dlpack(ours), x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("of_diffusers", [False, True])
def test_the_example_writes_a_picture(of_diffusers, request, tmp_path):
    out = tmp_path / "samples.png"
    model = ["--model", str(request.getfixturevalue("pipeline")[1])] if of_diffusers else []
    subprocess.run([sys.executable, str(EXAMPLE), *model, "--n", "2", "--steps", "2", "--out", str(out)], check=True)
    assert out.read_bytes().startswith(b"\x89PNG")
