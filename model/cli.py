"""Draw faces from a shell.

    anime-dcgan draw --seeds 0-63,100 --truncation 0.8 --outdir faces
    anime-dcgan draw --seeds 0-63 --grid sheet.png --size 256 --style sharp
    anime-dcgan draw --seeds 0-9999 --format npz --outdir faces --model you/anime-dcgan --revision v1
    anime-dcgan film --seeds 1,2,3 --frames 60 --loop out.mp4
    anime-dcgan film --seeds 0-15 --grid 4x2 out.webp
    anime-dcgan find --wish "green hair" --wish "light background" --outdir faces
    anime-dcgan name alice bob --outdir faces

The same command again goes on where it was interrupted. python -m anime_dcgan is the same program.
"""

import argparse
import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import CONFIG_NAME
from huggingface_hub.errors import EntryNotFoundError
from PIL import Image

from . import films, output
from .drawing import check_device
from .enlarging import STYLES, check_style
from .files import local_path
from .finding import FACES, FaceIndex
from .generator import Generator
from .hub import load_generator
from .names import seed_of
from .sampling import MAX_SEED, MAX_TRUNCATION
from .version import __version__

PROGRAM = "anime-dcgan"
GRIDS = (".png", ".webp", ".jpg", ".jpeg")
MAX_SIDE = 2048  # pixels of an enlarged face


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}\n")


