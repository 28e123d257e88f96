"""Finds faces for the page and its API: by wish, and like another face."""

from ..finding import FaceIndex
from .cache import FileCache
from .checks import Refusal, as_sentence, must_be, whole_number
from .looks import Enlargement, look_of, suffix
from .models import LoadedModel, ModelStore
from .studio import MAX_COUNT, Album
from .walks import seed_or_none, walk

MAX_WISHES, MAX_TEXT = 8, 400
FOUND = 24  # faces, where nobody asks for another number
NO_INDEX = "No faces of this model were measured (it has no faces.safetensors); choose another one."


class Finder:
    """Looks into the indexes of ``models`` and draws what it finds into ``files``; raises what :class:`Studio` does."""

    def __init__(self, models: ModelStore, files: FileCache) -> None:
        self.models, self.files = models, files

    def find(self, wishes: str, count: int = FOUND, model: str = "", enlarge: Enlargement = "none") -> Album:
        """Find faces by wish among the first 10,000 seeds, the nearest first: PNGs with the seeds as captions.

        Args:
            wishes: 1 to 8 of what was measured, such as "green hair, light background".
            count: 1 to 64 faces.
            model: of the page, or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn, words = self.models[model], []
        index = known(drawn)
        if isinstance(wishes, str) and len(wishes) <= MAX_TEXT:
            words = [wish for part in wishes.replace(";", ",").split(",") if (wish := part.strip())]
        if not 1 <= len(words) <= MAX_WISHES:
            raise must_be("Wishes", f"1 to {MAX_WISHES} of {', '.join(index.phrases())}", wishes)
        try:
            seeds = index.find(words, whole_number("How many", count, 1, MAX_COUNT))
        except ValueError as error:
            raise error if isinstance(error, Refusal) else Refusal(as_sentence(error)) from None
        return self._album(drawn, seeds, look_of(enlarge))

    def similar(self, start: str, count: int = FOUND, model: str = "", enlarge: Enlargement = "none") -> Album:
        """Find the faces most like one, the nearest first, itself left out: PNGs with the seeds as captions.

        Of the first 10,000 seeds, those that differ least from it in all that was measured: hair, background and so on.
        What a face beyond these has of it is estimated from its latent.

        Args:
            start: a seed, a name, or the code of a face.
            count: 1 to 64 faces.
            model: of the page, or a public one's id; the page's own if empty.
            enlarge: as of /seed; sharp takes 40 ms a face at 128 pixels and 200 ms beyond.
        """
        drawn = self.models[model]
        index, dim = known(drawn), drawn.generator.latent_dim
        z, _ = walk(start, "", dim)
        seed = seed_or_none(start, dim)
        count = whole_number("How many", count, 1, MAX_COUNT)
        seeds = [found for found in index.nearest(drawn.attributes(z, seed), count + 1) if found != seed]
        return self._album(drawn, seeds[:count], look_of(enlarge))

    def _album(self, drawn: LoadedModel, seeds: list[int], look: str) -> Album:
        pngs = drawn.pngs([(seed, 1.0) for seed in seeds], look)  # what was measured are faces at truncation 1
        return [(self.files.add(png, f"seed-{seed}{suffix(look)}.png"), str(seed)) for seed, png in zip(seeds, pngs)]


def known(model: LoadedModel) -> FaceIndex:
    """The index of a model that has one."""
    if not model.index.labels:
        raise Refusal(NO_INDEX)
    return model.index
