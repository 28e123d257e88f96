"""The band of living faces above the page: each goes a little way from itself and comes back."""

import io
from base64 import b64encode

from PIL.Image import Image

from ..sampling import interpolate, latents_from_seeds
from .explore import GRID, latent_to_code, latents_around
from .models import FRAMES_AT_ONCE, LoadedModel

SEEDS = (27, 35, 62, 11, 42, 53, 23, 7, 8, 51, 61, 55)
STEPS = 4  # frames from a face to its neighbour
MIDDLE, CELL = GRID * GRID // 2, 2  # of the map around it: the face, and one that is still the same person
REST, STEP = 1500, 110  # milliseconds that a face stays itself, and that a frame on the way stays


def band(model: LoadedModel) -> str:
    """HTML: links to faces, in pictures that move where motion is wanted and stand still where it is not."""
    links = "".join(_link(model, seed, i) for i, seed in enumerate(SEEDS))
    return f'<nav id="band" aria-label="Faces to begin with">{links}</nav>'


def _link(model: LoadedModel, seed: int, place: int) -> str:
    z = latents_from_seeds([seed], model.generator.latent_dim)  # (1, latent_dim)
    way = latents_around(z[0], latent_to_code(z[0]))[[MIDDLE, CELL]]
    there = model.draw(interpolate(way, STEPS), truncation=1.0, batch_size=FRAMES_AT_ONCE)
    frames = [*there, *there[-2:0:-1]]
    rest = REST + 370 * (place % 5)  # so that they do not move all at once
    still, moving = _webp(frames[:1], [0]), _webp(frames, [rest] + [STEP] * (len(frames) - 1))
    return (
        f'<a class="leaf" href="?tab=seed&amp;seed={seed}" title="Seed {seed}"><picture>'
        f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        f'<img src="{moving}" alt="The face of seed {seed}" width="64" height="64"></picture></a>'
    )


def _webp(frames: list[Image], milliseconds: list[int]) -> str:
    """A data address of a WebP that goes round for ever."""
    file = io.BytesIO()
    first, *more = frames
    if more:
        first.save(file, "WEBP", save_all=True, append_images=more, duration=milliseconds, loop=0, quality=60)
    else:
        first.save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
