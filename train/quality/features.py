"""Features of images: an extractor, batches of drawn and of stored images, and the kept features of a reference."""

import hashlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model import Generator, latents_from_seeds, truncate
from model.sentences import first_line
from train.data.dataset import ImageSet
from train.errors import UserError
from train.output.files import atomic_file
from train.quality.metrics import SUBSET_SEED, drawn

OPTION = "--feature_extractor"
INCEPTION = "inception-v3 (2048 features, torch-fidelity)"


@dataclass
class Extractor:
    """``module``: uint8 (N, 3, H, W) -> (N, F) on ``device``; ``key`` changes with its weights."""

    module: nn.Module
    name: str
    key: str
    device: torch.device

    @torch.inference_mode()
    def __call__(self, batches: Iterable[Tensor], total: int, description: str) -> Tensor:
        """Features (N, F), float32 on the CPU, of uint8 batches (B, 3, H, W) that hold ``total`` images in all.

        Raises:
            UserError: the module does not take such images or gives no finite features.
        """
        features = []
        with tqdm(total=total, desc=description, unit="img", mininterval=0.5) as bar:
            for batch in batches:
                features.append(self.extract(batch))
                bar.update(len(batch))
        return torch.cat(features)

    def extract(self, batch: Tensor) -> Tensor:
        """Features (B, F) of one batch (B, 3, H, W); errors as above."""
        try:
            found = self.module(batch.to(self.device))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(OPTION, f"'{self.name}' does not take uint8 images (N, 3, H, W): {reason}") from None
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch):
            raise UserError(OPTION, f"'{self.name}' does not turn N images into features (N, F)")
        if not found.isfinite().all():
            raise UserError(OPTION, f"'{self.name}' gives features that are not finite")
        return found.float().cpu()


def load_extractor(
    file: str | Path | None = None, device: str | torch.device = "cpu", option: str = OPTION
) -> Extractor:
    """A TorchScript module from uint8 images (N, 3, H, W) to features (N, F), or torchmetrics' Inception for None.

    Raises:
        UserError: it is unavailable; that Inception is goes by the name of ``option``, which asked for it.
    """
    device = torch.device(device)
    return load_inception(device, option) if file is None else load_torchscript(Path(file).expanduser(), device)


def read_torchscript(file: str | Path, device: torch.device) -> torch.jit.ScriptModule:
    """The module of a TorchScript file, in eval mode.

    Raises:
        OSError: the file cannot be read.
        RuntimeError: it is no TorchScript.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the format is old, and still the one without code
        return torch.jit.load(str(file), map_location=device).eval()


def load_torchscript(file: Path, device: torch.device) -> Extractor:
    """The module of a TorchScript file."""
    try:
        data, module = file.read_bytes(), read_torchscript(file, device)
    except OSError as error:
        raise UserError(OPTION, f"'{file}' cannot be read: {error.strerror or error}") from None
    except RuntimeError:
        raise UserError(OPTION, f"'{file}' is not a TorchScript module") from None
    return Extractor(module, file.name, hashlib.sha256(data).hexdigest()[:16], device)


def load_inception(device: torch.device, option: str = OPTION) -> Extractor:
    """torchmetrics' Inception; its weights are downloaded, or in torch's cache."""
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        module = NoTrainInceptionV3("inception-v3-compat", ["2048"]).to(device)
    except Exception as error:  # a package that is missing, a host that is not reached, a file that came in half
        why = f"the weights of Inception could not be had ({first_line(error)})"
        raise UserError(option, f"{why}; name a TorchScript file with --feature_extractor") from None
    return Extractor(module, INCEPTION, "inception-2048", device)


@torch.inference_mode()
def draw(generator: Generator, n: int, *, truncation: float, first_seed: int, batch_size: int) -> Iterator[Tensor]:
    """Images of ``n`` seeds from ``first_seed`` on: uint8 (B, 3, H, W) on the generator's device, rounded as PNGs."""
    device = next(generator.parameters()).device
    generator.eval()
    for start in range(first_seed, first_seed + n, batch_size):
        seeds = range(start, min(start + batch_size, first_seed + n))
        z = truncate(latents_from_seeds(seeds, generator.latent_dim), truncation).to(device)
        x = (generator(z).float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        yield x.expand(-1, 3, -1, -1)  # a grey one three times


def array_batches(images: np.ndarray, batch_size: int, index: np.ndarray) -> Iterator[Tensor]:
    """uint8 (N, H, W, 3), memory-mapped or not -> batches (B, 3, H, W) of the images of ``index``, in its order."""
    for first in range(0, len(index), batch_size):
        batch = np.array(images[index[first : first + batch_size]])
        yield torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous()


def reference_features(reference: ImageSet, n: int, extractor: Extractor, batch_size: int, cache: Path) -> Tensor:
    """Features of ``n`` reference images, those that ``drawn`` chooses, kept beside the data cache for next time."""
    path = cache / f"{reference.fingerprint}-{n}-of-{len(reference)}-{SUBSET_SEED}-{extractor.key}.features.npy"
    try:
        return torch.from_numpy(np.load(path))
    except (OSError, ValueError, EOFError):
        features = extractor(
            array_batches(reference.images, batch_size, drawn(len(reference), n).numpy()), n, "Reference"
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, features.numpy())
    except OSError as error:
        print(f"the features of the reference were not kept: {error.strerror or error}", file=sys.stderr)
    return features
