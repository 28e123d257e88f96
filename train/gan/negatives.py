"""Spoiled real images, shown to the discriminator as drawn ones (Sinha et al. 2021, arXiv:2102.05113).

Texture is real everywhere in them, so that what gives them away is whether the parts of a picture fit together: the
sight that a discriminator otherwise has no need of while drawn ones differ in simpler things.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Uniform = Callable[[int], Tensor]
CENTRE = (0.2, 0.8)  # where a spot may lie, as parts of the side
RADIUS = (0.1, 0.3)  # of a spot, as parts of the side
EDGE = 0.3  # of the radius, over which a spot fades in
SHIFT = (0.06, 0.14)  # as parts of the side


def spot(u: Tensor, height: int, width: int) -> Tensor:
    """Soft ellipses (N, 1, height, width) in [0, 1] from numbers ``u`` (N, 4) in [0, 1)."""
    low, high = CENTRE
    centre = (low + (high - low) * u[:, :2])[:, :, None, None]  # (N, 2, 1, 1): y, x
    radius = (RADIUS[0] + (RADIUS[1] - RADIUS[0]) * u[:, 2:])[:, :, None, None]
    y = (torch.arange(height, device=u.device) + 0.5)[:, None] / height
    x = (torch.arange(width, device=u.device) + 0.5)[None] / width
    distance = torch.hypot((y - centre[:, 0]) / radius[:, 0], (x - centre[:, 1]) / radius[:, 1])
    return ((1 - distance) / EDGE).clamp(0, 1)[:, None]


def shifted(x: Tensor, u: Tensor) -> Tensor:
    """The batch (N, C, H, W) moved by one way for all of it, a few pixels up or down and left or right."""
    length = SHIFT[0] + (SHIFT[1] - SHIFT[0]) * u[:2]
    sign = torch.where(u[2:4] < 0.5, -1, 1)
    down, right = (int(round(float(part) * side)) for part, side in zip(length * sign, x.shape[2:]))
    return x.roll((down, right), (2, 3))


def spoil(x: Tensor, uniform: Uniform) -> Tensor:
    """Real images (N, C, H, W) in [-1, 1] with one soft spot in each that does not belong there.

    In the spot is, with equal chance: another image of the batch, the same image mirrored, shifted, with its colours
    exchanged, or a blur. ``uniform(k)`` draws (N, k) numbers in [0, 1) on the images' device.
    """
    u = uniform(9)
    side = max(x.shape[2] // 8, 1)
    blurred = F.interpolate(F.avg_pool2d(x, side), x.shape[2:], mode="bilinear", align_corners=False)
    kinds = torch.stack([x.roll(1, 0), x.flip(3), shifted(x, u[0, 4:8]), x.roll(1, 1), blurred], 1)  # (N, 5, C, H, W)
    chosen = kinds[torch.arange(len(x), device=x.device), (u[:, 8] * kinds.shape[1]).long()]
    return torch.lerp(x, chosen, spot(u[:, :4], *x.shape[2:]))
