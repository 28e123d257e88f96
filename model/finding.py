"""Faces by wish: seeds whose measured hair, background and so on are as somebody wants them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .directions import read_measured

FACES = "faces.safetensors"
# Standard deviations from the mean face, from which on a wish is fulfilled: further out faces are odd, not better.
CLEAR = 2.0
MAX_FACES = 2**20  # of an index


@dataclass
class FaceIndex:
    """What was measured of the faces of the first seeds, for the attributes that have a proven direction.

    Attributes:
        values: (N, K) for seeds 0 to N - 1, in standard deviations from the mean over them.
        labels: what was measured, one for each column.
        ends: (little of it, much of it), one for each column.
    """

    values: Tensor
    labels: list[str]
    ends: list[tuple[str, str]]

    @classmethod
    def load(cls, folder: str | Path) -> "FaceIndex":
        """That beside the weights; none (N = K = 0) where the file is absent, damaged or made for other weights."""
        if found := read_measured(folder, FACES, "values", "attributes"):
            values, labels, ends = found
            texts = [*labels, *(end for both in ends for end in both)]
            sound = all(isinstance(text, str) for text in texts) and values.ndim == 2 and len(values) <= MAX_FACES
            if sound and values.shape[1] == len(labels) and values.isfinite().all():
                return cls(values.float(), labels, ends)
        return cls.empty()

    @classmethod
    def empty(cls) -> "FaceIndex":
        """That of weights of which nothing was measured."""
        return cls(torch.empty(0, 0), [], [])

    def phrases(self) -> list[str]:
        """Every wish that can be made."""
        things = [label.lower().split()[0] for label in self.labels]
        return [f"{end} {thing}" for thing, ends in zip(things, self.ends) for end in ends]

    def read_wish(self, wish: str) -> tuple[int, int]:
        """The column of a wish such as "green hair", and -1 for little or 1 for much of it.

        Raises:
            ValueError: it is no wish, or means more than one; one sentence.
        """
        words, meant = set(re.findall(r"\w+", wish.lower())) - {"or"}, []
        for column, (label, ends) in enumerate(zip(self.labels, self.ends)):
            thing = set(label.lower().split())
            for sign, end in zip((-1, 1), ends):
                how = words & set(end.lower().split())
                if how and words - how and words - how <= thing:
                    meant.append((column, sign))
        if len(meant) != 1:
            can = ", ".join(self.phrases()) or "none: these weights have no faces.safetensors"
            raise ValueError(f"wish: '{wish:.40}' is not one that was measured; there are {can}")
        return meant[0]

    def nearest(self, values: Tensor, n: int = 25) -> list[int]:
        """The ``n`` seeds of which least differs from ``values`` (K,), the nearest first."""
        apart = (self.values - values).norm(dim=1)  # (N,)
        nearest: list[int] = apart.argsort(stable=True)[:n].tolist()
        return nearest

    def find(self, wishes: Sequence[str], n: int = 25) -> list[int]:
        """The ``n`` seeds that come nearest to all of ``wishes``, the nearest first.

        A face counts as its least fulfilled wish; beyond CLEAR none is fulfilled any more than at it.

        Raises:
            ValueError: no wishes, or one that is none; one sentence.
        """
        if not wishes:
            raise ValueError("wish: give one, such as 'green hair'")
        meant = [self.read_wish(wish) for wish in wishes]
        fulfilled = torch.stack([sign * self.values[:, column] for column, sign in meant]).clamp(max=CLEAR)  # (W, N)
        by_mean = fulfilled.mean(0).argsort(descending=True, stable=True)
        worst = fulfilled.amin(0)[by_mean]
        return by_mean[worst.argsort(descending=True, stable=True)[:n]].tolist()
