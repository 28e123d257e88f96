"""Show the nearest training picture beside each drawn face: a check for copying.

    python -m train.neighbours weights --train_data_dir faces.zip --feature_extractor features.pt

Writes neighbours.png: pairs of a drawn face (seeds 0 to 31) and the training picture with the nearest features, by the
distances that `train.evaluate` measures with.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from model import image_grid
from model.files import local_path
from model.hub import load_generator
from train.data.dataset import default_cache_dir, prepare
from train.errors import UserError, blame, run
from train.output.pictures import save_image
from train.output.run_folder import refuse_run
from train.quality.features import Extractor, draw, load_extractor, reference_features


def nearest(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Index (N,) of the nearest row of ``real`` (M, F) for each row of ``fake`` (N, F)."""
    return torch.cdist(fake, real).argmin(1)


def pairs(weights: str, data: str, extractor: Extractor, count: int, cache_dir: Path | None = None) -> Image.Image:
    """A grid of ``count`` pairs, eight to a row: the drawn face on the left, its nearest training picture right.

    Raises:
        UserError: weights, data or features that are unavailable.
    """
    refuse_run(Path(weights), "weights")
    with blame("weights"):
        generator = load_generator(weights)
    images = prepare(data, resolution=generator.image_size, cache_dir=cache_dir)
    real = reference_features(images, len(images), extractor, 250, cache_dir or default_cache_dir())
    fake = extractor(draw(generator, count, truncation=1.0, first_seed=0, batch_size=250), count, "Samples")
    tiles = []
    for face, i in zip(generator.generate(range(count)), nearest(fake, real).tolist()):
        tiles.append(image_grid([face.convert("RGB"), Image.fromarray(images.images[i])], columns=2))
    return image_grid(tiles, columns=8)


def work(args: argparse.Namespace) -> None:
    if args.count < 1:
        raise UserError("--count", f"{args.count} is not at least 1")
    is_png = args.output.suffix.lower() == ".png" and not args.output.is_dir()
    if not is_png or not args.output.resolve().parent.is_dir():
        raise UserError("--output", f"'{args.output}' is not a .png in a folder that exists")
    extractor = load_extractor(args.feature_extractor)
    picture = pairs(args.weights, args.train_data_dir, extractor, args.count, args.cache_dir)
    try:
        save_image(picture, args.output)
    except OSError as error:
        raise UserError("--output", f"'{args.output}' cannot be written: {error.strerror or error}") from None
    print(f"wrote '{args.output}'")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=os.path.expanduser, help="weights folder")
    data = "folder or zip that the weights were trained on"
    parser.add_argument("--train_data_dir", type=local_path, required=True, help=data)
    extractor = "TorchScript module (default: Inception)"
    parser.add_argument("--feature_extractor", metavar="FILE", type=local_path, help=extractor)
    parser.add_argument("--count", type=int, default=32, help="faces drawn (default: 32)")
    cache = "where decoded pictures are kept (default: the user's cache)"
    parser.add_argument("--cache_dir", type=local_path, help=cache)
    parser.add_argument(
        "--output", type=local_path, default=Path("neighbours.png"), help="PNG (default: neighbours.png)"
    )
    args = parser.parse_args(argv)
    return run(partial(work, args), parser)


if __name__ == "__main__":
    sys.exit(main())
