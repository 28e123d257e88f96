"""A pick of good faces: Generator.good_seeds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from model import Generator, latents_from_seeds
from model.picking import average_shading, good_seeds, shading

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(ROOT / "weights")


def test_of_each_run_the_most_usual_face_is_picked(generator):
    seeds = generator.good_seeds(3, first=100, of=4)
    assert [100 <= seed < 104 for seed in seeds[:1]] and [(seed - 100) // 4 for seed in seeds] == [0, 1, 2]
    with torch.inference_mode():
        faces = generator(latents_from_seeds(range(100, 112), 128))
    likeness = (shading(faces) * average_shading(generator)).mean((1, 2, 3))
    assert seeds == [100 + 4 * run + int(likeness[4 * run : 4 * run + 4].argmax()) for run in range(3)]
    assert generator.good_seeds(2, first=104, of=4) == seeds[1:]  # a run is picked from on its own
    assert generator.good_seeds(4, first=7, of=1) == [7, 8, 9, 10]


def test_colour_brightness_and_contrast_do_not_count(generator):
    face = generator.generate([7])[0]
    pictures = [face, ImageOps.autocontrast(face.point(lambda value: value // 3 + 40), cutoff=0)]
    pictures.append(Image.fromarray(np.asarray(face)[:, :, ::-1].copy()))  # red and blue exchanged
    seen = [shading(torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None]) for picture in pictures]
    assert seen[0].mean().abs() < 1e-5 and seen[0].square().mean() == pytest.approx(1, abs=1e-4)
    assert (seen[0] * seen[2]).mean() == pytest.approx(1, abs=1e-4) and (seen[0] * seen[1]).mean() > 0.95
    torn = torch.cat([seen[0][:, :, :, 16:], seen[0][:, :, :, :16]], 3)
    assert (torn * average_shading(generator)).mean() < (seen[0] * average_shading(generator)).mean() - 0.1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((0,), "n"), ((True,), "n"), ((2, 0, 0), "of"), ((1, -1), "seed"), ((1, 2**32 - 4), "first"), ((1, 0, 1.5), "of")],
)
def test_what_cannot_be_picked_is_refused_by_name(generator, arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        good_seeds(generator, *arguments)


def test_without_a_mapping_there_is_no_centre_to_find():
    with pytest.raises(ValueError, match="mapping"):
        Generator(8, 2, 32).find_centre()
