"""What a training runs on: a GPU where there is one, else all cores of the CPU, unless the user said otherwise."""

import ctypes
import os
import sys

import psutil  # Accelerate needs it too
import torch


def training_device() -> torch.device:
    """A GPU (CUDA, Apple's MPS, others that PyTorch knows) where there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def use_gpu(device: torch.device) -> None:
    """On a CUDA GPU: let cuDNN time its kernels for our shapes, which never change, and float32 products use TF32."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def keep_memory(device: torch.device) -> None:
    """On the CPU, under glibc: keep what a tensor frees for the next one, instead of giving it back to the system.

    The system clears each page of fresh memory when it is first written, which can take longer than what is computed
    in it.
    """
    if device.type == "cpu" and sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)  # never


def use_cores() -> None:
    """Let PyTorch take the cores that this process may use, where only a launcher set OMP_NUM_THREADS=1.

    `accelerate launch` and `torchrun` do so for whoever set nothing, which is right for several processes on a few
    cores and leaves all but one idle otherwise. What the user set is in the launcher's own environment or command
    line, and stays.
    """
    launched = {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"} & os.environ.keys()
    if not launched or os.environ.get("OMP_NUM_THREADS") != "1":
        return
    try:
        launcher = psutil.Process(os.getppid())
        said = "OMP_NUM_THREADS" in launcher.environ() or any("num_cpu_threads" in word for word in launcher.cmdline())
    except (psutil.Error, OSError):
        return
    if not said:
        torch.set_num_threads(max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
