"""How fast PyTorch, onnxruntime in Python and onnxruntime-web draw, how alike, and what they cost beside the time.

    python tests/measure/benchmark_runtimes.py
    python tests/measure/benchmark_runtimes.py --rounds 20 --page_seconds 30

Each runtime draws in processes of its own, one for every number of threads, from latents to 8-bit pictures. Each round
takes all measurements once, in a new order, so that whatever else the computer does meets them alike. At the end the
page without a server wanders in headless Chromium and its frames are counted.
"""

import argparse
import functools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from playwright.sync_api import sync_playwright

if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    sys.path[1:1] = map(str, (tests.parent, tests, tests / "support"))

import node
from conftest import CHROMIUM, QUIET, ROOT

from model import Generator, latents_from_seeds
from train.release.onnx_export import write_onnx
from train.release.space import static_files

THREADS, FACES, MEASURED_SEEDS = (2, 1), (1, 16, 64), range(256)
REPEATS = {1: 16, 16: 4, 64: 2}  # of one measurement in a round

# Every drawer reads requests, a line each, and answers with the milliseconds of each repetition.
PYTHON = """
import json, re, sys, time
started = time.perf_counter()
import numpy as np
runtime, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
if "torch" in runtime:
    import torch
    from model import Generator, to_images
    torch.set_num_threads(threads)
    generator = Generator.from_pretrained(folder)
if "onnx" in runtime:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = f"{folder}/onnx/{'model_fp16' if 'half' in runtime else 'model'}.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

def draw(z, alone):
    if "onnx" in runtime:
        parts = z[:, None] if alone else [z]
        images = np.concatenate([session.run(["images"], {"z": part})[0] for part in parts])
        return (images * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    if alone:
        return generator.generate(z=torch.from_numpy(z))
    with torch.inference_mode():
        return to_images(generator(torch.from_numpy(z)))

latent_dim = json.load(open(f"{folder}/config.json"))["latent_dim"]
draw(np.zeros((1, latent_dim), np.float32), True)
usage = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"seconds": time.perf_counter() - started, "MiB": usage}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    z, times = np.fromfile(request["z"], np.float32).reshape(-1, latent_dim)[: request["faces"]], []
    for _ in range(request["repeats"]):
        begun = time.perf_counter()
        faces = draw(z, request["alone"])
        times.append((time.perf_counter() - begun) * 1000)
    if "out" in request:
        np.stack([np.asarray(face) for face in faces]).tofile(request["out"])
    print(json.dumps(times), flush=True)
"""
JAVASCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
const started = performance.now();
const ort = await import("onnxruntime-web");
const [folder, threads] = process.argv.slice(2);
const latentDim = JSON.parse(readFileSync(`${folder}/config.json`)).latent_dim;
ort.env.wasm.numThreads = Number(threads);
const session = await ort.InferenceSession.create(readFileSync(`${folder}/onnx/model.onnx`));

async function draw(z, alone) {
    const faces = z.length / latentDim, rows = alone ? 1 : faces, pictures = [];
    for (let i = 0; i < faces; i += rows) {
        const part = z.slice(i * latentDim, (i + rows) * latentDim);
        const { images } = await session.run({ z: new ort.Tensor("float32", part, [rows, latentDim]) });
        pictures.push(Buffer.from(Uint8ClampedArray.from(images.data, (value) => value * 127.5 + 127.5).buffer));
    }
    return Buffer.concat(pictures);
}

