"""The page's HTML as it leaves the server: what it is where its link is pasted, and a face before any script runs."""

import asyncio
import html
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs

from starlette.middleware.gzip import GZipMiddleware

from .bodies import Message, Receive, Scope, Send
from .gate import PICTURES, local_path

TITLE = "Anime faces"
HEADLINE = "Draw an anime face"
LEAD = "Every number, and every name, is somebody."
DESCRIPTION = "Every number and every name is a face, drawn at once by a small neural network. Draw one, or find yours."
OPENING = Template(Path(__file__).with_name("opening.html").read_text())
ICON = "pwa_icon/512"  # the page's icon, large enough for a preview

TAGS = Template("""\
<title>$title</title>
<meta name="description" content="$description">
<meta name="color-scheme" content="light dark">
<meta property="og:type" content="website">
<meta property="og:title" content="$title">
<meta property="og:description" content="$description">
<meta property="og:url" content="$root/">
<meta property="og:image" content="$root/$icon">
<meta name="twitter:card" content="summary">
<meta name="twitter:title" content="$title">
<meta name="twitter:description" content="$description">
<meta name="twitter:image" content="$root/$icon">
<link rel="icon" type="image/png" href="./favicon.ico">
""")

# Those of Gradio, which would show its own banner.
GRADIO_TAGS = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>')


def rewritten(page: str, face: bytes | None) -> str:
    """Gradio's HTML with this page's own tags and, before all that it loads, a ``face`` (PNG, WebP) or its place."""
    head, script, rest = page.partition("<script>window.gradio_config")
    root = re.search(r'"root":\s*"([^"]*)"', rest)
    words = {"title": TITLE, "description": DESCRIPTION, "root": root[1] if root else "", "icon": ICON}
    tags = TAGS.substitute({key: html.escape(word) for key, word in words.items()})
    head = GRADIO_TAGS.sub("", head).replace('<meta charset="utf-8" />', f'<meta charset="utf-8" />\n{tags}', 1)
    rest = rest.replace('href="/manifest.json"', 'href="./manifest.json"', 1)  # below a proxy's path too
    kind = "png" if face and face.startswith(b"\x89PNG") else "webp"
    source = f' src="data:image/{kind};base64,{b64encode(face).decode()}" alt="A drawn face"' if face else ' alt=""'
    opening = OPENING.substitute(
        headline=HEADLINE, lead=LEAD, face=f'<img class="first" width="64" height="64"{source}>'
    )
    return head + script + re.sub(r"<body[^>]*>", lambda body: f"{body[0]}\n{opening}", rest, count=1)


class Document:
    """ASGI middleware between the gate and Gradio that rewrites the page's HTML.

    Args:
        app: what answers.
        face: the face that an address opens with, a PNG or, enlarged, a WebP, given its parameters; None where it does
            not open with one.
    """

    def __init__(self, app: Any, face: Callable[[dict[str, str]], bytes | None]) -> None:
        self.app, self.face = app, face

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or local_path(scope) != "/":
            await self.app(scope, receive, send)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))  # as long as the gate lets an address be
        started: Message = {}
        body = b""

        async def gather(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start":
                started = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = [(key, value) for key, value in started["headers"] if key.lower() != b"content-length"]
            if started["status"] == 200:
                face = await asyncio.to_thread(self.face, {key: values[0] for key, values in query.items()})
                body = rewritten(body.decode(), face).encode()
            await send({**started, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, gather)


class Compressed:
    """ASGI middleware: Starlette's gzip for all but pictures and films, which are small already and read in ranges."""

    def __init__(self, app: Any) -> None:
        self.plain, self.compressed = app, GZipMiddleware(app, minimum_size=1000, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        as_it_is = scope["type"] != "http" or local_path(scope).startswith(PICTURES)
        await (self.plain if as_it_is else self.compressed)(scope, receive, send)
