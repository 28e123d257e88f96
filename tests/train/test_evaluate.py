"""The metrics against what is known of them, and the evaluation as users run it."""

import json
import subprocess
import sys
import warnings
import zipfile
from functools import partial
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from model import Generator
from model.directions import weights_digest
from train.data.choice import is_image
from train.data.dataset import prepare
from train.evaluate import main
from train.neighbours import pairs
from train.quality.evaluation import evaluate
from train.quality.features import draw, load_extractor
from train.quality.metrics import frechet_distance, kid, manifold_metrics
from train.quality.two_sample import LEAST, build_judge, rank, two_sample_test

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
QUALITY = SHARED / "quality" / "quality.py"
FACES = SHARED / "data" / "anime-faces.zip"
OTHER_FACES = SHARED / "data" / "selfie2anime.zip"
MISSING = [str(path) for path in (QUALITY, QUALITY.with_name("encoder.pt"), FACES, OTHER_FACES) if not path.exists()]
KEYS = ["num_samples", "num_reference", "fd", "kid", "precision", "recall", "density", "coverage", "nearest"]


def gaussian(n: int, mean: Tensor, root: Tensor, seed: int = 0) -> Tensor:
    """n samples whose mean and covariance (root root^T) are exactly those."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return mean + x @ root.T


def normal(n: int, features: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


# The judge


def pairs_of_squares(n: int, seed: int, matching: bool) -> Tensor:
    """uint8 (n, 3, 64, 64): two squares on grey, of one random colour or each of its own."""
    colours = torch.randint(0, 256, (n, 2, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    images = torch.full((n, 3, 64, 64), 128, dtype=torch.uint8)
    images[:, :, 16:40, 6:28] = colours[:, 0, :, None, None]
    images[:, :, 16:40, 36:58] = colours[:, 0 if matching else 1, :, None, None]
    return images


def test_the_judge_sees_what_does_not_fit_together_and_nothing_else(monkeypatch) -> None:
    monkeypatch.setattr("train.quality.two_sample.build_judge", partial(build_judge, channels=8))  # it is quicker
    state = torch.get_rng_state()
    real = pairs_of_squares(500, 0, matching=True)
    odd = two_sample_test(real, pairs_of_squares(500, 1, matching=False))
    assert odd["judge_auc"] > 0.8 and odd["judge_pass"] < 0.8 and odd["judge_images"] == 400
    same = two_sample_test(real, pairs_of_squares(500, 1, matching=True))
    assert abs(same["judge_auc"] - 0.5) < 0.15 and same["judge_pass"] > 0.85
    assert two_sample_test(real[:130], real[200:400]) == two_sample_test(real[:130], real[200:400])
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ValueError, match=f"at least {LEAST} images"):
        two_sample_test(real, real[: LEAST - 1])


def test_the_rank_of_scores_counts_ties_half() -> None:
    assert rank(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert rank(torch.tensor([0.0]), torch.tensor([0.0, 1.0])) == 0.25
    higher, lower = normal(60, 1, 0, 0.5).flatten().round(decimals=1), normal(70, 1, 1).flatten().round(decimals=1)
    pairs = (higher[:, None] > lower).double() + (higher[:, None] == lower).double() / 2
    assert rank(higher, lower) == pytest.approx(float(pairs.mean()))


# Frechet distance


def test_frechet_distance_of_two_gaussians_in_closed_form() -> None:
    mean_a, mean_b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.0, 4.0, 3.5]).double()
    std_a, std_b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
    a, b = gaussian(100, mean_a, std_a.diag()), gaussian(300, mean_b, std_b.diag(), seed=1)
    want = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    assert frechet_distance(a, b) == pytest.approx(float(want), rel=1e-9)


def test_frechet_distance_where_the_covariances_do_not_commute() -> None:
    root_a = torch.tensor([[1.0, 0.0], [0.8, 0.5]]).double()
    root_b = torch.tensor([[2.0, 0.0], [-1.0, 0.3]]).double()
    a, b = gaussian(50, torch.zeros(2).double(), root_a), gaussian(50, torch.zeros(2).double(), root_b, seed=1)
    ca, cb = root_a @ root_a.T, root_b @ root_b.T
    # In two dimensions trace(sqrt(M)) = sqrt(trace(M) + 2 sqrt(det(M))).
    cross = ((ca @ cb).trace() + 2 * torch.det(ca @ cb).sqrt()).sqrt()
    assert frechet_distance(a, b) == pytest.approx(float(ca.trace() + cb.trace() - 2 * cross), rel=1e-9)


def test_frechet_distance_with_fewer_samples_than_features() -> None:
    a = normal(10, 512, seed=0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a.flip(0) + 0.25) == pytest.approx(512 * 0.25**2, rel=1e-9)
    b = torch.cat([torch.zeros(30, 256).double(), normal(30, 256, seed=1)], 1)
    a[:, 256:] = 0  # no feature varies in both: nothing is shared
    want = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum()
    assert frechet_distance(a, b) == pytest.approx(float(want), rel=1e-9)


def test_frechet_distance_needs_two_images() -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        frechet_distance(normal(1, 4, 0), normal(9, 4, 0))


# Kernel distance


def test_kid_by_its_definition() -> None:
    a, b = normal(7, 3, seed=0), normal(5, 3, seed=1, shift=0.5)

    def mean(x: Tensor, y: Tensor, same: bool) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not (same and i == j)]
        return sum((float(x[i] @ y[j]) / 3 + 1) ** 3 for i, j in pairs) / len(pairs)

    assert kid(a, b) == pytest.approx(mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False), rel=1e-9)


def test_kid_is_unbiased_and_grows_with_the_shift() -> None:
    same = [kid(normal(60, 8, seed), normal(60, 8, seed + 1000)) for seed in range(200)]
    standard_error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * standard_error and min(same) < 0  # about 0 on average, so below it at times
    near, far = (kid(normal(500, 8, 0), normal(500, 8, 1, shift)) for shift in (0.3, 0.6))
    assert max(same) < far and 0 < near < far


# Precision, recall, density, coverage, nearest


def test_identical_sets() -> None:
    a = normal(200, 6, seed=0)
    want = {"precision": 1, "recall": 1, "density": 1, "coverage": 1, "nearest": 0}
    assert manifold_metrics(a, a.flip(0)) == pytest.approx(want, abs=1e-6)


def test_sets_of_one_distribution_and_sets_far_apart() -> None:
    real = normal(1000, 6, seed=0)
    same, far = (manifold_metrics(real, normal(1000, 6, 1, shift)) for shift in (0, 50))
    assert same["precision"] > 0.85 and same["recall"] > 0.85 and same["coverage"] > 0.9
    assert same["density"] == pytest.approx(1, abs=0.1) and same["nearest"] == pytest.approx(1, abs=0.1)
    assert [far[key] for key in ("precision", "recall", "density", "coverage")] == [0, 0, 0, 0] and far["nearest"] > 20


def test_collapsed_samples_are_precise_but_not_varied() -> None:
    real = normal(300, 4, seed=0)
    fake = real[:1] + 1e-3 * normal(300, 4, seed=1)
    found = manifold_metrics(real, fake)
    assert found["precision"] == 1 and found["recall"] < 0.02 and found["coverage"] < 0.1


def test_manifold_metrics_worked_out_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # with k = 1 the radii are 1, 1, 2, 7
    fake = torch.tensor([[0.5], [4.0], [30.0]])  # with k = 1 the radii are 3.5, 3.5, 26
    found = manifold_metrics(real, fake, k=1)
    # 0.5 lies in the balls of 0 and 1; 4 in those of 3 and 10; 30 in none.
    assert found["precision"] == pytest.approx(2 / 3) and found["density"] == pytest.approx(4 / 3)
    assert found["coverage"] == 1
    assert found["recall"] == 1  # 0, 1 and 3 lie within 3.5 of 0.5 or 4; 10 within 26 of 30
    # fakes lie 0.5, 1 and 20 from the nearest real: median 1; reals 1, 1, 2 and 7: (lower) median 1
    assert found["nearest"] == 1


def test_manifold_metrics_need_more_images_than_neighbours() -> None:
    with pytest.raises(ValueError, match="at least 6 images"):
        manifold_metrics(normal(5, 3, 0), normal(50, 3, 0))


# Evaluation


class Pool(nn.Module):
    """A small extractor: 4x4 means of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x.float() / 255, (4, 4)).flatten(1)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float() / 0


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with an extractor, 40 reference images and the weights of a small generator."""
    path = tmp_path_factory.mktemp("evaluate")
    script(Pool(), path / "pool.pt")
    (path / "faces").mkdir()
    for i in range(40):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(path / "faces" / f"{i:02}.png")
    torch.manual_seed(0)
    Generator(latent_dim=8, base_channels=4, image_size=32).save_pretrained(path / "weights")
    (path / "weights" / "training.json").write_text('{"kimg": 12.5}')
    return path


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return commands.run(*arguments, command="train.evaluate", **environment)


DRAWN = ("feature_extractor_digest", "reference_digest", "subset_seed")


def test_command_line_on_a_weights_folder(made: Path, tmp_path: Path, capsys) -> None:
    command = [made / "weights", "--train_data_dir", made / "faces", "--feature_extractor", made / "pool.pt"]
    command += ["--num_samples", 50, "--truncation", 0.8, "--cache_dir", tmp_path, "--output", tmp_path / "m.json"]
    ran = run(*command)
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    metrics = json.loads(line)
    assert json.loads((tmp_path / "m.json").read_text()) == metrics
    assert (metrics["feature_extractor"], metrics["reference"]) == ("pool.pt", "faces")
    assert (metrics["num_samples"], metrics["num_reference"]) == (50, 40)
    assert (metrics["truncation"], metrics["kimg"]) == (0.8, 12.5)
    assert set(metrics) == {*KEYS, "feature_extractor", "reference", "truncation", "kimg", "weights", *DRAWN}
    assert metrics["weights"] == weights_digest(made / "weights")
    assert "Samples" in ran.stderr and "Reference" in ran.stderr
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json", ".npy", ".npy"]  # nothing half-written

    again = run(*command)  # the features of the reference were kept
    assert again.stdout == ran.stdout and "Reference" not in again.stderr and "Decoding" not in again.stderr
    assert main([str(argument) for argument in [*command, "--seed", 50]]) == 0
    assert json.loads(capsys.readouterr().out)["fd"] != metrics["fd"]


def test_script_runs_from_any_folder(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.evaluate", "faces", "--train_data_dir", "faces"]
    command += ["--feature_extractor", "pool.pt", "--resolution", "32", "--cache_dir", tmp_path]
    ran = subprocess.run(command, cwd=made, env=commands.ENV, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    metrics = json.loads(ran.stdout)
    assert metrics["fd"] == pytest.approx(0, abs=1e-6) and metrics["coverage"] == metrics["recall"] == 1
    assert metrics["truncation"] is None and metrics["kimg"] is None and metrics["nearest"] < 1e-3


def test_drawn_and_stored_samples_give_the_same_numbers(made: Path, tmp_path: Path) -> None:
    generator = Generator.from_pretrained(made / "weights")
    (tmp_path / "samples").mkdir()
    for seed, image in enumerate(generator.generate(seeds=range(30), truncation=0.7)):
        image.save(tmp_path / "samples" / f"{seed:02}.png")
    drawn = torch.cat(list(draw(generator, 30, truncation=0.7, first_seed=0, batch_size=8)))
    stored = prepare(tmp_path / "samples", resolution=32, cache_dir=tmp_path / "cache")
    assert np.abs(drawn.permute(0, 2, 3, 1).numpy().astype(int) - stored.images).max() <= 1

    shared = {
        "reference": prepare(made / "faces", resolution=32, cache_dir=tmp_path / "cache"),
        "extractor": load_extractor(made / "pool.pt"),
        "num_samples": 30,
        "cache_dir": tmp_path / "cache",
    }
    first = evaluate(generator, truncation=0.7, batch_size=7, **shared)
    second = evaluate(stored, **shared)
    assert [first[key] for key in KEYS] == pytest.approx([second[key] for key in KEYS], rel=1e-2, abs=1e-3)


def test_equal_samples_all_count(made: Path, tmp_path: Path, capsys) -> None:
    """A generator that draws one face again and again must not pass for one that drew it once."""
    (tmp_path / "samples").mkdir()
    for i in range(20):
        Image.open(made / "faces" / f"{i % 2:02}.png").save(tmp_path / "samples" / f"{i:02}.png")
    command = [tmp_path / "samples", "--train_data_dir", made / "faces", "--feature_extractor", made / "pool.pt"]
    assert main([str(argument) for argument in [*command, "--resolution", 32, "--cache_dir", tmp_path / "cache"]]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["num_samples"] == 20 and metrics["precision"] == 1 and metrics["recall"] < 0.2


def test_grey_generator(made: Path, tmp_path: Path) -> None:
    generator = Generator(latent_dim=4, base_channels=2, image_size=32, image_channels=1)
    (batch,) = draw(generator, 3, truncation=1.0, first_seed=0, batch_size=8)
    assert batch.shape == (3, 3, 32, 32) and batch.dtype == torch.uint8 and torch.equal(batch[:, 0], batch[:, 2])


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--num_samples", "5"], "--num_samples: 5 is not in 6 to"),
        (["--truncation", "nan"], "--truncation: nan is not in 0 to 1.5"),
        (["--seed", "-1"], "--seed: -1 is not in 0 to 4294967295"),
        (["--seed", "4294967295"], "--seed: 4294967295 and 10000 samples pass the last seed"),
        (["--batch_size", "0"], "--batch_size: 0 is not in"),
        (["--device", "abacus"], "--device: there is no device 'abacus' here"),
        (
            ["--output", "nowhere/metrics.json"],
            "--output: 'nowhere/metrics.json' is not a file in a folder that exists",
        ),
        (
            ["--feature_extractor", "{}/faces/00.png"],
            "--feature_extractor: '{}/faces/00.png' is not a TorchScript module",
        ),
        (["--feature_extractor", "{}/gone.pt"], "--feature_extractor: '{}/gone.pt' cannot be read: No such file"),
        (
            ["--feature_extractor", "{}/broken.pt"],
            "--feature_extractor: 'broken.pt' does not turn N images into features",
        ),
        (["--train_data_dir", "{}/gone"], "--train_data_dir: '{}/gone' does not exist"),
        (
            ["--train_data_dir", "{}/weights/config.json"],
            "--train_data_dir: '{}/weights/config.json' is neither a folder",
        ),
        (["--train_data_dir", "{}/few"], "--train_data_dir: 'few' holds 1 images; at least 6 are needed"),
    ],
)
def test_mistakes_get_a_sentence(made: Path, tmp_path: Path, capsys, arguments: list[str], sentence: str) -> None:
    script(Broken(), made / "broken.pt")
    (made / "few").mkdir(exist_ok=True)
    Image.open(made / "faces" / "00.png").save(made / "few" / "a.png")
    common = [str(made / "weights"), "--train_data_dir", str(made / "faces"), "--cache_dir", str(tmp_path)]
    if "--feature_extractor" not in arguments:
        common += ["--feature_extractor", str(made / "pool.pt")]
    with pytest.raises(SystemExit) as stopped:
        main(common + [argument.format(made) for argument in arguments])
    output = capsys.readouterr()
    assert stopped.value.code == 2 and output.out == "" and sentence.format(made) in output.err.splitlines()[-1]


@pytest.mark.parametrize("samples", ["gone.zip", "/gone/folder", "someone/no-such-model"])
def test_samples_that_are_not_there(made: Path, samples: str) -> None:
    command = [samples, "--train_data_dir", made / "faces", "--feature_extractor", made / "pool.pt"]
    ran = run(*command, HF_ENDPOINT="http://127.0.0.1:9")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert f"SAMPLES: '{samples}'" in ran.stderr.splitlines()[-1]


def test_damaged_weights(made: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "config.json").write_text((made / "weights" / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((made / "weights" / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path), "--train_data_dir", str(made / "faces"), "--feature_extractor", str(made / "pool.pt")])
    last = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and f"SAMPLES: '{tmp_path}' " in last and "model.safetensors" in last


# Inception, the default


def test_inception_weights_that_cannot_be_had(made: Path, tmp_path: Path) -> None:
    command = [made / "weights", "--train_data_dir", made / "faces"]
    ran = run(*command, TORCH_HOME=str(tmp_path), https_proxy="http://127.0.0.1:9")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    last = ran.stderr.splitlines()[-1]
    assert "the weights of Inception could not be had" in last and "--feature_extractor" in last


def test_inception_gives_fid(made: Path, tmp_path: Path) -> None:
    """The true architecture with random weights, in the place where the downloaded ones are kept."""
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Untrained(extractor.FeatureExtractorInceptionV3):
        def load_state_dict(self, state: dict) -> None:
            """Keep the initial weights."""

    torch.save({}, tmp_path / "empty.pth")
    torch.manual_seed(0)
    network = Untrained("untrained", ["2048"], str(tmp_path / "empty.pth"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / Path(extractor.URL_INCEPTION_V3).name)
    command = [made / "weights", "--train_data_dir", made / "faces", "--num_samples", 8, "--num_reference", 8]
    ran = run(*command, "--cache_dir", tmp_path, TORCH_HOME=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    metrics = json.loads(ran.stdout)
    assert metrics["feature_extractor"].startswith("inception-v3") and metrics["fid"] > 0 and "fd" not in metrics


def first_pictures(source: Path, n: int, target: Path) -> Path:
    """A zip of the first pictures of another: the meter takes the first, and train.evaluate draws."""
    with zipfile.ZipFile(source) as all_, zipfile.ZipFile(target, "w") as some:
        for name in sorted(name for name in all_.namelist() if is_image(name))[:n]:
            some.writestr(name, all_.read(name))
    return target


@pytest.mark.skipif(bool(MISSING), reason=f"not there: {', '.join(MISSING)}")
def test_numbers_agree_with_the_quality_meter(tmp_path: Path) -> None:
    drawn, real = (first_pictures(path, 400, tmp_path / path.name) for path in (OTHER_FACES, FACES))
    meter = [sys.executable, QUALITY, drawn, "--reference", real, "--limit", "400"]
    want = json.loads(subprocess.run(meter, capture_output=True, text=True, check=True).stdout)
    command = [drawn, "--train_data_dir", real, "--feature_extractor", QUALITY.with_name("encoder.pt")]
    ran = run(*command, "--num_samples", 400, "--num_reference", 400, "--cache_dir", tmp_path)
    found = json.loads(ran.stdout)
    assert found["num_samples"] == want["n"] == 400
    for key in ("fd", "kid", "precision", "recall", "density", "coverage", "nearest"):
        assert found[key] == pytest.approx(want[key], rel=0.01), key


def test_neighbours_finds_the_copied_picture(tmp_path):
    class Flat(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x.float(), 8).flatten(1)

    torch.jit.script(Flat()).save(str(tmp_path / "features.pt"))
    torch.manual_seed(0)
    generator = Generator(8, 4, 32)
    generator.save_pretrained(tmp_path / "weights")
    faces = tmp_path / "faces"
    faces.mkdir()
    for seed, face in enumerate(generator.generate(range(20))):
        face.save(faces / f"{19 - seed:02d}.png")  # every face was in the training set
    extractor = load_extractor(tmp_path / "features.pt")
    picture = pairs(str(tmp_path / "weights"), str(faces), extractor, 8, tmp_path / "cache")
    assert picture.size == (8 * 64, 32)
    for i in range(8):
        drawn, real = (picture.crop((i * 64 + x, 0, i * 64 + x + 32, 32)) for x in (0, 32))
        assert drawn.tobytes() == real.tobytes()
