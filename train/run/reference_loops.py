"""Loops to hold the trainer's speed against: a plain one, the networks alone, and batches from a cold disk."""

import itertools
import mmap
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from train.config import TrainConfig
from train.data.batches import Batches
from train.data.choice import is_image
from train.gan.losses import discriminator_loss, generator_loss, gradient_penalty
from train.run.setup import build_networks

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


def optimizers(config: TrainConfig, G: nn.Module, D: nn.Module, fused: bool) -> tuple[Adam, Adam]:
    betas = (config.adam_beta1, config.adam_beta2)
    return (
        Adam(G.parameters(), lr=config.learning_rate, betas=betas, fused=fused or None),
        Adam(D.parameters(), lr=config.discriminator_rate, betas=betas, fused=fused or None),
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
    half = HALVES.get(precision)
    autocast = torch.autocast(device.type, half, enabled=half is not None)
    for step in itertools.count():
        penalize = config.penalty_gamma > 0 and step % config.penalty_interval == 0
        D.requires_grad_(True)
        with autocast:
            fake = G(z)
        real, fixed_fake = images.detach().requires_grad_(penalize), fake.float().detach().requires_grad_(penalize)
        with nullcontext() if penalize and precision == "fp16" else autocast:  # as ours
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
