"""How good and how varied samples are: Frechet and kernel distance, precision, recall, density, coverage, a judge.

    python -m train.evaluate weights --train_data_dir faces.zip --output weights/metrics.json
    python -m train.evaluate weights --train_data_dir faces.zip --feature_extractor encoder.pt
    python -m train.evaluate you/anime-dcgan --train_data_dir faces.zip --num_samples 50000 --num_reference 50000
    python -m train.evaluate a_folder_or_zip_of_images --train_data_dir faces.zip

Prints one JSON line. Where there are more images than asked for, they are drawn by a fixed seed, whatever their names;
kernel distance, precision, recall, density and coverage see 5,000 of each side, drawn alike. Numbers of different
extractors, sample counts or references cannot be compared. --judge trains a fresh small network to tell real from
drawn faces (train/quality/two_sample.py): minutes, and the only number here that sees broken ones.
"""

import argparse
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

from model import Generator
from model.directions import weights_digest
from model.files import local_path
from model.hub import load_generator
from model.sampling import MAX_SEED, MAX_TRUNCATION
from train.data.dataset import ImageSet, prepare, prepare_hub
from train.errors import UserError, blame, run
from train.output.files import read_json, write_json
from train.output.run_folder import refuse_run
from train.quality.evaluation import evaluate, judge, require_enough
from train.quality.features import load_extractor
from train.quality.metrics import NEIGHBOURS
from train.quality.two_sample import LEAST

RANGES = {
    "num_samples": (NEIGHBOURS + 1, 2**32),
    "num_reference": (NEIGHBOURS + 1, 2**32),
    "truncation": (0, MAX_TRUNCATION),
    "seed": (0, MAX_SEED),
    "resolution": (8, 1024),
    "batch_size": (1, 65536),
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    samples = "weights folder, model on the Hub, or folder or zip of images"
    parser.add_argument("samples", metavar="SAMPLES", type=os.path.expanduser, help=samples)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--train_data_dir", type=os.path.expanduser, help="the reference: folder or zip of images")
    data.add_argument("--dataset_name", type=os.path.expanduser, help="the reference: image dataset on the Hub")
    parser.add_argument("--dataset_split", default="train", help="split of --dataset_name (default: train)")
    extractor = "TorchScript module (default: Inception)"
    parser.add_argument("--feature_extractor", metavar="FILE", type=os.path.expanduser, help=extractor)
    parser.add_argument("--num_samples", type=int, default=10_000, help="images to draw or read (default: 10000)")
    parser.add_argument("--num_reference", type=int, default=10_000, help="reference images, drawn (default: 10000)")
    parser.add_argument("--judge", action="store_true", help="also train a judge on up to 8,000 images of each side")
    parser.add_argument("--truncation", type=float, default=1.0, help="scale of z, 0 to 1.5 (default: 1.0)")
    parser.add_argument("--seed", type=int, default=0, help="first of the seeds drawn (default: 0)")
    parser.add_argument("--resolution", type=int, default=64, help="side of stored samples and their reference (64)")
    parser.add_argument("--batch_size", type=int, default=250, help="images at a time (default: 250)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or mps")
    cache = "where decoded images are kept (default: the user's cache)"
    parser.add_argument("--cache_dir", type=os.path.expanduser, help=cache)
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--image_column", help="column of --dataset_name (default: the first with images)")
    parser.add_argument("--output", metavar="FILE", type=local_path, help="also write the JSON here")
    return parser


def check(args: argparse.Namespace) -> None:
    """Refuse what no work could make right."""
    for name, (low, high) in RANGES.items():
        if not low <= (value := getattr(args, name)) <= high:
            raise UserError(f"--{name}", f"{value} is not in {low} to {high}")
    if args.seed + args.num_samples - 1 > MAX_SEED:
        raise UserError("--seed", f"{args.seed} and {args.num_samples} samples pass the last seed, {MAX_SEED}")
    if args.output and (args.output.is_dir() or not args.output.resolve().parent.is_dir()):
        raise UserError("--output", f"'{args.output}' is not a file in a folder that exists")
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError):
        raise UserError("--device", f"there is no device '{args.device}' here") from None


def holds_images(samples: Path) -> bool:
    """Whether SAMPLES is a folder or a zip of images rather than a model."""
    is_model = any((samples / name).exists() for name in ("config.json", "model.safetensors"))
    return samples.is_file() or samples.suffix == ".zip" or (samples.is_dir() and not is_model)


def load_images(samples: str, resolution: int, cache_dir: str) -> ImageSet:
    """Sample images, equal ones all kept."""
    images = prepare(samples, resolution=resolution, cache_dir=cache_dir, drop_duplicates=False, option="SAMPLES")
    for name, reason in images.unreadable[:3]:
        print(f"skipped '{name}': {reason}", file=sys.stderr)
    return require_enough(images, "SAMPLES")


def measure(args: argparse.Namespace, samples: Generator | ImageSet, resolution: int) -> dict:
    """The metrics of the samples against the reference of the options."""
    extractor = load_extractor(args.feature_extractor, args.device)
    shared = {"resolution": resolution, "cache_dir": args.cache_dir}
    if args.train_data_dir:
        reference = require_enough(prepare(args.train_data_dir, **shared), "--train_data_dir")
    else:
        reference = prepare_hub(args.dataset_name, split=args.dataset_split, image_column=args.image_column, **shared)
        require_enough(reference, "--dataset_name")
    if args.judge:
        for images in (reference, samples):
            if isinstance(images, ImageSet):
                require_enough(images, "--judge", LEAST)
    for remark in reference.remarks:
        print(remark, file=sys.stderr)
    drawn = {"truncation": args.truncation, "seed": args.seed, "batch_size": args.batch_size}
    counts = {"num_samples": args.num_samples, "num_reference": args.num_reference}
    metrics = evaluate(samples, reference, extractor, **counts, **drawn, cache_dir=args.cache_dir)
    return metrics | (judge(samples, reference, **drawn, device=args.device) if args.judge else {})


def digest_of(samples: str, revision: str | None) -> str:
    """SHA-256 of the weights that were loaded from a folder or the Hub; the measures are of no others."""
    if Path(samples).is_dir():
        return weights_digest(samples)
    file = hf_hub_download(samples, SAFETENSORS_SINGLE_FILE, revision=revision, local_files_only=True)
    return weights_digest(Path(file).parent)


def work(args: argparse.Namespace) -> None:
    check(args)
    path = Path(args.samples)
    refuse_run(path, "SAMPLES")
    if holds_images(path):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
            metrics = measure(args, load_images(args.samples, args.resolution, cache), args.resolution)
    else:
        with blame("SAMPLES"):
            generator = load_generator(args.samples, args.revision).to(args.device)
            kimg = read_json(path / "training.json").get("kimg")
        about = {"kimg": kimg, "weights": digest_of(args.samples, args.revision)}
        metrics = measure(args, generator, generator.image_size) | about
    print(json.dumps(metrics))
    if args.output:
        try:
            write_json(metrics, args.output)
        except OSError as error:
            raise UserError("--output", f"'{args.output}' cannot be written: {error.strerror or error}") from None


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(argv)
    return run(partial(work, args), parser)


if __name__ == "__main__":
    sys.exit(main())
