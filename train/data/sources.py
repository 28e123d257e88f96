"""Folder or zip -> named bytes."""

import os
import re
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from model.pictures import MAX_PIXELS
from train.data.choice import HEAD, choose, format_of, kind_of, walk
from train.errors import UserError, printable
from train.output.run_folder import refuse_grids

MAX_FILE_BYTES = 4 * MAX_PIXELS  # as much as the largest picture needs when it is not compressed


@dataclass
class Source:
    """Where pictures come from: ``read(i)`` gives the bytes of ``files[i]`` and may be called from any thread.

    ``checksums`` are (size in bytes, CRC-32) of all, where they are known without reading. ``option`` is the one that
    named the source, for errors. ``remarks``: what people should know about the choice of the files.
    """

    option: str
    name: str
    files: list[str]
    read: Callable[[int], bytes]
    checksums: list[tuple[int, int]] | None = None
    remarks: list[str] = field(default_factory=list)

    def checksum(self, i: int) -> tuple[int, int]:
        """(size, CRC-32) of file i; equal in a folder and in a zip of it."""
        try:
            data = self.read(i)
        except (OSError, ValueError):
            return -1, 0
        return len(data), zlib.crc32(data)


def public_name(path: Path) -> str:
    """The last part of a path, whatever folder one is in; all that others may read of it."""
    return printable(os.path.basename(os.path.abspath(path))) or "pictures"


@contextmanager
def open_path(path: Path, option: str) -> Iterator[Source]:
    """The pictures of a folder or a zip, nested or flat, sorted by name. Zip members are only read in memory.

    Raises:
        UserError: nothing there, or neither a folder nor a whole zip.
    """
    path = path.expanduser()
    if re.match("https?:/", str(path)):
        raise UserError(option, f"'{path.name}' is to be fetched from an address; do that and give the folder or zip")
    refuse_grids(path, option)
    if path.is_dir():
        yield open_folder(path, option)
        return
    if not path.exists():
        raise UserError(option, f"'{path}' does not exist; give a folder or a zip of images")
    with open_archive(path, option) as archive:
        yield members_of(archive, public_name(path), option)


def open_folder(folder: Path, option: str) -> Source:
    """The pictures of a folder and of all folders in it."""

    def head(name: str) -> bytes:
        try:
            with open(folder / name, "rb") as file:
                return file.read(HEAD)
        except OSError:
            return b""

    names, unreadable = walk(folder)
    files, remarks = choose(names, head)

    def read(i: int) -> bytes:
        with open(folder / files[i], "rb") as file:
            return read_bounded(file, os.fstat(file.fileno()).st_size)

    return Source(option, public_name(folder), files, read, remarks=remarks + unreadable)


def open_archive(path: Path, option: str) -> zipfile.ZipFile:
    """A zip; UserError that says what the file is instead."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        with path.open("rb") as file:
            data = file.read(512)
        kind, remedy = kind_of(data).removesuffix(", not an image"), "fetch it again"
        if picture := format_of(data[:HEAD]):
            kind, remedy = f"a {picture} picture", "give the folder that it is in"
        elif kind.endswith("archive") and kind != "a zip archive":
            remedy = "unpack it and give the folder"
        elif kind == "a web page":
            remedy = "what was fetched is the page about the file, or one that asks to log in; fetch the file itself"
        reason = str(error) if kind in ("a zip archive", "not an image") else kind
        sentence = f"'{path}' is neither a folder nor a whole zip archive ({reason}); {remedy}"
        raise UserError(option, sentence) from None
    except OSError as error:
        raise UserError(option, f"'{path}' cannot be read: {error.strerror or error}") from None


def members_of(archive: zipfile.ZipFile, name: str, option: str) -> Source:
    """The pictures in an open zip."""
    lock = threading.Lock()
    there = {member.filename: member for member in archive.infolist() if not member.is_dir()}

    def head(member: str) -> bytes:
        try:
            with archive.open(member) as file:
                return file.read(HEAD)
        except Exception:  # encrypted, damaged, of an unknown method; without a picture's name it is left aside
            return b""

    files, remarks = choose(there, head)
    if (twice := sum(not member.is_dir() for member in archive.infolist()) - len(there)) > 0:
        remarks.append(f"left aside as written over: {twice} members whose name comes again")
    members = [there[file] for file in files]

    def read(i: int) -> bytes:
        with lock, archive.open(members[i]) as file:  # yields at most the size that the archive states
            return read_bounded(file, members[i].file_size)

    return Source(option, name, files, read, [(m.file_size, m.CRC) for m in members], remarks)


def read_bounded(file: BinaryIO, size: int) -> bytes:
    """All of a file of ``size`` bytes.

    Raises:
        ValueError: it is larger than ``MAX_FILE_BYTES``, as a zip bomb is.
    """
    if size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return file.read(size)
