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
import time
import traceback
from collections import Counter
from collections.abc import Callable
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

from model.checks import Refusal, parse
from model.explore import GRID
from model.hub import LoadError, load_model
from model.page.cache import MAX_BYTES, FileCache
from model.page.calls import Endpoint, Endpoints, Parameter
from model.page.gate import BROKEN, Gate
from model.sampling import MAX_SEED, MAX_TRUNCATION
from model.shelf import Model, Shelf, Unwanted, wanted
from model.studio import FRAMES_PER_SECOND, LARGE, MAX_COUNT, MAX_FRAMES, MAX_KEYS, MAX_MOVE, STRIP, WAY_FRAMES, Studio

ROOT = Path(__file__).resolve().parent
MODEL_ID = os.environ.get("MODEL_ID") or str(ROOT / "weights")
MODEL_REVISION = os.environ.get("MODEL_REVISION") or None
FILES = Path(os.environ["GRADIO_TEMP_DIR"])  # what is drawn and uploaded; nothing else is served
OURS = FILES.parent  # goes with the process
LISTENERS: Counter[str] = Counter()  # sessions and events whose answer somebody is waiting for
PATIENCE = 3  # seconds that a caller may take from asking to listening, before those who listen go first
SLIDERS = 8
SESSIONS = 50  # that Gradio keeps, 0.2 MB each; the page needs none, and plain HTTP begins one with every request
DRAWINGS = 4  # at a time, first come first served, whatever they are of: in a crowd all wait alike
INTRODUCTION = "<h1>Anime faces</h1><p>Every number is a face. Take one, or roll the dice, and it is drawn at once.</p>"

FIRST_FACE, FIRST_PATH = 63, "63, 27, 18"  # what the page opens with

Props = dict[str, Any]

QUIET: Props = {"show_label": False, "interactive": False, "buttons": [], "format": "png"}
ALBUM: Props = QUIET | {"allow_preview": False, "height": "auto", "object_fit": "contain"}
NUMBER: Props = {"info": "The same number is always the same face.", "precision": 0, "minimum": 0, "maximum": MAX_SEED}
DIAL: Props = {"label": "Creativity (truncation)", "info": "Low: typical. High: wild.", "step": 0.05, "buttons": []}
SIZES = [("Original size", "none"), (f"Crisp, {LARGE}", "crisp"), (f"Smooth, {LARGE}", "smooth")]


@lru_cache(maxsize=1)
def load() -> tuple[Shelf, str]:
    """The models of the page, the first one read, and a notice if that is not the one that MODEL_ID asks for."""
    folder, shipped, notice = ROOT / "weights", {"anime-faces": ROOT / "weights"}, ""
    shipped |= {config.parent.name: config.parent for config in sorted(folder.glob("*/config.json"))}
    first = "anime-faces" if Path(MODEL_ID).resolve() == folder else MODEL_ID.rstrip("/")
    try:
        own = {Path(first).name if Path(first).is_dir() else first: Model(*load_model(MODEL_ID, MODEL_REVISION))}
    except LoadError as error:
        if first == "anime-faces":
            sys.exit(f"MODEL_ID {error}.")
        notice = f"MODEL_ID {error}. These faces come from the model that ships with the page."
        print(notice, file=sys.stderr, flush=True)
        own = {}
    shelf = Shelf(own | {name: path for name, path in shipped.items() if name not in own}, OURS / "models")
    try:
        shelf[""]
    except LoadError as error:
        sys.exit(f"The page's own weights {error}.")
    return shelf, notice


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
        still = waiting()
        wanted.set(still)
        try:
            if not still():
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


def waiting() -> Callable[[], bool]:
    """Whether the event that is being answered is still worth it: someone listens, or nobody else waits for a turn."""
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    queue = blocks._queue if blocks else None
    event = queue.event_ids_to_events.get(event_id) if queue else None
    if queue is None or event is None:
        return lambda: True

    def listened(event: Any) -> bool:
        return event.session_hash in LISTENERS or event._id in LISTENERS

    def still() -> bool:
        if not event.alive:
            return False
        if listened(event) or time.monotonic() < event.enqueue_time + PATIENCE:
            return True
        return not any(map(listened, [e for q in queue.event_queue_per_concurrency_id.values() for e in q.queue]))

    return still


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


