"""How fast the training loop is, next to a plain loop and to what the networks alone allow.

    python -m train.benchmark --train_data_dir faces.zip
    python -m train.benchmark --train_data_dir faces.zip --steps 50 --workers 8 --train_batch_size 128
    python -m train.benchmark --train_data_dir faces.zip --steps 337 --rounds 1 --cold

The loops take turns in one process, with the same networks, loss, gradient penalty and batch size:

ours   train.py's own loop: its data, augmentation, precision, moving average and logging.
library  ours without train/matmuls.py, on a CPU alone: every convolution is the library's.
plain  written as PyTorch's DCGAN example is: picture files, DataLoader workers, torchvision transforms per image,
       float32, the losses read by .item() in every step; no augmentation, no moving average.
bound  forward, backward and optimizer steps on one batch of random numbers in ours' precision and memory format: no
       data, no augmentation, no moving average, nothing read.
cold   with --cold: ours as on a set far beyond the memory: the system is made to forget all but the next batch.

Prints the median over rounds. Grids, checkpoints and measurements, which come every 25 kimg, are left out of ours.
"""

import argparse
import itertools
import mmap
import os
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # run as a file: train/ is first on the path, the project must be
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from train.config import TrainConfig
from train.data import Batches
from train.export import device_name
from train.losses import discriminator_loss, generator_loss, gradient_penalty
from train.matmuls import use_matmuls
from train.sources import is_image
from train.train import CheckpointError, TrainingError, build_networks, set_up
from train.trainer import Trainer


class Files(Dataset):
    """The pictures below a folder, each opened, decoded and transformed when it is asked for."""

    def __init__(self, folder: Path, resolution: int) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if is_image(path.name))
        self.transform = transforms.Compose(
            [
                transforms.Resize(resolution),
                transforms.CenterCrop(resolution),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[i]).convert("RGB"))


class Cold(Batches):
    """Batches of a set that no memory could hold: of its file only the next batch is there."""

    def __next__(self) -> torch.Tensor:
        batch = super().__next__()
        self.images.base.madvise(mmap.MADV_DONTNEED)
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.read_ahead()
        return batch


def bytes_read() -> int:
    """What this process has had from the disk so far."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512


def optimizers(config: TrainConfig, G, D, fused: bool) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    betas = (config.adam_beta1, config.adam_beta2)
    return (
        torch.optim.Adam(G.parameters(), lr=config.learning_rate, betas=betas, fused=fused or None),
        torch.optim.Adam(D.parameters(), lr=config.d_rate, betas=betas, fused=fused or None),
    )


def plain(config: TrainConfig, folder: Path, device: torch.device, workers: int) -> Iterator[None]:
    """Each ``next`` is one step of a loop in the manner of PyTorch's DCGAN example."""
    torch.manual_seed(config.seed)
    netG, netD = (network.to(device, memory_format=torch.contiguous_format) for network in build_networks(config))
    optimizerG, optimizerD = optimizers(config, netG, netD, fused=False)
    batch = config.train_batch_size
    files = Files(folder, config.resolution)
    dataloader = DataLoader(files, batch, shuffle=True, num_workers=workers, drop_last=True)
    step = 0
    for _ in itertools.count():
        for data in dataloader:
            penalize = config.penalty_gamma > 0 and step % config.penalty_interval == 0
            # Update D.
            netD.zero_grad()
            real = data.to(device).requires_grad_(penalize)
            fake = netG(torch.randn(batch, config.latent_dim, device=device))
            fixed_fake = fake.detach().requires_grad_(penalize)
            real_logits, fake_logits = netD(real), netD(fixed_fake)
            errD = discriminator_loss(config.loss, real_logits, fake_logits)
            if penalize:
                penalty = gradient_penalty(real_logits, real) + gradient_penalty(fake_logits, fixed_fake)
                (errD + config.penalty_gamma / 2 * config.penalty_interval * penalty).backward()
            else:
                errD.backward()
            optimizerD.step()
            # Update G.
            netG.zero_grad()
            with torch.no_grad():
                anchor = netD(real) if config.loss == "rp" else None
            errG = generator_loss(config.loss, anchor, netD(fake))
            errG.backward()
            optimizerG.step()
            errD.item(), errG.item(), real_logits.mean().item(), fake_logits.mean().item()
            step += 1
            yield


