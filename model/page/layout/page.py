"""The whole page: its head, the tabs, what a visitor keeps, and which model draws."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from ...hub import LoadError
from ..band import band
from ..document import HEADLINE, LEAD, TITLE
from ..models import ModelStore
from ..studio import Studio
from .address import connect_address
from .answers import internal
from .batch import batch_tab
from .explore import connect_explore, explore_tab, placing
from .find import connect_find, find_tab, wishing
from .interpolation import path_tab
from .parts import PRIVATE, Tab, hidden, variety_words
from .seed import seed_tab
from .wiring import connect, connect_tabs

TABS = (seed_tab, batch_tab, path_tab, explore_tab, find_tab)

# Filled by keep.js, in this browser alone.
KEPT = """\
<section aria-labelledby="lately-title"><h2 id="lately-title">Your last faces</h2>
<p>Known to this browser alone. The space bar draws the next, the arrow keys go back and forth.</p>
<ul id="lately" class="strip"></ul></section>
<section aria-labelledby="favourites-title"><h2 id="favourites-title">Favourites</h2>
<p>Press the heart below a face to keep it here.</p>
<ul id="favourites" class="strip"></ul></section>
<p><label class="recall"><input id="recall" type="file" accept="image/png">
<span>Bring back a face from its PNG</span></label> or drop the file anywhere on this page.</p>"""


def build(draw: Studio, notice: str) -> gr.Blocks:
    """The page: tabs over the drawing functions, opened with faces on it already; a ``notice`` stands above them."""
    models = draw.models
    with gr.Blocks(title=TITLE) as blocks:
        page: gr.Blocks = blocks
        page.space_id = None  # on a Space, Gradio's own header would ask other hosts
        gr.HTML(f"<h1>{HEADLINE}</h1><p>{LEAD}</p>{band(models[''])}", elem_id="introduction", padding=False)
        if notice:
            gr.HTML(f'<p role="alert">{html.escape(notice)}</p>', elem_id="notice")
        model = hidden(models.names[0])
        with gr.Tabs(selected="seed") as tabs:
            every = seed, _, _, explore, find = [make(draw) for make in TABS]
        gr.HTML(KEPT, elem_id="kept", padding=False)
        chosen, style = model_box(models)
        for tab in every:
            connect(tab, model)
        connect_tabs(tabs, *every[:4])
        connect_find(tabs, find, seed, explore, model, models)
        connect_explore(explore, model, draw)
        connect_model(chosen, style, model, explore, models)
        sliders = [tab.parts.truncation for tab in every if tab is not find]
        model.change(naming(models, len(sliders)), model, sliders, **PRIVATE)
        places = [
            (placing(models), [explore.parts.moves, model], explore.parts.sliders),
            (wishing(models), [find.parts.wishes, model], find.parts.chips),
        ]
        connect_address(page, tabs, every, chosen, model, places)
    return page


def naming(models: ModelStore, count: int) -> Callable[[str], list[gr.Slider]]:
    """What names ``count`` sliders by what truncation does to the faces of a model."""

    @internal
    def name(model: str) -> list[gr.Slider]:
        return [gr.Slider(**variety_words(models, model))] * count  # type: ignore[arg-type]

    return name


def model_box(models: ModelStore) -> tuple[gr.Dropdown, gr.Slider]:
    """Who draws: below all that most came for."""
    first, second = models.names[0], models.names[min(1, len(models.names) - 1)]
    with gr.Row(elem_id="models"):
        style = gr.Slider(
            0,
            1,
            0,
            step=0.05,
            label="Style (blend)",
            info=f"From {first} to {second}: the same person in another hand.",
            buttons=[],
            min_width=240,
            visible=blends(models),
        )
        chosen = gr.Dropdown(
            models.names,
            value=models.names[0],
            allow_custom_value=True,
            label="Model",
            info="Who draws: a model of this page, or the id of a public one on the Hub.",
            buttons=[],
            min_width=240,
        )
    return chosen, style


def blends(models: ModelStore) -> bool:
    """Whether there is anything between the first two models."""
    try:
        return bool(models["blend:0"])  # without measuring anything, as one in between does
    except LoadError:
        return False


def connect_model(chosen: gr.Dropdown, style: gr.Slider, model: gr.Textbox, explore: Tab, models: ModelStore) -> None:
    """Let the chosen model draw in all tabs."""

    @internal
    def choose(name: str, model: str) -> tuple[Any, ...]:
        """Another model, once it is there; its faces have other directions."""
        try:
            models[name]
        except LoadError as error:
            gr.Warning(html.escape(f"Model {error}.", quote=False), title="Model")
            return model, gr.skip(), gr.skip()
        name = name.strip() or models.names[0]
        return (name, gr.skip(), gr.skip()) if name == model else (name, name, "")

    @internal
    def blended(share: float, model: str) -> tuple[Any, ...]:
        ends = {0.0: models.names[0], 1.0: models.names[1]}
        answer: tuple[Any, ...] = choose(ends.get(float(share), f"blend:{share:.2f}"), model)
        return answer

    outputs = [chosen, model, explore.parts.moves]
    once: dict[str, Any] = dict(concurrency_limit=1, preprocess=False, **PRIVATE)
    chosen.input(choose, [chosen, model], outputs, **once)
    style.input(blended, [style, model], outputs, trigger_mode="always_last", **once)
    model.change(None, model, style, js="styleOf", **PRIVATE)
