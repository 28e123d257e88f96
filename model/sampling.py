"""From seeds to latents to pictures: pure functions shared by the app, the trainer and other code."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MAX_SEED = 2**32 - 1
MAX_TRUNCATION = 1.5


def check_seed(seed: object) -> int:
    """``seed`` as an int: a whole number of Python, NumPy or PyTorch in [0, 2**32 - 1].

    Raises:
        ValueError: it is none; a bool, a fraction and a text are none.
    """
    try:
        is_bool = isinstance(seed, bool) or str(getattr(seed, "dtype", "")) in ("bool", "torch.bool")
        number = -1 if is_bool else operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_SEED:
        hint = "; seed_of() makes one of a name" if isinstance(seed, str) else ""
        raise ValueError(f"seed: {seed!r:.40} is not an integer from 0 to {MAX_SEED}{hint}")
    return number


def latents_from_seeds(seeds: Iterable[SupportsIndex], latent_dim: int) -> Tensor:
    """Standard normal latents (N, latent_dim), float32 on the CPU, one random generator per seed.

    Row i depends on ``seeds[i]`` alone, so a seed is the same face in every batch and on every device, whatever
    PyTorch's default dtype and device are.

    Raises:
        ValueError: a seed that is not an integer in [0, 2**32 - 1], or ``seeds`` that are not several.
    """
    try:
        numbers = [check_seed(seed) for seed in seeds]
    except TypeError:
        raise ValueError(f"seeds: {seeds!r:.40} is not a list of integers, such as [7]") from None
    z = torch.empty(len(numbers), latent_dim, dtype=torch.float32, device="cpu")
    for row, seed in zip(z, numbers):
        row.normal_(generator=torch.Generator("cpu").manual_seed(seed))
    return z


def truncate(z: Tensor, truncation: float) -> Tensor:
    """Scale ``z`` by ``truncation`` in [0, 1.5]: below 1 less contrast, above 1 past the training range.

    A generator with a mapping takes the length of z for the distance of w from that of a typical face, so that for it
    this is truncation in w, as of Karras et al. 2019 (arXiv:1812.04948).

    Raises:
        ValueError: truncation out of range or NaN.
    """
    try:
        in_range = 0 <= truncation <= MAX_TRUNCATION
    except TypeError:
        in_range = False
    if not in_range:
        raise ValueError(f"truncation: {truncation!r:.40} is not a number from 0 to {MAX_TRUNCATION}")
    return z * truncation


def check_latents(z: object, latent_dim: int) -> Tensor:
    """``z`` as a tensor (N, latent_dim); an array or nested lists of numbers become float32 on the CPU.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    if not isinstance(z, Tensor):
        try:
            z = torch.from_numpy(np.array(z, np.float32))
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"z: {type(z).__name__} is not an array of numbers (N, {latent_dim})") from None
    if z.ndim != 2 or z.shape[1] != latent_dim:
        raise ValueError(f"z: shape {tuple(z.shape)} is not (N, {latent_dim})")
    if not z.isfinite().all():
        raise ValueError("z: some of its numbers are not finite")
    return z


def slerp(z0: Tensor, z1: Tensor, t: Tensor | float) -> Tensor:
    """Spherical interpolation (Shoemake 1985) along the last dimension: ``z0`` at t = 0, ``z1`` at t = 1.

    The angle follows the great circle and the length goes linearly from one to the other, so that frames between
    two latents are as typical as the latents themselves. Near-parallel, opposite or zero vectors fall back to a
    straight line. ``t`` is a number or a tensor that broadcasts against ``z0``.
    """
    norm0 = z0.norm(dim=-1, keepdim=True)
    norm1 = z1.norm(dim=-1, keepdim=True)
    cosine = (z0 * z1).sum(-1, keepdim=True) / (norm0 * norm1).clamp_min(1e-12)
    omega = cosine.clamp(-1, 1).acos()
    sine = omega.sin()
    t = torch.as_tensor(t, dtype=z0.dtype, device=z0.device)
    along = ((1 - t) * omega).sin() / sine * (z0 / norm0) + (t * omega).sin() / sine * (z1 / norm1)
    curved = along * ((1 - t) * norm0 + t * norm1)
    straight = (1 - t) * z0 + t * z1
    return torch.where((sine > 1e-4) & (norm0 > 0) & (norm1 > 0), curved, straight)


def interpolate(z: Tensor, steps: int, loop: bool = False) -> Tensor:
    """A slerp path through the rows of ``z`` (K, latent_dim), K >= 2, with ``steps`` >= 1 frames per leg.

    Returns ((K - 1) * steps + 1, latent_dim), both ends included, so an 11-frame strip is ``steps=10``; with
    ``loop`` a last leg leads back and the first frame is not repeated: (K * steps, latent_dim).

    Raises:
        ValueError: fewer than two rows or fewer than one step.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError("interpolate: at least two latents are needed")
    if steps < 1:
        raise ValueError(f"steps: {steps} is not at least 1")
    ends = torch.cat([z, z[:1]]) if loop else z
    t = torch.arange(steps, dtype=z.dtype, device=z.device)[:, None] / steps  # (steps, 1)
    legs = [slerp(z0, z1, t) for z0, z1 in zip(ends[:-1], ends[1:])]
    path = torch.cat(legs if loop else [*legs, z[-1:]])
    path[::steps] = z  # slerp rounds, and at its own place in the path a seed is exactly its face
    return path


def to_images(x: Tensor) -> list[Image.Image]:
    """Images (N, 3 or 1, H, W) in [-1, 1] -> N PIL images (RGB or L); values outside the range are clipped."""
    pixels = (x.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(p if p.shape[-1] == 3 else p[..., 0]) for p in pixels]


def image_grid(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Tile equal-sized images row by row into one picture; ``columns`` defaults to a square.

    Raises:
        ValueError: no images.
    """
    if not images:
        raise ValueError("image_grid: no images")
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width, height = images[0].size
    grid = Image.new(images[0].mode, (columns * width, rows * height), "white")
    for i, image in enumerate(images):
        grid.paste(image, (i % columns * width, i // columns * height))
    return grid
