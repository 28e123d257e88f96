"""From a picture back to a face: how like it the found one is, whether it is whole, and how long the search takes."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from page import ROOT
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from model import Discriminator, Generator, latents_from_seeds
from model.page.cache import FileCache
from model.page.checks import Refusal
from model.page.drawings import LOOKS, SIDE, drawings
from model.page.perception import DISCRIMINATOR, Eye
from model.page.projection import CHUNK, EXAMPLES, STEPS, Examples, Sight, apart, examples_of, project
from model.page.uploads import face_in
from model.pictures import OutsidePicture, decode_picture

WEIGHTS = ROOT / "weights"
SEEDS = range(4240, 4256)  # none that a search begins with; of their faces those count that are most surely whole
# Those of discriminators that can be trained here.
KINDS: list[dict] = [
    {},
    {"blocks": 1, "hidden": 8},
    {"blocks": 1, "mirror": True, "hidden": 8},
    {"minibatch_std": False, "kernel_size": 4},
    {"image_size": 32, "image_channels": 1},
]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def eye() -> Eye:
    eye = Eye.load(WEIGHTS)
    assert eye is not None
    return eye


@pytest.fixture(scope="module")
def latents(generator, eye) -> Tensor:
    z = latents_from_seeds(SEEDS, generator.latent_dim)
    with torch.no_grad():
        return z[eye(generator(z))[1].topk(4).indices]


@pytest.fixture(scope="module")
def faces(generator, latents) -> Tensor:
    with torch.no_grad():
        return generator(latents)


def by_pixels(generator: Generator, target: Tensor, steps: int = 40) -> Tensor:
    """What the page did before: the nearest of 512 seeds by pixels, moved to where these are nearer still."""

    def distance(images: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros(len(images))
        while images.shape[-1] >= 4:
            total = total + (images - target).square().mean((1, 2, 3))
            images, target = avg_pool2d(images, 2), avg_pool2d(target, 2)
        return total / 5

    with torch.no_grad():
        seeds = latents_from_seeds(range(512), generator.latent_dim)
        start = seeds[torch.cat([distance(generator(z), target) for z in seeds.split(64)]).argmin()][None]
    z = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], 0.07, betas=(0.9, 0.99))
    for _ in range(steps):
        loss = distance(generator(z), target) + 0.1 * (z - start).square().mean(1)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)
        optimizer.step()
    return z.detach()[0]


def test_a_face_of_the_generator_is_found_again_and_nearer_than_by_pixels_alone(generator, eye, latents, faces):
    def far(z: Tensor, face: Tensor) -> float:
        with torch.no_grad():
            seen = Sight(generator(z[None]), eye)
            return float(apart(seen, Sight(face[None], eye), examples_of(generator, eye).scales))

    found = [project(generator, face, eye, seconds=1e9) for face in faces]
    near = [far(z, face) for z, face in zip(found, faces)]
    before = [far(by_pixels(generator, face), face) for face in faces]
    assert sum(near) < 0.8 * sum(before), (near, before)
    assert torch.cosine_similarity(torch.stack(found), latents).mean() > 0.3  # by chance 0 with a deviation of 0.04
    strangers = [far(z, faces[i - 1]) for i, z in enumerate(latents)]
    assert sum(near) < 0.25 * sum(strangers), (near, strangers)
    assert all(one < 0.5 * other for one, other in zip(near, strangers)), (near, strangers)


def test_whatever_the_picture_the_latent_is_as_long_as_typical_ones(generator, eye):
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for target in (noise, torch.ones(3, 64, 64)):
        z = project(generator, target, eye, seconds=1.0)
        assert z.norm().item() == pytest.approx(generator.latent_dim**0.5, rel=1e-4)


def test_the_same_picture_gives_the_same_latent_and_progress_only_grows(generator, eye, faces):
    examples_of.cache_clear()
    heard: list[float] = []
    one = project(generator, faces[0], eye, seconds=1e9, progress=heard.append)
    assert len(heard) == EXAMPLES // CHUNK + STEPS and heard == sorted(heard) and heard[-1] == 1.0
    heard.clear()
    assert torch.equal(one, project(generator, faces[0], eye, seconds=1e9, progress=heard.append))
    assert len(heard) == STEPS and heard == sorted(heard) and heard[-1] == 1.0  # the examples are known by now
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_time_bounds_the_search_and_what_was_learned_is_not_lost(generator, eye, faces):
    examples_of.cache_clear()
    heard: list[float] = []
    began = time.monotonic()
    project(generator, faces[0], eye, seconds=1e-9, progress=heard.append)
    assert len(heard) == 2 + 1 and heard[-1] == 1.0  # two chunks of examples, and one step
    assert time.monotonic() - began < 10
    assert len(examples_of(generator, eye).z) == 2 * CHUNK
    project(generator, faces[0], eye, seconds=1e9)
    learned, fresh = examples_of(generator, eye), Examples(generator, eye)
    fresh.learn(float("inf"), lambda done: None)
    assert torch.allclose(learned.weights, fresh.weights, atol=1e-5)


def test_what_else_the_machine_does_meanwhile_does_not_shorten_the_search():
    torch.manual_seed(0)
    small = Generator(latent_dim=8, base_channels=4).eval()
    with torch.no_grad():
        (face,) = small(latents_from_seeds([9], 8))
    undisturbed = project(small, face, seconds=1e9)
    began = time.monotonic()
    held_up = project(small, face, seconds=2.0, progress=lambda done: time.sleep(0.05))
    assert time.monotonic() - began > 2.0 and torch.equal(held_up, undisturbed)


@pytest.mark.parametrize("options", [{"mapping_layers": 2, "blocks": 1}, {"image_size": 32, "image_channels": 1}, {}])
def test_any_generator_can_be_searched_with_or_without_an_eye(eye, options):
    torch.manual_seed(0)
    small = Generator(latent_dim=8, base_channels=4, **options).eval()
    with torch.no_grad():
        (face,) = small(latents_from_seeds([9], 8))
    for look in (eye, None):
        z = project(small, face, look, seconds=0.5)
        assert z.shape == (8,) and z.isfinite().all() and z.norm().item() == pytest.approx(8**0.5, rel=1e-4)


def test_without_an_eye_pixels_lead_to_a_face_of_these_colours(generator, faces):
    z = project(generator, faces[0], None, seconds=1e9)
    with torch.no_grad():
        found = generator(z[None])
        strangers = generator(latents_from_seeds(range(20), generator.latent_dim))
    coarse = [avg_pool2d(images, 8) - avg_pool2d(faces[:1], 8) for images in (found, strangers)]
    assert coarse[0].square().mean() < 0.5 * coarse[1].square().mean((1, 2, 3)).min()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_an_eye_is_the_discriminator_of_its_file_whatever_its_options(tmp_path, options):
    torch.manual_seed(0)
    discriminator = Discriminator(base_channels=4, **options).eval()
    for parameter in discriminator.parameters():  # what begins at zero would hide a mistake
        parameter.data += 0.1 * torch.randn_like(parameter)
    save_file({name: value.half() for name, value in discriminator.state_dict().items()}, tmp_path / DISCRIMINATOR)
    eye = Eye.load(tmp_path)
    assert eye is not None and eye.image_size == options.get("image_size", 64)
    images = torch.rand(5, eye.image_channels, eye.image_size, eye.image_size) * 2 - 1
    features, logits = eye(images)
    assert [level.shape[-1] for level in features] == [eye.image_size // 4 >> i for i in range(len(features))]
    assert features[-1].shape[-1] == 4 and torch.allclose(features[0].norm(dim=1), torch.ones(()), atol=1e-3)
    # Each face stands alone: without its neighbours, logits differ by what their spread is worth and no more.
    alone = torch.cat([eye(image[None])[1] for image in images])
    assert torch.allclose(alone, logits, atol=1e-3)
    if options.get("minibatch_std") is False:
        assert torch.allclose(logits, discriminator(images), atol=0.05)


@pytest.mark.parametrize("fault", ["none", "damaged", "norm", "shape", "infinite"])
def test_where_there_is_no_such_discriminator_there_is_no_eye(tmp_path, fault):
    state = Discriminator(base_channels=4, norm="batch" if fault == "norm" else "none").state_dict()
    if fault == "shape":
        state["layers.2.bias"] = torch.zeros(3)
    if fault == "infinite":
        state["layers.2.bias"][0] = float("nan")
    if fault == "damaged":
        Path(tmp_path, DISCRIMINATOR).write_bytes(b"no tensors")
    elif fault != "none":
        save_file(state, tmp_path / DISCRIMINATOR)
    assert Eye.load(tmp_path) is None


def test_our_drawings_are_small_square_faces_each_of_its_own_colours():
    found = {name: Image.open(io.BytesIO(png)) for name, png in drawings()}
    assert [*found] == [look.name for look in LOOKS] and all(len(png) < 15_000 for _, png in drawings())
    assert {image.size for image in found.values()} == {(SIDE, SIDE)}
    assert len({image.tobytes() for image in found.values()}) == len(LOOKS)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind, turned", [("PNG", False), ("JPEG", False), ("JPEG", True)])
def test_a_square_of_a_picture_is_cut_where_it_was_put_upright_and_however_it_is_decoded(kind, turned):
    upright = Image.new("RGB", (3000, 2000), "white")
    upright.paste("red", (2000, 400, 2600, 1000))
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90) if turned else upright
    data = encoded(lying, kind, exif=exif)
    pixels = decode_picture(data, 64, draft=True, square=(2000, 400, 600)).astype(int)
    assert np.abs(pixels - [255, 0, 0]).max() < 30
    beside = decode_picture(data, 64, draft=True, square=(1400, 400, 600)).astype(int)
    assert np.abs(beside[:, :60] - 255).max() < 30
    half = decode_picture(data, 64, draft=True, square=(1700, 400, 600)).astype(int)
    assert half[:, :30, 1].min() > 200 and half[:, 34:, 1].max() < 60
    for square in ((2401, 0, 600), (0, 1401, 600), (0, 0, 2001), (0, 0, 15)):
        with pytest.raises(OutsidePicture):
            decode_picture(data, 64, draft=True, square=square)


def test_a_small_square_of_a_large_jpeg_keeps_its_detail_and_a_huge_one_still_fits():
    stripes = np.zeros((2048, 2048, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    data = encoded(Image.fromarray(stripes), "JPEG", quality=95)
    assert np.ptp(decode_picture(data, 64, draft=True, square=(512, 512, 128))) > 200
    huge = encoded(Image.new("RGB", (6000, 5999)), "JPEG")
    assert decode_picture(huge, 64, max_pixels=2**24, draft=True, square=(5000, 5000, 64)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "square, words",
    [
        ("0,0", "empty, or left, top and side in pixels, such as '40,0,200', not '0,0'."),
        ("0,0,-5", "empty, or left, top and side in pixels, such as '40,0,200', not '0,0,-5'."),
        (None, "empty, or left, top and side in pixels, such as '40,0,200', not empty."),
        ("0,0,101", "inside the picture and at least 16 pixels a side, not '0,0,101'."),
        ("99999,0,64", "inside the picture and at least 16 pixels a side, not '99999,0,64'."),
    ],
)
def test_a_square_that_cannot_be_is_refused_in_a_sentence(tmp_path, square, words):
    files = FileCache(tmp_path)
    picture = files.add(encoded(Image.new("RGB", (200, 100)), "PNG"), "picture.png")
    assert face_in(files, picture, "100,0,100", 64).shape == (3, 64, 64)
    with pytest.raises(Refusal) as caught:
        face_in(files, picture, square, 64)
    assert str(caught.value) == f"Square must be {words}"
