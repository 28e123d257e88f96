"""The generator of a DCGAN (Radford et al. 2016, arXiv:1511.06434) that the Hugging Face Hub can store and load."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from PIL.Image import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .sampling import latents_from_seeds, to_images, truncate

IMAGE_SIZES = (32, 64, 128)
NO_SAFETENSORS = "has no model.safetensors, and a pickle is not loaded; ask its author for safetensors"


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
            if not isinstance(value, int) or not 1 <= value <= 4096:
                raise ValueError(f"{name}: {value!r} is not a whole number from 1 to 4096")
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
        images: Tensor = self.layers(z[:, :, None, None])
        return images

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
        if seeds is not None and z is None:
            z = latents_from_seeds(seeds, self.latent_dim)
        elif seeds is not None or z is None:
            raise ValueError("generate: give either seeds or z")
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
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        **model_kwargs: Any,
    ) -> "Generator":
        # Not the mixin's own: that loads what fits of a file, and where there is none a pickle, which can run code.
        # Here every file must fit its config, whatever ``strict`` says.
        file: str | Path = Path(model_id, SAFETENSORS_SINGLE_FILE)
        if not Path(model_id).is_dir():
            try:
                file = hf_hub_download(
                    model_id,
                    SAFETENSORS_SINGLE_FILE,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            except LocalEntryNotFoundError:  # not in the cache, and the Hub is out of reach
                raise
            except EntryNotFoundError:
                raise ValueError(f"'{model_id}' {NO_SAFETENSORS}") from None
        elif not Path(file).is_file():
            raise ValueError(f"'{model_id}' {NO_SAFETENSORS}")
        with torch.device("meta"):  # shapes only: a config that the file does not bear out must cost no memory
            model = cls(**model_kwargs)
        model.load_state_dict(_read_tensors(file, model.state_dict(), map_location), assign=True)
        return model.float().eval()


def _read_tensors(file: str | Path, expected: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, once their names and shapes are the ``expected`` ones; ValueError if not."""
    try:
        with safe_open(file, "pt", device=device) as tensors:
            found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
            for name in sorted(shapes.keys() | found.keys()):
                should, is_ = shapes.get(name, "absent"), found.get(name, "missing")
                if should != is_:
                    raise ValueError(
                        f"model.safetensors does not fit config.json: tensor '{name}' should be {should} and is {is_}"
                    )
            state = {name: tensors.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise ValueError(f"model.safetensors is damaged ({error}); download it again") from None
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise ValueError(f"model.safetensors holds numbers that are not finite, in tensor '{name}'")
    return state
