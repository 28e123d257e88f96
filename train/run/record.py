"""What a run says about itself: the plan before the first step, skipped.txt, and training.json."""

from pathlib import Path

import accelerate
import torch
from accelerate import Accelerator

from model.directions import weights_digest
from train.config import TrainConfig
from train.data.dataset import ImageSet
from train.errors import printable
from train.run.run_log import Progress

SHOWN = 10  # files that were skipped, in the plan; the others are in SKIPPED
SKIPPED = "skipped.txt"


def device_name(device: torch.device) -> str:
    """'NVIDIA T4', 'Apple GPU (MPS)' or 'CPU (8 threads)'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return "Apple GPU (MPS)" if device.type == "mps" else f"{device.type.upper()} device"
    threads = torch.get_num_threads()
    return f"CPU ({threads} thread{'s' if threads > 1 else ''})"


def skipped_files(data: ImageSet) -> str:
    """A line for each remark and for each picture that is not trained on, and why."""
    lines = [*data.remarks, *(f"{printable(name)}: {why}" for name, why in data.unreadable)]
    lines += [f"{printable(name)}: the same picture as {printable(first)}" for name, first in data.duplicate_files]
    return "".join(f"{line}\n" for line in lines)


def plan(
    config: TrainConfig, data: ImageSet, parameters: dict[str, int], progress: Progress, accelerator: Accelerator
) -> str:
    """The plan, for people."""
    left_out = f"{data.duplicates} duplicates and {len(data.unreadable)} unreadable left out"
    size = " and ".join(f"{count / 1e6:.2f} M ({name})" for name, count in parameters.items())
    hardware = f"{accelerator.num_processes} x {device_name(accelerator.device)}"
    hardware += f", precision {accelerator.mixed_precision}" + (", compiled" if config.compile else "")
    batch = config.train_batch_size * accelerator.num_processes
    length = f"{progress.seen / 1000:g} to {config.max_train_kimg:g} kimg"
    if progress.seen >= config.max_train_kimg * 1000:
        length = f"nothing is left to do: {progress.seen / 1000:g} kimg were seen, and --max_train_kimg is "
        length += f"{config.max_train_kimg:g}"
    lines = {
        "data": f"{data.name}: {len(data.images)} pictures of {data.found} found, {left_out}",
        "networks": f"{size} parameters, {config.resolution}x{config.resolution} pixels",
        "hardware": hardware,
        "training": f"{config.loss} loss, {batch} images a step, {length}",
        "output": str(config.run_folder),
    }
    notes = [*data.remarks, *(f"skipped {printable(name)}: {why}" for name, why in data.unreadable[:SHOWN])]
    if (more := len(data.unreadable) - SHOWN) > 0:
        notes.append(f"and {more} more; '{config.run_folder / SKIPPED}' names all")
    return "\n".join([*(f"{name:<10}{text}" for name, text in lines.items()), *(f"  {note}" for note in notes)])


def other_pictures(progress: Progress, data: ImageSet) -> str | None:
    """Remember what is trained on from here; a sentence where a resumed run was trained on something else."""
    entry = {"name": data.name, "images": len(data.images), "fingerprint": data.fingerprint}
    before = progress.history[-1] if progress.history else None
    if before and before["fingerprint"] == data.fingerprint:
        return None
    progress.history.append(entry | {"from_kimg": progress.seen / 1000})
    if not before:
        return None
    known = f"'{before['name']}' ({before['images']} pictures)"
    return f"from here on the run goes on with other pictures: '{data.name}' ({len(data.images)}), not {known}"


def public_origin(source: str) -> str:
    """What --init_from named, as others may read it: an id on the Hub, or which weights, not where they lie."""
    folder = Path(source)
    return f"local weights, SHA-256 {weights_digest(folder)}" if folder.is_dir() else source


def training_record(
    config: TrainConfig, data: ImageSet, parameters: dict[str, int], progress: Progress, accelerator: Accelerator
) -> dict:
    """How the weights came about: training.json. It is published, so no path of this computer is in it."""
    earlier = [{k: one[k] for k in ("name", "images", "from_kimg")} for one in progress.history[:-1]]
    return {
        "kimg": progress.seen / 1000,
        "images_seen": progress.seen,
        "hours": round(progress.seconds / 3600, 3),
        "img_per_s": round(progress.seen / max(progress.seconds, 1e-9), 1),
        "device": f"{accelerator.num_processes} x {device_name(accelerator.device)}",
        "dataset": {
            "name": data.name,
            "images": len(data.images),
            "found": data.found,
            "duplicates": data.duplicates,
            "unreadable": len(data.unreadable),
            "provenance": config.data_provenance,
        }
        | ({"earlier": earlier} if earlier else {}),
        "parameters": parameters,
        "config": config.public() | {"mixed_precision": accelerator.mixed_precision},
        "versions": {"torch": torch.__version__, "accelerate": accelerate.__version__},
    } | ({"began_from": progress.origin} if progress.origin else {})
