"""generate() and draw(): the same faces whatever else goes on, and a model that is left as it was."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model import Generator, latents_from_seeds

ROOT = Path(__file__).resolve().parents[2]


def pixels(images) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images]).astype(int)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained(ROOT / "weights")


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_frozen_layers_stay_frozen_and_all_else_in_training():
    G = Generator(base_channels=4).train()
    for module in G.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    before, state = modes(G), {name: tensor.clone() for name, tensor in G.state_dict().items()}
    faces = pixels(G.generate([1, 2]))
    assert modes(G) == before and True in before
    assert all(torch.equal(tensor, state[name]) for name, tensor in G.state_dict().items())
    assert np.array_equal(faces, pixels(G.eval().generate([1, 2])))
    G.layers[1].train()  # in part only: the whole says eval
    assert np.array_equal(faces, pixels(G.generate([1, 2]))) and G.layers[1].training and not G.training


def test_eight_threads_draw_from_a_model_in_training_and_change_nothing():
    torch.manual_seed(0)
    G = Generator(base_channels=8)
    G(torch.randn(64, 128))  # statistics that are not those of the start
    expected = pixels(G.eval().generate(range(32)))
    state = {name: tensor.clone() for name, tensor in G.train().state_dict().items()}
    drawn: dict[int, np.ndarray] = {}

    def draw(first: int) -> None:
        for seed in range(first, 32, 8):
            drawn[seed] = pixels(G.generate([seed]))[0]

    threads = [threading.Thread(target=draw, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.stack([drawn[seed] for seed in range(32)]), expected)
    assert all(modes(G)) and all(torch.equal(tensor, state[name]) for name, tensor in G.state_dict().items())


def test_drawing_draws_with_the_weights_of_that_moment():
    G = Generator(base_channels=4).train()
    before = pixels(G.generate([7]))
    with torch.no_grad():
        G.layers[0].weight.mul_(-1)
    assert not np.array_equal(before, pixels(G.generate([7])))


def test_parts_that_occur_twice_or_have_parametrizations_draw():
    class Doubled(Generator):
        def __init__(self) -> None:
            super().__init__(8, 2, 32)
            self.again, self.absent = self.layers, None
            nn.utils.parametrizations.weight_norm(self.layers[0])

        def forward(self, z):
            assert self.again is self.layers and self.absent is None
            return self.again(z[:, :, None, None])

    G = Doubled().train()
    assert np.array_equal(pixels(G.generate([1])), pixels(G.eval().generate([1])))


@contextmanager
def default(dtype: torch.dtype, device: str):
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


@pytest.mark.parametrize("dtype, device", [(torch.float64, "cpu"), (torch.bfloat16, "cpu"), (torch.float32, "meta")])
def test_seeds_do_not_follow_pytorchs_defaults(generator, dtype, device):
    z, face = latents_from_seeds([7], 128), pixels(generator.generate([7]))
    with default(dtype, device):
        again, empty = latents_from_seeds([7], 128), latents_from_seeds([], 128)
        loaded = Generator.from_pretrained(ROOT / "weights")
        drawn, from_lists = pixels(loaded.generate([7])), pixels(loaded.generate(z=z.tolist()))
    assert again.dtype == empty.dtype == torch.float32 and again.device.type == empty.device.type == "cpu"
    assert torch.equal(z, again) and np.array_equal(face, drawn) and np.array_equal(face, from_lists)


@pytest.mark.parametrize(
    "seeds", [torch.tensor([7, 8]), [torch.tensor(7), np.int64(8)], np.array([7, 8], np.uint32), (7, np.array(8))]
)
def test_whole_numbers_of_other_libraries_are_seeds(generator, seeds):
    assert torch.equal(latents_from_seeds(seeds, 128), latents_from_seeds([7, 8], 128))
    assert np.array_equal(pixels(generator.generate(seeds)), pixels(generator.generate([7, 8])))


@pytest.mark.parametrize(
    "seeds", [7, torch.tensor(7), torch.tensor([7.0]), torch.tensor([True]), [np.bool_(True)], "7", ["alice"], [2**32]]
)
def test_what_is_no_list_of_seeds_gets_a_sentence(generator, seeds):
    with pytest.raises(ValueError, match="^seeds?: .{1,60} is not a"):
        generator.generate(seeds)


def test_z_may_be_an_array_or_lists(generator):
    z = latents_from_seeds([7, 8], 128)
    face = pixels(generator.generate(z=z))
    for same in (z.numpy(), z.numpy().astype(np.float64), z.tolist(), list(z), z.double()):
        assert np.array_equal(face, pixels(generator.generate(z=same)))
    for bad in (z[0], z[:, :5], "z", [["a"]], [[1.0], [1.0, 2.0]], z * torch.nan, z.numpy() * np.inf):
        with pytest.raises(ValueError, match="^z: "):
            generator.generate(z=bad)
    assert generator.generate(z=z[:0]) == generator.generate([]) == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "8"])
def test_bad_options_get_a_sentence(generator, batch_size):
    for draw in (generator.generate, lambda *given, **options: list(generator.draw(*given, **options))):
        with pytest.raises(ValueError, match="^batch_size: "):
            draw([7], batch_size=batch_size)
        for truncation in (2, float("nan"), "1"):
            with pytest.raises(ValueError, match="^truncation: "):
                draw([7], truncation=truncation)


def test_batches_draw_the_same_faces_but_for_the_last_bit(generator):
    alone = pixels(generator.generate(range(80), truncation=0.9))
    for batch in (
        generator.generate(range(80), truncation=0.9, batch_size=32),
        generator.draw(range(80), truncation=0.9),
    ):
        difference = np.abs(pixels(batch) - alone)
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-4


def test_draw_takes_no_more_seeds_than_a_batch_ahead(generator):
    taken = []
    faces = generator.draw((taken.append(seed) or seed for seed in range(10**9)), batch_size=4)
    for _ in range(5):
        next(faces)
    assert taken == list(range(8))


THREADS = """
import hashlib, sys
import numpy as np, torch
from model import Generator
torch.set_num_threads(int(sys.argv[1]))
faces = Generator.from_pretrained("weights").generate(range(32))
sys.stdout.buffer.write(np.stack([np.asarray(face) for face in faces]).tobytes())
"""


def test_any_number_of_threads_draws_the_same_within_1_of_255():
    """As the docstring says: 1, 3 and 7 threads sum up the last layer in different order."""
    drawn = []
    for threads in ("1", "3", "7"):
        command = [sys.executable, "-c", THREADS, threads]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
        drawn.append(np.frombuffer(done.stdout, np.uint8).astype(int))
    for other in drawn[1:]:
        assert len(other) == 32 * 64 * 64 * 3
        difference = np.abs(other - drawn[0])
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-4
