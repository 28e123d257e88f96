"""Many faces to files: each whole or absent, none drawn twice, never all of them in memory."""

import hashlib
import io
import json
import math
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .drawing import chunks
from .enlarging import enlarge
from .files import atomic_file
from .generator import Generator
from .memory import Face, face_png

FORMATS = ("png", "webp", "jpg", "npz")
PLAN = "faces.json"  # how the faces of a folder were drawn
MAX_GRID = 2**27  # pixels of a contact sheet, 400 MB
WRITERS = 2  # threads
LEFT_SECONDS = 600  # after which nobody writes to a temporary file any more

Progress = Callable[[int], object]  # hears how many faces more are done


@dataclass(frozen=True)
class Plan:
    """How all faces of a folder are drawn. ``weights`` is a digest of the generator's numbers."""

    weights: str
    truncation: float
    size: int
    style: str
    format: str
    model: str | None = None
    revision: str | None = None

    def picture(self, image: Image.Image) -> Image.Image:
        """``image`` at the size of the plan."""
        return enlarge(image, self.size, self.style)

    def file(self, image: Image.Image, seed: int) -> bytes:
        """A face as a file; a PNG remembers how it was drawn."""
        image, file = self.picture(image), io.BytesIO()
        if self.format == "png":
            # Of a drawn face zlib finds next to nothing to repeat: to look for runs alone takes half the time and makes
            # a smaller file. An enlarged one it packs well.
            how = {"compress_type": zlib.Z_RLE} if self.style == "none" else {}
            face = Face(seed=seed, truncation=self.truncation, model=self.model, revision=self.revision)
            return face_png(image, face, **how)
        if self.format == "webp":
            image.save(file, "WEBP", lossless=True)
        else:
            image.save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue()


def claim(folder: Path, plan: Plan) -> None:
    """Make ``folder`` that of a plan, or make sure that it is.

    Raises:
        ValueError: it holds faces that were drawn in another way; one sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".*.{'[0-9a-f]' * 8}.tmp"):  # of a command that was killed
        if time.time() - leftover.stat().st_mtime > LEFT_SECONDS:
            leftover.unlink()
    file, wanted = folder / PLAN, {name: value for name, value in asdict(plan).items() if value is not None}
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            other = [name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)]
        except (ValueError, AttributeError, RecursionError):
            other = [PLAN]
        if other := sorted(set(other) - {"model", "revision"}):  # the same weights by another name are the same
            raise ValueError(
                f"--outdir: '{folder}' holds faces that were drawn with other options ({', '.join(other)}); "
                "give another folder"
            )
    else:
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def face_file(folder: Path, seed: int, plan: Plan) -> Path:
    """Where the face of a seed lies."""
    return folder / f"seed-{seed}.{plan.format}"


def draw(
    generator: Generator,
    seeds: list[range],
    count: int,
    folder: Path,
    plan: Plan,
    batch_size: int,
    progress: Progress,
) -> int:
    """Draw the faces of ``seeds``, ``count`` in all, that are not in ``folder`` yet, as its plan says.

    Returns:
        How many were drawn.
    """
    if plan.format != "npz":
        return draw_files(generator, chain(*seeds), folder, plan, batch_size, progress)
    names = "_".join(f"{some[0]}-{some[-1]}" if len(some) > 1 else f"{some[0]}" for some in seeds)
    file = folder / f"faces-{names if len(names) <= 100 else hashlib.sha256(names.encode()).hexdigest()[:16]}.npz"
    if file.exists():
        return 0
    draw_archive(generator, seeds, count, file, plan, batch_size, progress)
    return count


def draw_files(
    generator: Generator, seeds: Iterable[int], folder: Path, plan: Plan, batch_size: int, progress: Progress
) -> int:
    """Draw the faces of ``seeds`` that are not in ``folder`` yet, one file each.

    Returns:
        How many were drawn.
    """
    drawn = 0

    def write(image: Image.Image, seed: int) -> None:
        with atomic_file(face_file(folder, seed, plan)) as temporary:
            temporary.write_bytes(plan.file(image, seed))

    with ThreadPoolExecutor(WRITERS) as pool:
        for some in chunks(seeds, batch_size):
            missing = [seed for seed in dict.fromkeys(some) if not face_file(folder, seed, plan).exists()]
            images = list(generator.draw(missing, truncation=plan.truncation, batch_size=batch_size))
            # All are written before the next are drawn: side by side they would take each other's cores.
            list(pool.map(write, images, missing))
            drawn += len(missing)
            progress(len(some))
    return drawn


def draw_archive(
    generator: Generator, seeds: list[range], count: int, file: Path, plan: Plan, batch_size: int, progress: Progress
) -> None:
    """Draw all faces into one .npz, whole: ``images`` uint8 (count, size, size, 3 or 1), ``seeds`` uint32 (count,)."""
    channels = len(generator.generate([0])[0].getbands())
    shape = (count, plan.size, plan.size, channels)
    with atomic_file(file) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        with archive.open("seeds.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, _header("<u4", (count,)))
            for some in chunks(chain(*seeds), 2**16):
                entry.write(np.array(some, "<u4").tobytes())
        with archive.open("images.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, _header("|u1", shape))
            for some in chunks(chain(*seeds), batch_size):
                for image in generator.draw(some, truncation=plan.truncation, batch_size=batch_size):
                    entry.write(np.asarray(plan.picture(image)).tobytes())
                progress(len(some))


def _header(dtype: str, shape: tuple[int, ...]) -> dict[str, object]:
    return {"descr": dtype, "fortran_order": False, "shape": shape}


def grid_size(count: int, size: int) -> tuple[int, int]:
    """Columns and rows of a contact sheet; ValueError, one sentence, if it would be too large."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if columns * rows * size**2 > MAX_GRID:
        most = MAX_GRID // size**2
        raise ValueError(f"--grid: {count:,} faces of {size} pixels, where a sheet has room for {most:,}; give fewer")
    return columns, rows


def draw_grid(faces: Iterable[Image.Image], count: int, file: Path, plan: Plan, progress: Progress) -> None:
    """Write a contact sheet of ``count`` faces in reading order, whole, in the format of its name."""
    columns, rows = grid_size(count, plan.size)
    sheet: Image.Image | None = None
    for i, face in enumerate(faces):
        sheet = sheet or Image.new(face.mode, (columns * plan.size, rows * plan.size), "white")
        sheet.paste(plan.picture(face), (i % columns * plan.size, i // columns * plan.size))
        progress(1)
    save_whole(sheet, file)


def save_whole(image: Image.Image | None, file: Path) -> None:
    """Write a picture whole, in the format of its name: .png, .webp or .jpg."""
    assert image is not None
    suffix = file.suffix.lower()
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {"quality": 95} if "j" in suffix else {}
    with atomic_file(file) as temporary:
        image.save(temporary, Image.registered_extensions()[suffix], **options)
