"""Faces by wish: what is found has what was wished for, measured anew, and what was never measured is no wish."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model import Generator, latents_from_seeds
from model.cli import main
from model.directions import Directions, weights_digest
from model.finding import CLEAR, FACES, FaceIndex
from train.quality.attributes import ATTRIBUTES, measure

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = [ROOT / "weights", ROOT / "weights" / "selfie2anime"]


@pytest.mark.parametrize("folder", WEIGHTS, ids=lambda folder: folder.name)
def test_the_index_of_the_weights_finds_what_is_wished_for(folder):
    index, generator = FaceIndex.load(folder), Generator.from_pretrained(folder)
    assert len(index.values) == 10_000 and (folder / FACES).stat().st_size < 2e6
    assert index.labels == Directions.load(folder, generator.latent_dim).labels  # those that are proven, no other
    fresh = measure(generator, latents_from_seeds(range(10**6, 10**6 + 512), generator.latent_dim))
    for wish in index.phrases():
        column, sign = index.read_wish(wish)
        own = [attribute.label for attribute in ATTRIBUTES].index(index.labels[column])
        seeds = index.find([wish], 25)
        assert len(set(seeds)) == 25
        values = measure(generator, latents_from_seeds(seeds, generator.latent_dim))[:, own]
        away = sign * (values - fresh[:, own].mean()) / fresh[:, own].std()
        assert away.min() > 1, wish  # all 25 lie clearly on that side of the faces of other seeds


def index_of(values: list[list[float]]) -> FaceIndex:
    return FaceIndex(torch.tensor(values), ["Hair tint", "Background"], [("purple", "green"), ("dark", "light")])


def test_a_face_counts_as_its_least_fulfilled_wish():
    index = index_of([[3, -3], [0.5, 0.5], [1, 1.5], [2, 2], [9, 9], [-3, 3]])
    assert index.find(["green hair"], 3) == [0, 3, 4]  # past CLEAR none is better
    assert index.find(["green hair", "light background"], 3) == [3, 4, 2]
    assert index.find(["Purple HAIR", "background: light"], 1) == [5]
    assert index.phrases() == ["purple hair", "green hair", "dark background", "light background"]
    assert CLEAR == 2


def test_the_nearest_face_differs_least_in_all_that_was_measured():
    index = index_of([[3, -3], [0.5, 0.5], [1, 1.5], [0.5, 0.5], [9, 9]])
    assert index.nearest(torch.tensor([0.5, 0.5]), 3) == [1, 3, 2]
    assert index.nearest(torch.tensor([8.0, 8.0]), 1) == [4]


@pytest.mark.parametrize("wish", ["", "hair", "green", "blond hair", "long green hair", "green background", "\0"])
def test_what_was_not_measured_is_no_wish(wish):
    with pytest.raises(ValueError, match="is not one that was measured; there are purple hair, green hair, dark"):
        index_of([[0, 0]]).find([wish])


@pytest.mark.parametrize("fault", ["other weights", "damaged", "absent", "not finite", "another shape", "no text"])
def test_an_index_that_does_not_fit_is_left_alone(tmp_path, fault, capsys):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ROOT / "weights" / name, tmp_path)
    values = torch.full((4, 3 if fault == "another shape" else 1), float("nan") if fault == "not finite" else 1.0)
    words = json.dumps([{"label": "Hair tint", "low": "purple", "high": 7 if fault == "no text" else "green"}])
    digest = "0" * 64 if fault == "other weights" else weights_digest(tmp_path)
    if fault != "absent":
        save_file({"values": values.half()}, tmp_path / FACES, {"weights": digest, "attributes": words})
    if fault == "damaged":
        (tmp_path / FACES).write_bytes((tmp_path / FACES).read_bytes()[:-2])
    assert FaceIndex.load(tmp_path).values.shape == (0, 0)
    assert main(["find", "--wish", "green hair", "--model", str(tmp_path)]) == 2
    assert "there are none: these weights have no faces.safetensors" in capsys.readouterr().err


def test_the_command_finds_and_draws(tmp_path, capsys):
    options = ["--wish", "green hair", "--count", "2", "--model", str(ROOT / "weights")]
    assert main(["find", *options]) == 0
    seeds = capsys.readouterr().out.split()
    assert seeds == [str(seed) for seed in FaceIndex.load(ROOT / "weights").find(["green hair"], 2)]
    assert main(["find", *options, "--outdir", str(tmp_path)]) == 0
    assert all((tmp_path / f"seed-{seed}.png").is_file() for seed in seeds)
