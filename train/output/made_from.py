"""Which files of a weights folder belong to the very weights that lie in it: each says the digest of those it is of."""

import functools
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from model import Generator
from model.directions import weights_digest
from train.output.weights_folder import (
    DIRECTION_FILES,
    DISCRIMINATOR,
    GENERATOR_FILES,
    INDEX,
    ONNX_MODELS,
    PICTURE_FILES,
    TRAINING_FILES,
)

DESCRIPTION = 0x010E  # Exif's ImageDescription, which PNG and WebP both keep
WORDS = "made from weights of SHA-256 "
SAME = 0.5  # of 255, mean difference: another device rounds some values otherwise; other weights draw another face
TIED = (*TRAINING_FILES, *PICTURE_FILES, *DIRECTION_FILES, DISCRIMINATOR, INDEX, *ONNX_MODELS, "onnx/measured.json")


def mark(digest: str) -> Image.Exif:
    """What a picture says of the weights that it was drawn with; give it to Pillow's ``save`` as ``exif``."""
    exif = Image.Exif()
    exif[DESCRIPTION] = WORDS + digest
    return exif


def made_from(path: Path) -> str | None:
    """The SHA-256 of the weights that a file was made from, as it says itself; None where it says nothing."""
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8")).get("weights")
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                found = (file.metadata() or {}).get("weights")
        elif path.suffix == ".onnx":
            digest = re.search(rb"weights_sha256..([0-9a-f]{64})", path.read_bytes(), re.DOTALL)
            found = digest and digest[1].decode()
        else:
            with Image.open(path) as picture:
                found = str(picture.getexif().get(DESCRIPTION, "")).removeprefix(WORDS)
    except (AttributeError, OSError, RecursionError, SafetensorError, SyntaxError, ValueError):
        return None  # whoever needs the file says what is wrong with it
    return found or None


def strangers(folder: Path) -> list[str]:
    """Those of the TIED files of a weights folder that are of other weights, and what cannot be used without them.

    Earlier versions wrote no digests: such files count as these weights' own unless samples.png shows other faces.
    """
    if not (folder / GENERATOR_FILES[1]).is_file():
        return []
    digest = weights_digest(folder)
    mixed = functools.cache(lambda: shows_other_faces(folder))
    origins = {name: made_from(folder / name) for name in TIED if (folder / name).is_file()}
    found = {name for name, origin in origins.items() if origin != digest and (origin or mixed())}
    sets = {name_of_set(name) for name in found}
    return [name for name in origins if name_of_set(name) in sets]


def name_of_set(name: str) -> str:
    """What the files of one export have in common: "onnx", "directions"; of others their own name."""
    return re.split("[./]", name)[0]


def shows_other_faces(folder: Path) -> bool:
    """Whether the first face of samples.png, seed 0, is another than the one that the weights beside it draw."""
    generator = Generator.from_pretrained(folder)
    side = generator.image_size
    try:
        with Image.open(folder / "samples.png") as picture:
            shown = np.asarray(picture.convert("RGB").crop((0, 0, side, side)), np.int16)
    except (OSError, SyntaxError, ValueError):
        return False
    face = np.asarray(generator.generate([0])[0].convert("RGB"), np.int16)
    return bool(np.abs(shown - face).mean() > SAME)


def left_out(folder: Path, names: list[str]) -> str:
    """A sentence about ``strangers``."""
    sentence = f"left out of '{folder}', because they are of other weights: {', '.join(names)}"
    return f"{sentence}; make them anew (train.evaluate, train.directions, train.to_onnx) or remove them"
