"""PNGs that remember how their face was drawn: a text chunk to write, and to read with suspicion."""

import io
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .sampling import MAX_SEED, MAX_TRUNCATION

KEY = "anime-dcgan"  # keyword of the text chunk
MAX_BYTES = 2**24  # of a file that is looked into
MAX_TEXT = 2**14  # characters of the chunk; a code of the longest latent, 4096 numbers, has 5462
MAX_MOVES, MAX_MOVE = 64, 4.0
CODE = "z[A-Za-z0-9_-]{1,5500}"
MODEL = r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?"
REVISION = r"[A-Za-z0-9][\w./-]{0,199}"


@dataclass(frozen=True)
class Face:
    """How a face was drawn.

    Attributes:
        seed: in [0, 2**32 - 1]; either this or ``code``.
        code: of a latent, as :func:`page.explore.latent_to_code` writes it.
        truncation: in [0, 1.5].
        moves: along the model's directions, in their order, each in [-4, 4].
        model: name of the page's model or id on the Hub; None for a folder.
        revision: branch, tag or commit of ``model``.

    Raises:
        ValueError: an attribute of another type or out of range; one sentence.
    """

    seed: int | None = None
    code: str | None = None
    truncation: float = 1.0
    moves: tuple[float, ...] = ()
    model: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if (self.seed is None) == (self.code is None):
            raise ValueError("face: it needs either a seed or a code")
        if self.seed is not None and (type(self.seed) is not int or not 0 <= self.seed <= MAX_SEED):
            raise ValueError(f"seed: {self.seed!r:.40} is not an integer from 0 to {MAX_SEED}")
        for name, pattern in (("code", CODE), ("model", MODEL), ("revision", REVISION)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII)):
                raise ValueError(f"{name}: {value!r:.40} is not such a text")
        if not _is_number(self.truncation, 0, MAX_TRUNCATION):
            raise ValueError(f"truncation: {self.truncation!r:.40} is not a number from 0 to {MAX_TRUNCATION}")
        if not isinstance(self.moves, tuple) or len(self.moves) > MAX_MOVES:
            raise ValueError(f"moves: {self.moves!r:.40} are not at most {MAX_MOVES} numbers")
        for move in self.moves:
            if not _is_number(move, -MAX_MOVE, MAX_MOVE):
                raise ValueError(f"moves: {move!r:.40} is not a number from {-MAX_MOVE:g} to {MAX_MOVE:g}")


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def face_png(image: Image.Image, face: Face, **options: Any) -> bytes:
    """A PNG file of ``image`` that remembers ``face``; ``options`` go to Pillow."""
    info, file = PngInfo(), io.BytesIO()
    facts = {name: value for name, value in asdict(face).items() if value not in (None, ())}
    info.add_text(KEY, json.dumps(facts))
    image.save(file, "PNG", pnginfo=info, **options)
    return file.getvalue()


def save_face(image: Image.Image, path: str | Path, **facts: Any) -> None:
    """Write a PNG file that remembers how it was drawn; ``facts`` are the attributes of :class:`Face`."""
    Path(path).write_bytes(face_png(image, Face(**facts)))


def read_face(source: str | Path | bytes) -> Face:
    """How the face in a PNG file was drawn, as it says itself. Anyone can write such a file: the answer is well-formed,
    no more. No pixel is decoded.

    Args:
        source: a file or its bytes, at most 16 MiB.

    Raises:
        ValueError: no PNG, one that remembers nothing, or a memory that is malformed; one sentence.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        name, data = "picture", source[: MAX_BYTES + 1]
    else:
        name = f"'{Path(source).name}'"
        with open(source, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name}: larger than {MAX_BYTES:,} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            text = opened.info.get(KEY)  # chunks before the pixels; .text would decode these
    except Exception:  # a broken file can raise almost anything
        raise ValueError(f"{name}: not a PNG file") from None
    if not isinstance(text, str):
        raise ValueError(f"{name}: it does not say how it was drawn")
    try:
        facts = json.loads(text, parse_constant=_refuse) if len(text) <= MAX_TEXT else None
        if not isinstance(facts, dict) or not facts.keys() <= {field.name for field in fields(Face)}:
            raise ValueError("not what this program writes")
        moves = facts.get("moves", [])
        return Face(**facts | {"moves": tuple(moves) if isinstance(moves, list) else moves})
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: what it says of its face is malformed ({error})") from None


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")
