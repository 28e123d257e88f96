"""The page that draws anime faces: ``python app.py``, then open the printed address.

MODEL_ID=weights          folder, or id of a model on the Hub (default: weights/ beside this file)
MODEL_REVISION=main       branch, tag or commit of a model on the Hub
GRADIO_SERVER_PORT=7860   port to serve on
GRADIO_TEMP_DIR=/tmp      where a folder for drawn and uploaded files is made, which goes when the page ends
CACHE_MB=1024             how much they may take; whatever was not used for an hour goes as well
"""

import atexit
import html
import inspect
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read on import: neither gradio nor the page asks another host
os.environ["GRADIO_RUN_HISTORY"] = "False"  # it would act for strangers with the token of whoever runs the page
os.environ["GRADIO_TEMP_DIR"] = os.path.join(
    os.path.abspath(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()), f"anime-faces-{os.getpid()}", "files"
)

import gradio as gr
from gradio.context import LocalContext
from starlette.middleware import Middleware

from model.hub import LoadError
from model.page.addresses import Addresses
from model.page.audience import Audience
from model.page.cache import MAX_BYTES, FileCache
from model.page.calls import Endpoint, Endpoints, Parameter
from model.page.checks import Refusal, parse
from model.page.explore import GRID
from model.page.gate import BROKEN, Gate
from model.page.models import ModelStore, Unwanted, open_models, wanted
from model.page.studio import (
    FRAMES_PER_SECOND,
    LARGE,
    MAX_COUNT,
    MAX_FRAMES,
    MAX_KEYS,
    MAX_MOVE,
    STRIP,
    WAY_FRAMES,
    Studio,
)
from model.sampling import MAX_SEED, MAX_TRUNCATION

ROOT = Path(__file__).resolve().parent
MODEL_ID = os.environ.get("MODEL_ID") or str(ROOT / "weights")
MODEL_REVISION = os.environ.get("MODEL_REVISION") or None
FILES = Path(os.environ["GRADIO_TEMP_DIR"])  # what is drawn and uploaded; nothing else is served
OURS = FILES.parent  # goes with the process
AUDIENCE = Audience()
SLIDERS = 8
SESSIONS = 50  # that Gradio keeps, 0.2 MB each; the page needs none, and plain HTTP begins one with every request
DRAWINGS = 4  # at a time, first come first served, whatever they are of: in a crowd all wait alike
FIRST_FACE, FIRST_PATH = 63, "63, 27, 18"  # what the page opens with
INTRODUCTION = "<h1>Anime faces</h1><p>Every number is a face. Take one, or roll the dice, and it is drawn at once.</p>"
SIZES = [("Original size", "none"), ("Sharp, 256", "sharp-256"), ("Sharp, 512", "sharp")]
SIZES += [(f"Crisp, {LARGE}", "crisp"), (f"Smooth, {LARGE}", "smooth")]


# What the page draws with.


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


