"""The model card of a weights folder: README.md, made from the folder's JSON files and pictures by card.md."""

import dataclasses
import hashlib
import math
import os
import re
from pathlib import Path, PureWindowsPath

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from model.card import LIBRARY, LICENSE, TAGS, TASK, hub_install
from train.config import TrainConfig
from train.errors import UserError
from train.output.files import read_json, write_text
from train.output.made_from import strangers

TEMPLATE = Path(__file__).with_name("card.md")
METRICS = {  # key in metrics.json: name, type in the model-index, which way is better
    "fd": ("Fréchet distance", "frechet_distance", "lower is better"),
    "kid": ("Kernel distance", "kernel_distance", "lower is better"),
    "precision": ("Precision", "precision", "higher is better"),
    "recall": ("Recall", "recall", "higher is better"),
    "density": ("Density", "density", "higher is better"),
    "coverage": ("Coverage", "coverage", "higher is better"),
    "judge_auc": ("Judge's AUC", "judge_auc", "lower is better; 0.5: it cannot tell drawn from real"),
    "judge_pass": ("Passed by the judge", "judge_pass", "higher is better; 0.95: as real ones"),
    "nearest": ("Nearest distance, over that of real images", "nearest_distance_ratio", "well under 1 means copying"),
}
INCEPTION_METRICS = {"fd": ("FID", "fid"), "kid": ("KID", "kid")}  # names that only Inception features may bear
STUB = "[PytorchModelHubMixin]"  # in the card that Generator.save_pretrained leaves
SEAL = (
    "\n<!-- written by train/publish.py: {} (edited by hand, this card is left as it is; delete it for a new one) -->\n"
)


def public_name(name: str | None) -> str:
    """A data set's name as the public may see it: without the folders of this computer."""
    name = str(name or "unnamed pictures")
    windows = PureWindowsPath(name)
    return windows.name if os.path.isabs(name) or windows.drive or name.startswith((".", "~")) else name


def metric_rows(metrics: dict) -> list[dict]:
    """What a metrics.json measured: name, type, value and which way is better."""
    inception = str(metrics.get("feature_extractor", "")).lower().startswith("inception")
    rows = []
    for key, (name, kind, better) in METRICS.items():
        value = metrics.get(key, metrics.get("fid") if key == "fd" else None)
        if inception:
            name, kind = INCEPTION_METRICS.get(key, (name, kind))
        if isinstance(value, (int, float)) and math.isfinite(value):
            rows.append({"name": name, "type": kind, "value": round(value, 4), "better": better})
    return rows


def setting_rows(options: dict) -> list[tuple[str, object, str]]:
    """The options that shaped the weights, as (name, value, meaning); paths and accounts are not among them."""
    also = ("resolution", "random_flip", "mixed_precision")
    shaping = [
        field
        for field in dataclasses.fields(TrainConfig)
        if field.metadata["group"] in ("Networks", "Loss", "Training") or field.name in also
    ]
    return [
        (field.name, options[field.name], field.metadata["help"])
        for field in shaping
        if options.get(field.name) is not None and field.name != "init_from"
    ]


def one_line(text: str | None) -> str:
    """A text of the user's without its line breaks, which would end the sentence or begin a heading."""
    return " ".join((text or "").split())


def eval_results(rows: list[dict], metrics: dict, reference: str, dataset: str | None) -> list[EvalResult]:
    """The rows of ``metric_rows`` as the Hub's model-index has them."""
    conditions = {key: metrics.get(key) for key in ("feature_extractor", "num_samples", "num_reference", "truncation")}
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset or "imagefolder",
            dataset_name=reference,
            metric_type=row["type"],
            metric_name="{} ({feature_extractor}, {num_samples:,} samples, {num_reference:,} reference images)".format(
                row["name"], **conditions
            ),
            metric_value=row["value"],
            metric_args=conditions,
        )
        for row in rows
    ]


