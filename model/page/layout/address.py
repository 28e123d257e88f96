"""The address of the page: it holds what a tab shows, the page opens with what it asks for, and Back goes back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from ..checks import parse
from .answers import internal
from .parts import PRIVATE, Tab, hidden


def remember_address(tab: Tab, inputs: list[Any], drawn: Mapping[str, Any]) -> None:
    """Keep in the page's address what a tab shows: not what its fields hold, which may be refused or not drawn yet.

    ``drawn``: events by the names under which page.js knows what they asked for.
    """
    usual = {name: control.value for name, control in tab.controls.items() if name == "enlarge"}  # go without saying
    last = f"shown[{tab.id!r}]"

    def script(name: str, values: str) -> str:
        # JavaScript reads these as Python writes them.
        known = f"const keys = {list(tab.controls)}, usual = {usual}, values = {values};"
        told = "const told = (_, i) => values[i] !== usual[keys[i]];"
        return f"(...now) => {{ {known} {told} return {name}({tab.id!r}, keys.filter(told), values.filter(told)); }}"

    copy = tab.parts.copy
    tab.parts.tab.select(None, inputs, None, js=script("remember", f"{last} ?? now"), **PRIVATE)
    for name, event in drawn.items():
        event.success(None, inputs, None, js=script("drawn", f"{last} = asked[{name!r}]"), **PRIVATE)
    copied = copy.click(None, inputs, copy, js=script("copyLink", f"{last} ?? now"), **PRIVATE)
    copied.then(None, None, copy, js="later('Copy link')", **PRIVATE)


def opening(every: Sequence[Tab], tabs: gr.Tabs, chosen: gr.Dropdown) -> Callable[..., dict[Any, Any]]:
    """What draws the tab and the picture that the parameters of an address ask for."""

    def opened(query: Mapping[str, str], usual: bool) -> dict[Any, Any]:
        """``usual``: an address that asks for nothing is that of the usual face; what is empty asks for nothing."""
        query = {key: value for key, value in query.items() if value}
        named = [tab for tab in every if tab.id == query.get("tab")]
        asked = named or [tab for tab in every if next(iter(tab.controls)) in query]
        if not asked and not usual:
            return {tabs: gr.skip()}
        tab = (asked or every)[0]
        values = [parse(query.get(key), control.value) for key, control in tab.controls.items()]
        try:
            drawn = tab.draw(*values)
        except gr.Error as error:
            gr.Warning(f"{error.message} Here are the usual faces instead.", title="Address")
            return {tabs: gr.Tabs(selected=tab.id)}
        drawn = drawn if isinstance(drawn, tuple) else (drawn,)  # one result or several
        shown = dict(zip([*tab.controls.values(), *tab.results], [*values, *drawn]))
        if tab.follow_up:
            again, into, names = tab.follow_up
            shown[into] = again(*(shown[tab.controls[name]] for name in names))
        return {tabs: gr.Tabs(selected=tab.id), chosen: shown[every[0].controls["model"]], **shown}

    return opened


def connect_address(
    page: gr.Blocks, tabs: gr.Tabs, every: Sequence[Tab], chosen: gr.Dropdown, model: gr.Textbox, places: Any
) -> None:
    """Open the page with what its address asks for, and follow it as it goes back and forth.

    ``places``: what is set after that, functions with their inputs and outputs.
    """
    opened = opening(every, tabs, chosen)

    @internal
    def restore(request: gr.Request) -> dict[Any, Any]:
        return opened(request.query_params, False)

    @internal
    def travel(address: str) -> dict[Any, Any]:
        return opened(dict(parse_qsl(address.removeprefix("?"), max_num_fields=100)), True)

    everything = [part for tab in every for part in [*tab.controls.values(), *tab.results]]
    everything += [tab.follow_up[1] for tab in every if tab.follow_up]
    everything = list(dict.fromkeys(everything))  # the model is a control of every tab
    outputs = [tabs, chosen, *everything]
    address, went = hidden(), gr.Button("Go", visible="hidden", elem_id="travel")  # pressed by page.js
    waiting: dict[str, Any] = dict(
        show_progress="minimal", trigger_mode="always_last", **PRIVATE
    )  # Back, and Back again
    travelled = went.click(travel, address, outputs, js="() => [location.search]", **waiting)
    for event in (page.load(restore, None, outputs, **PRIVATE), travelled):
        for place in places:
            event = event.then(*place, **PRIVATE)
        event.then(None, js="arrived", **PRIVATE)
