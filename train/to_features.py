"""Make the file that --d_features takes: a network of torchvision, trained on ImageNet, cut where its pictures halve.

    python -m train.to_features features.pt
    python -m train.to_features features.pt --network mobilenet_v3_large --side 128 --coarse
    python -m train.to_features features.pt --weights efficientnet_b0.pth

The weights are downloaded once by torchvision, or read from a file (a state_dict) where there is no internet. The file
holds the network as TorchScript: images (N, 3, H, W) in [-1, 1], enlarged to --side pixels, to four maps of a
quarter, an eighth, a sixteenth and a thirty-second of that side.
"""

import argparse
import io
import os
import pickle
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from model.sentences import first_line
from train.errors import UserError, run
from train.output.files import write_bytes

CUTS = {  # the last layer at a quarter, an eighth, a sixteenth and a thirty-second of the side
    "efficientnet_b0": ("features.2", "features.3", "features.5", "features.7"),
    "mobilenet_v3_large": ("features.3", "features.6", "features.12", "features.15"),
    "resnet18": ("layer1", "layer2", "layer3", "layer4"),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]


class Frozen(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] -> four maps (N, C, h, w), large ones first.

    ``coarse`` shows the network half the resolution: it judges shapes, and no fine texture is drawn to please it.
    """

    def __init__(self, network: nn.Module, cuts: tuple[str, ...], side: int, coarse: bool) -> None:
        super().__init__()
        self.maps, self.side, self.coarse = create_feature_extractor(network.eval(), list(cuts)), side, coarse
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, x: Tensor) -> list[Tensor]:
        if self.coarse:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        return list(self.maps(((x + 1) / 2 - self.mean) / self.std).values())


def load(name: str, weights: str | None) -> nn.Module:
    """The network with downloaded weights or with those of a file.

    Raises:
        UserError: names the option.
    """
    if not weights:
        try:
            return get_model(name, weights="DEFAULT")
        except OSError as error:  # urllib's errors are
            sentence = f"the weights of {name} cannot be downloaded ({first_line(error)}); name a file that has them"
            raise UserError("--weights", sentence) from error
    network = get_model(name, weights=None)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise UserError("--weights", f"'{weights}' holds no weights of {name} ({first_line(error)})") from error
    return network


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=lambda text: Path(text).expanduser(), help="what to write")
    parser.add_argument("--network", choices=sorted(CUTS), default="efficientnet_b0", help="[efficientnet_b0]")
    parser.add_argument("--side", type=int, default=96, help="pixels that the network sees, 32 to 512 [96]")
    parser.add_argument("--coarse", action="store_true", help="show the network half the resolution: shapes alone")
    parser.add_argument(
        "--weights", metavar="FILE", type=os.path.expanduser, help="a state_dict, instead of the download"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    return run(partial(work, parser.parse_args(argv)), parser)


def work(args: argparse.Namespace) -> None:
    """Trace and write the network."""
    if not 32 <= args.side <= 512:
        raise UserError("--side", f"{args.side} is not from 32 to 512")
    network = load(args.network, args.weights)
    frozen = Frozen(network, CUTS[args.network], args.side, args.coarse).requires_grad_(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # a list as the result is meant
        traced, content = torch.jit.trace(frozen, torch.zeros(2, 3, 64, 64), strict=False), io.BytesIO()
        torch.jit.save(traced, content)
    try:
        write_bytes(content.getvalue(), args.file)
    except OSError as error:
        raise UserError("file", f"'{args.file}' cannot be written ({error.strerror}); give another") from error
    seen = f"{args.network}, {args.side} pixels{', coarse' * args.coarse}"
    print(f"wrote {args.file}: {seen}; give it to training as --d_features {args.file}")


if __name__ == "__main__":
    sys.exit(main())
