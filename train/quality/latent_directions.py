"""Directions in the space of latents that change one measured attribute of a face and leave the others."""

import torch
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import Generator, latents_from_seeds
from train.quality.attributes import ATTRIBUTES, measure

SIGMA = 2.0  # effects are measured from -SIGMA to +SIGMA
CLEAR = 0.8  # least effect that is kept, in standard deviations of the attribute among faces
DOMINANCE = 2.5  # how often the effect on any other attribute must fit into it
SEFA = 12  # eigenvectors that are tried


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
