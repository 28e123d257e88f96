"""What an address asks for: the words of its path and query -> a checked :class:`Picture`, or one sentence."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..enlarging import STYLES, check_style
from ..hub import LoadError
from ..names import seed_of
from ..sampling import MAX_TRUNCATION, interpolate, latents_from_seeds
from ..sharp import SharpUnavailable
from .calls import BadRequest, parameters
from .checks import MAX_NAME, as_sentence
from .explore import code_to_latent
from .models import LoadedModel, ModelStore
from .studio import MAX_COUNT, MAX_FRAMES, MAX_KEYS, STRIP

SIZES = (64, 128, 256, 512)  # pixels a side of each face
STILLS, FILMS = ("png", "webp", "jpg"), ("gif", "mp4", "webp")
KINDS = {"face": STILLS, "strip": STILLS, "grid": STILLS, "film": FILMS}
MAX_WORK = 6.0  # seconds of one picture
# Seconds on a slow core: to draw a face, to redraw a pixel sharp, to enlarge one and write it to a file.
FACE_SECONDS, SHARP_SECONDS, PIXEL_SECONDS = 6e-3, 9e-6, 2e-7

Person = int | str  # a seed, or the code of an explored face


@dataclass(frozen=True)
class Picture:
    """One picture: faces of ``people``, each ``size`` pixels a side. ``frames`` and ``loop`` are those of a film."""

    kind: str
    people: tuple[Person, ...]
    format: str
    model: str
    size: int
    style: str
    truncation: float
    frames: int = 0
    loop: bool = False

    @property
    def count(self) -> int:
        """Faces to draw."""
        if self.kind == "film":
            return len(self.people) * self.frames if self.loop else (len(self.people) - 1) * self.frames + 1
        return len(STRIP) if self.kind == "strip" else len(self.people)

    def cost(self, image_size: int) -> float:
        """Seconds of work, as they are estimated for a model of that size."""
        each, side, redrawn = FACE_SECONDS + PIXEL_SECONDS * self.size**2, image_size, 0
        while self.style == "sharp" and side < self.size and redrawn < 2:
            each, side, redrawn = each + SHARP_SECONDS * side**2, 2 * side, redrawn + 1
        return self.count * each

    def latents(self, latent_dim: int) -> Tensor:
        """(count, latent_dim); of a strip, of which one face is all, (1, latent_dim)."""
        z = torch.cat([latent(person, latent_dim) for person in self.people])
        return interpolate(z, self.frames, self.loop) if self.kind == "film" else z


def latent(person: Person, latent_dim: int) -> Tensor:
    """The latent (1, latent_dim) of a person that was checked."""
    found = (
        latents_from_seeds([person], latent_dim)[0] if isinstance(person, int) else code_to_latent(person, latent_dim)
    )
    assert found is not None
    return found[None]


def person(text: str, latent_dim: int) -> Person:
    """A seed, a name or a code."""
    if code_to_latent(text, latent_dim) is not None:
        return text
    if len(text) > MAX_NAME or "\ufffd" in text:  # which stands for bytes that are no UTF-8
        raise BadRequest(f"A name is a text of at most {MAX_NAME} letters, in UTF-8.", 404)
    try:
        return seed_of(text)
    except ValueError as error:
        raise BadRequest(as_sentence(error), 404) from None


def people(text: str, latent_dim: int, low: int, high: int) -> tuple[Person, ...]:
    """Seeds, names, codes and ranges such as 0-15, with commas between them."""
    found: list[Person] = []
    for word in text.split(","):
        ends = re.fullmatch("([0-9]{1,10})-([0-9]{1,10})", word.strip())
        if ends and 0 <= int(ends[2]) - int(ends[1]) < high:
            found += [person(str(seed), latent_dim) for seed in range(int(ends[1]), int(ends[2]) + 1)]
        else:
            found += [person(word, latent_dim)] * (high + 1 if ends else 1)
        if len(found) > high:
            break
    if not low <= len(found) <= high:
        raise BadRequest(f"There must be {low} to {high} faces, such as 0-{low + 2} or 7,alice, at this address.", 404)
    return tuple(found)


def options(query: str, allowed: Sequence[str]) -> dict[str, str]:
    """The parameters of an address, each of which is known and given once."""
    found: dict[str, str] = {}
    for name, value in parameters(query, 20):
        if name not in allowed:
            raise BadRequest(f"There is no parameter '{name:.40}' here; there are {', '.join(allowed)}.")
        if name in found:
            raise BadRequest(f"The parameter '{name}' is given twice.")
        found[name] = value
    return found


def one_of(name: str, value: str, choices: Sequence[object]) -> str:
    """``value`` if it is one of ``choices``."""
    words = [str(choice) for choice in choices]
    if value not in words:
        raise BadRequest(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not '{value:.40}'.")
    return value


def truncation_of(value: str) -> float:
    """The number of ``truncation=``."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{0,6})?|\.[0-9]{1,6}", value) or not float(value) <= MAX_TRUNCATION:
        raise BadRequest(f"truncation must be a number from 0 to {MAX_TRUNCATION}, not '{value:.40}'.")
    return float(value)


