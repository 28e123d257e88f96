"""The bytes of a picture that someone else made -> RGB pixels of the size that a model works with."""

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # whatever the name says; JPEG covers MPO, the two-picture files of cameras
MAX_PIXELS = 2**26  # 8192 x 8192; a larger picture is refused before it is decoded


def decode_picture(
    data: bytes,
    resolution: int,
    *,
    max_pixels: int = MAX_PIXELS,
    draft: bool = False,
    formats: tuple[str, ...] = FORMATS,
    square: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """The bytes of a picture -> uint8 (resolution, resolution, 3): upright, cut to a square, scaled.

    Args:
        data: a whole file; of one that moves, the first picture counts.
        resolution: side in pixels.
        max_pixels: a larger picture is refused before it is decoded.
        draft: decode a JPEG at a half, quarter or eighth of its size where that is still twice ``resolution``; it may
            then be as much larger than ``max_pixels``, up to MAX_PIXELS.
        formats: of Pillow's names, those that are read.
        square: left, top and side of what is cut out, in pixels of the upright picture; the central square if None.

    Raises:
        OutsidePicture: the square does not lie in the picture, or is too small.
        ValueError: the picture is too large or too small.
        Exception: whatever Pillow raises for a broken file.
    """
    with Image.open(io.BytesIO(data), formats=formats) as opened:
        width, height = whole_size = opened.size
        # Of a progressive JPEG all coefficients are held at once, however small it is drawn.
        if draft and width * height <= MAX_PIXELS and not opened.info.get("progressive"):
            # As much as the square needs, and no more than may be decoded.
            needed = 2 * resolution * min(whole_size) / max(square[2] if square else min(whole_size), 1)
            most = min(whole_size) / (1 if width * height <= max_pixels else 2)
            opened.draft(None, (int(min(needed, most)),) * 2)
            width, height = opened.size
        if width * height > max_pixels:
            raise ValueError(f"{width}x{height} is more than {max_pixels:,} pixels")
        if min(width, height) * 4 < resolution:
            raise ValueError(f"{width}x{height} is too small for {resolution}x{resolution}")
        if opened.mode == "F" or (opened.format == "TIFF" and opened.mode == "I"):
            raise ValueError("its pixels have 32 bits, whose black and white nobody tells; save it in 8 or 16 bits")
        deep = opened.format == "PNG" and any("16B" in str(tile[3]) for tile in opened.tile)
        opened.load()
        whole: Image.Image = opened
        if deep and isinstance(key := opened.info.get("transparency"), tuple):
            opened.info["transparency"] = tuple(value >> 8 for value in key)  # its pixels have 8 bits by now
        if opened.format == "BMP" and opened.mode == "RGBA" and opened.getchannel("A").getextrema() == (0, 0):
            whole = opened.convert("RGB")  # bytes that nobody filled in; no viewer takes them for transparency
        image = to_srgb(upright(whole))
    left, top, side = central(*image.size) if square is None else square_of(square, image.size, whole_size, resolution)
    image = to_rgb(image.crop((left, top, left + side, top + side)))
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(image)


class OutsidePicture(ValueError):
    """A square that does not lie in its picture, or is too small."""


def central(width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side of the largest square in the middle."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def square_of(
    square: tuple[int, int, int], size: tuple[int, int], whole_size: tuple[int, int], resolution: int
) -> tuple[int, int, int]:
    """A square of a picture, in pixels of that picture as it was decoded: upright, and perhaps smaller than it is.

    Args:
        square: left, top and side in pixels of the whole picture, upright.
        size: of the picture as it was decoded, upright.
        whole_size: of the whole picture, as it lies in its file.
        resolution: a square of less than a quarter of it is too small.

    Raises:
        OutsidePicture: it does not lie in the picture, or is too small.
    """
    turned = size[0] != size[1] and (size[0] < size[1]) != (whole_size[0] < whole_size[1])
    width, height = whole_size[::-1] if turned else whole_size
    left, top, side = square
    if min(left, top) < 0 or 4 * side < resolution or left + side > width or top + side > height:
        raise OutsidePicture(f"{left},{top},{side} is no square of {width}x{height}")
    smaller = min(size[0] / width, size[1] / height)
    side = max(1, min(round(side * smaller), *size))
    return min(round(left * smaller), size[0] - side), min(round(top * smaller), size[1] - side), side


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF tag says; a tag that cannot be read turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken metadata can raise almost anything, while the picture itself is sound
        return image.copy()


def to_srgb(image: Image.Image) -> Image.Image:
    """The colours that an embedded ICC profile means, as sRGB; without a profile, or with a broken one, as they are."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "L", "LA", "P", "PA", "CMYK"):
        return image
    if image.mode in ("P", "PA"):  # a palette's colours are meant alike
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    alpha = image.getchannel("A") if image.mode == "LA" else None
    image = image.convert("L") if alpha is not None else image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image  # which keeps its pixels
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        key = image.info.get("transparency")
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError):
        return image
    assert converted is not None  # only a conversion in place gives nothing
    if key is not None:  # one colour is transparent, by its number before the conversion
        converted.info.pop("transparency", None)
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB: transparency over white, 16-bit grey scaled to 8 bits."""
    if image.mode.startswith("I"):  # I, I;16 and I;16B hold 0 to 65535, which convert() would clip at 255
        deep, key = np.asarray(image).clip(0, 65535), image.info.get("transparency")
        image = Image.fromarray((deep >> 8).astype(np.uint8))
        if isinstance(key, int):
            image.putalpha(Image.fromarray(np.where(deep == key, 0, 255).astype(np.uint8)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
