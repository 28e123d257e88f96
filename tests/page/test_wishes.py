"""Faces by wish, faces like another one, and PNGs that bring their face back: by the API and in a browser."""

import io
import json
import struct
import zlib
from urllib.parse import parse_qs, urlsplit

import pytest
from gradio_client import Client
from page import ROOT, Page, ask
from PIL import Image
from playwright.sync_api import expect
from test_browser import Visit

from model import Generator, read_face, save_face
from model.finding import FaceIndex
from model.names import seed_of
from model.page.layout.find import first_wish

WEIGHTS = ROOT / "weights"


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def index() -> FaceIndex:
    return FaceIndex.load(WEIGHTS)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page"), HF_ENDPOINT="http://127.0.0.1:9") as page:
        yield page
        assert "Traceback" not in page.log()


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    return Client(served.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def captions(album: list[dict]) -> list[int]:
    return [int(item["caption"]) for item in album]


def test_the_page_finds_what_the_index_finds_and_draws_it(client, generator, index):
    wishes = [index.phrases()[1], index.phrases()[-1]]
    found = client.predict(", ".join(wishes), 5, api_name="/find")
    assert captions(found) == index.find(wishes, 5)
    assert Image.open(found[0]["image"]).tobytes() == generator.generate(captions(found)[:1])[0].tobytes()
    assert len(client.predict(wishes[0], api_name="/find")) == 24
    other = client.predict(wishes[0], 3, "selfie2anime", api_name="/find")
    assert captions(other) == FaceIndex.load(WEIGHTS / "selfie2anime").find(wishes[:1], 3)


def test_faces_like_one_differ_little_from_it_in_what_was_measured(client, index):
    found = captions(client.predict("63", 10, api_name="/similar"))
    apart = (index.values[found] - index.values[63]).norm(dim=1)
    everyone = (index.values - index.values[63]).norm(dim=1)
    assert 63 not in found and found == everyone.argsort(stable=True)[1:11].tolist()
    assert apart.max() < everyone.quantile(0.01)
    # A code is of a latent that is not among the measured ones, here all but that of seed 63: the estimate is near.
    code = client.predict("63", api_name="/explore")[1]
    found = captions(client.predict(code, 10, api_name="/similar"))
    assert (index.values[found] - index.values[63]).norm(dim=1).mean() < everyone.quantile(0.2)
    assert captions(client.predict("alice", 3, api_name="/similar")) == captions(
        client.predict(str(seed_of("alice")), 3, api_name="/similar")
    )


@pytest.mark.parametrize(
    "endpoint, values, sentence",
    [
        ("find", ["blond beard", 5, ""], "Wish: 'blond beard' is not one that was measured; there are "),
        ("find", ["", 5, ""], "Wishes must be 1 to 8 of "),
        ("find", ["x" * 500, 5, ""], "Wishes must be 1 to 8 of "),
        ("find", [None, 5, ""], "Wishes must be 1 to 8 of "),
        ("find", ["dark hair", 65, ""], "How many must be a whole number from 1 to 64, not 65."),
        (
            "similar",
            ["", 5, ""],
            "Start must be a whole number from 0 to 4294967295, a name or the code of a face, not",
        ),
        ("similar", ["7", True, ""], "How many must be a whole number from 1 to 64, not True."),
        (
            "similar",
            ["7", 5, "blend:0.5"],
            "No faces of this model were measured (it has no faces.safetensors); choose",
        ),
        ("find", ["dark hair", 5, "blend:0.5"], "No faces of this model were measured (it has no faces.safetensors)"),
    ],
)
def test_what_cannot_be_found_is_a_sentence(served, endpoint, values, sentence):
    body, call = json.dumps({"data": values}).encode(), f"/gradio_api/call/{endpoint}"
    status, _, answer = ask(served.url, "POST", call, body, Content_Type="application/json")
    assert status == 200, answer
    told = ask(served.url, "GET", f"{call}/{json.loads(answer)['event_id']}")[2].decode()
    assert json.loads(told.split("data: ")[1])["error"].startswith(sentence)


def test_wishes_are_chips_and_lead_to_a_face_and_from_there_to_more_like_it(browser, served, index, generator):
    every = index.phrases()
    with Visit(browser, served.url, "desktop") as visit:
        visit.open("Find")
        faces, wishes = visit.tab.locator("#found .thumbnail-item"), visit.tab.get_by_role("textbox", name="Wishes")
        expect(wishes).to_have_value(first_wish(every))
        expect(faces).to_have_count(24)
        for chip in first_wish(every).split(", "):
            visit.tab.get_by_label(chip, exact=True).uncheck()
        visit.tab.get_by_label(every[1], exact=True).check()
        visit.expect_address(tab="find", wishes=every[1])
        expect(faces.first).to_have_text(str(index.find(every[1:2], 1)[0]))
        visit.tab.get_by_label(every[0], exact=True).check()  # its opposite
        visit.expect_address(tab="find", wishes=every[0])
        expect(visit.tab.get_by_label(every[1], exact=True)).not_to_be_checked()
        visit.tab.get_by_label(every[3], exact=True).check()
        visit.expect_address(tab="find", wishes=f"{every[0]}, {every[3]}")
        seed = index.find([every[0], every[3]], 1)[0]
        expect(faces.first).to_have_text(str(seed))
        faces.first.click()
        visit.expect_seed(generator, seed)
        visit.tab.get_by_role("tabpanel").get_by_role("button", name="More like this").click()
        visit.expect_address(tab="find", wishes=f"like {seed}")
        expect(faces).not_to_have_text([str(seed)])
        expect(visit.tab.get_by_role("checkbox", name=every[0])).not_to_be_checked()
        visit.tab.get_by_role("button", name="Surprise me").click()
        visit.tab.wait_for_function("!location.search.includes('like')")
        assert index.find(parse_qs(urlsplit(visit.tab.url).query)["wishes"][0].split(", "), 1)
    with Visit(browser, served.url, "phone", query=f"?tab=find&wishes={every[2]}") as visit:
        expect(visit.tab.locator("#found .thumbnail-item").first).to_have_text(str(index.find([every[2]], 1)[0]))
        expect(visit.tab.get_by_label(every[2], exact=True)).to_be_checked()


def test_a_model_without_an_index_says_so_and_is_no_mistake(browser, served, index):
    with Visit(browser, served.url, "desktop", query=f"?tab=find&wishes={index.phrases()[0]}&model=blend:0.5") as visit:
        expect(visit.tab.get_by_text("No faces of this model were measured")).to_be_visible()
        expect(visit.tab.locator("#found .thumbnail-item")).to_have_count(0)
        assert not visit.tab.locator(".toast-body").count()


DROP = """([target, name, bytes]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
  const at = {dataTransfer: carried, bubbles: true, cancelable: true};
  document.querySelector(target).dispatchEvent(new DragEvent("drop", at));
}"""


def drop(visit: Visit, file: bytes, target: str = "h1") -> None:
    visit.tab.evaluate(DROP, [target, "face.png", list(file)])


def test_a_png_of_the_page_brings_its_face_back(browser, served, generator, tmp_path):
    with Visit(browser, served.url, "desktop", query="?seed=42&truncation=0.8") as visit:
        visit.expect_seed(generator, 42, 0.8)
        _, plain = visit.download("Download PNG")
        visit.tab.goto(f"{served.url}/?tab=explore&start=7&moves=1.5,-2&model=selfie2anime")
        visit.tab.wait_for_function("typeof restored !== 'undefined' && restored")
        moved = visit.face(visit.tab.locator("#explored img"))
        (tmp_path / "moved.png").write_bytes(visit.download("Download PNG")[1])
    with Visit(browser, served.url, "phone") as visit:  # somebody else, who was sent the files
        drop(visit, plain)
        visit.expect_address(tab="seed", seed=42, truncation=0.8)
        visit.expect_seed(generator, 42, 0.8)
        visit.tab.locator("#recall").set_input_files(tmp_path / "moved.png")
        visit.expect_address(tab="explore", start=7, truncation=1, moves="1.5,-2", model="selfie2anime")
        visit.expect_face(visit.tab.locator("#explored img"), moved)
        drop(visit, plain, "#example")  # also where pictures are searched for
        visit.expect_seed(generator, 42, 0.8)
        for command in ("alice", "bob"):  # what the package writes
            save_face(generator.generate([seed_of(command)])[0], tmp_path / "face.png", seed=seed_of(command))
            visit.tab.locator("#recall").set_input_files(tmp_path / "face.png")
            visit.expect_seed(generator, seed_of(command))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def forged(text: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    head, rest = file.getvalue()[:33], file.getvalue()[33:]
    return head + chunk(b"tEXt", b"anime-dcgan\0" + text.encode("latin-1")) + rest


FORGED = [
    '{"seed": -1}',
    '{"seed": 4294967296}',
    '{"seed": 1.5}',
    '{"seed": "7"}',
    '{"seed": true}',
    '{"seed": 7, "code": "zAAAA"}',
    '{"seed": 7, "truncation": 99}',
    '{"seed": 7, "moves": [9]}',
    '{"seed": 7, "moves": "1,2"}',
    '{"seed": 7, "__proto__": {"seed": 8}}',
    '{"seed": 7, "onload": "alert(1)"}',
    '{"code": "z<script>alert(1)</script>"}',
    '{"seed": 7, "model": "../../etc/passwd"}',
    '{"seed": 7, "model": "https://evil.example/x"}',
    '{"seed": 7, "revision": "a b"}',
    "{}",
    "[]",
    "[[7]]",
    "null",
    "7",
    "",
    "[" * 15_000,
    '{"seed": 7' + " " * 20_000 + "}",
    "no JSON",
]


def test_forged_and_foreign_files_are_data_and_lead_nowhere(browser, served):
    with Visit(browser, served.url, "desktop") as visit:
        asked, address = len(visit.asked), visit.tab.url
        foreign = io.BytesIO()
        Image.new("RGB", (64, 64)).save(foreign, "PNG")
        cut = forged('{"seed": 7}')[:60]
        for file in [*map(forged, FORGED), foreign.getvalue(), b"", b"GIF89a", cut]:
            visit.tab.evaluate("document.querySelectorAll('.said').forEach((note) => note.remove())")
            drop(visit, file)
            expect(visit.tab.locator(".said")).to_contain_text("does not say how it was drawn")
            if file.startswith(b"\x89PNG"):
                with pytest.raises(ValueError, match="malformed|does not say|not a PNG"):  # in Python just so
                    read_face(file)
        visit.tab.evaluate("document.querySelectorAll('.said').forEach((note) => note.remove())")
        drop(visit, forged('{"seed": 7, "model": "evil/faces"}'))  # well-formed, but nothing is fetched for it
        expect(visit.tab.locator(".said")).to_contain_text("drawn by evil/faces, which is not a model of this page")
        visit.tab.wait_for_timeout(500)
        assert visit.tab.url == address and not [url for url in visit.asked[asked:] if "queue/join" in url]
        drop(visit, forged('{"seed": 7}'))
        visit.expect_address(tab="seed", seed=7, truncation=1)
