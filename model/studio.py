"""What the page and its API do, without the page: checked values in, picture files out."""

import io
import os
import tempfile
import zipfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.Image import Resampling

from .animation import to_gif, to_mp4, to_png
from .checks import choice, creativity, key_seeds, switch, whole_number
from .generator import Generator
from .sampling import MAX_SEED, image_grid, interpolate, latents_from_seeds

MAX_COUNT, MAX_KEYS, MAX_FRAMES = 64, 8, 48
STRIP = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # truncations of one seed side by side
WAY_FRAMES = 11  # faces in the strip of an interpolation
FRAMES_PER_SECOND = 20
ENLARGEMENTS = {"none": None, "crisp": Resampling.NEAREST, "smooth": Resampling.LANCZOS}
LARGE = 512  # pixels of an enlarged face
REMEMBERED = 4096  # faces, about 8 kB each

Album = list[tuple[str, str]]  # (PNG, caption)


class Studio:
    """Draws with ``generator`` into files below ``folder``; every method's refusals are :class:`checks.Refusal`.

    A file's folder is the digest of its content, so that the same picture is one file. Its time of change is that of
    its last use, for whoever clears ``folder`` of old ones.
    """

    def __init__(self, generator: Generator, folder: str | Path) -> None:
        self.generator, self.folder = generator, Path(folder)
        self.png = lru_cache(REMEMBERED)(self._png)

    def seed(self, seed: int, truncation: float = 1.0, enlarge: Literal["none", "crisp", "smooth"] = "none") -> str:
        """Draw the face of one seed, a PNG.

        Args:
            seed: whole number from 0 to 4294967295; the same number is always the same face.
            truncation: 0 to 1.5; lower is more typical, higher is wilder.
            enlarge: none, or to 512 pixels: crisp (every pixel a square) or smooth (Lanczos).
        """
        seed, truncation = whole_number("Seed", seed, 0, MAX_SEED), creativity(truncation)
        filter = ENLARGEMENTS[choice("PNG", enlarge, list(ENLARGEMENTS))]
        if filter is None:
            return self._face(seed, truncation)
        face = self._image(seed, truncation).resize((LARGE, LARGE), filter)
        return self._save(to_png(face), f"seed-{seed}-{enlarge}.png")

    def strip(self, seed: int) -> Album:
        """Draw one seed at every creativity, from the average face to the wildest: PNGs with the truncation as caption.

        Args:
            seed: whole number from 0 to 4294967295.
        """
        seed = whole_number("Seed", seed, 0, MAX_SEED)
        return [(self._face(seed, truncation), f"{truncation:g}") for truncation in STRIP]

    def batch(self, first_seed: int, count: int, truncation: float = 1.0) -> tuple[Album, str]:
        """Draw the faces of neighbouring seeds: PNGs with the seeds as captions, and a ZIP of them and a contact sheet.

        Args:
            first_seed: whole number from 0 to 4294967295; past the end, counting goes on at 0.
            count: 1 to 64 faces.
            truncation: 0 to 1.5; lower is more typical, higher is wilder.
        """
        first_seed = whole_number("First seed", first_seed, 0, MAX_SEED)
        count = whole_number("How many", count, 1, MAX_COUNT)
        truncation = creativity(truncation)
        seeds = [seed % (MAX_SEED + 1) for seed in range(first_seed, first_seed + count)]
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:  # stored: a PNG does not shrink again
            for seed in seeds:
                archive.writestr(f"seed-{seed}.png", self.png(seed, truncation))
            sheet = image_grid([self._image(seed, truncation) for seed in seeds])
            archive.writestr("contact-sheet.png", to_png(sheet))
        name = f"faces-{first_seed}-{count}.zip"
        return [(self._face(seed, truncation), str(seed)) for seed in seeds], self._save(file.getvalue(), name)

    def interpolation(
        self, seeds: str, frames: int = 16, loop: bool = True, truncation: float = 1.0
    ) -> tuple[str, str, str, Album]:
        """Turn one face into the next: a strip of 11 steps (PNG), an animation (MP4, GIF), the faces it goes through.

        Args:
            seeds: 2 to 8 whole numbers from 0 to 4294967295, such as "7, 21, 42".
            frames: 1 to 48 frames from one face to the next, at 20 frames a second.
            loop: end with the way back to the first face.
            truncation: 0 to 1.5; lower is more typical, higher is wilder.
        """
        keys = key_seeds(seeds, 2, MAX_KEYS)
        frames = whole_number("Frames per leg", frames, 1, MAX_FRAMES)
        loop, truncation = switch("Loop", loop), creativity(truncation)
        z = latents_from_seeds(keys, self.generator.latent_dim)
        strip = self.generator.generate(z=interpolate(z, WAY_FRAMES - 1)[:: len(keys) - 1], truncation=truncation)
        pictures = self.generator.generate(z=interpolate(z, frames, loop), truncation=truncation)
        name = "faces-" + "-".join(map(str, keys))
        return (
            self._save(to_png(image_grid(strip, columns=WAY_FRAMES)), f"{name}.png"),
            self._save(to_mp4(pictures, fps=FRAMES_PER_SECOND), f"{name}.mp4"),
            self._save(to_gif(pictures, fps=FRAMES_PER_SECOND), f"{name}.gif"),
            [(self._face(seed, truncation), str(seed)) for seed in keys],
        )

    def _png(self, seed: int, truncation: float) -> bytes:
        return to_png(self.generator.generate(seeds=[seed], truncation=truncation)[0])

    def _image(self, seed: int, truncation: float) -> Image.Image:
        return Image.open(io.BytesIO(self.png(seed, truncation)))

    def _face(self, seed: int, truncation: float) -> str:
        return self._save(self.png(seed, truncation), f"seed-{seed}.png")

    def _save(self, data: bytes, name: str) -> str:
        folder = self.folder / sha256(data).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / name).exists():
            os.utime(folder / name)
        else:  # under another name first: no reader meets half a file
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                file.write(data)
            os.replace(file.name, folder / name)
        return str(folder / name)
