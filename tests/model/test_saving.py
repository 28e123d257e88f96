"""save_pretrained and push_to_hub as users of the Hub know them, against a Hub on the loopback interface."""

import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from hub_server import Hub, Repo
from huggingface_hub import ModelCard, constants
from PIL import Image

from model import Generator, image_grid
from model.errors import UploadError
from model.wheel import wheel_name
from train.release.card import write_card

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"latent_dim": 16, "base_channels": 4, "image_size": 32}
PACKAGE = {f"anime_dcgan/{path.name}" for path in (ROOT / "model").glob("*.py")} | {wheel_name()}
PICTURES = {"samples.png", "interpolation.png"}
STALE = {
    "onnx/model.onnx": b"1",
    "onnx/latents.mjs": b"2",
    "directions.safetensors": b"3",
    "directions.json": b"{}",
    "discriminator.safetensors": b"4",
    "metrics.json": b"{}",
}

FILE = "{repo_id}/resolve/{revision}/{filename}"
FIRST = "import sys; from model import Generator; Generator.from_pretrained(sys.argv[1]).push_to_hub('me/faces')"


def environment(hub: Hub, home: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": "hf_me"}
    return env | online | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def push(folder: Path, **options) -> str:
    """Push the weights of a folder; what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        address = Generator.from_pretrained(folder).push_to_hub("me/faces", token="hf_me", **options)
    assert "/commit/" in address
    return "".join(str(warning.message) for warning in caught)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The client in this process is led to it as the environment would."""
    with Hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{FILE}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield server


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(1)
    Generator(**SIZES).save_pretrained(tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def others(tmp_path) -> Path:
    torch.manual_seed(2)
    Generator(**SIZES).save_pretrained(tmp_path / "others")
    return tmp_path / "others"


def test_a_first_push_is_complete_and_its_card_leads_to_a_face(hub, weights, tmp_path):
    env = environment(hub, tmp_path / "home")
    subprocess.run([sys.executable, "-c", FIRST, weights], cwd=ROOT, env=env, check=True, timeout=100)
    files = hub.repos["me/faces"].files()
    assert set(files) - {".gitattributes"} == {"config.json", "model.safetensors", "README.md"} | PICTURES | PACKAGE
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.library_name) == ("mit", "anime-dcgan")
    assert card.data.pipeline_tag == "unconditional-image-generation" and {"gan", "dcgan", "anime"} <= set(
        card.data.tags
    )
    assert set(re.findall(r"!\[[^]]+\]\((\S+)\)", card.text)) == PICTURES

    empty, env = tmp_path / "empty", environment(hub, tmp_path / "reader")
    empty.mkdir()
    install = shlex.split(re.search(r"```sh\n(.*?)```", card.text, re.S)[1])
    assert install[:2] == ["pip", "install"]
    pip = [sys.executable, "-m", *install, "--no-deps", "--no-index", "--target", "."]
    subprocess.run(pip, cwd=empty, env=env, check=True, timeout=100)
    code = re.search(r"```python\n(.*?)```", card.text, re.S)[1]
    subprocess.run([sys.executable, "-c", code], cwd=empty, env=env, check=True, timeout=100)
    generator = Generator.from_pretrained(weights)
    with Image.open(empty / "7.png") as face:
        assert face.tobytes() == generator.generate([7])[0].tobytes()
    (tmp_path / "samples.png").write_bytes(files["samples.png"])
    with Image.open(tmp_path / "samples.png") as shown:
        assert shown.tobytes() == image_grid(generator.generate(range(64), batch_size=64)).tobytes()


def test_a_branch_is_made_and_its_card_loads_from_it(hub, weights):
    push(weights)
    push(weights, branch="v2")
    card = hub.repos["me/faces"].files("v2")["README.md"].decode()
    assert 'from_pretrained("me/faces", revision="v2")' in card and "hf download me/faces --revision v2 " in card
    assert f"pip install {hub.url}/me/faces/resolve/v2/{wheel_name()}" in card
    assert "revision" not in hub.repos["me/faces"].files()["README.md"].decode()


def test_the_card_of_a_pull_request_loads_from_it(hub, weights, others):
    push(weights)
    repo = hub.repos["me/faces"]
    push(others, create_pr=True)
    card = repo.files("refs/pr/1")["README.md"].decode()
    assert 'from_pretrained("me/faces", revision="refs/pr/1")' in card and "once it is merged" in card
    assert f"pip install {hub.url}/me/faces/resolve/refs%2Fpr%2F1/{wheel_name()}" in card
    push(others, create_pr=True, ignore_patterns="README.md")  # without its card
    assert "revision=" not in repo.files("refs/pr/2")["README.md"].decode()
    assert "refs/" not in repo.files()["README.md"].decode()


PULL = "a pull request goes to the main branch, not to 'v2'; leave out one of them"


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"branch": "v2", "create_pr": True}, f"branch: {PULL}"),
        ({"revision": "v2", "create_pr": True}, f"revision: {PULL}"),
        ({"branch": "refs/pr/9"}, "'me/faces' could not be uploaded: it has no 'refs/pr/9'; give a pull request that"),
        ({"branch": "v2", "revision": "v3"}, "revision: 'v3' is not the branch 'v2'; give one of them"),
        ({"revision": "a" * 40}, "revision: 'aaaa*' is a commit, which cannot be added to; give a branch"),
        ({"repo_id": "me faces"}, "'me faces' could not be uploaded: this is no id on the Hub, 'name/model'"),
        ({"repo_id": "you/new"}, "'you/new' could not be uploaded: this token may not write there"),
        ({"token": "hf_no"}, "'me/faces' could not be uploaded: the Hub does not accept this token; make a new one"),
        ({"repo_id": "me/gone", "branch": "refs/pr/1"}, "'me/gone' could not be uploaded: there is no such Hub model"),
        ({"repo_id": None}, "repo_id: None is not the id of a model on the Hub"),
    ],
)
def test_an_upload_that_cannot_be_is_one_sentence_and_makes_nothing(hub, weights, options, sentence):
    hub.repos["me/faces"] = Repo(private=False)
    hub.repos["me/faces"].commit("main", {".gitattributes": b""}, "initial commit")
    options = {"repo_id": "me/faces", "token": "hf_me"} | options
    with pytest.raises(ValueError, match=sentence) as caught:
        Generator.from_pretrained(weights).push_to_hub(**options)
    assert "\n" not in str(caught.value) and "hf_" not in str(caught.value)
    assert list(hub.repos) == ["me/faces"] and list(hub.repos["me/faces"].refs) == ["main"]


