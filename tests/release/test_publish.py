"""Publishing to a Hub and loading from it, with the real client against a Hub on the loopback interface."""

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save, save_file

from model import Discriminator, Generator, image_grid, interpolate, latents_from_seeds
from model.directions import weights_digest
from model.wheel import wheel_name
from train import publish
from train.output.made_from import made_from, strangers
from train.output.pictures import save_pictures
from train.output.weights_folder import save_weights
from train.release.card import make_card, write_card

ROOT = Path(__file__).resolve().parents[2]
TOKEN, YOURS, ID = "hf_secretOfMine", "hf_secretOfYours", "me/anime-dcgan"
PICTURES = ["samples.png", "interpolation.png", "losses.png", "progress.webp"]
UPLOADED = {"README.md", "config.json", "training.json", "metrics.json", *PICTURES}
UPLOADED |= {"model.safetensors", "discriminator.safetensors"}
CODE = {f"anime_dcgan/{path.name}": path for path in (ROOT / "model").glob("*.py")}
WHEEL = wheel_name()
ALONGSIDE = {"LICENSE": ROOT / "LICENSE", "handler.py": ROOT / "train" / "release" / "hub_files" / "handler.py", **CODE}
TRAINING = {
    "kimg": 500.0,
    "images_seen": 500_032,
    "dataset": {
        "name": "anime-faces.zip",
        "images": 21551,
        "found": 21560,
        "duplicates": 7,
        "unreadable": 2,
        "provenance": "Faces cut from two public collections.",
    },
    "config": {
        "loss": "rp",
        "augment": "color,translation",
        "learning_rate": 4e-4,
        "resolution": 64,
        "ema_kimg": 20.0,
        "train_data_dir": "/home/someone/anime-faces.zip",
    },
    "parameters": {"generator": 3576704, "discriminator": 1234},
    "hours": 2.5,
    "device": "cpu",
    "img_per_s": 90.5,
    "versions": {"torch": "2.13.0", "accelerate": "1.15.0"},
}
METRICS = {
    "feature_extractor": "encoder.pt",
    "num_samples": 10000,
    "num_reference": 21551,
    "reference": "/home/someone/anime-faces.zip",
    "truncation": 1.0,
    "kimg": 500.0,
    "fd": 31.25,
    "kid": 1.5,
    "precision": 0.75,
    "recall": 0.5,
    "density": 0.875,
    "coverage": 0.625,
    "nearest": 0.96,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A weights folder as the trainer leaves it, of a tiny generator, with things beside it that must not go out."""
    torch.manual_seed(3)
    generator = Generator(base_channels=4)
    generator(torch.randn(64, 128))  # fills the running statistics of BatchNorm
    folder = tmp_path_factory.mktemp("trained")
    generator.save_pretrained(folder)
    save_file(Discriminator(base_channels=4).state_dict(), folder / "discriminator.safetensors")
    grid = image_grid(generator.generate(range(4)))  # as of an earlier version, nothing here says of which weights
    path = interpolate(latents_from_seeds([0, 1], 128), 10)
    image_grid(generator.generate(z=path), columns=11).save(folder / "interpolation.png")
    for name in ("samples.png", "losses.png", "progress.webp"):
        grid.save(folder / name)
    (folder / "training.json").write_text(json.dumps(TRAINING))
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    for name in ("pytorch_model.bin", "optimizer.pt", ".env", "notes.txt", "checkpoint/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"private")
    return folder


@pytest.fixture
def weights(trained, tmp_path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(trained, tmp_path / "weights")


@pytest.fixture(scope="module")
def hub():
    """One Hub for all tests, each with repositories of its own."""
    with Hub({TOKEN: "me", YOURS: "you"}) as server:
        yield server


def environment(url: str, home: Path, token: str | None = TOKEN, **more: str) -> dict[str, str]:
    """What the client reads when it is imported."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    env |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return env | ({"HF_TOKEN": token} if token else {}) | more


def start(env: dict[str, str], *command: str | Path, **pipes) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes
    return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=env, text=True, **pipes)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    assert "hf_secret" not in out + err
    return process.returncode, out.strip(), err.strip()


def cli(env: dict[str, str], *arguments: str | Path) -> tuple[int, str, str]:
    return finish(start(env, "-m", "train.publish", *arguments))


