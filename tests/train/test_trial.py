"""What a field trial found in training and measuring: each fault once, on as little as shows it."""

import argparse
import dataclasses
import errno
import fcntl
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from commands import ENV, ROOT, start
from commands import run as train
from PIL import Image
from safetensors.torch import load_file

from model import Generator
from model.hub import load_generator
from train.config import TrainConfig, parse_args
from train.data.dataset import ImageSet
from train.directions import main as directions_main
from train.errors import UserError
from train.evaluate import main as evaluate_main
from train.neighbours import main as neighbours_main
from train.output import jsonl
from train.output.pictures import sample_grids
from train.publish import main as publish_main
from train.quality.evaluation import CONDITIONS, evaluate
from train.quality.features import Extractor
from train.quality.metrics import kid, manifold_metrics
from train.quality.monitor import Monitor
from train.release.card import make_card
from train.release.model_repo import model_files
from train.run.checkpoint import checkpoints, find_checkpoint, save_checkpoint
from train.run.hardware import cores
from train.run.interrupt import explained
from train.run.lock import exclusive
from train.run.record import other_pictures, plan, public_origin, training_record
from train.run.run_log import Progress, RunLog, StepStats
from train.run.same_run import changed_options, require_same_run
from train.run.setup import build_networks, load_networks, set_up
from train.to_onnx import main as to_onnx_main
from train.train import main

SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --log_kimg 0.008"


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


def test_a_folder_is_one_trainings_alone(tmp_path):
    code = (
        "import sys, pathlib; from train.run.lock import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, tmp_path / "new"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        words = f"in use by process {other.pid} on .* since 20.*give another folder"
        with pytest.raises(UserError, match=words), exclusive(tmp_path / "new"):
            pass
        other.kill()  # no chance to tidy up
    with exclusive(tmp_path / "new"):
        pass
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(UserError, match="because"), exclusive(tmp_path / "a"):
        raise UserError(None, "because")
    assert not (tmp_path / "a").exists()


def test_who_takes_a_folder_and_who_checks_it_say_the_same(tmp_path):
    (tmp_path / "file").touch()
    folder, told = tmp_path / "file" / "out", []
    config = TrainConfig(train_data_dir="x", output_dir=str(folder))
    for take in (lambda: exclusive(folder).__enter__(), lambda: set_up(config)):  # the first process, and the others
        with pytest.raises(UserError, match="--output_dir: .* cannot be written .*; give another") as error:
            take()
        told.append(str(error.value))
    assert told[0] == told[1]


def test_a_resume_names_all_that_differs_at_once():
    saved = dataclasses.asdict(parse_args(["--train_data_dir", "x", "--preset", "baseline"], "x\n\n"))
    with pytest.raises(UserError) as error:
        require_same_run(saved, TrainConfig(train_data_dir="x"))
    for words in ("--loss bce, not rp", "--d_kernel_size 4, not 3", "--d_norm batch, not none", "--no-minibatch_std",
                  "--preset baseline", "--penalty_gamma 0.0, not 0.2"):  # fmt: skip
        assert words in str(error.value)
    same = dataclasses.asdict(TrainConfig(train_data_dir="x"))
    assert require_same_run(same, TrainConfig(train_data_dir="y", init="normal")) == ""
    sentence = require_same_run(same, TrainConfig(train_data_dir="x", learning_rate=0.1, random_flip=False))
    assert "--learning_rate 0.0004, not 0.1" in sentence and "--random_flip, not False" in sentence
    assert changed_options({}, TrainConfig(train_data_dir="x")) == {}  # of an older checkpoint


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(TrainConfig) if "str" in str(f.type)])
def test_an_empty_option_is_called_empty(name):
    given = {"train_data_dir": "x"} | {name: ""}
    if name == "dataset_name":
        given.pop("train_data_dir")
    assert any(f"--{name}" in problem and ("empty" in problem or "not one of" in problem)
               for problem in TrainConfig(**given).problems())  # fmt: skip


