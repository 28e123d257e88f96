"""The models that a page draws with: those that it ships, and public ones of the Hub when someone asks for them."""

import re
import shutil
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import CONFIG_NAME
from PIL.Image import Image
from torch import Tensor

from ..blending import blend
from ..directions import Directions
from ..finding import FaceIndex
from ..generator import Generator
from ..hub import LoadError, load_model
from ..memory import MODEL, Face, face_png
from ..sampling import latents_from_seeds
from .looks import shown
from .perception import Eye
from .workers import Progress, draw_all, ignore

MAX_BYTES = 64 * 2**20  # of a public model's weights
GUESTS = 3  # public models that are kept, in memory and on the disk
BLENDS = 4  # blended models that are kept in memory
FAILED_SECONDS = 60  # that long a model that could not be loaded is not tried again
REMEMBERED = 256  # faces of a model, about 8 kB each
FITTED = 10_000  # measured faces from which others are estimated, in half a second
LARGE_REMEMBERED = 32  # enlarged ones, up to 0.4 MB each
FRAMES_AT_ONCE = 8  # of a film: half the time of one by one, and a pixel may differ by 1 of 255


class LoadedModel:
    """A generator, its directions, its index of faces, and the PNGs of the faces that it drew last.

    ``name``, on the page or on the Hub, and ``revision``, a commit there, are what its PNGs say of it.
    """

    def __init__(
        self,
        generator: Generator,
        directions: Directions,
        index: FaceIndex,
        name: str = "",
        revision: str | None = None,
    ) -> None:
        self.generator, self.directions, self.index = generator, directions, index
        self.name = name if re.fullmatch(MODEL, name, re.ASCII) else None
        self.revision = revision
        self._png = lru_cache(REMEMBERED)(self._draw_png)
        self._large = lru_cache(LARGE_REMEMBERED)(self._draw_png)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all the generator's numbers, in hex."""
        return self.generator.weights_sha256()

    def attributes(self, z: Tensor, seed: int | None) -> Tensor:
        """What was measured of a face, (K,) as in ``index``; estimated from ``z`` (1, latent_dim) where it was not."""
        if seed is not None and seed < len(self.index.values):
            return self.index.values[seed]
        return (self._inputs(z) @ self._estimate)[0]

    @cached_property
    def _estimate(self) -> Tensor:
        """The least-squares map, (inputs, K), from latents to what was measured of their faces."""
        known = self.index.values[:FITTED]
        z = latents_from_seeds(range(len(known)), self.generator.latent_dim)
        fitted: Tensor = torch.linalg.lstsq(self._inputs(z), known).solution
        return fitted

    @torch.inference_mode()
    def _inputs(self, z: Tensor) -> Tensor:
        """What the first layer is given for ``z`` (N, latent_dim), and a column of ones."""
        w = self.generator.mapping(z) if self.generator.mapping else z
        return torch.cat([w, torch.ones(len(w), 1)], dim=1)

    def png(self, image: Image, **facts: Any) -> bytes:
        """A PNG of a face that remembers this model and ``facts``, attributes of :class:`memory.Face`."""
        # Filtered as PNG does it, a face has runs and hardly any other repetition: to look for these alone takes a
        # quarter of the time or less and makes as small a file.
        return face_png(image, Face(**facts, model=self.name, revision=self.revision), compress_type=zlib.Z_RLE)

    def draw(
        self, z: Tensor, truncation: float, look: str = "none", progress: Progress = ignore, batch_size: int = 1
    ) -> list[Image]:
        """The faces of latents (N, latent_dim), as ``Generator.generate`` draws them and ``look`` enlarges them."""

        def faces(some: Tensor) -> list[Image]:
            drawn = self.generator.generate(z=some, truncation=truncation, batch_size=batch_size)
            return [shown(face, look) for face in drawn]

        return list(chain.from_iterable(draw_all(faces, torch.split(z, batch_size), progress)))

    def pngs(self, faces: Sequence[tuple[int, float]], look: str = "none", progress: Progress = ignore) -> list[bytes]:
        """The faces of pairs of a seed and a truncation, enlarged as ``look`` says."""
        remembered = self._png if look == "none" else self._large
        return draw_all(lambda face: remembered(*face, look), faces, progress)

    def _draw_png(self, seed: int, truncation: float, look: str) -> bytes:
        face = self.generator.generate([seed], truncation=truncation)[0]
        return self.png(shown(face, look), seed=seed, truncation=truncation)


