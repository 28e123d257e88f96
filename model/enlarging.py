"""A face at another size, in one of three styles."""

from PIL.Image import Image, Resampling

from .sharp import check_sharp, sharpen

FILTERS = {"crisp": Resampling.NEAREST, "smooth": Resampling.LANCZOS}
STYLES = (*FILTERS, "sharp")


def check_style(style: str) -> None:
    """Raise :class:`sharp.SharpUnavailable`, a ValueError of one sentence, for a style that is not to be had here."""
    if style == "sharp":
        check_sharp()


def enlarge(image: Image, size: int, style: str) -> Image:
    """A square image (RGB or L) at ``size`` pixels a side: crisp (every pixel a square), smooth (Lanczos) or sharp
    (redrawn, see :func:`sharp.sharpen`); itself where that is its size."""
    if image.size == (size, size):
        return image
    return sharpen(image, size) if style == "sharp" else image.resize((size, size), FILTERS[style])
