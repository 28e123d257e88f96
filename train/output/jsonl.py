"""JSON lines of a training: one object a line, each with the images seen so far as ``kimg``."""

import json
from pathlib import Path

from train.output.files import write_text


def append(line: dict, path: Path) -> None:
    """Add a line; the file is closed, and so flushed, after each."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path, seen: int) -> list[dict]:
    """The lines up to ``seen`` images; a torn last line is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in records if record["kimg"] * 1000 <= seen]


def cut(path: Path, seen: int) -> list[dict]:
    """The lines up to ``seen`` images, once the file holds nothing else."""
    lines = read(path, seen)
    write_text("".join(json.dumps(line) + "\n" for line in lines), path)
    return lines
