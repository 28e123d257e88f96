"""The Find tab: faces by wish, and faces like another one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..finder import FOUND, NO_INDEX, Finder
from ..models import ModelStore
from ..studio import Album, Studio
from .answers import internal, refusing
from .parts import PRIVATE, Tab, album, any_look, button, buttons, hidden, roll_button
from .seed import FIRST_FACE
from .wiring import publish

LIKE = "like "  # what a wish begins with that asks for faces like another one
FIRST_WISHES = ("blue hair", "light background")  # where these were measured


def first_wish(phrases: list[str]) -> str:
    """What the page opens with."""
    return ", ".join([wish for wish in FIRST_WISHES if wish in phrases] or phrases[:1])


def chips(models: ModelStore, model: str, wishes: str) -> dict[str, Any]:
    """What can be wished for from a model, and what is."""
    phrases = models[model].index.phrases()
    chosen = [wish for part in wishes.split(",") if (wish := part.strip().lower()) in phrases]
    info = "Choose what you like; of two opposites one." if phrases else NO_INDEX
    return {"choices": phrases, "value": chosen, "info": info}


def looking(finder: Finder) -> Callable[[Any, str], Album]:
    """What draws the tab. A model that lacks a wish which the page's own has is no mistake of whoever chose it."""

    def look(wishes: Any, model: str) -> Album:
        text = wishes.strip() if isinstance(wishes, str) else ""
        phrases = finder.models[model].index.phrases()
        if not phrases:  # the chips say so
            return []
        if text.lower().startswith(LIKE):
            return finder.similar(text[len(LIKE) :], model=model)
        missing = set(finder.models[""].index.phrases()) - set(phrases)
        parts = [wish for part in text.split(",") if (wish := part.strip())]
        here = [wish for wish in parts if wish.lower() not in missing]
        return finder.find(", ".join(here), model=model) if here or not parts else []

    return look


def find_tab(draw: Studio) -> Tab:
    on, finder = SimpleNamespace(), Finder(draw.models, draw.files)
    wish = first_wish(draw.models[""].index.phrases())
    with gr.Tab("Find", id="find") as on.tab:
        on.chips = gr.CheckboxGroup(**chips(draw.models, "", wish), label="Faces by wish", buttons=[], elem_id="wishes")
        info = "What you chose above; or “like” and a seed, a name or a face's code: like alice"
        on.wishes = gr.Textbox(wish, label="Wishes", info=info, max_lines=1)
        with buttons():
            on.roll, on.copy = roll_button("Surprise me"), button("Copy link", 120)
        gr.HTML("The nearest of 10,000 faces come first. Choose one to see it large.", padding=False)
        faces = finder.find(wish) if wish else []
        on.gallery = album(faces, label="Faces", columns=8, elem_id="found", elem_classes="wall")

    on.finder = finder
    return Tab(
        id="find",
        draw=looking(finder),
        controls={"wishes": on.wishes},
        results=[on.gallery],
        parts=on,
        draw_on=[on.wishes.submit],
        draw_after=[on.wishes],
        random="randomWish",
        randomised=[on.wishes],
        public=None,
    )


def wishing(models: ModelStore) -> Callable[[str, str], gr.CheckboxGroup]:
    """What sets the chips to those of a model and to what an address wishes for."""

    @internal
    def place(wishes: str, model: str) -> gr.CheckboxGroup:
        return gr.CheckboxGroup(**chips(models, model, wishes))

    return place


def connect_find(tabs: gr.Tabs, find: Tab, seed: Tab, explore: Tab, model: gr.Textbox, models: ModelStore) -> None:
    """Let chips and faces lead to others like them, and these to the Seed tab; and publish both ways to find."""
    on, finder = find.parts, find.parts.finder
    on.chips.input(None, [on.chips, on.wishes], on.wishes, js="wishFor", **PRIVATE)
    on.wishes.change(None, on.wishes, on.chips, js="chipsOf", **PRIVATE)
    model.change(wishing(models), [on.wishes, model], on.chips, **PRIVATE)
    face, explored = seed.parts, explore.parts
    on.gallery.select(pick_found, None, [tabs, on.gallery, face.seed, face.truncation], preprocess=False, **PRIVATE)
    for pressed, key in (
        (face.more, [face.seed]),
        (explored.more, [explored.start, explored.steps, explored.moves, explored.code]),
    ):
        pressed.click(more_like, key, [tabs, on.wishes], preprocess=False, **PRIVATE)
    count = gr.Number(FOUND, precision=0, visible=False, label="How many")
    start = hidden(str(FIRST_FACE))
    for function, first in ((finder.find, on.wishes), (finder.similar, start)):
        publish(refusing(function), [first, count, model, any_look()], on.gallery, function.__name__)


@internal
def pick_found(event: gr.SelectData) -> tuple[Any, ...]:
    """The chosen face, large, in the Seed tab, as it was measured."""
    return gr.Tabs(selected="seed"), gr.Gallery(selected_index=None), event.value["caption"], 1.0


@internal
def more_like(start: object, steps: str = "", moves: str = "", code: str = "") -> tuple[Any, ...]:
    """Faces like the one that a tab shows."""
    return gr.Tabs(selected="find"), f"{LIKE}{code if steps or moves else start}"
