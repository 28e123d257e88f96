"""The generator of a DCGAN (Radford et al. 2016, arXiv:1511.06434) that the Hugging Face Hub can store and load."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import torch
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from .blocks import Constant, DetailedConvTranspose2d, FineBlock, MappingNetwork, MirrorBlock, with_blocks
from .card import LIBRARY, LICENSE, TAGS, TASK
from .drawing import check_count, check_device, chunks, eval_view
from .errors import HUB_ERRORS, load_error
from .files import CONFIG_BYTES, check_source, fetch, most_bytes, read_config, read_tensors
from .picking import good_seeds, typical_w
from .sampling import check_latents, check_seed, latents_from_seeds, to_images, truncate
from .saving import SavedOnHub

if TYPE_CHECKING:
    from typing_extensions import Self

IMAGE_SIZES, IMAGE_CHANNELS = (32, 64, 128), (1, 3)
MAX_DEPTH = 8  # of what can be added


class Generator(
    nn.Module,
    SavedOnHub,
    library_name=LIBRARY,
    license=LICENSE,
    tags=list(TAGS),
    pipeline_tag=TASK,
):
    """Draws images from latent vectors: ``z`` (N, latent_dim), standard normal -> (N, image_channels, H, W) in [-1, 1].

    Transposed 4x4 convolutions with BatchNorm and ReLU double the side from 4 to ``image_size`` and halve the
    channels each time; the last one ends in tanh. Five parts that the paper's DCGAN has not can be added: a mapping
    from z to w, as StyleGAN has (:class:`blocks.MappingNetwork`), with which scaling z truncates in w, residual blocks
    (:class:`blocks.ResidualBlock`), such blocks that see the mirror image (:class:`blocks.MirrorBlock`), a constant at
    4x4 pixels (:class:`blocks.Constant`), and layers for fine lines (:class:`blocks.FineBlock`,
    :class:`blocks.Detail`).

    Args:
        latent_dim: length of ``z``, at least 1.
        base_channels: channels at half the output size, at least 1; the 4x4 stage of a 64x64 model has 8 times as many.
        image_size: side of the square image in pixels: 32, 64 or 128.
        image_channels: 3 for RGB, 1 for grey.
        mapping_layers: hidden layers of the mapping from z to w, at most 8; 0 for none.
        blocks: residual blocks at each side from 4 pixels to a quarter of ``image_size``, at most 8.
        constant: whether a learned constant is added at 4x4 pixels.
        mirror: whether a mirror block follows the blocks.
        fine: whether there is a block at half of ``image_size`` and the last layer has further ones beside it.

    Raises:
        ValueError: an argument outside these ranges.
    """

    def __init__(
        self,
        latent_dim: int = 128,
        base_channels: int = 64,
        image_size: int = 64,
        image_channels: int = 3,
        mapping_layers: int = 0,
        blocks: int = 0,
        constant: bool = False,
        mirror: bool = False,
        fine: bool = False,
    ) -> None:
        super().__init__()
        for name, value, kind, allowed in (
            ("image_size", image_size, int, IMAGE_SIZES),
            ("image_channels", image_channels, int, IMAGE_CHANNELS),
            ("constant", constant, bool, (False, True)),
            ("mirror", mirror, bool, (False, True)),
            ("fine", fine, bool, (False, True)),
        ):
            if type(value) is not kind or value not in allowed:
                raise ValueError(f"{name}: {value!r:.40} is not one of {allowed}")
        for name, value, low, high in (
            ("latent_dim", latent_dim, 1, 4096),
            ("base_channels", base_channels, 1, 4096),
            ("mapping_layers", mapping_layers, 0, MAX_DEPTH),
            ("blocks", blocks, 0, MAX_DEPTH),
        ):
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name}: {value!r:.40} is not a whole number from {low} to {high}")
        self.latent_dim = latent_dim
        self.image_size = image_size

        self.mapping = MappingNetwork(latent_dim, mapping_layers) if mapping_layers else None
        layers: list[nn.Module] = []
        for side in (2**n for n in range(2, image_size.bit_length() - 1)):  # 4x4 -> 8x8 -> ... -> half the output size
            channels = base_channels * image_size // (2 * side)
            # (N, latent_dim, 1, 1) -> (N, channels, 4, 4), or from half the side and twice the channels
            if side == 4:
                layers.append(nn.ConvTranspose2d(latent_dim, channels, 4, bias=False))
            else:
                layers.append(nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(channels))
            small = 4 * side <= image_size  # at half the output size additions would cost most
            layers.append(
                with_blocks(
                    nn.ReLU(inplace=True),
                    channels,
                    blocks if small else 0,
                    batch_norm=True,
                    constant=Constant(channels) if constant and side == 4 else None,
                    mirror=MirrorBlock(channels, batch_norm=True) if mirror and small else None,
                    fine=FineBlock(channels, batch_norm=True) if fine and not small else None,
                )
            )
        plain = nn.ConvTranspose2d(channels, image_channels, 4, stride=2, padding=1)
        last = DetailedConvTranspose2d(channels, image_channels) if fine else plain
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """``z`` (N, latent_dim) -> images (N, image_channels, image_size, image_size) in [-1, 1]."""
        w = self.mapping(z) if self.mapping else z
        images: Tensor = self.layers(w[:, :, None, None])
        return images

    def generate(
        self,
        seeds: Iterable[SupportsIndex] | None = None,
        *,
        z: Tensor | NDArray[Any] | Sequence[Sequence[float]] | None = None,
        truncation: float = 1.0,
        batch_size: int = 1,
    ) -> list[Image]:
        """Draw PIL images, one per seed or per row of ``z``. The model, in whatever mode it is, stays as it is.

        One seed is one face, whatever else is in the list: every ``z`` has its own random generator and, as long as
        ``batch_size`` is 1, every face is drawn on its own, so neither the order nor the length of the list can change
        a pixel. A larger batch is several times as fast; it, another number of threads, another kind of processor or a
        GPU may round a few of a million pixel values the other way, by 1 of 255.

        Args:
            seeds: integers in [0, 2**32 - 1]; give either these or ``z``.
            z: latents (N, latent_dim); a tensor, an array or lists of numbers.
            truncation: scale of ``z`` in [0, 1.5]; with a mapping this turns w towards a typical face, which 0 draws.
            batch_size: faces that are drawn at once, at least 1.

        Raises:
            ValueError: both or neither of ``seeds`` and ``z``; a seed, ``z``, truncation or batch size out of range.
        """
        if seeds is not None and z is None:
            z = latents_from_seeds(seeds, self.latent_dim)
        elif seeds is not None or z is None:
            raise ValueError("generate: give either seeds or z")
        z, size = truncate(check_latents(z, self.latent_dim), truncation), check_count(batch_size)
        return [image for start in range(0, len(z), size) for image in self._images(z[start : start + size])]

    def draw(self, seeds: Iterable[SupportsIndex], *, truncation: float = 1.0, batch_size: int = 64) -> Iterator[Image]:
        """Draw one PIL image after the other, for any number of seeds: no more than a batch is in memory at a time.

        Arguments, images and errors as in :meth:`generate`; a seed is looked at when its batch comes.
        """
        truncate(torch.empty(0), truncation)
        for some in chunks(seeds, check_count(batch_size)):
            yield from self._images(truncate(latents_from_seeds(some, self.latent_dim), truncation))

    def good_seeds(self, n: int, first: int = 0, of: int = 8) -> list[int]:
        """Seeds of faces that hold up; each keeps its face.

        Of each of ``n`` runs of ``of`` seeds, the first of which begins at ``first``, the one whose face is most like
        the average face in light and shade (:mod:`picking`). This draws 512 + n * of faces.

        Raises:
            ValueError: a number that is none from 1 on, or seeds beyond 2**32 - 1.
        """
        return good_seeds(self, n, first, of)

    @torch.no_grad()
    def find_centre(self, seed: int | None = None) -> None:
        """Choose the typical face anew, towards which truncation goes, for weights that have changed.

        Args:
            seed: of that face; by default, that of the first 1,024 which is most like the average in light and shade.

        Raises:
            ValueError: there is no mapping; the seed is out of range.
        """
        seed = seed if seed is None else check_seed(seed)
        if not self.mapping:
            raise ValueError("find_centre: this generator has no mapping")
        self.mapping.centre.zero_()
        self.mapping.centre.copy_(typical_w(self, seed))

    def weights_sha256(self) -> str:
        """SHA-256 of all numbers of the model, in hex: what draws other pixels has another."""
        digest = hashlib.sha256()
        for value in self.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
        return digest.hexdigest()

    @torch.inference_mode()
    def _images(self, z: Tensor) -> list[Image]:
        """The faces of ``z`` (N, latent_dim), N >= 1, drawn at once."""
        parameter = next(self.parameters())
        return to_images(eval_view(self)(z.to(parameter.device, parameter.dtype)))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
        config: Mapping[str, Any] | None = None,
        **model_kwargs: Any,
    ) -> "Self":
        """A generator in eval mode, from a folder or from the Hub.

        Args:
            pretrained_model_name_or_path: folder with config.json and model.safetensors, or id of a model on the Hub.
            force_download: download again what is in the cache.
            token: for the Hub; default is HF_TOKEN or the login of ``hf auth login``.
            cache_dir: where downloads are kept.
            local_files_only: ask no host.
            revision: branch, tag or commit on the Hub. A commit that is in the cache asks no host.
            map_location: device to load to.
            strict: True; weights that fit in part only are never loaded.
            config: takes the place of config.json.
            model_kwargs: arguments of the class that take the place of those in config.json.

        Raises:
            LoadError: there is no such model or revision, or the Hub cannot be reached; one sentence. A ValueError.
            ValueError: an argument cannot be; a file is missing, too large, damaged, or does not fit the config; one
                sentence.
        """
        # Not the mixin's own: that reads a config of any size, and loads what fits of a file or, where there is none, a
        # pickle, which can run code. Here every file must fit its config before memory is taken for it.
        if strict is not True:
            raise ValueError("strict: weights that fit in part only are not loaded; leave it out or give True")
        check_source(pretrained_model_name_or_path, revision, token, config)
        names, device = list(inspect.signature(cls.__init__).parameters)[1:], check_device(map_location)
        for name in model_kwargs.keys() - set(names):
            raise ValueError(f"{name}: not an option of from_pretrained; those of the networks are {', '.join(names)}")
        options = {"revision": revision, "cache_dir": cache_dir, "token": token}
        options |= {"force_download": force_download, "local_files_only": local_files_only}
        model_id = str(pretrained_model_name_or_path)
        try:
            if config is None:
                config = read_config(fetch(model_id, CONFIG_NAME, CONFIG_BYTES, **options))
            config = {**config, **model_kwargs}
            expected = cls.on_meta(config).state_dict()
            file = fetch(model_id, SAFETENSORS_SINGLE_FILE, most_bytes(expected), **options)
            state = read_tensors(file, expected)
        except HUB_ERRORS as error:
            raise load_error(error, model_id, revision) from error
        # A subclass may hold tensors that no file has.
        model = cls.on_meta(config) if cls is Generator else cls._from_config(config, "cpu")
        model.load_state_dict(state, assign=True)
        return model.float().to(device).eval()

    @classmethod
    def on_meta(cls, config: Mapping[str, Any]) -> "Self":
        """The generator of a config with shapes alone, for which no memory is taken; ValueError if there is none."""
        return cls._from_config(config, "meta")

    @classmethod
    def _from_config(cls, config: Mapping[str, Any], device: str) -> "Self":
        names = list(inspect.signature(cls.__init__).parameters)[1:]
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return cls(**{name: config[name] for name in names if name in config})
