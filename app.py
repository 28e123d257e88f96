"""The page that draws anime faces: ``python app.py``, then open the printed address.

MODEL_ID=weights          folder, or id of a model on the Hub (default: weights/ beside this file)
MODEL_REVISION=main       branch, tag or commit of a model on the Hub
GRADIO_SERVER_PORT=7860   port to serve on
"""

import html
import inspect
import io
import os
import re
import sys
import tempfile
import zipfile
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read on import: neither gradio nor the page asks another host

import gradio as gr
from gradio.utils import get_upload_folder

from model import Generator, image_grid, interpolate, latents_from_seeds
from model.animation import to_gif, to_mp4, to_png
from model.hub import LoadError, load_generator
from model.sampling import MAX_SEED, MAX_TRUNCATION

ROOT = Path(__file__).resolve().parent
MODEL_ID = os.environ.get("MODEL_ID") or str(ROOT / "weights")
MODEL_REVISION = os.environ.get("MODEL_REVISION") or None
FIRST_FACE, FIRST_PATH = 7, "7, 21, 42"  # what the page opens with
MAX_COUNT, MAX_KEYS, MAX_FRAMES = 64, 8, 48
STRIP_FRAMES = 11
FRAMES_PER_SECOND = 20
INTRODUCTION = "<h1>Anime faces</h1><p>Every number is a face. Take one, or roll the dice, and it is drawn at once.</p>"


@lru_cache(maxsize=1)
def load() -> tuple[Generator, str]:
    """The one generator of the page, and a notice if it is not the one that MODEL_ID asks for."""
    try:
        return load_generator(MODEL_ID, MODEL_REVISION), ""
    except LoadError as error:
        notice = f"MODEL_ID {error}."
    if Path(MODEL_ID).resolve() == ROOT / "weights":
        sys.exit(notice)
    notice += " These faces come from the model that ships with the page."
    print(notice, file=sys.stderr, flush=True)
    try:
        return load_generator(ROOT / "weights"), notice
    except LoadError as error:
        sys.exit(f"The page's own weights {error}.")


def refusal(field: str, wanted: str, value: object) -> gr.Error:
    """One sentence for the page and the API."""
    shown = "empty" if value is None else repr(value)
    shown = html.escape(shown if len(shown) <= 40 else f"{shown[:40]}...", quote=False)
    return gr.Error(f"{field} must be {wanted}, not {shown}.", print_exception=False)


def whole_number(field: str, value: object, low: int, high: int) -> int:
    if type(value) not in (int, float) or not low <= value <= high or value != int(value):
        raise refusal(field, f"a whole number from {low} to {high}", value)
    return int(value)


def creativity(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= MAX_TRUNCATION:
        raise refusal("Creativity (truncation)", f"a number from 0 to {MAX_TRUNCATION}", value)
    return float(value)


def key_seeds(text: object) -> list[int]:
    words = re.findall(r"[^\s,;]+", text) if isinstance(text, str) else []
    if not 2 <= len(words) <= MAX_KEYS or not all(re.fullmatch("[0-9]{1,10}", w) and int(w) <= MAX_SEED for w in words):
        raise refusal("Seeds", f"2 to {MAX_KEYS} whole numbers from 0 to {MAX_SEED}, such as '7, 21'", text)
    return [int(word) for word in words]


def save(data: bytes, name: str) -> str:
    """Path of a file in Gradio's cache, from where it is served and, an hour after its last use, deleted."""
    folder = Path(get_upload_folder()) / sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / name).exists():
        os.utime(folder / name)
    else:  # under another name first: no reader meets half a file
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
        os.replace(file.name, folder / name)
    return str(folder / name)


@lru_cache(maxsize=4096)
def face(seed: int, truncation: float) -> bytes:
    """The PNG of one face, about 8 kB."""
    return to_png(load()[0].generate(seeds=[seed], truncation=truncation)[0])


def draw_seed(seed: int, truncation: float = 1.0) -> str:
    """Draw the face of one seed, a PNG.

    Args:
        seed: whole number from 0 to 4294967295; the same number is always the same face.
        truncation: 0 to 1.5; lower is more typical, higher is wilder.
    """
    seed = whole_number("Seed", seed, 0, MAX_SEED)
    return save(face(seed, creativity(truncation)), f"seed-{seed}.png")


def draw_batch(first_seed: int, count: int, truncation: float = 1.0) -> tuple[list[tuple[str, str]], str]:
    """Draw the faces of neighbouring seeds: single PNGs whose captions are the seeds, and a ZIP of them.

    Args:
        first_seed: whole number from 0 to 4294967295; past the end, counting goes on at 0.
        count: 1 to 64 faces.
        truncation: 0 to 1.5; lower is more typical, higher is wilder.
    """
    first_seed = whole_number("First seed", first_seed, 0, MAX_SEED)
    count = whole_number("How many", count, 1, MAX_COUNT)
    truncation = creativity(truncation)
    seeds = [seed % (MAX_SEED + 1) for seed in range(first_seed, first_seed + count)]
    faces = {seed: face(seed, truncation) for seed in seeds}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # stored: a PNG does not shrink again
        for seed, data in faces.items():
            archive.writestr(f"seed-{seed}.png", data)
    gallery = [(save(data, f"seed-{seed}.png"), str(seed)) for seed, data in faces.items()]
    return gallery, save(file.getvalue(), f"faces-{first_seed}-{count}.zip")


