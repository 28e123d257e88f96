"""The Batch tab: neighbouring seeds, and all of them in one file."""

from types import SimpleNamespace

import gradio as gr

from ..studio import MAX_COUNT, Studio
from .parts import Tab, album, button, buttons, roll_button, seed_field, variety


def batch_tab(draw: Studio) -> Tab:
    on = SimpleNamespace()
    with gr.Tab("Batch", id="batch") as on.tab:
        with gr.Row():
            on.first_seed = seed_field("0", "First seed or name")
            on.count = gr.Slider(
                1, MAX_COUNT, 16, step=1, label="How many", info="Faces, seed by seed.", precision=0, buttons=[]
            )
            on.truncation = variety()
        faces, archive = draw.batch(0, 16)
        with buttons():
            on.roll = roll_button("Random faces")
            on.archive = gr.DownloadButton("Download all (ZIP)", archive, min_width=170)
            on.copy = button("Copy link", 120)
        gr.HTML("Choose a face to see it large.", padding=False)
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