# Each of the tabs is laid out with faces on it already, and returned as its parts by name.


def creativity() -> gr.Slider:
    return gr.Slider(0, MAX_TRUNCATION, 1.0, **DIAL)


def hidden(value: str = "") -> gr.Textbox:
    return gr.Textbox(value, visible=False, show_label=False)


def seed_tab(draw: Studio) -> SimpleNamespace:
    on = SimpleNamespace()
    with gr.Tab("Seed", id="seed") as on.tab, gr.Row():
        picture: Props = {"label": "Face", "alt_text": "The face of this seed", "elem_id": "picture", "min_width": 280}
        on.picture = gr.Image(draw.seed(FIRST_FACE), **picture, **QUIET)
        with gr.Column(min_width=280):
            on.roll = gr.Button("Random face", variant="primary")
            on.seed = gr.Number(FIRST_FACE, label="Seed", **NUMBER)
            on.truncation = creativity()
            gr.HTML("This face from typical to wild:", padding=False)
            strip: Props = {"label": "The same seed at every creativity", "columns": len(STRIP)}
            on.strip = gr.Gallery(draw.strip(FIRST_FACE), elem_id="truncations", **strip, **ALBUM)
            on.enlarge = gr.Radio(SIZES, value="none", label="PNG", buttons=[])
            with gr.Row():
                on.save = gr.Button("Download PNG", min_width=120)
                on.copy = gr.Button("Copy link", min_width=120)
            with gr.Row():
                on.to_batch = gr.Button("To Batch", min_width=80)
                on.to_path = gr.Button("To Interpolation", min_width=140)
                on.to_explore = gr.Button("To Explore", min_width=100)
    return on


def batch_tab(draw: Studio) -> SimpleNamespace:
    on = SimpleNamespace()
    with gr.Tab("Batch", id="batch") as on.tab:
        with gr.Row():
            on.first_seed = gr.Number(0, label="First seed", **NUMBER)
            count: Props = {"label": "How many", "info": "Faces, seed by seed.", "precision": 0, "buttons": []}
            on.count = gr.Slider(1, MAX_COUNT, 16, step=1, **count)
            on.truncation = creativity()
        faces, archive = draw.batch(0, 16)
        with gr.Row():
            on.roll = gr.Button("Random faces", variant="primary", min_width=120)
            on.archive = gr.DownloadButton("Download all (ZIP)", archive, min_width=170)
            on.copy = gr.Button("Copy link", min_width=120)
        gr.HTML("Choose a face to see it large.")
        on.gallery = gr.Gallery(faces, label="Faces", columns=8, elem_id="gallery", **ALBUM)
    return on


def path_tab(draw: Studio) -> SimpleNamespace:
    on = SimpleNamespace()
    way, video, animation, keys = draw.interpolation(FIRST_PATH)
    with gr.Tab("Interpolation", id="interpolation") as on.tab:
        with gr.Row():
            playing: Props = {"label": "Animation", "autoplay": True, "loop": True, "min_width": 280}
            on.video = gr.Video(video, elem_id="video", **playing, **QUIET | {"format": "mp4"})
            with gr.Column(min_width=280):
                with gr.Row():
                    on.roll = gr.Button("Random faces", variant="primary", min_width=120)
                    on.animate = gr.Button("Animate", variant="primary", min_width=120)
                on.seeds = gr.Textbox(FIRST_PATH, label="Seeds", info=f"2 to {MAX_KEYS} faces, in order.")
                on.keys = gr.Gallery(keys, label="The faces on the way", columns=MAX_KEYS, elem_id="keys", **ALBUM)
                slow: Props = {"info": f"More is slower: {FRAMES_PER_SECOND} are a second.", "step": 1, "precision": 0}
                on.frames = gr.Slider(1, MAX_FRAMES, 16, label="Frames per leg", buttons=[], **slow)
                on.truncation = creativity()
                on.loop = gr.Checkbox(True, label="Loop: come back to the first face")
                with gr.Row():
                    on.save = gr.Button("Download MP4", min_width=120)
                    on.animation = gr.DownloadButton("Download GIF", animation, min_width=120)
                    on.copy = gr.Button("Copy link", min_width=120)
        strip: Props = {"label": "Strip", "alt_text": f"The way in {WAY_FRAMES} steps", "elem_id": "strip"}
        on.strip = gr.Image(way, **strip, **QUIET | {"buttons": ["download"]})
    return on


