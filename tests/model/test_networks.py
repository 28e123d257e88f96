"""The networks, the sampling functions and the parts of a training step, by their definitions."""

import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.nn.functional import interpolate as interpolate_pixels

from model import Discriminator, Generator, image_grid, interpolate, latents_from_seeds, slerp, to_images, truncate
from model.discriminator import MinibatchStd
from train.gan.augment import augment, parse_policy
from train.gan.ema import EMA
from train.gan.first_weights import initialise
from train.gan.losses import LOSSES, accuracies, discriminator_loss, generator_loss, gradient_penalty
from train.gan.negatives import spoil

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_ranges(size, channels):
    G, D = Generator(16, 4, size, channels), Discriminator(4, size, channels)
    x = G(torch.randn(3, 16))
    assert x.shape == (3, channels, size, size) and x.abs().max() <= 1
    assert D(x).shape == (3,)
    images = G.generate(range(2))
    assert [(i.size, i.mode) for i in images] == [((size, size), "RGB" if channels == 3 else "L")] * 2


def test_released_size_fits_in_16_mib():
    assert sum(t.numel() * 4 for t in Generator().state_dict().values() if t.is_floating_point()) < 16 * 2**20


@torch.no_grad()
def test_first_weights_draw_no_checkerboard():
    G, x = Generator(16, 4), torch.rand(2, 32, 4, 4)
    doubling = G.layers[3]
    for how, plain in (("resize", True), ("orthogonal", False)):
        initialise(G, how)
        inner = doubling(x.mean((2, 3), keepdim=True).expand_as(x))[:, :, 1:-1, 1:-1]  # of a flat picture
        assert torch.allclose(inner, inner[:, :, :1, :1].expand_as(inner), atol=1e-6) == plain
    initialise(G, "resize")
    drawn, kernel = doubling(x), torch.zeros(16, 32, 3, 3)
    for i, j in product(range(3), range(3)):  # what its 3x3 convolution is, from the corner on
        known = pad(kernel, (1, 1, 1, 1))[:, :, i : i + 2, j : j + 2].sum((2, 3))
        kernel[:, :, i, j] = doubling.weight[:, :, i, j].T - known
    doubled = conv2d(interpolate_pixels(x, scale_factor=2), kernel.flip(2, 3), padding=1)
    assert torch.allclose(drawn, doubled, atol=1e-5)
    assert torch.allclose(kernel.flatten(1) @ kernel.flatten(1).T, torch.eye(16), atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "spectral", "batch"])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_discriminator_variants_give_logits(norm, kernel_size):
    D = Discriminator(4, 64, kernel_size=kernel_size, norm=norm, minibatch_std=False)
    with torch.no_grad():
        D.layers[-1].bias += 9
    assert D(torch.randn(8, 3, 64, 64)).max() > 1  # not squashed
    names = {type(layer).__name__ for layer in D.modules()}
    assert ("BatchNorm2d" in names) == (norm == "batch")
    assert not isinstance(D.layers[1], nn.BatchNorm2d)
    if norm == "spectral":
        D.train()
        for _ in range(50):
            D(torch.randn(2, 3, 64, 64))
        for layer in D.layers:
            if isinstance(layer, nn.Conv2d):
                assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_minibatch_std_sees_a_collapsed_batch():
    D = Discriminator(4, 32)
    image = torch.rand(1, 3, 32, 32).expand(8, -1, -1, -1) * 2 - 1
    varied = torch.rand(8, 3, 32, 32) * 2 - 1
    channel = [D.layers[:-1](batch)[:, -1] for batch in (image, varied)]
    assert channel[0].max() < 1e-3 < channel[1].min()


@pytest.mark.parametrize("n", [16, 64, 12])
def test_minibatch_std_is_the_mean_deviation_within_groups(n):
    x = torch.randn(n, 6, 4, 4).contiguous(memory_format=torch.channels_last) * 3 + 1
    y = MinibatchStd()(x)
    assert y.shape == (n, 7, 4, 4) and torch.equal(y[:, :6], x)
    groups = n // 8 if n % 8 == 0 else 1
    for i in range(n):  # sample i is one of i % groups, i % groups + groups, ...
        expected = x[i % groups :: groups].var(0, unbiased=False).add(1e-8).sqrt().mean()
        assert torch.allclose(y[i, 6], expected, atol=1e-6)
    half = x.bfloat16()  # computed in float32 all the same
    assert torch.equal(MinibatchStd()(half)[:, 6], MinibatchStd()(half.float())[:, 6].bfloat16())


@pytest.mark.parametrize(
    "arguments", [{"image_size": 48}, {"image_channels": 2}, {"latent_dim": 0}, {"base_channels": 100_000}]
)
def test_impossible_networks_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Generator(**arguments)


def test_a_seed_is_one_face_in_every_batch_and_order():
    G = Generator(base_channels=8)
    alone = np.asarray(G.generate([7])[0])
    together = G.generate([3, 7, 2**32 - 1, 7])
    assert np.array_equal(alone, np.asarray(together[1])) and np.array_equal(alone, np.asarray(together[3]))
    assert not np.array_equal(alone, np.asarray(together[0]))
    assert np.array_equal(alone, np.asarray(G.generate(z=latents_from_seeds([7], 128))[0]))


