"""Which generator of a training is kept as the best: --metric kid or fid, with a stub in the place of Inception."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.image.fid as torchmetrics_fid
from PIL import Image
from torch import Tensor, nn

from model import Discriminator, Generator
from train.config import TrainConfig
from train.data.dataset import ImageSet
from train.quality.features import draw
from train.quality.monitor import Monitor
from train.train import main


class Stub(nn.Module):
    """Has the interface of torchmetrics' NoTrainInceptionV3: uint8 (N, 3, H, W) -> (N, F)."""

    def __init__(
        self, name: str = "", features_list: tuple | list = (), feature_extractor_weights_path: str = ""
    ) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        return nn.functional.adaptive_avg_pool2d(x.float() / 255, 2).flatten(1)


@pytest.fixture
def data() -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    return ImageSet(images, "x", "x", 200, [], [])


@pytest.fixture
def monitor(data, tmp_path, monkeypatch) -> Monitor:
    monkeypatch.setattr(torchmetrics_fid, "NoTrainInceptionV3", Stub)
    config = TrainConfig(train_data_dir="x", metric="fid", metric_samples=120, cache_dir=str(tmp_path / "cache"))
    return Monitor(config, data, tmp_path, torch.device("cpu"))


def test_fid_is_that_of_torchmetrics(monitor, data, tmp_path):
    torch.manual_seed(0)
    generator = Generator(8, 4, 32)
    line = monitor.measure(generator, Discriminator(4, 32), {"kimg": 1})
    judge = torchmetrics_fid.FrechetInceptionDistance(Stub(), input_img_size=(3, 32, 32))
    judge.update(torch.from_numpy(data.images).permute(0, 3, 1, 2), real=True)
    for batch in draw(generator, 120, truncation=1.0, first_seed=0, batch_size=60):
        judge.update(batch, real=False)
    assert line["fid"] == pytest.approx(float(judge.compute()), rel=1e-3)
    assert line["feature_extractor"].startswith("inception-v3") and line["best_by"] == "fid"
    assert (line["num_samples"], line["num_reference"]) == (120, 200) and (tmp_path / "best" / "metrics.json").is_file()


@pytest.mark.parametrize("metric, best", [("fid", 2), ("kid", 1)])
def test_the_best_is_kept_by_the_metric_that_was_asked_for(monitor, monkeypatch, metric, best):
    monitor.config = dataclasses.replace(monitor.config, metric=metric)
    measured = iter([{"kid": 0.1, "fid": 30.0}, {"kid": 0.2, "fid": 20.0}, {"kid": 0.3, "fid": 25.0}])
    true, kept = monitor.measure.__globals__["evaluate"], []
    monkeypatch.setattr("train.quality.monitor.evaluate", lambda *a, **k: true(*a, **k) | next(measured))
    monkeypatch.setattr("train.quality.monitor.save_weights", lambda *arguments: kept.append(arguments[3]["kimg"]))
    for kimg in (1, 2, 3):
        monitor.measure(Generator(8, 4, 32), Discriminator(4, 32), {"kimg": kimg})
    assert kept[-1] == best


def test_another_metric_begins_anew(monitor, capsys):
    generator, discriminator = Generator(8, 4, 32), Discriminator(4, 32)
    for metric, told in (("kid", False), ("fid", True), ("fid", False)):
        monitor.config = dataclasses.replace(monitor.config, metric=metric)
        monitor.measure(generator, discriminator, {"kimg": 1})
        assert ("begins anew" in capsys.readouterr().err) == told


def test_fifty_thousand_faces_are_held_against_as_many_pictures(monitor, monkeypatch):
    asked = []

    def counted(*arguments: object, num_samples: int, num_reference: int, **options: object) -> dict:
        asked.append((num_samples, num_reference))
        return {"fid": 1.0}

    monkeypatch.setattr("train.quality.monitor.evaluate", counted)
    monkeypatch.setattr("train.quality.monitor.save_weights", lambda *arguments: None)
    for samples in (5000, 50_000):
        monitor.config = dataclasses.replace(monitor.config, metric_samples=samples)
        monitor.measure(Generator(8, 4, 32), Discriminator(4, 32), {"kimg": 1})
    assert asked == [(5000, 10_000), (50_000, 50_000)]


def test_without_inception_one_sentence_tells_before_the_training(tmp_path: Path, monkeypatch, capsys):
    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("<urlopen error no host>")

    monkeypatch.setattr(torchmetrics_fid, "NoTrainInceptionV3", unreachable)
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    arguments = f"--train_data_dir {tmp_path} --cache_dir {tmp_path / 'cache'} --output_dir {tmp_path / 'out'} "
    arguments += "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --metric fid"
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("train.py: --metric: the weights of Inception could not be had (<urlopen error no host>)")
    assert "--feature_extractor" in error and not (tmp_path / "out" / "metrics.jsonl").exists()


def test_what_measures_quality():
    assert [TrainConfig(train_data_dir="x", **options).best_by for options in (
        {}, {"feature_extractor": "a"}, {"metric": "fid"}, {"metric": "fid", "feature_extractor": "a"}
    )] == [None, "kid", "fid", "fid"]  # fmt: skip
