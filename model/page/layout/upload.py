"""A picture that is uploaded in the Explore tab: where the face is in it, and how like it the found one is."""

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr

from ..drawings import drawings
from ..looks import Enlargement
from ..studio import Studio
from .answers import internal, refusing
from .parts import PRIVATE, album, any_look, hidden
from .wiring import publish

# Drawn by square.js, once a face was found.
LIKENESS = """\
<section aria-labelledby="likeness-title" hidden><h2 id="likeness-title">Your picture and the face</h2>
<div><figure><canvas width="256" height="256" role="img" aria-label="Your picture"></canvas>
<figcaption>Your picture</figcaption></figure>
<figure><canvas width="256" height="256" role="img" aria-label="Between them"></canvas>
<figcaption>Between them</figcaption></figure>
<figure><canvas width="256" height="256" role="img" aria-label="The face that was found"></canvas>
<figcaption>The face that was found</figcaption></figure></div>
<label>From your picture to the face <input type="range" min="0" max="100" value="50"></label></section>"""


def upload_part(on: SimpleNamespace, draw: Studio) -> None:
    """Where a picture is dropped, and drawings for whoever has none at hand; square.js lays a square over it."""
    label = "Or begin with a picture of a face"
    sources: list[Literal["upload", "webcam", "clipboard"]] = ["upload", "clipboard"]
    on.example = gr.Image(height=260, label=label, sources=sources, elem_id="example", buttons=[])
    gr.HTML(LIKENESS, elem_id="likeness", padding=False)
    gr.HTML("No picture at hand? Try one of these drawings:", padding=False)
    ours = [(draw.files.add(png, f"{name}.png"), name) for name, png in drawings()]
    on.drawings = album(ours, label="Drawings to try", columns=len(ours), elem_id="drawings")
    on.square, on.again = hidden(), gr.Button("Look again", visible="hidden", elem_id="look-again")


def searching(draw: Studio) -> Callable[..., Any]:
    """``Studio.project`` with Gradio's progress bar."""

    @wraps(draw.project)
    def project(
        picture: dict[str, Any] | str | None,
        model: str = "",
        square: str = "",
        enlarge: Enlargement = "none",
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio asks for its progress bar in this way
    ) -> tuple[str, str]:
        path = picture.get("path", "") if isinstance(picture, dict) else picture
        watched: Any = lambda done: progress(done, "Looking for the face")  # noqa: E731
        return draw.project(path, model, square, enlarge, watched)

    del project.__wrapped__  # whose signature has no progress bar
    return refusing(project)


@internal
def pick_drawing(event: gr.SelectData) -> tuple[Any, ...]:
    """A drawing in the place of an upload."""
    return gr.Gallery(selected_index=None), event.value["image"]["path"]


def connect_upload(on: SimpleNamespace, model: gr.Textbox, draw: Studio) -> list[Any]:
    """Let a picture lead to a face: once it is there, and whenever its square was moved. Returns these events."""
    project, shown = searching(draw), [on.picture, on.start]
    one: dict[str, Any] = dict(concurrency_id="project", concurrency_limit=1, preprocess=False)
    publish(project, [on.example, model, hidden(), any_look()], shown, "project", **one)
    taken: dict[str, Any] = dict(
        fn=project,
        inputs=[on.example, model, on.square, on.enlarge],
        outputs=shown,
        show_progress_on=[on.example, on.picture],
        **one,
        **PRIVATE,
    )
    picked = on.drawings.select(pick_drawing, None, [on.drawings, on.example], preprocess=False, **PRIVATE)
    found = [
        on.example.upload(js="wholePicture", **taken),
        picked.success(js="wholePicture", **taken),
        on.again.click(js="inSquare", trigger_mode="always_last", **taken),
    ]
    for event in found:
        event.success(None, on.picture, None, js="showFound", **PRIVATE)
    return found
