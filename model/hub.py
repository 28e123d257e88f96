"""Loads a generator from a folder or the Hub within a bounded time, and says in one sentence why it cannot."""

import queue
import threading
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .generator import Generator

FILES = (constants.CONFIG_NAME, constants.SAFETENSORS_SINGLE_FILE)
REACH_SECONDS = 10  # for the Hub to answer
DOWNLOAD_SECONDS = 120  # for the weights to arrive after that

REASONS = (  # the first that fits the error; None: its own message is such a sentence
    (RevisionNotFoundError, "the Hub model has no such revision"),
    ((RepositoryNotFoundError, HFValidationError), "there is no such folder, nor such a Hub model that HF_TOKEN opens"),
    ((LocalEntryNotFoundError, TimeoutError), f"the Hub could not be reached within {REACH_SECONDS} seconds"),
    ((EntryNotFoundError, FileNotFoundError), "it lacks model.safetensors or config.json, and a pickle is not loaded"),
    ((JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError), "its config.json does not describe a generator"),
    (ValueError, None),
    (PermissionError, "its files are not readable"),
)


class LoadError(ValueError):
    """A model that could not be loaded; the message is one sentence without its full stop, safe to show to anyone."""


def load_generator(model_id: str | Path, revision: str | None = None) -> Generator:
    """A generator in eval mode from a weights folder, or from the Hub if there is no such folder.

    Unlike :meth:`Generator.from_pretrained` it waits at most REACH_SECONDS for an answer of the Hub and
    DOWNLOAD_SECONDS for the weights, and asks for both files. A 40-hex ``revision`` in the cache asks no host.

    Raises:
        LoadError: for every way in which the model cannot be had.
    """
    try:
        folder = Path(model_id) if Path(model_id).is_dir() else _download(str(model_id), revision)
        for name in FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(name)
        return Generator.from_pretrained(folder)
    except Exception as error:
        where = f"'{model_id}'" + (f" at revision '{revision}'" if revision else "")
        raise LoadError(f"{where} could not be loaded: {_reason(error)}") from error


def _download(model_id: str, revision: str | None) -> Path:
    answers: queue.Queue[str | Exception] = queue.Queue()

    def download() -> None:
        try:
            for name in FILES:
                answers.put(hf_hub_download(model_id, name, revision=revision))
        except Exception as error:
            answers.put(error)

    # The client retries a dead endpoint for longer than anyone waits for a page; a daemon thread can be left behind.
    threading.Thread(target=download, daemon=True).start()
    for seconds in (REACH_SECONDS, DOWNLOAD_SECONDS):
        try:
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        folder = Path(answer).parent
    return folder


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return "the Hub does not accept HF_TOKEN"
    for kinds, reason in REASONS:
        if isinstance(error, kinds):
            return reason or str(error)
    return f"{type(error).__name__} on reading it"
