r"""Train the GAN on a folder or zip of pictures, or on an image dataset of the Hub.
Progress is counted in kimg, thousands of images seen.

examples:
  accelerate launch --quiet train/train.py --train_data_dir faces.zip
  python train/train.py --train_data_dir faces.zip      (on one device)
  accelerate launch --quiet train/train.py --train_data_dir faces.zip \
      --resume_from_checkpoint latest
  accelerate launch --num_processes 4 train/train.py \
      --train_data_dir faces/ --output_dir runs/b --max_train_kimg 10000
  accelerate launch --quiet train/train.py --train_data_dir faces.zip \
      --push_to_hub --hub_model_id you/anime-dcgan

files in --output_dir:
  weights/             the generator to load, publish or serve, with pictures
  samples/             grids of the same 64 seeds as they grow
  checkpoints/         what --resume_from_checkpoint goes on from
  metrics.jsonl        a JSON object a line, about the steps since the last
  skipped.txt          pictures that are not trained on, and why
  reals.png            the first 64 pictures as they were read
  fakes_init.png       what the generator draws before the first step
  best/, quality.jsonl with --metric or --feature_extractor: the generator with
                       the lowest KID or FID, and all measurements

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
  HF_TOKEN             for --push_to_hub, --push_checkpoints, private datasets
  WANDB_MODE=offline   --report_to wandb without an account
  TRACKIO_DIR          where trackio keeps its record, if not in --output_dir
  OMP_NUM_THREADS      threads on a CPU, instead of one per core

exit status: 0 done, 1 failed, 2 wrong option, 129, 130 or 143 interrupted (by
a closed terminal, Ctrl-C, SIGTERM) and saved. accelerate launch makes 1 of all
but 0, and adds a traceback of its own where --quiet does not forbid it; that of
Ctrl-C it adds in any case. On one device, python train/train.py is the same
training without either.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # run as a file: train/ is first on the path, the project must be
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from model import Generator
from train.config import TrainConfig, parse_args
from train.errors import FAILURE, exit_code, run
from train.output.files import replace_folder
from train.output.pictures import sample_grids, save_pictures
from train.release import model_repo
from train.release.card import write_card
from train.run.interrupt import explained, leave, rank, stoppable
from train.run.lock import exclusive
from train.run.setup import set_up
from train.run.trainer import Trainer


def finish(trainer: Trainer) -> None:
    """Complete the weights folder with pictures and card, and publish it if asked to."""
    config, weights = trainer.config, trainer.folder / "weights"
    grids = [trainer.folder / "fakes_init.png", *sample_grids(trainer.folder / "samples")]
    grids = [grid for grid in grids if grid.is_file()]  # a run that went on from another one's checkpoint has no first
    generator = trainer.ema.model
    if trainer.monitor:  # the best one, which need not be the last
        if not (trainer.folder / "best").is_dir():  # nothing was left to train, so nothing was measured
            trainer.measure()
        with replace_folder(weights) as temporary:
            shutil.copytree(trainer.folder / "best", temporary, dirs_exist_ok=True)
        generator = Generator.from_pretrained(weights)
    try:
        save_pictures(generator, weights, trainer.log.lines, grids)
    except Exception as error:  # they only decorate, and a damaged one of a user's can raise almost anything
        print(f"warning: pictures of the run are missing in '{weights}' ({error})", file=sys.stderr)
    write_card(weights, config.hub_model_id)
    print(f"done: {trainer.progress.seen / 1000:g} kimg; the generator and its pictures are in '{weights}'")
    if config.push_to_hub:
        options = {"private": config.hub_private_repo, "revision": config.hub_revision}
        print(f"published: {model_repo.push(weights, config.hub_model_id, **options)}")


def work(config: TrainConfig) -> int:
    """Train; returns 0, or 128 + the signal's number after an interruption."""
    if config.dry_run or rank() > 0:
        return train(config)
    with explained(config), exclusive(config.run_folder):
        return train(config)


def train(config: TrainConfig) -> int:
    """``work``, once the output folder is this process's own."""
    with explained(config):
        trainer = set_up(config)
    if config.dry_run:
        return 0
    with exit_code(FAILURE), explained(config):
        interrupted = trainer.run()
        trainer.accelerator.wait_for_everyone()  # a process that leaves while others still talk may crash them
        trainer.accelerator.end_training()
        if trainer.main and interrupted:
            seen = trainer.progress.seen / 1000
            print(f"interrupted at {seen:g} kimg and saved; go on with --resume_from_checkpoint latest")
        elif trainer.main:
            finish(trainer)
    return interrupted


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 2 for a wrong option, 1 for a failure, 128 + signal after an interruption."""
    config = parse_args(argv, __doc__)
    with stoppable():
        return run(partial(work, config), "train.py", quiet=rank() > 0)


if __name__ == "__main__":
    leave(main())
