"""Half precision as a GAN needs it: which there is, a gradient scaler per network, penalties in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.amp import GradScaler

from train.config import TrainConfig
from train.errors import UserError


def check_precision(config: TrainConfig, device: torch.device) -> None:
    """Refuse what the device cannot do.

    Raises:
        UserError: names the option.
    """
    if config.precision == "fp16" and device.type in ("cpu", "mps"):
        where = "an Apple GPU" if device.type == "mps" else "a CPU"
        raise UserError("--mixed_precision", f"fp16 needs a CUDA GPU, and this is {where}; leave the option out")
    if device.type == "mps":
        if config.precision != "no":
            raise UserError("--mixed_precision", "an Apple GPU trains in float32; leave the option out")
        if config.compile:
            raise UserError("--compile", "compiled networks do not train on an Apple GPU; leave the option out")


def scale_separately(accelerator: Accelerator, optimizer: AcceleratedOptimizer) -> None:
    """Give an optimizer a gradient scaler of its own, where the precision needs any.

    With one for both networks, an overflow in the first changes the scale before the second has stepped, and gradients
    that the second has accumulated so far would be divided by the wrong one.
    """
    if accelerator.scaler is not None:
        optimizer.scaler = GradScaler(accelerator.device.type)


def scaler_state(optimizer: AcceleratedOptimizer) -> dict:
    """The scale and its history, for checkpoints; {} without a scaler. Accelerate saves only its own."""
    return optimizer.scaler.state_dict() if optimizer.scaler else {}


def restore_scaler(optimizer: AcceleratedOptimizer, state: dict) -> None:
    """Go on with what ``scaler_state`` gave; a checkpoint of another precision has none."""
    if optimizer.scaler and state:
        optimizer.scaler.load_state_dict(state)


def backward(accelerator: Accelerator, loss: Tensor, optimizer: AcceleratedOptimizer) -> None:
    """Gradients of the loss, scaled as the optimizer that will use them expects."""
    shared = accelerator.scaler  # that of the checkpoints
    accelerator.scaler = optimizer.scaler
    try:
        accelerator.backward(loss)
    finally:
        accelerator.scaler = shared


@contextmanager
def full_precision(network: nn.Module) -> Iterator[None]:
    """Let a network that Accelerate has prepared compute in the precision of its weights, float32.

    For gradient penalties under fp16: they differentiate gradients that no scaler has scaled, and small ones are zero
    there (6e-8 is the smallest number of float16).
    """
    mixed = network.forward
    network.forward = getattr(network, "_original_forward", mixed)
    try:
        yield
    finally:
        network.forward = mixed
