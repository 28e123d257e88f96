"""A few faces of our own, drawn with Pillow: pictures to try the search with where one has none at hand."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIDE = 256  # pixels of a drawing
FINE = 4  # it is drawn as much larger, then made smaller: Pillow's shapes have no smooth edges

Box = tuple[float, float, float, float]
INK = "#4a3038"


@dataclass(frozen=True)
class Look:
    """What a drawn face looks like; colours as Pillow writes them."""

    name: str
    hair: str
    shade: str  # of the hair, where it is dark
    eyes: str
    behind: str
    skin: str = "#fbe3d4"
    long: bool = True


LOOKS = (
    Look("rose", "#f29cb7", "#d9708f", "#3f8fd0", "#fdf3e3"),
    Look("night", "#39406e", "#252a4d", "#8b5bd6", "#e8ecfb"),
    Look("wheat", "#f3d27a", "#d7aa4c", "#3c9a63", "#d8eef5"),
    Look("chestnut", "#8a5a3c", "#653e28", "#b5622d", "#f7f7f7", "#f6d3b8", long=False),
)


class Sheet:
    """Shapes on a square of side 1, by their corners."""

    def __init__(self, behind: str) -> None:
        self.side = SIDE * FINE
        self.image = Image.new("RGB", (self.side, self.side), behind)
        self.pen = ImageDraw.Draw(self.image)

    def oval(self, box: Box, colour: str) -> None:
        self.pen.ellipse([corner * self.side for corner in box], colour)

    def shape(self, points: list[tuple[float, float]], colour: str) -> None:
        self.pen.polygon([(x * self.side, y * self.side) for x, y in points], colour)

    def line(self, box: Box, start: float, end: float, width: float, colour: str = INK) -> None:
        """A part of an oval's edge, from and to an angle in degrees, clockwise from the right."""
        self.pen.arc([corner * self.side for corner in box], start, end, colour, round(width * self.side))


def draw(look: Look) -> Image.Image:
    """The face, RGB, SIDE pixels a side."""
    on = Sheet(look.behind)
    end = 1.05 if look.long else 0.7
    on.oval((0.08, 0.02, 0.92, 0.86), look.shade)  # the hair behind
    on.shape([(0.08, 0.42), (0.92, 0.42), (0.95, end), (0.05, end)], look.shade)
    on.shape([(0.4, 0.75), (0.6, 0.75), (0.66, 1.0), (0.34, 1.0)], look.skin)
    on.oval((0.2, 0.9, 0.8, 1.4), look.eyes)  # a collar
    on.oval((0.17, 0.14, 0.83, 0.8), look.skin)
    on.shape([(0.17, 0.5), (0.83, 0.5), (0.74, 0.74), (0.5, 0.92), (0.26, 0.74)], look.skin)
    for x in (0.33, 0.67):
        _eye(on, x, look.eyes)
        on.oval((x - 0.09, 0.68, x + 0.09, 0.74), "#f7c3b8")
    on.line((0.43, 0.72, 0.57, 0.8), 20, 160, 0.012)
    on.line((0.48, 0.66, 0.53, 0.7), 30, 120, 0.008)
    on.oval((0.1, 0.02, 0.9, 0.5), look.hair)  # the hair in front, in strands
    on.shape([(0.1, 0.25), (0.3, 0.2), (0.23, 0.55), (0.16, min(end, 0.86)), (0.06, min(end, 0.9))], look.hair)
    on.shape([(0.9, 0.25), (0.7, 0.2), (0.77, 0.55), (0.84, min(end, 0.86)), (0.94, min(end, 0.9))], look.hair)
    for x in (0.24, 0.4, 0.56, 0.72):
        on.shape([(x - 0.11, 0.34), (x + 0.11, 0.34), (x + 0.02, 0.55)], look.hair)
    on.line((0.22, 0.1, 0.78, 0.5), 215, 290, 0.022, "#ffffff")
    return on.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _eye(on: Sheet, x: float, colour: str) -> None:
    on.oval((x - 0.095, 0.5, x + 0.095, 0.68), "#ffffff")
    on.oval((x - 0.065, 0.5, x + 0.065, 0.68), INK)
    on.oval((x - 0.055, 0.53, x + 0.055, 0.67), colour)
    on.oval((x - 0.028, 0.55, x + 0.028, 0.64), "#2b1d26")
    on.oval((x - 0.05, 0.515, x - 0.005, 0.565), "#ffffff")
    on.line((x - 0.1, 0.49, x + 0.1, 0.66), 190, 350, 0.02)


def drawings() -> Iterator[tuple[str, bytes]]:
    """The name and the PNG of each drawing."""
    for look in LOOKS:
        file = io.BytesIO()
        draw(look).quantize(64).save(file, "PNG", optimize=True)
        yield look.name, file.getvalue()
