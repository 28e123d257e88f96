"""What is drawn in training beside full latents."""

import torch
from torch import Tensor


def truncated(z: Tensor, part: float, u: Tensor) -> Tensor:
    """Latents (N, latent_dim) of which the first ``part`` are scaled by 0 to 1, with ``u`` (N, 1), uniform in [0, 1).

    By the root of a uniform number: few are near 0, where all are one face.
    """
    n = round(len(z) * part)
    return torch.cat([z[:n] * u[:n].sqrt(), z[n:]])
