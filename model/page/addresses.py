"""Pictures at plain addresses: /face/7.png, /face/alice.webp, /strip/7.png, /grid/0-15.png, /film/1,2,3.mp4.

Ordinary routes beside the page's own. A face is drawn at once, by a thread that does nothing else; what takes longer
waits in a line, is drawn once however many ask for it, and is kept as long as any file of the page.
"""

import asyncio
import hashlib
import io
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import astuple
from typing import Any

from PIL.Image import Image
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..enlarging import enlarge
from ..sampling import image_grid
from .animation import to_gif, to_mp4, to_png, to_webp
from .asked import KINDS, Picture, read_picture
from .cache import FileCache
from .calls import BadRequest
from .checks import Refusal
from .models import FRAMES_AT_ONCE, LoadedModel, ModelStore
from .share import help_page, share_page
from .studio import FRAMES_PER_SECOND, STRIP
from .work import Allowance, Busy, Line, client_of

TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "mp4": "video/mp4",
}
# A day: the address stays when the page gets other weights. After that the tag tells a client that nothing changed.
KEPT = "public, max-age=86400, immutable"
OPEN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
QUICK = 0.05  # seconds: below, a picture is drawn anew each time, and not behind slow ones
MAX_KEPT = 4096  # slow pictures of which the file is remembered
BURST, RATE = 5.0, 0.5  # seconds of work of one client: at once, and in each second
UNAVAILABLE = {"av": "An MP4 needs PyAV, which is missing here: pip install av."}

Answer = Callable[[Request], Awaitable[Response]]


def tag(picture: Picture, model: LoadedModel) -> str:
    """The strong ETag of a picture."""
    facts = json.dumps([__version__, model.digest, model.revision, *astuple(picture)])
    return f'"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'


def draw(picture: Picture, model: LoadedModel) -> bytes:
    """The file of a picture."""
    z = picture.latents(model.generator.latent_dim)
    generate = model.generator.generate
    if picture.kind == "film":
        faces = generate(z=z, truncation=picture.truncation, batch_size=FRAMES_AT_ONCE)
        frames = (enlarge(face.convert("RGB"), picture.size, picture.style) for face in faces)
        to_film: Callable[..., bytes] = {"gif": to_gif, "mp4": to_mp4, "webp": to_webp}[picture.format]
        return to_film(frames, size=picture.size, fps=FRAMES_PER_SECOND)
    if picture.kind == "strip":
        faces = [generate(z=z, truncation=scale)[0] for scale in STRIP]
    else:
        faces = generate(z=z, truncation=picture.truncation)
    cells = [enlarge(face, picture.size, picture.style) for face in faces]
    if picture.kind == "face":
        return to_file(cells[0], picture, model)
    return to_file(image_grid(cells, columns=len(cells) if picture.kind == "strip" else None), picture, model)


def to_file(image: Image, picture: Picture, model: LoadedModel) -> bytes:
    """A still in the format of its picture; a PNG of one face remembers how it was drawn."""
    file = io.BytesIO()
    if picture.format == "webp":
        small = max(image.size) <= 64
        image.save(file, "WEBP", lossless=small, quality=90, method=2)
        return file.getvalue()
    if picture.format == "jpg":
        image.save(file, "JPEG", quality=92, subsampling=0)
        return file.getvalue()
    if picture.kind != "face":
        return to_png(image)
    (person,) = picture.people
    known: dict[str, Any] = {"seed": person} if isinstance(person, int) else {"code": person}
    return model.png(image, **known, truncation=picture.truncation)


