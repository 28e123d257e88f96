"""The whole page: its head, the tabs, and which model draws in them."""

import html
from typing import Any

import gradio as gr

from ...hub import LoadError
from ..models import ModelStore
from ..studio import Studio
from .address import connect_address
from .answers import internal
from .batch import batch_tab
from .explore import connect_explore, explore_tab, placing
from .interpolation import path_tab
from .parts import PRIVATE, Tab, hidden
from .seed import seed_tab
from .wiring import connect, connect_tabs

INTRODUCTION = "<h1>Anime faces</h1><p>Every number is a face. Take one, or roll the dice, and it is drawn at once.</p>"


def build(draw: Studio, notice: str) -> gr.Blocks:
    """The page: tabs over the drawing functions, opened with faces on it already; a ``notice`` stands above them."""
    models = draw.models
    with gr.Blocks(title="Anime faces") as blocks:
        page: gr.Blocks = blocks
        with gr.Row(elem_id="head"):
            gr.HTML(INTRODUCTION, elem_id="introduction")
            chosen = model_box(models)
        if notice:
            gr.HTML(f'<p role="alert">{html.escape(notice)}</p>', elem_id="notice")
        page.space_id = None  # on a Space, Gradio's own header would ask other hosts
        model = hidden(models.names[0])
        with gr.Tabs(selected="seed") as tabs:
            every = seed_tab(draw), batch_tab(draw), path_tab(draw), explore_tab(draw)
        for tab in every:
            connect(tab, model)
        connect_tabs(tabs, *every)
        connect_explore(every[-1], model, draw)
        connect_model(chosen, model, every[-1], models)
        connect_address(page, tabs, every, chosen, model, placing(models))
    return page


def model_box(models: ModelStore) -> gr.Dropdown:
    return gr.Dropdown(
        models.names,
        value=models.names[0],
        allow_custom_value=True,
        label="Model",
        info="Or the id of a public one on the Hub.",
        buttons=[],
        min_width=240,
        scale=0,
    )


def connect_model(chosen: gr.Dropdown, model: gr.Textbox, explore: Tab, models: ModelStore) -> None:
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
        return name, name, ""

    chosen.input(
        choose,
        [chosen, model],
        [chosen, model, explore.parts.moves],
        concurrency_limit=1,
        preprocess=False,
        **PRIVATE,
    )
