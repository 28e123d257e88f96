"""Differentiable augmentation of real and fake images (Zhao et al. 2020, arXiv:2006.10738)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

TRANSLATION = 0.125  # largest shift, as a part of the side
CUTOUT = 0.35  # side of the square cut out, as a part of the side
BLURRED = 0.5  # part of the images that are blurred

Uniform = Callable[[int], Tensor]


def color(x: Tensor, uniform: Uniform) -> Tensor:
    """Random brightness (-0.5 to 0.5), saturation (0 to 2) and contrast (0.5 to 1.5), one draw per image."""
    u = uniform(3)[:, :, None, None, None]  # (N, 3, 1, 1, 1)
    brightness, saturation, contrast = u[:, 0] - 0.5, u[:, 1] * 2, u[:, 2] + 0.5
    # Added; then multiplied about each pixel's grey; then about the image's mean: three linear maps joined into one.
    grey = x.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    rest = grey * (contrast * (1 - saturation)) + (mean * (1 - contrast) + brightness)
    return torch.addcmul(rest, x, contrast * saturation)


def translation(x: Tensor, uniform: Uniform) -> Tensor:
    """Shift each image by up to an eighth of its side both ways; what comes in at the edge is 0, mid-grey."""
    n, c, h, w = x.shape
    dy, dx = (int(side * TRANSLATION + 0.5) for side in (h, w))
    size = torch.tensor([2 * dy + 1, 2 * dx + 1], device=x.device)
    start = (uniform(2) * size).long()  # (N, 2): where the image is cut out of a padded one
    rows = torch.arange(h, device=x.device) + start[:, :1]  # (N, H)
    columns = torch.arange(w, device=x.device) + start[:, 1:]  # (N, W)
    rows += torch.arange(n, device=x.device)[:, None] * (h + 2 * dy)  # all images under each other
    pixels = F.pad(x, (dx, dx, dy, dy)).permute(0, 2, 3, 1).reshape(-1, c)
    index = rows[:, :, None] * (w + 2 * dx) + columns[:, None, :]  # (N, H, W)
    return pixels.index_select(0, index.flatten()).view(n, h, w, c).permute(0, 3, 1, 2)


def cutout(x: Tensor, uniform: Uniform) -> Tensor:
    """Set a square of about a third of the side to 0 at a random place, partly outside the image at times."""
    u = uniform(2)
    masks = []
    for i, side in enumerate(x.shape[2:]):
        length = int(side * CUTOUT + 0.5)
        start = (u[:, i : i + 1] * side).long() - length // 2  # (N, 1)
        offset = torch.arange(side, device=x.device) - start
        masks.append((offset >= 0) & (offset < length))  # (N, side)
    hole = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return x.masked_fill(hole, 0)


def blur(x: Tensor, uniform: Uniform) -> Tensor:
    """Show every second image, at random, at half its resolution, so that fine texture does not give drawn ones away.

    What is left to judge by are shapes and whether they fit together. Projected GAN (Sauer et al. 2021,
    arXiv:2111.01007) and StyleGAN3 (Karras et al. 2021, arXiv:2106.12423) blur for the same reason, all images and only
    at the beginning.
    """
    half = F.avg_pool2d(x, 2)  # (N, C, H / 2, W / 2)
    blurred = F.interpolate(half, x.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(uniform(1)[:, :, None, None] < BLURRED, blurred, x)


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout, "blur": blur}


def parse_policy(policy: str) -> list[str]:
    """'color,translation' -> ['color', 'translation']; '' or 'none' -> [].

    Raises:
        ValueError: an unknown name, or none at all between two commas.
    """
    names = [name.strip() for name in policy.split(",")]
    if names in ([""], ["none"]):
        return []
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"'{name}' is not one of {', '.join(AUGMENTATIONS)}")
    return names


def augment(x: Tensor, policy: str, uniform: Uniform | None = None, p: float = 1.0) -> Tensor:
    """Apply the named augmentations in turn to images (N, C, H, W) in [-1, 1]; gradients flow through all of them.

    Each changes an image with probability ``p``, as in StyleGAN2-ADA (Karras et al. 2020, arXiv:2006.06676): what is
    left as it is shows the discriminator what augmented images hide. ``uniform(k)`` draws (N, k) numbers in [0, 1) on
    the images' device, by default from torch's global generator.
    """
    uniform = uniform or partial(torch.rand, len(x), device=x.device)
    for name in parse_policy(policy):
        changed = AUGMENTATIONS[name](x, uniform)
        x = changed if p == 1 else torch.where(uniform(1)[:, :, None, None] < p, changed, x)
    return x
