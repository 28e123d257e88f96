#!/usr/bin/env python
"""From a weights folder to the Hugging Face Hub: card, weights, pictures and code in one commit; the page as a Space.

    HF_TOKEN=... python -m train.publish runs/anime-dcgan/weights --hub_model_id me/anime-dcgan
    python -m train.publish weights --hub_model_id me/anime-dcgan --hub_private_repo --hub_revision v2
    python -m train.publish weights --hub_model_id you/anime-dcgan --create_pr
    python -m train.publish weights --hub_model_id me/anime-dcgan --tag v1 --space me/anime-faces
    python -m train.publish --space me/anime-faces --dry_run
    python -m train.publish --static_space me/anime-faces-in-the-browser
    python -m train.publish weights --card_only

Repositories and the branch are made where they are missing. The card, README.md, is written anew each time from
config.json, training.json and metrics.json; one that was edited by hand is uploaded as it is (delete it for a new
one). What python -m train.to_onnx wrote goes along. What an earlier upload had and this one has not is deleted there.
A Space that is published together with its model is pinned to that very commit.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from huggingface_hub import CommitInfo

from train.output.weights_folder import FILES, PACKAGE, ROOT, check_onnx, check_weights, model_files
from train.release import space
from train.release.card import write_card
from train.release.hub import CLIENT_ERRORS, PublishError, check_target, connect, failure, replace_files


def upload_model(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload the generator",
) -> CommitInfo:
    """As ``push``, for whoever wants to know the commit: its ``oid`` is the 40 hexadecimal digits."""
    check_target(repo_id, revision, create_pr, tag)
    check_weights(folder)
    files = model_files(folder)
    write_card(folder, repo_id)
    api = connect(repo_id, private=private, revision=revision, create_pr=create_pr, token=token)
    try:
        if tag and tag in {ref.name for ref in api.list_repo_refs(repo_id).tags}:
            raise PublishError(f"--tag: '{tag}' exists already in '{repo_id}'; give the next one")
        commit = replace_files(
            api,
            repo_id,
            files,
            (*FILES, "onnx/", f"{PACKAGE}/"),
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
        )
        if tag:
            api.create_tag(repo_id, tag=tag, revision=commit.oid)
    except PublishError:
        raise
    except CLIENT_ERRORS as error:
        raise failure(error, api, repo_id, revision) from None
    return commit


def push(folder: str | Path, repo_id: str, **options) -> str:
    """Write the card and upload a weights folder in one commit; where nothing has changed, none is made.

    Args:
        folder: weights folder, as the trainer leaves it.
        repo_id: "name/model"; made where it is missing.
        private: make the repository private; one that is public already is refused.
        revision: branch, made where it is missing, or an open pull request as "refs/pr/1".
        create_pr: open a pull request instead of writing to the main branch.
        tag: name of a release, new, for the commit.
        token: default is HF_TOKEN or the login of ``hf auth login``.
        commit_message: first line of the commit.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        ValueError: the folder or the target cannot be; nothing was asked of the Hub.
        PublishError: no token, or the upload failed; ends with the command that tries again.
    """
    words = ["python", "-m", "train.publish", str(folder), "--hub_model_id", repo_id]
    words += ["--hub_private_repo"] * bool(options.get("private")) + ["--create_pr"] * bool(options.get("create_pr"))
    for option, name in (("revision", "--hub_revision"), ("tag", "--tag")):
        words += [name, options[option]] if options.get(option) else []
    with retrying(folder, words):
        commit = upload_model(folder, repo_id, **options)
    return commit.pr_url or commit.commit_url


@contextmanager
def retrying(folder: str | Path, command: list[str]) -> Iterator[None]:
    """Adds to a failed upload how to try again."""
    try:
        yield
    except PublishError as error:
        raise PublishError(f"{error}. '{folder}' is whole; to retry: {shlex.join(command)}") from None


def show_plan(files: dict[str, Path], repo_id: str) -> None:
    """List what would be uploaded: bytes (those of a card still to be written are not known) and names."""
    print(f"{repo_id}:")
    for name, path in files.items():
        print(f"{path.stat().st_size if path.exists() else 'new':>12}  {name}")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 where the upload failed, 2 for bad arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "weights_folder", type=Path, nargs="?", default=ROOT / "weights", help="default: weights/ of this repository"
    )
    parser.add_argument("--hub_model_id", help="model repository to upload to, as name/model")
    parser.add_argument("--hub_private_repo", action="store_true", help="make the repositories private")
    parser.add_argument("--hub_revision", help="branch to upload to (default: main)")
    parser.add_argument("--create_pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--tag", help="name of this release, such as v1")
    parser.add_argument("--space", help="Space to upload the page to, as name/space; it draws with these weights")
    parser.add_argument("--static_space", help="Space to upload the page without a server to, after train.to_onnx")
    parser.add_argument("--commit_message", default="Upload the generator", help="first line of the commit")
    parser.add_argument("--card_only", action="store_true", help="write the card and upload nothing")
    parser.add_argument("--dry_run", action="store_true", help="list the files and upload nothing")
    args = parser.parse_args(argv)
    folder, commit = args.weights_folder, None
    try:
        if not (args.hub_model_id or args.space or args.static_space or args.card_only):
            raise ValueError("--hub_model_id: give the repository to upload to, as name/model")
        if args.hub_model_id:
            check_target(args.hub_model_id, args.hub_revision, args.create_pr, args.tag)
        if args.space:
            check_target(args.space, kind="space")
            space.check_page()
        if args.static_space:
            check_target(args.static_space, kind="static")
        check_weights(folder)
        if args.static_space:
            check_onnx(folder)
        if args.card_only:
            print(write_card(folder, args.hub_model_id))
        elif args.dry_run:
            if args.hub_model_id:
                show_plan(model_files(folder), args.hub_model_id)
            if args.space:
                show_plan(space.space_files(folder), f"spaces/{args.space}")
            if args.static_space:
                show_plan(space.static_files(folder, Path("onnxruntime-web")), f"spaces/{args.static_space}")
        else:
            command = ["python", "-m", "train.publish", *(sys.argv[1:] if argv is None else argv)]
            with retrying(folder, command):
                if args.hub_model_id:
                    commit = upload_model(
                        folder,
                        args.hub_model_id,
                        private=args.hub_private_repo,
                        revision=args.hub_revision,
                        create_pr=args.create_pr,
                        tag=args.tag,
                        commit_message=args.commit_message,
                    )
                    print(commit.pr_url or commit.commit_url)
                if args.space:
                    model = (args.hub_model_id, commit.oid) if commit else None
                    print(space.push_space(folder, args.space, model=model, private=args.hub_private_repo))
                if args.static_space:
                    print(space.push_static_space(folder, args.static_space, private=args.hub_private_repo))
    except (ValueError, PublishError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except OSError as error:
        print(f"publish: weights_folder: the card cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
