"""The Inference Endpoint's handler beside the package, whatever PyTorch's defaults are in its process."""

import base64
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import Generator

ROOT = Path(__file__).resolve().parents[2]

ASK = """
import sys, torch
sys.path.insert(0, ".")
torch.set_default_dtype(getattr(torch, sys.argv[1]))
import handler
print(handler.EndpointHandler(".")({"inputs": 7})[0]["image"])
"""


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_endpoint_does_not_follow_pytorchs_default_dtype(tmp_path, dtype):
    shutil.copy(next(ROOT.glob("train/**/hub_files/handler.py")), tmp_path)
    shutil.copytree(ROOT / "model", tmp_path / "anime_dcgan", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ROOT / "weights" / name, tmp_path)
    command = [sys.executable, "-I", "-c", ASK, dtype]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    face = Generator.from_pretrained(ROOT / "weights").generate([7])[0]
    with Image.open(io.BytesIO(base64.b64decode(done.stdout))) as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - np.asarray(face)).max() == 0
