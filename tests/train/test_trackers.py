"""--report_to with the real trackers: what they keep, where they keep it, and that they ask nobody."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --mixed_precision no"
PACE = "--log_kimg 0.1 --sample_kimg 10 --checkpointing_kimg 0.1"
SECRETS = {"HF_TOKEN": "hf_tokenofthetest", "WANDB_API_KEY": "0123456789" * 4}
TRACKED = ("loss_d", "loss_g", "accuracy_real", "accuracy_fake", "penalty", "lr")

Log = dict[int, dict[str, float]]


def tensorboard_log(folder: Path) -> Log:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events, log = EventAccumulator(str(folder / "anime-dcgan")).Reload(), {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            log.setdefault(event.step, {})[name] = event.value
    return log


def trackio_log(folder: Path) -> Log:
    def ask(*command: str) -> dict:
        command = [sys.executable, "-m", "trackio.cli", *command, "--project", "anime-dcgan", "--json"]
        environment = os.environ | {"TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1"}
        return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert ask("list", "runs")["runs"] == [folder.name]  # gone on with, not begun anew
    around = ask("get", "snapshot", "--run", folder.name, "--around", "1", "--window", "1000")["metrics"]
    log: Log = {}
    for name, values in around.items():
        for value in values:
            log.setdefault(value["step"], {})[name] = value["value"]
    return log


def wandb_log(folder: Path) -> Log:
    """From the file that `wandb sync` would upload: protobuf records in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    log: Log = {}
    for path in (folder / "wandb").glob("offline-run-*/*.wandb"):
        data, at, whole = path.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if 32768 - at % 32768 < 7:  # the rest of a block too short for a header
                at += 32768 - at % 32768
                continue
            length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
            whole += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # whole, or the last part
                record, whole = Record.FromString(whole), b""
                if record.HasField("history"):
                    items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                    log[items["_step"]] = items
    return log


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for i in range(40):
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((32, 32), Image.BICUBIC).save(folder / f"{i}.png")
    return f"--train_data_dir {folder} --cache_dir {tmp_path_factory.mktemp('cache')} {SMALL} {PACE}".split()


def train(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "train" / "train.py"), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
    )


@pytest.fixture
def proxy():
    """The environment that sends whoever wants out to a door on the loopback interface, and who knocked there."""
    knocks: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def listen() -> None:
            while True:
                try:
                    connection = door.accept()[0]
                except OSError:
                    return
                with connection:
                    knocks.append(connection.recv(1000))

        threading.Thread(target=listen, daemon=True).start()
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        yield (
            {key: address for name in names for key in (name, name.lower())} | {"NO_PROXY": "", "no_proxy": ""},
            knocks,
        )
        door.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "tracker, folder, read, environment",
    [
        ("tensorboard", "anime-dcgan", tensorboard_log, {}),
        ("trackio", "trackio", trackio_log, {"HF_HUB_OFFLINE": "1"}),  # else asks whose HF_TOKEN it is
        ("wandb", "wandb", wandb_log, {"WANDB_MODE": "offline"}),
    ],
)
def test_a_tracker_keeps_what_metrics_jsonl_says(
    options, tmp_path, proxy, tracker: str, folder: str, read: Callable[[Path], Log], environment: dict[str, str]
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    through, knocks = proxy
    environment = {"HOME": str(tmp_path / "home")} | SECRETS | through | environment
    arguments = [*options, "--report_to", tracker, "--output_dir", "../out", "--resume_from_checkpoint", "latest"]
    outputs = ""
    for kimg, way in ((0.104, train), (0.2, commands.run)):  # the second goes on after the first
        result = way(*arguments, "--max_train_kimg", kimg, cwd=tmp_path / "elsewhere", **environment)
        assert result.returncode == 0, result.stderr
        outputs += result.stdout + result.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").open()]
    log = read(tmp_path / "out")
    assert [round(line["kimg"] * 1000) for line in lines] == sorted(log) == [104, 200]
    for line in lines:
        for name in TRACKED:
            assert log[round(line["kimg"] * 1000)][name] == pytest.approx(line[name], rel=1e-5)
    assert (tmp_path / "out" / folder).is_dir() and not list((tmp_path / "elsewhere").iterdir())
    assert not knocks  # nobody asked for anything outside
    kept = outputs.encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(secret.encode() in kept for secret in SECRETS.values())


def test_a_tracker_that_does_not_start_is_named(options, tmp_path):
    result = commands.run(*options, "--report_to", "wandb", "--output_dir", tmp_path, cwd=tmp_path, HOME=str(tmp_path))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("train.py: --report_to: wandb does not start (") and "WANDB_MODE=offline" in sentence
