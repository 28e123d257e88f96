"""What a field trial found in training and measuring: each fault once, on as little as shows it."""

import json
from pathlib import Path

import pytest
from accelerate import Accelerator
from PIL import Image

from train.errors import UserError
from train.output import jsonl
from train.output.pictures import sample_grids
from train.run.checkpoint import checkpoints, find_checkpoint, save_checkpoint


def checkpoint(folder: Path, name: str, config: str = '{"loss": "rp"}') -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text(config)
    return folder / name


@pytest.mark.parametrize("name", ["images-keep", "images-000000000300 (copy)", "images-000000000300.bak", "images-"])
def test_a_folder_of_the_users_is_no_checkpoint(tmp_path, name):
    true, copy = checkpoint(tmp_path, "images-000000000200"), checkpoint(tmp_path, name)
    assert find_checkpoint(tmp_path, "latest") == true
    save_checkpoint(Accelerator(cpu=True), tmp_path, 300, {"loss": "rp"}, limit=1)
    assert checkpoints(tmp_path) == [tmp_path / "images-000000000300"] and copy.is_dir() and not true.exists()


def test_a_checkpoint_after_a_resume_from_an_older_one_is_the_latest(tmp_path):
    for seen in (100, 200, 300):
        checkpoint(tmp_path, f"images-{seen:012d}")
    saved = save_checkpoint(Accelerator(cpu=True), tmp_path, 150, {"loss": "rp"}, limit=2)
    assert checkpoints(tmp_path) == [tmp_path / "images-000000000100", saved]


@pytest.mark.parametrize("spoilt", ["", "{}", "\0\0\0\0", '{"loss": ', "[]"])
def test_a_damaged_checkpoint_is_passed_over_with_a_word(tmp_path, spoilt, capsys):
    before = checkpoint(tmp_path, "images-000000000100")
    newest = checkpoint(tmp_path, "images-000000000200", spoilt)
    assert find_checkpoint(tmp_path, "latest") == before
    assert f"'{newest}' is damaged" in capsys.readouterr().err
    with pytest.raises(UserError, match="damaged"):
        find_checkpoint(tmp_path, newest.name)


def test_lines_that_a_crash_spoilt_are_left_out(tmp_path):
    path, good = tmp_path / "metrics.jsonl", [{"kimg": 0.1}, {"kimg": 0.2}, {"kimg": 0.3}]
    lines = [json.dumps(line).encode() for line in good]
    spoilt = [bytes(40), b"7", b"\xff{", bytes(9) + lines[1], b'{"a": 1}']
    path.write_bytes(b"\n".join([lines[0], *spoilt, lines[2], b'{"k']))
    assert jsonl.cut(path, 250) == good[:2]
    assert path.read_bytes() == b"\n".join(lines[:2]) + b"\n"


def test_a_foreign_picture_among_the_samples_is_left_alone(tmp_path):
    for name in ("000000000104.png", "best of all.png", "12.png", "000000000008.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert [path.name for path in sample_grids(tmp_path)] == ["000000000008.png", "000000000104.png"]
