"""What is drawn in training beside full latents."""

import torch
from torch import Tensor


def truncated(z: Tensor, part: float, u: Tensor) -> Tensor:
    """Latents (N, latent_dim) of which ``part`` are scaled by 0 to 1; ``u`` (N, 2), uniform in [0, 1), says which.

    By the root of a uniform number: few are near 0, where all are one face.
    """
    return z * torch.where(u[:, :1] < part, u[:, 1:].sqrt(), 1.0)