def project(picture: dict | None, model: str = "", progress: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
    # Gradio asks for its progress bar in this way.
    path = picture.get("path", "") if isinstance(picture, dict) else picture
    return studio().project(path, model, lambda done: progress(done, "Looking for the face"))


project.__doc__ = Studio.project.__doc__


def refusing(function: Callable) -> Callable:
    """``function`` for as long as somebody waits for it, whose refusals the page and the API show as they are."""

    @wraps(function)
    def answer(*values: object) -> object:
        blocks = LocalContext.blocks.get(None)
        still_wanted = AUDIENCE.waits_for(blocks and blocks._queue, LocalContext.event_id.get(None))
        wanted.set(still_wanted)
        try:
            if not still_wanted():
                raise Unwanted
            return function(*values)
        except Unwanted:
            sentence = "Nobody was waiting for this any more."
        except LoadError as error:
            sentence = f"Model {error}."
        except Refusal as error:
            sentence = str(error)
        except Exception:  # a fault of ours: the trace is for the log
            traceback.print_exc()
            sentence = BROKEN
        raise gr.Error(html.escape(sentence, quote=False), print_exception=False)

    return answer


def internal(function: Callable) -> Callable:
    """``function`` that the page alone calls, with what it has itself: a stranger may send anything there."""

    @wraps(function)
    def answer(*values: Any, **keywords: Any) -> object:
        try:
            return function(*values, **keywords)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise gr.Error("The page cannot use these values; reload it.", print_exception=False) from None

    return answer


# What a choice on the page changes elsewhere on it.


def described(model: str) -> list[dict]:
    """What the sliders of Explore are for a model: one for each of its directions, the others hidden."""
    directions = load()[0][model].directions
    words = list(zip(directions.labels, directions.ends))[:SLIDERS]
    props = [{"label": label, "info": f"{low} to {high}", "visible": True} for label, (low, high) in words]
    return props + [{"label": "", "visible": False}] * (SLIDERS - len(props))


@internal
def pick(truncation: float, event: gr.SelectData) -> tuple:
    """The chosen face of a gallery, large, in the Seed tab."""
    seed, unselected = event.value["caption"], gr.Gallery(selected_index=None)
    if not seed.isdigit():  # a face that was explored has no seed
        return gr.skip(), unselected, gr.skip(), gr.skip()
    return gr.Tabs(selected="seed"), unselected, int(seed), truncation


@internal
def pick_truncation(event: gr.SelectData) -> tuple:
    return gr.Gallery(selected_index=None), float(event.value["caption"])


@internal
def pick_neighbour(steps: str, event: gr.SelectData) -> tuple:
    """One step further on the map; the face in its middle is where one is."""
    middle = event.index == GRID * GRID // 2
    return gr.Gallery(selected_index=None), steps if middle else f"{steps}.{event.index}".strip(".")


@internal
def place(moves: str, model: str) -> list[gr.Slider]:
    """The sliders that a model has, where an address has them."""
    words = moves.split(",") if moves else []
    values = [float(word) for word in words] + [0] * (SLIDERS - len(words))
    return [gr.Slider(value=value, **props) for value, props in zip(values, described(model))]


@internal
def add_key(seeds: str, seed: object, steps: str = "", moves: str = "", code: str = "") -> tuple:
    """One more face at the end of the way, in place of the last one where there are no more places."""
    known = re.findall(r"[^\s,;]+", seeds)[: MAX_KEYS - 1]
    key = code if steps or moves else str(seed)
    return gr.Tabs(selected="interpolation"), ", ".join([*known, key])


@internal
def choose(name: str, model: str) -> tuple:
    """Another model in all tabs, once it is there; its faces have other directions."""
    models = load()[0]
    try:
        models[name]
    except LoadError as error:
        gr.Warning(html.escape(f"Model {error}.", quote=False), title="Model")
        return model, gr.skip(), gr.skip()
    name = name.strip() or models.names[0]
    return name, name, ""


# Each of the tabs is laid out with faces on it already.


@dataclass
class Tab:
    """One tab: what it is drawn from, what it is drawn into, and what makes it draw.

    Attributes:
        id: also the name of its endpoint.
        draw: its parameters are ``controls``, its results are shown in ``results``.
        controls: by the names that ``draw``, the API and the address of the page share.
        results: in order.
        parts: all else that is wired: ``tab``, the buttons ``roll`` and ``copy``, and what single tabs have.
        draw_on: events that draw at once.
        draw_after: controls that draw once they have come to rest.
        random: name of the JavaScript function that fills ``randomised``.
        randomised: which of the controls ``roll`` changes.
        follow_up: what is drawn next: the function, what it is shown in, and which of the controls it takes.
    """

    id: str
    draw: Callable
    controls: dict[str, Any]
    results: list
    parts: SimpleNamespace
    draw_on: list
    draw_after: list
    random: str
    randomised: list
    follow_up: tuple[Callable, Any, list[str]] | None = None


def face(value: str, **props: Any) -> gr.Image:
    return gr.Image(value, show_label=False, interactive=False, format="png", **{"buttons": [], **props})


def album(value: list, **props: Any) -> gr.Gallery:
    return gr.Gallery(
        value,
        show_label=False,
        interactive=False,
        buttons=[],
        format="png",
        allow_preview=False,
        height="auto",
        object_fit="contain",
        **props,
    )


def seed_number(value: int, label: str) -> gr.Number:
    info = "The same number is always the same face."
    return gr.Number(value, label=label, info=info, precision=0, minimum=0, maximum=MAX_SEED)


def creativity() -> gr.Slider:
    label, info = "Creativity (truncation)", "Low: pale and flat. High: wild."
    return gr.Slider(0, MAX_TRUNCATION, 1.0, label=label, info=info, step=0.05, buttons=[])


def hidden(value: str = "") -> gr.Textbox:
    return gr.Textbox(value, visible=False, show_label=False)


def button(label: str, min_width: int, primary: bool = False) -> gr.Button:
    return gr.Button(label, min_width=min_width, variant="primary" if primary else "secondary")


def seed_tab(draw: Studio) -> Tab:
    on = SimpleNamespace()
    with gr.Tab("Seed", id="seed") as on.tab, gr.Row():
        on.picture = face(
            draw.seed(FIRST_FACE), label="Face", alt_text="The face of this seed", elem_id="picture", min_width=280
        )
        with gr.Column(min_width=280):
            on.roll = gr.Button("Random face", variant="primary")
            on.seed = seed_number(FIRST_FACE, "Seed")
            on.truncation = creativity()
            gr.HTML("This face from pale to wild:", padding=False)
            on.strip = album(
                draw.strip(FIRST_FACE),
                label="The same seed at every creativity",
                columns=len(STRIP),
                elem_id="truncations",
            )
            on.enlarge = gr.Radio(SIZES, value="none", label="PNG", buttons=[])
            with gr.Row():
                on.save, on.copy = button("Download PNG", 120), button("Copy link", 120)
            with gr.Row():
                on.to_batch, on.to_path = button("To Batch", 80), button("To Interpolation", 140)
                on.to_explore = button("To Explore", 100)
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
        follow_up=(draw.strip, on.strip, ["seed", "model"]),
    )


