"""Node.js with onnxruntime-web from the npm registry, installed once into .cache/ of this repository; static pages."""

import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "node"
PACKAGE = "onnxruntime-web"


def available() -> bool:
    """Whether there are Node, npm and, installed or in reach, onnxruntime-web."""
    if not (shutil.which("node") and shutil.which("npm")):
        return False
    if (FOLDER / "node_modules" / PACKAGE).is_dir():
        return True
    return subprocess.run(["npm", "view", PACKAGE, "version"], capture_output=True, timeout=60).returncode == 0


def install() -> Path:
    """The node_modules folder that holds onnxruntime-web."""
    if not (FOLDER / "node_modules" / PACKAGE).is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{PACKAGE}@^1.20"]
        subprocess.run([*command, "--prefix", str(FOLDER)], check=True, capture_output=True, timeout=300)
    return FOLDER / "node_modules"


def run(script: Path, *arguments: str) -> str:
    """Run a module in its own folder; what it printed."""
    command = ["node", script.name, *arguments]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Files(SimpleHTTPRequestHandler):
    """Static files, and not a word about them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder as a website, on the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
