"""What the page and its API do, without the page: checked values in, picture files out."""

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ..enlarging import enlarge as enlarged
from ..pictures import FORMATS, decode_picture
from ..sampling import MAX_SEED, image_grid, interpolate, latents_from_seeds
from ..sharp import SharpUnavailable
from .animation import to_gif, to_mp4, to_png
from .cache import FileCache
from .checks import Refusal, as_sentence, choice, creativity, must_be, seed_number, switch, whole_number
from .explore import GRID, code_to_latent, latent_to_code, latents_around
from .models import WORKERS, LoadedModel, ModelStore, Unwanted, wanted, while_wanted
from .projection import project

MAX_COUNT, MAX_KEYS, MAX_FRAMES = 64, 8, 48
STRIP = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # truncations of one seed side by side
WAY_FRAMES = 11  # faces in the strip of an interpolation
FRAMES_PER_SECOND = 20
LARGE = 512  # pixels of an enlarged face
ENLARGEMENTS = {  # style and size
    "none": None,
    "crisp": ("crisp", LARGE),
    "smooth": ("smooth", LARGE),
    "sharp": ("sharp", LARGE),
    "sharp-256": ("sharp", LARGE // 2),
}

MAX_STEPS, MAX_MOVE = 64, 4
MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS = 16_000_000, 2**24
CELLS = [str(i) for i in range(GRID * GRID)]

Album = list[tuple[str, str]]  # (PNG, caption)


class Studio:
    """Draws with the models of ``models`` into ``files``.

    Every method raises :class:`checks.Refusal` for a value or a full disk, :class:`hub.LoadError` for a model and
    :class:`models.Unwanted` where nobody waits for it any more.
    """

    def __init__(self, models: ModelStore, files: FileCache) -> None:
        self.models, self.files = models, files

    def seed(
        self,
        seed: int | str,
        truncation: float = 1.0,
        enlarge: Literal["none", "crisp", "smooth", "sharp", "sharp-256"] = "none",
        model: str = "",
    ) -> str:
        """Draw the face of one seed, a PNG.

        Args:
            seed: whole number from 0 to 4294967295, or any name; the same is always the same face.
            truncation: 0 to 1.5, the contrast of the latent; lower is paler, higher is wilder.
            enlarge: none, or to 512 pixels: crisp (every pixel a square), smooth (Lanczos) or sharp (redrawn by
                waifu2x; sharp-256 to 256 pixels).
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        seed, truncation = seed_number("Seed", seed), creativity(truncation)
        filter = ENLARGEMENTS[choice("PNG", enlarge, list(ENLARGEMENTS))]
        (png,) = drawn.pngs([(seed, truncation)])
        if filter is None:
            return self.files.add(png, f"seed-{seed}.png")
        style, size = filter
        try:
            face = enlarged(_image(png), size, style)
        except SharpUnavailable as error:
            raise Refusal(as_sentence(error)) from None
        return self.files.add(drawn.png(face, seed=seed, truncation=truncation), f"seed-{seed}-{enlarge}.png")

    def strip(self, seed: int | str, model: str = "") -> Album:
        """Draw one seed at every variety, from the palest face to the wildest: PNGs with the truncation as caption.

        Args:
            seed: whole number from 0 to 4294967295, or any name.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        seed = seed_number("Seed", seed)
        pngs = drawn.pngs((seed, truncation) for truncation in STRIP)
        return [(self.files.add(png, f"seed-{seed}.png"), f"{truncation:g}") for png, truncation in zip(pngs, STRIP)]

    def batch(self, first_seed: int | str, count: int, truncation: float = 1.0, model: str = "") -> tuple[Album, str]:
        """Draw the faces of neighbouring seeds: PNGs with the seeds as captions, and a ZIP of them and a contact sheet.

        Args:
            first_seed: whole number from 0 to 4294967295, or any name; past the end, counting goes on at 0.
            count: 1 to 64 faces.
            truncation: 0 to 1.5, the contrast of the latent; lower is paler, higher is wilder.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        first_seed = seed_number("First seed", first_seed)
        count = whole_number("How many", count, 1, MAX_COUNT)
        truncation = creativity(truncation)
        seeds = [seed % (MAX_SEED + 1) for seed in range(first_seed, first_seed + count)]
        faces = {f"seed-{seed}.png": png for seed, png in zip(seeds, drawn.pngs((seed, truncation) for seed in seeds))}
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:  # stored: a PNG does not shrink again
            sheet = to_png(image_grid([_image(png) for png in faces.values()]))
            for name, png in [*faces.items(), ("contact-sheet.png", sheet)]:
                archive.writestr(zipfile.ZipInfo(name), png)  # without the time: the same batch is the same file
        archive_file = self.files.add(file.getvalue(), f"faces-{first_seed}-{count}.zip")
        return [(self.files.add(png, name), str(seed)) for seed, (name, png) in zip(seeds, faces.items())], archive_file

    def interpolation(
        self, seeds: str, frames: int = 16, loop: bool = True, truncation: float = 1.0, model: str = ""
    ) -> tuple[str, str, str, Album]:
        """Turn one face into the next: a strip of 11 steps (PNG), an animation (MP4, GIF), the faces it goes through.

        Args:
            seeds: 2 to 8 whole numbers from 0 to 4294967295 or names, such as "7, alice"; codes of explored faces too.
            frames: 1 to 48 frames from one face to the next, at 20 frames a second.
            loop: end with the way back to the first face.
            truncation: 0 to 1.5, the contrast of the latent; lower is paler, higher is wilder.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        keys = keys_of(seeds) if isinstance(seeds, str) else []
        latents = [z for z in (_latent(key, drawn.generator.latent_dim) for key in keys) if z is not None]
        if not 2 <= len(keys) <= MAX_KEYS or len(latents) < len(keys):
            raise must_be(
                "Seeds", f"2 to {MAX_KEYS} whole numbers from 0 to {MAX_SEED} or names, such as '7, alice'", seeds
            )
        frames = whole_number("Frames from face to face", frames, 1, MAX_FRAMES)
        loop, truncation = switch("Loop", loop), creativity(truncation)
        z = torch.cat(latents)
        strip = drawn.draw(z=interpolate(z, WAY_FRAMES - 1)[:: len(keys) - 1], truncation=truncation)
        pictures = drawn.draw(z=interpolate(z, frames, loop), truncation=truncation)
        video = WORKERS.submit(to_mp4, while_wanted(pictures), fps=FRAMES_PER_SECOND)
        animation = WORKERS.submit(to_gif, while_wanted(pictures), fps=FRAMES_PER_SECOND)
        name = "faces-" + "-".join(key if key.isdecimal() else "z" for key in keys)
        captions = ["explored" if code_to_latent(key, drawn.generator.latent_dim) is not None else key for key in keys]
        faces = [to_png(face) for face in drawn.draw(z=z, truncation=truncation)]
        return (
            self.files.add(to_png(image_grid(strip, columns=WAY_FRAMES)), f"{name}.png"),
            self.files.add(video.result(), f"{name}.mp4"),
            self.files.add(animation.result(), f"{name}.gif"),
            [(self.files.add(png, "face.png"), caption) for png, caption in zip(faces, captions)],
        )

    def explore(
        self, start: str, truncation: float = 1.0, steps: str = "", moves: str = "", model: str = ""
    ) -> tuple[str, str]:
        """Draw a face and what it becomes on a walk through its neighbours and along measured directions.

        Returns the PNG and the face's code, which is a start for another walk and a face for an interpolation.

        Args:
            start: a seed, a name, or the code of a face.
            truncation: 0 to 1.5, the contrast of the latent; lower is paler, higher is wilder.
            steps: at most 64 neighbours to go to one after the other, 0 to 24 row by row, such as "7.13".
            moves: how far to go along each of the page's sliders, in their order, -4 to 4, such as "0,1.5,-2".
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        z, _ = _walk(start, steps, drawn.generator.latent_dim)
        z = _move(drawn, z, moves)
        (face,), code, text = (
            drawn.draw(z=z, truncation=creativity(truncation)),
            latent_to_code(z[0]),
            str(start).strip(),
        )
        known: dict[str, Any] = {"code": code}
        if text.isdecimal() and not steps:  # to the last bit, which a code is not
            known = {"seed": int(text), "moves": tuple(float(move) for move in moves.split(",") if move)}
        return self.files.add(drawn.png(face, truncation=truncation, **known), "explored.png"), code

    def neighbours(
        self, start: str, truncation: float = 1.0, steps: str = "", moves: str = "", model: str = ""
    ) -> Album:
        """Draw the 25 faces around a face, row by row, with that face in the middle: PNGs with no. 0 to 24 as caption.

        Args:
            start: a seed, a name, or the code of a face.
            truncation: 0 to 1.5, the contrast of the latent; lower is paler, higher is wilder.
            steps: at most 64 neighbours to go to one after the other, 0 to 24 row by row, such as "7.13".
            moves: how far to go along each of the page's sliders, in their order, -4 to 4, such as "0,1.5,-2".
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        z, key = _walk(start, steps, drawn.generator.latent_dim)
        z = _move(drawn, latents_around(z[0], key), moves)
        faces = drawn.draw(z=z, truncation=creativity(truncation))
        return [(self.files.add(to_png(face), "explored.png"), str(i)) for i, face in enumerate(faces)]

    def project(
        self, picture: object, model: str = "", progress: Callable[[float], object] = lambda done: None
    ) -> tuple[str, str]:
        """Find a face like the one in a picture; best with one face in its middle, seen from the front.

        Returns the PNG and the face's code, which is a start for Explore and a face for an interpolation.

        Args:
            picture: an uploaded PNG, JPEG, WebP or BMP file; cut to its central square.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        generator = self.models[model].generator
        file = self.files.find(picture) if isinstance(picture, str) else None
        if picture is not None and file is None:
            raise Refusal(
                "Picture must be a file that was uploaded to this page within the last hour; upload it again."
            )
        try:
            if file is None or file.stat().st_size > MAX_PICTURE_BYTES:
                raise ValueError
            pixels = decode_picture(file.read_bytes(), generator.image_size, max_pixels=MAX_PICTURE_PIXELS, draft=True)
        except Exception:  # a broken file can raise almost anything
            formats, side = ", ".join(FORMATS[:-1]), generator.image_size // 4
            kind = f"a whole {formats} or {FORMATS[-1]} file, from {side} pixels a side to 16 megapixels and 16 MB"
            raise must_be("Picture", kind, file and file.name) from None
        target = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 127.5 - 1
        still = wanted.get()

        def go_on(done: float) -> None:
            if not still():
                raise Unwanted
            progress(done)

        code = latent_to_code(project(generator, target, progress=go_on))
        return self.explore(code, model=model)


def _image(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def _latent(start: object, latent_dim: int) -> Tensor | None:
    """The latent (1, latent_dim) of a seed, a name or a code; None for anything else."""
    text = str(start) if type(start) is int else start
    if not isinstance(text, str):
        return None
    z = code_to_latent(text, latent_dim)
    if z is not None:
        return z[None]
    try:
        return latents_from_seeds([seed_number("Seed", text)], latent_dim)
    except Refusal:
        return None


def keys_of(seeds: str) -> list[str]:
    """Seeds, names and codes: with commas or semicolons between them, or spaces where they are seeds alone."""
    if re.fullmatch(r"[\s0-9]+", seeds):
        return seeds.split()
    parts = [part.strip() for part in re.split("[,;]", seeds)]
    return [key for part in parts if part for key in (part.split() if re.fullmatch(r"[\s0-9]+", part) else [part])]


def _walk(start: object, steps: object, latent_dim: int) -> tuple[Tensor, str]:
    """The latent (1, latent_dim) at the end of a walk, and the key of the map around it."""
    z = _latent(start.strip() if isinstance(start, str) else start, latent_dim)
    if z is None:
        raise must_be("Start", f"a whole number from 0 to {MAX_SEED}, a name or the code of a face", start)
    words = steps.split(".") if isinstance(steps, str) and steps else []
    if not isinstance(steps, str) or len(words) > MAX_STEPS or not all(word in CELLS for word in words):
        raise must_be("Steps", f"at most {MAX_STEPS} numbers from 0 to {len(CELLS) - 1}, such as '7.13'", steps)
    key = latent_to_code(z[0])
    for word in words:
        z, key = latents_around(z[0], key)[int(word)][None], f"{key}.{word}"
    return z, key


def _move(model: LoadedModel, z: Tensor, moves: object) -> Tensor:
    """``z`` moved along the model's directions."""
    number, most = r"-?[0-9]{1,3}(\.[0-9]{1,6})?", len(model.directions.labels)
    words = moves.split(",") if isinstance(moves, str) and moves else []
    valid = isinstance(moves, str) and all(re.fullmatch(number, word) for word in words)
    if not valid or len(words) > most or any(abs(float(word)) > MAX_MOVE for word in words):
        wanted = f"at most {most} numbers from -{MAX_MOVE} to {MAX_MOVE}, such as '0,1.5'"
        raise must_be("Moves", wanted if most else "empty, as these weights have no directions", moves)
    return model.directions.move(z, [float(word) for word in words])
