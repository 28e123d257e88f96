"""Files that are written whole: nobody reads half of one, and a failure leaves what was there before."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.errors import UserError


def make_writable(folder: Path) -> None:
    """Make the folder and prove that a file can be written in it; OSError if not."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A name beside ``path``, this writer's own, to write to; it becomes ``path`` at the end or goes on an error."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left of ``atomic_file`` in ``folder``; nobody may be writing there."""
    for leftover in folder.glob(f".*.{'[0-9a-f]' * 8}.tmp"):
        leftover.unlink()


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder beside ``path`` to fill; at the end it takes the place of ``path`` and all that was in it."""
    temporary, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file whole."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(text: str, path: Path) -> None:
    """Write a text whole, in UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(data: dict, path: Path) -> None:
    """Write a JSON object whole, for people to read."""
    write_text(json.dumps(data, indent=2) + "\n", path)


def read_json(path: Path) -> dict:
    """The object in a JSON file, {} where there is no file.

    Raises:
        UserError: not a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise UserError(str(path), f"not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(str(path), "not a JSON object")
    return data
