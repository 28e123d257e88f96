"""The networks are typed, as py.typed promises: mypy at its strictest finds nothing, nor in code that uses them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SUBCLASS = """
from model import Generator

class Loud(Generator):
    def shout(self) -> str:
        return "face"

word: str = Loud.from_pretrained("weights").shout()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def check(cache: Path, *what: str | Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, *what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_strict_finds_nothing(cache):
    check(cache, "-p", "model")


def test_a_subclass_loads_as_its_own_type(cache, tmp_path):
    (tmp_path / "user.py").write_text(SUBCLASS)
    check(cache, tmp_path / "user.py")
