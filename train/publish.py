#!/usr/bin/env python
"""From a weights folder to a repository on the Hugging Face Hub: card, weights and pictures in one commit.

    HF_TOKEN=... python -m train.publish runs/anime-dcgan/weights --hub_model_id me/anime-dcgan
    python -m train.publish weights --hub_model_id me/anime-dcgan --hub_private_repo --hub_revision v2
    python -m train.publish weights --hub_model_id you/anime-dcgan --create_pr
    python -m train.publish weights --card_only

The repository and the branch are made where they are missing. The card, README.md, is written anew each time from
config.json, training.json and metrics.json; one that was edited by hand is uploaded as it is (delete it for a new one).
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from huggingface_hub import CommitOperationAdd, HfApi, get_session, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the client's transport library, whichever that is
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from model import Generator
from train.card import read_json, write_card

WEIGHTS = ("config.json", "model.safetensors")
PICTURES = ("samples.png", "interpolation.png", "losses.png", "progress.webp")
# Nothing but these is ever uploaded, whatever else lies in the folder.
FILES = (*WEIGHTS, "README.md", *PICTURES, "training.json", "metrics.json")
FIRST_ANSWER_SECONDS = 10  # for the first question to the Hub
SILENCE_SECONDS = 30  # without a byte after that; the client alone would wait for ever
CLIENT_ERRORS = (HTTPError, OSError, RuntimeError, ValueError)


class PublishError(RuntimeError):
    """The Hub cannot be published to: why, and after a failed upload the command to try again. The folder is whole."""


def check_weights(folder: str | Path) -> None:
    """Make sure that a weights folder can be published: what is in it loads, strictly, and is finite.

    Raises:
        ValueError: one sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"weights_folder: no folder '{folder}'; give the one that the trainer left")
    for name in WEIGHTS:
        if not (folder / name).is_file():
            raise ValueError(f"weights_folder: no {name} in '{folder}'; give the folder that the trainer left")
    try:
        read_json(folder / "config.json")
        Generator.from_pretrained(folder)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weights_folder: {error}") from None


def check_target(repo_id: str, revision: str | None = None, create_pr: bool = False) -> None:
    """Refuse what can be no place to upload to, without asking the Hub.

    Raises:
        ValueError: one sentence that names the option.
    """
    try:
        validate_repo_id(repo_id)
        if repo_id.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise ValueError(
            f"--hub_model_id: '{repo_id}' is not 'name/model' of letters, digits, '-', '_' and '.'"
        ) from None
    if create_pr and revision:
        raise ValueError("--create_pr: a pull request goes to the main branch; leave out --hub_revision")
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(f"--hub_revision: '{revision}' is a commit, which cannot be added to; give a branch")


