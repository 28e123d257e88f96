"""What the package says of itself and of what it needs is the same everywhere."""

import re
from pathlib import Path

import model
from model.files import OLDEST_CLIENT
from model.wheel import REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]


def bounds(text: str) -> dict[str, str]:
    return dict(re.findall(r'"([a-z_]+)(>=[\d.]+,<\d+)"', text))


def test_the_card_asks_for_the_versions_of_the_package():
    project = (ROOT / "pyproject.toml").read_text()
    needed = bounds(re.search(r"^dependencies = \[(.*?)\]", project, re.S | re.M)[1])
    assert needed.keys() == {"torch", "huggingface_hub", "safetensors", "numpy", "pillow"}
    assert dict(re.match("([a-z_]+)(.*)", one).groups() for one in REQUIREMENTS) == needed
    lines = re.findall(r"^pip install (.*)", next(ROOT.glob("train/**/card.md")).read_text(), re.M)
    trainer = bounds(
        re.sub(r"^(\w+)(>=\S+)", r'"\1\2"', next(ROOT.glob("train/requirements.txt")).read_text(), flags=re.M)
    )
    for line in lines:
        assert bounds(line) == {name: (needed | trainer)[name] for name in bounds(line)} != {}
    for line in lines:
        assert line.count(" ") + 1 == len(bounds(line))  # nothing without bounds
    assert needed["huggingface_hub"].startswith(f">={OLDEST_CLIENT},")


def test_there_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", model.__version__)
