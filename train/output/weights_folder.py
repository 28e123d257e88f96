"""The weights folder: the names of its files, writing it, and whether it is sound."""

import shlex
import shutil
from pathlib import Path

from PIL import Image
from safetensors.torch import save_model
from torch import nn

from model import Generator
from model.directions import weights_digest
from model.files import read_tensors
from train.errors import UserError, blame
from train.output.files import read_json, replace_folder, write_json
from train.output.run_folder import refuse_run

OPTION = "weights_folder"
DISCRIMINATOR = "discriminator.safetensors"  # for fine-tuning
INDEX = "faces.safetensors"  # what the faces of many seeds look like, to find them by a wish
GENERATOR_FILES = ("config.json", "model.safetensors")
TRAINING_FILES = ("training.json", "metrics.json")
PICTURE_FILES = ("samples.png", "interpolation.png", "losses.png", "progress.webp")
DIRECTION_FILES = ("directions.safetensors", "directions.json", "directions.png", "faces.safetensors")
ONNX_MODELS = ("onnx/model.onnx", "onnx/model_fp16.onnx")
ONNX_FILES = (*ONNX_MODELS, "onnx/latents.json", "onnx/measured.json")


def save_weights(
    generator: Generator, discriminator: nn.Module, folder: Path, training: dict, metrics: dict | None = None
) -> None:
    """Write config.json, model.safetensors, training.json and, if known, metrics.json into ``folder``.

    discriminator.safetensors goes along, for fine-tuning. All say the digest of the weights that they are of. Whole: a
    new folder takes the place of the old one.
    """
    with replace_folder(folder) as temporary:
        generator.save_pretrained(temporary)
        of = {"weights": weights_digest(temporary)}
        save_model(discriminator, str(temporary / DISCRIMINATOR), metadata=of)
        for name in ("model.safetensors", DISCRIMINATOR):
            shutil.copymode(temporary / "config.json", temporary / name)  # not for the owner alone
        (temporary / "README.md").unlink(missing_ok=True)  # the mixin's stub; train.publish writes the card
        write_json(training | of, temporary / "training.json")
        if metrics:
            write_json(metrics | of, temporary / "metrics.json")


def check_weights(folder: Path) -> None:
    """Make sure that a weights folder can be published: what is in it loads, strictly, numbers are finite.

    Raises:
        UserError: it cannot.
    """
    refuse_run(folder, OPTION)
    if not folder.is_dir():
        raise UserError(OPTION, f"no folder '{folder}'; give the one that the trainer left")
    for name in GENERATOR_FILES:
        if not (folder / name).is_file():
            raise UserError(OPTION, f"no {name} in '{folder}'; give the folder that the trainer left")
    with blame(OPTION):
        read_json(folder / "config.json")
        Generator.from_pretrained(folder)
    check_beside(folder)


def check_beside(folder: Path) -> None:
    """Make sure that what lies beside a generator can be read; UserError if not."""
    for name in (DISCRIMINATOR, DIRECTION_FILES[0], INDEX):
        if (folder / name).is_file():
            try:
                read_tensors(folder / name)
            except ValueError:
                raise UserError(OPTION, f"{name} is damaged; remove it or give another folder") from None
    for name in (*PICTURE_FILES, DIRECTION_FILES[2]):
        if (folder / name).is_file():
            try:
                with Image.open(folder / name) as picture:
                    picture.load()
            except (OSError, SyntaxError, ValueError):
                raise UserError(OPTION, f"{name} is no picture; remove it or give another folder") from None


def check_onnx(folder: Path) -> None:
    """Make sure that the ONNX files are there and of these very weights; UserError if not."""
    command = shlex.join(["python", "-m", "train.to_onnx", str(folder)])
    for name in ONNX_FILES:
        if not (folder / name).is_file():
            raise UserError(OPTION, f"no {name} in '{folder}'; make it: {command}")
    digest = weights_digest(folder).encode()
    for name in ONNX_MODELS:
        if digest not in (folder / name).read_bytes():
            raise UserError(OPTION, f"{name} was made of other weights; make it anew: {command}")
