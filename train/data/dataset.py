"""Folder, zip or Hub dataset -> one uint8 array on disk, memory-mapped -> batches on the device.

Pictures are decoded once, by threads: Pillow decodes JPEG and PNG and resizes outside Python's lock, and processes
would each have to start and import everything first.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from model.pictures import decode_picture
from train.data.batches import Draws, keyed_generator
from train.data.sources import SUFFIXES, DataError, Source, open_hub, open_path
from train.output.files import whole, write_text

T = TypeVar("T")
CHUNK = 256  # files decoded between two writes: bounds the memory
VERSION = 1  # part of the cache's key; raise it when the same file would decode to other pixels


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


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/anime-dcgan``, or ``~/.cache/anime-dcgan``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anime-dcgan"


def prepare(
    source: str | Path,
    *,
    resolution: int,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    drop_duplicates: bool = True,
) -> ImageSet:
    """Decode a folder or a zip of pictures, nested or flat, into the cache, or find it there.

    Pictures become RGB (transparency over white), upright by their EXIF tag, cropped at the centre to a square and
    scaled with Lanczos to ``resolution``; one that has that size already keeps its pixels. Of pictures that end up
    with equal pixels the first by name stays, or all without ``drop_duplicates``. ``workers`` threads decode, by
    default one per core, at most 8.

    Raises:
        DataError: nothing there, no picture, no readable picture, a broken zip, or a cache that cannot be written.
    """
    with open_path(Path(source)) as opened:
        return build(opened, resolution, cache_dir, workers, drop_duplicates)


def prepare_hub(
    dataset_name: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    resolution: int,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
) -> ImageSet:
    """As ``prepare``, for an image dataset of the Hub; ``image_column`` defaults to the first one of images.

    Raises:
        DataError: the dataset, split or column is not to be had, or as ``prepare``.
    """
    return build(open_hub(dataset_name, split, image_column), resolution, cache_dir, workers)


def build(
    source: Source, resolution: int, cache_dir: str | Path | None, workers: int | None, drop_duplicates: bool = True
) -> ImageSet:
    """Find the source in the cache, or decode it into the cache and open that."""
    if not source.files:
        raise DataError(f"no images in '{source.name}' (looked for {', '.join(SUFFIXES)})")
    folder = Path(cache_dir) if cache_dir else default_cache_dir()
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        key = hashlib.sha256(f"{VERSION} {resolution} {drop_duplicates}".encode())
        checksums = source.checksums or in_order(pool, source.checksum, len(source.files), desc="Reading", delay=2)
        for checksum, file in zip(checksums, source.files):
            key.update(json.dumps([file, *checksum]).encode())
        fingerprint = key.hexdigest()[:32]
        stem = folder / f"{fingerprint}-{resolution}"
        try:
            if (found := load(stem, source.name, fingerprint)) is None:
                folder.mkdir(parents=True, exist_ok=True)
                write(stem, source, resolution, pool, drop_duplicates)
        except OSError as error:
            # On Windows a file that another process has opened cannot be replaced: then that process was faster.
            if (found := load(stem, source.name, fingerprint)) is not None:
                return found
            raise DataError(
                f"the cache in '{folder}' cannot be written: {error.strerror or error}; "
                "free some space or name another folder with --cache_dir"
            ) from None
    return found or load(stem, source.name, fingerprint)


def in_order(pool: ThreadPoolExecutor, work: Callable[[int], T], n: int, **bar: object) -> Iterator[T]:
    """``work(0)`` to ``work(n - 1)`` under a progress bar, never more than ``CHUNK`` results ahead."""
    with tqdm(total=n, unit="img", mininterval=0.5, **bar) as progress:
        for first in range(0, n, CHUNK):
            for result in pool.map(work, range(first, min(first + CHUNK, n))):
                yield result
                progress.update()


def load(stem: Path, name: str, fingerprint: str) -> ImageSet | None:
    """Open a finished cache; None where there is none or where it is damaged."""
    try:
        counts = json.loads(stem.with_suffix(".json").read_text())
        images = np.load(stem.with_suffix(".npy"), mmap_mode="r")
        unreadable = [(file, reason) for file, reason in counts["unreadable"]]
        found = ImageSet(images, name, fingerprint, counts["found"], counts["duplicates"], unreadable)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return found if len(images) + found.duplicates + len(unreadable) == found.found else None


def write(stem: Path, source: Source, resolution: int, pool: ThreadPoolExecutor, drop_duplicates: bool) -> None:
    """Decode every file in order and put the array and its counts in place, each at once or not at all."""
    shape = (resolution, resolution, 3)
    seen: set[bytes] = set()
    duplicates: list[str] = []
    unreadable: list[tuple[str, str]] = []

    def work(i: int) -> tuple[np.ndarray, bytes] | str:
        try:
            image = decode_picture(source.read(i), resolution)
        except UnidentifiedImageError:
            return "not an image"
        except Exception as error:  # a broken file can raise almost anything; it is named, counted and skipped
            return str(error) or type(error).__name__
        return image, hashlib.sha256(image).digest()

    # Written as a stream, not through a memory map: there a full disk would be a SIGBUS instead of an error.
    with whole(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, header | {"shape": (len(source.files), *shape)})
        start = file.tell()
        for result, name in zip(in_order(pool, work, len(source.files), desc="Decoding"), source.files):
            if isinstance(result, str):
                unreadable.append((name, result))
            elif drop_duplicates and result[1] in seen:
                duplicates.append(name)
            else:
                seen.add(result[1])
                file.write(result[0].tobytes())
        images = len(source.files) - len(duplicates) - len(unreadable)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (images, *shape)})  # numpy pads to one length
        assert file.tell() == start
        if not images:
            (first, reason), n = unreadable[0], len(unreadable)
            raise DataError(f"none of the {n} images in '{source.name}' can be read; the first is '{first}' ({reason})")

    counts = {"found": len(source.files), "duplicates": len(duplicates), "unreadable": unreadable}
    write_text(json.dumps(counts, indent=1), stem.with_suffix(".json"))


class Batches(Iterator[Tensor]):
    """Endless shuffled batches: float32 (batch_size, 3, H, W) in [-1, 1] on the device, in channels-last memory.

    Every image comes once per epoch, and batches run on across the ends of epochs. All that is drawn is a function of
    (seed, ``position``), the images handed out so far over all ranks: to resume, set ``position``. One rank's batch
    is its slice of the global batch, so two ranks see together what one rank with the double batch sees.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped or not. Kept on a CUDA device where it takes less than half of the
            free memory; gathered on the host otherwise, where of a mapped file only what a batch needs is read.
        batch_size: images per rank.
        flip: mirror every image left to right with probability 1/2.
        resident: whether a CUDA device may keep the images.

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
        resident: bool = True,
    ) -> None:
        self.total = batch_size * world_size
        if len(images) < self.total:
            raise DataError(f"{len(images)} images are fewer than the batch of {self.total}; lower the batch size")
        self.images, self.seed, self.device, self.flip = images, seed, torch.device(device), flip
        self.mine = slice(rank * batch_size, (rank + 1) * batch_size)
        self.position = 0
        self._epoch: int | None = None
        self._resident: Tensor | None = None
        on_cuda = resident and self.device.type == "cuda"
        if on_cuda and images.nbytes < torch.cuda.mem_get_info(self.device)[0] // 2:
            self._resident = torch.empty(images.shape, dtype=torch.uint8, device=self.device)
            for first in range(0, len(images), 4096):
                part = np.array(images[first : first + 4096])
                self._resident[first : first + 4096] = torch.from_numpy(part).to(self.device)
        mapped = self._resident is None and isinstance(images, np.memmap) and hasattr(os, "posix_fadvise")
        self._file = open(images.filename, "rb") if mapped else None  # noqa: SIM115

    def __next__(self) -> Tensor:
        index = self._global_index()[self.mine]
        flips = torch.rand(self.total, generator=keyed_generator(self.seed, 1, self.position))[self.mine] < 0.5
        self.position += self.total
        self.read_ahead()
        if self._resident is not None:
            batch = self._resident[index.to(self.device, non_blocking=True)]
        else:
            batch = torch.from_numpy(self.images[index.numpy()])
            if self.device.type == "cuda":
                batch = batch.pin_memory()
            batch = batch.to(self.device, non_blocking=True)
        if self.flip:
            batch = torch.where(flips.to(self.device)[:, None, None, None], batch.flip(2), batch)
        # (B, H, W, 3) in memory, seen as (B, 3, H, W): channels-last
        return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def read_ahead(self) -> None:
        """Let the system fetch the images at ``position`` from a mapped file while the batch before them trains.

        A set beyond the memory would wait for the disk at every image, and for megabytes around it that go unused.
        """
        if self._file:
            size = self.images[0].nbytes
            for i in self._global_index()[self.mine].tolist():
                with suppress(OSError):  # not on every file system
                    os.posix_fadvise(self._file.fileno(), self.images.offset + i * size, size, os.POSIX_FADV_WILLNEED)

    def draws(self) -> Draws:
        """What else is random about the next batch: latents, augmentation."""
        return Draws(self.seed, self.position, self.total, self.mine, self.device)

    def _global_index(self) -> Tensor:
        """Indices (total,) of the images at ``position`` and after; at most one end of an epoch lies among them."""
        epoch, start = divmod(self.position, len(self.images))
        index = self._permutation(epoch)[start : start + self.total]
        if len(index) < self.total:
            index = torch.cat([index, self._permutation(epoch + 1)[: self.total - len(index)]])
        return index

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(len(self.images), generator=keyed_generator(self.seed, 0, epoch))
            self._epoch = epoch
        return self._order
