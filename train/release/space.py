"""Pages on the Hugging Face Hub: app.py as a Space pinned to the commit of its model, and one that needs no server."""

import subprocess
import tarfile
import tempfile
from pathlib import Path

from huggingface_hub import RepoCard

from train.errors import UserError
from train.release.hub import Repository
from train.release.model_repo import HUB_FILES, ROOT

PAGE = ("README.md", "LICENSE", "app.py", "requirements.txt")
FOLDERS = {"model": "*.py", "model/page": "*", "model/page/layout": "*.py"}
MODEL_FILES = ("config.json", "model.safetensors", "directions.safetensors")  # what a page needs of a model
README_PICTURES = ("samples.png", "interpolation.png")
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
    sources = {f"weights/{name}": folder / name for name in (*MODEL_FILES, *README_PICTURES)}
    sources |= {f"{place}/{name}": source / name for place, source in models.items() for name in MODEL_FILES}
    return files | {name: path for name, path in sources.items() if path.is_file()}


def space_readme(folder: Path, model: tuple[str, str] | None) -> bytes:
    """README.md of the repository; with a ``model``, id and commit, its front matter asks for that beforehand."""
    card = RepoCard.load(ROOT / "README.md")
    if model:
        names = ",".join(name for name in MODEL_FILES if (folder / name).is_file())
        card.data["preload_from_hub"] = [f"{model[0]} {names} {model[1]}"]
    return str(card).encode()


def upload_space(repository: Repository, folder: Path, model: tuple[str, str] | None = None) -> str:
    """Upload the page in one commit, made only where something has changed.

    Args:
        repository: of kind SPACE.
        folder: weights folder that the Space carries.
        model: id and 40-hex commit of a model on the Hub, for the Space to load without asking at its start, and
            nothing newer; without one it loads what it carries.

    Returns:
        The address of the commit.

    Raises:
        UserError: no token, or the upload failed.
    """
    files = space_files(folder) | {"README.md": space_readme(folder, model)}
    repository.connect()
    model_id, revision = model or (None, None)
    repository.set_variables({"MODEL_ID": model_id, "MODEL_REVISION": revision})
    return repository.replace_files(files, ("model/", "weights/", ".page/"), MESSAGE).commit_url


def static_files(folder: Path, runtime: Path) -> dict[str, Path]:
    """What the page without a server consists of, onnxruntime-web in the folder ``runtime`` included."""
    files = {"LICENSE": ROOT / "LICENSE", STATIC_MODEL: folder / STATIC_MODEL}
    files |= {name: HUB_FILES / "static" / name for name in ("README.md", "index.html")}
    files |= {"onnx/latents.mjs": HUB_FILES / "latents.mjs"}
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
        return repository.replace_files(static_files(folder, Path(runtime)), ("ort/",), MESSAGE).commit_url
