"""Inputs near those of the field trial that nobody had listed: what is refused is refused before any work."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from model import Discriminator, Generator
from train.config import parse_args
from train.data.dataset import prepare
from train.directions import write_index
from train.errors import UserError
from train.evaluate import main as evaluate
from train.gan.augment import parse_policy
from train.neighbours import main as neighbours
from train.output import jsonl
from train.output.run_folder import FILES, FOLDERS, make_output
from train.output.weights_folder import save_weights
from train.release.card import write_card
from train.run.checkpoint import find_checkpoint, save_checkpoint
from train.to_onnx import main as to_onnx

DATA = ["--train_data_dir", "faces.zip"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a training leaves, as small as it can be."""
    run = tmp_path / "runs" / "a"
    save_weights(Generator(4, 2, 32), Discriminator(2, 32), run / "weights", {"kimg": 1})
    (run / "samples").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"{i:012d}.png")
    shutil.copy(run / "samples" / "000000000000.png", run / "reals.png")
    (run / "metrics.jsonl").write_text('{"kimg": 1}\n')
    return run


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("max_train_kimg", "inf", "inf is not a number that can be worked with"),
        ("learning_rate", "nan", "nan is not a number that can be worked with"),
        ("ema_kimg", "inf", "inf is not a number that can be worked with"),
        ("penalty_gamma", "inf", "inf is not a number that can be worked with"),
        ("output_dir", " ", "it is empty"),
        ("data_provenance", "\t", "it is empty"),
        ("augment", "color,,translation", "'' is not one of"),
        ("augment", "none,color", "'none' is not one of"),
        ("image_column", "face", "that is a column of --dataset_name"),
    ],
)
def test_a_value_that_no_training_can_work_with_is_refused(option, value, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_args([*DATA, f"--{option}", value], "manual")
    assert ended.value.code == 2 and f"--{option}: {words}" in capsys.readouterr().err


def test_an_interval_may_be_never():
    assert parse_args([*DATA, "--sample_kimg", "inf", "--warn_kimg", "inf"], "manual").sample_kimg == float("inf")
    assert parse_policy("none") == [] and parse_policy("color, blur") == ["color", "blur"]


@pytest.mark.parametrize("name", [*FOLDERS, *FILES])
@pytest.mark.parametrize("kind", ["other", "link"])
def test_what_is_in_the_way_is_said_before_the_training_and_not_after_it(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "link":
        path.symlink_to(tmp_path / "gone")
    elif name in FOLDERS:
        path.write_text("mine")
    else:
        path.mkdir()
    with pytest.raises(UserError, match=f"--output_dir: '{path}' is in the way, a f.* is to be there; move it"):
        make_output(tmp_path)


def test_a_folder_whose_name_is_no_text_is_refused_before_the_training(tmp_path):
    with pytest.raises(UserError, match=r"--output_dir: '.*out\\udcfe' is no name in UTF-8"):
        make_output(Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xfe")))


def test_a_run_is_known_without_its_log_and_behind_links(trained, tmp_path, capsys):
    data = ["--train_data_dir", str(trained.parent.parent), "--feature_extractor", "none.pt"]
    (tmp_path / "link").symlink_to(trained / "samples")
    (trained / "metrics.jsonl").unlink()
    for path in (trained, trained / "samples", tmp_path / "link"):
        with pytest.raises(SystemExit) as ended:
            evaluate([str(path), *data])
        error = capsys.readouterr().err
        assert ended.value.code == 2 and f"give '{trained / 'weights'}'" in error, path


@pytest.mark.parametrize("place", ["samples", "weights"])
def test_nothing_learns_from_a_trainings_own_grids(trained, tmp_path, place):
    with pytest.raises(
        UserError, match=f"--train_data_dir: '.*{place}' belongs to the training in '.*a', and its grids"
    ):
        prepare(trained / place, resolution=32, cache_dir=tmp_path / "cache")


def test_an_address_is_no_folder(tmp_path):
    with pytest.raises(UserError, match="--train_data_dir: 'x.zip' is to be fetched from an address"):
        prepare("https://example.org/x.zip", resolution=32, cache_dir=tmp_path / "cache")


def test_a_file_of_weights_is_no_weights_folder(trained, capsys):
    file = trained / "weights" / "model.safetensors"
    assert to_onnx([str(file)]) == 2
    assert f"'{file}' is a file; give the folder that it is in" in capsys.readouterr().err


def test_neighbours_go_into_a_file_that_can_be_written(trained, tmp_path, capsys):
    folder = tmp_path / "x.png"
    folder.mkdir()
    with pytest.raises(SystemExit) as ended:
        neighbours([str(trained / "weights"), *DATA, "--output", str(folder)])
    assert ended.value.code == 2 and f"--output: '{folder}' is not a .png" in capsys.readouterr().err


def test_weights_and_runs_are_no_checkpoints_and_say_what_is(trained, tmp_path):
    with pytest.raises(UserError, match="weights' holds weights and no state to go on from; .* give --init_from"):
        find_checkpoint(tmp_path, str(trained / "weights"))
    saved = save_checkpoint(Accelerator(cpu=True), trained / "checkpoints", 100, {"loss": "rp"}, limit=2)
    for place in (trained, trained / "checkpoints"):
        with pytest.raises(UserError, match=f"'{place}' is no checkpoint but holds some; give '{saved}'"):
            find_checkpoint(tmp_path, str(place))


def test_a_checkpoint_with_a_file_cut_short_is_passed_over(tmp_path, capsys):
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 3)
    accelerator.prepare(model, torch.optim.Adam(model.parameters()))
    before = save_checkpoint(accelerator, tmp_path, 100, {"loss": "rp"}, limit=3)
    newest = save_checkpoint(accelerator, tmp_path, 200, {"loss": "rp"}, limit=3)
    assert find_checkpoint(tmp_path, "latest") == newest
    optimizer = newest / "optimizer.bin"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    assert find_checkpoint(tmp_path, "latest") == before
    assert f"the checkpoint '{newest}' is damaged and passed over" in capsys.readouterr().err
    with pytest.raises(UserError, match="is damaged: its options or a file that is not whole"):
        find_checkpoint(tmp_path, str(newest))


def test_lines_that_lack_a_number_are_left_out(tmp_path):
    good = {"kimg": 0.1, "loss_d": 1.0}
    spoilt = [
        {"kimg": 0.2},
        {"kimg": 0.2, "loss_d": "x"},
        {"kimg": 0.2, "loss_d": float("nan")},
        {"kimg": float("inf")},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*spoilt, good]))
    assert jsonl.cut(path, 1000, ("loss_d",)) == [good]


def test_an_index_without_attributes_warns_of_nothing(trained, recwarn):
    write_index(trained / "weights", Generator.from_pretrained(trained / "weights"), [], 4)
    assert not recwarn.list


def test_what_people_say_of_their_pictures_stays_one_sentence_of_the_card(trained):
    weights = trained / "weights"
    record = json.loads((weights / "training.json").read_text())
    record["dataset"] = {"name": "faces", "provenance": "Drawn by us.\n# Heading\n---\nEnd"}
    (weights / "training.json").write_text(json.dumps(record))
    lines = write_card(weights).read_text().splitlines()
    assert "Drawn by us. # Heading --- End." in lines and "# Heading" not in lines
