"""Checks of what people send to the page or its API; each refusal is one sentence."""

from collections.abc import Sequence
from contextlib import suppress

from ..names import seed_of
from ..sampling import MAX_SEED, MAX_TRUNCATION

MAX_NAME = 100  # characters


class Refusal(ValueError):
    """What was asked for cannot be done; the message is one sentence for whoever asked."""


def must_be(field: str, wanted: str, value: object) -> Refusal:
    """The refusal of a value: names the field, what it should be, and what it is."""
    shown = "empty" if value is None else repr(value)
    return Refusal(f"{field} must be {wanted}, not {shown if len(shown) <= 40 else f'{shown[:40]}...'}.")


def whole_number(field: str, value: object, low: int, high: int) -> int:
    """``value`` as an int; a float without a fraction is one too, a bool or a text is not."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value != int(value):
        raise must_be(field, f"a whole number from {low} to {high}", value)
    return int(value)


def as_sentence(error: ValueError) -> str:
    """What an error of the package says, for people: these begin small and have no full stop."""
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def seed_number(field: str, value: object) -> int:
    """A seed: a whole number, or a text, which is digits or a name (see :func:`names.seed_of`)."""
    if not isinstance(value, str):
        return whole_number(field, value, 0, MAX_SEED)
    wanted = f"a whole number from 0 to {MAX_SEED} or a name of at most {MAX_NAME} letters"
    if len(value) > MAX_NAME:
        raise must_be(field, wanted, value)
    try:
        return seed_of(value)
    except ValueError:
        raise must_be(field, wanted, value.strip() or None) from None


def number(field: str, value: object, low: float, high: float) -> float:
    """``value`` as a float in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise must_be(field, f"a number from {low} to {high}", value)
    return float(value)


def creativity(value: object) -> float:
    """A truncation."""
    return number("Truncation", value, 0, MAX_TRUNCATION)


def switch(field: str, value: object) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise must_be(field, "true or false", value)
    return value


def choice(field: str, value: object, choices: Sequence[str]) -> str:
    """One of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise must_be(field, f"{', '.join(choices[:-1])} or {choices[-1]}", value)
    return value


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
