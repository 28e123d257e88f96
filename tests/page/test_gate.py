"""The page against people who mean no good: files, addresses, sizes, floods; and what it says to them."""

import io
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from crowd import resident
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from page import ROOT, Page, ask
from PIL import Image

from model.page.cache import FileCache
from model.page.checks import Refusal
from model.pictures import decode_picture

UPLOADED = {"meta": {"_type": "gradio.FileData"}}
SECRET = "hf_secretOfTheOwner"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page"), HF_TOKEN=SECRET) as page:
        yield page
        assert "Traceback" not in page.log() and SECRET not in page.log()


@pytest.fixture(scope="module")
def trap():
    """A server that must never be asked; ``trap.asked`` lists who did."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<script>fetch('/config')</script>")

        do_HEAD = do_POST = do_GET

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def call(page: Page, endpoint: str, data: list) -> tuple[int, str]:
    """Status and text of a call: what it was refused with, or what its last event says."""
    body = json.dumps({"data": data}).encode()
    status, _, answer = ask(page.url, "POST", f"/gradio_api/call/{endpoint}", body, Content_Type="application/json")
    if status != 200:
        return status, answer.decode()
    event = json.loads(answer)["event_id"]
    return 200, ask(page.url, "GET", f"/gradio_api/call/{endpoint}/{event}")[2].decode()


def sentence(answer: bytes | str) -> str:
    found = json.loads(answer)["detail"]
    assert found[0].isupper() or found[0].islower()
    assert found.endswith(".") and "Traceback" not in found and "/" not in found
    return found


def files_of(page: Page) -> Path:
    (folder,) = Path(page.environment["GRADIO_TEMP_DIR"]).glob("anime-faces-*/files")
    return folder


# 1. Files of the server.


@pytest.mark.parametrize(
    "picture",
    [
        {"path": "/dev/zero"},
        {"path": "/dev/zero"} | UPLOADED,
        {"path": "/etc/passwd"},
        {"path": str(ROOT / "weights/samples.png")},
        {"path": str(ROOT / "weights/samples.png")} | UPLOADED,
        {"path": "weights/samples.png"},
        {"path": ["/etc/passwd"]},
        "/etc/passwd",
        [{"path": "/etc/passwd"}],
    ],
    ids=str,
)
def test_no_file_but_an_uploaded_one_is_read(page, picture):
    before = resident(page.process.pid)
    began = time.monotonic()
    status, answer = call(page, "project", [picture, ""])
    assert status == 400 and "uploaded" in sentence(answer)
    assert time.monotonic() - began < 5 and resident(page.process.pid) - before < 50e6


def test_private_endpoints_read_no_file_either(page):
    config = json.loads(ask(page.url, "GET", "/config")[2])
    for dependency in config["dependencies"]:
        count = len(dependency["inputs"])
        body = {"data": [{"path": "/dev/zero"} | UPLOADED] * count, "session_hash": "me", "fn_index": dependency["id"]}
        body["event_data"] = {"index": 0, "value": {"path": "/etc/passwd"}}
        answer = ask(
            page.url, "POST", "/gradio_api/queue/join", json.dumps(body).encode(), Content_Type="application/json"
        )
        assert answer[0] == 400 and sentence(answer[2]), dependency


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="links")
def test_a_link_out_of_the_folder_and_a_pipe_are_no_files(tmp_path):
    files = FileCache(tmp_path / "files")
    inside = Path(files.add(b"x", "x.png"))
    os.symlink("/etc/passwd", inside.with_name("link.png"))
    os.mkfifo(inside.with_name("pipe.png"))
    assert files.find(str(inside)) == inside
    for name in ("link.png", "pipe.png", "nothing.png"):
        assert files.find(str(inside.parent)) is None
        assert files.find(str(inside.with_name(name))) is None
    for path in (
        f"{tmp_path}/files/../secret",
        "x.png",
        "",
        "\0",
        "/",
        str(inside) + "\0",
        "~",
        f"{inside}/../../../x",
    ):
        assert files.find(path) is None and not (files.owns(path) and "secret" in path)


def test_an_uploaded_file_that_is_gone_is_called_gone(page, tmp_path):
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "mine.png")
    client = Client(page.url, verbose=False)
    uploaded = client.submit(handle_file(tmp_path / "mine.png"), api_name="/project")
    assert uploaded.result(60)
    for kept in files_of(page).glob("*/mine.png"):
        kept.unlink()
    status, answer = call(page, "project", [{"path": str(kept)} | UPLOADED, ""])
    assert status == 400 and sentence(answer) == "This file is no longer kept; upload it again."


# 2. and 3. Addresses.


def test_nothing_is_fetched_from_an_address(page, trap):
    url = f"http://127.0.0.1:{trap.server_port}/x.png"
    for picture in ({"path": url} | UPLOADED, {"path": url, "url": url} | UPLOADED, {"path": url}, url):
        status, answer = call(page, "project", [picture, ""])
        assert status == 400 and "uploaded" in sentence(answer)
    for route in (f"file={url}", f"file/{url}", f"proxy={url}", f"file=http:/{url[6:]}", "file=//127.0.0.1/x.png"):
        for method in ("GET", "HEAD"):
            status, headers, answer = ask(page.url, method, f"/gradio_api/{route}")
            assert status == 404 and "html" not in headers["content-type"]
            assert method == "HEAD" or sentence(answer)
    assert not trap.asked


@pytest.mark.parametrize("name", ["face.html", "face.svg", "face.js", "face"])
def test_an_uploaded_page_or_script_is_never_shown_by_a_browser(page, name):
    border, form = "x", io.BytesIO()
    form.write(f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'.encode())
    form.write(b"Content-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--x--\r\n")
    kind = f"multipart/form-data; boundary={border}"
    status, _, answer = ask(page.url, "POST", "/gradio_api/upload", form.getvalue(), Content_Type=kind)
    assert status == 200
    status, headers, _ = ask(page.url, "GET", f"/gradio_api/file={json.loads(answer)[0]}")
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment") and "sandbox" in headers["content-security-policy"]


def test_every_answer_has_safe_headers(page):
    for method, path in (("GET", "/"), ("GET", "/config"), ("GET", "/nothing"), ("POST", "/gradio_api/upload")):
        _, headers, _ = ask(page.url, method, path)
        assert headers["x-content-type-options"] == "nosniff", path
        assert "object-src 'none'" in headers["content-security-policy"], path


@pytest.mark.parametrize("path, most", [("/", 100), ("/gradio_api/queue/data", 10), ("/face/7.png", 20)])
def test_an_address_with_too_many_parameters_is_refused_in_a_sentence(page, path, most):
    query = "&".join(f"a{i}=1" for i in range(most + 1))
    status, _, answer = ask(page.url, "GET", f"{path}?{query}")
    assert status == 400 and f"An address may have at most {most} parameters here." in answer.decode()


# 4. Icons, and 5. what acts with the owner's token.


@pytest.mark.parametrize("size", ["99999", "18000", "-1", "0", "513", "192x", "%00"])
def test_icons_have_the_sizes_that_icons_have(page, size):
    before = resident(page.process.pid)
    assert ask(page.url, "GET", f"/pwa_icon/{size}")[0] == 404
    assert resident(page.process.pid) - before < 20e6


def test_the_icons_that_the_manifest_names_are_there(page):
    for icon in json.loads(ask(page.url, "GET", "/manifest.json")[2])["icons"]:
        status, _, answer = ask(page.url, "GET", icon["src"])
        side = int(icon["sizes"].split("x")[0])
        assert status == 200 and Image.open(io.BytesIO(answer)).size == (side, side)


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/run-history/buckets"),
        ("POST", "/gradio_api/run-history/connect"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("POST", "/gradio_api/component_server"),
        ("GET", "/gradio_api/heartbeat/me"),
        ("GET", "/gradio_api/deep_link?session_hash=me"),
        ("GET", "/gradio_api/dev/reload"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/custom_component/x/client/x/x.js"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/run/seed"),
        ("GET", "/gradio_api/token"),
        ("POST", "/login"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(page, method, path):
    for host in ("127.0.0.1", "me-page.hf.space", "localhost"):
        status, _, answer = ask(page.url, method, path, b"{}" if method == "POST" else None, Host=host)
        assert status == 404 and sentence(answer) == "There is nothing at this address."


def test_the_owners_token_is_not_kept_and_run_history_is_off(page):
    assert json.loads(ask(page.url, "GET", "/config")[2])["run_history"] is False
    environment = Path(f"/proc/{page.process.pid}/environ")
    if environment.exists():  # what the process was started with stays there; what it gives to others does not
        assert SECRET.encode() in environment.read_bytes()
    source = (ROOT / "app.py").read_text()
    assert 'os.environ.pop("HF_TOKEN"' in source


# 6. Memory.


def png(width: int, height: int, colour: int) -> bytes:
    """A small file of a large picture: one grey or RGBA (colour type 0 or 6) all through."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    packer, row = zlib.compressobj(9), bytes(1 + width * (4 if colour == 6 else 1))
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_small_file_of_a_huge_picture_takes_no_memory(page, tmp_path):
    (tmp_path / "huge.png").write_bytes(png(8192, 8191, 6))
    before = peak(page.process.pid)
    with pytest.raises(AppError, match="to 16 megapixels and 16 MB, not 'huge.png'."):
        Client(page.url, verbose=False).predict(handle_file(tmp_path / "huge.png"), api_name="/project")
    assert peak(page.process.pid) - before < 100e6


