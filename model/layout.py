"""What is on the page, tab by tab, with faces on it already; app.py makes it answer.

Each function lays out one tab and returns its parts by name.
"""

from types import SimpleNamespace
from typing import Any

import gradio as gr

from .explore import GRID
from .sampling import MAX_SEED, MAX_TRUNCATION
from .studio import FRAMES_PER_SECOND, LARGE, MAX_COUNT, MAX_FRAMES, MAX_KEYS, MAX_MOVE, STRIP, WAY_FRAMES, Studio

FIRST_FACE, FIRST_PATH = 43, "43, 21, 28"  # what the page opens with

Props = dict[str, Any]

QUIET: Props = {"show_label": False, "interactive": False, "buttons": [], "format": "png"}
ALBUM: Props = QUIET | {"allow_preview": False, "height": "auto", "object_fit": "contain"}
NUMBER: Props = {"info": "The same number is always the same face.", "precision": 0, "minimum": 0, "maximum": MAX_SEED}
DIAL: Props = {"label": "Creativity (truncation)", "info": "Low: typical. High: wild.", "step": 0.05, "buttons": []}
SIZES = [("Original size", "none"), (f"Crisp, {LARGE}", "crisp"), (f"Smooth, {LARGE}", "smooth")]


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
    """``sliders`` are what :func:`app.described` says of the page's own model."""
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