def test_generate_keeps_the_training_mode_and_the_statistics():
    G = Generator(base_channels=4).train()
    before = G.layers[1].running_mean.clone()
    G.generate([1])
    assert G.training and torch.equal(before, G.layers[1].running_mean)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", True, None, float("nan")])
def test_bad_seeds_get_a_sentence(seed):
    with pytest.raises(ValueError, match="seed"):
        latents_from_seeds([seed], 4)


@pytest.mark.parametrize("truncation", [-0.1, 1.6, math.nan, math.inf])
def test_bad_truncation_gets_a_sentence(truncation):
    with pytest.raises(ValueError, match="truncation"):
        truncate(torch.zeros(1, 4), truncation)


def test_generate_refuses_what_is_ambiguous():
    G = Generator(4, 2, 32)
    for arguments in ({}, {"seeds": [1], "z": torch.zeros(1, 4)}, {"z": torch.zeros(1, 5)}):
        with pytest.raises(ValueError):
            G.generate(**arguments)


def test_latents_are_standard_normal_and_reproducible():
    z = latents_from_seeds(range(500), 128)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    assert torch.equal(z[7], torch.randn(128, generator=torch.Generator().manual_seed(7)))


def test_slerp_follows_the_great_circle():
    z0, z1 = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    middle = slerp(z0, z1, 0.5)
    assert torch.allclose(middle, torch.tensor([3.0, 3.0]) / math.sqrt(2))
    assert torch.allclose(slerp(z0, z1, 0.0), z0) and torch.allclose(slerp(z0, z1, 1.0), z1, atol=1e-6)
    for a, b in ((z0, z0 * 2), (z0, -z0), (z0, z0 * 0)):  # no angle to follow
        assert torch.allclose(slerp(a, b, 0.25), 0.75 * a + 0.25 * b)


def test_interpolation_passes_through_every_seed():
    z = latents_from_seeds([1, 2, 3], 16)
    path, loop = interpolate(z, 10), interpolate(z, 10, loop=True)
    assert path.shape == (21, 16) and loop.shape == (30, 16)
    assert torch.equal(path[::10], z) and torch.equal(loop[::10], z)
    assert torch.allclose(path, loop[:21])
    with pytest.raises(ValueError):
        interpolate(z[:1], 10)
    with pytest.raises(ValueError):
        interpolate(z, 0)


def test_images_round_and_clip():
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(1, 3, 1, 5)
    assert np.asarray(to_images(x)[0])[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert image_grid(to_images(torch.zeros(5, 3, 4, 4))).size == (12, 8)
    with pytest.raises(ValueError):
        image_grid([])


def test_losses_equal_their_definitions():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    sigmoid = torch.sigmoid
    bce = -(sigmoid(real).log().mean() + (1 - sigmoid(fake)).log().mean())
    assert discriminator_loss("bce", real, fake) == pytest.approx(bce.item())
    assert generator_loss("bce", None, fake) == pytest.approx(-sigmoid(fake).log().mean().item())
    assert discriminator_loss("hinge", real, fake) == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)
    assert generator_loss("hinge", None, fake) == pytest.approx(1.25)
    assert discriminator_loss("rp", real, fake) == pytest.approx(-sigmoid(real - fake).log().mean().item())
    assert generator_loss("rp", real, fake) == pytest.approx(-sigmoid(fake - real).log().mean().item())
    for function in (discriminator_loss, generator_loss):
        with pytest.raises(ValueError, match="mse"):
            function("mse", real, fake)


@pytest.mark.parametrize("loss", LOSSES)
def test_accuracy_of_a_perfect_and_of_a_fooled_discriminator(loss):
    high, low = torch.tensor([1.0, 2.0]), torch.tensor([-1.0, -2.0])
    assert [a.item() for a in accuracies(loss, high, low)] == [1, 1]
    assert [a.item() for a in accuracies(loss, low, high)] == [0, 0]


def test_gradient_penalty_of_a_linear_discriminator_is_its_squared_norm():
    weight = torch.randn(3, 4, 4, requires_grad=True)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = gradient_penalty((images * weight).sum((1, 2, 3)), images)
    assert penalty.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)
    penalty.backward()  # the penalty itself trains the discriminator
    assert torch.allclose(weight.grad, 2 * weight, rtol=1e-5)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "blur", "color,translation,cutout,blur"])
def test_augmentation_changes_images_and_passes_gradients(policy):
    torch.manual_seed(0)
    x = (torch.rand(8, 3, 32, 32) * 2 - 1).requires_grad_()
    y = augment(x, policy)
    assert y.shape == x.shape and not torch.equal(x, y)
    y.sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
    assert not torch.equal(y[0] - x[0], y[1] - x[1])  # each image draws its own


