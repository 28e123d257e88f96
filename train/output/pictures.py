"""The pictures of a run: grids, loss curves, and how faces grew."""

import math
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from model import Generator, image_grid, interpolate, latents_from_seeds
from model.directions import weights_digest
from train.output.files import atomic_file
from train.output.made_from import mark

GRID_SEEDS = range(64)  # the faces of every sample grid
INTERPOLATION_STEPS = 10  # 11 pictures with both ends
PROGRESS_FRAMES = 60


def sample_grids(folder: Path) -> list[Path]:
    """The sample grids in ``folder``, named by the images seen, in order; other pictures there are not ours."""
    return sorted(path for path in folder.glob("*.png") if re.fullmatch("[0-9]{12,}", path.stem))


def save_image(image: Image.Image, path: Path, **options) -> None:
    """Write a picture whole, in the format of its suffix."""
    with atomic_file(path) as temporary:
        image.save(temporary, format=path.suffix[1:], **options)


def plot_losses(metrics: list[dict], path: Path, exif: Image.Exif) -> None:
    """Both losses and the discriminator's accuracy on real and fake against kimg, as a PNG with ``exif`` in it."""
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
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110, pil_kwargs={"exif": exif})


def save_progress(grids: list[Path], path: Path, columns: int = 5, **options) -> None:
    """An animated WebP of the top left corner of the sample grids, in order of training, at most 60 frames."""
    step = max(1, math.ceil(len(grids) / PROGRESS_FRAMES))
    first = (len(grids) - 1) % step  # so that the last one is always in
    frames = []
    for grid in grids[first::step]:
        with Image.open(grid) as image:
            side = image.width // 8 * columns
            frames.append(image.convert("RGB").crop((0, 0, side, side)))
    durations = [120] * (len(frames) - 1) + [2000]
    options |= dict(save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=75)
    save_image(frames[0], path, **options)


def save_pictures(generator: Generator, folder: Path, metrics: list[dict], grids: list[Path]) -> None:
    """Write samples.png (seeds 0 to 63), interpolation.png (11 steps), losses.png and progress.webp.

    They say that they are of the model.safetensors in ``folder``, which must be the generator's.
    """
    exif = mark(weights_digest(folder))
    save_image(image_grid(generator.generate(GRID_SEEDS)), folder / "samples.png", exif=exif)
    path = interpolate(latents_from_seeds([0, 1], generator.latent_dim), INTERPOLATION_STEPS)
    save_image(image_grid(generator.generate(z=path), columns=len(path)), folder / "interpolation.png", exif=exif)
    if metrics:
        plot_losses(metrics, folder / "losses.png", exif)
    if grids:
        save_progress(grids, folder / "progress.webp", exif=exif)
