"""From a picture back to a latent: the face of a generator that comes nearest to it."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..generator import Generator
from ..sampling import latents_from_seeds

CANDIDATES, STARTS, STEPS = 512, 4, 80
RATE = 0.1  # of Adam; falls to 0
# Weight of the mean square way from where z began. Without it z goes where the pixels agree and no face is left:
# a generator's typical latents are few among those of the right length.
ANCHOR = 0.1


def distance(images: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over a pyramid of halved sizes: (N, C, H, W), (1, C, H, W) -> (N,).

    The small sizes bring colours and shapes together before the pixels can.
    """
    total, levels = torch.zeros(len(images), device=images.device), 0
    while images.shape[-1] >= 4:
        total, levels = total + (images - target).square().mean((1, 2, 3)), levels + 1
        images, target = avg_pool2d(images, 2), avg_pool2d(target, 2)
    return total / levels


def project(
    generator: Generator, target: Tensor, seconds: float = 8.0, progress: Callable[[float], object] = lambda done: None
) -> Tensor:
    """The latent (latent_dim,), on the CPU, of a face like ``target`` (C, H, W) in [-1, 1].

    The nearest of CANDIDATES seeds are moved by STEPS steps of Adam and the one that then comes nearest wins. The
    same picture gives the same latent, but for a machine that cannot do that in ``seconds``: there the search is
    made shorter. ``progress`` is called with the completed fraction, 0 to 1.
    """
    began = time.monotonic()
    device = next(generator.parameters()).device
    target = target[None].to(device)
    with torch.inference_mode():
        seeds = latents_from_seeds(range(CANDIDATES), generator.latent_dim).to(device)
        apart = torch.cat([distance(generator(z), target) for z in seeds.chunk(CANDIDATES // 64)])
    start = seeds[apart.topk(STARTS, largest=False).indices].clone()
    z = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], betas=(0.9, 0.99))
    step, done = 0, 0.0
    while done < 1:
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * done)) / 2
        apart = distance(generator(z), target)
        away = (z - start).square().mean(1)
        (z.grad,) = torch.autograd.grad((apart + ANCHOR * away).sum(), z)  # not backward(): the weights need none
        optimizer.step()
        step += 1
        done = min(1.0, max(step / STEPS, (time.monotonic() - began) / seconds))
        progress(done)
    return z.detach()[apart.detach().argmin()].cpu()
