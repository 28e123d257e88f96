"""The second discriminator of --d_features: it teaches G, is resumed bit for bit, and nothing of it is published."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import run
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model

from train.config import TrainConfig
from train.errors import UserError
from train.gan.losses import generator_loss
from train.gan.projected import ProjectedDiscriminator
from train.run.frozen import load_features, second_discriminator
from train.to_features import CUTS, MEAN, STD, main

SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --checkpointing_kimg 0.08"


class Maps(nn.Module):
    """Two feature maps of a network that nobody trained, (N, 4, 16, 16) and (N, 6, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 4, 4)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = torch.relu(self.first(x))
        return [x, self.second(x)]


class Vector(nn.Module):
    """What a feature extractor gives, (N, 3)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("private_name") / "maps.pt"
    torch.jit.script(Maps()).save(str(path))
    return path


@pytest.fixture
def second(file) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    config = TrainConfig(train_data_dir="x", d_features=str(file), resolution=32)
    return second_discriminator(config, torch.device("cpu"))


def test_it_learns_to_tell_two_kinds_of_pictures_and_its_gradient_reaches_them(second):
    kinds = torch.linspace(-0.8, 0.8, 32).expand(16, 3, 32, 32), torch.linspace(0.8, -0.8, 32).expand(16, 3, 32, 32)
    optimizer = torch.optim.Adam(second.parameters(), lr=1e-2)
    for _ in range(60):
        one, other = (second(second.see(x + 0.1 * torch.randn_like(x))) for x in kinds)
        assert one.shape == (16, 2)  # a logit a map
        optimizer.zero_grad()
        (torch.relu(1 - one) + torch.relu(1 + other)).mean().backward()
        optimizer.step()
    assert (second(second.see(kinds[0])) > 0.5).all() and (second(second.see(kinds[1])) < -0.5).all()
    drawn = kinds[1].clone().requires_grad_()
    generator_loss("hinge", None, second.requires_grad_(False)(second.see(drawn))).backward()
    moved = drawn.detach() - 0.1 * drawn.grad / drawn.grad.abs().max()
    assert second(second.see(moved)).mean() > second(second.see(drawn)).mean()


def test_a_head_sees_the_whole_map_at_once_and_the_frozen_part_is_not_its_own(second):
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    for level in range(2):
        gradient = torch.autograd.grad(second(second.see(x))[0, level], x)[0][0].abs().sum(0)
        assert all(corner.any() for corner in (gradient[:8, :8], gradient[:8, -8:], gradient[-8:, :8]))
    assert not [name for name in second.state_dict() if "features" in name]
    assert not any(parameter.requires_grad for parameter in second.features.parameters())
    others = [ProjectedDiscriminator(second.features, 32, seed) for seed in (0, 1)]
    same = [torch.equal(second.across0, other.across0) for other in others]
    assert same == [True, False]  # the mixing follows the seed alone


def test_a_training_with_it_is_another_is_resumed_and_publishes_nothing_of_it(file, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for i in range(40):
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((32, 32), Image.BICUBIC).save(tmp_path / "data" / f"{i}.png")
    options = [*SMALL.split(), "--train_data_dir", tmp_path / "data", "--cache_dir", tmp_path / "cache"]
    whole = [*options, "--max_train_kimg", 0.16, "--d_features", file]
    states = {}
    for name, arguments in {
        "whole": whole,
        "halves": [*whole, "--max_train_kimg", 0.08, "--lr_schedule", "constant"],
        "without": whole[:-2],
        "weightless": [*whole, "--d_features_weight", 0],
    }.items():
        result = run(*arguments, "--lr_schedule", "constant", "--output_dir", tmp_path / name)
        assert result.returncode == 0, result.stderr
    moved = file.rename(tmp_path / "maps.pt")
    try:
        again = [*options, "--max_train_kimg", 0.16, "--lr_schedule", "constant", "--output_dir", tmp_path / "halves"]
        refused = run(*again, "--resume_from_checkpoint", "latest")
        assert refused.returncode == 2 and "--d_features" in refused.stderr, refused.stderr
        result = run(*again, "--resume_from_checkpoint", "latest", "--d_features", moved)
        assert result.returncode == 0, result.stderr
    finally:
        moved.rename(file)
    for name in ("whole", "halves", "without", "weightless"):
        states[name] = load_file(tmp_path / name / "weights" / "model.safetensors")
    assert all(torch.equal(tensor, states["halves"][key]) for key, tensor in states["whole"].items())
    assert not all(torch.equal(tensor, states["without"][key]) for key, tensor in states["whole"].items())
    assert all(torch.equal(tensor, states["without"][key]) for key, tensor in states["weightless"].items())
    written = [tmp_path / name / "weights" / "discriminator.safetensors" for name in ("whole", "without")]
    assert load_file(written[0]).keys() == load_file(written[1]).keys()
    record = json.loads((tmp_path / "whole" / "weights" / "training.json").read_text())
    assert record["config"]["d_features"] == "maps.pt"
    assert "private_name" not in (tmp_path / "whole" / "weights" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["absent", "text", "vector"])
def test_what_gives_no_maps_is_refused_with_a_sentence(tmp_path, kind):
    path = tmp_path / "f.pt"
    if kind == "text":
        path.write_text("no TorchScript")
    if kind == "vector":
        torch.jit.script(Vector()).save(str(path))
    with pytest.raises(UserError, match="--d_features.*TorchScript|--d_features.*feature maps") as caught:
        load_features(str(path), 32, torch.device("cpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", sorted(CUTS))
def test_the_file_of_a_torchvision_network_holds_its_maps(tmp_path, network, capsys):
    torch.manual_seed(0)
    source = get_model(network, weights=None).eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    made = tmp_path / "features.pt"
    arguments = ["--network", network, "--side", "64", "--weights", str(tmp_path / "weights.pth")]
    assert main([str(made), *arguments]) == 0 and f"--d_features {made}" in capsys.readouterr().out
    features = load_features(str(made), 64, torch.device("cpu"))
    x, seen = torch.rand(3, 3, 64, 64) * 2 - 1, {}
    for name in CUTS[network]:
        source.get_submodule(name).register_forward_hook(lambda module, given, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        source((x * 0.5 + 0.5 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
        maps = features(x)
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2]
    assert all(torch.allclose(m, seen[name], atol=1e-4) for m, name in zip(maps, CUTS[network]))


def test_a_coarse_file_sees_no_fine_texture(tmp_path):
    torch.manual_seed(0)
    torch.save(get_model("resnet18", weights=None).state_dict(), tmp_path / "weights.pth")
    arguments = ["--network", "resnet18", "--side", "64", "--weights", str(tmp_path / "weights.pth")]
    x = F.interpolate(torch.rand(2, 3, 16, 16) * 2 - 1, scale_factor=4.0, mode="bilinear")
    weave = torch.tensor([0.2, -0.2]).repeat(32).expand(64, 64)  # from pixel to pixel, along each row
    change = {}
    for name, more in {"fine": [], "coarse": ["--coarse"]}.items():
        assert main([str(tmp_path / f"{name}.pt"), *arguments, *more]) == 0
        features = load_features(str(tmp_path / f"{name}.pt"), 64, torch.device("cpu"))
        with torch.no_grad():
            pairs = zip(features(x), features(x + weave), strict=True)
            change[name] = [float((a - b).abs().max()) for a, b in pairs]
    assert max(change["coarse"]) < 1e-4 < 0.01 < min(change["fine"])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--side", "16"], "--side: 16 is not from 32 to 512"),
        (["--weights", "absent.pth"], "--weights: 'absent.pth' holds no weights of efficientnet_b0"),
        (["--weights", "text.pth"], "--weights: 'text.pth' holds no weights of efficientnet_b0"),
    ],
)
def test_mistakes_of_to_features_get_one_sentence_and_leave_nothing(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no weights")
    with pytest.raises(SystemExit) as stopped:
        main(["features.pt", *arguments])
    assert stopped.value.code == 2 and words in capsys.readouterr().err.replace("\n", " ")
    assert not Path("features.pt").exists()
