"""The model elsewhere: ONNX in Python and JavaScript, latents without PyTorch, an endpoint; always the same faces."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import node
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hub_server import Hub
from PIL import Image

from model import Generator, latents_from_seeds, seed_of
from train import to_onnx
from train.errors import UserError
from train.output.made_from import left_out, strangers
from train.output.weights_folder import check_onnx, check_weights
from train.release import onnx_export
from train.release.card import write_card
from train.release.model_repo import model_files

ROOT = Path(__file__).resolve().parents[2]
SEEDS = list(range(16))
WITH_NODE = pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
WITH_RUNTIME = pytest.mark.skipif(
    not node.available(), reason="Node.js, npm or onnxruntime-web in reach of it is missing"
)


@pytest.fixture(scope="module")
def weights(exported, tmp_path_factory) -> Path:
    """A copy: the card is written into it."""
    return shutil.copytree(exported, tmp_path_factory.mktemp("onnx") / "weights")


@pytest.fixture(scope="module")
def faces(weights) -> np.ndarray:
    """Seeds 0 to 15 as PyTorch draws them, (16, 64, 64, 3)."""
    return np.stack([np.asarray(image) for image in Generator.from_pretrained(weights).generate(SEEDS)])


@pytest.fixture(scope="module")
def repository(weights, tmp_path_factory) -> Path:
    """The weights as the repository on the Hub that publishing makes."""
    folder = tmp_path_factory.mktemp("repository")
    for name, content in model_files(weights, "me/faces").items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder


def to_pixels(images: np.ndarray) -> np.ndarray:
    return (images * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def off(drawn: np.ndarray, faces: np.ndarray) -> int:
    """The largest difference of a pixel."""
    assert drawn.shape == faces.shape
    return int(np.abs(drawn.astype(int) - faces).max())


def test_onnxruntime_draws_the_same_in_any_batch(weights, faces):
    session = onnxruntime.InferenceSession(weights / "onnx" / "model.onnx")
    (z_input,), (output,) = session.get_inputs(), session.get_outputs()
    assert (z_input.name, z_input.type, output.name) == ("z", "tensor(float)", "images")
    assert isinstance(z_input.shape[0], str) and z_input.shape[1:] == [128] and output.shape[1:] == [3, 64, 64]
    z = latents_from_seeds(SEEDS, 128)
    with torch.inference_mode():
        expected = Generator.from_pretrained(weights)(z).numpy()
    half = onnxruntime.InferenceSession(weights / "onnx" / "model_fp16.onnx")
    for rows in (slice(0, 1), slice(3, 10), slice(0, 16)):
        images = session.run(["images"], {"z": z[rows].numpy()})[0]
        assert np.abs(images - expected[rows]).max() < 1e-4
        assert off(to_pixels(images), faces[rows]) <= 1
        assert off(to_pixels(half.run(["images"], {"z": z[rows].numpy()})[0]), faces[rows]) <= 1


def test_models_are_one_file_each_and_tell_nothing_of_this_computer(weights):
    names = {path.name for path in (weights / "onnx").iterdir()}
    assert names == {"model.onnx", "model_fp16.onnx", "latents.json", "measured.json"}
    full, half = ((weights / "onnx" / name).read_bytes() for name in ("model.onnx", "model_fp16.onnx"))
    stored = sum(t.numel() * 4 for t in Generator.from_pretrained(weights).state_dict().values())
    assert len(full) < stored + 10_000  # BatchNorm is folded
    assert len(half) < len(full) / 2 + 50_000
    for model in (full, half):
        graph = onnx.load_from_string(model)
        for tensor in graph.graph.initializer:  # among millions of numbers any word of three letters occurs
            tensor.ClearField("raw_data")
        text = graph.SerializeToString()
        # Names of what each node takes and gives, and no trace of the code that made it.
        assert len(text) < 125 * (len(graph.graph.node) + len(graph.graph.initializer))
        for word in (str(ROOT), str(Path.home()), "site-packages", ".py", "BatchNorm"):
            assert word.encode() not in text


def test_what_was_measured_is_written_down_and_on_the_card(weights):
    """The difference from the faces of generate(), by arithmetic of its own."""
    measured = json.loads((weights / "onnx" / "measured.json").read_text())
    card, seeds = write_card(weights, "me/faces").read_text(), range(measured["faces"])
    faces = np.stack([np.asarray(image) for image in Generator.from_pretrained(weights).generate(seeds)]).astype(int)
    for name in ("model.onnx", "model_fp16.onnx"):
        session = onnxruntime.InferenceSession(weights / "onnx" / name)
        drawn = to_pixels(session.run(["images"], {"z": latents_from_seeds(seeds, 128).numpy()})[0])
        difference = np.abs(drawn - faces)
        found = measured[name]
        assert found["steps"] == difference.max() <= 1 and found["largest"] < 2 / 255  # a step
        assert found["fraction"] == pytest.approx((difference > 0).mean(), abs=1e-5)
        assert (
            f"| `onnx/{name}` | {found['largest']:.1e} | {100 * found['fraction']:.2g}% | {found['steps']} of" in card
        )
    assert measured["model_fp16.onnx"]["fraction"] < 0.02 and measured["model.onnx"]["fraction"] < 1e-4


@pytest.mark.parametrize("sizes", [{"image_size": 32, "latent_dim": 20, "image_channels": 1}, {"image_size": 128}])
def test_other_sizes(tmp_path, capsys, sizes):
    torch.manual_seed(3)
    generator = Generator(base_channels=4, **sizes)
    generator(torch.randn(64, generator.latent_dim))  # fills the running statistics of BatchNorm
    generator.eval().save_pretrained(tmp_path)
    assert to_onnx.main([str(tmp_path)]) == 0, capsys.readouterr().err
    model, half = ((tmp_path / "onnx" / name).read_bytes() for name in ("model.onnx", "model_fp16.onnx"))
    assert (
        onnx_export.difference(model, generator).largest < 1e-4 and onnx_export.difference(half, generator).steps <= 1
    )
    with torch.no_grad():
        generator.layers[1].running_mean += 1
    assert onnx_export.difference(model, generator).largest > onnx_export.TOLERANCES["model.onnx"]  # the check can tell


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    Generator(base_channels=4).save_pretrained(tmp_path)
    monkeypatch.setitem(onnx_export.TOLERANCES, "model.onnx", -1.0)  # which no export can meet
    assert to_onnx.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("to_onnx: model.onnx would differ from PyTorch by ") and error.count("\n") == 1
    assert not (tmp_path / "onnx").exists()


def test_weights_that_do_not_fit_into_float16_are_not_written(tmp_path, capsys):
    generator = Generator(base_channels=16)
    with torch.no_grad():
        generator.layers[1].weight *= 1e8  # folded into the first kernel, this is past 65504;
        generator.layers[3].weight *= 1e-8  # after it all is as before
    generator.save_pretrained(tmp_path)
    assert to_onnx.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("to_onnx: model_fp16.onnx would differ") and not (tmp_path / "onnx").exists()


def test_bad_folders_are_one_sentence(tmp_path, capsys):
    Generator(base_channels=4).save_pretrained(tmp_path / "good")
    (tmp_path / "good" / "onnx").write_text("in the way")
    for folder, expected in ((tmp_path / "none", "no folder"), (tmp_path / "good", "'onnx' cannot be written there")):
        assert to_onnx.main([str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("to_onnx: weights_folder: ") and expected in error and error.count("\n") == 1


def test_an_export_of_other_weights_is_not_published(weights, tmp_path):
    folder = shutil.copytree(weights, tmp_path / "weights")
    Generator(**json.loads((weights / "config.json").read_text())).save_pretrained(tmp_path / "others")
    shutil.copy(tmp_path / "others" / "model.safetensors", folder)  # by hand: save_pretrained would remove onnx/
    check_weights(folder)
    assert not [name for name in model_files(folder) if name.startswith("onnx/")]
    assert "onnx/model.onnx, onnx/model_fp16.onnx, onnx/measured.json; make" in left_out(folder, strangers(folder))
    assert "model_fp16" not in write_card(folder, "me/others").read_text()  # measured on other weights
    with pytest.raises(UserError, match="onnx/model.onnx was made of other weights; make it anew: python -m train.to"):
        check_onnx(folder)  # where they are needed

    shutil.copy(weights / "model.safetensors", folder)
    (folder / "onnx" / "measured.json").unlink()
    with pytest.raises(UserError, match="no onnx/measured.json in .*; make it: python -m train.to"):
        model_files(folder)


def test_the_table_holds_the_latents_exactly(weights):
    table = json.loads((weights / "onnx" / "latents.json").read_text())
    assert table["seeds"] == SEEDS
    assert np.array_equal(np.array(table["z"], np.float32), latents_from_seeds(SEEDS, 128).numpy())


# The languages without PyTorch. Lengths with and without a remainder of 16.
CASES = [(seed, size) for size in (16, 31, 100, 128, 700) for seed in (0, 7, 15, 12345, 2**31, 2**32 - 1)]


def card_blocks(weights: Path, language: str) -> list[str]:
    text = write_card(weights, "me/faces").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def test_the_card_maps_seeds_to_latents_in_numpy(weights):
    (block,) = [block for block in card_blocks(weights, "python") if "def latent" in block]
    functions = {}
    exec("import numpy as np\n" + block[block.index("def uniform") : block.index("z = np.stack")], functions)
    for seed, size in CASES:
        expected = latents_from_seeds([seed], size)[0].numpy()
        assert np.abs(functions["latent"](seed, size) - expected).max() < 1e-6


@WITH_NODE
def test_javascript_maps_seeds_to_latents(repository, tmp_path):
    script = tmp_path / "latents-test.mjs"
    shutil.copy(repository / "onnx" / "latents.mjs", tmp_path)
    script.write_text("""
        import { latents } from "./latents.mjs";
        const refused = (...values) => { try { latents(...values); } catch (error) { return error.message; } };
        console.log(JSON.stringify({
            z: JSON.parse(process.argv[2]).map(([seed, size]) => [...latents(seed, size)]),
            half: [...latents(7, 128, 0.5)],
            refused: [refused(-1, 128), refused(2 ** 32, 128), refused(1.5, 128), refused(7, 8), refused(7, 128, 2)],
        }));
    """)
    answer = json.loads(node.run(script, json.dumps(CASES)))
    for (seed, size), z in zip(CASES, answer["z"]):
        assert np.abs(np.array(z) - latents_from_seeds([seed], size)[0].numpy()).max() < 1e-6
    assert np.abs(np.array(answer["half"]) - 0.5 * latents_from_seeds([7], 128)[0].numpy()).max() < 1e-6
    assert [message.split(":")[0] for message in answer["refused"]] == [*["seed"] * 3, "latentDim", "truncation"]


@WITH_RUNTIME
def test_the_javascript_of_the_card_draws_the_same_faces_in_node(weights, repository, faces, tmp_path):
    (snippet,) = card_blocks(weights, "js")
    assert "pixels(7)" in snippet
    script = tmp_path / "snippet.mjs"
    shutil.copytree(repository / "onnx", tmp_path / "onnx")
    (tmp_path / "node_modules").symlink_to(node.install())
    # The snippet as it stands, then its drawing again for the other seeds.
    script.write_text(f"""{snippet}
        import {{ writeFile }} from "node:fs/promises";
        await writeFile("7.bin", data);
        for (let seed = 0; seed < 16; seed++) await writeFile("all.bin", (await pixels(seed)).data, {{ flag: "a" }});
    """)
    node.run(script)
    drawn = np.frombuffer((tmp_path / "all.bin").read_bytes(), np.uint8).reshape(16, 64, 64, 4)
    assert off(drawn[..., :3], faces) <= 1
    assert (tmp_path / "7.bin").read_bytes() == drawn[7].tobytes()


@WITH_RUNTIME
def test_the_javascript_of_the_card_draws_on_a_plain_page(browser, weights, repository, tmp_path):
    """As it stands, in a page that holds nothing else; onnxruntime-web's mirror is played by the files of npm."""
    (snippet,) = card_blocks(weights, "html")
    shutil.copytree(repository / "onnx", tmp_path / "onnx")
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Mine</title><body>{snippet}")
    package = node.install() / "onnxruntime-web" / "dist"
    with node.served(tmp_path) as url, browser.new_page() as tab:
        mirror = "https://cdn.jsdelivr.net/npm/onnxruntime-web@"
        tab.route(f"{mirror}**", lambda route: route.fulfill(path=package / route.request.url.split("/")[-1]))
        tab.goto(url)
        canvas = tab.locator("canvas")
        canvas.wait_for(timeout=60_000)
        read = "c => [...c.getContext('2d').getImageData(0, 0, 256, 256).data]"
        drawn = np.array(canvas.evaluate(read), np.uint8).reshape(256, 256, 4)[..., :3]
    face = Generator.from_pretrained(weights).generate([seed_of("alice")])[0].resize((256, 256))
    assert np.abs(drawn.astype(int) - np.asarray(face)).mean() < 4  # enlarged by another hand


