"""What a training leaves in its output folder, for whoever must tell that from pictures and from weights."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from train.errors import UserError, printable
from train.output.files import make_writable

LOG = "metrics.jsonl"
PICTURES = ("reals.png", "fakes_init.png")
FOLDERS = ("weights", "samples", "best", "checkpoints")
FILES = (LOG, "quality.jsonl", "skipped.txt", *PICTURES)


WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx")  # suffixes of files that hold weights


def make_output(folder: Path) -> None:
    """Make a training's output folder; UserError where it, or what belongs in it, cannot be written."""
    for name in (*FOLDERS, *FILES):
        path, is_folder = folder / name, name in FOLDERS
        if (path.exists() or path.is_symlink()) and not (path.is_dir() if is_folder else path.is_file()):
            kinds = "a folder" if is_folder else "a file"
            raise UserError("--output_dir", f"'{path}' is in the way, {kinds} is to be there; move it or give another")
    try:
        str(folder).encode()
        make_writable(folder)
    except OSError as error:
        sentence = f"'{folder}' cannot be written ({error.strerror}); give another"
        raise UserError("--output_dir", sentence) from error
    except UnicodeEncodeError:
        sentence = f"'{printable(str(folder))}' is no name in UTF-8, which weights need; give another"
        raise UserError("--output_dir", sentence) from None


def is_run(folder: Path) -> bool:
    """Whether a folder is evidently the output of a training."""
    known = any((folder / name).is_file() for name in (LOG, *PICTURES))  # a copy may lack one or the other
    return known and any((folder / name).is_dir() for name in FOLDERS)


def run_of(path: Path, inside: tuple[str, ...]) -> Path | None:
    """The training that ``path``, or where links lead it, lies in: it itself, or ``inside`` these of its folders."""
    for place in dict.fromkeys((path.absolute(), path.resolve())):
        above = ((place, ""), (place.parent, place.name), (place.parent.parent, place.parent.name))
        found = [run for run, name in above if name in ("", *inside) and is_run(run)]
        if found:
            return found[0]
    return None


def refuse_run(path: Path, option: str) -> None:
    """Refuse a training's output folder, its grids and its checkpoints, and a lone file, where weights are wanted.

    Raises:
        UserError: that is what ``path`` is; names its weights.
    """
    if run := run_of(path, ("samples", "checkpoints")):
        sentence = f"'{path.absolute()}' belongs to a training and is no weights folder; give '{run / 'weights'}'"
        raise UserError(option, sentence)
    if path.suffix in WEIGHTS and path.is_file():
        raise UserError(option, f"'{path}' is a file; give the folder that it is in, with its config.json")


def refuse_grids(path: Path, option: str) -> None:
    """Refuse what a training drew, where pictures are wanted; UserError."""
    if path.is_dir() and (run := run_of(path, FOLDERS)) and run.resolve() != path.resolve():  # of a whole run all goes
        sentence = (
            f"'{path}' belongs to the training in '{run}', and its grids are no pictures to learn from or measure"
        )
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
