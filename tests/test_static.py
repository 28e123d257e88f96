"""The page without a server: published to a Hub on the loopback interface, downloaded, used in headless Chromium."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import node
import numpy as np
import pytest
from hub_server import Hub
from PIL import Image
from playwright.sync_api import expect
from test_space import download, run

from model import Generator
from train import publish
from train.space import RUNTIME_FILES

pytestmark = pytest.mark.skipif(not node.available(), reason="Node.js, npm or onnxruntime-web is not to be had")
ID = "me/static"
FILES = {"README.md", "LICENSE", "index.html", "onnx/model.onnx", "onnx/latents.mjs"}
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


class Files(SimpleHTTPRequestHandler):
    """Static files with the headers that the front matter of the Space asks for."""

    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        for line in (Path(self.directory) / "README.md").read_text().splitlines():
            if line.startswith("  cross-origin-"):
                self.send_header(*line.strip().split(": "))
        super().end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def url(space):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(space)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


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


def test_it_wanders_and_stops_at_a_face_with_a_seed(tab, url, weights):
    tab.goto(f"{url}/?seed=7")
    picture(tab, 7)
    wander = tab.get_by_role("button", name="Wander")
    wander.click()
    expect(wander).to_have_attribute("aria-pressed", "true")
    expect(tab.get_by_role("spinbutton", name="Seed")).not_to_have_value(
        "7", timeout=30_000
    )  # it has arrived at the first face
    expect(tab.locator("#status")).to_contain_text("frames a second")
    wander.click()
    expect(tab.locator("#status")).to_have_text("")
    seed = int(tab.get_by_role("spinbutton", name="Seed").input_value())
    face = np.asarray(Generator.from_pretrained(weights).generate([seed])[0])
    assert np.abs(picture(tab, seed).astype(int) - face).max() <= 1


@pytest.mark.parametrize(
    "query, seed", [("?seed=-1", 7), ("?seed=cat&truncation=9", 7), ("?seed=4294967295", 2**32 - 1)]
)
def test_addresses_that_make_no_sense_show_a_face(tab, url, query, seed):
    tab.goto(url + "/" + query)
    picture(tab, seed, "1.5" if "truncation" in query else "1")


def test_a_model_that_is_missing_is_said(browser, url, space):
    (space / "onnx" / "model.onnx").rename(space / "hidden")
    try:
        with browser.new_page() as tab:
            tab.goto(url)
            expect(tab.locator("#status")).to_contain_text(
                "could not be loaded (onnx/model.onnx: the server answered 404)"
            )
    finally:
        (space / "hidden").rename(space / "onnx" / "model.onnx")


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