def bound(config: TrainConfig, device: torch.device, precision: str) -> Iterator[None]:
    """Each ``next`` is the arithmetic of one step and nothing else."""
    torch.manual_seed(config.seed)
    G, D = (network.to(device) for network in build_networks(config))
    opt_g, opt_d = optimizers(config, G, D, fused=True)
    shape = (config.train_batch_size, 3, config.resolution, config.resolution)
    images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    z = torch.randn(config.train_batch_size, config.latent_dim, device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    for step in itertools.count():
        penalize = config.penalty_gamma > 0 and step % config.penalty_interval == 0
        D.requires_grad_(True)
        with autocast:
            fake = G(z)
        real, fixed_fake = images.detach().requires_grad_(penalize), fake.float().detach().requires_grad_(penalize)
        with autocast:
            real_logits, fake_logits = D(real).float(), D(fixed_fake).float()
        loss = discriminator_loss(config.loss, real_logits, fake_logits)
        if penalize:
            penalty = gradient_penalty(real_logits, real) + gradient_penalty(fake_logits, fixed_fake)
            loss = loss + config.penalty_gamma / 2 * config.penalty_interval * penalty
        loss.backward()
        opt_d.step()
        opt_d.zero_grad()
        D.requires_grad_(False)
        with autocast:
            with torch.no_grad():
                anchor = D(real).float() if config.loss == "rp" else None
            logits = D(fake).float()
        generator_loss(config.loss, anchor, logits).backward()
        opt_g.step()
        opt_g.zero_grad()
        yield


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


def compare(
    config: TrainConfig, trainer: Trainer, folder: Path, steps: int, rounds: int, workers: int, cold: Path | None
) -> None:
    """Time the loops in turns and print the table."""
    device, precision, batch = trainer.accelerator.device, trainer.accelerator.mixed_precision, config.train_batch_size

    on_cpu = device.type == "cpu" and not config.compile

    def ours(batches: Batches, matmuls: bool = on_cpu) -> None:
        for network in (trainer.G, trainer.D):
            use_matmuls(network, matmuls)
        trainer.batches = batches
        trainer.advance()
        trainer.upkeep()

    loops = {
        "plain": plain(config, unpacked(Path(config.train_data_dir), folder), device, workers),
        "bound": bound(config, device, precision),
    }

    calls = {"ours": partial(ours, trainer.batches)} | {name: loop.__next__ for name, loop in loops.items()}
    if on_cpu:
        calls["library"] = partial(ours, trainer.batches, matmuls=False)
    if cold:
        os.sync()  # what is not on the disk yet cannot be forgotten
        images = np.load(cold, mmap_mode="r")
        calls["cold"] = partial(ours, Cold(images, batch, seed=1, device=device, resident=False))
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
    step = {name: statistics.median(values) / steps for name, values in times.items()}
    made = precision + ", compiled" * config.compile
    detail = {"ours": made, "plain": f"float32, {workers} workers", "bound": precision, "library": precision}
    detail["cold"] = f"{made}, {read / steps / 1000:.0f} kB from the disk a step"
    print(f"\n{device_name(device)}, batch {batch}, {rounds} rounds of {steps} steps each")
    print(f"{'loop':<8}{'ms per step':>12}{'images per s':>14}{'slowest round':>15}   precision")
    for name, value in step.items():
        slowest = batch * steps / max(times[name])
        print(f"{name:<8}{value * 1e3:>12.1f}{batch / value:>14.1f}{slowest:>15.1f}   {detail[name]}")
    print(f"\nours is {step['plain'] / step['ours']:.2f} times as fast as plain and reaches "
          f"{step['bound'] / step['ours']:.2f} of the bound")  # fmt: skip
    if on_cpu:
        print(f"small convolutions as matrix products make it {step['library'] / step['ours']:.3f} times as fast")
    if cold:
        print(f"from the disk it runs at {step['ours'] / step['cold']:.3f} of that speed")
    if device.type == "cuda":
        with FlopCounterMode(display=False) as counter:  # over a whole cycle of the penalty
            for _ in range(config.penalty_interval):
                calls["bound"]()
        flops = counter.get_total_flops() / config.penalty_interval
        rate = matmul_rate(device, torch.bfloat16 if precision == "bf16" else torch.float32)
        print(f"{flops / 1e9:.1f} GFLOP a step; ours runs {flops / step['ours'] / 1e12:.1f} TFLOP/s, "
              f"{flops / step['ours'] / rate:.1%} of the {rate / 1e12:.1f} of a large matrix product")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data_dir", required=True, help="folder or zip of pictures")
    parser.add_argument("--cache_dir", help="where decoded pictures are kept")
    parser.add_argument("--steps", type=int, default=20, help="steps of each loop in a round [20]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds [3]")
    parser.add_argument("--train_batch_size", type=int, default=TrainConfig.train_batch_size, help="images a step [64]")
    parser.add_argument("--workers", type=int, default=2, help="DataLoader workers of the plain loop [2]")
    parser.add_argument("--resolution", type=int, default=64, choices=(32, 64, 128), help="side in pixels [64]")
    parser.add_argument("--mixed_precision", default="auto", choices=("auto", "no", "bf16"), help="of ours [auto]")
    parser.add_argument("--compile", action="store_true", help="ours with compiled networks; the bound without")
    parser.add_argument("--cold", action="store_true", help="also time a set beyond the memory (Linux)")
    options = vars(parser.parse_args(argv))
    for name, least in (("steps", 1), ("rounds", 1), ("workers", 0)):
        if options[name] < least:
            parser.error(f"--{name}: {options[name]} is not at least {least}")
    if options["cold"] and not (hasattr(mmap, "MADV_DONTNEED") and hasattr(os, "posix_fadvise")):
        parser.error("--cold: this system cannot be told to forget a file; leave the option out")
    steps, rounds, workers, cold = (options.pop(name) for name in ("steps", "rounds", "workers", "cold"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "files").mkdir()
        config = TrainConfig(**options, output_dir=f"{folder}/run", max_train_kimg=1e6, sample_kimg=1e6,
                             checkpointing_kimg=1e6, metric_kimg=1e6)  # fmt: skip
        if found := config.problems():
            parser.error(found[0])
        try:
            trainer = set_up(config)
        except (TrainingError, CheckpointError) as error:
            parser.error(str(error))
        cache = Path(trainer.data.images.filename)
        with tempfile.TemporaryDirectory(dir=cache.parent if cold else None) as beside:
            path = shutil.copy(cache, beside) if cold else None  # a file of its own, that nothing else keeps in memory
            compare(config, trainer, Path(folder) / "files", steps, rounds, workers, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
