"""``--init_from`` brings the parts of its networks along: what no option asks for is as they have it."""

import os
from collections.abc import Mapping
from dataclasses import replace

from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from model import Generator
from model.discriminator import options_of
from model.files import fetch, tensor_shapes
from train.config import TrainConfig
from train.output.weights_folder import DISCRIMINATOR

PARTS = ("mapping_layers", "g_blocks", "g_constant", "g_mirror", "d_blocks", "d_mirror", "d_hidden")
MAX_BYTES = 2**28  # of a discriminator's file, which is read for its shapes
UNLOADABLE = (OSError, ValueError, LookupError, RuntimeError, HfHubHTTPError, HFValidationError)


def with_parts(config: TrainConfig, known: Mapping[str, object]) -> TrainConfig:
    """``config`` with the parts that are ``known`` and that its options do not name."""
    missing = [name for name in PARTS if not getattr(config, name) and known.get(name)]
    if config.d_norm == "spectral":  # goes with none of them; that discriminator is a new one
        missing = [name for name in missing if not name.startswith("d_")]
    return replace(config, **{name: known[name] for name in missing})


def parts_of(source: str) -> dict[str, object]:
    """The parts of the networks of ``--init_from``; none where they cannot be loaded, which is said later."""
    known: dict[str, object] = {}
    try:
        shape = getattr(Generator.from_pretrained(os.path.expanduser(source)), "_hub_mixin_config", {})
        known |= {name: shape.get(name.removeprefix("g_"), 0) for name in PARTS if not name.startswith("d_")}
        found = options_of(tensor_shapes(fetch(source, DISCRIMINATOR, MAX_BYTES)))
        known |= {name: found[name.removeprefix("d_")] for name in PARTS if name.startswith("d_")}
    except UNLOADABLE:
        pass
    return known
