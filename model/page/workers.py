"""Threads that draw, for as long as somebody waits for what they draw."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")
Progress = Callable[[float], object]  # is told how much of the work is done, 0 to 1


def ignore(done: float) -> None:
    """For whoever watches no progress."""


# Faces are drawn and animations encoded by as many threads as PyTorch would take for one face. Requests that each
# brought all of these would wait for one another on the same cores, and a thread keeps memory once it has encoded.
WORKERS = ThreadPoolExecutor(torch.get_num_threads(), "worker", torch.set_num_threads, (1,))

# Whether somebody still waits for what is being drawn; whoever draws for others sets it.
wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)


class Unwanted(Exception):
    """Nobody waits any more for what was being drawn, and others wait for their turn."""


def while_wanted(items: Iterable[T]) -> Iterator[T]:
    """``items`` one after the other, for as long as what is being drawn is ``wanted``.

    Raises:
        Unwanted: nobody waits for it any more.
    """
    still = wanted.get()  # now: the items may be taken in another thread

    def take() -> Iterator[T]:
        for item in items:
            if not still():
                raise Unwanted
            yield item

    return take()


def draw_all(draw: Callable[[T], U], each: Sequence[T], progress: Progress = ignore) -> list[U]:
    """``draw`` of each, by WORKERS, while it is wanted."""
    still, drawn = wanted.get(), []

    def draw_if_wanted(one: T) -> U:
        if not still():
            raise Unwanted
        return draw(one)

    for done in WORKERS.map(draw_if_wanted, each):
        drawn.append(done)
        progress(len(drawn) / len(each))
    return drawn
