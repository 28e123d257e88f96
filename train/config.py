"""The trainer's options: name, default, meaning. ``--help`` is made from this file."""

import argparse
import dataclasses
import importlib.util
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from train.gan.augment import parse_policy
from train.gan.first_weights import INITS
from train.gan.losses import LOSSES


def option(
    default,
    help: str,
    *,
    group: str,
    metavar: str | None = None,
    choices: tuple = (),
    low: float | None = None,
    high: float | None = None,
):
    """A dataclass field that also carries what the command line says and checks."""
    metadata = dict(help=help, group=group, metavar=metavar, choices=choices, low=low, high=high)
    return dataclasses.field(default=default, metadata=metadata)


# What differs from the defaults. "baseline" is the DCGAN paper's recipe, for comparison.
PRESETS: dict[str, dict] = {
    "default": {},
    "baseline": dict(
        loss="bce", d_kernel_size=4, d_norm="batch", minibatch_std=False, penalty_gamma=0.0,
        augment="none", ema_kimg=0.0, init="normal", learning_rate=2e-4, adam_beta1=0.5, adam_beta2=0.999,
    ),
    "fast": dict(g_channels=48, ema_kimg=20.0, max_train_kimg=300.0),
}  # fmt: skip


NEVER = ("log_kimg", "sample_kimg", "checkpointing_kimg", "metric_kimg", "warn_kimg")  # these may be "inf"


