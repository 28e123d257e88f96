"""Pictures at plain addresses and links that show them, from one running page; behind a proxy under a sub-path too."""

import concurrent.futures
import io
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
from html.parser import HTMLParser

import numpy as np
import pytest
from page import ROOT, Page, ask
from PIL import Image

from model import Face, Generator, latents_from_seeds, read_face, seed_of
from model.blending import blend
from model.page.explore import code_to_latent, latent_to_code
from model.page.work import Allowance, Busy, client_of
from model.sharp import sharpen

STRANGER, OTHER = "8.8.8.8", "9.9.9.9"
CODE = latent_to_code(latents_from_seeds([7], 128)[0])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page")) as page:
        yield page
        assert "Traceback" not in page.log(), page.log()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(ROOT / "weights")


def get(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; ``path`` is sent as it is."""
    return ask(url, method, path, timeout=60, **headers)


def image(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def apart(a, b) -> int:
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def sentence(body: bytes) -> str:
    found = json.loads(body)["detail"]
    assert found[0].isupper() or found.split()[0].islower()
    assert found.endswith(".") and "Traceback" not in found and str(ROOT) not in found
    return found


@pytest.mark.parametrize("name, seed", [("7", 7), ("alice", None), ("Zo%C3%A9", None), ("a%2Fb.c", None), (CODE, 7)])
def test_a_name_a_seed_and_a_code_have_the_faces_that_python_draws(page, generator, name, seed):
    status, headers, body = get(page.url, f"/face/{name}.png?truncation=0.8")
    assert (status, headers["content-type"], int(headers["content-length"])) == (200, "image/png", len(body))
    seed = seed if seed is not None else seed_of(urllib.parse.unquote(name))
    z = code_to_latent(CODE, 128)[None] if name == CODE else latents_from_seeds([seed], 128)
    assert apart(image(body), generator.generate(z=z, truncation=0.8)[0]) <= 1
    told = {"code": CODE} if name == CODE else {"seed": seed}
    assert read_face(body) == Face(**told, truncation=0.8, model="anime-faces")


def test_pictures_are_sent_as_they_are_and_pages_compressed(page):
    for path in ("/face/7.png?size=256", "/strip/7.png", "/grid/0-15.jpg", "/film/1,2.gif?frames=2"):
        status, headers, body = get(page.url, path, Accept_Encoding="gzip")
        assert status == 200 and "content-encoding" not in headers and image(body).size[0] >= 64
    assert get(page.url, "/addresses", Accept_Encoding="gzip")[1]["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "path, kind, size, frames",
    [
        ("/face/7.webp", "image/webp", (64, 64), 1),
        ("/face/7.jpg?size=128&style=crisp", "image/jpeg", (128, 128), 1),
        ("/face/7.png?size=512&style=smooth", "image/png", (512, 512), 1),
        ("/face/7.png?model=selfie2anime", "image/png", (64, 64), 1),
        ("/strip/alice.png", "image/png", (7 * 64, 64), 1),
        ("/grid/0-14,alice.png", "image/png", (4 * 64, 4 * 64), 1),
        ("/film/1,alice.gif?size=64&frames=3", "image/gif", (64, 64), 6),
        ("/film/1,2,3.webp?size=64&frames=2&loop=false", "image/webp", (64, 64), 5),
    ],
)
def test_each_address_is_such_a_picture(page, path, kind, size, frames):
    status, headers, body = get(page.url, path)
    assert (status, headers["content-type"]) == (200, kind), body
    found = image(body)
    assert (found.size, getattr(found, "n_frames", 1)) == (size, frames)


def test_sharp_is_what_the_package_redraws(page, generator):
    body = get(page.url, "/face/7.png?size=256&style=sharp")[2]
    assert apart(image(body), sharpen(generator.generate([7])[0], 256)) <= 1


def test_a_film_can_be_had_in_parts_as_browsers_ask_for_it(page):
    path = "/film/1,2.mp4?size=64&frames=4"
    status, headers, body = get(page.url, path)
    assert (status, headers["content-type"], body[4:8]) == (200, "video/mp4", b"ftyp")
    status, headers, part = get(page.url, path, Range="bytes=4-7", Accept_Encoding="gzip")
    assert (status, part, headers["content-range"]) == (206, b"ftyp", f"bytes 4-7/{len(body)}")
    assert get(page.url, path, Range="bytes=" + "0-1," * 50 + "2-3")[2] == body


def test_clients_may_keep_a_picture_and_any_site_may_show_it(page):
    status, headers, body = get(page.url, "/face/7.png", Origin="https://example.com")
    assert headers["cache-control"] == "public, max-age=86400, immutable"
    assert headers["access-control-allow-origin"] == "*" and headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"]
    etag = headers["etag"]
    assert re.fullmatch('"[0-9a-f]{32}"', etag)
    for tags in (etag, f'"x", W/{etag}', "*"):
        status, headers, rest = get(page.url, "/face/7.png", If_None_Match=tags)
        assert (status, rest, headers["etag"]) == (304, b"", etag) and "max-age" in headers["cache-control"]
    assert get(page.url, "/face/7.png", If_None_Match='"x"')[2] == body
    assert get(page.url, "/face/007.png?size=64&truncation=1.0")[1]["etag"] == etag  # the same picture
    others = ["/face/8.png", "/face/7.webp", "/face/7.png?size=128", "/face/7.png?truncation=0.9"]
    others += ["/face/7.png?model=selfie2anime", "/face/7.png?size=128&style=crisp", "/strip/7.png", "/grid/7.png"]
    tags = [get(page.url, path)[1]["etag"] for path in others]
    assert len({etag, *tags}) == 1 + len(others)
    status, headers, rest = get(page.url, "/face/7.png", "HEAD")
    assert (status, rest, headers["etag"], headers["content-length"]) == (200, b"", etag, str(len(body)))


@pytest.mark.parametrize(
    "path, status, words",
    [
        ("/face/7", 404, "An address of this kind ends in one of .png, .webp, .jpg."),
        ("/face/7.gif", 404, "An address of this kind"),
        ("/face/.png", 404, "An address of this kind"),
        ("/face/%20.png", 404, "Name: it is empty; give a name or a whole number."),
        ("/face/4294967296.png", 404, "Seed: 4294967296 is not an integer from 0 to 4294967295."),
        ("/face/%ff.png", 404, "A name is a text of at most 100 letters, in UTF-8."),
        (f"/face/{'x' * 101}.png", 404, "A name is a text of at most 100 letters"),
        ("/face/7.png?size=63", 400, "size must be 64, 128, 256 or 512, not '63'."),
        ("/face/7.png?style=SHARP", 400, "style must be crisp, smooth or sharp, not 'SHARP'."),
        ("/face/7.png?truncation=1.6", 400, "truncation must be a number from 0 to 1.5, not '1.6'."),
        ("/face/7.png?truncation=nan", 400, "truncation must be"),
        ("/face/7.png?size=64&size=64", 400, "The parameter 'size' is given twice."),
        ("/face/7.png?seed=8", 400, "There is no parameter 'seed' here; there are size, style, model, truncation."),
        ("/strip/7.png?truncation=1", 400, "There is no parameter 'truncation' here; there are size, style, model."),
        ("/face/7.png?model=someone/else", 404, "Model 'someone/else' is not loaded on this page; there are "),
        ("/face/7.png?model=../weights", 404, "Model '../weights' is not loaded"),
        ("/grid/0-64.png", 404, "There must be 1 to 64 faces"),
        ("/grid/0-4294967295.png", 404, "There must be 1 to 64 faces"),
        ("/film/1.mp4", 404, "There must be 2 to 8 faces"),
        ("/film/1,2.png", 404, "An address of this kind ends in one of .gif, .mp4, .webp."),
        ("/film/1,2.mp4?frames=0", 400, "frames must be a whole number from 1 to 48, not '0'."),
        ("/film/1,2.mp4?loop=yes", 400, "loop must be true or false, not 'yes'."),
        ("/film/0-7.gif?size=512&frames=48&style=sharp", 400, "This is about "),
        ("/s/4294967296", 404, "Seed: 4294967296"),
        ("/s/film/7", 404, "There must be 2 to 8 faces"),
        ("/s/7?truncation=9", 400, "truncation must be"),
        ("/s/7?model=someone/else", 404, "Model 'someone/else'"),
        ("/face", 404, "There is nothing at this address."),
        ("/face/", 404, "There is nothing at this address."),
        ("/faces/7.png", 404, "There is nothing at this address."),
        ("/s/a/b", 404, "There is nothing at this address."),
        ("/addresses/7", 404, "There is nothing at this address."),
    ],
)
def test_wrong_addresses_are_refused_with_a_sentence(page, path, status, words):
    found, headers, body = get(page.url, path)
    assert (found, headers["content-type"]) == (status, "application/json"), body
    assert sentence(body).startswith(words)
    assert "max-age" not in headers.get("cache-control", "")


def test_other_methods_are_refused(page):
    for path in ("/face/7.png", "/s/7", "/addresses"):
        assert get(page.url, path, "POST")[0] == 405


def test_a_burst_gets_429_with_a_time_to_wait_and_others_get_their_faces_meanwhile(page):
    def film(seed: int) -> tuple[int, dict, bytes]:
        return get(page.url, f"/film/{seed},{seed + 1},{seed + 2}.gif?size=128&frames=48", X_Forwarded_For=STRANGER)

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        films = [pool.submit(film, seed) for seed in range(100, 108)]
        time.sleep(0.3)
        asked = time.monotonic()
        assert get(page.url, "/face/4711.png", X_Forwarded_For=OTHER)[0] == 200
        waited = time.monotonic() - asked
        answers = [film.result() for film in films]
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 429} and waited < (time.monotonic() - began) / 2
    for status, headers, body in answers:
        if status == 429:
            assert 1 <= int(headers["retry-after"]) <= 60 and sentence(body).startswith("Too much is being drawn")
            assert headers["access-control-allow-origin"] == "*"


def test_an_allowance_is_spent_and_comes_back():
    now = [0.0]
    allowance = Allowance(burst=2, rate=0.5, clock=lambda: now[0])
    allowance.take("a", 2)
    with pytest.raises(Busy) as busy:
        allowance.take("a", 1)
    assert busy.value.seconds == 2
    allowance.take("b", 2)
    allowance.take(None, 100)
    now[0] = 2.0
    allowance.take("a", 1)
    with pytest.raises(Busy):
        allowance.take("a", 0.1)


def test_a_client_is_an_address_a_network_or_anyone_behind_a_proxy():
    clients = [client_of({"client": (host, 1)}) for host in ("8.8.8.8", "10.0.0.1", "127.0.0.1", "::1", "x", "")]
    assert clients == ["8.8.8.8", None, None, None, None, None] and client_of({"client": None}) is None
    assert client_of({"client": ("2600::1:2", 1)}) == client_of({"client": ("2600::9:9", 1)}) == "2600::/64"


class Tags(HTMLParser):
    """Meta tags, links and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        assert tag != "script"
        if tag == "meta":
            key = found.get("property") or found.get("name") or found.get("http-equiv") or "charset"
            self.tags[key] = found.get("content", "")
        self.links += [found["href"]] if tag == "a" else []
        self.pictures += [found["src"]] if tag == "img" else []


def shared(url: str, path: str, **headers: str) -> tuple[Tags, dict[str, str]]:
    status, answered, body = get(url, path, **headers)
    assert (status, answered["content-type"]) == (200, "text/html; charset=utf-8"), body
    assert "default-src 'none'" in answered["content-security-policy"]
    return Tags(body.decode()), answered


def test_a_shared_link_shows_its_face_and_leads_to_it(page):
    found, headers = shared(page.url, "/s/alice?truncation=0.8&fbclid=x")
    tags = found.tags
    assert tags["og:title"] == tags["twitter:title"] == "The face of alice"
    assert tags["og:url"] == f"{page.url}/s/alice?truncation=0.8"
    assert tags["og:image"] == tags["twitter:image"]
    assert tags["og:image"] == f"{page.url}/face/alice.png?size=512&style=sharp&truncation=0.8"
    assert tags["refresh"] == "0; url=../?seed=alice&truncation=0.8"  # a name stays a name
    assert found.links == ["../?seed=alice&truncation=0.8"]
    status, _, body = get(page.url, tags["og:image"].removeprefix(page.url))
    assert status == 200 and image(body).size == (int(tags["og:image:width"]), int(tags["og:image:height"]))
    assert headers["cache-control"] == "no-cache"
    tags = shared(page.url, f"/s/{CODE}")[0].tags
    assert (
        tags["og:image"].startswith(f"{page.url}/face/{CODE}.png?") and f"?tab=explore&start={CODE}" in tags["refresh"]
    )
    tags = shared(page.url, "/s/film/1,alice,3")[0].tags
    assert tags["og:video"] == f"{page.url}/film/1,{seed_of('alice')},3.mp4"
    assert tags["og:image"].startswith(f"{page.url}/face/1.png?")
    assert urllib.parse.unquote_plus(tags["refresh"]) == "0; url=../../?tab=interpolation&seeds=1, alice, 3"
    tags = shared(page.url, "/s/film/1-2,alice")[0].tags
    assert urllib.parse.unquote_plus(tags["refresh"]).endswith(f"seeds=1, 2, {seed_of('alice')}")


def test_a_face_between_the_two_models_is_at_an_address_too(page):
    weights = [ROOT / "weights", ROOT / "weights" / "selfie2anime"]
    between = blend(*map(Generator.from_pretrained, weights), 0.5).generate([7])[0]
    status, headers, body = get(page.url, "/face/7.png?model=blend:0.5")
    assert status == 200 and apart(image(body), between) <= 1
    etags = {get(page.url, f"/face/7.png?model={name}")[1]["etag"] for name in ("", "blend:0.5", "selfie2anime")}
    assert len(etags) == 3
    assert shared(page.url, "/s/alice?model=blend:0.5")[0].tags["og:image"].endswith("&model=blend%3A0.5")
    for wrong in ("blend:2", "blend:x", "blend:"):
        status, _, body = get(page.url, f"/face/7.png?model={wrong}")
        assert status == 404 and "must be blend: and a number from 0 to 1" in sentence(body)


def test_nothing_in_a_shared_link_is_taken_for_html(page):
    name = '"><script>alert(1)</script>'
    found, _ = shared(page.url, f"/s/{urllib.parse.quote(name.replace('/', ''), safe='')}")
    assert found.tags["og:title"] == f"The face of {name.replace('/', '')}"
    status, _, body = get(page.url, "/s/7", Host='evil"><script>')
    assert b"<script>" not in body
    tags = Tags(get(page.url, "/s/7", X_Forwarded_Host="x/<b>", X_Forwarded_Prefix="//evil.example")[2].decode()).tags
    assert tags["og:image"].startswith(f"{page.url}/face/7.png?")


def test_the_help_page_shows_lines_that_work(page):
    found, _ = shared(page.url, "/addresses")
    assert len(found.pictures) == 5 and not any("//" in picture for picture in found.pictures)
    text = get(page.url, "/addresses")[2].decode()
    for picture in found.pictures:
        assert get(page.url, f"/{picture}")[0] == 200
        assert f"]({page.url}/{picture})".replace("&", "&amp;") in text


def test_the_pages_own_files_remember_how_they_were_drawn(page):
    body, address = json.dumps({"data": [7, 0.8, "sharp-256", ""]}).encode(), "/gradio_api/call/seed"
    answer = ask(page.url, "POST", address, body, timeout=60, Content_Type="application/json")[2]
    event = json.loads(answer)["event_id"]
    told = get(page.url, f"/gradio_api/call/seed/{event}")[2].decode()
    path = json.loads(told.split("data: ")[1].splitlines()[0])[0]["path"]
    drawn = get(page.url, f"/gradio_api/file={path}")[2]
    assert read_face(drawn) == Face(seed=7, truncation=0.8, model="anime-faces")
    assert apart(image(drawn), image(get(page.url, "/face/7.png?size=256&style=sharp&truncation=0.8")[2])) <= 1


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    location /faces/ {{
      proxy_pass {url}/; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Prefix /faces; proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""


@pytest.mark.skipif(
    not shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin"), reason="nginx is not installed"
)
def test_behind_nginx_under_a_sub_path(page, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, url=page.url))
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    proxy = subprocess.Popen([program, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"])
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        assert get(url, "/faces/face/alice.png")[2] == get(page.url, "/face/alice.png")[2]
        found, _ = shared(url, "/faces/s/7")
        assert found.tags["og:image"].startswith(f"https://127.0.0.1:{port}/faces/face/7.png?")
        assert found.tags["og:url"] == f"https://127.0.0.1:{port}/faces/s/7"
        for path in found.links + found.pictures:
            assert get(url, urllib.parse.urljoin("/faces/s/7", path))[0] == 200
        assert f'src="https://127.0.0.1:{port}/faces/face/' in get(url, "/faces/addresses")[2].decode().replace(
            "&quot;", '"'
        )
    finally:
        proxy.terminate()
        proxy.wait(20)


def test_a_page_that_is_told_its_sub_path_answers_there(tmp_path):
    with Page(tmp_path, GRADIO_ROOT_PATH="/faces") as page:
        for path in ("/face/7.png", "/faces/face/7.png"):  # whether or not the proxy strips it
            assert get(page.url, path)[1]["content-type"] == "image/png"
        assert shared(page.url, "/s/7")[0].tags["og:image"].startswith(f"{page.url}/faces/face/7.png?")
