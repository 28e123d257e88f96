"""A weights folder as a model repository: what it consists of, and its upload in one commit."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitInfo

from train.errors import UserError
from train.output.weights_folder import (
    DIRECTION_FILES,
    DISCRIMINATOR,
    GENERATOR_FILES,
    ONNX_FILES,
    ONNX_MODELS,
    PICTURE_FILES,
    check_onnx,
    check_weights,
)
from train.release.card import write_card
from train.release.hub import Repository
from train.release.public import public_record

ROOT = Path(__file__).resolve().parents[2]
HUB_FILES = Path(__file__).with_name("hub_files")  # what goes to the Hub as it is
PACKAGE = "anime_dcgan"  # what model/ is called in other code, handler.py on the Hub included
# Nothing but these of a weights folder is ever uploaded, whatever else lies in it.
TRAINING_FILES = ("training.json", "metrics.json")
UPLOADED = (*GENERATOR_FILES, DISCRIMINATOR, "README.md", *PICTURE_FILES, *TRAINING_FILES, *DIRECTION_FILES)
MESSAGE = "Upload the generator"


def model_files(folder: Path) -> dict[str, Path | bytes]:
    """What a model repository consists of: names there, and the files here; the card may yet have to be written.

    Raises:
        UserError: ONNX files are missing or of other weights.
    """
    files: dict[str, Path | bytes] = {
        name: folder / name for name in UPLOADED if (folder / name).is_file() or name == "README.md"
    }
    files |= {name: public_record(folder / name) for name in TRAINING_FILES if name in files}
    if (folder / ONNX_MODELS[0]).is_file():
        check_onnx(folder)
        files |= {name: folder / name for name in ONNX_FILES}
        files["onnx/latents.mjs"] = HUB_FILES / "latents.mjs"
    files["LICENSE"] = ROOT / "LICENSE"
    files["handler.py"] = HUB_FILES / "handler.py"
    return files | {f"{PACKAGE}/{path.name}": path for path in sorted((ROOT / "model").glob("*.py"))}


def upload_model(repository: Repository, files: dict[str, Path | bytes], message: str = MESSAGE) -> CommitInfo:
    """Upload ``model_files`` in one commit; where nothing has changed, none is made.

    Raises:
        UserError: it failed.
    """
    repository.connect()
    return repository.replace_files(files, (*UPLOADED, "onnx/", f"{PACKAGE}/"), message)


def push(folder: Path, repo_id: str, *, private: bool = False, revision: str | None = None) -> str:
    """Write the card and upload a weights folder; arguments as for ``hub.Repository``.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        UserError: folder or target are invalid, or the upload failed; then with the command that tries again.
    """
    repository = Repository(repo_id, private=private, revision=revision)
    check_weights(folder)
    files = model_files(folder)
    write_card(folder, repo_id)
    command = ["python", "-m", "train.publish", str(folder), "--hub_model_id", repo_id]
    if private:
        command.append("--hub_private_repo")
    if revision:
        command += ["--hub_revision", revision]
    with retrying(folder, command):
        return address(upload_model(repository, files))


def address(commit: CommitInfo) -> str:
    """Of the pull request, or else of the commit."""
    return commit.pr_url or commit.commit_url


@contextmanager
def retrying(folder: Path, command: list[str]) -> Iterator[None]:
    """Add to the UserError of a failed upload how to try again."""
    try:
        yield
    except UserError as error:
        sentence = f"{error.sentence}. '{folder}' is whole; to retry: {shlex.join(command)}"
        raise UserError(error.option, sentence) from error
