"""What a training leaves in its output folder, for whoever must tell that from pictures and from weights."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from train.errors import UserError
from train.output.files import make_writable

LOG = "metrics.jsonl"
PICTURES = ("reals.png", "fakes_init.png")
FOLDERS = ("weights", "samples", "best", "checkpoints")


def make_output(folder: Path) -> None:
    """Make a training's output folder; UserError where it cannot be written."""
    try:
        make_writable(folder)
    except OSError as error:
        sentence = f"'{folder}' cannot be written ({error.strerror}); give another"
        raise UserError("--output_dir", sentence) from error


def is_run(folder: Path) -> bool:
    """Whether a folder is evidently the output of a training."""
    return (folder / LOG).is_file() and any((folder / name).is_dir() for name in FOLDERS)


def refuse_run(path: Path, option: str) -> None:
    """Refuse a training's output folder, its grids and its checkpoints where weights are wanted.

    Raises:
        UserError: that is what ``path`` is; names its weights.
    """
    path = path.absolute()
    for run, inside in ((path, ""), (path.parent, path.name), (path.parent.parent, path.parent.name)):
        if inside in ("", "samples", "checkpoints") and is_run(run):
            sentence = f"'{path}' belongs to a training and is no weights folder; give '{run / 'weights'}'"
            raise UserError(option, sentence)


def left_by_runs(names: Iterable[str]) -> set[str]:
    """Those of ``names``, relative files, that trainings among them left: grids, samples, weights."""
    paths = {name: PurePosixPath(name.replace("\\", "/")) for name in names}  # as some zips have it
    runs = {path.parent for path in paths.values() if path.name == LOG}
    found = set()
    for name, path in paths.items() if runs else ():
        for run in runs.intersection(path.parents):
            first = path.relative_to(run).parts[0]
            if first in FOLDERS or first in PICTURES:
                found.add(name)
    return found
