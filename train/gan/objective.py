"""What the discriminator and the generator minimise in one step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from train.gan.losses import accuracies, discriminator_loss, generator_loss, gradient_penalty

Network = Callable[[Tensor], Tensor]  # a discriminator: images (N, C, H, W) in [-1, 1] -> logits (N,)


class DiscriminatorObjective(NamedTuple):
    """Scalars on the device."""

    total: Tensor  # to minimise: the loss and the weighted penalty
    loss: Tensor
    penalty: Tensor  # 0 in a step without one
    accuracy_real: Tensor
    accuracy_fake: Tensor


@dataclass(frozen=True)
class Objective:
    """A GAN loss with gradient penalties R1 and R2.

    Attributes:
        loss: one of ``losses.LOSSES``.
        gamma: weight of the penalties; 0 for none.
        interval: steps between penalties.
    """

    loss: str
    gamma: float
    interval: int

    def penalizes(self, step: int) -> bool:
        """Whether the step of this number has a penalty."""
        return self.gamma > 0 and step % self.interval == 0

    def discriminator(self, D: Network, real: Tensor, fake: Tensor, penalize: bool) -> DiscriminatorObjective:
        """What D minimises, from real and drawn images (N, C, H, W); no gradient flows to the generator."""
        real, fake = real.detach().requires_grad_(penalize), fake.detach().requires_grad_(penalize)
        real_logits, fake_logits = D(real), D(fake)
        loss = discriminator_loss(self.loss, real_logits, fake_logits)
        penalty = torch.zeros_like(loss)
        if penalize:
            penalty = gradient_penalty(real_logits, real) + gradient_penalty(fake_logits, fake)
        # A penalty that comes every k-th step weighs k times as much.
        total = loss + self.gamma / 2 * self.interval * penalty
        return DiscriminatorObjective(
            total, loss, penalty, *accuracies(self.loss, real_logits.detach(), fake_logits.detach())
        )

    def generator(self, D: Network, real: Tensor, fake: Tensor) -> Tensor:
        """What G minimises, from images (N, C, H, W); D's own parameters should need no gradient here."""
        with torch.no_grad():
            real_logits = D(real) if self.loss == "rp" else None  # the only loss that looks at them
        return generator_loss(self.loss, real_logits, D(fake))