def test_home_is_understood_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    options = ("train_data_dir", "cache_dir", "output_dir", "resume_from_checkpoint", "feature_extractor", "init_from")
    config = parse_args([f"--{name}=~/x" for name in options], "x\n\n")
    assert [getattr(config, name) for name in options] == ["/home/me/x"] * 6
    assert parse_args(["--dataset_name=~/x"], "x\n\n").dataset_name == "/home/me/x"


PATHS = {"weights_folder", "weights", "samples", "train_data_dir", "dataset_name", "feature_extractor", "cache_dir"}
PATHS |= {"output", "outdir"}


@pytest.mark.parametrize("command", ["evaluate", "neighbours", "directions", "publish", "to_onnx", "benchmark", "cli"])
def test_home_is_understood_in_every_path_of_every_command(command, monkeypatch):
    """Read from the parser that the command makes."""
    monkeypatch.setenv("HOME", "/home/me")
    parsers = []

    def kept(parser: argparse.ArgumentParser, *arguments: object) -> None:
        parsers.append(parser)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", kept)
    with pytest.raises(SystemExit):
        importlib.import_module(f"{'model' if command == 'cli' else 'train'}.{command}").main([])
    found = 0
    for parser in parsers:
        branches = [a.choices.values() for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        parsers.extend(branch for group in branches for branch in group)
        for action in parser._actions:
            assert action.type is not Path, f"{action.dest} leaves ~ as it is"
            if action.dest in PATHS:
                assert str(action.type("~/x")) == "/home/me/x", action.dest
                found += 1
    assert found


def test_a_model_in_the_home_is_loaded(tmp_path, monkeypatch):
    """MODEL_ID of the page and --model of the command line."""
    monkeypatch.setenv("HOME", str(tmp_path))
    Generator(latent_dim=8, base_channels=4, image_size=32).save_pretrained(tmp_path / "mine")
    assert load_generator("~/mine").latent_dim == 8


def some_data(name: str = "faces", fingerprint: str = "a") -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    return ImageSet(images, name, fingerprint, 16, [], [(f"{i}.png", "not an image") for i in range(12)])


def test_the_record_says_what_came_before_and_no_path(tmp_path):
    torch.manual_seed(0)
    Generator(latent_dim=8, base_channels=4, image_size=32).save_pretrained(tmp_path / "secret")
    accelerator, progress = Accelerator(cpu=True), Progress(torch.device("cpu"))
    config = TrainConfig(dataset_name=str(tmp_path), init_from=str(tmp_path / "secret"))
    progress.origin = public_origin(config.init_from)
    assert other_pictures(progress, some_data()) is None and other_pictures(progress, some_data()) is None
    progress.seen = 12_000
    words = other_pictures(progress, some_data("cats", "b"))
    assert "'cats' (16), not 'faces' (16 pictures)" in words
    restored = Progress(torch.device("cpu"))
    restored.load_state_dict(progress.state_dict())
    assert other_pictures(restored, some_data("cats", "b")) is None
    parameters = {"generator": 1, "discriminator": 2}
    record = training_record(config, some_data("cats", "b"), parameters, restored, accelerator)
    assert record["dataset"]["earlier"] == [{"name": "faces", "images": 16, "from_kimg": 0.0}]
    assert str(tmp_path) not in json.dumps(record) and "secret" not in json.dumps(record)
    (tmp_path / "secret" / "training.json").write_text(json.dumps(record))
    card = str(make_card(tmp_path / "secret", "me/x"))
    assert "not begin from nothing but from other weights: local weights, SHA-256" in card
    assert "trained on faces (16 images)" in card and str(tmp_path) not in card
    assert public_origin("you/anime-dcgan") == "you/anime-dcgan"


@pytest.mark.parametrize("name", ["/home/me/secret/faces", "~/faces", "../faces", "C:\\Users\\me\\faces"])
def test_the_card_of_an_older_record_keeps_folders_to_itself(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"latent_dim": 8, "image_size": 32, "image_channels": 3}))
    training = {"dataset": {"name": name, "images": 3}, "config": {"dataset_name": name}}
    (tmp_path / "training.json").write_text(json.dumps(training))
    card = make_card(tmp_path, "me/x")
    assert name not in str(card) and card.data.datasets is None and "faces: 3 images" in str(card)


