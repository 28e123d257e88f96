"""What torch.compile needs, and what it says where it fails."""

import torch

from train.errors import UserError


def check_compiler(device: torch.device) -> None:
    """Compile something small for the device, as the first step of a training would.

    Raises:
        UserError: compiling fails.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(8, device=device))
    except Exception as error:  # of many kinds: no compiler, no Python headers, no Triton, a full disk
        raise UserError(
            "--compile",
            f"PyTorch cannot compile here ({reason(error)}); install a C++ compiler and Python's headers "
            "(Debian: apt-get install g++ python3-dev), or leave the option out",
        ) from error


def compiler_failed(error: BaseException) -> bool:
    """Whether the error comes from torch.compile, also when its C++ compiler was interrupted."""
    from torch._dynamo.exc import TorchDynamoException  # takes seconds, and only who compiles needs it

    return isinstance(error, TorchDynamoException)


def reason(error: BaseException) -> str:
    """The line of torch.compile's long message that says what happened."""
    return str(error).strip().split("\n\n")[0].splitlines()[-1]
