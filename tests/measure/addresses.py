"""Faces at their addresses: how long each takes, beside drawing alone, and a crowd on addresses and page together.

    python tests/measure/addresses.py [CLIENTS SECONDS]

Every face is fresh: no seed is asked for twice. Drawing alone (the generator, the enlargement and the PNG file) and the
address take turns, so that both see the same machine; shown are the medians of 30 and their ratio. With CLIENTS and
SECONDS, so many ask without a pause, half of them the addresses and half the page: what was answered, what was refused
with 429, what else went wrong, and the page's memory at the beginning and at the end.
"""

import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "measure")]

from crowd import resident  # noqa: E402
from page import Page  # noqa: E402

from model import Generator, save_face  # noqa: E402
from model.enlarging import enlarge  # noqa: E402

ROUNDS = 30
WANTED = ((64, "smooth"), (256, "smooth"), (256, "sharp"), (512, "sharp"))
ADDRESSES = ("/face/{}.png", "/face/{}.webp?size=256", "/strip/{}.png", "/face/{}.png?size=256&style=sharp", "/s/{}")


def compare(url: str) -> None:
    """A line for each size: medians of drawing alone and of the address."""
    generator, seed = Generator.from_pretrained(ROOT / "weights"), 10**6
    for size, style in WANTED:
        alone, asked = [], []
        for _ in range(ROUNDS + 1):  # the first of each is not counted
            seed += 1
            began = time.perf_counter()
            save_face(enlarge(generator.generate([seed])[0], size, style), "/dev/null", seed=seed)
            alone.append(time.perf_counter() - began)
            began = time.perf_counter()
            urllib.request.urlopen(f"{url}/face/{seed + 10**6}.png?size={size}&style={style}").read()
            asked.append(time.perf_counter() - began)
        bare, address = (1000 * statistics.median(seconds[1:]) for seconds in (alone, asked))
        print(f"{size} {style}: {address:.1f} ms, drawing alone {bare:.1f} ms, ratio {address / bare:.2f}", flush=True)


def crowd(url: str, pid: int, clients: int, seconds: float) -> None:
    """Ask without a pause and count the answers."""
    seen: Counter[str] = Counter()
    ends = time.monotonic() + seconds

    def ask(i: int) -> str:
        number = random.randrange(2**32)
        if i % 2:
            data = json.dumps({"data": [number, 1.0, "none", ""]}).encode()
            call = urllib.request.Request(f"{url}/gradio_api/call/seed", data, {"Content-Type": "application/json"})
            event = json.load(urllib.request.urlopen(call, timeout=60))["event_id"]
            said = urllib.request.urlopen(f"{url}/gradio_api/call/seed/{event}", timeout=120).read()
            return "page 200" if b"event: complete" in said else f"page {said[:80]!r}"
        path = random.choice(ADDRESSES).format(number)
        headers = {"X-Forwarded-For": f"8.8.{i}.8"}
        return (
            f"address {urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=60).status}"
        )

    def visit(i: int) -> None:
        while time.monotonic() < ends:
            try:
                seen[ask(i)] += 1
            except urllib.error.HTTPError as error:
                seen[f"{'page' if i % 2 else 'address'} {error.code}"] += 1
                time.sleep(0.2)
            except OSError as error:
                seen[repr(error)[:80]] += 1

    for name in ADDRESSES:  # what every page has in memory before long
        urllib.request.urlopen(url + name.format(1)).read()
    before = resident(pid)
    threads = [threading.Thread(target=visit, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = resident(pid)
    print(dict(seen))
    print(f"memory {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after: {after / before - 1:+.1%}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Page(Path(folder)) as page:
        compare(page.url)
        if len(sys.argv) > 2:
            crowd(page.url, page.process.pid, int(sys.argv[1]), float(sys.argv[2]))
        assert "Traceback" not in page.log(), page.log()


if __name__ == "__main__":
    main()
