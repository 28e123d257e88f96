"""Pages on the Hugging Face Hub: app.py as a Space pinned to the commit of its model, and one that needs no server."""

import subprocess
import tarfile
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, RepoCard

from train.output.weights_folder import HUB_FILES, ROOT, check_onnx
from train.release.hub import CLIENT_ERRORS, PublishError, connect, failure, replace_files

PAGE = ("README.md", "LICENSE", "app.py", "requirements.txt")
FOLDERS = {"model": "*.py", ".page": "*"}
DRAWING = ("config.json", "model.safetensors", "directions.safetensors")  # what a page needs of a model
PICTURES = ("samples.png", "interpolation.png")  # those of README.md
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
STATIC_MODEL = "onnx/model_fp16.onnx"  # half the download
NPM_SECONDS = 300
VARIABLES = ("MODEL_ID", "MODEL_REVISION")


def check_page() -> None:
    """Make sure that this repository holds a page which a Space can start; ValueError, one sentence, if not."""
    for name in PAGE:
        if not (ROOT / name).is_file():
            raise ValueError(f"--space: no {name} in '{ROOT}'; run this in a clone of the repository")
    if RepoCard.load(ROOT / "README.md", ignore_metadata_errors=True).data.get("sdk") != "gradio":
        raise ValueError("--space: README.md has no 'sdk: gradio' in its front matter, without which no Space starts")


def space_files(folder: str | Path) -> dict[str, Path]:
    """What the Space consists of: names there, and the files here.

    Its first model, which draws where the Hub does not answer, is that of ``folder``; the others are this repository's.
    """
    files = {name: ROOT / name for name in PAGE}
    for name, pattern in FOLDERS.items():
        files |= {f"{name}/{path.name}": path for path in sorted((ROOT / name).glob(pattern)) if path.is_file()}
    models = {"weights": Path(folder)}
    models |= {f"weights/{path.parent.name}": path.parent for path in sorted(ROOT.glob("weights/*/config.json"))}
    for place, source in models.items():
        names = DRAWING + PICTURES * (place == "weights")
        files |= {f"{place}/{name}": source / name for name in names if (source / name).is_file()}
    return files


def space_readme(folder: str | Path, model: tuple[str, str] | None) -> bytes:
    """README.md of the repository; with a ``model``, id and commit, its front matter asks for that beforehand."""
    card = RepoCard.load(ROOT / "README.md")
    if model:
        names = ",".join(name for name in DRAWING if Path(folder, name).is_file())
        card.data["preload_from_hub"] = [f"{model[0]} {names} {model[1]}"]
    return str(card).encode()


def pin(api: HfApi, repo_id: str, model: tuple[str, str] | None) -> None:
    """Let the Space load ``model`` and nothing newer; without one, what it carries. Each change restarts a Space."""
    wanted = dict(zip(VARIABLES, model or ()))
    present = {name: variable.value for name, variable in api.get_space_variables(repo_id).items()}
    for name in VARIABLES:
        if name in wanted and present.get(name) != wanted[name]:
            api.add_space_variable(repo_id, name, wanted[name])
        elif name in present and name not in wanted:
            api.delete_space_variable(repo_id, name)


def push_space(
    folder: str | Path,
    repo_id: str,
    *,
    model: tuple[str, str] | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload the page in one commit, made only where something has changed.

    Args:
        folder: weights folder that the Space carries.
        repo_id: "name/space"; made where it is missing.
        model: id and 40-hex commit of a model on the Hub, for the Space to load without asking at its start.
        private: make the Space private.
        token: default is HF_TOKEN or the login of ``hf auth login``.

    Returns:
        The address of the commit.

    Raises:
        ValueError: there is no page to upload; nothing was asked of the Hub.
        PublishError: no token, or the upload failed; one sentence.
    """
    check_page()
    files = space_files(folder) | {"README.md": space_readme(folder, model)}
    api = connect(repo_id, private=private, token=token, kind="space")
    try:
        pin(api, repo_id, model)
        commit = replace_files(
            api, repo_id, files, ("model/", "weights/", ".page/"), kind="space", commit_message="Upload the page"
        )
    except CLIENT_ERRORS as error:
        raise failure(error, api, repo_id, kind="space") from None
    return commit.commit_url


def static_files(folder: str | Path, runtime: Path) -> dict[str, Path]:
    """What the page without a server consists of, onnxruntime-web in the folder ``runtime`` included.

    Raises:
        ValueError: no ONNX files of these weights; one sentence.
    """
    check_onnx(Path(folder))
    files = {"LICENSE": ROOT / "LICENSE", STATIC_MODEL: Path(folder, STATIC_MODEL)}
    files |= {name: HUB_FILES / "static" / name for name in ("README.md", "index.html")}
    files |= {"onnx/latents.mjs": HUB_FILES / "latents.mjs"}
    return files | {f"ort/{name}": runtime / name for name in RUNTIME_FILES}


def fetch_runtime(folder: Path) -> None:
    """Put onnxruntime-web's files into ``folder``; PublishError, one sentence, where npm cannot get them."""
    command = ["npm", "pack", RUNTIME, "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=NPM_SECONDS)
    except FileNotFoundError:
        raise PublishError("--static_space: npm, which fetches onnxruntime-web, is missing; install Node.js") from None
    except subprocess.SubprocessError:
        raise PublishError(f"--static_space: npm could not fetch {RUNTIME}; check the connection") from None
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for name in RUNTIME_FILES:
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())


def push_static_space(folder: str | Path, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload the page that draws in the browser, in one commit; arguments, result and errors as in ``push_space``."""
    with tempfile.TemporaryDirectory() as runtime:
        files = static_files(folder, Path(runtime))
        api = connect(repo_id, private=private, token=token, kind="static")
        fetch_runtime(Path(runtime))
        try:
            commit = replace_files(api, repo_id, files, ("ort/",), kind="static", commit_message="Upload the page")
        except CLIENT_ERRORS as error:
            raise failure(error, api, repo_id, kind="static") from None
    return commit.commit_url
