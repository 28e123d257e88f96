"""Faces that hold up: those which are most like the average one in light and shade.

Seen in grey at 32 pixels, with the mean and the contrast taken out, so that no colour is preferred. A face that is
turned away, torn or mixed of two is unlike the average one there.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .drawing import check_count, chunks, eval_view
from .sampling import MAX_SEED, check_seed, latents_from_seeds

if TYPE_CHECKING:
    from .generator import Generator

SIDE = 32
AVERAGE_OF = 512  # faces, of the first seeds
TYPICAL_OF = 1024  # faces, of the first seeds, one of which is the typical one
BATCH = 64


def shading(images: Tensor) -> Tensor:
    """Images (N, C, H, W) -> (N, 1, 32, 32), grey, each with a mean of 0 and a deviation of 1."""
    grey = F.interpolate(images.float(), (SIDE, SIDE), mode="area").mean(1, keepdim=True)
    centred = grey - grey.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6)


def latents(generator: "Generator", seeds: range, batch: int = BATCH) -> Iterator[Tensor]:
    """The z of ``seeds`` where the generator is and in its precision, ``batch`` at a time."""
    parameter = next(generator.parameters())
    for some in chunks(seeds, batch):
        yield latents_from_seeds(some, generator.latent_dim).to(parameter.device, parameter.dtype)


@torch.inference_mode()
def shadings(generator: "Generator", seeds: range) -> Tensor:
    """``shading`` of the faces of seeds, on the CPU."""
    return torch.cat([shading(eval_view(generator)(z)).cpu() for z in latents(generator, seeds)])


def average_shading(generator: "Generator") -> Tensor:
    """That of the average face, (1, 1, 32, 32), and its mirror image alike."""
    return _average(shadings(generator, range(AVERAGE_OF)))


def _average(shadings: Tensor) -> Tensor:
    average = shadings.mean(0, keepdim=True)
    return (average + average.flip(3)) / 2


@torch.inference_mode()
def typical_w(generator: "Generator", seed: int | None = None) -> Tensor:
    """The w (latent_dim,), of length sqrt(latent_dim), of the seed, or of the face that is most like the average one.

    One face, not the mean of several: between their w, too, faces are drawn less well. ``generator`` has a mapping
    whose centre is zero.
    """
    ways, seen = [], []
    for z in latents(generator, range(TYPICAL_OF) if seed is None else range(seed, seed + 1)):
        ways.append(F.normalize(generator.mapping(z)) * generator.latent_dim**0.5)  # type: ignore[misc]
        seen.append(shading(eval_view(generator).layers(ways[-1][:, :, None, None])))
    w, faces = torch.cat(ways), torch.cat(seen)
    typical: Tensor = w[(faces * _average(faces)).mean((1, 2, 3)).argmax()]
    return typical


def good_seeds(generator: "Generator", n: int, first: int = 0, of: int = 8, average: Tensor | None = None) -> list[int]:
    """Of each of ``n`` runs of ``of`` seeds, the first of which begins at ``first``, the seed of the best face.

    Args:
        generator: draws them.
        n: seeds to return, at least 1.
        first: seed in [0, 2**32 - 1].
        of: seeds in a run, at least 1.
        average: what ``average_shading`` gives for the generator, for who has it; else it is made.

    Raises:
        ValueError: one of these is out of range, or the runs go beyond the last seed.
    """
    n, of, first = check_count(n, "n"), check_count(of, "of"), check_seed(first)
    if first + n * of - 1 > MAX_SEED:
        raise ValueError(f"first: {n} times {of} seeds from {first} on go beyond {MAX_SEED}")
    average = average_shading(generator) if average is None else average
    likeness = (shadings(generator, range(first, first + n * of)) * average).mean((1, 2, 3))  # (n * of,)
    best = likeness.view(n, of).argmax(1).tolist()
    return [first + run * of + i for run, i in enumerate(best)]
