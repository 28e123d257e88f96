"""How a face is shown and saved: as it was drawn, or enlarged in one of three styles."""

from functools import lru_cache
from typing import Literal

from PIL import Image

from ..enlarging import enlarge
from ..sharp import SharpUnavailable, sharpen
from .checks import Refusal, as_sentence, choice

LARGE = 512  # pixels of an enlarged face
Enlargement = Literal["none", "crisp", "smooth", "sharp", "sharp-256", "sharp-128"]
ENLARGEMENTS = {  # style and size
    "none": None,
    "crisp": ("crisp", LARGE),
    "smooth": ("smooth", LARGE),
    "sharp": ("sharp", LARGE),
    "sharp-256": ("sharp", LARGE // 2),
    "sharp-128": ("sharp", LARGE // 4),
}


@lru_cache
def why_not_sharp() -> str:
    """Why no face can be redrawn sharp on this machine, a sentence; empty where one can, which is tried."""
    try:
        sharpen(Image.new("RGB", (8, 8)), 32)
    except SharpUnavailable as error:
        return as_sentence(error)
    return ""


def best_look() -> Enlargement:
    """How the page shows a face that nobody asked otherwise for: sharp, where that is to be had."""
    return "none" if why_not_sharp() else "sharp-256"


def look_of(value: object) -> str:
    """A checked enlargement.

    Raises:
        Refusal: there is none of that name, or it is not to be had here.
    """
    look = choice("PNG", value, list(ENLARGEMENTS))
    if look.startswith("sharp") and why_not_sharp():
        raise Refusal(why_not_sharp())
    return look


def shown(face: Image.Image, look: str) -> Image.Image:
    """A square face as one of ENLARGEMENTS has it."""
    enlargement = ENLARGEMENTS[look]
    if enlargement is None:
        return face
    style, size = enlargement
    return enlarge(face, size, style)


def suffix(look: str) -> str:
    """What a file's name says of it."""
    return "" if look == "none" else f"-{look}"
