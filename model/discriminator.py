"""The discriminator: strided convolutions from an image to one logit."""

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .blocks import DenseHead, MirrorBlock, with_blocks
from .generator import IMAGE_SIZES, MAX_DEPTH


class MinibatchStd(nn.Module):
    """Appends one channel: the standard deviation over groups of samples (Karras et al. 2018, arXiv:1710.10196).

    It lets the discriminator see that all samples of a group look alike, the sign of a collapsing generator.
    (N, C, H, W) -> (N, C + 1, H, W); a group is ``group_size`` samples, or all N where that does not divide N.
    """

    def __init__(self, group_size: int = 8) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        g = self.group_size if n % self.group_size == 0 else n
        groups = x.float().reshape(g, n // g, c, h, w)
        variance = (groups - groups.mean(0)).square().mean(0)  # on a CPU a tenth of the time of var(0)
        std = (variance + 1e-8).sqrt().mean((1, 2, 3))  # (N / g,)
        return torch.cat([x, std.to(x.dtype).repeat(g)[:, None, None, None].expand(n, 1, h, w)], 1)


class Discriminator(nn.Module):
    """Tells real from drawn: images (N, image_channels, H, W) in [-1, 1] -> logits (N,), positive for real.

    Convolutions of stride 2 with LeakyReLU(0.2) halve the side down to 4 and double the channels each time; the last
    layer is linear in what they see, each in a square of 31 pixels (kernels of 3). Residual blocks widen that, and a
    hidden layer before the logit joins it.

    Args:
        base_channels: channels after the first convolution, at least 1.
        image_size: 32, 64 or 128.
        image_channels: 3 for RGB, 1 for grey.
        kernel_size: 3, or 4 as in the DCGAN paper.
        norm: "none"; "spectral" (Miyato et al. 2018, arXiv:1802.05957); "batch", the DCGAN paper's, never after
            the first convolution.
        minibatch_std: append the deviation within a batch before the last layer.
        blocks: residual blocks at each side from a quarter of ``image_size`` down to 4 pixels, at most 8.
        hidden: units of a hidden layer whose logit is added to the last layer's; 0 for none.
        mirror: whether a mirror block (:class:`blocks.MirrorBlock`) follows the blocks.

    Raises:
        ValueError: an argument outside these ranges.
    """

    def __init__(
        self,
        base_channels: int = 64,
        image_size: int = 64,
        image_channels: int = 3,
        kernel_size: int = 3,
        norm: str = "none",
        minibatch_std: bool = True,
        blocks: int = 0,
        hidden: int = 0,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        if image_size not in IMAGE_SIZES:
            raise ValueError(f"image_size: {image_size} is not one of {IMAGE_SIZES}")
        if norm not in ("none", "spectral", "batch"):
            raise ValueError(f"norm: '{norm}' is not one of none, spectral, batch")
        if kernel_size not in (3, 4):
            raise ValueError(f"kernel_size: {kernel_size} is not 3 or 4")
        if not 0 <= blocks <= MAX_DEPTH:
            raise ValueError(f"blocks: {blocks} is not from 0 to {MAX_DEPTH}")
        if not 0 <= hidden <= 4096:
            raise ValueError(f"hidden: {hidden} is not from 0 to 4096")
        if norm == "spectral" and (blocks or hidden or mirror):
            parts = "blocks, hidden and mirror"
            raise ValueError(f"norm: 'spectral' cannot divide weights that start at zero; leave out {parts}")
        constrain = spectral_norm if norm == "spectral" else lambda layer: layer

        layers: list[nn.Module] = []
        inputs, outputs, side = image_channels, base_channels, image_size
        while side > 4:  # image_size -> ... -> 8x8 -> 4x4
            with_batch_norm = norm == "batch" and side < image_size
            layers.append(
                constrain(nn.Conv2d(inputs, outputs, kernel_size, stride=2, padding=1, bias=not with_batch_norm))
            )
            if with_batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            side //= 2
            small = 4 * side <= image_size
            added = MirrorBlock(outputs, batch_norm=False) if mirror and small else None
            leaky = nn.LeakyReLU(0.2, inplace=True)
            layers.append(with_blocks(leaky, outputs, blocks if small else 0, batch_norm=False, mirror=added))
            inputs, outputs = outputs, outputs * 2
        if minibatch_std:
            layers.append(MinibatchStd())
            inputs += 1
        layers.append(constrain(nn.Conv2d(inputs, 1, 4)))  # (N, inputs, 4, 4) -> (N, 1, 1, 1)
        self.layers = nn.Sequential(*layers)
        self.head = DenseHead(inputs, hidden) if hidden else None

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, image_channels, H, W) in [-1, 1] -> logits (N,)."""
        features = self.layers[:-1](x)  # (N, C, 4, 4)
        logits: Tensor = self.layers[-1](features)
        if self.head:
            logits = logits + self.head(features)
        return logits.flatten()


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
        "mirror": any(re.match(r"layers\.\d+\.mirror\.", name) for name in shapes),
        "hidden": shapes.get("head.layers.0.weight", (0,))[0],
    }