SESSION = """
import contextlib, io, json, os, sys
from train import publish
for line in sys.stdin:
    token, arguments = json.loads(line)
    os.environ["HF_TOKEN"] = token
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = publish.main(arguments)
    print(json.dumps([status, out.getvalue().strip(), err.getvalue().strip()]), flush=True)
"""


@pytest.fixture(scope="module")
def session(hub, tmp_path_factory):
    """The command line again and again in one process, as importing it takes longer than its work."""
    home = tmp_path_factory.mktemp("home")
    with open(home / "log", "w") as log:
        process = start(environment(hub.url, home), "-c", SESSION, stdin=subprocess.PIPE, stderr=log)

    def publish_as(token: str | None, *arguments: str | Path) -> tuple[int, str, str]:
        process.stdin.write(json.dumps([token or "", list(map(str, arguments))]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, (home / "log").read_text()
        assert "hf_secret" not in answer + (home / "log").read_text()
        return tuple(json.loads(answer))

    yield publish_as
    process.communicate(timeout=30)


def run_python(env: dict[str, str], code: str, *arguments: str) -> dict:
    """Run code that prints one JSON object."""
    status, out, err = finish(start(env, "-c", code, *arguments))
    assert status == 0, err
    return json.loads(out.splitlines()[-1])


def digest(tensors: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(tensors[k].numpy().tobytes() for k in sorted(tensors))).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def only_sentence(err: str) -> str:
    """The error, which must be a single line: why, and how to try again."""
    lines = [line for line in err.splitlines() if line.startswith("publish: ")]
    assert len(lines) == 1 and err.endswith(lines[0]), err
    return lines[0]


PULL = """
import hashlib, json, sys
from huggingface_hub import ModelCard
from model import Generator
digest = lambda state: hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state))).hexdigest()
answer = {}
for revision in sys.argv[2:]:
    generator = Generator.from_pretrained(sys.argv[1], revision=revision)
    answer[revision] = digest(generator.state_dict())
answer["pixels"] = hashlib.sha256(generator.generate([7])[0].tobytes()).hexdigest()
print(json.dumps(answer))
"""

FINE_TUNE = """
import json, sys
from train.config import TrainConfig
from train.run.setup import build_networks, load_networks
config = TrainConfig(train_data_dir="faces.zip", g_channels=4, d_channels=4)
print(json.dumps(load_networks(sys.argv[1], *build_networks(config))))
"""

CARD = """
import json, sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
fields = "metric_type", "metric_value", "metric_name", "dataset_name", "metric_args"
results = [[getattr(result, field) for field in fields] for result in card.data.eval_results]
print(json.dumps({"content": card.content, "license": card.data.license, "task": card.data.pipeline_tag,
                  "library": card.data.library_name, "results": results}))
"""


def test_what_is_pushed_comes_back(hub, session, weights, tmp_path):
    env = environment(hub.url, tmp_path / "home")
    status, url, err = cli(env, weights, "--hub_model_id", ID)
    assert status == 0, err
    repo = hub.repos[ID]
    sha = repo.refs["main"]
    assert url == f"{hub.url}/{ID}/commit/{sha}"
    assert repo.messages == ["initial commit", "Upload the generator"]  # one commit
    assert repo.files().keys() - {".gitattributes"} == UPLOADED | ALONGSIDE.keys() | {WHEEL}
    assert all(repo.files()[name] == path.read_bytes() for name, path in ALONGSIDE.items())
    as_they_are = UPLOADED - {"README.md", "training.json", "metrics.json"}  # these hold folders of this computer
    assert all(repo.files()[name] == (weights / name).read_bytes() for name in as_they_are)
    assert not any(b"/home/someone" in data for data in repo.files().values())
    assert "[PytorchModelHubMixin]" in (weights / "README.md").read_text()  # publishing wrote nothing here
    assert not any(TOKEN.encode() in data for data in repo.files().values())
    assert not repo.private

    # Elsewhere: by name and by commit, equal bits, the same face.
    elsewhere = environment(hub.url, tmp_path / "elsewhere", token=None)
    pulled = run_python(elsewhere, PULL, ID, "main", sha)
    local = Generator.from_pretrained(weights)
    assert pulled["main"] == pulled[sha] == digest(local.state_dict())
    assert pulled["pixels"] == hashlib.sha256(local.generate([7])[0].tobytes()).hexdigest()

    assert run_python(elsewhere, FINE_TUNE, ID) == f"generator and discriminator of '{ID}'"

    # By commit a second time: nothing is asked.
    asked = len(hub.requests)
    assert run_python(elsewhere, PULL, ID, sha)[sha] == pulled[sha]
    assert hub.requests[asked:] == []

    # The card as the client reads it.
    card = run_python(elsewhere, CARD, ID)
    assert card["content"] == repo.files()["README.md"].decode()
    ours = write_card(weights, ID).read_text().replace("https://huggingface.co/me", f"{hub.url}/me")
    assert card["content"].partition("<!--")[0] == ours.partition("<!--")[0]
    assert (card["license"], card["library"], card["task"]) == ("mit", "anime-dcgan", "unconditional-image-generation")
    values = {kind: value for kind, value, *_ in card["results"]}
    names = ("precision", "recall", "density", "coverage")
    expected = {"frechet_distance": 31.25, "kernel_distance": 1.5, "nearest_distance_ratio": 0.96}
    assert values == expected | {name: METRICS[name] for name in names}
    for _, _, name, dataset, arguments in card["results"]:
        assert "encoder.pt" in name and "10,000" in name and "21,551" in name
        assert dataset == "anime-faces.zip"
        assert arguments["num_samples"] == 10000 and arguments["feature_extractor"] == "encoder.pt"

    # Nothing has changed: no commit.
    status, again, err = session(TOKEN, weights, "--hub_model_id", ID)
    assert (status, again) == (0, url) and len(repo.messages) == 2, err


def test_a_release_has_a_tag_and_what_is_gone_goes(hub, session, weights):
    name = "me/released"
    assert session(TOKEN, weights, "--hub_model_id", name, "--tag", "v1")[0] == 0
    repo = hub.repos[name]
    assert repo.tags == {"v1"} and repo.refs["v1"] == repo.refs["main"]

    (weights / "metrics.json").unlink()
    (weights / "directions.safetensors").write_bytes((weights / "model.safetensors").read_bytes())
    evidence = json.loads((ROOT / "weights" / "directions.json").read_text())
    evidence["weights"] = hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()
    (weights / "directions.json").write_text(json.dumps(evidence))
    status, _, err = session(TOKEN, weights, "--hub_model_id", name, "--tag", "v1")
    assert status == 1 and "--tag: 'v1' exists already in 'me/released'" in only_sentence(err)
    assert repo.refs["v1"] == repo.refs["main"] and len(repo.messages) == 2

    repo.files()["notes.md"] = b"written on the Hub"
    repo.files()["anime_dcgan-0.0.1-py3-none-any.whl"] = b"of an earlier version"
    assert session(TOKEN, weights, "--hub_model_id", name, "--tag", "v2")[0] == 0
    assert repo.files("v1").keys() - repo.files("v2").keys() == {"metrics.json", "anime_dcgan-0.0.1-py3-none-any.whl"}
    assert repo.files("v2").keys() - repo.files("v1").keys() == {"directions.safetensors", "directions.json"}
    assert b"## Directions" in repo.files("v2")["README.md"] and "notes.md" in repo.files("v2")

    # The same release under another name: a tag, and no commit.
    assert session(TOKEN, weights, "--hub_model_id", name, "--tag", "v2.1")[0] == 0
    assert repo.refs["v2.1"] == repo.refs["v2"] and len(repo.messages) == 3


def test_branches_and_pull_requests(hub, session, weights, tmp_path):
    name = "me/branches"
    words = ("--hub_revision", "next", "--commit_message", "Try more")
    status, _, err = session(TOKEN, weights, "--hub_model_id", name, *words)
    assert status == 0, err
    repo = hub.repos[name]
    assert repo.messages == ["initial commit", "Try more"]
    assert repo.files("next").keys() >= UPLOADED and "model.safetensors" not in repo.files("main")

    # Somebody else, who may not write, offers a pull request; the owner adds to it.
    status, url, err = session(YOURS, weights, "--hub_model_id", name, "--create_pr")
    assert (status, url) == (0, f"{hub.url}/{name}/discussions/1"), err
    assert repo.files("refs/pr/1").keys() >= UPLOADED and "model.safetensors" not in repo.files("main")
    # What the card says is true where it lies.
    assert 'from_pretrained("me/branches", revision="next")' in repo.files("next")["README.md"].decode()
    assert "hf download me/branches --revision next " in repo.files("next")["README.md"].decode()
    card = repo.files("refs/pr/1")["README.md"].decode()
    assert 'from_pretrained("me/branches", revision="refs/pr/1")' in card and "once it is merged" in card
    assert card.count('"me/branches"') == len(re.findall(r'"me/branches"[^)]*, revision="refs/pr/1"\)', card)) > 0
    (weights / "metrics.json").unlink()
    status, _, err = session(TOKEN, weights, "--hub_model_id", name, "--hub_revision", "refs/pr/1")
    assert status == 0 and b"Results" not in repo.files("refs/pr/1")["README.md"], err
    pulled = run_python(environment(hub.url, tmp_path / "elsewhere"), PULL, name, "next", "refs/pr/1")
    assert pulled["next"] == pulled["refs/pr/1"] == digest(load_file(weights / "model.safetensors"))

    # Of what is there already nobody needs to be asked.
    assert session(TOKEN, weights, "--hub_model_id", name, "--hub_revision", "main")[0] == 0
    assert 'revision="' not in repo.files()["README.md"].decode()
    before = len(repo.messages), repo.refs.copy()
    status, out, err = session(YOURS, weights, "--hub_model_id", name, "--create_pr")
    assert (status, out) == (0, f"'{name}' holds all of it already; no pull request was opened"), err
    assert (len(repo.messages), repo.refs) == before

    status, _, err = session(TOKEN, weights, "--hub_model_id", name, "--hub_revision", "refs/pr/9")
    assert status == 1 and "--hub_revision: there is no 'refs/pr/9'" in only_sentence(err)


def test_whichever_answer_is_lost_the_printed_command_does_the_rest(hub, session, trained, tmp_path):
    """The Hub goes away at each request in turn, and does what it was asked last."""
    weights, left, done = tmp_path / "weights", 0, False
    save_weights(Generator.from_pretrained(trained), Discriminator(base_channels=4), weights, TRAINING)
    while not done:
        name = f"me/lost-{left}"
        arguments = [weights, "--hub_model_id", name, "--tag", "v1", "--hub_private_repo", "--space", f"{name}-page"]
        for file in weights.glob("*.safetensors"):  # to be sent each time
            hub.blobs.pop(hashlib.sha256(file.read_bytes()).hexdigest(), None)
        hub.left = left
        status, out, err = session(TOKEN, *arguments)
        hub.left, done = None, status == 0
        if not done:
            words = shlex.split(only_sentence(err).partition("to retry: ")[2])
            assert words == ["python", "-m", "train.publish", *map(str, arguments)]
            status, out, err = session(TOKEN, *words[3:])
            assert status == 0, err
        repo, page = hub.repos[name], hub.repos[f"spaces/{name}-page"]
        assert repo.messages == ["initial commit", "Upload the generator"] and repo.refs["v1"] == repo.refs["main"]
        assert page.messages == ["initial commit", "Upload the page"] and page.private
        assert page.variables == {"MODEL_ID": name, "MODEL_REVISION": repo.refs["main"]}
        assert [line.rpartition("/")[2] for line in out.splitlines()] == [repo.refs["v1"], page.refs["main"]]
        left += 1
    assert left > 15


def test_what_is_of_other_weights_is_left_out(hub, session, weights, tmp_path):
    name, folder = "me/mixed", weights
    (folder / "faces.safetensors").write_bytes(save({"z": torch.zeros(1)}, {"weights": "0" * 64}))
    (folder / "metrics.json").write_text(json.dumps(METRICS | {"weights": weights_digest(folder)}))
    status, _, err = session(TOKEN, folder, "--hub_model_id", name)
    assert status == 0 and err.startswith(f"left out of '{folder}', because they are of other weights: faces.safet"), (
        err
    )
    assert hub.repos[name].files().keys() >= UPLOADED and "faces.safetensors" not in hub.repos[name].files()

    # Other weights beside all of it: neither what says so nor what says nothing is theirs.
    Generator(base_channels=4).save_pretrained(tmp_path / "others")
    shutil.copy(tmp_path / "others" / "model.safetensors", folder)
    status, _, err = session(TOKEN, folder, "--hub_model_id", name)
    assert status == 0 and "training.json, metrics.json, samples.png" in err, err
    files = hub.repos[name].files()
    assert files.keys() - {".gitattributes"} == {"README.md", "config.json", "model.safetensors", WHEEL, *ALONGSIDE}
    for words in (b"none was picked", b"## Results", b"## Training", b"discriminator"):
        assert words not in files["README.md"]
    status, out, _ = session(TOKEN, folder, "--hub_model_id", name, "--dry_run")
    assert {line.split()[1] for line in out.splitlines()[1:]} == files.keys() - {".gitattributes"}


def test_what_the_trainer_leaves_says_of_which_weights_it_is(trained, tmp_path):
    generator, folder = Generator.from_pretrained(trained), tmp_path / "weights"
    save_weights(generator, Discriminator(base_channels=4), folder, TRAINING, METRICS)
    line = {"kimg": 1.0, "loss_d": 1.0, "loss_g": 1.0, "accuracy_real": 0.5, "accuracy_fake": 0.5}
    save_pictures(generator, folder, [line], [trained / "samples.png"])
    names = {*UPLOADED, "discriminator.safetensors"} - {"README.md", "config.json", "model.safetensors"}
    assert {name: made_from(folder / name) for name in names} == dict.fromkeys(names, weights_digest(folder))
    assert strangers(folder) == []
    with torch.no_grad():
        generator.layers[1].weight *= 1.01
    generator.save_pretrained(tmp_path / "later")
    shutil.copy(tmp_path / "later" / "model.safetensors", folder)
    assert set(strangers(folder)) == names


def test_a_list_that_nobody_reads_to_its_end():
    code = "from train.errors import run; raise SystemExit(run(lambda: print('a file'), 'publish'))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
        process.stdout.close()  # as head does
        assert process.stderr.read() == "" and process.wait(60) == 128 + 13


def test_private_repositories(hub, session, weights):
    name = "me/secret"
    status, _, err = session(TOKEN, weights, "--hub_model_id", name, "--hub_private_repo")
    assert status == 0 and hub.repos[name].private, err
    assert session(TOKEN, weights, "--hub_model_id", name, "--hub_private_repo")[0] == 0
    hub.repos[name].private = False
    before = dict(hub.repos[name].commits)
    (weights / "metrics.json").unlink()
    status, _, err = session(TOKEN, weights, "--hub_model_id", name, "--hub_private_repo")
    assert status == 1 and "--hub_private_repo" in only_sentence(err) and hub.repos[name].commits == before


@pytest.mark.parametrize(
    "token, arguments, expected",
    [
        (None, ("me/new",), "HF_TOKEN: no token"),
        ("hf_secretThatIsWrong", ("me/new",), "HF_TOKEN: the Hub does not accept this token"),
        (TOKEN, ("you/new",), "--hub_model_id: this token may not write to 'you/new'"),
        (TOKEN, ("you/new", "--create_pr"), "--hub_model_id: there is no 'you/new'"),
        (TOKEN, ("you/new", "--hub_revision", "refs/pr/1"), "--hub_model_id: there is no 'you/new'"),
    ],
)
def test_refusals_of_the_hub_are_one_sentence(hub, session, weights, token, arguments, expected):
    write_card(weights, arguments[0])
    files, repos = contents(weights), set(hub.repos)
    status, out, err = session(token, weights, "--hub_model_id", *arguments)
    sentence = only_sentence(err)
    assert status == 1 and not out and sentence.startswith(f"publish: {expected}"), err
    retry = sentence.partition("to retry: ")[2]
    assert retry == f"python -m train.publish {weights} --hub_model_id {' '.join(arguments)}"
    assert contents(weights) == files and set(hub.repos) == repos


def test_failing_hubs_are_one_sentence_in_bounded_time(hub, session, weights, tmp_path):
    name = "me/later"
    write_card(weights, name)
    hub.broken.add("/commit/")
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as dead:
        addresses = {"silent": silent, "dead": dead}
        urls = {key: f"http://127.0.0.1:{server.getsockname()[1]}" for key, server in addresses.items()}
        dead.close()
        cases = (
            ("dead", environment(urls["dead"], tmp_path), "HF_ENDPOINT: "),
            ("silent", environment(urls["silent"], tmp_path), "HF_ENDPOINT: "),
            ("offline", environment(hub.url, tmp_path, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE: "),
            ("broken", environment(hub.url, tmp_path), "error 500 (Something went wrong for Bearer ***)"),
        )
        started = time.monotonic()
        running = {}
        for key, env, _ in cases:
            folder = shutil.copytree(weights, tmp_path / key)
            running[key] = start(env, "-m", "train.publish", folder, "--hub_model_id", name)
        for key, _, expected in cases:
            status, _, err = finish(running[key])
            sentence = only_sentence(err)
            assert status == 1 and expected in sentence
            assert time.monotonic() - started < 90  # on a busy computer; the longest wait by itself is 10 s
            assert contents(tmp_path / key) == contents(weights)
    assert hub.repos[name].messages == ["initial commit"]  # half of it arrived, none of it shows

    # The command that was printed does it once the Hub is well.
    hub.broken.clear()
    retry = sentence.partition("to retry: python -m train.publish ")[2].split()
    assert session(TOKEN, *retry)[0] == 0
    assert hub.repos[name].files().keys() >= UPLOADED


def test_a_pickle_on_the_hub_is_refused(hub, tmp_path):
    env = environment(hub.url, tmp_path / "home")
    config = json.dumps({"base_channels": 4}).encode()
    hub.create("me", {}, {"name": "old"})
    hub.repos["me/old"].commit("main", {"config.json": config, "pytorch_model.bin": b"\x80\x04."}, "a pickle")
    code = """
import json
from model import Generator
try:
    Generator.from_pretrained("me/old")
except ValueError as error:
    print(json.dumps({"error": str(error)}))
"""
    message = run_python(env, code)["error"]
    assert message == "'me/old' has no model.safetensors, and a pickle is not loaded; ask its author for safetensors"
    assert not [request for request in hub.requests if "pytorch_model.bin" in request]


def damage(folder: Path, kind: str) -> None:
    file, config = folder / "model.safetensors", folder / "config.json"
    state = load_file(file)
    name = "layers.1.running_mean"
    if kind == "missing tensor":
        del state[name]
    elif kind == "extra tensor":
        state["layers.1.more"] = torch.zeros(2)
    elif kind == "wrong shape":
        state[name] = state[name][:-1].clone()
    elif kind == "not finite":
        state[name][0] = float("nan")
    save_file(state, file)
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif kind == "a pickle by that name":
        torch.save(state, file)
    elif kind == "only a pickle":
        file.rename(folder / "pytorch_model.bin")
    elif kind == "huge config":
        config.write_text(json.dumps({"base_channels": 4096, "image_size": 128, "latent_dim": 4096}))
    elif kind == "absurd config":
        config.write_text(json.dumps({"base_channels": 100000}))
    elif kind == "text in config":
        config.write_text(json.dumps({"base_channels": "4"}))
    elif kind == "size in config":
        config.write_text(json.dumps({"base_channels": 4, "image_size": 50}))


@pytest.mark.parametrize(
    "kind, expected",
    {
        "missing tensor": "model.safetensors does not fit config.json: tensor 'layers.1.running_mean'",
        "extra tensor": "model.safetensors does not fit config.json: tensor 'layers.1.more'",
        "wrong shape": "model.safetensors does not fit config.json: tensor 'layers.1.running_mean'",
        "not finite": "model.safetensors holds numbers that are not finite, in tensor 'layers.1.running_mean'",
        "truncated": "model.safetensors is damaged",
        "a pickle by that name": "model.safetensors is damaged",
        "only a pickle": "has no model.safetensors, and a pickle is not loaded",
        "huge config": "model.safetensors does not fit config.json: tensor 'layers.0.weight'",
        "absurd config": "base_channels: 100000 is not",
        "text in config": "base_channels: '4' is not",
        "size in config": "image_size: 50 is not one of",
    }.items(),
)
def test_broken_weights_are_neither_loaded_nor_published(weights, capsys, kind, expected):
    damage(weights, kind)
    with pytest.raises(ValueError) as loading:
        Generator.from_pretrained(weights)
    assert expected in str(loading.value) and "\n" not in str(loading.value)
    before = contents(weights)
    assert publish.main([str(weights), "--hub_model_id", ID]) == 2
    sentence = only_sentence(capsys.readouterr().err.strip())
    assert (expected if kind != "only a pickle" else "weights_folder: no model.safetensors") in sentence
    assert contents(weights) == before


@pytest.mark.parametrize("kind", ["truncated", "not finite"])
def test_a_broken_discriminator_is_not_published(weights, capsys, kind):
    file = weights / "discriminator.safetensors"
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        save_file(load_file(file) | {"layers.0.bias": torch.full((4,), float("nan"))}, file)
    assert publish.main([str(weights), "--hub_model_id", ID]) == 2
    assert "discriminator.safetensors is damaged" in only_sentence(capsys.readouterr().err.strip())


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["{folder}"], "--hub_model_id: give the repository"),
        (["{folder}", "--hub_model_id", "anime-dcgan"], "--hub_model_id: 'anime-dcgan' is not 'name/model'"),
        (["{folder}", "--hub_model_id", "me/a/b"], "--hub_model_id: 'me/a/b'"),
        (["{folder}", "--hub_model_id", "me/white space"], "--hub_model_id: 'me/white space'"),
        (["{folder}", "--hub_model_id", ID, "--hub_revision", "x", "--create_pr"], "--create_pr: "),
        (["{folder}", "--hub_model_id", ID, "--hub_revision", "0" * 40], "--hub_revision: '0000"),
        (["{folder}", "--hub_model_id", ID, "--tag", "v 1"], "--tag: 'v 1' is not a name"),
        (["{folder}", "--hub_model_id", ID, "--tag", "v1", "--create_pr"], "--tag: "),
        (["{folder}", "--hub_model_id", ID, "--commit_message", ""], "--commit_message: it is empty; give a value"),
        (["{folder}", "--hub_model_id", ID, "--tag", " "], "--tag: it is empty"),
        (["{folder}", "--hub_model_id", ID, "--space", ""], "--space: it is empty"),
        (["{folder}", "--card_only", "--dry_run"], "--dry_run: it writes nothing; leave out --card_only"),
        (["{folder}", "--space", "me/a", "--static_space", "me/a"], "--static_space: 'me/a' is the Space of the other"),
        (["{folder}", "--space", "faces"], "--space: 'faces' is not 'name/space'"),
        (["{folder}/nowhere", "--hub_model_id", ID], "weights_folder: no folder"),
        (["{folder}/checkpoint", "--card_only"], "weights_folder: no config.json"),
    ],
)
def test_bad_arguments_are_one_sentence(weights, capsys, arguments, expected):
    assert publish.main([argument.format(folder=weights) for argument in arguments]) == 2
    assert only_sentence(capsys.readouterr().err.strip()).startswith(f"publish: {expected}")


def test_the_card_tells_what_is_there(weights):
    text = write_card(weights, ID).read_text()
    for phrase in (
        'Generator.from_pretrained("me/anime-dcgan")',
        "anime-faces.zip: 21,551 images were used of 21,560 found (7 exact duplicates dropped, 2 unreadable)",
        "Faces cut from two public collections.",
        "500,032 images were seen in 2.5 hours on cpu at 90 images a second, with torch 2.13.0, accelerate 1.15.0.",
        "The weights are a moving average",
        "| `learning_rate` | 0.0004 | ",
        "| `loss` | rp | ",
        "| `augment` | color,translation | ",
        "| Fréchet distance | 31.25 | lower is better |",
        "10,000 drawn faces at truncation 1.0 against 21,551 images of anime-faces.zip, in the features of encoder.pt",
        "MIT licence",
        "belong to their artists",
    ):
        assert phrase in text
    assert "/home/someone" not in text and "train_data_dir" not in text  # no folders of this computer
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert sorted(pictures) == sorted(PICTURES)
    assert "\n\n\n" not in text

    # Only what exists is spoken of.
    for name in ("training.json", "metrics.json", *PICTURES[1:]):
        (weights / name).unlink()
    text = write_card(weights).read_text()
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == ["samples.png"]
    assert "## Results" not in text and "## Training" not in text
    assert ModelCard(text).data.eval_results is None


@pytest.mark.parametrize("way", ["by its address", "by hf download"])
def test_whoever_follows_the_card_draws_a_face(hub, session, weights, tmp_path, way):
    """Its commands and snippets as they stand, in an empty folder that knows nothing of this repository."""
    name, folder, private = "me/found", tmp_path / "empty", way == "by hf download"
    folder.mkdir()
    arguments = ("--hub_model_id", name + "-private" * private, *["--hub_private_repo"] * private)
    assert session(TOKEN, weights, *arguments)[0] == 0
    name = arguments[1]
    card = hub.repos[name].files()["README.md"].decode()
    env = environment(hub.url, tmp_path / "home", token=TOKEN if private else None)
    env |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(folder / "site")}
    lines = [text.strip() for text in re.findall(r"```sh\n(.*?)```", card, re.S)[:2]]
    assert lines[0] == f"pip install {hub.url}/{name}/resolve/main/{WHEEL}" and lines[1].startswith("hf download ")
    # What it needs is here already, and no index can be asked.
    line = f"{lines[private]} --no-deps --no-index --target site"
    subprocess.run(["bash", "-ec", line], cwd=folder, env=env, check=True, timeout=100)
    (folder / "draw.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", card, re.S)))
    subprocess.run([sys.executable, "-P", "draw.py"], cwd=folder, env=env, check=True, timeout=100)
    with Image.open(folder / "7.png") as face:
        assert face.tobytes() == Generator.from_pretrained(weights).generate([7])[0].tobytes()


