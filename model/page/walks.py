"""What a start, a walk and a list of faces mean: texts of strangers -> latents, or one sentence."""

import re

from torch import Tensor

from ..sampling import MAX_SEED, latents_from_seeds
from .checks import Refusal, must_be, seed_number
from .explore import GRID, code_to_latent, latent_to_code, latents_around
from .models import LoadedModel

MAX_STEPS, MAX_MOVE = 64, 4
CELLS = [str(i) for i in range(GRID * GRID)]


def latent_of(start: object, latent_dim: int) -> Tensor | None:
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


def seed_or_none(start: object, latent_dim: int) -> int | None:
    """The seed of a start that was checked; None for a code."""
    code = isinstance(start, str) and code_to_latent(start.strip(), latent_dim) is not None
    return None if code else seed_number("Start", start)


def keys_of(seeds: str) -> list[str]:
    """Seeds, names and codes: with commas or semicolons between them, or spaces where they are seeds alone."""
    if re.fullmatch(r"[\s0-9]+", seeds):
        return seeds.split()
    parts = [part.strip() for part in re.split("[,;]", seeds)]
    return [key for part in parts if part for key in (part.split() if re.fullmatch(r"[\s0-9]+", part) else [part])]


def walk(start: object, steps: object, latent_dim: int) -> tuple[Tensor, str]:
    """The latent (1, latent_dim) at the end of a walk, and the key of the map around it."""
    z = latent_of(start.strip() if isinstance(start, str) else start, latent_dim)
    if z is None:
        raise must_be("Start", f"a whole number from 0 to {MAX_SEED}, a name or the code of a face", start)
    words = steps.split(".") if isinstance(steps, str) and steps else []
    if not isinstance(steps, str) or len(words) > MAX_STEPS or not all(word in CELLS for word in words):
        raise must_be("Steps", f"at most {MAX_STEPS} numbers from 0 to {len(CELLS) - 1}, such as '7.13'", steps)
    key = latent_to_code(z[0])
    for word in words:
        z, key = latents_around(z[0], key)[int(word)][None], f"{key}.{word}"
    return z, key


def move(model: LoadedModel, z: Tensor, moves: object) -> Tensor:
    """``z`` moved along the model's directions."""
    number, most = r"-?[0-9]{1,3}(\.[0-9]{1,6})?", len(model.directions.labels)
    words = moves.split(",") if isinstance(moves, str) and moves else []
    valid = isinstance(moves, str) and all(re.fullmatch(number, word) for word in words)
    if not valid or len(words) > most or any(abs(float(word)) > MAX_MOVE for word in words):
        wanted = f"at most {most} numbers from -{MAX_MOVE} to {MAX_MOVE}, such as '0,1.5'"
        raise must_be("Moves", wanted if most else "empty, as these weights have no directions", moves)
    return model.directions.move(z, [float(word) for word in words])