def test_no_folder_of_an_older_record_is_published(tmp_path):
    """Whatever the key: what begins at a disk, at home or here is its last part; options that are places go."""
    generator = Generator(latent_dim=8, base_channels=4, image_size=32)
    generator.save_pretrained(tmp_path)
    paths = ["/home/me/secret/faces.zip", "~/secret/faces.zip", "../secret/faces.zip", "C:\\secret\\faces.zip"]
    places = dict.fromkeys(("train_data_dir", "cache_dir", "output_dir", "init_from", "feature_extractor"), paths[0])
    training = {"kimg": 5, "config": places | {"loss": "rp", "dataset_name": paths[1]}, "dataset": {"name": paths[2]}}
    training |= {"history": [{"name": path} for path in paths], "note": "and/or, a / b, https://x.org/secret-free"}
    metrics = {"reference": paths[3], "feature_extractor": "encoder.pt", "kid": 0.5}
    metrics |= {"num_samples": 10, "num_reference": 10}
    for name, data in (("training", training), ("metrics", metrics)):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    published = {name: json.loads(file) for name, file in model_files(tmp_path).items() if isinstance(file, bytes)
                 and name in ("training.json", "metrics.json")}  # fmt: skip
    text = json.dumps(published)
    assert "secret/" not in text and "secret\\" not in text and "home" not in text
    assert published["training.json"] == {"kimg": 5, "config": {"loss": "rp", "dataset_name": "faces.zip"},
        "dataset": {"name": "faces.zip"}, "history": [{"name": "faces.zip"}] * 4, "note": training["note"]}  # fmt: skip
    assert published["metrics.json"] == metrics | {"reference": "faces.zip"}
    (tmp_path / "training.json").write_text('{ "kimg": 5 }')
    assert model_files(tmp_path)["training.json"] == b'{ "kimg": 5 }'  # as it is where nothing is private


def test_the_plan_counts_what_it_does_not_show_and_what_is_left():
    config = TrainConfig(train_data_dir="x", resolution=32, max_train_kimg=0.1)
    progress = Progress(torch.device("cpu"))
    progress.seen = 512
    text = plan(config, some_data(), {"generator": 1}, progress, Accelerator(cpu=True))
    assert "skipped 9.png" in text and "skipped 10.png" not in text
    assert "and 2 more; " in text and "skipped.txt' names all" in text
    assert "nothing is left to do: 0.512 kimg were seen, and --max_train_kimg is 0.1" in text


def test_the_first_speed_is_measured_too(tmp_path):
    log = RunLog(TrainConfig(train_data_dir="x", output_dir=str(tmp_path)), Accelerator(cpu=True))
    log.start()
    for seconds, speed in ((2.0, 32.0), (3.0, 64.0)):
        log.progress.seen, log.progress.seconds = log.progress.seen + 64, seconds
        log.write(dict.fromkeys(StepStats._fields, 0.5), 0.1)
        assert log.lines[-1]["img_per_s"] == speed


def test_weights_of_another_shape_say_which_options_fit(tmp_path):
    Generator(latent_dim=16, base_channels=8, image_size=32).save_pretrained(tmp_path / "weights")
    networks = build_networks(TrainConfig(train_data_dir="x", latent_dim=8, g_channels=4, d_channels=4))
    with pytest.raises(UserError, match="--latent_dim 16 --g_channels 8 --resolution 32"):
        load_networks(str(tmp_path / "weights"), *networks)


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, "No space left"), "can no longer be written"),
        (FileNotFoundError(errno.ENOENT, "No such file", "runs/x.png"), "'runs/x.png' cannot be used \\(No such file"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "'a' cannot be used \\(Permission denied"),
    ],
)
def test_an_error_names_its_own_cause(error, words):
    with pytest.raises(UserError, match=words) as told, explained(TrainConfig(train_data_dir="x")):
        raise error
    assert ("free some space" in str(told.value)) == (error.errno == errno.ENOSPC)


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("data")
    for i in range(24):
        blocks = Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return f"--train_data_dir {folder} --cache_dir {tmp_path_factory.mktemp('cache')} {SMALL}".split()


