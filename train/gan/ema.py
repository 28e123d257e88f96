"""Exponential moving average of a generator: the one that grids, metrics, exports and the app use."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
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
        """Measure the BatchNorm statistics anew for the averaged weights, from fixed latents, and find the centre of w.

        The copied ones belong to the last weights, not to their average (Izmailov et al. 2018, arXiv:1803.05407).
        Call it before the average draws; the next ``update`` copies again.
        """
        generator = torch.Generator().manual_seed(0)
        device = next(self.model.parameters()).device
        latents = [torch.randn(batch_size, latent_dim, generator=generator) for _ in range(batches)]
        mapping = getattr(self.model, "mapping", None)
        if mapping:
            mapping.centre.zero_()  # in training there is none
        update_bn(latents, self.model, device)
        if mapping:
            mapping.centre.copy_(typical(self.model, latents))

    def state_dict(self) -> dict:
        return self.model.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state)


@torch.no_grad()
def typical(model: nn.Module, latents: list[Tensor]) -> Tensor:
    """The w (latent_dim,) of the face that is nearest to the average one, among those of latents, each (N, latent_dim).

    Nearest at 32 pixels, where a face that is turned, mixed of two or torn is far. ``model`` has no centre yet. All w
    are as long as the centre, sqrt(latent_dim).
    """
    device = next(model.parameters()).device
    ways = [F.normalize(model.mapping(z.to(device))) * z.shape[1] ** 0.5 for z in latents]
    seen = torch.cat([F.interpolate(model.layers(w[:, :, None, None]), (32, 32), mode="area") for w in ways])
    average = seen.mean(0)
    average = (average + average.flip(2)) / 2  # half of the pictures were mirrored
    return torch.cat(ways)[(seen - average).square().sum((1, 2, 3)).argmin()]