def peak(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_photograph_is_decoded_small_and_looks_the_same():
    face = Image.open(ROOT / "weights/samples.png").convert("RGB").resize((4800, 4800), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    face.save(file, "JPEG", quality=95)
    with pytest.raises(ValueError, match="is more than"):
        decode_picture(file.getvalue(), 64, max_pixels=2**24)
    small = decode_picture(file.getvalue(), 64, max_pixels=2**24, draft=True)
    whole = decode_picture(file.getvalue(), 64)
    assert abs(small.astype(int) - whole).mean() < 2
    file = io.BytesIO()
    face.save(file, "JPEG", progressive=True)
    with pytest.raises(ValueError, match="is more than"):
        decode_picture(file.getvalue(), 64, max_pixels=2**24, draft=True)


# 7. Disk.


def test_the_cache_is_bounded_by_age_and_by_bytes_and_leaves_no_empty_folder(tmp_path):
    files = FileCache(tmp_path, max_bytes=10_000, max_seconds=100)
    opening = Path(files.add(b"o" * 100, "opening.png"))
    files.opened()
    old = [Path(files.add(bytes([i]) * 1000, "face.png")) for i in range(5)]
    for path in [opening, *old]:
        os.utime(path, (1, 1))
    strange = tmp_path / "deep" / "er" / "upload.bin"
    strange.parent.mkdir(parents=True)
    strange.write_bytes(b"u" * 1000)
    os.utime(strange, (1, 1))
    new = [Path(files.add(bytes([100 + i]) * 1000, "face.png")) for i in range(30)]
    files.sweep(now=True)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) <= 10_000 and opening in left and new[-1] in left
    assert not strange.exists() and not any(path.exists() for path in old)
    assert all(any(folder.iterdir()) for folder in tmp_path.iterdir())


def test_a_full_disk_leaves_no_part_of_a_file_and_says_so(tmp_path, monkeypatch):
    files = FileCache(tmp_path)
    files.opened()

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Refusal, match="The page's disk is full; try again in a while."):
        files.add(b"x", "x.png")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_folder_may_vanish_and_comes_back_with_the_opening_pictures(tmp_path):
    with Page(tmp_path) as page:
        folder = files_of(page)
        page_before = ask(page.url, "GET", "/")[2].decode()
        opening = {path for path in folder.rglob("*") if path.is_file() and str(path) in page_before}
        assert len(opening) > 20
        shutil.rmtree(folder.parent)
        for path in opening:
            assert ask(page.url, "GET", f"/gradio_api/file={path}")[0] == 200
        shutil.rmtree(folder.parent)
        assert ask(page.url, "GET", "/favicon.ico")[0] == ask(page.url, "GET", "/pwa_icon/192")[0] == 200
        status, answer = call(page, "seed", [4242, 1, "none", ""])
        drawn = json.loads(answer.split("data: ")[1])[0]["path"]
        assert status == 200 and ask(page.url, "GET", f"/gradio_api/file={drawn}")[0] == 200
        Path(drawn).unlink()
        status, _, answer = ask(page.url, "GET", f"/gradio_api/file={drawn}")
        assert status == 404 and sentence(answer) == "This file is no longer kept; draw it again."
        assert "Traceback" not in page.log()
        page.process.send_signal(signal.SIGTERM)
        assert page.process.wait(20) == 0
        assert not list(Path(page.environment["GRADIO_TEMP_DIR"]).glob("anime-faces-*"))


