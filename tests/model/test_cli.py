"""The command line, as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hub_server import Hub
from PIL import Image

from model import Generator, cli, interpolate, latents_from_seeds, read_face, seed_of
from model.cli import main

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"latent_dim": 16, "base_channels": 4, "image_size": 32}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("cli") / "weights"
    generator = Generator(**SIZES)
    with torch.no_grad():
        generator.layers[-2].weight *= 2  # pictures full of contrast, no two alike
        for _ in range(60):
            generator(torch.randn(64, 16))  # the statistics of BatchNorm
    generator.save_pretrained(folder)
    return folder


@pytest.fixture
def run(weights, tmp_path, monkeypatch, capsys):
    """Run a command on the weights; exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGTERM)
        try:
            status = main([*map(str, words), "--model", str(weights)])
        except SystemExit as exit:
            status = int(exit.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        return status, *capsys.readouterr()

    return run


def pixels(image) -> np.ndarray:
    return np.asarray(image).astype(int)


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return pixels(image)


def test_draw_writes_each_face_once(run, weights, tmp_path):
    status, out, err = run("draw", "--seeds", "0-4,100", "--truncation", "0.8", "--outdir", "a/faces")
    assert (status, err) == (0, "") and out.startswith("a/faces: 6 faces in ")
    files = {path.name: path for path in (tmp_path / "a" / "faces").iterdir()}
    seeds = [0, 1, 2, 3, 4, 100]
    assert files.keys() == {f"seed-{seed}.png" for seed in seeds} | {"faces.json"}
    for seed, face in zip(seeds, Generator.from_pretrained(weights).generate(seeds, truncation=0.8)):
        assert np.abs(opened(files[f"seed-{seed}.png"]) - pixels(face)).max() <= 1
        remembered = read_face(files[f"seed-{seed}.png"])
        assert (remembered.seed, remembered.truncation, remembered.model) == (seed, 0.8, None)

    files["seed-3.png"].unlink()
    files["seed-4.png"].write_bytes(b"not looked at")
    status, out, _ = run("draw", "--seeds", "0-4,100", "--truncation", "0.8", "--outdir", "a/faces")
    assert status == 0 and out.startswith("a/faces: 1 faces in ") and out.endswith("; 5 were there\n")
    assert files["seed-3.png"].is_file() and files["seed-4.png"].read_bytes() == b"not looked at"

    for option in (["--truncation", "0.7"], ["--truncation", "0.8", "--size", "64"]):
        status, out, err = run("draw", "--seeds", "0-4", "--outdir", "a/faces", *option)
        assert status == 2 and "'a/faces' holds faces that were drawn with other options (" in err and not out


@pytest.mark.parametrize("format", ["png", "webp", "jpg"])
@pytest.mark.parametrize("style", ["crisp", "smooth"])
def test_formats_sizes_and_styles(run, weights, tmp_path, format, style):
    options = ["--size", 96, "--style", style, "--format", format, "--outdir", "out"]
    assert run("draw", "--seeds", 7, *options, "--grid", f"sheet.{format}")[0] == 0
    face = Generator.from_pretrained(weights).generate([7])[0]
    large = face.resize((96, 96), Image.Resampling.NEAREST if style == "crisp" else Image.Resampling.LANCZOS)
    for name in (f"out/seed-7.{format}", f"sheet.{format}"):
        with Image.open(tmp_path / name) as image:
            assert image.format == {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}[format]
            difference = np.abs(pixels(image.convert("RGB")) - pixels(large))
        assert difference.mean() < 12 if format == "jpg" else difference.max() <= 1


def test_an_archive_holds_all_faces_in_order(run, weights, tmp_path):
    command = ("draw", "--seeds", "5,0-69", "--format", "npz", "--outdir", "out", "--batch_size", 16)
    assert run(*command)[0] == 0
    (file,) = (tmp_path / "out").glob("*.npz")
    with np.load(file) as archive:
        assert archive["seeds"].tolist() == [5, *range(70)] and archive["images"].dtype == np.uint8
        expected = np.stack([pixels(face) for face in Generator.from_pretrained(weights).generate([5, *range(70)])])
        assert np.abs(archive["images"].astype(int) - expected).max() <= 1
    assert run(*command)[1].endswith("; 71 were there\n")
    assert run("draw", "--seeds", "5,1-70", "--format", "npz", "--outdir", "out")[0] == 0
    assert len(list((tmp_path / "out").glob("*.npz"))) == 2


def test_a_contact_sheet_is_in_reading_order(run, weights, tmp_path):
    assert run("draw", "--seeds", "0-4", "--grid", "new/sheet.png") == (0, "new/sheet.png\n", "")
    sheet, faces = opened(tmp_path / "new" / "sheet.png"), Generator.from_pretrained(weights).generate(range(5))
    assert sheet.shape == (64, 96, 3) and (sheet[32:, 64:] == 255).all()
    for i, face in enumerate(faces):
        y, x = i // 3 * 32, i % 3 * 32
        assert np.abs(sheet[y : y + 32, x : x + 32] - pixels(face)).max() <= 1
    status, _, err = run("draw", "--seeds", "0-999999", "--grid", "sheet.png")
    assert status == 2 and "--grid: 1,000,000 faces of 32 pixels, where a sheet has room for 131,072; give fewer" in err


def frames_of(path: Path) -> list[np.ndarray]:
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            return [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    with Image.open(path) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            found.append(pixels(image.convert("RGB")))
        return found


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film.webp"])
def test_films_pass_all_their_faces(run, weights, tmp_path, name):
    options = ["--frames", 4, "--size", 64, "--style", "crisp"]
    status, out, err = run("film", "--seeds", "1,2,3", "--loop", *options, name)
    assert (status, out, err) == (0, f"{name}: 12 frames, 0.6 s\n", "")
    z = interpolate(latents_from_seeds([1, 2, 3], 16), 4, loop=True)
    faces = Generator.from_pretrained(weights).generate(z=z)
    expected = [pixels(face.resize((64, 64), Image.Resampling.NEAREST)) for face in faces]
    found = frames_of(tmp_path / name)
    assert len(found) == 12 and found[0].shape == (64, 64, 3)
    to_all = np.abs(np.stack(found)[:, None] - np.stack(expected)[None]).mean((2, 3, 4))  # (12, 12)
    assert to_all.argmin(1).tolist() == list(range(12)) and to_all.diagonal().max() < 30
    assert run("film", "--seeds", "1-2", *options, name)[1] == f"{name}: 5 frames, 0.2 s\n"


def test_films_side_by_side_deal_out_the_seeds(run, weights, tmp_path):
    assert run("film", "--seeds", "0-5", "--grid", "3x1", "--frames", 2, "--size", 32, "film.webp")[0] == 0
    found = frames_of(tmp_path / "film.webp")
    assert len(found) == 3 and found[0].shape == (32, 96, 3)
    faces = [pixels(face) for face in Generator.from_pretrained(weights).generate(range(6))]
    for frame, row in ((found[0], (0, 2, 4)), (found[-1], (1, 3, 5))):
        drawn = [frame[:, x : x + 32] for x in (0, 32, 64)]
        assert tuple(np.argmin([np.abs(cell - face).mean() for face in faces]) for cell in drawn) == row


def test_names_have_seeds_and_faces(run, weights, tmp_path):
    assert run("name", "alice", "7") == (0, f"alice\t{seed_of('alice')}\n7\t7\n", "")
    status, out, _ = run("name", "alice", "Zoë", "--outdir", "out")
    file = Path(out.splitlines()[1].split("\t")[2])
    face = Generator.from_pretrained(weights).generate([seed_of("alice")])[0]
    assert status == 0 and np.abs(opened(tmp_path / file) - pixels(face)).max() <= 1


BAD = {
    "draw": "the following arguments are required: --seeds",
    "draw --seeds 1": "--outdir: give a folder",
    "draw --seeds 1-": "--seeds: '1-' is no seed or range",
    "draw --seeds 5-1": "--seeds: '5-1' is no seed or range",
    "draw --seeds 4294967296": "--seeds: '4294967296' is no",
    "draw --seeds -1": "--seeds: '-1' is no seed or range",
    "draw --seeds 1 --outdir o --truncation 2": "--truncation: '2' is not a number from 0 to 1.5",
    "draw --seeds 1 --outdir o --truncation nan": "--truncation: 'nan' is not",
    "draw --seeds 1 --outdir o --size 0": "--size: '0' is not a whole number from 1 to 2048",
    "draw --seeds 1 --outdir o --batch_size x": "--batch_size: 'x' is not",
    "draw --seeds 1 --outdir o --format gif": "--format: invalid choice: 'gif'",
    "draw --seeds 1 --outdir o --device cdua": "device: 'cdua' cannot be used here",
    "draw --seeds 1 --outdir file": "'file' cannot be read or written (File exists)",
    "draw --seeds 1 --grid x.gif": "--grid: 'x.gif' is no picture",
    "film --seeds 1 x.gif": "--seeds: 1 of them, where a film needs two at least",
    "film --seeds 0-4 --grid 2x1 x.gif": "--seeds: 5 of them, where a film needs two at least for each of the 2 cells",
    "film --seeds 1,2 x.avi": "output: 'x.avi' is no film",
    "film --seeds 1,2 --size 31 x.mp4": "--size: a film of 31x31 pixels cannot be an MP4",
    "film --seeds 1,2 --grid 0x1 x.gif": "--grid: '0x1' is no grid",
    "film --seeds 0-4294967295 x.mp4": "--frames: 257,698,037,701 faces are more than the 100,000",
    "film --seeds 0-99 --size 512 x.gif": "--frames: 5941 of 512x512 pixels are too many for a gif; give out.mp4",
    "name": "the following arguments are required: names",
    "name  ": "name: it is empty",
    "paint": "command: invalid choice: 'paint'",
}


@pytest.mark.parametrize("command", BAD)
def test_mistakes_are_one_sentence_and_leave_nothing(run, tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    status, out, err = run(*command.replace("  ", " \u3000").split(" "))
    assert status == 2 and not out and err.startswith("anime-dcgan") and BAD[command] in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_model_that_is_absent_is_one_sentence(tmp_path, capsys):
    assert main(["draw", "--seeds", "1", "--outdir", str(tmp_path / "o"), "--model", str(tmp_path / "none")]) == 2
    assert "none' could not be loaded: there is no such folder, nor such a Hub model" in capsys.readouterr().err


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "model", *map(str, words)]


def test_an_interrupted_draw_goes_on(tmp_path):
    words = ("draw", "--seeds", "0-100000", "--outdir", tmp_path / "o", "--batch_size", 8)
    with subprocess.Popen(command(*words), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while len(list(tmp_path.glob("o/*.png"))) < 20:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "anime-dcgan draw: interrupted; the same command goes on where it stopped\n"
    assert not list(tmp_path.glob("o/.*"))
    drawn = {path: path.stat().st_mtime_ns for path in tmp_path.glob("o/*.png")}
    for path in drawn:
        assert opened(path).shape == (64, 64, 3)
    words = ("draw", "--seeds", f"0-{len(drawn) + 3}", "--outdir", tmp_path / "o")
    done = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith(f"; {len(drawn)} were there\n")
    assert drawn.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("o/*.png")}.items()


def test_a_face_from_the_hub_remembers_its_commit(weights, tmp_path):
    with Hub() as hub:
        hub.create("me", {}, {"name": "faces"})
        files = {name: (weights / name).read_bytes() for name in ("config.json", "model.safetensors")}
        sha = hub.repos["me/faces"].commit("main", files, "all")
        env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        words = command("draw", "--seeds", 7, "--outdir", tmp_path / "o", "--model", "me/faces", "--revision", "main")
        subprocess.run(words, cwd=ROOT, env=env, check=True, timeout=100)
    face = read_face(tmp_path / "o" / "seed-7.png")
    assert (face.seed, face.model, face.revision) == (7, "me/faces", sha)
    assert json.loads((tmp_path / "o" / "faces.json").read_text())["revision"] == sha


def test_where_nobody_reads_any_more_it_ends_as_other_programs_do(monkeypatch, capsys):
    def speak(args):
        raise BrokenPipeError

    closed = []
    monkeypatch.setitem(cli.COMMANDS, "name", speak)
    monkeypatch.setattr(cli.os, "dup2", lambda *files: closed.append(files))
    monkeypatch.setattr(cli.sys.stdout, "fileno", lambda: 1)
    assert cli.main(["name", "alice"]) == 128 + 13 and len(closed) == 1
    assert capsys.readouterr().err == ""
