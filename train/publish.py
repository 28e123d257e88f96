"""From a weights folder to the Hugging Face Hub: card, weights, pictures and code in one commit; the page as a Space.

    HF_TOKEN=... python -m train.publish runs/anime-dcgan/weights --hub_model_id me/anime-dcgan
    python -m train.publish weights --hub_model_id me/anime-dcgan --hub_private_repo --hub_revision v2
    python -m train.publish weights --hub_model_id you/anime-dcgan --create_pr
    python -m train.publish weights --hub_model_id me/anime-dcgan --tag v1 --space me/anime-faces
    python -m train.publish --space me/anime-faces --dry_run
    python -m train.publish --static_space me/anime-faces-in-the-browser
    python -m train.publish weights --card_only

Repositories and the branch are made where they are missing. The card, README.md, is made anew each time from
config.json, training.json and metrics.json; one that was edited by hand is uploaded as it is (delete it for a new
one). What python -m train.to_onnx wrote goes along. What was made from other weights than those of the folder is left
out. What an earlier upload had and this one has not is deleted there. A Space that is published together with its
model is pinned to that very commit. To read a private one it needs a token of its own as its secret HF_TOKEN, which
SPACE_TOKEN sets; it is private then, too.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.files import local_path
from train.errors import FAILURE, UserError, exit_code, run
from train.output.weights_folder import check_onnx, check_weights
from train.release.card import write_card
from train.release.hub import MODEL, SPACE, STATIC_SPACE, Repository
from train.release.model_repo import (
    MESSAGE,
    ROOT,
    branch,
    model_files,
    retrying,
    upload_model,
    warn_of_strangers,
)
from train.release.space import Pin, check_page, space_files, static_files, upload_space, upload_static_space


@dataclass
class Plan:
    """What is to be uploaded where, all of it checked."""

    model: Repository | None
    space: Repository | None
    static_space: Repository | None


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = "default: weights/ of this repository"
    parser.add_argument("weights_folder", type=local_path, nargs="?", default=ROOT / "weights", help=folder)
    parser.add_argument("--hub_model_id", help="model repository to upload to, as name/model")
    parser.add_argument("--hub_private_repo", action="store_true", help="make the repositories private")
    parser.add_argument("--hub_revision", help="branch to upload to (default: main)")
    parser.add_argument("--create_pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--tag", help="name of this release, such as v1")
    parser.add_argument("--space", help="Space to upload the page to, as name/space; it draws with these weights")
    parser.add_argument("--static_space", help="Space to upload the page without a server to, after train.to_onnx")
    parser.add_argument("--commit_message", default=MESSAGE, help="first line of the commit")
    parser.add_argument("--card_only", action="store_true", help="write the card and upload nothing")
    parser.add_argument("--dry_run", action="store_true", help="list the files and upload nothing")
    return parser.parse_args(argv)


def plan(args: argparse.Namespace) -> Plan:
    """Check the arguments and the weights folder, without asking the Hub."""
    for name, value in vars(args).items():
        if isinstance(value, str) and not value.strip():
            raise UserError(f"--{name}", "it is empty; give a value, or leave the option out")
    if args.card_only and args.dry_run:
        raise UserError("--dry_run", "it writes nothing; leave out --card_only")
    if not (args.hub_model_id or args.space or args.static_space or args.card_only):
        raise UserError("--hub_model_id", "give the repository to upload to, as name/model")
    model = space = static_space = None
    if args.hub_model_id:
        options = {"revision": args.hub_revision, "create_pr": args.create_pr, "tag": args.tag}
        model = Repository(args.hub_model_id, MODEL, private=args.hub_private_repo, **options)
    if args.space:
        space = Repository(args.space, SPACE, private=args.hub_private_repo)
        check_page()
    if args.static_space:
        if args.static_space == args.space:
            raise UserError("--static_space", f"'{args.space}' is the Space of the other page; give another name")
        static_space = Repository(args.static_space, STATIC_SPACE, private=args.hub_private_repo)
    check_weights(args.weights_folder)
    if args.static_space:
        check_onnx(args.weights_folder)
    return Plan(model, space, static_space)


def renew_card(folder: Path, repository: Repository | None) -> Path:
    """Write the card, as it will lie in ``repository``; UserError where that is impossible."""
    try:
        return write_card(folder, repository.id, branch(repository)) if repository else write_card(folder)
    except OSError as error:
        raise UserError("weights_folder", f"the card cannot be written ({error.strerror})") from error


def show(plan: Plan, folder: Path) -> None:
    """List what would be uploaded."""
    if plan.model:
        show_files(model_files(folder, plan.model.id, branch(plan.model)), plan.model.id)
    if plan.space:
        show_files(space_files(folder), f"spaces/{plan.space.id}")
    if plan.static_space:
        show_files(static_files(folder, Path("onnxruntime-web")), f"spaces/{plan.static_space.id}")


def show_files(files: Mapping[str, Path | bytes], repo_id: str) -> None:
    """Sizes and names."""
    print(f"{repo_id}:")
    for name, content in files.items():
        print(f"{size_of(content):>12}  {name}")


def size_of(content: Path | bytes) -> int | str:
    """In bytes; "new" for what has yet to be fetched."""
    if isinstance(content, bytes):
        return len(content)
    return content.stat().st_size if content.exists() else "new"


def upload(plan: Plan, folder: Path, message: str, command: list[str]) -> None:
    """Upload what was planned, the model first, and print the addresses of the commits."""
    pinned = None
    files = model_files(folder, plan.model.id, branch(plan.model)) if plan.model else {}
    with exit_code(FAILURE), retrying(folder, command):
        if plan.model:
            commit = upload_model(plan.model, folder, files, message)
            pinned = Pin(plan.model.id, commit.oid, plan.model.is_private)
            if plan.model.create_pr and not commit.changed:
                print(f"'{plan.model.id}' holds all of it already; no pull request was opened")
            else:
                print(commit.url)
        if plan.space:
            print(upload_space(plan.space, folder, pinned))
        if plan.static_space:
            print(upload_static_space(plan.static_space, folder))


def work(args: argparse.Namespace, command: list[str]) -> None:
    checked = plan(args)
    warn_of_strangers(args.weights_folder)
    if args.card_only:
        print(renew_card(args.weights_folder, checked.model))
    elif args.dry_run:
        show(checked, args.weights_folder)
    else:
        upload(checked, args.weights_folder, args.commit_message, command)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 where the upload failed, 2 for bad arguments."""
    args = parse_args(argv)
    command = ["python", "-m", "train.publish", *(sys.argv[1:] if argv is None else argv)]
    return run(partial(work, args, command), "publish")


if __name__ == "__main__":
    sys.exit(main())
