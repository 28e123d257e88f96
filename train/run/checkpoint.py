"""Full training states on disk: written whole or not at all, loaded for an exact resume, old ones pruned."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from accelerate import Accelerator

from train.errors import UserError
from train.run.interrupt import lost_rank

PREFIX = "images-"


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in ``folder``, oldest first; folders of other names are not ours."""
    ours = (path for path in folder.glob(f"{PREFIX}*") if re.fullmatch(f"{PREFIX}[0-9]{{12,}}", path.name))
    return sorted(path for path in ours if (path / "config.json").is_file())


def find_checkpoint(folder: Path, resume_from: str) -> Path | None:
    """The checkpoint that ``--resume_from_checkpoint`` names; None for 'latest' when there is none yet.

    Raises:
        UserError: a named folder that is not a checkpoint.
    """
    if resume_from == "latest":
        for path in reversed(checkpoints(folder)):
            if is_whole(path):
                return path
            print(f"'{path}' is damaged and passed over", file=sys.stderr)
        return None
    for path in (Path(resume_from), folder / resume_from):
        if (path / "config.json").is_file():
            if not is_whole(path):
                sentence = f"the config.json of '{path}' is damaged; give another checkpoint or 'latest'"
                raise UserError("--resume_from_checkpoint", sentence)
            return path
    names = ", ".join(path.name for path in checkpoints(folder)) or f"those that training leaves in {folder}"
    raise UserError("--resume_from_checkpoint", f"no checkpoint in '{resume_from}'; give 'latest' or one of {names}")


def is_whole(path: Path) -> bool:
    """Whether a checkpoint's options can be read: a crash of the machine can leave empty files."""
    try:
        return isinstance(saved_config(path), dict)
    except (OSError, ValueError):
        return False


def save_checkpoint(accelerator: Accelerator, folder: Path, seen: int, config: dict, limit: int) -> Path:
    """Save everything that ``accelerator`` prepared or registered; call it on all ranks.

    Written under a temporary name, flushed and renamed, so that a crash, a kill or a full disk leaves the
    checkpoints before it as they were. Keeps the newest ``limit``.

    Raises:
        UserError: the folder cannot be written.
    """
    final, temporary = folder / f"{PREFIX}{seen:012d}", folder / ".writing"
    try:
        if accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (temporary / "config.json").write_text(json.dumps(config, indent=2))
            for path in temporary.iterdir():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            shutil.rmtree(final, ignore_errors=True)
            temporary.replace(final)
            for old in checkpoints(folder)[:-limit]:
                shutil.rmtree(old, ignore_errors=True)
    except Exception as error:  # safetensors, torch and the OS each raise their own for a full disk
        shutil.rmtree(temporary, ignore_errors=True)
        if lost_rank(error):
            raise
        kept = next(reversed(checkpoints(folder)), None)
        raise UserError(
            "--output_dir",
            f"the checkpoint could not be written to '{folder}' ({error}); free some space and go on "
            f"with --resume_from_checkpoint latest ({f'{kept.name} is kept' if kept else 'none was saved before'})",
        ) from error
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(accelerator: Accelerator, path: Path) -> None:
    """Restore what was prepared and registered, random states included.

    Raises:
        UserError: files are missing or damaged.
    """
    try:
        accelerator.load_state(str(path))
    except Exception as error:
        raise UserError(
            "--resume_from_checkpoint",
            f"'{path}' cannot be read ({type(error).__name__}: {error}); "
            "remove that folder to go on from the one before it",
        ) from error


def saved_config(path: Path) -> dict:
    """The options that the checkpoint's training ran with."""
    return json.loads((path / "config.json").read_text())
