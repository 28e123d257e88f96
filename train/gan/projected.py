"""A second discriminator that sees through a frozen network trained on other pictures (Projected GANs, Sauer et al.
2021, arXiv:2111.01007).

What such a network has learnt of shapes need not be learnt from faces again, and its deep layers see the whole picture
at once: two eyes that are no pair. Its feature maps are mixed by frozen random convolutions, so that the heads cannot
choose to look at a few of them alone. Other than in the paper each head ends in a layer that sees all places of its
map together, and there is no BatchNorm. Nothing of it is in what is published.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

CHANNELS = 64  # of the mixed maps
HIDDEN = 128  # units of a head's last layer but one
SIDE = 6  # places a side that a head sees together, at most


def head(side: int) -> nn.Sequential:
    """Mixed maps (N, CHANNELS, side, side) -> logits (N, 1)."""
    layers: list[nn.Module] = []
    while side > SIDE:
        layers += [spectral_norm(nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1)), nn.LeakyReLU(0.2)]
        side //= 2
    layers += [spectral_norm(nn.Conv2d(CHANNELS, HIDDEN, side)), nn.LeakyReLU(0.2), nn.Flatten()]
    return nn.Sequential(*layers, spectral_norm(nn.Linear(HIDDEN, 1)))


class ProjectedDiscriminator(nn.Module):
    """Tells real from drawn by feature maps: a list of (N, C, h, w) -> logits (N, L), positive for real.

    Args:
        features: the frozen network, images (N, 3, H, W) in [-1, 1] to a list of maps (N, C, h, w), large ones first.
        resolution: side of the images in pixels.
        seed: of the random mixing.
    """

    def __init__(self, features: torch.jit.ScriptModule, resolution: int, seed: int = 0) -> None:
        super().__init__()
        self.__dict__["features"] = features  # no part of this module: neither trained nor saved
        device = next(features.parameters()).device
        with torch.no_grad():
            shapes = [x.shape for x in features(torch.zeros(1, 3, resolution, resolution, device=device))]
        random = torch.Generator().manual_seed(seed)
        for level, (_, channels, _, _) in enumerate(shapes):
            across = torch.randn(CHANNELS, channels, 1, 1, generator=random) * channels**-0.5
            around = torch.randn(CHANNELS, CHANNELS, 3, 3, generator=random) * (9 * CHANNELS) ** -0.5
            self.register_buffer(f"across{level}", across)
            self.register_buffer(f"around{level}", around)
        self.heads = nn.ModuleList(head(shape[-1]) for shape in shapes)

    def see(self, images: Tensor) -> list[Tensor]:
        """The feature maps of images (N, 3, H, W) in [-1, 1], in float32; gradients reach the images."""
        with torch.autocast(images.device.type, enabled=False):
            return list(self.features(images.float()))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Feature maps as ``see`` gives them -> logits (N, L)."""
        mixed, logits = None, []
        for level in reversed(range(len(maps))):  # from the smallest
            x = F.conv2d(maps[level], self.get_buffer(f"across{level}"))
            if mixed is not None:
                x = x + F.interpolate(mixed, x.shape[2:], mode="bilinear", align_corners=False)
            mixed = F.conv2d(x, self.get_buffer(f"around{level}"), padding=1)
            logits.append(self.heads[level](mixed))
        return torch.cat(logits, 1)
