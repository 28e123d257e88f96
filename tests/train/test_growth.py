"""What a DCGAN can be given: a mapping to w, residual blocks, a hidden layer before the logit; and growing into it."""

import copy
import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model import Discriminator, Generator, latents_from_seeds, truncate
from model.blocks import ADDITIONS, MirrorBlock, ResidualBlock
from model.picking import shading
from train.config import TrainConfig
from train.errors import UserError
from train.gan.ema import EMA
from train.gan.losses import gradient_penalty
from train.release.onnx_export import to_onnx
from train.run.growth import additions, fill
from train.run.inherit import PARTS, parts_of, with_parts
from train.run.same_run import require_same_run
from train.run.setup import build_networks, load_networks
from train.run.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
GROWN = {"mapping_layers": 2, "g_blocks": 1, "g_constant": True, "g_mirror": True, "g_fine": True}
GROWN |= {"d_blocks": 2, "d_mirror": True, "d_hidden": 16}


def shaken(network: nn.Module) -> nn.Module:
    """With additions that do something."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, tuple(ADDITIONS)):
                for parameter in module.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


@pytest.fixture
def mapped() -> Generator:
    """A small generator in eval mode with a mapping and blocks that have left zero, and with a centre of w."""
    torch.manual_seed(0)
    G = shaken(Generator(16, 4, 32, mapping_layers=2, blocks=1, constant=True, mirror=True, fine=True)).eval()
    G.find_centre()
    return G


def config(**options) -> TrainConfig:
    return TrainConfig(train_data_dir="x", **options)


@torch.no_grad()
@pytest.mark.parametrize("init", ["resize", "orthogonal", "normal"])
def test_networks_grown_from_plain_ones_begin_with_what_those_do(init, tmp_path):
    torch.manual_seed(0)
    plain_G, plain_D = Generator(), Discriminator()
    plain_G(torch.randn(64, 128))  # statistics that are not 0 and 1
    plain_G.save_pretrained(tmp_path)
    save_file(plain_D.state_dict(), tmp_path / "discriminator.safetensors")
    G, D = build_networks(config(init=init, **GROWN))
    start = load_networks(str(tmp_path), G, D)
    assert start.endswith(
        "; added, and without effect at first: mapping (generator), residual blocks (generator), "
        "constant (generator), mirror blocks (generator), fine block (generator), detail at the full side (generator), "
        "residual blocks (discriminator), mirror blocks (discriminator), hidden layer before the logit (discriminator)"
    )
    z = latents_from_seeds(range(8), 128)
    images = plain_G.eval()(z)
    assert torch.allclose(G.eval()(z), images, atol=1e-5)
    assert torch.allclose(D(images), plain_D(images), atol=1e-5)
    for network in (G, D):  # and what was added can learn: only its last layers are zero
        zeros = [name for name, parameter in network.named_parameters() if name in additions(network) and
                 name.endswith(("weight", "constant.value")) and not parameter.any()]  # fmt: skip
        assert len(zeros) == sum(isinstance(module, tuple(ADDITIONS)) for module in network.modules())


def test_what_was_added_learns_from_the_first_step():
    torch.manual_seed(0)
    G, D = build_networks(config(resolution=32, g_channels=4, d_channels=4, latent_dim=8, **GROWN))
    for _ in range(2):  # the last layers move first, the layers before them once those have
        optimizer = torch.optim.SGD([*G.parameters(), *D.parameters()], lr=0.1)
        optimizer.zero_grad()
        D(G(torch.randn(8, 8))).square().sum().backward()
        optimizer.step()
    for network in (G, D):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and (parameter.grad.any() or name.endswith("bias")), name


def test_a_grown_network_grows_further_and_refuses_what_does_not_fit():
    torch.manual_seed(0)
    source = shaken(Generator(8, 4, 32, mapping_layers=1))
    grown = Generator(8, 4, 32, mapping_layers=1, blocks=2)
    assert fill(grown, source.state_dict()) == ["residual blocks"]
    assert torch.equal(grown.mapping.layers[0].weight, source.mapping.layers[0].weight)
    assert fill(Generator(8, 4, 32, mapping_layers=1), source.state_dict()) == []
    others = {
        "less": Generator(8, 4, 32),
        "deeper": Generator(8, 4, 32, mapping_layers=2),
        "narrower": Generator(8, 2, 32, mapping_layers=1),
        "of longer z": Generator(12, 4, 32, mapping_layers=1),
        "larger": Generator(8, 4, 64, mapping_layers=1),
    }
    for other in others.values():
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(ValueError, match="other"):
            fill(other, source.state_dict(), wider=True)
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    missing = source.state_dict()
    missing.pop("layers.3.weight")  # no addition
    with pytest.raises(ValueError):
        fill(grown, missing)


def test_a_wider_generator_draws_what_the_narrow_one_did_and_uses_its_channels():
    torch.manual_seed(0)
    parts = {"mapping_layers": 1, "constant": True, "mirror": True, "fine": True}
    narrow, wide = shaken(Generator(16, 4, 32, blocks=1, **parts)), Generator(16, 7, 32, blocks=2, **parts)
    narrow(torch.randn(64, 16))  # statistics that are not 0 and 1
    z = torch.randn(8, 16)
    with pytest.raises(ValueError, match="other shapes"):
        fill(wide, narrow.state_dict())
    assert fill(wide, narrow.state_dict(), wider=True) == ["residual blocks", "channels"]
    for training in (False, True):
        assert torch.allclose(wide.train(training)(z), narrow.train(training)(z), atol=1e-5)
    wide(z).square().sum().backward()
    weight = wide.layers[9].weight  # (in, out, 4, 4), from 7 channels to 3; the last three are new
    assert not weight[4:].any() and weight.grad[4:].any()


def test_with_a_constant_alone_nothing_is_drawn_alike_at_every_place():
    torch.manual_seed(0)
    plain, placed = Generator(8, 4, 32).eval(), Generator(8, 4, 32, constant=True).eval()
    assert fill(placed, plain.state_dict()) == ["constant"]
    z = torch.zeros(1, 8)
    apart = [G(z)[0, :, 8:24, 8:16] - G(z)[0, :, 8:24, 16:24] for G in (plain, placed)]
    assert all(difference.abs().max() < 1e-6 for difference in apart)  # columns of the 4x4 stage that are no edges
    placed.layers[2].constant.value.data.normal_()
    assert (placed(z)[0, :, 8:24, 8:16] - placed(z)[0, :, 8:24, 16:24]).abs().max() > 1e-2
    blocks = Generator(8, 4, 32, blocks=1, constant=True).eval()
    assert fill(blocks, placed.state_dict()) == ["residual blocks"]  # before it, and its name stays
    assert torch.allclose(blocks(z), placed(z), atol=1e-6)


def test_what_no_option_names_is_as_the_networks_have_it(tmp_path):
    Generator(8, 4, 32, mapping_layers=1, blocks=1, mirror=True).save_pretrained(tmp_path)
    save_file(
        Discriminator(4, 32, blocks=2, mirror=True, hidden=8).state_dict(), tmp_path / "discriminator.safetensors"
    )
    known = parts_of(str(tmp_path))
    small = {"resolution": 32, "g_channels": 4, "d_channels": 4, "latent_dim": 8}
    grown = with_parts(config(**small, g_blocks=3, d_norm="none"), known)
    assert {name: getattr(grown, name) for name in PARTS} == {
        "mapping_layers": 1, "g_blocks": 3, "g_constant": False, "g_mirror": True, "g_fine": False,
        "d_blocks": 2, "d_mirror": True, "d_hidden": 8,
    }  # fmt: skip
    G, D = build_networks(grown)
    assert load_networks(str(tmp_path), G, D).endswith("without effect at first: residual blocks (generator)")
    spectral = with_parts(config(**small, d_norm="spectral"), known)
    assert spectral.g_mirror and not (spectral.d_blocks or spectral.d_mirror or spectral.d_hidden)
    assert parts_of(str(tmp_path / "nothing")) == {}
    (tmp_path / "discriminator.safetensors").write_bytes(b"cut")
    parts = {"mapping_layers": 1, "g_blocks": 1, "g_constant": False, "g_mirror": True, "g_fine": False}
    assert parts_of(str(tmp_path)) == parts


def test_a_generator_of_another_z_is_refused(tmp_path):
    Generator(8, 4, 32).save_pretrained(tmp_path)
    G, D = build_networks(config(resolution=32, g_channels=4, d_channels=4, latent_dim=12))
    with pytest.raises(UserError, match="--latent_dim"):
        load_networks(str(tmp_path), G, D)


def test_a_generator_that_is_larger_than_the_options_is_refused(tmp_path):
    Generator(8, 4, 32, mapping_layers=1, blocks=1).save_pretrained(tmp_path)
    G, D = build_networks(config(resolution=32, g_channels=4, d_channels=4, latent_dim=8))
    with pytest.raises(UserError, match="--mapping_layers 1 --g_blocks 1"):
        load_networks(str(tmp_path), G, D)


@torch.no_grad()
def test_a_linear_last_layer_adds_up_what_is_apart_and_a_hidden_one_joins_it():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 64, 64).double() * 2 - 1
    left, right = images.clone(), images.clone()
    left[:, :, 28:32, :4] = right[:, :, 28:32, -4:] = 1  # further from each other than 31 pixels
    both = left.where(left != images, right)

    def interaction(**options) -> float:
        D = shaken(Discriminator(8, minibatch_std=False, **options)).double()
        return (D(both) - D(left) - D(right) + D(images)).abs().mean().item()

    assert interaction() < 1e-12  # the whole is the sum of its parts
    assert interaction(hidden=32) > 1e-8 and interaction(blocks=1) > 1e-8


def test_the_gradient_penalty_goes_through_what_was_added():
    D = shaken(Discriminator(4, 32, blocks=1, hidden=8))
    images = torch.randn(8, 3, 32, 32, requires_grad=True)
    gradient_penalty(D(images), images).backward()
    assert D.head.layers[0].weight.grad.any() and D.layers[3][1].layers[2].weight.grad.any()


def angle(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return torch.cosine_similarity(some.double(), others.double(), dim=-1).clamp(-1, 1).acos()


@torch.no_grad()
def test_scaling_z_turns_w_towards_its_centre(mapped):
    mapping, centre = mapped.mapping, mapped.mapping.centre
    z = torch.nn.functional.normalize(latents_from_seeds(range(64), 16)) * 4  # of length 1 for the mapping
    full = mapping(z)
    assert torch.allclose(full, z + mapping.layers(z), atol=1e-4) and angle(full, z).max() > 0.05
    whole = angle(full, centre)
    for truncation in (0.25, 0.5, 0.7, 1.1):
        w = mapping(truncate(z, truncation))
        assert torch.allclose(angle(w, centre), truncation * whole, atol=2e-3)
        assert torch.allclose(angle(w, full), abs(1 - truncation) * whole, atol=2e-3)  # on the way between them
        assert torch.allclose(w.norm(dim=1), 4 + truncation * (full.norm(dim=1) - 4), atol=1e-4)
    assert torch.allclose(mapping(torch.zeros(1, 16))[0], centre / centre.norm() * 4, atol=1e-5)
    assert torch.isfinite(mapping(centre[None] * torch.tensor([[1.0], [-1.0]]))).all()
    average = [np.asarray(image) for image in mapped.generate([1, 2], truncation=0)]
    assert np.array_equal(*average)
    assert np.array_equal(average[0], np.asarray(mapped.generate(z=torch.zeros(1, 16))[0]))


@torch.no_grad()
def test_the_centre_can_be_the_face_of_a_seed(mapped):
    mapped.mapping.centre.zero_()
    w = mapped.mapping(latents_from_seeds([5], 16))[0]
    mapped.find_centre(seed=5)
    assert torch.allclose(mapped.mapping.centre, w / w.norm() * 4, atol=1e-5)
    with pytest.raises(ValueError, match="^seed: "):
        mapped.find_centre(seed=-1)


@torch.no_grad()
def test_the_centre_is_a_face_like_the_average_and_a_first_training_goes_on_without():
    torch.manual_seed(0)
    G = shaken(Generator(8, 2, 32, mapping_layers=1))
    ema = EMA(G, halflife_kimg=1.0)
    ema.calibrate(8)
    model = ema.model
    faces, centre = shading(model(torch.randn(500, 8))), shading(model(torch.zeros(1, 8)))
    average = (faces.mean(0) + faces.mean(0).flip(2)) / 2
    likeness, typical = ((some * average).mean((1, 2, 3)) for some in (faces, centre))
    assert typical > likeness.quantile(0.9) and model.mapping.centre.norm() == pytest.approx(8**0.5, abs=1e-3)
    ema.update(G, 64, 64)
    assert not model.mapping.centre.any()
    z = torch.randn(4, 8)
    assert torch.allclose(G.mapping(3 * z), 3 * G.mapping(z), atol=1e-5)  # as long as z


@torch.no_grad()
def test_training_from_weights_with_a_centre_keeps_it_and_draws_what_is_trained(mapped, tmp_path):
    mapped.find_centre(seed=5)
    mapped.save_pretrained(tmp_path)
    G, z = shaken(copy.deepcopy(mapped)), torch.randn(8, 16)
    load_networks(str(tmp_path), G, Discriminator(4, 32))
    assert torch.equal(G.mapping.centre, mapped.mapping.centre) and G.mapping.centre.any()
    ema = EMA(G, halflife_kimg=0.0)
    for parameter in G.mapping.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    ema.update(G, 64, 64)
    ema.calibrate(16)
    assert torch.equal(ema.model.mapping.centre, G.mapping.centre)
    assert torch.equal(ema.model.mapping(z), G.mapping(z))


def test_the_centre_of_w_is_saved_and_loaded(mapped, tmp_path):
    mapped.save_pretrained(tmp_path)
    loaded = Generator.from_pretrained(tmp_path)
    assert torch.equal(loaded.mapping.centre, mapped.mapping.centre)
    for truncation in (0, 0.6, 1):
        drawn = [np.asarray(G.generate([5], truncation=truncation)[0]) for G in (mapped, loaded)]
        assert np.array_equal(*drawn)


def test_onnx_and_the_endpoint_truncate_as_pytorch_does(mapped, tmp_path, monkeypatch):
    session = onnxruntime.InferenceSession(to_onnx(mapped))
    z = latents_from_seeds(range(4), 16)
    for truncation in (0.0, 0.7, 1.0):  # the page without a server scales z too, before this very file
        scaled = truncate(z, truncation)
        with torch.inference_mode():
            assert np.abs(session.run(["images"], {"z": scaled.numpy()})[0] - mapped(scaled).numpy()).max() < 1e-4

    mapped.save_pretrained(tmp_path)
    (tmp_path / "anime_dcgan").symlink_to(ROOT / "model")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    spec = importlib.util.spec_from_file_location("handler", ROOT / "train" / "release" / "hub_files" / "handler.py")
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    drawn = handler.EndpointHandler(str(tmp_path)).generator.generate([3], truncation=0.7)[0]
    assert np.array_equal(np.asarray(drawn), np.asarray(mapped.generate([3], truncation=0.7)[0]))


def test_a_part_of_what_the_discriminator_sees_as_drawn_is_spoiled_real_faces():
    config, draws = (
        SimpleNamespace(negative_part=0.25, augment="none", augment_p=1.0),
        SimpleNamespace(uniform=partial(torch.rand, 8)),
    )
    fake, real = torch.zeros(8, 3, 32, 32), torch.rand(8, 3, 32, 32) + 1
    shown = Trainer.with_negatives(SimpleNamespace(config=config), fake, real, draws)
    assert torch.equal(shown[2:], fake[2:])
    near = (shown[:2] == real[:2]).float().mean((1, 2, 3))  # each is the real face of its own place, but for a spot
    assert (near > 0.6).all() and (near < 1).all()


def test_options_that_cannot_be_and_checkpoints_of_before():
    assert any("--d_norm" in problem for problem in config(d_norm="spectral", d_hidden=8).problems())
    with pytest.raises(ValueError, match="spectral"):
        Discriminator(norm="spectral", blocks=1)
    for arguments in ({"blocks": 9}, {"mapping_layers": -1}, {"blocks": 1.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            Generator(**arguments)
    for arguments in ({"blocks": 9}, {"hidden": -1}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            Discriminator(**arguments)
    saved = {name: getattr(config(), name) for name in ("resolution", "latent_dim", "g_channels", "d_channels")}
    saved |= {"d_kernel_size": 3, "d_norm": "none", "minibatch_std": True}
    require_same_run(saved, config())
    with pytest.raises(UserError, match="--d_hidden 0"):
        require_same_run(saved, config(d_hidden=8))
    with pytest.raises(UserError, match="--g_blocks 1"):
        require_same_run(saved | {"g_blocks": 1}, config())


def test_a_grown_generator_fits_in_16_mib():
    G = Generator(mapping_layers=2, blocks=1)
    assert sum(t.numel() * 2 for t in G.state_dict().values() if t.is_floating_point()) < 16 * 2**20


@torch.no_grad()
def test_a_mirror_block_sees_what_is_at_the_mirrored_place_and_turns_with_its_picture():
    torch.manual_seed(0)
    x, other = torch.randn(2, 1, 8, 8, 8)
    other[:, :, :, :7] = x[:, :, :, :7]  # they differ in the last column alone
    for kind in (ResidualBlock, MirrorBlock):
        block = shaken(kind(8, batch_norm=False))
        seen = (block(x) - block(other)).abs().amax((0, 1, 2)) > 1e-6
        assert seen.tolist() == [kind is MirrorBlock] * 2 + [False] * 4 + [True] * 2
