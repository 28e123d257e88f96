"""From a picture back to a latent: the face of a generator that is most like it and still whole."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate, normalize

from ..generator import Generator
from ..sampling import latents_from_seeds
from .perception import Eye, fitted
from .workers import Progress, ignore

EXAMPLES, CHUNK = 512, 32  # faces that the search learns from, and how many are drawn at once
LEARNING = 0.6  # of the time, at most, where examples are still missing
STARTS, STEPS = 3, 50
TOGETHER = 20  # steps for which all of them go on; the best goes on alone
RATE = 0.1  # of Adam; falls to 0
NOISE = 0.3  # standard deviations, on every latent in the first steps: faces in narrow places are broken ones
REAL = 0.3  # weight of how real a face looks, against its likeness
MOST_REAL = 0.3  # standard deviations from the mean face, from which on it counts as real as can be
SMOOTH = 0.2  # of the regression, as a part of the features' mean square
FEATURES = 0.3  # weight of each stage's features, against that of the pixels
PIXELS = 1.0  # what a pixel of a sketch is worth, against a feature
COARSE, SKETCH = 16, 4  # sides of the pictures and of the features that are compared and learned from
KEPT = 2  # models whose examples are kept, 30 MB each

# One search at a time, by one core: whoever only wants a face is not to wait for it.
SEARCHER = ThreadPoolExecutor(1, "search", torch.set_num_threads, (1,))


def on_sphere(z: Tensor) -> Tensor:
    """``z`` (N, latent_dim) at the length of a typical latent, the square root of latent_dim."""
    typical: Tensor = normalize(z) * z.shape[1] ** 0.5
    return typical


class Sight:
    """What is compared of pictures (N, 3 or 1, H, W) in [-1, 1]: coarse pixels, and features where there is an eye."""

    def __init__(self, images: Tensor, eye: Eye | None) -> None:
        coarse = interpolate(fitted(images, images.shape[-1], 3), (COARSE, COARSE), mode="area")
        features, self.real = eye(images) if eye else ([], coarse.new_zeros(len(coarse)))
        self.levels = [coarse, *features]

    def sketch(self) -> Tensor:
        """All of it at a few numbers, (N, F): to compare with many faces, and to learn from."""
        coarse, *features = self.levels
        pooled = [adaptive_avg_pool2d(level, SKETCH).flatten(1) for level in features]
        return torch.cat([PIXELS * coarse.flatten(1), *pooled], 1)


def apart(one: Sight, other: Sight, scales: Sequence[float]) -> Tensor:
    """How far from each other, (N,): each kind of what is seen, in units of ``scales``."""
    total = torch.zeros_like(one.real)
    for i, (a, b, scale) in enumerate(zip(one.levels, other.levels, scales)):
        total = total + (pyramid(a, b) if i == 0 else FEATURES * (a - b).square().sum(1).mean((1, 2))) / scale
    return total


def pyramid(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over halved sizes, (N,): colours and shapes come together before single pixels can."""
    total, levels = a.new_zeros(max(len(a), len(b))), 0
    while a.shape[-1] >= 2:
        total, levels = total + (a - b).square().mean((1, 2, 3)), levels + 1
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
    return total / levels


class Examples:
    """Faces of the first seeds as they are seen: where a search begins, and the units that it measures in.

    A ridge regression from their sketches to their latents says which latent has a face like a given one.
    """

    def __init__(self, generator: Generator, eye: Eye | None) -> None:
        self.generator, self.eye = generator, eye
        self.z = torch.empty(0, generator.latent_dim)
        self.sketches, self.real = torch.empty(0), torch.empty(0)
        self.scales: list[float] = []

    @torch.no_grad()
    def learn(self, until: float, progress: Progress) -> None:
        """Draw more until there are EXAMPLES or, from the second CHUNK on, until a time of ``time.thread_time``."""
        known = len(self.z)
        while len(self.z) < EXAMPLES and (len(self.z) < 2 * CHUNK or time.thread_time() < until):
            z = latents_from_seeds(range(len(self.z), len(self.z) + CHUNK), self.generator.latent_dim)
            seen = self.see(z)
            self.z, self.real = torch.cat([self.z, z]), torch.cat([self.real, seen.real.cpu()])
            self.sketches = torch.cat([self.sketches, seen.sketch().cpu()])
            self.scales = self.scales or _scales(seen)
            progress(len(self.z) / EXAMPLES)
        if len(self.z) > known:
            self.mean = self.sketches.mean(0)
            centred = self.sketches - self.mean
            products = centred @ centred.T
            products += SMOOTH * products.diagonal().mean() * torch.eye(len(products))
            self.weights = torch.linalg.solve(products, self.z)  # (examples, latent_dim)

    def see(self, z: Tensor) -> Sight:
        """The faces of latents (N, latent_dim)."""
        device = next(self.generator.parameters()).device
        return Sight(self.generator(z.to(device)), self.eye)

    @torch.no_grad()
    def starts(self, target: Sight) -> Tensor:
        """Latents (STARTS, latent_dim): the regression's, and those of the examples that are most like ``target``."""
        sketch = target.sketch().cpu()
        guess = (sketch - self.mean) @ (self.sketches - self.mean).T @ self.weights
        near = (self.sketches - sketch).square().sum(1).topk(STARTS - 1, largest=False).indices
        return on_sphere(torch.cat([guess, self.z[near]]))

    def realness(self, seen: Sight) -> Tensor:
        """How real faces look, (N,), in standard deviations of the examples from their mean."""
        std, mean = torch.std_mean(self.real)
        real: Tensor = ((seen.real - mean) / std.clamp_min(1e-6)).clamp(max=MOST_REAL)
        return real