def explore_tab(draw: Studio, sliders: list[Props]) -> SimpleNamespace:
    """``sliders`` are what :func:`described` says of the page's own model."""
    on = SimpleNamespace()
    start = str(FIRST_FACE)
    with gr.Tab("Explore", id="explore") as on.tab:
        face, code = draw.explore(start)
        with gr.Row():
            picture: Props = {"label": "Face", "alt_text": "The face in the middle of the map", "min_width": 280}
            on.picture = gr.Image(face, elem_id="explored", **picture, **QUIET)
            with gr.Column(min_width=280):
                gr.HTML("Choose a face of the map to go there.", padding=False)
                around: Props = {"label": "The faces around it", "columns": GRID, "elem_id": "map"}
                on.around = gr.Gallery(draw.neighbours(start), **around, **ALBUM)
                with gr.Row():
                    on.back = gr.Button("Step back", min_width=100)
                    on.reset = gr.Button("Start over", min_width=100)
                    on.roll = gr.Button("Random face", variant="primary", min_width=120)
        with gr.Row():
            on.start = gr.Textbox(start, label="Start", info="A seed, or a face's code.", max_lines=1)
            on.truncation = creativity()
        with gr.Row():
            measured: Props = {"step": 0.1, "buttons": [], "min_width": 220}
            on.sliders = [gr.Slider(-MAX_MOVE, MAX_MOVE, 0, **measured, **props) for props in sliders]
        example: Props = {"label": "Or begin with a picture of a face", "sources": ["upload", "clipboard"]}
        on.example = gr.Image(height=180, elem_id="example", buttons=[], **example)
        with gr.Row():
            on.save = gr.Button("Download PNG", min_width=120)
            on.to_path = gr.Button("To Interpolation", min_width=140)
            on.copy = gr.Button("Copy link", min_width=120)
        on.steps, on.moves, on.code = hidden(), hidden(), hidden(code)
    return on


