"""What ends a training early: a signal, on all ranks at the end of the same step, or the end of another rank."""

import os
import signal

import torch
import torch.distributed as dist
from accelerate import Accelerator

STOP_EVERY = 8  # steps between the ranks' agreeing on a stop signal


def lost_rank(error: BaseException) -> bool:
    """Whether the error says that another process of a distributed training can no longer be reached."""
    backends = tuple(getattr(dist, name) for name in ("DistBackendError", "DistNetworkError") if hasattr(dist, name))
    return isinstance(error, backends) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


class Interrupt:
    """Remembers SIGINT or SIGTERM until the step is done; a second signal ends the program at once.

    `accelerate launch` does not pass SIGTERM on to the one process it starts, so losing the launcher counts as well.
    """

    def __init__(self) -> None:
        self.signum = 0
        self.launcher = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self.remember)

    def remember(self, signum: int, frame) -> None:
        self.signum = signum
        signal.signal(signum, signal.SIG_DFL)

    def requested(self, accelerator: Accelerator, step: int) -> bool:
        """True on all ranks at the same step, once any of them got a signal."""
        if self.launcher not in (None, os.getppid()):
            self.signum = self.signum or signal.SIGTERM
        if accelerator.num_processes == 1:
            return self.signum > 0
        if step % STOP_EVERY:
            return False
        flag = torch.tensor(float(self.signum), device=accelerator.device)
        self.signum = int(accelerator.gather(flag[None]).max())
        return self.signum > 0
