"""A crowd on the page: every answer is right or a clear refusal, nobody waits forever, and memory does not grow.

    python tests/measure/crowd.py            50 clients for 60 s and on to 2,000 answers, then 100 requests at once
    python tests/measure/crowd.py --clients 12 --seconds 10 --requests 0

Half of the clients use gradio_client, half plain HTTP. Each asks for one random thing after the other and keeps the
answer with its files; what it should have been is drawn here when the crowd has gone.
"""

import argparse
import io
import json
import random
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from statistics import median

import httpx
import torch
from gradio_client import Client
from gradio_client.utils import QueueError

if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    sys.path[1:1] = map(str, (tests.parent, tests / "support"))

from page import ROOT, Page
from PIL import Image

from model import Generator, interpolate, latents_from_seeds
from model.directions import Directions
from model.enlarging import enlarge as enlarged
from model.page.animation import to_gif, to_mp4, to_png
from model.page.explore import latent_to_code, latents_around
from model.page.looks import ENLARGEMENTS
from model.page.models import FRAMES_AT_ONCE
from model.page.studio import FRAMES_PER_SECOND, STRIP, WAY_FRAMES
from model.sampling import MAX_SEED, image_grid

MODELS = {config.parent.name: config.parent for config in sorted(ROOT.glob("weights/*/config.json"))}
ENDPOINTS = ["/seed", "/strip", "/batch", "/interpolation", "/explore", "/neighbours"]
PATIENCE = 120  # seconds after which a client calls it a hang
MARKS = (200, 2000)  # answers after which memory is measured
GROWTH = 1.1  # what it may be at the second, as a multiple of the first
LONGEST = 3600  # seconds


class Busy(Exception):
    """The page refused because too many wait; the message is what it said."""


def random_request(rng: random.Random, endpoint: str = "") -> tuple[str, list]:
    """An endpoint, if none is given, and its arguments; as on the page, most want a face."""
    seed, truncation = rng.randint(0, MAX_SEED), rng.choice([0.5, 0.7, 0.85, 1.0, 1.0, 1.2])
    steps = ".".join(str(rng.randrange(25)) for _ in range(rng.randrange(4)))
    moves = ",".join(str(rng.randint(-30, 30) / 10) for _ in range(rng.randrange(3)))
    keys = ", ".join(str(rng.randint(0, MAX_SEED)) for _ in range(rng.randint(2, 4)))
    requests = {
        "/seed": [seed, truncation, rng.choice(list(ENLARGEMENTS))],
        "/strip": [seed],
        "/batch": [seed, rng.randint(1, 64), truncation],
        "/interpolation": [keys, rng.randint(1, 12), rng.random() < 0.5, truncation],
        "/explore": [str(seed), truncation, steps, moves],
        "/neighbours": [str(seed), truncation, steps, moves],
    }
    endpoint = endpoint or rng.choices(ENDPOINTS, weights=[5, 3, 1, 1, 3, 2])[0]
    return endpoint, [*requests[endpoint], rng.choice(["", "", *MODELS])]


def by_client(url: str) -> Callable[[str, list], object]:
    client = Client(url, verbose=False, download_files=False, httpx_kwargs={"timeout": PATIENCE})

    def ask(endpoint: str, values: list) -> object:
        try:
            return client.submit(*values, api_name=endpoint).result(PATIENCE)
        except QueueError as error:
            raise Busy(str(error)) from None

    return ask


def by_http(url: str) -> Callable[[str, list], object]:
    web = httpx.Client(base_url=f"{url}/gradio_api/call", timeout=PATIENCE)

    def ask(endpoint: str, values: list) -> object:
        started = time.monotonic()
        posted = web.post(endpoint, json={"data": values})
        if posted.status_code == 503:
            raise Busy(posted.json()["detail"])
        event = ""
        with web.stream("GET", f"{endpoint}/{posted.raise_for_status().json()['event_id']}") as answer:
            for line in answer.iter_lines():  # a waiting client hears a heartbeat every 15 s
                if time.monotonic() > started + PATIENCE:
                    raise TimeoutError
                name, _, text = line.partition(": ")
                if name == "event":
                    event = text
                elif name == "data" and event in ("complete", "error"):
                    result = json.loads(text)
                    if event == "error":
                        raise RuntimeError(result)
                    return result[0] if len(result) == 1 else result
        raise RuntimeError(f"the answer ended after event {event!r}")

    return ask