def test_the_repository_is_made_after_all_else_was_read(options, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("train.release.hub.Repository.connect", lambda self: made.append(self.id))
    push = ["--push_to_hub", "--hub_model_id", "me/faces", "--output_dir", str(tmp_path / "out")]
    for wrong in ("train_data_dir", "init_from", "feature_extractor"):
        with pytest.raises(UserError, match="nowhere"):
            set_up(parse_args([*options, *push, f"--{wrong}", "/nowhere"], "x\n\n"))
    assert made == []


def test_a_checkpoint_of_another_run_and_a_late_extractor_end_well(options, tmp_path):
    class Mean(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x.float() / 255, 2).flatten(1)

    torch.jit.script(Mean()).save(str(tmp_path / "features.pt"))
    first = train(*options, "--output_dir", tmp_path / "a", "--max_train_kimg", "0.016")
    assert first.returncode == 0, first.stderr
    resume = ["--resume_from_checkpoint", tmp_path / "a" / "checkpoints" / "images-000000000016"]
    arguments = [*options, "--output_dir", tmp_path / "b", *resume]
    second = train(*arguments, "--max_train_kimg", "0.032")
    assert second.returncode == 0 and (tmp_path / "b" / "weights" / "progress.webp").is_file(), second.stderr
    (tmp_path / "b" / "samples" / "000000000020.png").write_text("damaged")
    quality = ["--feature_extractor", tmp_path / "features.pt", "--metric_samples", "100"]
    third = train(*options, "--output_dir", tmp_path / "b", "--max_train_kimg", "0.032", *quality,
                  "--resume_from_checkpoint", "latest")  # fmt: skip
    assert third.returncode == 0 and "warning: pictures of the run are missing" in third.stderr, third.stderr
    assert (tmp_path / "b" / "weights" / "metrics.json").is_file() and "nothing is left to do" in third.stdout


def test_a_resume_within_an_accumulation_is_exact(options, tmp_path):
    """Checkpoints fall due in the middle of four accumulated batches; they wait for the update."""
    shared = [*options, "--gradient_accumulation_steps", "4", "--checkpointing_kimg", "0.024"]
    for folder, lengths in (("whole", ["0.128"]), ("parts", ["0.024", "0.072", "0.128"])):
        for length in lengths:
            run = train(*shared, "--output_dir", tmp_path / folder, "--max_train_kimg", length, "--lr_schedule",
                        "constant", "--resume_from_checkpoint", "latest")  # fmt: skip
            assert run.returncode == 0, run.stderr
    whole, parts = (load_file(tmp_path / name / "weights" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    names = sorted(path.name for path in (tmp_path / "parts" / "checkpoints").iterdir())
    assert names == ["images-000000000096", "images-000000000128"]


@pytest.mark.parametrize("metric", ["kid", "precision", "recall", "fd"])
def test_measurements_do_not_depend_on_the_order_of_names(metric, tmp_path):
    """Two kinds of pictures, sorted by kind or mixed: the subsets are fair samples of both."""
    kinds = np.concatenate([np.full((900, 8, 8, 3), 40), np.full((900, 8, 8, 3), 200)])
    noise = np.random.default_rng(0).integers(-30, 30, (2, 1800, 8, 8, 3))
    real, fake = ((kinds + one).astype(np.uint8) for one in noise)
    mixed = np.random.default_rng(1).permutation(1800)

    class Flat(torch.nn.Module):
        def forward(self, x):
            return x.float().flatten(1)[:, ::16] / 128 - 1

    found = []
    for order in (np.arange(1800), mixed):
        sets = [
            ImageSet(images, "x", f"{order[0]}{i}", 1800, [], []) for i, images in enumerate((fake[mixed], real[order]))
        ]
        extractor = Extractor(Flat(), "flat", "flat", torch.device("cpu"))
        found.append(evaluate(*sets, extractor, num_samples=1800, num_reference=600, cache_dir=tmp_path))
    sorted_, shuffled = (one[metric] for one in found)
    assert sorted_ == pytest.approx(shuffled, abs=0.05 if metric != "kid" else 0.02)
    assert found[0]["subset_seed"] == 0


def test_pairwise_metrics_draw_their_subset(monkeypatch):
    monkeypatch.setattr("train.quality.metrics.SUBSET", 500)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4000, 8, generator=generator) + (torch.arange(4000) > 2000)[:, None] * 3.0 for _ in range(2))
    mixed = torch.randperm(4000, generator=generator)
    assert abs(kid(a, b[mixed])) < 5 and abs(kid(a[mixed], b[mixed])) < 5  # the first ones alone: 248
    assert abs(kid(a[:500], b[mixed])) > 100
    assert manifold_metrics(a, b[mixed])["recall"] > 0.8


def line(kid: float, **changed: object) -> dict:
    return dict.fromkeys(CONDITIONS, 1) | {"kid": kid, "kimg": 1, "coverage": 1} | changed


@pytest.mark.parametrize("change", [*CONDITIONS, None])
def test_only_what_was_measured_alike_is_compared(tmp_path, monkeypatch, change):
    kept = []
    monkeypatch.setattr("train.quality.monitor.save_weights", lambda *arguments: kept.append(arguments[-1]))
    monkeypatch.setattr("train.quality.monitor.evaluate", lambda *a, **k: line(5.0, **({change: 2} if change else {})))
    monitor = object.__new__(Monitor)
    monitor.config = TrainConfig(train_data_dir="x", metric="kid")
    monitor.folder, monitor.path = tmp_path, tmp_path / "quality.jsonl"
    monitor.data = monitor.extractor = None
    monitor.lines = [line(0.1)]
    monitor.measure(None, None, {"kimg": 2})
    assert bool(kept) == bool(change)


@pytest.mark.parametrize("place", ["", "samples", "checkpoints/images-000000000104"])
def test_a_run_is_not_taken_for_weights(tmp_path, place, capsys):
    run = tmp_path / "run"
    checkpoint(run / "checkpoints", "images-000000000104")
    for name in ("samples", "weights"):
        (run / name).mkdir()
    (run / "metrics.jsonl").touch()
    wrong, weights = str(run / place), str(run / "weights")
    commands = [
        (evaluate_main, [wrong, "--train_data_dir", "x"]),
        (neighbours_main, [wrong, "--train_data_dir", "x", "--feature_extractor", str(extractor_file(tmp_path))]),
        (directions_main, [wrong]),
        (publish_main, [wrong, "--hub_model_id", "me/x"]),
        (to_onnx_main, [wrong]),
    ]
    for main_, arguments in commands:
        try:
            code = main_(arguments)
        except SystemExit as stop:
            code = stop.code
        assert code == 2 and f"is no weights folder; give '{weights}'" in capsys.readouterr().err, main_.__module__
    with pytest.raises(UserError, match="--init_from: .*is no weights folder"):
        load_networks(wrong, *build_networks(TrainConfig(train_data_dir="x")))


def extractor_file(folder: Path) -> Path:
    torch.jit.script(torch.nn.Flatten()).save(str(folder / "flat.pt"))
    return folder / "flat.pt"


@pytest.mark.parametrize("said", [None, "OMP_NUM_THREADS", "--num_cpu_threads_per_process"])
def test_all_cores_are_used_unless_the_user_said_otherwise(options, tmp_path, said):
    env = {name: value for name, value in ENV.items() if name != "OMP_NUM_THREADS"}
    env |= {said: "1"} if said == "OMP_NUM_THREADS" else {}
    launch = ["-m", "accelerate.commands.launch", *([said, "1"] if said and said.startswith("--") else [])]
    script = ["train/train.py", *options, "--output_dir", tmp_path / "out", "--dry_run"]
    if said:  # all that matters here, in half the time
        script = [tmp_path / "threads.py"]
        script[0].write_text(
            "import torch; from train.run.hardware import use_cores; from train.run.record import device_name\n"
            "use_cores(); print(device_name(torch.device('cpu')))"
        )
    command = [sys.executable, *launch, *script]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    count = 1 if said else cores()
    assert f"CPU ({count} thread{'s' if count > 1 else ''})" in result.stdout, result.stderr


@pytest.mark.parametrize("signum, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_decoding_leaves_a_sentence_and_no_file(tmp_path, signum, code):
    (tmp_path / "data").mkdir()
    for i in range(8):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            tmp_path / "data" / f"{i}.png"
        )
    arguments = [*SMALL.split(), "--train_data_dir", tmp_path / "data", "--cache_dir", tmp_path / "cache"]
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    out.touch()
    err.touch()
    process = start(*arguments, "--output_dir", tmp_path / "out", command="slow_decoding", out=str(out), err=str(err))
    deadline = time.time() + 100
    while "decoding" not in out.read_text():
        assert time.time() < deadline and process.is_alive(), err.read_text()
        time.sleep(0.02)
    os.kill(process.pid, signum)
    process.join(100)
    error = err.read_text()
    assert process.exitcode == code and "interrupted before the training began" in error and "Traceback" not in error
    assert list((tmp_path / "cache").iterdir()) == [] and not (tmp_path / "out").exists()


def test_a_closed_terminal_saves_the_run(options, tmp_path):
    """On a terminal of its own, which goes away in the middle."""
    master, slave = os.openpty()
    command = [sys.executable, "train/train.py", *options, "--output_dir", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, env=ENV, stdin=slave, stdout=slave, stderr=slave,
                               preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))  # fmt: skip
    os.close(slave)
    deadline, metrics = time.time() + 200, tmp_path / "out" / "metrics.jsonl"
    while time.time() < deadline and not (metrics.is_file() and metrics.stat().st_size):
        if select.select([master], [], [], 0.2)[0]:
            os.read(master, 65536)
    os.close(master)
    assert process.wait(timeout=200) == 128 + signal.SIGHUP
    assert len(checkpoints(tmp_path / "out" / "checkpoints")) == 1


