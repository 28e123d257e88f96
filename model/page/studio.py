"""What the page and its API do, without the page: checked values in, picture files out."""

import io
import zipfile
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, Literal

import torch
from PIL import Image

from ..picking import average_shading, good_seeds
from ..sampling import MAX_SEED, image_grid, interpolate
from .animation import to_gif, to_mp4, to_png
from .cache import FileCache
from .checks import Refusal, choice, creativity, must_be, seed_number, switch, whole_number
from .explore import code_to_latent, latent_to_code, latents_around
from .looks import Enlargement, look_of, suffix
from .models import FRAMES_AT_ONCE, ModelStore
from .projection import SEARCHER, project
from .uploads import face_in
from .walks import keys_of, latent_of, move, seed_or_none, walk
from .workers import WORKERS, Progress, Unwanted, ignore, wanted, while_wanted

MAX_COUNT, MAX_KEYS, MAX_FRAMES = 64, 8, 48
MAX_SHARP = 192  # frames of a film that are redrawn, 40 ms each
PICKED_OF, MAX_AVERAGES = 8, 8  # seeds of which one is picked, and models whose average face is kept
STRIP = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # truncations of one seed side by side
WAY_FRAMES = 11  # faces in the strip of an interpolation
FRAMES_PER_SECOND = 20

Album = list[tuple[str, str]]  # (PNG, caption)


