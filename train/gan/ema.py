"""Exponential moving average of a generator: the one that grids, metrics, exports and the app use."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import update_bn


class EMA:
    """Averages parameters over ``halflife_kimg`` thousand images and copies buffers (BatchNorm statistics).

    Early on, the half-life is at most ``rampup`` times the images seen, so the average does not hang on to the first
    random weights (Karras et al. 2020, arXiv:2006.06676). ``model`` is the average, in eval mode, without gradients.
    """

    def __init__(self, model: nn.Module, halflife_kimg: float, rampup: float = 0.05) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.halflife = halflife_kimg * 1000
        self.rampup = rampup

    @torch.no_grad()
    def update(self, model: nn.Module, seen: int, batch_size: int) -> None:
        """One step of ``batch_size`` images after ``seen`` images in all; a half-life of 0 copies ``model``."""
        halflife = min(self.halflife, seen * self.rampup)
        decay = 0.5 ** (batch_size / halflife) if halflife > 0 else 0.0
        averages, parameters = list(self.model.parameters()), list(model.parameters())
        torch._foreach_lerp_(averages, parameters, 1 - decay)
        for average, buffer in zip(self.model.buffers(), model.buffers()):
            average.copy_(buffer)

    def calibrate(self, latent_dim: int, batches: int = 16, batch_size: int = 128) -> None:
        """Measure the BatchNorm statistics anew for the averaged weights, from fixed latents, and, where there is
        none, find the centre of w.

        The copied ones belong to the last weights, not to their average (Izmailov et al. 2018, arXiv:1803.05407).
        Call it before the average draws; the next ``update`` copies again.
        """
        generator = torch.Generator().manual_seed(0)
        device = next(self.model.parameters()).device
        latents = [torch.randn(batch_size, latent_dim, generator=generator) for _ in range(batches)]
        update_bn(latents, self.model, device)
        mapping = getattr(self.model, "mapping", None)
        if mapping and not mapping.centre.any():  # one that training knows stays, and with it every face
            self.model.find_centre()

    def state_dict(self) -> dict:
        return self.model.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state)
