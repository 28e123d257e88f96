"""The gate before the page: known routes with bounded bodies, only files of its own, safe headers on every answer.

Gradio answers many routes that this page does not need, some of which read files, fetch addresses, take any amount of
memory or act with the token of whoever runs it. What is not listed here never reaches it.
"""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.responses import FileResponse, JSONResponse, Response

from . import calls
from .audience import Audience
from .bodies import Message, Receive, Scope, Send, bounded, content_length, read, replay
from .cache import FileCache
from .calls import BadRequest, Endpoints

MAX_JSON_BYTES = 2**16
MAX_UPLOAD_BYTES = 17 * 10**6  # one picture of 16 MB and the form around it
MAX_TOOL_BYTES = 23 * 10**6  # one picture of 16 MB as base64
UPLOAD_SECONDS = 60  # for a picture to arrive
MAX_UPLOADS = 8  # at a time
MAX_STREAMS = 1000  # answers that are waited for at a time
MAX_ADDRESS = 8192  # bytes of a path and its query
ICON_SIZES = ("192", "512")  # those that manifest.json names

INLINE = {  # what a browser may show at once; all else is saved to a file
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
}
TOO_LARGE = "A picture may have 16 MB at most."
GONE = "This file is no longer kept; draw it again."
BROKEN = "Something went wrong on this page; try again in a moment."

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Gradio writes scripts and styles into the page and compiles its handlers in the browser.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
}
OUR_POLICY = (  # of pages of our own, which have no script
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'; sandbox"

API = "/gradio_api"
PICTURES = (f"{API}/file=", "/face/", "/strip/", "/grid/", "/film/")  # where pictures, films and other files lie
NAME = "[A-Za-z0-9_]{1,64}"


@dataclass(frozen=True)
class Route:
    """Paths that match ``pattern`` are handled as ``kind`` for these methods."""

    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: str


def _route(methods: str, pattern: str, kind: str = "plain") -> Route:
    return Route(tuple(methods.split()), re.compile(pattern, re.ASCII), kind)


ROUTES = (
    _route("GET HEAD", "/", "page"),
    _route("GET HEAD", "/config/?", "page"),
    _route("GET HEAD", r"/(assets|static|svelte)(/[\w.@+-]{1,150}){1,6}"),
    _route("GET HEAD", rf"({API})?/theme\.css|/robots\.txt"),
    _route("GET HEAD", r"/favicon\.ico|/manifest\.json|/pwa_icon", "icon"),
    _route("GET HEAD", f"/pwa_icon/({'|'.join(ICON_SIZES)})", "icon"),
    _route("GET HEAD", f"{API}/(info/?|openapi.json|app_id/?|startup-events|queue/status|user/?|login_check/?)"),
    _route("GET HEAD", rf"{API}/file=(?P<path>.*)", "file"),
    _route("GET HEAD", r"/(face|strip|grid|film)/(?s:.+)", "picture"),
    _route("GET HEAD", "/s/(film/)?[^/]+|/addresses"),
    _route("GET", f"{API}/queue/data", "stream"),
    _route("GET", rf"{API}/call/(v2/)?{NAME}/(?P<event>[A-Za-z0-9_-]{{1,64}})", "stream"),
    _route("GET", f"{API}/upload_progress"),
    _route("POST", f"{API}/call/(?P<name>{NAME})/?", "call"),
    _route("POST", f"{API}/call/v2/(?P<name>{NAME})/?", "keywords"),
    _route("POST", f"{API}/queue/join/?", "join"),
    _route("POST", f"{API}/cancel/?", "cancel"),
    _route("POST", f"{API}/reset/?", "reset"),
    _route("POST", f"{API}/upload/?", "upload"),
    _route("GET HEAD POST DELETE", rf"{API}/mcp(/[\w./-]*)?", "tool"),
    _route("OPTIONS", "/.*"),
)


CHECKS = {  # how large the body of a call may be, and what checks it
    "call": (MAX_JSON_BYTES, calls.check_call),
    "keywords": (MAX_JSON_BYTES, calls.check_keywords),
    "join": (MAX_JSON_BYTES, calls.check_join),
    "cancel": (MAX_JSON_BYTES, calls.check_cancel),
    "reset": (MAX_JSON_BYTES, calls.check_reset),
    "tool": (MAX_TOOL_BYTES, calls.check_tool),
}


class Gate:
    """ASGI middleware around Gradio's application.

    Args:
        app: what answers the requests that pass.
        files: what may be read and named.
        endpoints: what may be called.
        audience: those who wait for an answer are counted here.
    """

    def __init__(self, app: Any, files: FileCache, endpoints: Endpoints, audience: Audience) -> None:
        self.app, self.files, self.endpoints, self.audience = app, files, endpoints, audience
        self.uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # a web socket, of which the page has none
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        policy = policy_of(local_path(scope))

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = {key.lower().encode() for key in HEADERS}
                headers = [(key, value) for key, value in message.get("headers", []) if key.lower() not in own]
                safe = HEADERS | {"Content-Security-Policy": policy}
                headers += [(key.lower().encode(), value.encode()) for key, value in safe.items()]
                message = {**message, "headers": headers}
            await send(message)

        response = None
        try:
            await self._pass(scope, receive, guarded)
        except BadRequest as refusal:
            response = refused(str(refusal), refusal.status)
        except Exception as error:
            # A stream for which nobody has called ends as a 404 in Gradio that comes too late; that is no fault.
            if not started or getattr(error.__cause__, "status_code", 500) >= 500:
                logging.getLogger("uvicorn.error").exception("an answer failed")
            response = refused(BROKEN, 500)
        if response is not None and not started:
            await response(scope, receive, guarded)
        elif response is not None:  # too late for a sentence; end what was begun
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or raise :class:`calls.BadRequest`."""
        path, method = local_path(scope), scope["method"]
        if len(scope["raw_path"] or b"") + len(scope["query_string"]) > MAX_ADDRESS:
            raise BadRequest("This address is too long.", 414)
        found = [(route, match) for route in ROUTES if (match := route.pattern.fullmatch(path))]
        if not [route for route, _ in found if route.methods != ("OPTIONS",)] or ".." in path.split("/"):
            raise BadRequest("There is nothing at this address.", 404)
        kind, match = next(((route.kind, match) for route, match in found if method in route.methods), ("", None))
        if match is None:
            raise BadRequest(f"{method} is not possible at this address.", 405)
        special = {
            "page": self._page,
            "icon": self._icon,
            "file": self._file,
            "picture": self._picture,
            "stream": self._stream,
            "upload": self._upload,
        }
        if kind in CHECKS:
            await self._checked(scope, receive, send, kind, match.groupdict().get("name", ""))
        elif kind in special:
            await special[kind](scope, receive, send, match)
        else:
            await self.app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        """The page itself, without what Gradio would read from a file of its own."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        if any(key == "deep_link" for key, _ in query):
            scope = {**scope, "query_string": urlencode([(k, v) for k, v in query if k != "deep_link"]).encode()}
        await asyncio.to_thread(self.files.sweep)
        await self.app(scope, receive, send)

    async def _icon(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        await asyncio.to_thread(self.files.restore)
        await self.app(scope, receive, send)

    async def _file(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        """A file of the page's own, straight from the disk."""
        file = await asyncio.to_thread(self.files.find, match["path"])
        if file is None:
            kept = self.files.owns(match["path"])
            raise BadRequest(GONE if kept else "There is no such file on this page.", 404)
        kind = INLINE.get(file.suffix.lower())
        response = FileResponse(
            file,
            media_type=kind or "application/octet-stream",
            filename=file.name,
            content_disposition_type="inline" if kind else "attachment",
        )
        try:
            await response(with_one_range(scope), receive, send)
        except RuntimeError:  # deleted a moment ago
            raise BadRequest(GONE, 404) from None

    async def _picture(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        """A picture at a plain address."""
        await self.app(with_one_range(scope), receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        """An answer that someone waits for."""
        who = match.groupdict().get("event")
        if who is None:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
            who = query.get("session_hash", [""])[0]
            if not calls.SESSION.fullmatch(who):
                raise BadRequest("session_hash must be 1 to 64 letters and digits.")
        if self.audience.total() >= MAX_STREAMS:
            raise BadRequest("Too many are waiting for answers; try again in a moment.", 503)
        self.audience[who] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.audience[who] -= 1
            if not self.audience[who]:
                del self.audience[who]

    async def _checked(self, scope: Scope, receive: Receive, send: Send, kind: str, name: str) -> None:
        """A call, once its whole body is here and is what such a call may hold."""
        most, check = CHECKS[kind]
        body = await read(scope, receive, most)
        completed = check(body, name, self.endpoints, self.files)
        await self.app(scope, replay(body if completed is None else completed, receive), send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str]) -> None:
        """Pictures on their way to the disk: a few at a time, none larger than it may be, none that drips for ever."""
        if content_length(scope) > MAX_UPLOAD_BYTES:
            raise BadRequest(TOO_LARGE, 413)
        if self.uploads >= MAX_UPLOADS:
            raise BadRequest("Too many pictures are being uploaded; try again in a moment.", 503)
        self.uploads += 1
        try:
            await self.app(scope, bounded(receive, MAX_UPLOAD_BYTES, UPLOAD_SECONDS, TOO_LARGE), send)
        finally:
            self.uploads -= 1
            await asyncio.to_thread(self.files.sweep)


def refused(sentence: str, status: int) -> Response:
    """``sentence`` as the page's API answers."""
    headers = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"detail": sentence, "error": sentence}, status, headers)


def policy_of(path: str) -> str:
    """The Content-Security-Policy of what lies at a path."""
    if path.startswith(PICTURES):
        return FILE_POLICY
    return OUR_POLICY if path.startswith("/s/") or path == "/addresses" else HEADERS["Content-Security-Policy"]


def with_one_range(scope: Scope) -> Scope:
    """``scope`` with the one range that a video needs; anything odder asks for the whole file."""
    ranges = [value for key, value in scope["headers"] if key == b"range"]
    if not ranges or (len(ranges) == 1 and re.fullmatch(rb"bytes=(\d{1,12}-\d{0,12}|-\d{1,12})", ranges[0])):
        return scope
    return {**scope, "headers": [(key, value) for key, value in scope["headers"] if key != b"range"]}


def local_path(scope: Scope) -> str:
    """The path below the place where a proxy mounts the page."""
    path: str = scope["path"]
    root = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path
