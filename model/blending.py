"""A generator between two that have a common ancestor: the same person, in a style in between."""

import copy

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .generator import Generator

# Cosine of the angle between the weights of two generators. Fine-tuning left it at 0.97; for weights that were trained
# from different starts, and even for the same network with its channels in another order, it is 0.
RELATED = 0.5


@torch.no_grad()
def blend(a: Generator, b: Generator, t: float) -> Generator:
    """A new generator, in eval mode, on the way from ``a`` (t = 0) to ``b`` (t = 1), statistics of BatchNorm included.

    The mean of weights that were fine-tuned from the same ones draws as well as they do (Izmailov et al. 2018,
    arXiv:1803.05407; Wortsman et al. 2022, arXiv:2203.05482), and a seed keeps its face.

    Raises:
        ValueError: ``t`` is not in [0, 1]; networks of different shape; weights without a common origin.
    """
    if isinstance(t, bool) or not isinstance(t, int | float) or not 0 <= t <= 1:
        raise ValueError(f"t: {t!r:.40} is not a number from 0 to 1")
    ours, theirs = (
        a.state_dict(),
        {name: value.to(next(a.parameters()).device) for name, value in b.state_dict().items()},
    )
    shapes = [{name: value.shape for name, value in state.items()} for state in (ours, theirs)]
    if type(a) is not type(b) or a._hub_mixin_config != b._hub_mixin_config or shapes[0] != shapes[1]:
        raise ValueError(
            "blend: the two generators are networks of different shape; take two with the same config.json"
        )
    if similarity(a, b) < RELATED:
        raise ValueError("blend: the two generators have no common origin; take one that was fine-tuned from the other")
    between = copy.deepcopy(a)
    between.load_state_dict({name: _between(ours[name], theirs[name], t) for name in ours})
    return between.eval()


def similarity(a: Generator, b: Generator) -> float:
    """Cosine of the angle between all the kernels of two generators of one shape, -1 to 1."""
    kernels = [torch.cat([p.detach().cpu().flatten() for p in model.parameters() if p.ndim > 1]) for model in (a, b)]
    return cosine_similarity(kernels[0], kernels[1], dim=0).item()


def _between(a: Tensor, b: Tensor, t: float) -> Tensor:
    return torch.lerp(a, b, t) if a.is_floating_point() else (a if t < 0.5 else b)
