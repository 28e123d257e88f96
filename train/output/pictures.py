"""What a run leaves for people: the weights folder with its pictures."""

import json
import shutil
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_model
from torch import nn

from model import Generator, image_grid, interpolate, latents_from_seeds
from train.output.files import whole, whole_folder, write_text
from train.output.weights_folder import DISCRIMINATOR

GRID_SEEDS = range(64)  # the faces of every sample grid
INTERPOLATION_STEPS = 10  # 11 pictures with both ends
PROGRESS_FRAMES = 60


def save_image(image: Image.Image, path: Path, **options) -> None:
    """Write a picture whole, in the format of its name."""
    with whole(path) as temporary:
        image.save(temporary, format=path.suffix[1:], **options)


def read_metrics(path: Path, seen: int) -> list[dict]:
    """The lines of a metrics.jsonl up to ``seen`` images; a torn last line is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in records if record["kimg"] * 1000 <= seen]


def device_name(device: torch.device) -> str:
    """'NVIDIA T4' or 'CPU (8 threads)'."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"


def plot_losses(metrics: list[dict], path: Path) -> None:
    """Both losses and the discriminator's accuracy on real and fake against kimg, as a PNG."""
    with matplotlib.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        kimg = [line["kimg"] for line in metrics]
        left.plot(kimg, [line["loss_d"] for line in metrics], label="discriminator", linewidth=1)
        left.plot(kimg, [line["loss_g"] for line in metrics], label="generator", linewidth=1)
        left.set(title="Loss", xlabel="thousand images seen")
        right.plot(kimg, [line["accuracy_real"] for line in metrics], label="real", linewidth=1)
        right.plot(kimg, [line["accuracy_fake"] for line in metrics], label="fake", linewidth=1)
        right.set(title="Discriminator's accuracy", xlabel="thousand images seen", ylim=(0, 1.02))
        for axes in (left, right):
            axes.legend(frameon=False)
        with whole(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def save_progress(grids: list[Path], path: Path, columns: int = 5) -> None:
    """An animated WebP of the top left corner of the sample grids, in order of training, at most 60 frames."""
    step = max(1, -(-len(grids) // PROGRESS_FRAMES))
    chosen = grids[::-1][::step][::-1]  # the last one is always in
    frames = []
    for grid in chosen:
        with Image.open(grid) as image:
            side = image.width // 8 * columns
            frames.append(image.convert("RGB").crop((0, 0, side, side)))
    durations = [120] * (len(frames) - 1) + [2000]
    save_image(frames[0], path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=75)


def save_weights(
    generator: Generator, discriminator: nn.Module, folder: Path, training: dict, metrics: dict | None = None
) -> None:
    """Write config.json, model.safetensors, training.json and, if known, metrics.json into ``folder``.

    discriminator.safetensors goes along, for fine-tuning. Whole: a new folder takes the place of the old one.
    """
    with whole_folder(folder) as temporary:
        generator.save_pretrained(temporary)
        save_model(discriminator, str(temporary / DISCRIMINATOR))
        for name in ("model.safetensors", DISCRIMINATOR):
            shutil.copymode(temporary / "config.json", temporary / name)  # not for the owner alone
        (temporary / "README.md").unlink(missing_ok=True)  # the mixin's stub; train.publish writes the card
        write_text(json.dumps(training, indent=2) + "\n", temporary / "training.json")
        if metrics:
            write_text(json.dumps(metrics, indent=2) + "\n", temporary / "metrics.json")


def save_pictures(generator: Generator, folder: Path, metrics: list[dict], grids: list[Path]) -> None:
    """Write samples.png (seeds 0 to 63), interpolation.png (11 steps), losses.png and progress.webp."""
    save_image(image_grid(generator.generate(GRID_SEEDS)), folder / "samples.png")
    path = interpolate(latents_from_seeds([0, 1], generator.latent_dim), INTERPOLATION_STEPS)
    save_image(image_grid(generator.generate(z=path), columns=len(path)), folder / "interpolation.png")
    if metrics:
        plot_losses(metrics, folder / "losses.png")
    if grids:
        save_progress(grids, folder / "progress.webp")