class Addresses:
    """The routes, over the models and the files of a page."""

    def __init__(self, models: ModelStore, files: FileCache) -> None:
        self.models, self.files = models, files
        self.allowance = Allowance(BURST, RATE)
        self.lines = {"face": Line("face", 2.0), "still": Line("still", 12.0), "film": Line("film", 12.0)}
        self._kept: OrderedDict[str, str] = OrderedDict()  # tag: file
        self._drawing: dict[str, asyncio.Future[bytes | str]] = {}

    def routes(self) -> list[Route]:
        """To stand before all others of the page."""
        pictures = [Route(f"/{kind}/{{words:path}}", self._answering(self._picture(kind))) for kind in KINDS]
        share, film = self._answering(self._share), self._answering(self._share_film)
        pages = [Route("/s/film/{words}", film), Route("/s/{words}", share), Route("/addresses", help_page)]
        return pictures + pages

    def _answering(self, answer: Answer) -> Answer:
        """``answer``, whose refusals are one sentence."""

        async def respond(request: Request) -> Response:
            headers = OPEN | {"Cache-Control": "no-store"}
            try:
                return await answer(request)
            except BadRequest as refusal:
                sentence, status = str(refusal), refusal.status
            except Busy as busy:
                sentence, status = "Too much is being drawn for you or for others; try again in a moment.", 429
                headers["Retry-After"] = str(busy.seconds)
            except Refusal as refusal:  # a full disk
                sentence, status = str(refusal), 503
            except ModuleNotFoundError as error:
                if error.name not in UNAVAILABLE:
                    raise
                sentence, status = UNAVAILABLE[error.name], 501
            return JSONResponse({"detail": sentence, "error": sentence}, status, headers)

        return respond

    def _picture(self, kind: str) -> Answer:
        async def answer(request: Request) -> Response:
            words, query = request.path_params["words"], request.scope["query_string"].decode("latin-1")
            picture, model = await asyncio.to_thread(read_picture, kind, words, query, self.models)
            etag = tag(picture, model)
            headers = OPEN | {"ETag": etag, "Cache-Control": KEPT}
            if matches(request.headers.get("if-none-match"), etag):
                return Response(status_code=304, headers=headers)
            drawn = await self._drawn(picture, model, etag, client_of(dict(request.scope)))
            if isinstance(drawn, str):  # a film is asked for in ranges
                return FileResponse(drawn, media_type=TYPES[picture.format], headers=headers)
            return Response(drawn, media_type=TYPES[picture.format], headers=headers)

        return answer

    async def _drawn(self, picture: Picture, model: LoadedModel, etag: str, client: str | None) -> bytes | str:
        """The bytes of a quick picture, or the file of a slow one."""
        if (known := self._kept.get(etag)) and self.files.find(known):
            self._kept.move_to_end(etag)
            return known
        if etag not in self._drawing:
            cost = picture.cost(model.generator.image_size)
            line = self.lines["film" if picture.kind == "film" else "still" if cost > QUICK else "face"]
            line.enter(cost)
            try:
                self.allowance.take(client, cost)
            except Busy:
                line.leave(cost)
                raise
            self._drawing[etag] = asyncio.ensure_future(self._draw(picture, model, etag, line, cost))
        return await asyncio.shield(self._drawing[etag])  # others may wait for it, too

    async def _draw(self, picture: Picture, model: LoadedModel, etag: str, line: Line, cost: float) -> bytes | str:
        def work() -> bytes | str:
            data = draw(picture, model)
            return data if cost <= QUICK else self.files.add(data, f"{picture.kind}.{picture.format}")

        try:
            drawn = await line.do(cost, work)
        finally:
            del self._drawing[etag]
        if isinstance(drawn, str):
            self._kept[etag] = drawn
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return drawn

    async def _share(self, request: Request) -> Response:
        return await asyncio.to_thread(share_page, request, self.models, film=False)

    async def _share_film(self, request: Request) -> Response:
        return await asyncio.to_thread(share_page, request, self.models, film=True)


def matches(tags: str | None, etag: str) -> bool:
    """Whether a client's If-None-Match names what it would get (RFC 9110, 13.1.2)."""
    return tags is not None and any(one.strip().removeprefix("W/") in ("*", etag) for one in tags.split(","))
