"""The commands of train/ again and again without importing PyTorch each time, which takes longer than a tiny training.

Each is still a process of its own, with its own environment, files and signals: it is forked from one that has
imported the trainer and done nothing else. What huggingface_hub reads at import, such as HF_ENDPOINT, is fixed there.
"""

import importlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["train.train", "torch._dynamo", "torch.distributed.fsdp"])  # an optimizer imports these


def start(
    *arguments: object,
    command: str = "train.train",
    out: str = os.devnull,
    err: str = os.devnull,
    cwd: Path = ROOT,
    file_size: int = 0,
    **environment: str,
) -> BaseProcess:
    """Start a module's ``main``, with its output in files; ``exitcode`` of what is returned is -N after signal N.

    ``file_size`` limits the bytes of a file that it may write.
    """
    words = [str(argument) for argument in arguments]
    process = context.Process(target=child, args=(command, words, out, err, cwd, file_size, environment))
    with patch.dict(os.environ, ENV):  # of the process that all are forked from, if it is not there yet
        forkserver.ensure_running()
        process.start()
    return process


def child(command: str, words: list[str], out: str, err: str, cwd: Path, file_size: int, environment: dict) -> None:
    """What the interpreter does for ``python -m COMMAND WORDS``."""
    os.environ.update(environment)
    os.chdir(cwd)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    sys.argv = [command.rpartition(".")[2] + ".py", *words]
    sys.exit(importlib.import_module(command).main())


def run(*arguments: object, timeout: float = 300, **options) -> subprocess.CompletedProcess:
    """Run a command to its end, as ``subprocess.run`` does; ``options`` as above."""
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        process = start(*arguments, out=out.name, err=err.name, **options)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(str(arguments), timeout, out.read(), err.read())
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read(), err.read())
