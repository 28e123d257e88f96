"""The Batch tab: neighbouring seeds, and all of them in one file."""

from types import SimpleNamespace

import gradio as gr

from ..studio import MAX_COUNT, Studio
from .parts import Tab, album, any_look, button, buttons, look_choice, roll_button, seed_field, variety, with_progress


def batch_tab(draw: Studio) -> Tab:
    on = SimpleNamespace()
    with gr.Tab("Batch", id="batch") as on.tab:
        with gr.Row():
            on.first_seed = seed_field("0", "First seed or name")
            on.count = gr.Slider(
                1, MAX_COUNT, 16, step=1, label="How many", info="Faces, seed by seed.", precision=0, buttons=[]
            )
            on.truncation = variety(draw.models)
            on.enlarge = look_choice("none", "sharp-128", "sharp-256", value="none")
        faces, archive = draw.batch(0, 16)
        with buttons():
            on.roll, on.any_look = roll_button("Random faces"), any_look()
            on.archive = gr.DownloadButton("Download all (ZIP)", archive, min_width=170)
            on.copy = button("Copy link", 120)
        gr.HTML("Choose a face to see it large.", padding=False)
        on.gallery = album(faces, label="Faces", columns=8, elem_id="gallery", elem_classes="wall")
    return Tab(
        id="batch",
        draw=with_progress(draw.batch, "Redrawing the faces"),
        controls={"first_seed": on.first_seed, "count": on.count, "truncation": on.truncation},
        results=[on.gallery, on.archive],
        parts=on,
        draw_on=[on.first_seed.submit],
        draw_after=[on.first_seed, on.count, on.truncation, on.enlarge],
        random="randomSeed",
        randomised=[on.first_seed],
        progress="full",
        public={"enlarge": on.any_look},
        added={"enlarge": on.enlarge},
    )
