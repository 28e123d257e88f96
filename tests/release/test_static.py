"""The page without a server: published to a Hub on the loopback interface, downloaded, used in headless Chromium."""

import base64
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import node
import numpy as np
import pytest
from hub_server import Hub
from PIL import Image
from playwright.sync_api import expect
from test_space import download, run

from model import Generator, interpolate, latents_from_seeds
from train import publish
from train.release.model_repo import HUB_FILES
from train.release.space import RUNTIME, RUNTIME_FILES

pytestmark = pytest.mark.skipif(not node.available(), reason="Node.js, npm or onnxruntime-web is not to be had")
ID = "me/static"
FILES = {"README.md", "LICENSE", "index.html", "onnx/model_fp16.onnx", "onnx/latents.mjs", "onnx/faces.js"}
FILES |= {f"ort/{name}" for name in RUNTIME_FILES}


@pytest.fixture(scope="module")
def weights(exported, tmp_path_factory) -> Path:
    """A copy: publishing writes the card into it."""
    return shutil.copytree(exported, tmp_path_factory.mktemp("static") / "weights")


@pytest.fixture(scope="module")
def space(weights, tmp_path_factory) -> Path:
    """The Space as it is downloaded again."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("space")
    with Hub({"hf_secretOfMine": "me"}) as hub:
        status, out, err = run(hub, home, "-m", "train.publish", weights, "--static_space", ID)
        assert status == 0, err
        repo = hub.repos[f"spaces/{ID}"]
        assert out == f"{hub.url}/spaces/{ID}/commit/{repo.refs['main']}"
        assert repo.messages == ["initial commit", "Upload the page"] and repo.sdk == "static"
        assert repo.files().keys() - {".gitattributes"} == FILES
        download(hub, home, ID, "--repo-type", "space", "--local-dir", folder)
    return folder


@pytest.fixture(scope="module")
def url(space):
    with node.served(space) as url:
        yield url


@pytest.fixture
def tab(browser, url):
    tab = browser.new_page(viewport={"width": 1000, "height": 760})
    asked, faults = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda line: line.type == "error" and faults.append(line.text))
    tab.set_default_timeout(60_000)
    yield tab
    tab.close()
    hosts = {urlsplit(address).netloc for address in asked if not address.startswith(("blob:", "data:"))}
    assert hosts == {urlsplit(url).netloc} and not faults


def picture(tab, seed: int, truncation: str = "1") -> np.ndarray:
    """The pixels of the canvas once it shows this seed."""
    expect(tab.locator("#face")).to_have_attribute("data-drawn", f"{seed} {truncation}", timeout=60_000)
    read = "[...face.getContext('2d').getImageData(0, 0, face.width, face.height).data]"
    return np.array(tab.evaluate(read), np.uint8).reshape(64, 64, 4)[..., :3]


def test_it_draws_the_faces_that_pytorch_draws(tab, url, weights, tmp_path):
    generator = Generator.from_pretrained(weights)
    tab.goto(f"{url}/?seed=0")
    for seed, face in enumerate(generator.generate(range(16))):
        if seed:
            tab.get_by_role("spinbutton", name="Seed").fill(str(seed))
        assert np.abs(picture(tab, seed).astype(int) - np.asarray(face)).max() <= 1

    tab.goto(f"{url}/?seed=7&truncation=0.5")  # the address holds what is shown
    half = np.asarray(generator.generate([7], truncation=0.5)[0])
    assert np.abs(picture(tab, 7, "0.5").astype(int) - half).max() <= 1
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download PNG").click()
    assert download.value.suggested_filename == "seed-7.png"
    download.value.save_as(tmp_path / "7.png")
    with Image.open(tmp_path / "7.png") as file:
        assert np.abs(np.asarray(file.convert("RGB")).astype(int) - half).max() <= 1

    tab.get_by_role("button", name="Random face").click()
    expect(tab.get_by_role("spinbutton", name="Seed")).not_to_have_value("7")
    seed = int(tab.get_by_role("spinbutton", name="Seed").input_value())
    drawn = np.asarray(generator.generate([seed], truncation=0.5)[0])
    assert np.abs(picture(tab, seed, "0.5").astype(int) - drawn).max() <= 1
    assert f"seed={seed}&truncation=0.5" in tab.url


RECORD = """
    window.shown = [];
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (picture, ...place) {
        const seed = document.querySelector("#seed").value;
        if (document.querySelector("#wander").ariaPressed === "true")
            shown.push([seed, btoa(String.fromCharCode(...picture.data))]);
        return put.call(this, picture, ...place);
    };
