"""The Explore tab: a walk from face to face on a map, along sliders, or from an uploaded picture."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..explore import GRID
from ..looks import best_look
from ..models import ModelStore
from ..studio import Studio
from ..walks import MAX_MOVE
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
    hidden,
    look_choice,
    roll_button,
    variety,
)
from .seed import FIRST_FACE
from .upload import connect_upload, upload_part

SLIDERS = 8


def described(models: ModelStore, model: str) -> list[dict[str, Any]]:
    """What the sliders are for a model: one for each of its directions, the others hidden."""
    directions = models[model].directions
    words = list(zip(directions.labels, directions.ends))[:SLIDERS]
    props = [{"label": label, "info": f"{low} to {high}", "visible": True} for label, (low, high) in words]
    return props + [{"label": "", "visible": False}] * (SLIDERS - len(props))


def explore_map(on: SimpleNamespace, draw: Studio, start: str) -> None:
    """The faces around, and the way back."""
    gr.HTML("Choose a face to go there.", padding=False)
    on.around = album(draw.neighbours(start), label="The faces around it", columns=GRID, elem_id="map")
    with buttons():
        on.back, on.reset = button("Step back", 100), button("Start over", 100)


def explore_view(on: SimpleNamespace, picture: str) -> None:
    """The face where one is."""
    alt_text = "The face in the middle of the map"
    on.picture = face(picture, label="Face", alt_text=alt_text, elem_id="explored")
    caption("explored", "Where you are")


def explore_beginning(on: SimpleNamespace, draw: Studio, start: str) -> None:
    """Where a walk begins, and where its face may go."""
    with gr.Row():
        with gr.Column(min_width=240):
            on.roll = roll_button("Random face")
            on.start = gr.Textbox(start, label="Start", info="A seed, a name or a face's code.", max_lines=1)
            on.truncation = variety(draw.models)
        with gr.Column(min_width=240):
            upload_part(on, draw)
            on.enlarge = look_choice("sharp-256", "none", "sharp", "crisp", "smooth")
            with buttons():
                on.save, on.copy = button("Download PNG", 120), button("Copy link", 120)
            on.to_path, on.more = go_on("Interpolation")


def explore_tab(draw: Studio) -> Tab:
    on, start, sliders = SimpleNamespace(), str(FIRST_FACE), described(draw.models, "")
    with gr.Tab("Explore", id="explore") as on.tab:
        explored, code = draw.explore(start, enlarge=best_look())
        with gr.Row(elem_id="walk"):
            with gr.Column(min_width=240, elem_id="walk-view", elem_classes="view"):
                explore_view(on, explored)
            with gr.Column(min_width=240, elem_id="sliders"):
                on.sliders = [gr.Slider(-MAX_MOVE, MAX_MOVE, 0, step=0.1, buttons=[], **props) for props in sliders]
            with gr.Column(min_width=240):
                explore_map(on, draw, start)
        explore_beginning(on, draw, start)
        on.steps, on.moves, on.code, on.any_look = hidden(), hidden(), hidden(code), any_look()
    return Tab(
        id="explore",
        draw=draw.explore,
        controls={"start": on.start, "truncation": on.truncation, "steps": on.steps, "moves": on.moves},
        results=[on.picture, on.code],
        parts=on,
        draw_on=[on.start.submit],
        draw_after=[on.start, on.truncation, on.steps, on.moves, on.enlarge],
        random="randomStart",
        randomised=[on.start, on.steps],
        public={"enlarge": on.any_look},
        follow_up=(draw.neighbours, on.around, ["start", "truncation", "steps", "moves", "model"]),
        added={"enlarge": on.enlarge},
    )


def placing(models: ModelStore) -> Callable[[str, str], list[gr.Slider]]:
    """What sets the sliders that a model has to where an address has them."""

    @internal
    def place(moves: str, model: str) -> list[gr.Slider]:
        words = moves.split(",") if moves else []
        values = [float(word) for word in words] + [0] * (SLIDERS - len(words))
        return [gr.Slider(value=value, **props) for value, props in zip(values, described(models, model))]

    return place


@internal
def pick_neighbour(steps: str, event: gr.SelectData) -> tuple[Any, ...]:
    """One step further on the map; the face in its middle is where one is."""
    middle = event.index == GRID * GRID // 2
    return gr.Gallery(selected_index=None), steps if middle else f"{steps}.{event.index}".strip(".")


def connect_explore(explore: Tab, model: gr.Textbox, draw: Studio) -> None:
    """Let the map, the sliders and an uploaded picture lead to a face."""
    on = explore.parts
    place = placing(draw.models)
    forget: dict[str, Any] = dict(fn=None, inputs=None, outputs=[on.steps, on.moves], js="() => ['', '']", **PRIVATE)
    on.around.select(pick_neighbour, on.steps, [on.around, on.steps], preprocess=False, **PRIVATE)
    on.back.click(None, on.steps, on.steps, js="stepBack", **PRIVATE)
    on.reset.click(**forget).then(place, [on.moves, model], on.sliders, **PRIVATE)
    for found in connect_upload(on, model, draw):
        found.success(**forget).then(place, [on.moves, model], on.sliders, **PRIVATE)
    model.change(place, [on.moves, model], on.sliders, **PRIVATE)
    for slider in on.sliders:
        slider.input(None, on.sliders, on.moves, js="amounts", **PRIVATE)
