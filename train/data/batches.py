"""Batches on the device and the random numbers that go with them, both a function of the seed and the images seen."""

import os
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from train.errors import UserError


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


class Batches(Iterator[Tensor]):
    """Endless shuffled batches: float32 (batch_size, 3, H, W) in [-1, 1] on the device, in channels-last memory.

    Every image comes once per epoch, and batches run on across the ends of epochs. All that is drawn is a function of
    (seed, ``position``), the images handed out so far over all ranks: to resume, set ``position``. One rank's batch
    is its slice of the global batch, so two ranks see together what one rank with the double batch sees.

    Args:
        images: uint8 (N, H, W, 3), memory-mapped or not. Kept on a CUDA device where it takes less than half of the
            free memory; gathered on the host otherwise, where of a mapped file only what a batch needs is read.
        batch_size: images per rank.
        flip: mirror every image left to right with probability 1/2.
        resident: whether a CUDA device may keep the images.

    Raises:
        UserError: fewer images than a global batch.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        device: torch.device | str,
        rank: int = 0,
        world_size: int = 1,
        flip: bool = True,
        resident: bool = True,
    ) -> None:
        self.total = batch_size * world_size
        if len(images) < self.total:
            sentence = f"{len(images)} images are fewer than the batch of {self.total}; lower the batch size"
            raise UserError("--train_batch_size", sentence)
        self.images, self.seed, self.device, self.flip = images, seed, torch.device(device), flip
        self.mine = slice(rank * batch_size, (rank + 1) * batch_size)
        self.position = 0
        self._epoch: int | None = None
        self._resident: Tensor | None = None
        on_cuda = resident and self.device.type == "cuda"
        if on_cuda and images.nbytes < torch.cuda.mem_get_info(self.device)[0] // 2:
            self._resident = torch.empty(images.shape, dtype=torch.uint8, device=self.device)
            for first in range(0, len(images), 4096):
                part = np.array(images[first : first + 4096])
                self._resident[first : first + 4096] = torch.from_numpy(part).to(self.device)
        mapped = self._resident is None and isinstance(images, np.memmap) and hasattr(os, "posix_fadvise")
        self._file = open(images.filename, "rb") if mapped else None  # noqa: SIM115

    @property
    def on_device(self) -> bool:
        """Whether all images are in the GPU's memory."""
        return self._resident is not None

    def __next__(self) -> Tensor:
        index = self._global_index()[self.mine]
        flips = torch.rand(self.total, generator=keyed_generator(self.seed, 1, self.position))[self.mine] < 0.5
        self.position += self.total
        self.read_ahead()
        if self._resident is not None:
            batch = self._resident[index.to(self.device, non_blocking=True)]
        else:
            batch = torch.from_numpy(self.images[index.numpy()])
            if self.device.type == "cuda":
                batch = batch.pin_memory()
            batch = batch.to(self.device, non_blocking=True)
        if self.flip:
            batch = torch.where(flips.to(self.device)[:, None, None, None], batch.flip(2), batch)
        # (B, H, W, 3) in memory, seen as (B, 3, H, W): channels-last
        return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def read_ahead(self) -> None:
        """Let the system fetch the images at ``position`` from a mapped file while the batch before them trains.

        A set beyond the memory would wait for the disk at every image, and for megabytes around it that go unused.
        """
        if self._file:
            size = self.images[0].nbytes
            for i in self._global_index()[self.mine].tolist():
                with suppress(OSError):  # not on every file system
                    os.posix_fadvise(self._file.fileno(), self.images.offset + i * size, size, os.POSIX_FADV_WILLNEED)

    def draws(self) -> Draws:
        """What else is random about the next batch: latents, augmentation."""
        return Draws(self.seed, self.position, self.total, self.mine, self.device)

    def _global_index(self) -> Tensor:
        """Indices (total,) of the images at ``position`` and after; at most one end of an epoch lies among them."""
        epoch, start = divmod(self.position, len(self.images))
        index = self._permutation(epoch)[start : start + self.total]
        if len(index) < self.total:
            index = torch.cat([index, self._permutation(epoch + 1)[: self.total - len(index)]])
        return index

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(len(self.images), generator=keyed_generator(self.seed, 0, epoch))
            self._epoch = epoch
        return self._order