"""


def test_it_wanders_in_exact_frames_and_stops_at_a_face_with_a_seed(tab, url, weights):
    tab.add_init_script(RECORD)
    tab.goto(f"{url}/?seed=7")
    picture(tab, 7)
    wander = tab.get_by_role("button", name="Wander")
    wander.click()
    expect(wander).to_have_attribute("aria-pressed", "true")
    field = tab.get_by_role("spinbutton", name="Seed")
    expect(field).not_to_have_value("7", timeout=60_000)  # it has arrived at the first face
    expect(tab.locator("#status")).to_contain_text("frames a second")
    wander.click()
    expect(tab.locator("#status")).to_have_text("")
    generator, seed = Generator.from_pretrained(weights), int(field.input_value())
    face = np.asarray(generator.generate([seed])[0])
    assert np.abs(picture(tab, seed).astype(int) - face).max() <= 1

    # Each picture on the way was shown, once and in order, up to the face of the next seed.
    shown = tab.evaluate("shown")
    left = [int(seed) for seed, _ in shown]
    frames = np.stack([np.frombuffer(base64.b64decode(data), np.uint8) for _, data in shown]).reshape(-1, 64, 64, 4)
    frames = frames[: left.count(7) + 1, ..., :3].astype(int)
    path = interpolate(latents_from_seeds([7, left[len(frames) - 1]], generator.latent_dim), len(frames) - 1)
    expected = np.stack([np.asarray(face) for face in generator.generate(z=path)]).astype(int)
    assert len(frames) == 121 and np.abs(frames - expected).max() <= 1
    change = np.abs(np.diff(expected, axis=0)).mean((1, 2, 3))
    assert change.min() > 5 * np.abs(frames - expected).mean()  # one frame more or less would have been noticed


@pytest.mark.parametrize(
    "query, seed", [("?seed=-1", 7), ("?seed=cat&truncation=9", 7), ("?seed=4294967295", 2**32 - 1)]
)
def test_addresses_that_make_no_sense_show_a_face(tab, url, query, seed):
    tab.goto(url + "/" + query)
    picture(tab, seed, "1.5" if "truncation" in query else "1")


def test_a_model_that_is_missing_is_said(browser, url, space):
    (space / "onnx" / "model_fp16.onnx").rename(space / "hidden")
    try:
        with browser.new_page() as tab:
            tab.goto(url)
            expect(tab.locator("#status")).to_contain_text(
                f"could not be loaded ({url}/onnx/model_fp16.onnx: the server answered 404)"
            )
    finally:
        (space / "hidden").rename(space / "onnx" / "model_fp16.onnx")


def test_the_module_and_the_space_take_the_same_runtime():
    assert f"/npm/{RUNTIME}/dist/{RUNTIME_FILES[0]}" in (HUB_FILES / "faces.js").read_text()


def test_weights_without_onnx_are_refused_and_the_plan_is_listed(weights, tmp_path, capsys):
    assert publish.main([str(weights), "--static_space", ID, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"spaces/{ID}:" and {line.split()[1] for line in lines[1:]} == FILES
    bare = shutil.copytree(weights, tmp_path / "bare", ignore=shutil.ignore_patterns("onnx"))
    assert publish.main([str(bare), "--static_space", ID]) == 2
    error = capsys.readouterr().err
    assert (
        error == f"publish: weights_folder: no onnx/model.onnx in '{bare}'; make it: python -m train.to_onnx {bare}\n"
    )
