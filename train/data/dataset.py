"""Folder, zip or Hub dataset -> one uint8 array on disk, memory-mapped.

Pictures are decoded once, by threads: Pillow decodes JPEG and PNG and resizes outside Python's lock, and processes
would each have to start and import everything first.
"""

import hashlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from model.pictures import decode_picture
from train.data.choice import HEAD, SUFFIXES, format_of, kind_of, readable_formats
from train.data.hub import open_hub
from train.data.sources import Source, open_path
from train.errors import UserError, printable
from train.output.files import atomic_file, remove_leftovers, write_text

T = TypeVar("T")
CHUNK = 256  # files decoded between two writes: bounds the memory
WARNINGS = 10  # printed; a folder of odd files can hold thousands
CURRENT = threading.local()  # the file that a thread decodes
VERSION = 2  # part of the cache's key; raise it when the same file would decode to other pixels


@dataclass
class ImageSet:
    """A data set ready for training.

    ``images``: memory-mapped uint8 (N, resolution, resolution, 3), RGB. ``fingerprint``: the same for the same files
    and resolution. ``found`` = N + ``duplicates`` + ``len(unreadable)``, where ``duplicate_files`` holds (file, the one
    it equals) and ``unreadable`` (file, reason). ``remarks``: what people should know about the choice of the files.
    """

    images: np.ndarray
    name: str
    fingerprint: str
    found: int
    duplicate_files: list[tuple[str, str]]
    unreadable: list[tuple[str, str]]
    remarks: list[str] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        return len(self.duplicate_files)

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
    option: str = "--train_data_dir",
) -> ImageSet:
    """Decode a folder or a zip of pictures, nested or flat, into the cache, or find it there.

    Pictures become RGB (transparency over white), upright by their EXIF tag, cropped at the centre to a square and
    scaled with Lanczos to ``resolution``; one that has that size already keeps its pixels. Of pictures that end up
    with equal pixels the first by name stays, or all without ``drop_duplicates``. ``workers`` threads decode, by
    default one per core, at most 8. ``option`` is the one that named ``source``, for errors.

    Raises:
        UserError: nothing there, no picture, no readable picture, a broken zip, or a cache that cannot be written.
    """
    with open_path(Path(source), option) as opened:
        return find_or_decode(opened, resolution, cache_dir, workers, drop_duplicates)


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
        UserError: the dataset, split or column is unavailable, or as ``prepare``.
    """
    return find_or_decode(open_hub(dataset_name, split, image_column), resolution, cache_dir, workers)


def find_or_decode(
    source: Source, resolution: int, cache_dir: str | Path | None, workers: int | None, drop_duplicates: bool = True
) -> ImageSet:
    """Find the source in the cache, or decode it into the cache and open that."""
    if not source.files:
        looked = f"looked for {', '.join(SUFFIXES)} and into files of other names, but for hidden ones"
        why = "".join(f"; {remark}" for remark in source.remarks)
        raise UserError(source.option, f"no images in '{source.name}' ({looked}){why}")
    folder = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        key = hashlib.sha256(f"{VERSION} {resolution} {drop_duplicates}".encode())
        checksums = source.checksums or in_order(pool, source.checksum, len(source.files), desc="Reading", delay=2)
        for checksum, file in zip(checksums, source.files):
            key.update(json.dumps([file, *checksum]).encode())
        fingerprint = key.hexdigest()[:32]
        stem = folder / f"{fingerprint}-{resolution}"
        try:
            found = open_cache(stem, source.name, fingerprint)
            with named_warnings():
                stale = found is None or can_be_read_now(source, found.unreadable, resolution, pool)
                if stale:
                    found = None
                    folder.mkdir(parents=True, exist_ok=True)
                    remove_leftovers(folder, age=3600)  # whoever still decodes writes every few seconds
                    write_cache(stem, source, resolution, pool, drop_duplicates)
        except OSError as error:
            # On Windows a file that another process has opened cannot be replaced: then that process was faster.
            if (found := open_cache(stem, source.name, fingerprint)) is not None:
                found.remarks = source.remarks
                return found
            raise UserError(
                source.option,
                f"the cache in '{folder}' cannot be written: {error.strerror or error}; "
                "free some space or name another folder with --cache_dir",
            ) from None
    found = found or open_cache(stem, source.name, fingerprint)
    found.remarks = source.remarks
    return found


def in_order(pool: ThreadPoolExecutor, work: Callable[[int], T], n: int, **bar: object) -> Iterator[T]:
    """``work(0)`` to ``work(n - 1)`` under a progress bar, never more than ``CHUNK`` results ahead."""
    with tqdm(total=n, unit="img", mininterval=0.5, **bar) as progress:
        for first in range(0, n, CHUNK):
            for result in pool.map(work, range(first, min(first + CHUNK, n))):
                yield result
                progress.update()


def open_cache(stem: Path, name: str, fingerprint: str) -> ImageSet | None:
    """Open a finished cache; None where there is none or where it is damaged."""
    try:
        counts = json.loads(stem.with_suffix(".json").read_text())
        images = np.load(stem.with_suffix(".npy"), mmap_mode="r")
        duplicates, unreadable = ([(file, why) for file, why in counts[key]] for key in ("duplicates", "unreadable"))
        found = ImageSet(images, name, fingerprint, counts["found"], duplicates, unreadable)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return found if len(images) + found.duplicates + len(unreadable) == found.found else None


@contextmanager
def named_warnings() -> Iterator[None]:
    """Print what Pillow warns of while files are decoded with their names, and without a library's path and line."""
    found: list[str] = []

    def note(message: Warning | str, *place: object, **more: object) -> None:
        found.append(f"warning: {printable(getattr(CURRENT, 'file', 'a file'))}: {' '.join(str(message).split())}")

    with warnings.catch_warnings():  # of the whole process: no other thread works meanwhile
        warnings.simplefilter("always")
        warnings.showwarning = note
        yield
    for line in sorted(found)[:WARNINGS]:  # in whatever order the threads met them
        print(line, file=sys.stderr)
    if len(found) > WARNINGS:
        print(f"warning: and {len(found) - WARNINGS} more of these", file=sys.stderr)


