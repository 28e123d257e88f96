"""The Seed tab: one face, large."""

from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..studio import LARGE, STRIP, Studio
from .answers import internal
from .parts import PRIVATE, Tab, album, button, creativity, face, seed_number

FIRST_FACE = 63  # what the page opens with
SIZES = [("Original size", "none"), (f"Crisp, {LARGE}", "crisp"), (f"Smooth, {LARGE}", "smooth")]


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
    on.strip.select(pick_truncation, None, [on.strip, on.truncation], **PRIVATE)
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


@internal
def pick_truncation(event: gr.SelectData) -> tuple[Any, ...]:
    return gr.Gallery(selected_index=None), float(event.value["caption"])
