"""A weights folder as a model repository: what it consists of, and its upload in one commit."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.wheel import PACKAGE, WHEELS, make_wheel, wheel_name
from train.errors import UserError
from train.output.made_from import left_out, strangers
from train.output.weights_folder import (
    DIRECTION_FILES,
    DISCRIMINATOR,
    GENERATOR_FILES,
    INDEX,
    ONNX_FILES,
    ONNX_MODELS,
    PICTURE_FILES,
    TRAINING_FILES,
    check_onnx,
    check_weights,
)
from train.release.card import card_text
from train.release.hub import Commit, Repository
from train.release.public import public_record

ROOT = Path(__file__).resolve().parents[2]
HUB_FILES = Path(__file__).with_name("hub_files")  # what goes to the Hub as it is
CARD = "README.md"
# Nothing but these of a weights folder is ever uploaded, whatever else lies in it.
UPLOADED = (*GENERATOR_FILES, DISCRIMINATOR, INDEX, CARD, *PICTURE_FILES, *TRAINING_FILES, *DIRECTION_FILES)
SCRIPTS = ("faces.js", "latents.mjs")  # beside the ONNX models, for websites
MESSAGE = "Upload the generator"


def model_files(folder: Path, repo_id: str | None = None, revision: str | None = None) -> dict[str, Path | bytes]:
    """What a model repository consists of: names there, and the files here or, of the card, the content.

    What is of other weights than those of the folder is not among it.

    Raises:
        UserError: an ONNX file is missing, or a JSON file broken.
    """
    names = {*UPLOADED, *ONNX_MODELS}.difference(strangers(folder))
    files: dict[str, Path | bytes] = {name: folder / name for name in UPLOADED if name in names}
    files = {name: path for name, path in files.items() if path.is_file()}
    files[CARD] = card_text(folder, repo_id, revision).encode()
    files |= {name: public_record(folder / name) for name in TRAINING_FILES if name in files}
    if ONNX_MODELS[0] in names and (folder / ONNX_MODELS[0]).is_file():
        check_onnx(folder)
        files |= {name: folder / name for name in ONNX_FILES}
        files |= {f"onnx/{name}": HUB_FILES / name for name in SCRIPTS}
    files["LICENSE"] = ROOT / "LICENSE"
    files["handler.py"] = HUB_FILES / "handler.py"
    files[wheel_name()] = make_wheel()
    return files | {f"{PACKAGE}/{path.name}": path for path in sorted((ROOT / "model").glob("*.py"))}


def warn_of_strangers(folder: Path) -> None:
    """Say which files of the folder do not go along, as they are of other weights."""
    if names := strangers(folder):
        print(left_out(folder, names), file=sys.stderr)


def branch(repository: Repository) -> str | None:
    """What the card must name for its weights to be those beside it; nothing on the main branch."""
    return None if repository.revision == "main" else repository.revision


def upload_model(
    repository: Repository, folder: Path, files: dict[str, Path | bytes], message: str = MESSAGE
) -> Commit:
    """Upload the ``model_files`` of a folder in one commit; where nothing has changed, none is made.

    A pull request gets a second one: only then is it known where it lies, which its card must name.

    Raises:
        UserError: it failed.
    """
    repository.connect()
    commit = repository.replace_files(files, (*UPLOADED, "onnx/*", f"{PACKAGE}/*", WHEELS), message)
    if commit.pull_request:
        there = Repository(repository.id, revision=commit.pull_request, token=repository.api.token)
        card = card_text(folder, repository.id, commit.pull_request).encode()
        try:
            there.replace_files({CARD: card}, (), "The card loads from this pull request")
        except UserError as error:  # all else of it has arrived
            print(f"the card of {commit.url} names the main branch ({error})", file=sys.stderr)
    return commit


def push(folder: Path, repo_id: str, *, private: bool = False, revision: str | None = None) -> str:
    """Upload a weights folder with its card; arguments as for ``hub.Repository``.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        UserError: folder or target are invalid, or the upload failed; then with the command that tries again.
    """
    repository = Repository(repo_id, private=private, revision=revision)
    check_weights(folder)
    warn_of_strangers(folder)
    files = model_files(folder, repo_id, branch(repository))
    command = ["python", "-m", "train.publish", str(folder), "--hub_model_id", repo_id]
    if private:
        command.append("--hub_private_repo")
    if revision:
        command += ["--hub_revision", revision]
    with retrying(folder, command):
        return upload_model(repository, folder, files).url


@contextmanager
def retrying(folder: Path, command: list[str]) -> Iterator[None]:
    """Add to the UserError of a failed upload how to try again."""
    try:
        yield
    except UserError as error:
        sentence = f"{error.sentence}. '{folder}' is whole; to retry: {shlex.join(command)}"
        raise UserError(error.option, sentence) from error
