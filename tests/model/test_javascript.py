"""faces.js: names, seeds and faces in Node and in Chromium are those of Python."""

import base64
import io
import json
import shutil
from pathlib import Path

import node
import numpy as np
import pytest
from PIL import Image

from model import Generator, interpolate, latents_from_seeds, seed_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = next(ROOT.glob("train/**/hub_files"))
NAMES = json.loads(Path(__file__).with_name("names.json").read_text())
PEOPLE = ["alice", " Zoë", "初音ミク", 7, "4294967295"]
WITH_NODE = pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
WITH_RUNTIME = pytest.mark.skipif(not node.available(), reason="Node.js, npm or onnxruntime-web is not to be had")


def scripts(folder: Path) -> None:
    for name in ("faces.js", "latents.mjs"):
        shutil.copy(SCRIPTS / name, folder)
    (folder / "package.json").write_text('{"type": "module"}')  # Node, not the browser, wants to be told


@pytest.fixture(scope="module")
def site(exported, tmp_path_factory) -> Path:
    """A folder of a website: the module and, beside it, the model."""
    folder = tmp_path_factory.mktemp("site")
    scripts(folder)
    shutil.copy(exported / "onnx" / "model_fp16.onnx", folder)
    (folder / "index.html").write_text("<!doctype html><title>A page</title><body></body>")
    return folder


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(ROOT / "weights")


def drawn_by_python(generator: Generator, **options) -> np.ndarray:
    return np.stack([np.asarray(face) for face in generator.generate(map(seed_of, PEOPLE), **options)]).astype(int)


def rgb(data: str, side: int) -> np.ndarray:
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(side, side, 4).astype(int)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


@WITH_NODE
def test_names_have_the_seeds_of_the_table(tmp_path):
    scripts(tmp_path)
    (tmp_path / "names.js").write_text("""
        import { seedOf } from "./faces.js";
        const refused = (name) => { try { return seedOf(name); } catch (error) { return error.message; } };
        const [names, bad] = JSON.parse(process.argv[2]);
        console.log(JSON.stringify([names.map(seedOf), [...bad, NaN, undefined, "\\ud800"].map(refused)]));
    """)
    bad = ["", " \u3000", "4294967296", "9" * 500, -1, 2**32, 1e21, 1.5, None, True]
    seeds, refused = json.loads(node.run(tmp_path / "names.js", json.dumps([[row["name"] for row in NAMES], bad])))
    assert seeds == [row["seed"] for row in NAMES]
    assert all(isinstance(answer, str) and answer.startswith(("name: ", "seed: ")) for answer in refused), refused


@WITH_RUNTIME
def test_node_draws_the_faces_that_pytorch_draws(site, generator):
    if not (site / "node_modules").exists():
        (site / "node_modules").symlink_to(node.install())
    (site / "draw.js").write_text("""
        import { face, faces, pixels } from "./faces.js";
        const code = ({ data }) => Buffer.from(data).toString("base64");
        const people = JSON.parse(process.argv[2]);
        const all = await Promise.all(people.map((name) => pixels(name))); // at once: they wait for one another
        const half = await pixels(people[0], { truncation: 0.5 });
        const lost = faces({ model: new URL("none.onnx", import.meta.url) });
        const errors = [];
        for (const wrong of [() => face("alice"), () => face("alice", { size: 0 }), () => pixels(7, { truncation: 2 }),
                             () => pixels(""), () => lost.pixels("alice")])
            await wrong().catch((error) => errors.push(error.message));
        const { width, height } = await pixels("alice"); // after errors as before
        console.log(JSON.stringify({ all: all.map(code), half: code(half), errors, width, height }));
    """)
    answer = json.loads(node.run(site / "draw.js", json.dumps(PEOPLE)))
    drawn = np.stack([rgb(data, 64) for data in answer["all"]])
    assert np.abs(drawn - drawn_by_python(generator)).max() <= 1
    assert np.abs(rgb(answer["half"], 64) - drawn_by_python(generator, truncation=0.5)[0]).max() <= 1
    assert (answer["width"], answer["height"]) == (64, 64)
    starts = [
        "face: there is no canvas here",
        "size: 0 is not",
        "truncation: 2 is not",
        "name: '' is neither",
        "ENOENT",
    ]
    assert [error[: len(start)] for error, start in zip(answer["errors"], starts)] == starts


@pytest.fixture(scope="module")
def url(site):
    with node.served(site) as url:
        yield url


