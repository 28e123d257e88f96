"""Which files of a weights folder belong to the very weights that lie in it: each says the digest of those it is of."""

import functools
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from model import Generator, image_grid
from model.directions import weights_digest
from train.output.weights_folder import (
    DIRECTION_FILES,
    DISCRIMINATOR,
    INDEX,
    ONNX_MODELS,
    PICTURE_FILES,
    TRAINING_FILES,
)

DESCRIPTION = 0x010E  # Exif's ImageDescription, which PNG and WebP both keep
WORDS = "made from weights of SHA-256 "
SEEDS = range(64)  # the faces of samples.png
SAME = 1.0  # of 255, mean difference: another device rounds a few values otherwise; other weights differ by tens
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
    """Those of the TIED files of a weights folder that are of other weights.

    Earlier versions wrote no digests: such files count as these weights' own where samples.png shows what these draw.
    """
    digest = weights_digest(folder)
    own = functools.cache(lambda: drew_samples(folder))
    origins = {name: made_from(folder / name) for name in TIED if (folder / name).is_file()}
    return [name for name, origin in origins.items() if origin != digest and (origin or not own())]


def drew_samples(folder: Path) -> bool:
    """Whether samples.png shows the faces that the weights beside it draw."""
    try:
        with Image.open(folder / "samples.png") as picture:
            shown = np.asarray(picture.convert("RGB"), np.int16)  # (8 H, 8 W, 3)
    except (OSError, SyntaxError, ValueError):
        return False
    grid = image_grid(list(Generator.from_pretrained(folder).draw(SEEDS))).convert("RGB")
    return shown.shape == (*grid.size[::-1], 3) and bool(np.abs(shown - np.asarray(grid, np.int16)).mean() < SAME)


def left_out(folder: Path, names: list[str]) -> str:
    """A sentence about ``strangers``."""
    sentence = f"left out of '{folder}', because they are of other weights: {', '.join(names)}"
    return f"{sentence}; make them anew (train.evaluate, train.directions, train.to_onnx) or remove them"