def draw_interpolation(
    seeds: str, frames: int = 16, loop: bool = True, truncation: float = 1.0
) -> tuple[str, str, str]:
    """Turn one face into the next: a strip of 11 steps (PNG) and an animation (MP4 and GIF).

    Args:
        seeds: 2 to 8 whole numbers from 0 to 4294967295, such as "7, 21, 42".
        frames: 1 to 48 frames from one face to the next, at 20 frames a second.
        loop: end with the way back to the first face.
        truncation: 0 to 1.5; lower is more typical, higher is wilder.
    """
    keys = key_seeds(seeds)
    frames = whole_number("Frames per leg", frames, 1, MAX_FRAMES)
    if not isinstance(loop, bool):
        raise refusal("Loop", "true or false", loop)
    truncation = creativity(truncation)
    model = load()[0]
    z = latents_from_seeds(keys, model.latent_dim)
    strip = model.generate(z=interpolate(z, STRIP_FRAMES - 1)[:: len(keys) - 1], truncation=truncation)
    pictures = model.generate(z=interpolate(z, frames, loop), truncation=truncation)
    name = "faces-" + "-".join(map(str, keys))
    return (
        save(to_png(image_grid(strip, columns=STRIP_FRAMES)), f"{name}.png"),
        save(to_mp4(pictures, fps=FRAMES_PER_SECOND), f"{name}.mp4"),
        save(to_gif(pictures, fps=FRAMES_PER_SECOND), f"{name}.gif"),
    )


