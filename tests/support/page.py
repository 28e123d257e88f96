"""Starts the page as people do, ``python app.py`` on a free port, asks it, and stops it again."""

import http.client
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("MODEL_ID", "MODEL_REVISION", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN", "SPACE_ID", "SYSTEM")


def ask(
    url: str, method: str, path: str, body: bytes | None = None, timeout: float = 30, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request with a path sent as it is; what comes in events is read to its end."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class Page:
    """``with Page(folder, MODEL_ID=...) as page:`` serves at ``page.url``; ``page.log()`` is what it has printed."""

    def __init__(self, folder: Path, app: Path = ROOT / "app.py", **variables: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.app = app
        self.url = f"http://127.0.0.1:{port}"
        self.file = folder / "page.log"
        inherited = {key: value for key, value in os.environ.items() if key not in OURS}
        own = {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": str(folder / "cache"),
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.environment = inherited | own | variables

    def __enter__(self) -> "Page":
        with self.file.open("w") as log:
            # From another directory, so that nothing depends on where the command is typed.
            self.process = subprocess.Popen(
                [sys.executable, str(self.app)],
                cwd=self.file.parent,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started = time.monotonic()
        while time.monotonic() < started + 120:
            assert self.process.poll() is None, f"the page ended:\n{self.log()}"
            try:
                with urllib.request.urlopen(self.url, timeout=10):
                    return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise AssertionError(f"the page does not answer:\n{self.log()}")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self.file.read_text()