def test_translation_shifts_and_cutout_cuts_as_said():
    torch.manual_seed(0)
    x = torch.ones(200, 1, 32, 32)
    shifted = augment(x, "translation")
    kept = shifted.sum((2, 3)).flatten()
    assert kept.max() == 32 * 32 and kept.min() >= 28 * 28  # at most 4 of 32 rows and columns leave
    cut = 32 * 32 - augment(x, "cutout").sum((2, 3)).flatten()
    assert cut.max() == 11 * 11 and cut.min() > 0


def test_a_part_of_the_images_stays_as_it_is():
    torch.manual_seed(0)
    x = torch.rand(1000, 3, 8, 8) * 2 - 1
    changed = (augment(x, "color,cutout", p=0.3) != x).amax((1, 2, 3))
    assert 450 < changed.sum() < 570  # 1 - 0.7 * 0.7 of 1,000
    assert torch.equal(augment(x, "color,translation,cutout,blur", p=0), x)


def test_blur_halves_the_resolution_of_every_second_image():
    torch.manual_seed(0)
    checks = torch.ones(400, 3, 8, 8)
    checks[:, :, ::2, 1::2] = checks[:, :, 1::2, ::2] = -1  # nothing that half the resolution could show
    blurred = augment(checks, "blur").abs().amax((1, 2, 3)) == 0
    assert 150 < blurred.sum() < 250
    torch.manual_seed(0)
    assert torch.equal(augment(checks, "blur")[~blurred], checks[~blurred])
    plain = torch.full((4, 3, 8, 8), 0.25)
    assert torch.equal(augment(plain, "blur"), plain)


def test_spoiled_images_differ_in_one_soft_spot_each():
    torch.manual_seed(0)
    x = torch.rand(64, 3, 32, 32) * 2 - 1
    before = x.clone()
    changed = (spoil(x, lambda k: torch.rand(64, k)) - x).abs().amax(1) > 1e-6  # (64, 32, 32)
    assert torch.equal(x, before)
    assert changed.any((1, 2)).all() and changed.float().mean((1, 2)).max() < 0.3
    for image in changed:
        rows, columns = image.any(1).nonzero(), image.any(0).nonzero()
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.float().mean() > 0.5  # one ellipse fills its box
    edges = torch.cat([changed[:, 0], changed[:, -1], changed[:, :, 0], changed[:, :, -1]], 1)
    assert edges.float().mean() < 0.02  # the parts of a face lie further in


def test_augmentation_policies():
    assert parse_policy("none") == parse_policy("") == []
    x = torch.rand(2, 3, 8, 8)
    assert augment(x, "none") is x
    with pytest.raises(ValueError, match="rotate"):
        parse_policy("color,rotate")


def test_ema_halves_the_distance_in_a_halflife_and_copies_buffers():
    model = nn.BatchNorm1d(2)
    ema = EMA(model, halflife_kimg=1.0, rampup=1e9)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_mean.fill_(5.0)
    for step in range(10):
        ema.update(model, seen=1_000_000 + step, batch_size=100)
    assert torch.allclose(ema.model.weight, torch.tensor(2.0))  # from 1 to 3, half of the way after 1000 images
    assert torch.equal(ema.model.running_mean, model.running_mean)
    assert not ema.model.training and not ema.model.weight.requires_grad


def test_calibration_measures_the_statistics_of_the_average():
    torch.manual_seed(0)
    model = Generator(8, 2, 32)
    ema = EMA(model, halflife_kimg=1.0)
    norm, images = ema.model.layers[1], torch.randn(4096, 8)
    before = ema.model(images[:64])
    ema.calibrate(8)
    features = ema.model.layers[0](images[:, :, None, None])
    assert torch.allclose(norm.running_mean, features.mean((0, 2, 3)), atol=0.1)
    assert torch.allclose(norm.running_var, features.var((0, 2, 3)), rtol=0.15)
    assert not ema.model.training and norm.momentum == 0.1
    assert not torch.allclose(before, ema.model(images[:64]))


def test_ema_ramps_up_and_can_be_off():
    model = nn.Linear(1, 1, bias=False)
    early, off = EMA(model, 100.0), EMA(model, 0.0)
    start = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1
    early.update(model, seen=1000, batch_size=50)  # half-life is 5% of 1000 images
    off.update(model, seen=1000, batch_size=50)
    assert torch.allclose(early.model.weight, start + 0.5)
    assert torch.equal(off.model.weight, model.weight)


def test_the_bundled_weights_draw_the_grid_on_their_card_in_fresh_processes():
    code = (
        "import hashlib, sys; from model import Generator, image_grid; from PIL import Image\n"
        "grid = image_grid(Generator.from_pretrained('weights').generate(seeds=range(64)))\n"
        "shown = Image.open('weights/samples.png').convert('RGB')\n"
        "print(hashlib.sha256(grid.tobytes()).hexdigest(), grid.tobytes() == shown.tobytes(), max(\n"
        "    abs(a - b) for a, b in zip(grid.tobytes(), shown.tobytes())))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert runs[0][0] == runs[1][0]  # bit for bit on one machine
    assert int(runs[0][2]) <= 1  # another processor may round the last bit of a pixel the other way
