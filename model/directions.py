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


def weights_digest(folder: str | Path) -> str:
    """SHA-256 of a weights folder's model.safetensors, in hex."""
    return hashlib.sha256(Path(folder, SAFETENSORS_SINGLE_FILE).read_bytes()).hexdigest()


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
        none = cls(torch.empty(0, latent_dim), [], [])
        path = Path(folder, DIRECTIONS)
        if not path.is_file():
            return none
        try:
            with safe_open(path, "pt") as file:
                metadata, vectors = file.metadata() or {}, file.get_tensor("directions").clone()
            sliders = json.loads(metadata["sliders"])
            found = cls(vectors, [s["label"] for s in sliders], [(s["low"], s["high"]) for s in sliders])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return none
        fits = vectors.shape == (len(sliders), latent_dim) and vectors.isfinite().all()
        return found if fits and metadata.get("weights") == weights_digest(folder) else none

    def move(self, z: Tensor, amounts: list[float]) -> Tensor:
        """``z`` (N, latent_dim) moved along the first ``len(amounts)`` directions, in standard deviations of z."""
        return z + torch.tensor(amounts, dtype=z.dtype) @ self.vectors[: len(amounts)] if amounts else z
