"""Checkpoints that go to a Hub and come back on another machine: exactly, and without a pickle."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ENV, ROOT
from hub_server import Hub
from huggingface_hub import constants
from safetensors.torch import load_file
from test_endurance import options  # noqa: F401

from train.config import TrainConfig
from train.errors import UserError
from train.release.safe_state import load_state, save_state
from train.run.remote_checkpoints import RemoteCheckpoints, fetch_checkpoint, is_hub_id, is_run_file, pack, unpack

ID, TOKEN = "me/states", "hf_me"
TRAIN = [sys.executable, str(ROOT / "train" / "train.py")]  # of its own: the client reads the environment at its start
FILE = "{repo_id}/resolve/{revision}/{filename}"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The client in this process is led to it as the environment would."""
    with Hub({TOKEN: "me"}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{FILE}")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_a_killed_run_goes_on_elsewhere_as_if_nothing_had_been(options, hub, tmp_path):  # noqa: F811
    online = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    env = ENV | online | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    pace = [
        "--train_batch_size",
        "4",
        "--checkpointing_kimg",
        "0.06",
        "--max_train_kimg",
        "0.3",
        "--sample_kimg",
        "0.1",
    ]
    remote = ["--push_checkpoints", ID, "--resume_from_checkpoint", ID]

    def command(folder: str, *more: str) -> list[str]:
        return [*TRAIN, *options, *pace, "--output_dir", str(tmp_path / folder), *more]

    def last(folder: str, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run(command(folder, *more), env=env, capture_output=True, text=True, timeout=200)

    plain = last("plain")
    assert plain.returncode == 0, plain.stderr
    process = subprocess.Popen(command("rented", *remote), env=env)  # the repository is yet to be made
    deadline = time.time() + 120
    while process.poll() is None and not any(name.startswith("checkpoints/") for name in files(hub)):
        assert time.time() < deadline
        time.sleep(0.01)
    time.sleep(random.Random(0).uniform(0, 0.3))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert hub.repos[ID].private
    result = last("elsewhere", *remote)
    assert result.returncode == 0, result.stderr
    assert "kimg" in result.stdout and " 0 to " not in result.stdout  # it did not begin anew
    ours, theirs = tmp_path / "elsewhere", tmp_path / "plain"
    for name in ("weights/model.safetensors", "weights/samples.png", "weights/discriminator.safetensors"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    newest = "checkpoints/images-000000000300"
    for name in ("model.safetensors", "model_1.safetensors"):  # G and D
        one, other = (load_file(run / newest / name) for run in (ours, theirs))
        assert all(torch.equal(one[key], other[key]) for key in other)
    assert logged(ours) == logged(theirs) and pictures(ours) == pictures(theirs)

    # What lies there: the newest checkpoint, no pickle, no path of either machine.
    names = {name for name in files(hub) if name.startswith("checkpoints/")}
    assert {name.rpartition("/")[0] for name in names} == {newest}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}
    for data in files(hub).values():
        assert str(tmp_path).encode() not in data and options[1].encode() not in data and TOKEN.encode() not in data


def files(hub: Hub) -> dict[str, bytes]:
    return hub.repos[ID].files() if ID in hub.repos else {}


def logged(run: Path) -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in ("hours", "img_per_s")} for line in lines]


def pictures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [*(run / "samples").iterdir(), run / "fakes_init.png"]}