class ModelStore:
    """Models by name. The first of ``own`` goes by "" too; a folder of ``own`` is read when it is first asked for.

    "blend:0.5" is half way from the first to the second of them, where they have a common origin. Any other name is
    the id of a model on the Hub: it is fetched into ``folder`` without a token, from safetensors of at most MAX_BYTES
    only, one at a time, and the oldest gives way to it. ``shipped`` is the folder of the model that comes with the
    page.
    """

    def __init__(
        self, own: dict[str, LoadedModel | Path], folder: str | Path, shipped: str | Path | None = None
    ) -> None:
        self.names, self.folder, self._shipped = list(own), Path(folder), shipped
        self._own = dict(own)
        self._blended = lru_cache(BLENDS)(self._blend)
        self._guests: OrderedDict[str, LoadedModel] = OrderedDict()
        self._failed: dict[str, tuple[float, str]] = {}
        self._reading, self._fetching = threading.Lock(), threading.Lock()

    def __getitem__(self, name: object) -> LoadedModel:
        """The model of that name.

        Raises:
            LoadError: there is none, or it cannot be had now.
        """
        if not isinstance(name, str) or len(name) > 200:
            raise LoadError("must be the name of a model of this page or the id of a public one on the Hub")
        name = name.strip() or self.names[0]
        if name in self._own:
            return self._read(name)
        if name.startswith("blend:"):
            share = re.fullmatch(r"blend:(0|1|[01]?\.[0-9]{1,2})", name)
            if not share or float(share[1]) > 1:
                raise LoadError(f"'{name:.40}' must be blend: and a number from 0 to 1, such as blend:0.5")
            return self._blended(round(float(share[1]), 2))
        if guest := self._guests.get(name):
            return guest
        when, why = self._failed.get(name, (-FAILED_SECONDS, ""))
        if time.monotonic() - when < FAILED_SECONDS:
            raise LoadError(why)
        if not self._fetching.acquire(blocking=False):  # whoever waits would keep others from drawing
            raise LoadError(f"'{name}' has to wait: another model is being fetched; try again in a moment")
        try:
            return self._guests.get(name) or self._fetch(name)
        finally:
            self._fetching.release()

    @cached_property
    def eye(self) -> Eye | None:
        """What compares faces, whichever model drew them: the shipped discriminator; None where none is shipped."""
        return None if self._shipped is None else Eye.load(self._shipped)

    def ready(self, name: str) -> LoadedModel:
        """The model of that name, if nothing has to be fetched for it.

        Raises:
            LoadError: otherwise.
        """
        name = name.strip() or self.names[0]
        if guest := self._guests.get(name):
            return guest
        if name.startswith("blend:"):
            return self[name]
        if name not in self._own:
            raise LoadError(f"'{name:.40}' is not loaded on this page; there are {' and '.join(self.names)}")
        return self._read(name)

    def _read(self, name: str) -> LoadedModel:
        with self._reading:
            model = self._own[name]
            if isinstance(model, Path):
                model = self._own[name] = LoadedModel(*load_model(model), name)
            return model

    def _blend(self, share: float) -> LoadedModel:
        if len(self.names) < 2:
            raise LoadError(f"'blend:{share:g}' lies between two models, and this page has one")
        first, second = (self._read(name) for name in self.names[:2])
        try:
            return LoadedModel(blend(first.generator, second.generator, share), first.directions, FaceIndex.empty())
        except ValueError as error:
            raise LoadError(f"'blend:{share:g}' cannot be drawn: {error}") from None

    def _fetch(self, name: str) -> LoadedModel:
        cache = self.folder / name.replace("/", "--")
        try:
            loaded = load_model(name, public=cache, max_bytes=MAX_BYTES)
            model = LoadedModel(*loaded, name, commit_of(name, None, cache))
        except LoadError as error:
            shutil.rmtree(cache, ignore_errors=True)
            if len(self._failed) >= 100:
                self._failed.clear()
            self._failed[name] = time.monotonic(), str(error)
            raise
        while len(self._guests) >= GUESTS:
            old, _ = self._guests.popitem(last=False)
            shutil.rmtree(self.folder / old.replace("/", "--"), ignore_errors=True)
        self._guests[name] = model
        return model


def commit_of(model_id: str, revision: str | None, cache: Path | None = None) -> str | None:
    """The commit of a model of the Hub that lies in the cache."""
    file = try_to_load_from_cache(model_id, CONFIG_NAME, cache, revision)
    return Path(file).parent.name if isinstance(file, str) else None


def open_models(weights: Path, model_id: str, revision: str | None, guests: Path) -> tuple[ModelStore, str]:
    """The models of a page and, where ``model_id`` cannot be loaded, a notice of one or two sentences that says why.

    Args:
        weights: the folder of the model that ships with the page; folders in it are further models.
        model_id: what the page draws with first: that folder, another one, or the id of a model on the Hub.
        revision: branch, tag or commit on the Hub.
        guests: where models that visitors ask for are kept.

    Raises:
        LoadError: the shipped model cannot be loaded either.
    """
    shipped = {"anime-faces": weights}
    shipped |= {config.parent.name: config.parent for config in sorted(weights.glob("*/config.json"))}
    own: dict[str, LoadedModel | Path] = {}
    notice = ""
    first = "anime-faces" if Path(model_id).resolve() == weights else model_id.rstrip("/")
    try:
        name = Path(first).name if Path(first).is_dir() else first
        loaded = load_model(model_id, revision)
        commit = None if Path(model_id).is_dir() else commit_of(model_id, revision)
        own = {name: LoadedModel(*loaded, name, commit)}
    except LoadError as error:
        if first == "anime-faces":
            raise LoadError(f"MODEL_ID {error}") from error
        notice = f"MODEL_ID {error}. These faces come from the model that ships with the page."
    store = ModelStore(own | {name: path for name, path in shipped.items() if name not in own}, guests, weights)
    try:
        store[""]
    except LoadError as error:
        raise LoadError(f"The page's own weights {error}") from error
    return store, notice
