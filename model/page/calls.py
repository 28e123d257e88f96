"""What a call of the page's API may hold; all else is refused before Gradio sees it.

Each ``check_`` raises :class:`BadRequest` for a body, given the endpoint's name where its address has one. One that
returns a body has completed it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .cache import FileCache

SESSION = re.compile("[A-Za-z0-9_-]{1,64}")
MAX_INTEGER = 2**63


class BadRequest(ValueError):
    """A request that is refused; the message is one sentence."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Parameter:
    """One value of a call: its name in the API, whether it may be left out there and what it is then, and whether a
    value fits."""

    name: str
    optional: bool
    default: Any
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Endpoint:
    """What a call may hold.

    Attributes:
        parameters: in order.
        chosen: whether it is told which item of a gallery was chosen.
    """

    parameters: list[Parameter]
    chosen: bool = False

    def completed(self, data: Any) -> Any:
        """``data``, as older programs send it, with what they cannot know: parameters that came after ``model``."""
        names = [parameter.name for parameter in self.parameters]
        known = names.index("model") + 1 if "model" in names else len(names)
        if not isinstance(data, list) or not known <= len(data) < len(names):
            return data
        return data + [parameter.default for parameter in self.parameters[len(data) :]]


@dataclass(frozen=True)
class Endpoints:
    """Those that programs may call, by name, and all of the page's own, by Gradio's index."""

    by_name: dict[str, Endpoint]
    by_index: dict[int, Endpoint]

    def named(self, name: str) -> Endpoint:
        if name not in self.by_name:
            raise BadRequest(f"There is no such endpoint; there are {', '.join(sorted(self.by_name))}.", 404)
        return self.by_name[name]


def parse_json(body: bytes) -> Any:
    """The JSON value of a body."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def check_call(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> bytes:
    """A call by name: ``{"data": [every parameter, in order]}``; the body as Gradio is to have it."""
    value, endpoint = parse_object(body), endpoints.named(name)
    sent = value.get("data")
    data = value["data"] = endpoint.completed(sent)
    _check_values(value, endpoint, files)
    return body if data is sent else json.dumps(value).encode()


def check_keywords(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> None:
    """A call by name, with each parameter by its own: ``{"seed": 7}``."""
    value, parameters = parse_object(body), endpoints.named(name).parameters
    names = [parameter.name for parameter in parameters]
    if unknown := sorted(value.keys() - names - {"oauth_token"}):
        raise BadRequest(f"There is no parameter '{unknown[0]:.40}'; there are {', '.join(names)}.")
    missing = [parameter.name for parameter in parameters if not parameter.optional and parameter.name not in value]
    if missing:
        raise BadRequest(f"The parameter '{missing[0]}' is missing.")
    given = [parameter for parameter in parameters if parameter.name in value]
    _check_kinds(given, [value[parameter.name] for parameter in given], files)


def check_join(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> None:
    """A call as Gradio's own clients send it: by index, for a session."""
    value = parse_object(body)
    index, trigger, event = value.get("fn_index"), value.get("trigger_id"), value.get("event_data")
    if type(index) is not int or index not in endpoints.by_index:
        raise BadRequest("fn_index must be the index of an endpoint of this page.")
    endpoint = endpoints.by_index[index]
    if value.get("session_hash") is None:
        raise BadRequest("session_hash is missing.")
    if trigger is not None and (type(trigger) is not int or abs(trigger) >= MAX_INTEGER):
        raise BadRequest("trigger_id must be a whole number.")
    if endpoint.chosen and not (isinstance(event, dict) and {"index", "value"} <= event.keys()):
        raise BadRequest("event_data must have an index and a value.")
    _check_values(value, endpoint, files)


def check_cancel(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> None:
    """The end of a call that is still waiting."""
    value = parse_object(body)
    _check_names(value, "session_hash", "event_id")
    if type(value.get("fn_index")) is not int or abs(value["fn_index"]) >= MAX_INTEGER:
        raise BadRequest("fn_index must be the index of an endpoint of this page.")


def check_reset(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> None:
    """What older clients send for :func:`check_cancel`."""
    _check_names(parse_object(body), "event_id")


def _check_names(value: dict[str, Any], *names: str) -> None:
    for name in names:
        if not (isinstance(value.get(name), str) and SESSION.fullmatch(value[name])):
            raise BadRequest(f"{name} must be that of a call.")


def check_tool(body: bytes, name: str, endpoints: Endpoints, files: FileCache) -> None:
    """A message of an MCP client: its files come as data, not as addresses to fetch."""
    value = parse_json(body or b"null")
    check_files(value, files)
    for message in value if isinstance(value, list) else [value]:
        parameters = message.get("params") if isinstance(message, dict) else None
        arguments = parameters.get("arguments") if isinstance(parameters, dict) else None
        for text in _nodes(arguments):
            if isinstance(text, str) and re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://", text):
                raise BadRequest("Nothing is fetched from an address; send the picture itself, as a data: URL.")


def _check_values(value: dict[str, Any], endpoint: Endpoint, files: FileCache) -> None:
    data, session = value.get("data"), value.get("session_hash")
    if not isinstance(data, list) or len(data) != len(endpoint.parameters):
        names = ", ".join(parameter.name for parameter in endpoint.parameters)
        raise BadRequest(f"data must be a list of {len(endpoint.parameters)} values, in this order: {names}.")
    if value.get("batched") or value.get("simple_format"):
        raise BadRequest("batched and simple_format cannot be chosen.")
    if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise BadRequest("session_hash must be 1 to 64 letters and digits.")
    if not isinstance(value.get("event_id"), str | None) or not isinstance(value.get("oauth_token"), str | None):
        raise BadRequest("event_id and oauth_token must be texts.")
    check_files(value.get("event_data"), files)
    _check_kinds(endpoint.parameters, data, files)


def _check_kinds(parameters: list[Parameter], values: list[Any], files: FileCache) -> None:
    check_files(values, files, kept=True)
    for parameter, value in zip(parameters, values):
        if not parameter.fits(value):
            raise BadRequest(f"{parameter.name} must be a file that was uploaded to this page, or null.")


def check_files(value: Any, files: FileCache, kept: bool = False) -> None:
    """Refuse every file that ``value`` names and that is not one of ``files`` or, if ``kept``, no longer is."""
    for found in _nodes(value):
        path = found.get("path") if isinstance(found, dict) else None
        if path is not None and not (isinstance(path, str) and files.owns(path)):
            raise BadRequest("A file must have been uploaded to this page first; nothing is fetched or read for it.")
        if path is not None and kept and not files.find(path):
            raise BadRequest("This file is no longer kept; upload it again.")


def _nodes(value: Any) -> Iterator[Any]:
    waiting = [value]  # not by recursion: JSON may be nested as deeply as it likes
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, dict | list):
            waiting += found.values() if isinstance(found, dict) else found
