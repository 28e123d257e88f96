"""What a DCGAN can be given beyond its layers: each part starts at zero and then changes nothing.

So a network with them begins as the one without, and a trained one can be given them without losing what it learnt.
"""

import torch
from torch import Tensor, nn


def starting_at_zero(layer: nn.Module) -> nn.Module:
    """The layer with weights (and bias) of zero, marked so that nobody draws others for a new training."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    layer.register_module("zero_start", None)  # a mark that is in no file
    return layer


class MappingNetwork(nn.Module):
    """From z to w, both (N, latent_dim): a residual perceptron on the direction of z (Karras et al. 2019,
    arXiv:1812.04948, has a plain one).

    With ``u = z / length`` and ``length = |z| / sqrt(latent_dim)``, about 1 for a normal z, ``w = u + perceptron(u)``.
    The direction of z says which face, its length how far from the typical one: a z that is scaled down is truncated
    in w, towards ``centre``, the w of a typical face, which z = 0 draws. Karras et al. go there in a straight line;
    typical w lie near a sphere, nothing was trained inside it, and so :func:`turned` stays on it. While there is no
    centre, as in a first training, the length of z is that of w; the perceptron begins with zero, and then w = z.
    Training that starts from weights with a centre keeps it, so that what is trained is what is drawn.

    Args:
        latent_dim: length of z and of w; hidden layers are four times as wide.
        layers: hidden layers of the perceptron, at least 1.
    """

    centre: Tensor

    def __init__(self, latent_dim: int, layers: int = 2) -> None:
        super().__init__()
        widths = [latent_dim] + [4 * latent_dim] * layers
        parts: list[nn.Module] = []
        for inputs, outputs in zip(widths[:-1], widths[1:]):
            parts += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*parts, starting_at_zero(nn.Linear(widths[-1], latent_dim)))
        self.register_buffer("centre", torch.zeros(latent_dim))  # zero: none

    def forward(self, z: Tensor) -> Tensor:
        """``z`` -> ``w``, both (N, latent_dim)."""
        length = z.square().mean(1, keepdim=True).sqrt()  # (N, 1)
        u = z / length.clamp_min(1e-6)
        w = u + self.layers(u)
        return torch.where(self.centre.any(), turned(w, self.centre, length), length * w)


def turned(w: Tensor, centre: Tensor, part: Tensor) -> Tensor:
    """``w`` (N, D) on the great circle from ``centre`` (D,), its way to it times ``part`` (N, 1): 0 is the centre, 1 is
    w, more is beyond.

    The length of the result goes evenly from sqrt(D) to that of w.
    """
    length = w.norm(dim=1, keepdim=True)
    w, centre = w / length.clamp_min(1e-6), centre / centre.norm().clamp_min(1e-6)
    cosine = (w @ centre)[:, None].clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos()
    across = (w - cosine * centre) / angle.sin()  # at right angles to the centre
    radius = torch.lerp(torch.full_like(length, w.shape[1] ** 0.5), length, part)
    return radius * ((part * angle).cos() * centre + (part * angle).sin() * across)


class HalfMirrored(nn.Module):
    """(N, C, H, W) -> the same, with left and right exchanged in every second channel."""

    def forward(self, x: Tensor) -> Tensor:
        second = torch.arange(x.shape[1], device=x.device)[:, None, None] % 2 == 1  # (C, 1, 1)
        return torch.where(second, x.flip(3), x)


class ResidualBlock(nn.Module):
    """x + f(x), (N, channels, H, W) -> the same: f is a 1x1 convolution to a quarter of the channels, a 3x3 and a 1x1
    back (the bottleneck of He et al. 2016, arXiv:1512.03385); the last starts at zero (Goyal et al. 2017,
    arXiv:1706.02677, do so with BatchNorm's weights).

    Args:
        channels: of x.
        batch_norm: after the first two convolutions; with it they are followed by ReLU, else by LeakyReLU(0.2).
    """

    mirror = False  # whether the 3x3 convolution sees half of its channels mirrored
    narrowing = 4  # how many times fewer channels it has

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        narrow = max(1, channels // self.narrowing)
        seen = [HalfMirrored()] if self.mirror else []

        def part(inputs: int, kernel_size: int) -> list[nn.Module]:
            conv = nn.Conv2d(inputs, narrow, kernel_size, padding=kernel_size // 2, bias=not batch_norm)
            return [conv, nn.BatchNorm2d(narrow), nn.ReLU()] if batch_norm else [conv, nn.LeakyReLU(0.2)]

        last = starting_at_zero(nn.Conv2d(narrow, channels, 1))
        self.layers = nn.Sequential(*part(channels, 1), *seen, *part(narrow, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        y: Tensor = x + self.layers(x)
        return y


class MirrorBlock(ResidualBlock):
    """A residual block that sees at each place what is at the mirrored one, where a face has the other eye.

    Convolutions join what is near; of two eyes, the generator draws each for itself, and the discriminator compares
    them at 4x4 pixels alone.
    """

    mirror = True


class FineBlock(ResidualBlock):
    """A residual block without a bottleneck, for the side where a picture has few channels."""

    narrowing = 1


class Detail(nn.Module):
    """What a last layer adds to a picture: (N, channels, H, W) -> (N, image_channels, 2 H, 2 W), zero at first.

    A DCGAN's last layer is linear: of every four pixels, each is a sum of what is seen at half the side. Here a
    transposed convolution to ``WIDTH`` channels and two 3x3 convolutions draw at the full side.
    """

    WIDTH = 16

    def __init__(self, channels: int, image_channels: int) -> None:
        super().__init__()
        width = self.WIDTH
        first = nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False)
        second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        last = starting_at_zero(nn.Conv2d(width, image_channels, 3, padding=1))
        after = [nn.BatchNorm2d(width), nn.ReLU()], [nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(first, *after[0], second, *after[1], last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, image_channels, 2 H, 2 W)."""
        y: Tensor = self.layers(x)
        return y


class DetailedConvTranspose2d(nn.ConvTranspose2d):
    """The transposed convolution that ends a generator, and :class:`Detail` added to what it draws."""

    def __init__(self, channels: int, image_channels: int) -> None:
        super().__init__(channels, image_channels, 4, stride=2, padding=1)
        self.detail = Detail(channels, image_channels)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, channels, H, W) -> (N, image_channels, 2 H, 2 W)."""
        y: Tensor = super().forward(x, output_size) + self.detail(x)
        return y


class Constant(nn.Module):
    """x + a learned picture, (N, channels, side, side) -> the same; it starts at zero.

    What is drawn of w = 0 by convolutions alone is the same at every place; this tells the places apart, as the
    constant that StyleGAN begins with (Karras et al. 2019, arXiv:1812.04948).
    """

    def __init__(self, channels: int, side: int = 4) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, side, side) -> the same."""
        return x + self.value


