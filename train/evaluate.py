"""How good and how varied samples are: Frechet and kernel distance, precision, recall, density and coverage.

    python train/evaluate.py weights --train_data_dir faces.zip --output weights/metrics.json
    python train/evaluate.py weights --train_data_dir faces.zip --feature_extractor encoder.pt
    python train/evaluate.py you/anime-dcgan --train_data_dir faces.zip --num_samples 50000
    python train/evaluate.py a_folder_or_zip_of_images --train_data_dir faces.zip

Prints one JSON line. Numbers of different extractors, sample counts or references cannot be compared.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

if __package__ in (None, ""):  # run as a file: Python has put train/ first, where the repository root belongs
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from model import Generator, latents_from_seeds, truncate
from model.hub import load_generator
from model.sampling import MAX_SEED, MAX_TRUNCATION
from train.data.dataset import DataError, ImageSet, default_cache_dir, prepare, prepare_hub
from train.output.files import whole, write_text
from train.quality.metrics import NEIGHBOURS, frechet_distance, kid, manifold_metrics
from train.release.card import read_json

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
            ValueError: the module does not take such images or gives no finite features.
        """
        features = []
        with tqdm(total=total, desc=description, unit="img", mininterval=0.5) as bar:
            for batch in batches:
                try:
                    found = self.module(batch.to(self.device))
                except RuntimeError as error:
                    reason = str(error).strip().splitlines()[-1]
                    raise ValueError(f"'{self.name}' does not take uint8 images (N, 3, H, W): {reason}") from None
                if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch):
                    raise ValueError(f"'{self.name}' does not turn N images into features (N, F)")
                if not found.isfinite().all():
                    raise ValueError(f"'{self.name}' gives features that are not finite")
                features.append(found.float().cpu())
                bar.update(len(batch))
        return torch.cat(features)


def load_extractor(file: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """A TorchScript module from uint8 images (N, 3, H, W) to features (N, F), or torchmetrics' Inception for None.

    Raises:
        ValueError: it cannot be had.
    """
    device = torch.device(device)
    if file is not None:
        try:
            data = Path(file).read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the format is old, and still the one without code
                module = torch.jit.load(str(file), map_location=device)
        except OSError as error:
            raise ValueError(f"'{file}' cannot be read: {error.strerror or error}") from None
        except RuntimeError:
            raise ValueError(f"'{file}' is not a TorchScript module") from None
        return Extractor(module.eval(), Path(file).name, hashlib.sha256(data).hexdigest()[:16], device)
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        module = NoTrainInceptionV3("inception-v3-compat", ["2048"]).to(device)
    except Exception as error:  # a package that is missing, a host that is not reached, a file that came in half
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the weights of Inception could not be had ({reason}); name a TorchScript file with --feature_extractor"
        ) from None
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


