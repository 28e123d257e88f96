"""One run: networks, optimizers, data and counters; the step, the loop and its upkeep."""

import math
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from model import Discriminator, Generator, image_grid, latents_from_seeds, to_images
from train.config import TrainConfig
from train.data.batches import Batches, Draws
from train.data.dataset import ImageSet
from train.errors import UserError
from train.gan.augment import augment
from train.gan.ema import EMA
from train.gan.losses import discriminator_loss, generator_loss
from train.gan.matmuls import use_matmuls
from train.gan.negatives import spoil
from train.gan.objective import Objective
from train.output.files import remove_leftovers, write_text
from train.output.pictures import GRID_SEEDS, sample_grids, save_image
from train.output.weights_folder import save_weights
from train.quality.monitor import Monitor
from train.run.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from train.run.frozen import second_discriminator
from train.run.interrupt import Interrupt
from train.run.precision import backward, full_precision, restore_scaler, scale_separately, scaler_state
from train.run.record import SKIPPED, other_pictures, plan, skipped_files, training_record
from train.run.remote_checkpoints import RemoteCheckpoints
from train.run.run_log import RunLog, StepStats
from train.run.watch import diversity


class Trainer:
    """Networks, optimizers, data and counters of one run; the same on every rank.

    Raises:
        UserError: fewer images than a batch, or no feature extractor.
    """

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, data: ImageSet, G: Generator, D: Discriminator
    ) -> None:
        self.config, self.accelerator, self.data = config, accelerator, data
        self.folder, self.main = config.run_folder, accelerator.is_main_process
        self.batch_size = config.train_batch_size * accelerator.num_processes
        self.update_size = self.batch_size * config.gradient_accumulation_steps  # images between two updates
        self.limit = config.max_train_kimg * 1000
        self.objective = Objective(config.loss, config.penalty_gamma, config.penalty_interval)

        self.parameters = {
            "generator": sum(p.numel() for p in G.parameters()),
            "discriminator": sum(p.numel() for p in D.parameters()),
        }
        self.ema = EMA(G.to(accelerator.device), config.ema_kimg, config.ema_rampup)
        if accelerator.device.type == "cpu" and not config.compile:
            for network in (G, D):  # not the average, whose pictures are those of the library
                use_matmuls(network)
        betas = (config.adam_beta1, config.adam_beta2)
        opt_g = torch.optim.Adam(G.parameters(), lr=config.learning_rate, betas=betas, fused=True)
        second = second_discriminator(config, accelerator.device)
        judged = [*D.parameters(), *(second.parameters() if second else ())]
        opt_d = torch.optim.Adam(judged, lr=config.discriminator_rate, betas=betas, fused=True)
        self.G, self.D, self.opt_g, self.opt_d = accelerator.prepare(G, D, opt_g, opt_d)
        self.second = accelerator.prepare(second) if second else None
        scale_separately(accelerator, self.opt_g)
        if config.compile:  # in place: names in checkpoints and weights stay as they are
            for network in (G, D):
                network.compile(dynamic=False)
        self.log = RunLog(config, accelerator)
        self.progress = self.log.progress
        accelerator.register_for_checkpointing(self.ema, self.progress)
        self.batches = Batches(
            data.images,
            config.train_batch_size,
            seed=config.seed,
            device=accelerator.device,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            flip=config.random_flip,
        )
        self.fixed_z = latents_from_seeds(GRID_SEEDS, config.latent_dim).to(accelerator.device)
        self.clock = time.perf_counter()
        self.remote: RemoteCheckpoints | None = None  # where checkpoints go to, too
        self.monitor = Monitor(config, data, self.folder, accelerator.device) if config.best_by else None

    def describe(self) -> str:
        """The plan, for people."""
        return plan(self.config, self.data, self.parameters, self.progress, self.accelerator)

    def start(self, checkpoint: Path | None) -> None:
        """Restore the checkpoint, or show the two ends of the pipeline before training; forget what came after it."""
        if checkpoint:
            load_checkpoint(self.accelerator, checkpoint)
            restore_scaler(self.opt_g, self.progress.scaler)
        self.batches.position = self.progress.seen
        if sentence := other_pictures(self.progress, self.data):
            self.accelerator.print(sentence)
        if not self.main:
            return
        samples = self.folder / "samples"
        samples.mkdir(exist_ok=True)
        for folder in (self.folder, samples, self.folder / "weights"):
            remove_leftovers(folder)
        for grid in sample_grids(samples):
            if int(grid.stem) > self.progress.seen:
                grid.unlink()
        self.log.start()
        write_text(skipped_files(self.data), self.folder / SKIPPED)
        if self.monitor:
            self.monitor.start(self.progress.seen)
        if not checkpoint:
            save_image(image_grid(to_images(self.reals())), self.folder / "reals.png")
            save_image(image_grid(to_images(self.fakes())), self.folder / "fakes_init.png")

    def reals(self) -> Tensor:
        """The first 64 real images, (64, 3, H, W) in [-1, 1], on the host."""
        return torch.from_numpy(self.data.images[:64].copy()).permute(0, 3, 1, 2) / 127.5 - 1

    @torch.inference_mode()
    def fakes(self) -> Tensor:
        """The faces of seeds 0 to 63 as the moving average draws them now, (64, 3, H, W)."""
        return self.ema.model(self.fixed_z)

    def step(self, real: Tensor, draws: Draws) -> StepStats:
        """One update of D and G on real images (N, 3, H, W) and as many drawn ones."""
        config, accelerator, G, D = self.config, self.accelerator, self.G, self.D
        frozen = accelerator.unwrap_model(D)  # past DDP: the G step needs no gradients of D
        penalize = self.objective.penalizes(self.progress.steps)
        twice = config.compile and penalize  # a penalty differentiates D twice, which compiled code cannot
        z = draws.normal(config.latent_dim)

        with accelerator.accumulate(G, D):
            # Draw and augment once; both updates look at the same images.
            fake = augment(G(z), config.augment, draws.uniform, config.augment_p)
            seen_as_fake = fake if not config.negative_part else self.with_negatives(fake, real, draws)
            real = augment(real, config.augment, draws.uniform, config.augment_p)

            # Update D.
            frozen.requires_grad_(True)
            exact = penalize and accelerator.mixed_precision == "fp16"
            with (
                torch.compiler.set_stance("force_eager") if twice else nullcontext(),
                full_precision(frozen) if exact else nullcontext(),
            ):
                objective = self.objective.discriminator(D, real, seen_as_fake, penalize)
            total, seen = objective.total, None
            if self.second:
                second = accelerator.unwrap_model(self.second).requires_grad_(True)
                seen = second.see(fake)
                logits = self.second(second.see(real)), self.second([x.detach() for x in seen])
                total = total + discriminator_loss("hinge", *logits)
            backward(accelerator, total, self.opt_d)
            self.opt_d.step()
            self.opt_d.zero_grad()

            # Update G; D only passes gradients on.
            frozen.requires_grad_(False)
            loss_g = self.objective.generator(frozen, real, fake)
            if seen:
                borrowed = generator_loss("hinge", None, second.requires_grad_(False)(seen))
                loss_g = loss_g + config.d_features_weight * borrowed
            backward(accelerator, loss_g, self.opt_g)
            self.opt_g.step()
            self.opt_g.zero_grad()

        return StepStats(
            loss_d=objective.loss.detach(),
            loss_g=loss_g.detach(),
            accuracy_real=objective.accuracy_real,
            accuracy_fake=objective.accuracy_fake,
            penalty=objective.penalty.detach(),
        )

    def with_negatives(self, fake: Tensor, real: Tensor, draws: Draws) -> Tensor:
        """Drawn images (N, 3, H, W) of which the first ones are spoiled real ones instead, each of the same place."""
        config, n = self.config, round(len(fake) * self.config.negative_part)
        spoiled = spoil(real, draws.uniform)[:n]
        spoiled = augment(spoiled, config.augment, lambda k: draws.uniform(k)[:n], config.augment_p)
        return torch.cat([spoiled, fake[n:]])

    def due(self, interval_kimg: float) -> bool:
        """Whether the last update crossed a multiple of the interval or the end."""
        interval, seen = interval_kimg * 1000, self.progress.seen
        return seen // interval > (seen - self.update_size) // interval or seen >= self.limit

    def check_finite(self, averages: dict[str, float]) -> None:
        """Stop where a loss or a weight is not finite: such a checkpoint is not worth keeping."""
        parameters = [*self.G.parameters(), *self.D.parameters()]
        finite = torch.stack([parameter.detach().isfinite().all() for parameter in parameters]).all()
        if all(map(math.isfinite, averages.values())) and finite:
            return
        kept = next((f"'{path}'" for path in reversed(checkpoints(self.folder / "checkpoints"))), "none yet")
        raise UserError(
            None,
            f"a loss or a weight is not finite at {self.progress.seen / 1000:g} kimg; lower --learning_rate or "
            f"raise --penalty_gamma and go on from the last good checkpoint ({kept})",
        )

    def save(self) -> None:
        """A checkpoint to go on from and a snapshot of the generator to use."""
        options = asdict(self.config)
        self.progress.scaler = scaler_state(self.opt_g)
        states = self.folder / "checkpoints"
        limit = self.config.checkpoints_total_limit
        checkpoint = save_checkpoint(self.accelerator, states, self.progress.seen, options, limit)
        if self.main and self.remote:
            self.remote.push(self.folder, checkpoint)
        if self.main:
            D = self.accelerator.unwrap_model(self.D)
            save_weights(self.ema.model, D, self.folder / "weights", self.record())

    def record(self) -> dict:
        """How the weights came about: training.json."""
        return training_record(self.config, self.data, self.parameters, self.progress, self.accelerator)

    def advance(self) -> None:
        """One step on the next batch, with all that belongs to it: rates, counters, moving average."""
        config, progress = self.config, self.progress
        for optimizer, rate in ((self.opt_g, config.learning_rate), (self.opt_d, config.discriminator_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * config.schedule(progress.seen)
        draws = self.batches.draws()
        self.log.add(self.step(next(self.batches), draws))
        progress.seen += self.batch_size
        progress.steps += 1
        if self.accelerator.sync_gradients:
            self.ema.update(self.accelerator.unwrap_model(self.G), progress.seen, self.update_size)
        now = time.perf_counter()
        progress.seconds, self.clock = progress.seconds + now - self.clock, now
        self.log.bar.update(self.batch_size)

    def upkeep(self, stopped: bool = False) -> None:
        """What is due after this step: metrics, samples, measurements, a checkpoint; the last also when stopped."""
        config, log = self.config, self.log
        save = stopped or self.due(config.checkpointing_kimg)
        write = save or self.due(config.log_kimg)
        sample, measure = self.due(config.sample_kimg), self.due(config.metric_kimg)
        if write:
            averages = log.averages()
            self.check_finite(averages)
        if self.main and (save or sample or measure):
            self.ema.calibrate(config.latent_dim)
        if self.main and sample:
            self.save_samples()
        if self.main and measure:
            self.measure()
        if write:
            log.write(averages, self.opt_g.param_groups[0]["lr"])
        if save:
            self.save()

    def measure(self) -> None:
        """Measure the average with --metric or --feature_extractor, and keep it where it is the best."""
        if self.monitor:
            quality = self.monitor.measure(self.ema.model, self.accelerator.unwrap_model(self.D), self.record())
            shown = {"FID": "fid", "Fréchet distance": "fd", "KID": "kid", "coverage": "coverage"}
            values = ", ".join(f"{name} {quality[key]:.3f}" for name, key in shown.items() if key in quality)
            self.log.bar.write(f"{quality['kimg']:g} kimg: {values}")

    def save_samples(self) -> None:
        """The grid of seeds 0 to 63, and how much they differ over how much real images do."""
        fakes = self.fakes()
        save_image(image_grid(to_images(fakes)), self.folder / "samples" / f"{self.progress.seen:012d}.png")
        self.log.measured["diversity"] = round(diversity(fakes) / max(diversity(self.reals()), 1e-6), 3)

    def run(self) -> int:
        """Train to the end; returns 0, or 128 + the signal's number after an interruption."""
        interrupt, stopped, whole, total = Interrupt(), False, True, int(self.limit)
        pace = 0.5 if sys.stderr.isatty() else 30  # seconds; a log file needs fewer lines than a terminal
        shown = dict(unit="img", unit_scale=True, mininterval=pace, disable=not self.main)
        self.clock = time.perf_counter()
        with tqdm(total=total, initial=self.progress.seen, **shown) as self.log.bar:
            # Accumulated gradients are in no checkpoint, so a run is saved and ends between updates alone.
            while not whole or (self.progress.seen < self.limit and not stopped):
                self.advance()
                stopped = interrupt.requested(self.accelerator, self.progress.steps) or stopped
                whole = self.accelerator.sync_gradients
                if whole:
                    self.upkeep(stopped)
        return 128 + interrupt.signum if stopped else 0