def model_of(models: ModelStore, name: str) -> LoadedModel:
    """A model that is here already: nothing is fetched for a stranger's address."""
    try:
        return models.ready(name)
    except LoadError as error:
        raise BadRequest(f"Model {error}.", 404) from None


def read_picture(kind: str, words: str, query: str, models: ModelStore) -> tuple[Picture, LoadedModel]:
    """What ``/kind/words?query`` asks for, and the model that draws it.

    Raises:
        BadRequest: 404 for a path and 400 for a query that cannot be, 501 for a style that is not to be had.
    """
    text, _, format = words.rpartition(".")
    if format not in KINDS[kind] or not text:
        endings = ", ".join(f".{ending}" for ending in KINDS[kind])
        raise BadRequest(f"An address of this kind ends in one of {endings}.", 404)
    allowed = ["size", "style", "model", *(["truncation"] if kind != "strip" else [])]
    given = options(query, allowed + (["frames", "loop"] if kind == "film" else []))
    drawn = model_of(models, given.get("model", ""))
    side = drawn.generator.image_size
    most = {"grid": (1, MAX_COUNT), "film": (2, MAX_KEYS)}
    faces = people(text, drawn.generator.latent_dim, *most[kind]) if kind in most else None
    frames = given.get("frames", "12" if kind == "film" else "0")
    if kind == "film" and not (re.fullmatch("[0-9]{1,3}", frames) and 1 <= int(frames) <= MAX_FRAMES):
        raise BadRequest(f"frames must be a whole number from 1 to {MAX_FRAMES}, not '{frames:.40}'.")
    picture = Picture(
        kind=kind,
        people=faces or (person(text, drawn.generator.latent_dim),),
        format=format,
        model=given.get("model", "").strip() or models.names[0],
        size=int(one_of("size", given.get("size", str(256 if kind == "film" else max(side, SIZES[0]))), SIZES)),
        style=one_of("style", given.get("style", "smooth"), STYLES),
        truncation=truncation_of(given.get("truncation", "1")),
        frames=int(frames),
        loop=kind == "film" and one_of("loop", given.get("loop", "true"), ("true", "false")) == "true",
    )
    check_work(picture, side)
    return picture, drawn


def check_work(picture: Picture, side: int) -> None:
    """Refuse what is not to be had, or too much for one picture."""
    try:
        check_style(picture.style)
    except SharpUnavailable as error:
        raise BadRequest(as_sentence(error), 501) from None
    if (work := picture.cost(side)) > MAX_WORK:
        raise BadRequest(
            f"This is about {math.ceil(work)} seconds of work, where one picture may take {MAX_WORK:g}; "
            "ask for fewer faces or frames, a smaller size or another style."
        )
