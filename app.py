"""The page that draws anime faces: ``python app.py``, then open the printed address.

MODEL_ID=weights          folder, or id of a model on the Hub (default: weights/ beside this file)
MODEL_REVISION=main       branch, tag or commit of a model on the Hub
GRADIO_SERVER_PORT=7860   port to serve on
GRADIO_TEMP_DIR=/tmp      where a folder for drawn and uploaded files is made, which goes when the page ends
CACHE_MB=1024             how much they may take; whatever was not used for an hour goes as well
"""

import atexit
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read on import: neither gradio nor the page asks another host
os.environ["GRADIO_RUN_HISTORY"] = "False"  # it would act for strangers with the token of whoever runs the page
os.environ["GRADIO_TEMP_DIR"] = os.path.join(
    os.path.abspath(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()), f"anime-faces-{os.getpid()}", "files"
)

from gradio import http_server
from starlette.middleware import Middleware

from model.hub import LoadError
from model.page.addresses import Addresses
from model.page.cache import MAX_BYTES, FileCache
from model.page.document import Compressed, Document
from model.page.gate import MAX_UPLOAD_BYTES, TOO_LARGE, Gate
from model.page.layout.answers import AUDIENCE
from model.page.layout.endpoints import endpoints
from model.page.layout.page import build
from model.page.layout.seed import FIRST_FACE, opening_face
from model.page.layout.theme import theme
from model.page.layout.wiring import DRAWINGS
from model.page.models import ModelStore, open_models
from model.page.share import best_style
from model.page.studio import Studio
from model.page.uploads import MAX_PICTURE_BYTES

ROOT = Path(__file__).resolve().parent
MODEL_ID = os.environ.get("MODEL_ID") or str(ROOT / "weights")
MODEL_REVISION = os.environ.get("MODEL_REVISION") or None
FILES = Path(os.environ["GRADIO_TEMP_DIR"])  # what is drawn and uploaded; nothing else is served
OURS = FILES.parent  # goes with the process
SESSIONS = 50  # that Gradio keeps, 0.2 MB each; the page needs none, and plain HTTP begins one with every request


@lru_cache(maxsize=1)
def load() -> tuple[ModelStore, str]:
    """The models of the page, the first one read, and a notice if that is not the one that MODEL_ID asks for."""
    try:
        models, notice = open_models(ROOT / "weights", MODEL_ID, MODEL_REVISION, OURS / "models")
    except LoadError as error:
        sys.exit(f"{error}.")
    if notice:
        print(notice, file=sys.stderr, flush=True)
    return models, notice


@lru_cache(maxsize=1)
def files() -> FileCache:
    """What is drawn and uploaded."""
    most = os.environ.get("CACHE_MB") or str(MAX_BYTES // 2**20)
    if not re.fullmatch("0*[1-9][0-9]{0,8}", most):
        sys.exit(f"CACHE_MB must be a whole number of megabytes, at least 1, not {most!r}.")
    return FileCache(FILES, int(most) * 2**20)


@lru_cache(maxsize=1)
def studio() -> Studio:
    """Where the faces are drawn."""
    return Studio(load()[0], files())


def scripts() -> str:
    """The page's JavaScript, and what it must know from here."""
    models = load()[0]
    known = {"models": models.names, "revisions": {models.names[0]: models[""].revision}}
    known |= {"bestStyle": best_style(), "maxPicture": MAX_PICTURE_BYTES, "tooLarge": TOO_LARGE}
    constants = [f"const {name} = {json.dumps(value)};" for name, value in known.items()]
    return "\n".join([*constants, *(file.read_text() for file in sorted((ROOT / "model/page").glob("*.js")))])


def serve() -> None:
    """Draw the opening faces and answer until the process is stopped; its folder goes with it."""
    atexit.register(shutil.rmtree, OURS, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if find_spec("spaces") is None:  # on a Space, Gradio would start a hot reload that this lacks, and log a traceback
        http_server.get_space = lambda: None
    page = build(studio(), load()[1]).queue(max_size=64, default_concurrency_limit=DRAWINGS, api_open=False)
    favicon = studio().seed(FIRST_FACE)
    files().opened()
    os.environ.pop("HF_TOKEN", None)  # the page's own model is here, and for strangers nothing is done in its name
    gate = Middleware(Gate, files=files(), endpoints=endpoints(page), audience=AUDIENCE)
    page.launch(
        app_kwargs={
            "middleware": [Middleware(Compressed), gate, Middleware(Document, face=opening_face(studio()))],
            "routes": Addresses(load()[0], files()).routes(),
        },
        css_paths=ROOT / "model/page/style.css",
        enable_monitoring=False,
        favicon_path=favicon,
        footer_links=["api"],
        head=f"<script>{scripts()}</script>",
        max_file_size=MAX_UPLOAD_BYTES,
        max_threads=8,
        mcp_server=find_spec("mcp") is not None,
        num_workers=0,
        run_history=False,
        ssr_mode=False,
        state_session_capacity=SESSIONS,
        theme=theme(),
    )


if __name__ == "__main__":
    serve()
