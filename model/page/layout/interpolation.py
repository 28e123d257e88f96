"""The Interpolation tab: a film from one face to the next."""

from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..looks import why_not_sharp
from ..models import ModelStore
from ..studio import FRAMES_PER_SECOND, MAX_FRAMES, MAX_KEYS, MAX_SHARP, WAY_FRAMES, Studio
from .parts import Tab, album, button, buttons, face, roll_button, variety, with_progress
from .seed import FIRST_FACE

FIRST_PATH = f"{FIRST_FACE}, 27, 18"  # what the page opens with


def path_controls(on: SimpleNamespace, models: ModelStore, keys: list[Any], animation: str) -> None:
    """What stands beside the film."""
    with buttons():
        on.roll, on.animate = roll_button("Random faces"), button("Animate", 120)
    on.seeds = gr.Textbox(FIRST_PATH, label="Seeds or names", info=f"2 to {MAX_KEYS} faces, with commas between them.")
    on.keys = album(keys, label="The faces on the way", columns=MAX_KEYS, elem_id="keys")
    info = f"More is slower: {FRAMES_PER_SECOND} are a second."
    on.frames = gr.Slider(
        1, MAX_FRAMES, 16, label="Frames from face to face", info=info, step=1, precision=0, buttons=[]
    )
    on.truncation = variety(models)
    on.loop = gr.Checkbox(True, label="Loop: come back to the first face")
    on.enlarge = film_look()
    with buttons():
        on.save = button("Download MP4", 120)
        on.animation = gr.DownloadButton("Download GIF", animation, min_width=120)
        on.copy = button("Copy link", 120)


def film_look(visible: bool = True) -> gr.Radio:
    """How a film is drawn: for the page, and, hidden, for programs."""
    info = why_not_sharp() or f"Sharp takes a few seconds, for {MAX_SHARP} frames at most."
    choices = [("Smooth", "none"), ("Sharp", "sharp")]
    return gr.Radio(choices, value="none", label="Film", info=info, buttons=[], visible=visible)


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
                path_controls(on, draw.models, keys, animation)
        alt_text = f"The way in {WAY_FRAMES} steps"
        on.strip = face(way, label="Strip", alt_text=alt_text, elem_id="strip", buttons=["download"])
    return Tab(
        id="interpolation",
        draw=with_progress(draw.interpolation, "Redrawing the frames"),
        controls={"seeds": on.seeds, "frames": on.frames, "loop": on.loop, "truncation": on.truncation},
        results=[on.strip, on.video, on.animation, on.keys],
        parts=on,
        draw_on=[on.seeds.submit, on.animate.click],
        draw_after=[on.enlarge],
        random="randomSeeds",
        randomised=[on.seeds],
        progress="full",
        added={"enlarge": on.enlarge},
    )
