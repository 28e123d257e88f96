"""What a discriminator sees in a face: a measure of likeness that knows eyes and hair, and of whether it is whole."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from ..discriminator import Discriminator, MinibatchStd
from ..files import most_bytes, read_tensors

DISCRIMINATOR = "discriminator.safetensors"
SPREAD = 0.3  # within a batch of faces, as a discriminator that looks at that is used to; here each stands alone


class Eye(nn.Module):
    """The features of a discriminator, and how real it finds a face.

    Args:
        discriminator: of whatever faces; nothing in it changes.
        image_size: side of its pictures.
        image_channels: of its pictures, 3 or 1.
    """

    def __init__(self, discriminator: Discriminator, image_size: int, image_channels: int) -> None:
        super().__init__()
        self.image_size, self.image_channels = image_size, image_channels
        layers = list(discriminator.layers)
        self.spread = isinstance(layers[-2], MinibatchStd)
        stages = layers[: -2 if self.spread else -1]
        # Each halves the side: a convolution and what follows it.
        self.stages = nn.ModuleList(nn.Sequential(*stages[i : i + 2]) for i in range(0, len(stages), 2))
        self.last, self.head = layers[-1], discriminator.head
        self.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: str | Path) -> "Eye | None":
        """That of the discriminator in a weights folder; None where there is none, or one of another kind."""
        file = Path(folder, DISCRIMINATOR)
        try:
            with safe_open(file, "pt") as tensors:
                shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            options = options_of(shapes)
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                discriminator = Discriminator(**options)
            expected = discriminator.state_dict()
            if file.stat().st_size > most_bytes(expected):
                return None
            discriminator.load_state_dict(read_tensors(file, expected), assign=True)
        except (SafetensorError, OSError, ValueError, LookupError):
            return None
        return cls(discriminator.float(), options["image_size"], options["image_channels"])

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Images (N, 3 or 1, H, W) in [-1, 1] -> features of each stage but the first, (N, C, h, w), of length 1 at
        each place, the finest first; and logits (N,), higher for what is more like a real face."""
        x = fitted(images, self.image_size, self.image_channels)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(normalize(x, dim=1))
        if self.spread:
            x = torch.cat([x, x.new_full((len(x), 1, *x.shape[2:]), SPREAD)], 1)
        logits = self.last(x)
        if self.head:
            logits = logits + self.head(x)
        return features[1:], logits.flatten()


def fitted(images: Tensor, size: int, channels: int) -> Tensor:
    """Images (N, 3 or 1, H, H) -> (N, channels, size, size): grey for colours is their mean, and colours are grey."""
    if images.shape[1] != channels:
        images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    if images.shape[-1] != size:
        images = interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images


def options_of(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The options of the discriminator whose tensors have these shapes, where its layers have no norm.

    Raises:
        LookupError: there is no such discriminator.
    """
    found = [(int(match[1]), name) for name in shapes if (match := re.fullmatch(r"layers\.(\d+)\.weight", name))]
    convolutions = [shapes[name] for _, name in sorted(found)]
    if len(convolutions) < 2 or any(len(shape) != 4 for shape in convolutions):
        raise LookupError("no convolutions")
    first, *_, before, last = convolutions
    blocks = [int(match[1]) for name in shapes if (match := re.match(r"layers\.\d+\.(\d+)\.layers\.", name))]
    return {
        "base_channels": first[0],
        "image_size": 4 << (len(convolutions) - 1),
        "image_channels": first[1],
        "kernel_size": first[2],
        "minibatch_std": last[1] > before[0],
        "blocks": max(blocks, default=0),
        "hidden": shapes.get("head.layers.0.weight", (0,))[0],
    }
