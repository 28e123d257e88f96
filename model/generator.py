"""The generator of a DCGAN (Radford et al. 2016, arXiv:1511.06434) that the Hugging Face Hub can store and load."""

from collections.abc import Iterable
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from PIL.Image import Image
from torch import Tensor, nn

from .sampling import latents_from_seeds, to_images, truncate

IMAGE_SIZES = (32, 64, 128)


class Generator(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="anime-dcgan",
    license="mit",
    tags=["gan", "dcgan", "anime", "image-generation", "pytorch"],
    pipeline_tag="unconditional-image-generation",
):
    """Draws images from latent vectors: ``z`` (N, latent_dim), standard normal -> (N, image_channels, H, W) in [-1, 1].

    Transposed 4x4 convolutions with BatchNorm and ReLU double the side from 4 to ``image_size`` and halve the
    channels each time; the last one ends in tanh.

    Args:
        latent_dim: length of ``z``, at least 1.
        base_channels: channels at half the output size, at least 1; the 4x4 stage of a 64x64 model has 8 times as many.
        image_size: side of the square image in pixels: 32, 64 or 128.
        image_channels: 3 for RGB, 1 for grey.

    Raises:
        ValueError: an argument outside these ranges.
    """

    def __init__(
        self, latent_dim: int = 128, base_channels: int = 64, image_size: int = 64, image_channels: int = 3
    ) -> None:
        super().__init__()
        if image_size not in IMAGE_SIZES:
            raise ValueError(f"image_size: {image_size} is not one of {IMAGE_SIZES}")
        if image_channels not in (1, 3):
            raise ValueError(f"image_channels: {image_channels} is not 1 or 3")
        for name, value in (("latent_dim", latent_dim), ("base_channels", base_channels)):
            if not 1 <= value <= 4096:
                raise ValueError(f"{name}: {value} is not in 1 to 4096")
        self.latent_dim = latent_dim
        self.image_size = image_size

        channels = base_channels * image_size // 8
        layers: list[nn.Module] = [  # (N, latent_dim, 1, 1) -> (N, channels, 4, 4)
            nn.ConvTranspose2d(latent_dim, channels, 4, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        while channels > base_channels:  # 4x4 -> 8x8 -> ... -> half the output size
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(inplace=True),
            ]
            channels //= 2
        layers += [nn.ConvTranspose2d(channels, image_channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """``z`` (N, latent_dim) -> images (N, image_channels, image_size, image_size) in [-1, 1]."""
        return self.layers(z[:, :, None, None])

    @torch.inference_mode()
    def generate(
        self,
        seeds: Iterable[int] | None = None,
        *,
        z: Tensor | None = None,
        truncation: float = 1.0,
    ) -> list[Image]:
        """Draw PIL images, one per seed or per row of ``z``.

        One seed is one face, whatever else is in the list: every ``z`` has its own random generator and every face
        is drawn on its own, so neither the order nor the length of the list can change a pixel.

        Args:
            seeds: integers in [0, 2**32 - 1]; give either these or ``z``.
            z: latents (N, latent_dim).
            truncation: scale of ``z`` in [0, 1.5]; lower is more typical, higher more varied.

        Raises:
            ValueError: both or neither of ``seeds`` and ``z``; a seed, ``z`` or truncation out of range.
        """
        if (seeds is None) == (z is None):
            raise ValueError("generate: give either seeds or z")
        if z is None:
            z = latents_from_seeds(seeds, self.latent_dim)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z: shape {tuple(z.shape)} is not (N, {self.latent_dim})")
        parameter = next(self.parameters())
        z = truncate(z, truncation).to(parameter.device, parameter.dtype)
        was_training = self.training
        self.eval()
        try:
            return [image for row in z for image in to_images(self(row[None]))]
        finally:
            self.train(was_training)

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **kwargs) -> "Generator":
        # The mixin's default is strict=False: a file that lacks tensors would load silently as noise.
        return super()._from_pretrained(strict=strict, **kwargs)

    @classmethod
    def _load_as_pickle(cls, model: nn.Module, model_file: str, map_location: str, strict: bool) -> nn.Module:
        # The mixin falls back to pytorch_model.bin; a pickle can run code, so it is refused.
        raise ValueError(
            f"'{Path(model_file).name}' is a pickle and is not loaded; ask the author for model.safetensors"
        )
