"""Differentiable augmentation of real and fake images (Zhao et al. 2020, arXiv:2006.10738)."""

import torch
import torch.nn.functional as F
from torch import Tensor

TRANSLATION = 0.125  # largest shift, as a part of the side
CUTOUT = 0.35  # side of the square cut out, as a part of the side


def color(x: Tensor) -> Tensor:
    """Random brightness (-0.5 to 0.5), saturation (0 to 2) and contrast (0.5 to 1.5), one draw per image."""
    r = torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
    x = x + (r[0] - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (r[1] * 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (r[2] + 0.5)


def translation(x: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its side both ways; what comes in at the edge is 0, mid-grey."""
    n, c, h, w = x.shape
    dy, dx = (int(side * TRANSLATION + 0.5) for side in (h, w))
    rows = torch.arange(h, device=x.device) + torch.randint(0, 2 * dy + 1, (n, 1), device=x.device)  # (N, H)
    columns = torch.arange(w, device=x.device) + torch.randint(0, 2 * dx + 1, (n, 1), device=x.device)
    padded = F.pad(x, (dx, dx, dy, dy)).permute(0, 2, 3, 1)  # (N, H + 2 dy, W + 2 dx, C)
    batch = torch.arange(n, device=x.device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(x: Tensor) -> Tensor:
    """Set a square of about a third of the side to 0 at a random place, partly outside the image at times."""
    n, _, h, w = x.shape
    masks = []
    for side in (h, w):
        length = int(side * CUTOUT + 0.5)
        start = torch.randint(-(length // 2), side - length // 2, (n, 1), device=x.device)
        offset = torch.arange(side, device=x.device) - start
        masks.append((offset >= 0) & (offset < length))  # (N, side)
    hole = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return x.masked_fill(hole, 0)


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def parse_policy(policy: str) -> list[str]:
    """'color,translation' -> ['color', 'translation']; '' or 'none' -> [].

    Raises:
        ValueError: an unknown name.
    """
    names = [name.strip() for name in policy.split(",") if name.strip() and name.strip() != "none"]
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"'{name}' is not one of {', '.join(AUGMENTATIONS)}")
    return names


def augment(x: Tensor, policy: str) -> Tensor:
    """Apply the named augmentations in turn to images (N, C, H, W) in [-1, 1]; gradients flow through all of them.

    Draws from the global random generator of the images' device.
    """
    for name in parse_policy(policy):
        x = AUGMENTATIONS[name](x)
    return x
