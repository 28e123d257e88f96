"""Watches the quality of a training and keeps the best generator apart from the latest."""

import json
from pathlib import Path

from torch import nn

from model import Generator
from train.config import TrainConfig
from train.data.dataset import ImageSet
from train.evaluate import evaluate, load_extractor
from train.output.files import write_text
from train.output.pictures import read_metrics, save_weights


class Monitor:
    """Measures a generator against the training images and keeps the one with the lowest KID in ``folder``/best.

    Writes a line to quality.jsonl each time, with the content of metrics.json.

    Raises:
        ValueError: the file of ``--feature_extractor`` is no TorchScript module from images to features.
    """

    def __init__(self, config: TrainConfig, data: ImageSet, folder: Path, device) -> None:
        self.config, self.data, self.folder = config, data, folder
        self.extractor = load_extractor(config.feature_extractor, device)
        self.lines: list[dict] = []

    def start(self, seen: int) -> None:
        """Go on after ``seen`` images; lines after them are dropped."""
        self.lines = read_metrics(self.folder / "quality.jsonl", seen)
        write_text("".join(json.dumps(line) + "\n" for line in self.lines), self.folder / "quality.jsonl")

    def measure(self, generator: Generator, discriminator: nn.Module, record: dict) -> dict:
        """Measure, write it down, keep both networks if none were better; ``record`` is their training.json."""
        line = evaluate(
            generator,
            self.data,
            self.extractor,
            num_samples=self.config.metric_samples,
            cache_dir=self.config.cache_dir,
        ) | {"kimg": record["kimg"]}
        if all(line["kid"] < earlier["kid"] for earlier in self.lines):
            save_weights(generator, discriminator, self.folder / "best", record, line)
        self.lines.append(line)
        with (self.folder / "quality.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line
