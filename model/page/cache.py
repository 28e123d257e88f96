"""The files that the page serves: each is named by its content, and all of them together are bounded."""

import errno
import os
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ..files import atomic_file
from .checks import Refusal

MAX_BYTES = 2**30
MAX_SECONDS = 3600  # since a file was last drawn
SWEEP_SECONDS = 60


class FileCache:
    """Files below ``folder``, in folders named by the SHA-256 of their content, so that the same picture is one file.

    A file's time of change is that of its last use. A sweep, at most every SWEEP_SECONDS or a sixteenth of
    ``max_bytes``, deletes what is older than ``max_seconds`` and then the oldest until at most ``max_bytes`` are left,
    whoever wrote it: uploads too. What was added before :meth:`opened` is what the page opens with; it is never deleted
    and comes back by itself where the folder has vanished.
    """

    def __init__(self, folder: str | Path, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.max_bytes, self.max_seconds = max_bytes, max_seconds
        self._opening: dict[Path, bytes] = {}
        self._opened = False
        self._lock = threading.Lock()
        self._next_sweep, self._written = 0.0, 0

    def add(self, data: bytes, name: str) -> str:
        """The path of a file ``name`` with these bytes.

        Raises:
            Refusal: the disk is full or cannot be written.
        """
        path = self.folder / sha256(data).hexdigest() / name
        if not self._opened:
            self._opening[path] = data
        self.sweep()
        try:
            self._write(path, data)
        except OSError:
            self.sweep(now=True, seconds=SWEEP_SECONDS)  # a full disk: what nobody looks at any more gives way
            try:
                self._write(path, data)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise Refusal(
                    f"The page's disk {'is full' if full else 'cannot be written'}; try again in a while."
                ) from None
        return str(path)

    def opened(self) -> None:
        """From now on files are no longer part of what the page opens with."""
        self._opened = True

    def find(self, path: str) -> Path | None:
        """The regular file below the folder that ``path`` names; None for all else, links that lead out included."""
        try:
            wanted = Path(path)
            if not wanted.is_absolute() or not wanted.parts[1:] or "\0" in path:
                return None
            if wanted in self._opening and not wanted.is_file():
                self._write(wanted, self._opening[wanted])
            real = wanted.resolve(strict=True)
            return real if self.owns(path) and real.is_file() else None
        except (OSError, ValueError, RuntimeError):
            return None

    def owns(self, path: str) -> bool:
        """Whether ``path``, which need not exist, lies below the folder once all links are followed."""
        try:
            return Path(path).is_absolute() and self.folder.resolve() in Path(path).resolve().parents
        except (OSError, ValueError, RuntimeError):
            return False

    def restore(self) -> None:
        """Write again what the page opens with, where it is missing."""
        for path, data in self._opening.items():
            if not path.is_file():
                with suppress(OSError):
                    self._write(path, data)

    def sweep(self, now: bool = False, seconds: float | None = None) -> None:
        """Delete what is too old, by default ``max_seconds``, or too much; where it is time for it, or ``now``."""
        clock = time.time()
        with self._lock:
            if not now and clock < self._next_sweep and self._written < self.max_bytes / 16:
                return
            self._next_sweep, self._written = clock + SWEEP_SECONDS, 0
        found = []
        for file in self.folder.rglob("*"):
            with suppress(OSError):
                if file.is_symlink() or file.is_file():
                    stat = file.lstat()
                    found.append((stat.st_mtime, stat.st_size, file))
        left = sum(size for _, size, _ in found)
        oldest = clock - (self.max_seconds if seconds is None else seconds)
        for changed, size, file in sorted(found):
            if changed >= oldest and left <= self.max_bytes:
                break
            if file not in self._opening:
                left -= size
                with suppress(OSError):
                    file.unlink()
                    for folder in file.parents[: len(file.relative_to(self.folder).parts) - 1]:
                        folder.rmdir()  # until one is met that is not empty

    def _write(self, path: Path, data: bytes) -> None:
        for attempt in range(3):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    os.utime(path)
                    return
                with self._lock:
                    self._written += len(data)
                with atomic_file(path) as temporary:
                    temporary.write_bytes(data)
                return
            except FileNotFoundError:  # a sweep, or someone else, has just deleted the folder
                if attempt == 2:
                    raise
