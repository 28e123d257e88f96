"""Drawing that changes nothing: a model in training draws through a view of itself that is not."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import nn

from .sentences import first_line

ModuleT = TypeVar("ModuleT", bound=nn.Module)
T = TypeVar("T")


def eval_view(model: ModuleT) -> ModuleT:
    """``model`` in eval mode: itself if all its parts are, or else modules of their own around the same tensors.

    The model's own modes stay what they are, part by part, whoever trains it meanwhile in another thread.
    """
    return model if not any(module.training for module in model.modules()) else _view(model, {})


def _view(model: ModuleT, made: dict[nn.Module, nn.Module]) -> ModuleT:
    """What ``nn.parallel.replicate`` does for each device, but with the very parameters and buffers."""
    view = model.__new__(type(model))
    view.__dict__ = model.__dict__.copy()
    view.__dict__["training"] = False
    made[model] = view
    view.__dict__["_modules"] = {
        name: child and (made.get(child) or _view(child, made)) for name, child in model._modules.items()
    }
    return view


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in order, ``size`` at a time, taken one chunk after the other."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def check_count(value: object, name: str = "batch_size") -> int:
    """``value`` as an int of at least 1; ValueError, one sentence that names it, if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: {value!r:.40} is not a whole number from 1 on")
    return value


def check_device(device: str | torch.device) -> torch.device:
    """``device``, once a tensor was made on it; ValueError, one sentence, where that cannot be."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (TypeError, ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
        why = first_line(error)
        raise ValueError(f"device: {str(device)!r:.40} cannot be used here ({why}); 'cpu' always can") from None
    return found
