"""Small convolutions as matrix products, for training on a CPU.

The library's backward pass of a convolution with many channels on few pixels runs at a fraction of what the same
processor does in a matrix product. Patches gathered by copying and one product give the same numbers, but for rounding,
in about half the time where there are many channels; from 16x16 pixels on the copies cost more than that. A kernel as
large as its picture is a matrix product as it stands. ``python -m train.benchmark`` times both.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 64  # pixels on the larger picture of a layer, 8x8
LEAST = 2**20  # weights of a layer; with fewer the library is as fast


def gathered(x: Tensor, k: int) -> Tensor:
    """The patches that a convolution with a k x k kernel, stride 2 and padding 1 sees: (N, H, W, C) -> (N, H/2, W/2,
    k, k, C).
    """
    n, h, w, c = x.shape
    x = F.pad(x, (0, 0, 1, 1, 1, 1))
    taps = [x[:, i : i + h : 2, j : j + w : 2] for i in range(k) for j in range(k)]
    return torch.stack(taps, 3).view(n, h // 2, w // 2, k, k, c)


def doubled(taps: Tensor, dim: int) -> Tensor:
    """Add up what lands on the same pixel along ``dim``: tap t of place i lands on 2i - 1 + t. (..., k, C), where k is
    at 3, -> without it and twice as long.
    """
    taps, length = taps.unbind(3), taps.shape[dim] - 1
    even, odd = taps[1].clone(), taps[2].clone()
    odd.narrow(dim, 0, length).add_(taps[0].narrow(dim, 1, length))
    if len(taps) == 4:
        even.narrow(dim, 1, length).add_(taps[3].narrow(dim, 0, length))
    return torch.stack((even, odd), dim + 1).flatten(dim, dim + 1)


def scattered(taps: Tensor) -> Tensor:
    """The transpose of ``gathered``: (N, H, W, k, k, C) -> (N, 2H, 2W, C)."""
    rows = doubled(taps.flatten(4), 1).unflatten(3, taps.shape[4:])  # (N, 2H, W, k, C)
    return doubled(rows, 2)


def products(low: Tensor, high: Tensor, k: int) -> Tensor:
    """The gradient of the weight between pictures (N, H/2, W/2, O) and (N, H, W, C): (O, k, k, C)."""
    patches = gathered(high, k)
    return (low.flatten(0, 2).T @ patches.flatten(3).flatten(0, 2)).view(-1, *patches.shape[3:])


class _Down(torch.autograd.Function):
    """x (N, H, W, C), weight (O, k, k, C) -> (N, H/2, W/2, O); all of it can be differentiated again."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return gathered(x, weight.shape[1]).flatten(3) @ weight.flatten(1).T

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _Up.apply(grad, weight) if ctx.needs_input_grad[0] else None
        to_weight = products(grad, x, weight.shape[1]) if ctx.needs_input_grad[1] else None
        return to_x, to_weight


class _Up(torch.autograd.Function):
    """x (N, H, W, O), weight (O, k, k, C) -> (N, 2H, 2W, C), the transpose of ``_Down``."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        taps = x @ weight.flatten(1)  # (N, H, W, k k C)
        return scattered(taps.unflatten(3, weight.shape[1:]))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _Down.apply(grad, weight) if ctx.needs_input_grad[0] else None
        to_weight = products(x, grad, weight.shape[1]) if ctx.needs_input_grad[1] else None
        return to_x, to_weight


def biased(y: Tensor, bias: Tensor | None) -> Tensor:
    """(N, H, W, C) with (C,) added; a copy in any case, as a ReLU in place cannot write to what a Function returned."""
    return y.clone() if bias is None else y + bias


def strided(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of stride 2 and padding 1: x (N, C, H, W) with even sides, weight (O, C, k, k), k 3 or 4."""
    y = _Down.apply(x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1))
    return biased(y, bias).permute(0, 3, 1, 2)


def transposed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed convolution of stride 2 and padding 1: x (N, O, H, W), weight (O, C, 4, 4)."""
    y = _Up.apply(x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1))
    return biased(y, bias).permute(0, 3, 1, 2)


def covering(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution whose kernel is as large as its picture: x (N, C, k, k), weight (O, C, k, k) -> (N, O, 1, 1)."""
    x, weight = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)  # as channels-last memory has them, no copies
    return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]


def unfolding(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed convolution of a single pixel: x (N, C, 1, 1), weight (C, O, k, k) -> (N, O, k, k)."""
    weight = weight.permute(0, 2, 3, 1)  # (C, k, k, O)
    y = (x.flatten(1) @ weight.flatten(1)).view(len(x), *weight.shape[1:])
    return biased(y, bias).permute(0, 3, 1, 2)


def _forward(layer: nn.Conv2d | nn.ConvTranspose2d, by_matmul: Callable, pays: Callable, x: Tensor) -> Tensor:
    weight, bias = layer.weight, layer.bias
    if not pays(x, weight):
        return type(layer).forward(layer, x)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return by_matmul(x, weight, bias)


def small(x: Tensor, weight: Tensor, scale: int = 1) -> bool:
    """Whether a layer that makes ``scale`` pixels of one has many channels and few pixels."""
    return x.shape[2] * x.shape[3] * scale <= LARGEST and weight.numel() >= LEAST


def covered(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernel is as large as the picture."""
    return x.shape[2:] == weight.shape[2:]


def single(x: Tensor, weight: Tensor) -> bool:
    """Whether the picture is one pixel."""
    return x.shape[2:] == (1, 1)


def by_matmul(layer: nn.Module) -> tuple[Callable, Callable] | None:
    """The product that a layer is, and whether it pays for (x, weight); None for a layer that has none."""
    if type(layer) not in (nn.Conv2d, nn.ConvTranspose2d):  # a subclass may do more
        return None
    up, form = isinstance(layer, nn.ConvTranspose2d), (layer.stride, layer.padding)
    if form == ((2, 2), (1, 1)):
        return (transposed, partial(small, scale=4)) if up else (strided, small)
    if form == ((1, 1), (0, 0)) and layer.kernel_size != (1, 1):
        return (unfolding, single) if up else (covering, covered)
    return None


def use_matmuls(network: nn.Module, use: bool = True) -> None:
    """Let the network's layers compute small pictures so, or no longer; weights and names stay."""
    for layer in network.modules():
        if found := by_matmul(layer):
            vars(layer).pop("forward", None)
            if use:
                layer.forward = partial(_forward, layer, *found)