def decode(source: Source, i: int, resolution: int) -> np.ndarray | str:
    """The pixels of file i, or why there are none."""
    data, CURRENT.file = b"", source.files[i]
    try:
        data = source.read(i)
        return decode_picture(data, resolution, formats=readable_formats())
    except UnidentifiedImageError:
        reason = kind_of(data)
    except OSError as error:  # without its number and its path, which is private
        reason = error.strerror or str(error) or type(error).__name__
    except Exception as error:  # a broken file can raise almost anything; it is named, counted and skipped
        reason = str(error) or type(error).__name__
    suffix, kind = PurePosixPath(source.files[i]).suffix.lower(), format_of(data[:HEAD])
    expected = Image.registered_extensions().get(suffix)
    return reason if kind in (None, expected) or expected is None else f"a {kind} file named {suffix}: {reason}"


def can_be_read_now(
    source: Source, unreadable: list[tuple[str, str]], resolution: int, pool: ThreadPoolExecutor
) -> bool:
    """Whether a file that failed when the cache was written no longer does: failures are tried again."""
    failed = {file for file, _ in unreadable}
    again = (i for i, file in enumerate(source.files) if file in failed)
    return any(not isinstance(result, str) for result in pool.map(lambda i: decode(source, i, resolution), again))


def write_cache(stem: Path, source: Source, resolution: int, pool: ThreadPoolExecutor, drop_duplicates: bool) -> None:
    """Decode every file in order and put the array and its counts in place, each at once or not at all."""
    shape = (resolution, resolution, 3)
    seen: dict[bytes, str] = {}
    duplicates: list[tuple[str, str]] = []
    unreadable: list[tuple[str, str]] = []

    def work(i: int) -> tuple[np.ndarray, bytes] | str:
        image = decode(source, i, resolution)
        return image if isinstance(image, str) else (image, hashlib.sha256(image).digest())

    # Written as a stream, not through a memory map: there a full disk would be a SIGBUS instead of an error.
    with atomic_file(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, header | {"shape": (len(source.files), *shape)})
        start = file.tell()
        for result, name in zip(in_order(pool, work, len(source.files), desc="Decoding"), source.files):
            if isinstance(result, str):
                unreadable.append((name, result))
            elif drop_duplicates and result[1] in seen:
                duplicates.append((name, seen[result[1]]))
            else:
                seen[result[1]] = name
                file.write(result[0].tobytes())
        images = len(source.files) - len(duplicates) - len(unreadable)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (images, *shape)})  # numpy pads to one length
        assert file.tell() == start
        if not images:
            first, reason = unreadable[0]
            none = f"none of the {len(unreadable)} images in '{source.name}' can be read"
            raise UserError(source.option, f"{none}; the first is '{printable(first)}' ({reason})")

    counts = {"found": len(source.files), "duplicates": duplicates, "unreadable": unreadable}
    write_text(json.dumps(counts, indent=1), stem.with_suffix(".json"))
