"""Training that is killed, spread over processes, short of memory, given broken files, or that goes astray."""

import io
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from commands import ENV, ROOT, start
from commands import run as train
from PIL import Image
from safetensors.torch import load_file

from train.data.dataset import prepare
from train.errors import UserError

TINY = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --log_kimg 0.1 --sample_kimg 100 --no-dry_run"
KILLS = int(os.environ.get("KILLS", 3))  # KILLS=30 python -m pytest tests/train/test_endurance.py -k kills


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    """Options of a tiny training on 240 smooth random pictures, decoded once."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for i in range(240):
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((32, 32), Image.BICUBIC).save(folder / f"{i}.png")
    cache = tmp_path_factory.mktemp("cache")
    prepare(folder, resolution=32, cache_dir=cache)
    return f"--train_data_dir {folder} --cache_dir {cache} {TINY}".split()


def torchrun(processes: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        processes,
        ROOT / "tests/support/ranks.py",
    ]
    command = list(map(str, [*command, *arguments, "--mixed_precision", "no"]))
    return subprocess.run(command, env=ENV | environment, capture_output=True, text=True, timeout=300)


def ranks(processes: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """The same by processes that are forked, as nothing here needs torchrun's watch over them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    words = [*arguments, "--mixed_precision", "no"]
    others = [
        start(*words, command="ranks", RANK=str(i), LOCAL_RANK=str(i), **environment) for i in range(1, processes)
    ]
    first = train(*words, command="ranks", RANK="0", LOCAL_RANK="0", **environment)
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    return first


def report_of(result: subprocess.CompletedProcess) -> dict:
    assert result.returncode == 0, result.stderr
    return next(json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))


