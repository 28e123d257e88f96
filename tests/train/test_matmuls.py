"""Convolutions that are matrix products: the library's numbers, two derivatives, and only where they fit."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from model import Discriminator, Generator
from train.gan.losses import gradient_penalty
from train.gan.matmuls import covering, unfolding, use_matmuls


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


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
def test_networks_compute_the_same_with_them(autocast):
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


def test_they_serve_the_layers_that_fit_alone_and_change_no_name(monkeypatch):
    used = []
    for name, function in (("covering", covering), ("unfolding", unfolding)):

        def counted(function, x, weight, bias):
            used.append(tuple(x.shape[1:]))
            return function(x, weight, bias)

        monkeypatch.setattr(f"train.gan.matmuls.{name}", partial(counted, function))
    G, D = Generator(16, 8), Discriminator(8)
    names = [list(network.state_dict()) for network in (G, D)]
    for network in (G, D):
        use_matmuls(network)
    D(G(torch.randn(2, 16)))
    assert used == [(16, 1, 1), (65, 4, 4)]
    assert names == [list(network.state_dict()) for network in (G, D)]
    for network in (G, D):
        use_matmuls(network, False)
    D(G(torch.randn(2, 16)))
    assert len(used) == 2