def batch_tab(draw: Studio) -> Tab:
    on = SimpleNamespace()
    with gr.Tab("Batch", id="batch") as on.tab:
        with gr.Row():
            on.first_seed = seed_number(0, "First seed")
            on.count = gr.Slider(
                1, MAX_COUNT, 16, step=1, label="How many", info="Faces, seed by seed.", precision=0, buttons=[]
            )
            on.truncation = creativity()
        faces, archive = draw.batch(0, 16)
        with gr.Row():
            on.roll = button("Random faces", 120, primary=True)
            on.archive = gr.DownloadButton("Download all (ZIP)", archive, min_width=170)
            on.copy = button("Copy link", 120)
        gr.HTML("Choose a face to see it large.")
        on.gallery = album(faces, label="Faces", columns=8, elem_id="gallery")
    return Tab(
        id="batch",
        draw=draw.batch,
        controls={"first_seed": on.first_seed, "count": on.count, "truncation": on.truncation},
        results=[on.gallery, on.archive],
        parts=on,
        draw_on=[on.first_seed.submit],
        draw_after=[on.first_seed, on.count, on.truncation],
        random="randomSeed",
        randomised=[on.first_seed],
    )


def path_controls(on: SimpleNamespace, keys: list, animation: str) -> None:
    """What stands beside the film of the Interpolation tab."""
    with gr.Row():
        on.roll, on.animate = button("Random faces", 120, primary=True), button("Animate", 120, primary=True)
    on.seeds = gr.Textbox(FIRST_PATH, label="Seeds", info=f"2 to {MAX_KEYS} faces, in order.")
    on.keys = album(keys, label="The faces on the way", columns=MAX_KEYS, elem_id="keys")
    info = f"More is slower: {FRAMES_PER_SECOND} are a second."
    on.frames = gr.Slider(1, MAX_FRAMES, 16, label="Frames per leg", info=info, step=1, precision=0, buttons=[])
    on.truncation = creativity()
    on.loop = gr.Checkbox(True, label="Loop: come back to the first face")
    with gr.Row():
        on.save = button("Download MP4", 120)
        on.animation = gr.DownloadButton("Download GIF", animation, min_width=120)
        on.copy = button("Copy link", 120)


