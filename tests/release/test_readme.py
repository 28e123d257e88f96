"""The README's blocks, run as written where that takes seconds: long commands get a shorter option at their end."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run
from hub_server import Hub
from page import Page
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)


def block(kind: str, part: str) -> str:
    (found,) = [text for language, text in BLOCKS if language == kind and part in text]
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A folder with the project in it and the user's faces.zip."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("model", "train", "weights"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "anime_dcgan").symlink_to(ROOT / "model")  # as pip install . names it
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for i in range(70):
            image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64))
            with archive.open(f"{i}.png", "w") as file:
                image.save(file, "PNG")
    return folder


def shell(text: str, folder: Path, **variables: str) -> str:
    script = re.sub(r"(^|\s)\.venv/bin/", rf"\1{sys.prefix}/bin/", text)
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"} | variables
    result = subprocess.run(["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_are_two_set_up_commands():
    assert block("bash", "app.py").count("\n") == block("bash", "tests/run.sh").count("\n") == 1
    assert "bash tests/run.sh" in (ROOT / ".ci" / "run").read_text()
    for file in re.findall(r"-r (\S+)", README):
        assert (ROOT / file).is_file()
    for file in re.findall(r"!\[.*?\]\((\S+?)\)", README):
        assert (ROOT / file).is_file(), file


def test_loading_runs_as_written(clone):
    shell(f"{sys.executable} - <<'END'\n{block('python', 'from_pretrained')}\nassert len(frames) == 30\nEND", clone)
    assert Image.open(clone / "7.png").size == (64, 64)


def test_the_shell_draws_as_written(clone):
    text = block("sh", "anime-dcgan draw").replace("anime-dcgan", f"{sys.executable} -m anime_dcgan")
    out = shell(text, clone)
    assert "faces: 65 faces in " in out and f"alice\t{0x2BD806C9}\tnames/" in out
    assert Image.open(clone / "sheet.png").size == (576, 512) and (clone / "out.mp4").stat().st_size > 10_000


def test_the_client_runs_as_written(tmp_path):
    with Page(tmp_path) as page:
        code = block("python", "gradio_client").replace("http://127.0.0.1:7860", page.url)
        out = shell(f"{sys.executable} - <<'END'\n{code}\nprint(path)\nEND", tmp_path)
    assert Image.open(out.splitlines()[-1]).size == (64, 64)


def test_training_runs_as_written(clone):
    install, train = block("bash", "train/requirements.txt").splitlines()
    assert install == ".venv/bin/pip install -r train/requirements.txt"
    assert "70 pictures" in shell(f"{train} --dry_run", clone)
    elsewhere = {"--num_processes", "--nproc_per_node"}  # of accelerate launch and torchrun
    text = "".join(run("--help", command=f"train.{name}").stdout for name in ("train", "publish", "evaluate"))
    text += "".join(run(name, "--help", command="model.cli").stdout for name in ("draw", "film", "find", "name"))
    ours = README.replace(block("bash", "#SBATCH"), "")  # a script for another program
    assert [flag for flag in re.findall(r"--\w+", ours) if flag not in text and flag not in elsewhere] == []


def test_measuring_runs_as_written(clone):
    class Mean(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1)

    torch.jit.script(Mean()).save(str(clone / "features.pt"))
    command = block("bash", "train.evaluate").strip().replace("10000", "80")
    assert '"precision"' in shell(f"{command} --feature_extractor features.pt", clone)


def test_publishing_runs_as_written(clone):
    with Hub() as hub:
        command = block("bash", "train.publish").replace("HF_TOKEN=...", "HF_TOKEN=hf_me").replace("you/", "me/")
        online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(clone / "home"), "HF_HUB_DISABLE_XET": "1"}
        (clone / "weights").unlink()
        subprocess.run(["cp", "-r", ROOT / "weights", clone / "weights"], check=True)  # the card is written into it
        shell(command, clone, HF_HUB_DISABLE_TELEMETRY="1", **online)
        published = hub.repos["me/anime-dcgan"].files()["model.safetensors"]
    assert published == (ROOT / "weights" / "model.safetensors").read_bytes()