def test_an_upload_that_the_hub_breaks_off_is_one_sentence(hub, weights):
    push(weights)
    hub.left = 3
    with pytest.raises(UploadError, match="'me/faces' could not be uploaded: the Hub answered with error 418"):
        push(weights, revision="v2")
    hub.left = None
    push(weights, revision="v2")
    assert "model.safetensors" in hub.repos["me/faces"].files("v2")


def test_a_full_card_stays_and_nothing_of_other_weights_does(hub, weights, others):
    push(weights)
    repo, full = hub.repos["me/faces"], b"---\nlicense: mit\n---\n\n# Faces\n\nWritten by hand. ![](losses.png)\n"
    before = repo.files()
    more = STALE | {"README.md": full, "losses.png": b"5", "notes.txt": b"mine", "anime_dcgan/gone.py": b""}
    more["anime_dcgan-0.0.1-py3-none-any.whl"] = b"of an earlier version"
    gone = {"anime_dcgan/gone.py", "anime_dcgan-0.0.1-py3-none-any.whl"}
    repo.commit("main", before | more, "all that train.publish uploads")

    assert "was left as it is" not in push(weights)  # the same weights: all of it is still theirs
    assert repo.files() == {name: data for name, data in (before | more).items() if name not in gone}

    assert "README.md of 'me/faces' was left as it is" in push(others)
    files = repo.files()
    assert files["README.md"] == full and files["notes.txt"] == b"mine" and files["losses.png"] == b"5"
    assert not STALE.keys() & files.keys() and "anime_dcgan/gone.py" not in files
    assert files["model.safetensors"] == (others / "model.safetensors").read_bytes()
    assert files["samples.png"] != before["samples.png"]  # those of the new weights


def test_a_short_card_gives_way_and_the_old_training_with_it(hub, weights, others):
    push(weights)
    repo = hub.repos["me/faces"]
    repo.commit("main", repo.files() | STALE | {"training.json": b"{}", "losses.png": b"5"}, "of other weights")
    push(others)
    assert not (STALE.keys() | {"training.json", "losses.png"}) & repo.files().keys()


def test_patterns_do_what_they_say(hub, weights):
    push(weights, ignore_patterns="*.png", commit_message="No pictures")
    repo = hub.repos["me/faces"]
    assert not PICTURES & repo.files().keys() and repo.messages[-1] == "No pictures"


def test_saving_over_other_weights_removes_what_was_made_from_them(weights, others, recwarn):
    for name, data in (STALE | {"training.json": b"{}", "notes.txt": b"mine"}).items():
        (weights / name).parent.mkdir(exist_ok=True)
        (weights / name).write_bytes(data)
    Generator.from_pretrained(weights).save_pretrained(weights)
    assert all((weights / name).is_file() for name in STALE) and not recwarn.list
    (weights / "README.md").write_text("mine")
    with pytest.warns(UserWarning, match="onnx/model.onnx: made from the weights that were there before, removed"):
        Generator.from_pretrained(others).save_pretrained(weights)
    left = {path.name for path in weights.rglob("*") if path.is_file()}
    assert left == {"config.json", "model.safetensors", "README.md", "training.json", "notes.txt"}
    assert (weights / "README.md").read_text() == "mine"
    modes = {path.stat().st_mode for path in (weights / "config.json", weights / "model.safetensors")}
    assert len(modes) == 1


def test_saving_that_fails_leaves_what_was_there(weights, others, monkeypatch):
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    monkeypatch.setattr("model.saving.short_card", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Generator.from_pretrained(others).save_pretrained(weights)
    assert {path.name: path.read_bytes() for path in weights.iterdir()} == before


def test_a_folder_in_the_way_is_said_before_anything_is_written(weights, others):
    (weights / "README.md").unlink()
    (weights / "README.md").mkdir()
    before = (weights / "model.safetensors").read_bytes()
    with pytest.raises(IsADirectoryError, match="README.md' is a folder where a file is to be"):
        Generator.from_pretrained(others).save_pretrained(weights)
    assert (weights / "model.safetensors").read_bytes() == before


def test_a_folder_for_the_hub_has_all_that_it_needs(weights, tmp_path):
    Generator.from_pretrained(weights).save_pretrained(tmp_path / "out", repo_id="you/faces")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"config.json", "model.safetensors", "README.md"} | PICTURES | PACKAGE
    assert 'from_pretrained("you/faces")' in (tmp_path / "out" / "README.md").read_text()


def test_the_trainer_s_card_takes_the_place_of_the_short_one(weights):
    short = (weights / "README.md").read_text()
    assert "[PytorchModelHubMixin]" in short and str(weights.parent) not in short
    assert "[PytorchModelHubMixin]" not in write_card(weights, "me/faces").read_text()
