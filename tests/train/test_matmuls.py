"""Convolutions as matrix products: the library's numbers, first and second derivatives, and only where they pay."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from model import Discriminator, Generator
from train.gan.losses import gradient_penalty
from train.gan.matmuls import covering, strided, transposed, unfolding, use_matmuls


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("k", [3, 4])
def test_strided_is_the_convolution_and_can_be_differentiated_twice(k, bias):
    torch.manual_seed(0)
    arguments = numbers(2, 2, 6, 4), numbers(3, 2, k, k), numbers(3) if bias else None
    assert torch.allclose(strided(*arguments), conv2d(*arguments, stride=2, padding=1))
    assert torch.autograd.gradcheck(strided, arguments) and torch.autograd.gradgradcheck(strided, arguments)


@pytest.mark.parametrize("bias", [True, False])
def test_transposed_is_the_transposed_convolution_and_can_be_differentiated_twice(bias):
    torch.manual_seed(0)
    arguments = numbers(2, 2, 3, 2), numbers(2, 3, 4, 4), numbers(3) if bias else None
    transposed(*arguments).relu_().sum().backward()  # in place, as where a network has no BatchNorm
    assert torch.allclose(transposed(*arguments), conv_transpose2d(*arguments, stride=2, padding=1))
    assert torch.autograd.gradcheck(transposed, arguments) and torch.autograd.gradgradcheck(transposed, arguments)


@pytest.mark.parametrize("bias", [True, False])
def test_kernels_as_large_as_their_picture_are_products_and_can_be_differentiated_twice(bias):
    torch.manual_seed(0)
    last = numbers(2, 3, 4, 4), numbers(5, 3, 4, 4), numbers(5) if bias else None
    first = numbers(2, 3, 1, 1), numbers(3, 5, 4, 4), numbers(5) if bias else None
    assert torch.allclose(covering(*last), conv2d(*last))
    assert torch.allclose(unfolding(*first), conv_transpose2d(*first))
    for layer, arguments in ((covering, last), (unfolding, first)):
        assert torch.autograd.gradcheck(layer, arguments) and torch.autograd.gradgradcheck(layer, arguments)


@pytest.mark.parametrize("autocast", [False, True])
def test_networks_compute_the_same_with_them(monkeypatch, autocast):
    monkeypatch.setattr("train.gan.matmuls.LEAST", 0)
    torch.manual_seed(0)
    networks = [Generator(16, 8), Discriminator(8, hidden=8, blocks=1)]
    others = copy.deepcopy(networks)
    for network in others:
        use_matmuls(network)
    z = torch.randn(8, 16)
    found = []
    for G, D in (networks, others):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            images = G(z)
            real = images.detach().float().requires_grad_()
            penalty = gradient_penalty(D(real).float(), real)
            (D(images).float().mean() + penalty).backward()
        found.append([images.detach().float(), *(p.grad for p in (*G.parameters(), *D.parameters()))])
    for one, other in zip(*found):
        assert (one - other).norm() <= one.norm() * (0.2 if autocast else 1e-4) + 1e-6


def test_they_serve_small_pictures_of_many_channels_alone_and_change_no_name(monkeypatch):
    used = []
    for name, function in (("strided", strided), ("transposed", transposed)):

        def counted(function, x, weight, bias):
            used.append(tuple(x.shape[1:]))
            return function(x, weight, bias)

        monkeypatch.setattr(f"train.gan.matmuls.{name}", partial(counted, function))
    monkeypatch.setattr("train.gan.matmuls.LEAST", 64 * 32 * 9)
    G, D = Generator(16, 8), Discriminator(8)
    names = [list(network.state_dict()) for network in (G, D)]
    for network in (G, D):
        use_matmuls(network)
    D(G(torch.randn(2, 16)))
    assert used == [(64, 4, 4), (32, 8, 8)]
    monkeypatch.setattr("train.gan.matmuls.LEAST", 2**20)
    D(G(torch.randn(2, 16)))
    assert len(used) == 2  # not with so few channels
    assert names == [list(network.state_dict()) for network in (G, D)]
    for network in (G, D):
        use_matmuls(network, False)
    D(G(torch.randn(2, 16)))
    assert len(used) == 2