def test_kills_at_random_moments_change_nothing(options, tmp_path):
    pace = ["--train_batch_size", 4, "--checkpointing_kimg", 0.04, "--max_train_kimg", 0.2 + 0.12 * KILLS]
    pace += ["--sample_kimg", 0.1]
    plain = train(*options, *pace, "--output_dir", tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    arguments = [*options, *map(str, pace), "--output_dir", str(tmp_path / "killed")]
    states, moments, resumed = tmp_path / "killed" / "checkpoints", random.Random(0), set()
    for _ in range(KILLS):
        before = set(states.glob("images-*"))
        process = start(*arguments, "--resume_from_checkpoint", "latest")
        deadline = time.time() + 120
        while process.is_alive() and set(states.glob("images-*")) <= before:  # each start gets somewhere,
            assert time.time() < deadline
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))  # then dies anywhere: in a step, a checkpoint, a grid, a line
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        resumed.add(max(states.glob("images-*")).name)
    assert len(resumed) == KILLS
    last = train(*arguments, "--resume_from_checkpoint", "latest")
    assert last.returncode == 0, last.stderr
    for name in ("weights/model.safetensors", "weights/samples.png"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    newest = f"checkpoints/{max(states.glob('images-*')).name}"
    for name in ("model.safetensors", "model_1.safetensors"):  # G and D
        ours, theirs = (load_file(tmp_path / run / newest / name) for run in ("killed", "plain"))
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert not list(states.glob(".*")) and not list((tmp_path / "killed").glob(".*"))
    lines = [[json.loads(line) for line in (tmp_path / run / "metrics.jsonl").open()] for run in ("killed", "plain")]
    timings = ("hours", "img_per_s")
    ours, theirs = ([{k: v for k, v in line.items() if k not in timings} for line in run] for run in lines)
    assert ours == theirs


def test_four_processes_draw_their_own_and_stay_equal(options, tmp_path):
    pace = ["--train_batch_size", 4, "--max_train_kimg", 0.8, "--output_dir", tmp_path]
    report = report_of(ranks(4, *options, *pace))
    assert report.pop("losses") and report == {
        "processes": 4, "steps": 50, "equal_parameters": True, "different_z": 1.0, "different_images": 1.0
    }  # fmt: skip


def test_four_processes_learn_what_one_does(options, tmp_path):
    # What looks at a whole batch is out: BatchNorm and the minibatch deviation are each process's own.
    shared = [*options, "--no-minibatch_std", "--max_train_kimg", 0.8, "--mixed_precision", "no"]
    split, whole = (
        np.array(
            report_of(
                ranks(n, *shared, "--train_batch_size", 16 // n, "--output_dir", tmp_path / f"{n}", NO_BATCH_NORM="1")
            )["losses"]
        )
        for n in (4, 1)
    )
    assert split.shape == whole.shape == (50, 2) and np.ptp(whole[:, 0]) > 0.01  # it does learn
    difference = np.abs(split - whole).max()
    assert difference < 1e-4


def test_a_dead_process_ends_the_others(options, tmp_path):
    pace = ["--train_batch_size", 4, "--max_train_kimg", 100, "--output_dir", tmp_path]
    start = time.time()
    result = torchrun(2, *options, *pace, DIE_AT_STEP="20")
    assert time.time() - start < 60 and result.returncode != 0
    sentence = next(line for line in result.stderr.splitlines() if line.startswith("train.py: "))
    assert "process 0 stops" in sentence and "--resume_from_checkpoint latest" in sentence
    assert "trainer.py" not in result.stderr  # no traceback


LIMITED = """
import os
import resource
from train.config import parse_args
from train.run import setup

config, load = parse_args(None, ""), setup.load_data

def limited(config):
    with open("/proc/self/status") as file:
        used = next(int(line.split()[1]) for line in file if line.startswith("VmData:")) * 1024
    # Memory of its own, not the pages of mapped files, which the system takes back when it needs them.
    resource.setrlimit(resource.RLIMIT_DATA, (used + int(os.environ["LIMIT"]),) * 2)
    return load(config)

setup.load_data = limited
trainer = setup.set_up(config)
assert trainer.run() == 0
try:
    trainer.data.images.copy()
except MemoryError:
    print("trained", trainer.progress.seen, "of", len(trainer.data), "images that do not fit into memory")
"""


def test_a_cache_beyond_the_memory_limit_trains(tmp_path):
    count, limit = 265_000, 256 << 20
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(picture(0))
    found = prepare(tmp_path / "data", resolution=32, cache_dir=tmp_path / "cache")
    stem = tmp_path / "cache" / f"{found.fingerprint}-32"
    images = np.lib.format.open_memmap(stem.with_suffix(".npy"), "w+", np.uint8, (count, 32, 32, 3))
    assert images.nbytes >= 3 * limit
    images[::100] = np.random.default_rng(0).integers(0, 256, (count // 100, 32, 32, 3), dtype=np.uint8)
    images.flush()
    stem.with_suffix(".json").write_text(json.dumps({"found": count, "duplicates": [], "unreadable": []}))
    arguments = ["--train_data_dir", tmp_path / "data", "--cache_dir", tmp_path / "cache", *TINY.split()]
    arguments += ["--max_train_kimg", 8, "--log_kimg", 1, "--train_batch_size", 100, "--output_dir", tmp_path / "out"]
    command = [sys.executable, "-c", LIMITED, *map(str, arguments)]
    result = subprocess.run(command, env=ENV | {"LIMIT": str(limit)}, capture_output=True, text=True, timeout=300)
    assert f"trained 8000 of {count} images that do not fit into memory" in result.stdout, result.stderr


def test_a_discriminator_that_wins_is_told_once(options, tmp_path):
    arguments = [*options, "--output_dir", tmp_path, "--warn_kimg", 0.4, "--max_train_kimg", 1.6, "--loss", "bce"]
    arguments += ["--train_batch_size", 8, "--learning_rate", 1e-9, "--d_learning_rate", 2e-3, "--augment", "none"]
    arguments += ["--penalty_gamma", 0, "--warn_diversity", 0]
    result = train(*arguments)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    warned = [(line["kimg"], kind) for line in lines for kind in line.get("warnings", ())]
    assert [kind for _, kind in warned] == ["accuracy"]
    assert result.stdout.count("warning at") == 1 and "raise --penalty_gamma" in result.stdout
    start = next(i for i, line in enumerate(lines) if min(line["accuracy_real"], line["accuracy_fake"]) > 0.99)
    assert warned[0][0] >= lines[start]["kimg"] + 0.3
    (tmp_path / "weights").rename(tmp_path / "first")
    again = train(*arguments, "--max_train_kimg", 1.8, "--resume_from_checkpoint", "latest")
    assert again.returncode == 0 and "warning at" not in again.stdout, again.stderr  # not after a resume either


def test_samples_that_look_alike_are_told_once(options, tmp_path):
    arguments = [*options, "--output_dir", tmp_path, "--warn_kimg", 0.2, "--max_train_kimg", 0.8, "--sample_kimg", 0.2]
    result = train(*arguments, "--train_batch_size", 8, "--learning_rate", 0)  # orthogonal weights draw plain grey
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [line["kimg"] for line in lines if "diversity" in line] == [0.2, 0.4, 0.6, 0.8]
    assert [kind for line in lines for kind in line.get("warnings", ())] == ["diversity"]
    assert result.stdout.count("warning at") == 1 and "lower --learning_rate" in result.stdout


def test_the_benchmark_compares_the_loops(options):
    arguments = [*options[:4], "--resolution", "32", "--train_batch_size", "8", "--steps", "1", "--rounds", "1"]
    arguments += ["--mixed_precision", "bf16"]
    result = train(*arguments, "--workers", "1", "--cold", command="train.benchmark")
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: float(line.split()[1]) for line in result.stdout.splitlines() if line.count(".") == 3}
    loops = {"ours", "float32", "plain", "bound", "cold"} | ({"library"} if not torch.cuda.is_available() else set())
    assert rows.keys() == loops and min(rows.values()) > 0
    ratio = float(result.stdout.split("ours is ")[1].split()[0])
    assert ratio == pytest.approx(rows["plain"] / rows["ours"], abs=0.02)
    slowed = float(result.stdout.split("runs at ")[1].split()[0])
    assert slowed == pytest.approx(rows["ours"] / rows["cold"], abs=0.02)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, repeated or taken out at random places."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            del changed[at : at + rng.randint(1, 64)]
        elif kind == 2:
            changed[at:at] = changed[at : at + rng.randint(1, 64)]
        elif len(changed) > 200:
            del changed[rng.randrange(100, len(changed)) :]
    return bytes(changed)


def picture(i: int) -> bytes:
    file, rng = io.BytesIO(), np.random.default_rng(i)
    image = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    image.save(file, ("PNG", "JPEG", "WEBP", "BMP")[i % 4])
    return file.getvalue()


def test_mutated_images_are_skipped_and_named(tmp_path):
    rng = random.Random(0)
    for i in range(200):
        (tmp_path / f"data{i % 4}").mkdir(exist_ok=True)
        (tmp_path / f"data{i % 4}" / f"{i:03d}{('.png', '.jpg', '.webp', '.bmp')[i % 4]}").write_bytes(
            mutated(picture(i), rng)
        )
    skipped = 0
    for kind in range(4):
        (tmp_path / f"data{kind}" / "good.png").write_bytes(picture(1000))
        found = prepare(tmp_path / f"data{kind}", resolution=32, cache_dir=tmp_path / "cache")
        assert found.found == 51 and len(found) + found.duplicates + len(found.unreadable) == 51
        assert found.images.shape[1:] == (32, 32, 3) and all(reason for _, reason in found.unreadable)
        skipped += len(found.unreadable)
    assert 20 < skipped < 200
    assert {p.suffix for p in (tmp_path / "cache").iterdir()} == {".npy", ".json"}
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "data0", "data1", "data2", "data3"}


def test_mutated_zips_are_read_or_refused_with_a_sentence(tmp_path):
    rng, refused, opened = random.Random(1), 0, 0
    for i in range(50):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED) as archive:
            for j in range(6):
                archive.writestr(("../" * (j == 5)) + f"{j}.png", picture(4 * j))
        (tmp_path / f"{i}.zip").write_bytes(mutated(file.getvalue(), rng))
        try:
            found = prepare(tmp_path / f"{i}.zip", resolution=32, cache_dir=tmp_path / "cache")
        except UserError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
        else:
            assert len(found) + found.duplicates + len(found.unreadable) == found.found
            opened += 1
    assert refused > 5 and opened > 5
    assert {p.name for p in tmp_path.iterdir()} == {"cache", *(f"{i}.zip" for i in range(50))}
    assert not [p for p in (tmp_path / "cache").iterdir() if p.suffix not in (".npy", ".json")]


FAULTS = """
import resource, torch
from train.run.hardware import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**22)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults()
keep_memory(torch.device("cpu"))
faults()
print(fresh, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another library's malloc")
def test_the_memory_of_a_tensor_serves_the_next_one():
    env = {name: value for name, value in ENV.items() if name != "LD_PRELOAD"}
    done = subprocess.run([sys.executable, "-c", FAULTS], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    fresh, kept = map(int, done.stdout.split())
    assert kept < 100 < fresh