def stored(images: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    """uint8 (N, H, W, 3), memory-mapped or not -> batches (B, 3, H, W)."""
    for first in range(0, len(images), batch_size):
        yield torch.from_numpy(np.array(images[first : first + batch_size])).permute(0, 3, 1, 2).contiguous()


def reference_features(reference: ImageSet, n: int, extractor: Extractor, batch_size: int, cache: Path) -> Tensor:
    """Features of the first ``n`` reference images, kept beside the data cache for the next time."""
    path = cache / f"{reference.fingerprint}-{n}-{extractor.key}.features.npy"
    try:
        return torch.from_numpy(np.load(path))
    except (OSError, ValueError, EOFError):
        features = extractor(stored(reference.images[:n], batch_size), n, "Reference")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary, temporary.open("wb") as file:
            np.save(file, features.numpy())
    except OSError as error:
        print(f"the features of the reference were not kept: {error.strerror or error}", file=sys.stderr)
    return features


def enough(images: ImageSet) -> ImageSet:
    """The set itself, or DataError where it is too small for the metrics."""
    if len(images) <= NEIGHBOURS:
        raise DataError(f"'{images.name}' holds {len(images)} images; at least {NEIGHBOURS + 1} are needed")
    return images


def evaluate(
    samples: Generator | ImageSet,
    reference: ImageSet,
    extractor: Extractor,
    *,
    num_samples: int = 10_000,
    num_reference: int = 10_000,
    truncation: float = 1.0,
    seed: int = 0,
    batch_size: int = 250,
    cache_dir: str | Path | None = None,
) -> dict:
    """Measure what a generator draws from ``num_samples`` seeds, or the first images of a set, against a reference.

    The first ``num_reference`` images of the reference count, in the order of their names. Returns the content of
    metrics.json; ``fd`` is called ``fid`` for Inception alone, and ``truncation`` is None for stored images.

    Raises:
        ValueError: too few images, or features that cannot be had.
    """
    drawn = isinstance(samples, Generator)
    num_samples = num_samples if drawn else min(num_samples, len(samples))
    num_reference = min(num_reference, len(reference))
    if min(num_samples, num_reference) <= NEIGHBOURS:
        raise ValueError(
            f"at least {NEIGHBOURS + 1} images are needed on each side, not {min(num_samples, num_reference)}"
        )
    if drawn:
        batches = draw(samples, num_samples, truncation=truncation, first_seed=seed, batch_size=batch_size)
    else:
        batches = stored(samples.images[:num_samples], batch_size)
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    real = reference_features(reference, num_reference, extractor, batch_size, cache)
    fake = extractor(batches, num_samples, "Samples")
    return {
        "feature_extractor": extractor.name,
        "num_samples": num_samples,
        "num_reference": num_reference,
        "reference": reference.name,
        "truncation": truncation if drawn else None,
        "kimg": None,
        "fid" if extractor.name == INCEPTION else "fd": frechet_distance(fake, real),
        "kid": kid(fake, real),
    } | manifold_metrics(real, fake)


# Command line.


def parse_args(argv: list[str] | None = None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "samples", metavar="SAMPLES", help="weights folder, model on the Hub, or folder or zip of images"
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--train_data_dir", help="the reference: folder or zip of images")
    data.add_argument("--dataset_name", help="the reference: image dataset on the Hub")
    parser.add_argument("--dataset_split", default="train", help="split of --dataset_name (default: train)")
    parser.add_argument("--feature_extractor", metavar="FILE", help="TorchScript module (default: Inception)")
    parser.add_argument("--num_samples", type=int, default=10_000, help="images to draw or read (default: 10000)")
    parser.add_argument("--num_reference", type=int, default=10_000, help="first reference images (default: 10000)")
    parser.add_argument("--truncation", type=float, default=1.0, help="scale of z, 0 to 1.5 (default: 1.0)")
    parser.add_argument("--seed", type=int, default=0, help="first of the seeds drawn (default: 0)")
    parser.add_argument("--resolution", type=int, default=64, help="side of stored samples and their reference (64)")
    parser.add_argument("--batch_size", type=int, default=250, help="images at a time (default: 250)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or mps")
    parser.add_argument("--cache_dir", help="where decoded images are kept (default: the user's cache)")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--output", metavar="FILE", type=Path, help="also write the JSON here")
    args = parser.parse_args(argv)
    ranges = {
        "num_samples": (NEIGHBOURS + 1, 2**32),
        "num_reference": (NEIGHBOURS + 1, 2**32),
        "truncation": (0, MAX_TRUNCATION),
        "seed": (0, MAX_SEED),
        "resolution": (8, 1024),
        "batch_size": (1, 65536),
    }
    for name, (low, high) in ranges.items():
        if not low <= (value := getattr(args, name)) <= high:
            parser.error(f"--{name}: {value} is not in {low} to {high}")
    if args.seed + args.num_samples - 1 > MAX_SEED:
        parser.error(f"--seed: {args.seed} and {args.num_samples} samples pass the last seed, {MAX_SEED}")
    if args.output and (args.output.is_dir() or not args.output.resolve().parent.is_dir()):
        parser.error(f"--output: '{args.output}' is not a file in a folder that exists")
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError):
        parser.error(f"--device: there is no device '{args.device}' here")
    return parser, args


def main(argv: list[str] | None = None) -> int:
    parser, args = parse_args(argv)
    path, kimg, resolution = Path(args.samples), None, args.resolution
    with ExitStack() as stack:
        option = "SAMPLES"
        try:
            weights = any((path / name).exists() for name in ("config.json", "model.safetensors"))
            if path.is_file() or path.suffix == ".zip" or (path.is_dir() and not weights):
                folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
                samples = enough(prepare(path, resolution=resolution, cache_dir=folder, drop_duplicates=False))
                for name, reason in samples.unreadable[:3]:
                    print(f"skipped '{name}': {reason}", file=sys.stderr)
            else:
                samples = load_generator(args.samples, args.revision).to(args.device)
                resolution = samples.image_size
                kimg = read_json(path / "training.json").get("kimg")
            option = "--feature_extractor"
            extractor = load_extractor(args.feature_extractor, args.device)
            option = "--train_data_dir" if args.train_data_dir else "--dataset_name"
            shared = {"resolution": resolution, "cache_dir": args.cache_dir}
            if args.train_data_dir:
                reference = enough(prepare(args.train_data_dir, **shared))
            else:
                reference = enough(prepare_hub(args.dataset_name, split=args.dataset_split, **shared))
            option = "--feature_extractor"
            keys = ("num_samples", "num_reference", "truncation", "seed", "batch_size", "cache_dir")
            metrics = evaluate(samples, reference, extractor, **{key: getattr(args, key) for key in keys})
        except ValueError as error:  # DataError and LoadError among them
            parser.error(f"{option}: {error}")
        metrics["kimg"] = kimg
    print(json.dumps(metrics))
    if args.output:
        try:
            write_text(json.dumps(metrics, indent=2) + "\n", args.output)
        except OSError as error:
            parser.error(f"--output: '{args.output}' cannot be written: {error.strerror or error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