class Studio:
    """Draws with the models of ``models`` into ``files``.

    Every method raises :class:`checks.Refusal` for a value or a full disk, :class:`hub.LoadError` for a model and
    :class:`workers.Unwanted` where nobody waits for it any more.
    """

    def __init__(self, models: ModelStore, files: FileCache) -> None:
        self.models, self.files = models, files
        self._average = lru_cache(MAX_AVERAGES)(lambda drawn: average_shading(drawn.generator))

    def seed(
        self,
        seed: int | str,
        truncation: float = 1.0,
        enlarge: Enlargement = "none",
        model: str = "",
    ) -> str:
        """Draw the face of one seed, a PNG.

        Args:
            seed: whole number from 0 to 4294967295, or any name; the same is always the same face.
            truncation: 0 to 1.5, the scale of the latent; lower is calmer (paler without a mapping), higher wilder.
            enlarge: none, or to 512 pixels: crisp (every pixel a square), smooth (Lanczos) or sharp (redrawn by
                waifu2x; sharp-256 and sharp-128 to fewer pixels).
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
        """
        drawn = self.models[model]
        seed, truncation = seed_number("Seed", seed), creativity(truncation)
        look = look_of(enlarge)
        (png,) = drawn.pngs([(seed, truncation)], look)
        return self.files.add(png, f"seed-{seed}{suffix(look)}.png")

    def pick(self, first: int | str, model: str = "") -> str:
        """The seed of the face that holds up best, of eight from ``first`` on."""
        drawn = self.models[model]
        first = min(seed_number("Seed", first), MAX_SEED + 1 - PICKED_OF)
        return str(good_seeds(drawn.generator, 1, first, PICKED_OF, self._average(drawn))[0])

    def strip(self, seed: int | str, model: str = "", enlarge: Enlargement = "none") -> Album:
        """Draw one seed at every variety, from the palest face to the wildest: PNGs with the truncation as caption.

        Args:
            seed: whole number from 0 to 4294967295, or any name.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        seed = seed_number("Seed", seed)
        look = look_of(enlarge)
        pngs, name = drawn.pngs([(seed, truncation) for truncation in STRIP], look), f"seed-{seed}{suffix(look)}.png"
        return [(self.files.add(png, name), f"{truncation:g}") for png, truncation in zip(pngs, STRIP)]

    def batch(
        self,
        first_seed: int | str,
        count: int,
        truncation: float = 1.0,
        model: str = "",
        enlarge: Enlargement = "none",
        progress: Progress = ignore,
    ) -> tuple[Album, str]:
        """Draw the faces of neighbouring seeds: PNGs with the seeds as captions, and a ZIP of them and a contact sheet.

        Args:
            first_seed: whole number from 0 to 4294967295, or any name; past the end, counting goes on at 0.
            count: 1 to 64 faces.
            truncation: 0 to 1.5, the scale of the latent; lower is calmer (paler without a mapping), higher wilder.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        first_seed = seed_number("First seed", first_seed)
        count = whole_number("How many", count, 1, MAX_COUNT)
        truncation, look = creativity(truncation), look_of(enlarge)
        seeds = [seed % (MAX_SEED + 1) for seed in range(first_seed, first_seed + count)]
        pngs = drawn.pngs([(seed, truncation) for seed in seeds], look, progress)
        faces = {f"seed-{seed}{suffix(look)}.png": png for seed, png in zip(seeds, pngs)}
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:  # stored: a PNG does not shrink again
            sheet = to_png(image_grid([_image(png) for png in faces.values()]))
            for name, png in [*faces.items(), ("contact-sheet.png", sheet)]:
                archive.writestr(zipfile.ZipInfo(name), png)  # without the time: the same batch is the same file
        archive_file = self.files.add(file.getvalue(), f"faces-{first_seed}-{count}{suffix(look)}.zip")
        return [(self.files.add(png, name), str(seed)) for seed, (name, png) in zip(seeds, faces.items())], archive_file

    def interpolation(
        self,
        seeds: str,
        frames: int = 16,
        loop: bool = True,
        truncation: float = 1.0,
        model: str = "",
        enlarge: Literal["none", "sharp"] = "none",
        progress: Progress = ignore,
    ) -> tuple[str, str, str, Album]:
        """Turn one face into the next: a strip of 11 steps (PNG), an animation (MP4, GIF), the faces it goes through.

        Args:
            seeds: 2 to 8 whole numbers from 0 to 4294967295 or names, such as "7, alice"; codes of explored faces too.
            frames: 1 to 48 frames from one face to the next, at 20 frames a second.
            loop: end with the way back to the first face.
            truncation: 0 to 1.5, the scale of the latent; lower is calmer (paler without a mapping), higher wilder.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            enlarge: none, or sharp: frames, at most 192 in all, and strip are redrawn at twice their size by waifu2x.
        """
        drawn = self.models[model]
        keys = keys_of(seeds) if isinstance(seeds, str) else []
        latents = [z for z in (latent_of(key, drawn.generator.latent_dim) for key in keys) if z is not None]
        if not 2 <= len(keys) <= MAX_KEYS or len(latents) < len(keys):
            raise must_be(
                "Seeds", f"2 to {MAX_KEYS} whole numbers from 0 to {MAX_SEED} or names, such as '7, alice'", seeds
            )
        frames = whole_number("Frames from face to face", frames, 1, MAX_FRAMES)
        loop, truncation = switch("Loop", loop), creativity(truncation)
        look = look_of("sharp-128" if choice("Film", enlarge, ["none", "sharp"]) == "sharp" else "none")
        z, dim = torch.cat(latents), drawn.generator.latent_dim
        way = interpolate(z, frames, loop)
        if look != "none" and len(way) > MAX_SHARP:
            raise Refusal(f"A sharp film may have {MAX_SHARP} frames, not {len(way)}; choose fewer frames or faces.")
        strip = drawn.draw(interpolate(z, WAY_FRAMES - 1)[:: len(keys) - 1], truncation, look)
        pictures = drawn.draw(way, truncation, look, progress, FRAMES_AT_ONCE)
        video = WORKERS.submit(to_mp4, while_wanted(pictures), fps=FRAMES_PER_SECOND)
        animation = WORKERS.submit(to_gif, while_wanted(pictures), fps=FRAMES_PER_SECOND)
        name = "-".join(["faces", *(key if key.isdecimal() else "z" for key in keys), *["sharp"][: look != "none"]])
        captions = ["explored" if code_to_latent(key, dim) is not None else key for key in keys]
        faces = [to_png(face) for face in drawn.draw(z, truncation, look)]
        return (
            self.files.add(to_png(image_grid(strip, columns=WAY_FRAMES)), f"{name}.png"),
            self.files.add(video.result(), f"{name}.mp4"),
            self.files.add(animation.result(), f"{name}.gif"),
            [(self.files.add(png, "face.png"), caption) for png, caption in zip(faces, captions)],
        )

    def explore(
        self,
        start: str,
        truncation: float = 1.0,
        steps: str = "",
        moves: str = "",
        model: str = "",
        enlarge: Enlargement = "none",
    ) -> tuple[str, str]:
        """Draw a face and what it becomes on a walk through its neighbours and along measured directions.

        Returns the PNG and the face's code, which is a start for another walk and a face for an interpolation.

        Args:
            start: a seed, a name, or the code of a face.
            truncation: 0 to 1.5, the scale of the latent; lower is calmer (paler without a mapping), higher wilder.
            steps: at most 64 neighbours to go to one after the other, 0 to 24 row by row, such as "7.13".
            moves: how far to go along each of the page's sliders, in their order, -4 to 4, such as "0,1.5,-2".
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        z, _ = walk(start, steps, drawn.generator.latent_dim)
        z, truncation, look = move(drawn, z, moves), creativity(truncation), look_of(enlarge)
        (face,) = drawn.draw(z, truncation, look)
        code, seed = latent_to_code(z[0]), seed_or_none(start, drawn.generator.latent_dim)
        known: dict[str, Any] = {"code": code}
        if seed is not None and not steps:  # to the last bit, as a code is not
            known = {"seed": seed, "moves": tuple(float(amount) for amount in moves.split(",") if amount)}
        return self.files.add(drawn.png(face, truncation=truncation, **known), f"explored{suffix(look)}.png"), code

    def neighbours(
        self,
        start: str,
        truncation: float = 1.0,
        steps: str = "",
        moves: str = "",
        model: str = "",
        enlarge: Enlargement = "none",
    ) -> Album:
        """Draw the 25 faces around a face, row by row, with that face in the middle: PNGs with no. 0 to 24 as caption.

        Args:
            start: a seed, a name, or the code of a face.
            truncation: 0 to 1.5, the scale of the latent; lower is calmer (paler without a mapping), higher wilder.
            steps: at most 64 neighbours to go to one after the other, 0 to 24 row by row, such as "7.13".
            moves: how far to go along each of the page's sliders, in their order, -4 to 4, such as "0,1.5,-2".
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        z, key = walk(start, steps, drawn.generator.latent_dim)
        z = move(drawn, latents_around(z[0], key), moves)
        truncation, look = creativity(truncation), look_of(enlarge)
        faces, name = drawn.draw(z, truncation, look), f"explored{suffix(look)}.png"
        return [(self.files.add(to_png(face), name), str(i)) for i, face in enumerate(faces)]

    def project(
        self,
        picture: object,
        model: str = "",
        square: str = "",
        enlarge: Enlargement = "none",
        progress: Progress = ignore,
    ) -> tuple[str, str]:
        """Find a face like the one in a picture; best where the face fills a square of it, seen from the front.

        Returns the PNG and the face's code, which is a start for Explore and a face for an interpolation.

        Args:
            picture: an uploaded PNG, JPEG, WebP or BMP file.
            model: of the page, blend:0.5 (between its first two), or a public one's id; the page's own if empty.
            square: where the face is: left, top and side in pixels, such as "40,0,200"; if empty, the largest square
                in the middle of the picture.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        look_of(enlarge)  # which would be refused only after the search
        target = face_in(self.files, picture, square, drawn.generator.image_size)
        still = wanted.get()

        def go_on(done: float) -> None:
            if not still():
                raise Unwanted
            progress(done)

        # In this context, where Gradio's progress bar knows whose it is.
        search = partial(project, drawn.generator, target, self.models.eye, progress=go_on)
        z = SEARCHER.submit(copy_context().run, search).result()
        return self.explore(latent_to_code(z), model=model, enlarge=enlarge)


def _image(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))
