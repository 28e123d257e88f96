"""The page as a Space: published to a Hub on the loopback interface by the real client, downloaded, and started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client
from hub_server import Hub
from huggingface_hub import RepoCard, constants
from page import Page
from PIL import Image

from model import Generator
from train import publish
from train.release import space

ROOT = Path(__file__).resolve().parents[2]
TOKEN, MODEL, SPACE = "hf_secretOfMine", "me/faces", "me/page"
DRAWING = ("config.json", "model.safetensors", "directions.safetensors", "faces.safetensors")
OTHER = "selfie2anime"  # the model that the repository ships besides


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """The weights of this repository, with things beside them that must not go out."""
    folder = tmp_path_factory.mktemp("trained") / "weights"
    shutil.copytree(ROOT / "weights", folder)
    for name in ("optimizer.pt", ".env"):
        (folder / name).write_text("private")
    return folder


@pytest.fixture(scope="module")
def hub():
    with Hub({TOKEN: "me", "hf_secretOfYours": "you"}) as server:
        yield server


def run(hub: Hub, home: Path, *command: str | Path, token: str = TOKEN) -> tuple[int, str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MODEL_"))}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert "Traceback" not in done.stderr and "hf_secret" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def download(hub: Hub, home: Path, *arguments: str | Path) -> None:
    status, _, err = run(hub, home, Path(sys.executable).with_name("hf"), "download", *arguments)
    assert status == 0, err


def expected_names() -> set[str]:
    names = {"README.md", "LICENSE", "app.py", "requirements.txt", "weights/samples.png", "weights/interpolation.png"}
    names |= {"weights/discriminator.safetensors"}  # one for all models
    names |= {f"{folder}/{name}" for folder in ("weights", f"weights/{OTHER}") for name in DRAWING}
    names |= {f"model/page/{path.name}" for path in (ROOT / "model/page").iterdir() if path.is_file()}
    return names | {str(path.relative_to(ROOT)) for path in (ROOT / "model").rglob("*.py")}


def test_a_space_is_published_with_its_model_downloaded_and_started(hub, weights, tmp_path):
    arguments = ("-m", "train.publish", weights, "--hub_model_id", MODEL, "--tag", "v1", "--space", SPACE)
    status, out, err = run(hub, tmp_path / "home", *arguments)
    assert status == 0, err
    model, page = hub.repos[MODEL], hub.repos[f"spaces/{SPACE}"]
    sha = model.refs["main"]
    assert out.splitlines() == [
        f"{hub.url}/{MODEL}/commit/{sha}",
        f"{hub.url}/spaces/{SPACE}/commit/{page.refs['main']}",
    ]
    assert page.messages == ["initial commit", "Upload the page"] and page.sdk == "gradio"
    assert page.variables == {"MODEL_ID": MODEL, "MODEL_REVISION": sha}
    files = page.files()
    assert files.keys() - {".gitattributes"} == expected_names()
    for name in expected_names() - {"README.md"}:
        source = weights.parent if name.startswith("weights/") else ROOT
        assert files[name] == (source / name).read_bytes()

    # The front matter is that of README.md, with the very commit to load beforehand.
    ours, theirs = RepoCard.load(ROOT / "README.md"), RepoCard(files["README.md"].decode())
    assert theirs.text == ours.text
    assert theirs.data.to_dict() == ours.data.to_dict() | {"preload_from_hub": [f"{MODEL} {','.join(DRAWING)} {sha}"]}

    # As a Space does it: files, then the models of preload_from_hub into the cache, then app.py with the variables.
    download(hub, tmp_path / "home", SPACE, "--repo-type", "space", "--local-dir", tmp_path / "space")
    name, wanted, revision = theirs.data["preload_from_hub"][0].split()
    served = tmp_path / "served"
    served.mkdir()
    download(hub, served / "hub", name, *wanted.split(","), "--revision", revision)
    (tmp_path / "space" / "weights" / "model.safetensors").unlink()  # so that the pinned model draws
    asked = len(hub.requests)
    variables = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1", "SPACE_ID": SPACE, **page.variables}
    with Page(served, tmp_path / "space" / "app.py", **variables) as started:
        client = Client(started.url, verbose=False, download_files=str(tmp_path / "drawn"))
        drawn = {path: client.predict(7, 1.0, "none", name, api_name="/seed")
                 for path, name in ((weights, ""), (ROOT / "weights" / OTHER, OTHER))}  # fmt: skip
    for path, file in drawn.items():
        with Image.open(file) as face:
            assert face.tobytes() == Generator.from_pretrained(path).generate([7])[0].tobytes()
    assert hub.requests[asked:] == []

    # Nothing has changed: no commit. Without its model: the Space is no longer pinned, and draws with what it carries.
    status, again, err = run(hub, tmp_path / "home", *(word for word in arguments if word not in ("--tag", "v1")))
    assert (status, again) == (0, out), err
    assert [len(model.messages), len(page.messages)] == [2, 2]
    page.files()["weights/directions.safetensors"] = b"of earlier weights"
    status, _, err = run(hub, tmp_path / "home", "-m", "train.publish", weights, "--space", SPACE)
    assert status == 0, err
    assert page.variables == {} and len(page.messages) == 3 and len(model.messages) == 2
    assert page.files().keys() - {".gitattributes"} == expected_names()
    assert b"preload_from_hub" not in page.files()["README.md"]


def test_a_dry_run_lists_the_files_and_asks_nothing(hub, weights, capsys):
    asked, card = len(hub.requests), (weights / "README.md").read_bytes()
    assert publish.main([str(weights), "--hub_model_id", MODEL, "--space", SPACE, "--dry_run"]) == 0
    out = capsys.readouterr().out
    model, page = out.split(f"spaces/{SPACE}:\n")
    listed = {line.split()[1]: line.split()[0] for line in page.splitlines()}
    assert listed.keys() == expected_names()
    assert listed["app.py"] == str((ROOT / "app.py").stat().st_size)
    assert model.startswith(f"{MODEL}:\n") and "handler.py" in model and "model.safetensors" in model
    assert ".env" not in out and "optimizer" not in out and "tests" not in out
    assert len(hub.requests) == asked and (weights / "README.md").read_bytes() == card


def test_a_page_of_a_private_model_is_private_and_is_told_its_token(hub, weights, monkeypatch, capsys):
    model, page = "me/hidden", "me/hidden-page"
    hub.create("me", {}, {"name": "hidden", "visibility": "private"})
    for name, value in (("ENDPOINT", hub.url), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def publish_both(space_token: str = "") -> tuple[int, str]:
        monkeypatch.setenv("SPACE_TOKEN", space_token)
        status = publish.main([str(weights), "--hub_model_id", model, "--space", page])
        return status, capsys.readouterr().err

    status, err = publish_both()
    space = hub.repos[f"spaces/{page}"]
    assert status == 0 and space.private and space.secrets == {}
    assert f"cannot read the private '{model}' until it has a secret HF_TOKEN: make a token that may read" in err
    assert f"{hub.url}/spaces/{page}/settings" in err and TOKEN not in err
    assert b"preload_from_hub" not in space.files()["README.md"] and space.variables["MODEL_ID"] == model

    status, err = publish_both("hf_secretOfYours")  # which may not read it
    assert status == 1 and f"SPACE_TOKEN: this token cannot read '{model}'; give one that may" in err
    status, err = publish_both(TOKEN)
    assert status == 0 and "secret HF_TOKEN" not in err and space.secrets == {"HF_TOKEN": TOKEN}
    status, err = publish_both()  # it has one
    assert status == 0 and "secret HF_TOKEN" not in err

    space.private = False  # it would show the weights
    status, err = publish_both()
    assert status == 1 and f"--space: '{page}' is public, and what goes there is to be private" in err


def test_refusals_name_the_space_and_how_to_retry(hub, weights, tmp_path):
    arguments = (weights, "--space", "you/page")
    status, out, err = run(hub, tmp_path / "home", "-m", "train.publish", *arguments)
    assert status == 1 and not out
    assert err.startswith("publish: --space: this token may not write to 'you/page'; take one that may. ")
    assert err.endswith(f"to retry: python -m train.publish {' '.join(map(str, arguments))}") and "\n" not in err


def test_a_repository_without_a_page_is_refused(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(space, "ROOT", tmp_path)  # as in an installation that lacks the page
    for name in ("LICENSE", "app.py", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for text, expected in ((None, "no README.md in"), ("# Faces\n", "README.md has no 'sdk: gradio'")):
        if text:
            (tmp_path / "README.md").write_text(text)
        assert publish.main([str(weights), "--space", SPACE]) == 2
        assert capsys.readouterr().err.startswith(f"publish: --space: {expected}")
