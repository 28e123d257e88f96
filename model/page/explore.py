"""Around a face: its code, and a map of its neighbours."""

import base64
import hashlib
import re

import torch
from torch import Tensor

from ..sampling import latents_from_seeds

GRID = 5  # neighbours are a square of this side around a face
ANGLE = 0.2  # radians from one to the next
CODE_STEP = 1 / 32  # a code counts each number of a latent in these, -127 to 127 of them


def latent_to_code(z: Tensor) -> str:
    """A latent (latent_dim,) as a text of letters, digits, - and _ that begins with z; numbers are rounded to 1/32."""
    numbers = (z / CODE_STEP).round().clamp(-127, 127).to(torch.int8).numpy()
    return "z" + base64.urlsafe_b64encode(numbers.tobytes()).decode().rstrip("=")


def code_to_latent(code: str, latent_dim: int) -> Tensor | None:
    """The latent (latent_dim,) of a code of :func:`latent_to_code`; None for any other text."""
    text = code[1:]
    if not re.fullmatch("z[A-Za-z0-9_-]+", code) or len(text) != -(-latent_dim * 4 // 3):
        return None
    numbers = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return torch.frombuffer(bytearray(numbers), dtype=torch.int8).float() * CODE_STEP


def latents_around(z: Tensor, key: str) -> Tensor:
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
