"""What the page answers, for the gate before it."""

import inspect
from typing import Any, get_type_hints

import gradio as gr

from ..calls import Endpoint, Endpoints, Parameter


def endpoints(page: gr.Blocks) -> Endpoints:
    """What the page answers, and what each call may hold."""
    named: dict[str, Any] = page.get_api_info()["named_endpoints"]
    by_name, by_index = {}, {}
    for i, fn in page.fns.items():
        if fn.fn:
            described = named.get(f"/{fn.api_name}", {}).get("parameters") or [{}] * len(fn.inputs)
            chosen = gr.SelectData in get_type_hints(inspect.unwrap(fn.fn)).values()
            by_index[i] = Endpoint([parameter(*pair) for pair in zip(fn.inputs, described)], chosen)
            if f"/{fn.api_name}" in named:
                by_name[str(fn.api_name)] = by_index[i]
    return Endpoints(by_name, by_index)


def parameter(component: Any, described: dict[str, Any]) -> Parameter:
    """One value of a call, from the part of the page that shows it."""
    name, optional = described.get("parameter_name", "a value"), described.get("parameter_has_default", False)
    kind = getattr(component, "data_model", None)

    def fits(value: object) -> bool:
        try:
            return not kind or value is None or bool(kind.model_validate(value, context={"validate_meta": True}))
        except ValueError:
            return False

    return Parameter(name, optional, described.get("parameter_default"), fits)