def test_the_python_of_the_card_draws_the_same_face(weights, repository, faces, tmp_path):
    (block,) = [block for block in card_blocks(weights, "python") if "onnxruntime" in block]
    with Hub() as hub:
        hub.create("me", {}, {"name": "faces"})
        names = (path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file())
        hub.repos["me/faces"].commit("main", {name: (repository / name).read_bytes() for name in names}, "all")
        env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        code = block + "\nimport sys\nassert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, timeout=100)
    with Image.open(tmp_path / "7.png") as face:
        assert off(np.asarray(face), faces[7]) <= 1


ENDPOINT = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("handler", sys.argv[1] + "/handler.py")  # as the service does
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
handler = module.EndpointHandler(sys.argv[1])
answers = []
for request in json.load(sys.stdin):
    try:
        answers.append(handler(request))
    except ValueError as error:
        answers.append(str(error))
assert not {"model", "train"} & set(sys.modules)
print(json.dumps(answers))
"""


def ask_endpoint(repository: Path, requests: list) -> list:
    """What the endpoint answers, started in an empty folder where nothing but its repository can be imported."""
    command = [sys.executable, "-I", "-c", ENDPOINT, str(repository)]
    done = subprocess.run(
        command, cwd=repository.parent, input=json.dumps(requests), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def decode(answer: list[dict]) -> np.ndarray:
    files = [Image.open(io.BytesIO(base64.b64decode(face["image"], validate=True))) for face in answer]
    assert {file.format for file in files} == {"PNG"}
    return np.stack([np.asarray(file) for file in files])


def test_the_endpoint_draws_the_same_faces(weights, repository, faces):
    half = {"truncation": 0.5}
    one, several, both, beside, alone = ask_endpoint(
        repository,
        [
            {"inputs": 7},
            {"inputs": SEEDS},
            {"inputs": {"seeds": [3, 7], **half}},
            {"inputs": [3, 7], "parameters": half},
            {"inputs": {"seeds": 3}, "parameters": half},
        ],
    )
    assert [face["seed"] for face in several] == SEEDS
    assert off(decode(several), faces) == 0 and off(decode(one), faces[7:8]) == 0
    regular = np.stack(
        [np.asarray(face) for face in Generator.from_pretrained(weights).generate([3, 7], truncation=0.5)]
    )
    assert off(decode(both), regular) == 0 and both == beside and alone == both[:1]


BAD = {
    "[]": "the request must be an object",
    "{}": "the request must be an object",
    '{"inputs": null}': "seeds: None is not a whole number",
    '{"inputs": []}': "seeds: 0 of them",
    '{"inputs": {}}': "seeds: None is not",
    '{"inputs": "7"}': "seeds: '7' is not",
    '{"inputs": 7.5}': "seeds: 7.5 is not",
    '{"inputs": true}': "seeds: True is not",
    '{"inputs": [1, -1]}': "seeds: -1 is not",
    '{"inputs": 4294967296}': "seeds: 4294967296 is not",
    '{"inputs": [[7]]}': "seeds: [7] is not",
    json.dumps({"inputs": SEEDS * 5}): "seeds: 80 of them, where 1 to 64 can be drawn",
    '{"inputs": {"seeds": [7], "truncation": 2}}': "truncation: 2 is not a number from 0 to 1.5",
    '{"inputs": {"seeds": [7], "truncation": NaN}}': "truncation: nan is not",
    '{"inputs": {"seeds": [7], "truncation": "1"}}': "truncation: '1' is not",
    '{"inputs": 7, "parameters": 0.5}': "parameters: must be an object",
    '{"inputs": {"seed": 7}}': "'seed': not an option",
}


def test_the_endpoint_refuses_in_one_sentence(repository):
    answers = ask_endpoint(repository, [json.loads(request) for request in BAD])
    for request, expected, answer in zip(BAD, BAD.values(), answers):
        assert isinstance(answer, str) and answer.startswith(expected), (request, answer)
        assert "\n" not in answer and len(answer) < 200
