"""Watches the quality of a training and keeps the best generator apart from the latest."""

import sys
from pathlib import Path

import torch
from torch import nn

from model import Generator
from train.config import TrainConfig
from train.data.dataset import ImageSet
from train.output import jsonl
from train.output.weights_folder import save_weights
from train.quality.evaluation import NUM_REFERENCE, comparable, evaluate, require_enough
from train.quality.features import load_extractor


class Monitor:
    """Measures a generator against the training images and keeps the one with the lowest KID or FID in ``folder``/best.

    Writes a line to quality.jsonl each time, with the content of metrics.json.

    Raises:
        UserError: the file of ``--feature_extractor`` is no TorchScript module from images to features, Inception's
            weights cannot be had, or there are too few images.
    """

    def __init__(self, config: TrainConfig, data: ImageSet, folder: Path, device: torch.device) -> None:
        self.config, self.folder, self.path = config, folder, folder / "quality.jsonl"
        self.data = require_enough(data, "--train_data_dir" if config.train_data_dir else "--dataset_name")
        self.extractor = load_extractor(config.feature_extractor, device, "--metric")
        self.lines: list[dict] = []

    def start(self, seen: int) -> None:
        """Go on after ``seen`` images; lines after them are dropped."""
        self.lines = jsonl.cut(self.path, seen)

    def measure(self, generator: Generator, discriminator: nn.Module, record: dict) -> dict:
        """Measure, write it down, keep both networks if none were better; ``record`` is their training.json."""
        line = evaluate(
            generator,
            self.data,
            self.extractor,
            num_samples=self.config.metric_samples,
            num_reference=max(NUM_REFERENCE, self.config.metric_samples),
            cache_dir=self.config.cache_dir,
        ) | {"kimg": record["kimg"], "best_by": self.config.best_by}
        known = [{"best_by": "kid"} | earlier for earlier in self.lines]  # those of older runs do not say it
        rivals = [one for one in known if comparable(line, one) and one["best_by"] == line["best_by"]]
        if self.lines and not rivals:
            print("measured otherwise than before, so the search for the best generator begins anew", file=sys.stderr)
        if all(self.value(line) < self.value(earlier) for earlier in rivals):
            save_weights(generator, discriminator, self.folder / "best", record, line)
        self.lines.append(line)
        jsonl.append(line, self.path)
        return line

    def value(self, line: dict) -> float:
        """What the best is kept by; the Fréchet distance is called FID in Inception's features alone."""
        return line["kid"] if self.config.best_by == "kid" else line.get("fid", line.get("fd"))
