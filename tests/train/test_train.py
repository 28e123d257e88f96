"""Training as people run it: the real command, interrupted, resumed, on several processes, and with mistakes."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run, start
from hub_server import Hub
from PIL import Image
from safetensors.torch import load_file

from model import Generator, image_grid
from model.directions import weights_digest
from train.config import PRESETS, TrainConfig
from train.output.made_from import made_from
from train.train import main

ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT.parent / "shared" / "data" / "anime-faces.zip"
SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --log_kimg 0.1"
PACE = "--sample_kimg 0.1 --checkpointing_kimg 0.1 --max_train_kimg 0.4"
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """120 smooth random pictures, in folders."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for i in range(120):
        (folder / f"{i % 3}").mkdir(exist_ok=True)
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((40, 40), Image.BICUBIC).save(folder / f"{i % 3}" / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def options(faces, tmp_path_factory) -> list[str]:
    return f"--train_data_dir {faces} --cache_dir {tmp_path_factory.mktemp('cache')} {SMALL} {PACE}".split()


def launch(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """By the command of the README."""
    command = [*LAUNCH, str(ROOT / "train" / "train.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory) -> Path:
    """A whole undisturbed run by `accelerate launch`, from another directory."""
    folder = tmp_path_factory.mktemp("finished")
    result = launch(*options, "--output_dir", "out", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "done: 0.4 kimg" in result.stdout
    return folder / "out"


def test_a_run_leaves_everything(finished):
    weights = finished / "weights"
    names = {"model.safetensors", "discriminator.safetensors", "config.json", "training.json", "README.md"}
    pictures = {"samples.png", "losses.png", "progress.webp", "interpolation.png"}
    assert {p.name for p in weights.iterdir()} == names | pictures
    tied = {
        name: made_from(weights / name)
        for name in (names | pictures) - {"model.safetensors", "config.json", "README.md"}
    }
    assert set(tied.values()) == {weights_digest(weights)}, tied
    assert Image.open(weights / "interpolation.png").size == (11 * 32, 32)
    assert 2 <= Image.open(weights / "progress.webp").n_frames <= 5  # before training and four grids; equal ones join
    assert Image.open(finished / "reals.png").size == Image.open(finished / "fakes_init.png").size == (256, 256)
    assert [int(p.stem) for p in sorted((finished / "samples").iterdir())] == [104, 200, 304, 400]
    assert [p.name for p in (finished / "checkpoints").iterdir() if p.name.startswith(".")] == []
    assert len(list((finished / "checkpoints").iterdir())) == TrainConfig().checkpoints_total_limit
    grid = image_grid(Generator.from_pretrained(weights).generate(range(64)))
    assert grid.tobytes() == Image.open(weights / "samples.png").tobytes()
    record = json.loads((weights / "training.json").read_text())
    assert record["kimg"] == 0.4 and record["dataset"]["images"] == 120 and record["img_per_s"] > 0
    assert str(finished) not in (weights / "training.json").read_text()


def test_metrics_are_whole_and_finite(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["kimg"] for line in lines] == [0.104, 0.2, 0.304, 0.4]
    for line in lines:
        assert all(np.isfinite(value) for value in line.values())
        assert 0 <= line["accuracy_real"] <= 1 and 0 <= line["accuracy_fake"] <= 1 and line["penalty"] > 0
    assert lines[-1]["lr"] < lines[0]["lr"]


def interrupt(arguments: list[str], folder: Path, signum: signal.Signals) -> tuple[int, str]:
    """Launch a run into a folder, interrupt it as it begins to train; the exit status of the launcher, and the log."""
    folder.mkdir()
    log = (folder / "log").open("w+")
    command = [*LAUNCH, str(ROOT / "train" / "train.py"), *arguments, "--output_dir", str(folder)]
    launcher = subprocess.Popen(command, env=ENV, stdout=log, stderr=log, start_new_session=True)
    deadline = time.time() + 120
    while not (folder / "fakes_init.png").is_file():
        assert time.time() < deadline and launcher.poll() is None
        time.sleep(0.01)
    if signum == signal.SIGINT:
        os.killpg(launcher.pid, signum)  # as a terminal does
    else:
        launcher.send_signal(signum)  # the launcher alone, as a scheduler may: its child must notice
    status = launcher.wait(60)
    while not re.search("^(done: |interrupted )|: interrupted ", said := (folder / "log").read_text(), re.MULTILINE):
        assert time.time() < deadline, said
        time.sleep(0.1)
    return status, said


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_and_resumed_equals_undisturbed(finished, options, tmp_path, signum):
    for attempt in range(10):  # a run of a second may be over before the signal reaches it, or not begun
        folder = tmp_path / str(attempt)
        status, log = interrupt(options, folder, signum)
        if "interrupted at" in log:
            break
    assert status != 0 and "interrupted at" in log
    assert ("Traceback" in log) == (signum == signal.SIGINT)  # the launcher's own, as --help says
    assert not (folder / "weights" / "samples.png").exists()  # it did stop early
    assert (folder / "weights" / "model.safetensors").exists()
    result = run(*options, "--output_dir", str(folder), "--resume_from_checkpoint", "latest")
    assert result.returncode == 0, result.stderr
    ours, theirs = (load_file(f / "weights" / "model.safetensors") for f in (folder, finished))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert (folder / "weights/samples.png").read_bytes() == (finished / "weights/samples.png").read_bytes()


def test_killed_and_resumed_equals_undisturbed(finished, options, tmp_path):
    arguments = [*options, "--output_dir", str(tmp_path)]
    process = start(*arguments)
    deadline = time.time() + 120
    while not list((tmp_path / "checkpoints").glob("images-*")):
        assert time.time() < deadline and process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    result = run(*arguments, "--resume_from_checkpoint", "latest")
    assert result.returncode == 0, result.stderr
    ours, theirs = (load_file(f / "weights" / "model.safetensors") for f in (tmp_path, finished))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    kimgs = [json.loads(line)["kimg"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert kimgs == [0.104, 0.2, 0.304, 0.4]


def test_two_processes_stay_equal(options, tmp_path):
    # `accelerate launch` starts several CPU processes through mpirun only; torchrun needs nothing more.
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        ROOT / "tests" / "support" / "ranks.py",
    ]
    arguments = [*options, "--output_dir", str(tmp_path), "--mixed_precision", "no"]
    result = subprocess.run(
        [*command, *arguments], env=ENV | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    report = next(json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
    assert report.pop("losses") and report == {
        "processes": 2, "steps": 25, "equal_parameters": True, "different_z": 1.0, "different_images": 1.0
    }  # fmt: skip
    assert len(list((tmp_path / "checkpoints").glob("images-*"))) == 2
    resumed = run(*options, "--output_dir", tmp_path, "--max_train_kimg", 0.44, "--resume_from_checkpoint", "latest")
    assert "0.4 to 0.44 kimg" in resumed.stdout and resumed.returncode == 0, resumed.stderr  # on one process now


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_losses_train(options, tmp_path, preset):
    extra = ["--preset", preset, "--output_dir", str(tmp_path), "--max_train_kimg", "0.032"]
    if preset == "fast":
        extra += ["--loss", "hinge", "--d_norm", "spectral", "--gradient_accumulation_steps", "2"]
        extra += ["--augment", "color,translation,blur", "--augment_p", "0.5", "--negative_part", "0.25"]
        extra += ["--report_to", "tensorboard", "--mixed_precision", "bf16"]
    result = run(*options, *extra)
    assert result.returncode == 0, result.stderr
    assert Generator.from_pretrained(tmp_path / "weights").latent_dim == 8
    assert bool(list(tmp_path.rglob("events.out.tfevents*"))) == (preset == "fast")


def test_a_second_run_does_not_overwrite_the_first(finished, options, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert main([*options, "--output_dir", str(finished)]) == 2
    assert "--resume_from_checkpoint latest" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_fine_tuning_starts_from_the_given_networks(finished, options, tmp_path):
    weights = finished / "weights"
    extra = ["--init_from", str(weights), "--output_dir", str(tmp_path), "--max_train_kimg", "0.008"]
    result = run(*options, *extra, "--learning_rate", "0")
    assert result.returncode == 0, result.stderr
    assert f"generator and discriminator of '{weights}'" in result.stdout
    for name in ("model", "discriminator"):
        ours, theirs = (load_file(f / "weights" / f"{name}.safetensors") for f in (tmp_path, finished))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[n], theirs[n]) for n in theirs if "weight" in n or name == "discriminator")


def test_fine_tuning_of_grown_networks_asks_for_no_option_of_them_nor_does_going_on(options, tmp_path):
    grown = ["--mapping_layers", "1", "--g_blocks", "1", "--g_mirror", "--g_fine", "--d_mirror", "--d_hidden", "4"]
    first = run(*options, *grown, "--output_dir", tmp_path / "first", "--max_train_kimg", "0.008")
    assert first.returncode == 0, first.stderr
    again = [*options, "--init_from", tmp_path / "first" / "weights", "--output_dir", tmp_path / "second"]
    for more in (["--max_train_kimg", "0.016"], ["--max_train_kimg", "0.024", "--resume_from_checkpoint", "latest"]):
        result = run(*again, *more)
        assert result.returncode == 0, result.stderr
    names = [load_file(tmp_path / run / "weights" / "model.safetensors").keys() for run in ("first", "second")]
    assert names[0] == names[1]


@pytest.mark.parametrize("spoilt", ["missing", "damaged", "of another shape"])
def test_fine_tuning_without_a_fitting_discriminator_says_so(finished, options, tmp_path, spoilt):
    weights = shutil.copytree(finished / "weights", tmp_path / "weights")
    file, extra = weights / "discriminator.safetensors", []
    if spoilt == "missing":
        file.unlink()
        reason = f"'{weights}' has no discriminator.safetensors"
    elif spoilt == "damaged":
        file.write_bytes(file.read_bytes()[:-1])
        reason = "discriminator.safetensors is damaged"
    else:
        extra, reason = ["--d_channels", "5"], "discriminator.safetensors does not fit the options"
    extra += ["--init_from", str(weights), "--output_dir", str(tmp_path / "out"), "--max_train_kimg", "0.008"]
    result = run(*options, *extra)
    assert result.returncode == 0, result.stderr
    assert f"generator of '{weights}' and a new discriminator ({reason}" in result.stdout
    assert (tmp_path / "out" / "weights" / "discriminator.safetensors").is_file()


def test_not_finite_stops_and_keeps_the_last_good_checkpoint(finished, options, tmp_path):
    first = run(*options, "--output_dir", tmp_path, "--max_train_kimg", "0.104")
    assert first.returncode == 0, first.stderr
    kept = load_file(tmp_path / "checkpoints" / "images-000000000104" / "model.safetensors")
    result = run(*options, "--output_dir", tmp_path, "--resume_from_checkpoint", "latest", "--penalty_gamma", "1e40")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "is not finite" in result.stderr and "images-000000000104" in result.stderr
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["images-000000000104"]
    assert all(value.isfinite().all() for value in kept.values())


@pytest.mark.parametrize("sample_kimg, written", [("10", "images-000000000104 is kept"), ("0.1", "can no longer be")])
def test_a_full_disk_keeps_the_checkpoint_before(options, tmp_path, sample_kimg, written):
    first = run(*options, "--output_dir", tmp_path, "--max_train_kimg", "0.104")
    assert first.returncode == 0, first.stderr

    arguments = [*options, "--output_dir", tmp_path, "--resume_from_checkpoint", "latest"]
    result = run(*arguments, "--sample_kimg", sample_kimg, file_size=12_000)  # as a full disk: a larger write fails
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert written in result.stderr and "--resume_from_checkpoint latest" in result.stderr
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["images-000000000104"]
    assert not list(tmp_path.rglob(".*"))  # nothing half-written
    again = run(*arguments)
    assert again.returncode == 0, again.stderr


def test_a_run_publishes_itself_or_says_so_before_it_starts(options, tmp_path):
    with Hub() as hub:
        online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        online |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
        arguments = [*options, "--max_train_kimg", "0.016", "--push_to_hub", "--hub_model_id", "me/faces"]
        command = [sys.executable, ROOT / "train" / "train.py", *arguments, "--output_dir"]
        good, wrong = (
            subprocess.run(
                [*command, tmp_path / token], env=ENV | online | {"HF_TOKEN": token}, capture_output=True, text=True
            )
            for token in ("hf_me", "hf_wrong")
        )
        assert good.returncode == 0 and "published: " in good.stdout, good.stderr
        files = hub.repos["me/faces"].files()
        assert files["model.safetensors"] == (tmp_path / "hf_me" / "weights" / "model.safetensors").read_bytes()
        assert b'"hub_model_id"' in files["training.json"] and str(tmp_path).encode() not in files["training.json"]
        assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
        assert "HF_TOKEN" in wrong.stderr and "hf_wrong" not in wrong.stderr + wrong.stdout
        assert not (tmp_path / "hf_wrong" / "metrics.jsonl").exists()


def test_the_best_generator_is_kept_over_a_resume(options, tmp_path):
    class Mean(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x.float() / 255, 2).flatten(1)

    torch.jit.script(Mean()).save(str(tmp_path / "features.pt"))
    arguments = [*options, "--output_dir", tmp_path / "out", "--feature_extractor", tmp_path / "features.pt"]
    arguments += ["--metric_kimg", "0.1", "--metric_samples", "200", "--learning_rate", "0.01"]
    for limit in ("0.2", "0.4"):
        result = run(*arguments, "--max_train_kimg", limit, "--resume_from_checkpoint", "latest")
        assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "quality.jsonl").read_text().splitlines()]
    assert [line["kimg"] for line in lines] == [0.104, 0.2, 0.304, 0.4]
    best = min(lines, key=lambda line: line["kid"])
    weights = tmp_path / "out" / "weights"
    assert json.loads((weights / "metrics.json").read_text()) == best | {"weights": weights_digest(weights)}
    assert json.loads((weights / "training.json").read_text())["kimg"] == best["kimg"]
    for name in ("model.safetensors", "discriminator.safetensors"):
        assert (weights / name).read_bytes() == (tmp_path / "out" / "best" / name).read_bytes()
    grid = image_grid(Generator.from_pretrained(weights).generate(range(64)))
    assert grid.tobytes() == Image.open(weights / "samples.png").tobytes()
    assert f"{best['num_samples']:,} drawn faces" in (weights / "README.md").read_text()


def test_dry_run_prints_the_plan_and_writes_nothing(options, tmp_path):
    result = run(*options, "--output_dir", tmp_path / "new", "--dry_run")
    assert result.returncode == 0 and not (tmp_path / "new").exists()
    for part in ("120 pictures", "M (generator)", "precision", "0 to 0.4 kimg"):
        assert part in result.stdout


def error_of(arguments: list, capsys) -> str:
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "extra, sentence",
    [
        (["--train_data_dir", "nowhere"], "--train_data_dir"),
        (["--train_batch_size", "1"], "--train_batch_size: 1 is not at least 2"),
        (["--train_batch_size", "121"], "--train_batch_size"),
        (["--learning_rate", "nan"], "--learning_rate: nan is not a number that can be worked with"),
        (["--loss", "mse"], "argument --loss"),
        (["--augment", "rotate"], "--augment: 'rotate' is not one of"),
        (["--resolution", "63"], "argument --resolution"),
        (["--unknown", "1"], "--unknown"),
        (["--feature_extractor", "nowhere.pt"], "--feature_extractor: 'nowhere.pt' cannot be read"),
        (["--push_to_hub"], "--hub_model_id"),
        (["--resume_from_checkpoint", "images-7"], "--resume_from_checkpoint: no checkpoint in 'images-7'"),
        (["--init_from", "nowhere/at-all"], "--init_from"),
        (["--dataset_name", "a/b"], "--train_data_dir"),
        (["--output_dir", "/proc/nothing"], "--output_dir"),
    ],
)
def test_mistakes_get_one_sentence(options, tmp_path, capsys, monkeypatch, extra, sentence):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # nobody waits for a Hub
    assert sentence in error_of([*options, "--output_dir", tmp_path / "out", *extra], capsys)


@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_a_page_that_fits_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    page = capsys.readouterr().out
    assert stop.value.code == 0 and max(map(len, page.splitlines())) <= columns
    options = [line.split()[0].rstrip(",") for line in page.splitlines() if line.startswith("  --")]
    assert options == [f"--{field.name}" for field in dataclasses.fields(TrainConfig)]
    headings = [line for line in page.splitlines() if line and not line.startswith(" ") and line.endswith(":")]
    assert headings == [
        *("options:", "Recipe:", "Data:", "Output:", "Quality:", "Networks:", "Loss:", "Training:", "Speed:", "Hub:"),
        *("examples:", "files in --output_dir:", "keys in metrics.jsonl:", "environment:"),
    ]


def test_a_tracker_that_is_not_installed(options, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as Python marks what cannot be imported
    assert "--report_to: wandb is not installed; pip install wandb" in error_of(
        [*options, "--report_to", "wandb"], capsys
    )


def test_an_empty_folder_gets_a_sentence(options, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    error = error_of([*options, "--output_dir", tmp_path / "out", "--train_data_dir", tmp_path / "empty"], capsys)
    assert "no images in" in error and ".webp" in error


def test_another_architecture_is_not_resumed(finished, options, capsys):
    arguments = [*options, "--output_dir", finished, "--resume_from_checkpoint", "latest", "--g_channels", "8"]
    assert "trained with --g_channels 4, not 8" in error_of(arguments, capsys)


def test_latest_without_a_checkpoint_starts_anew(options, tmp_path):
    arguments = [*options, "--output_dir", tmp_path, "--max_train_kimg", "0.008", "--resume_from_checkpoint", "latest"]
    result = run(*arguments)
    assert result.returncode == 0 and "a new training starts" in result.stdout, result.stderr


def test_schedule_and_penalty_interval():
    config = TrainConfig(lr_warmup_kimg=1, max_train_kimg=10, lr_final=0.1, learning_rate=1e-3)
    assert config.schedule(0) == 0 and config.schedule(500) < 0.5
    assert config.schedule(5000) == pytest.approx(0.55) and config.schedule(10_000) == pytest.approx(0.1)
    assert TrainConfig(lr_schedule="constant").schedule(10**9) == 1
    assert (
        TrainConfig(d_learning_rate=0.0).discriminator_rate == 0.0
        and TrainConfig().discriminator_rate == TrainConfig().learning_rate
    )


@pytest.mark.skipif(not FACES.is_file(), reason=f"the training faces are not there: {FACES}")
def test_real_faces_train_at_the_released_size(tmp_path, faces_cache):
    arguments = ["--train_data_dir", FACES, "--cache_dir", faces_cache, "--output_dir", tmp_path / "out"]
    result = launch(*arguments, "--max_train_kimg", "0.256")
    assert result.returncode == 0, result.stderr
    assert "21551 pictures" in result.stdout
    assert Generator.from_pretrained(tmp_path / "out" / "weights").image_size == 64
