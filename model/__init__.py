"""A DCGAN that draws anime faces: ``Generator.from_pretrained(...).generate(seeds=[7])``."""

from .discriminator import Discriminator
from .generator import Generator
from .sampling import image_grid, interpolate, latents_from_seeds, slerp, to_images, truncate

__version__ = "0.1.0"

__all__ = [
    "Discriminator",
    "Generator",
    "image_grid",
    "interpolate",
    "latents_from_seeds",
    "slerp",
    "to_images",
    "truncate",
]
