"""Folder, zip or Hub dataset -> named bytes."""

import os
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from model.pictures import MAX_PIXELS
from train.errors import UserError

HUB_OPTION = "--dataset_name"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# What desktops, notebooks, storage boxes and archivers leave among one's pictures; hidden names do not count either.
SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
MAX_FILE_BYTES = 4 * MAX_PIXELS  # as much as the largest picture needs when it is not compressed


@dataclass
class Source:
    """Where pictures come from: ``read(i)`` gives the bytes of ``files[i]`` and may be called from any thread.

    ``checksums`` are (size in bytes, CRC-32) of all, where they are known without reading. ``option`` is the one that
    named the source, for errors.
    """

    option: str
    name: str
    files: list[str]
    read: Callable[[int], bytes]
    checksums: list[tuple[int, int]] | None = None

    def checksum(self, i: int) -> tuple[int, int]:
        """(size, CRC-32) of file i; equal in a folder and in a zip of it."""
        try:
            data = self.read(i)
        except (OSError, ValueError):
            return -1, 0
        return len(data), zlib.crc32(data)


@contextmanager
def open_path(path: Path, option: str) -> Iterator[Source]:
    """The pictures of a folder or a zip, nested or flat, sorted by name. Zip members are only read in memory.

    Raises:
        UserError: nothing there, or neither a folder nor a whole zip.
    """
    name = path.name or path.resolve().name
    if path.is_dir():
        files = sorted(picture_names(path, option))

        def read(i: int) -> bytes:
            with open(path / files[i], "rb") as file:
                return read_bounded(file, os.fstat(file.fileno()).st_size)

        yield Source(option, name, files, read)
        return
    if not path.exists():
        raise UserError(option, f"'{path}' does not exist; give a folder or a zip of images")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        sentence = f"'{path}' is neither a folder nor a whole zip archive ({error}); fetch it again"
        raise UserError(option, sentence) from None
    except OSError as error:
        raise UserError(option, f"'{path}' cannot be read: {error.strerror or error}") from None
    with archive:
        members = sorted((m for m in archive.infolist() if is_image(m.filename)), key=lambda m: m.filename)
        lock = threading.Lock()

        def read_member(i: int) -> bytes:
            with lock, archive.open(members[i]) as file:  # yields at most the size that the archive states
                return read_bounded(file, members[i].file_size)

        checksums = [(m.file_size, m.CRC) for m in members]
        yield Source(option, name, [m.filename for m in members], read_member, checksums)


def open_hub(dataset_name: str, split: str, image_column: str | None) -> Source:
    """The rows of an image dataset of the Hub, or of a local folder that ``datasets`` can load.

    Raises:
        UserError: ``datasets`` is not installed, or the dataset, split or column is unavailable.
    """
    try:
        import datasets
    except ImportError:
        sentence = "the package 'datasets' is missing; pip install -r train/requirements.txt"
        raise UserError(HUB_OPTION, sentence) from None
    try:
        dataset = datasets.load_dataset(dataset_name, split=split)
    except Exception as error:  # many kinds: no such dataset or split, no connection, no permission, a broken file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(HUB_OPTION, f"dataset '{dataset_name}' cannot be loaded: {reason}") from None
    columns = [key for key, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not columns or (image_column and image_column not in columns):
        missing = f"image column '{image_column}'" if image_column else "column of images"
        there = ", ".join(dataset.column_names)
        raise UserError(HUB_OPTION, f"dataset '{dataset_name}' has no {missing} (it has: {there})")
    column = image_column or columns[0]
    rows = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    lock = threading.Lock()

    def read(i: int) -> bytes:
        with lock:
            value = rows[i][column]
        if value is None:
            raise ValueError("the row is empty")
        return value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()

    return Source(HUB_OPTION, dataset_name, [f"row {i}" for i in range(len(rows))], read)


def picture_names(folder: Path, option: str) -> Iterator[str]:
    """The pictures below a folder, as paths relative to it; links to folders are followed, each folder once.

    Left aside: hidden and system folders, and what a training has left there, its sample grids among it.

    Raises:
        UserError: the folder itself is the output of a training.
    """
    if is_run(folder):
        sentence = f"'{folder}' is what a training has left, not a folder of pictures"
        raise UserError(option, f"{sentence}; for its generator give '{folder / 'weights'}'")
    seen = set()

    def unreadable(error: OSError) -> None:
        print(f"'{error.filename}' cannot be read ({error.strerror}) and is left aside", file=sys.stderr)

    for place, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        where = Path(place)
        if (real := os.path.realpath(place)) in seen or (where != folder and is_run(where)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if is_visible(name)]
        relative = where.relative_to(folder)
        yield from ((relative / name).as_posix() for name in files if is_image(name) and (where / name).is_file())


def is_run(folder: Path) -> bool:
    """Whether a folder is the output of a training."""
    return all((folder / name).exists() for name in ("fakes_init.png", "metrics.jsonl", "samples"))


def is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def is_image(name: str) -> bool:
    """Whether a path names a picture; what is hidden or in system folders does not count."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and all(map(is_visible, path.parts))


def read_bounded(file: BinaryIO, size: int) -> bytes:
    """All of a file of ``size`` bytes.

    Raises:
        ValueError: it is larger than ``MAX_FILE_BYTES``, as a zip bomb is.
    """
    if size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return file.read(size)
