"""How fast the training loop is, next to a plain loop and to what the networks alone allow.

    python -m train.benchmark --train_data_dir faces.zip
    python -m train.benchmark --train_data_dir faces.zip --steps 50 --workers 8 --train_batch_size 128
    python -m train.benchmark --train_data_dir faces.zip --steps 337 --rounds 1 --cold

The loops take turns in one process, with the same networks, loss, gradient penalty and batch size:

ours   train.py's own loop: its data, augmentation, precision, moving average and logging.
library  ours without train/gan/matmuls.py, on a CPU alone: every convolution is the library's.
float32  ours in full precision, where its own is bf16.
plain  written as PyTorch's DCGAN example is: picture files, DataLoader workers, torchvision transforms per image,
       float32, the losses read by .item() in every step; no augmentation, no moving average.
bound  forward, backward and optimizer steps on one batch of random numbers in ours' precision and memory format: no
       data, no augmentation, no moving average, nothing read.
cold   with --cold: ours as on a set far beyond the memory: the system is made to forget all but the next batch.

Prints the median over rounds. Grids, checkpoints and measurements, which come every 25 kimg, are left out of ours.
"""

import argparse
import mmap
import os
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from train.config import TrainConfig
from train.data.batches import Batches
from train.data.choice import is_image
from train.errors import UserError, run
from train.gan.matmuls import use_matmuls
from train.run.precision import full_precision
from train.run.record import device_name
from train.run.reference_loops import HALVES, Cold, bound, plain
from train.run.setup import set_up
from train.run.trainer import Trainer


def bytes_read() -> int:
    """What this process has had from the disk so far."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512


def matmul_rate(device: torch.device, dtype: torch.dtype, side: int = 8192) -> float:
    """Measured floating point operations per second of a large matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for repeats in (3, 20):  # the first round warms up
        wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            a @ b
        wait(device)
    return 2 * side**3 * repeats / (time.perf_counter() - start)


def wait(device: torch.device) -> None:
    """Until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """How long ``steps`` calls take."""
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return time.perf_counter() - start


def unpacked(source: Path, folder: Path) -> Path:
    """The folder itself, or a zip's pictures as files of plain names."""
    if source.is_dir():
        return source
    with zipfile.ZipFile(source) as archive:
        members = [member for member in archive.infolist() if is_image(member.filename)]
        for i, member in enumerate(members):
            (folder / f"{i}{Path(member.filename).suffix}").write_bytes(archive.read(member))
    return folder


def our_step(trainer: Trainer, batches: Batches) -> None:
    """One step of the trainer on the next of these batches."""
    trainer.batches = batches
    trainer.advance()
    trainer.upkeep()


def library_step(trainer: Trainer, batches: Batches) -> None:
    """The same with all convolutions by the library."""
    for network in (trainer.G, trainer.D):
        use_matmuls(network, False)
    our_step(trainer, batches)
    for network in (trainer.G, trainer.D):
        use_matmuls(network)


def float32_step(trainer: Trainer, batches: Batches) -> None:
    """The same in full precision."""
    with full_precision(trainer.G), full_precision(trainer.D):
        our_step(trainer, batches)


def compare(trainer: Trainer, folder: Path, steps: int, rounds: int, workers: int, cold: Path | None) -> None:
    """Time the loops in turns and print the table."""
    config, device, precision = trainer.config, trainer.accelerator.device, trainer.accelerator.mixed_precision
    loops = {
        "plain": plain(config, unpacked(Path(config.train_data_dir), folder), device, workers),
        "bound": bound(config, device, precision),
    }
    calls = {"ours": partial(our_step, trainer, trainer.batches)}
    if device.type == "cpu" and not config.compile:
        calls["library"] = partial(library_step, trainer, trainer.batches)
    if precision == "bf16" and not config.compile:  # fp16 also scales its gradients
        calls["float32"] = partial(float32_step, trainer, trainer.batches)
    calls |= {name: loop.__next__ for name, loop in loops.items()}
    if cold:
        os.sync()  # what is not on the disk yet cannot be forgotten
        images = np.load(cold, mmap_mode="r")
        batches = Cold(images, config.train_batch_size, seed=1, device=device, resident=False)
        calls["cold"] = partial(our_step, trainer, batches)
    # Not counted at the start of a turn: kernels are chosen; the workers' stock of batches is used up or filled again.
    lead = max(2 * config.penalty_interval, 2 * workers)
    times: dict[str, list[float]] = {name: [] for name in calls}
    read = 0
    for _ in range(rounds):
        for name, call in calls.items():
            seconds(call, lead, device)
            before = bytes_read() if cold else 0
            times[name].append(seconds(call, steps, device))
            read = bytes_read() - before if cold else 0  # cold comes last
    ours = f"{precision}, compiled" if config.compile else precision
    detail = {
        "ours": ours,
        "library": ours,
        "float32": "no",
        "plain": f"float32, {workers} workers",
        "bound": precision,
    }
    detail["cold"] = f"{ours}, {read / steps / 1000:.0f} kB from the disk a step"
    place = "GPU's memory" if trainer.batches.on_device else "host's memory or disk"
    print(f"\n{device_name(device)}, precision {precision}, data in the {place}")
    print(f"batch {config.train_batch_size}, {rounds} rounds of {steps} steps each")
    report(times, detail, steps, config.train_batch_size)
    if device.type == "cuda":
        report_flops(calls["bound"], statistics.median(times["ours"]) / steps, config, device, precision)


