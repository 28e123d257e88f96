"""Directions that change one measured thing: the script on the bundled weights, and who may use what it leaves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run
from PIL import Image

from model import Generator, latents_from_seeds
from model.directions import Directions
from model.page.explore import GRID, code_to_latent, latent_to_code, latents_around
from train.quality.attributes import ATTRIBUTES, measure
from train.quality.latent_directions import SIGMA, dominance, effects
from train.release.card import make_card

ROOT = Path(__file__).resolve().parents[2]
OTHER_SEEDS = range(10**6, 10**6 + 128)  # not among those that the script draws


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the bundled weights with directions for them."""
    folder = tmp_path_factory.mktemp("directions") / "weights"
    shutil.copytree(ROOT / "weights", folder, ignore=shutil.ignore_patterns("directions*"))
    command = [sys.executable, "-m", "train.directions", str(folder), "--num_samples", "512", "--num_indexed", "512"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder


def test_each_slider_moves_what_it_is_named_for_and_little_else_on_other_faces(folder):
    generator = Generator.from_pretrained(folder)
    found = Directions.load(folder, generator.latent_dim)
    evidence = json.loads((folder / "directions.json").read_text())
    names = [attribute.label for attribute in ATTRIBUTES]
    assert found.labels == [slider["label"] for slider in evidence["sliders"]] and found.labels
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(len(found.labels)))
    z = latents_from_seeds(OTHER_SEEDS, generator.latent_dim)
    scale = measure(generator, z).std(0)
    effect = effects(generator, found.vectors, z, scale).mean(0)
    for slider, row in zip(evidence["sliders"], effect, strict=True):
        own = names.index(slider["label"])
        assert row[own] > 0.6 and dominance(row[None])[0, own] > 2
        told = torch.tensor([slider["effect"][name] for name in names])
        assert (row - told).abs().max() < 0.35 * told.abs().max()  # other faces, so about the same
    with Image.open(folder / "directions.png") as strips:
        assert strips.height == len(found.labels) * generator.image_size


def test_moving_along_a_direction_is_what_was_measured(folder):
    found = Directions.load(folder, 128)
    z = latents_from_seeds([7], 128)
    assert torch.allclose(found.move(z, [SIGMA]) - z, SIGMA * found.vectors[:1], atol=1e-6)
    assert torch.equal(found.move(z, []), z)


def put_other_weights(folder: Path) -> None:
    """By hand: save_pretrained would remove what was made from those that were there."""
    Generator().save_pretrained(folder.with_name("fresh"))
    shutil.copy(folder.with_name("fresh") / "model.safetensors", folder)


def test_the_card_shows_the_evidence_only_for_its_own_weights(folder, tmp_path):
    card = str(make_card(folder))
    for slider in json.loads((folder / "directions.json").read_text())["sliders"]:
        line = next(line for line in card.splitlines() if line.startswith(f"| {slider['label']} ("))
        assert f"**{slider['effect'][slider['label']]:+.2f}**" in line
    assert line.count("|") == len(ATTRIBUTES) + 3
    shutil.copytree(folder, tmp_path / "other")
    put_other_weights(tmp_path / "other")
    assert "## Directions" in card and "## Directions" not in str(make_card(tmp_path / "other"))


@pytest.mark.parametrize("fault", ["other weights", "damaged", "absent", "another length"])
def test_directions_that_do_not_fit_are_left_alone(folder, tmp_path, fault):
    shutil.copytree(folder, tmp_path / "weights")
    file, latent_dim = tmp_path / "weights" / "directions.safetensors", 128
    if fault == "other weights":
        put_other_weights(tmp_path / "weights")
    elif fault == "damaged":
        file.write_bytes(file.read_bytes()[:-9])
    elif fault == "absent":
        file.unlink()
    else:
        latent_dim = 64
    found = Directions.load(tmp_path / "weights", latent_dim)
    assert found.vectors.shape == (0, latent_dim) and found.labels == found.ends == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["no/such/folder"], "weights_folder: there is no folder 'no/such/folder'"),
        (["tests"], "weights_folder: 'tests' could not be loaded: it lacks model.safetensors"),
        (["weights", "--num_samples", "5"], "--num_samples: 5 is not in 512 to 1048576"),
    ],
)
def test_mistakes_are_named_in_one_sentence(arguments, words):
    done = run(*arguments, command="train.directions")
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_neighbours_are_a_map_of_equally_typical_faces_around_one():
    z = latents_from_seeds([7], 128)[0]
    around = latents_around(z, "7")
    middle = GRID * GRID // 2
    assert around.shape == (GRID * GRID, 128) and torch.allclose(around[middle], z)
    assert torch.allclose(around.norm(dim=1), z.norm().expand(GRID * GRID), rtol=1e-4)
    distance = (around - z).norm(dim=1)
    assert distance[middle + 1] < distance[middle + 2] < z.norm() and distance[middle + 1] > 0.1 * z.norm()
    assert torch.equal(around, latents_around(z, "7")) and not torch.allclose(around, latents_around(z, "7.3"))


def test_a_latent_survives_as_a_code():
    z = latents_from_seeds([7], 128)[0]
    assert (code_to_latent(latent_to_code(z), 128) - z).abs().max() <= 1 / 64 + 1e-6
    for text in (
        "",
        "z",
        "7",
        latent_to_code(z)[:-1],
        latent_to_code(z) + "A",
        "z" + "%" * 171,
        latent_to_code(z[:64]),
    ):
        assert code_to_latent(text, 128) is None