DRAW = """
async ([people, options, where]) => {
    const all = await import("/faces.js");
    const { face } = where ? all.faces(where) : all;
    const drawn = [];
    for (const name of people) {
        const canvas = await face(name, options);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        drawn.push(btoa(String.fromCharCode(...data)));
    }
    return drawn;
}
"""


@WITH_RUNTIME
@pytest.mark.parametrize("how", ["nothing", "import map", "runtime"])
def test_a_plain_page_draws_the_faces_that_pytorch_draws(browser, url, site, generator, how):
    """Without a word onnxruntime-web comes from its network of mirrors, here played by the files of npm."""
    package = node.install() / "onnxruntime-web" / "dist"
    if how != "nothing" and not (site / "ort").exists():
        (site / "ort").symlink_to(package)
    with browser.new_page() as tab:
        asked = []
        tab.route(
            "https://cdn.jsdelivr.net/**",
            lambda route: (
                asked.append(route.request.url),
                route.fulfill(path=package / route.request.url.split("/")[-1]),
            ),
        )
        tab.goto(url)
        if how == "import map":
            entry = {"imports": {"onnxruntime-web": f"{url}/ort/ort.wasm.bundle.min.mjs"}}
            tab.set_content(f'<script type="importmap">{json.dumps(entry)}</script>')
        where = {"runtime": "/ort/ort.wasm.bundle.min.mjs", "model": "/model_fp16.onnx"} if how == "runtime" else None
        drawn = np.stack([rgb(data, 64) for data in tab.evaluate(DRAW, [PEOPLE, {}, where])])
        assert np.abs(drawn - drawn_by_python(generator)).max() <= 1
        assert bool(asked) == (how == "nothing")
        assert all("/npm/onnxruntime-web@" in address for address in asked)


@WITH_RUNTIME
def test_sizes_styles_and_blobs(browser, url, site, generator):
    if not (site / "ort").exists():
        (site / "ort").symlink_to(node.install() / "onnxruntime-web" / "dist")
    face = generator.generate([seed_of("alice")])[0]
    where = {"runtime": "/ort/ort.wasm.bundle.min.mjs", "model": "/model_fp16.onnx"}
    with browser.new_page() as tab:
        tab.goto(url)
        (crisp,) = tab.evaluate(DRAW, [["alice"], {"size": 128, "style": "crisp"}, where])
        (smooth,) = tab.evaluate(DRAW, [["alice"], {"size": 128}, where])
        blob = tab.evaluate(
            """async (where) => {
            const { faces } = await import("/faces.js");
            const blob = await faces(where).face("alice", { as: "blob" });
            return [blob.type, btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())))];
        }""",
            where,
        )
        refused = tab.evaluate("""async () => {
            const { face } = await import("/faces.js"), said = [];
            for (const options of [{ size: 4096 }, { style: "sharp" }, { as: "gif" }])
                await face("alice", options).catch((error) => said.push(error.message));
            return said;
        }""")
    large = np.asarray(face.resize((128, 128), Image.Resampling.NEAREST)).astype(int)
    assert np.abs(rgb(crisp, 128) - large).max() <= 1
    assert 0 < np.abs(rgb(smooth, 128) - large).mean() < 15
    with Image.open(io.BytesIO(base64.b64decode(blob[1]))) as opened:
        assert (blob[0], opened.format) == ("image/png", "PNG")
        assert np.abs(np.asarray(opened.convert("RGB")).astype(int) - np.asarray(face)).max() <= 1
    assert [message.split(":")[0] for message in refused] == ["size", "style", "as"]


@WITH_RUNTIME
def test_what_lies_between_two_faces_is_a_face(site, generator):
    if not (site / "node_modules").exists():
        (site / "node_modules").symlink_to(node.install())
    (site / "between.js").write_text("""
        import { latent, pixels, slerp } from "./faces.js";
        const z = slerp(await latent("alice"), await latent(7), 0.3);
        const refused = await pixels(z.slice(1)).catch((error) => error.message);
        console.log(JSON.stringify([Buffer.from((await pixels(z)).data).toString("base64"), refused]));
    """)
    drawn, refused = json.loads(node.run(site / "between.js"))
    z = interpolate(latents_from_seeds([seed_of("alice"), 7], 128), 10)[3:4]
    assert np.abs(rgb(drawn, 64) - np.asarray(generator.generate(z=z)[0]).astype(int)).max() <= 1
    assert refused == "latent: it is not 128 finite numbers, as latent() gives them"