def ways_to_ask(page: Page, number: int) -> list[Callable[[str, list], object]]:
    return [(by_client if i % 2 else by_http)(page.url) for i in range(number)]


def with_files(web: httpx.Client, result: object) -> object:
    """``result`` with the bytes of each file in the place of its address; a ZIP as {name: bytes}."""
    if isinstance(result, dict) and result.get("url"):
        data = web.get(result["url"]).raise_for_status().content
        if not result["url"].endswith(".zip"):
            return data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if isinstance(result, dict):
        return {key: with_files(web, value) for key, value in result.items()}
    return [with_files(web, value) for value in result] if isinstance(result, list | tuple) else result


class Oracle:
    """What the page should answer, drawn by one generator alone."""

    def __init__(self, weights: Path) -> None:
        self.generator = Generator.from_pretrained(weights)
        self.directions = Directions.load(weights, self.generator.latent_dim)

    def album(self, images: list, captions: Iterable) -> list[dict]:
        return [{"image": to_png(image), "caption": str(caption)} for image, caption in zip(images, captions)]

    def answer(self, endpoint: str, values: list) -> object:
        draw, latent_dim = self.generator.generate, self.generator.latent_dim
        if endpoint == "/seed":
            seed, truncation, enlarge = values
            face, style = draw([seed], truncation=truncation)[0], ENLARGEMENTS[enlarge]
            return to_png(face if style is None else enlarged(face, style[1], style[0]))
        if endpoint == "/strip":
            faces = [draw(values, truncation=truncation)[0] for truncation in STRIP]
            return self.album(faces, [f"{truncation:g}" for truncation in STRIP])
        if endpoint == "/batch":
            first, count, truncation = values
            seeds = [seed % (MAX_SEED + 1) for seed in range(first, first + count)]
            faces = draw(seeds, truncation=truncation)
            files = {f"seed-{seed}.png": to_png(face) for seed, face in zip(seeds, faces)}
            return [self.album(faces, seeds), files | {"contact-sheet.png": to_png(image_grid(faces))}]
        if endpoint == "/interpolation":
            keys, frames, loop, truncation = values
            seeds = [int(key) for key in keys.split(", ")]
            z = latents_from_seeds(seeds, latent_dim)
            strip = draw(z=interpolate(z, WAY_FRAMES - 1)[:: len(seeds) - 1], truncation=truncation)
            frames = draw(z=interpolate(z, frames, loop), truncation=truncation, batch_size=FRAMES_AT_ONCE)
            animations = [make(frames, fps=FRAMES_PER_SECOND) for make in (to_mp4, to_gif)]
            album = self.album(draw(seeds, truncation=truncation), seeds)
            return [to_png(image_grid(strip, columns=WAY_FRAMES)), *animations, album]
        start, truncation, steps, moves = values
        z = latents_from_seeds([int(start)], latent_dim)
        key = latent_to_code(z[0])
        for step in filter(None, steps.split(".")):
            z, key = latents_around(z[0], key)[int(step)][None], f"{key}.{step}"
        around = z if endpoint == "/explore" else latents_around(z[0], key)
        around = self.directions.move(around, [float(move) for move in filter(None, moves.split(","))])
        faces = draw(z=around, truncation=truncation)
        if endpoint == "/explore":
            return [to_png(faces[0]), latent_to_code(around[0])]
        return self.album(faces, range(len(faces)))


@dataclass
class Crowd:
    """What happened: the ``answers`` (endpoint, arguments, result), what was ``refused``, and what went wrong."""

    answers: list[tuple[str, list, object]] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def one(self, ask: Callable, web: httpx.Client, endpoint: str, values: list, process: int) -> bool:
        """Make one request; whether it was answered."""
        started = time.monotonic()
        try:
            result = ask(endpoint, values)
            seconds = time.monotonic() - started
            result = with_files(web, result)
        except Busy as refusal:
            with self.lock:
                self.refused[str(refusal)] += 1
            return False
        except Exception as error:
            with self.lock:
                self.faults.append(f"{endpoint} {values}: {type(error).__name__} {error}")
            return False
        with self.lock:
            self.answers.append((endpoint, values, result))
            self.seconds[endpoint].append(seconds)
            if len(self.answers) % MARKS[0] == 0:
                self.memory[len(self.answers)] = resident(process)
        return True

    def check(self) -> None:
        """Compare the answers with what they should have been; what is not the same is a fault."""
        oracles = {name: Oracle(weights) for name, weights in {"": ROOT / "weights", **MODELS}.items()}
        for endpoint, (*values, model), result in self.answers:
            if plain(result) != plain(oracles[model].answer(endpoint, values)):
                self.faults.append(f"{endpoint} {values} {model}: a wrong answer")


