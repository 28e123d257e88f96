"""From the options to a trainer that is ready for its first step."""

import os
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed

from model import Discriminator, Generator
from model.files import fetch, most_bytes, read_tensors, tensor_shapes
from model.sentences import first_line
from train.config import TrainConfig
from train.data.dataset import ImageSet, prepare, prepare_hub
from train.errors import UserError
from train.gan.first_weights import initialise
from train.output.run_folder import make_output, refuse_run
from train.output.weights_folder import DISCRIMINATOR
from train.release.hub import Repository
from train.run.checkpoint import candidates, find_checkpoint, saved_config
from train.run.compiler import check_compiler
from train.run.growth import fill, wanted
from train.run.hardware import keep_memory, training_device, use_cores, use_gpu
from train.run.inherit import UNLOADABLE, parts_of, with_parts
from train.run.interrupt import rank
from train.run.precision import check_precision
from train.run.record import public_origin
from train.run.remote_checkpoints import RemoteCheckpoints, fetch_checkpoint, is_hub_id
from train.run.same_run import require_same_run
from train.run.trainer import Trainer


def set_up(config: TrainConfig) -> Trainer:
    """Check all that can be checked before the work, read the data, build the networks, restore a checkpoint.

    Raises:
        UserError: an invalid option.
    """
    # What costs nothing to check.
    states = config.run_folder / "checkpoints"
    on_hub = is_hub_id(config.resume_from_checkpoint, states)
    checkpoint = None if on_hub else choose_checkpoint(config)
    remote = RemoteCheckpoints(config.push_checkpoints) if config.push_checkpoints else None
    if not config.dry_run:
        make_output(config.run_folder)
    use_cores()
    check_precision(config, training_device())
    accelerator = make_accelerator(config)
    use_gpu(accelerator.device)
    keep_memory(accelerator.device)
    if config.compile:
        check_compiler(accelerator.device)
    if on_hub and not config.dry_run:
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                fetch_checkpoint(config)
            checkpoint = choose_checkpoint(replace(config, resume_from_checkpoint="latest"))
    repository = None
    if config.push_to_hub:
        repository = Repository(config.hub_model_id, revision=config.hub_revision, private=config.hub_private_repo)

    # The data; the other processes find the cache of the first.
    with accelerator.main_process_first():
        data = load_data(config)

    # The networks, with the same first weights in all processes.
    if config.init_from:
        config = with_parts(config, saved_config(checkpoint) if checkpoint else parts_of(config.init_from))
    set_seed(config.seed)
    G, D = build_networks(config)
    origin = load_networks(config.init_from, G, D) if config.init_from and not checkpoint else None

    # The run; nothing was written to the output folder so far.
    trainer = Trainer(config, accelerator, data, G, D)
    if config.init_from and not checkpoint:
        trainer.progress.origin = public_origin(config.init_from)
    if not config.dry_run:
        if repository and accelerator.is_main_process:  # makes it: once all else is right, and before the work
            repository.connect()
        if remote and accelerator.is_main_process:
            trainer.remote = remote
            remote.connect(new=not config.resume_from_checkpoint)
        trainer.start(checkpoint)
        if config.resume_from_checkpoint and not checkpoint:
            accelerator.print(f"no checkpoint in '{config.run_folder / 'checkpoints'}' yet: a new training starts")
        if config.report_to != "none":
            start_tracker(trainer)
    accelerator.print(trainer.describe())
    if origin:
        accelerator.print(f"{'start':<10}{origin}")
    return trainer


