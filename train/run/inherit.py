"""``--init_from`` brings the parts of its networks along: what no option asks for is as they have it."""

from collections.abc import Mapping
from dataclasses import replace

from huggingface_hub.constants import CONFIG_NAME
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from model import Generator
from model.discriminator import options_of
from model.files import CONFIG_BYTES, fetch, read_config, tensor_shapes
from train.config import TrainConfig
from train.output.weights_folder import DISCRIMINATOR
from train.run.same_run import ADDED

PARTS = tuple(name for name in ADDED if name != "d_features")  # that is no part of what is published
MAX_BYTES = 2**28  # of a discriminator's file, which is read for its shapes
UNLOADABLE = (OSError, ValueError, RuntimeError, HfHubHTTPError, HFValidationError)


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
        shape = read_config(fetch(source, CONFIG_NAME, CONFIG_BYTES))
        Generator.on_meta(shape)  # there is such a generator
        known |= {name: shape.get(name.removeprefix("g_"), 0) for name in PARTS if not name.startswith("d_")}
        found = options_of(tensor_shapes(fetch(source, DISCRIMINATOR, MAX_BYTES)))
        known |= {name: found[name.removeprefix("d_")] for name in PARTS if name.startswith("d_")}
    except (*UNLOADABLE, LookupError):
        pass
    return known
