"""The way to the Hub: a client that answers in bounded time, and one sentence for everything that can go wrong."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_session, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the client's transport library, whichever that is
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

FIRST_ANSWER_SECONDS = 10  # for the first question to the Hub
SILENCE_SECONDS = 30  # without a byte after that; the client alone would wait for ever
CLIENT_ERRORS = (HTTPError, OSError, RuntimeError, ValueError)
OPTIONS = {"model": "--hub_model_id", "space": "--space", "static": "--static_space"}
SDKS = {"space": "gradio", "static": "static"}  # the two kinds of Spaces


class PublishError(RuntimeError):
    """The Hub cannot be published to: why, and after a failed upload the command to try again. The folder is whole."""


def check_target(
    repo_id: str, revision: str | None = None, create_pr: bool = False, tag: str | None = None, kind: str = "model"
) -> None:
    """Refuse what can be no place to upload to, without asking the Hub.

    Raises:
        ValueError: one sentence that names the option.
    """
    what = "space" if kind in SDKS else "model"
    try:
        validate_repo_id(repo_id)
        if repo_id.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise ValueError(
            f"{OPTIONS[kind]}: '{repo_id}' is not 'name/{what}' of letters, digits, '-', '_' and '.'"
        ) from None
    if create_pr and revision:
        raise ValueError("--create_pr: a pull request goes to the main branch; leave out --hub_revision")
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(f"--hub_revision: '{revision}' is a commit, which cannot be added to; give a branch")
    if tag and create_pr:
        raise ValueError("--tag: a pull request is no release; tag it once it is merged")
    if tag and not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", tag):
        raise ValueError(f"--tag: '{tag}' is not a name of letters, digits, '-', '_' and '.', such as v1")


def _reason(error: Exception, repo_id: str, revision: str | None, endpoint: str, kind: str) -> str:
    """What went wrong and what to do about it, in a sentence."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401 and not isinstance(error, RevisionNotFoundError):
        return "HF_TOKEN: the Hub does not accept this token; make a new one with write permission in its settings"
    if status == 403:
        offer = ", or offer it by --create_pr" if kind == "model" else ""
        return f"{OPTIONS[kind]}: this token may not write to '{repo_id}'; take one that may{offer}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{OPTIONS[kind]}: there is no '{repo_id}' that this token can see; check the name"
    if isinstance(error, RevisionNotFoundError):
        return f"--hub_revision: there is no '{revision}' in '{repo_id}'; give a branch, it is made where it is missing"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE: uploads are switched off by this variable; unset it"
    if status:
        message = (error.server_message or "no reason given").strip().partition("\n")[0]
        return f"{endpoint} answered with error {status} ({message}); wait a little"
    message = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"HF_ENDPOINT: the upload to {endpoint} broke off ({message}); check the connection"


def failure(
    error: Exception, api: HfApi, repo_id: str, revision: str | None = None, kind: str = "model"
) -> PublishError:
    """An error of the client as a sentence, without the token."""
    return PublishError(_reason(error, repo_id, revision, api.endpoint, kind).replace(str(api.token), "***"))


def connect(
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    kind: str = "model",
) -> HfApi:
    """Make sure that uploads can go to a repository; make it and the branch where they are missing.

    For the start of a long run, so that it does not end in front of a closed door. Arguments as in ``push``; a pull
    request needs the repository to be there. ``kind`` is one of OPTIONS.

    Raises:
        ValueError: the target cannot be; nothing was asked of the Hub.
        PublishError: no token, no such repository or no way in; one sentence.
    """
    check_target(repo_id, revision, create_pr, kind=kind)
    token = token or get_token()
    if not token:
        raise PublishError("HF_TOKEN: no token for the Hub; set it, or log in by 'hf auth login'")
    api = HfApi(token=token)
    get_session().timeout = SILENCE_SECONDS
    repo_type = "space" if kind in SDKS else "model"
    is_pull_request = create_pr or (revision or "").startswith("refs/")
    try:
        try:
            # Not retried by the client: a dead endpoint is known soon.
            info = api.repo_info(repo_id, repo_type=repo_type, timeout=FIRST_ANSWER_SECONDS)
        except RepositoryNotFoundError:
            if is_pull_request:
                raise
            options = {"repo_type": repo_type, "space_sdk": SDKS.get(kind), "private": private or None}
            api.create_repo(repo_id, exist_ok=True, **options)
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
        raise failure(error, api, repo_id, revision, kind) from None
    return api


def replace_files(
    api: HfApi, repo_id: str, files: Mapping[str, Path | bytes], owned: Iterable[str], *, kind: str = "model", **options
) -> CommitInfo:
    """Upload ``files``, names there and content, in one commit; where nothing has changed, none is made.

    Of the ``owned`` names, and names in ``owned`` folders ("onnx/"), those that are not among the files are deleted.
    ``options`` go to ``create_commit``. Not upload_folder, which may split a slow upload into several commits.
    """
    repo_type = "space" if kind in SDKS else "model"
    there = api.repo_info(repo_id, repo_type=repo_type, revision=options.get("revision")).siblings
    names, folders = set(owned), tuple(name for name in owned if name.endswith("/"))
    gone = {f.rfilename for f in there if f.rfilename in names or f.rfilename.startswith(folders)} - files.keys()
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations += [CommitOperationDelete(name) for name in sorted(gone)]
    return api.create_commit(repo_id, operations, repo_type=repo_type, **options)
