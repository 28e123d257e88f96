"""train/colab.ipynb from its first cell to its last, in a kernel of its own, on little data and a Hub beside it."""

import io
import os
import zipfile
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hub_server import Hub
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from PIL import Image

from model import Generator, image_grid

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "train" / "colab.ipynb"
SMALL = "--resolution 32 --g_channels 4 --d_channels 4 --latent_dim 8 --train_batch_size 8 --max_train_kimg 0.064"


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder with the project in it and the reader's faces.zip."""
    for name in ("model", "train", "weights", "LICENSE", "requirements.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for i in range(16):
            with archive.open(f"{i}.png", "w") as file:
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
    return tmp_path


def execute(notebook: nbformat.NotebookNode, folder: Path, **settings: str) -> None:
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(folder / "home")}
    client.execute(
        env=os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")} | quiet | settings
    )


def pictures(cell: nbformat.NotebookNode) -> list[Image.Image]:
    """What a cell shows."""
    found = [output.data for output in cell.outputs if output.output_type in ("display_data", "execute_result")]
    return [Image.open(io.BytesIO(b64decode(data["image/png"]))) for data in found if "image/png" in data]


def test_every_cell_runs_in_order(clone):
    """And in the same kernel, before the training, one that fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    _, _, faces, training, learnt, publishing = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failing = new_code_cell(training.source, metadata={"tags": ["raises-exception"]})
    at = notebook.cells.index(training)
    wrong, right = 'OPTIONS, mine = "--learning_rate 7", OPTIONS', "OPTIONS = mine"
    notebook.cells[at:at] = [new_code_cell(wrong), failing, new_code_cell(right)]
    with Hub() as hub:
        options = f"{SMALL} --sample_kimg 0.032"
        execute(notebook, clone, OPTIONS=options, HUB_MODEL_ID="me/faces", HF_ENDPOINT=hub.url, HF_TOKEN="hf_me")
        published = hub.repos["me/faces"].files()
    released = image_grid(Generator.from_pretrained(ROOT / "weights").generate(range(16)), columns=8)
    assert np.array_equal(np.asarray(pictures(faces)[0].convert("RGB")), np.asarray(released))
    assert "--learning_rate: 7.0 is not from 0 to 1" in failing.outputs[0].text
    (error,) = [output for output in failing.outputs if output.output_type == "error"]
    assert error.evalue == "the training failed; training.log has all that it said"
    weights = clone / "runs" / "colab" / "weights"
    assert published["model.safetensors"] == (weights / "model.safetensors").read_bytes()
    assert "me/faces" in publishing.outputs[0].text and "hf_me" not in str(notebook)
    (grid,) = pictures(training)  # the last of them; those before it gave way
    assert np.array_equal(np.asarray(grid), np.asarray(Image.open(clone / "runs/colab/samples/000000000064.png")))
    assert "done: 0.064 kimg" in str(training.outputs)
    drawn = image_grid(Generator.from_pretrained(weights).generate(range(16)), columns=8)
    assert np.array_equal(np.asarray(pictures(learnt)[0].convert("RGB")), np.asarray(drawn))
    assert len(pictures(learnt)) == 2  # and the losses


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    assert "widgets" not in notebook.metadata
