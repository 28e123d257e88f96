"""Faults that a field trial found in data, checkpoints and options; each test failed before."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from train.config import parse_args
from train.data.sources import open_path
from train.errors import UserError
from train.run.checkpoint import checkpoints, find_checkpoint


def names(folder: Path) -> list[str]:
    with open_path(folder, "--train_data_dir") as source:
        return source.files


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


@pytest.mark.parametrize(
    "place", [".Trash-1000/files", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "a/.b"]
)
def test_hidden_and_system_folders_are_left_aside(tmp_path, place):
    picture(tmp_path / "a" / "face.png")
    picture(tmp_path / place / "other.png")
    assert names(tmp_path) == ["a/face.png"]


def test_a_runs_own_grids_are_no_training_pictures(tmp_path):
    picture(tmp_path / "face.png")
    for name in ("fakes_init.png", "reals.png", "samples/images-1.png", "weights/samples.png"):
        picture(tmp_path / "run" / name)
    (tmp_path / "run" / "metrics.jsonl").touch()
    assert names(tmp_path) == ["face.png"]
    with pytest.raises(UserError, match="is what a training has left.*give '.*run/weights'"):
        names(tmp_path / "run")


def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    picture(tmp_path / "elsewhere" / "face.png")
    data = tmp_path / "data"
    data.mkdir()
    os.symlink(tmp_path / "elsewhere", data / "linked")
    os.symlink(data, tmp_path / "elsewhere" / "back")
    assert names(data) == ["linked/face.png"]


def checkpoint(path: Path, config: str = "{}") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(config)
    return path


def test_a_users_copy_beside_the_checkpoints_is_not_the_latest(tmp_path):
    ours = [checkpoint(tmp_path / f"images-{seen:012d}", json.dumps({"seed": 0})) for seen in (100, 200)]
    for name in ("images-keep", "images-000000000200 (copy)", "images-9"):
        checkpoint(tmp_path / name, json.dumps({"seed": 0}))
    assert checkpoints(tmp_path) == ours and find_checkpoint(tmp_path, "latest") == ours[1]


@pytest.mark.parametrize("damage", ["", "\0" * 20, "[]", "{"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys, damage):
    whole, damaged = (checkpoint(tmp_path / f"images-{seen:012d}") for seen in (100, 200))
    (damaged / "config.json").write_text(damage)
    assert find_checkpoint(tmp_path, "latest") == whole
    assert f"'{damaged}' is damaged and passed over" in capsys.readouterr().err
    with pytest.raises(UserError, match="the config.json of '.*' is damaged; give another checkpoint or 'latest'"):
        find_checkpoint(tmp_path, damaged.name)


@pytest.mark.parametrize("option", ["--train_data_dir", "--output_dir", "--init_from", "--cache_dir", "--hub_model_id"])
def test_an_empty_value_is_named(capsys, option):
    arguments = ["--train_data_dir", "faces", option, ""] if option != "--train_data_dir" else [option, ""]
    with pytest.raises(SystemExit) as ended:
        parse_args(arguments, "Train.")
    assert ended.value.code == 2
    assert f"{option}: nothing is given; give a value or leave the option out" in capsys.readouterr().err


def test_home_is_known_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ["train_data_dir", "output_dir", "cache_dir", "init_from", "feature_extractor", "resume_from_checkpoint"]
    config = parse_args([f"--{name}=~/x" for name in options], "Train.")
    assert {getattr(config, name) for name in options} == {str(tmp_path / "x")}


def test_no_private_path_is_public(tmp_path):
    picture(tmp_path / "secret" / "face.png")
    for name in (str(tmp_path / "secret"), "./secret", "~/secret", "/gone/secret"):
        config = parse_args(["--dataset_name", name, "--cache_dir", "/c/secret", "--init_from", "/i/secret"], "")
        assert "secret" not in json.dumps(config.public())
    assert parse_args(["--dataset_name", "me/faces"], "").public()["dataset_name"] == "me/faces"
