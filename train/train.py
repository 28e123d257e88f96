r"""Train the GAN on a folder or zip of pictures, or on an image dataset of the Hub.
Progress is counted in kimg, thousands of images seen.

examples:
  accelerate launch train/train.py --train_data_dir faces.zip
  accelerate launch train/train.py --train_data_dir faces.zip \
      --resume_from_checkpoint latest
  accelerate launch --num_processes 4 train/train.py \
      --train_data_dir faces/ --output_dir runs/b --max_train_kimg 10000
  accelerate launch train/train.py --train_data_dir faces.zip \
      --push_to_hub --hub_model_id you/anime-dcgan

files in --output_dir:
  weights/             the generator to load, publish or serve, with pictures
  samples/             grids of the same 64 seeds as they grow
  checkpoints/         what --resume_from_checkpoint goes on from
  metrics.jsonl        a JSON object a line, about the steps since the last
  reals.png            the first 64 pictures as they were read
  fakes_init.png       what the generator draws before the first step
  best/, quality.jsonl with --feature_extractor: the generator with the lowest
                       KID, and all measurements

keys in metrics.jsonl:
  kimg                 thousand images seen so far, over all processes
  loss_d, loss_g       mean losses, without the penalty
  penalty              mean penalty over all steps, 0 in those without one
  accuracy_real, accuracy_fake
                       part of real and of drawn images that the
                       discriminator calls right, 0 to 1
  lr                   the generator's learning rate
  hours, img_per_s     training time so far; speed now
  diversity            where samples were drawn: how much they differ, over
                       how much real pictures do
  warnings             where there is reason: {"accuracy" or "diversity":
                       what to change}

environment:
  HF_TOKEN             for --push_to_hub and private datasets
  WANDB_MODE=offline   --report_to wandb without an account
  TRACKIO_DIR          where trackio keeps its record, if not in --output_dir
  OMP_NUM_THREADS      threads on a CPU

exit status: 0 done, 1 failed, 2 wrong option, 130 or 143 interrupted and saved
"""

import os
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path

if __package__ in (None, ""):  # run as a file: train/ is first on the path, the project must be
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from model import Discriminator, Generator
from model.files import fetch, most_bytes, read_tensors, tensor_names
from train import export, publish
from train.card import write_card
from train.checkpoint import CheckpointError, checkpoints, find_checkpoint, saved_config
from train.compiler import check_compiler, compiler_failed, reason
from train.config import TrainConfig, checkpoint_mismatch, parse_args
from train.data import DataError, ImageSet, prepare, prepare_hub
from train.files import make_writable, whole_folder
from train.first_weights import initialise
from train.growth import fill, wanted
from train.interrupt import lost_rank
from train.trainer import Trainer, TrainingError
from train.weights import DISCRIMINATOR


def build_networks(config: TrainConfig) -> tuple[Generator, Discriminator]:
    """Fresh networks in channels_last."""
    G = Generator(
        config.latent_dim,
        config.g_channels,
        config.resolution,
        mapping_layers=config.mapping_layers,
        blocks=config.g_blocks,
    )
    D = Discriminator(
        config.d_channels,
        config.resolution,
        kernel_size=config.d_kernel_size,
        norm=config.d_norm,
        minibatch_std=config.minibatch_std,
        blocks=config.d_blocks,
        hidden=config.d_hidden,
    )
    for network in (G, D):
        initialise(network, config.init)
    return G.to(memory_format=torch.channels_last), D.to(memory_format=torch.channels_last)


def load_networks(source: str, G: Generator, D: Discriminator) -> str:
    """Fill G with the generator of ``--init_from`` and D with its discriminator, if it has one that fits.

    Both may have parts that theirs lack; these start at zero and change nothing at first. A discriminator that knows
    nothing yet spoils the generator before it can teach it anything.

    Returns:
        What was loaded, for people.

    Raises:
        TrainingError: the generator cannot be loaded or has another shape.
    """
    unloadable = (OSError, ValueError, RuntimeError, HfHubHTTPError, HFValidationError)
    try:
        found = Generator.from_pretrained(source)
    except unloadable as error:
        raise TrainingError(f"--init_from: '{source}' cannot be loaded ({error})") from error
    try:
        if found.latent_dim != G.latent_dim:
            raise ValueError
        added = [f"{part} (generator)" for part in fill(G, found.state_dict(), wider=True)]
    except ValueError as error:
        raise TrainingError(
            f"--init_from: the generator of '{source}' has another shape; give its --latent_dim, --resolution and "
            "--mapping_layers, and no fewer --g_channels and --g_blocks"
        ) from error
    try:
        file = fetch(source, DISCRIMINATOR, most_bytes(D.state_dict()))
        tensors = read_tensors(file, wanted(D, tensor_names(file)), config="the options")
        added += [f"{part} (discriminator)" for part in fill(D, tensors)]
        start = f"generator and discriminator of '{source}'"
    except unloadable as error:
        start = f"generator of '{source}' and a new discriminator ({error})"
    return start + (f"; added, and without effect at first: {', '.join(added)}" if added else "")


def load_data(config: TrainConfig) -> ImageSet:
    """The decoded pictures of --train_data_dir or --dataset_name."""
    shared = dict(resolution=config.resolution, cache_dir=Path(config.cache_dir) if config.cache_dir else None)
    try:
        if config.train_data_dir:
            return prepare(config.train_data_dir, **shared)
        return prepare_hub(config.dataset_name, split=config.dataset_split, **shared)
    except DataError as error:
        raise TrainingError(f"--{'train_data_dir' if config.train_data_dir else 'dataset_name'}: {error}") from error


