"""Saves a generator in a folder or on the Hub with all that belongs beside it, and nothing of other weights."""

import hashlib
import os
import re
import shutil
import tempfile
import warnings
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import CommitInfo, HfApi, ModelCard, PyTorchModelHubMixin
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

from .card import is_short, short_card
from .errors import uploading
from .sampling import image_grid, interpolate, latents_from_seeds
from .wheel import PACKAGE, WHEELS, make_wheel, wheel_name

if TYPE_CHECKING:
    from .generator import Generator

CARD = "README.md"
# Made from certain weights, or measured on them: of no use, or untrue, beside others. A name with / is a folder.
MADE_FROM = (
    "onnx/",
    "directions.safetensors",
    "directions.json",
    "discriminator.safetensors",
    "faces.safetensors",
    "metrics.json",
)
TOLD_BY_CARD = ("training.json", "directions.png", "losses.png", "progress.webp")  # these stay as long as a full card


class SavedOnHub(PyTorchModelHubMixin):
    """``save_pretrained`` and ``push_to_hub`` of a generator."""

    image_size: int
    latent_dim: int

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The short card; of ``kwargs`` it takes ``repo_id`` and ``revision``, see :func:`card.short_card`."""
        options = {name: kwargs.get(name) for name in ("repo_id", "revision")}
        return short_card(self._hub_mixin_info.model_card_data, self.image_size, self.latent_dim, **options)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write config.json, model.safetensors and a short README.md into a folder, each file whole.

        A README.md that somebody wrote stays. What was made from other weights that were there (onnx/, directions,
        discriminator, metrics) is removed, with a warning.

        Args:
            save_directory: made where it is missing.
            config: what config.json says; default are the arguments of the class.
            repo_id: id on the Hub that the folder is meant for: card, pictures and package are written for it.
            push_to_hub: upload as well, to ``repo_id`` or the name of the folder; ``push_to_hub_kwargs`` go there.
            model_card_kwargs: see :meth:`generate_model_card`.

        Returns:
            The address of the commit if ``push_to_hub``.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        card = {"repo_id": repo_id} | (model_card_kwargs or {})
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as new:
            super().save_pretrained(new, config=config, model_card_kwargs=card)
            if repo_id:
                add_for_the_hub(cast("Generator", self), Path(new))
            put(Path(new), folder)
        if not push_to_hub:
            return None
        options = push_to_hub_kwargs | {"config": config, "model_card_kwargs": model_card_kwargs}
        return self.push_to_hub(repo_id or folder.name, **options)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        config: Any = None,
        commit_message: str = "Upload the generator",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        revision: str | None = None,
        create_pr: bool | None = None,
        allow_patterns: list[str] | str | None = None,
        ignore_patterns: list[str] | str | None = None,
        delete_patterns: list[str] | str | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Upload weights, config, package, pictures and, unless somebody wrote one there, a short card, in one commit.

        What the repository holds that was made from other weights is deleted in the same commit.

        Args:
            repo_id: "name/model"; made where it is missing.
            config: what config.json says; default are the arguments of the class.
            commit_message: first line of the commit.
            private: make a new repository private.
            token: default is HF_TOKEN or the login of ``hf auth login``.
            branch: default is main; made where it is missing.
            revision: another name of ``branch``, that of :meth:`from_pretrained`.
            create_pr: open a pull request to main instead; its card, which loads from it, is a second commit.
            allow_patterns: upload files that match these alone.
            ignore_patterns: do not upload files that match these.
            delete_patterns: delete files that match these there, too.
            model_card_kwargs: see :meth:`generate_model_card`.

        Returns:
            The address of the commit.

        Raises:
            UploadError: the repository, the branch or the token is none, or the Hub cannot be reached; one sentence. A
                ValueError.
            ValueError: an argument cannot be.
        """
        branch = branch_of(branch, revision, bool(create_pr))
        api = HfApi(token=token)
        repo_id = prepare(api, repo_id, private, branch)
        card = {"revision": branch} | (model_card_kwargs or {})
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, config=config, repo_id=repo_id, model_card_kwargs=card)
            with uploading(repo_id, branch):
                kept, gone = kept_and_gone(api, repo_id, branch, Path(folder))
                left = [*as_list(ignore_patterns), *[CARD] * kept]
                patterns: dict[str, Any] = {"allow_patterns": allow_patterns, "ignore_patterns": left}
                where: dict[str, Any] = {"repo_id": repo_id, "revision": branch, "create_pr": create_pr}
                what = {"folder_path": folder, "delete_patterns": gone + as_list(delete_patterns), **patterns}
                commit: CommitInfo = api.upload_folder(commit_message=commit_message, **where, **what)
        if commit.pr_revision and list(filter_repo_objects([CARD], **patterns)):  # only now it is known where it lies
            card = {"repo_id": repo_id, "revision": commit.pr_revision} | (model_card_kwargs or {})
            replace_card(api, repo_id, commit.pr_revision, self.generate_model_card(**card))
        return commit