def test_a_card_that_is_not_for_the_hub_speaks_of_its_folder(weights, tmp_path):
    text = write_card(weights).read_text()
    assert "hf download" not in text and "hf_hub_download" not in text
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S)).replace("anime_dcgan", "model")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=weights.parent, env=env, check=True, timeout=100)
    assert (weights.parent / "7.png").is_file()


def test_both_cards_tell_the_hub_the_same_and_from_one_copy(weights):
    short, full = ModelCard((weights / "README.md").read_text()).data, make_card(weights).data
    assert "[PytorchModelHubMixin]" in (weights / "README.md").read_text()
    for name in ("license", "library_name", "pipeline_tag"):
        assert getattr(short, name) == getattr(full, name)
    assert set(full.tags) <= set(short.tags) and "anime" in full.tags
    sources = [*ROOT.glob("model/*.py"), *ROOT.glob("train/**/*.py")]
    assert [path.name for path in sources if '"image-generation"' in path.read_text()] == ["card.py"]


def test_a_card_for_a_branch_is_written_for_it(weights, capsys):
    assert publish.main([str(weights), "--card_only", "--hub_model_id", ID, "--hub_revision", "next"]) == 0
    assert 'from_pretrained("me/anime-dcgan", revision="next")' in (weights / "README.md").read_text()


