"""Filling networks with the weights of smaller ones: what is added starts at zero, so that nothing learnt is lost."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from model.blocks import ADDITIONS


def additions(network: nn.Module) -> set[str]:
    """The names of all tensors in parts that start at zero and may be missing from what the network is filled with."""
    parts = ((name, module) for name, module in network.named_modules() if isinstance(module, tuple(ADDITIONS)))
    return {f"{name}.{key}" for name, module in parts for key in module.state_dict()}


def wanted(network: nn.Module, found: Iterable[str]) -> dict[str, Tensor]:
    """The network's tensors without those additions that are not among the names ``found``."""
    optional = additions(network) - set(found)
    return {name: tensor for name, tensor in network.state_dict().items() if name not in optional}


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Load the tensors; what is not among them stays as it is.

    Returns:
        What was added, for people; empty where the tensors are those of the whole network.

    Raises:
        ValueError: a tensor has another shape, is not the network's, or is missing and no addition's.
    """
    expected = wanted(network, tensors)
    if {name: x.shape for name, x in expected.items()} != {name: x.shape for name, x in tensors.items()}:
        raise ValueError("the networks have other shapes")
    network.load_state_dict(dict(tensors), strict=False)
    new = network.state_dict().keys() - expected.keys()
    kinds = {kind: name for name, module in network.named_modules() for kind in ADDITIONS if isinstance(module, kind)}
    return [ADDITIONS[kind] for kind, name in kinds.items() if any(key.startswith(f"{name}.") for key in new)]
