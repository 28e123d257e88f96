"""Full training states on disk: written whole or not at all, loaded for an exact resume, old ones pruned."""

import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import SAFE_WEIGHTS_NAME, SCALER_NAME

from train.errors import UserError
from train.run.interrupt import lost_rank

PREFIX = "images-"
NAME = re.compile(PREFIX + "([0-9]{12,})")  # nothing else is ours, whatever it looks like


def candidates(folder: Path) -> list[Path]:
    """What bears the name of a checkpoint in ``folder``, whole or damaged, oldest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=images_seen)


def images_seen(checkpoint: Path) -> int:
    """After how many images a checkpoint of this folder was made, by its name."""
    return int(checkpoint.name.removeprefix(PREFIX))


def is_whole(path: Path) -> bool:
    """Whether a folder is a checkpoint whose options can be read, which are written last, and no file is cut short."""
    try:
        options = saved_config(path)
        states = [file for file in path.glob("*.bin") if not zipfile.is_zipfile(file)]  # as PyTorch writes them
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(options, dict) or "base_channels" in options:  # that is a generator's config.json
        return False
    return bool(options) and not states


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in ``folder``, oldest first."""
    return [path for path in candidates(folder) if is_whole(path)]


def find_checkpoint(folder: Path, resume_from: str) -> Path | None:
    """The checkpoint that ``--resume_from_checkpoint`` names; None for 'latest' when there is none yet.

    Raises:
        UserError: a named folder that is not a checkpoint.
    """
    if resume_from == "latest":
        whole = checkpoints(folder)
        for path in candidates(folder)[::-1]:
            if path in whole:
                return path
            print(f"the checkpoint '{path}' is damaged and passed over", file=sys.stderr)
        return None
    for path in (Path(resume_from), folder / resume_from):
        if is_whole(path):
            return path
        if (path / SAFE_WEIGHTS_NAME).exists() and not (path / "optimizer.bin").exists():
            sentence = f"'{path}' holds weights and no state to go on from; to begin with them give --init_from"
            raise UserError("--resume_from_checkpoint", sentence)
        if (path / "config.json").exists():
            sentence = f"'{path}' is damaged: its options or a file that is not whole; give 'latest' or another"
            raise UserError("--resume_from_checkpoint", sentence)
        if there := checkpoints(path / "checkpoints") or checkpoints(path):
            raise UserError("--resume_from_checkpoint", f"'{path}' is no checkpoint but holds some; give '{there[-1]}'")
    names = ", ".join(path.name for path in checkpoints(folder)) or f"those that training leaves in {folder}"
    raise UserError("--resume_from_checkpoint", f"no checkpoint in '{resume_from}'; give 'latest' or one of {names}")


def save_checkpoint(accelerator: Accelerator, folder: Path, seen: int, config: dict, limit: int) -> Path:
    """Save everything that ``accelerator`` prepared or registered; call it on all ranks.

    Written under a temporary name, flushed and renamed, so that a crash, a kill or a full disk leaves the
    checkpoints before it as they were. Keeps the newest ``limit`` up to it; after a resume from an older one, those of
    the course that was given up go.

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
            whole = checkpoints(folder)
            ours = [path for path in whole if images_seen(path) <= seen][-limit:]
            for other in set(whole) - set(ours):
                shutil.rmtree(other, ignore_errors=True)
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
    scaler = accelerator.scaler
    if not (path / SCALER_NAME).exists():  # of a run in another precision
        accelerator.scaler = None
    try:
        accelerator.load_state(str(path))
    except Exception as error:
        raise UserError(
            "--resume_from_checkpoint",
            f"'{path}' cannot be read ({type(error).__name__}: {error}); "
            "remove that folder to go on from the one before it",
        ) from error
    finally:
        accelerator.scaler = scaler


def saved_config(path: Path) -> dict:
    """The options that the checkpoint's training ran with."""
    return json.loads((path / "config.json").read_text())
