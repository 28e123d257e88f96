"""What an answer of the page takes, beside drawing alone and beside an empty answer.

    python tests/measure/benchmark_page.py
    python tests/measure/benchmark_page.py --rounds 10

The page and a Gradio app that does nothing run each in a process of their own. Each round takes all measurements once,
in a new order, so that whatever else the computer does meets them alike; no request is ever repeated, so that no cache
answers it. gradio_client looks for an answer every 50 ms, so that its times come in such steps, and it fetches the
files of an answer one by one, each over a new connection: the limits are those of the answer, and the time with its
files stands beside them.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

import torch
from gradio_client import Client

if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    sys.path[1:1] = map(str, (tests.parent, tests / "support"))

from page import ROOT, Page

from model import Generator
from model.sampling import MAX_SEED

EMPTY = """
import os
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
with gr.Blocks() as page:
    number = gr.Number()
    number.submit(lambda number: number, number, number, api_name="empty")
page.queue(max_size=64, default_concurrency_limit=2).launch(ssr_mode=False)
"""
FRAMES = 96
# Name: (faces, endpoint, its arguments from a seed that was never used, the limit from the empty and the bare time)
CASES: dict[str, tuple[int, str, Callable, Callable]] = {
    "Seed": (1, "/seed", lambda seed: [seed], lambda empty, bare: empty + 2 * bare + 0.015),
    "Batch of 64": (64, "/batch", lambda seed: [seed, 64], lambda empty, bare: empty + 2 * bare + 0.15),
    f"Interpolation of {FRAMES} frames": (
        FRAMES,
        "/interpolation",
        lambda seed: [f"{seed}, {seed + 1}", FRAMES // 2, True],
        lambda empty, bare: 1.5,
    ),
}


def spread(seconds: list[float]) -> str:
    """Median and 90th percentile in milliseconds."""
    return f"{median(seconds) * 1000:.0f} ({quantiles(seconds, n=10, method='inclusive')[-1] * 1000:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="how often each is measured (default: 30)")
    rounds = parser.parse_args().rounds
    if rounds < 2:
        parser.error(f"--rounds: {rounds} is not at least 2")

    generator = Generator.from_pretrained(ROOT / "weights")
    unused = iter(random.Random(0).sample(range(0, MAX_SEED - 200, 200), 100 * rounds))
    times: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "page").mkdir()
        Path(folder, "empty.py").write_text(EMPTY)
        with Page(Path(folder, "page")) as page, Page(Path(folder), Path(folder, "empty.py")) as empty:
            asked = Client(page.url, verbose=False, download_files=False)
            fetched = Client(page.url, verbose=False, download_files=folder)
            idle = Client(empty.url, verbose=False, download_files=False)

            def measures(name: str) -> dict[str, Callable]:
                faces, endpoint, arguments, _ = CASES[name]

                def bare(seed: int) -> None:
                    generator.generate(range(seed, seed + faces))

                return {
                    "bare": bare,
                    "empty": lambda seed: idle.predict(seed, api_name="/empty"),
                    "page": lambda seed: asked.predict(*arguments(seed), api_name=endpoint),
                    "with files": lambda seed: fetched.predict(*arguments(seed), api_name=endpoint),
                }

            todo = [(name, kind, run) for name in CASES for kind, run in measures(name).items()]
            for i in range(rounds + 1):
                random.Random(i).shuffle(todo)
                for name, kind, run in todo:
                    seed, started = next(unused), time.perf_counter()
                    run(seed)
                    if i:  # the first round warms up
                        times[name, kind].append(time.perf_counter() - started)
                print(f"\rround {i} of {rounds}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)

    print(f"Milliseconds, median of {rounds} (90th percentile); {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};")
    print(f"torch {version('torch')} with {torch.get_num_threads()} threads, gradio {version('gradio')}.\n")
    print("| | generator alone | empty event | page | limit | | page and its files |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for name, (*_, limit) in CASES.items():
        bare, empty, page, files = (times[name, kind] for kind in ("bare", "empty", "page", "with files"))
        most = limit(median(empty), median(bare))
        verdict = "met" if median(page) <= most else "MISSED"
        cells = [name, spread(bare), spread(empty), spread(page), f"{most * 1000:.0f}", verdict, spread(files)]
        print(f"| {' | '.join(cells)} |")
    print(
        "\nLimits: empty + 2 x alone + 15 ms; empty + 2 x alone + 150 ms; 1500 ms. For the interpolation, 'alone' draws"
    )
    print(f"{FRAMES} faces; the page answers with an MP4, a GIF, a strip of 11 faces and the faces of the seeds.")


if __name__ == "__main__":
    main()
