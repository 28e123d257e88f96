"""Checkpoints in a private repository on the Hub, from which another machine goes on; none of its files can hold code.

In the repository lie checkpoints/images-NNN, the newest, as safetensors and JSON, and run/, what a run needs of the
time before: its log, its grids and its best generator so far.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.utils import load
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from torch import save

from model.sentences import first_line
from train.config import TrainConfig
from train.errors import UserError
from train.release.hub import Kind, Repository
from train.release.safe_state import load_state, save_state
from train.run.checkpoint import NAME, checkpoints, saved_config

PUSHING, RESUMING = Kind("--push_checkpoints", "model"), Kind("--resume_from_checkpoint", "model")
STATES, RUN = "checkpoints", "run"
RUN_FILES = ("metrics.jsonl", "quality.jsonl", "fakes_init.png", "samples/*.png", "best/*.json", "best/*.safetensors")
PICKLED = (".bin", ".pkl", ".pt")  # as Accelerate writes them, here alone
SAFE = r"[\w-]+(\.[\w-]+)*\.(json|safetensors)"  # names of files in a checkpoint on the Hub
CARD = """---
tags: [checkpoint]
---

Checkpoints of a training with anime-dcgan, safetensors and JSON alone. It goes on from here, on any machine, with
`--push_checkpoints {0} --resume_from_checkpoint {0}` and the options it was begun with.
"""


def is_hub_id(name: str | None, folder: Path) -> bool:
    """Whether ``--resume_from_checkpoint`` names a repository; ``folder`` is that of the run's own checkpoints."""
    if not name or name.startswith(".") or Path(name).exists() or (folder / name).exists():
        return False
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not NAME.fullmatch(name.split("/")[1])


class RemoteCheckpoints:
    """The repository ``repo_id``, made where it is missing, and private; UserError where that is no such name."""

    def __init__(self, repo_id: str) -> None:
        self.repository = Repository(repo_id, PUSHING, private=True)

    def connect(self, new: bool) -> None:
        """Make sure, before the work, that checkpoints can go there, for a ``new`` run in no other run's place.

        Raises:
            UserError: they cannot.
        """
        self.repository.connect()
        if new and (found := newest(self.repository.list_files()[1])):
            sentence = f"'{self.repository.id}' holds {found} of an earlier run; add --resume_from_checkpoint "
            raise UserError(PUSHING.option, f"{sentence}{self.repository.id} to go on from it, or give another name")

    def push(self, run_folder: Path, checkpoint: Path) -> None:
        """Upload a checkpoint in the place of the one before. A failure is told, and training goes on."""
        with tempfile.TemporaryDirectory() as folder:
            packed = pack(checkpoint, Path(folder))
            files: dict[str, Path | bytes] = {f"{STATES}/{checkpoint.name}/{path.name}": path for path in packed}
            for pattern in RUN_FILES:
                paths = run_folder.glob(pattern)
                files |= {f"{RUN}/{path.relative_to(run_folder).as_posix()}": path for path in paths}
            files["README.md"] = CARD.format(self.repository.id).encode()
            try:
                with quiet():
                    self.repository.replace_files(files, (f"{STATES}/*", f"{RUN}/*"), f"Checkpoint {checkpoint.name}")
            except UserError as error:
                print(f"{checkpoint.name} was not uploaded ({error}); the next one will be tried", file=sys.stderr)


@contextmanager
def quiet() -> Iterator[None]:
    """No bars of the client's among those of the training."""
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def newest(files: list[str]) -> str | None:
    """The name of the newest checkpoint among the files of a repository."""
    pattern = re.compile(f"{STATES}/({NAME.pattern})/{SAFE}")
    return max((match[1] for match in map(pattern.fullmatch, files) if match), default=None)


def fetch_checkpoint(config: TrainConfig) -> None:
    """Bring the newest checkpoint of the repository that --resume_from_checkpoint names into the output folder.

    With it comes what the run needs of the time before. Nothing is fetched where the folder has a checkpoint as new;
    nor, where checkpoints are pushed to the same name, of a repository that is yet to be made: there the run begins.

    Raises:
        UserError: there is no checkpoint, or it cannot be had.
    """
    name, folder = str(config.resume_from_checkpoint), config.run_folder
    begins, repository = name == config.push_checkpoints, Repository(name, RESUMING)
    try:
        if begins and not repository.exists():
            return
        commit, files = repository.list_files()
    except UserError as error:
        raise UserError(RESUMING.option, f"no folder '{name}' is here, and of the Hub: {error}") from error
    found = newest(files)
    if found is None and not begins:
        raise UserError(RESUMING.option, f"'{name}' holds no checkpoint; give one that --push_checkpoints filled")
    mine = checkpoints(folder / STATES)
    if found is None or (mine and mine[-1].name >= found):
        return
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
        states, run = Path(temporary, STATES, found), Path(temporary, RUN)
        wanted = [name for name in files if re.fullmatch(f"{STATES}/{found}/{SAFE}", name) or is_run_file(name)]
        repository.download(Path(temporary), wanted, commit)
        unpack(states)
        for path in filter(Path.is_file, run.rglob("*")):
            target = folder / path.relative_to(run)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
        (folder / STATES).mkdir(exist_ok=True)
        shutil.rmtree(folder / STATES / found, ignore_errors=True)  # a damaged one
        states.rename(folder / STATES / found)


def is_run_file(name: str) -> bool:
    """Whether a file of a repository is one of RUN_FILES, and nothing that would lie elsewhere."""
    patterns = (pattern.replace(".", r"\.").replace("*", r"[\w-]+(\.[\w-]+)*") for pattern in RUN_FILES)
    return any(re.fullmatch(f"{RUN}/{pattern}", name) for pattern in patterns)


def pack(checkpoint: Path, folder: Path) -> list[Path]:
    """Copies of a checkpoint's files in ``folder``, pickles as JSON and safetensors, without paths of this computer."""
    for path in checkpoint.iterdir():
        if path.suffix in PICKLED:
            save_state(load(path, map_location="cpu"), folder / path.name)
        elif path.suffix == ".safetensors":
            shutil.copy(path, folder)
    saved = saved_config(checkpoint)
    public = TrainConfig(**saved).public()
    options = {name: value for name, value in saved.items() if value is None or name in public}
    (folder / "config.json").write_text(json.dumps(options, indent=2))
    return sorted(folder.iterdir())


def unpack(folder: Path) -> None:
    """Turn what ``pack`` made into a checkpoint; UserError where it is damaged."""
    for path in sorted(folder.glob("*.json")):
        stem = path.with_suffix("")
        if stem.suffix not in PICKLED:
            continue
        try:
            save(load_state(stem), stem)
        except Exception as error:  # a damaged file can raise almost anything
            raise UserError(RESUMING.option, f"{path.name} on the Hub is damaged ({first_line(error)})") from error
        for suffix in (".json", ".safetensors"):
            stem.with_name(stem.name + suffix).unlink()