def plain(result: object) -> object:
    """``result`` with the pixels of each PNG, and without a video's subtitles."""
    if isinstance(result, list):
        return [plain(value) for value in result]
    if isinstance(result, dict):
        return result["video"] if "video" in result else {key: plain(value) for key, value in result.items()}
    if isinstance(result, bytes) and result.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(result)) as image:
            return image.size, image.tobytes()
    return result


def crowd(page: Page, clients: int, seconds: float, requests: int = 0) -> Crowd:
    """Let ``clients`` ask without a pause for so many seconds, and on until there are so many answers."""
    happened = Crowd()
    ways = ways_to_ask(page, clients)
    started = time.monotonic()

    def more() -> bool:
        passed = time.monotonic() - started
        return passed < seconds or (len(happened.answers) < requests and passed < LONGEST)

    def visit(i: int) -> None:
        rng = random.Random(i)
        endpoints = chain([ENDPOINTS[i % len(ENDPOINTS)]], repeat(""))  # so that each is asked
        with httpx.Client(timeout=PATIENCE) as web:
            while more():
                if not happened.one(ways[i], web, *random_request(rng, next(endpoints)), page.process.pid):
                    time.sleep(rng.uniform(0.5, 1))

    together([lambda i=i: visit(i) for i in range(clients)])
    return happened


def burst(page: Page, number: int) -> Crowd:
    """Ask for so many maps of neighbours at the same moment."""
    happened, ways = Crowd(), ways_to_ask(page, number)
    start = threading.Barrier(number)

    def visit(i: int) -> None:
        with httpx.Client(timeout=PATIENCE) as web:
            start.wait()
            happened.one(ways[i], web, "/neighbours", [str(i), 1.0, "", "", ""], page.process.pid)

    together([lambda i=i: visit(i) for i in range(number)])
    return happened


def together(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def resident(process: int) -> int:
    """Resident memory of a process and of all that it has started, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    own = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    children = [task.joinpath("children").read_text() for task in Path(f"/proc/{process}/task").iterdir()]
    return own + sum(resident(int(child)) for child in " ".join(children).split())


def report(title: str, happened: Crowd) -> None:
    refused = sum(happened.refused.values())
    print(f"{title}: {len(happened.answers)} answers, {refused} refusals, {len(happened.faults)} faults", flush=True)
    for sentence, number in happened.refused.items():
        print(f"  refused {number} times: {sentence}")
    for fault in happened.faults[:20]:
        print(f"  fault: {fault[:500]}")
    for endpoint, seconds in sorted(happened.seconds.items()):
        print(f"  {endpoint}: {len(seconds)} answers, median {median(seconds):.2f} s, longest {max(seconds):.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50, help="how many ask without a pause (default: 50)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (default: 60)")
    parser.add_argument("--requests", type=int, default=MARKS[1], help="and on to so many answers (default: 2000)")
    parser.add_argument("--burst", type=int, default=100, help="then how many at the same moment (default: 100)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Page(Path(folder)) as page:
        started = time.monotonic()
        steady = crowd(page, options.clients, options.seconds, options.requests)
        seconds = time.monotonic() - started
        rush = burst(page, options.burst)
        log = page.log()
    steady.check()
    rush.check()
    report(f"{options.clients} clients for {seconds:.0f} s", steady)
    report(f"{options.burst} at once", rush)
    if "Traceback" in log:
        rush.faults.append(log)
        print(log[-5000:])
    ok = not steady.faults + rush.faults
    print("Resident memory in MB, every", MARKS[0], "answers:", *(size // 10**6 for size in steady.memory.values()))
    if MARKS[1] in steady.memory:
        few, many = (steady.memory[mark] for mark in MARKS)
        print(
            f"Resident memory: {few / 1e6:.0f} MB after {MARKS[0]} answers, {many / 1e6:.0f} MB after {MARKS[1]}",
            end="",
        )
        print(f" ({many / few - 1:+.1%}, at most {GROWTH - 1:+.0%})")
        ok &= many <= GROWTH * few
    print("ok" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
