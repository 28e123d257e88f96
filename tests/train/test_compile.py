"""--compile: trains as without it, resumes exactly, leaves the same files, and says so where there is no compiler."""

import json
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from commands import run as train
from PIL import Image
from safetensors.torch import load_file

SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --mixed_precision no"
PACE = "--log_kimg 0.1 --sample_kimg 0.1 --checkpointing_kimg 0.1 --lr_schedule constant"
CAN_COMPILE = shutil.which("g++") and Path(sysconfig.get_paths()["include"], "Python.h").is_file()
REFUSAL = "train.py: --compile: PyTorch cannot compile here ("


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for i in range(40):
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((32, 32), Image.BICUBIC).save(folder / f"{i}.png")
    return f"--train_data_dir {folder} --cache_dir {tmp_path_factory.mktemp('cache')} {SMALL} {PACE}".split()


def test_compiled_training_equals_the_eager_one(options, tmp_path):
    kernels = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    first = train(*options, "--compile", "--output_dir", tmp_path / "whole", "--max_train_kimg", 0.2, **kernels)
    if not CAN_COMPILE:
        assert first.returncode == 2 and first.stderr.splitlines()[-1].startswith(REFUSAL)
        return
    assert first.returncode == 0 and "precision no, compiled" in first.stdout, first.stderr
    middle = tmp_path / "whole" / "checkpoints" / "images-000000000104"
    runs = [("parts", ["--compile", "--resume_from_checkpoint", middle]), ("eager", [])]
    for folder, extra in runs:
        result = train(*options, *extra, "--output_dir", tmp_path / folder, "--max_train_kimg", 0.2, **kernels)
        assert result.returncode == 0 and f"{0.104 if folder == 'parts' else 0:g} to 0.2 kimg" in result.stdout, result
    networks = ("weights/model", "checkpoints/images-000000000200/model", "checkpoints/images-000000000200/model_1")
    for name in networks:  # average, G, D
        whole, parts, eager = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts", "eager"))
        assert whole.keys() == parts.keys() == eager.keys()
        for key in eager:
            assert np.array_equal(whole[key], parts[key])  # resumed bit for bit
            assert np.allclose(whole[key], eager[key], atol=2e-3)  # 25 steps of Adam move a weight up to 1e-2
    lines = [[json.loads(line) for line in (tmp_path / run / "metrics.jsonl").open()] for run in ("whole", "eager")]
    for ours, theirs in zip(*lines, strict=True):
        for name in ("loss_d", "loss_g", "penalty"):  # the penalty differentiates twice
            assert ours[name] == pytest.approx(theirs[name], abs=1e-3) and theirs[name] > 0.01


def test_without_a_compiler_one_sentence_tells(options, tmp_path):
    (tmp_path / "empty").mkdir()
    environment = {"PATH": str(tmp_path / "empty"), "CXX": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    result = train(*options, "--compile", "--output_dir", tmp_path / "out", **environment)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith(REFUSAL) and "compiler" in sentence and "leave the option out" in sentence
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
