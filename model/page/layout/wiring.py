"""The tabs are wired: what makes each of them draw, and how a face goes from one to another."""

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from ...names import seed_of
from ..studio import MAX_KEYS
from ..walks import keys_of
from .address import remember_address
from .answers import internal, refusing, unless_empty
from .parts import PRIVATE, Tab

DRAWINGS = 4  # at a time, first come first served, whatever they are of: in a crowd all wait alike
DRAWING: dict[str, Any] = dict(preprocess=False, concurrency_id="drawing", concurrency_limit=DRAWINGS)


def publish(function: Callable[..., Any], controls: list[Any], results: Any, name: str, **more: Any) -> None:
    """An endpoint for programs. The page never calls it: what that opens with may change, and these defaults stay."""
    never = gr.Button(visible=False)
    described: dict[str, Any] = dict(api_name=name, api_description=inspect.getdoc(function))
    never.click(function, controls, results, **{**DRAWING, **described, **more})


def connect(tab: Tab, model: gr.Textbox) -> None:
    """Let a tab draw. The names of its controls are the parameters of ``draw``, of the API and of the address."""
    tab.draw = refusing(tab.draw)
    tab.controls = {**tab.controls, "model": model, **tab.added}
    inputs = list(tab.controls.values())
    if tab.public is not None:
        publish(tab.draw, list({**tab.controls, **tab.public}.values()), tab.results, tab.id)

    drawn: dict[str, Any] = {}

    def drawing(event: Callable[..., Any], function: Callable[..., Any], **more: Any) -> Any:
        """``function`` of the controls, as they were sent: the checks are ours."""
        taken = dict(inputs=inputs, outputs=tab.results, show_progress=tab.progress)
        return event(function, **{**taken, **more}, **DRAWING, **PRIVATE)

    def drawing_face(event: Callable[..., Any], function: Callable[..., Any], **more: Any) -> Any:
        name = f"{tab.id}{len(drawn)}"
        drawn[name] = drawing(event, function, js=f"(...values) => asked[{name!r}] = values", **more)
        return drawn[name]

    # One after the other and only the last: an older drawing must not come after a newer one.
    later: dict[str, Any] = dict(
        trigger_mode="always_last"
    )  # and waiting is seen: style.css lets it show after a while
    asked = lambda function, **more: gr.on(tab.draw_on, function, **more)  # noqa: E731
    drawing_face(asked, tab.draw)
    rolled = roll(tab, model)
    settled = gr.Number(visible=False, show_label=False)
    gr.on([control.change for control in [*tab.draw_after, model]], None, settled, settled, js="settle", **PRIVATE)
    newer = drawing_face(settled.change, unless_empty(tab.draw), **later)
    # Where a drawing fails, Gradio forgets what has been asked for since.
    script = f"(before, ...now) => same(now, asked[{list(drawn)[-1]!r}]) ? before : Date.now()"
    newer.failure(None, [settled, *inputs], settled, js=script, **PRIVATE)
    if tab.randomised[0] not in tab.draw_after:
        drawing_face(rolled.then, tab.draw, **later)
    remember_address(tab, inputs, drawn)
    if tab.follow_up:  # what may come a moment after the face
        again, shown, names = tab.follow_up
        again = refusing(again)
        tab.follow_up = again, shown, names
        controls = {name: tab.controls[name] for name in names}
        publish(again, list({**controls, **(tab.public or {})}.values()), shown, again.__name__)
        taken = dict(inputs=list(controls.values()), outputs=shown, show_progress="minimal")
        for i, event in enumerate(drawn.values()):
            drawing(event.success, unless_empty(again) if i else again, **taken, **later)


def roll(tab: Tab, model: gr.Textbox) -> Any:
    """What the random button does, before it is drawn."""
    if not tab.pick:
        return tab.parts.roll.click(None, None, tab.randomised, js=tab.random, **PRIVATE)
    pick, switch = tab.pick
    pick = refusing(pick)
    straight = f"(now, best) => best ? now : {tab.random}()"  # without asking anyone
    tab.parts.roll.click(None, [*tab.randomised, switch], tab.randomised, js=straight, **PRIVATE)
    return tab.parts.roll.click(
        lambda first, model, best: pick(first, model) if best else gr.skip(),
        [*tab.randomised, model, switch],
        tab.randomised,
        js=f"(_, model, best) => [{tab.random}(), model, best]",
        show_progress="minimal",
        show_progress_on=tab.results[0],
        **DRAWING,
        **PRIVATE,
    )


def connect_tabs(tabs: gr.Tabs, seed: Tab, batch: Tab, path: Tab, explore: Tab) -> None:
    """Let a face of one tab go to another."""
    face, batches, way, explored = (tab.parts for tab in (seed, batch, path, explore))
    sent: dict[str, Any] = dict(preprocess=False, **PRIVATE)
    for gallery, dial in ((batches.gallery, batches.truncation), (way.keys, way.truncation)):
        gallery.select(pick, dial, [tabs, gallery, face.seed, face.truncation], **sent)
    face.to_batch.click(
        lambda seed, truncation: (gr.Tabs(selected="batch"), seed, truncation),
        [face.seed, face.truncation],
        [tabs, batches.first_seed, batches.truncation],
        **sent,
    )
    face.to_explore.click(
        lambda seed, truncation: (gr.Tabs(selected="explore"), str(seed), truncation, ""),
        [face.seed, face.truncation],
        [tabs, explored.start, explored.truncation, explored.steps],
        **sent,
    )
    for pressed, key in (
        (face.to_path, [face.seed]),
        (explored.to_path, [explored.start, explored.steps, explored.moves, explored.code]),
    ):
        added = pressed.click(add_key, [way.seeds, *key], [tabs, way.seeds], **sent)
        added.success(path.draw, list(path.controls.values()), path.results, **sent)
    for saving in (face.save, explored.save, way.save):  # by page.js: Gradio drops a click while it is busy
        saving.elem_classes = ["save"]


@internal
def pick(truncation: float, event: gr.SelectData) -> tuple[Any, ...]:
    """The chosen face of a gallery, large, in the Seed tab."""
    seed, unselected = event.value["caption"], gr.Gallery(selected_index=None)
    if seed == "explored":  # a face that was explored has no seed
        return gr.skip(), unselected, gr.skip(), gr.skip()
    return gr.Tabs(selected="seed"), unselected, seed, truncation


@internal
def add_key(seeds: str, seed: object, steps: str = "", moves: str = "", code: str = "") -> tuple[Any, ...]:
    """One more face at the end of the way, in place of the last one where there are no more places."""
    known = keys_of(seeds)[: MAX_KEYS - 1]
    key = code if steps or moves else str(seed)
    if key.strip() and keys_of(key) != [key.strip()]:  # a name that would be several there, such as "a, b"
        key = str(seed_of(key))
    return gr.Tabs(selected="interpolation"), ", ".join([*known, key])
