"""from_pretrained: its arguments, its errors, and memory of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Hub
from safetensors.torch import load_file, save_file

from model import Generator
from model.directions import Directions
from model.errors import LoadError, load_error

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"latent_dim": 8, "base_channels": 4, "image_size": 32}


@pytest.fixture
def folder(tmp_path) -> Path:
    Generator(**SIZES).save_pretrained(tmp_path / "weights")
    return tmp_path / "weights"


def face(generator: Generator) -> bytes:
    return generator.generate([7])[0].tobytes()


def test_a_loaded_model_outlives_its_file(folder):
    file = folder / "model.safetensors"
    generator = Generator.from_pretrained(folder)
    before = face(generator)
    data = file.read_bytes()
    with open(file, "r+b") as opened:  # the same file, with other numbers
        opened.write(data[:-4000] + bytes(4000))
    assert face(generator) == before
    os.truncate(file, 10)  # a page of a mapped file that is no more ends the process
    assert face(generator) == before


def test_directions_outlive_their_file(tmp_path):
    for name in ("model.safetensors", "directions.safetensors"):
        (tmp_path / name).write_bytes((ROOT / "weights" / name).read_bytes())
    directions = Directions.load(tmp_path, 128)
    before = directions.vectors.clone()
    os.truncate(tmp_path / "directions.safetensors", 10)
    assert len(before) and torch.equal(directions.vectors, before)


class Scaled(Generator):
    """As users extend it: a buffer that is in no file, and a tensor that is no buffer."""

    def __init__(self, latent_dim: int = 8, base_channels: int = 4, image_size: int = 32, scale: float = 2.0) -> None:
        super().__init__(latent_dim, base_channels, image_size)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.shift = torch.zeros(latent_dim)

    def forward(self, z):
        return super().forward(z * self.scale + self.shift)

    def twice(self) -> float:
        return float(self.scale) * 2


def test_a_subclass_gets_its_own_tensors(folder):
    random = torch.get_rng_state()
    generator = Scaled.from_pretrained(folder, scale=0.5)
    assert generator.twice() == 1 and generator.scale.device.type == generator.shift.device.type == "cpu"
    assert face(generator) == Generator.from_pretrained(folder).generate([7], truncation=0.5)[0].tobytes()
    assert torch.equal(random, torch.get_rng_state())  # loading draws no random numbers of the user's


def test_arguments_of_the_mixin_are_arguments_here(folder):
    before = face(Generator.from_pretrained(folder))
    for options in ({"strict": True}, {"map_location": torch.device("cpu")}, {"config": SIZES}, {"image_channels": 3}):
        assert face(Generator.from_pretrained(folder, **options)) == before
    (folder / "config.json").unlink()
    assert face(Generator.from_pretrained(folder, config=SIZES | {"of_another_class": 1})) == before


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"strict": False}, "strict: weights that fit in part only are not loaded"),
        ({"map_location": "cdua"}, "device: 'cdua' cannot be used here"),
        ({"map_location": "cuda:99"}, "device: 'cuda:99' cannot be used here"),
        ({"map_location": None}, "device: 'None' cannot be used here"),
        ({"revision": ""}, "revision: it is empty; give one, or leave it out"),
        ({"token": ""}, "token: it is empty; give one, or leave it out"),
        ({"config": []}, "config: [] is not a dict of the networks' options"),
        ({"proxies": {}}, "proxies: not an option of from_pretrained; those of the networks are latent_dim, base_"),
        ({"latent_dims": 8}, "latent_dims: not an option"),
        ({"config": {"latent_dim": 9}}, "model.safetensors does not fit config.json: tensor 'layers.0.weight'"),
    ],
)
def test_wrong_arguments_get_a_sentence(folder, options, sentence):
    with pytest.raises(ValueError) as caught:
        Generator.from_pretrained(folder, **options)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 7, "", []])
def test_what_names_no_model_gets_a_sentence(name):
    with pytest.raises(ValueError, match="is neither a folder nor the id of a model on the Hub"):
        Generator.from_pretrained(name)


def test_a_file_where_downloads_go_is_said():
    sentence = "'me/x' could not be loaded: a file is in the way of the folder for downloads"
    assert str(load_error(NotADirectoryError(20, "x"), "me/x", None)) == sentence


LOAD = """
import json, sys
from model import Generator
answers = []
for options in json.loads(sys.argv[1]):
    try:
        Generator.from_pretrained(**options)
    except ValueError as error:
        answers.append([type(error).__name__, str(error)])
print(json.dumps(answers))
"""


def load(url: str, home: Path, *options: dict, **variables: str) -> list[tuple[str, str]]:
    """The errors of loading from a Hub, in a process of their own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | variables
    cases = [{"pretrained_model_name_or_path": "me/faces"} | case for case in options]
    command = [sys.executable, "-c", LOAD, json.dumps(cases)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [tuple(answer) for answer in json.loads(done.stdout)]


def test_errors_of_the_hub_are_sentences(folder, tmp_path):
    with Hub() as hub:
        hub.create("me", {}, {"name": "faces"})
        files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
        hub.repos["me/faces"].commit("main", files, "all")
        cases = [
            {},
            {"revision": "v9"},
            {"pretrained_model_name_or_path": "me/nothing"},
            {"pretrained_model_name_or_path": "../no folder/at all"},
            {"cache_dir": str(tmp_path / "empty"), "local_files_only": True},
            {"token": "hf_wrong", "force_download": True},
        ]
        found = load(hub.url, tmp_path / "home", *cases)
        offline = load(hub.url, tmp_path / "other", {}, HF_HUB_OFFLINE="1")
    lost = "it is not in the cache, and the Hub was not asked or could not be reached"
    nothing = "there is no such folder, nor such a Hub model that HF_TOKEN opens"
    assert found + offline == [
        ("LoadError", "'me/faces' at revision 'v9' could not be loaded: the Hub model has no such revision"),
        ("LoadError", f"'me/nothing' could not be loaded: {nothing}"),
        ("LoadError", f"'../no folder/at all' could not be loaded: {nothing}"),
        ("LoadError", f"'me/faces' could not be loaded: {lost}"),
        ("LoadError", "'me/faces' could not be loaded: the Hub does not accept HF_TOKEN"),
        ("LoadError", f"'me/faces' could not be loaded: {lost}"),
    ]
    assert issubclass(LoadError, ValueError)


OLD = """
import huggingface_hub
download = huggingface_hub.hf_hub_download

def hf_hub_download(repo_id, filename, *, revision=None, cache_dir=None, token=None, force_download=False):
    return download(repo_id, filename, revision=revision)

huggingface_hub.hf_hub_download, huggingface_hub.__version__ = hf_hub_download, "0.36.2"
from model import Generator
from model.hub import load_generator
for load in (Generator.from_pretrained, load_generator):
    load("weights").generate([7])
    try:
        load("me/faces")
    except ValueError as error:
        print(error)
"""


def test_a_huggingface_hub_that_is_too_old_is_told_so(tmp_path):
    """Its hf_hub_download knows no dry_run; folders load all the same."""
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", OLD], cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    old = (
        "huggingface_hub 0.36.2 is too old to load a model by its name; upgrade it: pip install 'huggingface_hub>=1.16'"
    )
    assert done.stdout.splitlines() == [old, f"'me/faces' could not be loaded: {old}"]


def test_weights_in_half_precision_are_drawn_in_single(folder):
    state = load_file(folder / "model.safetensors")
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(half, folder / "model.safetensors")
    generator = Generator.from_pretrained(folder)
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}
    assert np.asarray(generator.generate([7])[0]).shape == (32, 32, 3)
