"""Training states without pickle: a nested state as JSON and safetensors, which can hold no code, and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

PLAIN = (str, int, float, bool, type(None))


def save_state(state: object, stem: Path) -> None:
    """Write a state of dicts, lists, tuples, tensors, arrays and plain values to STEM.json and STEM.safetensors.

    Raises:
        ValueError: something else is in it.
    """
    tensors: dict[str, Tensor] = {}
    tree = _to_json(state, tensors)
    save_file(tensors, _beside(stem, ".safetensors"))
    _beside(stem, ".json").write_text(json.dumps(tree), encoding="utf-8")


def load_state(stem: Path) -> Any:
    """What ``save_state`` wrote, bit for bit; tensors in the memory format that they had.

    Raises:
        ValueError, SafetensorError or another exception of a damaged file.
    """
    tree = json.loads(_beside(stem, ".json").read_text(encoding="utf-8"))
    with safe_open(_beside(stem, ".safetensors"), "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    return _from_json(tree, tensors)


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _to_json(value: object, tensors: dict[str, Tensor]) -> object:
    if isinstance(value, Tensor):
        name, tensor = str(len(tensors)), value.detach().cpu()
        last = tensor.dim() == 4 and not tensor.is_contiguous()
        last = last and tensor.is_contiguous(memory_format=torch.channels_last)
        tensors[name] = tensor.contiguous().clone()
        return {"tensor": name, "channels_last": last}
    if isinstance(value, np.ndarray):
        name = str(len(tensors))
        tensors[name] = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return {"array": name, "dtype": value.dtype.name, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {"dict": [[_to_json(one, tensors) for one in item] for item in value.items()]}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [_to_json(one, tensors) for one in value]}
    if type(value) in PLAIN:
        return value
    raise ValueError(f"a {type(value).__name__} cannot be kept without pickle")


def _from_json(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        tensor = tensors[tree["tensor"]]
        return tensor.contiguous(memory_format=torch.channels_last) if tree["channels_last"] else tensor
    if "array" in tree:
        data = tensors[tree["array"]].numpy().view(np.dtype(tree["dtype"]))
        return data.reshape(tree["shape"])
    if "dict" in tree:
        return {_from_json(key, tensors): _from_json(value, tensors) for key, value in tree["dict"]}
    if "tuple" in tree:
        return tuple(_from_json(one, tensors) for one in tree["tuple"])
    return [_from_json(one, tensors) for one in tree["list"]]
