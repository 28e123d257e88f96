"""The weights folder: what is in it, whether it is sound, and what of it and beside it makes a model repository."""

import shlex
from pathlib import Path

from model import Generator
from model.explore import weights_digest
from model.files import read_tensors
from train.release.card import read_json

ROOT = Path(__file__).resolve().parents[2]
HUB_FILES = ROOT / "train" / "release" / "hub_files"  # what goes to the Hub as it is
DISCRIMINATOR = "discriminator.safetensors"  # for fine-tuning
WEIGHTS = ("config.json", "model.safetensors")
PICTURES = ("samples.png", "interpolation.png", "losses.png", "progress.webp")
DIRECTIONS = ("directions.safetensors", "directions.json", "directions.png")
# Nothing but these of a weights folder is ever uploaded, whatever else lies in it.
FILES = (*WEIGHTS, DISCRIMINATOR, "README.md", *PICTURES, "training.json", "metrics.json", *DIRECTIONS)
MODELS = ("onnx/model.onnx", "onnx/model_fp16.onnx")
ONNX = (*MODELS, "onnx/latents.json", "onnx/measured.json")
PACKAGE = "anime_dcgan"  # what model/ is called in other code, handler.py on the Hub included


def check_weights(folder: str | Path) -> None:
    """Make sure that a weights folder can be published: what is in it loads, strictly, and is finite.

    Raises:
        ValueError: one sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"weights_folder: no folder '{folder}'; give the one that the trainer left")
    for name in WEIGHTS:
        if not (folder / name).is_file():
            raise ValueError(f"weights_folder: no {name} in '{folder}'; give the folder that the trainer left")
    try:
        read_json(folder / "config.json")
        Generator.from_pretrained(folder)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weights_folder: {error}") from None
    if (folder / DISCRIMINATOR).is_file():
        try:
            read_tensors(folder / DISCRIMINATOR)
        except ValueError:
            raise ValueError(f"weights_folder: {DISCRIMINATOR} is damaged; remove it or give another folder") from None


def check_onnx(folder: Path) -> None:
    """Make sure that the ONNX files are there and of these very weights; ValueError, one sentence, if not."""
    command = shlex.join(["python", "-m", "train.to_onnx", str(folder)])
    for name in ONNX:
        if not (folder / name).is_file():
            raise ValueError(f"weights_folder: no {name} in '{folder}'; make it: {command}")
    digest = weights_digest(folder).encode()
    for name in MODELS:
        if digest not in (folder / name).read_bytes():
            raise ValueError(f"weights_folder: {name} was made of other weights; make it anew: {command}")


def model_files(folder: str | Path) -> dict[str, Path]:
    """What a model repository consists of: names there, and the files here; the card may yet have to be written.

    Raises:
        ValueError: ONNX files are missing or of other weights; one sentence.
    """
    folder = Path(folder)
    files = {name: folder / name for name in FILES if (folder / name).is_file() or name == "README.md"}
    if (folder / MODELS[0]).is_file():
        check_onnx(folder)
        files |= {name: folder / name for name in ONNX}
        files["onnx/latents.mjs"] = HUB_FILES / "latents.mjs"
    files["LICENSE"] = ROOT / "LICENSE"
    files["handler.py"] = HUB_FILES / "handler.py"
    return files | {f"{PACKAGE}/{path.name}": path for path in sorted((ROOT / "model").glob("*.py"))}