class DenseHead(nn.Module):
    """A logit of all of a picture at once: features (N, channels, 4, 4) -> (N, 1, 1, 1).

    A discriminator that ends in one linear layer adds up what it thinks of each place; a hidden layer lets what it
    thinks of one place depend on another: whether the right eye belongs to the left one.

    Args:
        channels: of the features.
        hidden: units of the hidden layer; the layer after it starts at zero.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        last = starting_at_zero(nn.Conv2d(hidden, 1, 1))
        self.layers = nn.Sequential(nn.Conv2d(channels, hidden, 4), nn.LeakyReLU(0.2), last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, 4, 4) -> (N, 1, 1, 1)."""
        logits: Tensor = self.layers(x)
        return logits


ADDITIONS = {
    MappingNetwork: "mapping",
    ResidualBlock: "residual blocks",
    MirrorBlock: "mirror blocks",
    FineBlock: "fine block",
    Detail: "detail at the full side",
    DenseHead: "hidden layer before the logit",
    Constant: "constant",
}


def with_blocks(
    activation: nn.Module, channels: int, blocks: int, batch_norm: bool, **named: nn.Module | None
) -> nn.Module:
    """The activation, followed by residual blocks and by the parts with names, as far as there are any.

    The names of all other layers stay the same, whatever is added.
    """
    parts = nn.Sequential(activation, *(ResidualBlock(channels, batch_norm) for _ in range(blocks)))
    for name, part in named.items():
        if part:
            parts.add_module(name, part)
    return parts if len(parts) > 1 else activation
