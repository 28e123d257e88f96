"""GAN losses as pure functions of logits (N,): each returns a scalar to minimise."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOSSES = ("bce", "hinge", "rp")


def discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss from its logits on ``real`` and ``fake`` images, both (N,).

    bce: binary cross-entropy, real = 1, fake = 0 (Goodfellow et al. 2014, arXiv:1406.2661).
    hinge: margins at +1 and -1 (Lim and Ye 2017, arXiv:1705.02894).
    rp: relativistic pairing, each real against one fake (Jolicoeur-Martineau 2019, arXiv:1807.00734).
    """
    if loss == "bce":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if loss == "rp":
        return F.softplus(fake - real).mean()
    raise ValueError(f"loss: '{loss}' is not one of {', '.join(LOSSES)}")


def generator_loss(loss: str, real: Tensor | None, fake: Tensor) -> Tensor:
    """The generator's loss from the logits; only ``rp`` looks at ``real`` (N,). For bce the non-saturating form."""
    if loss == "bce":
        return F.softplus(-fake).mean()
    if loss == "hinge":
        return -fake.mean()
    if loss == "rp":
        return F.softplus(real - fake).mean()
    raise ValueError(f"loss: '{loss}' is not one of {', '.join(LOSSES)}")


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of d(logits) / d(images): R1 on real images, R2 on fake ones (Mescheder et al. 2018,
    arXiv:1801.04406). ``images`` (N, C, H, W) must require grad and have made ``logits`` (N,). Returns a scalar.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()


def accuracies(loss: str, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Parts of real and of fake images (N,) that the discriminator calls right, two scalars in [0, 1].

    ``rp`` only orders logits and leaves their zero free, so there each image is held against the other kind's mean.
    """
    zero_for_real, zero_for_fake = (fake.mean(), real.mean()) if loss == "rp" else (0.0, 0.0)
    return (real > zero_for_real).float().mean(), (fake < zero_for_fake).float().mean()
