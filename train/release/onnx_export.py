"""A generator as ONNX files that draw what PyTorch draws: the export, its proof, and the files of WEIGHTS/onnx."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from model import Generator, latents_from_seeds, to_images
from model.directions import weights_digest
from train.errors import FAILURE, UserError
from train.output.files import make_writable, write_bytes
from train.output.weights_folder import check_weights

FOLDER, FULL, HALF = "onnx", "model.onnx", "model_fp16.onnx"  # the second name is the one transformers.js looks for
MEASURED_SEEDS = range(256)
TOLERANCES = {FULL: 1e-4, HALF: 1e-2}  # of images in [-1, 1], where a step of an 8-bit pixel is 7.8e-3
LARGE_TENSOR = 4096  # numbers; the biases and the last layer, which are smaller, stay float32
TABLE_SEEDS = range(16)


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


def halved(model: bytes) -> bytes:
    """The same model with large tensors stored in float16; loaded they are float32 again, and so is all arithmetic."""
    import onnx

    half = onnx.load_from_string(model)
    for tensor in half.graph.initializer:
        weights, name = onnx.numpy_helper.to_array(tensor), f"{tensor.name}_fp16"
        if weights.size >= LARGE_TENSOR:
            cast = onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
            half.graph.node.insert(0, cast)
            with np.errstate(over="ignore"):  # difference() tells what infinite weights draw
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights.astype(np.float16), name))
    onnx.checker.check_model(half, full_check=True)
    return half.SerializeToString()


class Difference(NamedTuple):
    """Between the images of onnxruntime and those of PyTorch."""

    largest: float  # of images in [-1, 1]; infinite where a number is not finite
    steps: int  # the largest of an 8-bit pixel value
    fraction: float  # of the 8-bit pixel values that differ at all


@torch.inference_mode()
def difference(model: bytes, generator: Generator) -> Difference:
    """Over the faces of 256 seeds; onnxruntime draws one alone and the others together, PyTorch each alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    z = latents_from_seeds(MEASURED_SEEDS, generator.latent_dim)
    drawn = [session.run(["images"], {"z": part.numpy()})[0] for part in z.split([1, len(z) - 1])]
    images = torch.cat([generator(row[None]) for row in z]), torch.from_numpy(np.concatenate(drawn))
    largest = (images[0] - images[1]).abs().nan_to_num(torch.inf).max().item()
    pictures = [np.stack([np.asarray(picture, np.int16) for picture in to_images(x)]) for x in images]
    steps = np.abs(pictures[0] - pictures[1])
    return Difference(largest, int(steps.max()), round(float((steps > 0).mean()), 6))


def latents_table(latent_dim: int) -> str:
    """JSON: the z of seeds 0 to 15, in digits that give the float32 back exactly."""
    rows = latents_from_seeds(TABLE_SEEDS, latent_dim).numpy()
    lines = ",\n".join("    [{}]".format(", ".join(map(str, row))) for row in rows)
    return f'{{\n  "seeds": {list(TABLE_SEEDS)},\n  "z": [\n{lines}\n  ]\n}}\n'


def measure(models: dict[str, bytes], generator: Generator) -> dict[str, Difference]:
    """How far each file is from PyTorch; UserError where it is too far."""
    found = {name: difference(model, generator) for name, model in models.items()}
    for name, tolerance in TOLERANCES.items():
        if found[name].largest > tolerance:
            sentence = (
                f"{name} would differ from PyTorch by {found[name].largest:.1e}, more than {tolerance}, and was not "
                "written; try other versions of torch and onnxscript"
            )
            raise UserError(None, sentence, exit_code=FAILURE)
    return found


def write_onnx(folder: Path) -> dict[Path, Difference]:
    """Export a weights folder to the files of its onnx/, each written whole.

    Returns:
        The models, the full one first, and how far each is from PyTorch.

    Raises:
        UserError: the folder holds no weights that load, or an exported model draws something else.
    """
    check_weights(folder)
    generator, digest = Generator.from_pretrained(folder), weights_digest(folder)
    full = to_onnx(generator, weights_sha256=digest)
    models = {FULL: full, HALF: halved(full)}
    found = measure(models, generator)
    about = {name: difference._asdict() for name, difference in found.items()}
    texts = {
        "latents.json": latents_table(generator.latent_dim),
        "measured.json": json.dumps({"weights": digest, "faces": len(MEASURED_SEEDS), **about}, indent=2) + "\n",
    }
    make_writable(folder / FOLDER)
    for name, content in (models | {name: text.encode() for name, text in texts.items()}).items():
        write_bytes(content, folder / FOLDER / name)
    return {folder / FOLDER / name: difference for name, difference in found.items()}
