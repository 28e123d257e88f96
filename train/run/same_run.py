"""What may change when a run goes on, and what may not: the options of its checkpoint against those given."""

import dataclasses

from train.config import TrainConfig
from train.errors import UserError

# Older checkpoints do not name these.
ADDED = {"mapping_layers": 0, "g_blocks": 0, "g_constant": False, "g_mirror": False, "g_fine": False}
ADDED |= {"d_blocks": 0, "d_mirror": False, "d_hidden": 0, "d_features": None}
FIXED = ("resolution", "latent_dim", "g_channels", "d_channels", "d_kernel_size", "d_norm", "minibatch_std", "loss")
FIXED += tuple(ADDED)


def changed_options(saved: dict, config: TrainConfig) -> dict[str, str]:
    """The options that decide a run and differ from ``saved``, its checkpoint's: "--name was, not is", by name."""
    deciding = [
        field.name
        for field in dataclasses.fields(config)
        if field.metadata["group"] in ("Networks", "Loss", "Training") or field.name in ("resolution", "random_flip")
    ]
    saved = ADDED | saved
    pairs = {name: (saved[name], getattr(config, name)) for name in deciding if name in saved}
    for name in ("init", "init_from"):  # of the first weights, which are long gone
        pairs.pop(name, None)
    if all(pairs["d_features"]):  # the file may lie elsewhere now
        del pairs["d_features"]
    return {name: f"{as_option(name, was)}, not {is_}" for name, (was, is_) in pairs.items() if was != is_}


def as_option(name: str, value: object) -> str:
    """An option as one types it."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{name}"
    return f"--{name} {value}"


def require_same_run(saved: dict, config: TrainConfig) -> str:
    """What a resumed run changes, as a sentence, "" for nothing.

    Raises:
        UserError: the networks or the loss are others, which cannot change within a run; names all that differs.
    """
    changed = changed_options(saved, config)
    fixed = [words for name, words in changed.items() if name in FIXED]
    free = [words for name, words in changed.items() if name not in FIXED]
    if not fixed:
        return f"this run goes on with other options; its checkpoint was trained with {'; '.join(free)}" if free else ""
    sentence = f"the checkpoint was trained with {'; '.join(fixed)}"
    if free:
        sentence += f"; and, which may change, with {'; '.join(free)}"
    if saved.get("preset", config.preset) != config.preset:
        sentence += f" (that is --preset {saved['preset']}, not {config.preset})"
    remedy = f"give {'that' if len(fixed) == 1 else 'those'} or start anew in another --output_dir"
    raise UserError("--resume_from_checkpoint", f"{sentence}; {remedy}")
