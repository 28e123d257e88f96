"""Convolutions that are plain matrix products, computed as such, for training on a CPU.

A kernel as large as its picture meets it in one place: D's last convolution takes 4x4 pixels to one, G's first takes
one pixel to 4x4. One product of the weight as it lies in memory gives the same numbers, but for rounding, without the
copies and layouts of a convolution. ``python -m train.benchmark`` times both.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def covering(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution whose kernel is as large as its picture: x (N, C, k, k), weight (O, C, k, k) -> (N, O, 1, 1)."""
    x, weight = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)  # as channels-last memory has them, no copies
    return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]


def unfolding(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed convolution of a single pixel: x (N, C, 1, 1), weight (C, O, k, k) -> (N, O, k, k)."""
    weight = weight.permute(0, 2, 3, 1)  # (C, k, k, O)
    y = (x.flatten(1) @ weight.flatten(1)).view(len(x), *weight.shape[1:])
    return (y if bias is None else y + bias).permute(0, 3, 1, 2)


def covered(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernel is as large as the picture."""
    return x.shape[2:] == weight.shape[2:]


def single(x: Tensor, weight: Tensor) -> bool:
    """Whether the picture is one pixel."""
    return x.shape[2:] == (1, 1)


def _forward(layer: nn.Conv2d | nn.ConvTranspose2d, by_matmul: Callable, fits: Callable, x: Tensor) -> Tensor:
    weight, bias = layer.weight, layer.bias
    if not fits(x, weight):
        return type(layer).forward(layer, x)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return by_matmul(x, weight, bias)


def by_matmul(layer: nn.Module) -> tuple[Callable, Callable] | None:
    """The product that a layer is, and whether (x, weight) are such; None for a layer that has none."""
    if type(layer) not in (nn.Conv2d, nn.ConvTranspose2d):  # a subclass may do more
        return None
    if (layer.stride, layer.padding) != ((1, 1), (0, 0)) or layer.kernel_size == (1, 1):
        return None
    return (unfolding, single) if isinstance(layer, nn.ConvTranspose2d) else (covering, covered)


def use_matmuls(network: nn.Module, use: bool = True) -> None:
    """Let the network's layers of that kind be products, or no longer; weights and names stay."""
    for layer in network.modules():
        if found := by_matmul(layer):
            vars(layer).pop("forward", None)
            if use:
                layer.forward = partial(_forward, layer, *found)