@dataclass(kw_only=True)
class TrainConfig:
    """Everything that decides a training run; counts of progress are in images (kimg = 1000 images)."""

    # fmt: off
    preset: str = option("default", "defaults for the options below: default; baseline: the DCGAN paper's recipe; "
                         "fast: a smaller generator for 300 kimg", group="Recipe", choices=tuple(PRESETS))

    train_data_dir: str | None = option(None, "folder or zip of pictures", group="Data", metavar="PATH")
    dataset_name: str | None = option(None, "image dataset on the Hub, instead of --train_data_dir", group="Data",
                                      metavar="NAME")
    image_column: str | None = option(None, "column of --dataset_name (default: the first with images)", group="Data",
                                      metavar="NAME")
    dataset_split: str = option("train", "split of --dataset_name", group="Data", metavar="NAME")
    data_provenance: str | None = option(None, "where the pictures come from, for the model card", group="Data",
                                         metavar="TEXT")
    resolution: int = option(64, "side of the pictures in pixels", group="Data", choices=(32, 64, 128))
    random_flip: bool = option(True, "mirror half of the pictures", group="Data")
    cache_dir: str | None = option(None, "where decoded pictures are kept (default: the user's cache)", group="Data",
                                   metavar="PATH")

    output_dir: str = option("runs/anime-dcgan", "where all is written", group="Output", metavar="PATH")
    resume_from_checkpoint: str | None = option(None, "go on from the 'latest' checkpoint in --output_dir, from this "
                                                "one, or of --push_checkpoints", group="Output", metavar="PATH")
    log_kimg: float = option(1.0, "kimg between lines in metrics.jsonl", group="Output", low=0.001)
    sample_kimg: float = option(25.0, "kimg between sample grids", group="Output", low=0.001)
    checkpointing_kimg: float = option(25.0, "kimg between checkpoints", group="Output", low=0.001)
    checkpoints_total_limit: int = option(2, "checkpoints kept", group="Output", low=1)
    report_to: str = option("none", "experiment tracker, with its record in --output_dir", group="Output",
                            choices=("none", "tensorboard", "trackio", "wandb"))
    dry_run: bool = option(False, "print the plan and stop", group="Output")

    metric: str | None = option(None, "measure on the way and keep the generator with the lowest kid or fid, in the "
                                "features of Inception, which is downloaded", group="Quality", choices=("kid", "fid"))
    feature_extractor: str | None = option(None, "TorchScript file, uint8 images to features: measure in these instead "
                                           "(--metric kid if not given)", group="Quality", metavar="FILE")
    metric_kimg: float = option(50.0, "kimg between measurements", group="Quality", low=0.001)
    metric_samples: int = option(5000, "faces drawn for a measurement, against as many pictures, or 10,000; by "
                                 "--metric fid, 5000 is the protocol called FID5k, 50000 FID50k", group="Quality",
                                 low=100)
    warn_kimg: float = option(50.0, "kimg before a warning of a stalled training", group="Quality", low=0)
    warn_accuracy: float = option(0.99, "warn when the discriminator is right on more than this part of real and of "
                                  "drawn images", group="Quality", low=0, high=1)
    warn_diversity: float = option(0.5, "warn when samples differ less than this times as much as real pictures do",
                                   group="Quality", low=0, high=1)

    init_from: str | None = option(None, "weights folder or Hub id to fine-tune: the generator and, where it is, the "
                                   "discriminator, with the parts that they have; a mapping, blocks, a hidden layer "
                                   "and generator channels that they lack are added without effect at first",
                                   group="Networks", metavar="PATH")
    latent_dim: int = option(128, "length of z", group="Networks", low=1, high=4096)
    g_channels: int = option(64, "generator width: channels at half its size", group="Networks", low=1, high=4096)
    mapping_layers: int = option(0, "hidden layers of a mapping from z to w, in which truncation then acts; 0 for none",
                                 group="Networks", low=0, high=8)
    g_blocks: int = option(0, "residual blocks at each of the generator's sides from 4 pixels to a quarter of its "
                           "pictures", group="Networks", low=0, high=8)
    g_constant: bool = option(False, "a learned constant at the generator's 4 pixels, which tells its places apart",
                              group="Networks")
    g_mirror: bool = option(False, "mirror blocks in the generator, which see at each place what is at the mirrored "
                            "one, at the sides of --g_blocks", group="Networks")
    g_fine: bool = option(False, "for fine lines: a residual block at half the side of the generator's pictures, and "
                          "further layers beside its last one", group="Networks")
    d_channels: int = option(64, "discriminator width: channels of its first layer", group="Networks", low=1, high=4096)
    d_kernel_size: int = option(3, "side of the discriminator's kernels", group="Networks", choices=(3, 4))
    d_norm: str = option("none", "normalisation in the discriminator", group="Networks",
                         choices=("none", "spectral", "batch"))
    d_blocks: int = option(0, "residual blocks at each of the discriminator's sides from a quarter of its pictures "
                           "down to 4 pixels", group="Networks", low=0, high=8)
    d_mirror: bool = option(False, "mirror blocks in the discriminator, at the sides of --d_blocks", group="Networks")
    d_hidden: int = option(0, "units of a hidden layer before the discriminator's logit, with which it sees the whole "
                           "picture at once; 0 for none", group="Networks", low=0, high=4096)
    d_features: str | None = option(None, "TorchScript file, images in [-1, 1] to a list of feature maps: a second "
                                    "discriminator sees through this frozen network", group="Networks", metavar="FILE")
    d_features_weight: float = option(1.0, "weight of that second discriminator in the generator's loss",
                                      group="Networks", low=0)
    minibatch_std: bool = option(True, "show the discriminator the spread within a batch", group="Networks")
    init: str = option("resize", "first weights: orthogonal; normal, with deviation 0.02; or resize: orthogonal and "
                       "without the checkerboards of transposed convolutions", group="Networks", choices=INITS)

    loss: str = option("rp", "bce: original DCGAN; hinge; rp: relativistic pairing", group="Loss", choices=LOSSES)
    negative_part: float = option(0.0, "part of what D sees as drawn: spoiled real faces", group="Loss", low=0, high=1)
    penalty_gamma: float = option(0.2, "weight of the R1 + R2 gradient penalties; 0 for none", group="Loss", low=0)
    penalty_interval: int = option(4, "steps between penalties (the weight grows to match)", group="Loss", low=1)
    augment: str = option("color,translation", "color, translation, cutout, blur; none", group="Loss", metavar="LIST")
    augment_p: float = option(1.0, "how likely each of these changes an image", group="Loss", low=0, high=1)

    max_train_kimg: float = option(2000.0, "length of the training", group="Training", low=0.001)
    train_batch_size: int = option(64, "images per device and step", group="Training", low=2)
    gradient_accumulation_steps: int = option(1, "batches per optimizer step", group="Training", low=1)
    learning_rate: float = option(4e-4, "Adam's rate for the generator", group="Training", low=0, high=1)
    d_learning_rate: float | None = option(None, "Adam's rate for the discriminator (default: the same)",
                                           group="Training", low=0, high=1)
    lr_schedule: str = option("cosine", "cosine falls to --lr_final of the rate at the end", group="Training",
                              choices=("constant", "cosine"))
    lr_final: float = option(0.1, "last rate of the schedule, as a part of the first", group="Training", low=0, high=1)
    lr_warmup_kimg: float = option(0.0, "rates grow from 0 over this many kimg", group="Training", low=0)
    adam_beta1: float = option(0.0, "Adam's momentum", group="Training", low=0, high=0.9999)
    adam_beta2: float = option(0.99, "Adam's second momentum", group="Training", low=0, high=0.99999)
    ema_kimg: float = option(50.0, "half-life of the generator's moving average; 0 for none", group="Training", low=0)
    ema_rampup: float = option(0.05, "early half-life as a part of the images seen", group="Training", low=0)
    seed: int = option(0, "makes a run repeatable", group="Training", low=0, high=2**32 - 1)

    mixed_precision: str = option("auto", "auto: bf16 where the hardware has units for it, else float32, as on "
                                  "Apple's GPUs; fp16, with scaled gradients, is for CUDA GPUs that have none, such as "
                                  "the T4", group="Speed",
                                  choices=("auto", "no", "bf16", "fp16"))
    compile: bool = option(False, "make machine code of the networks with torch.compile: up to minutes at the start, "
                           "then faster steps; needs a C++ compiler", group="Speed")

    push_to_hub: bool = option(False, "upload weights and card at the end (needs HF_TOKEN)", group="Hub")
    hub_model_id: str | None = option(None, "repository to upload to, as 'name/model'", group="Hub", metavar="ID")
    hub_private_repo: bool = option(False, "create the repository as private", group="Hub")
    hub_revision: str | None = option(None, "branch to upload to", group="Hub", metavar="NAME")
    push_checkpoints: str | None = option(None, "private repository for checkpoints", group="Hub", metavar="ID")
    # fmt: on

    @property
    def run_folder(self) -> Path:
        """The output folder as an absolute path."""
        return Path(self.output_dir).expanduser().resolve()

    def public(self) -> dict:
        """The options without local paths and without None, for what others will read."""
        local = self.dataset_name and is_local_dataset(self.dataset_name)
        private = ("train_data_dir", "cache_dir", "output_dir", "init_from", "resume_from_checkpoint", "dry_run",
                   "feature_extractor", "push_checkpoints", "dataset_name" if local else "")  # fmt: skip
        values = dataclasses.asdict(self) | {"d_features": self.d_features and os.path.basename(self.d_features)}
        return {k: v for k, v in values.items() if v is not None and k not in private}

    @property
    def best_by(self) -> str | None:
        """The metric by which the best generator is kept, where quality is measured."""
        return self.metric or ("kid" if self.feature_extractor else None)

    @property
    def discriminator_rate(self) -> float:
        """The discriminator's learning rate."""
        return self.learning_rate if self.d_learning_rate is None else self.d_learning_rate

    @property
    def precision(self) -> str:
        """Mixed precision as Accelerate names it: bf16 where the GPU or the CPU has instructions for it."""
        if self.mixed_precision != "auto":
            return self.mixed_precision
        if torch.cuda.is_available():
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
        if torch.accelerator.is_available():  # Apple's
            return "no"
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "no"

    def schedule(self, seen: int) -> float:
        """The part of the learning rates that applies after ``seen`` images."""
        warmup = min(1.0, seen / (self.lr_warmup_kimg * 1000)) if self.lr_warmup_kimg else 1.0
        if self.lr_schedule == "constant":
            return warmup
        done = min(1.0, seen / (self.max_train_kimg * 1000))
        return warmup * (self.lr_final + (1 - self.lr_final) * (1 + math.cos(math.pi * done)) / 2)

    def problems(self) -> list[str]:
        """One sentence for each invalid option; empty when all are valid."""
        found = []
        for field in dataclasses.fields(self):
            value, meta = getattr(self, field.name), field.metadata
            if value is None:
                continue
            if isinstance(value, str) and not value.strip():
                found.append(f"--{field.name}: it is empty; give a value, or leave the option out")
                continue
            if meta["choices"] and value not in meta["choices"]:
                found.append(f"--{field.name}: '{value}' is not one of {', '.join(map(str, meta['choices']))}")
            low, high = meta["low"], meta["high"]
            endless = field.name in NEVER and value == math.inf
            if isinstance(value, float) and not math.isfinite(value) and not endless:
                found.append(f"--{field.name}: {value} is not a number that can be worked with; give a finite one")
                continue
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                bounds = f"at least {low}" if high is None else f"from {low} to {high}"
                found.append(f"--{field.name}: {value} is not {bounds}")
        if (self.train_data_dir is None) == (self.dataset_name is None):
            found.append("--train_data_dir: give either a folder or zip of pictures here or --dataset_name, not both")
        if self.image_column and not self.dataset_name:
            found.append("--image_column: that is a column of --dataset_name, and a folder or zip has none")
        if self.push_to_hub and not self.hub_model_id:
            found.append("--push_to_hub: give the repository as --hub_model_id name/model")
        if self.report_to not in ("none", "") and importlib.util.find_spec(self.report_to) is None:
            found.append(f"--report_to: {self.report_to} is not installed; pip install {self.report_to}")
        if self.d_norm == "spectral" and (self.d_blocks or self.d_mirror or self.d_hidden):
            found.append(
                "--d_norm: spectral does not go with --d_blocks, --d_mirror and --d_hidden, which start at zero"
            )
        try:
            parse_policy(self.augment)
        except ValueError as error:
            found.append(f"--augment: {error}")
        return found