def path_tab(draw: Studio) -> Tab:
    on = SimpleNamespace()
    way, video, animation, keys = draw.interpolation(FIRST_PATH)
    with gr.Tab("Interpolation", id="interpolation") as on.tab:
        with gr.Row():
            on.video = gr.Video(
                video,
                label="Animation",
                show_label=False,
                interactive=False,
                buttons=[],
                format="mp4",
                autoplay=True,
                loop=True,
                min_width=280,
                elem_id="video",
            )
            with gr.Column(min_width=280):
                path_controls(on, keys, animation)
        alt_text = f"The way in {WAY_FRAMES} steps"
        on.strip = face(way, label="Strip", alt_text=alt_text, elem_id="strip", buttons=["download"])
    return Tab(
        id="interpolation",
        draw=draw.interpolation,
        controls={"seeds": on.seeds, "frames": on.frames, "loop": on.loop, "truncation": on.truncation},
        results=[on.strip, on.video, on.animation, on.keys],
        parts=on,
        draw_on=[on.seeds.submit, on.animate.click],
        draw_after=[],
        random="randomSeeds",
        randomised=[on.seeds],
    )


def explore_map(on: SimpleNamespace, draw: Studio, start: str) -> None:
    """What stands beside the face of the Explore tab."""
    gr.HTML("Choose a face of the map to go there.", padding=False)
    on.around = album(draw.neighbours(start), label="The faces around it", columns=GRID, elem_id="map")
    with gr.Row():
        on.back, on.reset = button("Step back", 100), button("Start over", 100)
        on.roll = button("Random face", 120, primary=True)


def explore_tab(draw: Studio, sliders: list[dict]) -> Tab:
    """``sliders`` are what :func:`described` says of the page's own model."""
    on, start = SimpleNamespace(), str(FIRST_FACE)
    with gr.Tab("Explore", id="explore") as on.tab:
        explored, code = draw.explore(start)
        with gr.Row():
            alt_text = "The face in the middle of the map"
            on.picture = face(explored, label="Face", alt_text=alt_text, elem_id="explored", min_width=280)
            with gr.Column(min_width=280):
                explore_map(on, draw, start)
        with gr.Row():
            on.start = gr.Textbox(start, label="Start", info="A seed, or a face's code.", max_lines=1)
            on.truncation = creativity()
        with gr.Row():
            on.sliders = [
                gr.Slider(-MAX_MOVE, MAX_MOVE, 0, step=0.1, buttons=[], min_width=220, **props) for props in sliders
            ]
        label, sources = "Or begin with a picture of a face", ["upload", "clipboard"]
        on.example = gr.Image(height=180, label=label, sources=sources, elem_id="example", buttons=[])
        with gr.Row():
            on.save, on.to_path = button("Download PNG", 120), button("To Interpolation", 140)
            on.copy = button("Copy link", 120)
        on.steps, on.moves, on.code = hidden(), hidden(), hidden(code)
    return Tab(
        id="explore",
        draw=draw.explore,
        controls={"start": on.start, "truncation": on.truncation, "steps": on.steps, "moves": on.moves},
        results=[on.picture, on.code],
        parts=on,
        draw_on=[on.start.submit],
        draw_after=[on.start, on.truncation, on.steps, on.moves],
        random="randomStart",
        randomised=[on.start, on.steps],
        follow_up=(draw.neighbours, on.around, ["start", "truncation", "steps", "moves", "model"]),
    )


# The tabs are wired.


