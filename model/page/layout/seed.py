"""The Seed tab: one face, large."""

import html
import io
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image

from ...names import seed_of
from ..animation import to_webp
from ..checks import Refusal, parse
from ..looks import LARGE, best_look
from ..studio import STRIP, Studio
from .answers import internal
from .parts import (
    PRIVATE,
    Tab,
    album,
    any_look,
    button,
    buttons,
    caption,
    face,
    go_on,
    look_choice,
    roll_button,
    seed_field,
    variety,
)

FIRST_FACE = 11  # what the page opens with
# Filled by share.js.
LINES = [f'<button type="button" class="line" data-line="{kind}"></button>' for kind in ("link", "html", "markdown")]
SHARE = f"""\
<details><summary>Share this face</summary><p>A link, which shows it in a chat, and lines for websites and Markdown; a
click copies one. <a href="addresses">What else an address can do</a></p>{"".join(LINES)}</details>"""


def seed_tab(draw: Studio) -> Tab:
    on, look = SimpleNamespace(), best_look()
    with gr.Tab("Seed", id="seed") as on.tab, gr.Row():
        with gr.Column(min_width=280, elem_id="seed-view", elem_classes="view"):
            alt_text = "The face of this seed"
            on.picture = face(draw.seed(FIRST_FACE, enlarge=look), label="Face", alt_text=alt_text, elem_id="picture")
            caption("picture", f"Seed {FIRST_FACE}")
        with gr.Column(min_width=280):
            on.roll, on.any_look = roll_button("Draw a face"), any_look()
            on.best = gr.Checkbox(True, label="Pick the best of 8", info="Fewer broken faces, and fewer odd ones.")
            on.seed = seed_field(str(FIRST_FACE), "Seed or name", elem_id="seed")
            on.name = gr.HTML("", elem_id="name", padding=False)
            on.truncation = variety(draw.models)
            gr.HTML("The same face from low to high:", padding=False)
            label = "The same seed at every variety"
            on.strip = album(draw.strip(FIRST_FACE), label=label, columns=len(STRIP), elem_id="truncations")
            on.enlarge = look_choice("sharp-256", "none", "sharp", "crisp", "smooth")
            with buttons():
                on.save, on.copy = button("Download PNG", 120), button("Copy link", 120)
            on.to_batch, on.to_path, on.to_explore, on.more = go_on("Batch", "Interpolation", "Explore")
            gr.HTML(SHARE, elem_id="share", padding=False)
    on.strip.select(pick_truncation, None, [on.strip, on.truncation], **PRIVATE)
    on.seed.change(say_name, on.seed, on.name, show_progress="hidden", trigger_mode="always_last", **PRIVATE)
    return Tab(
        id="seed",
        draw=draw.seed,
        controls={"seed": on.seed, "truncation": on.truncation, "enlarge": on.enlarge},
        results=[on.picture],
        parts=on,
        draw_on=[on.seed.submit],
        draw_after=[on.seed, on.truncation, on.enlarge],
        random="randomSeed",
        randomised=[on.seed],
        pick=(draw.pick, on.best),
        public={"enlarge": on.any_look},
        follow_up=(draw.strip, on.strip, ["seed", "model"]),
    )


def opening_face(draw: Studio) -> Callable[[Mapping[str, str]], bytes | None]:
    """What draws the face that the page opens with at an address, so that it is there before any script runs.

    One is redrawn sharp at a time: nobody stands in line for a page, and whoever finds the place taken sees the face
    as it was drawn until the page itself has asked for it.
    """
    place = threading.Lock()

    def opening(query: Mapping[str, str]) -> bytes | None:
        if query.get("tab", "seed") != "seed" or {"model", "first_seed", "seeds", "start", "wishes"} & query.keys():
            return None  # other faces, which the page draws
        look: Any = query.get("enlarge", best_look())
        sharp = str(look).startswith("sharp") and place.acquire(blocking=False)
        try:
            truncation: Any = parse(query.get("truncation"), 1.0)
            drawn = draw.seed(query.get("seed", str(FIRST_FACE)), truncation, look if sharp else "none")
            png = Path(drawn).read_bytes()
        except (Refusal, OSError):  # the page says why
            return None
        finally:
            if sharp:
                place.release()
        return as_webp(png) if sharp else png

    return opening


@lru_cache(16)
def as_webp(png: bytes) -> bytes:
    """A sixth of the bytes, for the page that every visitor loads."""
    return to_webp([Image.open(io.BytesIO(png))], size=LARGE // 2)


@internal
def pick_truncation(event: gr.SelectData) -> tuple[Any, ...]:
    return gr.Gallery(selected_index=None), float(event.value["caption"])


@internal
def say_name(text: str) -> str:
    """Which seed a name is; nothing for a seed."""
    try:
        seed = seed_of(text)
    except ValueError:  # the drawing says why
        return ""
    if text.strip().isascii() and text.strip().isdigit():  # digits of other scripts are names
        return ""
    return f'<p data-seed="{seed}"><b>{html.escape(text.strip())}</b> = seed {seed}</p>'
