"""Samples against a reference, in all metrics: the content of metrics.json."""

from pathlib import Path

import torch

from model import Generator
from train.data.dataset import ImageSet, default_cache_dir
from train.errors import UserError
from train.quality.features import INCEPTION, Extractor, array_batches, draw, reference_features
from train.quality.metrics import NEIGHBOURS, SUBSET_SEED, drawn, frechet_distance, kid, manifold_metrics
from train.quality.two_sample import TESTED, TRAINED, two_sample_test


def require_enough(images: ImageSet, option: str, least: int = NEIGHBOURS + 1) -> ImageSet:
    """The set itself, or UserError where it is too small for the metrics."""
    if len(images) < least:
        sentence = f"'{images.name}' holds {len(images)} images; at least {least} are needed"
        raise UserError(option, sentence)
    return images


NUM_REFERENCE = 10_000  # images of the reference, where nobody asks for another number
CONDITIONS = (
    *("feature_extractor", "feature_extractor_digest", "num_samples", "num_reference", "reference_digest"),
    *("subset_seed", "truncation"),
)


def comparable(one: dict, other: dict) -> bool:
    """Whether two metrics.json were measured alike: same extractor, counts, reference and draw."""
    return all(key in one and key in other and one[key] == other[key] for key in CONDITIONS)


def evaluate(
    samples: Generator | ImageSet,
    reference: ImageSet,
    extractor: Extractor,
    *,
    num_samples: int = 10_000,
    num_reference: int = NUM_REFERENCE,
    truncation: float = 1.0,
    seed: int = 0,
    batch_size: int = 250,
    cache_dir: str | Path | None = None,
) -> dict:
    """Measure what a generator draws from ``num_samples`` seeds, or so many images of a set, against a reference.

    Of the set and of the reference (``num_reference``), images are drawn by SUBSET_SEED, whatever their names. Returns
    the content of metrics.json; ``fd`` is called ``fid`` for Inception alone, and ``truncation`` is None for stored
    images.

    Raises:
        ValueError: too few images.
        UserError: the extractor gives no features.
    """
    is_generator = isinstance(samples, Generator)
    num_samples = num_samples if is_generator else min(num_samples, len(samples))
    num_reference = min(num_reference, len(reference))
    if min(num_samples, num_reference) <= NEIGHBOURS:
        raise ValueError(
            f"at least {NEIGHBOURS + 1} images are needed on each side, not {min(num_samples, num_reference)}"
        )
    if is_generator:
        batches = draw(samples, num_samples, truncation=truncation, first_seed=seed, batch_size=batch_size)
    else:
        batches = array_batches(samples.images, batch_size, drawn(len(samples), num_samples).numpy())
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    real = reference_features(reference, num_reference, extractor, batch_size, cache)
    fake = extractor(batches, num_samples, "Samples")
    return {
        "feature_extractor": extractor.name,
        "feature_extractor_digest": extractor.key,
        "num_samples": num_samples,
        "num_reference": num_reference,
        "reference": reference.name,
        "reference_digest": reference.fingerprint,
        "subset_seed": SUBSET_SEED,
        "truncation": truncation if is_generator else None,
        "kimg": None,
        "fid" if extractor.name == INCEPTION else "fd": frechet_distance(fake, real),
        "kid": kid(fake, real),
    } | manifold_metrics(real, fake)


def judge(
    samples: Generator | ImageSet,
    reference: ImageSet,
    *,
    truncation: float = 1.0,
    seed: int = 0,
    batch_size: int = 250,
    device: str = "cpu",
) -> dict:
    """What :func:`two_sample_test` says of so many images of each side as its budget has, chosen as in `evaluate`.

    Raises:
        ValueError: too few images.
    """
    n = TRAINED + TESTED
    if isinstance(samples, Generator):
        batches = draw(samples, n, truncation=truncation, first_seed=seed, batch_size=batch_size)
        fake = torch.cat([batch.cpu() for batch in batches])
    else:
        fake = next(array_batches(samples.images, n, drawn(len(samples), n).numpy()))
    real = next(array_batches(reference.images, n, drawn(len(reference), n).numpy()))
    return two_sample_test(real, fake, device=device)
