"""Sharp faces: the same for ever, for several threads at once, and a sentence where waifu2x is missing."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import Generator, image_grid, sharp
from model.cli import main
from model.enlarging import enlarge
from model.sharp import SharpUnavailable, sharpen

ROOT = Path(__file__).resolve().parents[2]
# Every 16th pixel of seeds 0 to 15, sharp at 256 pixels; made anew by ``python tests/model/test_sharp.py``.
REFERENCE = Path(__file__).with_name("sharp.png")
STEP, OFFSET = 16, 5


def sampled() -> Image.Image:
    faces = Generator.from_pretrained(ROOT / "weights").generate(range(16))
    return image_grid([Image.fromarray(np.asarray(sharpen(face, 256))[OFFSET::STEP, OFFSET::STEP]) for face in faces])


def apart(a: Image.Image, b: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(a).astype(int) - np.asarray(b))


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Generator.from_pretrained(ROOT / "weights").generate([7])[0]


def test_sharp_faces_are_what_they_always_were():
    assert apart(sampled(), Image.open(REFERENCE)).max() <= 1


def test_sharp_is_the_same_face_with_clearer_lines(face):
    redrawn, smooth = sharpen(face, 256), enlarge(face, 256, "smooth")
    assert apart(redrawn.resize((64, 64), Image.Resampling.BOX), face).mean() < 4  # the same face
    edges = [apart(image, Image.fromarray(np.roll(image, 1, axis=1))) for image in (redrawn, smooth)]
    assert np.percentile(edges[0], 99.5) > 1.1 * np.percentile(edges[1], 99.5)


@pytest.mark.parametrize("size", [32, 64, 100, 128, 512])
def test_sharp_has_the_size_and_mode_that_it_should(face, size):
    assert sharpen(face, size).size == (size, size)
    grey = sharpen(face.convert("L"), size)
    assert (grey.mode, grey.size) == ("L", (size, size))
    assert size != 64 or np.array_equal(sharpen(face, size), face)


def test_threads_redraw_at_once_and_do_not_disturb_each_other(face):
    faces = [face, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), face.rotate(90), face.rotate(180)]
    alone, drawn = [sharpen(face, 128) for face in faces], {}

    def redraw(i: int) -> None:
        for _ in range(3):
            drawn[i] = sharpen(faces[i], 128)

    threads = [threading.Thread(target=redraw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(apart(drawn[i], alone[i]).max() for i in range(4)) <= 1


@pytest.mark.parametrize("module, name", sharp.PACKAGES.items())
def test_without_its_packages_there_is_a_sentence_and_all_else_works(monkeypatch, face, tmp_path, capsys, module, name):
    sharp._network.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SharpUnavailable, match=f"^sharp faces need {name}: pip install "):
        sharpen(face, 128)
    options = ["--model", str(ROOT / "weights"), "--outdir", str(tmp_path / "faces"), "--size", "128"]
    assert main(["draw", "--seeds", "7", *options, "--style", "sharp"]) == 2
    assert f"draw: sharp faces need {name}: pip install" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert main(["draw", "--seeds", "7", *options]) == 0


def test_the_command_draws_sharp_faces(face, tmp_path):
    options = ["--model", str(ROOT / "weights"), "--outdir", str(tmp_path), "--size", "128", "--style", "sharp"]
    assert main(["draw", "--seeds", "7", *options]) == 0
    assert apart(Image.open(tmp_path / "seed-7.png"), sharpen(face, 128)).max() <= 1


if __name__ == "__main__":
    sampled().save(REFERENCE)