def _scales(seen: Sight) -> list[float]:
    """How far two faces are apart, on average, by each kind of what is seen."""
    first, *features = seen.levels
    return [pyramid(first, first.roll(1, 0)).mean().item()] + [
        (level - level.roll(1, 0)).square().sum(1).mean().item() for level in features
    ]


examples_of = lru_cache(KEPT)(Examples)


def project(
    generator: Generator,
    target: Tensor,
    eye: Eye | None = None,
    seconds: float = 8.0,
    progress: Progress = ignore,
) -> Tensor:
    """The latent (latent_dim,), on the CPU, of a face like ``target`` (C, H, W) in [-1, 1].

    It is as long as typical latents are, and of STARTS searches of STEPS steps of Adam, the face that is most like
    the target and looks most real. The same picture gives the same latent, but for a core that cannot do that in
    ``seconds``: there the search is made shorter. The first search with a generator draws EXAMPLES faces beforehand.

    Args:
        generator: in eval mode; its weights stay as they are.
        target: a face, cut out.
        eye: what compares faces; without one they are compared by coarse pixels alone.
        seconds: of a core's work that it may take, however much else the machine does meanwhile.
        progress: is called with the completed fraction, 0 to 1.
    """
    began = time.thread_time()
    examples = examples_of(generator, eye)
    missing = len(examples.z) < EXAMPLES
    examples.learn(began + LEARNING * seconds, lambda done: progress(done / 2))
    with torch.no_grad():
        wanted = Sight(target[None].to(next(generator.parameters()).device), eye)
    z = examples.starts(wanted).requires_grad_()
    chance = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([z], betas=(0.9, 0.99))
    started, step, done = time.thread_time(), 0, 0.0
    left = max(began + seconds - started, 1e-9)
    while done < 1:
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * done)) / 2
        noise = NOISE * max(0.0, 1 - done / 0.75) ** 2 * torch.randn(z.shape, generator=chance)
        loss = _loss(examples, on_sphere(z + noise), wanted)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)  # not backward(): the weights need none
        optimizer.step()
        step += 1
        if len(z) > 1 and done >= TOGETHER / STEPS:
            z, optimizer = _alone(z, optimizer, loss)
        done = min(1.0, max(step / STEPS, (time.thread_time() - started) / left))
        progress((1 + done) / 2 if missing else done)
    with torch.no_grad():
        found = on_sphere(z)
        return found[_loss(examples, found, wanted).argmin()].cpu()


def _alone(z: Tensor, optimizer: torch.optim.Adam, loss: Tensor) -> tuple[Tensor, torch.optim.Adam]:
    """The row of least loss, with an optimizer that knows what the one of all rows knows of it."""
    best = loss.argmin()
    alone = z.detach()[best][None].clone().requires_grad_()
    state = optimizer.state[z]
    follower = torch.optim.Adam([alone], betas=(0.9, 0.99))
    follower.state[alone] = {
        "step": state["step"],
        "exp_avg": state["exp_avg"][best][None].clone(),
        "exp_avg_sq": state["exp_avg_sq"][best][None].clone(),
    }
    return alone, follower


def _loss(examples: Examples, z: Tensor, wanted: Sight) -> Tensor:
    """How little the faces of latents (N, latent_dim) are what is wanted, (N,)."""
    seen = examples.see(z)
    return (apart(seen, wanted, examples.scales) - REAL * examples.realness(seen).to(seen.real.device)).to(z.device)
