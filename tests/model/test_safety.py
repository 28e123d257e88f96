"""What lies on a Hub can be broken or meant to harm: each is refused in one sentence, before memory is taken for it."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from safetensors.torch import load_file, save

from model import Generator

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20

LOAD = """
import json, re, sys
from pathlib import Path
from model import Generator
from model.hub import LoadError, load_generator

def peak():  # in MiB; getrusage would begin at the peak of whoever started this process
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

opened = []
sys.addaudithook(lambda event, values: event == "open" and isinstance(values[0], str) and opened.append(values[0]))
Generator.from_pretrained("me/good").generate([7])
answers = {}
for name in sys.argv[1:]:
    before, seen = peak(), len(opened)
    answer = {}
    for load in (Generator.from_pretrained, load_generator):
        try:
            load(name)
        except ValueError as error:
            answer[load.__name__] = str(error)
        answer.setdefault("opened", opened[seen:])
    answers[name] = answer | {"MiB": peak() - before}
print(json.dumps(answers))
"""


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def spoilt(good: dict[str, bytes], state: dict[str, torch.Tensor]) -> dict[str, tuple[dict[str, bytes], str]]:
    """Repositories, and a part of the sentence that refuses each."""
    weights = good["model.safetensors"]

    def config(value: object) -> dict[str, bytes]:
        text = value if isinstance(value, str) else json.dumps({"base_channels": 4} | value)
        return good | {"config.json": text.encode()}

    def tensors(data: bytes) -> dict[str, bytes]:
        return good | {"model.safetensors": data}

    infinite = state | {"layers.1.weight": torch.full_like(state["layers.1.weight"], torch.inf)}
    far = json.dumps({"layers.0.weight": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    short = {name: good[name] for name in good if name != "model.safetensors"}
    no_object, no_fit = "its config.json does not describe a generator", "does not fit config.json: tensor"
    return {
        "pickle": (short | {"pytorch_model.bin": b"\x80\x04."}, "a pickle is not loaded"),
        "pickle-by-another-name": (tensors(b"\x80\x04cos\nsystem\n" * 99), "model.safetensors is damaged"),
        "no-config": ({"model.safetensors": weights}, "config.json"),
        "oversized-weights": (tensors(weights + bytes(200 * MIB)), "model.safetensors has 210,"),
        "oversized-config": (config("[" * 200 * MIB), "config.json has 209,715,200 bytes, more than the 65,536"),
        "nested-config": (config("[" * 60_000), no_object),
        "config-of-another-kind": (config("[4]"), no_object),
        "config-of-bytes": (good | {"config.json": b"\xff\xfe\x00"}, no_object),
        "absurd-width": (config({"base_channels": 100_000}), "base_channels: 100000 is not a whole number"),
        "absurd-latent": (config({"latent_dim": 10**300}), "latent_dim: 1000000000000000000000000000000000000000 is"),
        "largest-that-can-be": (config({"base_channels": 4096, "latent_dim": 4096, "image_size": 128}), no_fit),
        "no-number": (config('{"base_channels": Infinity}'), "base_channels: inf is not a whole number"),
        "fraction": (config({"image_size": 64.0}), "image_size: 64.0 is not one of"),
        "switch": (config({"base_channels": True}), "base_channels: True is not a whole number"),
        "path": (config({"base_channels": "../../../../etc/passwd"}), "base_channels: '../../../../etc/passwd' is not"),
        "path-in-a-list": (config({"image_size": ["/etc/passwd"]}), "image_size: ['/etc/passwd'] is not one of"),
        "truncated": (tensors(weights[:-100]), "model.safetensors is damaged"),
        "empty": (tensors(b""), "model.safetensors is damaged"),
        "header-past-the-end": (tensors(struct.pack("<Q", 2**62) + bytes(1000)), "model.safetensors is damaged"),
        "tensor-past-the-end": (tensors(safetensors(far)), "model.safetensors is damaged"),
        "not-finite": (tensors(save(infinite)), "numbers that are not finite, in tensor 'layers.1.weight'"),
        "more-tensors": (tensors(save(state | {"x": torch.ones(9)})), no_fit),
    }


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("good")
    Generator(base_channels=4).save_pretrained(folder)
    return folder


def test_what_is_spoilt_is_refused_before_memory_is_taken(good, tmp_path):
    files = {name: (good / name).read_bytes() for name in ("config.json", "model.safetensors")}
    cases = spoilt(files, load_file(good / "model.safetensors"))
    with Hub() as hub:
        for name, (content, _) in ({"good": (files, "")} | cases).items():
            hub.create("me", {}, {"name": name})
            hub.repos[f"me/{name}"].commit("main", content, "all")
        env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_me"}
        command = [sys.executable, "-c", LOAD, *(f"me/{name}" for name in cases)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "hf_me" not in done.stdout + done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    for name, (_, expected) in cases.items():
        answer = answers[f"me/{name}"]
        assert expected in answer["from_pretrained"] and len(answer["from_pretrained"]) < 250, (name, answer)
        assert answer["load_generator"].startswith(f"'me/{name}' could not be loaded: "), (name, answer)
        assert not any("\n" in answer[way] for way in ("from_pretrained", "load_generator")), (name, answer)
        assert answer["MiB"] < 64, (name, answer["MiB"])
        assert not [file for file in answer["opened"] if "passwd" in file], name


def test_what_is_too_large_is_not_even_downloaded(good, tmp_path):
    ways = {
        "from model import Generator\nGenerator.from_pretrained": "ValueError: {} has ",
        "from model.hub import load_generator\nload_generator": "its {} is larger than ",
    }
    with Hub() as hub:
        for name, spoil in (("config.json", bytes(MIB)), ("model.safetensors", bytes(20 * MIB))):
            files = {file: (good / file).read_bytes() for file in ("config.json", "model.safetensors")}
            hub.create("me", {}, {"name": name})
            hub.repos[f"me/{name}"].commit("main", files | {name: spoil}, "all")
            env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
            for code, sentence in ways.items():
                command = [sys.executable, "-c", f"{code}('me/{name}')"]
                done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
                assert sentence.format(name) in done.stderr
            asked = [request for request in hub.requests if request.endswith(f"me/{name}/resolve/main/{name}")]
            assert asked and {request.split()[0] for request in asked} == {"HEAD"}
