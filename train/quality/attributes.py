"""What can be measured about a face from its pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model import Generator

LUMA = torch.tensor([0.299, 0.587, 0.114])


def luma(x: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> (N, H, W)."""
    return torch.einsum("nchw,c->nhw", x, LUMA)


def part(x: Tensor, top: float, bottom: float, left: float, right: float) -> Tensor:
    """A rectangle of the picture; sides in parts of its own."""
    side = x.shape[-1]
    return x[..., round(top * side) : round(bottom * side), round(left * side) : round(right * side)]


def hair(x: Tensor) -> Tensor:
    """Where the hair is in a picture of a face: above the forehead."""
    return part(x, 0.06, 0.25, 0.3, 0.7)


def background(x: Tensor) -> Tensor:
    """Both upper corners, (N, 3, H, W)."""
    return torch.cat([part(x, 0, 0.16, 0, 0.1), part(x, 0, 0.16, 0.9, 1)], dim=-1)


def face(x: Tensor) -> Tensor:
    """The lower middle, with cheeks, nose and mouth."""
    return part(x, 0.55, 0.8, 0.35, 0.65)


def warmth(x: Tensor) -> Tensor:
    """Red less blue."""
    return (x[:, 0] - x[:, 2]).mean((1, 2))


def tint(x: Tensor) -> Tensor:
    """Green less the mean of red and blue."""
    return (x[:, 1] - (x[:, 0] + x[:, 2]) / 2).mean((1, 2))


def skin_position(x: Tensor) -> Tensor:
    """Horizontal centre of what is light and warm like skin, in the middle rows; 0 is left and 1 right."""
    middle = part(x, 0.4, 0.85, 0.1, 0.9)
    skin = ((luma(middle) - 0.6) * 10).sigmoid() * ((middle[:, 0] - middle[:, 2] - 0.05) * 30).sigmoid()
    place = torch.linspace(0, 1, middle.shape[-1])
    return (skin.sum(1) * place).sum(1) / skin.sum((1, 2)).clamp_min(1e-3)


@dataclass
class Attribute:
    """Something measured from pictures (N, 3, H, W) in [0, 1] -> (N,), and the words for little and much of it."""

    label: str
    low: str
    high: str
    how: str
    measure: Callable[[Tensor], Tensor]


ATTRIBUTES = (
    Attribute("Hair lightness", "dark", "light", "mean luma above the forehead", lambda x: luma(hair(x)).mean((1, 2))),
    Attribute("Hair warmth", "blue", "red or blond", "red less blue above the forehead", lambda x: warmth(hair(x))),
    Attribute("Hair tint", "purple or pink", "green or yellow", "green less red and blue above the forehead",
              lambda x: tint(hair(x))),
    Attribute("Background", "dark", "light", "mean luma of both upper corners",
              lambda x: luma(background(x)).mean((1, 2))),
    Attribute("Face lightness", "dark", "light", "mean luma of the lower middle", lambda x: luma(face(x)).mean((1, 2))),
    Attribute("Colour", "pale", "vivid", "mean of the largest less the least of red, green and blue",
              lambda x: (x.amax(1) - x.amin(1)).mean((1, 2))),
    Attribute("Detail", "soft", "busy", "mean luma difference of neighbouring pixels",
              lambda x: luma(x).diff(dim=1).abs().mean((1, 2)) + luma(x).diff(dim=2).abs().mean((1, 2))),
    Attribute("Face position", "left", "right", "horizontal centre of skin-coloured pixels", skin_position),
)  # fmt: skip


@torch.inference_mode()
def measure(generator: Generator, z: Tensor) -> Tensor:
    """All attributes (N, len(ATTRIBUTES)) of the faces of ``z`` (N, latent_dim)."""
    rows = []
    for chunk in z.split(64):
        x = (generator(chunk).clamp(-1, 1) + 1) / 2
        rows.append(torch.stack([attribute.measure(x.expand(-1, 3, -1, -1)) for attribute in ATTRIBUTES], dim=1))
    return torch.cat(rows)
