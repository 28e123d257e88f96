"""JSON lines of a training: one object a line, each with the images seen so far as ``kimg``."""

import json
import math
from pathlib import Path

from train.output.files import write_text


def append(line: dict, path: Path) -> None:
    """Add a line; the file is closed, and so flushed, after each."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path, seen: int, numbers: tuple[str, ...] = ()) -> list[dict]:
    """The lines up to ``seen`` images that hold ``numbers``; a torn or spoilt line is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    records = [record for line in lines if (record := parse(line, ("kimg", *numbers)))]
    return [record for record in records if record["kimg"] * 1000 <= seen]


def parse(line: bytes, numbers: tuple[str, ...]) -> dict | None:
    """The object of a line, without the zero bytes that a file system may put before it; None where it lacks one of
    ``numbers``."""
    try:
        record = json.loads(line.strip(b"\0"))
    except (ValueError, RecursionError):
        return None
    values = [record.get(name) for name in numbers] if isinstance(record, dict) else [None]
    return record if all(isinstance(value, int | float) and math.isfinite(value) for value in values) else None


def cut(path: Path, seen: int, numbers: tuple[str, ...] = ()) -> list[dict]:
    """The lines of :func:`read`, once the file holds nothing else."""
    lines = read(path, seen, numbers)
    write_text("".join(json.dumps(line) + "\n" for line in lines), path)
    return lines