def set_up(config: TrainConfig) -> Trainer:
    """Check the folders, read the data, build the networks and restore a checkpoint.

    Raises:
        TrainingError, CheckpointError: an option that cannot be.
    """
    folder, states = config.run_folder, config.run_folder / "checkpoints"
    if checkpoints(states) and not config.resume_from_checkpoint and not config.dry_run:
        raise TrainingError(
            f"--output_dir: '{config.output_dir}' holds checkpoints of an earlier run; "
            "add --resume_from_checkpoint latest to go on from them, or give another folder"
        )
    checkpoint = find_checkpoint(states, config.resume_from_checkpoint) if config.resume_from_checkpoint else None
    if checkpoint and (mismatch := checkpoint_mismatch(saved_config(checkpoint), config)):
        raise CheckpointError(mismatch)
    if not config.dry_run:
        try:
            make_writable(folder)
        except OSError as error:
            raise TrainingError(
                f"--output_dir: '{folder}' cannot be written ({error.strerror}); give another"
            ) from error
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # else several CPU processes would not find each other
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=str(folder),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if config.compile:
        try:
            check_compiler(accelerator.device)
        except ValueError as error:
            raise TrainingError(f"--compile: {error}") from error
    if config.push_to_hub and accelerator.is_main_process and not config.dry_run:
        try:  # before the work, not after it
            publish.connect(config.hub_model_id, private=config.hub_private_repo, revision=config.hub_revision)
        except ValueError as error:
            raise TrainingError(str(error)) from error
    with accelerator.main_process_first():  # the others find its cache
        data = load_data(config)
    set_seed(config.seed)  # the same first weights on all ranks
    G, D = build_networks(config)
    start = load_networks(config.init_from, G, D) if config.init_from and not checkpoint else None
    try:
        trainer = Trainer(config, accelerator, data, G, D)
    except DataError as error:
        raise TrainingError(f"--train_batch_size: {error}") from error
    except ValueError as error:
        raise TrainingError(f"--feature_extractor: {error}") from error
    if not config.dry_run:
        trainer.start(checkpoint)
        if config.resume_from_checkpoint and not checkpoint:
            accelerator.print(f"no checkpoint in '{states}' yet: a new training starts")
        if config.report_to != "none":
            start_tracker(trainer)
    accelerator.print(trainer.describe())
    if start:
        accelerator.print(f"{'start':<10}{start}")
    return trainer


def start_tracker(trainer: Trainer) -> None:
    """Begin the record of --report_to, in the output folder wherever the tracker lets one choose."""
    config, folder = trainer.config, trainer.folder
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))  # read when trackio is imported
    options = {
        "tensorboard": {"purge_step": trainer.progress.seen + 1},  # forget what came after the checkpoint
        "trackio": {"name": folder.name, "resume": "allow"},
        "wandb": {"name": folder.name, "dir": str(folder)},
    }
    known = {k: v for k, v in asdict(config).items() if v is not None}
    try:
        trainer.accelerator.init_trackers("anime-dcgan", config=known, init_kwargs=options)
    except Exception as error:  # each tracker has its own
        remedy = "set WANDB_MODE=offline to keep the record here, " if config.report_to == "wandb" else ""
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise TrainingError(
            f"--report_to: {config.report_to} does not start ({why}); {remedy}or leave it out"
        ) from error


def finish(trainer: Trainer) -> None:
    """Complete the weights folder with pictures and card, and publish it if asked to."""
    config, weights = trainer.config, trainer.folder / "weights"
    grids = [trainer.folder / "fakes_init.png", *sorted((trainer.folder / "samples").glob("*.png"))]
    generator = trainer.ema.model
    if trainer.monitor:  # the best one, which need not be the last
        with whole_folder(weights) as temporary:
            shutil.copytree(trainer.folder / "best", temporary, dirs_exist_ok=True)
        generator = Generator.from_pretrained(weights)
    export.save_pictures(generator, weights, trainer.metrics, grids)
    write_card(weights, config.hub_model_id)
    print(f"done: {trainer.progress.seen / 1000:g} kimg; the generator and its pictures are in '{weights}'")
    if config.push_to_hub:
        options = dict(private=config.hub_private_repo, revision=config.hub_revision)
        print(f"published: {publish.push(weights, config.hub_model_id, **options)}")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 2 for a wrong option, 1 for a failure, 128 + signal after an interruption."""
    config = parse_args(argv, __doc__)
    code = 2
    try:
        trainer = set_up(config)
        if config.dry_run:
            return 0
        code = 1
        interrupted = trainer.run()
        trainer.accelerator.wait_for_everyone()  # a process that leaves while others still talk may crash them
        trainer.accelerator.end_training()
        if trainer.main and interrupted:
            seen = trainer.progress.seen / 1000
            print(f"interrupted at {seen:g} kimg and saved; go on with --resume_from_checkpoint latest")
        elif trainer.main:
            finish(trainer)
        return interrupted
    except (TrainingError, CheckpointError, publish.PublishError) as error:
        complaint = str(error)
    except KeyboardInterrupt:  # before the first step; later it is saved
        complaint, code = "interrupted before the training began", 128 + signal.SIGINT
    except RuntimeError as error:
        if config.compile and compiler_failed(error):
            print(
                f"train.py: --compile: the compiler failed or was interrupted ({reason(error)}); "
                "go on with --resume_from_checkpoint latest, if need be without the option",
                file=sys.stderr,
            )
            return 1
        if not lost_rank(error):
            raise
        rank = int(os.environ.get("RANK", 0))
        print(
            f"train.py: process {rank} stops, for another one of this training has ended; "
            "start all again with --resume_from_checkpoint latest",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        complaint = (
            f"--output_dir: '{config.output_dir}' can no longer be written ({error.strerror or error}); "
            "free some space and go on with --resume_from_checkpoint latest"
        )
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"train.py: {complaint}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