def test_opening_addresses_again_and_again_leaves_no_more_than_the_bound(tmp_path, browser):
    with Page(tmp_path, CACHE_MB="3") as page:
        tab = browser.new_page()
        for seed in range(4):  # of 1.7 MB each
            tab.goto(f"{page.url}/?tab=batch&first_seed={seed * 64}&count=64")
            tab.wait_for_function("typeof restored !== 'undefined' && restored")
        tab.close()
        folder = files_of(page)
        time.sleep(1)
        call(page, "seed", [1, 1, "crisp", ""])
        opening = ask(page.url, "GET", "/")[2].decode()
        sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and str(p) not in opening]
        assert sum(sizes) < 3.5 * 2**20, sum(sizes)


@pytest.mark.parametrize("value", ["lots", "-1", "0"])
def test_a_bound_that_is_none_is_refused_with_a_sentence(value):
    command, variables = [sys.executable, ROOT / "app.py"], os.environ | {"CACHE_MB": value}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip() == f"CACHE_MB must be a whole number of megabytes, at least 1, not '{value}'."


# 8. Work for nobody.


def test_what_nobody_waits_for_gives_way_to_those_who_wait(tmp_path):
    keys = ", ".join(str(seed) for seed in range(8))

    def seconds(page: Page, seed: int) -> float:
        began = time.monotonic()
        assert "event: complete" in call(page, "interpolation", [f"{seed}, {seed + 1}", 2, False, 1, ""])[1]
        return time.monotonic() - began

    with Page(tmp_path) as page:
        alone = seconds(page, 100)
        one = time.monotonic()
        assert "event: complete" in call(page, "interpolation", [keys, 48, True, 0.9, ""])[1]
        one = time.monotonic() - one
        for i in range(12):  # as many as a careless program sends, and hangs up
            body = json.dumps({"data": [keys, 48, True, 0.9 + i / 100, ""]}).encode()
            ask(page.url, "POST", "/gradio_api/call/interpolation", body, Content_Type="application/json")
        waited = seconds(page, 200)
        assert waited < alone + max(4 * one, 8), (alone, one, waited)  # twelve would take six times one on two cores
        assert "Traceback" not in page.log()


