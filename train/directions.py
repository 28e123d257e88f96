"""Find directions in the latent space that change one measured thing about a face, and prove it.

python -m train.directions weights

Writes into the weights folder directions.safetensors (what the page's sliders move along), directions.json (how each
slider was measured) and directions.png (each slider's effect on the same face), and renews the model card. All three
belong to that very model.safetensors: other weights need a new run, which takes one or two minutes on a CPU.

Candidates are the regression of every attribute on the latents, each freed of the others' share, and the eigenvectors
of the first layer (SeFa, Shen & Zhou 2021, arXiv:2007.06600). Attributes are measured from pixels. A direction is kept
if on faces that were not used to find it, its own attribute changes clearly and every other one far less.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import Generator, image_grid, latents_from_seeds
from model.explore import DIRECTIONS, weights_digest
from model.hub import LoadError, load_generator
from train.output.files import whole, write_text
from train.output.pictures import save_image
from train.release.card import write_card

SIGMA = 2.0  # effects are measured from -SIGMA to +SIGMA
CLEAR = 0.8  # least effect that is kept, in standard deviations of the attribute among faces
DOMINANCE = 2.5  # how often the effect on any other attribute must fit into it
SEFA = 12  # eigenvectors that are tried
STEPS = (-3, -2, -1, 0, 1, 2, 3)  # columns of directions.png
LUMA = torch.tensor([0.299, 0.587, 0.114])


def luma(x: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> (N, H, W)."""
    return torch.einsum("nchw,c->nhw", x, LUMA)


def part(x: Tensor, top: float, bottom: float, left: float, right: float) -> Tensor:
    """A rectangle of the picture; sides in parts of its own."""
    side = x.shape[-1]
    return x[..., round(top * side) : round(bottom * side), round(left * side) : round(right * side)]


def hair(x: Tensor) -> Tensor:
    """Where the hair is in a picture of a face: above the forehead."""
    return part(x, 0.06, 0.25, 0.3, 0.7)


def background(x: Tensor) -> Tensor:
    """Both upper corners, (N, 3, H, W)."""
    return torch.cat([part(x, 0, 0.16, 0, 0.1), part(x, 0, 0.16, 0.9, 1)], dim=-1)


def face(x: Tensor) -> Tensor:
    """The lower middle, with cheeks, nose and mouth."""
    return part(x, 0.55, 0.8, 0.35, 0.65)


def warmth(x: Tensor) -> Tensor:
    """Red less blue."""
    return (x[:, 0] - x[:, 2]).mean((1, 2))


def tint(x: Tensor) -> Tensor:
    """Green less the mean of red and blue."""
    return (x[:, 1] - (x[:, 0] + x[:, 2]) / 2).mean((1, 2))


def skin_position(x: Tensor) -> Tensor:
    """Horizontal centre of what is light and warm like skin, in the middle rows; 0 is left and 1 right."""
    middle = part(x, 0.4, 0.85, 0.1, 0.9)
    skin = ((luma(middle) - 0.6) * 10).sigmoid() * ((middle[:, 0] - middle[:, 2] - 0.05) * 30).sigmoid()
    place = torch.linspace(0, 1, middle.shape[-1])
    return (skin.sum(1) * place).sum(1) / skin.sum((1, 2)).clamp_min(1e-3)


@dataclass
class Attribute:
    """Something measured from pictures (N, 3, H, W) in [0, 1] -> (N,), and the words for little and much of it."""

    label: str
    low: str
    high: str
    how: str
    measure: Callable[[Tensor], Tensor]


ATTRIBUTES = (
    Attribute("Hair lightness", "dark", "light", "mean luma above the forehead", lambda x: luma(hair(x)).mean((1, 2))),
    Attribute("Hair warmth", "blue", "red or blond", "red less blue above the forehead", lambda x: warmth(hair(x))),
    Attribute("Hair tint", "purple", "green", "green less red and blue above the forehead", lambda x: tint(hair(x))),
    Attribute("Background", "dark", "light", "mean luma of both upper corners",
              lambda x: luma(background(x)).mean((1, 2))),
    Attribute("Face lightness", "dark", "light", "mean luma of the lower middle", lambda x: luma(face(x)).mean((1, 2))),
    Attribute("Colour", "pale", "vivid", "mean of the largest less the least of red, green and blue",
              lambda x: (x.amax(1) - x.amin(1)).mean((1, 2))),
    Attribute("Detail", "soft", "busy", "mean luma difference of neighbouring pixels",
              lambda x: luma(x).diff(dim=1).abs().mean((1, 2)) + luma(x).diff(dim=2).abs().mean((1, 2))),
    Attribute("Face position", "left", "right", "horizontal centre of skin-coloured pixels", skin_position),
)  # fmt: skip


@torch.inference_mode()
def measure(generator: Generator, z: Tensor) -> Tensor:
    """All attributes (N, len(ATTRIBUTES)) of the faces of ``z`` (N, latent_dim)."""
    rows = []
    for chunk in z.split(64):
        x = (generator(chunk).clamp(-1, 1) + 1) / 2
        rows.append(torch.stack([attribute.measure(x.expand(-1, 3, -1, -1)) for attribute in ATTRIBUTES], dim=1))
    return torch.cat(rows)


