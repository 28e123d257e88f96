"""Loads a generator from a folder or the Hub within a bounded time, and says in one sentence why it cannot."""

import queue
import re
import threading
from contextlib import suppress
from pathlib import Path

from huggingface_hub import (
    _CACHED_NO_EXIST,
    constants,
    hf_hub_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .directions import DIRECTIONS, Directions
from .errors import LoadError as LoadError
from .errors import load_error
from .files import CONFIG_BYTES, check_client, local_path, most_bytes, read_config
from .finding import FACES, FaceIndex
from .generator import Generator

FILES = (constants.CONFIG_NAME, constants.SAFETENSORS_SINGLE_FILE)
REACH_SECONDS = 10  # for the Hub to answer
DOWNLOAD_SECONDS = 120  # for the weights to arrive after that
MAX_BYTES = 2**30  # of a file
INDEX_BYTES = 2**24  # of an index of faces


def load_generator(model_id: str | Path, revision: str | None = None) -> Generator:
    """The generator of :func:`load_model`."""
    return load_model(model_id, revision)[0]


def load_model(
    model_id: str | Path, revision: str | None = None, *, public: Path | None = None, max_bytes: int = MAX_BYTES
) -> tuple[Generator, Directions, FaceIndex]:
    """A generator in eval mode, with its directions and its index of faces if it has some, from a weights folder or
    else from the Hub.

    Unlike :meth:`Generator.from_pretrained` it waits at most REACH_SECONDS for an answer of the Hub and
    DOWNLOAD_SECONDS for each file, and asks for both files. A 40-hex ``revision`` in the cache asks no host.

    Args:
        model_id: folder, or id on the Hub.
        revision: branch, tag or commit on the Hub.
        public: for an id that a stranger gave: no folder is looked at and no token is sent; files are kept here.
        max_bytes: a larger file on the Hub is not fetched, nor one that is larger than the config can need.

    Raises:
        LoadError: for every way in which the model cannot be had.
    """
    try:
        local = public is None and (here := local_path(str(model_id))).is_dir()
        folder = here if local else _download(str(model_id), revision, public, max_bytes)
        if local and not (folder / FILES[1]).is_file() and (folder / "weights" / FILES[1]).is_file():
            raise ValueError(f"it is the folder of a training; give its weights, '{folder / 'weights'}'")
        for name in FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(name)
        generator = Generator.from_pretrained(folder)
        return generator, Directions.load(folder, generator.latent_dim), FaceIndex.load(folder)
    except Exception as error:
        unreachable = f"the Hub could not be reached within {REACH_SECONDS} seconds"
        raise load_error(error, model_id, revision, public=public is not None, unreachable=unreachable) from error


def _download(model_id: str, revision: str | None, public: Path | None, max_bytes: int) -> Path:
    answers: queue.Queue[str | Exception] = queue.Queue()
    token = None if public is None else False

    def fetch(name: str, most: int) -> str:
        ahead = hf_hub_download(model_id, name, revision=revision, cache_dir=public, token=token, dry_run=True)
        if ahead.file_size is None or ahead.file_size > most:
            raise ValueError(f"its {name} is larger than the {most:,} bytes that it may have here")
        return hf_hub_download(model_id, name, revision=revision, cache_dir=public, token=token)

    def download() -> None:
        try:
            check_client()
            config = fetch(FILES[0], CONFIG_BYTES)
            answers.put(config)
            for name, most in ((DIRECTIONS, max_bytes), (FACES, min(max_bytes, INDEX_BYTES))):
                known = try_to_load_from_cache(model_id, name, public, revision)
                if not (re.fullmatch("[0-9a-f]{40}", revision or "") and known is _CACHED_NO_EXIST):
                    with suppress(EntryNotFoundError, LocalEntryNotFoundError):  # not every model has them
                        fetch(name, most)
            needed = most_bytes(Generator.on_meta(read_config(Path(config))).state_dict())
            answers.put(fetch(FILES[1], min(needed, max_bytes)))
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
