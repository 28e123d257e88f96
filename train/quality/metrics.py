"""How far samples are from real images and how varied they are: pure functions of features (N, F)."""

import math

import torch
from torch import Tensor

NEIGHBOURS = 5  # k of the nearest-neighbour metrics
SUBSET = 5000  # the pairwise metrics look at so many images of each side: their cost is quadratic
SUBSET_SEED = 0  # of what draws them; the first ones by name may all be of one kind


def subset(features: Tensor) -> Tensor:
    """SUBSET rows of ``features``, drawn by SUBSET_SEED and in their order; all where they are no more."""
    return features[drawn(len(features), SUBSET)] if len(features) > SUBSET else features


def drawn(total: int, n: int) -> Tensor:
    """Indices, rising, of ``n`` of ``total`` images, the same each time: a fair sample however they are sorted."""
    generator = torch.Generator().manual_seed(SUBSET_SEED)
    return torch.randperm(total, generator=generator)[:n].sort().values


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features (Heusel et al. 2017, arXiv:1706.08500).

    The trace of sqrt(cov(a) cov(b)) is the sum of the singular values of R_a R_b^T, where R is the triangle of the QR
    decomposition of the centred features: no root of a matrix is taken, so fewer samples than features do no harm.

    Raises:
        ValueError: fewer than two samples.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("at least 2 images are needed on each side")
    a, b = a.double(), b.double()
    roots = [torch.linalg.qr((x - x.mean(0)) / math.sqrt(len(x) - 1), mode="r").R for x in (a, b)]
    traces = sum(root.square().sum() for root in roots)  # trace(cov(a)) + trace(cov(b))
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * cross)


def kid(a: Tensor, b: Tensor) -> float:
    """KID: unbiased squared MMD under the kernel (x.y / F + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401).

    Raises:
        ValueError: fewer than two samples.
    """
    a, b = subset(a).double(), subset(b).double()
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError("at least 2 images are needed on each side")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def others(x: Tensor) -> Tensor:  # the mean over pairs of different samples
        k = kernel(x, x)
        return (k.sum() - k.trace()) / (len(x) * (len(x) - 1))

    return float(others(a) + others(b) - 2 * kernel(a, b).mean())


def manifold_metrics(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """Metrics of the balls that reach from each image to its k-th neighbour on its own side.

    precision: fakes inside a ball of a real; recall: reals inside a ball of a fake (Kynkaanniemi et al. 2019,
    arXiv:1904.06991). density: how many real balls hold a fake, over k; coverage: real balls that hold a fake (Naeem
    et al. 2020, arXiv:2002.09797). nearest: median distance of a fake to its nearest real, over the same among reals;
    well under 1 means copying.

    Raises:
        ValueError: fewer than k + 1 samples.
    """
    real, fake = subset(real).double(), subset(fake).double()
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"at least {k + 1} images are needed on each side")
    among_real, among_fake, across = torch.cdist(real, real), torch.cdist(fake, fake), torch.cdist(real, fake)
    # The smallest distance of each row is that of the image to itself.
    # An image at the very edge of a ball is outside, whichever way its distance was rounded.
    real_radius, fake_radius = (among.kthvalue(k + 1, 1).values * (1 - 1e-9) for among in (among_real, among_fake))
    inside = across < real_radius[:, None]  # (real, fake)
    nearest_real = among_real.kthvalue(2, 1).values.median()
    return {
        "precision": float(inside.any(0).double().mean()),
        "recall": float((across < fake_radius).any(1).double().mean()),
        "density": float(inside.sum(0).double().mean() / k),
        "coverage": float(inside.any(1).double().mean()),
        "nearest": float(across.amin(0).median() / nearest_real.clamp_min(1e-12)),
    }