def build() -> gr.Blocks:
    """The page: tabs over the drawing functions, opened with faces already on it."""
    (shelf, notice), draw = load(), studio()
    private = {"api_visibility": "private"}
    pages = {}
    with gr.Blocks(title="Anime faces") as page:
        with gr.Row(elem_id="head"):
            gr.HTML(INTRODUCTION, elem_id="introduction")
            chosen = gr.Dropdown(shelf.names, value=shelf.names[0], allow_custom_value=True, label="Model", buttons=[],
                                 info="Or the id of a public one on the Hub.", min_width=240, scale=0)  # fmt: skip
        if notice:
            gr.HTML(f'<p role="alert">{html.escape(notice)}</p>', elem_id="notice")
        page.space_id = None  # on a Space, Gradio's own header would ask other hosts
        model = hidden(shelf.names[0])
        with gr.Tabs(selected="seed") as tabs:
            face, batch, path = seed_tab(draw), batch_tab(draw), path_tab(draw)
            explore = explore_tab(draw, described(shelf.names[0]))

        def connect(on, act, controls, results, asked, moved, field, roll, follow_up=()) -> None:
            """Wire one tab. The names of the controls are the parameters of ``act``, of the API and of the address."""
            controls = {name: getattr(on, name) for name in controls} | {"model": model}
            tab, moved, inputs, act = on.tab, [*moved, model], list(controls.values()), refusing(act)
            common = {"inputs": inputs, "outputs": results, "preprocess": False}  # the checks see what was sent
            common |= {"concurrency_id": "drawing", "concurrency_limit": DRAWINGS}
            # One after the other and only the last: an older drawing must not come after a newer one.
            later = {"trigger_mode": "always_last", "show_progress": "hidden"}

            def follow(*values: object) -> object:  # an empty field is no mistake while someone types in it
                return gr.skip() if None in values or values[0] == "" else act(*values)

            drawn = [gr.on(asked, act, api_name=tab.id, api_description=inspect.getdoc(act), **common)]
            rolled = on.roll.click(None, None, field, js=roll, **private)
            settled = gr.Number(visible=False, show_label=False)
            gr.on([control.change for control in moved], None, None, settled, js="settle", **private)
            drawn.append(settled.change(follow, **later, **common, **private))
            if field[0] not in moved:
                drawn.append(rolled.then(act, **common, **private))

            def script(name: str) -> str:
                return f"(...values) => {name}({tab.id!r}, {list(controls)}, values)"  # JavaScript reads lists alike

            tab.select(None, inputs, None, js=script("remember"), **private)
            for event in drawn:
                event.success(None, inputs, None, js=script("drawn"), **private)
            copied = on.copy.click(None, inputs, on.copy, js=script("copyLink"), **private)
            copied.then(None, None, on.copy, js="later('Copy link')", **private)
            if follow_up:  # what may come a moment after the face
                again, shown, names = follow_up
                common["inputs"], common["outputs"] = [controls[name] for name in names], shown
                for i, event in enumerate(drawn):
                    name = private if i else {"api_name": again.__name__, "api_description": inspect.getdoc(again)}
                    event.success(refusing(again), **common, **later, **name)
            pages[tab.id] = (act, controls, results)

        connect(
            face, draw.seed, ["seed", "truncation", "enlarge"], [face.picture],
            [face.seed.submit], [face.seed, face.truncation, face.enlarge], [face.seed], "randomSeed",
            (draw.strip, face.strip, ["seed", "model"]),
        )  # fmt: skip
        connect(
            batch, draw.batch, ["first_seed", "count", "truncation"], [batch.gallery, batch.archive],
            [batch.first_seed.submit], [batch.first_seed, batch.count, batch.truncation],
            [batch.first_seed], "randomSeed",
        )  # fmt: skip
        connect(
            path, draw.interpolation, ["seeds", "frames", "loop", "truncation"],
            [path.strip, path.video, path.animation, path.keys],
            [path.seeds.submit, path.animate.click], [], [path.seeds], "randomSeeds",
        )  # fmt: skip
        connect(
            explore, draw.explore, ["start", "truncation", "steps", "moves"], [explore.picture, explore.code],
            [explore.start.submit], [explore.start, explore.truncation, explore.steps, explore.moves],
            [explore.start, explore.steps], "randomStart",
            (draw.neighbours, explore.around, ["start", "truncation", "steps", "moves", "model"]),
        )  # fmt: skip

        @internal
        def choose(name: str, model: str) -> tuple:
            """Another model in all tabs, once it is there; its faces have other directions."""
            try:
                shelf[name]
            except LoadError as error:
                gr.Warning(html.escape(f"Model {error}.", quote=False), title="Model")
                return model, gr.skip(), gr.skip()
            name = name.strip() or shelf.names[0]
            return name, name, ""

        @internal
        def restore(request: gr.Request) -> dict:
            """The tab and the picture that the address asks for."""
            query = request.query_params
            name = query.get("tab") or next((name for name in pages if next(iter(pages[name][1])) in query), None)
            if name not in pages:
                return {tabs: gr.skip()}
            act, controls, results = pages[name]
            values = [parse(query.get(key), control.value) for key, control in controls.items()]
            try:
                drawn = act(*values)
            except gr.Error as error:
                gr.Warning(f"{error.message} Here are the usual faces instead.", title="Address")
                return {tabs: gr.Tabs(selected=name)}
            drawn = drawn if isinstance(drawn, tuple) else (drawn,)  # one result or several
            shown = dict(zip([*controls.values(), *results], [*values, *drawn]))
            return {tabs: gr.Tabs(selected=name), chosen: shown[model], **shown}

        for album, dial in ((batch.gallery, batch.truncation), (path.keys, path.truncation)):
            album.select(pick, dial, [tabs, album, face.seed, face.truncation], preprocess=False, **private)
        face.strip.select(pick_truncation, None, [face.strip, face.truncation], **private)
        face.to_batch.click(lambda *values: (gr.Tabs(selected="batch"), *values), [face.seed, face.truncation],
                            [tabs, batch.first_seed, batch.truncation], preprocess=False, **private)  # fmt: skip
        face.to_explore.click(lambda seed, truncation: (gr.Tabs(selected="explore"), str(seed), truncation, ""),
                              [face.seed, face.truncation], [tabs, explore.start, explore.truncation, explore.steps],
                              preprocess=False, **private)  # fmt: skip
        way = [path.seeds, path.frames, path.loop, path.truncation, model]
        for button, key in (
            (face.to_path, [face.seed]),
            (explore.to_path, [explore.start, explore.steps, explore.moves, explore.code]),
        ):
            added = button.click(add_key, [path.seeds, *key], [tabs, path.seeds], preprocess=False, **private)
            added.success(refusing(draw.interpolation), way, [path.strip, path.video, path.animation, path.keys],
                          preprocess=False, **private)  # fmt: skip
        steps, moves, sliders = explore.steps, explore.moves, explore.sliders
        explore.around.select(pick_neighbour, steps, [explore.around, steps], preprocess=False, **private)
        explore.back.click(None, steps, steps, js="stepBack", **private)
        forget = {"fn": None, "inputs": None, "outputs": [steps, moves], "js": "() => ['', '']"}
        explore.reset.click(**forget, **private).then(place, [moves, model], sliders, **private)
        found = explore.example.upload(
            refusing(project), [explore.example, model], [explore.picture, explore.start], preprocess=False,
            concurrency_limit=1, api_name="project", api_description=inspect.getdoc(project),
            show_progress_on=explore.example,
        )  # fmt: skip
        found.success(**forget, **private).then(place, [moves, model], sliders, **private)
        chosen.input(choose, [chosen, model], [chosen, model, moves], concurrency_limit=1, preprocess=False, **private)
        model.change(place, [moves, model], sliders, **private)
        for slider in sliders:
            slider.input(None, sliders, moves, js="amounts", **private)
        everything = [part for _, controls, results in pages.values() for part in [*controls.values(), *results]]
        everything = list(dict.fromkeys(everything))  # the model is a control of every tab
        opened = page.load(restore, None, [tabs, chosen, *everything], **private)
        opened.then(place, [moves, model], sliders, **private).then(None, js="() => { restored = true }", **private)
        for button, picture in ((face.save, face.picture), (explore.save, explore.picture), (path.save, path.video)):
            button.click(None, picture, None, js="saveFile", **private)
    return page


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
    demo = build().queue(max_size=64, default_concurrency_limit=DRAWINGS, api_open=False)
    favicon = studio().seed(FIRST_FACE)
    files().opened()
    os.environ.pop("HF_TOKEN", None)  # the page's own model is here, and for strangers nothing is done in its name
    own = json.dumps(load()[0].names[0])
    script = f"<script>const ownModel = {own};\n{(ROOT / '.page/page.js').read_text()}</script>"
    fonts = [gr.themes.Font(name) for name in ("ui-rounded", "system-ui", "sans-serif")]  # the system's: none to fetch
    theme = gr.themes.Base(primary_hue="pink", neutral_hue="zinc", radius_size="lg", font=fonts, font_mono=fonts)
    gate = Middleware(Gate, files=files(), endpoints=endpoints(demo), listeners=LISTENERS)
    demo.launch(ssr_mode=False, theme=theme, css_paths=ROOT / ".page/style.css", head=script, footer_links=["api"],
                mcp_server=find_spec("mcp") is not None, max_file_size="16mb", run_history=False, num_workers=0,
                state_session_capacity=SESSIONS, max_threads=8, favicon_path=favicon, enable_monitoring=False,
                app_kwargs={"middleware": [gate]})  # fmt: skip


if __name__ == "__main__":
    serve()
