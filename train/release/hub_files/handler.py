"""The model as an Inference Endpoint: a request of seeds is answered with faces. Needs nothing beyond this repository.

    {"inputs": 7}
    {"inputs": [7, 8], "parameters": {"truncation": 0.8}}
    {"inputs": {"seeds": [7, 8], "truncation": 0.8}}

Answer: [{"seed": 7, "image": "<PNG in base64>"}, ...], one for each seed, in order. At most 64 seeds.
"""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model

sys.path.insert(0, str(Path(__file__).resolve().parent))  # anime_dcgan/ lies beside this file

from anime_dcgan import Generator

MAX_FACES = 64
MAX_SEED = 2**32 - 1
MAX_TRUNCATION = 1.5


def read_request(data: object) -> tuple[list[int], float]:
    """The seeds and the truncation that a request asks for; ValueError, one sentence, if it is none."""
    if not isinstance(data, dict) or "inputs" not in data:
        raise ValueError('the request must be an object with "inputs": a seed, a list of seeds, or an object of both')
    inputs, options = data["inputs"], data.get("parameters") or {}
    if not isinstance(options, dict):
        raise ValueError('parameters: must be an object such as {"truncation": 0.8}')
    options = {**options, **(inputs if isinstance(inputs, dict) else {"seeds": inputs})}
    for name in options.keys() - {"seeds", "truncation"}:
        raise ValueError(f"{str(name)[:40]!r}: not an option; there are seeds and truncation")

    seeds = options.get("seeds")
    seeds = seeds if isinstance(seeds, list) else [seeds]
    if not 1 <= len(seeds) <= MAX_FACES:
        raise ValueError(f"seeds: {len(seeds)} of them, where 1 to {MAX_FACES} can be drawn")
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seeds: {repr(seed)[:40]} is not a whole number from 0 to {MAX_SEED}")
    truncation = options.get("truncation", 1.0)
    if type(truncation) not in (int, float) or not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation: {repr(truncation)[:40]} is not a number from 0 to {MAX_TRUNCATION}")
    return seeds, float(truncation)


class EndpointHandler:
    """Loads the weights of the folder ``path`` once, on the GPU where there is one."""

    def __init__(self, path: str = "") -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        folder = Path(path) if path else Path(__file__).resolve().parent
        # Not by from_pretrained, which needs a newer huggingface_hub than the service may have.
        self.generator = Generator(**json.loads((folder / "config.json").read_text())).float()  # by any default
        load_model(self.generator, folder / "model.safetensors", strict=True, device=device)
        self.generator.to(device).eval()

    def __call__(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        """Draw the faces of a request; ValueError, one sentence, where it cannot be understood."""
        seeds, truncation = read_request(data)
        answer = []
        for seed, image in zip(seeds, self.generator.generate(seeds, truncation=truncation)):
            file = io.BytesIO()
            image.save(file, "PNG")
            answer.append({"seed": seed, "image": base64.b64encode(file.getvalue()).decode()})
        return answer
