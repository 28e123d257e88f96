"""Pages on the Hugging Face Hub: app.py as a Space pinned to the commit of its model, and one that needs no server."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import RepoCard

from train.errors import UserError
from train.output.made_from import strangers
from train.release.hub import Repository, can_read
from train.release.model_repo import HUB_FILES, ROOT, SCRIPTS

PAGE = ("README.md", "LICENSE", "app.py", "requirements.txt")
FOLDERS = {"model": "*.py", "model/page": "*", "model/page/layout": "*.py"}
# What a page needs of a model.
MODEL_FILES = ("config.json", "model.safetensors", "directions.safetensors", "faces.safetensors")
README_PICTURES = ("samples.png", "interpolation.png")
EYE = "discriminator.safetensors"  # by which a page finds the face of a picture, whichever model draws it
VARIABLES = ("MODEL_ID", "MODEL_REVISION")
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
STATIC_MODEL = "onnx/model_fp16.onnx"  # half the download
NPM_SECONDS = 300
MESSAGE = "Upload the page"


def check_page() -> None:
    """Make sure that this repository holds a page which a Space can start; UserError if not."""
    for name in PAGE:
        if not (ROOT / name).is_file():
            raise UserError("--space", f"no {name} in '{ROOT}'; run this in a clone of the repository")
    if RepoCard.load(ROOT / "README.md", ignore_metadata_errors=True).data.get("sdk") != "gradio":
        sentence = "README.md has no 'sdk: gradio' in its front matter, without which no Space starts"
        raise UserError("--space", sentence)


def space_files(folder: Path) -> dict[str, Path]:
    """What the Space consists of: names there, and the files here.

    Its first model, which draws where the Hub does not answer, is that of ``folder``; the others are this repository's.
    """
    files = {name: ROOT / name for name in PAGE}
    for name, pattern in FOLDERS.items():
        files |= {f"{name}/{path.name}": path for path in sorted((ROOT / name).glob(pattern)) if path.is_file()}
    models = {f"weights/{path.parent.name}": path.parent for path in sorted(ROOT.glob("weights/*/config.json"))}
    sources = {f"weights/{name}": folder / name for name in (*MODEL_FILES, *README_PICTURES, EYE)}
    for name in strangers(folder):
        sources.pop(f"weights/{name}", None)
    sources |= {f"{place}/{name}": source / name for place, source in models.items() for name in MODEL_FILES}
    return files | {name: path for name, path in sources.items() if path.is_file()}


class Pin(NamedTuple):
    """A model on the Hub: its id, a 40-hex commit, and whether it is private."""

    id: str
    commit: str
    private: bool = False


def space_readme(folder: Path, model: Pin | None) -> bytes:
    """README.md of the repository; its front matter asks for the files of a public ``model`` beforehand.

    A private one is loaded at the start: secrets are known to the page, not to what fetches files beforehand.
    """
    card = RepoCard.load(ROOT / "README.md")
    if model and not model.private:
        names = ",".join(name for name in MODEL_FILES if (folder / name).is_file())
        card.data["preload_from_hub"] = [f"{model.id} {names} {model.commit}"]
    return str(card).encode()


def space_token(model: Pin) -> str | None:
    """SPACE_TOKEN, for the page to read a private model; UserError where it cannot."""
    token = os.environ.get("SPACE_TOKEN")
    if token and not can_read(token, model.id):
        raise UserError("SPACE_TOKEN", f"this token cannot read '{model.id}'; give one that may")
    return token


def upload_space(repository: Repository, folder: Path, model: Pin | None = None) -> str:
    """Upload the page in one commit, made only where something has changed.

    Args:
        repository: of kind SPACE.
        folder: weights folder that the Space carries.
        model: what the Space loads at its start, and nothing newer; without one it loads what it carries. With a
            private one the Space must be private, as it carries the weights too, and gets SPACE_TOKEN as its secret
            HF_TOKEN; without such a token a sentence says what is missing.

    Returns:
        The address of the commit.

    Raises:
        UserError: no token, the upload failed, or the Space would show a private model's weights to everyone.
    """
    files: dict[str, Path | bytes] = {**space_files(folder), "README.md": space_readme(folder, model)}
    token = space_token(model) if model and model.private else None
    repository.private |= bool(model and model.private)
    repository.connect()
    if model and model.private and not repository.set_secret("HF_TOKEN", token):
        page = f"{repository.api.endpoint}/spaces/{repository.id}/settings"
        print(
            f"'{repository.id}' cannot read the private '{model.id}' until it has a secret HF_TOKEN: make a token that "
            f"may read that model and no more, and add it at {page} or set it as SPACE_TOKEN and publish again; until "
            "then the page draws with the weights that it carries",
            file=sys.stderr,
        )
    variables = {"MODEL_ID": model.id, "MODEL_REVISION": model.commit} if model else dict.fromkeys(VARIABLES)
    repository.set_variables(variables)
    return repository.replace_files(files, ("model/*", "weights/*", ".page/*"), MESSAGE).url


def static_files(folder: Path, runtime: Path) -> dict[str, Path]:
    """What the page without a server consists of, onnxruntime-web in the folder ``runtime`` included."""
    files = {"LICENSE": ROOT / "LICENSE", STATIC_MODEL: folder / STATIC_MODEL}
    files |= {name: HUB_FILES / "static" / name for name in ("README.md", "index.html")}
    files |= {f"onnx/{name}": HUB_FILES / name for name in SCRIPTS}
    return files | {f"ort/{name}": runtime / name for name in RUNTIME_FILES}


def fetch_runtime(folder: Path) -> None:
    """Put onnxruntime-web's files into ``folder``; UserError where npm cannot get them."""
    command = ["npm", "pack", RUNTIME, "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=NPM_SECONDS)
    except FileNotFoundError:
        sentence = "npm, which fetches onnxruntime-web, is missing; install Node.js"
        raise UserError("--static_space", sentence) from None
    except subprocess.SubprocessError:
        sentence = f"npm could not fetch {RUNTIME}; check the connection"
        raise UserError("--static_space", sentence) from None
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for name in RUNTIME_FILES:
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())


def upload_static_space(repository: Repository, folder: Path) -> str:
    """Upload the page that draws in the browser, in one commit; result and errors as in ``upload_space``."""
    with tempfile.TemporaryDirectory() as runtime:
        repository.connect()
        fetch_runtime(Path(runtime))
        return repository.replace_files(static_files(folder, Path(runtime)), ("ort/*",), MESSAGE).url