def seed_ranges(text: str) -> list[range]:
    """'0-63,100' as ranges."""
    ranges = []
    for part in text.split(","):
        found = re.fullmatch("([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= MAX_SEED:
            raise argparse.ArgumentTypeError(f"'{part:.40}' is no seed or range from 0 to {MAX_SEED}, such as 0-63,100")
        ranges.append(range(first, last + 1))
    return ranges


def whole_number(low: int, high: int) -> Any:
    """The type of an option: a whole number in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text:.40}' is not a whole number from {low} to {high}")
        return int(text)

    return parse


def truncation(text: str) -> float:
    """The type of --truncation."""
    with suppress(ValueError):
        if 0 <= float(text) <= MAX_TRUNCATION:
            return float(text)
    raise argparse.ArgumentTypeError(f"'{text:.40}' is not a number from 0 to {MAX_TRUNCATION}")


def cells(text: str) -> tuple[int, int]:
    """The type of film's --grid: columns and rows."""
    found = re.fullmatch("([1-9][0-9]?)x([1-9][0-9]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text:.40}' is no grid of columns and rows, such as 4x2")
    return int(found[1]), int(found[2])


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    draw = commands.add_parser("draw", help="the faces of seeds, as files, an archive or a contact sheet")
    draw.add_argument("--seeds", type=seed_ranges, required=True, help="such as 0-63,100")
    draw.add_argument(
        "--outdir", type=local_path, help="folder for seed-N files; faces that lie there are not drawn again"
    )
    draw.add_argument("--grid", type=local_path, help=f"contact sheet: a file that ends in {', '.join(GRIDS)}")
    draw.add_argument("--format", choices=output.FORMATS, default="png", help="of the files; npz is one (default: png)")
    film = commands.add_parser("film", help="from face to face")
    film.add_argument("output", type=local_path, help=f"file that ends in {', '.join(films.SUFFIXES)}")
    film.add_argument("--seeds", type=seed_ranges, required=True, help="the faces to pass, such as 1,2,3")
    film.add_argument("--frames", type=whole_number(1, 1000), default=60, help="from face to face (default: 60)")
    film.add_argument("--fps", type=whole_number(1, 60), default=20, help="frames a second (default: 20)")
    film.add_argument("--loop", action="store_true", help="end with the way back to the first face")
    film.add_argument("--grid", type=cells, default=(1, 1), help="films side by side, such as 4x2; seeds are dealt out")
    find = commands.add_parser("find", help="seeds of faces by wish and, with --outdir, their faces")
    find.add_argument("--wish", action="append", required=True, help="such as 'green hair'; several are wished at once")
    find.add_argument("--count", type=whole_number(1, 1000), default=25, help="faces (default: 25)")
    find.add_argument("--outdir", type=local_path, help="folder for the faces")
    name = commands.add_parser("name", help="the seeds of names and, with --outdir, their faces")
    name.add_argument("names", nargs="+", help="any text; the same name is the same face everywhere")
    name.add_argument("--outdir", type=local_path, help="folder for the faces")
    for command in (draw, film, find, name):
        command.add_argument("--model", default="weights", help="folder, or id on the Hub (default: weights)")
        command.add_argument("--revision", help="branch, tag or commit on the Hub")
        command.add_argument("--device", default="auto", help="such as cpu or cuda (default: a GPU if there is one)")
        command.add_argument("--batch_size", type=whole_number(1, 4096), default=64, help="drawn at once (default: 64)")
        command.add_argument("--truncation", type=truncation, default=1.0, help="0 (pale) to 1.5 (default: 1)")
        side = "of a face (default: the model's; film: 256)"
        command.add_argument("--size", type=whole_number(1, MAX_SIDE), help=f"pixels {side}")
        command.add_argument("--style", choices=STYLES, default="smooth", help="of enlarging (default: smooth)")
    return parser


def load(args: argparse.Namespace) -> tuple[Generator, output.Plan]:
    """The generator of --model on --device, and how it is to draw files; ValueError, one sentence, if it fails."""
    check_style(args.style)
    fallback = "cuda" if torch.cuda.is_available() else "cpu"
    device = check_device(fallback if args.device == "auto" else args.device)
    generator = load_generator(args.model, args.revision)
    model, revision = None, None
    if not Path(args.model).is_dir():
        config = hf_hub_download(args.model, CONFIG_NAME, revision=args.revision, local_files_only=True)
        model, revision = args.model, Path(config).parent.name  # the commit
    size = args.size or generator.image_size
    style = args.style if size != generator.image_size else "none"
    format = getattr(args, "format", "png")
    plan = output.Plan(generator.weights_sha256(), args.truncation, size, style, format, model, revision)
    return generator.to(device), plan


def progress_bar(total: int, unit: str) -> Any:
    """A bar on a terminal, nothing elsewhere."""
    from huggingface_hub import utils

    bar: Any = utils.tqdm  # type: ignore[attr-defined]
    return bar(total=total, unit=unit, disable=None, leave=False)


def run_draw(args: argparse.Namespace) -> None:
    """The faces of seeds to files."""
    if not (args.outdir or args.grid):
        raise ValueError("--outdir: give a folder for the faces, or a file for a contact sheet by --grid")
    if args.grid and args.grid.suffix.lower() not in GRIDS:
        raise ValueError(f"--grid: '{args.grid.name}' is no picture; give a name that ends in {', '.join(GRIDS)}")
    count = sum(map(len, args.seeds))
    generator, plan = load(args)
    if args.grid:
        output.grid_size(count, plan.size)
        args.grid.parent.mkdir(parents=True, exist_ok=True)
    if args.outdir:
        draw_faces(generator, args.seeds, args.outdir, plan, args.batch_size)
    if args.grid:
        faces = generator.draw(chain(*args.seeds), truncation=plan.truncation, batch_size=args.batch_size)
        if args.outdir and plan.format in ("png", "webp"):  # as they lie there, without loss
            faces = (Image.open(output.face_file(args.outdir, seed, plan)) for seed in chain(*args.seeds))
        with progress_bar(count, "face") as bar:
            output.draw_grid(faces, count, args.grid, plan, bar.update)
        print(args.grid)


def draw_faces(generator: Generator, seeds: list[range], folder: Path, plan: output.Plan, batch_size: int) -> None:
    """Draw what is missing in a folder, and say how fast."""
    count, began = sum(map(len, seeds)), time.monotonic()
    output.claim(folder, plan)
    with progress_bar(count, "face") as bar:
        drawn = output.draw(generator, seeds, count, folder, plan, batch_size, bar.update)
    seconds = time.monotonic() - began
    there = f"; {count - drawn:,} were there" if drawn < count else ""
    print(f"{folder}: {drawn:,} faces in {seconds:.1f} s ({drawn / max(seconds, 1e-9):,.0f} a second){there}")


def run_film(args: argparse.Namespace) -> None:
    """A film of seeds."""
    columns, rows = args.grid
    size = args.size or 256
    frames = films.film_length(sum(map(len, args.seeds)), columns * rows, args.frames, args.loop)
    films.check_film(args.output, frames, columns * size, rows * size)
    generator, _ = load(args)
    z = films.film_latents(generator, list(chain(*args.seeds)), columns * rows, args.frames, args.loop)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    drawn = films.film_frames(generator, z, columns, args.truncation, size, args.style, args.batch_size)
    with progress_bar(len(z), "frame") as bar:
        films.write_film(_counted(drawn, bar), args.output, args.fps)
    print(f"{args.output}: {len(z)} frames, {len(z) / args.fps:.1f} s")


def _counted(frames: Iterator[Image.Image], bar: Any) -> Iterator[Image.Image]:
    for frame in frames:
        yield frame
        bar.update()


def run_name(args: argparse.Namespace) -> None:
    """The seeds of names, and their faces."""
    seeds = [seed_of(name) for name in args.names]
    if args.outdir:
        generator, plan = load(args)
        draw_faces(generator, [range(seed, seed + 1) for seed in seeds], args.outdir, plan, args.batch_size)
    for name, seed in zip(args.names, seeds):
        where = f"\t{output.face_file(args.outdir, seed, plan)}" if args.outdir else ""
        print(f"{name}\t{seed}{where}")


def run_find(args: argparse.Namespace) -> None:
    """The seeds of wishes, the nearest first, and their faces."""
    generator, plan = load(args)
    folder = Path(args.model)
    if not folder.is_dir():
        with suppress(EntryNotFoundError):
            folder = Path(hf_hub_download(args.model, FACES, revision=args.revision)).parent
    seeds = FaceIndex.load(folder).find(args.wish, args.count)
    if args.outdir:
        draw_faces(generator, [range(seed, seed + 1) for seed in seeds], args.outdir, plan, args.batch_size)
    for seed in seeds:
        print(f"{seed}\t{output.face_file(args.outdir, seed, plan)}" if args.outdir else seed)


COMMANDS = {"draw": run_draw, "film": run_film, "find": run_find, "name": run_name}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 for a full disk, 2 for bad arguments, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as for Ctrl-C
    status, sentence = 0, ""
    try:
        COMMANDS[args.command](args)
    except ValueError as error:
        status, sentence = 2, str(error)
    except ModuleNotFoundError as error:
        status, sentence = 2, f"output: an MP4 needs PyAV ({error.name}): pip install av; or give out.gif or out.webp"
    except BrokenPipeError:  # nobody reads any more, as after "| head": end as other programs do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except OSError as error:
        status = 1 if error.errno == errno.ENOSPC else 2
        sentence = f"'{error.filename or 'the output'}' cannot be read or written ({error.strerror or error})"
    except KeyboardInterrupt:
        status, sentence = 130, "interrupted; the same command goes on where it stopped"
    if sentence:
        print(f"{PROGRAM} {args.command}: {sentence}", file=sys.stderr)
    return status