await draw(new Float32Array(latentDim), true);
const MiB = process.memoryUsage().rss / 2 ** 20;
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, MiB }));
for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line), times = [];
    const file = Uint8Array.from(readFileSync(request.z)); // a copy begins at an address for floats
    const z = new Float32Array(file.buffer).slice(0, request.faces * latentDim);
    let faces;
    for (let i = 0; i < request.repeats; i++) {
        const begun = performance.now();
        faces = await draw(z, request.alone);
        times.push(performance.now() - begun);
    }
    if (request.out) writeFileSync(request.out, faces);
    console.log(JSON.stringify(times));
}
process.exit(0); // its threads would wait for work
"""
# Name: runtime, each face on its own.
WAYS = {
    "torch, each face alone, as generate()": ("torch", True),
    "torch, one batch": ("torch", False),
    "onnxruntime, each face alone": ("onnx", True),
    "onnxruntime, one batch": ("onnx", False),
    "onnxruntime-web, each face alone": ("web", True),
    "onnxruntime-web, one batch": ("web", False),
}
GENERATE = next(iter(WAYS))


class Drawer:
    """A process that draws; ``seconds`` until its first face and its ``MiB`` of memory after that."""

    def __init__(self, stack: ExitStack, runtime: str, weights: Path, threads: int, folder: Path) -> None:
        if runtime == "web":
            script = folder / "draw.mjs"
            script.write_text(JAVASCRIPT)
            command, place = ["node", str(script), str(weights), str(threads)], folder
        else:
            command, place = [sys.executable, "-c", PYTHON, runtime, str(weights), str(threads)], ROOT
        pipe = subprocess.PIPE
        self.process = stack.enter_context(subprocess.Popen(command, cwd=place, stdin=pipe, stdout=pipe, text=True))
        stack.callback(self.process.stdin.close)  # which ends it
        ready = self.answer()
        self.seconds, self.MiB = ready["seconds"], ready["MiB"]

    def answer(self) -> dict | list[float]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a drawing process has ended; its reason stands above")
        return json.loads(line)

    def draw(self, **request) -> list[float]:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()


def compare_speed(drawers: dict[tuple[str, int], Drawer], z: Path, rounds: int) -> None:
    """Print the median milliseconds of every way to draw, and the best."""
    cases = [(way, threads, faces) for way in WAYS for threads in THREADS for faces in FACES]
    times: dict[tuple, list[float]] = defaultdict(list)
    for round in range(rounds + 1):
        print(f"round {round} of {rounds}", end="\r", file=sys.stderr, flush=True)
        for way, threads, faces in random.sample(cases, len(cases)):
            runtime, alone = WAYS[way]
            drawer = drawers[runtime, threads]
            drawer.draw(z=str(z), faces=faces, alone=alone, repeats=1)  # others have drawn since: warm up
            took = drawer.draw(z=str(z), faces=faces, alone=alone, repeats=REPEATS[faces])
            if round:  # the first is for choosing kernels
                times[way, threads, faces] += took
    for threads in THREADS:
        found = {(way, faces): median(times[way, threads, faces]) for way in WAYS for faces in FACES}
        title = f"ms, {threads} threads" if threads > 1 else "ms, 1 thread"
        print(f"\n{title:<40}" + "".join(f"{f'{n} faces' if n > 1 else '1 face':>11}" for n in FACES))
        for way in WAYS:
            print(f"{way:<40}" + "".join(f"{found[way, faces]:>11.1f}" for faces in FACES))
        for faces in FACES:
            best = min(WAYS, key=lambda way: found[way, faces])
            ratio = found[GENERATE, faces] / found[best, faces]
            print(f"best for {faces}: {best} ({ratio:.2f} times as fast as generate())")


def compare_pictures(drawers: dict[tuple[str, int], Drawer], z: Path, faces: np.ndarray, folder: Path) -> None:
    """Print how far the pictures of every way are from those of generate() in this process."""
    print(f"\n{f'pictures of {len(faces)} seeds, 1 thread':<40}{'differing values':>17}{'by at most':>12}")
    halved = {"onnxruntime, one batch, model_fp16.onnx": ("onnx half", False)}
    for way, (runtime, alone) in (WAYS | halved).items():
        out = folder / "pictures"
        drawers[runtime, 1].draw(z=str(z), faces=len(faces), alone=alone, repeats=1, out=str(out))
        drawn = np.fromfile(out, np.uint8)
        if runtime == "web":
            drawn = drawn.reshape(len(faces), -1, *faces.shape[1:3]).transpose(0, 2, 3, 1)
        off = np.abs(drawn.reshape(faces.shape).astype(int) - faces)
        print(f"{way:<40}{(off > 0).mean():>17.6%}{off.max():>12}")


def compare_costs(drawers: dict[tuple[str, int], Drawer]) -> None:
    """Print what each runtime takes before it draws."""
    print(f"\n{'from the start of a process':<40}{'s to first face':>16}{'MiB':>8}")
    names = {"torch": "torch", "onnx": "onnxruntime", "torch onnx": "both in one process", "web": "onnxruntime-web"}
    for runtime, name in names.items():
        print(f"{name:<40}{drawers[runtime, 1].seconds:>16.1f}{drawers[runtime, 1].MiB:>8.0f}")
    package = distribution("onnxruntime")
    needs = ", ".join(need for need in package.requires if "extra ==" not in need)
    size = sum(path.stat().st_size for path in map(package.locate_file, package.files) if path.is_file())
    print(f"onnxruntime {package.version}: {size / 2**20:.0f} MiB on disk, and needs {needs}")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, on the loopback interface."""
    handler = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


COUNT = """
    window.shown = [];
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (...values) {
        shown.push(performance.now());
        return put.apply(this, values);
    };
"""


def count_frames(weights: Path, modules: Path, folder: Path, seconds: float) -> None:
    """Let the page without a server wander and print how evenly its frames come."""
    for name, path in static_files(weights, modules / "onnxruntime-web" / "dist").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    with served(folder) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        tab = browser.new_page()
        tab.add_init_script(COUNT)
        tab.goto(url)
        tab.wait_for_selector("#face[data-drawn]", timeout=60_000)
        tab.get_by_role("button", name="Wander").click()
        tab.wait_for_timeout(2000)  # the first seconds fill the stock of frames
        tab.evaluate("shown.length = 0")
        tab.wait_for_timeout(seconds * 1000)
        shown = np.array(tab.evaluate("shown"))
        browser.close()
    gaps = np.diff(shown)
    print(f"\nthe page in headless Chromium, {seconds:g} s: {1000 / gaps.mean():.1f} frames a second")
    print(
        f"ms to the next frame: {median(gaps):.1f}, 99% within {quantiles(gaps, n=100)[-1]:.1f}, most {gaps.max():.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="weights folder [weights]")
    parser.add_argument("--rounds", type=int, default=10, help="rounds [10]")
    parser.add_argument("--page_seconds", type=float, default=10, help="how long the page wanders; 0: not at all [10]")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder, weights = Path(place), Path(place) / "weights"
        weights.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(args.weights / name, weights)
        write_onnx(weights)
        modules = node.install()
        (folder / "node_modules").symlink_to(modules)
        generator, z = Generator.from_pretrained(weights), folder / "z"
        latents_from_seeds(MEASURED_SEEDS, generator.latent_dim).numpy().tofile(z)
        faces = np.stack([np.asarray(face) for face in generator.generate(MEASURED_SEEDS)]).astype(int)
        runtimes = [(runtime, threads) for runtime in ("torch", "onnx", "web") for threads in THREADS]
        runtimes += [("torch onnx", 1), ("onnx half", 1)]
        drawers = {key: Drawer(stack, key[0], weights, key[1], folder) for key in runtimes}
        compare_speed(drawers, z, args.rounds)
        compare_pictures(drawers, z, faces, folder)
        compare_costs(drawers)
        if args.page_seconds:
            count_frames(weights, modules, folder / "page", args.page_seconds)


if __name__ == "__main__":
    main()
