"""The weights that a network starts with."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

INITS = ("resize", "orthogonal", "normal")


def resizing_kernel(weight: Tensor) -> Tensor:
    """A (in, out, 4, 4) kernel with which a transposed convolution of stride 2 doubles pictures by nearest neighbour
    and passes an orthogonal 3x3 convolution over them.

    Neighbouring pixels then begin alike, not as a checkerboard that training must first wear down (the aim of ICNR,
    Aitken et al. 2017, arXiv:1707.02937, for transposed convolutions).
    """
    kernel = nn.init.orthogonal_(torch.empty(weight.shape[1], weight.shape[0], 3, 3)).transpose(0, 1)
    return avg_pool2d(pad(kernel, (1, 1, 1, 1)), 2, stride=1, divisor_override=1)  # each tap serves 2x2 pixels


@torch.no_grad()
def initialise(network: nn.Module, how: str) -> None:
    """Draw the weights of all convolutions and linear layers anew, but for those that are to start at zero.

    ``how`` is one of INITS, 'normal' with a deviation of 0.02.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or hasattr(layer, "zero_start"):
            continue
        if how == "normal":
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif how == "resize" and isinstance(layer, nn.ConvTranspose2d) and layer.stride == (2, 2):
            layer.weight.copy_(resizing_kernel(layer.weight))
        else:
            nn.init.orthogonal_(layer.weight)
