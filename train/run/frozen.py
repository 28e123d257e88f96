"""The second discriminator, which ``--d_features`` asks for, and the file it sees through."""

from pathlib import Path

import torch

from train.config import TrainConfig
from train.errors import UserError
from train.gan.projected import ProjectedDiscriminator
from train.quality.features import read_torchscript

OPTION = "--d_features"


def load_features(file: str, resolution: int, device: torch.device) -> torch.jit.ScriptModule:
    """The frozen network of ``--d_features``: images (N, 3, H, W) in [-1, 1] to a list of maps (N, C, h, w), each at
    most as large as the one before.

    Raises:
        UserError: no such file, no TorchScript, or another result.
    """
    if not Path(file).is_file():
        raise UserError(OPTION, f"there is no file '{file}'; give a TorchScript file")
    try:
        network = read_torchscript(file, device)
        for parameter in network.parameters():  # a ScriptModule has no requires_grad_
            parameter.requires_grad_(False)
        with torch.no_grad():
            maps = network(torch.zeros(2, 3, resolution, resolution, device=device))
        sides = [x.shape[-1] for x in maps if x.ndim == 4 and len(x) == 2 and x.shape[2] == x.shape[3]]
    except Exception as error:  # whatever such a file raises
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise UserError(OPTION, f"'{file}' is no TorchScript module from images to feature maps ({reason})") from error
    if not sides or len(sides) != len(maps) or sides != sorted(sides, reverse=True):
        raise UserError(OPTION, f"'{file}' must give a list of square feature maps (N, C, h, w), large ones first")
    return network


def second_discriminator(config: TrainConfig, device: torch.device) -> ProjectedDiscriminator | None:
    """That of ``--d_features`` on the device; None without the option.

    Raises:
        UserError: as of ``load_features``.
    """
    if not config.d_features:
        return None
    features = load_features(config.d_features, config.resolution, device)
    return ProjectedDiscriminator(features, config.resolution, config.seed).to(device)