def connect(tab: Tab, model: gr.Textbox) -> None:
    """Let a tab draw. The names of its controls are the parameters of ``draw``, of the API and of the address."""
    tab.draw = refusing(tab.draw)
    tab.controls["model"] = model
    inputs, on = list(tab.controls.values()), tab.parts

    def unless_empty(function: Callable) -> Callable:
        """``function``, but for an empty field: that is no mistake while someone types in it."""

        @wraps(function)
        def answer(*values: object) -> object:
            return gr.skip() if None in values or values[0] == "" else function(*values)

        return answer

    def drawing(event: Callable, function: Callable, **more: Any) -> Any:
        """``function`` of the controls, as they were sent: the checks are ours."""
        taken = dict(inputs=inputs, outputs=tab.results, preprocess=False)
        return event(function, **{**taken, **more}, concurrency_id="drawing", concurrency_limit=DRAWINGS)

    # One after the other and only the last: an older drawing must not come after a newer one.
    later = dict(trigger_mode="always_last", show_progress="hidden")
    private = dict(api_visibility="private")
    asked = lambda function, **more: gr.on(tab.draw_on, function, **more)  # noqa: E731
    drawn = [drawing(asked, tab.draw, api_name=tab.id, api_description=inspect.getdoc(tab.draw))]
    rolled = on.roll.click(None, None, tab.randomised, js=tab.random, **private)
    settled = gr.Number(visible=False, show_label=False)
    gr.on([control.change for control in [*tab.draw_after, model]], None, None, settled, js="settle", **private)
    drawn.append(drawing(settled.change, unless_empty(tab.draw), **later, **private))
    if tab.randomised[0] not in tab.draw_after:
        drawn.append(drawing(rolled.then, tab.draw, **later, **private))
    remember_address(tab, inputs, drawn)
    if tab.follow_up:  # what may come a moment after the face
        again, shown, names = tab.follow_up
        taken = dict(inputs=[tab.controls[name] for name in names], outputs=shown)
        public = dict(api_name=again.__name__, api_description=inspect.getdoc(again))
        for i, event in enumerate(drawn):
            draw_again = unless_empty(refusing(again)) if i else refusing(again)
            drawing(event.success, draw_again, **taken, **later, **(private if i else public))


def remember_address(tab: Tab, inputs: list, drawn: list) -> None:
    """Keep in the page's address what a tab shows."""

    def script(name: str) -> str:
        return f"(...values) => {name}({tab.id!r}, {list(tab.controls)}, values)"  # JavaScript reads lists alike

    copy, private = tab.parts.copy, dict(api_visibility="private")
    tab.parts.tab.select(None, inputs, None, js=script("remember"), **private)
    for event in drawn:
        event.success(None, inputs, None, js=script("drawn"), **private)
    copied = copy.click(None, inputs, copy, js=script("copyLink"), **private)
    copied.then(None, None, copy, js="later('Copy link')", **private)


def connect_tabs(tabs: gr.Tabs, seed: Tab, batch: Tab, path: Tab, explore: Tab) -> None:
    """Let a face of one tab go to another."""
    face, batches, way, explored = (tab.parts for tab in (seed, batch, path, explore))
    sent = dict(preprocess=False, api_visibility="private")
    for gallery, dial in ((batches.gallery, batches.truncation), (way.keys, way.truncation)):
        gallery.select(pick, dial, [tabs, gallery, face.seed, face.truncation], **sent)
    face.strip.select(pick_truncation, None, [face.strip, face.truncation], api_visibility="private")
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
    for pressed, picture in (
        (face.save, face.picture),
        (explored.save, explored.picture),
        (way.save, way.video),
    ):
        pressed.click(None, picture, None, js="saveFile", api_visibility="private")


def connect_explore(explore: Tab, model: gr.Textbox) -> None:
    """Let the map, the sliders and an uploaded picture lead to a face."""
    on, private = explore.parts, dict(api_visibility="private")
    forget = dict(fn=None, inputs=None, outputs=[on.steps, on.moves], js="() => ['', '']", **private)
    on.around.select(pick_neighbour, on.steps, [on.around, on.steps], preprocess=False, **private)
    on.back.click(None, on.steps, on.steps, js="stepBack", **private)
    on.reset.click(**forget).then(place, [on.moves, model], on.sliders, **private)
    found = on.example.upload(
        refusing(project),
        [on.example, model],
        [on.picture, on.start],
        preprocess=False,
        concurrency_limit=1,
        api_name="project",
        api_description=inspect.getdoc(project),
        show_progress_on=on.example,
    )
    found.success(**forget).then(place, [on.moves, model], on.sliders, **private)
    model.change(place, [on.moves, model], on.sliders, **private)
    for slider in on.sliders:
        slider.input(None, on.sliders, on.moves, js="amounts", **private)


def connect_address(
    page: gr.Blocks, tabs: gr.Tabs, every: Sequence[Tab], chosen: gr.Dropdown, model: gr.Textbox
) -> None:
    """Open the page with what its address asks for."""

    @internal
    def restore(request: gr.Request) -> dict:
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

    private, on = dict(api_visibility="private"), every[-1].parts
    everything = [part for tab in every for part in [*tab.controls.values(), *tab.results]]
    everything = list(dict.fromkeys(everything))  # the model is a control of every tab
    opened = page.load(restore, None, [tabs, chosen, *everything], **private)
    opened = opened.then(place, [on.moves, model], on.sliders, **private)
    opened.then(None, js="() => { restored = true }", **private)