def parse(text: str | None, default: object) -> object:
    """A value of the address, of ``default``'s type; a text that is none stays as it is, for the checks to name."""
    if text is None or isinstance(default, str):
        return default if text is None else text
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text, text)
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def build() -> gr.Blocks:
    """The page: three tabs over the three drawing functions, opened with faces already on it."""
    notice = load()[1]
    quiet = {"show_label": False, "interactive": False}
    number = {"info": "The same number is always the same face.", "precision": 0, "minimum": 0, "maximum": MAX_SEED}
    dial = {"label": "Creativity (truncation)", "info": "Low: typical. High: wild.", "step": 0.05, "buttons": []}
    with gr.Blocks(title="Anime faces", delete_cache=(3600, 3600)) as page:
        gr.HTML(INTRODUCTION, elem_id="introduction")
        if notice:
            gr.HTML(f'<p role="alert">{html.escape(notice)}</p>', elem_id="notice")
        page.space_id = None  # on a Space, Gradio's own header would ask other hosts
        with gr.Tabs(selected="seed") as tabs:
            with gr.Tab("Seed", id="seed") as seed_tab, gr.Row():
                picture = gr.Image(draw_seed(FIRST_FACE), label="Face", alt_text="The face of this seed", format="png",
                                   buttons=[], elem_id="picture", min_width=280, **quiet)  # fmt: skip
                with gr.Column(min_width=280):
                    random_face = gr.Button("Random face", variant="primary")
                    seed = gr.Number(FIRST_FACE, label="Seed", **number)
                    truncation = gr.Slider(0, MAX_TRUNCATION, 1.0, **dial)
                    save_png = gr.Button("Download PNG")
            with gr.Tab("Batch", id="batch") as batch_tab:
                with gr.Row():
                    first_seed = gr.Number(0, label="First seed", **number)
                    count = gr.Slider(1, MAX_COUNT, 16, step=1, precision=0, label="How many",
                                      info="Faces, seed by seed.", buttons=[])  # fmt: skip
                    batch_truncation = gr.Slider(0, MAX_TRUNCATION, 1.0, **dial)
                faces, archive = draw_batch(0, 16)
                with gr.Row():
                    random_faces = gr.Button("Random faces", variant="primary")
                    archive = gr.DownloadButton("Download all (ZIP)", archive)
                gr.HTML("Choose a face to see it large.")
                gallery = gr.Gallery(faces, label="Faces", format="png", allow_preview=False, columns=8, height="auto",
                                     object_fit="contain", buttons=[], elem_id="gallery", **quiet)  # fmt: skip
            with gr.Tab("Interpolation", id="interpolation") as path_tab:
                strip, video, animation = draw_interpolation(FIRST_PATH)
                with gr.Row():
                    video = gr.Video(video, label="Animation", autoplay=True, loop=True, buttons=[], elem_id="video",
                                     min_width=280, **quiet)  # fmt: skip
                    with gr.Column(min_width=280):
                        with gr.Row():
                            random_path = gr.Button("Random faces", variant="primary", min_width=120)
                            animate = gr.Button("Animate", variant="primary", min_width=120)
                        seeds = gr.Textbox(FIRST_PATH, label="Seeds", info=f"2 to {MAX_KEYS} faces, in order.")
                        frames = gr.Slider(1, MAX_FRAMES, 16, step=1, precision=0, label="Frames per leg", buttons=[],
                                           info=f"More is slower: {FRAMES_PER_SECOND} are a second.")  # fmt: skip
                        path_truncation = gr.Slider(0, MAX_TRUNCATION, 1.0, **dial)
                        loop = gr.Checkbox(True, label="Loop: come back to the first face")
                        with gr.Row():
                            save_mp4 = gr.Button("Download MP4", min_width=120)
                            animation = gr.DownloadButton("Download GIF", animation, min_width=120)
                strip = gr.Image(strip, label="Strip", alt_text=f"The way in {STRIP_FRAMES} steps", format="png",
                                 buttons=["download"], elem_id="strip", **quiet)  # fmt: skip

        private = {"api_visibility": "private"}

        def connect(tab, draw, controls, results, asked, moved, button, field, roll) -> tuple:
            """Wire one tab. The names of the controls are the parameters of ``draw``, of the API and of the address."""
            inputs = list(controls.values())
            common = {"inputs": inputs, "outputs": results, "preprocess": False}  # the checks above see what was sent

            def follow(*values: object) -> object:  # an empty field is no mistake while someone types in it
                return gr.skip() if None in values else draw(*values)

            drawn = [gr.on(asked, draw, api_name=tab.id, api_description=inspect.getdoc(draw), **common)]
            rolled = button.click(None, None, field, js=roll, **private)
            if moved:  # one event for all of them, or an older drawing could come after a newer one
                later = {"trigger_mode": "always_last", "show_progress": "hidden"}
                drawn.append(gr.on([control.change for control in moved], follow, **later, **common, **private))
            else:
                drawn.append(rolled.then(draw, **common, **private))
            remember = f"(...values) => remember('{tab.id}', {list(controls)}, values)"
            for event in [tab.select, *(event.success for event in drawn)]:
                event(None, inputs, None, js=remember, **private)
            return draw, controls, results

        pages = {
            "seed": connect(
                seed_tab, draw_seed, {"seed": seed, "truncation": truncation}, [picture],
                [seed.submit], [seed, truncation], random_face, seed, "randomSeed"),
            "batch": connect(
                batch_tab, draw_batch, {"first_seed": first_seed, "count": count, "truncation": batch_truncation},
                [gallery, archive], [first_seed.submit], [first_seed, count, batch_truncation],
                random_faces, first_seed, "randomSeed"),
            "interpolation": connect(
                path_tab, draw_interpolation,
                {"seeds": seeds, "frames": frames, "loop": loop, "truncation": path_truncation},
                [strip, video, animation], [seeds.submit, animate.click], [], random_path, seeds, "randomSeeds"),
        }  # fmt: skip

        def pick(truncation: float, event: gr.SelectData) -> tuple:
            """The chosen face of the batch, large, in the Seed tab."""
            number, unselected = int(event.value["caption"]), gr.Gallery(selected_index=None)
            return gr.Tabs(selected="seed"), unselected, number, truncation, draw_seed(number, truncation)

        def restore(request: gr.Request) -> dict:
            """The tab and the picture that the address asks for."""
            query = request.query_params
            name = query.get("tab") or next((name for name in pages if next(iter(pages[name][1])) in query), None)
            if name not in pages:
                return {tabs: gr.skip()}
            draw, controls, results = pages[name]
            values = [parse(query.get(key), control.value) for key, control in controls.items()]
            try:
                drawn = draw(*values)
            except gr.Error as error:
                gr.Warning(f"{error.message} Here are the usual faces instead.", title="Address")
                return {tabs: gr.Tabs(selected=name)}
            drawn = drawn if isinstance(drawn, tuple) else (drawn,)  # one result or several
            return {tabs: gr.Tabs(selected=name), **dict(zip([*controls.values(), *results], [*values, *drawn]))}

        gallery.select(pick, batch_truncation, [tabs, gallery, seed, truncation, picture], preprocess=False, **private)
        everything = [part for _, controls, results in pages.values() for part in [*controls.values(), *results]]
        page.load(restore, None, [tabs, *everything], **private).then(None, js="() => { restored = true }", **private)
        save_png.click(None, picture, None, js="saveFile", **private)
        save_mp4.click(None, video, None, js="saveFile", **private)
    return page


if __name__ == "__main__":
    demo = build().queue(max_size=64, default_concurrency_limit=2)
    script = f"<script>{(ROOT / '.page/page.js').read_text()}</script>"
    fonts = [gr.themes.Font(name) for name in ("ui-rounded", "system-ui", "sans-serif")]  # the system's: none to fetch
    theme = gr.themes.Base(primary_hue="pink", neutral_hue="zinc", radius_size="lg", font=fonts, font_mono=fonts)
    demo.launch(ssr_mode=False, theme=theme, css_paths=ROOT / ".page/style.css", head=script, footer_links=["api"],
                favicon_path=draw_seed(FIRST_FACE))  # fmt: skip
