"""The page as people use it, in headless Chromium: each tab, the address, wide and narrow, light and dark."""

import io
import re
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from page import ROOT, Page
from PIL import Image
from playwright.sync_api import Browser, Locator, expect
from playwright.sync_api import Page as Tab

from model import Generator, latents_from_seeds
from model.directions import Directions
from model.names import seed_of
from model.page.explore import code_to_latent, latent_to_code, latents_around
from model.page.gate import GONE, TOO_LARGE
from model.page.layout.interpolation import FIRST_PATH
from model.page.layout.seed import FIRST_FACE
from model.picking import average_shading, good_seeds
from model.sharp import sharpen

SEED = "Seed must be a whole number from 0 to 4294967295 or a name of at most 100 letters, not '4294967296'."
KEYS = FIRST_PATH.split(", ")
OTHER = "selfie2anime"
TRUNCATION = re.compile(r"(Variety|Contrast) \(truncation\)")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
SPACE = {"SPACE_ID": "me/faces", "SYSTEM": "spaces", "SPACE_HOST": "me-faces.hf.space", "SPACE_AUTHOR_NAME": "me"}

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(ROOT / "weights")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page"), HF_ENDPOINT="http://127.0.0.1:9") as page:  # a Hub out of reach
        yield page


class Visit:
    """One person's visit: a fresh context, what the page asked for, and what went wrong in it."""

    def __init__(self, browser: Browser, url: str, size: str, scheme: str = "light", query: str = "") -> None:
        self.context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, accept_downloads=True)
        self.tab: Tab = self.context.new_page()
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on("console", lambda line: line.type == "error" and self.faults.append(line.text))
        self.url = url
        self.tab.goto(f"{url}/{query}")
        expect(self.tab.get_by_role("heading", name="Draw an anime face")).to_be_visible()
        self.tab.wait_for_function("typeof restored !== 'undefined' && restored", timeout=60_000)

    @property
    def field(self) -> Locator:
        """What takes a seed or a name in the Seed tab."""
        return self.tab.get_by_role("textbox", name="Seed or name")

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, kind, *_) -> None:
        wide = self.tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        self.context.close()
        if kind is None:
            assert not self.faults
            assert not wide, "the page scrolls sideways"
            hosts = {
                urlsplit(url).netloc for url in self.asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")
            }
            assert hosts == {urlsplit(self.url).netloc}

    def settle(self) -> None:
        """The page comes to ask for nothing more; a stream that it keeps open does not count, unlike in networkidle."""
        known = -1
        while len(self.asked) != known:
            known = len(self.asked)
            self.tab.wait_for_timeout(1500)

    def open(self, name: str) -> None:
        self.tab.get_by_role("tab", name=name).click()
        expect(self.tab.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")

    def expect_address(self, **values: object) -> None:
        """The address comes to hold exactly these values; what is empty does not count."""
        self.tab.wait_for_function(
            "wanted => { const now = [...new URLSearchParams(location.search)].filter(([, value]) => value);"
            "return now.length === Object.keys(wanted).length && now.every(([key, value]) => wanted[key] === value) }",
            arg={key: str(value) for key, value in values.items()},
        )

    def download(self, name: str) -> tuple[str, bytes]:
        with self.tab.expect_download() as download:
            self.tab.get_by_role("button", name=name).click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def face(self, image: Locator) -> Image.Image:
        """What a picture of the page shows, at its own size."""
        source = image.get_attribute("src")
        return Image.open(io.BytesIO(self.context.request.get(source).body()))

    def expect_face(self, image: Locator, face: Image.Image, seconds: float = 60) -> None:
        """The picture becomes exactly this face; a drawing that was asked for earlier may still come before it."""
        deadline = time.monotonic() + seconds
        while (shown := self.face(image)).tobytes() != face.tobytes():
            assert time.monotonic() < deadline, f"another face stays, of size {shown.size}"
            time.sleep(0.1)

    def expect_sharp(self, image: Locator, face: Image.Image, seconds: float = 60) -> None:
        """The picture becomes this face, redrawn at 256 pixels."""
        wanted, deadline = np.asarray(sharpen(face, 256)).astype(int), time.monotonic() + seconds
        while (shown := np.asarray(self.face(image))).shape != wanted.shape or np.abs(shown - wanted).max() > 1:
            assert time.monotonic() < deadline, f"another face stays, of shape {shown.shape}"
            time.sleep(0.1)

    def expect_seed(self, generator: Generator, seed: int, truncation: float = 1.0) -> None:
        """The Seed tab is open and shows exactly this face, sharp."""
        expect(self.tab.get_by_role("tab", name="Seed")).to_have_attribute("aria-selected", "true")
        expect(self.field).to_have_value(str(seed))
        image = self.tab.locator("#picture img")
        expect(image).to_have_attribute("src", re.compile(f"/seed-{seed}-sharp-256.png$"))
        self.expect_sharp(image, generator.generate(seeds=[seed], truncation=truncation)[0])
        self.tab.wait_for_function("document.querySelector('#picture img').complete")
        box = image.bounding_box()
        narrow = self.tab.viewport_size["width"] < 600
        assert box["width"] == box["height"] and (260 < box["width"] < 390 if narrow else box["width"] == 512)
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "auto"


@pytest.fixture(params=list(SIZES))
def visit(request, browser, served):
    with Visit(browser, served.url, request.param) as visit:
        yield visit


def test_seed_opens_with_a_face_draws_a_random_one_and_hands_out_its_png(visit, generator):
    visit.expect_seed(generator, FIRST_FACE)
    visit.tab.get_by_role("button", name="Draw a face").click()
    visit.tab.wait_for_function("new URLSearchParams(location.search).has('seed')")
    seed = int(parse_qs(urlsplit(visit.tab.url).query)["seed"][0])
    assert seed != FIRST_FACE
    visit.expect_seed(generator, seed)
    name, data = visit.download("Download PNG")
    assert name == f"seed-{seed}-sharp-256.png" and Image.open(io.BytesIO(data)).size == (256, 256)
    visit.tab.get_by_label("Original").first.check()  # one click away
    image = visit.tab.locator("#picture img")
    expect(image).to_have_attribute("src", re.compile(f"/seed-{seed}.png$"))
    assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    name, data = visit.download("Download PNG")
    assert name == f"seed-{seed}.png"
    assert Image.open(io.BytesIO(data)).tobytes() == generator.generate(seeds=[seed])[0].tobytes()
    visit.expect_address(tab="seed", seed=seed, truncation=1, enlarge="none")


def test_seed_follows_typing_and_the_variety_slider(visit, generator):
    field = visit.field
    field.fill("")
    field.press_sequentially("42")
    visit.expect_address(tab="seed", seed=42, truncation=1)
    visit.tab.get_by_role("slider", name=TRUNCATION).first.press("ArrowLeft")
    visit.expect_address(tab="seed", seed=42, truncation=0.95)
    visit.expect_seed(generator, 42, 0.95)
    expect(visit.tab.get_by_test_id("toast-body")).to_have_count(0)  # an empty field on the way is no mistake


def test_the_same_seed_from_pale_to_wild_is_a_strip_to_choose_from(visit, generator):
    strip = visit.tab.locator("#truncations .thumbnail-item")
    expect(strip).to_have_text(["0", "0.25", "0.5", "0.75", "1", "1.25", "1.5"])
    visit.field.fill("42")
    visit.expect_address(tab="seed", seed=42, truncation=1)
    expect(strip.nth(6).locator("img")).to_have_attribute("src", re.compile("/seed-42.png$"))
    for i, face in enumerate(strip.locator("img").all()):
        visit.expect_face(face, generator.generate(seeds=[42], truncation=i / 4)[0])
    visit.tab.get_by_role("button", name="Truncation 0.5").click()
    visit.expect_address(tab="seed", seed=42, truncation=0.5)
    visit.expect_seed(generator, 42, 0.5)


def test_a_face_is_downloaded_large_and_smooth(visit, generator):
    visit.tab.get_by_label("Smooth, 512").first.check()
    expect(visit.tab.locator("#picture img")).to_have_attribute("src", re.compile(f"/seed-{FIRST_FACE}-smooth.png$"))
    visit.expect_address(tab="seed", seed=FIRST_FACE, truncation=1, enlarge="smooth")
    name, data = visit.download("Download PNG")
    assert name == f"seed-{FIRST_FACE}-smooth.png"
    large = generator.generate(seeds=[FIRST_FACE])[0].resize((512, 512), Image.LANCZOS)
    assert Image.open(io.BytesIO(data)).tobytes() == large.tobytes()


def test_many_faces_and_a_film_are_drawn_sharp_on_demand(browser, served, generator):
    with Visit(browser, served.url, "desktop", query="?tab=batch&first_seed=7&count=2") as visit:
        visit.tab.get_by_role("tabpanel").get_by_label("Sharp, 128").check()
        visit.expect_address(tab="batch", first_seed=7, count=2, truncation=1, enlarge="sharp-128")
        image = visit.tab.locator("#gallery img").first
        expect(image).to_have_attribute("src", re.compile("/seed-7-sharp-128.png$"))
        assert np.abs(np.asarray(visit.face(image)).astype(int) - sharpen(generator.generate([7])[0], 128)).max() <= 1
        name, data = visit.download("Download all (ZIP)")
        assert (
            name == "faces-7-2-sharp-128.zip" and "seed-8-sharp-128.png" in zipfile.ZipFile(io.BytesIO(data)).namelist()
        )
        visit.open("Interpolation")
        visit.tab.get_by_label("Seeds").fill("7, 8")
        visit.tab.get_by_role("tabpanel").get_by_label("Sharp", exact=True).check()
        expect(visit.tab.locator("#strip img")).to_have_attribute(
            "src", re.compile("/faces-7-8-sharp.png$"), timeout=60_000
        )
        visit.expect_address(tab="interpolation", seeds="7, 8", frames=16, loop="true", truncation=1, enlarge="sharp")


def test_a_face_goes_on_to_the_other_tabs(visit):
    visit.field.fill("42")
    visit.expect_address(tab="seed", seed=42, truncation=1)
    visit.tab.get_by_role("button", name="To Batch").click()
    visit.expect_address(tab="batch", first_seed=42, count=16, truncation=1)
    expect(visit.tab.locator("#gallery .thumbnail-item").first).to_have_text("42")
    visit.open("Seed")
    visit.tab.get_by_role("button", name="To Interpolation").click()
    expect(visit.tab.locator("#keys .thumbnail-item")).to_have_text([*KEYS, "42"])
    visit.expect_address(tab="interpolation", seeds=f"{FIRST_PATH}, 42", frames=16, loop="true", truncation=1)
    visit.tab.get_by_role("button", name=f"Seed {KEYS[1]}").click()
    visit.expect_address(tab="seed", seed=KEYS[1], truncation=1)


def test_explore_wanders_by_clicking_goes_back_and_hands_the_face_on(visit, generator):
    z = latents_from_seeds([FIRST_FACE], generator.latent_dim)[0]
    cells = generator.generate(z=latents_around(z, latent_to_code(z)))

    def shows(face: Image.Image) -> None:
        expect(visit.tab.locator("#map .thumbnail-item").nth(12)).to_be_visible()
        visit.expect_sharp(visit.tab.locator("#explored img"), face)
        visit.expect_face(visit.tab.locator("#map img").nth(12), face)

    visit.open("Explore")
    expect(visit.tab.locator("#map .thumbnail-item")).to_have_count(25)
    shows(cells[12])
    visit.tab.get_by_role("button", name="Neighbour 9").click()
    visit.expect_address(tab="explore", start=FIRST_FACE, truncation=1, steps=9)
    shows(cells[9])
    visit.tab.get_by_role("button", name="Step back").click()
    visit.expect_address(tab="explore", start=FIRST_FACE, truncation=1)
    shows(cells[12])

    visit.tab.get_by_role("button", name="Neighbour 9").click()
    visit.expect_address(tab="explore", start=FIRST_FACE, truncation=1, steps=9)
    shows(cells[9])
    visit.tab.get_by_role("tabpanel").get_by_role("button", name="To Interpolation").click()
    keys = visit.tab.locator("#keys .thumbnail-item")
    expect(keys).to_have_text([*KEYS, "explored"])


def test_explore_follows_its_sliders_and_its_address(browser, served, generator):
    directions = Directions.load(ROOT / "weights", generator.latent_dim)
    z = latents_from_seeds([42], generator.latent_dim)[0]
    z = latents_around(z, latent_to_code(z))[3:4]
    with Visit(browser, served.url, "phone", query="?tab=explore&start=42&steps=3") as visit:
        image = visit.tab.locator("#explored img")
        visit.expect_sharp(image, generator.generate(z=z)[0])
        for label in directions.labels[:1]:
            slider = visit.tab.get_by_role("slider", name=label)
            slider.focus()
            slider.press("ArrowRight")
            visit.expect_address(tab="explore", start=42, truncation=1, steps=3, moves=0.1)
            moved = generator.generate(z=directions.move(z, [0.1]))[0]
            visit.expect_sharp(image, moved)
            again = visit.tab.url
    if directions.labels:
        with Visit(browser, served.url, "desktop", query=f"?{urlsplit(again).query}") as visit:
            visit.expect_sharp(visit.tab.locator("#explored img"), moved)
            expect(visit.tab.get_by_role("spinbutton", name=directions.labels[0])).to_have_value("0.1")
            visit.tab.get_by_role("button", name="Start over").click()
            expect(visit.tab.get_by_role("spinbutton", name=directions.labels[0])).to_have_value("0")
            visit.expect_address(tab="explore", start=42, truncation=1)


@pytest.mark.parametrize("visit", ["desktop"], indirect=True)
def test_another_model_draws_in_every_tab_and_is_in_the_address(visit, browser, served):
    other = Generator.from_pretrained(ROOT / "weights" / OTHER)
    field = visit.tab.get_by_label("Model")
    field.click()
    visit.tab.get_by_role("option", name=OTHER).click()
    visit.expect_address(tab="seed", seed=FIRST_FACE, truncation=1, model=OTHER)
    visit.expect_seed(other, FIRST_FACE)
    visit.expect_face(visit.tab.locator("#truncations img").first, other.generate(seeds=[FIRST_FACE], truncation=0)[0])
    visit.open("Batch")
    visit.expect_face(visit.tab.locator("#gallery img").nth(3), other.generate(seeds=[3])[0])
    visit.open("Interpolation")
    visit.expect_face(visit.tab.locator("#keys img").nth(1), other.generate(seeds=[int(KEYS[1])])[0])
    visit.open("Explore")
    visit.expect_sharp(visit.tab.locator("#explored img"), other.generate(seeds=[FIRST_FACE])[0])
    directions = Directions.load(ROOT / "weights" / OTHER, other.latent_dim)
    for label in directions.labels:
        expect(visit.tab.get_by_role("slider", name=label)).to_be_visible()
    slider = visit.tab.get_by_role("slider", name=directions.labels[-1])
    slider.focus()
    slider.press("ArrowRight")
    moves = [0.0] * (len(directions.labels) - 1) + [0.1]
    address = ",".join(f"{move:g}" for move in moves)
    visit.expect_address(tab="explore", start=FIRST_FACE, truncation=1, moves=address, model=OTHER)
    z = latents_from_seeds([FIRST_FACE], other.latent_dim)
    moved = other.generate(z=directions.move(z, moves))[0]
    visit.expect_sharp(visit.tab.locator("#explored img"), moved)
    with Visit(browser, served.url, "desktop", query=f"?{urlsplit(visit.tab.url).query}") as again:
        expect(again.tab.get_by_label("Model")).to_have_value(OTHER)
        again.expect_sharp(again.tab.locator("#explored img"), moved)
        expect(again.tab.get_by_role("spinbutton", name=directions.labels[-1])).to_have_value("0.1")


def test_a_model_that_cannot_be_had_is_explained_and_the_one_before_stays(browser, served, generator):
    with Visit(browser, served.url, "desktop") as visit:
        field = visit.tab.get_by_label("Model")
        field.fill("me/nothing")
        field.press("Enter")
        sentence = "Model 'me/nothing' could not be loaded: the Hub could not be reached within 10 seconds."
        expect(visit.tab.get_by_text(sentence).first).to_be_visible(timeout=30_000)
        expect(field).to_have_value("anime-faces")
        visit.expect_seed(generator, FIRST_FACE)


@pytest.mark.parametrize("visit", ["phone"], indirect=True)
def test_a_picture_that_is_uploaded_leads_to_a_face_to_explore(visit, tmp_path, generator):
    generator.generate(seeds=[4242])[0].resize((200, 200)).save(tmp_path / "mine.png")
    visit.open("Explore")
    upload = visit.tab.locator("#example input[type=file]")
    upload.set_input_files(tmp_path / "mine.png")
    start = visit.tab.get_by_role("textbox", name="Start")
    expect(start).to_have_value(re.compile("^z[A-Za-z0-9_-]{171}$"), timeout=60_000)
    code = start.input_value()
    visit.expect_address(tab="explore", start=code, truncation=1)
    found = generator.generate(z=code_to_latent(code, generator.latent_dim)[None])[0]
    visit.expect_sharp(visit.tab.locator("#explored img"), found)
    visit.expect_face(visit.tab.locator("#map img").nth(12), found)


def test_the_square_over_a_picture_moves_by_mouse_and_keys_and_the_face_is_shown_beside_it(visit, tmp_path, generator):
    large = Image.new("RGB", (500, 300), "#5a8c5a")
    large.paste(generator.generate(seeds=[4242])[0].resize((160, 160)), (310, 20))
    large.save(tmp_path / "large.png")
    visit.open("Explore")
    expect(visit.tab.locator("#likeness canvas").first).to_be_hidden()
    visit.tab.locator("#example input[type=file]").set_input_files(tmp_path / "large.png")
    start = visit.tab.get_by_role("textbox", name="Start")
    expect(start).to_have_value(re.compile("^z"), timeout=60_000)
    yours, _, shown = visit.tab.locator("#likeness canvas").all()
    expect(shown).to_be_visible()
    first = start.input_value()
    square, corner = visit.tab.locator("#square"), visit.tab.locator("#square i")
    square.scroll_into_view_if_needed()

    def drag(part: Locator, x: float, y: float) -> None:
        box = part.bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        visit.tab.mouse.move(*middle)
        visit.tab.mouse.down()
        visit.tab.mouse.move(middle[0] + x, middle[1] + y, steps=3)
        visit.tab.mouse.up()

    width = square.bounding_box()["width"]  # of 300 pixels of the picture
    drag(corner, -width * 140 / 300, -width * 140 / 300)
    drag(square, width * 210 / 300, width * 20 / 300)
    left, top, side = (int(word) for word in visit.tab.evaluate("squareText()").split(","))
    assert abs(left - 310) < 6 and abs(top - 20) < 6 and abs(side - 160) < 6
    expect(start).not_to_have_value(first, timeout=60_000)
    visit.tab.wait_for_function("square.asked === squareText() && !document.querySelector('#example .progress-text')")
    corner_pixel = "canvas.getContext('2d').getImageData(4, 4, 1, 1).data"
    filled = f"canvas => [90, 140, 90].some((value, i) => Math.abs({corner_pixel}[i] - value) > 20)"
    visit.tab.wait_for_function(filled, arg=yours.element_handle())  # the face fills what was cut out
    square.press("ArrowLeft")
    assert int(visit.tab.evaluate("squareText()").split(",")[0]) < left
    square.press("-")
    assert int(visit.tab.evaluate("squareText()").split(",")[2]) < side
    assert "tab=explore" in visit.tab.url  # the arrow keys did not go back
    square.press("+")
    for _ in range(40):
        square.press("ArrowRight")
    left, top, side = (int(word) for word in visit.tab.evaluate("squareText()").split(","))
    assert abs(left + side - 500) <= 1  # no further than the picture


def test_a_drawing_can_be_tried_and_a_slider_goes_from_it_to_its_face(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        visit.open("Explore")
        visit.tab.get_by_role("button", name="Drawing wheat").click()
        expect(visit.tab.get_by_role("textbox", name="Start")).to_have_value(re.compile("^z"), timeout=60_000)
        yours, between, found = visit.tab.locator("#likeness canvas").all()
        expect(found).to_be_visible()
        pixels = "canvas => canvas.toDataURL()"
        slider = visit.tab.get_by_role("slider", name="From your picture to the face")
        assert len({canvas.evaluate(pixels) for canvas in (yours, between, found)}) == 3
        for key, end in (("Home", yours), ("End", found)):
            slider.press(key)
            assert between.evaluate(pixels) == end.evaluate(pixels)


def test_an_upload_that_is_no_picture_is_explained(browser, served, tmp_path):
    (tmp_path / "mine.png").write_text("no picture")
    with Visit(browser, served.url, "desktop") as visit:
        visit.open("Explore")
        visit.tab.locator("#example input[type=file]").set_input_files(tmp_path / "mine.png")
        sentence = visit.tab.get_by_text("Picture must be a whole PNG, JPEG, WEBP or BMP file")
        expect(sentence.first).to_be_visible(timeout=30_000)
        expect(visit.tab.get_by_role("textbox", name="Start")).to_have_value(str(FIRST_FACE))


@pytest.mark.parametrize("name", ["Seed", "Batch", "Interpolation", "Explore"])
def test_copy_link_copies_the_address_of_what_is_shown(browser, served, name):
    with Visit(browser, served.url, "desktop") as visit:
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.open(name)
        visit.tab.get_by_role("button", name="Copy link").click()
        expect(visit.tab.get_by_role("button", name="Link copied")).to_be_visible()
        link = visit.tab.evaluate("navigator.clipboard.readText()")
        assert link == visit.tab.url and parse_qs(urlsplit(link).query)["tab"] == [name.lower()]
        expect(visit.tab.get_by_role("button", name="Copy link")).to_be_visible()


def test_seed_out_of_range_is_explained_and_the_face_stays(visit, generator):
    visit.field.fill("4294967296")
    toast = visit.tab.get_by_text(SEED)
    expect(toast.first).to_be_visible()
    expect(visit.tab.locator("#picture img")).to_have_attribute("src", re.compile(f"/seed-{FIRST_FACE}-sharp-256.png$"))


def test_batch_shows_seeds_zips_them_and_a_click_takes_a_face_to_the_seed_tab(visit, generator):
    visit.open("Batch")
    faces = visit.tab.locator("#gallery .thumbnail-item")
    expect(faces).to_have_count(16)
    visit.tab.get_by_label("First seed").fill("100")
    visit.tab.get_by_role("spinbutton", name="How many").fill("5")
    visit.tab.get_by_role("spinbutton", name="How many").press("Tab")
    expect(faces).to_have_count(5)
    expect(faces).to_have_text(["100", "101", "102", "103", "104"])
    visit.expect_address(tab="batch", first_seed=100, count=5, truncation=1)

    name, data = visit.download("Download all (ZIP)")
    assert name == "faces-100-5.zip"
    assert zipfile.ZipFile(io.BytesIO(data)).namelist()[:-1] == [f"seed-{seed}.png" for seed in range(100, 105)]

    for _ in range(2):  # the same face can be chosen again
        visit.tab.get_by_role("button", name="Seed 102").click()
        visit.expect_seed(generator, 102)
        visit.expect_address(tab="seed", seed=102, truncation=1)
        visit.open("Batch")
    visit.tab.get_by_role("button", name="Random faces").click()
    expect(faces).not_to_have_text(["100", "101", "102", "103", "104"])
    expect(faces).to_have_count(5)


def test_interpolation_plays_at_once_and_downloads_as_gif_and_mp4(visit):
    def playing() -> None:
        visit.tab.wait_for_function("document.querySelector('#video video')?.currentTime > 0.1")
        assert not visit.tab.locator("#video video").evaluate("video => video.paused")

    visit.open("Interpolation")
    playing()
    expect(visit.tab.locator("#strip img")).to_be_visible()
    before = visit.tab.locator("#video video").get_attribute("src")
    visit.tab.get_by_label("Seeds").fill("3, 1, 4")
    visit.tab.get_by_role("button", name="Animate").click()
    visit.expect_address(tab="interpolation", seeds="3, 1, 4", frames=16, loop="true", truncation=1)
    expect(visit.tab.locator("#video video")).not_to_have_attribute("src", before)
    playing()
    expect(visit.tab.locator("#strip img")).to_have_attribute("src", re.compile("faces-3-1-4.png$"))
    name, data = visit.download("Download GIF")
    assert name == "faces-3-1-4.gif" and Image.open(io.BytesIO(data)).n_frames == 48
    name, data = visit.download("Download MP4")
    assert name == "faces-3-1-4.mp4" and data[4:8] == b"ftyp"

    visit.tab.get_by_label("Seeds").fill("3")
    visit.tab.get_by_role("button", name="Animate").click()
    expect(visit.tab.get_by_text("Seeds must be 2 to 8 whole numbers").first).to_be_visible()


@pytest.mark.parametrize(
    "query, size",
    [
        ("?seed=42", "phone"),
        ("?tab=seed&seed=42&truncation=1.0", "desktop"),
        ("?seed=42&__theme=dark", "desktop"),
        ("?seed=7&seed=42&start=&model=", "desktop"),
        ("?tab=Seed&seed=42", "phone"),
    ],
)
def test_the_address_of_a_seed_restores_its_face(browser, served, generator, query, size):
    with Visit(browser, served.url, size, query=query) as visit:
        visit.expect_seed(generator, 42)


def test_the_address_of_a_batch_and_of_an_interpolation_restores_them(browser, served):
    with Visit(browser, served.url, "desktop", query="?tab=batch&first_seed=5&count=3&truncation=0.5") as visit:
        expect(visit.tab.locator("#gallery .thumbnail-item")).to_have_text(["5", "6", "7"])
        expect(visit.tab.get_by_role("spinbutton", name=TRUNCATION)).to_have_value("0.5")
        visit.expect_address(tab="batch", first_seed=5, count=3, truncation=0.5)
    with Visit(browser, served.url, "phone", query="?seeds=9,8&frames=4&loop=false") as visit:
        expect(visit.tab.get_by_role("tab", name="Interpolation")).to_have_attribute("aria-selected", "true")
        expect(visit.tab.locator("#strip img")).to_have_attribute("src", re.compile("faces-9-8.png$"))
        expect(visit.tab.get_by_label("Loop")).not_to_be_checked()


@pytest.mark.parametrize(
    "query, sentence",
    [
        ("?seed=4294967296", SEED),
        ("?seed=42&truncation=nan", "Truncation must be a number from 0 to 1.5, not nan."),
        ("?tab=batch&count=65", "How many must be a whole number from 1 to 64, not 65."),
        ("?seeds=1&loop=perhaps", "Seeds must be 2 to 8 whole numbers"),
    ],
)
def test_a_bad_address_is_explained_and_the_page_opens_all_the_same(browser, served, query, sentence):
    with Visit(browser, served.url, "phone", query=query) as visit:
        expect(visit.tab.get_by_text(sentence).first).to_be_visible()
        visit.open("Seed")
        expect(visit.tab.locator("#picture img")).to_have_attribute(
            "src", re.compile(f"/seed-{FIRST_FACE}-sharp-256.png$")
        )


def test_the_page_is_used_with_the_keyboard_alone(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        keyboard, focused = visit.tab.keyboard, "document.activeElement.textContent.trim()"

        def tab_to(name: str) -> None:
            for _ in range(40):
                if visit.tab.evaluate(focused) == name:
                    return
                keyboard.press("Tab")
            raise AssertionError(f"Tab never reaches '{name}'")

        tab_to("Draw a face")
        assert visit.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        keyboard.press("Enter")
        visit.tab.wait_for_function("new URLSearchParams(location.search).has('seed')")
        visit.tab.get_by_role("tab", name="Seed").focus()
        tab_to("Batch")
        keyboard.press("Enter")
        tab_to("3")
        keyboard.press("Enter")
        visit.expect_address(tab="seed", seed=3, truncation=1)


def test_on_a_space_and_with_a_model_that_cannot_be_had_no_other_host_is_asked(browser, tmp_path, generator):
    (tmp_path / "empty").mkdir()
    with Page(tmp_path, MODEL_ID=str(tmp_path / "empty"), **SPACE) as page:
        for size, scheme in (("desktop", "light"), ("phone", "dark")):
            with Visit(browser, page.url, size, scheme) as visit:
                notice = visit.tab.get_by_role("alert").filter(has_text="could not be loaded")
                expect(notice).to_contain_text("it lacks model.safetensors or config.json")
                visit.expect_seed(generator, FIRST_FACE)
                for name in ("Batch", "Interpolation", "Explore"):
                    visit.open(name)
                    visit.settle()
                dark = visit.tab.evaluate("document.body.classList.contains('dark')")
                assert dark == (scheme == "dark")
        assert "Traceback" not in page.log()


BOXES = """() => [...document.querySelectorAll(".grid-container")].filter(grid => grid.offsetParent).map(grid => {
  const block = grid.closest(".block"), frame = block.getBoundingClientRect();
  const faces = [...grid.querySelectorAll(".thumbnail-item")], boxes = faces.map(face => face.getBoundingClientRect());
  const cut = (box) => box.bottom > frame.bottom + 1 || box.right > frame.right + 1 || box.width < 30;
  const captions = [...grid.querySelectorAll(".caption-label")].filter((label) => label.offsetParent);
  return { id: block.id, faces: faces.length, cut: boxes.filter(cut).length,
           cutCaptions: captions.filter((label) => label.scrollWidth > label.clientWidth + 1).length };
})"""


@pytest.mark.parametrize(
    "query", ["seed=7", "tab=batch&first_seed=4294967290&count=20", "tab=interpolation&seeds=7,8", "tab=explore"]
)
def test_no_gallery_cuts_a_face_or_a_caption_off(browser, served, query):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(f"{served.url}/?{query}")
    tab.wait_for_function("typeof restored !== 'undefined' && restored")
    for width in (320, 390, 640, 768, 820, 1000, 1280, 1920):
        tab.set_viewport_size({"width": width, "height": 844})
        tab.wait_for_function("width => innerWidth === width", arg=width)
        for gallery in tab.evaluate(BOXES):
            assert gallery["faces"] and not gallery["cut"] and not gallery["cutCaptions"], (width, gallery)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    tab.close()


def test_an_empty_field_is_no_mistake_and_no_address(browser, served):
    with Visit(browser, served.url, "desktop", query="?seed=7") as visit:
        visit.field.fill("")
        visit.tab.wait_for_timeout(2000)
        assert not visit.tab.locator(".toast-body").count()
        assert parse_qs(urlsplit(visit.tab.url).query)["seed"] == ["7"]
        visit.tab.get_by_role("tab", name="Explore").click()
        visit.tab.get_by_label("Start").fill("")
        visit.tab.wait_for_timeout(2000)
        assert not visit.tab.locator(".toast-body").count()
        assert parse_qs(urlsplit(visit.tab.url).query, keep_blank_values=True).get("start") != [""]


@pytest.mark.parametrize("delay", [50, 120, 400])
def test_a_number_that_is_refused_does_not_stand_in_the_address_however_fast_it_is_typed(browser, served, delay):
    with Visit(browser, served.url, "desktop", query="?seed=7") as visit:
        visit.field.fill("")
        visit.field.press_sequentially("42949672961", delay=delay)
        expect(visit.tab.get_by_test_id("toast-body").last).to_be_visible()
        visit.settle()
        assert "4294967296" not in visit.tab.url
        shown = int(re.search(r"/seed-(\d+)", visit.tab.locator("#picture img").get_attribute("src")).group(1))
        assert parse_qs(urlsplit(visit.tab.url).query)["seed"] == [str(shown)]
        visit.tab.get_by_role("button", name="Copy link").click()
        assert parse_qs(urlsplit(visit.tab.url).query)["seed"] == [str(shown)]  # no link that is refused
        visit.field.fill("12")  # and the page goes on
        visit.expect_address(tab="seed", seed=12, truncation=1)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_film_plays_in_its_place_without_sound_and_stands_still_where_motion_is_unwanted(browser, served, motion):
    context = browser.new_context(reduced_motion=motion)
    tab = context.new_page()
    tab.goto(f"{served.url}/?tab=interpolation&seeds=7,8")
    tab.wait_for_function("typeof restored !== 'undefined' && restored")
    video = tab.locator("#video video")
    expect(video).to_be_visible()
    assert video.evaluate("video => [video.muted, video.playsInline]") == [True, True]
    tab.wait_for_timeout(1000)
    assert video.evaluate("video => video.paused") is (motion == "reduce")
    context.close()


PHONE = {"width": 390, "height": 844}


def within(visit: Visit, locator: Locator) -> bool:
    """Whether all of it is to be seen without scrolling further."""
    box, view = locator.bounding_box(), visit.tab.viewport_size
    return box["y"] >= -1 and box["y"] + box["height"] <= view["height"] + 1


def test_a_phone_opens_on_a_face_and_a_button_and_keeps_what_one_draws(browser, served, generator):
    with Visit(browser, served.url, "phone") as visit:
        tab = visit.tab
        tab.set_viewport_size(PHONE)
        for part in (tab.locator("#picture"), tab.get_by_role("button", name="Draw a face")):
            assert within(visit, part)
        assert tab.get_by_label("Model").bounding_box()["y"] > tab.locator("#picture").bounding_box()["y"] + 400

        face = tab.locator("#band a").nth(1)
        seed = int(face.locator("img").get_attribute("alt").split()[-1])
        face.click()
        visit.expect_seed(generator, seed)
        tab.evaluate("document.activeElement.blur()")
        tab.keyboard.press("Space")
        tab.wait_for_function(f"!location.search.includes('seed={seed}&')")
        expect(tab.locator("#lately img")).to_have_count(3)  # the first one, that of the band, the next
        after = int(parse_qs(urlsplit(tab.url).query)["seed"][0])
        expect(tab.locator("#lately img").first).to_have_attribute("alt", f"Seed {after}")
        heart = tab.locator(".heart").first
        heart.click()
        expect(heart).to_have_attribute("aria-pressed", "true")
        expect(tab.locator("#favourites img")).to_have_attribute("alt", f"Seed {after}")

        tab.evaluate("document.activeElement.blur()")
        tab.keyboard.press("ArrowLeft")
        visit.expect_seed(generator, seed)
        expect(heart).to_have_attribute("aria-pressed", "false")
        tab.keyboard.press("ArrowRight")
        visit.expect_seed(generator, after)
        tab.reload()
        visit.expect_seed(generator, after)
        visit.faults.clear()  # what the reload cut off
        expect(tab.locator("#favourites img")).to_have_count(1)
        tab.locator("#favourites a").click()  # where one is already
        heart.click()
        expect(tab.locator("#favourites img")).to_have_count(0)


def test_steps_are_entries_of_the_history_and_typing_is_one(browser, served, generator):
    with Visit(browser, served.url, "desktop") as visit:
        visit.open("Batch")
        visit.expect_address(tab="batch", first_seed=0, count=16, truncation=1)
        visit.tab.get_by_role("button", name="Seed 3", exact=True).click()
        visit.expect_seed(generator, 3)
        field = visit.field
        field.fill("4")
        visit.expect_seed(generator, 4)
        field.fill("42")
        visit.expect_seed(generator, 42)
        visit.expect_address(tab="seed", seed=42, truncation=1)
        visit.tab.go_back()
        visit.expect_seed(generator, 3)
        visit.tab.go_back()
        expect(visit.tab.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")
        visit.tab.go_back()
        visit.expect_seed(generator, FIRST_FACE)
        visit.tab.wait_for_function("restored")
        visit.tab.wait_for_timeout(2000)  # what is drawn after it does not write over it
        visit.expect_address()
        visit.tab.go_forward()
        expect(visit.tab.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")
        visit.tab.go_forward()
        visit.expect_seed(generator, 3)
        visit.tab.wait_for_function("restored")
        visit.tab.get_by_role("button", name="To Batch").click()  # the next step is a step again
        visit.expect_address(tab="batch", first_seed=3, count=16, truncation=1)
        visit.tab.go_back()
        visit.expect_address(tab="seed", seed=3, truncation=1)


def test_going_back_twice_at_once_ends_where_the_address_is(browser, served, generator):
    with Visit(browser, served.url, "desktop", query="?seed=4") as visit:
        for seed in (5, 6, 7):
            visit.field.fill(str(seed))
            visit.expect_seed(generator, seed)
            visit.expect_address(tab="seed", seed=seed, truncation=1)
            visit.tab.locator("h1").click()  # what is typed next is another step
        visit.tab.evaluate("history.back(); setTimeout(() => history.back(), 100)")
        visit.expect_address(tab="seed", seed=5, truncation=1)
        visit.expect_seed(generator, 5)


def test_a_face_of_the_list_that_is_chosen_again_is_not_listed_twice(browser, served, generator):
    with Visit(browser, served.url, "desktop") as visit:
        faces = visit.tab.locator("#lately img")
        expect(faces).to_have_count(1)
        visit.field.fill("7")
        visit.expect_seed(generator, 7)
        expect(faces).to_have_count(2)
        visit.tab.locator("#lately a").last.click()
        visit.expect_seed(generator, FIRST_FACE)
        visit.settle()
        expect(faces).to_have_count(2)


DOWNLOADS = [
    ("?tab=seed&seed=4711", ["Download PNG"]),
    ("?tab=batch&first_seed=4711&count=2", ["Download all (ZIP)"]),
    ("?tab=interpolation&seeds=4711,4712&frames=2", ["Download MP4", "Download GIF", "Download"]),
    ("?tab=explore&start=4711", ["Download PNG"]),
]


@pytest.mark.parametrize("query, names", DOWNLOADS)
def test_a_download_whose_file_is_no_longer_kept_says_so_and_what_is_drawn_again_is_there(
    browser, served, query, names
):
    with Visit(browser, served.url, "phone", query=query) as visit:
        expect(visit.tab.get_by_role("tabpanel").locator("img").first).to_have_attribute("src", re.compile("/file="))
        visit.settle()  # what follows the opening is drawn, too
        kept = Path(served.environment["GRADIO_TEMP_DIR"])
        for file in [*kept.rglob("*4711*"), *kept.rglob("explored*.png")]:  # as the hourly sweep does
            if file.is_file():  # a folder may have such digits in its name
                file.unlink()
        downloads: list[object] = []
        visit.tab.on("download", lambda download: downloads.append(download))
        for name in names:
            visit.tab.get_by_role("button", name=name, exact=True).click()
            said = visit.tab.get_by_role("alert").filter(has_text=GONE)
            expect(said).to_be_visible()
            if "tab=seed" in query:  # six seconds, which one of them may take
                expect(said).to_have_count(0)  # nothing stays in the way
            else:
                said.evaluate("note => note.remove()")
        assert not downloads
        visit.faults.clear()  # the browser's own lines on those
        field = visit.tab.get_by_role("tabpanel").get_by_role("textbox").first
        field.press("Enter")
        visit.settle()
        assert visit.download(names[0])[1]


def test_a_download_that_the_page_does_not_answer_says_so(browser, served):
    with Visit(browser, served.url, "desktop", query="?seed=4711") as visit:
        visit.tab.route("**/file=**", lambda route: None if route.request.method == "HEAD" else route.continue_())
        expect(visit.tab.locator("#picture img")).to_have_attribute("src", re.compile("/file="))
        visit.tab.get_by_role("button", name="Download PNG").click()
        expect(visit.tab.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()


def test_a_name_is_shown_with_its_seed(browser, served, generator):
    with Visit(browser, served.url, "desktop") as visit:
        seed = seed_of("alice & bob")
        visit.field.fill("alice & bob")
        expect(visit.tab.locator("#name")).to_have_text(f"alice & bob = seed {seed}")
        visit.expect_sharp(visit.tab.locator("#picture img"), generator.generate([seed])[0])
        expect(visit.tab.locator("[data-of=picture] span")).to_have_text(f"alice & bob = seed {seed}")
        visit.expect_address(tab="seed", seed="alice & bob", truncation=1)
        visit.field.fill("7")
        expect(visit.tab.locator("#name")).to_have_text("")
        visit.expect_seed(generator, 7)


def test_while_a_face_is_not_there_yet_the_page_says_which_one_is_still_shown(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        visit.context.route("**/queue/join*", lambda route: None)  # in line, for ever
        visit.tab.get_by_role("button", name="Draw a face").click()  # which one is not known before the pick
        expect(visit.tab.locator("#picture [data-testid=status-tracker]")).to_be_visible()
    with Visit(browser, served.url, "desktop") as visit:
        visit.tab.get_by_label("Pick the best of 8").uncheck()
        visit.context.route("**/queue/join*", lambda route: None)
        visit.tab.get_by_role("button", name="Draw a face").click()
        expect(visit.tab.locator("[data-of=picture] span")).to_have_text(f"Still seed {FIRST_FACE}")
        expect(visit.tab.locator("#picture")).to_have_class(re.compile("stale"))
        expect(visit.tab.locator("#picture [data-testid=status-tracker]")).to_be_visible()


def test_a_face_called_by_name_is_shared_by_name(browser, served, generator):
    with Visit(browser, served.url, "phone", query="?seed=alice&truncation=0.8&__theme=dark") as visit:
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.tab.get_by_text("Share this face").click()
        lines = visit.tab.locator("#share .line")
        image = f"{served.url}/face/alice.png?size=256&style=sharp&truncation=0.8"
        html = f'<img src="{image.replace("&", "&amp;")}" alt="alice" width="256" height="256">'
        expect(lines).to_have_text([f"{served.url}/s/alice?truncation=0.8", html, f"![alice]({image})"])
        lines.first.click()
        expect(visit.tab.get_by_text("Copied.")).to_be_visible()
        link = visit.tab.evaluate("navigator.clipboard.readText()")
        visit.tab.goto(link)  # and whoever follows it is there
        visit.tab.wait_for_function("typeof restored !== 'undefined' && restored")
        expect(visit.field).to_have_value("alice")
        visit.expect_sharp(visit.tab.locator("#picture img"), generator.generate([seed_of("alice")], truncation=0.8)[0])
        visit.field.fill("<a & b>")
        visit.tab.get_by_text("Share this face").click()
        expect(lines.first).to_have_text(f"{served.url}/s/%3Ca%20%26%20b%3E?truncation=0.8")
        expect(lines.nth(2)).to_contain_text("![a  b](")


def test_a_copied_link_has_no_theme(browser, served):
    with Visit(browser, served.url, "desktop", query="?seed=7&__theme=dark") as visit:
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.tab.get_by_role("button", name="Copy link").click()
        expect(visit.tab.get_by_role("button", name="Link copied")).to_be_visible()
        link = visit.tab.evaluate("navigator.clipboard.readText()")
        assert "seed=7" in link and "theme" not in link and "__theme=dark" in visit.tab.url


def test_a_picture_that_is_too_large_is_refused_in_the_words_of_the_api(browser, served, tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(16_000_001)
    with Visit(browser, served.url, "desktop") as visit:
        visit.open("Explore")
        visit.tab.locator("#example input[type=file]").set_input_files(tmp_path / "huge.png")
        expect(visit.tab.get_by_text(TOO_LARGE)).to_be_visible()


def test_in_explore_the_face_and_its_sliders_are_seen_together(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        visit.tab.set_viewport_size({"width": 1280, "height": 900})
        visit.open("Explore")
        sliders = [slider for slider in visit.tab.locator("#sliders input[type=range]").all() if slider.is_visible()]
        assert len(sliders) > 1 and within(visit, visit.tab.locator("#explored"))
        assert all(within(visit, slider) for slider in sliders)
        visit.tab.set_viewport_size(PHONE)
        sliders[-1].scroll_into_view_if_needed()
        visit.tab.mouse.wheel(0, 200)
        visit.tab.wait_for_timeout(300)
        assert within(visit, visit.tab.locator("#explored img"))


def test_the_first_tab_key_reaches_a_face_and_a_list_that_is_left_closes(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        visit.tab.keyboard.press("Tab")
        assert visit.tab.evaluate("document.activeElement.closest('#band') !== null")
        for field in (visit.field, visit.tab.get_by_role("tab", name="Seed")):
            visit.tab.keyboard.press("Tab")  # so that the focus is the keyboard's
            field.focus()
            style = field.evaluate(
                "field => [getComputedStyle(field).outlineStyle, getComputedStyle(field).outlineWidth]"
            )
            assert style == ["solid", "3px"]
        visit.tab.get_by_label("Model").focus()
        expect(visit.tab.get_by_role("option").first).to_be_visible()
        visit.tab.keyboard.press("Tab")
        expect(visit.tab.get_by_role("option")).to_have_count(0)


CUT = """() => [...document.querySelectorAll("button")].filter((button) => button.offsetParent &&
  button.closest(".gradio-container") && (button.scrollWidth > button.clientWidth + 1 ||
  button.getBoundingClientRect().right > innerWidth)).map((button) => button.textContent.trim())"""
STATES = (
    ":hover",
    ":active",
    "::after",
    "::before",
    "::-webkit-slider-thumb",
    "::-moz-range-thumb",
    ":focus-visible",
    ":not(.hide)",
)


def own_selectors() -> set[str]:
    text = re.sub(r"/\*.*?\*/|@keyframes[^}]*}\s*}", "", (ROOT / "model/page/style.css").read_text(), flags=re.S)
    text = re.sub(r"@media[^{]*{", "", text)
    return {part.strip() for part in re.findall(r"([^{}]+){", text) if part.strip()}


def test_no_label_is_cut_and_every_rule_of_the_style_meets_something(browser, served, tmp_path):
    # In other tests.
    upload = {
        '#example [data-testid="status-tracker"]',
        "#example img",
        "#example .image-frame",
        "#square",
        "#square i",
    }
    elsewhere = {"#notice", "#notice p", ".dark #notice p", "#picture.stale img", 'img[src*="-smooth"]'} | upload
    unmet = {part for rule in own_selectors() for part in rule.split(", ")} - elsewhere
    assert len(unmet) > 50
    with Visit(browser, served.url, "phone") as visit:
        visit.field.fill("bob")
        expect(visit.tab.locator("#name p")).to_be_visible()
        visit.tab.wait_for_function("words().startsWith('bob') && current() !== null")  # the face is there
        visit.tab.locator(".heart").first.click()
        expect(visit.tab.locator(".heart").first).to_have_attribute("aria-pressed", "true")
        for dark in ("", "dark"):
            visit.tab.evaluate(f"document.body.classList.toggle('dark', {str(bool(dark)).lower()})")
            for name in ("Seed", "Batch", "Interpolation", "Explore", "Find"):
                visit.open(name)
                for width in (320, 390, 1280):
                    visit.tab.set_viewport_size({"width": width, "height": 844})
                    assert visit.tab.evaluate(CUT) == [], (name, width)
                visit.tab.evaluate("say('x')")
                bare = {rule: rule for rule in unmet}
                for state in STATES:
                    bare = {rule: text.replace(state, "") for rule, text in bare.items()}
                script = "rules => rules.filter((rule) => !document.querySelector(rule || '*'))"
                left = set(visit.tab.evaluate(script, list(bare.values())))
                unmet = {rule for rule in unmet if bare[rule] in left}
    assert unmet == set()


def test_a_drawn_face_is_the_best_of_eight_unless_one_takes_what_comes(browser, served, generator):
    average = average_shading(generator)
    with Visit(browser, served.url, "desktop") as visit:
        visit.tab.evaluate("Math.random = () => 100 / 2 ** 32")
        visit.tab.get_by_role("button", name="Draw a face").click()
        visit.expect_seed(generator, good_seeds(generator, 1, 100, average=average)[0])
        visit.tab.get_by_label("Pick the best of 8").uncheck()
        visit.tab.get_by_role("button", name="Draw a face").click()
        visit.expect_seed(generator, 100)
