"""Ways through the space of latents: directions with a measured meaning, and neighbours of a face."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .sampling import latents_from_seeds

DIRECTIONS = "directions.safetensors"
GRID = 5  # neighbours are a square of this side around a face
ANGLE = 0.2  # radians from one to the next
CODE_STEP = 1 / 32  # a code counts each number of a latent in these, -127 to 127 of them


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


def encode(z: Tensor) -> str:
    """A latent (latent_dim,) as a text of letters, digits, - and _ that begins with z; numbers are rounded to 1/32."""
    numbers = (z / CODE_STEP).round().clamp(-127, 127).to(torch.int8).numpy()
    return "z" + base64.urlsafe_b64encode(numbers.tobytes()).decode().rstrip("=")


def decode(code: str, latent_dim: int) -> Tensor | None:
    """The latent (latent_dim,) of a code of :func:`encode`; None for any other text."""
    text = code[1:]
    if not re.fullmatch("z[A-Za-z0-9_-]+", code) or len(text) != -(-latent_dim * 4 // 3):
        return None
    numbers = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return torch.frombuffer(bytearray(numbers), dtype=torch.int8).float() * CODE_STEP


def neighbours(z: Tensor, key: str) -> Tensor:
    """A map around ``z`` (latent_dim,): (GRID * GRID, latent_dim), row by row, ``z`` itself in the middle.

    The map has two axes, random and at right angles to each other and to ``z``, which ``key`` fixes. Each cell turns
    ``z`` towards its place on the map by an angle, so that its length, and with it how typical the face is, stays.
    """
    digest = hashlib.sha256(key.encode()).digest()
    axes = latents_from_seeds([int.from_bytes(digest[i : i + 4], "big") for i in (0, 4)], len(z))
    basis, _ = torch.linalg.qr(torch.stack([z, *axes], dim=1))  # columns: z, across, down
    place = torch.arange(GRID) - GRID // 2
    down, across = torch.meshgrid(place, place, indexing="ij")
    towards = torch.stack([across, down], dim=-1).reshape(-1, 2).float()  # (GRID * GRID, 2)
    distance = towards.norm(dim=1, keepdim=True)
    towards = (towards / distance.clamp_min(1)) @ basis[:, 1:].T
    towards = torch.nn.functional.normalize(towards, dim=1)
    around: Tensor = z * (ANGLE * distance).cos() + z.norm() * towards * (ANGLE * distance).sin()
    return around
