"""What takes long to make and serves several test files: a browser, and the weights exported to ONNX."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Not ignored, as under nohup and behind "&" of a script: tests send these, and what ignores them trains on for hours.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SLOW = (
    *("page/test_browser", "train/test_train", "page/test_gate", "page/test_app", "page/test_addresses"),
    *("page/test_crowd", "train/test_endurance", "train/test_trial", "release/test_onnx", "release/test_publish"),
    *("train/test_directions", "release/test_readme", "train/test_evaluate", "train/test_trackers"),
    *("model/test_types", "release/test_space"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first, lest one core wait at the end for such a one that began last."""
    place = {name: i for i, name in enumerate(SLOW)}
    items.sort(key=lambda item: place.get(f"{item.path.parent.name}/{item.path.stem}", len(SLOW)))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; take a page or a context of your own and close it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def shared(tmp_path_factory, name: str) -> Path:
    """A folder for all tests, in whichever process they run."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / name
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def faces_cache(tmp_path_factory) -> Path:
    """Where the real faces are decoded to, once for all tests."""
    return shared(tmp_path_factory, "faces-cache")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """The weights of this repository with their ONNX files, by the command that users type; copy it to change it."""
    folder = shared(tmp_path_factory, "exported") / "weights"
    with FileLock(folder.with_name("lock")):
        if not folder.exists():
            export(tmp_path_factory.mktemp("export") / "weights").rename(folder)
    return folder


def export(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ROOT / "weights" / name, folder)
    command = [sys.executable, "-m", "train.to_onnx", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{folder / 'onnx' / 'model.onnx'}: differs from PyTorch by at most ")
    return folder
