"""From a weights folder to ONNX, for onnxruntime in Python, in a browser and elsewhere.

    python -m train.to_onnx weights

Writes into WEIGHTS/onnx:

model.onnx       `z` (N, latent_dim) float32, standard normal -> `images` (N, channels, size, size) float32 in [-1, 1],
                 for any N
model_fp16.onnx  the same with weights in float16, half as large; the arithmetic stays float32
latents.json     the `z` of the seeds 0 to 15, for whoever maps seeds to `z` in another language
measured.json    how far the pictures of both models are from PyTorch's

They are written only if they draw what PyTorch draws.
"""

import argparse
import sys
from pathlib import Path

from model.files import local_path
from train.errors import FAILURE, UserError, run
from train.release.onnx_export import FOLDER, MEASURED_SEEDS, write_onnx


def work(folder: Path) -> None:
    try:
        written = write_onnx(folder)
    except ModuleNotFoundError as error:
        sentence = f"needs '{error.name}', which is not installed: pip install -r train/requirements.txt"
        raise UserError(None, sentence, exit_code=FAILURE) from error
    except OSError as error:
        sentence = f"'{FOLDER}' cannot be written there ({error.strerror})"
        raise UserError("weights_folder", sentence) from error
    for path, (largest, steps, fraction) in written.items():
        print(f"{path}: differs from PyTorch by at most {largest:.1e} over {len(MEASURED_SEEDS)} faces; as a picture, "
              f"{100 * fraction:.2g}% of its numbers do, by at most {steps} of 255")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 where the export failed, 2 for bad arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_folder", type=local_path, help="folder with model.safetensors and config.json")
    args = parser.parse_args(argv)
    return run(lambda: work(args.weights_folder), "to_onnx")


if __name__ == "__main__":
    sys.exit(main())
