"""Films from latents: each frame is drawn, enlarged and written before the next batch, whole or not at all."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Dither, Image, Quantize
from torch import Tensor

from .enlarging import enlarge
from .files import atomic_file
from .generator import Generator
from .sampling import image_grid, interpolate, latents_from_seeds

SUFFIXES = (".mp4", ".gif", ".webp")
MAX_FACES = 100_000  # half an hour
MAX_STILL = 2**28  # pixels of all frames of a GIF or WebP, which Pillow holds in memory


def film_length(count: int, cells: int, frames: int, loop: bool) -> int:
    """The pictures of a film: ``count`` seeds are dealt out evenly to ``cells``, with ``frames`` from one to the next.

    Raises:
        ValueError: not as many seeds, two at least, for each cell; more faces than anyone waits for; one sentence.
    """
    keys, rest = divmod(count, cells)
    if keys < 2 or rest:
        cell = f" for each of the {cells} cells of --grid" if cells > 1 else ""
        raise ValueError(f"--seeds: {count} of them, where a film needs two at least{cell}, and for all as many")
    length = keys * frames if loop else (keys - 1) * frames + 1
    if length * cells > MAX_FACES:
        raise ValueError(f"--frames: {length * cells:,} faces are more than the {MAX_FACES:,} of one film; give fewer")
    return length


def film_latents(generator: Generator, seeds: Sequence[int], cells: int, frames: int, loop: bool) -> Tensor:
    """The latents of a film (T, cells, latent_dim): each cell walks through seeds of its own, the first the first."""
    z = latents_from_seeds(seeds, generator.latent_dim).reshape(cells, len(seeds) // cells, -1)
    return torch.stack([interpolate(own, frames, loop) for own in z], dim=1)


def film_frames(
    generator: Generator, z: Tensor, columns: int, truncation: float, size: int, style: str, batch_size: int
) -> Iterator[Image]:
    """The pictures of latents (T, cells, latent_dim), one after the other; each cell has ``size`` pixels a side."""
    step = max(1, batch_size // z.shape[1])
    for start in range(0, len(z), step):
        some = z[start : start + step]
        faces = generator.generate(z=some.flatten(0, 1), truncation=truncation, batch_size=batch_size)
        for i in range(0, len(faces), z.shape[1]):
            cells = [enlarge(face.convert("RGB"), size, style) for face in faces[i : i + z.shape[1]]]
            yield image_grid(cells, columns)


def check_film(file: Path, frames: int, width: int, height: int) -> None:
    """Refuse a film that cannot be written, before anything is drawn.

    Raises:
        ValueError: another format, odd pixels for an MP4, too many of them for a GIF or WebP; one sentence.
        ModuleNotFoundError: an MP4 without PyAV.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"output: '{file.name}' is no film; give a name that ends in {', '.join(SUFFIXES)}")
    if suffix == ".mp4":
        import av  # noqa: F401

        if width % 2 or height % 2:
            raise ValueError(f"--size: a film of {width}x{height} pixels cannot be an MP4; give an even number")
    elif frames * width * height > MAX_STILL:
        raise ValueError(f"--frames: {frames} of {width}x{height} pixels are too many for a {suffix[1:]}; give out.mp4")


def write_film(frames: Iterator[Image], file: Path, fps: int) -> None:
    """Write an H.264 video (yuv420p), or an endless GIF or WebP, by the name of ``file``."""
    with atomic_file(file) as temporary:
        if file.suffix.lower() == ".mp4":
            _write_mp4(frames, temporary, fps)
            return
        gif = file.suffix.lower() == ".gif"
        first, *others = map(_quantize, frames) if gif else frames
        film: dict[str, Any] = {"save_all": True, "append_images": others, "duration": 1000 // fps, "loop": 0}
        film |= {"format": "GIF"} if gif else {"format": "WEBP", "quality": 90, "method": 2}
        first.save(temporary, **film)


def _quantize(image: Image) -> Image:
    """In 256 colours of its own: those of an octree, and for each pixel the nearest of them."""
    return image.quantize(palette=image.quantize(method=Quantize.FASTOCTREE), dither=Dither.NONE)


def _write_mp4(frames: Iterator[Image], file: Path, fps: int) -> None:
    import av

    with av.open(str(file), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "18", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for i, frame in enumerate(frames):
            if i == 0:
                stream.width, stream.height = frame.size
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
