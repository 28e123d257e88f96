"""What a training tells about itself: a status line, metrics.jsonl, the trackers, and warnings."""

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from train.config import TrainConfig
from train.output import jsonl
from train.run.watch import new_warnings


class StepStats(NamedTuple):
    """What one step measures, in the order of their sums in a checkpoint: scalars on the device."""

    loss_d: Tensor
    loss_g: Tensor
    accuracy_real: Tensor
    accuracy_fake: Tensor
    penalty: Tensor


class Progress:
    """What a checkpoint carries: images seen, steps, seconds, sums of the statistics since the last line, the state of
    the generator's gradient scaler, and for the record the pictures so far (``history``) and the weights that it began
    from (``origin``)."""

    def __init__(self, device: torch.device) -> None:
        self.seen, self.steps, self.seconds, self.count = 0, 0, 0.0, 0
        self.history: list[dict] = []
        self.origin: str | None = None
        self.scaler: dict = {}
        self.sums = torch.zeros(len(StepStats._fields), device=device)

    def state_dict(self) -> dict:
        return vars(self).copy()

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state, sums=state["sums"].to(self.sums.device))


class RunLog:
    """Averages the statistics of the steps and writes them down.

    Attributes:
        progress: counters and sums, for checkpoints.
        lines: the lines of metrics.jsonl, on the main process.
        bar: the status line.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.path = config.run_folder / "metrics.jsonl"
        self.progress = Progress(accelerator.device)
        self.lines: list[dict] = []
        self.bar = tqdm(disable=True)
        self.measured: dict[str, float] = {}  # for the next line
        self.marked = 0, 0.0  # images seen and seconds at the last line

    def start(self) -> None:
        """Go on after ``progress.seen`` images; lines after them are dropped. On the main process alone."""
        self.lines = jsonl.cut(self.path, self.progress.seen, StepStats._fields[:-1])
        self.marked = self.progress.seen, self.progress.seconds

    def add(self, stats: StepStats) -> None:
        """Count one step."""
        self.progress.sums += torch.stack(stats)
        self.progress.count += 1

    def averages(self) -> dict[str, float]:
        """The statistics by name since the last call, over all processes; reading them waits for the device."""
        progress = self.progress
        means = (self.accelerator.reduce(progress.sums, "mean") / progress.count).tolist()
        progress.sums.zero_()
        progress.count = 0
        return dict(zip(StepStats._fields, means))

    def write(self, averages: dict[str, float], learning_rate: float) -> None:
        """A line in metrics.jsonl and for the trackers, with warnings."""
        progress = self.progress
        line = {"kimg": progress.seen / 1000} | {name: round(value, 5) for name, value in averages.items()}
        line |= {"lr": learning_rate, "hours": round(progress.seconds / 3600, 4)}
        images, seconds = progress.seen - self.marked[0], progress.seconds - self.marked[1]
        self.marked = progress.seen, progress.seconds
        line |= {"img_per_s": round(images / max(seconds, 1e-9), 1)} | self.measured
        self.measured = {}
        self.accelerator.log({k: v for k, v in line.items() if k != "kimg"}, step=progress.seen)
        if not self.accelerator.is_main_process:
            return
        self.lines.append(line)
        if warnings := new_warnings(self.lines, self.config):
            line["warnings"] = warnings
            for sentence in warnings.values():
                self.bar.write(f"warning at {line['kimg']:g} kimg: {sentence}")
        jsonl.append(line, self.path)
        shown = ("loss_d", "loss_g", "accuracy_real", "accuracy_fake")
        self.bar.set_postfix({name: f"{line[name]:.3f}" for name in shown}, refresh=False)
