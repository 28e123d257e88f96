"""Why a model cannot be loaded, in one sentence."""

from json import JSONDecodeError

from huggingface_hub.errors import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the client's transport library, whichever that is
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

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
