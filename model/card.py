"""The short model card that a generator writes of itself: how to load it and draw."""

from huggingface_hub import ModelCard, ModelCardData

# By the first word the trainer's own card knows that it may take this one's place.
MARK = (
    "<!-- [PytorchModelHubMixin] This card was written by save_pretrained or push_to_hub and is written anew by the "
    "next; without this line it is left as it is. -->"
)
REQUIREMENTS = '"torch>=2.6,<3" "huggingface_hub>=1.16,<3" "safetensors>=0.5,<1" "numpy>=1.26,<3" "pillow>=10.3,<14"'

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

A seed is a whole number from 0 to 4294967295. `truncation` scales the random numbers, from 0 (the average picture) to
1.5: lower is more regular, higher more varied, 1.0 is what the networks were trained with. For tensors, `generator(z)`
maps `z` of shape (N, {latent_dim}), standard normal, to images in [-1, 1].

What the weights were trained on and how well they draw was not written down here.

{mark}
"""
HUB_INSTALL = """The code, a Python package by the name of `anime_dcgan`, lies beside the weights. These two commands \
put it into the folder of your script:

```sh
pip install {requirements}
hf download {repo_id}{revision} --include "anime_dcgan/*" --local-dir .
```"""
FOLDER_INSTALL = "The code is the Python package `anime_dcgan`."
PICTURES = """
![64 drawn pictures in a grid](samples.png)

Seeds 0 to 63 in reading order, truncation 1.0; none was picked.

![Eleven pictures from seed 0 to seed 1](interpolation.png)
"""


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
    option = f" --revision {revision}" if revision else ""
    install = HUB_INSTALL.format(requirements=REQUIREMENTS, repo_id=repo_id, revision=option)
    argument = f', revision="{revision}"' if revision else ""
    body = BODY.format(
        name=repo_id.split("/")[-1] if repo_id else "anime-dcgan",
        size=image_size,
        latent_dim=latent_dim,
        pictures=PICTURES if repo_id else "",
        install=install if repo_id else FOLDER_INSTALL,
        source=f'"{repo_id}"{argument}' if repo_id else '"path/to/this/folder"',
        mark=MARK,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}")
