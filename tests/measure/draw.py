"""Ten thousand faces by command: how fast beside the networks alone, and in how much memory.

    python tests/measure/draw.py [FACES] [ROUNDS]

The command and the bare generator, in batches of 64 without a picture being made, take turns, each in a process of its
own; shown are the medians, their ratio and the most memory that the command took.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BARE = """
import sys, time, torch
from model import Generator, latents_from_seeds
generator, z = Generator.from_pretrained("weights"), latents_from_seeds(range(int(sys.argv[1])), 128)
with torch.inference_mode():
    generator(z[:64])
    began = time.monotonic()
    for start in range(0, len(z), 64):
        generator(z[start : start + 64])
print(len(z) / (time.monotonic() - began))
"""
# Linux's highest resident size of the process itself; getrusage would begin at the peak of whoever started it.
COMMAND = """
import json, re, sys
from pathlib import Path
from model.cli import main
status = main(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"status": status, "MB": peak * 1024 / 1e6}))
"""


def run(code: str, *arguments: object) -> str:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout


def main() -> None:
    faces, rounds = ([int(word) for word in sys.argv[1:]] + [10_000, 3][len(sys.argv) - 1 :])[:2]
    bare, drawn, peak = [], [], 0.0
    for _ in range(rounds):
        bare.append(float(run(BARE, faces)))
        with tempfile.TemporaryDirectory() as folder:
            out = run(COMMAND, "draw", "--seeds", f"0-{faces - 1}", "--outdir", folder)
            assert len(list(Path(folder).glob("seed-*.png"))) == faces
        said, facts = out.splitlines()[-2:]
        drawn.append(float(re.search(r"\(([\d,]+) a second\)", said)[1].replace(",", "")))
        peak = max(peak, json.loads(facts)["MB"])
        print(f"bare {bare[-1]:.0f}, command {drawn[-1]:.0f} faces a second", flush=True)
    ratio = statistics.median(drawn) / statistics.median(bare)
    print(f"{faces} faces: {ratio:.2f} of the bare generator's speed, {peak:.0f} MB at most")


if __name__ == "__main__":
    main()
