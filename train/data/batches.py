"""Random numbers that belong to images rather than to processes."""

import numpy as np
import torch
from torch import Tensor


def keyed_generator(seed: int, *key: int) -> torch.Generator:
    """A generator on the CPU that is a function of ``seed`` and ``key`` (integers from 0)."""
    mixed = np.random.SeedSequence([seed, *key]).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]))


class Draws:
    """The random numbers of one global batch of ``total`` images; each call goes on where the last one ended.

    They are a function of (seed, position), so a resumed run draws what an undisturbed one draws. A process takes the
    rows ``mine``, so several together draw what a single one with the whole batch draws.
    """

    def __init__(self, seed: int, position: int, total: int, mine: slice, device: torch.device | str) -> None:
        self.generator = keyed_generator(seed, 2, position)
        self.total, self.mine, self.device = total, mine, device

    def normal(self, columns: int) -> Tensor:
        """Standard normal (len(mine), columns), float32 on the device."""
        return self._mine(torch.randn(self.total, columns, generator=self.generator))

    def uniform(self, columns: int) -> Tensor:
        """Uniform in [0, 1) (len(mine), columns), float32 on the device."""
        return self._mine(torch.rand(self.total, columns, generator=self.generator))

    def _mine(self, numbers: Tensor) -> Tensor:
        return numbers[self.mine].to(self.device, non_blocking=True)
