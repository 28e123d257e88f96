#!/usr/bin/env python
"""From a weights folder to ONNX, for onnxruntime in Python, in a browser and elsewhere.

    python -m train.to_onnx weights

Writes WEIGHTS/onnx/model.onnx: `z` (N, latent_dim) float32, standard normal -> `images` (N, channels, size, size)
float32 in [-1, 1], for any N. It is written only if it draws what PyTorch draws. Beside it comes latents.json, the `z`
of the seeds 0 to 15, for whoever maps seeds to `z` in another language.
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from model import Generator, latents_from_seeds
from train.export import make_writable, whole
from train.weights import check_weights, weights_digest

FOLDER = "onnx"
CHECKED_LATENTS = 256
TOLERANCE = 1e-4  # of images in [-1, 1]; a step of an 8-bit pixel is 80 times as much
TABLE_SEEDS = range(16)
MISSING = "to_onnx needs '{}', which is not installed: pip install -r train/requirements.txt"


class ExportError(RuntimeError):
    """The exported model does not draw what PyTorch draws; nothing was written."""


def to_onnx(generator: Generator, **metadata: str) -> bytes:
    """A generator as one ONNX file; BatchNorm is folded into the convolutions, which the exporter does by itself.

    Args:
        generator: in eval mode, on the CPU.
        metadata: goes into the file as it is.
    """
    import onnx

    z = latents_from_seeds(range(2), generator.latent_dim)
    batch = {"z": {0: torch.export.Dim("N", min=1)}}
    program = torch.onnx.export(
        generator, (z,), input_names=["z"], output_names=["images"], dynamic_shapes=batch, dynamo=True, verbose=False
    )
    model = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")  # stack traces, with the folders of this computer in them
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@torch.inference_mode()
def difference(model: bytes, generator: Generator) -> float:
    """The largest difference between the images of onnxruntime and those of PyTorch, over 256 latents."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0.0
    for z in latents_from_seeds(range(CHECKED_LATENTS), generator.latent_dim).split([1, CHECKED_LATENTS - 1]):
        drawn = torch.from_numpy(session.run(["images"], {"z": z.numpy()})[0])
        largest = max(largest, (drawn - generator(z)).abs().nan_to_num(torch.inf).max().item())
    return largest


def latents_table(latent_dim: int) -> str:
    """JSON: the z of seeds 0 to 15, in digits that give the float32 back exactly."""
    rows = latents_from_seeds(TABLE_SEEDS, latent_dim).numpy()
    lines = ",\n".join("    [{}]".format(", ".join(map(str, row))) for row in rows)
    return f'{{\n  "seeds": {list(TABLE_SEEDS)},\n  "z": [\n{lines}\n  ]\n}}\n'


def write_onnx(folder: str | Path) -> tuple[Path, float]:
    """Export a weights folder to its onnx/model.onnx and onnx/latents.json, both written whole.

    Returns:
        The path of the model and its largest difference from PyTorch.

    Raises:
        ValueError: the folder holds no weights that load; one sentence.
        ExportError: the exported model draws something else; one sentence.
    """
    folder = Path(folder)
    check_weights(folder)
    generator = Generator.from_pretrained(folder)
    model = to_onnx(generator, weights_sha256=weights_digest(folder))
    largest = difference(model, generator)
    if largest > TOLERANCE:
        raise ExportError(
            f"the exported model differs from PyTorch by {largest:.1e}, more than {TOLERANCE}, and was not written; "
            "try other versions of torch and onnxscript"
        )
    path = folder / FOLDER / "model.onnx"
    make_writable(path.parent)
    with whole(path.with_name("latents.json")) as temporary:
        temporary.write_text(latents_table(generator.latent_dim))
    with whole(path) as temporary:
        temporary.write_bytes(model)
    return path, largest


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 where the export failed, 2 for bad arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_folder", type=Path, help="folder with model.safetensors and config.json")
    args = parser.parse_args(argv)
    try:
        path, largest = write_onnx(args.weights_folder)
    except (ValueError, ExportError) as error:
        print(f"to_onnx: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except ModuleNotFoundError as error:
        print(MISSING.format(error.name), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"to_onnx: weights_folder: '{FOLDER}' cannot be written there ({error.strerror})", file=sys.stderr)
        return 2
    print(f"{path}: differs from PyTorch by at most {largest:.1e} over {CHECKED_LATENTS} latents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
