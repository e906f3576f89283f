"""ito.DDPM: a trained diffusion model, of a run, a file or a directory of diffusers."""
from . import _c
from ._call import _choice, _in, _tensor, _text, lib
from ._library import Error, raise_error
from .operations import full
from .operators import tensor


class DDPM:
    """DDPM.load(path) or DDPM.fashion_mnist(), which comes with the library."""

    def __init__(self, model):
        self._model, self._free = model, lib.ito_ddpm_free

    def __del__(self):
        if getattr(self, "_model", None):
            self._free(self._model)

    @classmethod
    def load(cls, path, *, plain=False):
        """What ito-ddpm train or export wrote, and all else that ito_ddpm_load takes. plain: of a run, the
        weights themselves in place of their averages."""
        model = lib.ito_ddpm_load_with(_text(path), _c.ito_ddpm_load_options(plain=plain))
        return cls(model) if model else raise_error()

    @classmethod
    def fashion_mnist(cls):
        """The network of Fashion-MNIST's ten classes that is part of the library."""
        model = lib.ito_ddpm_fashion_mnist()
        return cls(model) if model else raise_error()

    @property
    def shape(self):
        """(C, H, W) of an image."""
        shape = lib.ito_ddpm_shape(self._model, 1)
        return tuple(shape.dim[1:shape.ndim])

    @property
    def classes(self):
        """The names of the classes; none of a network without classes."""
        model = self._model.contents
        n = model.settings.model.classes if model.class_names else 0
        return [model.class_names[i].decode() for i in range(n)]

    @property
    def settings(self):
        """All settings as JSON."""
        return self._model.contents.text.decode()

    @property
    def notes(self):
        """Of a directory of diffusers: what was assumed, or is otherwise here. "" if nothing."""
        return (self._model.contents.notes or b"").decode()

    def _labels(self, n, label):
        """[n] i64 for a class by its name or number, or for a list of them."""
        if not isinstance(label, (list, tuple)):
            label = [label] * n
        if len(label) != n:
            raise Error(f"sample: {len(label)} labels for {n} images", "ITO_ERR_SHAPE")
        numbers = [lib.ito_ddpm_class(self._model, _text(i)) if isinstance(i, str) else i for i in label]
        raise_error()
        return tensor(numbers, "i64") if n else full((0,), 0, "i64")

    def sample(self, n=1, *, steps=None, seed=0, sampler=None, label=None, guidance=None, noise=None, **options):
        """n images, [n, C, H, W], about in [-1, 1], from noise of the seed, or from the noise given.

        steps, sampler ("ddim", "dpmpp_2m", ...) and guidance: those that the model comes with if it names
        some. label: a class by name or number, or a list of n. options: the other fields of
        ito_sample_options (docs/diffusion.md), eta=1 say."""
        model = self._model.contents
        noise = _in(noise)
        n = n if noise is None else noise.shape[0]
        usual = model.sampling
        labels = None
        if label is not None:
            if not model.condition:
                raise Error("sample: the network has no classes, so it takes no label")
            labels = self._labels(n, label)
        chosen = _c.DEFAULTS["ito_sample_options"]()
        chosen.sampler = _choice("ito_sampler", sampler) if sampler else usual.sampler
        chosen.spacing = usual.spacing
        chosen.steps = usual.steps if steps is None else steps
        chosen.seed = seed
        for name, value in options.items():
            if name not in dict(chosen._fields_):
                raise TypeError(f"sample() got an unexpected keyword argument {name!r}")
            setattr(chosen, name, _choice("ito_spacing", value) if name == "spacing" else value)
        if model.condition:
            model.condition.contents.labels = None if labels is None else labels._as_parameter_
        if guidance is None and label is not None and usual.guidance == usual.guidance:
            guidance = usual.guidance
        model.guidance.contents.scale = 1.0 if guidance is None else guidance
        try:
            if noise is not None:
                return _tensor(lib.ito_diffusion_sample_from_with, model.diffusion, model.network, noise, chosen)
            return _tensor(lib.ito_diffusion_sample_with, model.diffusion, model.network,
                           lib.ito_ddpm_shape(self._model, n), chosen)
        finally:
            if model.condition:
                model.condition.contents.labels = None
            model.guidance.contents.scale = 1.0
