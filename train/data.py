"""Folder, zip or Hub dataset -> one uint8 array on disk, memory-mapped -> batches on the device.

Pictures are decoded once, by threads: Pillow decodes and resizes outside Python's lock, and nothing has to be spawned.
"""

import hashlib
import io
import json
import os
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # whatever the name says; JPEG covers MPO, the two-picture files of cameras
MAX_PIXELS = 2**26  # 8192 x 8192; a larger picture is refused before it is decoded
MAX_FILE_BYTES = 2**28  # as much as an uncompressed picture of MAX_PIXELS needs
CHUNK = 256  # files decoded between two writes: bounds the memory
VERSION = 1  # part of the cache's key; raise it when the same file would decode to other pixels


class DataError(ValueError):
    """A mistake in the user's data or disk, told in one sentence."""


@dataclass
class ImageSet:
    """A data set ready for training.

    ``images``: memory-mapped uint8 (N, resolution, resolution, 3), RGB. ``fingerprint``: the same for the same files
    and resolution. ``found`` = N + ``duplicates`` + ``len(unreadable)``, where ``unreadable`` holds (file, reason).
    """

    images: np.ndarray
    name: str
    fingerprint: str
    found: int
    duplicates: int
    unreadable: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.images)


@dataclass
class Source:
    """Where the bytes come from: ``read(i)`` gives those of ``files[i]`` and may be called from any thread."""

    name: str
    files: list[str]
    read: Callable[[int], bytes]
    checksum: Callable[[int], tuple[int, int]]  # (bytes, CRC-32)


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/anime-dcgan``, or ``~/.cache/anime-dcgan``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anime-dcgan"


