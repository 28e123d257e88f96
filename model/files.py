"""The files of a generator, in a folder or on the Hub: none is downloaded or read that is larger than it can be."""

import inspect
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

CONFIG_BYTES = 2**16
HEADER_BYTES = 2**20  # names and shapes at the head of a safetensors file
OLDEST_CLIENT = "1.16"  # huggingface_hub; pyproject.toml and the model card say the same
NO_SAFETENSORS = "has no model.safetensors, and a pickle is not loaded; ask its author for safetensors"


def local_path(text: str) -> Path:
    """A path as people give it: ~ is their home, also where no shell has made it so."""
    return Path(text).expanduser()


def check_client() -> None:
    """Make sure that huggingface_hub can load by name; ValueError, one sentence, if it is too old."""
    if "dry_run" not in inspect.signature(hf_hub_download).parameters:
        raise ValueError(
            f"huggingface_hub {huggingface_hub.__version__} is too old to load a model by its name; upgrade it: "
            f"pip install 'huggingface_hub>={OLDEST_CLIENT}'"
        )


def check_source(model_id: object, revision: str | None, token: str | bool | None, config: object) -> None:
    """Refuse what names no model, before anything is asked; ValueError, one sentence."""
    if not isinstance(model_id, str | os.PathLike) or not str(model_id):
        raise ValueError(f"{model_id!r:.40} is neither a folder nor the id of a model on the Hub")
    for name, value in (("revision", revision), ("token", token)):
        if value == "":
            raise ValueError(f"{name}: it is empty; give one, or leave it out")
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"config: {config!r:.40} is not a dict of the networks' options")


def fetch(model_id: str, name: str, most: int, **options: Any) -> Path:
    """A file of a folder or of a model on the Hub.

    Args:
        model_id: folder, or id on the Hub.
        name: of the file.
        most: bytes that it may have; a larger one is neither downloaded nor read.
        options: as for ``hf_hub_download``.

    Raises:
        ValueError: there is no such file, or it is larger; one sentence.
    """
    file, size = Path(model_id, name), None
    if on_hub := not Path(model_id).is_dir():
        check_client()
        try:
            size = _ask(model_id, name, dry_run=True, **options).file_size
        except LocalEntryNotFoundError:  # not in the cache, and the Hub is out of reach
            raise
        except EntryNotFoundError:
            pass
    elif file.is_file():
        size = file.stat().st_size
    if size is None:
        raise ValueError(f"'{model_id}' {NO_SAFETENSORS if name == SAFETENSORS_SINGLE_FILE else f'has no {name}'}")
    if size > most:
        raise ValueError(f"{name} has {size:,} bytes, more than the {most:,} that it can need, and is not read")
    return Path(_ask(model_id, name, **options)) if on_hub else file


def _ask(model_id: str, name: str, **options: Any) -> Any:
    try:
        return hf_hub_download(model_id, name, **options)
    except ValueError as error:
        if isinstance(error.__cause__, OSError):  # with force_download the client hides what happened behind it
            raise error.__cause__ from None
        raise


def read_config(file: Path) -> dict[str, Any]:
    """What a config.json says; ValueError, one sentence, if it is no JSON object."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ValueError("its config.json does not describe a generator")
    return config


def most_bytes(state: dict[str, Tensor]) -> int:
    """How large a safetensors file of these tensors can be, in whatever precision."""
    return sum(8 * tensor.numel() for tensor in state.values()) + HEADER_BYTES


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file, by name; ValueError, one sentence, if it is damaged."""
    try:
        with safe_open(file, "pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file.name} is damaged ({error}); download it again") from None


def read_tensors(
    file: Path, expected: dict[str, Tensor] | None = None, config: str = "config.json"
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, once all are finite and names and shapes the ``expected`` ones, if given.

    They own their memory: whatever becomes of the file, they stay. ``config`` is what tells the shapes, for the error:
    ValueError, one sentence.
    """
    try:
        with safe_open(file, "pt") as tensors:
            found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            shapes = found if expected is None else {name: tuple(tensor.shape) for name, tensor in expected.items()}
            for name in sorted(shapes.keys() | found.keys()):
                should, is_ = shapes.get(name, "absent"), found.get(name, "missing")
                if should != is_:
                    raise ValueError(
                        f"{file.name} does not fit {config}: tensor '{name}' should be {should} and is {is_}"
                    )
            state = {name: tensors.get_tensor(name).clone() for name in found}  # else pages of the file
    except SafetensorError as error:
        raise ValueError(f"{file.name} is damaged ({error}); download it again") from None
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{file.name} holds numbers that are not finite, in tensor '{name}'")
    return state


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A name beside ``path``, this writer's own, to write to; it becomes ``path`` at the end or goes on an error."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
