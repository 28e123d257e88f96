"""Why a model cannot be loaded or uploaded, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from huggingface_hub.errors import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the client's transport library, whichever that is
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .sentences import first_line

REASONS = (  # the first that fits the error; None: its own message is such a sentence
    (RevisionNotFoundError, "the Hub model has no such revision"),
    ((RepositoryNotFoundError, HFValidationError), "there is no such folder, nor such a Hub model that HF_TOKEN opens"),
    ((LocalEntryNotFoundError, TimeoutError), "{unreachable}"),
    ((EntryNotFoundError, FileNotFoundError), "it lacks model.safetensors or config.json, and a pickle is not loaded"),
    ((JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError), "its config.json does not describe a generator"),
    (ValueError, None),
    (PermissionError, "its files are not readable"),
    ((FileExistsError, NotADirectoryError), "a file is in the way of the folder for downloads"),
)
# What the client raises; a missing file and a connection that broke are OSErrors.
HUB_ERRORS = (HfHubHTTPError, HFValidationError, EntryNotFoundError, HTTPError, OSError)
UNREACHABLE = "it is not in the cache, and the Hub was not asked or could not be reached"


class LoadError(ValueError):
    """A model that could not be loaded; the message is one sentence without its full stop, safe to show to anyone."""


def load_error(
    error: Exception, model_id: object, revision: str | None, *, public: bool = False, unreachable: str = UNREACHABLE
) -> LoadError:
    """``error``, met on loading a model, as a :class:`LoadError`.

    Args:
        error: what was raised.
        model_id: folder, or id on the Hub.
        revision: that was asked for.
        public: no token was sent, so that only public models could be found.
        unreachable: what to say where the Hub does not answer.
    """
    where = f"'{model_id}'" + (f" at revision '{revision}'" if revision else "")
    return LoadError(f"{where} could not be loaded: {_reason(error, public, unreachable)}")


def _reason(error: Exception, public: bool, unreachable: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return "the Hub does not accept HF_TOKEN"
    if public and isinstance(error, RepositoryNotFoundError | HFValidationError):
        return "there is no such public model on the Hub"
    for kinds, reason in REASONS:
        if isinstance(error, kinds):
            return (reason or str(error)).replace("{unreachable}", unreachable)
    return f"{type(error).__name__} on reading it"


class UploadError(ValueError):
    """A model that could not be uploaded; the message is one sentence without its full stop."""


@contextmanager
def uploading(repo_id: str, branch: str | None = None) -> Iterator[None]:
    """Turn what the client raises within it into an :class:`UploadError`."""
    try:
        yield
    except HUB_ERRORS as error:
        raise UploadError(f"'{repo_id}' could not be uploaded: {_obstacle(error, branch)}") from error


def _obstacle(error: Exception, branch: str | None) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return f"it has no '{branch}'; give a pull request that is open, or create_pr=True alone for a new one"
    if isinstance(error, HFValidationError):
        return "this is no id on the Hub, 'name/model' of letters, digits, '-', '_' and '.'"
    if status == 401 and "Invalid credentials" in str(error):
        return "the Hub does not accept this token; make a new one with write permission in its settings"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such Hub model that the token opens; check the name, or leave out create_pr to make it"
    if status == 401:
        return "the Hub knows no token; set HF_TOKEN, or log in by 'hf auth login'"
    if status == 403:
        return "this token may not write there; take one that may, or offer it by create_pr=True"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE switches the Hub off; unset it"
    message = first_line(getattr(error, "server_message", None) or error)
    return f"the Hub answered with error {status} ({message})" if status else f"the connection broke off ({message})"
