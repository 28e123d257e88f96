"""What others may read of a training's record: nothing about the folders of the computer that wrote it."""

import dataclasses
import json
import re
from pathlib import Path, PureWindowsPath
from typing import Any

from train.config import TrainConfig
from train.output.files import read_json

# From the top of a disk, the home or here: /a/b, ~/b, ~me/b, ./b, ../b, C:\b, \\server\b
LOCAL = re.compile(r"(/|~[\w.-]*[/\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\)")
PLACES = {field.name for field in dataclasses.fields(TrainConfig) if field.metadata["metavar"] in ("PATH", "FILE")}


def without_folders(value: Any) -> Any:
    """JSON data in which a path of a computer is its last part alone."""
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_folders(one) for one in value]
    return PureWindowsPath(value).name if isinstance(value, str) and LOCAL.match(value) else value


def public_record(path: Path) -> bytes:
    """A training.json or metrics.json as it is published; the very bytes where nothing is private.

    Those that older versions wrote can hold folders. Options that name places are left out.

    Raises:
        UserError: not a JSON object.
    """
    data = read_json(path)
    public = without_folders(data)
    if isinstance(options := public.get("config"), dict):
        public["config"] = {name: value for name, value in options.items() if name not in PLACES}
    return path.read_bytes() if public == data else (json.dumps(public, indent=2) + "\n").encode()