def test_a_state_comes_back_bit_for_bit(tmp_path):
    layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.randn(2, 3, 8, 8)).sum().backward()
    adam.step()
    state = {
        "optimizer": adam.state_dict(),
        "python": random.getstate(),
        "numpy": np.random.RandomState(0).get_state(),
        "torch": torch.get_rng_state(),
        "numbers": [0.1, 2**70, True, None, float("inf"), "ä"],
        "half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    }
    save_state(state, tmp_path / "a.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin.json", "a.bin.safetensors"]
    back = load_state(tmp_path / "a.bin")
    assert back["python"] == state["python"] and back["numbers"] == state["numbers"]
    assert back["numpy"][1].dtype == np.uint32 and all(
        np.array_equal(*pair) for pair in zip(back["numpy"], state["numpy"])
    )
    assert torch.equal(back["torch"], state["torch"]) and torch.equal(back["half"], state["half"])
    moment, kept = (one["optimizer"]["state"][0]["exp_avg"] for one in (state, back))
    assert torch.equal(moment, kept) and moment.stride() == kept.stride()  # fused Adam goes by the memory
    assert back["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    with pytest.raises(ValueError, match="a Linear cannot be kept without pickle"):
        save_state([torch.nn.Linear(1, 1)], tmp_path / "b.bin")


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = tmp_path / "a" / "checkpoints" / "images-000000000128"
    folder.mkdir(parents=True)
    torch.save({"state": torch.arange(3)}, folder / "optimizer.bin")
    said = {"seed": 1, "train_data_dir": "/home/me/faces", "output_dir": "/home/me/a"}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


def test_a_checkpoint_is_packed_and_unpacked(checkpoint, tmp_path):
    (tmp_path / "packed").mkdir()
    names = [path.name for path in pack(checkpoint, tmp_path / "packed")]
    assert names == ["config.json", "optimizer.bin.json", "optimizer.bin.safetensors"]
    assert json.loads((tmp_path / "packed" / "config.json").read_text()) == {"seed": 1}
    unpack(tmp_path / "packed")
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == ["config.json", "optimizer.bin"]
    assert torch.load(tmp_path / "packed" / "optimizer.bin")["state"].tolist() == [0, 1, 2]


def fetched(folder: Path, **more: str) -> TrainConfig:
    config = TrainConfig(train_data_dir="x", output_dir=str(folder), resume_from_checkpoint=ID, **more)
    folder.mkdir(exist_ok=True)
    fetch_checkpoint(config)
    return config


def test_only_safe_files_are_fetched_and_nothing_lands_elsewhere(hub, checkpoint, tmp_path, capsys):
    remote = RemoteCheckpoints(ID)
    remote.connect(new=True)
    remote.push(tmp_path / "a", checkpoint)
    repo, folder = hub.repos[ID], f"checkpoints/{checkpoint.name}"
    bad = {f"{folder}/optimizer.bin": b"pickle", f"{folder}/x.py": b"", "run/train.py": b"", "run/best/a.pkl": b""}
    repo.commit("main", repo.files() | bad | {"run/metrics.jsonl": b"{}\n", "notes.md": b""}, "odd files")
    fetched(tmp_path / "b")
    found = {path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert found == {f"{folder}/config.json", f"{folder}/optimizer.bin", "metrics.jsonl"}
    assert torch.load(tmp_path / "b" / folder / "optimizer.bin")["state"].tolist() == [0, 1, 2]
    assert not [line for line in hub.requests if line.endswith((".pkl", ".py", "optimizer.bin"))]
    asked = len(hub.requests)
    fetched(tmp_path / "b")  # it is here already
    assert not [line for line in hub.requests[asked:] if "/resolve/" in line]

    # One who forgot to resume does not write over it; a failed upload is told, and no more.
    with pytest.raises(UserError, match=f"'{ID}' holds {checkpoint.name} of an earlier run; add --resume_from_check"):
        remote.connect(new=True)
    remote.connect(new=False)
    hub.left = 0
    remote.push(tmp_path / "a", checkpoint)
    assert capsys.readouterr().err.startswith(f"{checkpoint.name} was not uploaded (")
    hub.left = None

    repo.commit("main", repo.files() | {f"{folder}/optimizer.bin.json": b"["}, "damaged")
    with pytest.raises(UserError, match=r"--resume_from_checkpoint: optimizer.bin.json on the Hub is damaged"):
        fetched(tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == []


def test_what_is_not_there_is_said(hub, tmp_path):
    fetched(tmp_path / "a", push_checkpoints=ID)  # there the run begins
    with pytest.raises(UserError, match=f"no folder '{ID}' is here, and of the Hub: .*there is no '{ID}'"):
        fetched(tmp_path / "a")
    hub.create("me", {}, {"name": "states"})
    with pytest.raises(UserError, match=f"'{ID}' holds no checkpoint; give one that --push_checkpoints filled"):
        fetched(tmp_path / "a")
    with pytest.raises(UserError, match=f"--push_checkpoints: '{ID}' is public, and what goes there is to be private"):
        RemoteCheckpoints(ID).connect(new=True)


def test_folders_are_no_repositories(tmp_path):
    (tmp_path / "me" / "here").mkdir(parents=True)
    assert is_hub_id("me/states", tmp_path)
    for name in (None, "latest", "me/here", "./a/b", "../a", "a/b/c", "/a/b", "checkpoints/images-000000000128"):
        assert not is_hub_id(name, tmp_path)


def test_files_of_a_run_are_known_by_name():
    assert all(map(is_run_file, ("run/metrics.jsonl", "run/samples/000000000128.png", "run/best/config.json")))
    for name in (
        "run/../a",
        "run/samples/../../a.png",
        "run/samples/.png",
        "run/a.py",
        "best/a.json",
        "run/best/a.bin",
    ):
        assert not is_run_file(name)


def test_the_commands_for_rented_machines_have_options_that_exist():
    text = (ROOT / "train" / "renting.md").read_text()
    trainer = subprocess.run([*TRAIN, "--help"], env=ENV, capture_output=True, text=True, timeout=100).stdout
    hf = [Path(sys.executable).with_name("hf"), "jobs", "run", "--help"]
    jobs = subprocess.run(hf, env=ENV | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=100).stdout
    others = {"--secret", "--gpus", "--time", "--signal", "--requeue"}  # of SkyPilot and Slurm
    flags = set(re.findall(r"(?<!-)--[a-z]\w*", text)) - others
    assert {flag for flag in flags if f"{flag} " not in trainer + jobs} == set()
    assert text.count("--push_checkpoints you/states --resume_from_checkpoint you/states") == 4