def effects(generator: Generator, vectors: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """What moving ``z`` (N, latent_dim) from -SIGMA to +SIGMA does: (N, K, attributes), in units of ``scale``."""
    ends = [measure(generator, (z + sign * SIGMA * vectors[:, None]).flatten(0, 1)) for sign in (-1, 1)]
    return ((ends[1] - ends[0]) / scale).unflatten(0, (len(vectors), len(z))).transpose(0, 1)


def sefa(generator: Generator) -> Tensor:
    """Eigenvectors (SEFA, latent_dim) of the first layer, BatchNorm folded in, that change its output most."""
    first = fuse_conv_bn_eval(generator.layers[0], generator.layers[1], transpose=True)  # BatchNorm scales it
    weight = first.weight.flatten(1).double()  # (latent_dim, channels * 16)
    return torch.linalg.eigh(weight @ weight.T).eigenvectors.T.flip(0)[:SEFA].float()


def unit(vectors: Tensor) -> Tensor:
    """Rows of length 1."""
    return torch.nn.functional.normalize(vectors, dim=1)


def dominance(effect: Tensor) -> Tensor:
    """(K, attributes) effects -> (K, attributes): how often the largest other effect fits into each one."""
    others = effect.abs()[:, None].repeat(1, effect.shape[1], 1)
    others.diagonal(dim1=1, dim2=2).zero_()
    return effect.abs() / others.amax(2).clamp_min(1e-6)


def find(generator: Generator, samples: int, seed: int = 0) -> list[dict]:
    """The directions that hold: vector, attribute, source, effect on all attributes, share of faces that followed.

    Three lots of faces, from three runs of seeds: one to find, one to choose, one to report.
    """
    start = seed
    lots = []
    for size in (samples, samples // 32, samples // 16):
        lots.append(latents_from_seeds(range(start, start + size), generator.latent_dim))
        start += size
    known, choosing, fresh = lots

    # Regression of the standardised attributes on the latents.
    values = measure(generator, known)
    scale = values.std(0).clamp_min(1e-6)
    slopes = torch.linalg.lstsq(known, (values - values.mean(0)) / scale).solution.T  # (attributes, latent_dim)
    # Each freed of the others' share: the shortest vectors that move one attribute and, to first order, no other.
    freed = unit(torch.linalg.pinv(slopes).T)
    for _ in range(2):  # what that leaves at the distance that matters is taken out too
        effect = effects(generator, freed, choosing, scale).mean(0)  # (vectors, attributes)
        freed = unit(torch.linalg.pinv(effect, rtol=0.02) @ freed)
    candidates = torch.cat([freed, sefa(generator)])
    effect = effects(generator, candidates, choosing, scale).mean(0)
    clear = torch.where(effect.abs() >= CLEAR, dominance(effect), 0)

    kept = []
    for index, attribute in enumerate(ATTRIBUTES):
        best = int(clear[:, index].argmax())
        if clear[best, index] < DOMINANCE:
            continue
        vector = candidates[best] * effect[best, index].sign()
        proof = effects(generator, vector[None], fresh, scale)[:, 0]  # (N, attributes)
        mean = proof.mean(0)
        if mean[index] >= CLEAR and dominance(mean[None])[0, index] >= DOMINANCE:
            kept.append(
                {
                    "vector": vector,
                    "attribute": attribute,
                    "source": "regression" if best < len(freed) else "SeFa",
                    "effect": {other.label: round(float(m), 2) for other, m in zip(ATTRIBUTES, mean)},
                    "faces": round(float((proof[:, index] > 0).float().mean()), 3),
                }
            )
    return kept


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
    with whole(folder / DIRECTIONS) as temporary:
        temporary.write_bytes(data)
    write_text(json.dumps(evidence, indent=2) + "\n", folder / "directions.json")
    if found:
        z = latents_from_seeds([0], generator.latent_dim)
        path = torch.cat([z + step * vector for vector in vectors for step in STEPS])
        save_image(image_grid(generator.generate(z=path), columns=len(STEPS)), folder / "directions.png")
    else:
        (folder / "directions.png").unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_folder", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--num_samples", type=int, default=4096, help="faces to find directions from (default: 4096)")
    args = parser.parse_args(argv)
    if not 512 <= args.num_samples <= 2**20:
        parser.error(f"--num_samples: {args.num_samples} is not in 512 to {2**20}")
    if not args.weights_folder.is_dir():
        parser.error(f"weights_folder: there is no folder '{args.weights_folder}'")
    try:
        generator = load_generator(args.weights_folder)
        found = find(generator, args.num_samples)
        write(args.weights_folder, generator, found, args.num_samples)
        write_card(args.weights_folder)
    except (LoadError, ValueError) as error:
        parser.error(f"weights_folder: {error}")
    except OSError as error:
        parser.error(f"weights_folder: '{args.weights_folder}' cannot be written: {error.strerror or error}")
    for one in found:
        label = one["attribute"].label
        others = max((abs(value), name) for name, value in one["effect"].items() if name != label)
        print(
            f"{label}: {one['effect'][label]:+.2f} sd, at most {others[0]:.2f} elsewhere ({others[1]}), {one['source']}"
        )
    print(f"{len(found)} of {len(ATTRIBUTES)} attributes have a direction of their own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
