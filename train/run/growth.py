"""Filling networks with the weights of smaller ones: what is added starts at zero, so that nothing learnt is lost."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from model.blocks import ADDITIONS, Constant


def additions(network: nn.Module) -> set[str]:
    """The names of all tensors in parts that start at zero and may be missing from what the network is filled with."""
    parts = ((name, module) for name, module in network.named_modules() if isinstance(module, tuple(ADDITIONS)))
    return {f"{name}.{key}" for name, module in parts for key in module.state_dict()}


def wanted(network: nn.Module, found: Iterable[str]) -> dict[str, Tensor]:
    """The network's tensors without those additions that are not among the names ``found``."""
    optional = additions(network) - set(found)
    return {name: tensor for name, tensor in network.state_dict().items() if name not in optional}


def widened(layer: nn.Module, name: str, new: Tensor, old: Tensor) -> Tensor:
    """A layer's tensor ``new`` with ``old`` in its first channels, so that these go on computing what they did.

    They take nothing from the channels that are new, which begin with the weights that they have (Chen et al. 2016,
    arXiv:1511.05641, copy channels instead).
    """
    filled = new.clone()
    if name == "weight" and old.ndim == 4:
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        filled.narrow(outputs, 0, old.shape[outputs]).zero_()
    filled[tuple(slice(side) for side in old.shape)] = old
    return filled


def fill(network: nn.Module, tensors: Mapping[str, Tensor], wider: bool = False) -> list[str]:
    """Load the tensors; parts that are not among them stay as they are.

    Args:
        network: whose additions may be missing from the tensors.
        tensors: of a network of the same kind.
        wider: also where the network's convolutions and BatchNorms have more channels.

    Returns:
        What was added, for people; empty where the tensors are those of the whole network.

    Raises:
        ValueError: a tensor has another shape, is not the network's, or is missing and no addition's; none is loaded.
    """
    expected, loaded = wanted(network, tensors), dict(tensors)
    if expected.keys() != tensors.keys():
        raise ValueError("the networks have other parts")
    more = {name for name, new in expected.items() if new.shape != tensors[name].shape}
    for name in more:
        layer = network.get_submodule(name.rpartition(".")[0])
        new, old = expected[name], tensors[name]
        widens = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d | Constant)
        may = wider and widens and new.ndim == old.ndim
        if not may or new.shape[2:] != old.shape[2:] or any(a < b for a, b in zip(new.shape, old.shape)):
            raise ValueError("the networks have other shapes")
        loaded[name] = widened(layer, name.rpartition(".")[2], new, old)
    network.load_state_dict(loaded, strict=False)
    added = network.state_dict().keys() - expected.keys()
    kinds = {kind: name for name, module in network.named_modules() for kind in ADDITIONS if type(module) is kind}
    found = [ADDITIONS[kind] for kind, name in kinds.items() if any(key.startswith(f"{name}.") for key in added)]
    return found + ["channels"] * bool(more)
