"""A generator between two that have a common ancestor: the same person, in a style in between."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim.swa_utils import update_bn

from .blocks import Constant
from .generator import Generator
from .picking import latents

# Cosine of the angle between the weights of two generators. Fine-tuning left it at 0.97; for weights that were trained
# from different starts, and even for the same network with its channels in another order, it is 0.
RELATED = 0.5
STATISTICS_OF, BATCH = 256, 128  # faces, of the first seeds, and how many at once
ADDED = ("blocks", "constant", "mirror", "fine")  # what a network may be given later: it begins without effect


@torch.no_grad()
def blend(a: Generator, b: Generator, t: float) -> Generator:
    """A new generator, in eval mode, on the way from ``a`` (t = 0) to ``b`` (t = 1).

    The mean of weights that were fine-tuned from the same ones draws as well as they do (Izmailov et al. 2018,
    arXiv:1803.05407; Wortsman et al. 2022, arXiv:2203.05482), and a seed keeps its face. Blocks that only one of the
    two was given have no effect in the other, and more of it the nearer the first one is.

    Raises:
        ValueError: ``t`` is not in [0, 1]; networks of different shape; weights without a common origin.
    """
    if isinstance(t, bool) or not isinstance(t, int | float) or not 0 <= t <= 1:
        raise ValueError(f"t: {t!r:.40} is not a number from 0 to 1")
    if type(a) is not type(b) or _shape(a) != _shape(b):
        raise ValueError(
            "blend: the two generators are networks of different shape; take two with the same config.json"
        )
    if similarity(a, b) < RELATED:
        raise ValueError("blend: the two generators have no common origin; take one that was fine-tuned from the other")
    config = {**_options(a), **{name: max(_options(model).get(name, 0) for model in (a, b)) for name in ADDED}}
    between = type(a)(**config).to(next(a.parameters()))
    ours, theirs = _filled(between, a, b), _filled(between, b, a)
    between.load_state_dict({name: _between(ours[name], theirs[name].to(ours[name]), t) for name in ours})
    if 0 < t < 1:
        measure_statistics(between)
    return between.eval()


def measure_statistics(model: Generator) -> None:
    """Let BatchNorm have the statistics of the model's own faces: between those of two parents lie none that fit, and
    contrast would fade (Izmailov et al. measure them anew, too)."""
    update_bn(latents(model, range(STATISTICS_OF), BATCH), model)


def similarity(a: Generator, b: Generator) -> float:
    """Cosine of the angle between all the kernels that two generators of one shape both have, -1 to 1."""
    ours, theirs = ({name: p for name, p in model.named_parameters() if p.ndim > 1} for model in (a, b))
    kernels = [
        torch.cat([named[name].detach().cpu().flatten() for name in ours if name in theirs]) for named in (ours, theirs)
    ]
    return cosine_similarity(kernels[0], kernels[1], dim=0).item()


def _options(model: Generator) -> dict[str, Any]:
    return cast(dict[str, Any], model._hub_mixin_config)


def _shape(model: Generator) -> dict[str, Any]:
    """The options of a generator without what it may have been given later."""
    return {name: value for name, value in _options(model).items() if name not in ADDED}


def _filled(network: Generator, model: Generator, other: Generator) -> dict[str, Tensor]:
    """The state of ``network`` that draws as ``model``: what this one lacks is as in ``other``, but for the layers that
    begin with zero, which stay so."""
    zero = {
        f"{name}.{key}"
        for name, layer in network.named_modules()
        if isinstance(layer, Constant) or hasattr(layer, "zero_start")
        for key in layer.state_dict()
    }
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    state |= {name: value for name, value in other.state_dict().items() if name not in zero}
    return state | model.state_dict()


def _between(a: Tensor, b: Tensor, t: float) -> Tensor:
    return torch.lerp(a, b, t) if a.is_floating_point() else (a if t < 0.5 else b)
