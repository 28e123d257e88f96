"""Pictures that people upload: the face in them, or a sentence that says what is wrong with them."""

import re

import torch
from torch import Tensor

from ..pictures import FORMATS, OutsidePicture, decode_picture
from .cache import FileCache
from .checks import Refusal, must_be

MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS = 16_000_000, 2**24


def face_in(files: FileCache, picture: object, square: object, size: int) -> Tensor:
    """The square of an uploaded picture that holds a face, (3, size, size) in [-1, 1].

    Args:
        files: where uploads lie.
        picture: path of one of them.
        square: left, top and side in pixels, such as "40,0,200"; empty for the largest square in the middle.
        size: side of the result, in pixels.

    Raises:
        Refusal: the picture is none that can be read, or the square is none in it.
    """
    file = files.find(picture) if isinstance(picture, str) else None
    if picture is not None and file is None:
        raise Refusal("Picture must be a file that was uploaded to this page within the last hour; upload it again.")
    cut = _parse(square)
    try:
        if file is None or file.stat().st_size > MAX_PICTURE_BYTES:
            raise ValueError
        pixels = decode_picture(file.read_bytes(), size, max_pixels=MAX_PICTURE_PIXELS, draft=True, square=cut)
    except OutsidePicture:
        raise must_be("Square", f"inside the picture and at least {size // 4} pixels a side", square) from None
    except Exception:  # a broken file can raise almost anything
        formats = ", ".join(FORMATS[:-1])
        kind = f"a whole {formats} or {FORMATS[-1]} file, from {size // 4} pixels a side to 16 megapixels and 16 MB"
        raise must_be("Picture", kind, file and file.name) from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 127.5 - 1


def _parse(square: object) -> tuple[int, int, int] | None:
    """Left, top and side; None for an empty text."""
    if square == "":
        return None
    if not isinstance(square, str) or not re.fullmatch("[0-9]{1,5}(,[0-9]{1,5}){2}", square):
        raise must_be("Square", "empty, or left, top and side in pixels, such as '40,0,200'", square)
    left, top, side = map(int, square.split(","))
    return left, top, side