def test_the_page_and_all_who_load_name_a_runs_weights(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").touch()
    with pytest.raises(ValueError, match=f"give its weights, '{tmp_path / 'weights'}'"):
        load_generator(tmp_path)


@pytest.mark.parametrize("quiet", [True, False])
def test_the_launcher_does_to_a_sentence_what_the_help_says(quiet, capsys):
    """The last line is the sentence with --quiet, the command of the README; without it the launcher has its say."""
    words = [*(["--quiet"] if quiet else []), ROOT / "train" / "train.py", "--train_data_dir", "/nowhere"]
    result = train(*words, "--output_dir", "/proc/x", command="accelerate.commands.launch")
    sentence = "train.py: --output_dir: '/proc/x' cannot be written (No such file or directory); give another"
    assert result.returncode == 1 and sentence in result.stderr.splitlines()
    assert ("Traceback" not in result.stderr and result.stderr.splitlines()[-1] == sentence) == quiet
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "accelerate launch makes 1 of all but 0, and adds a traceback of its own where --quiet does not" in text
    assert "python train/train.py is the same training without either" in text
    readme = (ROOT / "README.md").read_text()
    assert readme.count("accelerate launch") == readme.count("accelerate launch --quiet")


@pytest.mark.parametrize("processes, code", [(1, -signal.SIGABRT), (2, 3)])
def test_one_of_several_processes_leaves_before_anything_can_abort_it(processes, code):
    # As a thread of gloo may, which outlives the process group, once the interpreter is being taken down.
    script = "import atexit, os; atexit.register(os.abort)\n"
    script += "from train.run.interrupt import leave; print('said', end=''); leave(3)"
    env = ENV | {"WORLD_SIZE": str(processes)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    assert processes == 1 or done.stdout == "said"