def prepare(
    source: str | Path, *, resolution: int, cache_dir: str | Path | None = None, workers: int | None = None
) -> ImageSet:
    """Decode a folder or a zip of pictures, nested or flat, into the cache, or find it there.

    Pictures become RGB (transparency over white), upright by their EXIF tag, cropped at the centre to a square and
    scaled with Lanczos to ``resolution``; one that has that size already keeps its pixels. Of pictures that end up
    with equal pixels the first by name stays. Zip members are read in memory: nothing is unpacked.

    Raises:
        DataError: nothing there, no picture, no readable picture, a broken zip, or a cache that cannot be written.
    """
    path = Path(source)
    name = path.name or path.resolve().name
    if path.is_dir():
        files = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        files = [file for file in files if is_image(file)]

        def read(i: int) -> bytes:
            with open(path / files[i], "rb") as file:
                return read_bounded(file)

        return build(Source(name, files, read, crc_of(read)), resolution, cache_dir, workers)
    if not path.exists():
        raise DataError(f"'{source}' does not exist; give a folder or a zip of images")
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((m for m in archive.infolist() if is_image(m.filename)), key=lambda m: m.filename)
            lock = threading.Lock()

            def read_member(i: int) -> bytes:
                with lock, archive.open(members[i]) as file:
                    return read_bounded(file)

            # An archive and the folder it unpacks to have the same names, sizes and CRCs: they share one cache.
            listed = Source(
                name, [m.filename for m in members], read_member, lambda i: (members[i].file_size, members[i].CRC)
            )
            return build(listed, resolution, cache_dir, workers)
    except zipfile.BadZipFile as error:
        raise DataError(f"'{source}' is neither a folder nor a whole zip archive ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"'{source}' cannot be read: {error.strerror or error}") from None


def prepare_hub(
    dataset_name: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    resolution: int,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
) -> ImageSet:
    """As ``prepare``, for an image dataset of the Hugging Face Hub (or a local folder that ``datasets`` can load).

    ``image_column`` defaults to the first column that holds images.

    Raises:
        DataError: the dataset, split or column is not to be had, or as ``prepare``.
    """
    try:
        import datasets
    except ImportError:
        raise DataError("the package 'datasets' is missing; pip install -r train/requirements.txt") from None
    try:
        dataset = datasets.load_dataset(dataset_name, split=split)
    except Exception as error:  # many kinds: no such dataset or split, no connection, no permission, a broken file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"dataset '{dataset_name}' cannot be loaded: {reason}") from None
    columns = [key for key, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not columns or (image_column and image_column not in columns):
        asked = f"column '{image_column}'" if image_column else "column"
        raise DataError(f"dataset '{dataset_name}' has no image {asked} (has: {', '.join(dataset.column_names)})")
    column = image_column or columns[0]
    dataset = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    lock = threading.Lock()

    def read(i: int) -> bytes:
        with lock:
            row = dataset[i][column]
        if row is None:
            raise ValueError("empty")
        with io.BytesIO(row["bytes"]) if row["bytes"] is not None else open(row["path"], "rb") as file:
            return read_bounded(file)

    files = [f"row {i}" for i in range(len(dataset))]
    return build(Source(dataset_name, files, read, crc_of(read)), resolution, cache_dir, workers)


def is_image(name: str) -> bool:
    """Whether a path names a picture; hidden files and what macOS adds to archives do not count."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def read_bounded(file: BinaryIO) -> bytes:
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return data


def crc_of(read: Callable[[int], bytes]) -> Callable[[int], tuple[int, int]]:
    def checksum(i: int) -> tuple[int, int]:
        try:
            data = read(i)
        except (OSError, ValueError):
            return -1, 0
        return len(data), zlib.crc32(data)

    return checksum


def decode(data: bytes, resolution: int) -> np.ndarray:
    """The bytes of a picture -> uint8 (resolution, resolution, 3).

    Raises:
        ValueError: too large or too small.
        Exception: whatever Pillow raises for a broken file.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width}x{height} is more than {MAX_PIXELS >> 20} megapixels")
        if min(width, height) * 4 < resolution:
            raise ValueError(f"{width}x{height} is too small for {resolution}x{resolution}")
        image = ImageOps.exif_transpose(image)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = to_rgb(image.crop((left, top, left + side, top + side)))
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB: transparency over white, 16-bit grey scaled to 8 bits."""
    if image.mode.startswith("I"):  # I, I;16 and I;16B hold 0 to 65535, which convert() would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def build(source: Source, resolution: int, cache_dir: str | Path | None, workers: int | None) -> ImageSet:
    """Find the source in the cache, or decode it into the cache and open that."""
    if not source.files:
        raise DataError(f"no images in '{source.name}' (looked for {', '.join(SUFFIXES)})")
    folder = Path(cache_dir) if cache_dir else default_cache_dir()
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        key = hashlib.sha256(f"{VERSION} {resolution}".encode())
        for file, checksum in zip(source.files, pool.map(source.checksum, range(len(source.files)))):
            key.update(json.dumps([file, *checksum]).encode())
        fingerprint = key.hexdigest()[:32]
        stem = folder / f"{fingerprint}-{resolution}"
        try:
            found = load(stem, source.name, fingerprint)
            if found is None:
                folder.mkdir(parents=True, exist_ok=True)
                write(stem, source, resolution, pool)
                found = load(stem, source.name, fingerprint)
        except OSError as error:
            raise DataError(
                f"the cache in '{folder}' cannot be written: {error.strerror or error}; "
                "free some space or set XDG_CACHE_HOME to another folder"
            ) from None
    return found


def load(stem: Path, name: str, fingerprint: str) -> ImageSet | None:
    """Open a finished cache; None where there is none or where it is damaged."""
    try:
        counts = json.loads(stem.with_suffix(".json").read_text())
        images = np.load(stem.with_suffix(".npy"), mmap_mode="r")
        unreadable = [(file, reason) for file, reason in counts["unreadable"]]
        found = ImageSet(images, name, fingerprint, counts["found"], counts["duplicates"], unreadable)
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return found if len(images) + found.duplicates + len(unreadable) == found.found else None


def write(stem: Path, source: Source, resolution: int, pool: ThreadPoolExecutor) -> None:
    """Decode every file in order and put the array and its counts in place, each at once or not at all."""
    shape = (resolution, resolution, 3)
    seen: set[bytes] = set()
    unreadable: list[tuple[str, str]] = []

    def work(i: int) -> tuple[np.ndarray, bytes] | str:
        try:
            image = decode(source.read(i), resolution)
        except Image.UnidentifiedImageError:
            return "not an image"
        except Exception as error:  # a broken file can raise almost anything; it is named, counted and skipped
            return str(error) or type(error).__name__
        return image, hashlib.sha256(image).digest()

    def save(file: BinaryIO) -> None:
        # Written as a stream, not through a memory map: there a full disk would be a SIGBUS instead of an error.
        header = {"descr": "|u1", "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, header | {"shape": (len(source.files), *shape)})
        start = file.tell()
        with tqdm(total=len(source.files), desc="Decoding", unit="img", mininterval=0.5) as bar:
            for first in range(0, len(source.files), CHUNK):
                chunk = range(first, min(first + CHUNK, len(source.files)))
                for i, result in zip(chunk, pool.map(work, chunk)):
                    if isinstance(result, str):
                        unreadable.append((source.files[i], result))
                    elif result[1] not in seen:
                        seen.add(result[1])
                        file.write(result[0].tobytes())
                bar.update(len(chunk))
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (len(seen), *shape)})  # numpy pads to one length
        assert file.tell() == start
        if not seen:
            (first, reason), n = unreadable[0], len(unreadable)
            raise DataError(f"none of the {n} images in '{source.name}' can be read; the first is '{first}' ({reason})")

    replace_file(stem.with_suffix(".npy"), save)
    duplicates = len(source.files) - len(seen) - len(unreadable)
    counts = {"source": source.name, "found": len(source.files), "duplicates": duplicates, "unreadable": unreadable}
    replace_file(stem.with_suffix(".json"), lambda file: file.write(json.dumps(counts, indent=1).encode()))


def replace_file(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write through a temporary name of its own in the same folder; on any failure nothing is left of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            save(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Batches(Iterator[Tensor]):
    """Endless shuffled batches: float32 (batch_size, 3, H, W) in [-1, 1] on the device, in channels-last memory.

    Every image comes once per epoch, and batches run on across the ends of epochs. All that is drawn is a function of
    (seed, ``position``), the images handed out so far over all ranks: to resume, set ``position``. One rank's batch
    is its slice of the global batch, so two ranks see together what one rank with the double batch sees.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped or not. Kept on a CUDA device where it takes less than half of the
            free memory; gathered on the host otherwise.
        batch_size: images per rank.
        flip: mirror every image left to right with probability 1/2.

    Raises:
        DataError: fewer images than a global batch.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        device: torch.device | str,
        rank: int = 0,
        world_size: int = 1,
        flip: bool = True,
    ) -> None:
        self.total = batch_size * world_size
        if len(images) < self.total:
            raise DataError(f"{len(images)} images are fewer than the batch of {self.total}; lower the batch size")
        self.images, self.seed, self.device, self.flip = images, seed, torch.device(device), flip
        self.mine = slice(rank * batch_size, (rank + 1) * batch_size)
        self.position = 0
        self._epoch: int | None = None
        self._resident: Tensor | None = None
        if self.device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(self.device)[0] // 2:
            self._resident = torch.empty(images.shape, dtype=torch.uint8, device=self.device)
            for first in range(0, len(images), 4096):
                part = np.array(images[first : first + 4096])
                self._resident[first : first + 4096] = torch.from_numpy(part).to(self.device)

    def __next__(self) -> Tensor:
        index = self._global_index()[self.mine]
        flips = torch.rand(self.total, generator=self._generator(1, self.position))[self.mine] < 0.5
        self.position += self.total
        if self._resident is not None:
            batch = self._resident[index.to(self.device, non_blocking=True)]
        else:
            batch = torch.from_numpy(self.images[index.numpy()])
            if self.device.type == "cuda":
                batch = batch.pin_memory()
            batch = batch.to(self.device, non_blocking=True)
        x = batch.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, H, W, 3) seen as (B, 3, H, W): channels-last
        if self.flip:
            x = torch.where(flips.to(self.device)[:, None, None, None], x.flip(3), x)
        return x

    def _generator(self, *key: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint32)
        return torch.Generator().manual_seed(int(mixed[0]))

    def _global_index(self) -> Tensor:
        """Indices (total,) of the images at ``position`` and after; at most one end of an epoch lies among them."""
        epoch, start = divmod(self.position, len(self.images))
        index = self._permutation(epoch)[start : start + self.total]
        if len(index) < self.total:
            index = torch.cat([index, self._permutation(epoch + 1)[: self.total - len(index)]])
        return index

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(len(self.images), generator=self._generator(0, epoch))
            self._epoch = epoch
        return self._order