# 9. Errors.


def test_an_unexpected_fault_is_a_sentence_without_internals(tmp_path):
    for name in ("app.py", "model", "weights"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    sampling = tmp_path / "model" / "page" / "studio.py"
    sampling.write_text(
        sampling.read_text().replace(
            "(png,) = drawn.pngs(", "assert seed != 13, 'SECRET'\n        (png,) = drawn.pngs("
        )
    )
    with Page(tmp_path, app=tmp_path / "app.py") as page:
        _, answer = call(page, "seed", [13, 1, "none", ""])
        assert '"error": "Something went wrong on this page; try again in a moment."' in answer
        assert "SECRET" not in answer and "SECRET" in page.log()  # whoever runs the page sees it


@pytest.mark.parametrize(
    "path, body, words",
    [
        ("/gradio_api/call/seed", b"", "The body is not JSON."),
        ("/gradio_api/call/seed", b"[" * 60_000, "The body is not JSON."),
        ("/gradio_api/call/seed", b"[]", "The body must be a JSON object."),
        ("/gradio_api/call/seed", b'{"data": []}', "data must be a list of 4 values, in this order: seed, truncation,"),
        ("/gradio_api/call/seed", b'{"data": {}}', "data must be a list of 4 values"),
        ("/gradio_api/call/lambda", b'{"data": []}', "There is no such endpoint; there are batch, explore,"),
        ("/gradio_api/call/v2/seed", b'{"seeds": 7}', "There is no parameter 'seeds'; there are seed, truncation,"),
        ("/gradio_api/call/v2/project", b"{}", "The parameter 'picture' is missing."),
        ("/gradio_api/queue/join", b'{"data": [], "fn_index": 9999}', "fn_index must be the index of an endpoint"),
        ("/gradio_api/queue/join", b'{"data": [], "fn_index": true}', "fn_index must be the index of an endpoint"),
        ("/gradio_api/cancel", b"{}", "session_hash must be that of a call."),
    ],
)
def test_a_wrong_call_is_refused_with_a_sentence(page, path, body, words):
    status, _, answer = ask(page.url, "POST", path, body, Content_Type="application/json")
    assert status in (400, 404) and sentence(answer).startswith(words)


def test_a_body_that_is_too_large_or_never_ends_is_refused(page):
    big = json.dumps({"data": ["x" * 70_000, 1, "none", ""]}).encode()
    assert ask(page.url, "POST", "/gradio_api/call/seed", big)[0] == 413

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65_536

    for path, most in (("/gradio_api/call/seed", 2**16), ("/gradio_api/upload", 17 * 10**6)):
        sent = 0
        with socket.create_connection(("127.0.0.1", int(page.url.rsplit(":", 1)[1])), timeout=30) as line:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            line.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
            line.sendall(b'4a\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="face.png"\r\n\r\n\r\n')
            line.settimeout(0.001)
            answer = b""
            for part in endless():
                try:
                    answer = line.recv(1000)
                    break
                except TimeoutError:
                    pass
                except OSError:
                    break
                line.settimeout(20)
                try:
                    line.sendall(b"10000\r\n" + part + b"\r\n")
                except OSError:
                    break
                line.settimeout(0.001)
                sent += len(part)
                assert sent < most + 20e6
        assert not answer or b" 413 " in answer or b" 400 " in answer, answer
    assert not [path for path in files_of(page).rglob("*face.png*") if path.stat().st_size > 17e6]


# Everything at once.

TEXTS = [
    "",
    "7",
    "-1",
    "../../etc/passwd",
    "/dev/zero",
    "http://127.0.0.1:1/x",
    "\0",
    "ｆａｃｅ",
    "<script>",
    "9" * 400,
]
VALUES = [
    *TEXTS,
    None,
    True,
    -1,
    1e308,
    float("nan"),
    [],
    {},
    [[[]]],
    {"path": "/etc/passwd"},
    {"path": None},
    {"a": {}},
]


ADDRESSES = """/ /config /config/ /favicon.ico
    /manifest.json /pwa_icon /pwa_icon/{v} /static/{v} /assets/{v} /svelte/{v}
    /theme.css /robots.txt /monitoring/{v} /login /logout /gradio_api/info /gradio_api/openapi.json /{v} /?seed={v}
    /gradio_api/file={v} /gradio_api/file=http://127.0.0.1:1/{v} /gradio_api/proxy={v} /gradio_api/file/{v}
    /gradio_api/queue/data?session_hash={v} /gradio_api/queue/status /gradio_api/heartbeat/{v} /gradio_api/{v}
    /gradio_api/call/seed/{v} /gradio_api/stream/{v} /gradio_api/upload_progress?upload_id={v} /?deep_link={v}
    /gradio_api/mcp/{v} /gradio_api/startup-events /gradio_api/app_id /gradio_api/user /config?page={v} /?__theme={v}
    /?tab=explore&start={v} /gradio_api/info?all_endpoints=true /gradio_api/theme.css"""
POSTS = "queue/join cancel reset upload component_server run/seed api/seed mcp/ process_recording vibe-edit"
HEADERS = [
    {},
    {"Range": "bytes=9-1"},
    {"Range": "bytes=" + "0-1," * 500},
    {"Host": "evil.example"},
    {"X_Forwarded_Host": "evil.example"},
    {"Accept_Encoding": "br"},
    {"Cookie": "a=b"},
]


def random_requests(number: int, config: dict) -> Iterator[tuple[str, str, bytes | None, dict]]:
    rng = random.Random(0)
    names = ["seed", "strip", "batch", "interpolation", "explore", "neighbours", "project", "lambda", "load", "../seed"]
    plain, posts = ADDRESSES.split(), POSTS.split()
    encoded = [urllib.parse.quote(text, safe="") for text in TEXTS] + ["%2e%2e/%2e%2e/etc/passwd", "%ff"]
    for _ in range(number):
        value, headers = rng.choice(encoded), rng.choice(HEADERS)
        if rng.random() < 0.45:
            method = rng.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
            yield method, rng.choice(plain).replace("{v}", value), None, headers
            continue
        data = [rng.choice(VALUES) for _ in range(rng.choice([0, 1, 2, 4, 4, 5, 5, 6]))]
        body: object = {"data": data}
        if rng.random() < 0.5:
            dependency = rng.choice(config["dependencies"])
            if rng.random() < 0.8:
                data = [rng.choice(VALUES) for _ in dependency["inputs"]]
            body = {"data": data, "fn_index": dependency["id"], "session_hash": rng.choice(["me", "", None, 7, "../x"])}
            body |= {"event_data": rng.choice([None, {}, {"index": rng.choice(VALUES), "value": rng.choice(VALUES)}])}
            path = "/gradio_api/queue/join"
        else:
            path = "/gradio_api/" + rng.choice([f"call/{rng.choice(names)}", f"call/v2/{rng.choice(names)}", *posts])
            if "v2" in path:
                body = {rng.choice(["seed", "picture", "x"]): rng.choice(VALUES)}
        sent = json.dumps(rng.choice([body, body, body, body, rng.choice(VALUES)])).encode()
        sent = sent[: len(sent) // 2] if rng.random() < 0.05 else sent
        yield "POST", path, sent, headers | {"Content_Type": rng.choice(["application/json"] * 4 + ["text/plain"])}


def test_700_hostile_requests_to_all_routes_leave_the_page_as_it_was(tmp_path):
    with Page(tmp_path, HF_TOKEN=SECRET) as page:
        assert call(page, "seed", [7, 1, "none", ""])[0] == 200
        idle = resident(page.process.pid)
        config = json.loads(ask(page.url, "GET", "/config")[2])
        seen: dict[int, int] = {}
        secrets = (SECRET.encode(), b"Traceback", str(ROOT).encode(), b"site-packages", b"root:x:")
        for number, (method, path, body, headers) in enumerate(random_requests(700, config)):
            status, answered, answer = ask(page.url, method, path, body, **headers)
            if status == 200 and method == "POST" and b"event_id" in answer and "call/" in path:
                event = json.loads(answer)["event_id"]
                status, answered, answer = ask(page.url, "GET", f"{path}/{event}")
                assert b'"error": null' not in answer and b"data: null" not in answer.split(b"event: error")[-1][:20]
            seen[status] = seen.get(status, 0) + 1
            assert status < 500 or status == 503, (number, method, path, body, answer[:300])
            assert answered["x-content-type-options"] == "nosniff"
            assert not any(secret in answer for secret in secrets), (method, path, body, answer[:300])
            if b"evil" in answer and b"<title" in answer:  # the page's own address, as this request named it
                assert b"evil.example" not in ask(page.url, "GET", "/")[2]
        assert seen[200] > 50 and seen[400] > 60 and seen[404] > 60, seen
        deadline = time.monotonic() + 60
        while (
            json.loads(ask(page.url, "GET", "/gradio_api/queue/status")[2])["queue_size"]
            and time.monotonic() < deadline
        ):
            time.sleep(0.5)
        assert resident(page.process.pid) < 1.5 * idle, (idle, resident(page.process.pid))
        status, answer = call(page, "seed", [7, 1, "none", ""])
        assert "event: complete" in answer
        assert "Traceback" not in page.log(), page.log()[-3000:]
