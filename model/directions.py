"""Directions through the space of latents with a measured meaning, kept beside the weights that they were made for."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError, safe_open
from torch import Tensor

DIRECTIONS = "directions.safetensors"

Measured = tuple[Tensor, list[str], list[tuple[str, str]]]  # of what was measured: numbers, labels, ends


def weights_digest(folder: str | Path) -> str:
    """SHA-256 of a weights folder's model.safetensors, in hex."""
    return hashlib.sha256(Path(folder, SAFETENSORS_SINGLE_FILE).read_bytes()).hexdigest()


def read_measured(folder: str | Path, name: str, tensor: str, words: str) -> Measured | None:
    """A tensor of the safetensors file ``name`` beside the weights, and what was measured: labels, and the words for
    little and for much of each, from the JSON of its metadata's ``words``.

    None where the file is absent, damaged or made for other weights.
    """
    path = Path(folder, name)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata, values = file.metadata() or {}, file.get_tensor(tensor).clone()
        found = json.loads(metadata[words])
        labels, ends = [one["label"] for one in found], [(one["low"], one["high"]) for one in found]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
    return (values, labels, ends) if metadata.get("weights") == weights_digest(folder) else None


@dataclass
class Directions:
    """Directions along which a generator's faces change in one measured way.

    Attributes:
        vectors: (K, latent_dim), unit length.
        labels: what changes, one for each vector.
        ends: (at minus, at plus), one for each vector.
    """

    vectors: Tensor
    labels: list[str]
    ends: list[tuple[str, str]]

    @classmethod
    def load(cls, folder: str | Path, latent_dim: int) -> "Directions":
        """Those beside the weights; none (K = 0) where the file is absent, damaged or made for other weights."""
        if found := read_measured(folder, DIRECTIONS, "directions", "sliders"):
            vectors, labels, ends = found
            if vectors.shape == (len(labels), latent_dim) and vectors.isfinite().all():
                return cls(vectors, labels, ends)
        return cls(torch.empty(0, latent_dim), [], [])

    def move(self, z: Tensor, amounts: list[float]) -> Tensor:
        """``z`` (N, latent_dim) moved along the first ``len(amounts)`` directions, in standard deviations of z."""
        return z + torch.tensor(amounts, dtype=z.dtype) @ self.vectors[: len(amounts)] if amounts else z