def is_local_dataset(name: str) -> bool:
    """Whether a --dataset_name is a folder or file of this computer rather than an id on the Hub."""
    path = os.path.expanduser(name)
    return os.path.exists(path) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".")


def shown(default: object) -> str:
    """A default as --help says it."""
    if default is None or default is False:
        return ""
    return " [on]" if default is True else f" [{default:g}]" if isinstance(default, float) else f" [{default}]"


def parse_args(argv: list[str] | None, manual: str) -> TrainConfig:
    """Read the command line; prints one sentence and exits with 2 where an option is wrong.

    ``--help`` shows the first paragraph of ``manual``, the options by group, and the rest of it.
    """
    description, _, epilog = manual.partition("\n\n")
    parser = argparse.ArgumentParser(
        usage="%(prog)s (--train_data_dir PATH | --dataset_name NAME) [option ...]",
        description=description,
        epilog=epilog,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34),
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for field in dataclasses.fields(TrainConfig):
        meta, flag = field.metadata, f"--{field.name}"
        group = groups.setdefault(meta["group"], parser.add_argument_group(meta["group"]))
        shared = dict(default=argparse.SUPPRESS, help=meta["help"].replace("%", "%%") + shown(field.default))
        if field.type is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **shared)
        else:
            kind = next(k for k in (int, float, str) if k.__name__ in str(field.type))
            metavar = None if meta["choices"] else meta["metavar"] or {int: "N", float: "X"}[kind]
            group.add_argument(flag, type=kind, choices=meta["choices"] or None, metavar=metavar, **shared)
    given = vars(parser.parse_args(argv))
    for field in dataclasses.fields(TrainConfig):
        is_path = field.metadata["metavar"] in ("PATH", "FILE") or field.name == "dataset_name"  # or a Hub id
        if is_path and given.get(field.name):
            given[field.name] = os.path.expanduser(given[field.name])
    config = TrainConfig(**{**PRESETS[given.get("preset", "default")], **given})
    if problems := config.problems():
        parser.error(problems[0])
    return config