def report(times: dict[str, list[float]], detail: dict[str, str], steps: int, batch: int) -> None:
    """Print the table of the seconds that the rounds took."""
    step = {name: statistics.median(values) / steps for name, values in times.items()}
    print(f"{'loop':<8}{'ms per step':>12}{'images per s':>14}{'slowest round':>15}   precision")
    for name, value in step.items():
        slowest = batch * steps / max(times[name])
        print(f"{name:<8}{value * 1e3:>12.1f}{batch / value:>14.1f}{slowest:>15.1f}   {detail[name]}")
    print(f"\nours is {step['plain'] / step['ours']:.2f} times as fast as plain and reaches "
          f"{step['bound'] / step['ours']:.2f} of the bound")  # fmt: skip
    if "library" in step:
        print(f"convolutions as matrix products make it {step['library'] / step['ours']:.3f} times as fast")
    if "float32" in step:
        print(f"half precision makes it {step['float32'] / step['ours']:.2f} times as fast")
    if "cold" in step:
        print(f"from the disk it runs at {step['ours'] / step['cold']:.3f} of that speed")


def report_flops(
    call: Callable[[], object], step: float, config: TrainConfig, device: torch.device, precision: str
) -> None:
    """Print the arithmetic of a step that takes ``step`` seconds, next to what the device can do."""
    with FlopCounterMode(display=False) as counter:  # over a whole cycle of the penalty
        for _ in range(config.penalty_interval):
            call()
    flops = counter.get_total_flops() / config.penalty_interval
    rate = matmul_rate(device, HALVES.get(precision, torch.float32))
    print(f"{flops / 1e9:.1f} GFLOP a step; ours runs {flops / step / 1e12:.1f} TFLOP/s, "
          f"{flops / step / rate:.1%} of the {rate / 1e12:.1f} of a large matrix product")  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data_dir", type=os.path.expanduser, required=True, help="folder or zip of pictures")
    parser.add_argument("--cache_dir", type=os.path.expanduser, help="where decoded pictures are kept")
    parser.add_argument("--steps", type=int, default=20, help="steps of each loop in a round [20]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds [3]")
    parser.add_argument("--train_batch_size", type=int, default=TrainConfig.train_batch_size, help="images a step [64]")
    parser.add_argument("--workers", type=int, default=2, help="DataLoader workers of the plain loop [2]")
    parser.add_argument("--resolution", type=int, default=64, choices=(32, 64, 128), help="side in pixels [64]")
    parser.add_argument(
        "--mixed_precision", default="auto", choices=("auto", "no", "bf16", "fp16"), help="of ours [auto]"
    )
    parser.add_argument("--compile", action="store_true", help="ours with compiled networks; the bound without")
    parser.add_argument("--cold", action="store_true", help="also time a set beyond the memory (Linux)")
    return parser


def work(steps: int, rounds: int, workers: int, cold: bool, **options: object) -> None:
    for name, value, least in (("steps", steps, 1), ("rounds", rounds, 1), ("workers", workers, 0)):
        if value < least:
            raise UserError(f"--{name}", f"{value} is not at least {least}")
    if cold and not (hasattr(mmap, "MADV_DONTNEED") and hasattr(os, "posix_fadvise")):
        raise UserError("--cold", "this system cannot be told to forget a file; leave the option out")
    never = {"sample_kimg": 1e6, "checkpointing_kimg": 1e6, "metric_kimg": 1e6}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "files").mkdir()
        config = TrainConfig(**options, output_dir=f"{folder}/run", max_train_kimg=1e6, **never)
        if problems := config.problems():
            raise UserError(None, problems[0])
        trainer = set_up(config)
        cache = Path(trainer.data.images.filename)
        with tempfile.TemporaryDirectory(dir=cache.parent if cold else None) as beside:
            path = shutil.copy(cache, beside) if cold else None  # a file of its own, that nothing else keeps in memory
            compare(trainer, Path(folder) / "files", steps, rounds, workers, path)


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    options = vars(parser.parse_args(argv))
    return run(partial(work, **options), parser)


if __name__ == "__main__":
    sys.exit(main())