def make_card(folder: str | Path, repo_id: str | None = None, revision: str | None = None) -> ModelCard:
    """The card as an object; arguments and errors as in ``card_text``."""
    try:
        return _fill(Path(folder), repo_id, revision)
    except UserError:
        raise
    except Exception as error:  # numbers and words of other hands in a template can raise almost anything
        why = f"its JSON files hold what no command here writes ({error}); make them anew or remove them"
        raise UserError(str(folder), why) from error


def _fill(folder: Path, repo_id: str | None, revision: str | None) -> ModelCard:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - set(strangers(folder))
    names = ("config", "training", "metrics", "directions", "onnx/measured")
    known = (read_json(folder / f"{name}.json") if f"{name}.json" in files else {} for name in names)
    config, training, metrics, directions, onnx = known
    dataset, options = training.get("dataset") or {}, training.get("config") or {}
    on_hub = options.get("dataset_name")
    on_hub = on_hub if on_hub and public_name(on_hub) == on_hub else None  # older records can hold a local folder
    device = str(training.get("device") or "").removeprefix("1 x ").replace("(1 threads)", "(1 thread)")
    name = repo_id.split("/")[-1] if repo_id else "anime-dcgan"
    rows, reference = metric_rows(metrics), public_name(metrics.get("reference"))
    if rows and not all(isinstance(metrics.get(key), int) for key in ("num_samples", "num_reference")):
        sentence = "num_samples and num_reference must stand beside the numbers"
        raise UserError(str(folder / "metrics.json"), sentence)
    at = f', revision="{revision}"' if revision else ""
    results = eval_results(rows, metrics, reference, on_hub)
    card = ModelCard.from_template(
        ModelCardData(
            license=LICENSE,
            library_name=LIBRARY,
            pipeline_tag=TASK,
            tags=list(TAGS),
            datasets=[on_hub] if on_hub else None,
            model_name=name if results else None,
            eval_results=results or None,
        ),
        template_path=str(TEMPLATE),
        name=name,
        repo_id=repo_id or folder.name,
        on_hub=bool(repo_id),
        revision=revision,
        install=hub_install(repo_id, revision) if repo_id else "",
        path=lambda file: f'hf_hub_download("{repo_id}", "{file}"{at})' if repo_id else f'"{folder.name}/{file}"',
        files=files,
        config=config,
        training={**training, "device": device} if training else {},
        dataset={
            **dataset,
            "name": public_name(dataset.get("name")),
            "provenance": one_line(dataset.get("provenance")),
        },
        settings=setting_rows(options),
        metrics={**metrics, "reference": reference},
        rows=rows,
        directions=directions,
        onnx=onnx,
    )
    return ModelCard(re.sub(r"\n{3,}", "\n\n", str(card)).rstrip() + "\n")


def _seal(body: str) -> str:
    return SEAL.format(hashlib.sha256(body.encode()).hexdigest()[:16])


def card_text(folder: str | Path, repo_id: str | None = None, revision: str | None = None) -> str:
    """The README.md of a weights folder: the one there if it was edited by hand, else a new card.

    Args:
        folder: weights folder with config.json and, where they exist, training.json, metrics.json and the pictures.
        repo_id: "name/model" for the title and the snippets.
        revision: branch of ``repo_id`` that the card lies on, if not the main one.

    Raises:
        UserError: one of the JSON files is broken; names it.
    """
    path = Path(folder) / "README.md"
    if path.exists():
        try:
            old = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(str(path), f"it cannot be read as text in UTF-8 ({error}); mend or remove it") from error
        body = old.rpartition(SEAL.partition("{}")[0])[0]  # "" where there is no seal
        if old != body + _seal(body) and (body or STUB not in old):
            return old  # the seal is the digest of what was written: somebody changed it since
    body = str(make_card(folder, repo_id, revision))
    return body + _seal(body)


def write_card(folder: str | Path, repo_id: str | None = None, revision: str | None = None) -> Path:
    """Write ``card_text`` into a weights folder as README.md; one that was edited by hand is left as it is."""
    path, text = Path(folder) / "README.md", card_text(folder, repo_id, revision)
    if not (path.exists() and path.read_text(encoding="utf-8") == text):
        write_text(text, path)
    return path
