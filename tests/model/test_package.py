"""The networks as a package of their own, and what may import what."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from model import Generator, __version__
from model.wheel import make_wheel, wheel_name

ROOT = Path(__file__).resolve().parents[2]

DRAW = """
import hashlib, importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("gradio", "accelerate", "torchvision", "datasets", "av", "model", "train", "app"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import anime_dcgan
from anime_dcgan import Generator
face = Generator.from_pretrained(sys.argv[2]).generate(seeds=[7])[0]
print(json.dumps({"file": anime_dcgan.__file__, "pixels": hashlib.sha256(face.tobytes()).hexdigest()}))
"""

IMPORT = """
import importlib, json, sys
sys.argv = ["user", "--no_such_option"]
asked = []
NETWORK = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, arguments: event in NETWORK and asked.append(str(arguments)))
sys.path.insert(0, {root!r})
for name in {names!r}:
    importlib.import_module(name)
import torch
print(json.dumps({{"modules": sorted({{name.partition(".")[0] for name in sys.modules}}), "asked": asked,
                  "cuda": torch.cuda.is_initialized()}}))
"""


def run(folder: Path, code: str, *arguments: str | Path) -> dict:
    """Run code that prints one JSON object, without this folder or the environment's on sys.path."""
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def pip(command: str, *arguments: str | Path) -> None:
    options = ("--no-deps", "--no-index", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", command, *options, *map(str, arguments)],
        check=True,
        capture_output=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that pip builds from this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: setuptools builds in the source's own folder
    shutil.copytree(ROOT / "model", source / "model", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "-w", folder, source)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_networks_and_asks_for_five_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        metadata = Parser().parsestr(archive.read(f"anime_dcgan-{__version__}.dist-info/METADATA").decode())
    modules = {f"anime_dcgan/{path.name}" for path in (ROOT / "model").glob("*.py")}
    assert set(names) == modules | {"anime_dcgan/py.typed"}
    asked = metadata.get_all("Requires-Dist")
    needed = {re.match(r"[\w-]+", line)[0] for line in asked if "extra ==" not in line}
    assert needed == {"torch", "huggingface_hub", "safetensors", "numpy", "pillow"}
    assert (metadata["Name"], metadata["License-Expression"]) == ("anime-dcgan", "MIT")


def test_the_package_makes_the_wheel_that_setuptools_builds(wheel):
    """Names, contents, metadata; the same bytes each time."""
    ours = make_wheel()
    assert make_wheel() == ours and wheel_name() == wheel.name
    with zipfile.ZipFile(wheel) as theirs, zipfile.ZipFile(io.BytesIO(ours)) as archive:
        assert archive.testzip() is None
        info = f"anime_dcgan-{__version__}.dist-info"
        left_out = {f"{info}/top_level.txt", f"{info}/licenses/LICENSE"}  # not needed; not in the package
        assert set(archive.namelist()) == set(theirs.namelist()) - left_out
        same = [name for name in archive.namelist() if not name.endswith((f"{info}/METADATA", "WHEEL", "RECORD"))]
        assert all(archive.read(name).strip() == theirs.read(name).strip() for name in same)
        one, other = (Parser().parsestr(file.read(f"{info}/METADATA").decode()) for file in (archive, theirs))
    for key in ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Provides-Extra"):
        assert one[key] == other[key], key
    assert bounds(one) == bounds(other)


def bounds(metadata) -> set[tuple[str, ...]]:
    """What it asks for, however it is written down."""
    return {tuple(sorted(re.split(r"[ ,;()\"']+|(?=[<>])", line))) for line in metadata.get_all("Requires-Dist")}


def test_other_code_draws_the_same_face(wheel, tmp_path):
    target = tmp_path / "installed"
    pip("install", "--target", target, wheel)
    generator = Generator(base_channels=4)
    generator.save_pretrained(tmp_path / "weights")
    drawn = run(tmp_path, DRAW, target, tmp_path / "weights")
    assert Path(drawn["file"]).is_relative_to(target)
    assert drawn["pixels"] == hashlib.sha256(generator.generate([7])[0].tobytes()).hexdigest()


def test_the_command_is_installed(wheel, tmp_path):
    target = tmp_path / "installed"
    pip("install", "--target", target, wheel)
    Generator(base_channels=4).save_pretrained(tmp_path / "weights")
    env = {"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"}
    for program in ([target / "bin" / "anime-dcgan"], [sys.executable, "-m", "anime_dcgan"]):
        words = [*program, "draw", "--seeds", "7", "--outdir", "faces"]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0 and done.stdout.startswith("faces: "), done.stderr
    assert (tmp_path / "faces" / "seed-7.png").is_file()


MODULES = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "train").rglob("[!_]*.py")]
TRAINER = sorted(".".join(path.parts) for path in MODULES if "hub_files" not in path.parts)
SEPARATE = [name for name in TRAINER if name.split(".")[-1] in ("config", "augment", "losses", "ema", "checkpoint")]


@pytest.mark.parametrize(
    "names, unwanted",
    [
        (["model"], {"train", "app", "gradio", "accelerate", "torchvision", "datasets", "av"}),
        (["app"], {"train", "accelerate", "datasets"}),
        (SEPARATE, {"model", "app", "gradio"}),
        (TRAINER, {"app", "gradio", "datasets", "wandb", "trackio"}),
    ],
    ids=["model", "app", "parts of the trainer", "trainer"],
)
def test_imports_point_down_and_touch_nothing(tmp_path, names, unwanted):
    found = run(tmp_path, IMPORT.format(root=str(ROOT), names=names))
    assert not unwanted & set(found["modules"])
    assert {name.partition(".")[0] for name in names} <= set(found["modules"])
    assert found["asked"] == [] and not found["cuda"]