def test_only_inception_makes_an_fid(weights):
    def kinds() -> dict[str, float]:
        return {result.metric_type: result.metric_value for result in make_card(weights).data.eval_results}

    assert not {"fid", "kid"} & kinds().keys()
    (weights / "metrics.json").write_text(json.dumps(METRICS | {"feature_extractor": "inception-v3, 2048 features"}))
    assert kinds()["fid"] == 31.25 and kinds()["kid"] == 1.5


def test_a_card_edited_by_hand_is_kept(weights):
    card = write_card(weights)
    assert "[More Information Needed]" not in card.read_text()  # the stub of save_pretrained gave way
    first = card.read_text()
    write_card(weights, ID)
    assert card.read_text() != first  # written anew with the new name
    for edited in (
        card.read_text().replace("## Limits", "## What it cannot do"),
        card.read_text() + "More.\n",
        "Mine.\n",
    ):
        card.write_text(edited)
        assert write_card(weights, "me/other").read_text() == edited
    card.unlink()
    assert 'from_pretrained("me/other")' in write_card(weights, "me/other").read_text()


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("metrics.json", "{", "not valid JSON"),
        ("training.json", "[]", "not a JSON object"),
        ("config.json", "4", "not a JSON object"),
        ("metrics.json", '{"fd": 3.5}', "num_samples and num_reference must stand beside the numbers"),
        ("README.md", b"\xff\xfe", "it cannot be read as text in UTF-8"),
        ("training.json", '{"dataset": "faces"}', "weights: its JSON files hold what no command here writes"),
        ("training.json", '{"images_seen": 5, "hours": "x"}', "its JSON files hold what no command here writes"),
        ("directions.json", '{"sliders": 3}', "its JSON files hold what no command here writes"),
        ("onnx/measured.json", '{"faces": 3}', "its JSON files hold what no command here writes"),
        ("losses.png", "x", "losses.png is no picture; remove it or give another folder"),
        ("directions.safetensors", "x", "directions.safetensors is damaged; remove it or give another folder"),
    ],
)
def test_broken_files_are_one_sentence(weights, capsys, name, text, expected):
    (weights / "onnx").mkdir()
    (weights / "onnx" / "model.onnx").write_bytes(b"")
    (weights / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert publish.main([str(weights), "--card_only"]) == 2
    sentence = only_sentence(capsys.readouterr().err.strip())
    assert expected in sentence and (name in sentence or "its JSON files" in sentence)


def test_it_also_runs_from_anywhere(weights, tmp_path):
    command = [sys.executable, "-m", "train.publish", weights, "--card_only"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.strip()) == (0, str(weights / "README.md")), done.stderr