def _reason(error: Exception, repo_id: str, revision: str | None, endpoint: str) -> str:
    """What went wrong and what to do about it, in a sentence."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401 and not isinstance(error, RevisionNotFoundError):
        return "HF_TOKEN: the Hub does not accept this token; make a new one with write permission in its settings"
    if status == 403:
        return f"--hub_model_id: this token may not write to '{repo_id}'; take one that may, or offer it by --create_pr"
    if isinstance(error, RepositoryNotFoundError):
        return f"--hub_model_id: there is no '{repo_id}' that this token can see; check the name"
    if isinstance(error, RevisionNotFoundError):
        return f"--hub_revision: there is no '{revision}' in '{repo_id}'; give a branch, it is made where it is missing"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE: uploads are switched off by this variable; unset it"
    if status:
        message = (error.server_message or "no reason given").strip().partition("\n")[0]
        return f"{endpoint} answered with error {status} ({message}); wait a little"
    message = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"HF_ENDPOINT: the upload to {endpoint} broke off ({message}); check the connection"


def _failure(error: Exception, api: HfApi, repo_id: str, revision: str | None) -> PublishError:
    return PublishError(_reason(error, repo_id, revision, api.endpoint).replace(api.token, "***"))


def connect(
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
) -> HfApi:
    """Make sure that uploads can go to a repository; make it and the branch where they are missing.

    For the start of a long run, so that it does not end in front of a closed door. Arguments as in ``push``; a pull
    request needs the repository to be there.

    Raises:
        ValueError: the target cannot be; nothing was asked of the Hub.
        PublishError: no token, no such repository or no way in; one sentence.
    """
    check_target(repo_id, revision, create_pr)
    token = token or get_token()
    if not token:
        raise PublishError("HF_TOKEN: no token for the Hub; set it, or log in by 'hf auth login'")
    api = HfApi(token=token)
    get_session().timeout = SILENCE_SECONDS
    is_pull_request = create_pr or (revision or "").startswith("refs/")
    try:
        try:
            info = api.model_info(repo_id, timeout=FIRST_ANSWER_SECONDS)  # not retried: a dead endpoint is known soon
        except RepositoryNotFoundError:
            if is_pull_request:
                raise
            api.create_repo(repo_id, private=private or None, exist_ok=True)
        else:
            if private and not info.private:
                raise PublishError(f"--hub_private_repo: '{repo_id}' is public already; change that in its settings")
        if is_pull_request:
            api.model_info(repo_id, revision=revision, timeout=FIRST_ANSWER_SECONDS)
        elif revision:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
    except PublishError:
        raise
    except CLIENT_ERRORS as error:
        raise _failure(error, api, repo_id, revision) from None
    return api


def retry_command(folder: str | Path, repo_id: str, private: bool, revision: str | None, create_pr: bool) -> str:
    """The command that does the same upload again."""
    words = ["python", "-m", "train.publish", str(folder), "--hub_model_id", repo_id]
    words += ["--hub_private_repo"] * private + ["--create_pr"] * create_pr
    return shlex.join(words + (["--hub_revision", revision] if revision else []))


def push(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    commit_message: str = "Upload the generator",
) -> str:
    """Write the card and upload a weights folder in one commit; where nothing has changed, none is made.

    Args:
        folder: weights folder, as the trainer leaves it.
        repo_id: "name/model"; made where it is missing.
        private: make the repository private; one that is public already is refused.
        revision: branch, made where it is missing, or an open pull request as "refs/pr/1".
        create_pr: open a pull request instead of writing to the main branch.
        token: default is HF_TOKEN or the login of ``hf auth login``.
        commit_message: first line of the commit.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        ValueError: the folder or the target cannot be; nothing was asked of the Hub.
        PublishError: no token, or the upload failed.
    """
    folder = Path(folder)
    check_target(repo_id, revision, create_pr)
    check_weights(folder)
    write_card(folder, repo_id)
    try:
        api = connect(repo_id, private=private, revision=revision, create_pr=create_pr, token=token)
        try:
            commit = api.create_commit(  # not upload_folder, which may split a slow upload into several commits
                repo_id,
                [CommitOperationAdd(name, folder / name) for name in FILES if (folder / name).is_file()],
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
            )
        except CLIENT_ERRORS as error:
            raise _failure(error, api, repo_id, revision) from None
    except PublishError as error:
        retry = retry_command(folder, repo_id, private, revision, create_pr)
        raise PublishError(f"{error}. '{folder}' is whole; to retry: {retry}") from None
    return commit.pr_url or commit.commit_url


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 where the upload failed, 2 for bad arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_folder", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--hub_model_id", help="repository to upload to, as name/model")
    parser.add_argument("--hub_private_repo", action="store_true", help="make the repository private")
    parser.add_argument("--hub_revision", help="branch to upload to (default: main)")
    parser.add_argument("--create_pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--commit_message", default="Upload the generator", help="first line of the commit")
    parser.add_argument("--card_only", action="store_true", help="write the card and upload nothing")
    args = parser.parse_args(argv)
    try:
        if not (args.hub_model_id or args.card_only):
            raise ValueError("--hub_model_id: give the repository to upload to, as name/model")
        if args.card_only:
            check_weights(args.weights_folder)
            print(write_card(args.weights_folder, args.hub_model_id))
            return 0
        url = push(
            args.weights_folder,
            args.hub_model_id,
            private=args.hub_private_repo,
            revision=args.hub_revision,
            create_pr=args.create_pr,
            commit_message=args.commit_message,
        )
    except (ValueError, PublishError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except OSError as error:
        print(f"publish: weights_folder: the card cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    print(url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
