"""Ten thousand faces by command: how fast beside the networks alone, and in how much memory.

    python tests/measure/draw.py [FACES] [ROUNDS]

The command and the bare generator, in batches of 64 without a picture being made, take turns, each in a process of its
own; shown are the medians, their ratio and the most memory that the command took. Beside them: as many empty files
made in the same folder, which on a full disk takes longer than to draw. TMPDIR chooses another place.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BARE = """
import sys, time, torch
from model import Generator, latents_from_seeds
generator, z = Generator.from_pretrained("weights"), latents_from_seeds(range(int(sys.argv[1])), 128)
with torch.inference_mode():
    generator(z[:64])
    began, worked = time.monotonic(), time.process_time()
    for start in range(0, len(z), 64):
        generator(z[start : start + 64])
print(len(z) / (time.monotonic() - began), time.process_time() - worked)
"""
# Linux's highest resident size of the process itself; getrusage would begin at the peak of whoever started it.
COMMAND = """
import json, re, sys, time
from pathlib import Path
from model.cli import main
began = time.process_time()
status = main(sys.argv[1:])
worked = time.process_time() - began
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"status": status, "MB": peak * 1024 / 1e6, "worked": worked}))
"""


def make_files(folder: Path, count: int) -> float:
    """Milliseconds that a new file takes in ``folder``."""
    folder.mkdir()
    began = time.monotonic()
    for i in range(count):
        (folder / f"{i}.tmp").touch()
        os.replace(folder / f"{i}.tmp", folder / f"{i}.png")
    return (time.monotonic() - began) / count * 1000


def run(code: str, *arguments: object) -> str:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout


def main() -> None:
    faces, rounds = ([int(word) for word in sys.argv[1:]] + [10_000, 3][len(sys.argv) - 1 :])[:2]
    speeds, work, peak = [], [], 0.0
    for _ in range(rounds):
        bare, bare_work = map(float, run(BARE, faces).split())
        with tempfile.TemporaryDirectory() as folder:
            empty = make_files(Path(folder, "empty"), faces)
            out = run(COMMAND, "draw", "--seeds", f"0-{faces - 1}", "--outdir", folder)
            assert len(list(Path(folder).glob("seed-*.png"))) == faces
        said, facts = out.splitlines()[-2:]
        drawn, facts = float(re.search(r"\(([\d,]+) a second\)", said)[1].replace(",", "")), json.loads(facts)
        peak = max(peak, facts["MB"])
        speeds.append(drawn / bare)
        work.append(bare_work / facts["worked"])
        print(
            f"bare {bare:.0f}, command {drawn:.0f} a second; {bare_work:.0f} and {facts['worked']:.0f} s of work,",
            f"an empty file {empty:.2f} ms",
        )
    speed, share = statistics.median(speeds), statistics.median(work)
    print(f"{faces} faces: {speed:.2f} of the bare generator's speed, {share:.2f} by work, {peak:.0f} MB at most")


if __name__ == "__main__":
    main()