def build() -> gr.Blocks:
    """The page: tabs over the drawing functions, opened with faces already on it."""
    (models, notice), draw = load(), studio()
    with gr.Blocks(title="Anime faces") as page:
        with gr.Row(elem_id="head"):
            gr.HTML(INTRODUCTION, elem_id="introduction")
            chosen = gr.Dropdown(
                models.names,
                value=models.names[0],
                allow_custom_value=True,
                label="Model",
                info="Or the id of a public one on the Hub.",
                buttons=[],
                min_width=240,
                scale=0,
            )
        if notice:
            gr.HTML(f'<p role="alert">{html.escape(notice)}</p>', elem_id="notice")
        page.space_id = None  # on a Space, Gradio's own header would ask other hosts
        model = hidden(models.names[0])
        with gr.Tabs(selected="seed") as tabs:
            every = seed_tab(draw), batch_tab(draw), path_tab(draw), explore_tab(draw, described(models.names[0]))
        for tab in every:
            connect(tab, model)
        connect_tabs(tabs, *every)
        connect_explore(every[-1], model)
        chosen.input(
            choose,
            [chosen, model],
            [chosen, model, every[-1].parts.moves],
            concurrency_limit=1,
            preprocess=False,
            api_visibility="private",
        )
        connect_address(page, tabs, every, chosen, model)
    return page


# The page is served.


def endpoints(page: gr.Blocks) -> Endpoints:
    """What the page answers, and what each call may hold."""

    def parameter(component: gr.components.Component, described: dict) -> Parameter:
        name, optional = described.get("parameter_name", "a value"), described.get("parameter_has_default", False)
        kind = getattr(component, "data_model", None)

        def fits(value: object) -> bool:
            try:
                return not kind or value is None or bool(kind.model_validate(value, context={"validate_meta": True}))
            except ValueError:
                return False

        return Parameter(name, optional, fits)

    named = page.get_api_info()["named_endpoints"]
    by_name, by_index = {}, {}
    for i, fn in page.fns.items():
        if fn.fn:
            described = named.get(f"/{fn.api_name}", {}).get("parameters") or [{}] * len(fn.inputs)
            chosen = gr.SelectData in get_type_hints(inspect.unwrap(fn.fn)).values()
            by_index[i] = Endpoint([parameter(*pair) for pair in zip(fn.inputs, described)], chosen)
            if f"/{fn.api_name}" in named:
                by_name[str(fn.api_name)] = by_index[i]
    return Endpoints(by_name, by_index)


def serve() -> None:
    """Draw the opening faces and answer until the process is stopped; its folder goes with it."""
    atexit.register(shutil.rmtree, OURS, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    page = build().queue(max_size=64, default_concurrency_limit=DRAWINGS, api_open=False)
    favicon = studio().seed(FIRST_FACE)
    files().opened()
    os.environ.pop("HF_TOKEN", None)  # the page's own model is here, and for strangers nothing is done in its name
    own, script = json.dumps(load()[0].names[0]), (ROOT / "model/page/page.js").read_text()
    fonts = [gr.themes.Font(name) for name in ("ui-rounded", "system-ui", "sans-serif")]  # the system's: none to fetch
    gate = Middleware(Gate, files=files(), endpoints=endpoints(page), audience=AUDIENCE)
    page.launch(
        app_kwargs={"middleware": [gate], "routes": Addresses(load()[0], files()).routes()},
        css_paths=ROOT / "model/page/style.css",
        enable_monitoring=False,
        favicon_path=favicon,
        footer_links=["api"],
        head=f"<script>const ownModel = {own};\n{script}</script>",
        max_file_size="16mb",
        max_threads=8,
        mcp_server=find_spec("mcp") is not None,
        num_workers=0,
        run_history=False,
        ssr_mode=False,
        state_session_capacity=SESSIONS,
        theme=gr.themes.Base(primary_hue="pink", neutral_hue="zinc", radius_size="lg", font=fonts, font_mono=fonts),
    )


if __name__ == "__main__":
    serve()
