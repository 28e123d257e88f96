"""Find directions in the latent space that change one measured thing about a face, and prove it.

python -m train.directions weights

Writes into the weights folder directions.safetensors (what the page's sliders move along), directions.json (how each
slider was measured), directions.png (each slider's effect on the same face) and faces.safetensors (what was measured of
the first 10,000 seeds, to find faces by wish), and renews the model card. All of these belong to that very
model.safetensors: other weights need a new run, which takes two or three minutes on a CPU.

Candidates are the regression of every attribute on the latents, each freed of the others' share, and the eigenvectors
of the first layer (SeFa, Shen & Zhou 2021, arXiv:2007.06600). Attributes are measured from pixels. A direction is kept
if on faces that were not used to find it, its own attribute changes clearly and every other one far less.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors

from model import Generator, image_grid, latents_from_seeds
from model.directions import DIRECTIONS, weights_digest
from model.files import local_path
from model.finding import FACES
from model.hub import load_generator
from train.errors import UserError, blame, run
from train.output.files import write_bytes, write_json
from train.output.made_from import mark
from train.output.pictures import save_image
from train.output.run_folder import refuse_run
from train.quality.attributes import ATTRIBUTES, Attribute, measure
from train.quality.latent_directions import SIGMA, find
from train.release.card import write_card

STEPS = (-3, -2, -1, 0, 1, 2, 3)  # columns of directions.png


def write_index(folder: Path, generator: Generator, kept: list[Attribute], count: int) -> None:
    """faces.safetensors into ``folder``: the attributes ``kept`` of the first ``count`` seeds."""
    columns = [ATTRIBUTES.index(attribute) for attribute in kept]
    lots = [range(start, min(start + 1024, count)) for start in range(0, count, 1024)]
    values = torch.cat(
        [measure(generator, latents_from_seeds(some, generator.latent_dim))[:, columns] for some in lots]
    )
    if kept:
        values = (values - values.mean(0)) / values.std(0).clamp_min(1e-6)  # (count, K)
    words = [{key: getattr(attribute, key) for key in ("label", "low", "high")} for attribute in kept]
    metadata = {"weights": weights_digest(folder), "attributes": json.dumps(words)}
    write_bytes(to_safetensors({"values": values.half()}, metadata), folder / FACES)


def write(folder: Path, generator: Generator, found: list[dict], samples: int) -> None:
    """directions.safetensors, .json and .png into ``folder``."""
    words = [{key: getattr(one["attribute"], key) for key in ("label", "low", "high", "how")} for one in found]
    vectors = torch.stack([one["vector"] for one in found]) if found else torch.empty(0, generator.latent_dim)
    digest = weights_digest(folder)
    evidence = {
        "weights": digest,
        "sigma": SIGMA,
        "faces": samples // 16,
        "attributes": {attribute.label: attribute.how for attribute in ATTRIBUTES},
        "sliders": [word | {key: one[key] for key in ("source", "effect", "faces")} for word, one in zip(words, found)],
    }
    data = to_safetensors({"directions": vectors}, {"weights": digest, "sliders": json.dumps(words)})
    write_bytes(data, folder / DIRECTIONS)
    write_json(evidence, folder / "directions.json")
    if found:
        z = latents_from_seeds([0], generator.latent_dim)
        path = torch.cat([z + step * vector for vector in vectors for step in STEPS])
        save_image(
            image_grid(generator.generate(z=path), columns=len(STEPS)), folder / "directions.png", exif=mark(digest)
        )
    else:
        (folder / "directions.png").unlink(missing_ok=True)


def describe(direction: dict) -> str:
    """A line for people: the effect on its own attribute, and the largest on any other."""
    label = direction["attribute"].label
    largest, other = max((abs(value), name) for name, value in direction["effect"].items() if name != label)
    own, source = direction["effect"][label], direction["source"]
    return f"{label}: {own:+.2f} sd, at most {largest:.2f} elsewhere ({other}), {source}"


def work(folder: Path, samples: int, indexed: int) -> None:
    for option, number in (("--num_samples", samples), ("--num_indexed", indexed)):
        if not 512 <= number <= 2**20:
            raise UserError(option, f"{number} is not in 512 to {2**20}")
    refuse_run(folder, "weights_folder")
    if not folder.is_dir():
        raise UserError("weights_folder", f"there is no folder '{folder}'")
    try:
        with blame("weights_folder"):
            generator = load_generator(folder)
            found = find(generator, samples)
            write(folder, generator, found, samples)
            write_index(folder, generator, [direction["attribute"] for direction in found], indexed)
            write_card(folder)
    except OSError as error:
        sentence = f"'{folder}' cannot be written: {error.strerror or error}"
        raise UserError("weights_folder", sentence) from error
    for direction in found:
        print(describe(direction))
    print(f"{len(found)} of {len(ATTRIBUTES)} attributes have a direction of their own")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_folder", type=local_path, help="folder with model.safetensors and config.json")
    parser.add_argument("--num_samples", type=int, default=4096, help="faces to find directions from (default: 4096)")
    parser.add_argument("--num_indexed", type=int, default=10_000, help="faces to find by wish (default: 10000)")
    args = parser.parse_args(argv)
    return run(partial(work, args.weights_folder, args.num_samples, args.num_indexed), parser)


if __name__ == "__main__":
    sys.exit(main())
