"""What the tabs are made of."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr

from ...sampling import MAX_TRUNCATION
from ..looks import ENLARGEMENTS, LARGE, best_look, why_not_sharp
from ..models import ModelStore

PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # an event of the page, and no endpoint


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
        pick: the first of them, of its random value and the model, and the switch by which one asks for it.
        follow_up: what is drawn next: the function, what it is shown in, and which of the controls it takes.
        progress: how Gradio shows that it waits: "minimal", or "full" with a bar for what takes long.
        public: by name the controls that the endpoint has in their place or besides; None where there is no endpoint.
        added: controls that came after the model, which older programs do not send.
    """

    id: str
    draw: Callable[..., Any]
    controls: dict[str, Any]
    results: list[Any]
    parts: SimpleNamespace
    draw_on: list[Any]
    draw_after: list[Any]
    random: str
    randomised: list[Any]
    pick: tuple[Callable[[str, str], Any], gr.Checkbox] | None = None
    follow_up: tuple[Callable[..., Any], Any, list[str]] | None = None
    progress: Literal["minimal", "full"] = "minimal"
    added: dict[str, Any] = field(default_factory=dict)
    public: dict[str, Any] | None = field(default_factory=dict)


def face(value: str, **props: Any) -> gr.Image:
    return gr.Image(value, show_label=False, interactive=False, format="png", **{"buttons": [], **props})


def album(value: list[Any], **props: Any) -> gr.Gallery:
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


def caption(picture: str, text: str) -> gr.HTML:
    """What a picture shows, by its elem_id, and a heart to keep it; keep.js fills it in."""
    heart = '<button class="heart" type="button" aria-pressed="false" aria-label="Keep this face">♥</button>'
    return gr.HTML(f'<p class="caption" data-of="{picture}"><span>{text}</span>{heart}</p>', padding=False)


def seed_field(value: str, label: str, **props: Any) -> gr.Textbox:
    info = "A number, or any word: the same is always the same face."
    return gr.Textbox(value, label=label, info=info, max_lines=1, **props)


def variety_words(models: ModelStore, model: str = "") -> dict[str, str]:
    """What truncation does: towards a typical face where it acts on w, and towards no face at all where on z."""
    if models[model].generator.mapping:
        return {"label": "Variety (truncation)", "info": "Low: calm, much alike. High: wild, and now and then odd."}
    return {
        "label": "Contrast (truncation)",
        "info": "Low: pale, no face at 0. High: strong, and now and then odd.",
    }


def variety(models: ModelStore) -> gr.Slider:
    return gr.Slider(0, MAX_TRUNCATION, 1.0, step=0.05, buttons=[], **variety_words(models))  # type: ignore[arg-type]


LOOKS = {"none": "Original", "sharp-256": "Sharp, 256", "sharp": f"Sharp, {LARGE}", "crisp": f"Crisp, {LARGE}"}
LOOKS |= {"smooth": f"Smooth, {LARGE}", "sharp-128": "Sharp, 128"}


def look_choice(*looks: str, value: str = "") -> gr.Radio:
    """In which of ENLARGEMENTS a face is shown and saved; what is best, unless ``value`` says otherwise."""
    choices = [(LOOKS[look], look) for look in looks]
    return gr.Radio(choices, value=value or best_look(), label="Picture", info=why_not_sharp() or None, buttons=[])


def any_look() -> gr.Radio:
    """The same for programs, which get faces as they were drawn where they do not ask otherwise."""
    return gr.Radio(list(ENLARGEMENTS), value="none", label="PNG", visible=False)


def with_progress(function: Callable[..., Any], doing: str) -> Callable[..., Any]:
    """``function``, whose last parameter is told how much is done, with Gradio's progress bar in that place."""

    @wraps(function)
    def answer(*values: Any) -> Any:
        if not isinstance(values[-1], gr.Progress):  # Gradio gives it where somebody may watch
            return function(*values)
        *controls, bar = values
        return function(*controls, lambda done: bar(done, doing))

    *parameters, last = inspect.signature(function).parameters.values()
    signature = inspect.Signature([*parameters, last.replace(default=gr.Progress())])
    answer.__signature__ = signature  # type: ignore[attr-defined]  # Gradio looks for its progress bar there
    return answer


def hidden(value: str = "") -> gr.Textbox:
    return gr.Textbox(value, visible=False, show_label=False)


def roll_button(label: str) -> gr.Button:
    """What the space bar presses too."""
    return gr.Button(label, variant="primary", elem_classes="roll")


def go_on(*labels: str) -> list[gr.Button]:
    """Buttons that take a face to other tabs; the last one finds more like it."""
    with gr.Row(elem_classes=["buttons", "go-on"]):
        gr.HTML("Take this face to", padding=False)
        words = [*(f"To {label}" for label in labels), "More like this"]
        made = [gr.Button(text, size="sm", min_width=60) for text in words]
    return made


def buttons() -> gr.Row:
    """A row of them."""
    return gr.Row(elem_classes="buttons")


def button(label: str, min_width: int, primary: bool = False) -> gr.Button:
    return gr.Button(label, min_width=min_width, variant="primary" if primary else "secondary")
