"""The address of the page: it holds what a tab shows, and the page opens with what it asks for."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from ..checks import parse
from .answers import internal
from .parts import PRIVATE, Tab


def remember_address(tab: Tab, inputs: list[Any], drawn: list[Any]) -> None:
    """Keep in the page's address what a tab shows."""

    def script(name: str) -> str:
        return f"(...values) => {name}({tab.id!r}, {list(tab.controls)}, values)"  # JavaScript reads lists alike

    copy = tab.parts.copy
    tab.parts.tab.select(None, inputs, None, js=script("remember"), **PRIVATE)
    for event in drawn:
        event.success(None, inputs, None, js=script("drawn"), **PRIVATE)
    copied = copy.click(None, inputs, copy, js=script("copyLink"), **PRIVATE)
    copied.then(None, None, copy, js="later('Copy link')", **PRIVATE)


def connect_address(
    page: gr.Blocks,
    tabs: gr.Tabs,
    every: Sequence[Tab],
    chosen: gr.Dropdown,
    model: gr.Textbox,
    place: Callable[..., Any],
) -> None:
    """Open the page with what its address asks for."""

    @internal
    def restore(request: gr.Request) -> dict[Any, Any]:
        """The tab and the picture that the address asks for."""
        query = request.query_params
        named = [tab for tab in every if tab.id == query.get("tab")]
        asked = named if query.get("tab") else [tab for tab in every if next(iter(tab.controls)) in query]
        if not asked:
            return {tabs: gr.skip()}
        tab = asked[0]
        values = [parse(query.get(key), control.value) for key, control in tab.controls.items()]
        try:
            drawn = tab.draw(*values)
        except gr.Error as error:
            gr.Warning(f"{error.message} Here are the usual faces instead.", title="Address")
            return {tabs: gr.Tabs(selected=tab.id)}
        drawn = drawn if isinstance(drawn, tuple) else (drawn,)  # one result or several
        shown = dict(zip([*tab.controls.values(), *tab.results], [*values, *drawn]))
        return {tabs: gr.Tabs(selected=tab.id), chosen: shown[model], **shown}

    on = every[-1].parts
    everything = [part for tab in every for part in [*tab.controls.values(), *tab.results]]
    everything = list(dict.fromkeys(everything))  # the model is a control of every tab
    opened = page.load(restore, None, [tabs, chosen, *everything], **PRIVATE)
    opened = opened.then(place, [on.moves, model], on.sliders, **PRIVATE)
    opened.then(None, js="() => { restored = true }", **PRIVATE)
