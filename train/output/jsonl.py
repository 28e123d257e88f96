"""JSON lines of a training: one object a line, each with the images seen so far as ``kimg``."""

import json
from pathlib import Path

from train.output.files import write_text


def append(line: dict, path: Path) -> None:
    """Add a line; the file is closed, and so flushed, after each."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path, seen: int) -> list[dict]:
    """The lines up to ``seen`` images; a torn last line, and what a crash of the machine spoilt, is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    records = filter(None, map(parse, lines))
    return [record for record in records if record["kimg"] * 1000 <= seen]


def parse(line: bytes) -> dict | None:
    """The object of a line, without the zero bytes that a file system may put before it; None where there is none."""
    try:
        record = json.loads(line.strip(b"\0"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kimg"), int | float) else None


def cut(path: Path, seen: int) -> list[dict]:
    """The lines up to ``seen`` images, once the file holds nothing else."""
    lines = read(path, seen)
    write_text("".join(json.dumps(line) + "\n" for line in lines), path)
    return lines
