"""One training at a time in an output folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from train.errors import UserError
from train.output.run_folder import make_output

NAME = "training.lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make an output folder and hold it for this process; the system lets go of it however the process ends.

    One that was made and got nothing goes again.

    Raises:
        UserError: it cannot be written, or another process holds it; says which.
    """
    made = not folder.exists()
    make_output(folder)
    try:
        with locked(folder / NAME) if fcntl else nullcontext():
            yield
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file that says who holds it; errors as above."""
    file = path.open("a+", encoding="utf-8")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            sentence = f"'{path.parent}' is in use by {holder}; wait for it, or give another folder"
            raise UserError("--output_dir", sentence) from None
        except OSError:  # a file system that knows no locks
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()  # while it is still held
    finally:
        file.close()
