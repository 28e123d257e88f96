"""Functions as Gradio calls them: what they refuse is shown as it is, what is a fault of ours is not."""

import html
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from ...hub import LoadError
from ..audience import Audience
from ..checks import Refusal
from ..gate import BROKEN
from ..workers import Unwanted, wanted

AUDIENCE = Audience()


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
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


def internal(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` that the page alone calls, with what it has itself: a stranger may send anything there."""

    @wraps(function)
    def answer(*values: Any, **keywords: Any) -> object:
        try:
            return function(*values, **keywords)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise gr.Error("The page cannot use these values; reload it.", print_exception=False) from None

    return answer


def unless_empty(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, but for an empty field: that is no mistake while someone types in it."""

    @wraps(function)
    def answer(*values: object) -> object:
        return gr.skip() if None in values or values[0] == "" else function(*values)

    return answer
