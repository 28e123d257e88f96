"""A DCGAN that draws anime faces: ``Generator.from_pretrained(...).generate(seeds=[7])``."""

from .blending import blend
from .discriminator import Discriminator
from .generator import Generator
from .memory import Face, read_face, save_face
from .names import seed_of
from .sampling import image_grid, interpolate, latents_from_seeds, slerp, to_images, truncate
from .version import __version__ as __version__

__all__ = [
    "Discriminator",
    "Face",
    "Generator",
    "blend",
    "image_grid",
    "interpolate",
    "latents_from_seeds",
    "read_face",
    "save_face",
    "seed_of",
    "slerp",
    "to_images",
    "truncate",
]
