"""A repository on the Hub: answers in bounded time, and one sentence for everything that can go wrong."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the client's transport library, whichever that is
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import validate_repo_id
from huggingface_hub.utils.sha import git_hash

from model.hub import REACH_SECONDS
from model.sentences import first_line
from train.errors import UserError

SILENCE_SECONDS = 30  # without a byte after the first answer; the client alone would wait for ever
CLIENT_ERRORS = (HTTPError, OSError, RuntimeError, ValueError)


class Kind(NamedTuple):
    """A kind of repository: the option that names it, its type on the Hub, and what a Space runs."""

    option: str
    repo_type: str
    sdk: str | None = None


MODEL = Kind("--hub_model_id", "model")
SPACE = Kind("--space", "space", "gradio")
STATIC_SPACE = Kind("--static_space", "space", "static")


class Commit(NamedTuple):
    """What an upload left: the newest commit, whether it is a new one, and its pull request's branch, if any."""

    oid: str
    url: str  # of the pull request, or else of the commit
    changed: bool
    pull_request: str | None = None


class Repository:
    """A place to upload to; nothing is asked of the Hub before ``connect``.

    Args:
        repo_id: "name/model" or "name/space"; made where it is missing.
        kind: MODEL, SPACE or STATIC_SPACE.
        private: make it private; one that is public already is refused.
        revision: branch, made where it is missing, or an open pull request as "refs/pr/1".
        create_pr: open a pull request instead of writing to the main branch.
        tag: name of a release for the commit: a new one, or one of that very commit.
        token: default is HF_TOKEN or the login of ``hf auth login``.

    Raises:
        UserError: the arguments name no place to upload to.
    """

    def __init__(
        self,
        repo_id: str,
        kind: Kind = MODEL,
        *,
        private: bool = False,
        revision: str | None = None,
        create_pr: bool = False,
        tag: str | None = None,
        token: str | None = None,
    ) -> None:
        self.id, self.kind, self.private = repo_id, kind, private
        self.revision, self.create_pr, self.tag = revision, create_pr, tag
        self.api = HfApi(token=token or get_token())
        self.is_private = private  # as it is on the Hub, once it was asked
        self._check()

    def _check(self) -> None:
        try:
            validate_repo_id(self.id)
            if self.id.count("/") != 1:
                raise HFValidationError
        except HFValidationError:
            sentence = f"'{self.id}' is not 'name/{self.kind.repo_type}' of letters, digits, '-', '_' and '.'"
            raise UserError(self.kind.option, sentence) from None
        if self.create_pr and self.revision:
            raise UserError("--create_pr", "a pull request goes to the main branch; leave out --hub_revision")
        if self.revision and re.fullmatch("[0-9a-f]{40}", self.revision):
            sentence = f"'{self.revision}' is a commit, which cannot be added to; give a branch"
            raise UserError("--hub_revision", sentence)
        if self.tag and self.create_pr:
            raise UserError("--tag", "a pull request is no release; tag it once it is merged")
        if self.tag and not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", self.tag):
            sentence = f"'{self.tag}' is not a name of letters, digits, '-', '_' and '.', such as v1"
            raise UserError("--tag", sentence)

    def connect(self) -> None:
        """Make sure that uploads can go there; make the repository and the branch where they are missing.

        For the start of a long run, so that it does not end in front of a closed door. A pull request needs the
        repository to be there.

        Raises:
            UserError: no token, no such repository, or no way in.
        """
        if not self.api.token:
            raise UserError("HF_TOKEN", "no token for the Hub; set it, or log in by 'hf auth login'")
        get_session().timeout = SILENCE_SECONDS
        is_pull_request = self.create_pr or (self.revision or "").startswith("refs/")
        with self._explained():
            try:
                # Not retried by the client: a dead endpoint is known soon.
                info = self.api.repo_info(self.id, repo_type=self.kind.repo_type, timeout=REACH_SECONDS)
            except RepositoryNotFoundError:
                if is_pull_request:
                    raise
                options = {"repo_type": self.kind.repo_type, "space_sdk": self.kind.sdk}
                self.api.create_repo(self.id, exist_ok=True, private=self.private or None, **options)
            else:
                if self.private and not info.private:
                    option = "--hub_private_repo" if self.kind is MODEL else self.kind.option
                    sentence = f"'{self.id}' is public, and what goes there is to be private; change its settings"
                    raise UserError(option, sentence)
            if is_pull_request:
                self.api.model_info(self.id, revision=self.revision, timeout=REACH_SECONDS)
            elif self.revision:
                self.api.create_branch(self.id, branch=self.revision, exist_ok=True)

    def replace_files(self, files: Mapping[str, Path | bytes], owned: Collection[str], message: str) -> Commit:
        """Upload ``files``, names there and content, in one commit, with the tag; where nothing has changed, none.

        What is there by one of the ``owned`` names or patterns ("onnx/*"), and not among the files, is deleted. Not
        upload_folder, which may split a slow upload into several commits.

        Raises:
            UserError: it failed, or the tag is that of another commit.
        """
        where = {"repo_type": self.kind.repo_type, "revision": self.revision}
        with self._explained():
            head = self.api.repo_info(self.id, files_metadata=True, **where)
            self.is_private = bool(head.private)
            there = {file.rfilename: file for file in head.siblings or []}
            gone = {name for name in there if any(fnmatch(name, pattern) for pattern in owned)} - files.keys()
            changed = bool(gone) or any(differs(content, there.get(name)) for name, content in files.items())
            tagged = self._tagged()
            if tagged and (changed or tagged != head.sha):
                raise UserError("--tag", f"'{self.tag}' exists already in '{self.id}'; give the next one")
            operations = [CommitOperationAdd(name, content) for name, content in files.items()]
            operations += [CommitOperationDelete(name) for name in sorted(gone)]
            commit = self.api.create_commit(
                self.id, operations, commit_message=message, create_pr=self.create_pr, **where
            )
            if self.tag and not tagged:
                self.api.create_tag(self.id, tag=self.tag, revision=commit.oid)
        return Commit(commit.oid, commit.pr_url or commit.commit_url, commit.oid != head.sha, commit.pr_revision)

    def list_files(self) -> tuple[str, list[str]]:
        """Its newest commit and the names of its files; UserError where they cannot be had."""
        get_session().timeout = SILENCE_SECONDS
        with self._explained():
            info = self.api.repo_info(self.id, repo_type=self.kind.repo_type, timeout=REACH_SECONDS)
            return str(info.sha), [file.rfilename for file in info.siblings or []]

    def exists(self) -> bool:
        """Whether it is there, for this token to see; UserError where the Hub does not answer."""
        with self._explained():
            try:
                self.api.repo_info(self.id, repo_type=self.kind.repo_type, timeout=REACH_SECONDS)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401 and self.api.token:  # the token is no good
                    raise
                return False
        return True

    def download(self, folder: Path, names: list[str], commit: str) -> None:
        """Put files of these names into ``folder``; UserError where that fails."""
        with self._explained():
            for name in names:
                self.api.hf_hub_download(
                    self.id, name, repo_type=self.kind.repo_type, revision=commit, local_dir=folder
                )

    def _tagged(self) -> str | None:
        """The commit that the tag stands for already."""
        tags = self.api.list_repo_refs(self.id).tags if self.tag else []
        return next((ref.target_commit for ref in tags if ref.name == self.tag), None)

    def set_secret(self, name: str, value: str | None) -> bool:
        """Set a Space's secret where a value is given; whether there is one now."""
        with self._explained():
            if value:
                self.api.add_space_secret(self.id, name, value)
            return bool(value) or name in self.api.get_space_secrets(self.id)

    def set_variables(self, wanted: Mapping[str, str | None]) -> None:
        """Set a Space's variables, or delete those that shall be None. Each change restarts it."""
        with self._explained():
            present = {name: variable.value for name, variable in self.api.get_space_variables(self.id).items()}
            for name, value in wanted.items():
                if value is not None and present.get(name) != value:
                    self.api.add_space_variable(self.id, name, value)
                elif value is None and name in present:
                    self.api.delete_space_variable(self.id, name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the client into a UserError, without the token."""
        try:
            yield
        except CLIENT_ERRORS as error:
            option, sentence = self._reason(error)
            raise UserError(option, sentence.replace(str(self.api.token), "***")) from None

    def _reason(self, error: Exception) -> tuple[str | None, str]:
        """What is at fault, and what went wrong and what to do about it."""
        option, endpoint = self.kind.option, self.api.endpoint
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status == 401 and not isinstance(error, RevisionNotFoundError):
            remedy = "make a new one with write permission in its settings"
            return "HF_TOKEN", f"the Hub does not accept this token; {remedy}"
        if status == 403:
            offer = ", or offer it by --create_pr" if self.kind is MODEL else ""
            return option, f"this token may not write to '{self.id}'; take one that may{offer}"
        if isinstance(error, RepositoryNotFoundError):
            return option, f"there is no '{self.id}' that this token can see; check the name"
        if isinstance(error, RevisionNotFoundError):
            missing = f"there is no '{self.revision}' in '{self.id}'"
            return "--hub_revision", f"{missing}; give a branch, it is made where it is missing"
        if isinstance(error, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE", "the Hub is switched off by this variable; unset it"
        if status:
            message = first_line(error.server_message or "no reason given")
            return None, f"{endpoint} answered with error {status} ({message}); wait a little"
        return "HF_ENDPOINT", f"the connection to {endpoint} broke off ({first_line(error)}); check it"


def can_read(token: str, model_id: str) -> bool:
    """Whether a token, not the one that uploads, may read a model."""
    try:
        HfApi(token=token).model_info(model_id, timeout=REACH_SECONDS)
    except CLIENT_ERRORS:
        return False
    return True


def differs(content: Path | bytes, there: RepoSibling | None) -> bool:
    """Whether a file is another than the one on the Hub, by the digests that the Hub has of it."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    if there and there.lfs:
        return bool(there.lfs.sha256 != hashlib.sha256(data).hexdigest())
    return there is None or git_hash(data) != there.blob_id
