"""The short model card that a generator writes of itself: how to load it and draw."""

from huggingface_hub import ModelCard, ModelCardData

from .wheel import wheel_name, wheel_url

# What the Hub is told of every model of this kind.
LICENSE, LIBRARY, TASK = "mit", "anime-dcgan", "unconditional-image-generation"
TAGS = ("gan", "dcgan", "anime", "image-generation", "pytorch")
# By the first word the trainer's own card knows that it may take this one's place.
MARK = (
    "<!-- [PytorchModelHubMixin] This card was written by save_pretrained or push_to_hub and is written anew by the "
    "next; without this line it is left as it is. -->"
)

BODY = """
# {name}

A DCGAN that draws {size}x{size} pictures from random numbers: one seed, one picture.
{pictures}
## Load and draw

{install}

```python
from anime_dcgan import Generator

generator = Generator.from_pretrained({source})
face = generator.generate(seeds=[7])[0]  # a PIL image
face.save("7.png")
```
{merged}
A seed is a whole number from 0 to 4294967295. `truncation` scales the random numbers, from 0 (the average picture) to
1.5: lower is more regular, higher more varied, 1.0 is what the networks were trained with. For tensors, `generator(z)`
maps `z` of shape (N, {latent_dim}), standard normal, to images in [-1, 1].

What the weights were trained on and how well they draw was not written down here.

{mark}
"""
HUB_INSTALL = """The code, a Python package by the name of `anime_dcgan`, lies beside the weights:

```sh
pip install {url}
```

pip has no token for a private repository; fetch the file first there:

```sh
hf download {repo_id}{revision} {wheel} --local-dir . && pip install ./{wheel}
```"""
MERGED = "\nThis is a pull request: once it is merged, leave the revision out.\n"
FOLDER_INSTALL = "The code is the Python package `anime_dcgan`."
PICTURES = """
![64 drawn pictures in a grid](samples.png)

Seeds 0 to 63 in reading order, truncation 1.0; none was picked.

![Eleven pictures from seed 0 to seed 1](interpolation.png)
"""


def hub_install(repo_id: str, revision: str | None = None) -> str:
    """How to install the package from a repository, in Markdown."""
    option = f" --revision {revision}" if revision else ""
    options = {"url": wheel_url(repo_id, revision), "wheel": wheel_name(), "revision": option}
    return HUB_INSTALL.format(repo_id=repo_id, **options)


def is_short(card: str) -> bool:
    """Whether a card says nothing that was not written by a machine: one of these, or the mixin's own."""
    return MARK.split()[1] in card


def short_card(
    data: ModelCardData, image_size: int, latent_dim: int, repo_id: str | None = None, revision: str | None = None
) -> ModelCard:
    """The card.

    Args:
        data: its front matter.
        image_size: pixels of a side.
        latent_dim: length of ``z``.
        repo_id: "name/model" on the Hub, with the package and the pictures beside the card; without it the card is
            that of a folder.
        revision: branch of ``repo_id`` that the card lies on.
    """
    install = hub_install(repo_id, revision) if repo_id else FOLDER_INSTALL
    argument = f', revision="{revision}"' if revision else ""
    body = BODY.format(
        name=repo_id.split("/")[-1] if repo_id else "anime-dcgan",
        size=image_size,
        latent_dim=latent_dim,
        pictures=PICTURES if repo_id else "",
        install=install,
        merged=MERGED if revision and revision.startswith("refs/") else "",
        source=f'"{repo_id}"{argument}' if repo_id else '"path/to/this/folder"',
        mark=MARK,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}")
