"""Files that are written whole: nobody reads half of one, and a failure leaves what was there before."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model.files import atomic_file as atomic_file
from train.errors import UserError


def make_writable(folder: Path) -> None:
    """Make the folder and prove that a file can be written in it; OSError if not."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def remove_leftovers(folder: Path, age: float = 0.0) -> None:
    """Remove what killed writers left of ``atomic_file`` in ``folder``; nobody may have written there for ``age``
    seconds and still be at it."""
    for leftover in folder.glob(f".*.{'[0-9a-f]' * 8}.tmp"):
        with suppress(FileNotFoundError):  # another process may sweep as well
            if time.time() - leftover.stat().st_mtime >= age:
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