def choose_checkpoint(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from; UserError where it does not fit or where an earlier run would be overwritten."""
    folder = config.run_folder / "checkpoints"
    if not config.resume_from_checkpoint:
        if candidates(folder) and not config.dry_run:
            raise UserError(
                "--output_dir",
                f"'{config.output_dir}' holds checkpoints of an earlier run; "
                "add --resume_from_checkpoint latest to go on from them, or give another folder",
            )
        return None
    checkpoint = find_checkpoint(folder, config.resume_from_checkpoint)
    if checkpoint:
        saved = saved_config(checkpoint)
        sentence = require_same_run(saved, with_parts(config, saved) if config.init_from else config)
        if sentence and rank() == 0:
            print(sentence)
    return checkpoint


def make_accelerator(config: TrainConfig) -> Accelerator:
    return Accelerator(
        cpu=not torch.accelerator.is_available(),  # else several CPU processes would not find each other
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=str(config.run_folder),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def load_data(config: TrainConfig) -> ImageSet:
    """The decoded pictures of --train_data_dir or --dataset_name."""
    if config.train_data_dir:
        return prepare(config.train_data_dir, resolution=config.resolution, cache_dir=config.cache_dir)
    return prepare_hub(
        config.dataset_name,
        split=config.dataset_split,
        image_column=config.image_column,
        resolution=config.resolution,
        cache_dir=config.cache_dir,
    )


def build_networks(config: TrainConfig) -> tuple[Generator, Discriminator]:
    """Fresh networks in channels_last."""
    G = Generator(
        config.latent_dim,
        config.g_channels,
        config.resolution,
        mapping_layers=config.mapping_layers,
        blocks=config.g_blocks,
        constant=config.g_constant,
        mirror=config.g_mirror,
        fine=config.g_fine,
    )
    D = Discriminator(
        config.d_channels,
        config.resolution,
        kernel_size=config.d_kernel_size,
        norm=config.d_norm,
        minibatch_std=config.minibatch_std,
        blocks=config.d_blocks,
        hidden=config.d_hidden,
        mirror=config.d_mirror,
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
        UserError: the generator cannot be loaded or has another shape.
    """
    refuse_run(Path(source), "--init_from")
    try:
        found = Generator.from_pretrained(source)
    except UNLOADABLE as error:
        raise UserError("--init_from", f"'{source}' cannot be loaded ({first_line(error)})") from error
    try:
        if found.latent_dim != G.latent_dim:
            raise ValueError
        added = [f"{part} (generator)" for part in fill(G, found.state_dict(), wider=True)]
    except ValueError as error:
        shape = getattr(found, "_hub_mixin_config", {})
        names = {"latent_dim": "latent_dim", "base_channels": "g_channels", "image_size": "resolution"}
        names |= {"mapping_layers": "mapping_layers", "blocks": "g_blocks"}
        words = [f"--{option} {shape[key]}" for key, option in names.items() if key in shape]
        words += [f"--g_{name}" for name in ("constant", "mirror", "fine") if shape.get(name)]
        remedy = "give " + " ".join(words)
        raise UserError("--init_from", f"the generator of '{source}' has another shape; {remedy}") from error
    try:
        file = fetch(source, DISCRIMINATOR, most_bytes(D.state_dict()))
        tensors = read_tensors(file, wanted(D, tensor_shapes(file)), config="the options")
        added += [f"{part} (discriminator)" for part in fill(D, tensors)]
        start = f"generator and discriminator of '{source}'"
    except UNLOADABLE as error:
        start = f"generator of '{source}' and a new discriminator ({first_line(error)})"
    return start + (f"; added, and without effect at first: {', '.join(added)}" if added else "")


def start_tracker(trainer: Trainer) -> None:
    """Begin the record of --report_to, in the output folder where the tracker allows that."""
    config, folder = trainer.config, trainer.folder
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))  # read when trackio is imported
    options = {
        "tensorboard": {"purge_step": trainer.progress.seen + 1},  # forget what came after the checkpoint
        "trackio": {"name": folder.name, "resume": "allow"},
        "wandb": {"name": folder.name, "dir": str(folder)},
    }
    try:  # what a tracker keeps is often published
        trainer.accelerator.init_trackers("anime-dcgan", config=config.public(), init_kwargs=options)
    except Exception as error:  # each tracker has its own
        remedy = "set WANDB_MODE=offline to keep the record here, " if config.report_to == "wandb" else ""
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        sentence = f"{config.report_to} does not start ({why}); {remedy}or leave it out"
        raise UserError("--report_to", sentence) from error
