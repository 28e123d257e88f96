"""What a discriminator sees in a face: a measure of likeness that knows eyes and hair, and of whether it is whole."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from ..discriminator import Discriminator, MinibatchStd, options_of
from ..files import most_bytes, read_tensors, tensor_shapes

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
            options = options_of(tensor_shapes(file))
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
