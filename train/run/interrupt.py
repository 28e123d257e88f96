"""What ends a training early: a signal, on all ranks at the end of the same step, or what breaks around it."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import torch
import torch.distributed as dist
from accelerate import Accelerator

from train.config import TrainConfig
from train.errors import FAILURE, UserError
from train.run.compiler import compiler_failed, reason

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # what a full disk or quota says
STOP_EVERY = 8  # steps between the ranks' agreeing on a stop signal


def rank() -> int:
    """The number of this process in a distributed training, also before and after Accelerate knows it."""
    return int(os.environ.get("RANK", 0))


def leave(code: int) -> NoReturn:
    """End this process with the exit code; one of several at once, without what Python does when it ends.

    Gloo's threads outlive ``destroy_process_group``. One that lets go of its last tensor only while the interpreter is
    being taken down aborts the process (SIGABRT), and what was trained and saved counts as failed.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def lost_rank(error: BaseException) -> bool:
    """Whether the error says that another process of a distributed training can no longer be reached."""
    backends = tuple(getattr(dist, name) for name in ("DistBackendError", "DistNetworkError") if hasattr(dist, name))
    return isinstance(error, backends) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


@contextmanager
def explained(config: TrainConfig) -> Iterator[None]:
    """Turn what can break at any moment of a training into a UserError: the compiler, another rank, the disk."""
    try:
        yield
    except RuntimeError as error:
        if config.compile and compiler_failed(error):
            sentence = (
                f"the compiler failed or was interrupted ({reason(error)}); "
                "go on with --resume_from_checkpoint latest, if need be without the option"
            )
            raise UserError("--compile", sentence, exit_code=FAILURE, every_process=True) from error
        if lost_rank(error):
            sentence = (
                f"process {rank()} stops, for another one of this training has ended; "
                "start all again with --resume_from_checkpoint latest"
            )
            raise UserError(None, sentence, exit_code=FAILURE, every_process=True) from error
        raise
    except KeyboardInterrupt as error:  # before the first step; later it is saved
        signum = getattr(error, "signum", signal.SIGINT)
        raise UserError(None, "interrupted before the training began", exit_code=128 + signum) from error
    except OSError as error:
        go_on = "go on with --resume_from_checkpoint latest"
        if error.errno in FULL:
            sentence = f"'{config.output_dir}' can no longer be written ({error.strerror}); free some space and {go_on}"
            raise UserError("--output_dir", sentence) from error
        what = f"'{error.filename}'" if error.filename else "a file"
        raise UserError(None, f"{what} cannot be used ({error.strerror or error}); mend that and {go_on}") from error


# Ctrl-C, a scheduler, and a terminal that is closed.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal to end that came before there was anything to save."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, with nothing half-written; those ignored stay so (nohup)."""

    def stop(signum: int, frame: object) -> None:
        raise Stopped(signum)

    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    for signum in SIGNALS:
        if before[signum] == signal.SIG_DFL:
            signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Interrupt:
    """Remembers SIGINT, SIGTERM or SIGHUP until the step is done; a second signal ends the program at once.

    `accelerate launch` does not pass SIGTERM on to the one process it starts, so losing the launcher counts as well.
    """

    def __init__(self) -> None:
        self.signum = 0
        self.launcher = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None
        self.terminals = [fd for fd in (1, 2) if os.isatty(fd)]
        for signum in SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:  # nohup
                signal.signal(signum, self.remember)

    def remember(self, signum: int, frame) -> None:
        self.signum = signum
        signal.signal(signum, signal.SIG_DFL)
        if signum == getattr(signal, "SIGHUP", None):  # the terminal is gone; writing there would be an error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for fd in self.terminals:
                os.dup2(nowhere, fd)

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
