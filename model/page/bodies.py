"""Bodies of requests: how much may come, and how long it may take."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .calls import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_SECONDS = 10  # for the whole body of a call to arrive


def content_length(scope: Scope) -> int:
    """The announced length of a body; 0 where none is announced."""
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if re.fullmatch(rb"\d{1,18}", text) else 0


def bounded(receive: Receive, most: int, seconds: float, too_large: str = "") -> Receive:
    """``receive`` that refuses a body of more than ``most`` bytes or one that takes longer than ``seconds``.

    ``too_large`` is the sentence for the former, where there is a better one than the number of bytes.
    """
    loop = asyncio.get_running_loop()
    until, seen, complete = loop.time() + seconds, 0, False

    async def next_message() -> Message:
        nonlocal seen, complete
        if complete:  # the body is here; what may come is that the sender hangs up
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.01, until - loop.time()))
        except asyncio.TimeoutError:
            raise BadRequest(f"The body did not arrive within {seconds:g} seconds.", 408) from None
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > most:
                raise BadRequest(too_large or f"The body may have {most:,} bytes at most.", 413)
        return message

    return next_message


async def read(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body."""
    if content_length(scope) > most:
        raise BadRequest(f"The body may have {most:,} bytes at most.", 413)
    next_message, parts, more = bounded(receive, most, JSON_SECONDS), [], True
    while more:
        message = await next_message()
        if message["type"] == "http.disconnect":
            raise BadRequest("The sender hung up.", 400)
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """``receive`` that gives ``body`` once more before what comes after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