def branch_of(branch: str | None, revision: str | None, create_pr: bool) -> str | None:
    """The branch to upload to, None for main; ValueError, one sentence, if it cannot be one."""
    if branch and revision and branch != revision:
        raise ValueError(f"revision: '{revision}' is not the branch '{branch}'; give one of them")
    option, name = "branch" if branch else "revision", branch or revision
    if not name or name == "main":
        return None
    if create_pr:
        raise ValueError(f"{option}: a pull request goes to the main branch, not to '{name}'; leave out one of them")
    if re.fullmatch("[0-9a-f]{40}", name):
        raise ValueError(f"{option}: '{name}' is a commit, which cannot be added to; give a branch")
    return name


def prepare(api: HfApi, repo_id: str, private: bool | None, branch: str | None) -> str:
    """The full id of a repository that is there, with its branch; UploadError where that fails."""
    if not isinstance(repo_id, str):
        raise ValueError(f"repo_id: {repo_id!r:.40} is not the id of a model on the Hub")
    with uploading(repo_id, branch):
        if (branch or "").startswith("refs/"):  # a pull request, which is there or not
            return str(api.model_info(repo_id, revision=branch).id)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if branch:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
    return repo_id


def replace_card(api: HfApi, repo_id: str, pull_request: str, card: ModelCard) -> None:
    """Put a card that loads from a pull request into it."""
    options: dict[str, Any] = {"path_in_repo": CARD, "repo_id": repo_id, "revision": pull_request}
    message = "The card loads from this pull request"
    with uploading(repo_id):
        api.upload_file(path_or_fileobj=str(card).encode(), commit_message=message, **options)


def belongs(name: str, names: tuple[str, ...]) -> bool:
    """Whether the file ``name`` is one of ``names`` or lies in one of their folders."""
    return name in names or name.startswith(tuple(folder for folder in names if folder.endswith("/")))


def sha256(file: Path) -> str:
    """The digest of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def put(new: Path, folder: Path) -> None:
    """Move what was saved in ``new`` into ``folder``; what was made from the weights that were there goes, with a word.

    A card that was edited, or written by the trainer, stays.
    """
    made = [path for path in new.rglob("*") if path.is_file()]
    for path in made:
        if (folder / path.relative_to(new)).is_dir():  # before anything is touched
            raise IsADirectoryError(f"'{folder / path.relative_to(new)}' is a folder where a file is to be")
    old = folder / SAFETENSORS_SINGLE_FILE
    if old.is_file() and sha256(old) != sha256(new / SAFETENSORS_SINGLE_FILE):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        stale = [path for path in files if belongs(path.relative_to(folder).as_posix(), MADE_FROM)]
        for path in stale:
            path.unlink()
        if stale:
            names = ", ".join(path.relative_to(folder).as_posix() for path in stale)
            warnings.warn(f"'{folder}': {names}: made from the weights that were there before, removed", stacklevel=3)
    card = folder / CARD
    if card.is_file() and not is_short(card.read_text(encoding="utf-8", errors="replace")):
        made.remove(new / CARD)
    shutil.copymode(new / CONFIG_NAME, new / SAFETENSORS_SINGLE_FILE)  # not for the owner alone
    for path in made:
        target = folder / path.relative_to(new)
        target.parent.mkdir(exist_ok=True)
        os.replace(path, target)


def add_for_the_hub(generator: "Generator", folder: Path) -> None:
    """Write what only a repository needs: the package, as a wheel too, and samples.png and interpolation.png.

    Drawn by what lies in ``folder``: whoever loads that gets float32, however the weights are stored.
    """
    generator = type(generator).from_pretrained(folder)
    (folder / wheel_name()).write_bytes(make_wheel())
    (folder / PACKAGE).mkdir()
    for path in Path(__file__).parent.glob("*.py"):
        shutil.copy(path, folder / PACKAGE)
    image_grid(list(generator.draw(range(64)))).save(folder / "samples.png")
    z = interpolate(latents_from_seeds([0, 1], generator.latent_dim), 10)  # (11, latent_dim)
    image_grid(generator.generate(z=z), columns=len(z)).save(folder / "interpolation.png")


def kept_and_gone(api: HfApi, repo_id: str, revision: str | None, folder: Path) -> tuple[bool, list[str]]:
    """Whether a repository's card must stay, and which of its files may not stay beside the weights of ``folder``."""
    tree = api.list_repo_tree(repo_id, recursive=True, revision=revision)
    there = {file.path: file for file in tree if isinstance(file, RepoFile)}
    kept = False
    if CARD in there:
        card = api.hf_hub_download(repo_id, CARD, revision=revision)
        kept = not is_short(Path(card).read_text(encoding="utf-8", errors="replace"))
    weights = there.get(SAFETENSORS_SINGLE_FILE)
    same = weights and weights.lfs and weights.lfs.sha256 == sha256(folder / SAFETENSORS_SINGLE_FILE)
    names = () if same else MADE_FROM if kept else MADE_FROM + TOLD_BY_CARD
    gone = [name for name in there if belongs(name, names)]
    code = [name for name in there if name.startswith(f"{PACKAGE}/") or fnmatch(name, WHEELS)]
    gone += [name for name in code if not (folder / name).is_file()]
    if kept and weights and not same:
        warnings.warn(f"{CARD} of '{repo_id}' was left as it is; what it says of earlier weights, mend", stacklevel=3)
    return kept, gone


def as_list(patterns: list[str] | str | None) -> list[str]:
    """Patterns of file names, however they were given."""
    return [patterns] if isinstance(patterns, str) else list(patterns or [])
