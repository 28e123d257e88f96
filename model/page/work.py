"""How much may be drawn for strangers who ask by address: lines that are never long, and an allowance for each client.

Work is counted in seconds of a slow core, as it is estimated beforehand.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, TypeVar

import torch

MAX_CLIENTS = 10_000  # that are remembered

T = TypeVar("T")


class Busy(Exception):
    """This is too much work now; ``seconds`` from now it may not be."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))


class Line:
    """Work that is done one after the other, by a thread of its own, as long as ``most`` seconds of it at most wait."""

    def __init__(self, name: str, most: float) -> None:
        self.most, self.waiting = most, 0.0
        self._worker = ThreadPoolExecutor(1, name, torch.set_num_threads, (1,))

    def enter(self, cost: float) -> None:
        """Take a place, which :meth:`leave` gives back; :class:`Busy` where the line is too long."""
        if self.waiting and self.waiting + cost > self.most:
            raise Busy(self.waiting + cost - self.most)
        self.waiting += cost

    def leave(self, cost: float) -> None:
        """Give a place back."""
        self.waiting = max(0.0, round(self.waiting - cost, 9))

    async def do(self, cost: float, work: Callable[[], T]) -> T:
        """The result of ``work``, for which a place was taken; it is given back."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        finally:
            self.leave(cost)


class Allowance:
    """For each client ``burst`` seconds of work at once, and ``rate`` of it in each second that passes."""

    def __init__(self, burst: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.burst, self.rate, self.clock = burst, rate, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client: (work, when)

    def take(self, client: str | None, cost: float) -> None:
        """Count ``cost`` to a client, None for nobody; :class:`Busy` where it is more than it has left."""
        if client is None:
            return
        now = self.clock()
        left, when = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - when) * self.rate)
        enough = left >= min(cost, self.burst)
        self._left[client] = (left - cost if enough else left), now
        while len(self._left) > MAX_CLIENTS:
            self._left.popitem(last=False)
        if not enough:
            raise Busy((cost - left) / self.rate)


def client_of(scope: dict[str, Any]) -> str | None:
    """Who asks: an address, of IPv6 the network. None where uvicorn knows only that of a proxy in a private network,
    behind which anyone may be; FORWARDED_ALLOW_IPS names the proxies whose X-Forwarded-For it believes."""
    try:
        address = ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return None
    if address.is_private:
        return None
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))
