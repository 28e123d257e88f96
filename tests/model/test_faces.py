"""Faces by name, faces between two styles, and PNGs that remember their face."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model import Generator, blend, read_face, save_face, seed_of
from model.blending import measure_statistics
from model.memory import MAX_BYTES, Face, face_png

ROOT = Path(__file__).resolve().parents[2]
NAMES = json.loads(Path(__file__).with_name("names.json").read_text())


def test_names_have_the_seeds_of_the_table():
    assert {row["name"]: seed_of(row["name"]) for row in NAMES} == {row["name"]: row["seed"] for row in NAMES}
    assert seed_of("alice") == 0x2BD806C9  # printf alice | sha256sum
    assert seed_of("alice") != seed_of("Alice") and seed_of("Zoe\u0301") == seed_of(" Zo\u00e9\n")
    assert seed_of(7) == seed_of("7") == seed_of("0" * 5000 + "7") == 7


@pytest.mark.parametrize("name", ["", "  ", "\u3000", "4294967296", "9" * 5000, "\ud800", -1, 2**32, 1.5, None, True])
def test_what_is_no_name_gets_a_sentence(name):
    with pytest.raises(ValueError, match="^(name|seed): .{1,80}$"):
        seed_of(name)


@pytest.fixture(scope="module")
def styles() -> tuple[Generator, Generator]:
    return Generator.from_pretrained(ROOT / "weights"), Generator.from_pretrained(ROOT / "weights" / "selfie2anime")


def pixels(generator: Generator) -> np.ndarray:
    return np.stack([np.asarray(face) for face in generator.generate(range(32), batch_size=32)]).astype(float)


def test_a_blend_begins_and_ends_at_its_parents_and_changes_neither(styles):
    a, b = styles
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in styles]
    for t, parent in ((0, a), (1.0, b)):
        assert np.array_equal(pixels(blend(a, b, t)), pixels(parent))
    middle = blend(a, b, 0.5)
    for name in ("layers.0.weight", "layers.1.weight", "layers.12.bias"):
        mean = (a.state_dict()[name] + b.state_dict()[name]) / 2
        assert torch.allclose(middle.state_dict()[name], mean, atol=1e-6), name
    for model, state in zip(styles, before):
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not middle.training and middle.state_dict().keys() == a.state_dict().keys()


def test_a_blend_draws_the_same_person_in_between(styles):
    """Each face is nearer to both of its parents than these are to each other, and nearest to those of its own seed."""
    a, b = map(pixels, styles)
    apart = np.abs(a - b).mean((1, 2, 3))
    last = np.zeros(32)
    for t in (0.25, 0.5, 0.75):
        middle = pixels(blend(*styles, t))
        way = np.abs(middle - a).mean((1, 2, 3))
        assert (way.mean() < apart.mean()) and (np.abs(middle - b).mean((1, 2, 3)).mean() < apart.mean())
        assert (way > last).mean() > 0.9
        last = way
        nearer = a if t <= 0.5 else b
        to_all = np.abs(middle[:, None] - nearer[None]).mean((2, 3, 4))  # (32, 32)
        assert (to_all.argmin(1) == np.arange(32)).mean() > 0.75  # 1 in 32 by chance
        contrast = middle.std((1, 2, 3)) / np.minimum(a.std((1, 2, 3)), b.std((1, 2, 3)))
        assert 0.95 < contrast.mean() < 1.2  # no grey mean of pictures


def test_blocks_that_one_of_two_has_fade_in(styles):
    a = styles[0]
    shape = a._hub_mixin_config
    grown = Generator(**shape | {"blocks": shape["blocks"] + 1}).eval()
    grown.load_state_dict(a.state_dict(), strict=False)
    new = [p for name, p in grown.named_parameters() if name not in a.state_dict() and p.ndim == 4 and not p.any()]
    assert np.array_equal(pixels(grown), pixels(a)) and len(new) == 3  # at 4, 8 and 16 pixels
    for last in new:
        torch.nn.init.normal_(last, std=0.1, generator=torch.Generator().manual_seed(0))
    measure_statistics(grown)
    grown.eval()
    for t, parent in ((0, a), (1, grown)):
        assert np.array_equal(pixels(blend(a, grown, t)), pixels(parent))
        assert np.array_equal(pixels(blend(grown, a, 1 - t)), pixels(parent))
    half = blend(a, grown, 0.5)
    assert half.state_dict().keys() == grown.state_dict().keys() > a.state_dict().keys()
    end, middle = (np.abs(pixels(model) - pixels(a)).mean() for model in (grown, half))
    assert 0.2 * end < middle < 0.8 * end


def test_what_cannot_be_blended_gets_a_sentence(styles):
    torch.manual_seed(0)
    shape = json.loads((ROOT / "weights" / "config.json").read_text())
    unrelated, small = Generator(**shape).eval(), Generator(base_channels=4)
    with pytest.raises(ValueError, match="^blend: the two generators have no common origin; take"):
        blend(styles[0], unrelated, 0.5)
    with pytest.raises(ValueError, match="^blend: the two generators are networks of different shape; take"):
        blend(styles[0], small, 0.5)
    for t in (-0.1, 1.1, float("nan"), "0.5", True, None):
        with pytest.raises(ValueError, match="^t: "):
            blend(*styles, t)


FACT = {"seed": 7, "truncation": 0.8, "moves": (0.0, 1.5), "model": "you/faces", "revision": "0" * 40}


def test_a_png_brings_its_face_back(styles, tmp_path):
    face = styles[0].generate([7], truncation=0.8)[0]
    save_face(face, tmp_path / "x.png", **FACT)
    found = read_face(tmp_path / "x.png")
    assert found == Face(**FACT) == read_face((tmp_path / "x.png").read_bytes())
    with Image.open(tmp_path / "x.png") as opened:
        assert opened.tobytes() == face.tobytes()
    again = styles[0].generate([found.seed], truncation=found.truncation)[0]
    assert again.tobytes() == face.tobytes()
    assert read_face(face_png(face, Face(code="z" + "A" * 171))).code == "z" + "A" * 171
    with pytest.raises(ValueError, match="^seed: "):
        save_face(face, tmp_path / "y.png", seed=-1)
    assert not (tmp_path / "y.png").exists()


def with_text(text: str, key: str = "anime-dcgan", compressed: bool = False) -> bytes:
    info, file = PngInfo(), io.BytesIO()
    info.add_text(key, text, zip=compressed)
    Image.new("RGB", (2, 2)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GOOD = with_text('{"seed": 7}')
HUGE = GOOD[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + GOOD[33:]


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "not a PNG"),
        (b"GIF89a", "not a PNG"),
        (GOOD[:30], "not a PNG"),
        (HUGE, "not a PNG"),
        (GOOD + bytes(MAX_BYTES), "larger than 16,777,216 bytes"),
        (with_text("7", key="Comment"), "it does not say how it was drawn"),
        (with_text("7"), "malformed"),
        (with_text("{"), "malformed"),
        (with_text("[" * 10_000), "malformed"),
        (with_text("{}"), r"either a seed or a code"),
        (with_text('{"seed": 7, "code": "zAAAA"}'), "either a seed or a code"),
        (with_text('{"seed": 7, "command": "rm"}'), "not what this program writes"),
        (with_text('{"seed": 7, "moves": 3}'), "moves: 3 are not"),
        (with_text('{"seed": 7, "moves": ["1"]}'), "moves: '1' is not"),
        (with_text('{"seed": 7, "moves": [5]}'), "moves: 5 is not"),
        (with_text(json.dumps({"seed": 7, "moves": [0] * 65})), "moves: "),
        (with_text('{"seed": true}'), "seed: True is not"),
        (with_text('{"seed": "7"}'), "seed: '7' is not"),
        (with_text('{"seed": 4294967296}'), "seed: 4294967296 is not"),
        (with_text('{"seed": 7.5}'), "seed: 7.5 is not"),
        (with_text('{"seed": 7, "truncation": NaN}'), "NaN is no number"),
        (with_text('{"seed": 7, "truncation": 1e999}'), "truncation: inf is not"),
        (with_text('{"seed": 7, "model": "../../etc/passwd"}'), "model: .* is not such a text"),
        (with_text('{"seed": 7, "model": "https://a.b/c"}'), "model: .* is not such a text"),
        (with_text('{"seed": 7, "model": "a/b\\n"}'), "model: .* is not such a text"),
        (with_text('{"seed": 7, "revision": "<b>"}'), "revision: .* is not such a text"),
        (with_text('{"code": "z<script>"}'), "code: .* is not such a text"),
        (with_text(json.dumps({"code": "z" + "A" * 20_000})), "malformed"),
        (with_text(" " * 2**25, compressed=True), "not a PNG"),  # 32 MiB that lie in 32 kB
    ],
)
def test_forged_memories_are_refused(data, sentence):
    with pytest.raises(ValueError, match=f"^picture: .*{sentence}") as caught:
        read_face(data)
    assert len(str(caught.value)) < 200


def test_an_unknown_file_is_an_error_of_its_own(tmp_path):
    with pytest.raises(OSError):
        read_face(tmp_path / "none.png")
